package postgres

import (
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// pieces gives so many bytes at each read.
type pieces []int

func (p *pieces) Read(b []byte) (int, error) {
	if len(*p) == 0 {
		return 0, io.EOF
	}
	n := min((*p)[0], len(b))
	*p = (*p)[1:]
	return n, nil
}

// A long answer that comes in small parts is let gather; a short one is taken at once, and so is
// one that comes faster than it is taken.
func TestUnhurried(t *testing.T) {
	for name, c := range map[string]struct {
		sent  pieces
		waits int
	}{
		"short answers": {pieces{5, 300, 5, 8191}, 0},
		"a long one":    {pieces{8192, 8192, 8192, 700}, 3},
		"a fast server": {pieces{65536, 65536, 40000}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			begun, n := time.Now(), len(c.sent)
			u := &unhurried{src: &c.sent}
			b := make([]byte, readAhead)
			for range n {
				if _, err := u.Read(b); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(begun); took != time.Duration(c.waits)*gathering {
				t.Errorf("%s: waited %v, want %d times %v", name, took, c.waits, gathering)
			}
		})
	}
}

package app

import (
	"errors"
	"strings"
	"testing"
)

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestTailTakesAll: a log that can no longer be written stops nobody who writes it,
// and the last lines are kept all the same.
func TestTailTakesAll(t *testing.T) {
	tl := &tail{log: fullDisk{}}
	for range 3 {
		if n, err := tl.Write([]byte("a line\n")); n != 7 || err != nil {
			t.Fatalf("took %d bytes, %v", n, err)
		}
	}
	if !strings.Contains(tl.last(), "a line") {
		t.Errorf("kept %q", tl.last())
	}
}

package lock_test

import (
	"testing"

	"ecluse"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
)

// TestPredicts: how long a passage takes is guessed from estimates before reading, and
// from what was read after it.
func TestPredicts(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Approved, 200)
	d.Exec("ancilab.db", "ANALYZE") // what the source's estimates are made of
	p, err := d.Open().Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final})
	if err != nil {
		t.Fatal(err)
	}
	if x := p.Predicted; x == nil || x.Learned || x.Rows < 1000 || x.Bytes < x.Rows || x.Read <= 0 || x.Load <= 0 || x.Limit != exchange.ByDatabase {
		t.Errorf("before reading: %+v", x)
	}
	d = roomtest.At(t, roomtest.Sealed, 200)
	if p, err = d.Open().Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final}); err != nil {
		t.Fatal(err)
	}
	if x := p.Predicted; x == nil || !x.Learned || x.Read != 0 || x.Load <= 0 || x.Rows == 0 {
		t.Errorf("after it: %+v", x)
	}
}

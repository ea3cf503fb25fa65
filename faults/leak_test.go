//go:build linux && amd64

package faults

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"ecluse/internal/app/roomtest"
)

// TestLeakIsFound: a value that somebody spools while all goes on is found at the end
// by the search of every run, and nothing is where nobody spools any. A row that is
// missing is seen as well.
func TestLeakIsFound(t *testing.T) {
	w := newWorld(t, 40)
	for _, leak := range []bool{false, true} {
		r := newRoom(t, w, w.stages[loaded], roomtest.Temp(t))
		if err := r.up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if leak {
			name := r.Query("novalab.db", "SELECT family_name FROM patient LIMIT 1")
			r.Write([]byte("patient "+name[0]+"\n"), "room", "target", "rows.tmp")
		}
		if err := r.goOn(t.Context(), time.Minute, func() bool { return true }); err != nil {
			t.Fatal(err)
		}
		r.down()
		want := []string(nil)
		if leak {
			want = []string{filepath.Join("room", "target", "rows.tmp")}
		}
		if found := w.leaks(r); !slices.Equal(found, want) {
			t.Errorf("found in %v, want %v", found, want)
		}
		if w.facts(r) != r.stage.facts {
			t.Error("other rows than when nothing goes wrong, and nothing did")
		}
		r.Exec("novalab.db", "DELETE FROM patient WHERE id = (SELECT max(id) FROM patient)")
		if w.facts(r) == r.stage.facts {
			t.Error("a row that is missing is not seen")
		}
	}
}

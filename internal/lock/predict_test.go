package lock_test

import (
	"math"
	"strconv"
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
	if p.Predicted.Window != 0 {
		t.Errorf("without a window: %+v", p.Predicted)
	}
	d = roomtest.At(t, roomtest.Sealed, 200)
	if p, err = d.Open().Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final}); err != nil {
		t.Fatal(err)
	}
	if x := p.Predicted; x == nil || !x.Learned || x.Read != 0 || x.Load <= 0 || x.Rows == 0 {
		t.Errorf("after it: %+v", x)
	}
}

// TestPredictsMeasured: how long loading takes is known only once a passage ended, and then
// by what its rows took; a dry run writes nothing, and tells nothing of it.
func TestPredictsMeasured(t *testing.T) {
	t.Parallel()
	for stage, want := range map[roomtest.Stage]bool{roomtest.Sealed: false, roomtest.Loaded: true} {
		d := roomtest.At(t, stage, 200)
		all, err := d.Open().Status(t.Context(), roomtest.Migration)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		x := all[0].Predicted
		if x == nil || x.Measured != want || x.Load <= 0 {
			t.Fatalf("%v: %+v", stage, x)
		}
		if !want {
			continue
		}
		took := d.Query("room/lock/control.db", `SELECT (e.at - b.at) / 1000.0 * `+strconv.FormatInt(x.Rows, 10)+` / json_extract(CAST(e.text AS TEXT), '$.numbers.rows_read') FROM leaf b, leaf e
			WHERE CAST(b.text AS TEXT) LIKE '%"passage-begun"%"final-1"%' AND CAST(e.text AS TEXT) LIKE '%"passage-ended"%"final-1"%'`)
		if len(took) != 1 {
			t.Fatalf("the journal has %v", took)
		}
		if s, err := strconv.ParseFloat(took[0], 64); err != nil || math.Abs(s-x.Load) > 0.001 {
			t.Errorf("%v seconds by the journal, told %v", took, x.Load)
		}
		// Three days ago it was interrupted after five seconds; since then it caught up, which took as long.
		d.Exec("room/lock/control.db",
			"UPDATE leaf SET at = at - 259200000 WHERE CAST(text AS TEXT) LIKE '%\"passage-begun\"%\"final-1\"%'",
			"INSERT INTO work (id, gate, migration, verb, text, asked, ended, answer) SELECT 'first', gate, migration, verb, text, asked - 259200000, asked - 259195000, answer FROM work WHERE verb = 'load' AND CAST(text AS TEXT) LIKE '%\"final\"%'",
			"INSERT INTO work (id, gate, migration, verb, text, asked, ended, answer) SELECT 'later', gate, migration, verb, CAST(json_set(CAST(text AS TEXT), '$.reading', 1) AS BLOB), ended, ended + 259200000, answer FROM work WHERE verb = 'load' AND id <> 'first' AND CAST(text AS TEXT) LIKE '%\"final\"%'")
		if all, err = d.Open().Status(t.Context(), roomtest.Migration); err != nil {
			t.Fatal(err)
		}
		if y := all[0].Predicted; y == nil || y.Load < x.Load+5*0.9 || y.Load > x.Load+3600 {
			t.Errorf("after an interruption of days, and a catch-up: %+v, was %+v", y, x)
		}
	}
}

// TestPredictsNoEnd: a reading that is guessed to take longer than the window is open has no
// end, and whoever plans it is told.
func TestPredictsNoEnd(t *testing.T) {
	t.Parallel()
	d := roomtest.InWindow(t, roomtest.Approved, 200, "20:00-20:05 UTC")
	d.Exec("ancilab.db", "ANALYZE", "UPDATE sqlite_stat1 SET stat = '900000000 1' WHERE tbl = 'RESULTAT'")
	p, err := d.Open().Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final})
	if err != nil {
		t.Fatal(err)
	}
	if x := p.Predicted; x == nil || x.Window != 300 || x.Read < 300 {
		t.Errorf("%+v", x)
	}
}

package app_test

import (
	"testing"

	"ecluse"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/sluice"
)

// TestProgressExpects: each stage says how many rows it has, and has as many.
func TestProgressExpects(t *testing.T) {
	d := roomtest.At(t, roomtest.Ready, 200)
	d.Exec("ancilab.db", "ANALYZE") // what the source's estimates are made of
	r := d.Open()
	last, expected := map[string]exchange.Progress{}, map[string]int64{}
	watch := func(p exchange.Progress) {
		last[p.Stage] = p
		expected[p.Stage] = max(expected[p.Stage], p.Expected)
	}
	plan := d.Read("room", "plans", string(roomtest.Migration)+"-readplan.json")
	if _, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, Plan: plan, Watch: watch}); err != nil {
		t.Fatal(err)
	}
	if p := last[string(sluice.StageRead)]; p.Expected < p.Rows*8/10 || p.Expected > p.Rows*3 {
		t.Errorf("reading expects %d rows and has %d", p.Expected, p.Rows)
	}
	v, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, Watch: watch})
	if err != nil {
		t.Fatal(err)
	}
	if got := expected[string(sluice.StageLoad)]; got != v.Load.RowsRead || got == 0 {
		t.Errorf("loading expects %d rows and has %d", got, v.Load.RowsRead)
	}
	if p := last[string(sluice.StageCompare)]; !p.Done || p.Rows != p.Expected || p.Rows == 0 {
		t.Errorf("comparing ends with %+v", p)
	}
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire), Watch: watch}); err != nil {
		t.Fatal(err)
	}
	if got := expected[string(sluice.StageUndo)]; got != v.Load.RowsRead {
		t.Errorf("undoing expects %d rows and has %d", got, v.Load.RowsRead)
	}
	if p := last[string(sluice.StageCompare)]; !p.Done || p.Rows != p.Expected {
		t.Errorf("comparing after it ends with %+v", p)
	}
}

package mandate

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
)

// TestCompareLoads: each thing that a corrected mapping says otherwise is one line, and
// what stays is none.
func TestCompareLoads(t *testing.T) {
	t.Parallel()
	table := ecluse.TableName{Name: "result"}
	plan := func(edit func(*ecluse.Shape)) *LoadPlan {
		p := &LoadPlan{Passage: ecluse.Final, Shape: ecluse.Shape{
			Order:  []ecluse.DatasetID{"result"},
			Frozen: []ecluse.ShapeFrozen{{Name: "codes", File: "codes.csv", Key: []string{"code"}, Digest: ecluse.DigestOf([]byte("a"))}},
			Datasets: []ecluse.ShapeDataset{{
				Dataset: "result", Rejects: []string{"no code"},
				Into: []ecluse.ShapeTable{
					{Table: table, Columns: []ecluse.ShapeColumn{{Column: "id", From: "id"}, {Column: "value", From: "strip(value)"}}},
					{Table: table, Skip: "flag == ''", Columns: []ecluse.ShapeColumn{{Column: "flag", From: "flag"}}},
				},
			}},
		}}
		if edit != nil {
			edit(&p.Shape)
		}
		return p
	}
	before := plan(nil)
	before.Passage, before.Target.System = ecluse.Rehearsal, "test"
	if got := CompareLoads(before, plan(nil)); got != nil {
		t.Errorf("a rehearsal and its final differ in %+v", got)
	}
	after := plan(func(s *ecluse.Shape) {
		s.Frozen[0].Digest = ecluse.DigestOf([]byte("b"))
		d := &s.Datasets[0]
		d.Rejects = []string{"no code", "no date"}
		d.Into[0].Columns[1].From = "strip(value,\n '0')"
		d.Into[0].Columns = append(d.Into[0].Columns, ecluse.ShapeColumn{Column: "unit", From: "unit"})
		d.Into[1].Skip = ""
	})
	want := []Change{
		{"plan", "frozen table codes", "codes.csv, key code, " + ecluse.DigestOf([]byte("a")).String(), "codes.csv, key code, " + ecluse.DigestOf([]byte("b")).String()},
		{"result", "reject no date", "", "no date"},
		{"result → result", "column value", "strip(value) ()", "strip(value, '0') ()"},
		{"result → result", "column unit", "", "unit ()"},
		{"result → result (2)", "skip", "flag == ''", ""},
	}
	if d := cmp.Diff(want, CompareLoads(before, after)); d != "" {
		t.Error(d)
	}
}

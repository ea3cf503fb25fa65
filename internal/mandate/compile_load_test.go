package mandate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/mandate/mandatetest"
)

func loadPlanInputs(t *testing.T) mandate.LoadInputs {
	t.Helper()
	m := migration(t)
	return mandate.LoadInputs{
		Instruction: m.Instruction, ReadPlan: m.Plan, Passage: ecluse.Final, Shape: shape(), Target: target(),
		Held: []mandate.LoadHeld{held()}, Procedure: m.World.Procedure, Dialect: mandatetest.Dialect(ecluse.PostgreSQL),
	}
}

func TestCompileLoad(t *testing.T) {
	in := loadPlanInputs(t)
	p, err := mandate.CompileLoad(in)
	if err != nil {
		t.Fatal(err)
	}
	want := []mandate.LoadTable{{
		Table: ecluse.TableName{Name: "analysis"}, Key: []string{"id"},
		Columns: []mandate.LoadColumn{
			{Name: "id", Type: ecluse.Type{Kind: ecluse.Int}, Declared: "bigint"},
			{Name: "code", Type: ecluse.Type{Kind: ecluse.Text}, Declared: "text"},
		},
		Statement: "write 2 columns into analysis",
	}}
	if diff := cmp.Diff(want, p.Tables); diff != "" {
		t.Error(diff)
	}
	if p.ReadPlan != in.ReadPlan.Digest() || p.Target.Engine != ecluse.PostgreSQL || !p.EraseBy.Equal(in.ReadPlan.EraseBy) {
		t.Errorf("%+v", p)
	}
	again, err := mandate.CompileLoad(in)
	if err != nil || again.Digest() != p.Digest() {
		t.Errorf("compiled twice it differs: %v", err)
	}
}

func TestCompileLoadUnion(t *testing.T) {
	in := loadPlanInputs(t)
	id := in.Shape.Datasets[0].Into[0].Columns
	in.Shape.Datasets[0].Into = append(in.Shape.Datasets[0].Into, ecluse.ShapeTable{
		Table: in.Shape.Datasets[0].Into[0].Table, KeyWrite: true,
		Columns: append(id[:2:2], ecluse.ShapeColumn{Column: "note", Type: ecluse.Type{Kind: ecluse.Text}, From: "code"}),
	})
	p, err := mandate.CompileLoad(in)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Tables) != 1 || len(p.Tables[0].Columns) != 3 || p.Tables[0].Columns[2].Name != "note" {
		t.Errorf("%+v", p.Tables)
	}
}

func TestCompileLoadRefuses(t *testing.T) {
	text := ecluse.Type{Kind: ecluse.Text}
	for want, spoil := range map[string]func(in *mandate.LoadInputs, into *ecluse.ShapeTable){
		"dataset result: the read plan takes no column nir":    func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Shape.Datasets[0].Reads = []string{"nir"} },
		"dataset results: the read plan has none of that name": func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Shape.Datasets[0].Dataset = "results" },
		"order: it is not that of the datasets":                func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Shape.Order = nil },
		"it is mapped twice": func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) {
			in.Shape.Datasets = append(in.Shape.Datasets, in.Shape.Datasets...)
		},
		"dataset request: the read plan has none of that name": func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) {
			in.Shape.Held = []ecluse.ShapeHeld{{Dataset: "request", Key: []string{"id"}}}
		},
		"mapping: it has no digest":                                  func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Shape.Mapping = ecluse.Digest{} },
		"dataset result into analyses: the target has no such table": func(_ *mandate.LoadInputs, into *ecluse.ShapeTable) { into.Table.Name = "analyses" },
		"it is a view: rows are written into tables":                 func(_ *mandate.LoadInputs, into *ecluse.ShapeTable) { into.Table.Name = "seen" },
		"the table has no column Code: did you mean code?":           func(_ *mandate.LoadInputs, into *ecluse.ShapeTable) { into.Columns[1].Column = "Code" },
		"column id is written twice": func(_ *mandate.LoadInputs, into *ecluse.ShapeTable) {
			into.Columns = append(into.Columns, into.Columns[0])
		},
		"column size is computed by the database":                              func(_ *mandate.LoadInputs, into *ecluse.ShapeTable) { into.Columns[1].Column = "size" },
		"column id is int (bigint), the mapping makes text":                    func(_ *mandate.LoadInputs, into *ecluse.ShapeTable) { into.Columns[0].Type = text },
		"column code has to be written: it is NOT NULL and has no default":     func(_ *mandate.LoadInputs, into *ecluse.ShapeTable) { into.Columns = into.Columns[:1] },
		"its counter size is not a written column":                             func(_ *mandate.LoadInputs, into *ecluse.ShapeTable) { into.Counter = "size" },
		"the mapping was checked against another primary key; it is (id)":      func(_ *mandate.LoadInputs, into *ecluse.ShapeTable) { into.KeyWrite = false },
		"sequence other_seq: the target has none of that name":                 func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Shape.Sequences[0].Sequence.Name = "other_seq" },
		"analysis.note is not written":                                         func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Shape.Sequences[0].Column = "note" },
		"check per_code: the instruction asks for it and the mapping does not": func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Shape.Checks = in.Shape.Checks[:1] },
		"check per_code: the instruction asks for another figure":              func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Shape.Checks[1].By = "" },
		"check more: the instruction has none of that name":                    func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Shape.Checks[0].Name = "more" },
		"check dates: it is given twice":                                       func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Shape.Checks[1].Name = "dates" },
		"check dates: analysis has no column when":                             func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Shape.Checks[0].First = "when" },
		"check per_code: the mapping has no table of codes other":              func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Shape.Checks[1].Codes = "other" },
		"check dates: the target has no table nowhere":                         func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Shape.Checks[0].Table.Name = "nowhere" },
		"held table codes: it is given twice":                                  func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Held = append(in.Held, held()) },
		"held table codes: it has no column label":                             func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Held[0].Columns = []string{"label"} },
		"held table codes: its rows have no digest":                            func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Held[0].Digest = ecluse.Digest{} },
		"held table none: the target has no such table":                        func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Held[0].Table.Name = "none" },
		"is not a kind of passage":                                             func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Passage = "wet" },
		"the catalogue is sqlite and the dialect postgresql":                   func(in *mandate.LoadInputs, _ *ecluse.ShapeTable) { in.Target.Engine = ecluse.SQLite },
	} {
		t.Run(want, func(t *testing.T) {
			in := loadPlanInputs(t)
			spoil(&in, &in.Shape.Datasets[0].Into[0])
			_, err := mandate.CompileLoad(in)
			if err == nil || !strings.Contains(err.Error(), want) || ecluse.KindOf(err) != ecluse.Invalid {
				t.Errorf("got %s %v", ecluse.KindOf(err), err)
			}
		})
	}
	in := loadPlanInputs(t)
	in.ReadPlan.Instruction = ecluse.DigestOf(nil)
	if _, err := mandate.CompileLoad(in); ecluse.KindOf(err) != ecluse.Differs {
		t.Error(err)
	}
}

package writertest

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/sluice/reader/readertest"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

func testSnapshot(t *testing.T, h Harness) {
	const rows = 30_000
	p := newPlace(t, h, keyed).allow(t, keyed)
	s := p.begin(t)
	load(t, s, &writer.Chunk{Slot: slot(0), Rows: rows, Tables: []writer.Rows{p.rows(t, keyed, numbers(0, rows), nil)}})
	sc, err := p.target.Snapshot(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer sc.Close()
	if d := time.Since(sc.At()); d < -time.Minute || d > time.Minute {
		t.Errorf("the snapshot says it is of %s", sc.At())
	}
	count := func() (n int, sum int64) {
		t.Helper()
		err := sc.Scan(t.Context(), p.db.Name(keyed.Name), []string{"note", "id"}, collector(func(b *record.Batch) {
			if b.Schema.Fields[0].Name != "note" || b.Schema.Fields[1].Name != "id" {
				t.Errorf("columns %s, %s; want them as asked", b.Schema.Fields[0].Name, b.Schema.Fields[1].Name)
			}
			n += b.Rows()
			for _, id := range b.Columns[1].Ints() {
				sum += id
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		return n, sum
	}
	for i := range 2 {
		if n, sum := count(); n != rows || sum != rows*(rows-1)/2 {
			t.Errorf("scan %d: %d rows, ids adding up to %d", i, n, sum)
		}
		if i == 0 { // what comes later is not in the snapshot
			load(t, s, &writer.Chunk{Slot: slot(1), Rows: 5, Tables: []writer.Rows{p.rows(t, keyed, numbers(rows, 5), nil)}})
		}
	}
	if n := len(p.content(t, keyed)); n != rows+5 {
		t.Errorf("a later snapshot shows %d rows, want %d", n, rows+5)
	}
	nothing := func(*record.Batch) error { return nil }
	if err := sc.Scan(t.Context(), p.db.Name(keyed.Name), []string{"id", "nowhere"}, nothing); err == nil {
		t.Error("a column that is not there was scanned")
	}
}

func testChecks(t *testing.T, h Harness) {
	table := readertest.Table{Name: "result", Key: []string{"id"}, Columns: []readertest.Column{
		{Name: "id", Type: readertest.Int, NotNull: true},
		{Name: "code", Type: readertest.Text},
		{Name: "value", Type: readertest.Harness{Kinds: h.Kinds}.Exact()},
		{Name: "seen", Type: readertest.Int},
	}}
	p := newPlace(t, h, table)
	p.db.Insert(t, table, [][]any{
		{int64(1), "GLY", "1.5", int64(2011)},
		{int64(2), "GLY", "2.25", int64(2010)},
		{int64(3), "NA", nil, int64(2015)},
		{int64(4), nil, "-1", nil},
		{int64(5), "gly", "0.1", int64(2012)},
	})
	sc, err := p.target.Snapshot(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer sc.Close()
	yes, no := true, false
	from, before := int64(2), int64(5)
	for _, c := range []struct {
		check ecluse.ShapeCheck
		want  []string // key|count|sum|first|last
	}{
		{ecluse.ShapeCheck{Name: "count", Count: true}, []string{"∅|5|∅|∅|∅"}},
		{ecluse.ShapeCheck{Name: "per-code", Count: true, By: "code"}, []string{"GLY|2|∅|∅|∅", "NA|1|∅|∅|∅", "gly|1|∅|∅|∅", "∅|1|∅|∅|∅"}},
		{ecluse.ShapeCheck{Name: "sum", Sum: "value"}, []string{"∅|∅|57/20|∅|∅"}},
		{ecluse.ShapeCheck{Name: "sum-per-code", Sum: "value", By: "code"}, []string{"GLY|∅|15/4|∅|∅", "NA|∅|∅|∅|∅", "gly|∅|1/10|∅|∅", "∅|∅|-1|∅|∅"}},
		{ecluse.ShapeCheck{Name: "bounds", First: "seen", Last: "seen"}, []string{"∅|∅|∅|2010|2015"}},
		{ecluse.ShapeCheck{Name: "by-number", Count: true, By: "seen", Where: []ecluse.ShapeEq{{Column: "code", Equals: "GLY"}}}, []string{"2010|1|∅|∅|∅", "2011|1|∅|∅|∅"}},
		{ecluse.ShapeCheck{Name: "null", Count: true, Where: []ecluse.ShapeEq{{Column: "code", Null: &yes}}}, []string{"∅|1|∅|∅|∅"}},
		{ecluse.ShapeCheck{Name: "not-null", Count: true, Where: []ecluse.ShapeEq{{Column: "code", Null: &no}, {Column: "seen", Equals: "2015"}}}, []string{"∅|1|∅|∅|∅"}},
		{ecluse.ShapeCheck{Name: "range", Count: true, Sum: "value", Where: []ecluse.ShapeEq{{Column: "id", From: &from, Before: &before}}}, []string{"∅|3|5/4|∅|∅"}},
		{ecluse.ShapeCheck{Name: "nobody", Count: true, Sum: "value", Last: "seen", Where: []ecluse.ShapeEq{{Column: "code", Equals: "it's"}}}, []string{"∅|0|∅|∅|∅"}},
	} {
		c.check.Table = p.db.Name(table.Name)
		b, err := sc.Check(t.Context(), c.check)
		if err != nil {
			t.Errorf("check %s: %v", c.check.Name, err)
			continue
		}
		if !b.Schema.Equal(readertest.FiguresSchema()) {
			t.Errorf("check %s: fields %+v", c.check.Name, b.Schema.Fields)
		}
		got := readertest.Rows(b)
		slices.Sort(got)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("check %s (-want +got):\n%s", c.check.Name, diff)
		}
	}
}

func testRows(t *testing.T, h Harness) {
	table := readertest.Table{Name: "code", Key: []string{"code"}, Columns: []readertest.Column{
		{Name: "code", Type: readertest.Text, NotNull: true}, {Name: "id", Type: readertest.Int}, {Name: "label", Type: readertest.Text},
	}}
	p := newPlace(t, h, table)
	p.db.Insert(t, table, [][]any{{"b", int64(1), "x"}, {"B", int64(2), nil}, {"a", nil, "y"}, {"É", int64(4), "z"}, {"Z", int64(5), "z"}})
	b, err := p.target.Rows(t.Context(), p.db.Name(table.Name), []string{"id", "code"}, 5)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"2|B", "5|Z", "∅|a", "1|b", "4|É"}, readertest.Rows(b)); diff != "" {
		t.Errorf("want the rows in the order of the key's bytes (-want +got):\n%s", diff)
	}
	if got := b.Schema.Fields[0]; got.Name != "id" || got.Type != readertest.Int {
		t.Errorf("first column is %+v", got)
	}
	_, err = p.target.Rows(t.Context(), p.db.Name(table.Name), []string{"code"}, 4)
	wantKind(t, err, ecluse.Refused, "a table larger than the limit")
	if _, err := p.target.Rows(t.Context(), p.db.Name("nowhere"), []string{"code"}, 4); err == nil {
		t.Error("a table that is not there was read")
	}
}

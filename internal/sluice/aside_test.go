package sluice

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// Of a value that its length alone would tell there is one shape.
func TestShapeOfKinds(t *testing.T) {
	b := record.NewBatch(&record.Schema{Fields: []record.Field{
		{Name: "fasting", Type: ecluse.Type{Kind: ecluse.Bool}}, {Name: "photo", Type: ecluse.Type{Kind: ecluse.Bytes}}, {Name: "result", Type: ecluse.Type{Kind: ecluse.Text}},
	}}, 0)
	for i, row := range []struct{ bytes, text string }{{"\x00", "+"}, {"a1", "---"}} {
		b.Columns[0].AppendInt(int64(i))
		b.Columns[1].AppendString(row.bytes)
		b.Columns[2].AppendString(row.text)
	}
	for i := range 2 {
		for n, want := range []string{"boolean", "bytes", "?"} {
			if got := ShapeOf(b.Columns[n], i).String(); got != want {
				t.Errorf("%s of row %d looks like %q, want %q", b.Schema.Fields[n].Name, i, got, want)
			}
		}
	}
}

// A row put aside names the columns behind its reason, and only those are read back.
func TestBehindReject(t *testing.T) {
	text := ecluse.Type{Kind: ecluse.Text}
	a := &aside{
		fields: 3, places: map[string]string{},
		batch: record.NewBatch(&record.Schema{Fields: []record.Field{
			{Name: "id", Type: text},
			{Name: "sex", Type: text},
			{Name: "born", Type: text},
			{Name: RejectRow, Type: ecluse.Type{Kind: ecluse.Int}},
			{Name: RejectReason, Type: text},
			{Name: RejectBehind, Type: text},
		}}, 0),
		behind: func(reason string) []string { return strings.Fields(reason) },
	}
	in := record.NewBatch(&record.Schema{Fields: a.batch.Schema.Fields[:3]}, 0)
	for range 3 {
		for _, c := range in.Columns {
			c.AppendString("x")
		}
	}
	reasons := []string{"born", "", "id born"}
	for i, why := range reasons {
		a.add(in, int32(i), why)
	}
	for i, why := range reasons {
		got := slices.Sorted(maps.Keys(BehindReject(a.batch, i)))
		want := strings.Fields(why)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("behind %q: %v", why, got)
		}
	}
	if got := BehindReject(in, 0); len(got) != 0 {
		t.Errorf("of a batch that names none: %v", got)
	}
}

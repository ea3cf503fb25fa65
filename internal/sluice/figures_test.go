package sluice

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/record"
)

// TestFiguresOfRowsPutAside: rows put aside are counted under keys written as the
// engines write them, and come back from a note as they were.
func TestFiguresOfRowsPutAside(t *testing.T) {
	plan := &mandate.ReadPlan{Checks: []mandate.ReadCheck{
		{Name: "per_day", Dataset: "result", By: "day", Count: true},
		{Name: "per_urgency", Dataset: "result", By: "urgent", Count: true, Sum: "amount"},
		{Name: "dates", Dataset: "result", First: "at", Last: "at"},
	}}
	b := record.NewBatch(&record.Schema{Fields: []record.Field{
		{Name: "day", Type: ecluse.Type{Kind: ecluse.Date}},
		{Name: "urgent", Type: ecluse.Type{Kind: ecluse.Bool}},
		{Name: "amount", Type: ecluse.Type{Kind: ecluse.Decimal, Precision: 10, Scale: 2}},
		{Name: "at", Type: ecluse.Type{Kind: ecluse.Timestamp}},
	}}, 3)
	for i, day := range []int64{18262, 18262, -1} {
		b.Columns[0].AppendInt(day)
		b.Columns[1].AppendBool(i > 0)
		b.Columns[2].AppendInt(int64(i)*150 + 5)
		b.Columns[3].AppendInt(int64(i) * 86_400_000_000)
	}
	f := newFigures(plan)
	f.add("result", b)
	f.add("other", b)
	n := func(v int64) *int64 { return &v }
	s := func(v string) *string { return &v }
	want := map[string]map[string]kept{
		"per_day":     {"2020-01-01": {Key: "2020-01-01", Count: n(2)}, "1969-12-31": {Key: "1969-12-31", Count: n(1)}},
		"per_urgency": {"false": {Key: "false", Count: n(1), Sum: s("0.05")}, "true": {Key: "true", Count: n(2), Sum: s("4.6")}},
		"dates":       {"": {Null: true, First: s("1970-01-01T00:00:00"), Last: s("1970-01-03T00:00:00")}},
	}
	again := newFigures(plan)
	again.restore(f.keep())
	for _, x := range []*figures{f, again} {
		got := map[string]map[string]kept{}
		for name, list := range x.keep() {
			got[name] = map[string]kept{}
			for _, k := range list {
				got[name][k.Key] = k
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

package readertest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

// ranged makes a table whose keys lie far apart, at the ends of what there is and, from
// 1000 to 3999, side by side, and tells them in order.
func ranged(t *testing.T, p *place, name string) []int64 {
	t.Helper()
	keys := []int64{math.MinInt64, -5_000_000_000, -65, -64, -1, 0, 1, 63, 64, math.MaxInt32, math.MaxInt32 + 1, 5_000_000_000, math.MaxInt64}
	for n := int64(1000); n < 4000; n++ {
		keys = append(keys, n)
	}
	rows := make([][]any, len(keys))
	for i := range rows {
		id := keys[i*7919%len(keys)]
		rows[i] = []any{id, fmt.Sprintf("label %d", id), nil}
		if id%2 == 0 {
			rows[i][2] = id / 2
		}
	}
	table := numberedTable
	table.Name = name
	p.table(t, table, rows)
	slices.Sort(keys)
	return keys
}

// inRanges reads ranges of a dataset whose first column is the key, and tells the keys in
// order; false: the session cannot.
func inRanges(t *testing.T, s reader.Session, dataset ecluse.DatasetID, ranges ...reader.Range) ([]int64, bool) {
	t.Helper()
	got := []int64{}
	r, ok := s.(reader.RangeReader)
	if !ok {
		t.Skip("the engine's sessions find no rows by their key")
	}
	can, err := r.ReadRanges(t.Context(), dataset, ranges, func(b *record.Batch) error {
		if b.Rows() == 0 || b.Rows() > reader.BatchRows {
			t.Errorf("a batch of %d rows", b.Rows())
		}
		for i := range b.Rows() {
			id := b.Columns[0].Int(i)
			got = append(got, id)
			if want := fmt.Sprintf("label %d", id); len(b.Columns) > 1 && string(b.Columns[1].Bytes(i)) != want {
				t.Errorf("the row of %d is %q", id, Row(b, i))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	return got, can
}

// testRanges: the rows whose key is in one of the ranges come, each once and whole, and no
// others; conditions hold; the session goes on afterwards.
func testRanges(t *testing.T, h Harness) {
	p := newPlace(t, h)
	keys := ranged(t, p, "numbered")
	p.db.Create(t, Table{Name: "numbered_view", ViewOf: "numbered", Columns: numberedTable.Columns})
	body := numberedBody +
		"  some: {from: %[1]q, key: [id], columns: {id: technical, label: result, amount: result}, where: [{column: amount, not_null: true}]}\n" +
		"  seen: {from: %[2]q, key: [id], columns: {id: technical, label: result}}\n"
	permit := p.permit(t, body, p.name("numbered"), p.name("numbered_view"))
	s := p.open(t, permit)

	var even []reader.Range
	for n := int64(1000); n < 4000; n += 2 { // more than a statement asks for
		even = append(even, reader.Range{From: n, To: n})
	}
	everything := reader.Range{From: math.MinInt64, To: math.MaxInt64}
	for name, ranges := range map[string][]reader.Range{
		"none":               nil,
		"without rows":       {{From: 2, To: 62}, {From: 5000, To: 6000}, {From: math.MaxInt32 + 2, To: math.MaxInt32 + 10}},
		"all":                {everything},
		"one key":            {{From: 1500, To: 1500}},
		"neighbours":         {{From: 1000, To: 1063}, {From: 1064, To: 1127}, {From: 1128, To: 1128}},
		"below nought":       {{From: -128, To: -65}, {From: -64, To: -1}},
		"around nought":      {{From: -1, To: 0}, {From: 1, To: 1}},
		"beyond four bytes":  {{From: math.MinInt64, To: -4_000_000_000}, {From: math.MaxInt32, To: math.MaxInt32}, {From: math.MaxInt32 + 1, To: math.MaxInt64 - 1}},
		"the first and last": {{From: math.MinInt64, To: math.MinInt64}, {From: math.MaxInt64, To: math.MaxInt64}},
		"many":               even,
	} {
		in := func(id int64) bool {
			return slices.ContainsFunc(ranges, func(r reader.Range) bool { return r.From <= id && id <= r.To })
		}
		for dataset, has := range map[ecluse.DatasetID]func(int64) bool{
			"numbered": in, "seen": in, "some": func(id int64) bool { return in(id) && id%2 == 0 },
		} {
			want := []int64{}
			for _, id := range keys {
				if has(id) {
					want = append(want, id)
				}
			}
			got, can := inRanges(t, s, dataset, ranges...)
			if !can && len(got) == 0 && dataset == "seen" { // nobody knows that the key of a view is unique
				continue
			}
			if diff := cmp.Diff(want, got); diff != "" || !can {
				t.Errorf("%s of %s: %v (-want +got):\n%s", name, dataset, can, diff)
			}
		}
	}
	if got := len(texts(t, s, "numbered")); got != len(keys) {
		t.Errorf("%d rows afterwards, want %d", got, len(keys))
	}
}

// testRangesCannot: of a key that is not one whole column, of none and of distinct values
// nothing is read, and it is said.
func testRangesCannot(t *testing.T, h Harness) {
	p := newPlace(t, h)
	p.table(t, Table{
		Name: "visit", Key: []string{"site", "number"},
		Columns: []Column{{Name: "site", Type: Int, NotNull: true}, {Name: "number", Type: Int, NotNull: true}},
	}, [][]any{{int64(1), int64(1)}, {int64(1), int64(2)}})
	p.table(t, Table{Name: "event", Columns: append(Columns(Int, "number"), Columns(Text, "label")...)}, [][]any{{int64(1), "one"}})
	s := p.open(t, p.permit(t, "datasets:\n  visit: {from: %[1]q, key: [site, number], columns: {site: technical, number: technical}}\n"+
		"  event: {from: %[2]q, columns: {number: result}}\n  label: {from: %[2]q, distinct: label, class: technical}\n", p.name("visit"), p.name("event")))
	for _, dataset := range []ecluse.DatasetID{"visit", "event", "label"} {
		if got, can := inRanges(t, s, dataset, reader.Range{From: math.MinInt64, To: math.MaxInt64}); can || len(got) > 0 {
			t.Errorf("%s: %v, %d rows", dataset, can, len(got))
		}
	}
}

// testRangesEnd: what the caller says ends a reading by ranges with its own error, and so
// does whoever goes away; what the plan does not have is refused.
func testRangesEnd(t *testing.T, h Harness) {
	p := newPlace(t, h)
	ranged(t, p, "numbered")
	s := p.open(t, p.permit(t, numberedBody, p.name("numbered")))
	r, ok := s.(reader.RangeReader)
	if !ok {
		t.Skip("the engine's sessions find no rows by their key")
	}
	everything := []reader.Range{{From: math.MinInt64, To: math.MaxInt64}}
	if _, err := r.ReadRanges(t.Context(), "request", everything, func(*record.Batch) error { return nil }); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("a dataset outside the plan gave %v, want a refusal", err)
	}
	stop := errors.New("the disk is full")
	if _, err := r.ReadRanges(t.Context(), "numbered", everything, func(*record.Batch) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the caller's own error", err)
	}
	if got, _ := inRanges(t, s, "numbered", reader.Range{From: 0, To: 1}); len(got) != 2 {
		t.Errorf("%v after a reading that was given up", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.ReadRanges(ctx, "numbered", everything, func(*record.Batch) error { return nil }); !errors.Is(err, context.Canceled) || ecluse.KindOf(err) != ecluse.Interrupted {
		t.Errorf("a cancelled reading gave %v (%s)", err, ecluse.KindOf(err))
	}
}

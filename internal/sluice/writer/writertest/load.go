package writertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecluse"
	"ecluse/internal/sluice/reader/readertest"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// kinds has a column of each of the engine's types, and rows with every sample
// of each and a null of each.
func kinds(h Harness) (readertest.Table, [][]any) {
	table := readertest.Table{Name: "kinds", Key: []string{"id"}, Columns: []readertest.Column{{Name: "id", Type: readertest.Int, NotNull: true}}}
	most := 0
	for i, k := range h.Kinds {
		table.Columns = append(table.Columns, readertest.Column{Name: fmt.Sprintf("c%d_%s", i, k.Kind), Type: k})
		most = max(most, len(readertest.Samples(k)))
	}
	rows := make([][]any, most+1)
	for r := range rows {
		rows[r] = []any{int64(r)}
		for _, k := range h.Kinds {
			samples := append(readertest.Samples(k), nil)
			rows[r] = append(rows[r], samples[r%len(samples)])
		}
	}
	return table, rows
}

func testKinds(t *testing.T, h Harness) {
	table, values := kinds(h)
	p := newPlace(t, h, table).allow(t, table)
	load(t, p.begin(t), &writer.Chunk{Slot: slot(0), Rows: len(values), Tables: []writer.Rows{p.rows(t, table, values, nil)}})
	sc, err := p.target.Snapshot(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer sc.Close()
	var names []string
	for _, c := range table.Columns {
		names = append(names, c.Name)
	}
	seen := 0
	err = sc.Scan(t.Context(), p.db.Name(table.Name), names, collector(func(b *record.Batch) {
		for i := range b.Rows() {
			seen++
			want := values[b.Columns[0].Int(i)]
			for c, col := range b.Columns {
				if col.Type() != table.Columns[c].Type || !readertest.Equal(t, col, i, want[c]) {
					t.Errorf("row %d, column %s (%s): got %.60q, want %.60v", i, names[c], col.Type(), strings.Split(readertest.Row(b, i), "|")[c], want[c])
				}
			}
		}
	}))
	if err != nil || seen != len(values) {
		t.Errorf("%d rows, %v; want %d", seen, err, len(values))
	}
}

func testExactlyOnce(t *testing.T, h Harness) {
	p := newPlace(t, h, keyed, keyless).allow(t, keyed, keyless)
	s := p.begin(t)
	chunk := func(n int) *writer.Chunk {
		return &writer.Chunk{
			Slot: slot(n), Reading: 5 - n, Rows: 3, Counters: map[string]int64{"analysis.id": int64(10 * n)},
			Tables: []writer.Rows{
				p.rows(t, keyed, numbers(10*n, 2), []int32{0, 2}),
				p.rows(t, keyless, [][]any{{"a", int64(n)}, {"a", int64(n)}, {nil, nil}}, []int32{0, 0, 2}),
			},
		}
	}
	// Not in the order of the slots: position is that of loading.
	var want []writer.Marker
	for position, n := range []int{1, 0, 2} {
		l := load(t, s, chunk(n))
		m := writer.Marker{
			Slot: slot(n), Reading: 5 - n, Position: position, Counters: map[string]int64{"analysis.id": int64(10 * n)},
			Rows: map[ecluse.TableName]int64{p.db.Name(keyed.Name): 2, p.db.Name(keyless.Name): 3},
		}
		want = append(want, m)
		if diff := cmp.Diff(m, l.Marker, ignoreAt, cmpopts.EquateEmpty()); diff != "" || l.Already || l.Marker.At.IsZero() {
			t.Errorf("chunk %d, already %t (-want +got):\n%s", n, l.Already, diff)
		}
	}
	content := p.content(t, keyless)
	s.Close()
	s = p.begin(t)
	l, err := s.Load(t.Context(), chunk(0), refuseNone(t))
	if err != nil || !l.Already {
		t.Errorf("again: already %t, %v", l.Already, err)
	}
	if diff := cmp.Diff(want[1], l.Marker, ignoreAt, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the stored marker (-want +got):\n%s", diff)
	}
	got, err := s.Markers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, ignoreAt, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("markers (-want +got):\n%s", diff)
	}
	wantContent(t, "rows loaded twice", p.content(t, keyless), content)
	// A slot of another version is another slot.
	next := chunk(3)
	next.Slot = ecluse.Slot{Dataset: "rows", Sequence: 0, Version: 1}
	if l := load(t, s, next); l.Already || l.Marker.Position != 3 {
		t.Errorf("version 1 of chunk 0: already %t, position %d", l.Already, l.Marker.Position)
	}
	// A chunk without rows has a marker too.
	empty := &writer.Chunk{Slot: slot(9)}
	load(t, s, empty)
	if l := load(t, s, empty); !l.Already {
		t.Error("an empty chunk leaves no marker")
	}
}

var ignoreAt = cmpopts.IgnoreFields(writer.Marker{}, "At")

func testOutsidePlan(t *testing.T, h Harness) {
	p := newPlace(t, h, keyed, keyless).allow(t, keyed)
	s := p.begin(t)
	wrong := keyed
	wrong.Columns = append(append([]readertest.Column{}, keyed.Columns...), readertest.Column{Name: "password", Type: readertest.Text})
	for _, c := range []struct {
		name string
		rows []writer.Rows
	}{
		{"a table outside the plan", []writer.Rows{p.rows(t, keyed, numbers(1, 1), nil), p.rows(t, keyless, [][]any{{"a", nil}}, nil)}},
		{"a column outside the plan", []writer.Rows{p.rows(t, wrong, [][]any{{int64(1), "a", nil, "b"}}, nil)}},
		{"source rows out of order", []writer.Rows{p.rows(t, keyed, numbers(1, 2), []int32{1, 0})}},
		{"source rows past the chunk", []writer.Rows{p.rows(t, keyed, numbers(1, 1), []int32{2})}},
		{"fewer source rows than rows", []writer.Rows{p.rows(t, keyed, numbers(1, 2), []int32{0})}},
	} {
		_, err := s.Load(t.Context(), &writer.Chunk{Slot: slot(0), Rows: 2, Tables: c.rows}, refuseNone(t))
		wantKind(t, err, ecluse.Invalid, c.name)
	}
	wantContent(t, "rows", p.content(t, keyed), nil)
	if n := p.db.Markers(t); n != 0 {
		t.Errorf("%d markers", n)
	}
}

// secret stands in every refused row: no reason may hold it.
const secret = "ZQX-SECRET"

func testRefused(t *testing.T, h Harness) {
	p := newPlace(t, h, keyed, keyless).allow(t, keyed, keyless)
	p.db.Insert(t, keyed, [][]any{{int64(700), secret, nil}})
	chunk := &writer.Chunk{
		Slot: slot(0), Rows: 8, Rejected: []int32{7},
		Tables: []writer.Rows{
			p.rows(t, keyed, [][]any{
				{int64(1), "one", nil},
				{int64(2), secret, nil},          // the code is there already
				{int64(3), "three", nil},         // with two rows of event
				{int64(4), nil, secret},          // no code
				{int64(700), secret + "5", nil},  // the id is there already
				{int64(6), "one", secret},        // the code of row 0
				{int64(61), secret + "61", "61"}, // of the same source row
			}, []int32{0, 1, 2, 3, 4, 6, 6}),
			p.rows(t, keyless, [][]any{
				{"of 0", int64(0)}, {secret + "of 1", int64(1)}, {"of 2", int64(2)}, {"also of 2", int64(2)}, {"of 5 alone", int64(5)}, {"of 6", int64(6)},
			}, []int32{0, 1, 2, 2, 5, 6}),
		},
	}
	s := p.begin(t)
	called := 0
	l, err := s.Load(t.Context(), chunk, func(_ context.Context, refused []writer.Refusal) error {
		called++
		checkRefusals(t, refused, 1, 3, 4, 6)
		return nil
	})
	if err != nil || called != 1 {
		t.Fatalf("beforeCommit was called %d times, %v", called, err)
	}
	checkRefusals(t, l.Refused, 1, 3, 4, 6)
	want := writer.Marker{
		Slot: slot(0), Refused: []int32{1, 3, 4, 6, 7},
		Rows: map[ecluse.TableName]int64{p.db.Name(keyed.Name): 2, p.db.Name(keyless.Name): 4},
	}
	if diff := cmp.Diff(want, l.Marker, ignoreAt, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("marker (-want +got):\n%s", diff)
	}
	wantContent(t, "analysis", p.content(t, keyed), texts(t, keyed, [][]any{{int64(1), "one", nil}, {int64(3), "three", nil}, {int64(700), secret, nil}}))
	wantContent(t, "event", p.content(t, keyless), texts(t, keyless, [][]any{{"of 0", int64(0)}, {"of 2", int64(2)}, {"also of 2", int64(2)}, {"of 5 alone", int64(5)}}))
	again, err := s.Load(t.Context(), chunk, refuseNone(t))
	if err != nil || !again.Already || !cmp.Equal(again.Marker.Refused, want.Refused) {
		t.Errorf("again: already %t, refused %v, %v", again.Already, again.Marker.Refused, err)
	}
}

// checkRefusals compares the refused source rows and looks at the reasons.
func checkRefusals(t testing.TB, got []writer.Refusal, want ...int32) {
	t.Helper()
	rows := []int32{}
	for _, r := range got {
		rows = append(rows, r.Row)
		if strings.Contains(r.Reason, "ZQX") || r.Reason == "" {
			t.Errorf("row %d: the reason %q holds a value, or nothing", r.Row, r.Reason)
		}
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("refused source rows (-want +got):\n%s", diff)
	}
}

func testRefusedInMany(t *testing.T, h Harness) {
	const rows = 20_000
	p := newPlace(t, h, keyed, keyless).allow(t, keyed, keyless)
	p.db.Insert(t, keyed, numbers(1_000_000, 30))
	values, events := numbers(0, rows), make([][]any, rows)
	var bad []int32
	for i := range rows {
		events[i] = []any{"of", int64(i)}
		if i%1313 == 7 {
			values[i][1] = fmt.Sprintf("code %d", 1_000_000+len(bad))
			bad = append(bad, int32(i))
		}
	}
	l, err := p.begin(t).Load(t.Context(), &writer.Chunk{Slot: slot(0), Rows: rows, Tables: []writer.Rows{p.rows(t, keyed, values, nil), p.rows(t, keyless, events, nil)}},
		func(context.Context, []writer.Refusal) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	checkRefusals(t, l.Refused, bad...)
	if n := len(p.content(t, keyless)); n != rows-len(bad) {
		t.Errorf("%d rows of event, want %d", n, rows-len(bad))
	}
	if n := len(p.content(t, keyed)); n != rows-len(bad)+30 {
		t.Errorf("%d rows of analysis, want %d", n, rows-len(bad)+30)
	}
}

func testBeforeCommit(t *testing.T, h Harness) {
	p := newPlace(t, h, keyed, keyless).allow(t, keyed, keyless)
	s := p.begin(t)
	stop := errors.New("the rejects could not be put")
	chunk := &writer.Chunk{
		Slot: slot(0), Rows: 3, Tables: []writer.Rows{p.rows(t, keyed, [][]any{{int64(1), "a", nil}, {int64(2), "a", nil}}, nil), p.rows(t, keyless, [][]any{{"x", nil}}, nil)},
	}
	_, err := s.Load(t.Context(), chunk, func(context.Context, []writer.Refusal) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("got %v, want the caller's own error", err)
	}
	// A chunk of which only the mapping put rows aside.
	rejects := &writer.Chunk{Slot: slot(1), Rows: 2, Rejected: []int32{1}, Tables: []writer.Rows{p.rows(t, keyless, [][]any{{"y", nil}}, nil)}}
	_, err = s.Load(t.Context(), rejects, func(_ context.Context, refused []writer.Refusal) error {
		if len(refused) != 0 {
			t.Errorf("the database refused %v", refused)
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Errorf("got %v, want the caller's own error", err)
	}
	wantContent(t, "analysis", p.content(t, keyed), nil)
	wantContent(t, "event", p.content(t, keyless), nil)
	if n := p.db.Markers(t); n != 0 {
		t.Errorf("%d markers", n)
	}
	for _, c := range []*writer.Chunk{chunk, rejects} {
		l, err := s.Load(t.Context(), c, func(context.Context, []writer.Refusal) error { return nil })
		if err != nil || l.Already || !cmp.Equal(l.Marker.Refused, []int32{1}) {
			t.Errorf("chunk %s afterwards: already %t, refused %v, %v", c.Slot, l.Already, l.Marker.Refused, err)
		}
	}
}

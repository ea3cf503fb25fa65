package writertest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecluse"
	"ecluse/internal/sluice/writer"
)

// testReviseRefused: what the database refuses of what comes is put aside, by chunk, and
// what only the rows that go were in the way of is not.
func testReviseRefused(t *testing.T, h Harness) {
	p := four(t, h)
	s := p.begin(t)
	first, second := loaded(t, p, s)
	before := p.state(t, s)
	come := &writer.Chunk{Slot: slot(2), Rows: 6, Rejected: []int32{5}, Tables: []writer.Rows{
		p.rows(t, patient, [][]any{row(3, 1), row(8, 99)}, []int32{0, 4}), // request 12 refers to 3
		p.rows(t, request, nil, nil),
		p.rows(t, keyed, [][]any{
			{int64(1), "code 2", "kept"},   // that of 2, which is put aside
			{int64(2), secret, nil},        // the code is there already
			{int64(3), nil, secret},        // no code
			{int64(5), "code 3", nil},      // that of 3, which is put aside
			{int64(44), "code 11", secret}, // with a patient whose mother is nobody
		}, []int32{0, 1, 2, 3, 4}),
		p.rows(t, keyless, [][]any{{secret, nil}, {"of 3", int64(5)}}, []int32{1, 3}),
	}}
	last := &writer.Chunk{Slot: slot(3), Rows: 3, Tables: []writer.Rows{
		p.rows(t, request, [][]any{row(11, 98), row(14, 3)}, []int32{0, 2}),                                     // of nobody
		p.rows(t, keyed, [][]any{{int64(1), secret + "0", secret}, {int64(11), "code 12", nil}}, []int32{1, 2}), // an id twice; a code that stays
	}}
	r := &writer.Revision{Gone: []writer.Part{goes(second, 0), goes(first, 0, 1, 2, 4)}, Come: []*writer.Chunk{come, last}}
	for i := range r.Gone { // but for the patients, of which 3 alone
		for n, rows := range r.Gone[i].Tables {
			if rows.Table == p.db.Name(patient.Name) {
				r.Gone[i].Tables[n] = some(rows, func(source int32) bool { return source == 2 })
			}
			if rows.Table == p.db.Name(request.Name) && rows.Source[0] == 0 && i == 1 {
				r.Gone[i].Tables[n] = some(rows, func(int32) bool { return false })
			}
		}
	}
	check := func(refused [][]writer.Refusal) {
		t.Helper()
		if len(refused) != 2 {
			t.Fatalf("refused of %d chunks", len(refused))
		}
		checkRefusals(t, refused[0], 1, 2, 4)
		checkRefusals(t, refused[1], 0, 1, 2)
	}
	stop := errors.New("the rejects could not be put")
	_, err := s.Revise(t.Context(), r, func(_ context.Context, out *writer.Revised) error { check(out.Refused); return stop })
	if !errors.Is(err, stop) {
		t.Errorf("got %v, want the caller's own error", err)
	}
	if diff := cmp.Diff(before, p.state(t, s)); diff != "" {
		t.Errorf("after the caller's error (-before +after):\n%s", diff)
	}
	called := 0
	out, err := s.Revise(t.Context(), r, func(_ context.Context, out *writer.Revised) error { called++; check(out.Refused); return nil })
	if err != nil || called != 1 {
		t.Fatalf("beforeCommit was called %d times, %v", called, err)
	}
	check(out.Refused)
	m := out.Markers[2:]
	if diff := cmp.Diff([][]int32{{1, 2, 4, 5}, {0, 1, 2}}, [][]int32{m[0].Refused, m[1].Refused}); diff != "" {
		t.Errorf("refused, in the markers (-want +got):\n%s", diff)
	}
	wantContent(t, "patient", p.content(t, patient), texts(t, patient, [][]any{row(900, nil), row(1, 3), row(2, 1), row(3, 1), row(4, 2), row(5, nil)}))
	wantContent(t, "request", p.content(t, request), texts(t, request, [][]any{row(1, 3), row(2, 4), row(12, 3), row(13, 5)}))
	wantContent(t, "analysis", p.content(t, keyed), texts(t, keyed, [][]any{
		{int64(700), secret, nil}, {int64(1), "code 2", "kept"}, {int64(4), "code 4", "note 4"}, {int64(5), "code 3", nil}, {int64(12), "code 12", "note 12"}, {int64(13), "code 13", "note 13"},
	}))
	wantContent(t, "event", p.content(t, keyless), texts(t, keyless, [][]any{{"twice", int64(1)}, {"theirs", nil}, {"goes", nil}, {"of 3", int64(5)}}))
	markers, err := s.Markers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(out.Markers, func(a, b writer.Marker) int { return a.Position - b.Position })
	if diff := cmp.Diff(markers, out.Markers, ignoreAt, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("markers (-stored +returned):\n%s", diff)
	}
}

// testReviseAgain: what the database refused is offered again with what comes, and what
// comes may want it; what is refused once more stays aside.
func testReviseAgain(t *testing.T, h Harness) {
	p := four(t, h)
	s := p.begin(t)
	before := p.state(t, s)
	first := &writer.Chunk{Slot: slot(0), Rows: 6, Rejected: []int32{5}, Counters: map[string]int64{"analysis.id": 5}, Tables: []writer.Rows{
		p.rows(t, patient, [][]any{row(1, nil), row(2, 50), row(3, 60), row(4, 99)}, nil), // 50 comes, 60 wants one who wants 3
		p.rows(t, request, [][]any{row(1, 1), row(2, 2), row(3, 50)}, []int32{0, 1, 4}),
		p.rows(t, keyed, [][]any{{int64(1), "goes", nil}, {int64(2), secret, nil}, {int64(5), "code 5", nil}}, []int32{0, 3, 4}),
		p.rows(t, keyless, [][]any{{"twice", int64(1)}, {"twice", int64(1)}, {"comes", nil}}, []int32{0, 3, 4}),
	}}
	second := &writer.Chunk{Slot: slot(1), Rows: 2, Tables: []writer.Rows{
		p.rows(t, request, [][]any{row(11, 2), row(12, 98)}, nil), p.rows(t, keyed, [][]any{{int64(11), "goes", nil}}, []int32{1}),
	}}
	for _, c := range []*writer.Chunk{first, second} {
		l, err := s.Load(t.Context(), c, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c == first {
			checkRefusals(t, l.Refused, 1, 2, 3, 4)
		} else {
			checkRefusals(t, l.Refused, 0, 1)
		}
	}
	loaded := p.state(t, s)
	come := &writer.Chunk{Slot: slot(2), Reading: 1, Rows: 2, Tables: []writer.Rows{p.rows(t, patient, [][]any{row(50, nil), row(60, 3)}, nil)}}
	r := &writer.Revision{Gone: []writer.Part{goes(first, 0)}, Come: []*writer.Chunk{come}, Again: []writer.Part{goes(first, 1, 2, 3, 4), goes(second, 0, 1)}}
	check := func(out *writer.Revised) {
		t.Helper()
		if len(out.Refused[0]) > 0 {
			t.Errorf("of what comes are refused: %v", out.Refused[0])
		}
		checkRefusals(t, out.Again[0], 3)
		checkRefusals(t, out.Again[1], 1)
	}
	stop := errors.New("the rejects could not be put")
	if _, err := s.Revise(t.Context(), r, func(_ context.Context, out *writer.Revised) error { check(out); return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the caller's own error", err)
	}
	if diff := cmp.Diff(loaded, p.state(t, s)); diff != "" {
		t.Errorf("after the caller's error (-before +after):\n%s", diff)
	}
	out, err := s.Revise(t.Context(), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	check(out)
	revised := p.state(t, s)
	wantContent(t, "patient", revised.Rows[0], texts(t, patient, [][]any{row(900, nil), row(2, 50), row(3, 60), row(50, nil), row(60, 3)}))
	wantContent(t, "request", revised.Rows[1], texts(t, request, [][]any{row(2, 2), row(3, 50), row(11, 2)}))
	wantContent(t, "analysis", revised.Rows[2], texts(t, keyed, [][]any{{int64(700), secret, nil}, {int64(5), "code 5", nil}}))
	wantContent(t, "event", revised.Rows[3], texts(t, keyless, [][]any{{"twice", int64(1)}, {"theirs", nil}, {"comes", nil}}))
	slices.SortFunc(out.Markers, func(a, b writer.Marker) int { return a.Position - b.Position })
	if diff := cmp.Diff(revised.Markers, out.Markers, ignoreAt, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("markers (-stored +returned):\n%s", diff)
	}
	if diff := cmp.Diff([][]int32{{0, 3, 5}, {1}, {}}, [][]int32{out.Markers[0].Refused, out.Markers[1].Refused, out.Markers[2].Refused}, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("not in, by the markers (-want +got):\n%s", diff)
	}
	if again, err := s.Revise(t.Context(), r, nil); err != nil || !again.Already {
		t.Errorf("again: %+v, %v", again, err)
	}
	_, err = s.Revise(t.Context(), &writer.Revision{Come: []*writer.Chunk{{Slot: slot(3), Rows: 1}}, Again: []writer.Part{goes(first, 1)}}, nil)
	wantKind(t, err, ecluse.Invalid, "what is in, offered again")
	// What came in this way goes like the rest.
	revise(t, s, &writer.Revision{Gone: []writer.Part{goes(second, 0), goes(first, 4)}, Come: []*writer.Chunk{{Slot: slot(3), Reading: 2}}})
	wantContent(t, "request", p.content(t, request), texts(t, request, [][]any{row(2, 2)}))
	takeAllOut(t, s, first, second, come, &writer.Chunk{Slot: slot(3)})
	if diff := cmp.Diff(before, p.state(t, s), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("after undoing (-before +after):\n%s", diff)
	}
}

// testReviseWrong: what is no revision, and of what is not in.
func testReviseWrong(t *testing.T, h Harness) {
	p := four(t, h)
	s := p.begin(t)
	first, second := loaded(t, p, s)
	before := p.state(t, s)
	come := func(n int) []*writer.Chunk { return []*writer.Chunk{{Slot: slot(n), Rows: 1}} }
	foreign, past := goes(first, 1), goes(first, 1)
	foreign.Sources = []int32{2}
	past.Rows = 1
	backwards := goes(first, 1, 0)
	rejected := goes(second)
	collision := &writer.Chunk{Slot: slot(7), Rows: 1, Tables: []writer.Rows{p.rows(t, keyed, [][]any{{int64(700), "x", nil}}, nil)}}
	for name, r := range map[string]writer.Revision{
		"nothing comes":                   {Gone: []writer.Part{goes(first, 0)}},
		"a chunk goes twice":              {Gone: []writer.Part{goes(first, 0), goes(first, 1)}, Come: come(2)},
		"a chunk comes twice":             {Come: append(come(2), come(2)...)},
		"a chunk goes and comes":          {Gone: []writer.Part{rejected}, Come: come(1)},
		"rows of a source row that stays": {Gone: []writer.Part{foreign}, Come: come(2)},
		"source rows past the chunk":      {Gone: []writer.Part{past}, Come: come(2)},
		"source rows out of order":        {Gone: []writer.Part{backwards}, Come: come(2)},
	} {
		_, err := s.Revise(t.Context(), &r, nil)
		wantKind(t, err, ecluse.Invalid, name)
	}
	_, err := s.Revise(t.Context(), &writer.Revision{Gone: []writer.Part{goes(collision)}, Come: come(2)}, nil)
	wantKind(t, err, ecluse.Refused, "a chunk that is not in")
	_, err = s.Revise(t.Context(), &writer.Revision{Come: append(come(1), come(2)...)}, nil)
	wantKind(t, err, ecluse.Differs, "a part that is in")
	if diff := cmp.Diff(before, p.state(t, s)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	if _, err := s.Load(t.Context(), collision, func(context.Context, []writer.Refusal) error { return nil }); err != nil {
		t.Fatal(err)
	}
	_, err = s.Revise(t.Context(), &writer.Revision{Gone: []writer.Part{goes(collision, 0)}, Come: come(2)}, nil)
	wantKind(t, err, ecluse.Invalid, "rows that never came in")
	wantContent(t, "analysis", p.content(t, keyed), before.Rows[2])
}

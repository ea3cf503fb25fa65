package writertest

import (
	"context"
	"slices"
	"testing"

	"ecluse"
	"ecluse/internal/sluice/reader/readertest"
	"ecluse/internal/sluice/writer"
)

// Two tables that lean on each other, and one on itself.
var (
	patient = readertest.Table{
		Name: "patient", Key: []string{"id"}, ForeignKeys: []readertest.ForeignKey{{Columns: []string{"mother_id"}, Table: "patient"}},
		Columns: []readertest.Column{{Name: "id", Type: readertest.Int, NotNull: true}, {Name: "mother_id", Type: readertest.Int}},
	}
	request = readertest.Table{
		Name: "request", Key: []string{"id"}, ForeignKeys: []readertest.ForeignKey{{Columns: []string{"patient_id"}, Table: "patient"}},
		Columns: []readertest.Column{{Name: "id", Type: readertest.Int, NotNull: true}, {Name: "patient_id", Type: readertest.Int}},
	}
)

func row(id int64, refers any) []any {
	if n, ok := refers.(int); ok {
		return []any{id, int64(n)}
	}
	return []any{id, nil}
}

func testForeignKeys(t *testing.T, h Harness) {
	p := newPlace(t, h, patient, request).allow(t, patient, request)
	s := p.begin(t)
	// Within a chunk a row may come before the one it refers to.
	people := [][]any{row(1, 5), row(2, 2), row(3, nil), row(4, 3), row(5, nil)}
	load(t, s, &writer.Chunk{Slot: slot(0), Rows: 5, Tables: []writer.Rows{p.rows(t, patient, people, nil), p.rows(t, request, [][]any{row(1, 5), row(2, nil)}, nil)}})
	// And refer to what came in an earlier chunk.
	load(t, s, &writer.Chunk{Slot: slot(1), Rows: 1, Tables: []writer.Rows{p.rows(t, request, [][]any{row(3, 4)}, nil)}})
	wantContent(t, "patient", p.content(t, patient), texts(t, patient, people))
	wantContent(t, "request", p.content(t, request), texts(t, request, [][]any{row(1, 5), row(2, nil), row(3, 4)}))
}

func testOrphans(t *testing.T, h Harness) {
	p := newPlace(t, h, patient, request).allow(t, patient, request)
	s := p.begin(t)
	// Source row 1 refers to nobody; 3 to row 1's patient, 4 to row 3's; 5's
	// request to nobody. Source row 6 stands on its own.
	l, err := s.Load(t.Context(), &writer.Chunk{
		Slot: slot(0), Rows: 7,
		Tables: []writer.Rows{
			p.rows(t, patient, [][]any{row(10, nil), row(11, 99), row(12, 10), row(13, 11), row(14, 13), row(15, nil), row(16, 16)}, nil),
			p.rows(t, request, [][]any{row(20, 10), row(21, 10), row(25, 77)}, []int32{0, 1, 5}),
		},
	}, func(context.Context, []writer.Refusal) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	checkRefusals(t, l.Refused, 1, 3, 4, 5)
	wantContent(t, "patient", p.content(t, patient), texts(t, patient, [][]any{row(10, nil), row(12, 10), row(16, 16)}))
	wantContent(t, "request", p.content(t, request), texts(t, request, [][]any{row(20, 10)}))
}

func testUnload(t *testing.T, h Harness) {
	p := newPlace(t, h, patient, request, keyed).allow(t, patient, request, keyed)
	p.db.Insert(t, patient, [][]any{row(900, nil)})
	p.db.Insert(t, request, [][]any{row(900, 900)})
	p.db.Insert(t, keyed, numbers(900, 2))
	before := [][]string{p.content(t, patient), p.content(t, request), p.content(t, keyed)}
	s := p.begin(t)
	chunks := []*writer.Chunk{
		{Slot: slot(0), Rows: 4, Tables: []writer.Rows{
			p.rows(t, patient, [][]any{row(1, 3), row(2, 1), row(3, 900), row(4, 4)}, nil),
			p.rows(t, request, [][]any{row(1, 3), row(2, 900)}, nil),
			p.rows(t, keyed, numbers(1, 4), nil),
		}},
		{Slot: slot(1), Rows: 1, Tables: []writer.Rows{p.rows(t, request, [][]any{row(5, 2)}, nil)}},
	}
	for _, c := range chunks {
		load(t, s, c)
	}
	s.Close()
	s = p.begin(t)
	for i := len(chunks) - 1; i >= 0; i-- {
		gone, err := s.Unload(t.Context(), chunks[i], writer.Unloading{})
		if err != nil {
			t.Fatalf("chunk %d: %v", i, err)
		}
		for _, rows := range chunks[i].Tables {
			if gone.Deleted[rows.Table] != int64(len(rows.Source)) {
				t.Errorf("chunk %d: %d rows of %s deleted, want %d", i, gone.Deleted[rows.Table], rows.Table, len(rows.Source))
			}
		}
	}
	for i, table := range []readertest.Table{patient, request, keyed} {
		wantContent(t, table.Name+" as before", p.content(t, table), before[i])
	}
	if n := p.db.Markers(t); n != 0 {
		t.Errorf("%d markers are left", n)
	}
	// What was taken out can be loaded again.
	if l := load(t, s, chunks[0]); l.Already {
		t.Error("a chunk that was taken out counts as loaded")
	}
}

func testUnloadWithoutKey(t *testing.T, h Harness) {
	p := newPlace(t, h, keyless).allow(t, keyless)
	theirs := [][]any{{"twice", int64(1)}, {"twice", int64(1)}, {nil, nil}, {"only theirs", nil}}
	p.db.Insert(t, keyless, theirs)
	before := p.content(t, keyless)
	chunk := &writer.Chunk{Slot: slot(0), Rows: 6, Tables: []writer.Rows{p.rows(t, keyless, [][]any{
		{"twice", int64(1)}, {nil, nil}, {"twice", int64(1)}, {"twice", nil}, {"TWICE", int64(1)}, {nil, nil},
	}, nil)}}
	s := p.begin(t)
	load(t, s, chunk)
	if n := len(p.content(t, keyless)); n != 10 {
		t.Fatalf("%d rows, want 10", n)
	}
	// Somebody works in the target, and writes the same as we did.
	later := [][]any{{"twice", int64(1)}, {"twice", int64(1)}, {"later", nil}}
	p.db.Insert(t, keyless, later)
	before = append(before, texts(t, keyless, later)...)
	slices.Sort(before)
	gone, err := s.Unload(t.Context(), chunk, writer.Unloading{})
	if err != nil || gone.Deleted[p.db.Name(keyless.Name)] != 6 {
		t.Errorf("deleted %v, %v; want 6 rows", gone, err)
	}
	wantContent(t, "event as before", p.content(t, keyless), before)
	load(t, s, chunk)
}

func testUnloadRefused(t *testing.T, h Harness) {
	p := newPlace(t, h, patient, request, keyed).allow(t, patient, keyed)
	p.db.Insert(t, keyed, [][]any{{int64(7), "theirs", nil}})
	s := p.begin(t)
	chunk := &writer.Chunk{Slot: slot(0), Rows: 2, Tables: []writer.Rows{p.rows(t, patient, [][]any{row(1, nil), row(2, 1)}, nil)}}
	_, err := s.Unload(t.Context(), chunk, writer.Unloading{})
	wantKind(t, err, ecluse.Refused, "unloading a chunk that is not in")
	load(t, s, chunk)
	// Somebody works in the target: a request of a patient that came with the chunk.
	p.db.Insert(t, request, [][]any{row(1, 2)})
	_, err = s.Unload(t.Context(), chunk, writer.Unloading{})
	if err == nil {
		t.Error("rows went although another row refers to them")
	}
	wantContent(t, "patient", p.content(t, patient), texts(t, patient, [][]any{row(1, nil), row(2, 1)}))
	wantContent(t, "request", p.content(t, request), texts(t, request, [][]any{row(1, 2)}))
	// A source row that was refused is not taken out by the key it collided with.
	collision := &writer.Chunk{Slot: slot(1), Rows: 1, Tables: []writer.Rows{p.rows(t, keyed, [][]any{{int64(7), "ours", nil}}, nil)}}
	if _, err := s.Load(t.Context(), collision, func(context.Context, []writer.Refusal) error { return nil }); err != nil {
		t.Fatal(err)
	}
	_, err = s.Unload(t.Context(), collision, writer.Unloading{})
	wantKind(t, err, ecluse.Invalid, "unloading a source row that never came in")
	wantContent(t, "analysis", p.content(t, keyed), []string{"7|theirs|∅"})
	if n := p.db.Markers(t); n != 2 {
		t.Errorf("%d markers, want both", n)
	}
}

func testSequences(t *testing.T, h Harness) {
	table := readertest.Table{
		Name: "sample", Key: []string{"id"},
		Columns: []readertest.Column{{Name: "id", Type: readertest.Int, NotNull: true, Generated: true}, {Name: "label", Type: readertest.Text}},
	}
	p := newPlace(t, h, table)
	shape := p.shape(table)
	move := []ecluse.ShapeSequence{{Sequence: p.db.Sequence("sample"), Table: p.db.Name("sample"), Column: "id"}}
	shape.Sequences = move
	p.allowShape(t, shape)
	s := p.begin(t)
	if err := s.MoveSequences(t.Context(), move); err != nil {
		t.Fatalf("on an empty table: %v", err)
	}
	load(t, s, &writer.Chunk{Slot: slot(0), Rows: 2, Tables: []writer.Rows{p.rows(t, table, [][]any{{int64(41), "a"}, {int64(500), "b"}}, nil)}})
	for range 2 {
		if err := s.MoveSequences(t.Context(), move); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.db.Generate(t, table, []any{"theirs"}); got != 501 {
		t.Errorf("the next number is %d, want 501", got)
	}
	for range 3 {
		p.db.Generate(t, table, []any{"theirs"})
	}
	if err := s.MoveSequences(t.Context(), move); err != nil {
		t.Fatal(err)
	}
	if got := p.db.Generate(t, table, []any{"theirs"}); got != 505 {
		t.Errorf("the next number is %d, want 505", got)
	}
	// Numbers that were given once are not given again, even to rows taken out.
	gone := &writer.Chunk{Slot: slot(1), Rows: 1, Tables: []writer.Rows{p.rows(t, table, [][]any{{int64(1000), "c"}}, nil)}}
	load(t, s, gone)
	if err := s.MoveSequences(t.Context(), move); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Unload(t.Context(), gone, writer.Unloading{}); err != nil {
		t.Fatal(err)
	}
	if err := s.MoveSequences(t.Context(), move); err != nil {
		t.Fatal(err)
	}
	if got := p.db.Generate(t, table, []any{"theirs"}); got != 1001 {
		t.Errorf("the next number is %d, want 1001: never backwards", got)
	}
}

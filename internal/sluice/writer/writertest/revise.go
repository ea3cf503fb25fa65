package writertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecluse"
	"ecluse/internal/sluice/reader/readertest"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// revise makes a revision of which nothing is refused.
func revise(t testing.TB, s writer.Session, r *writer.Revision) *writer.Revised {
	t.Helper()
	out, err := s.Revise(t.Context(), r, func(_ context.Context, out *writer.Revised) error {
		for i, rows := range out.Refused {
			if len(rows) > 0 {
				t.Errorf("of chunk %s are refused: %v", r.Come[i].Slot, rows)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("revise: %v", err)
	}
	return out
}

// goes withdraws source rows of a chunk.
func goes(c *writer.Chunk, sources ...int32) writer.Part {
	w := writer.Part{Slot: c.Slot, Rows: c.Rows, Sources: sources}
	for _, rows := range c.Tables {
		w.Tables = append(w.Tables, some(rows, func(source int32) bool { return slices.Contains(sources, source) }))
	}
	return w
}

// stays is a chunk without the source rows that its marker says are not in.
func stays(c *writer.Chunk, refused []int32) *writer.Chunk {
	out := *c
	out.Tables = nil
	for _, rows := range c.Tables {
		out.Tables = append(out.Tables, some(rows, func(source int32) bool { return !slices.Contains(refused, source) }))
	}
	return &out
}

func some(rows writer.Rows, want func(source int32) bool) writer.Rows {
	out := writer.Rows{Table: rows.Table, Batch: record.NewBatch(rows.Batch.Schema, 0)}
	for i, source := range rows.Source {
		if !want(source) {
			continue
		}
		for c, col := range out.Batch.Columns {
			col.AppendFrom(rows.Batch.Columns[c], i)
		}
		out.Source = append(out.Source, source)
	}
	return out
}

// ignoreNone takes no row of a table and no entry for one.
var ignoreNone = cmpopts.IgnoreMapEntries(func(_ ecluse.TableName, n int64) bool { return n == 0 })

// state is what the four tables hold, and the markers.
type state struct {
	Rows    [][]string
	Markers []writer.Marker
}

func (p *place) state(t testing.TB, s writer.Session) (all state) {
	t.Helper()
	for _, table := range tables {
		all.Rows = append(all.Rows, p.content(t, table))
	}
	var err error
	if all.Markers, err = s.Markers(t.Context()); err != nil {
		t.Fatal(err)
	}
	return all
}

// tables are those that four makes.
var tables = []readertest.Table{patient, request, keyed, keyless}

// four is a place with all four tables, and rows of others in each.
func four(t *testing.T, h Harness) *place {
	p := newPlace(t, h, tables...).allow(t, tables...)
	p.db.Insert(t, patient, [][]any{row(900, nil)})
	p.db.Insert(t, keyed, [][]any{{int64(700), secret, nil}})
	p.db.Insert(t, keyless, [][]any{{"twice", int64(1)}, {"theirs", nil}})
	return p
}

// loaded is two chunks; the requests of the second refer to patients of the first.
func loaded(t testing.TB, p *place, s writer.Session) (first, second *writer.Chunk) {
	first = &writer.Chunk{
		Slot: slot(0), Rows: 6, Rejected: []int32{5}, Counters: map[string]int64{"analysis.id": 4},
		Tables: []writer.Rows{
			p.rows(t, patient, [][]any{row(1, 3), row(2, 1), row(3, nil), row(4, 2), row(5, nil)}, nil),
			p.rows(t, request, [][]any{row(1, 3), row(2, 4)}, nil),
			p.rows(t, keyed, numbers(1, 5), nil),
			p.rows(t, keyless, [][]any{{"twice", int64(1)}, {"twice", int64(1)}, {"goes", nil}, {"twice", int64(1)}}, []int32{0, 0, 3, 4}),
		},
	}
	second = &writer.Chunk{Slot: slot(1), Rows: 3, Tables: []writer.Rows{
		p.rows(t, request, [][]any{row(11, 1), row(12, 3), row(13, 5)}, nil), p.rows(t, keyed, numbers(11, 3), nil), p.rows(t, keyless, [][]any{{"twice", int64(1)}}, nil),
	}}
	load(t, s, first)
	load(t, s, second)
	return first, second
}

// testRevise: rows of two chunks go, change and come. Patient 4 goes, request 2 that
// named it names another; patient 1, whose mother and request stay, changes; request 13
// moves from patient 5, which goes; two rows of two chunks change their codes with each
// other; of a table without a key one of equal rows goes.
func testRevise(t *testing.T, h Harness) {
	p := four(t, h)
	s := p.begin(t)
	before := p.state(t, s)
	first, second := loaded(t, p, s)
	come := &writer.Chunk{Slot: ecluse.Slot{Dataset: "rows", Sequence: 2}, Reading: 1, Rows: 7, Rejected: []int32{6}, Tables: []writer.Rows{
		p.rows(t, patient, [][]any{row(1, 6), row(2, nil), row(6, 3)}, []int32{0, 1, 5}),
		p.rows(t, request, [][]any{row(2, 6), row(13, 1), row(3, 900)}, []int32{1, 4, 5}),
		p.rows(t, keyed, [][]any{{int64(1), "code 11", "note 1"}, {int64(2), "code 2", nil}, {int64(11), "code 1", nil}, {int64(13), "code 4", "x"}}, []int32{0, 1, 2, 4}),
		p.rows(t, keyless, [][]any{{"comes", nil}}, []int32{0}),
	}}
	last := &writer.Chunk{Slot: ecluse.Slot{Dataset: "rows", Sequence: 3}, Reading: 1, Rows: 1, Tables: []writer.Rows{p.rows(t, request, [][]any{row(11, 1)}, nil)}}
	r := &writer.Revision{Gone: []writer.Part{goes(second, 0, 2), goes(first, 0, 1, 3, 4, 5)}, Come: []*writer.Chunk{come, last}}
	r.Gone[1].Tables = append(r.Gone[1].Tables[:3:3], some(first.Tables[3], func(source int32) bool { return source == 0 || source == 3 || source == 4 }))
	out := revise(t, s, r)
	rows := func(a, b, c, d int64) map[ecluse.TableName]int64 {
		return map[ecluse.TableName]int64{p.db.Name(patient.Name): a, p.db.Name(request.Name): b, p.db.Name(keyed.Name): c, p.db.Name(keyless.Name): d}
	}
	want := []writer.Marker{
		{Slot: slot(1), Position: 1, Refused: []int32{0, 2}, Rows: rows(0, 1, 1, 0)},
		{Slot: slot(0), Position: 0, Refused: []int32{0, 1, 3, 4, 5}, Counters: first.Counters, Rows: rows(1, 0, 1, 0)},
		{Slot: come.Slot, Reading: 1, Position: 2, Refused: []int32{6}, Rows: rows(3, 3, 4, 1)},
		{Slot: last.Slot, Reading: 1, Position: 3, Rows: rows(0, 1, 0, 0)},
	}
	if diff := cmp.Diff(want, out.Markers, ignoreAt, cmpopts.EquateEmpty(), ignoreNone); diff != "" || out.Already {
		t.Errorf("already %t, markers (-want +got):\n%s", out.Already, diff)
	}
	revised := p.state(t, s)
	wantContent(t, "patient", revised.Rows[0], texts(t, patient, [][]any{row(900, nil), row(1, 6), row(2, nil), row(3, nil), row(6, 3)}))
	wantContent(t, "request", revised.Rows[1], texts(t, request, [][]any{row(2, 6), row(3, 900), row(11, 1), row(12, 3), row(13, 1)}))
	wantContent(t, "analysis", revised.Rows[2], texts(t, keyed, [][]any{
		{int64(700), secret, nil},
		{int64(1), "code 11", "note 1"},
		{int64(2), "code 2", nil},
		{int64(3), "code 3", "note 3"},
		{int64(11), "code 1", nil},
		{int64(12), "code 12", "note 12"},
		{int64(13), "code 4", "x"},
	}))
	wantContent(t, "event", revised.Rows[3], texts(t, keyless, [][]any{{"twice", int64(1)}, {"theirs", nil}, {"comes", nil}}))
	s.Close()

	// Done twice, in another session.
	s = p.begin(t)
	again := revise(t, s, r)
	if diff := cmp.Diff(out.Markers, again.Markers, ignoreAt, cmpopts.EquateEmpty()); diff != "" || !again.Already {
		t.Errorf("again: already %t (-first +second):\n%s", again.Already, diff)
	}
	if diff := cmp.Diff(revised, p.state(t, s)); diff != "" {
		t.Errorf("revised twice (-once +twice):\n%s", diff)
	}
	// A later reading changes what this one brought; what was put aside before has no rows.
	third := &writer.Chunk{Slot: slot(4), Reading: 2, Rows: 2, Tables: []writer.Rows{p.rows(t, patient, [][]any{row(1, nil), row(7, nil)}, nil)}}
	revise(t, s, &writer.Revision{Gone: []writer.Part{goes(last), goes(come, 0, 6)}, Come: []*writer.Chunk{third}})
	wantContent(t, "patient", p.content(t, patient), texts(t, patient, [][]any{row(900, nil), row(1, nil), row(2, nil), row(3, nil), row(6, 3), row(7, nil)}))
	// One without rows leaves a marker, too.
	nothing := &writer.Revision{Come: []*writer.Chunk{{Slot: slot(5), Reading: 3}}}
	if out := revise(t, s, nothing); out.Already || len(out.Markers) != 1 || out.Markers[0].Reading != 3 || out.Markers[0].Position != 5 {
		t.Errorf("nothing changed: %+v", out)
	}
	if out := revise(t, s, nothing); !out.Already {
		t.Error("a revision without rows leaves no trace")
	}
	takeAllOut(t, s, first, second, come, last, third, nothing.Come[0])
	if diff := cmp.Diff(before, p.state(t, s), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("after undoing (-before +after):\n%s", diff)
	}
}

// testReviseAltered: what people changed or took out is not taken out, and then nothing is.
func testReviseAltered(t *testing.T, h Harness) {
	p := four(t, h)
	s := p.begin(t)
	first, second := loaded(t, p, s)
	r := &writer.Revision{
		Gone: []writer.Part{goes(second, 1), goes(first, 1, 4)},
		Come: []*writer.Chunk{{Slot: slot(2), Rows: 1, Tables: []writer.Rows{p.rows(t, keyed, [][]any{{int64(2), "code 2", "newer"}}, nil)}}},
	}
	// Patients of the first are referred to by rows that stay: theirs change alone.
	for i := range r.Gone {
		r.Gone[i].Tables = slices.DeleteFunc(r.Gone[i].Tables, func(rows writer.Rows) bool {
			return rows.Table == p.db.Name(patient.Name) || rows.Table == p.db.Name(request.Name)
		})
	}
	for _, c := range []struct{ did, undid string }{
		{"UPDATE analysis SET note = 'ours now' WHERE id = 2", "UPDATE analysis SET note = 'note 2' WHERE id = 2"},
		{"UPDATE analysis SET code = 'CODE 12' WHERE id = 12", "UPDATE analysis SET code = 'code 12' WHERE id = 12"},
		{"UPDATE analysis SET id = 99 WHERE id = 12", "UPDATE analysis SET id = 12 WHERE id = 99"},
		{"DELETE FROM analysis WHERE id = 5", "INSERT INTO analysis VALUES (5, 'code 5', 'note 5')"},
		{"UPDATE event SET amount = 3 WHERE label = 'twice'", "UPDATE event SET amount = 1 WHERE label = 'twice'"},
	} {
		p.db.Exec(t, c.did)
		before := p.state(t, s)
		_, err := s.Revise(t.Context(), r, nil)
		wantKind(t, err, ecluse.Refused, c.did)
		if err != nil && (!strings.Contains(err.Error(), "1 rows") || strings.Contains(err.Error(), "code")) {
			t.Errorf("%s: %v; it must say how many, and no value", c.did, err)
		}
		if diff := cmp.Diff(before, p.state(t, s)); diff != "" {
			t.Errorf("%s: (-before +after):\n%s", c.did, diff)
		}
		p.db.Exec(t, c.undid)
	}
	revise(t, s, r)
}

// testReviseReferred: what rows that stay refer to may not go for good, whether the source
// no longer has it or the target does not take it as it is now; whether they came with
// another chunk or are people's.
func testReviseReferred(t *testing.T, h Harness) {
	p := four(t, h)
	s := p.begin(t)
	first, _ := loaded(t, p, s)
	p.db.Insert(t, request, [][]any{row(900, 2)})
	before := p.state(t, s)
	for name, c := range map[string]struct {
		goes   []int32
		people [][]any
	}{
		"patient 3 is gone, request 12 stays":       {[]int32{2}, nil},
		"patient 2 is gone, people's request stays": {[]int32{1}, [][]any{row(4, nil)}},
		"patient 1's mother is nobody":              {[]int32{0}, [][]any{row(1, 99)}},
		"the mother of patient 3's mother, too":     {[]int32{2}, [][]any{row(3, 7), row(7, 8), row(8, 99)}},
	} {
		r := &writer.Revision{Gone: []writer.Part{goes(first, c.goes...)}, Come: []*writer.Chunk{{Slot: slot(2), Rows: len(c.people), Tables: []writer.Rows{p.rows(t, patient, c.people, nil)}}}}
		_, err := s.Revise(t.Context(), r, nil)
		wantKind(t, err, ecluse.Refused, name)
		if diff := cmp.Diff(before, p.state(t, s)); diff != "" {
			t.Errorf("%s: (-before +after):\n%s", name, diff)
		}
	}
	revise(t, s, &writer.Revision{Gone: []writer.Part{goes(first, 2)}, Come: []*writer.Chunk{{Slot: slot(2), Rows: 1, Tables: []writer.Rows{p.rows(t, patient, [][]any{row(3, 1)}, nil)}}}})
}

// testReviseActions: what a foreign key does to rows that stay is never done; those that
// go may have them among themselves.
func testReviseActions(t *testing.T, h Harness) {
	for action, under := range map[string]bool{"CASCADE": false, "SET NULL": false, "NO ACTION": true} {
		t.Run(action, func(t *testing.T) {
			p := newPlace(t, h, keyed, keyless)
			p.db.Exec(t, "CREATE TABLE patient (id BIGINT PRIMARY KEY, mother_id BIGINT REFERENCES patient)")
			p.db.Exec(t, "CREATE TABLE request (id BIGINT PRIMARY KEY, patient_id BIGINT REFERENCES patient ON DELETE "+action+")")
			p.db.Exec(t, "CREATE TABLE theirs (id INT PRIMARY KEY, patient_id BIGINT REFERENCES patient ON DELETE "+action+")")
			p.db.Target(t).Close() // gives the account its rights
			p.allow(t, patient, request, keyed, keyless)
			s := p.begin(t)
			chunk := &writer.Chunk{Slot: slot(0), Rows: 3, Tables: []writer.Rows{p.rows(t, patient, [][]any{row(1, nil), row(2, nil), row(3, nil)}, nil)}}
			requests := &writer.Chunk{Slot: slot(9), Rows: 2, Tables: []writer.Rows{p.rows(t, request, [][]any{row(1, 1), row(2, 2)}, nil)}}
			load(t, s, chunk)
			load(t, s, requests)
			// All that refers goes, too, and comes again.
			next := &writer.Chunk{Slot: slot(1), Rows: 2, Tables: []writer.Rows{p.rows(t, patient, [][]any{row(1, 3), row(4, 1)}, nil), p.rows(t, request, [][]any{row(1, 1), row(2, 4)}, nil)}}
			revise(t, s, &writer.Revision{Gone: []writer.Part{goes(requests, 0, 1), goes(chunk, 0, 1)}, Come: []*writer.Chunk{next}})
			// And with a row that is refused.
			third := &writer.Chunk{Slot: slot(2), Rows: 3, Tables: []writer.Rows{p.rows(t, patient, [][]any{row(1, nil), row(4, 3), row(5, 99)}, nil), p.rows(t, request, [][]any{row(1, 4), row(2, 4)}, nil)}}
			out, err := s.Revise(t.Context(), &writer.Revision{Gone: []writer.Part{goes(next, 0, 1)}, Come: []*writer.Chunk{third}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			checkRefusals(t, out.Refused[0], 2)
			people := texts(t, patient, [][]any{row(1, nil), row(3, nil), row(4, 3)})
			wantContent(t, "patient", p.content(t, patient), people)
			wantContent(t, "request", p.content(t, request), texts(t, request, [][]any{row(1, 4), row(2, 4)}))
			p.db.Exec(t, "INSERT INTO theirs VALUES (1, 3)")
			theirs := readertest.Table{Name: "theirs", Columns: []readertest.Column{{Name: "patient_id", Type: readertest.Int}}}
			again := &writer.Revision{Gone: []writer.Part{goes(chunk, 2)}, Come: []*writer.Chunk{{Slot: slot(3), Rows: 1, Tables: []writer.Rows{p.rows(t, patient, [][]any{row(3, 1)}, nil)}}}}
			out, err = s.Revise(t.Context(), again, nil)
			if under {
				if err != nil || len(out.Refused[0]) > 0 {
					t.Fatalf("what people refer to comes again: %v", err)
				}
				people = texts(t, patient, [][]any{row(1, nil), row(3, 1), row(4, 3)})
				chunk.Slot, chunk.Tables = slot(3), []writer.Rows{p.rows(t, patient, [][]any{row(3, 1)}, []int32{2})}
			} else {
				wantKind(t, err, ecluse.Refused, "what people refer to comes again")
			}
			wantContent(t, "patient", p.content(t, patient), people)
			_, err = s.Revise(t.Context(), &writer.Revision{Gone: []writer.Part{goes(chunk, 2)}, Come: []*writer.Chunk{{Slot: slot(4)}}}, nil)
			wantKind(t, err, ecluse.Refused, "what people refer to does not come again")
			wantContent(t, "patient", p.content(t, patient), people)
			wantContent(t, "theirs", p.content(t, theirs), []string{"3"})
		})
	}
}

// testReviseKinds changes values of every type, under the same keys, and back.
func testReviseKinds(t *testing.T, h Harness) {
	table, values := kinds(h)
	p := newPlace(t, h, table).allow(t, table)
	s := p.begin(t)
	other := make([][]any, len(values))
	for i := range values {
		other[i] = append([]any{values[i][0]}, values[(i+1)%len(values)][1:]...)
	}
	chunk := func(n int, values [][]any) *writer.Chunk {
		return &writer.Chunk{Slot: slot(n), Reading: n, Rows: len(values), Tables: []writer.Rows{p.rows(t, table, values, nil)}}
	}
	load(t, s, chunk(0, values))
	first := p.content(t, table)
	revise(t, s, instead(chunk(0, values), chunk(1, other)))
	if cmp.Equal(first, p.content(t, table)) {
		t.Error("nothing changed")
	}
	revise(t, s, instead(chunk(1, other), chunk(2, values)))
	wantContent(t, "kinds", p.content(t, table), first)
	takeAllOut(t, s, chunk(0, values), chunk(1, other), chunk(2, values))
	wantContent(t, "kinds", p.content(t, table), nil)
}

// testReviseMany: some of many that come are refused, and every code is another's.
func testReviseMany(t *testing.T, h Harness) {
	const rows, chunks = 6000, 3
	p := newPlace(t, h, keyed, keyless).allow(t, keyed, keyless)
	p.db.Insert(t, keyed, numbers(1_000_000, 30))
	s := p.begin(t)
	var all []*writer.Chunk
	r := &writer.Revision{}
	var want [][]int32
	taken := 0
	for n := range chunks {
		c := loadOf(t, p, n, rows)
		load(t, s, c)
		all = append(all, c)
		every := make([]int32, rows)
		values := make([][]any, rows)
		var bad []int32
		for i := range values {
			every[i] = int32(i)
			id := n*rows + i
			values[i] = []any{int64(id), fmt.Sprintf("code %d", (id+1)%(chunks*rows)), "newer"}
			if i%977 == 5 {
				values[i][1] = fmt.Sprintf("code %d", 1_000_000+taken)
				taken++
				bad = append(bad, int32(i))
			}
		}
		want = append(want, bad)
		r.Gone = append([]writer.Part{{Slot: c.Slot, Rows: rows, Sources: every, Tables: c.Tables}}, r.Gone...)
		next := loadOf(t, p, n, rows)
		next.Slot, next.Reading, next.Tables[0] = slot(chunks+n), 1, p.rows(t, keyed, values, nil)
		r.Come = append(r.Come, next)
	}
	out, err := s.Revise(t.Context(), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		checkRefusals(t, out.Refused[i], want[i]...)
	}
	if n := len(p.content(t, keyed)); n != chunks*rows-taken+30 {
		t.Errorf("%d rows of analysis, want %d", n, chunks*rows-taken+30)
	}
	if n := len(p.content(t, keyless)); n != chunks*rows-taken {
		t.Errorf("%d rows of event, want %d", n, chunks*rows-taken)
	}
	takeAllOut(t, s, append(all, r.Come...)...)
	wantContent(t, "analysis", p.content(t, keyed), texts(t, keyed, numbers(1_000_000, 30)))
	wantContent(t, "event", p.content(t, keyless), nil)
}

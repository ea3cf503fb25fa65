package writertest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecluse"
	"ecluse/internal/sluice/writer"
)

// testReviseRandom loads, revises again and again, and takes all out; after each step
// the target holds what a map of the source's records says.
func testReviseRandom(t *testing.T, h Harness) {
	runs := 3
	if testing.Short() {
		runs = 1
	}
	for run := range runs {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("%d", run), func(t *testing.T) {
			t.Logf("seed %d", seed)
			m := &model{p: four(t, h), r: rand.New(rand.NewPCG(seed, 0)), live: map[int]*source{}, codes: map[string]bool{secret: true}}
			s := m.p.begin(t)
			before := m.p.state(t, s)
			for range 3 {
				c := m.comes(t, m.fresh(2+m.r.IntN(12)))
				l, err := s.Load(t.Context(), c, nil)
				if err != nil {
					t.Fatal(err)
				}
				m.check(t, []*writer.Chunk{c}, [][]writer.Refusal{l.Refused})
			}
			for range 6 {
				m.revise(t, s)
				if t.Failed() {
					return
				}
			}
			takeAllOut(t, s, m.chunks...)
			if diff := cmp.Diff(before, m.p.state(t, s), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("after undoing (-before +after):\n%s", diff)
			}
		})
	}
}

// source is a record of the source: a patient, a request, or an analysis with events.
type source struct {
	id     int
	table  int // of those that four makes
	refers any
	code   any
	events int
	goes   bool // the target will refuse it, whatever else is there

	chunk *writer.Chunk // where it is
	row   int32
	out   bool // refused
}

// model is what the source holds, and where that was loaded.
type model struct {
	p      *place
	r      *rand.Rand
	live   map[int]*source
	codes  map[string]bool // that the target has, or will have
	chunks []*writer.Chunk // in the order of loading
	next   int
}

// nobody is the id of no patient, until one comes.
const nobody = 99_999

func (m *model) fresh(n int) (all []*source) {
	for range n {
		m.next++
		x := &source{id: m.next, table: m.r.IntN(3)}
		m.change(x)
		all = append(all, x)
	}
	return all
}

// change gives a record other values. Mothers are older: then what is refused does not
// hang on the order in which the rest is tried.
func (m *model) change(x *source) {
	x.goes, x.refers, x.code = false, nil, nil
	switch x.table {
	case 0, 1:
		var older []int
		for id, o := range m.live {
			if o.table == 0 && !o.out && id < x.id {
				older = append(older, id)
			}
		}
		slices.Sort(older)
		switch {
		case x.table == 1 && m.r.IntN(5) == 0:
			x.refers = nobody
		case len(older) > 0:
			x.refers = older[m.r.IntN(len(older))]
		}
	default:
		x.events = m.r.IntN(3)
		switch m.r.IntN(8) {
		case 0:
			x.code, x.goes = secret, true
		case 1:
			x.goes = true // without a code
		default: // few codes: they change hands
			for {
				x.code = fmt.Sprintf("code %d", m.r.IntN(60))
				if !m.codes[x.code.(string)] {
					break
				}
			}
			m.codes[x.code.(string)] = true
		}
	}
}

// comes makes a chunk of records.
func (m *model) comes(t *testing.T, all []*source) *writer.Chunk {
	c := &writer.Chunk{Slot: slot(len(m.chunks)), Rows: len(all) + 1, Rejected: []int32{int32(len(all))}}
	values := make([][][]any, 4)
	rows := make([][]int32, 4)
	for i, x := range all {
		x.chunk, x.row, x.out = c, int32(i), false
		m.live[x.id] = x
		for n, v := range m.values(x) {
			values[n], rows[n] = append(values[n], v...), append(rows[n], slices.Repeat([]int32{int32(i)}, len(v))...)
		}
	}
	for n, table := range tables {
		if rows[n] == nil {
			rows[n] = []int32{}
		}
		c.Tables = append(c.Tables, m.p.rows(t, table, values[n], rows[n]))
	}
	m.chunks = append(m.chunks, c)
	return c
}

// values are a record's rows of the four tables.
func (m *model) values(x *source) (all [4][][]any) {
	switch x.table {
	case 0, 1:
		all[x.table] = [][]any{row(int64(x.id), x.refers)}
	default:
		all[2] = [][]any{{int64(x.id), x.code, nil}}
		for range x.events {
			all[3] = append(all[3], []any{"twice", int64(x.id % 2)})
		}
	}
	return all
}

// refuses tells whether the target refuses a record as things are.
func (m *model) refuses(x *source) bool {
	return x.goes || x.refers == nobody && m.live[nobody] == nil
}

// offered lists the source rows that were refused and still are of the source.
func (m *model) offered() (all []writer.Part) {
	for _, c := range m.chunks {
		var rows []int32
		for _, x := range m.live {
			if x.chunk == c && x.out {
				rows = append(rows, x.row)
			}
		}
		if slices.Sort(rows); len(rows) > 0 {
			all = append(all, goes(c, rows...))
		}
	}
	return all
}

// checkAgain notes what came in of what was offered again.
func (m *model) checkAgain(t *testing.T, again []writer.Part, refused [][]writer.Refusal) {
	t.Helper()
	for i, p := range again {
		want := []int32{}
		for _, x := range m.live {
			if _, offered := slices.BinarySearch(p.Sources, x.row); !offered || x.chunk.Slot != p.Slot {
				continue
			}
			if x.out = m.refuses(x); x.out {
				want = append(want, x.row)
			}
		}
		slices.Sort(want)
		if len(want)+len(refused[i]) > 0 {
			checkRefusals(t, refused[i], want...)
		}
	}
}

// check notes what was refused and compares the target with the model.
func (m *model) check(t *testing.T, come []*writer.Chunk, refused [][]writer.Refusal) {
	t.Helper()
	for i, c := range come {
		var want []int32
		for _, x := range m.live {
			if x.chunk == c && m.refuses(x) {
				want = append(want, x.row)
				x.out = true
			}
		}
		slices.Sort(want)
		checkRefusals(t, refused[i], append([]int32{}, want...)...)
	}
	all := [4][][]any{{row(900, nil)}, nil, {{int64(700), secret, nil}}, {{"twice", int64(1)}, {"theirs", nil}}}
	for _, x := range m.live {
		for n, v := range m.values(x) {
			if !x.out {
				all[n] = append(all[n], v...)
			}
		}
	}
	for n, table := range tables {
		wantContent(t, table.Name, m.p.content(t, table), texts(t, table, all[n]))
	}
}

// revise changes, deletes and adds records, and revises accordingly.
func (m *model) revise(t *testing.T, s writer.Session) {
	gone := map[int]*source{} // as it was loaded
	for _, id := range slices.Sorted(maps.Keys(m.live)) {
		if m.r.IntN(4) == 0 {
			gone[id] = m.live[id]
		}
	}
	deleted := map[int]bool{}
	for id := range gone {
		deleted[id] = m.r.IntN(3) == 0
	}
	for id, x := range m.live { // what refers to what is deleted changes, too
		if ref, ok := x.refers.(int); ok && deleted[ref] {
			gone[id] = x
		}
	}
	for id, x := range gone {
		if code, ok := x.code.(string); ok && !x.out {
			delete(m.codes, code)
		}
		delete(m.live, id)
	}
	come := m.fresh(m.r.IntN(5))
	r := &writer.Revision{}
	for _, id := range slices.Sorted(maps.Keys(gone)) {
		if !deleted[id] { // patients that come again may be referred to
			x := *gone[id]
			x.out = false
			come = append(come, &x)
			m.live[id] = &x
		}
	}
	for _, x := range come {
		if _, again := gone[x.id]; again {
			m.change(x)
		}
	}
	m.r.Shuffle(len(come), func(i, j int) { come[i], come[j] = come[j], come[i] })
	for _, c := range slices.Backward(m.chunks) {
		w := writer.Part{Slot: c.Slot, Rows: c.Rows}
		in := writer.Part{}
		for _, x := range gone {
			if x.chunk == c {
				w.Sources = append(w.Sources, x.row)
				if !x.out {
					in.Sources = append(in.Sources, x.row)
				}
			}
		}
		if slices.Sort(w.Sources); len(w.Sources) > 0 {
			w.Tables = goes(c, in.Sources...).Tables
			r.Gone = append(r.Gone, w)
		}
	}
	if m.r.IntN(2) == 0 {
		r.Again = m.offered()
	}
	if m.live[nobody] == nil && m.r.IntN(3) == 0 {
		come = append(come, &source{id: nobody})
	}
	half := m.r.IntN(len(come) + 1)
	r.Come = []*writer.Chunk{m.comes(t, come[:half])}
	if m.r.IntN(2) == 0 {
		r.Come = append(r.Come, m.comes(t, come[half:]))
	} else {
		m.chunks = m.chunks[:len(m.chunks)-1]
		r.Come[0] = m.comes(t, come)
	}
	if m.r.IntN(3) == 0 {
		m.altered(t, s, r, gone)
	}
	out, err := s.Revise(t.Context(), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.checkAgain(t, r.Again, out.Again)
	m.check(t, r.Come, out.Refused)
}

// altered changes a row that is to go: then nothing goes.
func (m *model) altered(t *testing.T, s writer.Session, r *writer.Revision, gone map[int]*source) {
	for id, x := range gone {
		if x.table != 2 || x.out {
			continue
		}
		before := m.p.state(t, s)
		m.p.db.Exec(t, fmt.Sprintf("UPDATE analysis SET note = '' WHERE id = %d", id))
		_, err := s.Revise(t.Context(), r, nil)
		wantKind(t, err, ecluse.Refused, "a row that people changed")
		m.p.db.Exec(t, fmt.Sprintf("UPDATE analysis SET note = NULL WHERE id = %d", id))
		if diff := cmp.Diff(before, m.p.state(t, s)); diff != "" {
			t.Fatalf("refused (-before +after):\n%s", diff)
		}
		return
	}
}

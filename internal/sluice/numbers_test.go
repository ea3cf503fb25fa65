package sluice

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/mapping"
	"ecluse/internal/sluice/mapping/mappingtest"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/seal"
)

// counting compiles a mapping of two datasets into two counted tables, one of which
// both write. A row of a dataset is put aside when its bad column says so; more is what
// a correction adds.
func counting(t testing.TB, more string) *mapping.Program {
	t.Helper()
	doc, err := mapping.Parse("mapping.yaml", []byte(`ecluse: mapping/v1
id: test-01
instruction: sha256:0000000000000000000000000000000000000000000000000000000000000001
from:
  d:
    - into: t
      reject: {when: `+more+`, reason: bad}
      columns: {id: counter, v: v}
    - into: u
      skip: v == 'no'
      columns: {id: {value: counter, from: 100}, v: v}
  e:
    - into: t
      columns: {id: counter, v: v}
`))
	if err != nil {
		t.Fatal(err)
	}
	whole := ecluse.Type{Kind: ecluse.Int}
	into := &ecluse.Catalogue{Engine: ecluse.PostgreSQL}
	for _, name := range []string{"t", "u"} {
		into.Tables = append(into.Tables, ecluse.Table{Name: ecluse.TableName{Name: name}, Kind: ecluse.BaseTable, Columns: []ecluse.Column{
			{Name: "id", Type: whole, Declared: "bigint"}, {Name: "v", Type: ecluse.Type{Kind: ecluse.Text}, Declared: "text", Nullable: true},
		}})
	}
	s := rowSchema(t)
	p, err := mapping.Check(doc, mapping.Inputs{Datasets: map[ecluse.DatasetID]*record.Schema{"d": s, "e": s}, Target: into})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func rowSchema(t testing.TB) *record.Schema { return mappingtest.Schema(t, "n int, bad int, v text") }

// testChunk is a chunk of a pass.
type testChunk struct {
	slot ecluse.Slot
	rows [][]any
}

// passOf takes chunks through a program and tells what number each row got, by chunk.
// Counters that begin above what the target holds begin above start.
func passOf(t testing.TB, p *mapping.Program, chunks []testChunk, start int64, system string) (numbering, map[string]string) {
	t.Helper()
	counters := map[string]int64{"t.id": start}
	plan := &mandate.LoadPlan{Target: mandate.PlanPlace{System: system}, Shape: p.Shape()}
	n, ids := beginNumbering(p, plan, ecluse.Passage{Kind: ecluse.Dry, Number: 1}, counters), map[string]string{}
	for _, c := range chunks {
		run := mapping.NewRun(p) // as after a crash: nothing but the marker's counters is known
		if err := run.Begin(c.slot.Dataset, counters); err != nil {
			t.Fatal(err)
		}
		if err := run.Apply(mappingtest.Batch(t, rowSchema(t), c.rows...)); err != nil {
			t.Fatal(err)
		}
		out, err := run.Output()
		if err != nil {
			t.Fatal(err)
		}
		counters = maps.Clone(out.Counters)
		n.Chunks = append(n.Chunks, numbered{c.slot, givenIn(out)})
		for _, r := range out.Tables {
			for i, row := range r.Source {
				at := fmt.Sprintf("%s.id %s", r.Table, c.slot)
				ids[at] += fmt.Sprintf(" %d:%s", row, mappingtest.Cell(r.Batch.Columns[0], i))
			}
		}
	}
	return n, ids
}

// cutAt cuts rows of two datasets into chunks.
func cutAt(d, e [][]any, size int) (chunks []testChunk) {
	for id, rows := range map[ecluse.DatasetID][][]any{"d": d, "e": e} {
		n := 0
		for part := range slices.Chunk(rows, size) {
			chunks = append(chunks, testChunk{ecluse.Slot{Dataset: id, Sequence: n}, part})
			n++
		}
	}
	slices.SortFunc(chunks, func(a, b testChunk) int { return strings.Compare(a.slot.String(), b.slot.String()) })
	return chunks
}

// TestSameNumbers: under one mapping the rows of the same chunks get the same numbers
// each time, whatever the chunks' size; and what a pass is said to have numbered
// otherwise begins exactly where the first row's number differs.
func TestSameNumbers(t *testing.T) {
	first, corrected := counting(t, "bad == 1 || bad == 3"), counting(t, "bad == 2 || bad == 3")
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(name string) (rows [][]any) {
			most := rapid.SampledFrom([]int{0, 3}).Draw(rt, "bad rows") // of any kind, or of none
			for n := range rapid.IntRange(0, 60).Draw(rt, name) {
				rows = append(rows, []any{n, rapid.IntRange(0, most).Draw(rt, "bad"), rapid.SampledFrom([]string{"a", "no"}).Draw(rt, "v")})
			}
			return rows
		}
		chunks := cutAt(draw("d"), draw("e"), rapid.IntRange(1, 40).Draw(rt, "chunk"))
		start := rapid.Int64Range(0, 1000).Draw(rt, "start")
		a, was := passOf(t, first, chunks, start, "LIMS")
		again, is := passOf(t, first, chunks, start, "LIMS")
		if d := cmp.Diff(was, is); d != "" {
			rt.Fatalf("loaded again, other numbers:\n%s", d)
		}
		if r := again.since(&a); len(r.Tables) != 0 || !r.SameMapping {
			rt.Fatalf("loaded again: %+v", r)
		}
		b, becomes := passOf(t, corrected, chunks, start, "LIMS")
		var want []string
		for _, counter := range []string{"t.id", "u.id"} {
			for _, c := range chunks {
				if at := counter + " " + c.slot.String(); was[at] != becomes[at] {
					want = append(want, at)
					break
				}
			}
		}
		var got []string
		r := b.since(&a)
		for _, x := range r.Tables {
			got = append(got, fmt.Sprintf("%s.%s %s", x.Table, x.Column, x.From))
		}
		if d := cmp.Diff(want, got); d != "" || r.SameMapping {
			rt.Fatalf("same mapping %v, renumbered:\n%s", r.SameMapping, d)
		}
	})
}

// fifty is fifty rows, of which some are bad.
func fifty(bad map[int]int) (rows [][]any) {
	for n := range 50 {
		rows = append(rows, []any{n, bad[n], "a"})
	}
	return rows
}

// TestRenumbered: a correction that puts one row fewer aside names the tables and that
// row's chunk; one that changes values names none; and the highest number of another
// system is not a renumbering.
func TestRenumbered(t *testing.T) {
	chunks := cutAt(fifty(map[int]int{3: 1, 34: 2}), fifty(nil), 10)
	strict, lenient := counting(t, "bad > 0"), counting(t, "bad == 1")
	before, _ := passOf(t, strict, chunks, 7, "LIMS")
	for name, c := range map[string]struct {
		program *mapping.Program
		start   int64
		system  string
		chunks  []testChunk
		want    string
	}{
		"one row fewer put aside":       {lenient, 7, "LIMS", chunks, "t d/000003 u d/000003"},
		"only values":                   {counting(t, "bad > 0 && v == 'a'"), 7, "LIMS", chunks, ""},
		"another system":                {strict, 5000, "LIMS-TEST", chunks, ""},
		"another system, one row fewer": {lenient, 5000, "LIMS-TEST", chunks, "t d/000003 u d/000003"},
		"a fuller table":                {strict, 9, "LIMS", chunks, "t d/000000 base"},
		"a dataset less":                {strict, 7, "LIMS", chunks[:5], "t e/000000"},
		"a chunk less in the middle":    {strict, 7, "LIMS", slices.Delete(slices.Clone(chunks), 2, 3), "t d/000003 u d/000003"},
		"in another order":              {strict, 7, "LIMS", append(slices.Clone(chunks[5:]), chunks[:5]...), "t e/000000"},
	} {
		now, _ := passOf(t, c.program, c.chunks, c.start, c.system)
		r := now.since(&before)
		var got []string
		for _, x := range r.Tables {
			got = append(got, x.Table.String(), fmt.Sprintf("%s/%06d", x.From.Dataset, x.From.Sequence))
			if x.Base {
				got = append(got, "base")
			}
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if r := (&numbering{}).since(&numbering{}); r != nil {
		t.Errorf("of mappings without a counter: %+v", r)
	}
}

// keptNumbers keeps a text in memory.
type keptNumbers struct {
	text []byte
	err  error
}

func (k *keptNumbers) Numbers() ([]byte, error) { return k.text, k.err }
func (k *keptNumbers) SetNumbers(text []byte) error {
	k.text = text
	return nil
}

// TestNumbersAreKept: each pass is compared with the one before it, and run again says
// the same; what was kept and cannot be read any more is said to be lost, and stops no pass.
func TestNumbersAreKept(t *testing.T) {
	key := &seal.Key{1}
	kept := &keptNumbers{}
	strict, lenient := counting(t, "bad > 0"), counting(t, "bad == 1")
	end := func(number int, p *mapping.Program) string {
		t.Helper()
		o := &loader{Loading: Loading{Numbers: kept}, key: key}
		o.numbers, _ = passOf(t, p, cutAt(fifty(map[int]int{3: 1, 34: 2}), nil, 10), 0, "LIMS")
		o.numbers.Passage.Number = number
		o.out.Report = &reconcile.Report{}
		if err := o.renumbered(); err != nil {
			t.Fatal(err)
		}
		r := o.out.Report.Renumbered
		switch {
		case r == nil:
			return "first"
		case r.Lost:
			return "lost"
		}
		said := fmt.Sprint(r.Since, len(r.Tables))
		for _, x := range r.Also {
			said += fmt.Sprint(", ", x.Since, len(x.Tables))
		}
		return said
	}
	say := func(want string, number int, p *mapping.Program) {
		t.Helper()
		for range 2 { // the second time as after a crash before the report was posted
			if got := end(number, p); got != want {
				t.Errorf("pass %d: %q, want %q", number, got, want)
			}
		}
	}
	say("first", 1, strict)
	say("dry-1 0", 2, strict)
	say("dry-2 2", 3, lenient)
	say("dry-3 0, dry-2 2", 4, lenient) // repeated, it is no less true
	say("dry-2 2", 3, lenient)
	kept.text[len(kept.text)/2] ^= 1
	say("lost", 5, lenient)
	say("dry-5 2", 6, strict)

	kept.err = errors.New("no disk")
	o := &loader{Loading: Loading{Numbers: kept}, key: key}
	if err := o.renumbered(); !errors.Is(err, kept.err) {
		t.Errorf("a disk that cannot be read: %v", err)
	}
}

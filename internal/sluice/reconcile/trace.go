package reconcile

import (
	"cmp"
	"context"
	"hash/maphash"
	"slices"
	"sync"

	"ecluse"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

// Tracer finds the rows behind a difference of sums: the rows that chunks made,
// mapped again, against the target's rows. It never holds a value.
//
// Rows fall into buckets by their key. The first look (Sum, then Narrow) adds up
// hashes on both sides and finds the buckets that differ; a second one (Next,
// then Expect and Scan) compares the rows of some of these, column by column, by
// their hashes. So memory does not grow with rows, and a table of any size is
// gone through twice, more often only when much of it differs.
type Tracer struct {
	table Table
	key   []int // places of the key's columns; all columns when there is none
	seed  maphash.Seed

	mu      sync.Mutex
	wanted  []uint64 // by bucket: sum of the hashes of expected rows
	there   []uint64 // of the target's
	weight  []int32  // by bucket: expected rows
	todo    []int    // buckets that differ and were not looked at
	looking []bool   // by bucket: in this look
	looks   int
	held    int32 // rows in one look, about

	origins []Origin
	rows    []expected
	hashes  []uint64         // of every column of every row
	first   map[uint64]int32 // key's hash → row, plus one
	found   []Difference
	more    int
}

const (
	buckets  = 1 << 16
	rowsHeld = 1 << 17
	maxLooks = 4
)

// Origin is the chunk that rows come from.
type Origin struct {
	Dataset ecluse.DatasetID
	First   int64 // ordinal in the dataset of the chunk's first row
}

type expected struct {
	origin, source int32
	next           int32 // another row of the same key, plus one
	seen           bool
}

// Difference says where the target differs, without any value. A row that is
// missing has no column.
type Difference struct {
	Table   ecluse.TableName `json:"table"`
	Dataset ecluse.DatasetID `json:"dataset"`
	Ordinal int64            `json:"ordinal"` // of the source row, from 0
	Column  string           `json:"column,omitempty"`
	What    string           `json:"what"` // "missing" or "altered"
}

// MaxDifferences bounds what a Tracer lists.
const MaxDifferences = 200

// NewTracer makes a tracer for a table. Key is the columns by which a row of the
// target is known; without one, or when not all of them are compared, a row is
// known by its whole content, and an altered one is missing.
func NewTracer(t Table, key []string) *Tracer {
	tr := &Tracer{
		table: t, seed: maphash.MakeSeed(), held: rowsHeld,
		wanted: make([]uint64, buckets), there: make([]uint64, buckets), weight: make([]int32, buckets), looking: make([]bool, buckets),
	}
	all := make([]int, len(t.Columns))
	for i, c := range t.Columns {
		all[i] = i
		if slices.Contains(key, c.Name) {
			tr.key = append(tr.key, i)
		}
	}
	if len(tr.key) == 0 || len(tr.key) != len(key) {
		tr.key = all
	}
	return tr
}

// hashed is a row without its values.
type hashed struct {
	key, row uint64
	columns  []uint64
}

func (h *hashed) bucket() int { return int(h.key % buckets) }

// each hashes the rows of a batch; those in buckets not looked at are left out
// when only is set. It may run beside others.
func (t *Tracer) each(b *record.Batch, only bool, do func(i int, h *hashed)) error {
	s := NewSummer(t.table, [32]byte{})
	if err := s.bind(b); err != nil {
		return err
	}
	h := &hashed{columns: make([]uint64, len(s.forms))}
	var k, r maphash.Hash
	k.SetSeed(t.seed)
	r.SetSeed(t.seed)
	for i := range b.Rows() {
		k.Reset()
		for _, n := range t.key {
			if err := s.encode(i, n, n+1); err != nil {
				return err
			}
			_, _ = k.Write(s.row)
		}
		if h.key = k.Sum64(); only && !t.looking[h.bucket()] {
			continue
		}
		r.Reset()
		for n := range s.forms {
			if err := s.encode(i, n, n+1); err != nil {
				return err
			}
			_, _ = r.Write(s.row)
			if only {
				h.columns[n] = maphash.Bytes(t.seed, s.row)
			}
		}
		h.row = r.Sum64()
		do(i, h)
	}
	return nil
}

// Sum adds rows that a chunk made to the first look.
func (t *Tracer) Sum(b *record.Batch) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.each(b, false, func(_ int, h *hashed) {
		t.wanted[h.bucket()] += h.row
		t.weight[h.bucket()]++
	})
}

// Narrow ends the first look with one scan of the target's table. Buckets that
// hold none of the expected rows are nobody's difference: those rows stood there
// before, or are counted as extra.
func (t *Tracer) Narrow(ctx context.Context, sc reader.Scanner) error {
	err := sc.Scan(ctx, t.table.Name, t.table.Names(), func(b *record.Batch) error {
		mine := make(map[int]uint64, b.Rows())
		if err := t.each(b, false, func(_ int, h *hashed) { mine[h.bucket()] += h.row }); err != nil {
			return err
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		for n, sum := range mine {
			t.there[n] += sum
		}
		return nil
	})
	for n, want := range t.wanted {
		if want != t.there[n] && t.weight[n] > 0 {
			t.todo = append(t.todo, n)
		}
	}
	return err
}

// Next begins another look at some of the buckets that differ. False: there is
// none left, or enough was looked at; see Differences.
func (t *Tracer) Next() bool {
	t.settle()
	if len(t.todo) == 0 || t.looks == maxLooks || t.more > 0 {
		return false
	}
	t.looks++
	clear(t.looking)
	t.origins, t.rows, t.hashes, t.first = nil, t.rows[:0], t.hashes[:0], map[uint64]int32{}
	for held := int32(0); len(t.todo) > 0 && held < t.held; t.todo = t.todo[1:] {
		t.looking[t.todo[0]] = true
		held += t.weight[t.todo[0]]
	}
	return true
}

// Expect adds rows that a chunk made to this look: source[i] is the source row,
// counted in the chunk, that made row i.
func (t *Tracer) Expect(o Origin, b *record.Batch, source []int32) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.origins = append(t.origins, o)
	return t.each(b, true, func(i int, h *hashed) {
		t.hashes = append(t.hashes, h.columns...)
		t.rows = append(t.rows, expected{origin: int32(len(t.origins) - 1), source: source[i], next: t.first[h.key]})
		t.first[h.key] = int32(len(t.rows))
	})
}

// Scan ends this look with one scan of the target's table.
func (t *Tracer) Scan(ctx context.Context, sc reader.Scanner) error {
	return sc.Scan(ctx, t.table.Name, t.table.Names(), func(b *record.Batch) error {
		var rows []hashed
		err := t.each(b, true, func(_ int, h *hashed) { rows = append(rows, hashed{key: h.key, columns: slices.Clone(h.columns)}) })
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, h := range rows {
			t.match(h.key, h.columns)
		}
		return err
	})
}

// match marks the expected row that a row of the target is. Rows of one key are
// one row, or, without a key, all equal: the next of them will do.
func (t *Tracer) match(key uint64, hashes []uint64) {
	at := t.first[key]
	if at == 0 {
		return
	}
	row := at - 1
	t.first[key] = t.rows[row].next
	t.rows[row].seen = true
	for n, want := range t.of(row) {
		if hashes[n] != want {
			t.add(row, t.table.Columns[n].Name, "altered")
		}
	}
}

// of is the hashes of a row's columns.
func (t *Tracer) of(row int32) []uint64 {
	n := len(t.table.Columns)
	return t.hashes[int(row)*n : int(row+1)*n]
}

func (t *Tracer) add(row int32, column, what string) {
	if len(t.found) == MaxDifferences {
		t.more++
		return
	}
	r := t.rows[row]
	o := t.origins[r.origin]
	t.found = append(t.found, Difference{t.table.Name, o.Dataset, o.First + int64(r.source), column, what})
}

// settle notes the expected rows of this look that no scan saw.
func (t *Tracer) settle() {
	for i := range t.rows {
		if !t.rows[i].seen {
			t.rows[i].seen = true
			t.add(int32(i), "", "missing")
		}
	}
}

// Differences lists what was found altered or not found, by dataset and ordinal.
// Whole says that there is nothing more: neither more rows than can be listed nor
// buckets that were not looked at. Rows of the target that nobody expected have no
// ordinal: TableResult counts them.
func (t *Tracer) Differences() (list []Difference, whole bool) {
	t.settle()
	slices.SortFunc(t.found, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.Ordinal, b.Ordinal), cmp.Compare(a.What, b.What), cmp.Compare(a.Column, b.Column))
	})
	return t.found, t.more == 0 && len(t.todo) == 0
}

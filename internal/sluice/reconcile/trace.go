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
// Rows fall into buckets by their key. The first look (Sum and SumTarget) adds up
// hashes on both sides; Next finds the buckets that differ, and the look that it begins
// (Expect and Scan) compares the rows of some of these, column by column, by
// their hashes. So memory does not grow with rows, and a table of any size is
// gone through twice, more often only when much of it differs. Both sides of a look
// may be gone through at once.
type Tracer struct {
	table   Table
	key     []int // places of the key's columns; nil: the whole row is the key
	seed    maphash.Seed
	buckets uint64 // a power of two

	mu      sync.Mutex
	free    []*hasher // as many as there are goroutines
	wanted  []bucket  // expected rows
	there   []bucket  // the target's
	todo    []int     // buckets that differ and were not looked at
	looking []bool    // by bucket: in this look
	looks   int
	narrow  bool  // todo was found
	held    int32 // rows in one look, about

	origins []Origin
	rows    []expected
	hashes  []uint64         // of every column of every row
	first   map[uint64]int32 // key's hash → row, plus one
	seen    []uint64         // of the target: key's hash and those of the columns, row after row
	found   []Difference
	more    int
}

// bucket is rows of one side, as a number and the sum of their hashes.
type bucket struct {
	sum  uint64
	rows int32
}

const (
	buckets  = 1 << 18 // of all tables that are traced at a time: some 8 MiB
	rowsHeld = 1 << 17 // of both sides
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

// NewTracer makes a tracer for a table, one of so many that are traced at a time. Key is
// the columns by which a row of the
// target is known; without one, or when not all of them are compared, a row is
// known by its whole content, and an altered one is missing.
func NewTracer(t Table, key []string, tables int) *Tracer {
	tr := &Tracer{table: t, seed: maphash.MakeSeed(), held: int32(rowsHeld / tables), buckets: buckets}
	for tr.buckets > 1 && tr.buckets*uint64(tables) > buckets {
		tr.buckets /= 2
	}
	tr.wanted, tr.there, tr.looking = make([]bucket, tr.buckets), make([]bucket, tr.buckets), make([]bool, tr.buckets)
	for i, c := range t.Columns {
		if slices.Contains(key, c.Name) {
			tr.key = append(tr.key, i)
		}
	}
	if len(tr.key) != len(key) {
		tr.key = nil
	}
	return tr
}

// hashed is a row without its values.
type hashed struct {
	place    int32 // in its batch
	key, row uint64
}

// hasher hashes batches; it belongs to one goroutine at a time.
type hasher struct {
	*Summer
	key    []byte
	rows   []hashed
	hashes []uint64 // of every column of every row, when one looks closer
}

// hasher takes one that is free; give gives it back.
func (t *Tracer) hasher() *hasher {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.free); n > 0 {
		h := t.free[n-1]
		t.free = t.free[:n-1]
		return h
	}
	return &hasher{Summer: NewSummer(t.table, [32]byte{})}
}

// each hashes the rows of a batch and has them taken, under the lock; those in buckets not
// looked at are left out when only is set. It may run beside others.
func (t *Tracer) each(b *record.Batch, only bool, take func(h *hasher)) error {
	h := t.hasher()
	if err := h.bind(b); err != nil {
		return err
	}
	h.rows, h.hashes = h.rows[:0], h.hashes[:0]
	for i := range b.Rows() {
		key, err := t.keyOf(h, i)
		if err != nil {
			return err
		}
		r := hashed{place: int32(i), key: key, row: key}
		switch {
		case only && !t.looking[t.bucket(key)]:
			continue
		case only:
			for n := range h.forms {
				if err := h.encode(i, n, n+1); err != nil {
					return err
				}
				h.hashes = append(h.hashes, maphash.Bytes(t.seed, h.row))
			}
		case t.key != nil:
			if err := h.encode(i, 0, len(h.forms)); err != nil {
				return err
			}
			r.row = maphash.Bytes(t.seed, h.row)
		}
		h.rows = append(h.rows, r)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	take(h)
	t.free = append(t.free, h)
	return nil
}

// keyOf hashes the key of a row.
func (t *Tracer) keyOf(h *hasher, i int) (uint64, error) {
	switch len(t.key) {
	case 0:
		err := h.encode(i, 0, len(h.forms))
		return maphash.Bytes(t.seed, h.row), err
	case 1:
		err := h.encode(i, t.key[0], t.key[0]+1)
		return maphash.Bytes(t.seed, h.row), err
	}
	h.key = h.key[:0]
	for _, n := range t.key {
		if err := h.encode(i, n, n+1); err != nil {
			return 0, err
		}
		h.key = append(h.key, h.row...)
	}
	return maphash.Bytes(t.seed, h.key), nil
}

func (t *Tracer) bucket(key uint64) int { return int(key & (t.buckets - 1)) }

// Sum adds rows that a chunk made to the first look.
func (t *Tracer) Sum(b *record.Batch) error { return t.sum(b, t.wanted) }

// SumTarget adds the rows of the target's table, in one scan.
func (t *Tracer) SumTarget(ctx context.Context, sc reader.Scanner) error {
	return sc.Scan(ctx, t.table.Name, t.table.Names(), func(b *record.Batch) error { return t.sum(b, t.there) })
}

func (t *Tracer) sum(b *record.Batch, to []bucket) error {
	return t.each(b, false, func(h *hasher) {
		for _, r := range h.rows {
			x := &to[t.bucket(r.key)]
			x.sum += r.row
			x.rows++
		}
	})
}

// Next begins another look at some of the buckets that differ. False: there is
// none left, or enough was looked at; see Differences. Buckets that hold none of the expected
// rows are nobody's difference: those rows stood there before, or are counted as extra.
func (t *Tracer) Next() bool {
	for n := 0; !t.narrow && n < len(t.wanted); n++ {
		if t.wanted[n].sum != t.there[n].sum && t.wanted[n].rows > 0 {
			t.todo = append(t.todo, n)
		}
	}
	t.narrow = true
	t.settle()
	if len(t.todo) == 0 || t.looks == maxLooks || t.more > 0 {
		return false
	}
	t.looks++
	clear(t.looking)
	t.origins, t.rows, t.hashes, t.first = nil, t.rows[:0], t.hashes[:0], map[uint64]int32{}
	for held := int32(0); len(t.todo) > 0 && held < t.held; t.todo = t.todo[1:] {
		t.looking[t.todo[0]] = true
		held += t.wanted[t.todo[0]].rows + t.there[t.todo[0]].rows
	}
	return true
}

// Expect adds rows that a chunk made to this look: source[i] is the source row,
// counted in the chunk, that made row i.
func (t *Tracer) Expect(o Origin, b *record.Batch, source []int32) error {
	return t.each(b, true, func(h *hasher) {
		if len(h.rows) > 0 {
			t.origins = append(t.origins, o)
		}
		t.hashes = append(t.hashes, h.hashes...)
		for _, r := range h.rows {
			t.rows = append(t.rows, expected{origin: int32(len(t.origins) - 1), source: source[r.place], next: t.first[r.key]})
			t.first[r.key] = int32(len(t.rows))
		}
	})
}

// Scan adds the target's rows to this look, in one scan.
func (t *Tracer) Scan(ctx context.Context, sc reader.Scanner) error {
	return sc.Scan(ctx, t.table.Name, t.table.Names(), func(b *record.Batch) error {
		return t.each(b, true, func(h *hasher) {
			for n, r := range h.rows {
				t.seen = append(append(t.seen, r.key), h.hashes[n*len(h.forms):(n+1)*len(h.forms)]...)
			}
		})
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

// settle ends a look: it matches the target's rows with the expected ones and notes those
// that no row is.
func (t *Tracer) settle() {
	for n := 1 + len(t.table.Columns); len(t.seen) > 0; t.seen = t.seen[n:] {
		t.match(t.seen[0], t.seen[1:n])
	}
	t.seen = nil
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

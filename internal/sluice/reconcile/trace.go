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

// Tracer finds the rows behind a difference of sums: the rows of some chunks,
// mapped again, against the target's rows. It holds of each expected row one hash
// per column, never a value: some 32 + 8 × columns bytes; so a few chunks are
// traced at a time, each time with one scan of the table.
type Tracer struct {
	table Table
	key   []int // places of the key's columns; all columns when there is none
	seed  maphash.Seed

	mu      sync.Mutex
	origins []Origin
	rows    []expected
	hashes  []uint64         // of every column of every row
	first   map[uint64]int32 // key's hash → row, plus one
	found   []Difference
	more    int
}

// Origin is the chunk that rows come from.
type Origin struct {
	Dataset ecluse.DatasetID
	Slot    ecluse.Slot
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
const MaxDifferences = 10000

// NewTracer makes a tracer for a table. Key is the columns by which a row of the
// target is known, all of them compared columns; without a key a row is known by
// its whole content, and an altered one is missing.
func NewTracer(t Table, key []string) (*Tracer, error) {
	tr := &Tracer{table: t, seed: maphash.MakeSeed(), first: map[uint64]int32{}}
	for i, c := range t.Columns {
		if len(key) == 0 || slices.Contains(key, c.Name) {
			tr.key = append(tr.key, i)
		}
	}
	if len(key) > 0 && len(tr.key) != len(key) {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "trace " + t.Name.String(), Why: "a column of the key is not compared"}
	}
	return tr, nil
}

// Expect adds the rows that a chunk made in the table, but those of refused
// source rows; see Summer.SumExcept.
func (t *Tracer) Expect(o Origin, b *record.Batch, source, refused []int32) error {
	s := NewSummer(t.table, [32]byte{})
	if err := s.bind(b); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.origins = append(t.origins, o)
	for i := range b.Rows() {
		if _, out := slices.BinarySearch(refused, source[i]); out {
			continue
		}
		hashes, key, err := t.hash(s, i)
		if err != nil {
			return err
		}
		t.hashes = append(t.hashes, hashes...)
		t.rows = append(t.rows, expected{origin: int32(len(t.origins) - 1), source: source[i], next: t.first[key]})
		t.first[key] = int32(len(t.rows))
	}
	return nil
}

// hash hashes each column of a row, and its key.
func (t *Tracer) hash(s *Summer, i int) (columns []uint64, key uint64, err error) {
	columns = make([]uint64, len(s.at))
	var k maphash.Hash
	k.SetSeed(t.seed)
	for n := range s.at {
		if err := s.encode(i, n, n+1); err != nil {
			return nil, 0, err
		}
		columns[n] = maphash.Bytes(t.seed, s.row)
		if slices.Contains(t.key, n) {
			k.Write(s.row)
		}
	}
	return columns, k.Sum64(), nil
}

// Scan compares all rows of the target's table.
func (t *Tracer) Scan(ctx context.Context, sc reader.Scanner) error {
	return sc.Scan(ctx, t.table.Name, t.table.Names(), t.actual)
}

// actual compares rows of the target with the expected ones of the same keys.
func (t *Tracer) actual(b *record.Batch) error {
	s := NewSummer(t.table, [32]byte{})
	if err := s.bind(b); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range b.Rows() {
		hashes, key, err := t.hash(s, i)
		if err != nil {
			return err
		}
		t.match(key, hashes)
	}
	return nil
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

// Differences lists what Scan found altered or did not find, by dataset and
// ordinal, and says how many more there are. Rows of the target that nobody
// expected have no ordinal: TableResult counts them.
func (t *Tracer) Differences() (list []Difference, more int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.rows {
		if !t.rows[i].seen {
			t.rows[i].seen = true
			t.add(int32(i), "", "missing")
		}
	}
	slices.SortFunc(t.found, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.Ordinal, b.Ordinal), cmp.Compare(a.What, b.What), cmp.Compare(a.Column, b.Column))
	})
	return t.found, t.more
}

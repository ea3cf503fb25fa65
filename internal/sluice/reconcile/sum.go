// Package reconcile proves that what was sealed is what stands in the target:
// nothing missing, nothing extra, nothing altered. It reads the target itself and
// knows neither mapping nor writer, so that it cannot share their mistakes.
//
// A row's digest is a pseudo-random function of the row's canonical encoding
// (canon.go), under a sub-key of the migration's K for its table (digest.go).
// Digests are added modulo 2^256: a table's sum does not depend on the order of its
// rows, and, the key being secret, no set of rows can be made to have a given sum
// (Clarke et al., "Incremental Multiset Hash Functions", 2003, MSet-Add-Hash).
//
// Three equalities make the proof. Keyed sums of opened chunks are those the
// source gate signed (package seal checks, Compare counts). For each table,
// after − before = as loaded (Compare). Figures counted in the source, without
// the mapping, are those counted in the target (CompareCheck).
package reconcile

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// Table is what is compared of a table: the columns that the load plan writes, in
// its order.
type Table struct {
	Name    ecluse.TableName
	Columns []Column
}

// Column is a column that is compared.
type Column struct {
	Name   string
	Padded bool // char(n): trailing spaces mean nothing
}

// Names lists the columns' names.
func (t *Table) Names() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// Total is a sum of row digests modulo 2^256. Its text is 64 hexadecimal digits,
// most significant first.
type Total [32]byte

// MarshalText writes the digits.
func (t Total) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(t[:])), nil }

// UnmarshalText reads them.
func (t *Total) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(t) {
		return errors.New("a total is 64 hexadecimal digits")
	}
	_, err := hex.Decode(t[:], b)
	return err
}

// words are a total's 64-bit words, least significant first.
type words [4]uint64

func (t *Total) words() (w words) {
	for i := range w {
		w[i] = binary.BigEndian.Uint64(t[24-8*i:])
	}
	return w
}

func (w *words) total() (t Total) {
	for i, v := range w {
		binary.BigEndian.PutUint64(t[24-8*i:], v)
	}
	return t
}

func (w *words) add(o words) {
	var carry uint64
	for i := range w {
		w[i], carry = bits.Add64(w[i], o[i], carry)
	}
}

func (w *words) sub(o words) {
	var borrow uint64
	for i := range w {
		w[i], borrow = bits.Sub64(w[i], o[i], borrow)
	}
}

// Sum is the rows of a table, or some of them, as a count and a total. Two sums
// under one key are equal when, and only when, the rows are the same.
type Sum struct {
	Table ecluse.TableName `json:"table"`
	Count int64            `json:"count"`
	Total Total            `json:"total"`
}

// Add is the sum of both sets of rows of one table.
func (s Sum) Add(o Sum) Sum {
	w := s.Total.words()
	w.add(o.Total.words())
	return Sum{s.Table, s.Count + o.Count, w.total()}
}

// Sub takes the rows of o away. What was never there leaves a sum that is no
// rows' at all.
func (s Sum) Sub(o Sum) Sum {
	w := s.Total.words()
	w.sub(o.Total.words())
	return Sum{s.Table, s.Count - o.Count, w.total()}
}

// Sums is a sum per table. Its JSON is a list, sorted by table.
type Sums map[ecluse.TableName]Sum

// Add adds a table's sum.
func (s Sums) Add(o Sum) { s[o.Table] = s.Of(o.Table).Add(o) }

// Of is a table's sum; of no rows when the table is not in it.
func (s Sums) Of(t ecluse.TableName) Sum {
	if sum, ok := s[t]; ok {
		return sum
	}
	return Sum{Table: t}
}

// Tables lists the tables, sorted.
func (s Sums) Tables() []ecluse.TableName {
	return slices.SortedFunc(maps.Keys(s), func(a, b ecluse.TableName) int {
		switch {
		case a.Less(b):
			return -1
		case b.Less(a):
			return 1
		}
		return 0
	})
}

// MarshalJSON writes the list.
func (s Sums) MarshalJSON() ([]byte, error) {
	list := make([]Sum, 0, len(s))
	for _, t := range s.Tables() {
		list = append(list, s[t])
	}
	return json.Marshal(list)
}

// UnmarshalJSON reads the list; a table given twice is refused.
func (s *Sums) UnmarshalJSON(b []byte) error {
	var list []Sum
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*s = make(Sums, len(list))
	for _, sum := range list {
		if _, twice := (*s)[sum.Table]; twice {
			return fmt.Errorf("table %s is summed twice", sum.Table)
		}
		(*s)[sum.Table] = sum
	}
	return nil
}

// Summer sums rows of one table. It belongs to one goroutine.
type Summer struct {
	table  Table
	digest *digester
	row    []byte
	keyed  []byte
	forms  []form // of the batch's column for each of the table's
}

// NewSummer makes a Summer for a table, keyed with the table's sub-key.
func NewSummer(t Table, key [32]byte) *Summer {
	return &Summer{table: t, digest: newDigester(key), row: make([]byte, 0, 256), forms: make([]form, len(t.Columns))}
}

// SumBatch sums all rows of a batch. A column of the table that the batch has not
// counts as null (a load plan is compiled so that a column some dataset leaves out
// has no default); a column of the batch that the table has not is an error.
func (s *Summer) SumBatch(b *record.Batch) (Sum, error) { return s.SumExcept(b, nil, nil) }

// SumExcept sums the rows of a batch but those made of refused source rows:
// source[i] is the source row that made row i; both lists ascend.
func (s *Summer) SumExcept(b *record.Batch, source, refused []int32) (Sum, error) {
	if err := s.bind(b); err != nil {
		return Sum{}, err
	}
	var total words
	count := int64(0)
	for i := range b.Rows() {
		if len(refused) > 0 {
			for len(refused) > 0 && refused[0] < source[i] {
				refused = refused[1:]
			}
			if len(refused) > 0 && refused[0] == source[i] {
				continue
			}
		}
		if err := s.encode(i, 0, len(s.forms)); err != nil {
			return Sum{}, err
		}
		total.add(s.digest.digest(s.row))
		count++
	}
	return Sum{s.table.Name, count, total.total()}, nil
}

// bind finds the batch's columns.
func (s *Summer) bind(b *record.Batch) error {
	found := 0
	for i, c := range s.table.Columns {
		if s.forms[i] = formOf(b.Column(c.Name), c.Padded); s.forms[i].column != nil {
			found++
		}
	}
	if found == len(b.Columns) {
		return nil
	}
	for _, f := range b.Schema.Fields {
		if !slices.ContainsFunc(s.table.Columns, func(c Column) bool { return c.Name == f.Name }) {
			return &ecluse.Error{
				Kind: ecluse.Invalid, What: "sum rows of " + s.table.Name.String(), Where: f.Name,
				Why: "the column is not among those that are compared",
			}
		}
	}
	return fmt.Errorf("sum rows of %s: a column is given twice", s.table.Name)
}

// encode leaves the canonical encoding of row i in s.row, from one column to
// before another.
func (s *Summer) encode(i, from, to int) error {
	row := s.row[:0]
	var ok bool
	for n := from; n < to; n++ {
		f := &s.forms[n]
		switch { // the commonest without a call
		case f.nulls && f.column.Null(i):
			row = append(row, tagNull)
			continue
		case f.kind == formExact:
			row = appendInt(row, f.ints[i], f.exponent)
			continue
		case f.kind == formText:
			row = appendText(row, f.column.Bytes(i))
			continue
		}
		if row, ok = f.append(row, i); !ok {
			return &ecluse.Error{
				Kind: ecluse.Invalid, What: "sum rows of " + s.table.Name.String(), Where: fmt.Sprintf("row %d of the batch: %s", i, s.table.Columns[n].Name),
				Why: "a column of numbers holds text that is no number",
			}
		}
	}
	s.row = row
	return nil
}

// Package record is the one shape in flight: typed columnar batches. A batch, a
// column and a value print as their kind and length, never as what they hold, so
// that no log line, error or test failure can carry a patient's data.
//
// A column is stored exactly as Arrow lays it out (validity bitmap, offsets and
// bytes) or as 64-bit integers; Arrow itself appears only in ipc.go.
package record

import (
	"fmt"
	"log/slog"
	"math"
	"slices"

	"ecluse"
)

// Field is a named, typed column of a schema.
type Field struct {
	Name string
	Type ecluse.Type
}

// Schema is the ordered fields of a batch.
type Schema struct {
	Fields []Field
}

// Index finds a field by exact name, or −1.
func (s *Schema) Index(name string) int {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			return i
		}
	}
	return -1
}

// Equal compares names and types in order.
func (s *Schema) Equal(o *Schema) bool {
	if len(s.Fields) != len(o.Fields) {
		return false
	}
	for i := range s.Fields {
		if s.Fields[i] != o.Fields[i] {
			return false
		}
	}
	return true
}

// Batch is rows of one schema. It is filled once, then read; Reset lets the same
// memory serve again. A Batch is not safe for concurrent writing.
type Batch struct {
	Schema  *Schema
	Columns []*Column
}

// NewBatch makes an empty batch whose columns have room for rows rows.
func NewBatch(s *Schema, rows int) *Batch {
	b := &Batch{Schema: s, Columns: make([]*Column, len(s.Fields))}
	for i, f := range s.Fields {
		b.Columns[i] = NewColumn(f.Type, rows)
	}
	return b
}

// Rows is the number of rows; all columns of a finished row have the same length.
func (b *Batch) Rows() int {
	if len(b.Columns) == 0 {
		return 0
	}
	return b.Columns[0].n
}

// Column finds a column by name, or nil.
func (b *Batch) Column(name string) *Column {
	if i := b.Schema.Index(name); i >= 0 {
		return b.Columns[i]
	}
	return nil
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	for _, c := range b.Columns {
		c.Reset()
	}
}

// Size is the number of bytes of values held, roughly.
func (b *Batch) Size() int {
	n := 0
	for _, c := range b.Columns {
		n += c.Size()
	}
	return n
}

// Truncate drops all rows from row n on: what a decoder does with a row it could
// not finish.
func (b *Batch) Truncate(n int) {
	for _, c := range b.Columns {
		c.Truncate(n)
	}
}

// Format prints "batch of 12 rows, 3 columns" whatever the verb.
func (b *Batch) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "batch of %d rows, %d columns", b.Rows(), len(b.Columns))
}

// LogValue says the same to slog.
func (b *Batch) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(b)) }

// Value is the bytes of one text, number or binary value, valid until its batch
// is reset. It prints as its length.
type Value []byte

// Format prints "‹12 bytes›" whatever the verb.
func (v Value) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "‹%d bytes›", len(v)) }

// LogValue says the same to slog.
func (v Value) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(v)) }

// MarshalText says the same to encoding/json.
func (v Value) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(v)), nil }

// Column is the values of one field. Bool, Int, Decimal (unscaled), Date, Time,
// Timestamp and Instant are 64-bit integers; Float is the bits of a float64;
// Text, Number and Bytes are byte strings.
type Column struct {
	typ   ecluse.Type
	n     int
	nulls int
	valid []byte  // one bit a row, least significant first, 1 = not null; always complete
	fixed []int64 // n values, 0 where null; nil for byte strings
	offs  []int32 // n+1 offsets into data; nil for integers
	data  []byte
}

// NewColumn makes an empty column with room for rows values.
func NewColumn(t ecluse.Type, rows int) *Column {
	c := &Column{typ: t, valid: make([]byte, 0, (rows+7)/8)}
	if Fixed(t.Kind) {
		c.fixed = make([]int64, 0, rows)
	} else {
		c.offs = append(make([]int32, 0, rows+1), 0)
		c.data = make([]byte, 0, rows*8)
	}
	return c
}

// Fixed tells the kinds stored as 64-bit integers from those stored as bytes.
func Fixed(k ecluse.DataKind) bool {
	switch k {
	case ecluse.Text, ecluse.Number, ecluse.Bytes:
		return false
	}
	return true
}

// Type is the column's type.
func (c *Column) Type() ecluse.Type { return c.typ }

// Len is the number of values, nulls included.
func (c *Column) Len() int { return c.n }

// Nulls is the number of nulls.
func (c *Column) Nulls() int { return c.nulls }

// Null tells whether value i is null.
func (c *Column) Null(i int) bool { return c.valid[i>>3]>>(i&7)&1 == 0 }

// Int is value i of a column stored as integers (see Fixed).
func (c *Column) Int(i int) int64 { return c.fixed[i] }

// Ints is all values of a column stored as integers; 0 where null.
func (c *Column) Ints() []int64 { return c.fixed }

// Float is value i of a Float column.
func (c *Column) Float(i int) float64 { return math.Float64frombits(uint64(c.fixed[i])) }

// Bytes is value i of a column stored as byte strings; empty where null.
func (c *Column) Bytes(i int) Value { return Value(c.data[c.offs[i]:c.offs[i+1]:c.offs[i+1]]) }

// Size is the bytes held.
func (c *Column) Size() int { return len(c.valid) + 8*len(c.fixed) + 4*len(c.offs) + len(c.data) }

func (c *Column) mark(valid bool) {
	if c.n&7 == 0 {
		c.valid = append(c.valid, 0)
	}
	if valid {
		c.valid[c.n>>3] |= 1 << (c.n & 7)
	} else {
		c.nulls++
	}
	c.n++
}

// AppendNull adds a null.
func (c *Column) AppendNull() {
	if c.offs == nil {
		c.fixed = append(c.fixed, 0)
	} else {
		c.offs = append(c.offs, int32(len(c.data)))
	}
	c.mark(false)
}

// AppendInt adds an integer to a column stored as integers.
func (c *Column) AppendInt(v int64) {
	c.fixed = append(c.fixed, v)
	c.mark(true)
}

// AppendBool adds a boolean.
func (c *Column) AppendBool(v bool) {
	if v {
		c.AppendInt(1)
	} else {
		c.AppendInt(0)
	}
}

// AppendFloat adds a binary floating-point number.
func (c *Column) AppendFloat(v float64) { c.AppendInt(int64(math.Float64bits(v))) }

// AppendBytes adds a copy of v to a column stored as byte strings.
func (c *Column) AppendBytes(v []byte) {
	c.data = append(c.data, v...)
	c.offs = append(c.offs, int32(len(c.data)))
	c.mark(true)
}

// AppendString is AppendBytes for a string.
func (c *Column) AppendString(v string) {
	c.data = append(c.data, v...)
	c.offs = append(c.offs, int32(len(c.data)))
	c.mark(true)
}

// Grow returns the data buffer for the caller to append one value's bytes to;
// Close with what append returned ends the value. It saves a copy when a value is
// made of pieces.
func (c *Column) Grow() []byte { return c.data }

// CloseValue ends the value begun with Grow.
func (c *Column) CloseValue(data []byte) {
	c.data = data
	c.offs = append(c.offs, int32(len(c.data)))
	c.mark(true)
}

// AppendFrom adds value i of o, a column of the same storage.
func (c *Column) AppendFrom(o *Column, i int) {
	switch {
	case o.Null(i):
		c.AppendNull()
	case c.offs == nil:
		c.AppendInt(o.fixed[i])
	default:
		c.AppendBytes(o.data[o.offs[i]:o.offs[i+1]])
	}
}

// Reset empties the column and keeps its memory.
func (c *Column) Reset() {
	c.n, c.nulls = 0, 0
	c.valid, c.fixed, c.data = c.valid[:0], c.fixed[:0], c.data[:0]
	if c.offs != nil {
		c.offs = c.offs[:1]
	}
}

// clone is a copy in memory of its own.
func (c *Column) clone() *Column {
	return &Column{c.typ, c.n, c.nulls, slices.Clone(c.valid), slices.Clone(c.fixed), slices.Clone(c.offs), slices.Clone(c.data)}
}

// Truncate drops the values from n on.
func (c *Column) Truncate(n int) {
	for i := n; i < c.n; i++ {
		if c.Null(i) {
			c.nulls--
		}
	}
	if n >= c.n {
		return
	}
	c.n = n
	c.valid = c.valid[:(n+7)/8]
	if n&7 != 0 {
		c.valid[n>>3] &= 1<<(n&7) - 1
	}
	if c.offs == nil {
		c.fixed = c.fixed[:n]
		return
	}
	c.offs = c.offs[:n+1]
	c.data = c.data[:c.offs[n]]
}

// Format prints "text[12 rows]" whatever the verb.
func (c *Column) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%s[%d rows]", c.typ, c.n) }

// LogValue says the same to slog.
func (c *Column) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

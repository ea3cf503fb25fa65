package postgres

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/record"
)

// Copier writes rows of one table through COPY: in its binary form, or as text
// when a column's type has no binary form known here (domains, enums, arrays,
// intervals and all else that the server alone can read).
type Copier struct {
	Table  ecluse.TableName
	fields []Field
	text   bool
}

// NewCopier makes a copier of columns of a table. The types of a batch's columns
// must be those of the table.
func NewCopier(table ecluse.TableName, columns []mandate.LoadColumn) *Copier {
	c := &Copier{Table: table}
	for _, col := range columns {
		w := writeAs(col.Type, col.Declared)
		c.text = c.text || w == wireOther
		c.fields = append(c.fields, Field{Name: col.Name, Type: col.Type, wire: w})
	}
	return c
}

// Columns are the names of the columns written.
func (c *Copier) Columns() []string {
	list := make([]string, len(c.fields))
	for i, f := range c.fields {
		list[i] = f.Name
	}
	return list
}

// Statement copies into the copier's own table.
func (c *Copier) Statement() string { return c.StatementInto(c.Table) }

// StatementInto copies into another table of the same columns.
func (c *Copier) StatementInto(table ecluse.TableName) string {
	form := "binary"
	if c.text {
		form = "text"
	}
	return "COPY " + Name(table) + " (" + names(c.Columns()) + ") FROM STDIN (FORMAT " + form + ")"
}

// Rows is the rows [from, to) of a batch as COPY wants them, without those that
// skip says.
func (c *Copier) Rows(b *record.Batch, from, to int, skip func(row int) bool) *Encoder {
	e := &Encoder{copier: c, batch: b, row: from, to: to, skip: skip, columns: make([]column, len(b.Columns))}
	for i, col := range b.Columns {
		e.columns[i] = column{col, col.Nulls() > 0, col.Ints()}
	}
	return e
}

// Encoder is rows on their way into COPY … FROM STDIN. It is an io.Reader.
type Encoder struct {
	copier *Copier
	batch  *record.Batch
	row    int
	to     int
	skip   func(row int) bool
	rows   int64

	columns []column

	begun bool
	ended bool
	buf   []byte
	off   int
}

// column is what is looked at for each of its values.
type column struct {
	*record.Column
	nulls bool // some are
	ints  []int64
}

// encodeAhead is how many bytes are made at a time.
const encodeAhead = 64 << 10

// Rows is how many rows were made.
func (e *Encoder) Rows() int64 { return e.rows }

// Read gives the next bytes.
func (e *Encoder) Read(p []byte) (int, error) {
	if e.off == len(e.buf) {
		e.buf, e.off = e.buf[:0], 0
		e.fill(max(len(p), encodeAhead))
		if len(e.buf) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, e.buf[e.off:])
	e.off += n
	return n, nil
}

func (e *Encoder) fill(size int) {
	if e.buf == nil {
		e.buf = make([]byte, 0, size+size/4)
	}
	binaryForm := !e.copier.text
	if !e.begun && binaryForm {
		e.buf = append(append(e.buf, copySignature...), 0, 0, 0, 0, 0, 0, 0, 0)
	}
	e.begun = true
	for ; e.row < e.to && len(e.buf) < size; e.row++ {
		if e.skip != nil && e.skip(e.row) {
			continue
		}
		if binaryForm {
			e.binaryRow()
		} else {
			e.textRow()
		}
		e.rows++
	}
	if e.row == e.to && !e.ended {
		e.ended = true
		if binaryForm {
			e.buf = append(e.buf, 0xff, 0xff)
		}
	}
}

func (e *Encoder) binaryRow() {
	out := binary.BigEndian.AppendUint16(e.buf, uint16(len(e.copier.fields)))
	for i := range e.copier.fields {
		c, f := &e.columns[i], &e.copier.fields[i]
		switch { // the commonest without a call
		case c.nulls && c.Null(e.row):
			out = append(out, 0xff, 0xff, 0xff, 0xff)
		case f.wire == wireInt8:
			out = binary.BigEndian.AppendUint64(append(out, 0, 0, 0, 8), uint64(c.ints[e.row]))
		case f.wire == wireText:
			v := c.Bytes(e.row)
			out = append(binary.BigEndian.AppendUint32(out, uint32(len(v))), v...)
		default:
			out = encode(out, f, c.Column, e.row)
		}
	}
	e.buf = out
}

// encode appends a value with its length before it. Refused has made sure that
// the type's form can hold it.
func encode(out []byte, f *Field, c *record.Column, row int) []byte {
	switch f.wire {
	case wireText, wirePadded, wireBytes:
		v := c.Bytes(row)
		return append(binary.BigEndian.AppendUint32(out, uint32(len(v))), v...)
	case wireInt8, wireTime:
		return binary.BigEndian.AppendUint64(append(out, 0, 0, 0, 8), uint64(c.Int(row)))
	case wireInt4:
		return binary.BigEndian.AppendUint32(append(out, 0, 0, 0, 4), uint32(c.Int(row)))
	case wireInt2:
		return binary.BigEndian.AppendUint16(append(out, 0, 0, 0, 2), uint16(c.Int(row)))
	case wireNumeric:
		if f.Type.Kind == ecluse.Decimal {
			return appendDecimal(out, c.Int(row), f.Type.Scale)
		}
		out, _ = appendNumberBinary(out, c.Bytes(row))
		return out
	case wireTimestamp:
		t := c.Int(row)
		if t != ecluse.Infinity && t != ecluse.NegInfinity {
			t -= epochMicros
		}
		return binary.BigEndian.AppendUint64(append(out, 0, 0, 0, 8), uint64(t))
	case wireDate:
		return binary.BigEndian.AppendUint32(append(out, 0, 0, 0, 4), uint32(packDate(c.Int(row))))
	case wireBool:
		return append(out, 0, 0, 0, 1, byte(c.Int(row)))
	case wireFloat8:
		return binary.BigEndian.AppendUint64(append(out, 0, 0, 0, 8), math.Float64bits(c.Float(row)))
	case wireFloat4:
		return binary.BigEndian.AppendUint32(append(out, 0, 0, 0, 4), math.Float32bits(float32(c.Float(row))))
	case wireUUID:
		u, _ := parseUUID(c.Bytes(row))
		return append(append(out, 0, 0, 0, 16), u[:]...)
	case wireJSONB:
		v := c.Bytes(row)
		return append(append(binary.BigEndian.AppendUint32(out, uint32(len(v)+1)), 1), v...)
	}
	return append(out, 0xff, 0xff, 0xff, 0xff)
}

func packDate(days int64) int32 {
	switch days {
	case ecluse.Infinity:
		return math.MaxInt32
	case ecluse.NegInfinity:
		return math.MinInt32
	}
	return int32(days - epochDays)
}

// parseUUID reads 8-4-4-4-12 hexadecimal digits.
func parseUUID(v []byte) (u [16]byte, ok bool) {
	if len(v) != 36 {
		return u, false
	}
	var digits [32]byte
	n := 0
	for i, c := range v {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return u, false
			}
			continue
		}
		digits[n], n = c, n+1
	}
	_, err := hex.Decode(u[:], digits[:])
	return u, err == nil
}

// Unfit is a value that no row of the table can hold.
type Unfit struct {
	Row    int
	Column string
	State  string // SQLSTATE that the server would have given
}

// Unfit finds the values of a batch that COPY has no form for, in one pass over
// whole columns: they would break the stream or, cut to size, enter as others.
func (c *Copier) Unfit(b *record.Batch) []Unfit {
	var all []Unfit
	for i := range c.fields {
		f, col := &c.fields[i], b.Columns[i]
		bad := c.unfit(f)
		if bad == nil || clean(f, col) {
			continue
		}
		for row := range col.Len() {
			if col.Null(row) {
				continue
			}
			if state := bad(col, row); state != "" {
				all = append(all, Unfit{row, f.Name, state})
			}
		}
	}
	return all
}

// clean looks at a whole column at once for what hardly ever stands in it.
func clean(f *Field, col *record.Column) bool {
	switch {
	case f.Type.Kind == ecluse.Text && f.wire != wireUUID && col.Len() > 0:
		return bytes.IndexByte(col.Grow(), 0) < 0 // the bytes of all its values
	case f.wire == wireInt4:
		for _, v := range col.Ints() {
			if v != int64(int32(v)) {
				return false
			}
		}
		return true
	}
	return false
}

const (
	stateRange     = "22003"
	stateMoment    = "22008"
	stateCharacter = "22021"
	stateForm      = "22P02"
)

// unfit is the test of one column's values: the SQLSTATE of what is wrong, or
// nothing. Nil when every value fits.
func (c *Copier) unfit(f *Field) func(*record.Column, int) string {
	test := func(state string, wrong func(*record.Column, int) bool) func(*record.Column, int) string {
		return func(col *record.Column, row int) string {
			if wrong(col, row) {
				return state
			}
			return ""
		}
	}
	switch {
	case f.Type.Kind == ecluse.Text && f.wire == wireUUID:
		return test(stateForm, func(col *record.Column, row int) bool { _, ok := parseUUID(col.Bytes(row)); return !ok })
	case f.Type.Kind == ecluse.Text:
		return test(stateCharacter, func(col *record.Column, row int) bool { return bytes.IndexByte(col.Bytes(row), 0) >= 0 })
	case f.wire == wireInt4:
		return test(stateRange, func(col *record.Column, row int) bool { v := col.Int(row); return v != int64(int32(v)) })
	case f.wire == wireInt2:
		return test(stateRange, func(col *record.Column, row int) bool { v := col.Int(row); return v != int64(int16(v)) })
	case f.wire == wireDate:
		return test(stateMoment, func(col *record.Column, row int) bool { return !dateFits(col.Int(row)) })
	case f.wire == wireTimestamp:
		return test(stateMoment, func(col *record.Column, row int) bool {
			v := col.Int(row)
			return v != ecluse.NegInfinity && v < math.MinInt64+2*epochMicros
		})
	case f.wire == wireFloat4:
		return test(stateRange, func(col *record.Column, row int) bool {
			v := col.Float(row)
			return math.IsInf(float64(float32(v)), 0) && !math.IsInf(v, 0)
		})
	case f.Type.Kind == ecluse.Number && f.wire == wireNumeric:
		var scratch []byte
		return test(stateForm, func(col *record.Column, row int) bool {
			var ok bool
			scratch, ok = appendNumberBinary(scratch[:0], col.Bytes(row))
			return !ok
		})
	}
	return nil
}

func dateFits(days int64) bool {
	if days == ecluse.Infinity || days == ecluse.NegInfinity {
		return true
	}
	d := days - epochDays
	return d > math.MinInt32 && d < math.MaxInt32
}

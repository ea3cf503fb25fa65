package postgres

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"unicode/utf8"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// COPY's binary form: a signature, flags, the length of an extension; then rows,
// each its number of fields in two bytes, each field its length in four (−1 for
// NULL) and its bytes; then −1 for a number of fields. All big-endian.
const copySignature = "PGCOPY\n\xff\r\n\x00"

const (
	copyHead     = len(copySignature) + 8
	copyMaxExtra = 1 << 16
	copyEnd      = 0xffff
	copyNull     = 0xffffffff
)

// Sizes of a batch, as package reader sets them.
const (
	BatchRows  = 8192
	BatchBytes = 4 << 20
)

// epochDays and epochMicros are 2000-01-01, from which the server counts, from
// 1970-01-01.
const (
	epochDays   = 10957
	epochMicros = epochDays * 86_400_000_000
)

var (
	errCopy       = errors.New("the server sent what COPY does not allow")
	errUTF8       = errors.New("text that is not UTF-8")
	errMoment     = errors.New("a time after the year 294246, which is more microseconds than 64 bits hold")
	errWidth      = errors.New("a value of another length than its type's")
	errUnfinished = errors.New("the answer ends in the middle")
)

// Field is a column of an answer: what it is called, how it travels, and how it
// stands in COPY.
type Field struct {
	Name string
	Type ecluse.Type
	wire wire
}

// Schema is the schema of batches of these fields.
func Schema(fields []Field) *record.Schema {
	s := &record.Schema{Fields: make([]record.Field, len(fields))}
	for i, f := range fields {
		s.Fields[i] = record.Field{Name: f.Name, Type: f.Type}
	}
	return s
}

// Decoder turns the answer to COPY … TO STDOUT (FORMAT binary) into batches, as
// it comes. It is written to by Conn.CopyOut, keeps nothing of a row but its
// columns, and allocates nothing per row.
type Decoder struct {
	fields []Field
	next   func(full *record.Batch) (*record.Batch, error)

	batch   *record.Batch
	columns []*record.Column
	held    int    // whole rows in batch
	size    int    // bytes of their values
	rest    []byte // the beginning of a row whose end has not come
	begun   bool
	ended   bool
	rows    int64
	bytes   int64
}

// NewDecoder makes a decoder that fills the batch that next(nil) gives; when it
// holds rows or bytes enough, next takes it and gives the one to go on with.
func NewDecoder(fields []Field, next func(full *record.Batch) (*record.Batch, error)) (*Decoder, error) {
	d := &Decoder{fields: fields, next: next, columns: make([]*record.Column, len(fields))}
	return d, d.turn(nil)
}

func (d *Decoder) turn(full *record.Batch) error {
	b, err := d.next(full)
	if err != nil {
		return err
	}
	b.Reset()
	d.batch, d.held, d.size = b, 0, 0
	copy(d.columns, b.Columns)
	return nil
}

// Rows is how many rows have come, and Bytes how many bytes of values.
func (d *Decoder) Rows() int64 { return d.rows }

// Bytes of values that have come.
func (d *Decoder) Bytes() int64 { return d.bytes }

// Write takes the next piece of the answer.
func (d *Decoder) Write(p []byte) (int, error) {
	b := p
	if len(d.rest) > 0 {
		d.rest = append(d.rest, p...)
		b = d.rest
	}
	n, err := d.take(b)
	if err != nil {
		return 0, err
	}
	d.rest = append(d.rest[:0], b[n:]...)
	return len(p), nil
}

// take decodes the whole rows that p begins with and says where they end.
func (d *Decoder) take(p []byte) (int, error) {
	at := 0
	if !d.begun {
		if len(p) < copyHead {
			return 0, nil
		}
		extra := binary.BigEndian.Uint32(p[len(copySignature)+4:])
		if string(p[:len(copySignature)]) != copySignature || binary.BigEndian.Uint32(p[len(copySignature):]) != 0 || extra > copyMaxExtra {
			return 0, errCopy
		}
		if at = copyHead + int(extra); len(p) < at {
			return 0, nil
		}
		d.begun = true
	}
	for len(p)-at >= 2 {
		if d.ended {
			return 0, errCopy
		}
		n := binary.BigEndian.Uint16(p[at:])
		if n == copyEnd {
			d.ended = true
			at += 2
			continue
		}
		if int(n) != len(d.fields) {
			return 0, errCopy
		}
		size, err := d.row(p[at+2:])
		if err != nil {
			return 0, err
		}
		if size < 0 {
			d.batch.Truncate(d.held)
			break
		}
		at += 2 + size
		if err := d.counted(size); err != nil {
			return 0, err
		}
	}
	if d.ended && at != len(p) {
		return 0, errCopy
	}
	return at, nil
}

func (d *Decoder) counted(size int) error {
	d.rows++
	values := size - 4*len(d.fields)
	d.bytes += int64(values)
	d.held++
	d.size += values
	if d.held < BatchRows && d.size < BatchBytes {
		return nil
	}
	return d.turn(d.batch)
}

// Again makes ready for another answer of the same fields, whose rows follow in
// the same batches. It refuses one that was cut short.
func (d *Decoder) Again() error {
	if !d.ended {
		return errUnfinished
	}
	d.begun, d.ended = false, false
	return nil
}

// Close hands over what is left after the last answer.
func (d *Decoder) Close() error {
	if d.begun && !d.ended {
		return errUnfinished
	}
	if d.held == 0 {
		return nil
	}
	return d.turn(d.batch)
}

// notASCII is the bits that eight bytes of ASCII have not.
const notASCII = 0x8080808080808080

// row appends one row of the answer to the batch and says how long it is, without
// its number of fields; −1 when p ends before the row does.
func (d *Decoder) row(p []byte) (int, error) {
	at := 0
	for i := range d.fields {
		if len(p)-at < 4 {
			return -1, nil
		}
		n := binary.BigEndian.Uint32(p[at:])
		at += 4
		if n == copyNull {
			d.columns[i].AppendNull()
			continue
		}
		if n > math.MaxInt32 {
			return 0, errCopy
		}
		if len(p)-at < int(n) {
			return -1, nil
		}
		f, c := &d.fields[i], d.columns[i]
		switch { // the commonest without a call
		case f.wire == wireInt8 && n == 8:
			c.AppendInt(int64(binary.BigEndian.Uint64(p[at:])))
		case f.wire == wireText && n <= 8 && at+8 <= len(p) && binary.LittleEndian.Uint64(p[at:])<<(64-8*n)&notASCII == 0:
			c.AppendBytes(p[at : at+int(n)])
		default:
			if err := decode(c, f, p[at:at+int(n)]); err != nil {
				return 0, d.refuse(f, err)
			}
		}
		at += int(n)
	}
	return at, nil
}

func (d *Decoder) refuse(f *Field, err error) error {
	e := &ValueError{Column: f.Name, Row: d.rows, Why: err.Error()}
	if errors.Is(err, errMoment) || errors.Is(err, errNotExact) {
		e.Next = "instruct the column with as: text"
	}
	return e
}

// decode appends one value.
func decode(c *record.Column, f *Field, v []byte) error {
	switch f.wire {
	case wireText:
		if !utf8.Valid(v) {
			return errUTF8
		}
		c.AppendBytes(v)
	case wireInt2, wireInt4, wireInt8:
		return decodeInt(c, v)
	case wireNumeric:
		return decodeNumeric(c, f, v)
	case wireTimestamp:
		return decodeMoment(c, v)
	case wireDate:
		return decodeDate(c, v)
	case wirePadded:
		n := len(v)
		for n > 0 && v[n-1] == ' ' {
			n--
		}
		if !utf8.Valid(v[:n]) {
			return errUTF8
		}
		c.AppendBytes(v[:n])
	case wireBool:
		if len(v) != 1 {
			return errWidth
		}
		c.AppendBool(v[0] != 0)
	case wireFloat4, wireFloat8:
		return decodeFloat(c, v)
	case wireBytes:
		c.AppendBytes(v)
	case wireTime:
		if len(v) != 8 {
			return errWidth
		}
		c.AppendInt(int64(binary.BigEndian.Uint64(v)))
	case wireUUID:
		if len(v) != 16 {
			return errWidth
		}
		c.CloseValue(appendUUID(c.Grow(), v))
	default:
		return errCopy
	}
	return nil
}

func decodeInt(c *record.Column, v []byte) error {
	switch len(v) {
	case 8:
		c.AppendInt(int64(binary.BigEndian.Uint64(v)))
	case 4:
		c.AppendInt(int64(int32(binary.BigEndian.Uint32(v))))
	case 2:
		c.AppendInt(int64(int16(binary.BigEndian.Uint16(v))))
	default:
		return errWidth
	}
	return nil
}

func decodeFloat(c *record.Column, v []byte) error {
	switch len(v) {
	case 8:
		c.AppendFloat(math.Float64frombits(binary.BigEndian.Uint64(v)))
	case 4:
		c.AppendFloat(float64(math.Float32frombits(binary.BigEndian.Uint32(v))))
	default:
		return errWidth
	}
	return nil
}

func decodeNumeric(c *record.Column, f *Field, v []byte) error {
	if f.Type.Kind == ecluse.Decimal {
		n, err := decodeDecimal(v, f.Type.Scale)
		if err == nil {
			c.AppendInt(n)
		}
		return err
	}
	text, err := appendNumber(c.Grow(), v)
	if err == nil {
		c.CloseValue(text)
	}
	return err
}

func decodeDate(c *record.Column, v []byte) error {
	if len(v) != 4 {
		return errWidth
	}
	switch d := int32(binary.BigEndian.Uint32(v)); d {
	case math.MaxInt32:
		c.AppendInt(ecluse.Infinity)
	case math.MinInt32:
		c.AppendInt(ecluse.NegInfinity)
	default:
		c.AppendInt(int64(d) + epochDays)
	}
	return nil
}

func decodeMoment(c *record.Column, v []byte) error {
	if len(v) != 8 {
		return errWidth
	}
	t := int64(binary.BigEndian.Uint64(v))
	switch {
	case t == math.MaxInt64, t == math.MinInt64: // infinity, −infinity
	case t >= math.MaxInt64-epochMicros:
		return errMoment
	default:
		t += epochMicros
	}
	c.AppendInt(t)
	return nil
}

func appendUUID(out, v []byte) []byte {
	for i, from := range [...]int{0, 4, 6, 8, 10} {
		to := [...]int{4, 6, 8, 10, 16}[i]
		if i > 0 {
			out = append(out, '-')
		}
		out = hex.AppendEncode(out, v[from:to])
	}
	return out
}

package reconcile

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// The canonical encoding of a row is its columns' values one after the other, in
// the order of the table's Columns. A value is a tag byte and what the tag says
// follows; no value's encoding begins another's, so a row has one reading.
//
//	00        null
//	01, 02    false, true
//	80…ff     exact number of at most 18 digits: sign × m × 10^e, with m not a
//	          multiple of 10 (zero: m = 0, e = 0, sign +). Bit 6 is the sign
//	          (1: negative), bits 0 to 5 are e + 32; uvarint m follows
//	06, 07    any other exact number, positive or negative: varint e, uvarint
//	          length and the digits of m in ASCII, not ending in 0
//	03 04 05  exact NaN, +Infinity, −Infinity
//	08        binary float: the 8 bytes of its IEEE 754 double, little-endian,
//	          with −0 as +0 and every NaN as 7ff8000000000000; a float of 24 bits
//	          is rounded to single precision first
//	40…7f     text of 0 to 63 bytes (tag − 40), UTF-8
//	09        longer text: uvarint length, bytes
//	0a        bytes: uvarint length, bytes
//	0b        date: varint days
//	0c 0d 0e  time, timestamp, instant: 8 bytes of microseconds, little-endian
//
// varint and uvarint are those of encoding/binary. int, decimal and number share
// one form, so 1.10 is 1.1 is what another engine calls 1.1000. Text of a padded
// column (char(n)) is encoded without its trailing spaces.
const (
	tagNull      = 0x00
	tagFalse     = 0x01
	tagTrue      = 0x02
	tagNaN       = 0x03
	tagInf       = 0x04
	tagNegInf    = 0x05
	tagBig       = 0x06 // and tagBig+1, negative
	tagFloat     = 0x08
	tagLongText  = 0x09
	tagBytes     = 0x0a
	tagDate      = 0x0b
	tagTime      = 0x0c
	tagTimestamp = 0x0d
	tagInstant   = 0x0e
	tagText      = 0x40
	tagNumber    = 0x80

	maxSmall   = 1e18 // mantissas below it have the short form
	shortText  = 64
	canonNaN   = 0x7ff8000000000000
	signBit    = 0x40
	exponent0  = 32
	exponentLo = -32
	exponentHi = 31
)

// form is how the values of a column are encoded: what a type says, looked up once
// for all rows.
type form struct {
	column   *record.Column // nil: every value is null
	kind     formKind
	exponent int
	nulls    bool // some value is null
	ints     []int64
}

type formKind uint8

const (
	formNone formKind = iota
	formExact
	formText
	formPadded
	formInstant
	formTimestamp
	formTime
	formDate
	formBool
	formFloat
	formSingle
	formNumber
	formBytes
)

// formOf is how a column's values are encoded; of no column, as nulls.
func formOf(c *record.Column, padded bool) form {
	if c == nil {
		return form{}
	}
	t := c.Type()
	f := form{column: c, nulls: c.Nulls() > 0, ints: c.Ints()}
	switch t.Kind {
	case ecluse.Int:
		f.kind = formExact
	case ecluse.Decimal:
		f.kind, f.exponent = formExact, -t.Scale
	case ecluse.Number:
		f.kind = formNumber
	case ecluse.Text:
		if f.kind = formText; padded {
			f.kind = formPadded
		}
	case ecluse.Bytes:
		f.kind = formBytes
	case ecluse.Bool:
		f.kind = formBool
	case ecluse.Float:
		if f.kind = formFloat; t.Precision == 24 {
			f.kind = formSingle
		}
	case ecluse.Date:
		f.kind = formDate
	case ecluse.Time:
		f.kind = formTime
	case ecluse.Timestamp:
		f.kind = formTimestamp
	case ecluse.Instant:
		f.kind = formInstant
	}
	return f
}

// append appends the canonical encoding of value i; false when it is text that is
// not a number in a column of numbers.
func (f *form) append(dst []byte, i int) ([]byte, bool) {
	if f.column == nil || f.nulls && f.column.Null(i) {
		return append(dst, tagNull), true
	}
	switch f.kind {
	case formExact:
		return appendInt(dst, f.ints[i], f.exponent), true
	case formText:
		return appendText(dst, f.column.Bytes(i)), true
	case formPadded:
		return appendText(dst, bytes.TrimRight(f.column.Bytes(i), " ")), true
	case formInstant:
		return appendFixed(dst, tagInstant, uint64(f.ints[i])), true
	case formTimestamp:
		return appendFixed(dst, tagTimestamp, uint64(f.ints[i])), true
	case formTime:
		return appendFixed(dst, tagTime, uint64(f.ints[i])), true
	case formDate:
		return binary.AppendVarint(append(dst, tagDate), f.ints[i]), true
	case formBool:
		return append(dst, tagFalse+byte(f.ints[i]&1)), true
	case formFloat, formSingle:
		return appendFloat(dst, f.column.Float(i), f.kind == formSingle), true
	case formNumber:
		return appendNumber(dst, f.column.Bytes(i))
	case formBytes:
		v := f.column.Bytes(i)
		return append(binary.AppendUvarint(append(dst, tagBytes), uint64(len(v))), v...), true
	}
	return dst, false
}

func appendFixed(dst []byte, tag byte, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, tag), v)
}

func appendText(dst []byte, v []byte) []byte {
	if len(v) < shortText {
		return append(append(dst, tagText+byte(len(v))), v...)
	}
	return append(binary.AppendUvarint(append(dst, tagLongText), uint64(len(v))), v...)
}

func appendFloat(dst []byte, v float64, single bool) []byte {
	if single {
		v = float64(float32(v))
	}
	bits := math.Float64bits(v)
	switch {
	case v == 0:
		bits = 0
	case v != v:
		bits = canonNaN
	}
	return appendFixed(dst, tagFloat, bits)
}

// appendInt appends v × 10^e.
func appendInt(dst []byte, v int64, e int) []byte {
	m := uint64(v)
	if v < 0 {
		m = -m
	}
	return appendExact(dst, v < 0, m, e)
}

// appendExact appends ± m × 10^e.
func appendExact(dst []byte, negative bool, m uint64, e int) []byte {
	if m == 0 {
		return append(dst, tagNumber|exponent0, 0)
	}
	for q := m / 10; q*10 == m; q = m / 10 {
		m = q
		e++
	}
	if m >= maxSmall || e < exponentLo || e > exponentHi {
		return appendBig(dst, negative, strconv.AppendUint(make([]byte, 0, 20), m, 10), e)
	}
	tag := tagNumber | byte(e+exponent0)
	if negative {
		tag |= signBit
	}
	return binary.AppendUvarint(append(dst, tag), m)
}

func appendBig(dst []byte, negative bool, digits []byte, e int) []byte {
	tag := byte(tagBig)
	if negative {
		tag++
	}
	dst = binary.AppendVarint(append(dst, tag), int64(e))
	return append(binary.AppendUvarint(dst, uint64(len(digits))), digits...)
}

// appendNumber appends a number given as text: an optional sign, digits with at
// most one point among them, an optional exponent; or NaN, Infinity, -Infinity.
func appendNumber(dst []byte, text []byte) ([]byte, bool) {
	switch string(text) {
	case "NaN":
		return append(dst, tagNaN), true
	case "Infinity":
		return append(dst, tagInf), true
	case "-Infinity":
		return append(dst, tagNegInf), true
	}
	n, ok := parseNumber(text)
	switch {
	case !ok:
		return dst, false
	case n.digits <= 18:
		return appendExact(dst, n.negative, n.mantissa(), n.exponent), true
	}
	digits := make([]byte, 0, n.digits)
	for _, b := range n.significant {
		if b != '.' {
			digits = append(digits, b)
		}
	}
	return appendBig(dst, n.negative, digits, n.exponent), true
}

// number is a number's text, taken apart.
type number struct {
	negative    bool
	significant []byte // from the first digit that is not 0 to the last one, point included; empty for zero
	digits      int    // of significant
	exponent    int    // of its last digit
}

func (n *number) mantissa() (m uint64) {
	for _, b := range n.significant {
		if b != '.' {
			m = m*10 + uint64(b-'0')
		}
	}
	return m
}

const maxExponent = 1 << 20

func parseNumber(text []byte) (n number, ok bool) {
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		n.negative = text[0] == '-'
		text = text[1:]
	}
	text, exponent, ok := cutExponent(text)
	if !ok {
		return n, false
	}
	first, last, point, digits := -1, -1, -1, 0
	for i, b := range text {
		switch {
		case b == '.' && point < 0:
			point = i
		case b < '0' || b > '9':
			return n, false
		default:
			digits++
			if b != '0' {
				last = i
				if first < 0 {
					first = i
				}
			}
		}
	}
	switch {
	case digits == 0:
		return n, false
	case first < 0:
		return number{}, true
	case point < 0:
		point = len(text)
	}
	n.significant = text[first : last+1]
	n.digits = len(n.significant)
	n.exponent = exponent + point - last
	switch {
	case last < point:
		n.exponent--
	case first < point:
		n.digits-- // the point is among them
	}
	return n, true
}

// cutExponent takes "e-7" off a number.
func cutExponent(text []byte) (rest []byte, exponent int, ok bool) {
	for i, b := range text {
		if b == 'e' || b == 'E' {
			e, err := strconv.Atoi(string(text[i+1:]))
			return text[:i], e, err == nil && e > -maxExponent && e < maxExponent
		}
	}
	return text, 0, true
}

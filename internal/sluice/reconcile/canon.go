package reconcile

import (
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

// appendValue appends the canonical encoding of value i of c; false when it is
// text that is not a number in a column of numbers.
func appendValue(dst []byte, c *record.Column, i int, padded bool) ([]byte, bool) {
	if c.Null(i) {
		return append(dst, tagNull), true
	}
	t := c.Type()
	switch t.Kind {
	case ecluse.Int:
		return appendInt(dst, c.Int(i), 0), true
	case ecluse.Text:
		return appendText(dst, c.Bytes(i), padded), true
	case ecluse.Decimal:
		return appendInt(dst, c.Int(i), -t.Scale), true
	case ecluse.Instant:
		return appendFixed(dst, tagInstant, uint64(c.Int(i))), true
	case ecluse.Timestamp:
		return appendFixed(dst, tagTimestamp, uint64(c.Int(i))), true
	case ecluse.Time:
		return appendFixed(dst, tagTime, uint64(c.Int(i))), true
	case ecluse.Date:
		return binary.AppendVarint(append(dst, tagDate), c.Int(i)), true
	case ecluse.Bool:
		return append(dst, tagFalse+byte(c.Int(i)&1)), true
	case ecluse.Float:
		return appendFloat(dst, c.Float(i), t.Precision == 24), true
	case ecluse.Number:
		return appendNumber(dst, c.Bytes(i))
	case ecluse.Bytes:
		v := c.Bytes(i)
		return append(binary.AppendUvarint(append(dst, tagBytes), uint64(len(v))), v...), true
	}
	return dst, false
}

func appendFixed(dst []byte, tag byte, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, tag), v)
}

func appendText(dst []byte, v []byte, padded bool) []byte {
	if padded {
		for len(v) > 0 && v[len(v)-1] == ' ' {
			v = v[:len(v)-1]
		}
	}
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

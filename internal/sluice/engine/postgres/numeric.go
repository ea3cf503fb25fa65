package postgres

import (
	"encoding/binary"
	"errors"
)

// A numeric stands in COPY as its number of digits to the base of 10,000, the
// weight of the first of them, its sign and the decimal digits it shows after the
// point, each in two bytes, then the digits.
const (
	numericHead   = 8
	numericBase   = 10000
	numericMinus  = 0x4000
	numericNaN    = 0xC000
	numericPlus8  = 0xD000 // infinity
	numericMinus8 = 0xF000
	maxNumeric    = 16383 // decimal digits after the point
)

var (
	errNumeric  = errors.New("not a numeric")
	errNotExact = errors.New("NaN, infinity, or more digits than the column declares")
)

var pow10 = [maxDecimal + 1]int64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
}

// decodeDecimal reads a numeric as a whole number of units of its scale.
func decodeDecimal(v []byte, scale int) (int64, error) {
	if len(v) < numericHead {
		return 0, errNumeric
	}
	n := int(binary.BigEndian.Uint16(v))
	if len(v) != numericHead+2*n {
		return 0, errNumeric
	}
	sign := binary.BigEndian.Uint16(v[4:])
	if sign&^numericMinus != 0 {
		return 0, errNotExact
	}
	exp := 4*int(int16(binary.BigEndian.Uint16(v[2:]))) + scale // of ten, of the unit of this digit
	var sum int64
	for at := numericHead; at < len(v); at += 2 {
		d := int64(v[at])<<8 | int64(v[at+1])
		switch {
		case d >= numericBase:
			return 0, errNumeric
		case d == 0:
		case exp < 0:
			if exp <= -4 {
				return 0, errNotExact
			}
			unit := uint32(pow10[-exp]) // 32 bits are divided in a third of the time
			q := uint32(d) / unit
			if q*unit != uint32(d) {
				return 0, errNotExact
			}
			sum += int64(q)
		case exp > maxDecimal-1 || d > pow10[maxDecimal-exp]:
			return 0, errNotExact
		default:
			sum += d * pow10[exp]
		}
		exp -= 4
	}
	if sum >= pow10[maxDecimal] {
		return 0, errNotExact
	}
	if sign != 0 {
		return -sum, nil
	}
	return sum, nil
}

// appendNumber appends a numeric's exact text, as the server writes it.
func appendNumber(out, v []byte) ([]byte, error) {
	if len(v) < numericHead {
		return out, errNumeric
	}
	n := int(binary.BigEndian.Uint16(v))
	weight := int(int16(binary.BigEndian.Uint16(v[2:])))
	shown := int(binary.BigEndian.Uint16(v[6:]))
	if len(v) != numericHead+2*n || shown > maxNumeric {
		return out, errNumeric
	}
	switch binary.BigEndian.Uint16(v[4:]) {
	case 0:
	case numericMinus:
		out = append(out, '-')
	case numericNaN:
		return append(out, "NaN"...), nil
	case numericPlus8:
		return append(out, "Infinity"...), nil
	case numericMinus8:
		return append(out, "-Infinity"...), nil
	default:
		return out, errNumeric
	}
	digit := func(place int) (int, bool) { // the digit of that weight
		i := weight - place
		if i < 0 || i >= n {
			return 0, true
		}
		d := int(binary.BigEndian.Uint16(v[numericHead+2*i:]))
		return d, d < numericBase
	}
	started := false
	for place := weight; place >= 0; place-- {
		d, ok := digit(place)
		if !ok {
			return out, errNumeric
		}
		out, started = appendDigits(out, d, started)
	}
	if !started {
		out = append(out, '0')
	}
	if shown == 0 {
		return out, nil
	}
	out = append(out, '.')
	end := len(out) + shown
	for place := -1; len(out) < end; place-- {
		d, ok := digit(place)
		if !ok {
			return out, errNumeric
		}
		out, _ = appendDigits(out, d, true)
	}
	return out[:end], nil
}

// appendDigits appends four decimal digits, without leading zeros until one has
// started.
func appendDigits(out []byte, d int, started bool) ([]byte, bool) {
	four := [4]byte{byte('0' + d/1000), byte('0' + d/100%10), byte('0' + d/10%10), byte('0' + d%10)}
	from := 0
	for !started && from < 4 && four[from] == '0' {
		from++
	}
	return append(out, four[from:]...), started || from < 4
}

// appendDecimal appends the binary numeric, with its length before it, of a
// whole number of units of a scale.
func appendDecimal(out []byte, v int64, scale int) []byte {
	sign := uint16(0)
	u := uint64(v)
	if v < 0 {
		sign, u = numericMinus, -u
	}
	if scale <= 4 && u < 1e8 {
		if out, ok := appendShort(out, uint32(u), sign, scale); ok {
			return out
		}
	}
	var digits [12]uint16
	first := 6 // digits before the point stand before it, those after from it on
	whole, part := u/uint64(pow10[scale]), u%uint64(pow10[scale])
	for ; whole > 0; whole /= numericBase {
		first--
		digits[first] = uint16(whole % numericBase)
	}
	weight, end := 5-first, 6
	for left := scale; part > 0; left -= 4 {
		if left >= 4 {
			unit := uint64(pow10[left-4])
			digits[end], part = uint16(part/unit), part%unit
		} else {
			digits[end], part = uint16(part*uint64(pow10[4-left])), 0
		}
		end++
	}
	for first < end && digits[first] == 0 {
		first++
		weight--
	}
	for first < end && digits[end-1] == 0 {
		end--
	}
	if first == end {
		weight, sign = 0, 0
	}
	return appendNumeric(out, digits[first:end], weight, sign, scale)
}

// appendShort is appendDecimal for what has one digit before the point, of four decimal
// ones, and one after: nearly all results.
func appendShort(out []byte, u uint32, sign uint16, scale int) ([]byte, bool) {
	unit := uint32(pow10[scale])
	whole := u / unit
	part := (u - whole*unit) * uint32(pow10[4-scale])
	if whole >= numericBase {
		return out, false
	}
	n, weight, digits := 2, uint16(0), whole<<16|part
	switch {
	case u == 0:
		n, sign = 0, 0
	case part == 0:
		n = 1
	case whole == 0:
		n, weight, digits = 1, 0xffff, part<<16 // weight −1
	}
	out = binary.BigEndian.AppendUint64(out, uint64(numericHead+2*n)<<32|uint64(n)<<16|uint64(weight))
	out = binary.BigEndian.AppendUint64(out, uint64(sign)<<48|uint64(scale)<<32|uint64(digits))
	return out[:len(out)-4+2*n], true
}

func appendNumeric(out []byte, digits []uint16, weight int, sign uint16, shown int) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(numericHead+2*len(digits)))
	out = binary.BigEndian.AppendUint16(out, uint16(len(digits)))
	out = binary.BigEndian.AppendUint16(out, uint16(weight))
	out = binary.BigEndian.AppendUint16(out, sign)
	out = binary.BigEndian.AppendUint16(out, uint16(shown))
	for _, d := range digits {
		out = binary.BigEndian.AppendUint16(out, d)
	}
	return out
}

// appendNumberBinary appends the binary numeric, with its length before it, of a
// number's text: decimal notation with an exponent or without, NaN, Infinity. It
// appends nothing and says false for any other text.
func appendNumberBinary(out, text []byte) ([]byte, bool) {
	special := func(sign uint16) ([]byte, bool) { return appendNumeric(out, nil, 0, sign, 0), true }
	switch string(text) {
	case "NaN":
		return special(numericNaN)
	case "Infinity":
		return special(numericPlus8)
	case "-Infinity":
		return special(numericMinus8)
	}
	sign := uint16(0)
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		if text[0] == '-' {
			sign = numericMinus
		}
		text = text[1:]
	}
	text, exp, ok := cutExponent(text)
	if !ok {
		return out, false
	}
	point, count := len(text), 0
	for i, c := range text {
		switch {
		case c == '.' && point == len(text):
			point = i
		case c >= '0' && c <= '9':
			count++
		default:
			return out, false
		}
	}
	shown := max(len(text)-point-1, 0) - exp
	if count == 0 || shown > maxNumeric || point+exp > 131072 {
		return out, false
	}
	return packDigits(out, text, point, point+exp, sign, max(shown, 0)), true
}

// cutExponent takes "e-12" off the end of a number.
func cutExponent(text []byte) (mantissa []byte, exp int, ok bool) {
	at := len(text)
	for i, c := range text {
		if c == 'e' || c == 'E' {
			at = i
			break
		}
	}
	if at == len(text) {
		return text, 0, true
	}
	e := text[at+1:]
	minus := len(e) > 0 && e[0] == '-'
	if len(e) > 0 && (e[0] == '-' || e[0] == '+') {
		e = e[1:]
	}
	if len(e) == 0 || len(e) > 6 {
		return nil, 0, false
	}
	for _, c := range e {
		if c < '0' || c > '9' {
			return nil, 0, false
		}
		exp = exp*10 + int(c-'0')
	}
	if minus {
		exp = -exp
	}
	return text[:at], exp, true
}

// packDigits appends the numeric of decimal digits, whose point is written at
// `point` and stands after `whole` of them.
func packDigits(out, text []byte, point, whole int, sign uint16, shown int) []byte {
	start := len(out)
	out = appendNumeric(out, nil, 0, sign, shown)
	weight, n := 0, 0
	add := func(place, digit int) {
		if digit == 0 {
			return // zeros at either end are not written
		}
		if n == 0 {
			weight = place
		}
		for ; weight-n > place; n++ {
			out = append(out, 0, 0)
		}
		out, n = binary.BigEndian.AppendUint16(out, uint16(digit)), n+1
	}
	exp := whole - 1 // of ten, of the digit at hand
	place, digit := exp>>2, 0
	for at, c := range text {
		if at == point {
			continue
		}
		if exp>>2 != place {
			add(place, digit)
			place, digit = exp>>2, 0
		}
		digit += int(c-'0') * int(pow10[exp&3])
		exp--
	}
	add(place, digit)
	if n == 0 {
		sign = 0
	}
	binary.BigEndian.PutUint32(out[start:], uint32(numericHead+2*n))
	binary.BigEndian.PutUint16(out[start+4:], uint16(n))
	binary.BigEndian.PutUint16(out[start+6:], uint16(weight))
	binary.BigEndian.PutUint16(out[start+8:], sign)
	return out
}

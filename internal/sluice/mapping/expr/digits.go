package expr

import (
	"bytes"
	"fmt"
	"math"
	"strconv"

	"ecluse"
)

// numberLiteral is 1.5 as it was written.
func numberLiteral(k *callSite) (Operand, error) {
	s, err := k.fixedText(0)
	if err != nil {
		return Operand{}, err
	}
	d, scale, ok := parseExact([]byte(s))
	if !ok {
		return Operand{}, fault(k.node, "want at most 18 digits, such as 0.0113, without an exponent")
	}
	return k.constant(fmt.Sprintf("decimal %d %d", d, scale), ecluse.Type{Kind: kDecimal, Precision: 18, Scale: scale},
		Vector{state: []uint8{0}, num: []int64{d}}), nil
}

// parseExact reads -12.340 as (-12340, 3): every digit counts, no exponent.
func parseExact(s []byte) (d int64, scale int, ok bool) {
	i := 0
	if len(s) > maxScale && bytes.IndexByte(s, '.') >= 0 {
		s = bytes.TrimRight(s, "0")
	}
	negative := len(s) > 0 && s[0] == '-'
	if negative || len(s) > 0 && s[0] == '+' {
		i = 1
	}
	digits, point := 0, false
	var u uint64
	for ; i < len(s); i++ {
		if s[i] == '.' && !point {
			point = true
			continue
		}
		if s[i] < '0' || s[i] > '9' || u > math.MaxInt64/10 {
			return 0, 0, false
		}
		u = u*10 + uint64(s[i]-'0')
		digits++
		if point {
			scale++
		}
	}
	if digits == 0 || scale > maxScale {
		return 0, 0, false
	}
	d, ok = signed(0, u, negative)
	return d, scale, ok
}

func toDecimal(k *callSite) (Operand, error) {
	scale, mode, err := k.scaleAndMode(1)
	if err != nil {
		return Operand{}, err
	}
	return k.parseDecimal(scale, mode, ecluse.Type{Kind: kDecimal, Precision: 18, Scale: scale})
}

// parseDecimal reads a text or a number of no fixed scale.
func (k *callSite) parseDecimal(scale int, mode string, t ecluse.Type) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	return k.textToNum(fmt.Sprintf("parse %d %s", scale, mode), t, true, a, func(s []byte) (int64, bool) {
		d, from, ok := parseExact(s)
		if !ok {
			return 0, false
		}
		return rescale(d, from, scale, mode)
	}), nil
}

// toFloat takes what is written as a decimal, as strconv rounds it; no words.
func toFloat(k *callSite) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	return k.textToNum("float", widest(kFloat), true, a, func(s []byte) (int64, bool) {
		if !plainNumber(s) {
			return 0, false
		}
		f, err := strconv.ParseFloat(string(s), 64)
		return int64(math.Float64bits(f)), err == nil
	}), nil
}

// plainNumber tells -12.5e3: a sign, digits with a point, an exponent.
func plainNumber(s []byte) bool {
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	digits, point := 0, false
	for i, c := range s {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' && !point:
			point = true
		case (c == 'e' || c == 'E') && digits > 0 && i+1 < len(s):
			e := s[i+1:]
			if e[0] == '-' || e[0] == '+' {
				e = e[1:]
			}
			for _, d := range e {
				if d < '0' || d > '9' {
					return false
				}
			}
			return len(e) > 0
		default:
			return false
		}
	}
	return digits > 0
}

func toNumber(k *callSite) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	return k.textToText("number", widest(kNumber), true, a, func(dst, s []byte) ([]byte, []byte, bool) {
		return dst, s, plainNumber(s)
	}), nil
}

// floatToDecimal takes the shortest decimal that reads back as the same float.
func floatToDecimal(k *callSite) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	scale, mode, err := k.scaleAndMode(1)
	if err != nil {
		return Operand{}, err
	}
	single := 64
	if a.Type.Precision == 24 {
		single = 32
	}
	t := ecluse.Type{Kind: kDecimal, Precision: 18, Scale: scale}
	return k.num1(fmt.Sprintf("decimal of float %d %s %d", scale, mode, single), t, true, a, func(x int64) (int64, bool) {
		f := math.Float64frombits(uint64(x))
		if math.IsNaN(f) || math.Abs(f) >= 1e18 {
			return 0, false
		}
		var room [64]byte
		d, from, ok := parseExact(strconv.AppendFloat(room[:0], f, 'f', -1, single))
		if !ok {
			return 0, false
		}
		return rescale(d, from, scale, mode)
	}), nil
}

// Decimal reads a decimal written out, such as -12.50, at a scale: whether it is
// one, and needs no more digits, is told.
func Decimal(s []byte, scale int) (unscaled int64, ok bool) {
	d, from, ok := parseExact(s)
	if !ok || scale < 0 || scale > maxScale {
		return 0, false
	}
	return rescale(d, from, scale, "exact")
}

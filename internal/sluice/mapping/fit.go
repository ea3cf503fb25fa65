package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"ecluse"
)

// fit is what a target column can hold. Nothing is cut, rounded or replaced to
// make it fit.
type fit struct {
	low, high int64 // of values kept as integers
	unit      int64 // microseconds that a time is a multiple of; 1: any
	single    bool  // a float of 24 bits
	chars     int   // characters of a text, or bytes of a binary value; 0: any number
	binary    bool
	noNUL     bool // PostgreSQL's texts cannot hold it
	labels    map[string]bool
	digits    int // of a number: all and after the point; 0: any number
	scale     int
	notNull   bool
}

// postgresEpoch is 4714-11-24 BC, PostgreSQL's first day.
const postgresEpoch = int64(-210866803200000000)

var declaredDigits = regexp.MustCompile(`^(?:numeric|decimal) ?\((\d+)(?:, ?(\d+))?\)`)

// fitOf is what a column of an engine can hold.
func fitOf(engine ecluse.Engine, col *ecluse.Column) fit {
	f := fit{low: math.MinInt64, high: math.MaxInt64, unit: 1, notNull: !col.Nullable}
	declared := strings.ToLower(col.Declared)
	switch col.Type.Kind {
	case kBool:
		f.low, f.high = 0, 1
	case kInt:
		if engine != ecluse.SQLite {
			f.low, f.high = intRange(declared)
		}
	case kDecimal:
		f.high = pow10[min(max(col.Type.Precision, 0), maxScale)] - 1
		f.low = -f.high
	case kNumber:
		if m := declaredDigits.FindStringSubmatch(declared); m != nil {
			f.digits, _ = strconv.Atoi(m[1])
			f.scale, _ = strconv.Atoi(m[2])
		}
	case kFloat:
		f.single = col.Type.Precision == 24
	case kText:
		f.chars, f.noNUL = col.MaxLength, engine == ecluse.PostgreSQL
		for i, l := range col.Labels {
			if i == 0 {
				f.labels = map[string]bool{}
			}
			f.labels[l] = true
		}
	case kBytes:
		f.chars, f.binary = col.MaxLength, true
	case kTime, kTimestamp, kInstant:
		for range 6 - min(max(col.FracDigits, 0), 6) {
			f.unit *= 10
		}
		if engine == ecluse.PostgreSQL && col.Type.Kind == kTime {
			f.low, f.high = 0, microsPerDay
		} else if engine == ecluse.PostgreSQL {
			f.low = postgresEpoch
		}
	case kDate:
		if engine == ecluse.PostgreSQL {
			f.low = postgresEpoch / microsPerDay
		}
	}
	return f
}

// intRange is the range of an integer type by its declared name.
func intRange(declared string) (low, high int64) {
	bits := 64
	for _, t := range []struct {
		prefix string
		bits   int
	}{{"tinyint", 8}, {"smallint", 16}, {"int2", 16}, {"mediumint", 24}, {"integer", 32}, {"int4", 32}, {"int(", 32}, {"int ", 32}} {
		if strings.HasPrefix(declared+" ", t.prefix) {
			bits = t.bits
			break
		}
	}
	if strings.Contains(declared, "unsigned") {
		if bits == 64 {
			return 0, math.MaxInt64
		}
		return 0, 1<<bits - 1
	}
	return -1 << (bits - 1), 1<<(bits-1) - 1
}

// integer tells whether v fits.
func (f *fit) integer(v int64, k ecluse.DataKind) bool {
	if k == kFloat {
		x := math.Float64frombits(uint64(v))
		return !f.single || x != x || float64(float32(x)) == x
	}
	if v >= f.low && v <= f.high && (f.unit == 1 || v%f.unit == 0) {
		return true
	}
	return infinite(v) && (k == kDate || k == kTimestamp || k == kInstant)
}

// free tells that every value kept as an integer fits.
func (f *fit) free(k ecluse.DataKind) bool {
	return f.low == math.MinInt64 && f.high == math.MaxInt64 && f.unit == 1 && !(k == kFloat && f.single)
}

// freeText tells that every value kept as bytes fits.
func (f *fit) freeText(k ecluse.DataKind) bool {
	if k == kNumber {
		return f.digits == 0
	}
	return f.chars == 0 && !f.noNUL && f.labels == nil
}

// text tells whether a text, number or binary value fits.
func (f *fit) text(s []byte, k ecluse.DataKind) bool {
	switch {
	case k == kNumber:
		return f.digits == 0 || f.number(s)
	case f.binary:
		return f.chars == 0 || len(s) <= f.chars
	case f.chars > 0 && len(s) > f.chars && utf8.RuneCount(s) > f.chars:
		return false
	case f.noNUL && bytes.IndexByte(s, 0) >= 0:
		return false
	}
	return f.labels == nil || f.labels[string(s)]
}

// number tells whether a number has no more digits than declared.
func (f *fit) number(s []byte) bool {
	if string(s) == "NaN" {
		return true
	}
	s = bytes.TrimLeft(s, "+-")
	whole, frac, _ := bytes.Cut(s, []byte("."))
	whole, frac = bytes.TrimLeft(whole, "0"), bytes.TrimRight(frac, "0")
	for _, c := range whole {
		if c < '0' || c > '9' {
			return false
		}
	}
	for _, c := range frac {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(whole) <= f.digits-f.scale && len(frac) <= f.scale
}

// converted is an operand as a target column's type, where that loses nothing
// by its nature: whole numbers, decimals and numbers among themselves. What a
// value needs beyond that, the mapping says.
func (c *compiler) converted(o operand, t ecluse.Type) (operand, error) {
	if o.literal {
		return c.null(t), nil
	}
	from, to := o.typ.Kind, t.Kind
	sf, st := o.typ.Scale, t.Scale
	if to != kDecimal {
		st = 0
	}
	switch {
	case from == kDecimal && to == kDecimal && sf == st:
		return o, nil
	case (from == kInt || from == kDecimal) && (to == kInt || to == kDecimal) && (from != kInt || to != kInt):
		return c.numOr(misfit, fmt.Sprintf("fit %d to %d", sf, st), t, false, o, func(v int64) (int64, bool) { return rescale(v, sf, st, "exact") }), nil
	case (from == kInt || from == kDecimal) && to == kNumber:
		return c.numToText(fmt.Sprintf("number of %d", sf), t, false, o, func(dst []byte, v int64) ([]byte, bool) { return appendDecimal(dst, v, sf), true }), nil
	case from == kNumber && (to == kInt || to == kDecimal):
		return c.textOr(misfit, fmt.Sprintf("fit number to %d", st), t, false, o, func(s []byte) (int64, bool) {
			d, scale, ok := parseExact(s)
			if !ok {
				return 0, false
			}
			return rescale(d, scale, st, "exact")
		}), nil
	case from == kInt && to == kFloat:
		return c.numOr(misfit, "fit float", t, false, o, func(v int64) (int64, bool) {
			return int64(math.Float64bits(float64(v))), v >= -1<<53 && v <= 1<<53
		}), nil
	case from == to && from != rowKind:
		return o, nil
	}
	return o, errors.New(mismatch(from, to))
}

// mismatch says what to write instead.
func mismatch(from, to ecluse.DataKind) string {
	why := fmt.Sprintf("the column is %s, the expression gives %s", to, from)
	hints := map[[2]ecluse.DataKind]string{
		{kDate, kTimestamp}: "timestamp(x)", {kTimestamp, kDate}: "date_of(x)", {kInstant, kTimestamp}: "wall(x, 'UTC')",
		{kTimestamp, kInstant}: "instant(x, 'UTC')", {kDate, kInstant}: "instant(timestamp(x), 'UTC')", {kInstant, kDate}: "date_of(wall(x, 'UTC'))",
		{kText, kInt}: "to_int(x)", {kText, kDecimal}: "to_decimal(x, 2)", {kText, kNumber}: "to_number(x)", {kText, kFloat}: "to_float(x)",
		{kText, kDate}: "parse_date(x, 'YYYY-MM-DD')", {kText, kTime}: "parse_time(x, 'HH:MI')", {kText, kTimestamp}: "parse_timestamp(x, 'YYYY-MM-DD HH:MI:SS')",
		{kFloat, kDecimal}: "to_decimal(x, 2, half_up)", {kFloat, kInt}: "to_int(to_decimal(x, 0, half_up))", {kFloat, kNumber}: "to_decimal(x, 2, half_up)",
		{kDecimal, kFloat}: "to_float(to_text(x))", {kNumber, kFloat}: "to_float(x)", {kBool, kInt}: "x ? 1 : 0", {kInt, kBool}: "x != 0",
		{kBool, kText}: "x ? 'Y' : 'N'", {kText, kBool}: "x == 'Y'", {kDate, kText}: "format_date(x, 'DD/MM/YYYY')",
		{kTimestamp, kText}: "format_date(x, 'YYYY-MM-DD HH:MI:SS')", {kInstant, kText}: "format_date(wall(x, 'UTC'), 'YYYY-MM-DD HH:MI:SS')",
		{kInt, kText}: "to_text(x)", {kDecimal, kText}: "to_text(x)", {kNumber, kText}: "to_text(x)", {kFloat, kText}: "to_text(x)",
		{rowKind, kInt}: "a column of the row: x.name",
	}
	if h, ok := hints[[2]ecluse.DataKind{from, to}]; ok {
		return why + ": write " + h
	}
	return why
}

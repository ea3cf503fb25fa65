package mapping

import (
	"bytes"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"ecluse"
	"ecluse/internal/sluice/mapping/expr"
	"ecluse/internal/sluice/record"
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

// postgresEpoch is 4714-11-24 BC, PostgreSQL's first day, in microseconds.
const (
	postgresEpoch = int64(-210866803200000000)
	dayMicros     = int64(24*60*60) * 1_000_000
)

var declaredDigits = regexp.MustCompile(`^(?:numeric|decimal) ?\((\d+)(?:, ?(\d+))?\)`)

// fitOf is what a column of an engine can hold.
func fitOf(engine ecluse.Engine, col *ecluse.Column) fit {
	f := fit{low: math.MinInt64, high: math.MaxInt64, unit: 1, notNull: !col.Nullable}
	declared := strings.ToLower(col.Declared)
	switch col.Type.Kind {
	case ecluse.Bool:
		f.low, f.high = 0, 1
	case ecluse.Int:
		if engine != ecluse.SQLite {
			f.low, f.high = intRange(declared)
		}
	case ecluse.Decimal:
		f.high = nines(col.Type.Precision)
		f.low = -f.high
	case ecluse.Number:
		if m := declaredDigits.FindStringSubmatch(declared); m != nil {
			f.digits, _ = strconv.Atoi(m[1])
			f.scale, _ = strconv.Atoi(m[2])
		}
	case ecluse.Float:
		f.single = col.Type.Precision == 24
	case ecluse.Text:
		f.chars, f.noNUL = col.MaxLength, engine == ecluse.PostgreSQL
		for i, l := range col.Labels {
			if i == 0 {
				f.labels = map[string]bool{}
			}
			f.labels[l] = true
		}
	case ecluse.Bytes:
		f.chars, f.binary = col.MaxLength, true
	case ecluse.Time, ecluse.Timestamp, ecluse.Instant:
		for range 6 - min(max(col.FracDigits, 0), 6) {
			f.unit *= 10
		}
		if engine == ecluse.PostgreSQL && col.Type.Kind == ecluse.Time {
			f.low, f.high = 0, dayMicros
		} else if engine == ecluse.PostgreSQL {
			f.low = postgresEpoch
		}
	case ecluse.Date:
		if engine == ecluse.PostgreSQL {
			f.low = postgresEpoch / dayMicros
		}
	}
	return f
}

// nines is the highest number of so many digits, 18 at most.
func nines(digits int) int64 {
	n := int64(1)
	for range min(digits, 18) {
		n *= 10
	}
	return n - 1
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
	if k == ecluse.Float {
		x := math.Float64frombits(uint64(v))
		return !f.single || x != x || float64(float32(x)) == x
	}
	if v >= f.low && v <= f.high && (f.unit == 1 || v%f.unit == 0) {
		return true
	}
	return (v == ecluse.Infinity || v == ecluse.NegInfinity) && (k == ecluse.Date || k == ecluse.Timestamp || k == ecluse.Instant)
}

// free tells that every value kept as an integer fits.
func (f *fit) free(k ecluse.DataKind) bool {
	return f.low == math.MinInt64 && f.high == math.MaxInt64 && f.unit == 1 && !(k == ecluse.Float && f.single)
}

// freeText tells that every value kept as bytes fits.
func (f *fit) freeText(k ecluse.DataKind) bool {
	if k == ecluse.Number {
		return f.digits == 0
	}
	return f.chars == 0 && !f.noNUL && f.labels == nil
}

// text tells whether a text, number or binary value fits.
func (f *fit) text(s []byte, k ecluse.DataKind) bool {
	switch {
	case k == ecluse.Number:
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

// fits tells whether a value that is there fits the column.
func (s *sink) fits(v *expr.Vector, i int) bool {
	if record.Fixed(s.kind) {
		return s.fit.integer(v.Int(i), s.kind)
	}
	return s.fit.text(v.Text(i), s.kind)
}

package sqlite

import (
	"bytes"
	"database/sql/driver"
	"errors"
	"math"
	"strconv"

	"ecluse"
	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/record"
)

// fit is what a column of the target does to values on their way in. SQLite
// changes some without a word; such a source row is refused instead.
type fit struct {
	affinity engine.Affinity
	key      bool // of the primary key
}

// check finds what is wrong with value i of a column; nil when nothing can be.
func (f fit) check(k ecluse.DataKind) func(c *record.Column, i int) string {
	var check func(c *record.Column, i int) string
	numeric := f.affinity == engine.Integer || f.affinity == engine.Real || f.affinity == engine.Numeric
	switch {
	case k == ecluse.Float:
		check = func(c *record.Column, i int) string {
			if math.IsNaN(c.Float(i)) {
				return "NaN, which SQLite keeps as null"
			}
			return ""
		}
	case k == ecluse.Number && numeric:
		check = func(c *record.Column, i int) string {
			v := c.Bytes(i)
			if _, _, ok := small(v); ok || special(v) {
				return ""
			}
			if _, ok := number(v); !ok {
				return "more digits than SQLite keeps of a number"
			}
			return ""
		}
	case k == ecluse.Text && numeric:
		check = func(c *record.Column, i int) string {
			if altered(c.Bytes(i)) {
				return "a text that SQLite would keep as another number"
			}
			return ""
		}
	}
	if check == nil && !f.key {
		return nil
	}
	return func(c *record.Column, i int) string {
		switch {
		case c.Null(i) && f.key:
			return "null in the primary key"
		case c.Null(i) || check == nil:
			return ""
		}
		return check(c, i)
	}
}

// number is an exact number as SQLite keeps it: an integer of 64 bits or a
// binary float. It is false when that would not be the number any more.
func number(text []byte) (driver.Value, bool) {
	if m, scale, ok := small(text); ok {
		if scale == 0 {
			return m, true
		}
		return float64(m) / power10[scale], true // both exact, so the nearest float there is
	}
	digits := plain(text)
	if digits == nil {
		return nil, false
	}
	s := string(digits)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) || strconv.FormatFloat(f, 'f', -1, 64) != s {
		return nil, false
	}
	return f, true
}

// exactDigits is how many decimal digits every binary float of 64 bits keeps.
const exactDigits = 15

var power10 = [exactDigits + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// small reads a number of at most 15 digits: m × 10^−scale, scale as small as
// can be. It is false for any other text.
func small(text []byte) (m int64, scale int, ok bool) {
	digits, negative, point := 0, false, false
	for i, c := range text {
		switch {
		case c >= '0' && c <= '9':
			if digits++; digits > exactDigits {
				return 0, 0, false
			}
			m = m*10 + int64(c-'0')
			if point {
				scale++
			}
		case c == '.' && !point:
			point = true
		case c == '-' && i == 0:
			negative = true
		default:
			return 0, 0, false
		}
	}
	for scale > 0 && m%10 == 0 {
		m, scale = m/10, scale-1
	}
	if negative {
		m = -m
	}
	return m, scale, digits > 0
}

// plain writes a number in plain notation without needless zeros: -0012.50 as
// -12.5. It is nil for what is not a number in plain notation.
func plain(text []byte) []byte {
	sign, rest := []byte(nil), text
	if len(rest) > 0 && (rest[0] == '-' || rest[0] == '+') {
		if rest[0] == '-' {
			sign = rest[:1]
		}
		rest = rest[1:]
	}
	whole, part, _ := bytes.Cut(rest, []byte{'.'})
	for _, d := range [][]byte{whole, part} {
		for _, c := range d {
			if c < '0' || c > '9' {
				return nil
			}
		}
	}
	if len(whole)+len(part) == 0 {
		return nil
	}
	whole, part = bytes.TrimLeft(whole, "0"), bytes.TrimRight(part, "0")
	if len(whole) == 0 {
		whole = []byte{'0'}
		if len(part) == 0 {
			sign = nil
		}
	}
	out := append(append(make([]byte, 0, len(text)+2), sign...), whole...)
	if len(part) > 0 {
		out = append(append(out, '.'), part...)
	}
	return out
}

// special tells the numbers that are words: they stay texts in SQLite.
func special(text []byte) bool {
	switch string(text) {
	case "NaN", "Infinity", "-Infinity":
		return true
	}
	return false
}

// altered tells a text that a numeric column would turn into a number that reads
// otherwise: 007, 1.50, 1e3, with blanks around.
func altered(text []byte) bool {
	trimmed := bytes.Trim(text, " \t\n\v\f\r")
	if len(trimmed) == 0 || bytes.IndexByte([]byte("+-.0123456789"), trimmed[0]) < 0 {
		return false
	}
	if _, err := strconv.ParseFloat(string(trimmed), 64); err != nil && !errors.Is(err, strconv.ErrRange) {
		return false
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	return err != nil || strconv.FormatInt(n, 10) != string(text)
}

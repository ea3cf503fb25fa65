package sqlite

import (
	"database/sql/driver"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// Decode appends a value as its column's type. It is false, and nothing is
// appended, when the value's storage class is not that type's: SQLite lets any
// value stand in any column.
func Decode(col *record.Column, v driver.Value) bool {
	switch v := v.(type) {
	case nil:
		col.AppendNull()
		return true
	case int64:
		return decodeInt(col, v)
	case float64:
		return decodeFloat(col, v)
	case string:
		switch col.Type().Kind {
		case ecluse.Text:
			if !utf8.ValidString(v) {
				return false
			}
		case ecluse.Number:
			if v != "NaN" && v != "Infinity" && v != "-Infinity" {
				return false
			}
		default:
			return false
		}
		col.AppendString(v)
		return true
	case []byte:
		if col.Type().Kind != ecluse.Bytes {
			return false
		}
		col.AppendBytes(v)
		return true
	}
	return false
}

// DecodeRow appends one row, values in the order of the batch's columns. It
// returns the first column that does not take its value, or −1; the batch is then
// as it was before.
func DecodeRow(b *record.Batch, values []driver.Value) int {
	for i, col := range b.Columns {
		if !Decode(col, values[i]) {
			for _, done := range b.Columns[:i] {
				done.Truncate(col.Len())
			}
			return i
		}
	}
	return -1
}

func decodeInt(col *record.Column, v int64) bool {
	switch col.Type().Kind {
	case ecluse.Int:
		col.AppendInt(v)
	case ecluse.Bool:
		if v != 0 && v != 1 {
			return false
		}
		col.AppendInt(v)
	case ecluse.Number:
		col.CloseValue(strconv.AppendInt(col.Grow(), v, 10))
	case ecluse.Float: // an expression of a view: columns of reals hold none
		if int64(float64(v)) != v || v == math.MaxInt64 {
			return false
		}
		col.AppendFloat(float64(v))
	default:
		return false
	}
	return true
}

func decodeFloat(col *record.Column, v float64) bool {
	switch col.Type().Kind {
	case ecluse.Float:
		col.AppendFloat(v)
	case ecluse.Number:
		col.CloseValue(appendNumber(col.Grow(), v))
	default:
		return false
	}
	return true
}

// appendNumber writes the shortest decimal that stands for v, which is the text
// somebody wrote when it had at most 15 digits: SQLite keeps decimals as binary
// floating-point numbers.
func appendNumber(dst []byte, v float64) []byte {
	switch {
	case math.IsInf(v, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(v, -1):
		return append(dst, "-Infinity"...)
	case v == 0:
		return append(dst, '0') // minus nought is no number of its own
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}

// Misfit is the error for a value that Decode does not take: it names the row,
// counted from 1, and the column, never the value.
func Misfit(what string, row int64, column string, t ecluse.Type, v driver.Value) error {
	e := &ecluse.Error{
		Kind: ecluse.Failed, What: what, Where: fmt.Sprintf("row %d, column %s", row, column),
		Why:  fmt.Sprintf("the database holds %s where the column travels as %s", class(v), t),
		Next: "instruct the column with as: text, and let the mapping say what becomes of such values",
	}
	if s, ok := v.(string); ok && t.Kind == ecluse.Text && !utf8.ValidString(s) {
		e.Why, e.Next = "the text is not valid UTF-8", "correct the value in the old software: SQLite asks for UTF-8 and so do we"
	}
	return e
}

// class names the storage class of a value.
func class(v driver.Value) string {
	switch v.(type) {
	case nil:
		return "null"
	case int64:
		return "an integer"
	case float64:
		return "a real"
	case string:
		return "a text"
	case []byte:
		return "a blob"
	}
	return "something unknown"
}

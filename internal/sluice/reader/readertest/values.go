package readertest

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// Samples are values of a type that every engine which has the type keeps
// exactly, in the forms of Database.Insert.
func Samples(typ ecluse.Type) []any {
	switch typ.Kind {
	case ecluse.Bool:
		return []any{true, false}
	case ecluse.Int:
		return []any{int64(0), int64(-1), int64(math.MaxInt64), int64(math.MinInt64), int64(1 << 40)}
	case ecluse.Decimal:
		nines := strings.Repeat("9", typ.Precision)
		point := len(nines) - typ.Scale
		largest := strings.TrimSuffix(nines[:point]+"."+nines[point:], ".")
		if point == 0 {
			largest = "0" + largest
		}
		return []any{"0", "1", "-1", largest, "-" + largest}
	case ecluse.Number:
		return []any{"0", "-12.5", "0.001", "123456789012", "-99999999.0000001", "1000000"}
	case ecluse.Float:
		if typ.Precision == 24 {
			return []any{0.0, 0.5, -1.25, 3.0000000054977558e+38}
		}
		return []any{0.0, 0.1, -1.5, 1e-300, 1.7976931348623157e308, 5e-300}
	case ecluse.Text:
		return []any{
			"", " ", "LEFÈVRE", "trailing  ", "line\r\nbreak\ttab", `quote ' double " back \ slash`, "日本 𝄞", "NULL", `\N`,
			"0", "007", strings.Repeat("é", 30_000),
		}
	case ecluse.Bytes:
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		return []any{[]byte{}, []byte{0}, []byte("text"), all}
	case ecluse.Date:
		return []any{"1970-01-01", "1900-02-28", "2024-02-29", "1583-01-01", "9999-12-31"}
	case ecluse.Time:
		return []any{"00:00:00", "23:59:59.999999", "08:30:00.5"}
	case ecluse.Timestamp:
		return []any{"1970-01-01 00:00:00", "2024-02-29 13:14:15.123456", "1900-01-01 00:00:00", "9999-12-31 23:59:59"}
	case ecluse.Instant:
		return []any{"1971-01-01 00:00:00", "2024-02-29 13:14:15.123456", "2037-12-31 23:59:59", "2024-10-27 00:30:00"}
	}
	return nil
}

// Equal tells whether value i of a column is v, a value in the forms of
// Database.Insert. Exact numbers are compared by size.
func Equal(t testing.TB, c *record.Column, i int, v any) bool {
	t.Helper()
	if v == nil || c.Null(i) {
		return v == nil && c.Null(i)
	}
	typ := c.Type()
	switch v := v.(type) {
	case bool:
		return typ.Kind == ecluse.Bool && c.Int(i) == map[bool]int64{true: 1}[v]
	case int64:
		return typ.Kind == ecluse.Int && c.Int(i) == v
	case float64:
		return typ.Kind == ecluse.Float && c.Float(i) == v
	case []byte:
		return typ.Kind == ecluse.Bytes && string(c.Bytes(i)) == string(v)
	case string:
		return equalText(t, c, i, v)
	}
	t.Fatalf("a %T is no value of the suite", v)
	return false
}

func equalText(t testing.TB, c *record.Column, i int, v string) bool {
	t.Helper()
	micros := func(layout string) bool { return c.Int(i) == parse(t, layout, v).UnixMicro() }
	switch typ := c.Type(); typ.Kind {
	case ecluse.Text:
		return string(c.Bytes(i)) == v
	case ecluse.Number:
		return SameNumber(string(c.Bytes(i)), v)
	case ecluse.Decimal:
		unscaled := new(big.Rat).SetFrac(big.NewInt(c.Int(i)), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(typ.Scale)), nil))
		want, ok := new(big.Rat).SetString(v)
		return ok && unscaled.Cmp(want) == 0
	case ecluse.Date:
		return c.Int(i) == parse(t, time.DateOnly, v).Unix()/86400
	case ecluse.Time:
		midnight := parse(t, "15:04:05", "00:00:00")
		return c.Int(i) == parse(t, "15:04:05.999999", v).Sub(midnight).Microseconds()
	case ecluse.Timestamp, ecluse.Instant:
		return micros("2006-01-02 15:04:05.999999")
	}
	return false
}

func parse(t testing.TB, layout, v string) time.Time {
	t.Helper()
	at, err := time.Parse(layout, v)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// SameNumber compares the texts of two exact numbers by size.
func SameNumber(a, b string) bool {
	x, ok := new(big.Rat).SetString(a)
	y, ok2 := new(big.Rat).SetString(b)
	return ok && ok2 && x.Cmp(y) == 0
}

// Row is the values of row i of a batch as text, for comparisons in tests on
// invented rows: nulls are "∅", numbers are in lowest terms.
func Row(b *record.Batch, i int) string {
	var out []string
	for _, c := range b.Columns {
		switch {
		case c.Null(i):
			out = append(out, "∅")
		case c.Type().Kind == ecluse.Number:
			n, ok := new(big.Rat).SetString(string(c.Bytes(i)))
			if !ok {
				out = append(out, string(c.Bytes(i)))
				break
			}
			out = append(out, n.RatString())
		case c.Type().Kind == ecluse.Decimal:
			scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(c.Type().Scale)), nil)
			out = append(out, new(big.Rat).SetFrac(big.NewInt(c.Int(i)), scale).RatString())
		case c.Type().Kind == ecluse.Float:
			out = append(out, strconv.FormatFloat(c.Float(i), 'g', -1, 64))
		case record.Fixed(c.Type().Kind):
			out = append(out, strconv.FormatInt(c.Int(i), 10))
		default:
			out = append(out, string(c.Bytes(i)))
		}
	}
	return strings.Join(out, "|")
}

// Rows is Row of every row.
func Rows(b *record.Batch) []string {
	out := make([]string, b.Rows())
	for i := range out {
		out[i] = Row(b, i)
	}
	return out
}

// columnName names a column for a type.
func columnName(i int, typ ecluse.Type) string { return fmt.Sprintf("c%d_%s", i, typ.Kind) }

// Append adds v, a value in the forms of Database.Insert, to a column.
func Append(t testing.TB, c *record.Column, v any) {
	t.Helper()
	switch v := v.(type) {
	case nil:
		c.AppendNull()
	case bool:
		c.AppendBool(v)
	case int64:
		c.AppendInt(v)
	case float64:
		c.AppendFloat(v)
	case []byte:
		c.AppendBytes(v)
	case string:
		appendText(t, c, v)
	default:
		t.Fatalf("a %T is no value of the suite", v)
	}
}

func appendText(t testing.TB, c *record.Column, v string) {
	t.Helper()
	switch typ := c.Type(); typ.Kind {
	case ecluse.Decimal:
		n, ok := new(big.Rat).SetString(v)
		scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(typ.Scale)), nil)
		if ok {
			n.Mul(n, new(big.Rat).SetInt(scale))
		}
		if !ok || !n.IsInt() {
			t.Fatalf("%q is no %s", v, typ)
		}
		c.AppendInt(n.Num().Int64())
	case ecluse.Date:
		c.AppendInt(parse(t, time.DateOnly, v).Unix() / 86400)
	case ecluse.Time:
		c.AppendInt(parse(t, "15:04:05.999999", v).Sub(parse(t, "15:04:05", "00:00:00")).Microseconds())
	case ecluse.Timestamp, ecluse.Instant:
		c.AppendInt(parse(t, "2006-01-02 15:04:05.999999", v).UnixMicro())
	default:
		c.AppendString(v)
	}
}

// Batch makes a batch of a table's columns.
func Batch(t testing.TB, columns []Column, rows [][]any) *record.Batch {
	t.Helper()
	s := &record.Schema{}
	for _, c := range columns {
		s.Fields = append(s.Fields, record.Field{Name: c.Name, Type: c.Type})
	}
	b := record.NewBatch(s, len(rows))
	for _, row := range rows {
		for i, v := range row {
			Append(t, b.Columns[i], v)
		}
	}
	return b
}

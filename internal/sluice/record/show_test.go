package record

import (
	"math"
	"testing"

	"ecluse"
)

func TestShow(t *testing.T) {
	ints := func(k ecluse.DataKind, scale int, v int64, want string) {
		t.Helper()
		c := NewColumn(ecluse.Type{Kind: k, Precision: 18, Scale: scale}, 1)
		c.AppendInt(v)
		if got := c.Show(0); got != want {
			t.Errorf("%s %d: got %q, want %q", k, v, got, want)
		}
	}
	ints(ecluse.Int, 0, -12, "-12")
	ints(ecluse.Bool, 0, 1, "true")
	ints(ecluse.Decimal, 2, -5, "-0.05")
	ints(ecluse.Decimal, 2, 12345, "123.45")
	ints(ecluse.Decimal, 0, -7, "-7")
	ints(ecluse.Decimal, 2, math.MinInt64, "-92233720368547758.08")
	ints(ecluse.Date, 0, 0, "1970-01-01")
	ints(ecluse.Date, 0, -1, "1969-12-31")
	ints(ecluse.Date, 0, ecluse.Infinity, "infinity")
	ints(ecluse.Instant, 0, ecluse.NegInfinity, "-infinity")
	ints(ecluse.Instant, 0, 1_500_000, "1970-01-01T00:00:01.5Z")
	ints(ecluse.Timestamp, 0, 0, "1970-01-01T00:00:00")
	ints(ecluse.Time, 0, 86_400_000_000, "24:00:00")
	ints(ecluse.Time, 0, -3_600_000_000*838-1, "-838:00:00.000001")
	ints(ecluse.Time, 0, math.MinInt64, "-2562047788:00:54.775808")

	bytes := func(k ecluse.DataKind, v, want string) {
		t.Helper()
		c := NewColumn(ecluse.Type{Kind: k}, 1)
		c.AppendString(v)
		c.AppendNull()
		if got := c.Show(0); got != want {
			t.Errorf("%s: got %q, want %q", k, got, want)
		}
		if got := c.Show(1); got != "" || !c.Null(1) {
			t.Errorf("%s: a null shows as %q", k, got)
		}
	}
	bytes(ecluse.Text, "Noël", "Noël")
	bytes(ecluse.Number, "1e400", "1e400")
	bytes(ecluse.Bytes, "\x00\xff", "00ff")

	f := NewColumn(ecluse.Type{Kind: ecluse.Float, Precision: 24}, 1)
	f.AppendFloat(float64(float32(0.1)))
	if got := f.Show(0); got != "0.1" {
		t.Errorf("float: %q", got)
	}
}

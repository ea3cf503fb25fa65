// Package mappingtest makes schemas and batches for the tests of mappings.
package mappingtest

import (
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// Schema spells a schema: "id int, name text, amount decimal(10,2)".
func Schema(t testing.TB, spec string) *record.Schema {
	t.Helper()
	s := &record.Schema{}
	for _, f := range strings.Split(strings.ReplaceAll(spec, ", ", ";"), ";") {
		name, kind, _ := strings.Cut(f, " ")
		s.Fields = append(s.Fields, record.Field{Name: strings.ReplaceAll(name, "~", " "), Type: Type(t, kind)})
	}
	return s
}

func Type(t testing.TB, s string) ecluse.Type {
	t.Helper()
	name, size, _ := strings.Cut(strings.TrimSuffix(s, ")"), "(")
	typ := ecluse.Type{Kind: ecluse.DataKind(name)}
	if p, scale, ok := strings.Cut(size, ","); p != "" {
		typ.Precision, _ = strconv.Atoi(p)
		if ok {
			typ.Scale, _ = strconv.Atoi(scale)
		}
	}
	return typ
}

// Batch makes rows of a schema; nil is null.
func Batch(t testing.TB, s *record.Schema, rows ...[]any) *record.Batch {
	t.Helper()
	b := record.NewBatch(s, len(rows))
	for _, r := range rows {
		if len(r) != len(s.Fields) {
			t.Fatalf("row of %d values, want %d", len(r), len(s.Fields))
		}
		for i, v := range r {
			c := b.Columns[i]
			switch v := v.(type) {
			case nil:
				c.AppendNull()
			case int:
				c.AppendInt(int64(v))
			case int64:
				c.AppendInt(v)
			case float64:
				c.AppendFloat(v)
			case bool:
				c.AppendBool(v)
			case string:
				c.AppendString(v)
			default:
				t.Fatalf("value %T", v)
			}
		}
	}
	return b
}

// Cell is a value as a test spells it. Patients in tests are invented.
func Cell(c *record.Column, i int) string {
	switch k := c.Type().Kind; {
	case c.Null(i):
		return "∅"
	case k == ecluse.Float:
		return strconv.FormatFloat(c.Float(i), 'g', -1, 64)
	case k == ecluse.Decimal:
		return decimal(c.Int(i), c.Type().Scale)
	case k == ecluse.Date:
		return time.Unix(c.Int(i)*24*60*60, 0).UTC().Format(time.DateOnly)
	case k == ecluse.Time:
		return time.UnixMicro(c.Int(i)).UTC().Format(time.TimeOnly)
	case k == ecluse.Timestamp || k == ecluse.Instant:
		return time.UnixMicro(c.Int(i)).UTC().Format(time.DateTime)
	case record.Fixed(k):
		return strconv.FormatInt(c.Int(i), 10)
	}
	return string(c.Bytes(i))
}

func decimal(v int64, scale int) string {
	return new(big.Rat).SetFrac(big.NewInt(v), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)).FloatString(scale)
}

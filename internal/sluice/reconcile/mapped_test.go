package reconcile

import (
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// TestCompareMapped: rows that nobody wrote are counted as the target would count them,
// beside those that stand there.
func TestCompareMapped(t *testing.T) {
	table := ecluse.TableName{Schema: "lims", Name: "result"}
	n := func(v int64) *int64 { return &v }
	yes := true
	rows := func() *record.Batch {
		b := record.NewBatch(&record.Schema{Fields: []record.Field{
			{Name: "id", Type: typeInt},
			{Name: "code", Type: typeText},
			{Name: "value", Type: typeNumber},
			{Name: "day", Type: ecluse.Type{Kind: ecluse.Date}},
			{Name: "share", Type: ecluse.Type{Kind: ecluse.Float}},
			{Name: "test", Type: ecluse.Type{Kind: ecluse.Decimal, Precision: 10}},
		}}, 3)
		for i, code := range []string{"101", "102", "101", ""} {
			b.Columns[0].AppendInt(int64(i + 1))
			if code == "" {
				b.Columns[1].AppendNull()
				b.Columns[2].AppendNull()
			} else {
				b.Columns[1].AppendString(code)
				b.Columns[2].AppendString("1.25")
			}
			b.Columns[3].AppendInt(int64(18262 + i))
			b.Columns[4].AppendFloat(1)
			b.Columns[5].AppendInt(10004)
		}
		return b
	}
	codes := map[string]string{"101": "GLU", "102": "CREA"}
	for name, c := range map[string]struct {
		check    ecluse.ShapeCheck
		source   []string
		standing []string
		off      int
		why      string
	}{
		"per code":                    {ecluse.ShapeCheck{Count: true, By: "code", Codes: "t"}, []string{"GLU|4|-|-|-", "CREA|2|-|-|-", "-|2|-|-|-"}, nil, 0, ""},
		"a code too few":              {ecluse.ShapeCheck{Count: true, By: "code", Codes: "t"}, []string{"GLU|4|-|-|-", "CREA|3|-|-|-", "-|2|-|-|-"}, nil, 1, ""},
		"rows that stand there":       {ecluse.ShapeCheck{Count: true}, []string{"-|8|-|-|-"}, []string{"-|3|-|-|-"}, 1, ""},
		"rows that stand there, kept": {ecluse.ShapeCheck{Count: true}, []string{"-|11|-|-|-"}, []string{"-|3|-|-|-"}, 0, ""},
		"sums":                        {ecluse.ShapeCheck{Sum: "value"}, []string{"-|-|7.50|-|-"}, []string{"-|-|-|-|-"}, 0, ""},
		"first and last":              {ecluse.ShapeCheck{First: "day", Last: "day"}, []string{"-|-|-|2020-01-01|2020-01-04"}, nil, 0, ""},
		"under conditions":            {ecluse.ShapeCheck{Count: true, Where: []ecluse.ShapeEq{{Column: "id", From: n(2), Before: n(4)}, {Column: "code", Equals: "101"}}}, []string{"-|2|-|-|-"}, nil, 0, ""},
		"no code":                     {ecluse.ShapeCheck{Count: true, Where: []ecluse.ShapeEq{{Column: "code", Null: &yes}}}, []string{"-|2|-|-|-"}, nil, 0, ""},
		"a day":                       {ecluse.ShapeCheck{Count: true, Where: []ecluse.ShapeEq{{Column: "day", Equals: "2020-01-02"}}}, []string{"-|2|-|-|-"}, nil, 0, ""},
		"moved keys":                  {ecluse.ShapeCheck{Count: true, By: "id", Minus: 1, Where: []ecluse.ShapeEq{{Column: "id", Before: n(3)}}}, []string{"0|2|-|-|-", "1|2|-|-|-"}, nil, 0, ""},
		"moved keys of numeric(10)":   {ecluse.ShapeCheck{Count: true, By: "test", Minus: 10000}, []string{"4|8|-|-|-"}, nil, 0, ""},
		"a column nobody writes":      {ecluse.ShapeCheck{Count: true, Where: []ecluse.ShapeEq{{Column: "state", Equals: "F"}}}, nil, nil, 0, "does not write state"},
		"a key each database writes":  {ecluse.ShapeCheck{Count: true, By: "share"}, nil, nil, 0, "how the target writes share"},
	} {
		c.check.Name, c.check.Table = "c", table
		m := NewMapped(c.check)
		for range 2 {
			m.Add(table, rows())
			m.Add(ecluse.TableName{Schema: "lims", Name: "other"}, rows())
		}
		into := map[string]Figures{}
		var named []string
		for _, l := range c.source {
			named = append(named, "c|"+l)
		}
		if err := SplitChecks(lines(true, named...), into); err != nil {
			t.Fatal(err)
		}
		r := CompareMapped(m, codes, into["c"], lines(false, c.standing...))
		if len(r.Off) != c.off || !strings.Contains(r.Why, c.why) || r.Equal() != (c.off == 0 && c.why == "") {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

package expr

import (
	"slices"
	"testing"
	"unicode/utf8"

	"ecluse"
	"ecluse/internal/sluice/mapping/mappingtest"
	"ecluse/internal/sluice/record"
)

// FuzzExpression: no expression makes the compiler panic, and none that compiles
// fails on any row.
func FuzzExpression(f *testing.F) {
	for _, s := range []string{
		"i + 1", "d * 0.0113 > 3 ? s : null", "split(strip(s, '[0-9a-f]{40}$'), ',', drop_last_empty)[i]", "codes[s, i].label == null",
		"{'a': 1.5}[s]", "format_date(timestamp(day, parse_time(s, 'HH:MI')), 'DD/MM/YYYY HH:MI')", "instant(wall(ts, 'Europe/Paris'), 'Europe/Paris', later)",
		"coalesce(to_int(s), i, -9223372036854775808)", "repair(replace(s, 'a', 'b'), 'cp850') + lpad(left(s, 3), 9, 'é')", "round(div(d, i, 3, half_even), 1, exact)",
		"row['s'] in ['x'] && !(s < 'k') || x", "to_decimal(f, 3, half_up)", "-(-i) % 7", "'''a''' + r\"b\\\"", "[[1]][0]", "`a b`", "1.5e9", "0x10u", "b'\\xff'",
	} {
		f.Add(s)
	}
	codes := mappingtest.Schema(f, "code text, pos int, label text")
	table, err := NewTable("codes", codes, []string{"code", "pos"}, 9, 0)
	if err != nil {
		f.Fatal(err)
	}
	table.UseAll()
	table = table.Empty()
	if err := table.Fill(mappingtest.Batch(f, codes, []any{"x", 7, "un"}, []any{"y", 1, nil})); err != nil {
		f.Fatal(err)
	}
	src := mappingtest.Schema(f, "i int, d decimal(10,3), f float(53), n number, s text, x bytes, day date, t time, at timestamp, ts instant, b bool")
	rows := record.NewBatch(src, 4)
	for _, v := range []int64{0, -1, 7, 1 << 62, ecluse.Infinity, ecluse.NegInfinity} {
		for i, c := range rows.Columns {
			switch {
			case c.Type().Kind == kBool:
				c.AppendInt(v & 1)
			case stored(c.Type().Kind):
				c.AppendInt(v)
			case i%2 == 0:
				c.AppendString("x,1.5é\x00 â‰¥ 12:30")
			default:
				c.AppendString("")
			}
		}
	}
	for _, c := range rows.Columns {
		c.AppendNull()
	}
	f.Fuzz(func(t *testing.T, expr string) {
		c, err := New(src, map[string]*Table{"codes": table})
		if err != nil {
			t.Fatal(err)
		}
		o, err := c.Compile(expr)
		if err != nil || o.Null {
			return
		}
		m := NewMachine(c.Code(o.Reg), []*Table{table})
		m.Run(rows, 0, rows.Rows())
		v := m.Reg(o.Reg)
		for i := range rows.Rows() {
			if v.state[i&v.mask] != 0 {
				continue
			}
			switch k := o.Type.Kind; {
			case k == kBool && v.num[i&v.mask]>>1 != 0:
				t.Fatalf("%q: a boolean of %d", expr, v.num[i&v.mask])
			case k == kText && !utf8.Valid(v.txt[i&v.mask]):
				t.Fatalf("%q: a text that is not UTF-8", expr)
			}
		}
	})
}

// FuzzDesugar: taking the added brackets out again gives what was written.
func FuzzDesugar(f *testing.F) {
	for _, s := range []string{"t[a, b].c", "x in [1, 2]", "t['[,', \"]\" ]", "{'a': [1, 2]}[t[a, u[b, c]]]", "f(a, b)[1]", "r'\\'[a, b]", "[", "'''", "é[ü, 1]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		d := desugar(s)
		runes := []rune(d.text)
		for _, at := range slices.Backward(d.extra) {
			if runes[at] != '[' && runes[at] != ']' {
				t.Fatalf("%q: rune %d of %q is no bracket", s, at, d.text)
			}
			runes = slices.Delete(runes, at, at+1)
		}
		if string(runes) != s {
			t.Fatalf("%q became %q", s, d.text)
		}
	})
}

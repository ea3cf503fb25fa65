package mapping

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"ecluse"
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
	frozen, err := readFrozen("codes", &FrozenTable{Key: []string{"code", "pos"}}, []byte(codesCSV))
	if err != nil {
		f.Fatal(err)
	}
	src := schema(f, "i int, d decimal(10,3), f float(53), n number, s text, x bytes, day date, t time, at timestamp, ts instant, b bool")
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
		c, err := newCompiler(src, map[string]*table{"codes": frozen})
		if err != nil {
			t.Fatal(err)
		}
		o, err := c.compile(expr)
		if err != nil || o.literal {
			return
		}
		m := machine{regs: make([]vector, len(c.consts)), rows: make([]int, c.domains), parent: make([][]int32, c.domains), in: rows, tables: []*table{frozen}}
		copy(m.regs, c.consts)
		m.rows[0] = rows.Rows()
		for _, s := range c.steps {
			s.run(&m, m.rows[s.domain])
		}
		v := &m.regs[o.reg]
		for i := range rows.Rows() {
			if v.state[i&v.mask] != 0 {
				continue
			}
			switch k := o.typ.Kind; {
			case k == kBool && v.num[i&v.mask]>>1 != 0:
				t.Fatalf("%q: a boolean of %d", expr, v.num[i&v.mask])
			case k == kText && !utf8.Valid(v.txt[i&v.mask]):
				t.Fatalf("%q: a text that is not UTF-8", expr)
			}
		}
	})
}

// FuzzMapping: no document makes Parse or Check panic.
func FuzzMapping(f *testing.F) {
	f.Add(strings.Replace(head, "0000\n", "0001\n", 1) + "from: {d: [{into: t, columns: {id: id}}]}")
	f.Add(strings.Replace(head, "0000\n", "0001\n", 1) + "tables: {codes: {file: c.csv, sha256: " + sha(codesCSV) + ", key: [code, pos]}}\nhold: {kinds: {key: [code], rows: 9}}\n" +
		"from:\n  d:\n    - into: u\n      each: {p: \"split(values, ',')\", position: n}\n      let: {c: \"codes[code, n]\"}\n      skip: p == ''\n" +
		"      reject: {when: c == null, reason: no code}\n      columns: {id: counter, t_id: {row_of: t}, v: {value: p, miss: keep}}\n" +
		"sequences: {s: t.id}\nchecks: {n: {table: t, count: true, where: [{column: id, null: true}]}}")
	in := labInputs(f, codesCSV)
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := Parse("mapping.yaml", []byte(text))
		if err != nil {
			return
		}
		p, err := Check(doc, in)
		if err != nil || p.datasets["d"] == nil || len(p.wanted()) > 0 {
			return
		}
		r := NewRun(p)
		if r.Begin("d", nil) == nil && r.Apply(labRows(t)) == nil {
			_, _ = r.Output()
		}
	})
}

// wanted lists the tables that a run has to be given.
func (p *Program) wanted() (wanted []string) {
	for _, t := range p.tables {
		if !t.closed {
			wanted = append(wanted, t.name)
		}
	}
	return wanted
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

// FuzzFrozen: no file makes the reader of frozen tables panic.
func FuzzFrozen(f *testing.F) {
	f.Add([]byte(codesCSV))
	f.Add([]byte("\uFEFFcode;pos\n\"a;\"\"b\";1\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = readFrozen("k", &FrozenTable{Key: []string{"code"}, Delimiter: ";", Types: map[string]string{"pos": "int"}}, b)
	})
}

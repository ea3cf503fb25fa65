package mapping

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// schema spells a schema: "id int, name text, amount decimal(10,2)".
func schema(t testing.TB, spec string) *record.Schema {
	t.Helper()
	s := &record.Schema{}
	for _, f := range strings.Split(strings.ReplaceAll(spec, ", ", ";"), ";") {
		name, kind, _ := strings.Cut(f, " ")
		s.Fields = append(s.Fields, record.Field{Name: strings.ReplaceAll(name, "~", " "), Type: kindOf(t, kind)})
	}
	return s
}

func kindOf(t testing.TB, s string) ecluse.Type {
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

// batch makes rows of a schema; nil is null.
func batch(t testing.TB, s *record.Schema, rows ...[]any) *record.Batch {
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

// cell is a value as a test spells it. Patients in tests are invented.
func cell(c *record.Column, i int) string {
	switch k := c.Type().Kind; {
	case c.Null(i):
		return "∅"
	case k == kFloat:
		return strconv.FormatFloat(c.Float(i), 'g', -1, 64)
	case k == kDecimal:
		return string(appendDecimal(nil, c.Int(i), c.Type().Scale))
	case k == kDate || k == kTimestamp || k == kTime || k == kInstant:
		var p parts
		if !p.split(c.Int(i), k) {
			return "?"
		}
		d, clock := fmt.Sprintf("%04d-%02d-%02d", p.year, p.month, p.day), fmt.Sprintf("%02d:%02d:%02d", p.hour, p.minute, p.second)
		switch k {
		case kDate:
			return d
		case kTime:
			return clock
		}
		return d + " " + clock
	case stored(k):
		return strconv.FormatInt(c.Int(i), 10)
	}
	return string(c.Bytes(i))
}

// show spells an output: one line a row, "table: a|b", then rejects and reports.
func show(o *Output) string {
	var b strings.Builder
	for _, r := range o.Tables {
		for i := range r.Batch.Rows() {
			cells := make([]string, len(r.Batch.Columns))
			for j, c := range r.Batch.Columns {
				cells[j] = cell(c, i)
			}
			fmt.Fprintf(&b, "%s %d: %s\n", r.Table, r.Source[i], strings.Join(cells, "|"))
		}
	}
	for _, r := range o.Rejected {
		fmt.Fprintf(&b, "rejected %d: %s\n", r.Row, r.Reason)
	}
	for _, k := range sorted(keys(o.Reports)) {
		fmt.Fprintf(&b, "report %s: %d\n", k, o.Reports[k])
	}
	return b.String()
}

func keys(m map[string]int64) (k []string) {
	for s := range m {
		k = append(k, s)
	}
	return k
}

// target makes a catalogue: "t: id int!, name text(10)" a line, ! for NOT NULL.
func target(t testing.TB, tables ...string) *ecluse.Catalogue {
	t.Helper()
	c := &ecluse.Catalogue{Engine: ecluse.PostgreSQL}
	for _, spec := range tables {
		name, cols, _ := strings.Cut(spec, ": ")
		n, err := ecluse.ParseTableName(name)
		if err != nil {
			t.Fatal(err)
		}
		tab := ecluse.Table{Name: n, Kind: ecluse.BaseTable}
		for _, f := range strings.Split(cols, ", ") {
			col := ecluse.Column{FracDigits: 6, Nullable: !strings.HasSuffix(f, "!")}
			var kind string
			col.Name, kind, _ = strings.Cut(strings.TrimSuffix(f, "!"), " ")
			col.Type = kindOf(t, kind)
			if col.Type.Kind == kText || col.Type.Kind == kBytes {
				col.MaxLength, col.Type.Precision = col.Type.Precision, 0
			}
			col.Declared = kind
			if col.Type.Kind == kInt {
				col.Declared = "bigint"
			}
			tab.Columns = append(tab.Columns, col)
		}
		c.Tables = append(c.Tables, tab)
	}
	return c
}

const head = "ecluse: mapping/v1\nid: test-01\ninstruction: sha256:0000000000000000000000000000000000000000000000000000000000000000\n"

// build parses and checks a mapping of one dataset, "d".
func build(t testing.TB, body string, in Inputs) (*Program, error) {
	t.Helper()
	doc, err := Parse("mapping.yaml", []byte(strings.Replace(head, "0000\n", "0001\n", 1)+body))
	if err != nil {
		return nil, err
	}
	return Check(doc, in)
}

// apply runs one chunk of dataset d.
func apply(t testing.TB, p *Program, b ...*record.Batch) *Output {
	t.Helper()
	r := NewRun(p)
	if err := r.Begin("d", map[string]int64{}); err != nil {
		t.Fatal(err)
	}
	for _, b := range b {
		if err := r.Apply(b); err != nil {
			t.Fatal(err)
		}
	}
	o, err := r.Output()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestExpressions: one expression, one row, what comes out.
func TestExpressions(t *testing.T) {
	src := schema(t, "i int, j int, b bool, d decimal(10,2), e decimal(10,3), n number, f float(53), s text, u text, day date, at timestamp, ts instant, z int, zt text, Date~de~naissance text")
	at := int64(1_700_000_000_000_000) // 2023-11-14 22:13:20
	row := []any{7, -3, true, 1250, 1999, "12.50", 0.1, "Jean Paul DUPONT", "a,b,,c,", 19675, at, at, nil, nil, "x"}
	for expr, want := range map[string]string{
		// numbers
		"i + j": "int 4", "i - 10": "int -3", "i * j": "int -21", "-i": "int -7", "i % 4": "int 3", "i % 0": "miss",
		"9223372036854775807 + i": "miss", "i + d": "decimal 19.50", "d * 0.0113": "decimal 0.141250", "d + e": "decimal 14.499",
		"round(d * 0.0113, 3, half_up)": "decimal 0.141", "round(d * 0.0113, 3, down)": "decimal 0.141", "round(e, 2, half_even)": "decimal 2.00",
		"div(d, 3, 2, half_up)": "decimal 4.17", "div(i, 2, 0, half_even)": "decimal 4", "div(i, 2, 0, exact)": "miss", "div(i, 0, 0, half_up)": "miss",
		"div(-7, 2, 0, half_up)": "decimal -4", "div(i, 2, 0, down)": "decimal 3",
		"to_int('042')": "int 42", "to_int('4.0')": "int 4", "to_int('4.5')": "miss", "to_int(s)": "miss", "to_int(n)": "miss", "to_int(d)": "miss",
		"to_decimal('12.345', 3)": "decimal 12.345", "to_decimal('12.345', 2)": "miss", "to_decimal('12.345', 2, half_even)": "decimal 12.34",
		"to_decimal(n, 2)": "decimal 12.50", "to_decimal(f, 1, exact)": "decimal 0.1", "to_decimal(i, 2)": "decimal 7.00",
		"to_float('5.3')": "float 5.3", "to_float('NaN')": "miss", "to_float('1e400')": "miss", "to_number('00.10')": "number 00.10",
		"-1.5 + i": "decimal 5.5", "1 - 0.1": "decimal 0.9", "z + 1": "null",
		// texts
		"'<' + s + '>'": "text <Jean Paul DUPONT>", "last_word(s)": "text DUPONT", "before_last_word(s)": "text Jean Paul", "before_last_word('X')": "null",
		"upper('é')": "text É", "lower('ÀB')": "text àb", "trim(' a\\r\\n')": "text a", "left('éàü', 2)": "text éà", "right('éàü', 2)": "text àü", "right('a', 2)": "text a",
		"lpad('7', 3, '0')": "text 007", "lpad('1234', 3, '0')": "text 1234", "replace('a#b#', '#', '/')": "text a/b/", "size('éa')": "int 2",
		"strip('12,5,0123456789abcdef', '[0-9a-f]{16}$')": "text 12,5,", "strip('12', '[a-f]+')": "text 12",
		"repair('â‰¥1000', 'windows-1252')": "text ≥1000", "repair('é', 'windows-1252')": "text é", "repair('≥', 'windows-1252')": "text ≥",
		"before('4.0:10', ':')": "text 4.0", "after('4.0:10', ':')": "text 10", "before('4', ':')": "miss",
		"contains(s, 'Paul')": "bool 1", "starts_with(s, 'Paul')": "bool 0", "ends_with(s, 'DUPONT')": "bool 1", "matches(s, '^J.*T$')": "bool 1",
		"size(split(u, ','))": "int 5", "size(split(u, ',', drop_last_empty))": "int 4", "split(u, ',')[1]": "text b", "split(u, ',')[9]": "miss", "split(u, ',')[2]": "text ",
		"to_text(i) + to_text(d) + to_text(b) + to_text(n)": "text 712.50true12.50", "to_text(-0.05)": "text -0.05", "to_text(f)": "text 0.1",
		"zt + 'x'": "null", "trim(zt)": "null",
		// conditions and nulls
		"i > 3 && b": "bool 1", "z > 3 && !b": "bool 0", "z > 3 && b": "null", "z > 3 || b": "bool 1", "z == null": "bool 1", "null != z": "bool 0", "split(u, ',')[9] == null": "bool 1",
		"d == 12.5": "bool 1", "d > 12": "bool 1", "e < 2": "bool 1", "d >= e": "bool 1", "i == 7.0": "bool 1", "s < 'K'": "bool 1", "f == to_float('0.1')": "bool 1",
		"b ? i : 0": "int 7", "z > 0 ? i : 0": "null", "i > 100 ? 1 : null": "null", "b ? 1.5 : d": "decimal 1.50", "b ? null : s": "null",
		"coalesce(z, i)": "int 7", "coalesce(to_int(s), z, 4)": "int 4", "coalesce(to_int(s), null)": "null", "coalesce(z, to_int(s))": "miss",
		"null_if(u, u)": "null", "null_if(i, 8)": "int 7", "empty('')": "bool 1", "empty(zt)": "bool 1", "empty(s)": "bool 0",
		"s in ['x', 'Jean Paul DUPONT']": "bool 1", "i in [1, 2]": "bool 0", "z in [1]": "null", "{'a': 1, 'b': 2}[left(u, 1)]": "int 1", "{'b': 2}[s]": "miss", "{7: 'sept'}[i]": "text sept",
		"{'a': 1.5, 'b': 2.25}[left(u, 1)]": "decimal 1.50", "{'b': 2}[zt]": "null",
		// moments
		"day": "date 2023-11-14", "timestamp(day)": "timestamp 2023-11-14 00:00:00", "timestamp(day, parse_time('08:30', 'HH:MI'))": "timestamp 2023-11-14 08:30:00",
		"parse_date('31/12/1999', 'DD/MM/YYYY')": "date 1999-12-31", "parse_date('29/02/1900', 'DD/MM/YYYY')": "miss", "parse_date('0000-00-00', 'YYYY-MM-DD')": "miss",
		"parse_date('1/2/1999', 'DD/MM/YYYY')": "miss", "parse_timestamp('2020-02-29 23:59:59', 'YYYY-MM-DD HH:MI:SS')": "timestamp 2020-02-29 23:59:59",
		"parse_time('9h05', 'HHhMI')": "miss", "parse_time('09h05', 'HHhMI')": "time 09:05:00", "parse_time('24:00', 'HH:MI')": "miss",
		"format_date(day, 'DD/MM/YYYY')": "text 14/11/2023", "format_date(at, 'YYYYMMDDTHHMISS')": "text 20231114T221320", "date_of(at)": "date 2023-11-14", "time_of(at)": "time 22:13:20",
		"wall(ts, 'Europe/Paris')": "timestamp 2023-11-14 23:13:20", "instant(at, 'Europe/Paris')": "instant 2023-11-14 21:13:20", "ts < instant('1971-01-01T00:00:00Z')": "bool 0",
		"instant(timestamp('2023-10-29 02:30:00'), 'Europe/Paris')": "miss", "instant(timestamp('2023-10-29 02:30:00'), 'Europe/Paris', earlier)": "instant 2023-10-29 00:30:00",
		"instant(timestamp('2023-10-29 02:30:00'), 'Europe/Paris', later)": "instant 2023-10-29 01:30:00", "instant(timestamp('2023-03-26 02:30:00'), 'Europe/Paris', later)": "miss",
		"day < date('2024-01-01')": "bool 1",
		// names
		"row['Date de naissance']": "text x", "row.s == s": "bool 1", "row.`Date de naissance`": "text x",
	} {
		c, err := newCompiler(src, nil)
		if err != nil {
			t.Fatal(err)
		}
		o, err := c.compile(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if got := evaluate(c, o, batch(t, src, row)); got != want {
			t.Errorf("%s: got %q, want %q", expr, got, want)
		}
	}
}

// evaluate runs a compiled expression on a batch and spells its first value.
func evaluate(c *compiler, o operand, b *record.Batch) string {
	m := machine{regs: make([]vector, len(c.consts)), rows: make([]int, c.domains), parent: make([][]int32, c.domains), in: b}
	copy(m.regs, c.consts)
	m.rows[0] = b.Rows()
	for _, s := range c.steps {
		s.run(&m, m.rows[s.domain])
	}
	v := &m.regs[o.reg]
	switch {
	case v.state[0]&isMiss != 0:
		return "miss"
	case v.state[0] != 0:
		return "null"
	}
	col := record.NewColumn(o.typ, 1)
	switch {
	case o.typ.Kind == listKind:
		return "list"
	case stored(o.typ.Kind):
		col.AppendInt(v.num[0])
	default:
		col.AppendBytes(v.txt[0])
	}
	return string(o.typ.Kind) + " " + cell(col, 0)
}

// TestExpressionsRefused: what is wrong, and at which character.
func TestExpressionsRefused(t *testing.T) {
	src := schema(t, "i int, s text, d decimal(10,2), day date")
	for expr, want := range map[string]string{
		"i +":                          "column 4: ",
		"x + 1":                        "column 1: undeclared reference to 'x'",
		"i + s":                        "column 3: found no matching overload for '_+_' applied to '(int, string)'",
		"d / 3":                        "column 3: a division states digits and rounding: div(a, b, 3, half_up)",
		"1u":                           "column 1: write 1, 1.5",
		"b'x'":                         "column 1: write 1, 1.5",
		"[1, 2]":                       "column 1: a list or a map stands only after in",
		"[1, 2].map(x, x)":             "undeclared reference",
		"has(row.i)":                   "undeclared reference to 'has'",
		"s.size()":                     "found no matching overload for 'size'",
		"split(s, i)":                  "found no matching overload for 'split'",
		"split(s, s)":                  "column 10: must be a fixed text",
		"split(s, ',', half_up)":       "column 15: want drop_last_empty",
		"half_up":                      "column 1: half_up has no value by itself",
		"matches(s, '(')":              "column 12: error parsing regexp",
		"parse_date(s, 'DD/MM')":       "column 15: a date needs YYYY, MM and DD",
		"parse_date(s, 'DD/MM/YY')":    "column 15: want YYYY MM DD",
		"format_date(day, 'HH')":       "column 18: a date has no such part",
		"round(d, 2, exact) + x":       "undeclared reference to 'x'",
		"round(d, i, half_up)":         "column 10: must be a fixed number from 0 to 18",
		"d * 0.00000000000000001":      "19 digits after the point",
		"date('31/12/1999')":           "column 6: want YYYY-MM-DD",
		"{'a': 1, 'a': 2}[s]":          "column 10: code given twice",
		"{s: 1}[s]":                    "column 2: must be written out",
		"{'a': 1, 'b': 'x'}[s]":        "not clear",
		"s in ['a', 1]":                "column 12: int where text is wanted",
		"i > 0 ? null : null":          "not clear",
		"null == null":                 "null is null",
		"repair(s, 'klingon')":         "want windows-1252",
		"lpad(s, 3, '00')":             "want one character",
		"replace(s, '', 'x')":          "nothing cannot be replaced",
		"instant(timestamp(day), 'X')": "want a time zone such as",
		"1.5e3":                        "at most 18 digits",
		"\"a\nb":                       "",
		"day[1]":                       "found no matching overload",
		"i\n + s":                      "line 2, column 2 of the expression: found no matching overload",
		strings.Repeat("(", 200) + "i": "",
		"row['zzz']":                   "undefined field 'zzz'",
	} {
		c, err := newCompiler(src, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.compile(expr)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", expr, err, want)
		}
	}
}

func TestArithmetic(t *testing.T) {
	for _, c := range []struct {
		a, b           int64
		add, sub, mult bool
	}{
		{math.MaxInt64, 1, false, true, true},
		{math.MinInt64, 1, true, false, false},
		{math.MinInt64, -1, false, true, false},
		{1 << 32, 1 << 31, true, true, false},
		{-1 << 31, 1 << 31, true, true, true},
		{0, math.MinInt64, true, false, true},
	} {
		if _, ok := addInt(c.a, c.b); ok != c.add {
			t.Errorf("%d + %d: fits %t", c.a, c.b, ok)
		}
		if _, ok := subInt(c.a, c.b); ok != c.sub {
			t.Errorf("%d − %d: fits %t", c.a, c.b, ok)
		}
		if v, ok := mulInt(c.a, c.b); ok && (c.a != 0 && v/c.a != c.b) {
			t.Errorf("%d × %d: %d", c.a, c.b, v)
		}
	}
	if cmpScaled(1<<62, 0, 1, 18) != 1 || cmpScaled(-1<<62, 0, -1, 18) != -1 || cmpScaled(15, 1, 150, 2) != 0 {
		t.Error("cmpScaled is wrong beyond 64 bits")
	}
}

package expr

import (
	"math"
	"strings"
	"testing"

	"ecluse/internal/sluice/mapping/mappingtest"
	"ecluse/internal/sluice/record"
)

// TestExpressions: one expression, one row, what comes out.
func TestExpressions(t *testing.T) {
	src := mappingtest.Schema(t, "i int, j int, b bool, d decimal(10,2), e decimal(10,3), n number, f float(53), s text, u text, day date, at timestamp, ts instant, z int, zt text, Date~de~naissance text")
	at := int64(1_700_000_000_000_000) // 2023-11-14 22:13:20
	row := []any{7, -3, true, 1250, 1999, "12.50", 0.1, "Jean Paul DUPONT", "a,b,,c,", 19675, at, at, nil, nil, "x"}
	for expr, want := range map[string]string{
		// numbers
		"i + j": "int 4", "i - 10": "int -3", "i * j": "int -21", "-i": "int -7", "i % 4": "int 3", "i % 0": "miss",
		"9223372036854775807 + i": "miss", "i + d": "decimal 19.50", "d * 0.0113": "decimal 0.141250", "d + e": "decimal 14.499",
		"round(d * 0.0113, 3, half_up)": "decimal 0.141", "round(d * 0.0113, 3, down)": "decimal 0.141", "round(e, 2, half_even)": "decimal 2.00",
		"div(d, 3, 2, half_up)": "decimal 4.17", "div(i, 2, 0, half_even)": "decimal 4", "div(i, 2, 0, exact)": "miss", "div(i, 0, 0, half_up)": "miss",
		"div(-7, 2, 0, half_up)": "decimal -4", "div(i, 2, 0, down)": "decimal 3", "div(9000000000000000000, 1, 18, half_up)": "miss", "div(i, 3, 18, down)": "decimal 2.333333333333333333",
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
		"zt + 'x'": "null", "trim(zt)": "null", "upper(s) + upper(left(u, 3))": "text JEAN PAUL DUPONTA,B",
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
		c, err := New(src, nil)
		if err != nil {
			t.Fatal(err)
		}
		o, err := c.Compile(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if got := evaluate(c, o, mappingtest.Batch(t, src, row)); got != want {
			t.Errorf("%s: got %q, want %q", expr, got, want)
		}
	}
}

// evaluate runs a compiled expression on a batch and spells its first value.
func evaluate(c *Compiler, o Operand, b *record.Batch) string {
	m := NewMachine(c.Code(o.Reg), nil)
	m.Run(b, 0, b.Rows())
	v := m.Reg(o.Reg)
	switch {
	case v.state[0]&Miss != 0:
		return "miss"
	case v.state[0] != 0:
		return "null"
	}
	col := record.NewColumn(o.Type, 1)
	switch {
	case o.Type.Kind == List:
		return "list"
	case stored(o.Type.Kind):
		col.AppendInt(v.num[0])
	default:
		col.AppendBytes(v.txt[0])
	}
	return string(o.Type.Kind) + " " + mappingtest.Cell(col, 0)
}

// TestExpressionsRefused: what is wrong, and at which character.
func TestExpressionsRefused(t *testing.T) {
	src := mappingtest.Schema(t, "i int, s text, d decimal(10,2), day date")
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
		c, err := New(src, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Compile(expr)
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

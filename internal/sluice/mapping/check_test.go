package mapping

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/document"
	"ecluse/internal/sluice/mapping/mappingtest"
	"ecluse/internal/sluice/record"
)

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"format":         {strings.Replace(head, "mapping/v1", "mapping/v2", 1) + "from: {d: [{into: t, columns: {id: id}}]}", "mapping.yaml:1: ecluse: want mapping/v1"},
		"nothing":        {head, "from: missing"},
		"no rule":        {head + "from: {d: []}", "from.d: no target table"},
		"no column":      {head + "from: {d: [{into: t, columns: {}}]}", "must not be empty"},
		"unknown key":    {head + "from: {d: [{into: t, skipp: x, columns: {id: id}}]}", "skipp: unknown key: did you mean skip?"},
		"outcome":        {head + "from: {d: [{into: t, columns: {id: {value: id, miss: ignore}}}]}", "miss: want null, keep, value, reject or block"},
		"default":        {head + "from: {d: [{into: t, columns: {id: {value: id, miss: value}}}]}", "miss: value and default: go together"},
		"report":         {head + "from: {d: [{into: t, columns: {id: {value: id, report: x}}}]}", "report: say what happens"},
		"empty":          {head + "from: {d: [{into: t, columns: {id: ''}}]}", "empty expression: write null"},
		"from":           {head + "from: {d: [{into: t, columns: {id: {value: id, from: 3}}}]}", "only a counter has a first number"},
		"each":           {head + "from: {d: [{into: t, each: {a: x, b: y}, columns: {id: id}}]}", "each: want one name for the pieces"},
		"two tables":     {head + "tables: {k: {file: a, sha256: " + sha("") + ", key: [a]}}\nhold: {k: {key: [a], rows: 3}}\nfrom: {d: [{into: t, columns: {id: id}}]}", "hold.k: two tables of one name"},
		"ceiling":        {head + "hold: {k: {key: [a], rows: 0}}\nfrom: {d: [{into: t, columns: {id: id}}]}", "want a ceiling from 1"},
		"digest":         {head + "tables: {k: {file: a, sha256: abc, key: [a]}}\nfrom: {d: [{into: t, columns: {id: id}}]}", "tables.k.sha256"},
		"row_of":         {head + "from: {d: [{into: t, columns: {id: {row_of: t, value: id}}}]}", "row_of stands alone"},
		"counter misses": {head + "from: {d: [{into: t, columns: {id: {value: counter, miss: reject}}}]}", "a counter always has a number"},
	} {
		_, err := Parse("mapping.yaml", []byte(strings.Replace(c.text, "0000\n", "0001\n", 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
		if err != nil && ecluse.KindOf(err) != ecluse.Invalid {
			t.Errorf("%s: kind %s", name, ecluse.KindOf(err))
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	column := func(s string) string { return "from: {d: [{into: t, columns: {id: id, a: " + s + "}}]}" }
	for name, c := range map[string]struct{ body, want string }{
		"place":              {"from:\n  d:\n    - into: t\n      columns:\n        id: id\n        a: \"upper(sex) + amount\"\n", "mapping.yaml:9: from.d[0].columns.a: column 12: found no matching overload for '_+_'"},
		"place after [,]":    {"tables: {codes: {file: c.csv, sha256: " + sha(codesCSV) + ", key: [code, pos]}}\n" + column(`"codes[code, 1].label + id"`), "column 22: found no matching overload"},
		"place in the walk":  {"tables: {codes: {file: c.csv, sha256: " + sha(codesCSV) + ", key: [code, pos]}}\n" + column(`{value: "codes[code, 1].label + lpad(sex, 3, 'xx')", miss: keep}`), "column 37: want one character"},
		"dataset":            {"from: {e: [{into: t, columns: {id: id}}]}", "from.e: no such dataset"},
		"table":              {"from: {d: [{into: v, columns: {id: id}}]}", "the target has no table v"},
		"column":             {"from: {d: [{into: t, columns: {id: id, z: id}}]}", "t has no column z"},
		"not null":           {"from: {d: [{into: u, columns: {id: id, t_id: id}}]}", "u.v must not be null and has no default: write it"},
		"null in not null":   {"from: {d: [{into: t, columns: {id: null}}]}", "null in a column that takes none"},
		"kind":               {column("amount"), "the column is text, the expression gives decimal: write to_text(x)"},
		"constant too long":  {column(`"'abcdef'"`), "the value does not fit the column"},
		"default too long":   {column(`{value: "{'M': 'm'}[sex]", miss: value, default: "'abcdef'"}`), "the value does not fit the column"},
		"default may miss":   {column(`{value: "{'M': 'm'}[sex]", miss: value, default: "{'M': 'm'}[sex]"}`), "default: may have no result itself"},
		"miss not stated":    {column(`"{'M': 'm'}[sex]"`), "this may have no result: state miss"},
		"miss cannot be":     {column(`{value: sex, miss: "null"}`), "this always has a result"},
		"keep of two":        {column(`{value: "{'M': 'm'}[sex + code]", miss: keep}`), "this one is made from code, sex"},
		"keep of other kind": {column(`{value: "{1: 'm'}[id]", miss: keep}`), "the column is text, the expression gives int"},
		"condition":          {"from: {d: [{into: t, skip: id, columns: {id: id}}]}", "want a condition, true or false"},
		"condition misses":   {"from: {d: [{into: t, skip: \"{'M': true}[sex]\", columns: {id: id}}]}", "the condition may have no result"},
		"reason":             {"from: {d: [{into: t, reject: {when: id > 1, reason: ''}, columns: {id: id}}]}", "reason"},
		"each of a text":     {"from: {d: [{into: t, each: {p: sex}, columns: {id: id}}]}", "want a list"},
		"each may miss":      {"from: {d: [{into: t, each: {p: \"split({'M': 'm'}[sex], ',')\"}, columns: {id: id}}]}", "the list may have no result"},
		"name taken":         {"from: {d: [{into: t, let: {sex: id}, columns: {id: id}}]}", "the dataset has a column of that name"},
		"word taken":         {"from: {d: [{into: t, let: {half_up: id}, columns: {id: id}}]}", "half_up is a word of the language"},
		"let twice":          {"from: {d: [{into: t, each: {p: \"split(sex, ',')\"}, let: {p: id}, columns: {id: id}}]}", "the name is taken"},
		"counter of text":    {"from: {d: [{into: t, columns: {id: id, a: counter}}]}", "a counter gives whole numbers; the column is text"},
		"two counters":       {"from: {d: [{into: t, columns: {id: counter, k: counter}}]}", "one counter per table"},
		"counters differ":    {"from: {d: [{into: t, columns: {id: {value: counter, from: 3}}}, {into: t, columns: {id: counter}}]}", "the counter begins elsewhere"},
		"row of nothing":     {"from: {d: [{into: t, columns: {id: {row_of: u}}}]}", "no earlier rule of this dataset makes one row of u"},
		"frozen missing":     {"tables: {k: {file: k.csv, sha256: " + sha("x") + ", key: [a]}}\n" + column("sex"), "no file with this digest is given: is k.csv there, and unchanged?"},
		"frozen key":         {"tables: {codes: {file: c.csv, sha256: " + sha(codesCSV) + ", key: [zz]}}\n" + column("sex"), "tables.codes: no column zz"},
		"frozen key dup":     {"tables: {codes: {file: c.csv, sha256: " + sha(codesCSV) + ", key: [pos]}}\n" + column("sex"), "row 3: its key is that of an earlier row"},
		"frozen decimal":     {"tables: {codes: {file: c.csv, sha256: " + sha(codesCSV) + ", key: [code, pos], types: {label: decimal}}}\n" + column("sex"), "column label: line 2 is not a decimal"},
		"key kind":           {"tables: {codes: {file: c.csv, sha256: " + sha(codesCSV) + ", key: [code, pos]}}\n" + column(`"codes[code, sex].label"`), "no matching overload for 'codes[]' applied to '(string, string)'"},
		"key size":           {"tables: {codes: {file: c.csv, sha256: " + sha(codesCSV) + ", key: [code, pos]}}\n" + column(`"codes[code].label"`), "no matching overload for 'codes[]'"},
		"row as a value":     {"tables: {codes: {file: c.csv, sha256: " + sha(codesCSV) + ", key: [code, pos]}}\n" + column(`{value: "codes[code, 1]", miss: "null"}`), "the column is text, the expression gives row"},
		"held":               {"hold: {e: {key: [a], rows: 3}}\n" + column("sex"), "hold.e: no such dataset"},
		"target table":       {"targets: {e: {table: zz, key: [a], columns: [b], rows: 3}}\n" + column("sex"), "the target has no table zz"},
		"target twice":       {"targets: {e: {table: codes, key: [id], columns: [code], rows: 3}, f: {table: codes, key: [code], columns: [id], rows: 3}}\n" + column("sex"), "the table is held under another name already"},
		"target written":     {"targets: {e: {table: t, key: [id], columns: [a], rows: 3}}\n" + column("sex"), "it would change under the passage"},
		"sequence":           {column("sex") + "\nsequences: {s: t.id}", "sequences.s: the target has no such sequence"},
		"check":              {column("sex") + "\nchecks: {c: {table: t, sum: a}}", "only exact numbers are added up"},
		"check of nothing":   {column("sex") + "\nchecks: {c: {table: t, by: a}}", "no figure"},
	} {
		p, err := build(t, c.body, labInputs(t, codesCSV))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, %v, want %s", name, p, err, c.want)
		}
		var ps document.Problems
		if err != nil && (!errors.As(err, &ps) || ecluse.KindOf(err) != ecluse.Invalid) {
			t.Errorf("%s: error is %T", name, err)
		}
	}
}

func TestCheckOtherInstruction(t *testing.T) {
	in := labInputs(t)
	in.Instruction = ecluse.DigestOf([]byte("another"))
	if _, err := build(t, "from: {d: [{into: t, columns: {id: id}}]}", in); err == nil || !strings.Contains(err.Error(), "mapping.yaml:3: instruction: the mapping is for another instruction") {
		t.Errorf("got %v", err)
	}
}

// TestFrozenHoldsNobody: shapes of people are refused; their values are not told.
func TestFrozenHoldsNobody(t *testing.T) {
	for name, c := range map[string]struct{ csv, where string }{
		"email":      {"code,label\nx,lea.martin@example.org\n", "c.csv, line 2, column label"},
		"phone":      {"code,label\nx,06 12 34 56 78\n", "line 2, column label"},
		"nir":        {"code,label\nx,ok\ny,2 55 08 14 168 025 38\n", "line 3, column label"},
		"birth":      {"code,date_naissance\nx,1980-01-01\n", "line 1, column date_naissance"},
		"name, date": {"code,last_name,since\nx,Martin,1980-01-01\n", "line 2, column since"},
	} {
		in := labInputs(t, c.csv)
		_, err := build(t, "tables: {k: {file: c.csv, sha256: "+sha(c.csv)+", key: [code]}}\nfrom: {d: [{into: t, columns: {id: id}}]}", in)
		if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), c.where) {
			t.Errorf("%s: got %v, want %s", name, err, c.where)
		}
		for _, v := range []string{"lea", "12 34", "168", "Martin", "1980"} {
			if err != nil && strings.Contains(err.Error(), v) {
				t.Errorf("%s: the error tells the value: %v", name, err)
			}
		}
	}
	codes := "code,loinc,valid_from,label\n007,2345-7,2020-01-01,Glucose à jeun\nGLU,14749-6,2020-01-01,0612345\n"
	p, err := build(t, "tables: {k: {file: c.csv, sha256: "+sha(codes)+", key: [code]}}\nfrom: {d: [{into: t, columns: {id: id, a: {value: \"k[code].label\", miss: keep}}}]}", labInputs(t, codes))
	if err != nil || p.tables[0].Schema.Fields[0].Type.Kind != ecluse.Text {
		t.Errorf("codes: %v", err)
	}
}

func TestOrder(t *testing.T) {
	link := func(c *ecluse.Catalogue, table, column, to string) {
		for i := range c.Tables {
			if c.Tables[i].Name.Name == table {
				c.Tables[i].ForeignKeys = append(c.Tables[i].ForeignKeys, ecluse.ForeignKey{
					Name: table + "_" + column, Columns: []string{column}, References: ecluse.TableName{Name: to}, RefColumns: []string{"id"},
				})
			}
		}
	}
	s := mappingtest.Schema(t, "id int, r int, label text")
	inputs := func() Inputs {
		in := Inputs{Datasets: map[ecluse.DatasetID]*record.Schema{}, Target: target(t, "a: id int!, r int", "b: id int!, r int", "c: id int!, r int")}
		for _, d := range []ecluse.DatasetID{"x", "y", "z", "h"} {
			in.Datasets[d] = s
		}
		return in
	}
	rule := func(d, table, columns string) string {
		return "  " + d + ": [{into: " + table + ", columns: {" + columns + "}}]\n"
	}
	for name, c := range map[string]struct {
		links [][3]string
		body  string
		want  string
	}{
		"as written":      {nil, "from:\n" + rule("z", "a", "id: id") + rule("x", "b", "id: id"), "z x"},
		"foreign key":     {[][3]string{{"a", "r", "b"}}, "from:\n" + rule("z", "a", "id: id, r: r") + rule("x", "b", "id: id"), "x z"},
		"key not written": {[][3]string{{"a", "r", "b"}, {"b", "r", "a"}}, "from:\n" + rule("z", "a", "id: id") + rule("x", "b", "id: id, r: r"), "z x"},
		"key null":        {[][3]string{{"a", "r", "b"}}, "from:\n" + rule("z", "a", "id: id, r: null") + rule("x", "b", "id: id"), "z x"},
		"cycle":           {[][3]string{{"a", "r", "b"}, {"b", "r", "a"}}, "from:\n" + rule("z", "a", "id: id, r: r") + rule("x", "b", "id: id, r: r"), "no order: x refers to a of z (b_r); z refers to b of x (a_r)"},
		"to itself":       {[][3]string{{"a", "r", "a"}}, "from:\n" + rule("z", "a", "id: id, r: r"), "z"},
		"look-up, held": {
			nil, "hold: {h: {key: [id], rows: 9}, y: {key: [id], rows: 9}}\nfrom:\n" + rule("z", "a", `id: id, r: {value: "h[r].r", miss: "null"}`) + rule("y", "b", "id: id") + rule("h", "c", `id: id, r: {value: "y[r].r", miss: "null"}`), "y h z",
		},
		"in itself": {[][3]string{{"a", "r", "b"}}, "from: {x: [{into: a, columns: {id: id, r: r}}, {into: b, columns: {id: id}}]}", "write b before what refers to it (a_r)"},
		"own rows":  {[][3]string{{"a", "r", "b"}}, "from:\n  x: [{into: b, columns: {id: id}}, {into: a, columns: {id: id, r: r}}]\n" + rule("y", "b", "id: id"), "x y"},
	} {
		in := inputs()
		for _, l := range c.links {
			link(in.Target, l[0], l[1], l[2])
		}
		p, err := build(t, c.body, in)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			for _, d := range p.Shape().Order {
				got += string(d) + " "
			}
		}
		if err == nil && strings.TrimSpace(got) != c.want || err != nil && (!strings.Contains(got, c.want) || len(c.want) < 10) {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// TestShapeIsTheSame: equal inputs give equal shapes, to the byte of their JSON.
func TestShapeIsTheSame(t *testing.T) {
	body := "tables: {codes: {file: c.csv, sha256: " + sha(codesCSV) + ", key: [code, pos]}}\nhold: {kinds: {key: [code], rows: 9}}\n" +
		"from:\n  d:\n    - into: u\n      each: {p: \"split(values, ',')\", position: n}\n      let: {c: \"codes[code, n]\"}\n      skip: p == ''\n" +
		"      reject: {when: c == null, reason: no code}\n      columns: {id: counter, t_id: id, v: p}\n" +
		"    - into: t\n      columns: {id: id, a: {value: \"kinds[code].label\", miss: value, default: \"'?'\", report: no kind}}\n" +
		"checks: {n: {table: t, count: true}, b: {table: t, sum: n, by: k, minus: 3, where: [{column: id, from: 3, before: 10}]}}"
	var first string
	for range 20 {
		p, err := build(t, body, labInputs(t, codesCSV))
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.MarshalIndent(p.Shape(), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = string(b)
		}
		if string(b) != first {
			t.Fatalf("another shape:\n%s\n%s", first, b)
		}
		if want := []string{"d.amount", "d.sex", "kinds.kind"}; !reflect.DeepEqual(p.Unused(), want) {
			t.Errorf("unused %v, want %v", p.Unused(), want)
		}
	}
	for _, want := range []string{
		`"each": "p in split(values, ','), position n"`, `"c = codes[code, n]"`, `"skip": "p == ''"`, `"counter": "id"`, `"no code"`,
		`"from": "kinds[code].label; miss: value '?'; report: no kind"`, `"id",`, `"file": "c.csv"`,
	} {
		if !strings.Contains(first, want) {
			t.Errorf("no %s in the shape:\n%s", want, first)
		}
	}
}

func TestFit(t *testing.T) {
	pg, lite := ecluse.PostgreSQL, ecluse.SQLite
	for name, c := range map[string]struct {
		engine ecluse.Engine
		col    ecluse.Column
		num    []int64
		text   []string
		fits   []bool
	}{
		"smallint":       {pg, ecluse.Column{Type: ecluse.Type{Kind: ecluse.Int}, Declared: "smallint"}, []int64{32767, 32768, -32768, -32769}, nil, []bool{true, false, true, false}},
		"integer":        {pg, ecluse.Column{Type: ecluse.Type{Kind: ecluse.Int}, Declared: "integer"}, []int64{1<<31 - 1, 1 << 31}, nil, []bool{true, false}},
		"sqlite integer": {lite, ecluse.Column{Type: ecluse.Type{Kind: ecluse.Int}, Declared: "INTEGER"}, []int64{1 << 40}, nil, []bool{true}},
		"unsigned":       {ecluse.MySQL, ecluse.Column{Type: ecluse.Type{Kind: ecluse.Int}, Declared: "int(10) unsigned"}, []int64{-1, 1<<32 - 1, 1 << 32}, nil, []bool{false, true, false}},
		"decimal":        {pg, ecluse.Column{Type: ecluse.Type{Kind: ecluse.Decimal, Precision: 4, Scale: 2}}, []int64{9999, 10000, -9999}, nil, []bool{true, false, true}},
		"milliseconds":   {pg, ecluse.Column{Type: ecluse.Type{Kind: ecluse.Timestamp}, FracDigits: 3}, []int64{1000, 1001, ecluse.Infinity}, nil, []bool{true, false, true}},
		"before Julian":  {pg, ecluse.Column{Type: ecluse.Type{Kind: ecluse.Timestamp}, FracDigits: 6}, []int64{postgresEpoch, postgresEpoch - 1}, nil, []bool{true, false}},
		"time of day":    {pg, ecluse.Column{Type: ecluse.Type{Kind: ecluse.Time}, FracDigits: 6}, []int64{-1, dayMicros, dayMicros + 1}, nil, []bool{false, true, false}},
		"single":         {pg, ecluse.Column{Type: ecluse.Type{Kind: ecluse.Float, Precision: 24}}, []int64{0x3ff0000000000000, 0x3fb999999999999a}, nil, []bool{true, false}},
		"characters":     {pg, ecluse.Column{Type: ecluse.Type{Kind: ecluse.Text}, MaxLength: 3}, nil, []string{"éàü", "éàüx", "a\x00b"}, []bool{true, false, false}},
		"NUL elsewhere":  {lite, ecluse.Column{Type: ecluse.Type{Kind: ecluse.Text}}, nil, []string{"a\x00b"}, []bool{true}},
		"labels":         {pg, ecluse.Column{Type: ecluse.Type{Kind: ecluse.Text}, Labels: []string{"M", "F"}}, nil, []string{"M", "X"}, []bool{true, false}},
		"bytes":          {pg, ecluse.Column{Type: ecluse.Type{Kind: ecluse.Bytes}, MaxLength: 2}, nil, []string{"éa", "ab"}, []bool{false, true}},
		"numeric(30,2)":  {pg, ecluse.Column{Type: ecluse.Type{Kind: ecluse.Number}, Declared: "numeric(30,2)"}, nil, []string{"1.50", "1.500", "1.501", strings.Repeat("9", 28), strings.Repeat("9", 29), "NaN", "Infinity", "-0012.3"}, []bool{true, true, false, true, false, true, false, true}},
		"numeric":        {pg, ecluse.Column{Type: ecluse.Type{Kind: ecluse.Number}, Declared: "numeric"}, nil, []string{"Infinity", "1.23456789012345678901"}, []bool{true, true}},
	} {
		f := fitOf(c.engine, &c.col)
		for i, want := range c.fits {
			var got bool
			if c.num != nil {
				got = f.integer(c.num[i], c.col.Type.Kind)
			} else {
				got = f.text([]byte(c.text[i]), c.col.Type.Kind)
			}
			if got != want {
				t.Errorf("%s: value %d fits %t, want %t", name, i, got, want)
			}
		}
	}
}

// TestCodes: a check's codes are those of the frozen table as it was checked,
// whatever a byte-order mark, a delimiter or the order of columns.
func TestCodes(t *testing.T) {
	check := func(text, more string) (*Program, error) {
		return build(t, "tables: {back: {file: b.csv, sha256: "+sha(text)+", key: [new]"+more+"}}\n"+
			"from: {d: [{into: t, columns: {id: id}}]}\nchecks: {c: {table: t, count: true, by: a, codes: back}}", labInputs(t, text))
	}
	want := map[string]string{"1": "x", "02": "y"}
	for text, more := range map[string]string{
		"new,old\n1,x\n02,y\n":               "",
		"old,new\nx,1\ny,02\n":               "",
		"\uFEFFnew,old\n1,x\n02,y\n":         "",
		"\uFEFFnew;old\n\"1\";x\n\"02\";y\n": ", delimiter: ';'",
	} {
		p, err := check(text, more)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := p.Codes("back"); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v", text, got)
		}
	}
	for text, want := range map[string]string{
		"new,old\n1,x\n1,y\n":   "its key is that of an earlier row",
		"new,old,more\n1,x,a\n": "checks.c.codes: want a table with a key of one column, and one other column",
		"code,old\n1,x\n":       "tables.back: no column new",
		"new,old\n1,x\n\"1,y\n": "tables.back",
	} {
		if _, err := check(text, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

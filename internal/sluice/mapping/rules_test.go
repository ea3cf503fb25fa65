package mapping

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"ecluse"
	"ecluse/internal/sluice/mapping/mappingtest"
	"ecluse/internal/sluice/record"
)

// lab is a small invented laboratory: one dataset of results with packed values.
func lab(t testing.TB) (src *record.Schema, held *record.Schema) {
	return mappingtest.Schema(t, "id int, sex text, code text, values text, amount decimal(10,3)"), mappingtest.Schema(t, "code text, label text, kind int")
}

func labInputs(t testing.TB, frozen ...string) Inputs {
	src, held := lab(t)
	in := Inputs{
		Datasets: map[ecluse.DatasetID]*record.Schema{"d": src, "kinds": held},
		Target:   target(t, "t: id int!, a text(5), n decimal(6,2), k int", "u: id int!, t_id int!, pos int, v text(3)!", "codes: id int!, code text(10)!"),
	}
	for _, f := range frozen {
		in.Frozen = append(in.Frozen, []byte(f))
	}
	return in
}

func labRows(t testing.TB) *record.Batch {
	src, _ := lab(t)
	return mappingtest.Batch(t, src,
		[]any{1, "M", "x", "a,b,", 1500},
		[]any{2, "X", "y", "c", 250},
		[]any{3, nil, "z", "", nil},
		[]any{4, "F", nil, "d,,e", 12345678901},
		[]any{5, "F", "x", "toolong", 1005},
	)
}

func sha(s string) string { return ecluse.DigestOf([]byte(s)).Hex() }

const codesCSV = "code,pos,label\nx,1,un\nx,2,deux\ny,1,\nz,1,trois\n"

const factorsCSV = "code,factor\nx,0.0113\ny,2\n"

func TestRules(t *testing.T) {
	tables := "tables: {codes: {file: c.csv, sha256: " + sha(codesCSV) + ", key: [code, pos]}}\n"
	for name, c := range map[string]struct{ body, want string }{
		"copied, fitted": {
			"from: {d: [{into: t, columns: {id: id, a: sex, n: amount}}]}",
			"t 0: 1|M|1.50\nt 1: 2|X|0.25\nt 2: 3|∅|∅\nrejected 3: t.n: the value does not fit the column\nrejected 4: t.n: the value does not fit the column\n",
		},
		"constants": {
			"from: {d: [{into: t, columns: {id: id, a: \"'k'\", n: 1.50, k: null}, skip: id > 1}]}",
			"t 0: 1|k|1.50|∅\n",
		},
		"miss null": {
			"from: {d: [{into: t, columns: {id: id, a: {value: \"{'M': 'man', 'F': 'woman'}[sex]\", miss: null, report: unknown sex}}}]}",
			"t 0: 1|man\nt 1: 2|∅\nt 2: 3|∅\nt 3: 4|woman\nt 4: 5|woman\nreport unknown sex: 1\n",
		},
		"miss keep": {
			"from: {d: [{into: t, columns: {id: id, a: {value: \"{'M': 'man', 'F': 'woman'}[sex]\", miss: keep}}}]}",
			"t 0: 1|man\nt 1: 2|X\nt 2: 3|∅\nt 3: 4|woman\nt 4: 5|woman\nreport t.a: no result: 1\n",
		},
		"miss value": {
			"from: {d: [{into: t, columns: {id: id, a: {value: \"{'M': 'man', 'F': 'woman'}[sex]\", miss: value, default: \"'?' + code\"}}}]}",
			"t 0: 1|man\nt 1: 2|?y\nt 2: 3|∅\nt 3: 4|woman\nt 4: 5|woman\nreport t.a: no result: 1\n",
		},
		"miss reject": {
			"from: {d: [{into: t, columns: {id: id}}, {into: codes, columns: {id: id, code: {value: \"{'M': 'man', 'F': 'woman'}[sex]\", miss: reject}}}]}",
			"t 0: 1\nt 3: 4\nt 4: 5\ncodes 0: 1|man\ncodes 3: 4|woman\ncodes 4: 5|woman\n" +
				"rejected 1: codes.code: no result\nrejected 2: codes.code: null in a column that takes none\n",
		},
		"miss reject, reported": {
			"from: {d: [{into: t, columns: {id: id}, reject: {when: id == 1, reason: first}}, {into: codes, columns: {id: id, code: {value: \"{'F': 'woman'}[sex]\", miss: reject, report: unknown sex}}}]}",
			"t 3: 4\nt 4: 5\ncodes 3: 4|woman\ncodes 4: 5|woman\n" +
				"rejected 0: first\nrejected 1: unknown sex\nrejected 2: codes.code: null in a column that takes none\nreport unknown sex: 1\n",
		},
		"miss reject, reported for each piece": {
			"from: {d: [{into: t, columns: {id: id}}, {into: u, each: {p: \"split(values, ',')\", position: n}, columns: {id: id, t_id: id, v: {value: \"{'a': 'A', 'b': 'B', 'c': 'C', '': '-'}[p]\", miss: reject, report: unknown piece}}}]}",
			"t 0: 1\nt 1: 2\nt 2: 3\nu 0: 1|1|A\nu 0: 1|1|B\nu 0: 1|1|-\nu 1: 2|2|C\nu 2: 3|3|-\n" +
				"rejected 3: unknown piece\nrejected 4: unknown piece\nreport unknown piece: 3\n",
		},
		"overflow is put aside": {
			"from: {d: [{into: t, columns: {id: 9223372036854775804 + id}}]}",
			"t 0: 9223372036854775805\nt 1: 9223372036854775806\nt 2: 9223372036854775807\nrejected 3: t.id: no result\nrejected 4: t.id: no result\n",
		},
		"exploded, looked up, skipped, rejected": {
			tables + "from:\n  d:\n    - into: t\n      columns: {id: id}\n    - into: u\n      each: {piece: \"split(values, ',', drop_last_empty)\", position: n}\n" +
				"      let: {c: \"codes[code, n]\"}\n      skip: piece == ''\n      reject: {when: c == null, reason: beyond the last}\n" +
				"      columns: {id: counter, t_id: id, pos: n, v: piece}\n",
			"t 0: 1\nt 1: 2\nt 2: 3\nu 0: 11|1|1|a\nu 0: 12|1|2|b\nu 1: 13|2|1|c\nrejected 3: beyond the last\nrejected 4: u.v: the value does not fit the column\n",
		},
		"null of a table is no miss": {
			tables + "from: {d: [{into: t, columns: {id: id, a: {value: \"codes[code, 1].label\", miss: value, default: \"'none'\"}}}]}",
			"t 0: 1|un\nt 1: 2|∅\nt 2: 3|trois\nt 3: 4|∅\nt 4: 5|un\n",
		},
		"counters and their rows": {
			"from: {d: [{into: t, skip: id == 2, columns: {id: {value: counter, from: 100}, k: id}}, {into: u, columns: {id: id, t_id: {row_of: t}, v: \"'v'\"}}]}",
			"t 0: 100|1\nt 2: 101|3\nt 3: 102|4\nt 4: 103|5\nu 0: 1|100|v\nu 2: 3|101|v\nu 3: 4|102|v\nu 4: 5|103|v\nrejected 1: u.t_id: null in a column that takes none\n",
		},
		"factor from a table": {
			"tables: {f: {file: f.csv, sha256: " + sha(factorsCSV) + ", key: [code], types: {factor: decimal}}}\n" +
				"from: {d: [{into: t, skip: amount == null || id == 4, columns: {id: id, n: {value: \"round(amount * f[code].factor, 2, half_up)\", miss: null}}}]}",
			"t 0: 1|0.02\nt 1: 2|0.50\nt 4: 5|0.01\n",
		},
		"a list in its own pieces": {
			"from: {d: [{into: u, skip: id != 1 || p == '', each: {p: \"split(values, ',')\", position: n}, columns: {id: n, t_id: id, v: {value: \"split(values, ',')[2 - n]\", miss: reject}}}]}",
			"u 0: 1|1|b\nu 0: 2|1|a\n",
		},
		"several reasons": {
			"from: {d: [{into: t, reject: [{when: \"sex == 'X'\", reason: sex}, {when: id > 3, reason: late}], columns: {id: id}}]}",
			"t 0: 1\nt 2: 3\nrejected 1: sex\nrejected 3: late\nrejected 4: late\n",
		},
	} {
		p, err := build(t, c.body, labInputs(t, codesCSV, factorsCSV))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r := NewRun(p)
		if err := r.Begin("d", map[string]int64{"u.id": 10}); err != nil {
			t.Fatal(err)
		}
		if err := r.Apply(labRows(t)); err != nil {
			t.Fatal(err)
		}
		out, err := r.Output()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, show(out)); d != "" {
			t.Errorf("%s (−want):\n%s", name, d)
		}
	}
}

// TestCopiedMustFit: what goes through unchanged is checked all the same.
func TestCopiedMustFit(t *testing.T) {
	src := mappingtest.Schema(t, "id int, s text, n number, f float(53)")
	p, err := build(t, "from: {d: [{into: t, columns: {id: id, s: s, n: n, k: n, f: f, w: n}}]}", Inputs{
		Datasets: map[ecluse.DatasetID]*record.Schema{"d": src},
		Target:   target(t, "t: id int!, s text, n decimal(4,1), k int, f float(24), w number"),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := NewRun(p)
	if err := r.Begin("d", nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(mappingtest.Batch(t, src, []any{1, "a", "12", 0.5}, []any{2, "a\x00", "12", 0.5}, []any{3, "a", "12.5", 0.5},
		[]any{4, "a", "NaN", 0.5}, []any{5, "a", "12", 0.1}, []any{6, nil, nil, nil}, []any{7, "a", "12000", 0.5})); err != nil {
		t.Fatal(err)
	}
	out, err := r.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := "t 0: 1|a|12.0|12|0.5|12\nt 5: 6|∅|∅|∅|∅|∅\nrejected 1: t.s: the value does not fit the column\nrejected 2: t.k: the value does not fit the column\n" +
		"rejected 3: t.n: the value does not fit the column\nrejected 4: t.f: the value does not fit the column\nrejected 6: t.n: the value does not fit the column\n"
	if d := cmp.Diff(want, show(out)); d != "" {
		t.Error(d)
	}
}

func TestCounterBounds(t *testing.T) {
	in := labInputs(t)
	in.Target.Tables[0].Columns[0].Declared = "smallint"
	p, err := build(t, "from: {d: [{into: t, columns: {id: counter}}]}", in)
	if err != nil {
		t.Fatal(err)
	}
	if c := p.Counters(); len(c) != 1 || !c[0].Above || c[0].Name != "t.id" {
		t.Errorf("counters %+v", c)
	}
	r := NewRun(p)
	if err := r.Begin("d", nil); err == nil || !strings.Contains(err.Error(), "counter t.id has no start") {
		t.Errorf("no start: %v", err)
	}
	if err := r.Begin("d", map[string]int64{"t.id": 32762}); err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(labRows(t)); err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(labRows(t)); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("beyond a smallint: %v", err)
	}
	if err := r.Begin("e", nil); err == nil {
		t.Error("a dataset without rules was begun")
	}
	if err := r.Apply(mappingtest.Batch(t, mappingtest.Schema(t, "id int"), []any{1})); ecluse.KindOf(err) != ecluse.Differs {
		t.Errorf("other columns: %v", err)
	}
}

// TestFrozenForms: a byte-order mark, another delimiter, quotes, stated types.
func TestFrozenForms(t *testing.T) {
	text := "\uFEFFcode;label;n\n\"x\";\"a;b\";007\n12;;8\n"
	p, err := build(t, "tables: {k: {file: c.csv, sha256: "+sha(text)+", key: [code], delimiter: ';'}}\n"+
		"from: {d: [{into: t, skip: id > 1, columns: {id: id, a: {value: \"k[code].label + k[code].n\", miss: null}}}]}", labInputs(t, text))
	if err != nil {
		t.Fatal(err)
	}
	r := NewRun(p)
	if err := r.Begin("d", nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(labRows(t)); err != nil {
		t.Fatal(err)
	}
	out, err := r.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := show(out); got != "rejected 0: t.a: the value does not fit the column\n" {
		t.Errorf("got %s", got) // a;b007 has six characters: 007 is no number
	}
}

func TestBlock(t *testing.T) {
	p, err := build(t, "from: {d: [{into: t, columns: {id: id, a: {value: \"{'M': 'm', 'F': 'f'}[sex]\", miss: block}}}]}", labInputs(t))
	if err != nil {
		t.Fatal(err)
	}
	r := NewRun(p)
	if err := r.Begin("d", nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(labRows(t)); err != nil {
		t.Fatal(err)
	}
	out, err := r.Output()
	if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(fmt.Sprint(err), "row 2 of the chunk: t.a: no result") || len(out.Blocked) != 1 {
		t.Errorf("got %v and %d blocks, want the passage stopped at row 2", err, len(out.Blocked))
	}
}

func TestHeldAndTargetTables(t *testing.T) {
	in := labInputs(t)
	p, err := build(t, `
hold: {kinds: {key: [code], rows: 3}}
targets: {known: {table: codes, key: [code], columns: [id], rows: 10}}
from: {d: [{into: t, columns: {id: id, a: {value: "kinds[code].label", miss: "null"}, k: {value: "known[kinds[code].label].id", miss: "null"}}}]}`, in)
	if err != nil {
		t.Fatal(err)
	}
	_, heldSchema := lab(t)
	r := NewRun(p)
	if err := r.Begin("d", nil); err == nil {
		t.Error("a chunk was begun before its look-up tables were there")
	}
	two := mappingtest.Batch(t, heldSchema, []any{"x", "un", 1}, []any{"y", "deux", 2})
	if err := r.Hold("kinds", two); err != nil {
		t.Fatal(err)
	}
	if err := r.Hold("kinds", mappingtest.Batch(t, heldSchema, []any{"x", "encore", 1})); err == nil || !strings.Contains(err.Error(), "row 3: its key is that of an earlier row") {
		t.Errorf("a key given twice: %v", err)
	}
	r = NewRun(p)
	if err := r.Hold("kinds", two); err != nil {
		t.Fatal(err)
	}
	if err := r.Hold("kinds", two); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("beyond the ceiling: %v", err)
	}
	if err := r.Held("kinds"); err != nil {
		t.Fatal(err)
	}
	if err := r.HoldTarget("known", mappingtest.Batch(t, mappingtest.Schema(t, "code text, id int"), []any{"un", 77}, []any{nil, 3})); err != nil {
		t.Fatal(err)
	}
	if err := r.Begin("d", nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(labRows(t)); err != nil {
		t.Fatal(err)
	}
	out, err := r.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := "t 0: 1|un|77\nt 1: 2|deux|∅\nt 2: 3|∅|∅\nt 3: 4|∅|∅\nt 4: 5|un|77\nreport t.a: no result: 1\nreport t.k: no result: 2\n"
	if d := cmp.Diff(want, show(out)); d != "" {
		t.Error(d)
	}
	if s := p.Shape(); len(s.Held) != 1 || len(s.Targets) != 1 || strings.Join(s.Targets[0].Columns, ",") != "code,id" {
		t.Errorf("shape: %+v", s)
	}
}

// TestCuts: rows do not depend on where chunks and batches are cut.
func TestCuts(t *testing.T) {
	tables := "tables: {codes: {file: c.csv, sha256: " + sha(codesCSV) + ", key: [code, pos]}}\n"
	p, err := build(t, tables+`
from:
  d:
    - into: t
      skip: id % 7 == 0
      columns: {id: id, a: {value: "{'M': 'man'}[sex]", miss: keep}, n: amount}
    - into: u
      each: {piece: "split(values, ',')", position: n}
      reject: {when: "codes[code, n] == null && piece == 'd'", reason: unknown}
      columns: {id: counter, t_id: id, pos: n, v: piece}
`, labInputs(t, codesCSV))
	if err != nil {
		t.Fatal(err)
	}
	src, _ := lab(t)
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 2500).Draw(rt, "rows")
		var rows [][]any
		for i := range n {
			pick := func(name string, of ...any) any { return rapid.SampledFrom(of).Draw(rt, name) }
			rows = append(rows, []any{i + 1, pick("sex", "M", "F", nil), pick("code", "x", "y", nil), pick("values", "a,b", "", "d", "long!", nil), pick("amount", 1500, 7, nil, 99999999999)})
		}
		lines := func(chunk, size int) string {
			r := NewRun(p)
			counters := map[string]int64{"u.id": 0}
			tables := map[string][]string{}
			var rejected []string
			reports := map[string]int64{}
			for from := 0; from < n; from += chunk {
				if err := r.Begin("d", counters); err != nil {
					t.Fatal(err)
				}
				to := min(from+chunk, n)
				for at := from; at < to; at += size {
					if err := r.Apply(mappingtest.Batch(t, src, rows[at:min(at+size, to)]...)); err != nil {
						t.Fatal(err)
					}
				}
				o, err := r.Output()
				if err != nil {
					t.Fatal(err)
				}
				counters = o.Counters
				for _, rs := range o.Tables {
					for i := range rs.Batch.Rows() {
						line := fmt.Sprint(int(rs.Source[i])+from, ":")
						for _, c := range rs.Batch.Columns {
							line += " " + mappingtest.Cell(c, i)
						}
						tables[rs.Table.String()] = append(tables[rs.Table.String()], line)
					}
				}
				for _, x := range o.Rejected {
					rejected = append(rejected, fmt.Sprint(int(x.Row)+from, x.Reason))
				}
				for k, v := range o.Reports {
					reports[k] += v
				}
			}
			return fmt.Sprint(tables, rejected, reports, counters)
		}
		whole := lines(max(n, 1), max(n, 1))
		cut := lines(rapid.IntRange(1, 3000).Draw(rt, "chunk"), rapid.IntRange(1, 3000).Draw(rt, "batch"))
		if whole != cut {
			rt.Fatalf("cut differently, other rows:\n%s", cmp.Diff(strings.Split(whole, "]"), strings.Split(cut, "]")))
		}
	})
}

// TestRunsShareAProgram: two runs at once, as a gate has them (run with -race).
func TestRunsShareAProgram(t *testing.T) {
	p, in := benchmarkProgram(t)
	var g errgroup.Group
	outs := make([]string, 2)
	for i := range outs {
		g.Go(func() error {
			r := NewRun(p)
			if err := r.Begin("d", nil); err != nil {
				return err
			}
			if err := r.Apply(in); err != nil {
				return err
			}
			o, err := r.Output()
			if err == nil {
				outs[i] = show(o)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if outs[0] != outs[1] || outs[0] == "" {
		t.Error("two runs of one program differ")
	}
}

// TestBehind: a reason is known by the source columns that its rule is made from.
func TestBehind(t *testing.T) {
	p, err := build(t, `
from:
  d:
    - into: t
      let: {both: "code + sex"}
      reject: {when: "both == 'xM'", reason: odd}
      columns: {id: id, a: {value: "{'M': 'man'}[sex]", miss: reject}, k: {value: "to_int(code)", miss: reject, report: no number}}
    - into: u
      each: {piece: "split(values, ',')", position: n}
      columns: {id: counter, t_id: id, pos: n, v: piece}
`, labInputs(t))
	if err != nil {
		t.Fatal(err)
	}
	for reason, want := range map[string]string{
		"odd": "sex code", "no number": "code", "t.a: no result": "sex", "u.v: the value does not fit the column": "values",
		"t.a: too long (22001)":                   "sex", // as a database says it
		"t: unique key t_pk (23505)":              "",
		"u.id: the value does not fit the column": "", // a counter's
		"": "",
	} {
		if got := strings.Join(p.Behind("d", reason), " "); got != want {
			t.Errorf("behind %q: %q, want %q", reason, got, want)
		}
	}
	if p.Behind("other", "odd") != nil {
		t.Error("of a dataset that the mapping does not read")
	}
}

// Values that are copied as they are, at the bounds of the column and beyond, in blocks
// where one look at all of them is enough and where it is not.
func TestCopiedAtTheBounds(t *testing.T) {
	for _, c := range []struct {
		n    int64
		v    string
		fits bool
	}{{999, "éé", true}, {-999, "abcd", true}, {1000, "a", false}, {-1000, "a", false}, {0, "ééééé", false}, {0, "abcde", false}, {0, "éééé", true}} {
		src := mappingtest.Schema(t, "n int, v text")
		p, err := build(t, "\nfrom:\n  d:\n    - into: t\n      columns: {n: n, v: v}\n", Inputs{
			Datasets: map[ecluse.DatasetID]*record.Schema{"d": src}, Target: target(t, "t: n int, v text(4)"),
		})
		if err != nil {
			t.Fatal(err)
		}
		p.datasets["d"].entries[0].sinks[0].fit.low, p.datasets["d"].entries[0].sinks[0].fit.high = -999, 999
		b := record.NewBatch(src, 0)
		for i := range 5 {
			switch i {
			case 3:
				b.Columns[0].AppendInt(c.n)
				b.Columns[1].AppendString(c.v)
			case 4:
				b.Columns[0].AppendNull()
				b.Columns[1].AppendNull()
			default:
				b.Columns[0].AppendInt(7)
				b.Columns[1].AppendString("a")
			}
		}
		r := NewRun(p)
		if err := r.Begin("d", nil); err != nil {
			t.Fatal(err)
		}
		if err := r.Apply(b); err != nil {
			t.Fatal(err)
		}
		out, err := r.Output()
		if err != nil {
			t.Fatal(err)
		}
		if fits := len(out.Rejected) == 0; fits != c.fits || !fits && out.Rejected[0].Row != 3 {
			t.Errorf("%d, %d bytes: fits %v, want %v", c.n, len(c.v), fits, c.fits)
		}
	}
}

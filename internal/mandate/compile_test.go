package mandate_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/mandate/mandatetest"
)

func TestCompileRead(t *testing.T) {
	m := migration(t)
	p := m.Plan
	patient, _ := p.Dataset("patient")
	if !patient.KeyUnique || patient.Storage != "heap" {
		t.Errorf("patient: %+v", patient)
	}
	want := []mandate.ReadCondition{{
		Column: "created_on", Type: ecluse.Type{Kind: ecluse.Timestamp}, From: "2015-01-01T00:00:00", Before: "2020-11-01T06:00:00.5",
	}}
	if diff := cmp.Diff(want, patient.Where); diff != "" {
		t.Error(diff)
	}
	result, _ := p.Dataset("result")
	value, _ := result.Column("value")
	if diff := cmp.Diff(&mandate.ReadColumn{Name: "value", Class: ecluse.Result, Type: ecluse.Type{Kind: ecluse.Text}, AsText: true, Declared: "numeric"}, value); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]mandate.ReadWithin{{Dataset: "patient", Columns: []string{"patient_id"}}}, result.Within); diff != "" {
		t.Error(diff)
	}
	prescriber, _ := p.Dataset("prescriber")
	if len(prescriber.Columns) != 2 || prescriber.Columns[1].Name != "ordinal" || prescriber.Columns[1].Type.Kind != ecluse.Int {
		t.Errorf("prescriber: %+v", prescriber.Columns)
	}
	if p.Checks[0].By != "code" || !p.Checks[0].Count || p.Checks[0].Statement != "count per_code" {
		t.Errorf("checks: %+v", p.Checks)
	}
}

func TestCompileReadVerdicts(t *testing.T) {
	got := map[string]mandate.ColumnVerdict{}
	for _, v := range migration(t).Plan.Verdicts {
		for _, c := range v.Columns {
			got[v.Table.String()+"."+c.Column] = c
		}
	}
	for name, want := range map[string]mandate.Verdict{
		"public.patient.nir": mandate.Taken, "public.patient.created_on": mandate.Filtered, "public.patient.address": mandate.RefusedColumn,
		"public.patient.portal_password": mandate.RefusedCredential, "public.result.scan": mandate.RefusedColumn,
		"public.result.patient_id": mandate.Taken, "public.result.prescriber": mandate.Taken, "public.stock.item": mandate.RefusedColumn,
	} {
		if got[name].Verdict != want {
			t.Errorf("%s: %+v, want %s", name, got[name], want)
		}
	}
	if diff := cmp.Diff([]ecluse.DatasetID{"result", "prescriber"}, got["public.result.patient_id"].Datasets); diff != "" {
		t.Error(diff)
	}
	total := 0
	for _, table := range source().Tables {
		total += len(table.Columns)
	}
	if len(got) != total {
		t.Errorf("%d verdicts on %d columns", len(got), total)
	}
}

func TestCompileReadRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		old, new string
		want     string
		kind     ecluse.Kind
	}{
		"no table":         {"from: public.patient", "from: public.patients", "datasets.patient.from: the source has no table public.patients", ecluse.Invalid},
		"no table, schema": {"from: public.patient", "from: Patient", "did you mean public.patient?", ecluse.Invalid},
		"no column":        {"last_name: identity", "Last_Name: identity", "datasets.patient.columns.Last_Name: public.patient has no column Last_Name: did you mean last_name?", ecluse.Invalid},
		"no filter column": {"column: created_on", "column: made_on", "datasets.patient.where[0].column: public.patient has no column made_on", ecluse.Invalid},
		"bound":            {"from: 2015-01-01", "from: last year", "datasets.patient.where[0].from: created_on is timestamp: want a date", ecluse.Invalid},
		"bound of a text":  {"column: created_on, from: 2015-01-01", "column: nir, from: 2015-01-01", "has no bounds: use in", ecluse.Invalid},
		"no within column": {"within: {patient: [patient_id]}}", "within: {patient: [patientid]}}", "public.result has no column patientid: did you mean patient_id?", ecluse.Invalid},
		"within types":     {"within: {patient: [patient_id]}}", "within: {patient: [code]}}", "they cannot be compared", ecluse.Invalid},
		"blob as result":   {"validated_on: result}", "validated_on: result, scan: result}", "choosing columns does not reach inside it", ecluse.Invalid},
		"as text":          {"validated_on: result}", "validated_on: result, scan: {class: document, as: text, because: prescriptions kept as evidence}}", "cannot be read as text", ecluse.Invalid},
		"distinct number":  {"distinct: prescriber,", "distinct: value,", "distinct values are texts", ecluse.Invalid},
		"sum of a text":    {"count_by: code", "sum: code", "checks.per_code.sum: code is text: want an exact number", ecluse.Invalid},
		"first of a text":  {"first: validated_on", "first: code", "want a date, a time or an exact number", ecluse.Invalid},
		"kept late":        {"checks:", "erase_by: 2099-01-01T00:00:00Z\nrejects_until: 2099-02-01\nchecks:", "rejects_until: is after", ecluse.Invalid},
		"late":             {"checks:", "erase_by: 2099-01-01T00:00:00Z\nchecks:", "the last day the contract leaves for erasing", ecluse.Invalid},
		"reach":            {"checks:", "accounts: {source: {may_also_read: [public.patient.adress], because: no view before next December}}\nchecks:", "the source has no public.patient.adress", ecluse.Invalid},
		"key not unique":   {"from: public.patient\n    key: [patient_id]", "from: public.patient\n    key: [nir]", "the key of patient (nir) is not unique in the source", ecluse.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(body, c.old, c.new, 1)
			if text == body {
				t.Fatal("the edit changes nothing")
			}
			m := migration(t)
			_, err := mandate.CompileRead(respell(t, m, m.ReadInputs(), text))
			if err == nil || !strings.Contains(err.Error(), c.want) || ecluse.KindOf(err) != c.kind {
				t.Errorf("got %s %v, want %s", ecluse.KindOf(err), err, c.want)
			}
		})
	}
}

// respell gives the inputs another instruction, with recipients made for it.
func respell(t *testing.T, m *mandatetest.Migration, in mandate.ReadInputs, body string) mandate.ReadInputs {
	t.Helper()
	i, recipient, rejects := m.World.Instruction(t, m.ID, body)
	in.Instruction, in.Recipient, in.Rejects = i, recipient, rejects
	return in
}

func TestCompileReadWholeSource(t *testing.T) {
	m := migration(t)
	in := m.ReadInputs()
	t.Run("contract does not name a class", func(t *testing.T) {
		m := migration(t)
		text := bytes.Replace(m.World.Contract, []byte("  - {class: national-id, what: NIR of patients}\n"), nil, 1)
		c, err := mandate.ParseContract("c.yaml", text)
		if err != nil {
			t.Fatal(err)
		}
		m.World.Contract = text
		in := respell(t, m, in, body)
		in.Contract = c
		_, err = mandate.CompileRead(in)
		if err == nil || !strings.Contains(err.Error(), "the contract does not name national-id among the types of data (GDPR art. 28(3))") {
			t.Error(err)
		}
	})
	t.Run("no snapshot", func(t *testing.T) {
		in := in
		in.Source = source()
		in.Source.Tables[1].Storage = "MyISAM"
		if _, err := mandate.CompileRead(in); err == nil || !strings.Contains(err.Error(), "has no snapshot") {
			t.Error(err)
		}
	})
	t.Run("one column, two classes", func(t *testing.T) {
		again := strings.Replace(body, "checks:", "  again: {from: public.result, distinct: code, class: technical}\nchecks:", 1)
		_, err := mandate.CompileRead(respell(t, m, m.ReadInputs(), again))
		if err == nil || !strings.Contains(err.Error(), "public.result.code: datasets give it two classes, result and technical") {
			t.Error(err)
		}
	})
	t.Run("another engine", func(t *testing.T) {
		in := in
		in.Dialect = mandatetest.Dialect(ecluse.MySQL)
		if _, err := mandate.CompileRead(in); err == nil || !strings.Contains(err.Error(), "the catalogue is postgresql and the dialect mysql") {
			t.Error(err)
		}
	})
	t.Run("must be text", func(t *testing.T) {
		money := strings.Replace(body, "validated_on: result}", "validated_on: result, price: technical}", 1)
		p, err := mandate.CompileRead(respell(t, m, m.ReadInputs(), money))
		if err != nil {
			t.Fatal(err)
		}
		result, _ := p.Dataset("result")
		if c, ok := result.Column("price"); !ok || !c.AsText {
			t.Errorf("%+v", c)
		}
	})
}

// TestRowTolerance: it stands in the plan, and does not make other columns of a dataset: a
// mapping that was tried stays tried.
func TestRowTolerance(t *testing.T) {
	m := migration(t)
	p, err := mandate.CompileRead(respell(t, m, m.ReadInputs(), strings.Replace(body, "from: public.patient", "rows: {expected: 100, tolerance: 5}\n    from: public.patient", 1)))
	if err != nil {
		t.Fatal(err)
	}
	d, _ := p.Dataset("patient")
	if d.Rows == nil || d.Rows.Most() != 105 || d.Rows.Least() != 95 || p.Columns() != m.Plan.Columns() {
		t.Errorf("%+v, columns %s and %s", d.Rows, p.Columns(), m.Plan.Columns())
	}
	if again, err := mandate.ParseReadPlan(p.Bytes()); err != nil || !bytes.Equal(again.Bytes(), p.Bytes()) {
		t.Errorf("read back: %v", err)
	}
}

// TestLoadPause: it stands in the plan; where the engine cannot tell who is at work, or
// where the pause would keep others waiting, it is refused.
func TestLoadPause(t *testing.T) {
	m := migration(t)
	text := strings.Replace(body, "checks:", "limits: {rows: 1000, bytes: 1GB, load_pause: 3}\nchecks:", 1)
	in := respell(t, m, m.ReadInputs(), text)
	p, err := mandate.CompileRead(in)
	if err != nil || p.Limits.LoadPause != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	in.Source = source()
	in.Source.Engine, in.Dialect = ecluse.SQLite, mandatetest.Dialect(ecluse.SQLite)
	if _, err := mandate.CompileRead(in); err == nil || !strings.Contains(err.Error(), "limits.load_pause: sqlite cannot tell who is at work") {
		t.Errorf("a file: %v", err)
	}
	locked := strings.Replace(string(m.Papers.Instruction), "consistency: snapshot", "consistency: locked", 1)
	locked = strings.Replace(locked, "limits: {", "limits: {load_pause: 1, ", 1)
	if _, err := mandate.ParseInstruction("i.yaml", []byte(locked)); err == nil || !strings.Contains(err.Error(), "limits.load_pause: while tables are locked") {
		t.Errorf("locked: %v", err)
	}
}

// TestCompileReadDeterministic: the order in which a catalogue lists its tables
// does not matter, nor does anything that changes between two runs.
func TestCompileReadDeterministic(t *testing.T) {
	m := migration(t)
	in := m.ReadInputs()
	rapid.Check(t, func(t *rapid.T) {
		c := source()
		c.Tables = rapid.Permutation(c.Tables).Draw(t, "tables")
		in.Source = c
		p, err := mandate.CompileRead(in)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p.Bytes(), m.Plan.Bytes()) {
			t.Fatal(cmp.Diff(string(m.Plan.Bytes()), string(p.Bytes())))
		}
	})
}

func TestEquivalent(t *testing.T) {
	m := migration(t)
	compile := func(change func(*ecluse.Catalogue)) *mandate.ReadPlan {
		in := m.ReadInputs()
		in.Source = source()
		change(in.Source)
		p, err := mandate.CompileRead(in)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for name, c := range map[string]struct {
		change func(*ecluse.Catalogue)
		want   mandate.Elsewhere
	}{
		"nothing": {func(*ecluse.Catalogue) {}, mandate.Elsewhere{}},
		"a column came": {
			func(c *ecluse.Catalogue) {
				c.Tables[2].Columns = append(c.Tables[2].Columns, ecluse.Column{Name: "lot"})
			},
			mandate.Elsewhere{Added: []string{"public.stock.lot"}},
		},
		"a column went": {
			func(c *ecluse.Catalogue) {
				p := &c.Tables[0]
				p.Columns = slices.DeleteFunc(slices.Clone(p.Columns), func(c ecluse.Column) bool { return c.Name == "address" })
			},
			mandate.Elsewhere{Gone: []string{"public.patient.address"}},
		},
		"a column was renamed": {
			func(c *ecluse.Catalogue) { c.Tables[2].Columns[0].Name = "article" },
			mandate.Elsewhere{Added: []string{"public.stock.article"}, Gone: []string{"public.stock.item"}},
		},
		"a column is of another type": {func(c *ecluse.Catalogue) { c.Tables[2].Columns[0].Declared = "json" }, mandate.Elsewhere{}},
		"a table went": {
			func(c *ecluse.Catalogue) { c.Tables = c.Tables[:2] },
			mandate.Elsewhere{Gone: []string{"public.stock.item"}},
		},
		"another order": {
			func(c *ecluse.Catalogue) {
				cs := c.Tables[0].Columns
				cs[0], cs[1] = cs[1], cs[0]
			},
			mandate.Elsewhere{},
		},
	} {
		got, err := mandate.Equivalent(m.Plan, compile(c.change))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	taken := compile(func(*ecluse.Catalogue) {})
	taken.Verdicts[2].Columns = append(taken.Verdicts[2].Columns, mandate.ColumnVerdict{Column: "lot", Verdict: mandate.Taken})
	if _, err := mandate.Equivalent(m.Plan, taken); ecluse.KindOf(err) != ecluse.Differs {
		t.Errorf("a column that is taken is let in: %v", err)
	}
	for want, change := range map[string]func(*ecluse.Catalogue){
		`columns[nir].type.kind was "text" and is "bytes"`: func(c *ecluse.Catalogue) {
			c.Tables[0].Columns[1].Type.Kind = ecluse.Bytes
			c.Tables[0].Columns[1].MaxLength = 15
		},
		`datasets[result].storage was "heap" and is "zheap"`: func(c *ecluse.Catalogue) { c.Tables[1].Storage = "zheap" },
	} {
		_, err := mandate.Equivalent(m.Plan, compile(change))
		if ecluse.KindOf(err) != ecluse.Differs || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestPlansRoundTrip(t *testing.T) {
	m, in := loadInputs(t, ecluse.Final)
	read, err := mandate.ParseReadPlan(m.Plan.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m.Plan, read); diff != "" {
		t.Error(diff)
	}
	load, err := mandate.ParseLoadPlan(in.LoadPlan)
	if err != nil || !bytes.Equal(load.Bytes(), in.LoadPlan) || load.ReadPlan != m.Plan.Digest() {
		t.Errorf("%v", err)
	}
	good := string(m.Plan.Bytes())
	for name, text := range map[string]string{
		"unknown field": strings.Replace(good, `"migration"`, `"more": 1, "migration"`, 1),
		"twice":         strings.Replace(good, `"migration"`, `"procedure": "", "migration"`, 1),
		"trailing":      good + "{}",
		"spaces":        strings.Replace(good, ": ", ":  ", 1),
		"truncated":     good[:len(good)/2],
		"format":        strings.Replace(good, "readplan/v1", "readplan/v2", 1),
		"another plan":  string(in.LoadPlan),
		"empty":         "",
	} {
		if _, err := mandate.ParseReadPlan([]byte(text)); ecluse.KindOf(err) != ecluse.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseReadPlan(f *testing.F) {
	f.Add([]byte(`{"ecluse": "readplan/v1"}`))
	f.Add((&mandate.ReadPlan{Format: mandate.ReadPlanFormat, Because: "<é\u2028>"}).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := mandate.ParseReadPlan(b); err == nil && !bytes.Equal(p.Bytes(), b) {
			t.Error("another text is taken for the same plan")
		}
	})
}

func FuzzParseLoadPlan(f *testing.F) {
	f.Add((&mandate.LoadPlan{Format: mandate.LoadPlanFormat, Passage: ecluse.Dry}).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := mandate.ParseLoadPlan(b); err == nil && !bytes.Equal(p.Bytes(), b) {
			t.Error("another text is taken for the same plan")
		}
	})
}

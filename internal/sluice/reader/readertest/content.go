package readertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// kindsTable has a column for each of the engine's types, and rows that hold
// every sample of each and a null of each.
func kindsTable(h Harness) (Table, [][]any) {
	table := Table{Name: "kinds", Key: []string{"id"}, Columns: []Column{{Name: "id", Type: Int, NotNull: true}}}
	most := 0
	for i, k := range h.Kinds {
		table.Columns = append(table.Columns, Column{Name: columnName(i, k), Type: k})
		most = max(most, len(Samples(k)))
	}
	rows := make([][]any, most+1)
	for r := range rows {
		rows[r] = []any{int64(r)}
		for _, k := range h.Kinds {
			samples := append(Samples(k), nil)
			rows[r] = append(rows[r], samples[r%len(samples)])
		}
	}
	for i := range h.Kinds {
		rows[most][i+1] = nil
	}
	return table, rows
}

func testKinds(t *testing.T, h Harness) {
	p := newPlace(t, h)
	table, rows := kindsTable(h)
	p.table(t, table, rows)
	var columns strings.Builder
	for i, c := range table.Columns[1:] {
		class := "result"
		if h.Kinds[i].Kind == ecluse.Bytes {
			class = "{class: document, because: The old software keeps scanned prescriptions in this column only}"
		}
		fmt.Fprintf(&columns, ", %s: %s", c.Name, class)
	}
	s := p.open(t, p.permit(t, "datasets:\n  kinds: {from: %q, key: [id], columns: {id: technical%s}}\n", p.name("kinds"), columns.String()))
	seen := 0
	all(t, s, "kinds", func(b *record.Batch) {
		for c, k := range h.Kinds {
			if got := b.Schema.Fields[c+1].Type; got != k {
				t.Errorf("column %s travels as %s, want %s", table.Columns[c+1].Name, got, k)
			}
		}
		for i := range b.Rows() {
			want := rows[b.Columns[0].Int(i)]
			seen++
			for c := range table.Columns {
				if !Equal(t, b.Columns[c], i, want[c]) {
					t.Errorf("row %d, column %s: got %.60q, want %.60v", i, table.Columns[c].Name, strings.Split(Row(b, i), "|")[c], want[c])
				}
			}
		}
	})
	if seen != len(rows) {
		t.Errorf("%d rows, want %d", seen, len(rows))
	}
}

func testAsText(t *testing.T, h Harness) {
	p := newPlace(t, h)
	p.table(t, Table{
		Name: "old", Key: []string{"id"},
		Columns: []Column{{Name: "id", Type: Int, NotNull: true}, {Name: "code", Type: Int}, {Name: "name", Type: Text}},
	}, [][]any{{int64(1), int64(-7), "LEFÈVRE"}, {int64(2), nil, nil}})
	s := p.open(t, p.permit(t, "datasets:\n  old: {from: %q, key: [id], columns: {id: technical, code: {class: result, as: text}, name: {class: result, as: text}}}\n", p.name("old")))
	all(t, s, "old", func(b *record.Batch) {
		if k := b.Columns[1].Type().Kind; k != ecluse.Text {
			t.Errorf("travels as %s, want text", k)
		}
		if diff := cmp.Diff([]string{"1|-7|LEFÈVRE", "2|∅|∅"}, Rows(b)); diff != "" {
			t.Error(diff)
		}
	})
}

// patients is how many rows people puts into the table patient.
const patients = 10

// people makes three tables that lean on each other: patient n was seen in year
// 2010+n, has request n and request 100+n; request n has two results.
func people(t *testing.T, p *place) {
	t.Helper()
	id := Column{Name: "id", Type: Int, NotNull: true}
	p.db.Create(t, Table{Name: "patient", Key: []string{"id"}, Columns: []Column{id, {Name: "seen", Type: Int}, {Name: "town", Type: Text}, {Name: "weight", Type: p.Exact()}}})
	p.db.Create(t, Table{Name: "request", Key: []string{"id"}, Columns: []Column{id, {Name: "patient_id", Type: Int}}})
	p.db.Create(t, Table{Name: "result", Key: []string{"id"}, Columns: []Column{id, {Name: "request_id", Type: Int}, {Name: "code", Type: Text}, {Name: "value", Type: p.Exact()}}})
	var patient, request, result [][]any
	for n := int64(1); n <= patients; n++ {
		town, weight := any([]string{"Orléans", "ORLÉANS", "Orleans", "Orléans "}[n%4]), any(fmt.Sprintf("%d.25", 50+n))
		if n == 5 {
			town, weight = nil, nil
		}
		patient = append(patient, []any{n, 2010 + n, town, weight})
		request = append(request, []any{n, n}, []any{100 + n, n})
		result = append(result, []any{n, n, "GLY", fmt.Sprintf("%d.1", n)}, []any{100 + n, n, "NA", nil})
	}
	request = append(request, []any{int64(900), nil}, []any{int64(901), int64(77)})
	result = append(result, []any{int64(900), int64(901), "gly", "-3"}, []any{int64(901), nil, nil, "0.05"})
	for _, x := range []struct {
		name string
		rows [][]any
	}{{"patient", patient}, {"request", request}, {"result", result}} {
		p.db.Insert(t, peopleTable(p, x.name), x.rows)
	}
}

func peopleTable(p *place, name string) Table {
	columns := map[string][]string{"patient": {"id", "seen", "town", "weight"}, "request": {"id", "patient_id"}, "result": {"id", "request_id", "code", "value"}}
	types := map[string]ecluse.Type{"town": Text, "code": Text, "weight": p.Exact(), "value": p.Exact()}
	table := Table{Name: name, Key: []string{"id"}}
	for _, c := range columns[name] {
		typ, ok := types[c]
		if !ok {
			typ = Int
		}
		table.Columns = append(table.Columns, Column{Name: c, Type: typ})
	}
	return table
}

// ids reads a dataset whose first column is a number, and sorts.
func ids(t *testing.T, p *place, dataset ecluse.DatasetID, body string, args ...any) []int64 {
	t.Helper()
	s := p.open(t, p.permit(t, body, args...))
	defer s.Close()
	out := []int64{}
	all(t, s, dataset, func(b *record.Batch) { out = append(out, b.Columns[0].Ints()...) })
	slices.Sort(out)
	return out
}

func testWhere(t *testing.T, h Harness) {
	p := newPlace(t, h)
	people(t, p)
	for _, c := range []struct {
		where string
		want  []int64
	}{
		{"{column: seen, from: '2013', before: '2016'}", []int64{3, 4, 5}},
		{"{column: seen, in: ['2011', '2020', '1999']}", []int64{1, 10}},
		{"{column: town, in: [Orléans]}", []int64{4, 8}}, // by bytes: not ORLÉANS, not Orleans, not with a space
		{"{column: town, in: ['Orléans ', Orleans]}", []int64{2, 3, 6, 7, 10}},
		{"{column: town, not_null: true}", []int64{1, 2, 3, 4, 6, 7, 8, 9, 10}},
		{"{column: weight, from: '57.25', before: '59.25'}", []int64{7, 8}},
		{"{column: weight, from: '57.3'}", []int64{8, 9, 10}},
		{"{column: seen, from: '2013'}, {column: town, in: [Orléans]}, {column: weight, not_null: true}", []int64{4, 8}},
		{"{column: town, in: [\"it's\", 'a\\b']}", []int64{}},
	} {
		got := ids(t, p, "patient", "datasets:\n  patient: {from: %q, key: [id], columns: {id: technical}, where: [%s]}\n", p.name("patient"), c.where)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("where %s (-want +got):\n%s", c.where, diff)
		}
	}
}

func testWithin(t *testing.T, h Harness) {
	p := newPlace(t, h)
	people(t, p)
	body := `datasets:
  patient: {from: %q, key: [id], columns: {id: technical}, where: [{column: seen, from: '2013', before: '2015'}]}
  request: {from: %q, key: [id], columns: {id: technical}, within: {patient: [patient_id]}}
  result: {from: %q, key: [id], columns: {id: technical, code: result}, within: {request: [request_id]}, where: [{column: code, in: [GLY]}]}
  code: {from: %q, distinct: code, class: result, within: {request: [request_id]}}
`
	s := p.open(t, p.permit(t, body, p.name("patient"), p.name("request"), p.name("result"), p.name("result")))
	for _, c := range []struct {
		dataset ecluse.DatasetID
		want    []string
	}{
		{"patient", []string{"3", "4"}},
		{"request", []string{"103", "104", "3", "4"}},
		{"result", []string{"3|GLY", "4|GLY"}},
		{"code", []string{"GLY|1", "NA|2"}},
	} {
		got := texts(t, s, c.dataset)
		slices.Sort(got)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.dataset, diff)
		}
	}
}

func testEmpty(t *testing.T, h Harness) {
	p := newPlace(t, h)
	p.table(t, numberedTable, nil)
	permit := p.permit(t, numberedBody+"  label: {from: %q, distinct: label, class: result}\n", p.name("numbered"), p.name("numbered"))
	s := p.open(t, permit)
	for _, d := range []ecluse.DatasetID{"numbered", "label"} {
		parts := all(t, s, d, func(*record.Batch) { t.Error("a row of an empty table") })
		if len(parts) != 1 || !parts[0].Last {
			t.Errorf("%s: %+v, want one last chunk", d, parts)
		}
		again(t, s, d, parts)
	}
}

func testOneInstant(t *testing.T, h Harness) {
	p := newPlace(t, h)
	people(t, p)
	body := "datasets:\n  patient: {from: %q, key: [id], columns: {id: technical}}\n  request: {from: %q, key: [id], columns: {id: technical}}\nchecks:\n  requests: {dataset: request, count: true}\n"
	permit := p.permit(t, body, p.name("patient"), p.name("request"))
	s := p.open(t, permit)
	before := len(texts(t, s, "patient"))
	p.db.Insert(t, peopleTable(p, "patient"), [][]any{{int64(5000), int64(2030), nil, nil}})
	p.db.Insert(t, peopleTable(p, "request"), [][]any{{int64(5000), int64(5000)}})
	if got := len(texts(t, s, "patient")); got != before {
		t.Errorf("%d rows, then %d in the same epoch", before, got)
	}
	if got := texts(t, s, "request"); slices.Contains(got, "5000") {
		t.Error("the epoch sees a row that was committed after it began")
	}
	if got := figures(t, s, "requests"); !cmp.Equal(got, []string{"∅|22|∅|∅|∅"}) {
		t.Errorf("the check counts %q, want the epoch's 22 requests", got)
	}
	s.Close()
	if got := len(texts(t, p.open(t, permit), "patient")); got != before+1 {
		t.Errorf("the next epoch sees %d rows, want %d", got, before+1)
	}
}

// testLaterEpoch reads what was read before up to its known ends, and then what
// came since: every row once.
func testLaterEpoch(t *testing.T, h Harness) {
	p := newPlace(t, h)
	numbered(t, p, 20_000)
	permit := p.permit(t, numberedBody, p.name("numbered"))
	first := p.open(t, permit)
	parts := all(t, first, "numbered", nil)
	first.Close()
	more := make([][]any, 500)
	for i := range more {
		more[i] = []any{int64(100_000+i) * 3, "new", nil}
	}
	p.db.Insert(t, numberedTable, more)
	seen := map[int64]bool{}
	count := func(b *record.Batch) {
		for _, id := range b.Columns[0].Ints() {
			if seen[id] {
				t.Fatalf("row %d came twice", id)
			}
			seen[id] = true
		}
	}
	s := p.open(t, permit)
	last := part{}
	for _, x := range parts {
		last = chunk(t, s, "numbered", x.After, x.End, count)
	}
	for !last.Last {
		last = chunk(t, s, "numbered", last.End, nil, count)
	}
	if len(seen) != 20_500 {
		t.Errorf("%d rows, want 20500", len(seen))
	}
}

package readertest

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

// FiguresSchema is what a check gives.
func FiguresSchema() *record.Schema {
	return &record.Schema{Fields: []record.Field{
		{Name: "key", Type: Text},
		{Name: "count", Type: Int},
		{Name: "sum", Type: ecluse.Type{Kind: ecluse.Number}},
		{Name: "first", Type: Text},
		{Name: "last", Type: Text},
	}}
}

// figures runs a check: its lines key|count|sum|first|last, sorted.
func figures(t *testing.T, s reader.Session, name string) []string {
	t.Helper()
	b, err := s.Check(t.Context(), name)
	if err != nil {
		t.Fatalf("check %s: %v", name, err)
	}
	if !b.Schema.Equal(FiguresSchema()) {
		t.Fatalf("check %s: fields %+v", name, b.Schema.Fields)
	}
	out := Rows(b)
	slices.Sort(out)
	return out
}

func testChecks(t *testing.T, h Harness) {
	p := newPlace(t, h)
	people(t, p)
	// The dataset's own conditions hold in its checks.
	body := `datasets:
  patient: {from: %q, key: [id], columns: {id: technical, seen: result, weight: result, town: contact}}
  request: {from: %q, key: [id], columns: {id: technical, patient_id: technical}, within: {patient: [patient_id]}}
  result: {from: %q, key: [id], columns: {id: technical, code: result, value: result}}
  glucose: {from: %q, key: [id], columns: {id: technical, value: result}, where: [{column: code, in: [GLY]}]}
  nobody: {from: %q, key: [id], columns: {id: technical, seen: result}, where: [{column: seen, before: '1900'}]}
  town: {from: %q, distinct: town, class: contact}
checks:
  patients: {dataset: patient, count: true}
  weights: {dataset: patient, sum: weight}
  earliest: {dataset: patient, first: seen}
  latest: {dataset: patient, last: seen}
  per_code: {dataset: result, count_by: code}
  sum_per_code: {dataset: result, sum: value, by: code}
  requests: {dataset: request, count: true}
  glucose: {dataset: glucose, sum: value, count: true}
  heaviest: {dataset: patient, last: weight}
  nobody: {dataset: nobody, count: true, sum: id, first: seen, last: seen}
  towns: {dataset: town, count: true}
`
	name := p.name
	s := p.open(t, p.permit(t, body, name("patient"), name("request"), name("result"), name("result"), name("patient"), name("patient")))
	for _, c := range []struct {
		check string
		want  []string
	}{
		{"patients", []string{"∅|10|∅|∅|∅"}},
		{"weights", []string{"∅|∅|2009/4|∅|∅"}}, // 51.25 + … + 60.25, without 55.25
		{"earliest", []string{"∅|∅|∅|2011|∅"}},
		{"latest", []string{"∅|∅|∅|∅|2020"}},
		{"per_code", []string{"GLY|10|∅|∅|∅", "NA|10|∅|∅|∅", "gly|1|∅|∅|∅", "∅|1|∅|∅|∅"}},
		{"sum_per_code", []string{"GLY|∅|56|∅|∅", "NA|∅|∅|∅|∅", "gly|∅|-3|∅|∅", "∅|∅|1/20|∅|∅"}},
		{"requests", []string{"∅|20|∅|∅|∅"}},
		{"glucose", []string{"∅|10|56|∅|∅"}},
		{"heaviest", []string{"∅|∅|∅|∅|60.25"}},
		{"nobody", []string{"∅|0|∅|∅|∅"}}, // no rows: no sum, no first, no last
		{"towns", []string{"∅|4|∅|∅|∅"}},
	} {
		got := figures(t, s, c.check)
		if c.check == "heaviest" && len(got) == 1 && len(got[0]) > len("∅|∅|∅|∅|") { // 60.25 or, of a decimal(12,3), 60.250
			if tail := got[0][len("∅|∅|∅|∅|"):]; SameNumber(tail, "60.25") {
				got = c.want
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("check %s (-want +got):\n%s", c.check, diff)
		}
	}
}

func testPrivileges(t *testing.T, h Harness) {
	p := newPlace(t, h)
	people(t, p)
	body := "datasets:\n  patient: {from: %q, key: [id], columns: {id: technical, seen: result}, where: [{column: town, not_null: true}]}\n"
	permit := p.permit(t, body, p.name("patient"))
	s := p.open(t, permit)
	may, err := s.Privileges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if may.Account == "" || may.At.IsZero() || may.Epoch != "snapshot" || len(may.Writable) > 0 || may.Superuser {
		t.Errorf("account %q at %s, epoch %q, %d tables writable, superuser %t", may.Account, may.At, may.Epoch, len(may.Writable), may.Superuser)
	}
	for table, columns := range may.Readable {
		if !slices.IsSorted(columns) {
			t.Errorf("columns of %s are not sorted: %q", table, columns)
		}
	}
	result := p.db.Name("result")
	if may.Whole {
		if got := may.Readable[result]; !cmp.Equal(got, []string{"code", "id", "request_id", "value"}) {
			t.Errorf("everything is readable, but of result %q", got)
		}
		return
	}
	view := permit.Plan().Datasets[0].View
	for table, columns := range may.Readable {
		switch {
		case view != "" && table.String() == view:
		case table == p.db.Name("patient") && view == "":
			if want := []string{"id", "seen", "town"}; !cmp.Equal(columns, want) {
				t.Errorf("of patient it can read %q, want %q", columns, want)
			}
		default:
			t.Errorf("it can read %s: %q", table, columns)
		}
	}
	s.Close()
	p.db.Widen(t, "result")
	if may, err = p.open(t, permit).Privileges(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := may.Readable[result]; !cmp.Equal(got, []string{"code", "id", "request_id", "value"}) {
		t.Errorf("after a grant too many it says of result %q", got)
	}
}

// testPrivilegesDuring: each answer is a measurement, also of what was granted
// since the epoch began.
func testPrivilegesDuring(t *testing.T, h Harness) {
	p := newPlace(t, h)
	people(t, p)
	permit := p.permit(t, "datasets:\n  patient: {from: %q, key: [id], columns: {id: technical, seen: result}}\n", p.name("patient"))
	s := p.open(t, permit)
	before, err := s.Privileges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if before.Whole {
		return // nothing can be granted
	}
	all(t, s, "patient", nil)
	p.db.Widen(t, "result")
	after, err := s.Privileges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	result := p.db.Name("result")
	if len(before.Readable[result]) > 0 || !cmp.Equal(after.Readable[result], []string{"code", "id", "request_id", "value"}) {
		t.Errorf("granted during the reading: before it says %q of result, after %q", before.Readable[result], after.Readable[result])
	}
	if !after.At.After(before.At) {
		t.Errorf("measured at %s and at %s", before.At, after.At)
	}
	if got := len(texts(t, s, "patient")); got != patients {
		t.Errorf("%d rows in the epoch after it", got)
	}
}

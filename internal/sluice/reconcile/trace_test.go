package reconcile

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
)

// TestTrace alters a target and finds each altered row, by dataset, ordinal and
// column, in chunks traced together.
func TestTrace(t *testing.T) {
	rows := some(60)
	name := patientTable().Name
	target := append(slices.Clone(rows), patient{9001, "ALPHA", "F", "70"}) // stood there before
	target[3].name = "CANARI"
	target[40].weight, target[40].sex = "1.5", "X"
	target = slices.Delete(target, 50, 51)
	target[20].weight += "00" // the same number
	sc := &shelf{tables: map[string][]patient{name.String(): target}}

	tr, err := NewTracer(patientTable(), []string{"id"})
	if err != nil {
		t.Fatal(err)
	}
	source := make([]int32, 30)
	for i := range source {
		source[i] = int32(i)
	}
	for n, part := range [][]patient{rows[:30], rows[30:]} {
		o := Origin{Dataset: "patient", Slot: ecluse.Slot{Dataset: "patient", Sequence: n}, First: int64(30 * n)}
		refused := [][]int32{nil, {29}}[n] // row 59 was put aside
		if err := tr.Expect(o, patients(part...), source, refused); err != nil {
			t.Fatal(err)
		}
	}
	if err := tr.Scan(t.Context(), sc); err != nil {
		t.Fatal(err)
	}
	got, more := tr.Differences()
	want := []Difference{
		{name, "patient", 3, "name", "altered"},
		{name, "patient", 40, "sex", "altered"},
		{name, "patient", 40, "weight", "altered"},
		{name, "patient", 50, "", "missing"},
	}
	if diff := cmp.Diff(want, got); diff != "" || more != 0 {
		t.Error(more, diff)
	}
	if text, err := json.Marshal(got); err != nil || strings.Contains(string(text), "CANARI") {
		t.Errorf("%s %v", text, err)
	}
}

// Without a key a row is known by its content: an altered one is missing, and
// equal rows are counted.
func TestTraceWithoutKey(t *testing.T) {
	a, b := patient{1, "ALPHA", "F", "1"}, patient{2, "BETA", "M", "2"}
	tr, err := NewTracer(patientTable(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Expect(Origin{Dataset: "p"}, patients(a, a, a, b), []int32{0, 1, 2, 3}, nil); err != nil {
		t.Fatal(err)
	}
	b.weight = "3"
	if err := tr.Scan(t.Context(), &shelf{tables: map[string][]patient{"lab.patient": {a, b, a}}}); err != nil {
		t.Fatal(err)
	}
	got, _ := tr.Differences()
	want := []Difference{{patientTable().Name, "p", 0, "", "missing"}, {patientTable().Name, "p", 3, "", "missing"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTraceIsBounded(t *testing.T) {
	rows := some(MaxDifferences + 7)
	source := make([]int32, len(rows))
	for i := range source {
		source[i] = int32(i)
	}
	tr, err := NewTracer(patientTable(), []string{"id"})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Expect(Origin{Dataset: "p"}, patients(rows...), source, nil); err != nil {
		t.Fatal(err)
	}
	if got, more := tr.Differences(); len(got) != MaxDifferences || more != 7 {
		t.Errorf("%d listed, %d more", len(got), more)
	}
	if _, err := NewTracer(patientTable(), []string{"nir"}); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("a key that is not compared: %v", err)
	}
}

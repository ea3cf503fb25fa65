package reconcile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
)

// made is the rows that one chunk made.
type made struct {
	from   Origin
	rows   []patient
	source []int32
}

func numbers(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(i)
	}
	return out
}

// traced goes through a whole trace.
func traced(t *testing.T, held int32, key []string, target []patient, chunks ...made) (list []Difference, whole bool) {
	t.Helper()
	sc := &shelf{tables: map[string][]patient{patientTable().Name.String(): target}}
	tr := NewTracer(patientTable(), key, 1)
	tr.held = held
	for _, c := range chunks {
		if err := tr.Sum(patients(c.rows...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tr.SumTarget(t.Context(), sc); err != nil {
		t.Fatal(err)
	}
	for tr.Next() {
		// Either side may be gone through before the other.
		if err := tr.Scan(t.Context(), sc); err != nil {
			t.Fatal(err)
		}
		for _, c := range chunks {
			if err := tr.Expect(c.from, patients(c.rows...), c.source); err != nil {
				t.Fatal(err)
			}
		}
	}
	return tr.Differences()
}

// TestTrace alters a target and finds each altered row, by dataset, ordinal and
// column.
func TestTrace(t *testing.T) {
	rows := some(60)
	name := patientTable().Name
	target := append(slices.Clone(rows[:59]), patient{9001, "ALPHA", "F", "70"}) // stood there before; row 59 was put aside
	target[3].name = "CANARI"
	target[40].weight, target[40].sex = "1.5", "X"
	target = slices.Delete(target, 50, 51)
	target[20].weight += "00" // the same number
	got, whole := traced(t, rowsHeld, []string{"id"}, target,
		made{Origin{"patient", 0}, rows[:30], numbers(30)}, made{Origin{"patient", 30}, rows[30:59], numbers(29)})
	want := []Difference{
		{name, "patient", 3, "name", "altered"},
		{name, "patient", 40, "sex", "altered"},
		{name, "patient", 40, "weight", "altered"},
		{name, "patient", 50, "", "missing"},
	}
	if diff := cmp.Diff(want, got); diff != "" || !whole {
		t.Error(whole, diff)
	}
	if text, err := json.Marshal(got); err != nil || strings.Contains(string(text), "CANARI") {
		t.Errorf("%s %v", text, err)
	}
}

// Without a key, or with one that is not compared, a row is known by its content:
// an altered one is missing, and equal rows are counted.
func TestTraceWithoutKey(t *testing.T) {
	a, b := patient{1, "ALPHA", "F", "1"}, patient{2, "BETA", "M", "2"}
	altered := b
	altered.weight = "3"
	for _, key := range [][]string{nil, {"nir"}} {
		got, whole := traced(t, rowsHeld, key, []patient{a, altered, a}, made{Origin{"p", 0}, []patient{a, a, a, b}, numbers(4)})
		want := []Difference{{patientTable().Name, "p", 0, "", "missing"}, {patientTable().Name, "p", 3, "", "missing"}}
		if diff := cmp.Diff(want, got); diff != "" || !whole {
			t.Error(whole, diff)
		}
	}
}

// TestTraceInLooks: a table that differs all over is looked at part by part, and
// what is not listed is said not to be.
func TestTraceInLooks(t *testing.T) {
	const held = 500
	const n = 5*held + 7
	rows := make([]patient, n)
	for i := range rows {
		rows[i] = patient{int64(i), fmt.Sprint("P", i), "F", "1"}
	}
	if got, whole := traced(t, held, []string{"id"}, nil, made{Origin{"p", 0}, rows, numbers(n)}); len(got) != MaxDifferences || whole {
		t.Errorf("%d listed, whole: %v", len(got), whole)
	}
	// Rows that are all there, among as many others, and one that is not.
	target := slices.Clone(rows[1:])
	for i := range n {
		target = append(target, patient{int64(n + i), "BEFORE", "M", "2"})
	}
	got, whole := traced(t, held, []string{"id"}, target, made{Origin{"p", 0}, rows, numbers(n)})
	if !whole || len(got) != 1 || got[0] != (Difference{patientTable().Name, "p", 0, "", "missing"}) {
		t.Error(got, whole)
	}
	tr := NewTracer(patientTable(), nil, 1)
	narrow := patients(rows[0])
	narrow.Schema.Fields[0].Name = "nir"
	if err := tr.Sum(narrow); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("a column that is not compared: %v", err)
	}
}

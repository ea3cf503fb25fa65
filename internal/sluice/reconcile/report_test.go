package reconcile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ecluse"
)

// after − before = as loaded holds exactly when the target holds what stood there
// and what was loaded, and nothing else.
func TestCompare(t *testing.T) {
	stood := []patient{{9001, "ALPHA", "F", "70"}, {9002, "BETA", "M", "80"}}
	loaded := some(20)
	name := patientTable().Name
	good := append(slices.Clone(stood), loaded...)
	for _, c := range []struct {
		verdict string
		loaded  []patient
		after   func([]patient) []patient
	}{
		{"equal", loaded, func(r []patient) []patient { return r }},
		{"untouched", nil, func(r []patient) []patient { return r[:2] }},
		{"altered", nil, func(r []patient) []patient { r[1].name = "GAMMA"; return r[:2] }},
		{"missing", loaded, func(r []patient) []patient { return r[:len(r)-1] }},
		{"extra", loaded, func(r []patient) []patient { return append(r, patient{id: 5}) }},
		{"altered", loaded, func(r []patient) []patient { r[10].weight = "1"; return r }},
		{"altered", loaded, func(r []patient) []patient { r[0].name = "GAMMA"; return r }}, // of those that stood there
		{"altered", loaded, func(r []patient) []patient { r[3] = r[4]; return r }},
	} {
		before, as, after := Sums{}, Sums{}, Sums{}
		before.Add(sumOf(t, stood...))
		if c.loaded != nil {
			as.Add(sumOf(t, c.loaded...))
		}
		after.Add(sumOf(t, c.after(slices.Clone(good))...))
		got := Compare(before, as, after)
		if len(got) != 1 || got[0].Table != name || got[0].Verdict() != c.verdict || got[0].Equal != (c.verdict == "equal" || c.verdict == "untouched") {
			t.Errorf("%+v, want %s", got, c.verdict)
		}
	}
	if got := Compare(Sums{}, Sums{}, Sums{}); len(got) != 0 {
		t.Errorf("of no tables: %+v", got)
	}
}

// What one writes and another takes away at the same time is not absolved: any
// change of any row shows.
func TestCompareSeesEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := some(30)
		loaded := rows[10:]
		other := slices.Clone(rows)
		at := rapid.IntRange(0, 29).Draw(t, "row")
		switch rapid.IntRange(0, 3).Draw(t, "change") {
		case 0:
			other[at].name += "?"
		case 1:
			other[at].weight = "0.001"
		case 2:
			other = slices.Delete(other, at, at+1)
		case 3:
			other = append(other, other[at])
		}
		sum := func(rows []patient) Sums {
			s, err := NewSummer(patientTable(), key).SumBatch(patients(rows...))
			if err != nil {
				t.Fatal(err)
			}
			return Sums{s.Table: s}
		}
		if Compare(sum(rows[:10]), sum(loaded), sum(other))[0].Equal {
			t.Fatal("a change went unseen")
		}
	})
}

func TestReport(t *testing.T) {
	n := func(v int64) *int64 { return &v }
	r := &Report{
		Datasets: []DatasetResult{CompareDataset("patient", DatasetCount{2, 150}, DatasetCount{2, 150})},
		Tables:   []TableResult{{Table: patientTable().Name, Loaded: 150, After: 150, Equal: true}},
		Checks:   []CheckResult{{Name: "results_per_code", Lines: 31}},
		Rejected: []Grouped{{"patient", "no birth date", 3}, {"patient", "unknown sex", 12}},
	}
	if !r.Equal() {
		t.Error("everything is equal and the report is not")
	}
	for name, spoil := range map[string]func(*Report){
		"dataset":    func(r *Report) { r.Datasets[0].Equal = false },
		"table":      func(r *Report) { r.Tables[0].Equal = false },
		"check":      func(r *Report) { r.Checks[0].Off = []CheckLine{{Key: "HIV-CANARI", Source: n(7), Target: n(8)}} },
		"no figures": func(r *Report) { r.Checks[0].Why = "no such column" },
		"nothing":    func(r *Report) { *r = Report{} },
	} {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var bad Report
		if err := json.Unmarshal(text, &bad); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(*r, bad); diff != "" {
			t.Fatal(diff)
		}
		spoil(&bad)
		if bad.Equal() {
			t.Errorf("%s: called equal", name)
		}
		public, err := json.Marshal(bad.Public())
		if err != nil || strings.Contains(string(public), "CANARI") || strings.Contains(string(public), `"equal":true,"datasets":[{`) {
			t.Errorf("%s: %s", name, public)
		}
	}
	if CompareDataset("patient", DatasetCount{2, 150}, DatasetCount{2, 149}).Equal || CompareDataset("patient", DatasetCount{2, 150}, DatasetCount{1, 150}).Equal {
		t.Error("a chunk or a row is missing and the dataset is equal")
	}
	if diff := cmp.Diff([]ecluse.MaskedGroup{{Dataset: "patient", By: "no birth date", Count: "*"}, {Dataset: "patient", By: "unknown sex", Count: "*"}}, r.Public().Rejected); diff != "" {
		t.Error(diff)
	}
	for n, want := range map[int64]string{0: "0", 1: "<10", 9: "<10", 10: "10", 491840: "491840"} {
		if got := Mask(n); got != want {
			t.Errorf("%d shows as %s", n, got)
		}
	}
}

// A dataset's rows put aside are known in all: what is masked does not follow from the rest.
func TestMaskedBesideTheTotal(t *testing.T) {
	for _, c := range []struct {
		counts []int64
		want   string
	}{
		{[]int64{40, 12}, "40 12"},
		{[]int64{40, 3, 12}, "* * *"}, // of 15 together at most five are the small one's
		{[]int64{400, 3, 40}, "400 * *"},
		{[]int64{400, 3, 40, 40}, "400 * * *"}, // of equal counts none is told
		{[]int64{400, 3}, "* *"},
		{[]int64{10, 1}, "* *"}, // eleven: were ten said to be ten at least, one would be one
		{[]int64{400, 7, 8}, "400 <10 <10"},
		{[]int64{400, 9, 9}, "* * *"}, // 18 of two are nine each
		{[]int64{400, 1, 1}, "* * *"},
		{[]int64{400, 5, 4}, "* * *"}, // 9 together is masked too
		{[]int64{3}, "<10"},           // a dataset's rows put aside are told in all, and there is no other reason
		{[]int64{400, 0}, "400 0"},
	} {
		var groups []Grouped
		for i, n := range c.counts {
			groups = append(groups, Grouped{"patient", fmt.Sprint(i), n})
		}
		groups = append(groups, Grouped{"result", "0", 50}) // another dataset has its own total
		if got := strings.Join(countsOf((&Report{Rejected: groups}).Public().Rejected), " "); got != c.want+" 50" {
			t.Errorf("%v: %s", c.counts, got)
		}
	}
}

func countsOf(groups []ecluse.MaskedGroup) (all []string) {
	for _, g := range groups {
		all = append(all, g.Count)
	}
	return all
}

// TestMaskedIsNotComputed: whoever knows how counts are masked, and the total, finds for
// each masked count several that would show as the same, but where the total counts
// nothing else: of one reason alone, or of equal ones, it tells what they are.
func TestMaskedIsNotComputed(t *testing.T) {
	shown := func(counts []int64) (string, int64) {
		var groups []Grouped
		total := int64(0)
		for i, n := range counts {
			groups = append(groups, Grouped{"patient", fmt.Sprint(i), n})
			total += n
		}
		inAll := func(Grouped) string { return "patient" }
		return strings.Join(countsOf(maskGroups(groups, inAll, keptBackOf(groups, inAll))), " "), total
	}
	type seen struct {
		shown string
		total int64
	}
	for groups, most := range []int64{0, 400, 60, 40, 22} {
		could := map[seen][]map[int64]bool{} // of each group, the counts that show so
		equal := map[seen]bool{}             // all counts are one
		counts := make([]int64, groups)
		var each func(int)
		each = func(i int) {
			if i < groups {
				for counts[i] = 1; counts[i] <= most; counts[i]++ {
					each(i + 1)
				}
				return
			}
			text, total := shown(counts)
			at := seen{text, total}
			if could[at] == nil {
				could[at] = make([]map[int64]bool, groups)
			}
			for j, n := range counts {
				if could[at][j] == nil {
					could[at][j] = map[int64]bool{}
				}
				could[at][j][n] = true
			}
			equal[at] = equal[at] || groups > 0 && slices.Max(counts) == slices.Min(counts)
		}
		each(0)
		for at, all := range could {
			for j, count := range strings.Fields(at.shown) {
				if (count == "<10" || count == MaskedBeside) && len(all[j]) < 2 && !equal[at] {
					t.Fatalf("%d in all, shown as %s: the count at %d can only be one", at.total, at.shown, j)
				}
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		counts := rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(1, 12), rapid.Int64Range(1, 500)), 2, 12).Draw(t, "counts")
		text, total := shown(counts)
		marks := strings.Fields(text)
		i := rapid.IntRange(0, len(counts)-1).Draw(t, "masked")
		if slices.Max(counts) == slices.Min(counts) || marks[i] != "<10" && marks[i] != MaskedBeside {
			return
		}
		for j := range counts {
			if marks[j] != marks[i] || counts[j] == counts[i] {
				continue
			}
			other := slices.Clone(counts)
			other[i], other[j] = other[j], other[i]
			if again, same := shown(other); again != text || same != total {
				t.Fatalf("%v shows as %s, and %v as %s", counts, text, other, again)
			}
			return
		}
		t.Fatalf("%v shows as %s: the count at %d follows from it", counts, text, i)
	})
}

// TestReportedBesideMasked: what was reported of rows put aside counts them once more, and
// does not tell what is kept back.
func TestReportedBesideMasked(t *testing.T) {
	p := (&Report{
		Rejected: []Grouped{{"patient", "patient.sex: no value", 3}, {"patient", "patient.birth: no value", 32}, {"patient", "no name", 900}},
		Reported: []Grouped{{"patient", "unknown sex", 3}, {"patient", "no birth date", 32}, {"patient", "town not found", 20}, {"result", "unit replaced", 32}},
	}).Public()
	if got := strings.Join(countsOf(p.Rejected), " "); got != "* * 900" {
		t.Errorf("put aside: %s", got)
	}
	if got := strings.Join(countsOf(p.Reported), " "); got != "* * 20 32" {
		t.Errorf("reported: %s", got)
	}
}

// The shapes of a reason whose count is kept back do not tell it.
func TestKeptBackShapes(t *testing.T) {
	r := &Report{
		Rejected: []Grouped{{"patient", "no date", 400}, {"patient", "no sex", 3}},
		Shapes: []Shaped{
			{"patient", "no date", "NAISSANCE", ShapeOf("31.12.1999"), 300},
			{"patient", "no date", "NAISSANCE", ShapeNull, 100},
			{"patient", "no sex", "SEXE", ShapeNull, 3},
		},
	}
	text, err := json.Marshal(r.Public().Shapes)
	want := `[{"dataset":"patient","by":"no date","column":"NAISSANCE","shape":"other","count":"*"},{"dataset":"patient","by":"no sex","column":"SEXE","shape":"other","count":"*"}]`
	if err != nil || string(text) != want {
		t.Errorf("%s %v", text, err)
	}
}

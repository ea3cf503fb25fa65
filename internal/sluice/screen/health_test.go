package screen

import (
	"slices"
	"strings"
	"testing"

	"ecluse"
)

func TestHealthWords(t *testing.T) {
	for _, list := range [][]string{healthWords, healthStems} {
		if !slices.IsSorted(list) {
			t.Error("a list that is searched is not in order")
		}
		for _, w := range list {
			if len(w) > longest || !health([]byte(w)) {
				t.Errorf("%q is not found", w)
			}
		}
	}
	for i, w := range healthStems[1:] {
		if strings.HasPrefix(w, healthStems[i]) {
			t.Errorf("%q begins with another stem, and would hide it from the search", w)
		}
	}
	for _, yes := range []string{
		"VIH+", "sida", "Hépatite B", "HÉPATITE", "he\u0301patite", "HE\u0301PATITES", "cancer du sein", "suspicion:cancéreux", "Grossesse gémellaire", "patiente ENCEINTE de 12 SA",
		"IVG le 3", "(PMA)", "sous chimiothérapie", "chimio", "Trisomie 21", "RAS, vih", "leucémie", "SÉROPOSITIF", "métastases", "dépressif", "T21 trisomique",
	} {
		if !health([]byte(yes)) {
			t.Errorf("%q is not found", yes)
		}
	}
	for _, no := range []string{"", "RAS", "prélèvement difficile", "vihara", "pmas", "accident", "hémolysé", "enceint", "à jeun", "\xff\xfe", "cance", "recancer", "hepa tite"} {
		if health([]byte(no)) {
			t.Errorf("%q is found", no)
		}
	}
	s := New(dataset(ecluse.FreeText))
	if err := s.Look(batch("Hépatite B, VIH", "RAS", "patiente enceinte")); err != nil {
		t.Fatal(err)
	}
	if got, want := s.FreeText()["c"], (Findings{Health: 2, Values: 3}); got != want {
		t.Errorf("found %+v, want %+v", got, want)
	}
}

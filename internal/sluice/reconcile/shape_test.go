package reconcile

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ecluse/evidence"
)

func TestShapeOf(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "empty",
		"31/12/1999":                  "99/99/9999",
		"B7":                          "A9",
		"abc 42":                      "AAA 99",
		"F":                           "A",
		"null":                        "AAAA",
		"Élodie":                      "A{6}",
		"e\u0301e\u0301":              "AAAA", // two letters, two accents
		"Ωмега٣":                      "A{5}9",
		"19991231":                    "9{8}",
		strings.Repeat("x", 32):       "A{32}",
		strings.Repeat("x", 33):       "A{32+}",
		strings.Repeat("x", 100000):   "A{32+}",
		"A{12}":                       "A?99?",
		"+":                           "?", // a positive result
		"+++":                         "?",
		"-":                           "?",
		"( - )":                       "?",
		strings.Repeat("+", 9):        "?", // its count has a digit, it has none
		"...":                         "?",
		" ":                           "?",
		"<0.01":                       "?9.99",
		"> 500":                       "? 999",
		"1+":                          "9?",
		"a--b":                        "A??A",
		"a -b":                        "A ?A",
		"a-b":                         "A-A",
		"2024-05-17":                  "9999-99-99",
		"e\u0301-1":                   "AA-9",
		"a+\u0301b":                   "A??A",
		"1e+5":                        "9A+9",
		strings.Repeat("a-", 9):       "A-A-A-A-A-A-A-A-…",
		strings.Repeat(". ", 9) + "a": "?",
		"a\x00\x1b\u202eb":            "A???A",
		"\xff\xfe":                    "?",
		"☃":                           "?",
		strings.Repeat("a1", 8):       "A9A9A9A9A9A9A9A9",
		strings.Repeat("a1", 9):       "A9A9A9A9A9A9A9A9…",
		"-12.50":                      "?99.99",
	} {
		if got := ShapeOf(text).String(); got != want {
			t.Errorf("%.20q looks like %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{"", "B", "12", "AB", "A{4}", "A{5", "A{33}", "A{05}", "AA{5}", "AAAAA", "{", "A…", "é", "Other", "A5", "A\n", "+", "-99.99", "??", "A+", "<9", "A-?", "A--A", "A+-A", "A - A", ". .", "A-…", "bool", "?{9}"} {
		var s Shape
		if s.UnmarshalText([]byte(text)) == nil {
			t.Errorf("%q is taken for a shape", text)
		}
	}
}

// A shape is bounded, is read back as it is, and holds no letter or digit of what it
// was made from.
func FuzzShapeOf(f *testing.F) {
	for _, s := range []string{"", "31/12/1999", "A{12}", "é\u0301", "a1a1a1a1a1a1a1a1a1", "\xff", "other", "+", "<0.01", "a-b-c", "a--b", "1+", ". . . . . . . . . a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := ShapeOf(text)
		if len(s.text) > shapeRuns*len("A{32+}")+len(shapeEnds) {
			t.Errorf("a shape of %d bytes", len(s.text))
		}
		if back, ok := parseShape(s.text); !ok || back != s {
			t.Errorf("%q is not read back", s.text)
		}
		if !evidence.ValidShape(s.text) {
			t.Errorf("a verifier refuses %q", s.text)
		}
		if s == ShapeEmpty {
			return
		}
		if !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }) && s != shapeMasked {
			t.Errorf("%q has neither letter nor digit and looks like %q", text, s.text)
		}
		if first, last := s.text[:1], s.text[len(s.text)-1:]; strings.ContainsAny(first+last, shapeSigns) {
			t.Errorf("%q begins or ends with a sign", s.text)
		}
		bare := s.text
		for n := runShown + 1; n <= runCount; n++ {
			bare = strings.ReplaceAll(bare, fmt.Sprintf("{%d}", n), "")
		}
		bare = strings.ReplaceAll(strings.ReplaceAll(bare, "{32+}", ""), shapeEnds, "")
		if left := strings.Trim(strings.Map(func(r rune) rune {
			if strings.ContainsRune(shapeKept+shapeSigns+"A9?", r) {
				return -1
			}
			return r
		}, bare), ""); left != "" {
			t.Errorf("%q is left in a shape", left)
		}
	})
}

func FuzzParseShape(f *testing.F) {
	for _, s := range []string{"99/99/9999", "A{12} 99", "other", "A{32+}…", "A{", "9{4}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, ok := parseShape(text)
		if ok && s.text != text {
			t.Errorf("%q is read as %q", text, s.text)
		}
		if ok && !evidence.ValidShape(text) {
			t.Errorf("a verifier refuses %q", text)
		}
	})
}

func TestShapesAreBounded(t *testing.T) {
	var s Shapes
	for n := range maxShapes + 50 { // each another: its number in base two, a letter for 1
		text := strings.NewReplacer("0", " ", "1", "a").Replace(fmt.Sprintf("%012b", n))
		s.Add(Shaped{"patient", "r", "c", ShapeOf("a." + text), 1})
	}
	list := s.List()
	if last := list[len(list)-1]; len(list) != maxShapes+1 || last.Shape != ShapeOther || last.Count != 50 {
		t.Errorf("%d shapes, the last %+v", len(list), last)
	}
	if told := foldShapes(list); len(told) != 1 || told[0].Shape != ShapeOther {
		t.Errorf("%d told of shapes that one row each has", len(told))
	}
}

// What is masked does not follow from what is told.
func TestShapesFolded(t *testing.T) {
	sets := func(counts ...int64) []Shaped {
		var s Shapes
		for i, n := range counts {
			s.Add(Shaped{"patient", "no sex", "SEXE", ShapeOf(strings.Repeat("a", i+1)), n})
		}
		return s.List()
	}
	for _, c := range []struct {
		counts []int64
		want   string
	}{
		{[]int64{57}, "A 57"},
		{[]int64{40, 12}, "A 40, AA 12"},
		{[]int64{40, 12, 3}, "A 40, other 15"}, // else 55 in all less 52 were told
		{[]int64{40, 9, 9}, "A 40, other 18"},
		{[]int64{40, 3}, "other 43"},
		{[]int64{5, 4, 3}, "other 12"},
		{[]int64{4, 3}, "other <10"}, // the reason's own count is masked too
		{nil, ""},
	} {
		var got []string
		for _, x := range foldShapes(sets(c.counts...)) {
			got = append(got, x.Shape.String()+" "+x.Count)
		}
		if diff := cmp.Diff(c.want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%v: %s", c.counts, diff)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		counts := rapid.SliceOfN(rapid.Int64Range(1, 40), 0, 60).Draw(t, "counts")
		told, total, seen := foldShapes(sets(counts...)), int64(0), int64(0)
		for _, n := range counts {
			total += n
		}
		for _, x := range told {
			if x.Count == "<10" {
				if len(told) != 1 || total >= maskBelow {
					t.Fatalf("%d rows of %d shapes: a count is masked beside others", total, len(counts))
				}
				return
			}
			n := int64(0)
			fmt.Sscan(x.Count, &n)
			seen += n
		}
		if seen != total || len(told) > shapesTold+1 {
			t.Fatalf("%d rows of %d told in %d shapes", seen, total, len(told))
		}
	})
}

func TestShapesInPublic(t *testing.T) {
	r := &Report{Shapes: []Shaped{{"patient", "no date", "NAISSANCE", ShapeOf("31.12.1999"), 31}, {"patient", "no date", "NAISSANCE", ShapeOf("1-CANARI"), 2}}}
	text, err := json.Marshal(r.Public().Shapes)
	if err != nil || string(text) != `[{"dataset":"patient","by":"no date","column":"NAISSANCE","shape":"other","count":"33"}]` {
		t.Errorf("%s %v", text, err)
	}
}

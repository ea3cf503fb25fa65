package reconcile

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"ecluse"
)

// Shape is what a value looks like, without the value: "99/99/9999", "A9",
// "A{12} 99". Letters of any script are A, digits 9, punctuation and the space stand
// as they are, everything else is "?"; a run of more than four is counted, one of more
// than 32 is "A{32+}", and after sixteen runs "…" ends it. A sign alone can be the
// value ("+" is a positive result, "<0.01" a negative one): it stands only between
// letters and digits, elsewhere it is "?" too, and what shows neither letter nor digit
// is one "?". A Shape is made by ShapeOf, or parsed: it has no room for a value.
type Shape struct{ text string }

// Shapes of what has no text of its own, and of what is folded together. Lower case
// tells them from any value's.
var (
	ShapeNull  = Shape{"null"}
	ShapeEmpty = Shape{"empty"}
	ShapeBytes = Shape{"bytes"}
	ShapeBool  = Shape{"boolean"} // either
	ShapeOther = Shape{"other"}   // rarer shapes
)

const (
	runShown  = 4
	runCount  = 32
	shapeRuns = 16
	shapeEnds = "…"
)

// shapeKept is the punctuation that a shape has as it is, shapeSigns what it has only
// between letters and digits. Braces are its own.
const (
	shapeKept  = " !\"#$%&'()*,./:;@[\\]^_`|~"
	shapeSigns = "+-<=>"
)

// shapeMasked is what is neither letter nor digit nor kept, and all of a text that shows
// neither letter nor digit.
var shapeMasked = Shape{"?"}

// ShapeOf is the shape of a text.
func ShapeOf(text string) Shape {
	if text == "" {
		return ShapeEmpty
	}
	var b strings.Builder
	run, last, runs := 0, rune(0), 0
	end := func() {
		switch {
		case run > runCount:
			b.WriteString(string(last) + "{" + strconv.Itoa(runCount) + "+}")
		case run > runShown:
			b.WriteString(string(last) + "{" + strconv.Itoa(run) + "}")
		default:
			b.WriteString(strings.Repeat(string(last), run))
		}
	}
	shown := false // a letter or a digit
	for rest := text; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		rest = rest[size:]
		next, _ := utf8.DecodeRuneInString(rest)
		c := shapeRune(r, last, next)
		if c == last {
			run++
			continue
		}
		end()
		if runs++; runs > shapeRuns {
			b.WriteString(shapeEnds)
			run = 0
			break
		}
		run, last, shown = 1, c, shown || c == 'A' || c == '9'
	}
	end()
	if !shown {
		return shapeMasked
	}
	return Shape{b.String()}
}

// shapeRune is what a shape has for a character between what it has before and the one
// after: an accent is part of its letter.
func shapeRune(r, before, next rune) rune {
	switch {
	case unicode.IsLetter(r):
		return 'A'
	case unicode.IsNumber(r):
		return '9'
	case unicode.IsMark(r) && before != 0:
		return before
	case strings.ContainsRune(shapeKept, r):
		return r
	case strings.ContainsRune(shapeSigns, r) && (before == 'A' || before == '9') && (unicode.IsLetter(next) || unicode.IsNumber(next)):
		return r
	}
	return '?'
}

// String is the shape's text.
func (s Shape) String() string { return s.text }

// MarshalText is String.
func (s Shape) MarshalText() ([]byte, error) { return []byte(s.text), nil }

// UnmarshalText takes only what could be a shape.
func (s *Shape) UnmarshalText(text []byte) error {
	x, ok := parseShape(string(text))
	if !ok { // its text may be a value
		return &ecluse.Error{Kind: ecluse.Invalid, What: "read a shape", Why: "it is none: it holds more than A, 9 and punctuation"}
	}
	*s = x
	return nil
}

// parseShape reads the text of a shape: one that ShapeOf could have made.
func parseShape(text string) (Shape, bool) {
	for _, word := range []Shape{ShapeNull, ShapeEmpty, ShapeBytes, ShapeBool, ShapeOther, shapeMasked} {
		if text == word.text {
			return word, true
		}
	}
	rest, cut := strings.CutSuffix(text, shapeEnds)
	last, runs, shown := rune(0), 0, false
	for rest != "" {
		c, size := utf8.DecodeRuneInString(rest)
		sign := strings.ContainsRune(shapeSigns, c)
		if c != 'A' && c != '9' && c != '?' && !strings.ContainsRune(shapeKept, c) && !sign || c == last {
			return Shape{}, false
		}
		if sign && (last != 'A' && last != '9' || !betweenTo(rest[size:], cut)) {
			return Shape{}, false
		}
		last, shown = c, shown || c == 'A' || c == '9'
		runs++
		after := strings.TrimLeft(rest, string(c))
		n := len(rest) - len(after)
		if n > runShown || size != 1 {
			return Shape{}, false
		}
		rest = after
		if !strings.HasPrefix(rest, "{") {
			continue
		}
		count, tail, ok := strings.Cut(rest[1:], "}")
		if !ok || n != 1 || !runOf(count) {
			return Shape{}, false
		}
		rest = tail
	}
	if runs == 0 || runs > shapeRuns || cut && runs != shapeRuns || !shown {
		return Shape{}, false
	}
	return Shape{text}, true
}

// betweenTo tells whether a sign has a letter or digit after it, or was the last run shown.
func betweenTo(rest string, cut bool) bool {
	return rest == "" && cut || strings.HasPrefix(rest, "A") || strings.HasPrefix(rest, "9")
}

// runOf tells the counts that stand between braces.
func runOf(count string) bool {
	if count == strconv.Itoa(runCount)+"+" {
		return true
	}
	n, err := strconv.Atoi(count)
	return err == nil && n > runShown && n <= runCount && strconv.Itoa(n) == count
}

// Shaped counts the rows put aside for a reason by the shape that one of the columns
// behind it has.
type Shaped struct {
	Dataset ecluse.DatasetID `json:"dataset"`
	By      string           `json:"by"`
	Column  string           `json:"column"`
	Shape   Shape            `json:"shape"`
	Count   int64            `json:"count"`
}

// Shapes counts them.
type Shapes struct {
	columns map[shapedColumn]map[Shape]int64
}

type shapedColumn struct {
	dataset    ecluse.DatasetID
	by, column string
}

// maxShapes bounds the shapes counted of one column for one reason; what comes after
// is counted as others.
const maxShapes = 500

// Add adds a count.
func (s *Shapes) Add(x Shaped) {
	if s.columns == nil {
		s.columns = map[shapedColumn]map[Shape]int64{}
	}
	at := shapedColumn{x.Dataset, x.By, x.Column}
	of := s.columns[at]
	if of == nil {
		of = map[Shape]int64{}
		s.columns[at] = of
	}
	if _, known := of[x.Shape]; !known && len(of) >= maxShapes {
		x.Shape = ShapeOther
	}
	of[x.Shape] += x.Count
}

// List lists the counts by dataset, reason and column, the most frequent shape first.
func (s *Shapes) List() []Shaped {
	var out []Shaped
	for at, of := range s.columns {
		for _, shape := range slices.Collect(maps.Keys(of)) {
			out = append(out, Shaped{at.dataset, at.by, at.column, shape, of[shape]})
		}
	}
	slices.SortFunc(out, func(a, b Shaped) int {
		return cmp.Or(cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.By, b.By), cmp.Compare(a.Column, b.Column),
			othersLast(a.Shape, b.Shape), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Shape.text, b.Shape.text))
	})
	return out
}

func othersLast(a, b Shape) int {
	switch {
	case a == b:
		return 0
	case a == ShapeOther:
		return 1
	case b == ShapeOther:
		return -1
	}
	return 0
}

// PublicShaped is a Shaped as others may have it.
type PublicShaped struct {
	Dataset ecluse.DatasetID `json:"dataset"`
	By      string           `json:"by"`
	Column  string           `json:"column"`
	Shape   Shape            `json:"shape"`
	Count   string           `json:"count"`
}

// shapesTold bounds the shapes that others are told of one column for one reason.
const shapesTold = 20

// foldShapes folds the shapes of fewer than ten rows together. What they come to is
// not left under ten either while there is a shape to fold in: the reason's own count
// may be told, and the difference would tell what is masked.
func foldShapes(list []Shaped) []PublicShaped {
	var out []PublicShaped
	for len(list) > 0 {
		first, n := list[0], 1
		for n < len(list) && list[n].Dataset == first.Dataset && list[n].By == first.By && list[n].Column == first.Column {
			n++
		}
		told, others := list[:0:0], int64(0)
		for _, x := range list[:n] {
			if x.Shape == ShapeOther || x.Count < maskBelow || len(told) == shapesTold {
				others += x.Count
			} else {
				told = append(told, x)
			}
		}
		for others > 0 && others < maskBelow && len(told) > 0 {
			last := len(told) - 1
			others += told[last].Count
			told = told[:last]
		}
		for _, x := range told {
			out = append(out, PublicShaped{x.Dataset, x.By, x.Column, x.Shape, Mask(x.Count)})
		}
		if others > 0 {
			out = append(out, PublicShaped{first.Dataset, first.By, first.Column, ShapeOther, Mask(others)})
		}
		list = list[n:]
	}
	return out
}

package sheet_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/document"
	"ecluse/internal/sheet"
)

// TestWithoutGlyph: a PDF of what its fonts cannot print is refused, with the field and what to
// do; it neither ends the program nor prints nothing in its place.
func TestWithoutGlyph(t *testing.T) {
	for text, ok := range map[string]bool{
		"Hélène Čapková": true, "Ελένη": true, "Елена": true, "l’automate — 5 µL ≥ 10 €": true,
		"Hélène 🚑": false, "𝒳": false, "هيلين": false, "张伟": false, "He\u0301lène": false,
	} {
		in, err := sheet.ParseInput("sheet.yaml", []byte(strings.Replace(file, "Marc", text, 1)))
		if err != nil {
			t.Fatal(err)
		}
		err = in.ForPDF("sheet.yaml")
		var all document.Problems
		if ok != (err == nil) || !ok && (!errors.As(err, &all) || len(all) != 1 || all[0].Field != "people[1].name" || !strings.Contains(all[0].Why, "--html")) {
			t.Errorf("%q: %v", text, err)
		}
		_, f := page(t, "en", english)
		p := sheet.New(in, f, "en", english)
		var b bytes.Buffer
		if err := p.PDF(&b, f.Made); ok != (err == nil) || !ok && (ecluse.KindOf(err) != ecluse.Invalid || !strings.Contains(err.Error(), "People 2")) {
			t.Errorf("%q: %v", text, err)
		}
		if err := p.HTML(&b); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzPDF: whatever people write, a PDF is made or refused.
func FuzzPDF(f *testing.F) {
	for _, s := range []string{"Hélène", "🚑", "𝒳", "张伟", "", " ", strings.Repeat("W", 300), strings.Repeat("a ", 150), "a\u00a0b", "\u200b", "a\nb", "\xff"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		p := &sheet.Page{Lang: "en", Title: a, Note: b, Tables: []sheet.Table{{Heading: b, Head: []string{a, b}, Rows: [][]string{{a, b}, {b, a}}, Note: a}}}
		var out bytes.Buffer
		err := p.PDF(&out, time.Unix(0, 0))
		if err == nil && !bytes.HasPrefix(out.Bytes(), []byte("%PDF")) || err != nil && ecluse.KindOf(err) != ecluse.Invalid {
			t.Error(fmt.Sprint(err))
		}
	})
}

package sheet

import (
	"fmt"
	"unicode/utf8"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"

	"ecluse"
	"ecluse/internal/document"
)

// The PDF has its own fonts, of Latin, Greek and Cyrillic letters: what they have no glyph
// for would print as nothing, and beyond the first 65536 characters end the program.

// glyphs are those that both fonts have.
type glyphs struct{ fonts []*sfnt.Font }

func newGlyphs() (*glyphs, error) {
	g := &glyphs{}
	for _, text := range [][]byte{goregular.TTF, gobold.TTF} {
		f, err := sfnt.Parse(text)
		if err != nil {
			return nil, err
		}
		g.fonts = append(g.fonts, f)
	}
	return g, nil
}

// lacks is the first character of a text that cannot be printed; ok: all can be.
func (g *glyphs) lacks(s string) (first rune, ok bool) {
	var b sfnt.Buffer
	if !utf8.ValidString(s) {
		return utf8.RuneError, false
	}
	for _, r := range s {
		for _, f := range g.fonts {
			if i, err := f.GlyphIndex(&b, r); r > 0xFFFF || err != nil || i == 0 {
				return r, false
			}
		}
	}
	return 0, true
}

const noGlyph = "the PDF's fonts have Latin, Greek and Cyrillic letters, and not U+%04X: write it in these, é as one character, or print the HTML alone (--html)"

// ForPDF tells what of a sheet's file cannot be printed as PDF. All that is wrong gives
// document.Problems.
func (in *Input) ForPDF(file string) error {
	g, err := newGlyphs()
	if err != nil {
		return err
	}
	var all document.Problems
	look := func(field, s string) {
		if r, ok := g.lacks(s); !ok {
			all = append(all, document.Problem{File: file, Field: field, Why: fmt.Sprintf(noGlyph, r)})
		}
	}
	for i, p := range in.People {
		at := fmt.Sprintf("people[%d].", i)
		look(at+"name", p.Name)
		look(at+"role", p.Role)
		look(at+"telephone", p.Telephone)
	}
	for i, s := range in.Steps {
		at := fmt.Sprintf("steps[%d].", i)
		look(at+"what", s.What)
		look(at+"who", s.Who)
	}
	if len(all) > 0 {
		return all
	}
	return nil
}

// printable refuses a page of which the fonts lack a character: names of systems, too, are
// written by people.
func (p *Page) printable() error {
	g, err := newGlyphs()
	if err != nil {
		return err
	}
	look := func(where string, texts ...string) error {
		for _, s := range texts {
			if r, ok := g.lacks(s); !ok {
				return &ecluse.Error{Kind: ecluse.Invalid, What: "write the sheet", Where: where, Why: fmt.Sprintf("the PDF's fonts have no character U+%04X", r), Next: "print the HTML alone: --html"}
			}
		}
		return nil
	}
	if err := look("title", p.Title, p.Note); err != nil {
		return err
	}
	for _, t := range p.Tables {
		if err := look("heading", t.Heading); err != nil {
			return err
		}
		if err := look(t.Heading, append([]string{t.Note}, t.Head...)...); err != nil {
			return err
		}
		for i, row := range t.Rows {
			if err := look(fmt.Sprintf("%s %d", t.Heading, i+1), row...); err != nil {
				return err
			}
		}
	}
	return nil
}

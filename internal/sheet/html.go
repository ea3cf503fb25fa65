package sheet

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed sheet.html
var page string

// HTML writes the page as one file that asks for nothing else, for a screen and for A4.
func (p *Page) HTML(w io.Writer) error {
	t, err := template.New("sheet").Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, p)
}

package sheet

import (
	"io"
	"time"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
)

// Measures of the paper, in millimetres.
const (
	margin = 15.0
	width  = 210 - 2*margin
	lineMM = 5.0
	padMM  = 1.0
	typo   = 10.0 // points
)

// PDF writes the page as A4, with its own fonts: made twice of the same page it is the
// same to the byte. A page with a character that they lack is refused.
func (p *Page) PDF(w io.Writer, made time.Time) error {
	if err := p.printable(); err != nil {
		return err
	}
	d := fpdf.New("P", "mm", "A4", "")
	d.SetCreationDate(made.UTC())
	d.SetModificationDate(made.UTC())
	d.SetCatalogSort(true)
	d.SetTitle(p.Title, true)
	d.SetLang(p.Lang)
	d.SetMargins(margin, margin, margin)
	d.SetAutoPageBreak(true, margin)
	d.AddUTF8FontFromBytes("go", "", goregular.TTF)
	d.AddUTF8FontFromBytes("go", "B", gobold.TTF)
	d.AddPage()
	d.SetFont("go", "B", 16)
	d.MultiCell(width, 8, p.Title, "", "L", false)
	d.SetFont("go", "", typo)
	d.MultiCell(width, lineMM, p.Note, "", "L", false)
	for _, t := range p.Tables {
		d.Ln(3)
		room(d, 3*lineMM+8)
		d.SetFont("go", "B", 12)
		d.MultiCell(width, 7, t.Heading, "", "L", false)
		row(d, t.Head, "B", "B")
		for _, r := range t.Rows {
			row(d, r, "B", "")
		}
		if t.Note != "" {
			d.SetFont("go", "", typo)
			d.MultiCell(width, lineMM, t.Note, "", "L", false)
		}
	}
	return d.Output(w)
}

// room begins a page when there is less than so much of this one left.
func room(d *fpdf.Fpdf, height float64) {
	_, page := d.GetPageSize()
	if d.GetY()+height > page-margin {
		d.AddPage()
	}
}

// columns are the widths of so many cells: the second is the widest.
func columns(n int) []float64 {
	switch n {
	case 2:
		return []float64{70, width - 70}
	case 3:
		return []float64{60, 65, width - 125}
	}
	return []float64{36, width - 36 - 46 - 14, 46, 14}
}

// row writes cells beside each other, as high as the highest; first is the style of the
// first cell, rest that of the others.
func row(d *fpdf.Fpdf, cells []string, first, rest string) {
	widths, most := columns(len(cells)), 1
	style := func(i int) {
		s := rest
		if i == 0 {
			s = first
		}
		d.SetFont("go", s, typo)
	}
	lines := make([][]string, len(cells))
	for i, c := range cells {
		style(i)
		lines[i] = d.SplitText(c, widths[i]-2*padMM)
		most = max(most, len(lines[i]))
	}
	height := float64(most)*lineMM + 2*padMM
	room(d, height)
	x, y := margin, d.GetY()
	for i := range cells {
		style(i)
		d.Rect(x, y, widths[i], height, "D")
		for n, s := range lines[i] {
			d.SetXY(x+padMM, y+padMM+float64(n)*lineMM)
			d.CellFormat(widths[i]-2*padMM, lineMM, s, "", 0, "L", false, 0, "")
		}
		x += widths[i]
	}
	d.SetXY(margin, y+height)
}

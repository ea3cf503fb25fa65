//go:build unix

package main

import (
	"fmt"
	"html"
	"strings"
	"time"
)

// draw is the table as a picture: a bar for what each took in parts of L. It reads in
// black and white, and its text is text.
func draw(all []result, results int, at time.Time) string {
	const (
		left, right = 280, 60 // of the bars, for words
		scale       = 170     // pixels of L
		line        = 22
	)
	type bar struct {
		name  string
		parts []float64 // in parts of L, one after the other
		mark  bool
	}
	var b strings.Builder
	y, widest := 46, 2.2
	text := func(x, y int, attributes, s string) {
		fmt.Fprintf(&b, `<text x="%d" y="%d" %s>%s</text>`+"\n", x, y, attributes, html.EscapeString(s))
	}
	for _, r := range all {
		whole, load := ratio(r.chain, r.limit, wall, wall), ratio(r.chain, r.limit, loaded, wall)
		bars := []bar{{"copied by the databases' own clients", []float64{1}, true}, {"Écluse: until loaded; until proven", []float64{load, whole - load}, false}}
		switch {
		case r.undone:
			bars = append(bars, bar{"ecluse undo", []float64{ratio(r.after, r.limit, wall, wall)}, false})
		case r.caughtUp:
			load, whole := ratio(r.after, r.limit, loaded, wall), ratio(r.after, r.limit, wall, wall)
			bars = append(bars, bar{"ecluse apply --catch-up, one row in a thousand", []float64{load, whole - load}, false})
		}
		text(8, y+14, `font-weight="bold"`, r.title)
		y += line
		for _, x := range bars {
			text(8, y+14, "", x.name)
			from, sum := float64(left), 0.0
			for n, part := range x.parts {
				fill := []string{"#2f6f9f", "#a9c9de"}[n]
				if x.mark {
					fill = "#8a8a8a"
				}
				fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="16" fill="%s" stroke="#1b1b1b" stroke-width="0.5"/>`+"\n", from, y+2, part*scale, fill)
				from += part * scale
				sum += part
			}
			text(int(from)+6, y+14, "", fmt.Sprintf("%.2f", sum))
			widest = max(widest, sum)
			y += line
		}
		y += line / 2
	}
	width := left + int(widest*scale) + right
	about := fmt.Sprintf("%d results; in parts of what copying takes (1.00). Darker: until all is loaded; lighter: the proof.", results)
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="t d" font-family="sans-serif" font-size="12">`+"\n", width, y)
	fmt.Fprintf(&out, "<title id=\"t\">How long a passage takes</title>\n<desc id=\"d\">%s</desc>\n", html.EscapeString(about))
	fmt.Fprintf(&out, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, y)
	fmt.Fprintf(&out, `<text x="8" y="20" font-size="15" font-weight="bold">How long a passage takes</text>`+"\n"+`<text x="8" y="36" fill="#444">%s %s</text>`+"\n",
		html.EscapeString(about), at.Format(time.DateOnly))
	return out.String() + b.String() + "</svg>\n"
}

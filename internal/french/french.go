// Package french says in French what errors say in English. Whoever makes an error
// writes it in English alone; the catalogue beside this file has each sentence in both
// languages. What is not in it is shown as it is.
package french

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"ecluse"
	"ecluse/internal/document"
)

// Catalogue knows sentences of errors in French.
type Catalogue struct {
	exact     map[string]string // sentences with nothing to fill in
	templates []template        // the others, those with most words of their own first
	words     map[string]string // single words that a template may ask for: %m
}

// Error is err in French, the text of err.Error.
func (c *Catalogue) Error(err error) string {
	if err == nil {
		return ""
	}
	return c.reader().chain(err, 0)
}

// Text is a sentence, or several that a colon or a semicolon separates, in French.
func (c *Catalogue) Text(s string) string { return c.reader().text(s) }

// Article is a reference to the law in French.
func (c *Catalogue) Article(s string) string {
	return strings.NewReplacer(
		"GDPR art.", "RGPD art.", "last sentence", "dernière phrase", "EU clauses", "clauses UE", "Decision (EU)", "décision (UE)", "annex ", "annexe ", "; ", " ; ",
	).Replace(s)
}

// A chain of errors is followed, and each text of it taken apart, so far and no further:
// some of it comes from a server that nobody has to believe.
const (
	deepest  = 32
	longest  = 8 << 10
	lookUps  = 400
	attempts = 20_000 // of a hole's end, in all templates together
)

// reader translates one error; it remembers what it has seen.
type reader struct {
	*Catalogue
	seen     map[string]rendering
	quoted   []string // what stood between quotes, as it was
	lookUps  int      // left, as attempts
	attempts int
}

// rendering is a text in French and how many bytes of the English were known.
type rendering struct {
	french string
	known  int
}

func (c *Catalogue) reader() *reader {
	return &reader{Catalogue: c, seen: map[string]rendering{}}
}

// chain follows an error's causes as far as they are errors; the rest is text.
func (r *reader) chain(err error, depth int) string {
	if depth > deepest {
		return err.Error()
	}
	switch e := err.(type) { //nolint:errorlint // each link of the chain is said in its turn
	case *ecluse.Error:
		parts := []string{r.text(e.What)}
		switch {
		case strings.Contains(e.Where, " "): // words around names
			parts = append(parts, r.text(e.Where))
		case e.Where != "":
			parts = append(parts, e.Where)
		}
		if e.Why != "" {
			parts = append(parts, r.text(e.Why))
		}
		if e.Article != "" {
			parts[len(parts)-1] += " (" + r.Article(e.Article) + ")"
		}
		if e.Err != nil {
			parts = append(parts, r.chain(e.Err, depth+1))
		}
		return strings.Join(parts, " : ")
	case document.Problem:
		return r.problem(e)
	case document.Problems:
		lines := make([]string, len(e))
		for i, p := range e {
			lines[i] = r.problem(p)
		}
		return strings.Join(lines, "\n")
	}
	text := err.Error()
	for _, cause := range causes(err) {
		if cause == nil {
			continue
		}
		in := cause.Error()
		said := r.chain(cause, depth+1)
		if in == text {
			return said
		}
		if in = r.veil(in); in != "" {
			r.seen[in] = rendering{said, len(in)}
		}
	}
	return r.text(text)
}

func causes(err error) []error {
	switch e := err.(type) { //nolint:errorlint // only this link is asked
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	case interface{ Unwrap() error }:
		return []error{e.Unwrap()}
	}
	return nil
}

// isName tells what a program names, or several such, from what it says.
func (c *Catalogue) isName(s string) bool {
	if _, known := c.word(s); known || s[0] == '/' || s[0] == '"' {
		return true
	}
	return !strings.Contains(strings.ReplaceAll(s, ", ", ","), " ")
}

// word is a word of the table, or a list of them.
func (c *Catalogue) word(s string) (string, bool) {
	if fr, known := c.words[s]; known {
		return fr, true
	}
	for _, and := range [][2]string{{" or ", " ou "}, {" and ", " et "}} {
		most, last, list := strings.Cut(s, and[0])
		all := append(strings.Split(most, ", "), last)
		for i, w := range all {
			all[i] = c.words[w]
		}
		if n := len(all) - 1; list && !slices.Contains(all, "") {
			return strings.Join(all[:n], ", ") + and[1] + all[n], true
		}
	}
	return "", false
}

func (r *reader) problem(p document.Problem) string {
	s := fmt.Sprintf("%s:%d : ", p.File, p.Line)
	if p.Field != "" {
		s += p.Field + " : "
	}
	s += r.text(p.Why)
	if p.Article != "" {
		s += " (" + r.Article(p.Article) + ")"
	}
	return s
}

func (r *reader) text(s string) string {
	if len(s) > longest {
		return s
	}
	s = r.veil(s)
	if said, known := r.seen[s]; known {
		return r.unveil(said.french)
	}
	r.lookUps, r.attempts = lookUps, attempts
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		start := len(l) - len(strings.TrimLeft(l, " "))
		lines[i] = l[:start] + r.say(l[start:], 0).french
	}
	return r.unveil(strings.Join(lines, "\n"))
}

// What stands between quotes is a name, a value or what somebody wrote: never a
// sentence of ours. While its surroundings are put into French, a sign of Unicode's
// private use stands for it.
const (
	firstVeil = '\uE000'
	lastVeil  = '\uF8FF'
)

func (r *reader) veil(s string) string {
	taken := func(c rune) bool { return c >= firstVeil && c <= lastVeil }
	if strings.ContainsFunc(s, taken) || len(r.quoted)+strings.Count(s, `"`) > int(lastVeil-firstVeil) {
		return s
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			break
		}
		b.WriteString(s[:i])
		s = s[i:]
		quoted, err := strconv.QuotedPrefix(s)
		switch {
		case err != nil:
			b.WriteByte('"')
			s = s[1:]
			continue
		case !strings.ContainsFunc(quoted, unicode.IsLetter):
			b.WriteString(quoted)
		default:
			n := slices.Index(r.quoted, quoted)
			if n < 0 {
				n = len(r.quoted)
				r.quoted = append(r.quoted, quoted)
			}
			b.WriteString(`"` + string(firstVeil+rune(n)) + `"`)
		}
		s = s[len(quoted):]
	}
	b.WriteString(s)
	return b.String()
}

func (r *reader) unveil(s string) string {
	for n, quoted := range r.quoted {
		s = strings.ReplaceAll(s, `"`+string(firstVeil+rune(n))+`"`, quoted)
	}
	return s
}

// say finds the way to put a text into French that leaves least of it as it was:
// whole, by a template, or as two texts on both sides of a colon or a semicolon.
func (r *reader) say(s string, depth int) rendering {
	if said, known := r.seen[s]; known {
		return said
	}
	if fr, known := r.exact[s]; known {
		return rendering{fr, len(s)}
	}
	best := rendering{french: s}
	if r.lookUps--; r.lookUps < 0 || depth > deepest || s == "" {
		return best
	}
	r.seen[s] = best // what holds itself
	for i := range r.templates {
		t := &r.templates[i]
		if args, fits := t.match(s, &r.attempts); fits {
			if said := r.fill(t, args, depth); said.known > best.known {
				best = said
			}
		}
	}
	for i := 1; i+2 < len(s); i++ {
		if (s[i] != ':' && s[i] != ';') || s[i+1] != ' ' {
			continue
		}
		before := strings.TrimSuffix(s[:i], " ") // there is one in what is French already
		left, right := r.say(before, depth+1), r.say(s[i+2:], depth+1)
		if known := left.known + right.known; known > 0 && known+2 > best.known {
			best = rendering{left.french + " " + s[i:i+2] + right.french, known + 2}
		}
	}
	for _, law := range []string{" (GDPR art. ", " (CSP art. ", " (EU clauses ", " (2021/915"} {
		i := strings.LastIndex(s, law)
		if i < 0 || !strings.HasSuffix(s, ")") {
			continue
		}
		said := r.say(s[:i], depth+1)
		if known := said.known + len(s) - i; known > best.known {
			best = rendering{said.french + r.Article(s[i:]), known}
		}
	}
	r.seen[s] = best
	return best
}

// fill puts what an English template left open into the French one.
func (r *reader) fill(t *template, args []string, depth int) rendering {
	said := rendering{known: t.weight}
	english, french := map[int]string{}, map[int]string{}
	for i, a := range args {
		english[t.order[i]], french[t.order[i]] = a, a
		name := t.holes[i] == 's' && !strings.Contains(a, " ") // even where a sentence is one such word
		if t.holes[i] != 'q' && t.holes[i] != 'd' && !name {
			in := r.say(a, depth+1)
			if t.weak && t.holes[i] == 's' && in.known < len(a) && !r.isName(a) {
				return rendering{}
			}
			french[t.order[i]] = in.french
			said.known += in.known
		}
	}
	var b strings.Builder
	for _, p := range t.french {
		switch {
		case p.hole == 0:
			b.WriteString(p.text)
		case p.hole == 'm':
			w, known := r.word(english[p.arg])
			if !known {
				w = french[p.arg]
				said.known-- // another template may cut the text where a word ends
			}
			b.WriteString(w)
		default:
			b.WriteString(french[p.arg])
		}
	}
	said.french = b.String()
	return said
}

package french

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Each file of the catalogue is one area: a sentence in English, as fmt.Errorf takes
// it, and below it, after a tab, the same in French. "=" says that both are the same,
// # begins a comment. The French may name what it fills in by number (%[2]s), and
// says %m for what is a single word of words.txt.
//
//go:embed catalogue
var files embed.FS

// New reads the catalogue.
func New() *Catalogue {
	c := &Catalogue{exact: map[string]string{}, words: map[string]string{}}
	for _, p := range pairs() {
		if p.file == "words.txt" {
			c.words[p.english] = p.french
			continue
		}
		c.add(p.english, p.french)
	}
	slices.SortStableFunc(c.templates, func(a, b template) int { return cmp.Compare(b.weight, a.weight) })
	return c
}

// pair is an entry of the catalogue.
type pair struct {
	english, french string
	file            string
	line            int
}

// pairs reads the files; a test reads them too, and says what is wrong in them.
func pairs() []pair {
	var all []pair
	names, _ := fs.Glob(files, "catalogue/*.txt") // the pattern is well formed
	for _, name := range names {
		text, _ := files.ReadFile(name) // it is in the program
		for i, line := range strings.Split(string(text), "\n") {
			switch {
			case line == "" || line[0] == '#':
			case line[0] != '\t':
				all = append(all, pair{english: line, file: strings.TrimPrefix(name, "catalogue/"), line: i + 1})
			case len(all) > 0:
				p := &all[len(all)-1]
				p.french = line[1:]
				if p.french == "=" {
					p.french = p.english
				}
			}
		}
	}
	return all
}

func (c *Catalogue) add(english, french string) {
	en, fr := parse(english), parse(french)
	t := template{french: fr}
	// A sentence that begins with a sign follows another one.
	if strings.IndexAny(english, ",;:") == 0 {
		for _, side := range [][]piece{en, fr} {
			for i := range side {
				side[i].arg++
			}
		}
		en, t.french = append([]piece{{hole: 'v'}}, en...), append([]piece{{hole: 'v'}}, fr...)
	}
	literal := ""
	for _, p := range en {
		if p.hole == 0 {
			literal += p.text
			continue
		}
		t.literals = append(t.literals, literal)
		t.holes = append(t.holes, p.hole)
		t.order = append(t.order, p.arg)
		t.weight += len(literal)
		literal = ""
	}
	t.literals = append(t.literals, literal)
	t.weight += len(literal)
	t.weak = letters(t.literals) < enough
	if len(t.holes) == 0 {
		text := ""
		for _, p := range fr {
			text += p.text
		}
		c.exact[literal] = text
		return
	}
	c.templates = append(c.templates, t)
}

// template is a sentence with holes.
type template struct {
	literals []string // before, between and after the holes
	holes    []byte   // the verb of each
	order    []int    // the argument of each
	weight   int      // bytes of the literals
	weak     bool     // few letters of its own: its holes are names, or sentences known whole
	french   []piece
}

// piece is a literal, or a hole of a verb with the argument it shows.
type piece struct {
	text string
	hole byte
	arg  int
}

// enough letters of its own tell a sentence from another that happens to have them too.
const enough = 10

func letters(texts []string) int {
	n := 0
	for _, r := range strings.Join(texts, "") {
		if unicode.IsLetter(r) {
			n++
		}
	}
	return n
}

// parse takes a format apart.
func parse(format string) []piece {
	var all []piece
	var literal strings.Builder
	next := 0
	for format != "" {
		before, after, verb := strings.Cut(format, "%")
		literal.WriteString(before)
		format = after
		if !verb || after == "" {
			break
		}
		if after[0] == '%' {
			literal.WriteByte('%')
			format = after[1:]
			continue
		}
		if number, rest, ok := strings.Cut(after, "]"); ok && number != "" && number[0] == '[' && rest != "" {
			if n, err := strconv.Atoi(number[1:]); err == nil && n > 0 {
				next, format = n-1, rest
			}
		}
		if literal.Len() > 0 {
			all = append(all, piece{text: literal.String()})
			literal.Reset()
		}
		all = append(all, piece{hole: format[0], arg: next})
		format = format[1:]
		next++
	}
	if literal.Len() > 0 {
		all = append(all, piece{text: literal.String()})
	}
	return all
}

// match fits a text into a template and gives what stands in its holes.
func (t *template) match(s string, attempts *int) ([]string, bool) {
	last := len(t.literals) - 1
	if len(s) < t.weight || !strings.HasPrefix(s, t.literals[0]) || !strings.HasSuffix(s, t.literals[last]) {
		return nil, false
	}
	args := make([]string, len(t.holes))
	if !t.fit(s[len(t.literals[0]):], 0, args, attempts) {
		return nil, false
	}
	return args, true
}

func (t *template) fit(s string, hole int, args []string, attempts *int) bool {
	if hole == len(t.holes) {
		return s == ""
	}
	after := t.literals[hole+1]
	for end := 0; ; end++ {
		if *attempts--; *attempts < 0 {
			return false
		}
		if hole == len(t.holes)-1 {
			end = len(s) - len(after)
		} else {
			i := strings.Index(s[min(end, len(s)):], after)
			if i < 0 {
				return false
			}
			end += i
		}
		if end < 0 || end+len(after) > len(s) || !strings.HasPrefix(s[end:], after) {
			return false
		}
		if args[hole] = s[:end]; stands(t.holes[hole], args[hole]) && t.fit(s[end+len(after):], hole+1, args, attempts) {
			return true
		}
		if hole == len(t.holes)-1 {
			return false
		}
	}
}

// stands tells whether a verb can have printed a text.
func stands(verb byte, s string) bool {
	switch verb {
	case 'd', 'o':
		_, err := strconv.ParseInt(s, 10, 64)
		return err == nil
	case 'q':
		quoted, err := strconv.QuotedPrefix(s)
		return err == nil && quoted == s
	}
	return true
}

func (p pair) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

package expr

import (
	"strings"
	"unicode/utf8"
)

// Look-ups by several columns are written t[a, b], which CEL's grammar does not
// have: there an index is one expression. desugar turns it into t[[a, b]] and
// remembers where it put brackets, so that errors point at what was written.

// desugared is an expression as the parser reads it.
type desugared struct {
	text  string
	extra []int // rune offsets in text of the brackets that were added, ascending
}

// written translates a rune offset in text to one in the expression as written.
func (d *desugared) written(offset int) int {
	n := offset
	for _, e := range d.extra {
		if e < offset {
			n--
		}
	}
	return max(n, 0)
}

// desugar leaves what it cannot understand to the parser's own errors.
func desugar(expr string) desugared {
	type bracket struct {
		at    int // byte offset after the opening bracket
		index bool
		comma bool
	}
	var (
		open   []bracket
		insert = map[int]string{}
		prev   byte // last significant byte
		word   int  // where the word that ends there begins
	)
	for i := 0; i < len(expr); {
		c := expr[i]
		if end := literalEnd(expr, i); end > i {
			prev, i = '"', end
			continue
		}
		switch c {
		case ' ', '\t', '\r', '\n':
			i++
			continue
		case '[':
			open = append(open, bracket{at: i + 1, index: wordByte(prev) && strings.TrimSpace(expr[word:i]) != "in" || prev == ']' || prev == ')' || prev == '}'})
		case '(', '{':
			open = append(open, bracket{})
		case ')', '}', ']':
			if len(open) == 0 {
				return desugared{text: expr}
			}
			b := open[len(open)-1]
			open = open[:len(open)-1]
			if c == ']' && b.index && b.comma {
				insert[b.at], insert[i] = "[", "]"
			}
		case ',':
			if len(open) > 0 {
				open[len(open)-1].comma = true
			}
		}
		if i == 0 || !wordByte(expr[i-1]) {
			word = i
		}
		prev = c
		i++
	}
	return weave(expr, insert)
}

func weave(expr string, insert map[int]string) desugared {
	if len(insert) == 0 {
		return desugared{text: expr}
	}
	var b strings.Builder
	d := desugared{}
	runes := 0
	for i, r := range expr {
		if s, ok := insert[i]; ok {
			b.WriteString(s)
			d.extra = append(d.extra, runes)
			runes++
		}
		b.WriteRune(r)
		runes++
	}
	d.text = b.String()
	return d
}

// literalEnd is the end of the string literal or comment that begins at i, or i.
func literalEnd(s string, i int) int {
	if strings.HasPrefix(s[i:], "//") {
		if n := strings.IndexByte(s[i:], '\n'); n >= 0 {
			return i + n
		}
		return len(s)
	}
	j, raw := i, false
	for j < len(s) && j < i+2 && strings.IndexByte("rRbB", s[j]) >= 0 {
		raw = raw || s[j] == 'r' || s[j] == 'R'
		j++
	}
	if j >= len(s) || s[j] != '\'' && s[j] != '"' || j > i && i > 0 && wordByte(s[i-1]) {
		return i
	}
	quote := s[j : j+1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(s[j:], triple) {
		quote = triple
	}
	for k := j + len(quote); k < len(s); k++ {
		if s[k] == '\\' && !raw {
			k++
			continue
		}
		if strings.HasPrefix(s[k:], quote) {
			return k + len(quote)
		}
	}
	return len(s)
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf || c == '`'
}

// Package words shows which gate this is as eight words that one person reads
// aloud and another types: what a screen shows at the gate's own console, and
// what the controller confirms on a device of their own. They stand for the gate's
// key, its place, both parties' roots and the lock's key at once, so that a gate
// enrolled under other roots shows other words.
package words

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"unicode"

	"github.com/tyler-smith/go-bip39/wordlists"
	"golang.org/x/text/unicode/norm"

	"ecluse"
)

// Language is one of the two in which words are shown and read.
type Language string

// The languages.
const (
	English Language = "en"
	French  Language = "fr"
)

// Languages lists them.
func Languages() []Language { return []Language{English, French} }

// list is the language's 2048 words, those of BIP-39, for 11 bits each.
func (l Language) list() []string {
	if l == French {
		return wordlists.French
	}
	return wordlists.English
}

// Enrolment is what the words stand for.
type Enrolment struct {
	Gate       ecluse.Fingerprint
	Place      string             // source or target
	Controller ecluse.Fingerprint // its root
	Processor  ecluse.Fingerprint // its root
	Lock       ecluse.Fingerprint
}

const (
	count = 8  // words
	bits  = 11 // of a word
)

// Phrase is the words, whatever the language: 88 bits of a hash. Nobody finds a
// second enrolment with the same ones.
type Phrase [count]uint16

// domain keeps the hash apart from every other that Écluse makes.
const domain = "ecluse gate words/v1"

// Of is the phrase of an enrolment.
func Of(e Enrolment) (Phrase, error) {
	const what = "name a gate in words"
	if e.Place != "source" && e.Place != "target" {
		return Phrase{}, ecluse.Errorf(ecluse.Invalid, what, "%q is not source or target", e.Place)
	}
	for _, k := range []struct {
		whose string
		key   ecluse.Fingerprint
	}{{"gate", e.Gate}, {"controller's root", e.Controller}, {"processor's root", e.Processor}, {"lock", e.Lock}} {
		if !k.key.Valid() {
			return Phrase{}, ecluse.Errorf(ecluse.Invalid, what, "the key of the %s has no fingerprint: want SHA256: and 43 characters", k.whose)
		}
	}
	// Lines of fixed form in a fixed order: no two enrolments are one text.
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\ngate %s\nplace %s\ncontroller %s\nprocessor %s\nlock %s\n",
		domain, e.Gate, e.Place, e.Controller, e.Processor, e.Lock))
	var p Phrase
	for i := range p {
		for n := i * bits; n < (i+1)*bits; n++ {
			p[i] = p[i]<<1 | uint16(sum[n/8]>>(7-n%8)&1)
		}
	}
	return p, nil
}

// Words are the phrase's in a language.
func (p Phrase) Words(l Language) []string {
	list, out := l.list(), make([]string, count)
	for i, n := range p {
		out[i] = norm.NFC.String(list[n]) // the list keeps accents apart, which some screens show beside their letter
	}
	return out
}

// Text is the phrase as a screen shows it.
func (p Phrase) Text(l Language) string { return strings.Join(p.Words(l), " ") }

// maxTyped bounds what is read, in bytes.
const maxTyped = 1 << 10

// Check compares what somebody typed with the phrase, in whichever of the two
// languages it was read to them: case, accents, spaces, dashes and numbers between
// the words do not matter. The error says which words differ, and never which
// would have been right: they are read from the gate's screen or not at all.
func (p Phrase) Check(typed string) error {
	const what = "compare the gate's words"
	if len(typed) > maxTyped {
		return &ecluse.Error{Kind: ecluse.Invalid, What: what, Why: fmt.Sprintf("they are longer than %d bytes", maxTyped), Next: next}
	}
	given := split(typed)
	if len(given) != count {
		return &ecluse.Error{Kind: ecluse.Invalid, What: what, Why: fmt.Sprintf("there are %d of them, want %d", len(given), count), Next: next}
	}
	// A word may be in both lists, at two places: the language is the one in which
	// the whole says most.
	var best reading
	for i, l := range Languages() {
		r := p.read(given, l)
		if len(r.wrong) == 0 {
			return nil
		}
		if i == 0 || r.closer(best) {
			best = r
		}
	}
	if len(best.unknown) > 0 {
		return &ecluse.Error{Kind: ecluse.Invalid, What: what, Why: fmt.Sprintf("%s in no list of words: mistyped", numbered(best.unknown)), Next: next}
	}
	return &ecluse.Error{
		Kind: ecluse.Unverified, What: what, Why: numbered(best.wrong) + " not this gate's",
		Next: next + "; if they are what it shows, this is another gate, or one enrolled under other roots or another lock: do not confirm it",
	}
}

const next = "read them again from the gate's own screen"

// reading is what was typed, taken to be in one language: numbers, from 1, of the
// words that differ, and of those among them that the language does not have.
type reading struct{ wrong, unknown []int }

func (p Phrase) read(given []string, l Language) reading {
	var r reading
	numbers := folded()[l]
	for i, w := range given {
		n, known := numbers[w]
		if known && n == p[i] {
			continue
		}
		r.wrong = append(r.wrong, i+1)
		if !known {
			r.unknown = append(r.unknown, i+1)
		}
	}
	return r
}

// folded is every language's words, without case and accents, and their numbers;
// made once and never changed.
var folded = sync.OnceValue(func() map[Language]map[string]uint16 {
	all := map[Language]map[string]uint16{}
	for _, l := range Languages() {
		all[l] = make(map[string]uint16, 1<<bits)
		for n, w := range l.list() {
			all[l][fold(w)] = uint16(n)
		}
	}
	return all
})

// closer prefers the language that has more of the words, then the one in which
// more of them are right.
func (r reading) closer(than reading) bool {
	if len(r.unknown) != len(than.unknown) {
		return len(r.unknown) < len(than.unknown)
	}
	return len(r.wrong) < len(than.wrong)
}

// split finds the words in what was typed, folded.
func split(typed string) []string {
	return strings.FieldsFunc(fold(typed), func(r rune) bool { return !unicode.IsLetter(r) })
}

// fold takes case and accents away.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1 // a combining accent
		}
		return r
	}, norm.NFKD.String(ligatures.Replace(strings.ToLower(s))))
}

// ligatures are letters of French that have no decomposition.
var ligatures = strings.NewReplacer("œ", "oe", "æ", "ae")

// numbered says "word 3 is", "words 3 and 5 are".
func numbered(n []int) string {
	if len(n) == 1 {
		return fmt.Sprintf("word %d is", n[0])
	}
	s := make([]string, len(n))
	for i, v := range n {
		s[i] = fmt.Sprint(v)
	}
	last := len(s) - 1
	return "words " + strings.Join(s[:last], ", ") + " and " + s[last] + " are"
}

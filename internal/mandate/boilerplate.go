package mandate

import (
	_ "embed"
	"strings"
	"sync"
	"unicode"
)

// article28 holds the wording of GDPR art. 28(3) and 32(1), in English and
// French: a contract that only repeats it says nothing (EDPB guidelines 07/2020,
// paragraph 109).
//
//go:embed article28.txt
var article28 string

// Ways of judging a text, in the tag `text` of a field.
const (
	prose  = "prose"  // says something of this case, in its own words
	quoted = "quoted" // the wording of an original: may be the law's
	clause = "clause" // a place in an original: "article 7.2" is what is wanted
)

// minWords is what a prose text has at least; fewer cannot describe anything.
const minWords = 4

// boilerplate says why a text says nothing, or "".
func boilerplate(s, judged string) string {
	w := words(s)
	switch {
	case len(w) == 0:
		return "is empty"
	case judged == clause:
		return ""
	case nothing(w):
		return "says nothing: write what holds, or why there is none"
	case elsewhere(w):
		return "points elsewhere instead of saying it: copy here what that place says"
	case judged != prose && judged != quoted:
		return ""
	case len(w) < minWords:
		return "is too short to describe anything"
	case judged == prose && restates(w):
		return "only repeats the regulation: write what is done here"
	}
	return ""
}

var unaccent = strings.NewReplacer(
	"à", "a", "â", "a", "ä", "a", "ç", "c", "é", "e", "è", "e", "ê", "e", "ë", "e", "î", "i", "ï", "i",
	"ô", "o", "ö", "o", "ù", "u", "û", "u", "ü", "u", "ÿ", "y", "œ", "oe", "æ", "ae",
	"e\u0300", "e", "e\u0301", "e", "e\u0302", "e", "a\u0300", "a", "c\u0327", "c",
)

// words are the letters and digits of s, lower case and without accents.
func words(s string) []string {
	return strings.FieldsFunc(unaccent.Replace(strings.ToLower(s)), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}

// voids are what people write in a field they do not want to fill, and what no
// real text begins with.
var voids = []string{
	"not applicable", "non applicable", "sans objet", "a definir", "a completer", "a determiner", "a preciser",
	"to be defined", "to be determined", "to be completed", "to be confirmed", "lorem ipsum", "n a", "s o", "n c", "tbd", "todo", "xxx",
}

// voidWords say nothing alone, but begin real texts: test results, so far as,
// aucune copie, Na (sodium).
var voidWords = set("na so nc none nil neant aucun aucune rien tbc idem ditto xx x test")

// reasons are words that announce one.
var reasons = set("because reason car parce que motif raison since as puisque for pour the le la l now yet moment instant")

func nothing(w []string) bool {
	text := strings.Join(w, " ")
	for _, v := range voids {
		rest, ok := strings.CutPrefix(text+" ", v+" ")
		if !ok {
			continue
		}
		n := 0
		for _, r := range strings.Fields(rest) {
			if !reasons[r] {
				n++
			}
		}
		return n < 3
	}
	if !voidWords[w[0]] {
		return false
	}
	for _, s := range w[1:] {
		if !voidWords[s] && !reasons[s] {
			return false
		}
	}
	return true
}

var pointers = set("see voir cf refer reporter annex annexe annexes annexed appendix appendices attached attachment supra infra " +
	"joint jointe joints jointes cgv cgu cgs")

var pointed = set("to as per in of this our the a an and or on at by with under for its it is are be set out forth described listed defined " +
	"below above hereto herewith document documents file contract agreement article articles clause clauses section page pages part " +
	"paragraph schedule general terms conditions policy details more information please " +
	"au aux la le les l du de des d notre nos ce cette cet ces se dans en sur par et ou est sont voire decrit decrite decrits decrites " +
	"liste listee defini definie prevu prevue mentionne mentionnee ci apres dessus dessous contrat convention partie chapitre " +
	"paragraphe generales generale particulieres vente utilisation service services conformement selon piece pieces fichier i ii iii " +
	"iv v vi vii viii ix x b c e f g h n no numero")

// elsewhere tells a text that only names another place.
func elsewhere(w []string) bool {
	points, left := false, 0
	for _, s := range w {
		switch {
		case pointers[s]:
			points = true
		case pointed[s] || strings.Trim(s, "0123456789") == "":
		default:
			left++
		}
	}
	return points && left < 3
}

// restates tells whether at least 7 in 10 of a text's runs of three words are
// the law's.
func restates(w []string) bool {
	law := lawTrigrams()
	own := 0
	total := len(w) - 2
	for i := range total {
		if !law[[3]string{w[i], w[i+1], w[i+2]}] {
			own++
		}
	}
	return own*10 <= total*3
}

var lawTrigrams = sync.OnceValue(func() map[[3]string]bool { return trigrams(words(article28)) })

func trigrams(w []string) map[[3]string]bool {
	m := make(map[[3]string]bool, len(w))
	for i := 0; i+2 < len(w); i++ {
		m[[3]string{w[i], w[i+1], w[i+2]}] = true
	}
	return m
}

func set(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

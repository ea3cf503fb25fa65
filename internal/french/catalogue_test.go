package french

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// elsewhere are files whose pairs are of no error's own words: words that a template
// asks for, and sentences of the system, of libraries, of places (Where).
var elsewhere = []string{"words.txt", "others.txt"}

// notSentences are expressions given to a field of an error that no template can be
// read from, each with where its words come from.
var notSentences = map[string]string{
	"evidence: name": "a file's name",
	"internal/api: key(l.Body.Items[most - 1])":                      "where a list goes on",
	"internal/cli: g.By[at + 2:]":                                    "changed or referred, of a row left",
	"internal/sluice/writer/postgres: u.what":                        "unload chunk, at the top of Unload",
	"internal/sluice/writer/sqlite: u.what":                          "unload chunk, at the top of Unload",
	"internal/sluice/writer/sqlite: g.left[row]":                     "changed or referred, of a row left",
	"internal/desk: string(v)":                                       "go or no-go: the lock says both",
	"internal/desk: strings.TrimSpace(why)":                          "what a person gives as the reason",
	"internal/document: strings.TrimPrefix(err.Error(), \"yaml: \")": "the YAML library's: others.txt",
	"internal/erasure: who.what":                                     "the table above it is in spoken",
	"internal/exchange: p.Because":                                   "said by whoever sent it, out of this catalogue",
	"internal/gate: out.Fault":                                       "the words of a signed statement",
	"internal/lock: ecluse.Kind(leaf.IDs[\"reason\"])":               "a kind of error",
	"internal/lock: f.Item.Kind":                                     "a kind of item",
	"internal/lock: it.Kind":                                         "a kind of item",
	"internal/lock: row.Verb":                                        "a verb asked of gates",
	"internal/procedure: v.Text().EN":                                "the table of verbs is in spoken",
	"internal/sluice/engine/mysql: m.next":                           "meaningOf is in spoken",
	"internal/sluice/engine/mysql: v.next":                           "every valueError is read",
	"internal/sluice/engine/postgres: meaningOf(s.State).next":       "meaningOf is in spoken",
	"internal/sluice/reader/sqlite: c.what":                          "set from sentences that are read where they are set",
	"internal/sluice/writer/sqlite: r.what":                          "set from sentences that are read where they are set",
	"internal/store/sqlite: f.next":                                  "faultOf is in spoken",
	"internal/wire: otherHost":                                       "one of three verdicts",
	"internal/wire: otherKey":                                        "one of three verdicts",
	"internal/wire: otherTime":                                       "one of three verdicts",
	"internal/wire: a.text(addr).EN":                                 "its texts are in spoken",
	"internal/wire: connectWhy(err).EN":                              "its texts are in spoken",
}

// TestEveryErrorHasFrench: what an error may say is in the catalogue, and all that is in
// the catalogue is said by one.
func TestEveryErrorHasFrench(t *testing.T) {
	s := readSource(t, "../..")
	have := map[string]pair{}
	for _, p := range pairs() {
		have[p.english] = p
	}
	missing := map[string][]string{} // by area
	for template, at := range s.found {
		if _, known := have[template]; !known && sentence(template) {
			area, _, _ := strings.Cut(strings.TrimPrefix(s.at(at), "internal/"), "/")
			missing[area] = append(missing[area], template)
			t.Errorf("%s: no French for %q", s.at(at), template)
		}
	}
	if len(missing) > 0 {
		var paste strings.Builder
		for _, area := range slices.Sorted(maps.Keys(missing)) {
			slices.Sort(missing[area])
			fmt.Fprintf(&paste, "# %s\n%s\n\t\n", area, strings.Join(missing[area], "\n\t\n"))
		}
		// Not by t.Log, which would indent what is to be pasted.
		_, _ = os.Stdout.WriteString("To paste into a file of catalogue/, each with its French behind the tab:\n\n" + paste.String() + "\n")
	}
	for _, p := range pairs() {
		if _, said := s.found[p.english]; !said && !slices.Contains(elsewhere, p.file) {
			t.Errorf("%v: no error says %q", p, p.english)
		}
	}
	unused := maps.Clone(notSentences)
	for expression, at := range s.lost {
		if _, known := notSentences[expression]; !known {
			t.Errorf("%s: %q: no template can be read from it: write it out, or say in notSentences where its words come from", s.at(at), expression)
		}
		delete(unused, expression)
	}
	for expression := range unused {
		t.Errorf("notSentences: nothing is %q any more", expression)
	}
}

var (
	english  = regexp.MustCompile(`\b(the|of|is|not|with|it|its|was|this|that|which|has|have|are|been|want|cannot|says|and|what|there|must)\b`)
	verbatim = regexp.MustCompile("`[^`]*`|https?://\\S*|\\b\\w+: ?\\{|%\\[\\d\\]|\\S+\\.(yaml|json|example)")
	badSigns = []*regexp.Regexp{
		regexp.MustCompile(`\pL[;!]`), regexp.MustCompile(`[^ ]»`), regexp.MustCompile(`«[^ ]`),
		regexp.MustCompile(`\b(KEY|FILE)\b`), regexp.MustCompile(`  `), regexp.MustCompile(`\.\.\.`), regexp.MustCompile(`’`), regexp.MustCompile(`[\x{a0}\x{202f}]`), regexp.MustCompile(`\pL\?( |$)`),
	}
	colon = regexp.MustCompile(`\S*[\pL\d»)]: `)
)

// TestPairs: both sides fill in the same, and the French is French.
func TestPairs(t *testing.T) {
	first := map[string]pair{}
	for _, p := range pairs() {
		if other, twice := first[p.english]; twice && p.file != "words.txt" {
			t.Errorf("%v: %q is at %v already", p, p.english, other)
		}
		first[p.english] = p
		if p.french == "" {
			t.Errorf("%v: %q has no French", p, p.english)
			continue
		}
		if en, fr := verbs(p.english), verbs(p.french); !slices.Equal(en, fr) {
			t.Errorf("%v: %q fills in %v, and the French %v", p, p.english, en, fr)
		}
		if p.french == p.english {
			continue
		}
		plain := verbatim.ReplaceAllString(p.french, "x")
		if w := english.FindString(plain); w != "" {
			t.Errorf("%v: is %q French? %q", p, w, p.french)
		}
		for _, b := range badSigns {
			if m := b.FindString(plain); m != "" {
				t.Errorf("%v: signs as in the French of internal/cli, please: %q in %q", p, m, p.french)
			}
		}
		for _, m := range colon.FindAllString(p.french, -1) {
			if !strings.Contains(p.english, m) && !strings.Contains(p.english, strings.TrimSpace(m)) {
				t.Errorf("%v: a space before the colon: %q", p, p.french)
			}
		}
		if strings.HasSuffix(p.french, ".") != strings.HasSuffix(p.english, ".") {
			t.Errorf("%v: neither or both end in a full stop: %q", p, p.french)
		}
	}
}

// verbs are a template's arguments in their order, each with its verb.
func verbs(format string) []string {
	var all []string
	for _, p := range parse(format) {
		switch p.hole {
		case 0:
			continue
		case 'm', 'v', 'w', 'T', 'o': // texts, all of them
			p.hole = 's'
		}
		all = append(all, fmt.Sprintf("%d%c", p.arg, p.hole))
	}
	slices.Sort(all)
	return all
}

// TestArticles: no reference to the law keeps an English word.
func TestArticles(t *testing.T) {
	c := New()
	words := regexp.MustCompile(`\pL{3,}`)
	known := []string{"RGPD", "art", "CSP", "clause", "clauses", "annexe", "dernière", "phrase", "décision", "III", "VII"}
	articles := readSource(t, "../..").articles
	for article, at := range articles {
		for _, w := range words.FindAllString(c.Article(article), -1) {
			if !slices.Contains(known, w) {
				t.Errorf("%s: %q has no French: %q", at, w, c.Article(article))
			}
		}
	}
	if len(articles) < 30 {
		t.Errorf("%d references to the law", len(articles))
	}
}

// TestSourceCatches plants sentences in every way that the code has of saying one: the
// test above must be able to fail.
func TestSourceCatches(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "internal", "a")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	text := `package a

import (
	"errors"
	"fmt"

	"ecluse"
)

const fixed = "of a constant"

var errOne = errors.New("of a variable")

func refuse(what, why string) error { return &ecluse.Error{What: what, Why: "refused for " + why} }

type doc struct{}

func (d *doc) add(field, format string, args ...any) { _ = fmt.Errorf(format, args...) }

func check(wrong func(field, why string)) { wrong("f", "told to a function") }

func hint(n int) string {
	if n > 1 {
		return "look again"
	}
	return fmt.Sprintf("look %d times", n)
}

func f(n int, d *doc, e *ecluse.Error) error {
	why := "of a local"
	if n > 0 {
		why += fmt.Sprintf(", with %d more", n)
	}
	e.Why = why
	inner := func(next string) { e.Next = next }
	inner("of a closure")
	d.add("f", "the method takes %s of %d", "x", n)
	_ = refuse("do a thing", "a reason of its own")
	_ = ecluse.Errorf(ecluse.Failed, "format it", "%q is not 100 %%", "x")
	return &ecluse.Error{What: "literally", Where: "row 1 of it", Why: fixed, Next: hint(n), Err: errors.New(e.Kind.Unknown)}
}
`
	if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := readSource(t, filepath.Dir(filepath.Dir(dir)))
	for _, want := range []string{
		"of a constant", "of a variable", "refused for %s", "a reason of its own", "do a thing", "told to a function", "look again", "look %d times",
		"of a local", "of a local, with %d more", "of a closure", "the method takes %s of %d", "format it", "%q is not 100 %%", "literally", "row 1 of it",
	} {
		if _, found := s.found[want]; !found {
			t.Errorf("%q is not found among %q", want, slices.Sorted(maps.Keys(s.found)))
		}
	}
	if _, lost := s.lost["internal/a: e.Kind.Unknown"]; !lost {
		t.Errorf("what no template can be read from is not told: %v", s.lost)
	}
}

package words

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"ecluse"
)

// print is an invented fingerprint.
func print(c string) ecluse.Fingerprint { return ecluse.Fingerprint("SHA256:" + strings.Repeat(c, 43)) }

func enrolment() Enrolment {
	return Enrolment{Gate: print("g"), Place: "source", Controller: print("c"), Processor: print("p"), Lock: print("l")}
}

func of(t testing.TB, e Enrolment) Phrase {
	t.Helper()
	p, err := Of(e)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Two machines of different releases compare words: neither the hash nor the
// lists can change.
func TestPhraseStands(t *testing.T) {
	p := of(t, enrolment())
	if d := cmp.Diff(map[Language]string{
		English: "devote lazy ring trap velvet wreck betray learn",
		French:  "culminer image piscine tambour tutoyer voltiger augurer immense",
	}, map[Language]string{English: p.Text(English), French: p.Text(French)}); d != "" {
		t.Error(d)
	}
	for l, want := range map[Language]string{
		English: "sha256:2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda",
		French:  "sha256:ebc3959ab7801a1df6bac4fa7d970652f1df76b683cd2f4003c941c63d517e59",
	} {
		if got := ecluse.DigestOf([]byte(strings.Join(l.list(), "\n") + "\n")).String(); got != want {
			t.Errorf("the list %s of BIP-39 is another: %s", l, got)
		}
	}
}

// Taking accents away leaves 2048 different words of each language.
func TestListsFolded(t *testing.T) {
	for _, l := range Languages() {
		seen := map[string]bool{}
		for _, w := range l.list() {
			if len(split(w)) != 1 {
				t.Errorf("%s: %q is not one word", l, w)
			}
			seen[fold(w)] = true
		}
		if len(seen) != 1<<bits {
			t.Errorf("%s: %d words without accents", l, len(seen))
		}
	}
}

// What a gate was enrolled under shows in its words.
func TestWordsDiffer(t *testing.T) {
	p := of(t, enrolment())
	for name, change := range map[string]func(*Enrolment){
		"key":                 func(e *Enrolment) { e.Gate = print("x") },
		"place":               func(e *Enrolment) { e.Place = "target" },
		"controller":          func(e *Enrolment) { e.Controller = print("x") },
		"processor":           func(e *Enrolment) { e.Processor = print("x") },
		"lock":                func(e *Enrolment) { e.Lock = print("x") },
		"roots the other way": func(e *Enrolment) { e.Controller, e.Processor = e.Processor, e.Controller },
	} {
		e := enrolment()
		change(&e)
		other := of(t, e)
		if other == p {
			t.Errorf("%s: another enrolment shows the same words", name)
		}
		for _, l := range Languages() {
			err := p.Check(other.Text(l))
			if ecluse.KindOf(err) != ecluse.Unverified || !strings.Contains(err.Error(), "not this gate's") {
				t.Errorf("%s: its words in %s are taken: %v", name, l, err)
			}
		}
	}
}

func TestOfRefuses(t *testing.T) {
	for name, change := range map[string]func(*Enrolment){
		"no key":       func(e *Enrolment) { e.Gate = "" },
		"place":        func(e *Enrolment) { e.Place = "lock" },
		"no root":      func(e *Enrolment) { e.Controller = "" },
		"short root":   func(e *Enrolment) { e.Processor = "SHA256:abc" },
		"line in lock": func(e *Enrolment) { e.Lock = ecluse.Fingerprint(strings.Replace(string(e.Lock), "ll", "l\n", 1)) },
	} {
		e := enrolment()
		change(&e)
		if _, err := Of(e); err == nil || ecluse.KindOf(err) != ecluse.Invalid {
			t.Errorf("%s: got %v, want invalid", name, err)
		}
	}
}

func TestCheckTolerates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Phrase
		for i := range p {
			p[i] = uint16(rapid.IntRange(0, 1<<bits-1).Draw(t, "word"))
		}
		l := rapid.SampledFrom(Languages()).Draw(t, "language")
		words := p.Words(l)
		for i := range words {
			words[i] = rapid.SampledFrom([]func(string) string{
				strings.ToUpper, fold, norm.NFD.String, norm.NFC.String, strings.ToTitle,
			}).Draw(t, "written")(words[i])
		}
		typed := strings.Join(words, rapid.SampledFrom([]string{" ", "-", " – ", "\u00a0", "\n", ", ", " 2. "}).Draw(t, "between"))
		if err := p.Check("  1. " + typed + ".\r\n"); err != nil {
			t.Fatalf("%q: %v", typed, err)
		}
	})
}

func TestCheckSaysWhich(t *testing.T) {
	p := of(t, enrolment())
	for _, l := range Languages() {
		words := p.Words(l)
		with := func(at int, w string) string {
			changed := slices.Clone(words)
			changed[at-1] = w
			return strings.Join(changed, " ")
		}
		other := l.list()[p[2]^1]
		for name, c := range map[string]struct {
			typed string
			kind  ecluse.Kind
			why   string
		}{
			"one word":        {with(3, other), ecluse.Unverified, "word 3 is not this gate's"},
			"mistyped":        {with(5, "Zzyzx"), ecluse.Invalid, "word 5 is in no list of words"},
			"exchanged":       {strings.Join(append([]string{words[1], words[0]}, words[2:]...), " "), ecluse.Unverified, "words 1 and 2 are not this gate's"},
			"one short":       {strings.Join(words[1:], " "), ecluse.Invalid, "there are 7 of them, want 8"},
			"one more":        {p.Text(l) + " " + other, ecluse.Invalid, "there are 9 of them, want 8"},
			"nothing":         {" - ", ecluse.Invalid, "there are 0 of them"},
			"too long":        {p.Text(l) + strings.Repeat(" ", maxTyped), ecluse.Invalid, "longer than 1024 bytes"},
			"languages mixed": {with(4, p.Words(Languages()[0])[3]+p.Words(Languages()[1])[3]), ecluse.Invalid, "word 4 is in no list"},
		} {
			err := p.Check(c.typed)
			if err == nil || ecluse.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%s, %s: got %v, want %s: %s", l, name, err, c.kind, c.why)
				continue
			}
			for _, right := range words {
				if strings.Contains(fold(err.Error()), " "+fold(right)+" ") {
					t.Errorf("%s, %s: the error gives %q away", l, name, right)
				}
			}
		}
	}
}

func FuzzCheck(f *testing.F) {
	p := of(f, enrolment())
	for _, l := range Languages() {
		f.Add(p.Text(l))
		f.Add(strings.ToUpper(strings.Join(p.Words(l), "-")))
	}
	f.Add("1. \u0301 œ \xff")
	f.Fuzz(func(t *testing.T, typed string) {
		if p.Check(typed) != nil {
			return
		}
		got := strings.Join(split(typed), " ")
		if got != fold(p.Text(English)) && got != fold(p.Text(French)) {
			t.Errorf("%q is taken for the gate's words", typed)
		}
	})
}

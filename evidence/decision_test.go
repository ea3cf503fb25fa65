package evidence

import (
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"ecluse"
)

func decisionOf(report ecluse.Digest) *Decision {
	return &Decision{DecisionFormat, testMigration, report, []OpenPoint{
		{`two "analysers" by hand [x], {y}`, "anne.martin", "2026-12-31"}, {"labels", "paul-x", "2027-01-31"},
	}}
}

// TestVerifyDecisions: both verifiers know who may say go, of what, and what goes with it.
func TestVerifyDecisions(t *testing.T) {
	t.Parallel()
	type saying struct {
		by      func(c *cast) (Person, ssh.Signer, ecluse.Side, ecluse.Role)
		clauses func(w *telling, report ecluse.Digest) []Clause
	}
	anne := func(c *cast) (Person, ssh.Signer, ecluse.Side, ecluse.Role) {
		return c.pAnne, c.anne, ecluse.Controller, ecluse.Signatory
	}
	hugo := func(c *cast) (Person, ssh.Signer, ecluse.Side, ecluse.Role) {
		return c.pHugo, c.hugo, ecluse.Controller, ecluse.DPO
	}
	signs := func(v Verb, kind string, text func(report ecluse.Digest) []byte) func(*telling, ecluse.Digest) []Clause {
		return func(w *telling, report ecluse.Digest) []Clause {
			cs := []Clause{{v, KindReport, report}}
			if kind != "" {
				doc := text(report)
				w.do(w.b.AddDocument(doc))
				cs = append(cs, Clause{VerbSign, kind, ecluse.DigestOf(doc)})
			}
			return cs
		}
	}
	points := func(edit func(*Decision)) func(ecluse.Digest) []byte {
		return func(report ecluse.Digest) []byte {
			d := decisionOf(report)
			edit(d)
			return must(EncodeJSON(d))
		}
	}
	asIs := func(*Decision) {}
	reason := func(ecluse.Digest) []byte { return []byte("the printers do not answer") }
	for name, x := range map[string]struct {
		deputies string
		says     saying
		ok       bool
	}{
		"go":                           {"", saying{anne, signs(VerbGo, "", nil)}, true},
		"go with open points":          {"", saying{anne, signs(VerbGo, KindDecision, points(asIs))}, true},
		"no-go":                        {"", saying{anne, signs(VerbNoGo, KindReason, reason)}, true},
		"a deputy":                     {"deputies: [someone, 'hugo-blanc']\n", saying{hugo, signs(VerbGo, "", nil)}, true},
		"a deputy, listed in lines":    {"deputies:\n- someone # else\n-  hugo-blanc\n", saying{hugo, signs(VerbNoGo, KindReason, reason)}, true},
		"nobody's deputy":              {"", saying{hugo, signs(VerbGo, "", nil)}, false},
		"another's deputy":             {"deputies: [hugo-blanc2]\nsensitive: [hugo-blanc]\n", saying{hugo, signs(VerbGo, "", nil)}, false},
		"no-go without a reason":       {"", saying{anne, signs(VerbNoGo, "", nil)}, false},
		"no-go with open points":       {"", saying{anne, signs(VerbNoGo, KindDecision, points(asIs))}, false},
		"go with a reason":             {"", saying{anne, signs(VerbGo, KindReason, reason)}, false},
		"open points of another":       {"", saying{anne, signs(VerbGo, KindDecision, points(func(d *Decision) { d.Report[0] ^= 1 }))}, false},
		"an open point that is nobody": {"", saying{anne, signs(VerbGo, KindDecision, points(func(d *Decision) { d.Open[0].Owner = "" }))}, false},
		"an open point without a day":  {"", saying{anne, signs(VerbGo, KindDecision, points(func(d *Decision) { d.Open[1].Due = "soon" }))}, false},
		"of no open point":             {"", saying{anne, signs(VerbGo, KindDecision, points(func(d *Decision) { d.Open = nil }))}, false},
		"of another document": {"", saying{anne, func(w *telling, _ ecluse.Digest) []Clause {
			return []Clause{{VerbGo, KindReport, ecluse.DigestOf([]byte("nothing"))}}
		}}, false},
		"of a plan": {"", saying{anne, func(w *telling, _ ecluse.Digest) []Clause {
			return []Clause{{VerbGo, KindReadPlan, w.plan}}
		}}, false},
		"open points without a go": {"", saying{anne, func(w *telling, report ecluse.Digest) []Clause {
			return signs(VerbGo, KindDecision, points(asIs))(w, report)[1:]
		}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCast(t)
			s := newStory(c)
			s.instruction += x.deputies
			s.decided = func(w *telling, report ecluse.Digest) {
				p, key, side, role := x.says.by(c)
				w.says("go", side, p, key, role, x.says.clauses(w, report)...)
			}
			bundle := s.tell(t)
			r := Verify(bundle, c.roots())
			if r.OK() != x.ok {
				t.Error(r.Text())
			}
			if out := runScript(t, onDisk(t, bundle), c.roots()); strings.HasPrefix(out, "OK\n") != x.ok {
				t.Error(out)
			}
		})
	}
}

func FuzzParseDecision(f *testing.F) {
	f.Add(must(EncodeJSON(decisionOf(ecluse.DigestOf(nil)))))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := ParseDecision(text)
		if err != nil {
			return
		}
		if again := must(EncodeJSON(d)); string(again) != string(text) || d.Check() != nil {
			t.Errorf("%q is read as %q", text, again)
		}
	})
}

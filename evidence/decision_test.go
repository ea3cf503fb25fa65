package evidence

import (
	"bytes"
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
		"no-go":                        {"", saying{anne, signs(VerbNoGo, KindReason, reason)}, false}, // it was accepted all the same
		"a deputy":                     {"deputies: [someone, 'hugo-blanc']\n", saying{hugo, signs(VerbGo, "", nil)}, true},
		"a deputy, listed in lines":    {"deputies:\n- someone # else\n-  hugo-blanc\n", saying{hugo, signs(VerbGo, "", nil)}, true},
		"nobody's deputy":              {"", saying{hugo, signs(VerbGo, "", nil)}, false},
		"another's deputy":             {"deputies: [hugo-blanc2]\nsensitive: [hugo-blanc]\n", saying{hugo, signs(VerbGo, "", nil)}, false},
		"no-go without a reason":       {"", saying{anne, signs(VerbNoGo, "", nil)}, false},
		"no-go with open points":       {"", saying{anne, signs(VerbNoGo, KindDecision, points(asIs))}, false},
		"go with a reason":             {"", saying{anne, signs(VerbGo, KindReason, reason)}, false},
		"open points of another":       {"", saying{anne, signs(VerbGo, KindDecision, points(func(d *Decision) { d.Report[0] ^= 1 }))}, false},
		"an open point that is nobody": {"", saying{anne, signs(VerbGo, KindDecision, points(func(d *Decision) { d.Open[0].Owner = "" }))}, false},
		"an open point without a day":  {"", saying{anne, signs(VerbGo, KindDecision, points(func(d *Decision) { d.Open[1].Due = "soon" }))}, false},
		"an open point of no month":    {"", saying{anne, signs(VerbGo, KindDecision, points(func(d *Decision) { d.Open[1].Due = "2026-13-01" }))}, false},
		"an open point of no such day": {"", saying{anne, signs(VerbGo, KindDecision, points(func(d *Decision) { d.Open[1].Due = "2026-11-31" }))}, false},
		"an open point of blanks":      {"", saying{anne, signs(VerbGo, KindDecision, points(func(d *Decision) { d.Open[0].What = "  " }))}, false},
		"an open point of two lines":   {"", saying{anne, signs(VerbGo, KindDecision, points(func(d *Decision) { d.Open[0].What = "a\nb" }))}, false},
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

// TestVerifyLastDecision: what was said last of a report, in the journal's order, stands.
func TestVerifyLastDecision(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		says []Verb
		ok   bool
	}{
		"nothing":             {nil, true},
		"go":                  {[]Verb{VerbGo}, true},
		"no-go":               {[]Verb{VerbNoGo}, false},
		"no-go, then go":      {[]Verb{VerbNoGo, VerbGo}, true},
		"go, then no-go":      {[]Verb{VerbGo, VerbNoGo}, false},
		"go, no-go, go again": {[]Verb{VerbGo, VerbNoGo, VerbGo}, true},
	} {
		c := newCast(t)
		s := newStory(c)
		s.decided = func(w *telling, report ecluse.Digest) {
			for i, v := range x.says {
				clauses := []Clause{{v, KindReport, report}}
				if v == VerbNoGo {
					reason := []byte("the printers do not answer")
					w.do(w.b.AddDocument(reason))
					clauses = append(clauses, Clause{VerbSign, KindReason, ecluse.DigestOf(reason)})
				}
				w.says(strings.Repeat("again ", i)+"said", ecluse.Controller, w.pAnne, w.anne, ecluse.Signatory, clauses...)
			}
		}
		bundle := s.tell(t)
		for by, text := range map[string]string{"ecluse": Verify(bundle, c.roots()).Text(), "verify.sh": runScript(t, onDisk(t, bundle), c.roots())} {
			if strings.HasPrefix(text, "OK\n") != x.ok {
				t.Errorf("%s, %s:\n%s", name, by, text)
			}
		}
	}
}

// TestVerifyTakenBack: what the controller said go of is refused by nobody but who could say
// it, while it is in use.
func TestVerifyTakenBack(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		deputies string
		by       string // who says go (g) and refuses: anne, hugo, the processor's operator
		ok       bool
	}{
		"the signatory":            {"", "ga", true},
		"a deputy":                 {"deputies: [hugo-blanc]\n", "gh", true},
		"nobody's deputy":          {"", "gh", false},
		"the processor's operator": {"deputies: [hugo-blanc, luc-petit]\n", "gp", false},
		"before the go":            {"", "pg", true},
		"after who may":            {"", "gap", true},
		"after another go":         {"", "gagp", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCast(t)
			s := newStory(c)
			s.instruction += x.deputies
			s.decided = func(w *telling, report ecluse.Digest) {
				for i, by := range x.by {
					said := strings.Repeat("again ", i) + "said"
					refuses := Clause{VerbRefuse, KindReport, report}
					switch by {
					case 'g':
						w.says(said, ecluse.Controller, w.pAnne, w.anne, ecluse.Signatory, Clause{VerbGo, KindReport, report})
					case 'a':
						w.says(said, ecluse.Controller, w.pAnne, w.anne, ecluse.Signatory, refuses)
					case 'h':
						w.says(said, ecluse.Controller, w.pHugo, w.hugo, ecluse.DPO, refuses)
					case 'p':
						w.says(said, ecluse.Processor, w.pLuc, w.luc, ecluse.Operator, refuses)
					}
				}
			}
			bundle := s.tell(t)
			for by, text := range map[string]string{"ecluse": Verify(bundle, c.roots()).Text(), "verify.sh": runScript(t, onDisk(t, bundle), c.roots())} {
				if strings.HasPrefix(text, "OK\n") != x.ok || !x.ok && !strings.Contains(text, "who neither signs for the controller nor is named a deputy") {
					t.Errorf("%s:\n%s", by, text)
				}
			}
		})
	}
}

// TestVerifyInUse: both verifiers take a load that is in use and not accepted, say so before
// anything else, and demand the go under it.
func TestVerifyInUse(t *testing.T) {
	t.Parallel()
	const sentence = "erased; passage final-1 was not accepted, and stays in the target: it is in use since the controller said go"
	final := func(n int) ecluse.Passage { return ecluse.Passage{Kind: ecluse.Final, Number: n} }
	for name, x := range map[string]struct {
		edit func(w *telling, x *inUse)
		ok   bool
	}{
		"by a go":                   {func(*telling, *inUse) {}, true},
		"nobody said go":            {func(w *telling, x *inUse) { x.unsaid, x.passes.Act = true, ecluse.DigestOf([]byte("go")) }, false},
		"by another act":            {func(w *telling, x *inUse) { x.passes.Act = ecluse.DigestOf([]byte("go")) }, false},
		"go of a dry run":           {func(w *telling, x *inUse) { x.report.Plan = w.dry }, false},
		"go of another statement":   {func(w *telling, x *inUse) { x.report.Format = PrivilegesFormat }, false},
		"the journal does not say":  {func(w *telling, x *inUse) { x.leaves = []InUsePassage{} }, false},
		"the journal says it twice": {func(w *telling, x *inUse) { x.times = 2 }, false},
		"another in the journal":    {func(w *telling, x *inUse) { x.leaves = []InUsePassage{{final(2), ecluse.DigestOf(nil)}} }, false},
		"another passage":           {func(w *telling, x *inUse) { x.passes.Passage = final(2) }, false},
		"no-go after the go":        {func(w *telling, x *inUse) { x.decisions = []Verb{VerbNoGo} }, false},
		"ordered undone after it":   {func(w *telling, x *inUse) { x.decisions = []Verb{VerbRefuse} }, false},
		"its approval refused":      {func(_ *telling, x *inUse) { x.unapproves = true }, false},
		"taken out by the gate":     {func(w *telling, x *inUse) { x.undone = final(1) }, false},
		"another one taken out":     {func(w *telling, x *inUse) { x.undone = final(3) }, true},
		"the certificate is silent": {func(w *telling, x *inUse) { x.silent = true }, false},
		"README.txt is silent": {func(w *telling, x *inUse) {
			w.story.files = func(f map[string][]byte) { f[FileReadme] = bytes.ReplaceAll(f[FileReadme], []byte(sentence+"\n"), nil) }
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCast(t)
			s := newStory(c)
			s.trigger, s.inUse = ByDeadline, x.edit
			bundle := s.tell(t)
			first := "OK\nnote  " + OneRoomSentence + "\nnote  " + sentence + "\n"
			for by, text := range map[string]string{"ecluse": Verify(bundle, c.roots()).Text(), "verify.sh": runScript(t, onDisk(t, bundle), c.roots())} {
				if strings.HasPrefix(text, first) != x.ok {
					t.Errorf("%s:\n%s", by, text)
				}
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

// TestVerifyReservations: both verifiers take a report with differences only when each is
// explained, and the certificate says so.
func TestVerifyReservations(t *testing.T) {
	t.Parallel()
	const odd = `a "b", {"table":"c"`
	differs := func(c *compared) {
		c.Compared.Equal = false
		c.Compared.Datasets = []datasetVerdict{{"patient", true}}
		c.Compared.Tables = []tableVerdict{{"patient", 0, 5, 5, true}, {odd, 0, 5, 5, false}, {"result", 1, 5, 5, false}}
		c.Compared.Checks = []checkVerdict{{"by year", 3, 0}, {"by code", 3, 1}, {"none", 0, 0}}
		c.Compared.Rejected = nil
	}
	equal := func(c *compared) { c.Compared.Rejected = nil }
	explains := func(d *Reservations) {
		for _, x := range []Difference{{"check", "none"}, {"table", "result"}, {"table", odd}, {"check", "by code"}} {
			d.Differences = append(d.Differences, Reservation{x, `the "old" rounding [2]`, "anne-martin", "2026-12-31"})
		}
	}
	edited := func(edit func(*Reservations)) func(*Reservations) {
		return func(d *Reservations) { explains(d); edit(d) }
	}
	for name, x := range map[string]struct {
		compared func(*compared)
		reserves func(*Reservations)
		outcome  Outcome
		ok       bool
	}{
		"explained":                    {differs, explains, Reserved, true},
		"the certificate says nothing": {differs, explains, Proven, false},
		"the certificate makes it up":  {equal, nil, Reserved, false},
		"not explained":                {differs, nil, Reserved, false},
		"not all explained":            {differs, edited(func(d *Reservations) { d.Differences = d.Differences[1:] }), Reserved, false},
		"one explained twice":          {differs, edited(func(d *Reservations) { d.Differences = append(d.Differences, d.Differences[0]) }), Reserved, false},
		"another explained":            {differs, edited(func(d *Reservations) { d.Differences[0].Name = "by year" }), Reserved, false},
		"a table for a check":          {differs, edited(func(d *Reservations) { d.Differences[0].Of = "table" }), Reserved, false},
		"without a word":               {differs, edited(func(d *Reservations) { d.Differences[0].Why = "" }), Reserved, false},
		"without more than blanks":     {differs, edited(func(d *Reservations) { d.Differences[0].Why = "   " }), Reserved, false},
		"until a month that is none":   {differs, edited(func(d *Reservations) { d.Differences[0].Until = "2026-00-31" }), Reserved, false},
		"until a day that is none":     {differs, edited(func(d *Reservations) { d.Differences[0].Until = "2026-12-32" }), Reserved, false},
		"nobody follows it up":         {differs, edited(func(d *Reservations) { d.Differences[0].Owner = "" }), Reserved, false},
		"for ever":                     {differs, edited(func(d *Reservations) { d.Differences[0].Until = "" }), Reserved, false},
		"of another report":            {differs, edited(func(d *Reservations) { d.Report[0] ^= 1 }), Reserved, false},
		"of nothing that differs":      {equal, explains, Reserved, false},
		"not all was opened":           {func(c *compared) { differs(c); c.Compared.Datasets[0].Equal = false }, explains, Reserved, false},
		"unequal without a difference": {func(c *compared) { equal(c); c.Compared.Equal = false }, explains, Reserved, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCast(t)
			s := newStory(c)
			s.compared, s.reservations, s.dispositions = x.compared, x.reserves, nil
			s.certificate = func(c *Certificate) { c.Outcome = x.outcome }
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

package mandate_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
	"ecluse/internal/mandate/mandatetest"
)

// TestOldInstructionEnds: what a new instruction has to say does not take the deadline away
// from one that was signed before it had to; its final passage waits all the same.
func TestOldInstructionEnds(t *testing.T) {
	m := mandatetest.New(t).Migration(t, source(), mandatetest.Dialect(ecluse.PostgreSQL), body+"passages: {dry: 0, rehearsal: 0, final: 1}\n")
	if _, err := mandate.ParseNewInstruction("i.yaml", m.Papers.Instruction); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("it could be signed today: %v", err)
	}
	in := m.ReadPermitInputs()
	e := mandate.Ended(in.Trust, m.ID, in.Papers)
	due := m.Instruction.EraseBy
	if !e.Deadline.Equal(due) || e.Over(due) != evidence.ByDeadline {
		t.Errorf("it ends %s, %q; want %s", e.Deadline, e.Over(due), due)
	}
	if err := m.Instruction.Rehearsed(ecluse.Final, true, false); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("a final passage that nothing was tried before: %v", err)
	}
}

// TestKeptUntil: rows put aside outlive the acceptance until the day that the instruction
// states, no longer than the contract leaves for erasing, and of an instruction that
// verifies alone.
func TestKeptUntil(t *testing.T) {
	w := mandatetest.New(t)
	day := w.Now.AddDate(0, 6, 20).UTC().Format(time.DateOnly)
	m := w.Migration(t, source(), mandatetest.Dialect(ecluse.PostgreSQL), body+"rejects_until: "+day+"\n")
	in := m.ReadPermitInputs()
	if e := mandate.Ended(in.Trust, m.ID, in.Papers); e.Kept == nil || e.Kept.String() != day {
		t.Errorf("kept until %v, want %s", e.Kept, day)
	}
	text := string(m.Papers.Instruction)
	for name, x := range map[string]struct{ old, new, want string }{
		"by the processor":   {"system: ancien, administered_by: controller", "system: ancien, administered_by: processor", "rejects_until: the processor administers the source"},
		"in a backup, later": {"source_gate: none", "source_gate: {until: " + w.Now.AddDate(0, 6, 10).UTC().Format(time.DateOnly) + "}", "backups.source_gate.until: a backup made until rejects_until cannot expire before it"},
		"too long":           {"rejects_until: " + day, "rejects_until: " + w.Now.AddDate(0, 6, 91).UTC().Format(time.DateOnly), "rejects_until: want a day at most 90 days after erase_by"},
	} {
		changed := strings.Replace(text, x.old, x.new, 1)
		if _, err := mandate.ParseNewInstruction("i.yaml", []byte(changed)); changed == text || err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v", name, err)
		}
		in.Papers.Instruction = []byte(changed)
		if e := mandate.Ended(in.Trust, m.ID, in.Papers); e.Kept != nil {
			t.Errorf("%s: an instruction that nobody signed keeps rows until %s", name, e.Kept)
		}
	}
}

// TestStruckOff: an act that ends or takes away does not count when the newest roster gives
// its signer the role no more and the gate had not seen it before, whatever day it names. One
// seen before does; and an acceptance or a go leaves a load where it is.
func TestStruckOff(t *testing.T) {
	w := mandatetest.New(t)
	m := w.Migration(t, source(), mandatetest.Dialect(ecluse.PostgreSQL), body)
	report, plan := ecluse.DigestOf([]byte("report")), ecluse.DigestOf([]byte("load plan"))
	act := func(verb evidence.Verb, kind string, subject ecluse.Digest) evidence.Signed {
		return m.Act(t, w.Anne, ecluse.Signatory, []evidence.Clause{{Verb: verb, Kind: kind, Subject: subject}})
	}
	accepts := act(evidence.VerbAccept, evidence.KindReport, report)
	orders := act(evidence.VerbErase, evidence.KindMigration, m.Instruction.Digest())
	goes := act(evidence.VerbGo, evidence.KindReport, report)
	refuses := act(evidence.VerbRefuse, evidence.KindLoadPlan, plan)
	r := w.Roster(ecluse.Controller, 3, w.Now.Add(-30*time.Minute))
	r.People = slices.DeleteFunc(slices.Clone(r.People), func(p evidence.Person) bool { return p.ID == w.Anne.ID })
	after, _ := w.SignRoster(t, r)

	in := m.ReadPermitInputs()
	ended := func(struck bool, known ...ecluse.Digest) mandate.Ending {
		papers := in.Papers
		papers.Acts = append(slices.Clone(papers.Acts), accepts, orders, goes, refuses)
		if struck {
			papers.Rosters = append(slices.Clone(papers.Rosters), after)
		}
		trust := in.Trust
		trust.Known = map[ecluse.Digest]bool{}
		for _, d := range known {
			trust.Known[d] = true
		}
		return mandate.Ended(trust, m.ID, papers)
	}
	before := ended(false)
	if before.Accepted != accepts.Digest() || before.Ordered != orders.Digest() || !before.Live(mandate.Loaded{Plan: plan}).IsZero() || before.Deadline.IsZero() {
		t.Fatalf("while she is on the roster: %+v", before)
	}
	for _, d := range []ecluse.Digest{accepts.Digest(), orders.Digest(), refuses.Digest()} {
		if !slices.Contains(before.Counted, d) {
			t.Errorf("%s is not for the ledger to remember", d)
		}
	}
	since := ended(true)
	if !since.Accepted.IsZero() || !since.Ordered.IsZero() || since.Over(w.Now) != "" || len(since.Counted) > 0 {
		t.Errorf("backdated by somebody struck off: %+v", since)
	}
	if since.Deadline.IsZero() { // nothing was read or loaded here, and when the day comes all rosters have run out
		t.Error("a gate that acted on no instruction never destroys its half of the key")
	}
	in.Acted = ecluse.DigestOf([]byte("another instruction"))
	if since = ended(true); !since.Deadline.IsZero() {
		t.Errorf("an instruction by somebody struck off moves the deadline of what is under way: %+v", since)
	}
	in.Acted = m.Instruction.Digest()
	since = ended(true)
	if since.Shown != accepts.Digest() || since.Live(mandate.Loaded{Plan: plan}) != goes.Digest() || since.Deadline.IsZero() {
		t.Errorf("what leaves a load where it is: %+v, live by %s", since, since.Live(mandate.Loaded{Plan: plan}))
	}
	if again := ended(true, before.Counted...); again.Accepted != accepts.Digest() || again.Ordered != orders.Digest() || !again.Live(mandate.Loaded{Plan: plan}).IsZero() {
		t.Errorf("seen before: %+v", again)
	}
}

// TestUndoneIsOfThePassage: what orders a passage undone is an act on its load plan, on the
// act that approved that or on a report of it, by somebody who may, and none that one before
// it under the same plan was undone by; from a go on it is an act of who could say go. A go
// of another passage's report makes none live.
func TestUndoneIsOfThePassage(t *testing.T) {
	w := mandatetest.New(t)
	m := w.Migration(t, source(), mandatetest.Dialect(ecluse.PostgreSQL), body)
	of := func(s string) ecluse.Digest { return ecluse.DigestOf([]byte(s)) }
	refuse := func(kind, subject string) []evidence.Clause {
		return []evidence.Clause{{Verb: evidence.VerbRefuse, Kind: kind, Subject: of(subject)}}
	}
	first := m.Act(t, w.Jean, ecluse.Operator, refuse(evidence.KindLoadPlan, "plan"))
	again := m.Act(t, w.Anne, ecluse.Signatory, refuse(evidence.KindLoadPlan, "plan"))
	report := m.Act(t, w.Jean, ecluse.Operator, refuse(evidence.KindReport, "report 2"))
	earlier := m.Act(t, w.Jean, ecluse.Operator, refuse(evidence.KindReport, "report 1"))
	nobody := m.Act(t, w.Lucy, ecluse.Signatory, refuse(evidence.KindLoadPlan, "plan"))
	under := m.Act(t, w.Jean, ecluse.Operator, refuse(evidence.KindAct, "approval 2"))
	ahead := m.Act(t, w.Anne, ecluse.Signatory, refuse(evidence.KindLoadPlan, "plan"), func(a *evidence.Act) { a.NotBefore = w.Now.Add(time.Minute) })
	gone := m.Act(t, w.Anne, ecluse.Signatory, []evidence.Clause{{Verb: evidence.VerbGo, Kind: evidence.KindReport, Subject: of("report 2")}})
	goneBefore := m.Act(t, w.Anne, ecluse.Signatory, []evidence.Clause{{Verb: evidence.VerbGo, Kind: evidence.KindReport, Subject: of("report 1")}})
	second := mandate.Loaded{Plan: of("plan"), Under: of("approval 2"), Reports: []ecluse.Digest{of("report 2")}, Spent: []ecluse.Digest{first.Digest()}}
	for name, x := range map[string]struct {
		acts         []evidence.Signed
		undone, live bool
	}{
		"nothing":                    {nil, false, false},
		"the earlier one's order":    {[]evidence.Signed{first, gone}, false, true},
		"the earlier one's report":   {[]evidence.Signed{earlier, gone}, false, true},
		"an order":                   {[]evidence.Signed{first, gone, again}, true, false},
		"an order on its report":     {[]evidence.Signed{report}, true, false},
		"an order on its approval":   {[]evidence.Signed{under}, true, false},
		"an operator's, since a go":  {[]evidence.Signed{gone, report, under}, false, true},
		"by nobody who may":          {[]evidence.Signed{gone, nobody}, false, true},
		"by a clock a minute ahead":  {[]evidence.Signed{gone, ahead}, true, false},
		"a go of the earlier one":    {[]evidence.Signed{goneBefore}, false, false},
		"that one's, and an order":   {[]evidence.Signed{goneBefore, report}, true, false},
		"a go, and one of the other": {[]evidence.Signed{goneBefore, gone}, false, true},
	} {
		in := m.ReadPermitInputs()
		in.Papers.Acts = append(slices.Clone(in.Papers.Acts), x.acts...)
		e := mandate.Ended(in.Trust, m.ID, in.Papers)
		if got := len(e.Undone(second)) > 0; got != x.undone {
			t.Errorf("%s: ordered undone %t", name, got)
		}
		if got := !e.Live(second).IsZero(); got != x.live {
			t.Errorf("%s: live %t", name, got)
		}
	}
}

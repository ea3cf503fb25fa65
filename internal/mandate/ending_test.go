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
	if err := m.Instruction.Rehearsed(true, false); ecluse.KindOf(err) != ecluse.Refused {
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

// TestUndoneIsOfThePassage: what orders a passage undone is an act on its load plan or on a
// report of it, by somebody who may, and none that one before it under the same plan was
// undone by; a go of another passage's report makes none live.
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
	ahead := m.Act(t, w.Jean, ecluse.Operator, refuse(evidence.KindLoadPlan, "plan"), func(a *evidence.Act) { a.NotBefore = w.Now.Add(time.Minute) })
	gone := m.Act(t, w.Anne, ecluse.Signatory, []evidence.Clause{{Verb: evidence.VerbGo, Kind: evidence.KindReport, Subject: of("report 2")}})
	goneBefore := m.Act(t, w.Anne, ecluse.Signatory, []evidence.Clause{{Verb: evidence.VerbGo, Kind: evidence.KindReport, Subject: of("report 1")}})
	second := mandate.Loaded{Plan: of("plan"), Reports: []ecluse.Digest{of("report 2")}, Spent: []ecluse.Digest{first.Digest()}}
	for name, x := range map[string]struct {
		acts         []evidence.Signed
		undone, live bool
	}{
		"nothing":                    {nil, false, false},
		"the earlier one's order":    {[]evidence.Signed{first, gone}, false, true},
		"the earlier one's report":   {[]evidence.Signed{earlier, gone}, false, true},
		"an order":                   {[]evidence.Signed{first, gone, again}, true, false},
		"an order on its report":     {[]evidence.Signed{gone, report}, true, false},
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

package mandate_test

import (
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

package mandate_test

import (
	"testing"

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

package lock_test

import (
	"testing"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/lock"
	"ecluse/internal/procedure"
)

// TestErasureJudgedBeforeAcceptance: an acceptance that arrives after why a migration is erased
// was judged is not erased as an unaccepted load: it is judged anew.
func TestErasureJudgedBeforeAcceptance(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Accepted, 3)
	l, err := lock.Open(t.Context(), d.Join("room", "lock"), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Shut()
	judged := procedure.Place{Migration: procedure.Sealed, Passage: procedure.Compared, Kind: ecluse.Final}
	if err := lock.BeginErasureFrom(t.Context(), l, roomtest.Migration, evidence.ByDeadline, judged); err == nil {
		t.Error("it is erased by deadline")
	}
	if leaf, err := lock.LastLeaf(t.Context(), l, roomtest.Migration); err != nil || leaf.Type == "erasure-begun" {
		t.Errorf("%+v, %v", leaf, err)
	}
	judged.Migration, judged.Passage = procedure.Accepted, procedure.Accepted
	if err := lock.BeginErasureFrom(t.Context(), l, roomtest.Migration, evidence.ByAcceptance, judged); err != nil {
		t.Errorf("judged anew: %v", err)
	}
}

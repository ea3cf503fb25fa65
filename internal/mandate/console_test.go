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

// TestConsoleAfterTheProcessor: the controller's people are known at the console by their own
// roster, when the processor's has run out; not by one of theirs that has.
func TestConsoleAfterTheProcessor(t *testing.T) {
	w := mandatetest.New(t)
	m := w.Migration(t, source(), mandatetest.Dialect(ecluse.PostgreSQL), body)
	in := m.ReadPermitInputs()
	in.Now = w.Now.Add(60 * 24 * time.Hour)
	anne := evidence.FingerprintOf(w.Anne.Signer.PublicKey())
	if _, err := mandate.AtConsole(in.Trust, m.ID, in.Papers, anne); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "the controller's roster") {
		t.Errorf("by a roster of the controller's that has run out: %v", err)
	}
	own, _ := w.SignRoster(t, w.Roster(ecluse.Controller, 3, in.Now.Add(-time.Hour)))
	papers := in.Papers
	papers.Rosters = append(slices.Clone(papers.Rosters), own)
	if _, err := mandate.AtConsole(in.Trust, m.ID, papers, anne); err != nil {
		t.Errorf("with a roster of the controller's that runs: %v", err)
	}
	if _, err := mandate.AtConsole(in.Trust, m.ID, papers, evidence.FingerprintOf(w.Lucy.Signer.PublicKey())); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("one of the processor's people: %v", err)
	}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		trust := in.Trust
		trust.Roots = map[ecluse.Side]ecluse.Fingerprint{ecluse.Controller: w.Root(ecluse.Controller), ecluse.Processor: w.Root(ecluse.Processor)}
		trust.Roots[side] = anne
		if _, err := mandate.AtConsole(trust, m.ID, papers, anne); err == nil {
			t.Errorf("another root of the %s", side)
		}
	}
}

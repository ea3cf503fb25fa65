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

// TestRosterAgeEverywhere: a roster is held to its age, and to its own end, wherever one is
// asked for, at a gate's console and for a gate's paper too.
func TestRosterAgeEverywhere(t *testing.T) {
	m := migration(t)
	w := m.World
	lock := mandatetest.Key(t)
	paper, err := mandate.SignGate(w.SourceGate, w.Gate(w.SourceGate, lock))
	if err != nil {
		t.Fatal(err)
	}
	confirm := m.Act(t, w.Anne, ecluse.Signatory, []evidence.Clause{{Verb: evidence.VerbSign, Kind: evidence.KindGate, Subject: paper.Digest()}},
		func(a *evidence.Act) { a.Migration = "" })
	issued := w.Now.Add(-24 * time.Hour)
	short := w.Roster(ecluse.Controller, 3, issued)
	short.Expires = issued.AddDate(0, 0, 10)
	ends, _ := w.SignRoster(t, short)
	for name, c := range map[string]struct {
		now     time.Time
		rosters []evidence.Signed
		why     string // empty: it is taken
	}{
		"29 days old": {issued.AddDate(0, 0, 29), m.Papers.Rosters, ""},
		"31 days old": {issued.AddDate(0, 0, 31), m.Papers.Rosters, "older than 30 days"},
		"expired":     {issued.AddDate(0, 0, 11), append([]evidence.Signed{ends}, m.Papers.Rosters...), "it expired on"},
	} {
		in := m.ReadPermitInputs()
		in.Now = c.now
		in.Papers.Rosters = c.rosters
		for which, ask := range map[string]func() error{
			"at the console": func() error {
				_, err := mandate.AtConsole(in.Trust, m.ID, in.Papers, evidence.FingerprintOf(w.Anne.Signer.PublicKey()))
				return err
			},
			"a gate's paper": func() error {
				trust := mandate.Trust{Roots: in.Roots, Now: c.now}
				_, err := mandate.ConfirmedGate(trust, evidence.FingerprintOf(lock.PublicKey()), paper, c.rosters, []evidence.Signed{confirm})
				return err
			},
			"what stands": func() error { return mandate.Stands(in.Trust, in.Papers) },
		} {
			err := ask()
			if c.why == "" && err != nil || c.why != "" && (ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), c.why)) {
				t.Errorf("%s, %s: %v", name, which, err)
			}
		}
	}
}

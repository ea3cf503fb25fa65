package cli

import (
	"bytes"
	"strings"
	"testing"

	"ecluse/internal/mandate"
)

// TestEnvelopeIsShown: when and how fast the source is read is shown with the read plan.
func TestEnvelopeIsShown(t *testing.T) {
	t.Parallel()
	for french, want := range map[bool][]string{
		false: {"from 20:00-06:00 Europe/Paris only", "7 queries a second", "at least 3 sessions of others", "patient: 12 000 rows are expected; reading stops when it has over 500 more"},
		true:  {"que de 20:00-06:00 Europe/Paris", "7 requêtes par seconde", "au moins 3 sessions d'autres", "patient : 12 000 lignes sont attendues ; la lecture s'arrête s'il y en a plus de 500 de plus"},
	} {
		var b bytes.Buffer
		u := &ui{out: &b, french: french}
		u.verdicts(&mandate.ReadPlan{Limits: mandate.PlanLimits{Window: "20:00-06:00 Europe/Paris", QueriesPerSecond: 7, LoadPause: 3}, Datasets: []mandate.ReadDataset{{Dataset: "patient", Rows: &mandate.RowTolerance{Expected: 12000, Tolerance: 500}}, {Dataset: "result"}}})
		for _, w := range want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%q is not told in %q", w, &b)
			}
		}
	}
}

// TestLeaseIsShown: how long half of the key is lent is shown with the read plan, to whoever
// signs it, where it is longer than is usual.
func TestLeaseIsShown(t *testing.T) {
	t.Parallel()
	for french, want := range map[bool]string{false: "is lent for 24h at a time", true: "est prêtée pour 24h à chaque fois"} {
		var b bytes.Buffer
		u := &ui{out: &b, french: french}
		u.verdicts(&mandate.ReadPlan{})
		if b.Len() > 0 {
			t.Errorf("told %q of nothing", &b)
		}
		if u.verdicts(&mandate.ReadPlan{Limits: mandate.PlanLimits{Lease: "24h"}}); !strings.Contains(b.String(), want) {
			t.Errorf("told %q", &b)
		}
	}
}

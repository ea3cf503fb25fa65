package cli

import (
	"bytes"
	"strings"
	"testing"

	"ecluse/internal/mandate"
)

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

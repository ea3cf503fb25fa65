package cli

import (
	"bytes"
	"strings"
	"testing"

	"ecluse/internal/exchange"
	"ecluse/internal/gate"
)

// TestElsewhereIsTold: what changed in the source outside what is instructed is told, with
// its names in a report and counted in status.
func TestElsewhereIsTold(t *testing.T) {
	t.Parallel()
	for french, want := range map[bool][]string{
		false: {"came into the source after its plan was approved, refused: a.new", "went from the source after its plan was approved: a.old", "paused 3 times, 1m30s in all", "that came 2, that went 1"},
		true:  {"apparues dans la source après l'approbation du plan, refusées : a.new", "disparues de la source après l'approbation du plan : a.old", "en pause 3 fois, 1m30s en tout", "apparues 2, disparues 1"},
	} {
		var b bytes.Buffer
		u := &ui{out: &b, french: french}
		u.extract(&gate.ExtractStatement{})
		if b.Len() > 0 {
			t.Errorf("told %q of nothing", &b)
		}
		u.extract(&gate.ExtractStatement{Added: []string{"a.new"}, Gone: []string{"a.old"}, Pauses: 3, PausedSeconds: 90})
		u.status(exchange.Status{Changed: &exchange.Changed{Added: 2, Gone: 1}})
		for _, w := range want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%q is not told in %q", w, &b)
			}
		}
	}
}

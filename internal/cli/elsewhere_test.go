package cli

import (
	"bytes"
	"strings"
	"testing"

	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/french"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
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

// TestReadSinceIsShown: whoever approves a read plan again sees what changed, in their
// language.
func TestReadSinceIsShown(t *testing.T) {
	t.Parallel()
	s := &desk.ReadSince{Changes: []mandate.Change{{Where: "prescriber", What: "rows expected", Before: "100", After: "200"}, {Where: "table lab.x", What: "verdict on note", After: "refused"}}}
	for inFrench, want := range map[bool][]string{
		false: {"2 changes since the read plan that both parties approved", "prescriber  rows expected", "- 100", "+ 200", "verdict on note"},
		true:  {"2 changements depuis le plan de lecture que les deux parties ont approuvé", "prescriber  lignes attendues", "- 100", "+ 200", "verdict sur note"},
	} {
		var b bytes.Buffer
		u := &ui{out: &b, french: inFrench, sentences: french.New}
		u.readSince(nil)
		u.readSince(s)
		for _, w := range want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%q is missing in\n%s", w, b.String())
			}
		}
	}
}

package cli

import (
	"bytes"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/desk"
	"ecluse/internal/mandate"
)

// TestSinceIsShown: whoever approves a load plan sees what it changes and what the last
// one tried came to.
func TestSinceIsShown(t *testing.T) {
	t.Parallel()
	s := &desk.Since{
		Passage: ecluse.Passage{Kind: ecluse.Rehearsal, Number: 2}, RowsRead: 1200, RowsRejected: 31,
		Changes:  []mandate.Change{{Where: "patient → patient", What: "column sex", Before: "SEXE", After: "upper(SEXE)"}},
		Rejected: []ecluse.MaskedGroup{{Dataset: "patient", By: "no sex", Count: "<10"}},
	}
	for french, want := range map[bool][]string{
		false: {"1 changes since rehearsal 2", "column sex", "- SEXE", "+ upper(SEXE)", "31 put aside", "no sex"},
		true:  {"1 changements depuis migration à blanc 2", "column sex", "31 mises de côté", "<10"},
	} {
		var b bytes.Buffer
		u := &ui{out: &b, french: french}
		u.since(s)
		for _, w := range want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%q is missing in\n%s", w, b.String())
			}
		}
	}
	var b bytes.Buffer
	u := &ui{out: &b}
	u.since(nil)
	u.since(&desk.Since{SameMapping: true, Passage: ecluse.Passage{Kind: ecluse.Dry, Number: 1}})
	if got := b.String(); !strings.HasPrefix(got, "the same mapping as dry 1:") {
		t.Errorf("got %s", got)
	}
}

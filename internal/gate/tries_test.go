package gate

import (
	"testing"

	"ecluse"
	"ecluse/internal/sluice/reconcile"
)

// TestTries: what counts as a trial that a mapping passed.
func TestTries(t *testing.T) {
	for name, c := range map[string]struct {
		kind     ecluse.PassageKind
		unmapped []ecluse.DatasetID
		scant    []ecluse.DatasetID
		compared reconcile.Public
		want     bool
	}{
		"dry":                                    {ecluse.Dry, nil, nil, reconcile.Public{}, true},
		"dry, nothing came of a dataset":         {ecluse.Dry, []ecluse.DatasetID{"patient"}, nil, reconcile.Public{}, false},
		"dry, most of a dataset put aside":       {ecluse.Dry, nil, []ecluse.DatasetID{"patient"}, reconcile.Public{}, false},
		"dry, a figure differs":                  {ecluse.Dry, nil, nil, reconcile.Public{Checks: []reconcile.PublicCheck{{Name: "n", Lines: 1}, {Name: "m", Lines: 2, Off: 1}}}, false},
		"a rehearsal":                            {ecluse.Rehearsal, nil, nil, reconcile.Public{Equal: true, Checks: []reconcile.PublicCheck{{Name: "n", Lines: 1}}}, true},
		"a rehearsal that differs":               {ecluse.Rehearsal, nil, nil, reconcile.Public{}, false},
		"a rehearsal, nothing came of a dataset": {ecluse.Rehearsal, []ecluse.DatasetID{"patient"}, nil, reconcile.Public{Equal: true}, false},
		"final":                                  {ecluse.Final, nil, nil, reconcile.Public{Equal: true}, false},
	} {
		s := &LoadStatement{Passage: ecluse.Passage{Kind: c.kind, Number: 1}, Unmapped: c.unmapped, Scant: c.scant, Compared: &c.compared}
		if s.tries() != c.want {
			t.Errorf("%s: %v", name, s.tries())
		}
	}
}

package cli

import (
	"bytes"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/desk"
	"ecluse/internal/french"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/reconcile"
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
	for inFrench, want := range map[bool][]string{
		false: {"1 changes since rehearsal 2", "column sex", "- SEXE", "+ upper(SEXE)", "31 put aside", "no sex"},
		true:  {"1 changements depuis migration à blanc 2", "colonne sex", "31 mises de côté", "<10"},
	} {
		var b bytes.Buffer
		u := &ui{out: &b, french: inFrench, sentences: french.New}
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

// TestRenumberedIsShown: whose rows got other numbers, and from which chunk, in both
// languages, where a plan is approved, after a passage and in its report.
func TestRenumberedIsShown(t *testing.T) {
	t.Parallel()
	dry := ecluse.Passage{Kind: ecluse.Dry, Number: 1}
	moved := &ecluse.Renumbering{Since: dry, Tables: []ecluse.Renumbered{
		{Table: ecluse.TableName{Schema: "clinlims", Name: "result"}, Column: "id", From: ecluse.Slot{Dataset: "result", Sequence: 3, Version: 1}},
		{Table: ecluse.TableName{Schema: "clinlims", Name: "sample"}, Column: "id", From: ecluse.Slot{Dataset: "request"}, Base: true},
	}}
	load := &gate.LoadStatement{Passage: ecluse.Passage{Kind: ecluse.Dry, Number: 2}, Compared: &reconcile.Public{Renumbered: moved}}
	for name, show := range map[string]func(*ui){
		"approve": func(u *ui) { u.since(&desk.Since{Passage: load.Passage, Renumbered: moved}) },
		"apply":   func(u *ui) { u.applied(&desk.Applied{Passage: load.Passage, Load: load}) },
		"report":  func(u *ui) { u.report(load) },
	} {
		for inFrench, want := range map[bool][]string{
			false: {"! renumbered since dry 1: clinlims.result.id from chunk result/000003\n", "clinlims.sample.id from chunk request/000000 (the counter begins elsewhere)"},
			true:  {"! numéros changés depuis essai à vide 1 : clinlims.result.id à partir du paquet result/000003\n", "(le compteur part d'ailleurs)"},
		} {
			var b bytes.Buffer
			show(&ui{out: &b, french: inFrench, sentences: french.New})
			for _, w := range want {
				if !strings.Contains(b.String(), w) {
					t.Errorf("%s: %q is missing in\n%s", name, w, b.String())
				}
			}
		}
	}
	for want, s := range map[string]*desk.Since{
		"  the same numbers as in dry 1\n":                           {Renumbered: &ecluse.Renumbering{Since: dry}},
		"since dry 1, under the same mapping: ":                      {Renumbered: &ecluse.Renumbering{Since: dry, SameMapping: true, Tables: moved.Tables}},
		"the same numbers as in dry 2\n  ! renumbered since dry 1: ": {Renumbered: &ecluse.Renumbering{Since: load.Passage, Also: []ecluse.Renumbering{*moved}}},
		"whether rows are renumbered is not known":                   {Renumbered: &ecluse.Renumbering{Lost: true}},
		"under this mapping, its first passage says\n":               {Unnumbered: true},
	} {
		var b bytes.Buffer
		(&ui{out: &b, sentences: french.New}).since(s)
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

// TestDryIsShown: after a dry run, in its report and where the next plan is approved, it is
// said that nothing was written or read back, and what was compared.
func TestDryIsShown(t *testing.T) {
	t.Parallel()
	dry := ecluse.Passage{Kind: ecluse.Dry, Number: 1}
	load := func(checks ...reconcile.PublicCheck) *gate.LoadStatement {
		return &gate.LoadStatement{Passage: dry, Compared: &reconcile.Public{Checks: checks}}
	}
	equal, differs, none := reconcile.PublicCheck{Name: "n", Lines: 4}, reconcile.PublicCheck{Name: "m", Lines: 9, Off: 2}, reconcile.PublicCheck{Name: "k"}
	for _, c := range []struct {
		french bool
		show   func(*ui)
		want   []string
	}{
		{false, func(u *ui) { u.applied(&desk.Applied{Passage: dry, Load: load(equal, none)}) }, []string{"= dry run: nothing was written, nothing read back; of 2 checks 1 were counted on the rows as they would be written, and 0 differ\n"}},
		{false, func(u *ui) { u.applied(&desk.Applied{Passage: dry, Load: load()}) }, []string{"? dry run: nothing was written, nothing read back; of 0 checks 0 "}},
		{true, func(u *ui) { u.applied(&desk.Applied{Passage: dry, Load: load(equal, differs)}) }, []string{"≠ essai à vide : rien n'a été écrit ni relu ; sur 2 contrôles, 2 comptés sur les lignes telles qu'elles seraient écrites, dont 1 en écart\n"}},
		{false, func(u *ui) { u.report(load(equal, differs, none)) }, []string{
			"= check n: 4 figures, the source's and those of the rows as they would be written, 0 differ\n", "≠ check m: 9 figures", "? check k: nothing compared before rows are written", "≠ dry run: ",
		}},
		{false, func(u *ui) { u.since(&desk.Since{Passage: dry, Checks: 2, Differ: 1}) }, []string{"it was dry: nothing was written or read back; 2 checks were counted on the rows as they would be written, and 1 differ\n"}},
		{true, func(u *ui) { u.since(&desk.Since{Passage: dry}) }, []string{"c'était un essai à vide : rien n'a été écrit ni relu"}},
		{false, func(u *ui) {
			u.since(&desk.Since{Passage: ecluse.Passage{Kind: ecluse.Rehearsal, Number: 1}, Equal: true})
		}, []string{"read back and compared: equal\n"}},
	} {
		var b bytes.Buffer
		c.show(&ui{out: &b, french: c.french, sentences: french.New})
		for _, w := range c.want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%q is missing in\n%s", w, b.String())
			}
		}
	}
}

// TestKeptBackIsTold: a screen with counts that are kept back says what that is.
func TestKeptBackIsTold(t *testing.T) {
	t.Parallel()
	for count, want := range map[string]bool{"*": true, "<10": false} {
		var b strings.Builder
		(&ui{}).reportGroups(&b, "put aside", []ecluse.MaskedGroup{{Dataset: "patient", By: "no sex", Count: count}})
		if strings.Contains(b.String(), "kept back, small or not") != want {
			t.Errorf("%s:\n%s", count, b.String())
		}
	}
}

// TestSinceOnlyText: where mappings differ in nothing that a plan says, that is said.
func TestSinceOnlyText(t *testing.T) {
	t.Parallel()
	s := &desk.Since{
		Passage: ecluse.Passage{Kind: ecluse.Dry, Number: 1},
		Changes: []mandate.Change{{Where: "plan", What: mandate.ChangedText, Before: "sha256:aa", After: "sha256:bb"}},
	}
	for inFrench, want := range map[bool]string{false: "text differs from that of dry 1 and nothing", true: "ne montre en quoi"} {
		var b bytes.Buffer
		u := &ui{out: &b, french: inFrench, sentences: french.New}
		u.since(s)
		for _, w := range []string{want, "- sha256:aa", "+ sha256:bb"} {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%q is missing in\n%s", w, b.String())
			}
		}
	}
}

// TestSinceShare: which share of the rows the last trial put aside is told where a plan is
// approved, and of which datasets it was no trial.
func TestSinceShare(t *testing.T) {
	t.Parallel()
	s := &desk.Since{RowsRead: 2000, RowsLoaded: 1850, RowsRejected: 150, Unmapped: []ecluse.DatasetID{"visit"}, Scant: []ecluse.DatasetID{"patient"}}
	for inFrench, want := range map[bool][]string{
		false: {"150 put aside (7.5 %)", "no row of visit came to anything", "more than half the rows of patient were put aside"},
		true:  {"150 mises de côté (7.5 %)", "aucune ligne de visit", "plus de la moitié des lignes de patient"},
	} {
		var b bytes.Buffer
		(&ui{out: &b, french: inFrench, sentences: french.New}).since(s)
		for _, w := range want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%q is missing in\n%s", w, b.String())
			}
		}
	}
}

package evidence

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ecluse"
)

func testAct() *Act {
	return &Act{
		Migration: "tilleuls-2026", Side: ecluse.Controller, Person: "anne-martin", Role: ecluse.Signatory,
		Roster: ecluse.DigestOf([]byte("roster")), RosterNumber: 3,
		NotBefore: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), NotAfter: time.Date(2026, 11, 23, 21, 0, 0, 0, time.UTC),
		Nonce: "0123456789abcdef0123456789abcdef",
		Clauses: []Clause{
			{VerbSign, KindInstruction, ecluse.DigestOf([]byte("instruction"))},
			{VerbApprove, KindReadPlan, ecluse.DigestOf([]byte("plan"))},
		},
	}
}

func TestActText(t *testing.T) {
	want := `ecluse act/v1
migration tilleuls-2026
side controller
person anne-martin
role signatory
roster 3 ` + ecluse.DigestOf([]byte("roster")).String() + `
not-before 2026-11-23T09:00:00Z
not-after 2026-11-23T21:00:00Z
nonce 0123456789abcdef0123456789abcdef
sign instruction ` + ecluse.DigestOf([]byte("instruction")).String() + `
approve readplan ` + ecluse.DigestOf([]byte("plan")).String() + "\n"
	if diff := cmp.Diff(want, string(testAct().Text())); diff != "" {
		t.Error(diff)
	}
}

func TestActRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := testAct()
		a.Person = rapid.StringMatching(`[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8}){0,2}`).Draw(t, "person")
		a.RosterNumber = rapid.IntRange(1, 1e9).Draw(t, "number")
		a.NotBefore = time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "from"), 0).UTC()
		a.NotAfter = a.NotBefore.Add(time.Duration(rapid.Int64Range(1, 1<<20).Draw(t, "for")) * time.Second)
		a.Clauses = nil
		for i := range rapid.IntRange(1, MaxClauses).Draw(t, "clauses") {
			verb := rapid.SampledFrom(Verbs()).Draw(t, "verb")
			a.Clauses = append(a.Clauses, Clause{verb, KindMapping, ecluse.DigestOf([]byte{byte(i)})})
		}
		got, err := ParseAct(a.Text())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestActContractBeforeMigration(t *testing.T) {
	a := testAct()
	a.Migration = ""
	if err := a.Check(); err == nil {
		t.Error("an instruction is signed outside any migration")
	}
	a.Clauses = []Clause{{VerbSign, KindContract, ecluse.DigestOf([]byte("contract"))}}
	got, err := ParseAct(a.Text())
	if err != nil || got.Migration != "" {
		t.Errorf("got %v, %v", got, err)
	}
}

// A gate serves every migration: acts on one are made outside them all, and may
// be about both gates, or about contracts too.
func TestActGate(t *testing.T) {
	a := testAct()
	a.Migration = ""
	a.Clauses = []Clause{
		{VerbSign, KindGate, ecluse.DigestOf([]byte("source"))},
		{VerbRefuse, KindGate, ecluse.DigestOf([]byte("target"))},
		{VerbSign, KindContract, ecluse.DigestOf([]byte("contract"))},
	}
	got, err := ParseAct(a.Text())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, got); diff != "" {
		t.Error(diff)
	}
	a.Clauses = append(a.Clauses, Clause{VerbSign, KindMapping, ecluse.DigestOf([]byte("mapping"))})
	if err := a.Check(); ecluse.KindOf(err) != ecluse.Invalid || err == nil {
		t.Errorf("a mapping is signed outside any migration: %v", err)
	}
	a.Migration = "tilleuls-2026"
	if err := a.Check(); err == nil || !strings.Contains(err.Error(), "an act on a gate names no migration") {
		t.Errorf("a gate is confirmed inside a migration: %v", err)
	}
}

func TestParseActRefuses(t *testing.T) {
	good := string(testAct().Text())
	for name, edit := range map[string][2]string{
		"format":           {"act/v1", "act/v2"},
		"migration":        {"tilleuls-2026", "Tilleuls"},
		"side":             {"side controller", "side judge"},
		"person":           {"anne-martin", "anne martin"},
		"role":             {"signatory", "king"},
		"roster number":    {"roster 3", "roster 0"},
		"number's form":    {"roster 3", "roster +3"},
		"missing line":     {"nonce 0123456789abcdef0123456789abcdef\n", ""},
		"time's form":      {"09:00:00Z", "09:00:00+00:00"},
		"order of times":   {"09:00:00Z", "22:00:00Z"},
		"nonce":            {"nonce 0", "nonce g"},
		"verb":             {"approve", "like"},
		"kind":             {"readplan", "read plan"},
		"digest":           {"readplan sha256:", "readplan md5:"},
		"space":            {"approve readplan", "approve  readplan"},
		"no final newline": {ecluse.DigestOf([]byte("plan")).String() + "\n", ecluse.DigestOf([]byte("plan")).String()},
		"blank line":       {"sign instruction", "\nsign instruction"},
		"said twice":       {"approve readplan " + ecluse.DigestOf([]byte("plan")).String(), "refuse instruction " + ecluse.DigestOf([]byte("instruction")).String()},
	} {
		text := strings.Replace(good, edit[0], edit[1], 1)
		if text == good {
			t.Errorf("%s: edit changes nothing", name)
		}
		if _, err := ParseAct([]byte(text)); ecluse.KindOf(err) != ecluse.Invalid || err == nil {
			t.Errorf("%s: got %v, want invalid", name, err)
		}
	}
	a := testAct()
	for i := range MaxClauses {
		a.Clauses = append(a.Clauses, Clause{VerbSign, KindMapping, ecluse.DigestOf([]byte{byte(i)})})
	}
	if _, err := ParseAct(a.Text()); err == nil {
		t.Error("34 clauses are accepted")
	}
}

func FuzzParseAct(f *testing.F) {
	f.Add(testAct().Text())
	f.Add([]byte(actFormat + "\nmigration -\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := ParseAct(text)
		if err == nil && !bytes.Equal(a.Text(), text) {
			t.Errorf("parsed another text than the act's own")
		}
	})
}

package demo

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"testing"

	_ "modernc.org/sqlite" // to change what the demonstration loads

	"ecluse/evidence"
	"ecluse/internal/procedure"
)

// play runs a demonstration in which something is done beside it at one step.
func play(t *testing.T, at int, beside func(dir string)) (*Outcome, []Scene) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "demo")
	var scenes []Scene
	v, err := Run(t.Context(), Request{Patients: 20, Dir: dir, Program: binary, Tell: func(s Scene) {
		scenes = append(scenes, s)
		if s.Number == at && beside != nil {
			beside(dir)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return v, scenes
}

// TestDemoTellsThirteen: each step of the procedure is told once, in its order,
// under its own name. The two gates are told of from within, or, when they were
// done before that was seen, right after: gates do not wait for who looks on.
func TestDemoTellsThirteen(t *testing.T) {
	v, scenes := play(t, 0, nil)
	if !v.OK() || v.FilesLeft != 0 || v.CanariesFound != 0 || v.Verdict != evidence.VerdictOK {
		t.Errorf("it went wrong: %+v", v)
	}
	var told []int
	for _, s := range scenes {
		told = append(told, s.Number)
		if len(s.Lines) == 0 {
			t.Errorf("step %d says nothing", s.Number)
		}
		switch {
		case s.Number == 7 && s.Place.Migration != procedure.Reading && s.Place.Migration != procedure.Sealed:
			t.Errorf("step 7 is told when the migration is %s, not from within the reading", s.Place.Migration)
		case s.Number == 9 && !slices.Contains([]procedure.State{procedure.Loading, procedure.Loaded, procedure.Compared}, s.Place.Passage):
			t.Errorf("step 9 is told when the passage is %s, not from within the loading", s.Place.Passage)
		}
	}
	want := []int{0}
	for _, s := range procedure.Steps() {
		want = append(want, s.Number)
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %v, want %v", told, want)
	}
}

// TestDemoGoesWrong: what is not as it should be is found and makes the whole
// demonstration wrong.
func TestDemoGoesWrong(t *testing.T) {
	write := func(dir, name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	for name, tc := range map[string]struct {
		at     int
		beside func(dir string)
		found  func(v *Outcome) bool
	}{
		"what must not travel is in a file": {8, func(dir string) { write(dir, "leak.txt", canary) }, func(v *Outcome) bool { return v.Erased && v.CanariesFound == 1 }},
		"a key is left": {11, func(dir string) {
			if err := os.MkdirAll(filepath.Join(dir, "room", "target", "migrations", "another"), 0o700); err != nil {
				t.Error(err)
			}
			write(dir, "room/target/migrations/another/secret", "half a key")
		}, func(v *Outcome) bool { return !v.Erased && v.FilesLeft == 1 }},
		"rows are altered as they are loaded": {8, func(dir string) {
			db, err := sql.Open("sqlite", filepath.Join(dir, "novalab.db"))
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			_, err = db.ExecContext(context.Background(), "CREATE TRIGGER alter_them AFTER INSERT ON patient BEGIN UPDATE patient SET family_name = 'x' WHERE rowid = new.rowid; END")
			if err != nil {
				t.Error(err)
			}
		}, func(v *Outcome) bool { return !v.Reconciled && !v.Erased && v.Verdict == "" }},
	} {
		t.Run(name, func(t *testing.T) {
			v, _ := play(t, tc.at, tc.beside)
			if v.OK() || !tc.found(v) {
				t.Errorf("the demonstration says: %+v", v)
			}
		})
	}
}

// TestOutcome: each thing that can go wrong is enough.
func TestOutcome(t *testing.T) {
	good := Outcome{Reconciled: true, Erased: true, Verdict: evidence.VerdictOK}
	if !good.OK() {
		t.Fatal("a good demonstration is not OK")
	}
	for what, spoil := range map[string]func(*Outcome){
		"not reconciled": func(o *Outcome) { o.Reconciled = false },
		"not erased":     func(o *Outcome) { o.Erased = false },
		"evidence KO":    func(o *Outcome) { o.Verdict = evidence.VerdictKO },
		"not anchored":   func(o *Outcome) { o.Verdict = evidence.VerdictNotAnchored },
		"a canary":       func(o *Outcome) { o.CanariesFound = 1 },
	} {
		o := good
		if spoil(&o); o.OK() {
			t.Errorf("%s, and it is OK", what)
		}
	}
}

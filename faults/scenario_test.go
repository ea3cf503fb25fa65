//go:build linux && amd64

package faults

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/exchange"
	"ecluse/internal/procedure"
)

// scenario is what somebody is about while one thing goes wrong.
type scenario struct {
	name   string
	weight int
	from   []string // stages; one is drawn
}

// The scenarios, by name.
const (
	passage = "passage"
	catchUp = "catch-up"
	undo    = "undo"
)

// scenarios are all, as often as they are drawn.
func scenarios() []scenario {
	return []scenario{
		{name: passage, weight: 6, from: []string{approved, approved, approved, approved, loaded, accepted}},
		{name: catchUp, weight: 2, from: []string{changed}},
		{name: undo, weight: 2, from: []string{rehearsed, rehearsed, compared, caughtUp, begun, givenUp}},
	}
}

// scenariosOf are those with a word in their name, or of which a stage has it: these stages alone.
func scenariosOf(word string) []scenario {
	var some []scenario
	for _, s := range scenarios() {
		if !strings.Contains(s.name, word) {
			s.from = slices.DeleteFunc(s.from, func(stage string) bool { return !strings.Contains(stage, word) })
		}
		if len(s.from) > 0 {
			some = append(some, s)
		}
	}
	return some
}

// changes is what happens in the old laboratory after it was read: rows of every dataset
// come, change and go, stand elsewhere than before, and are put aside.
func changes(c roomtest.Canaries) []string {
	return []string{
		"INSERT INTO PATIENT (NUMPAT, NOM, PRENOM, SEXE, DATNAIS, DERNVIS, ADRESSE) VALUES (900001, '" + c.Moved + "', '" + c.Moved + "', 'F', '03/02/1970', 20200101, '" + c.Refused + "')",
		"INSERT INTO DEMANDE (NUMDEM, NUMPAT, CODPRESC, SAISIE, PRELEVE, COMMENTAIRE) SELECT 900001, 900001, CODPRESC, SAISIE, PRELEVE, '" + c.Refused +
			"' FROM DEMANDE WHERE SAISIE BETWEEN 20150101 AND 20201031 AND CODPRESC IS NOT NULL LIMIT 1",
		"INSERT INTO RESULTAT (NUMRES, NUMDEM, CODE, VALEUR, UNITE, VALIDE) SELECT 900001, 900001, CODE, VALEUR, UNITE, VALIDE FROM RESULTAT WHERE VALEUR LIKE '%,%' LIMIT 1",
		"UPDATE PATIENT SET NOM = 'X' || NOM WHERE NUMPAT % 29 = 3 AND DERNVIS >= 20150101",
		"UPDATE RESULTAT SET VALEUR = '7,77' WHERE NUMRES % 71 = 5 AND VALEUR LIKE '%,%'",
		"UPDATE RESULTAT SET CODE = 'INCONNU' WHERE NUMRES % 103 = 7",
		"DELETE FROM RESULTAT WHERE NUMRES % 107 = 11",
		"DELETE FROM RESULTAT WHERE NUMDEM IN (SELECT NUMDEM FROM DEMANDE WHERE NUMDEM % 41 = 9)",
		"DELETE FROM DEMANDE WHERE NUMDEM % 41 = 9",
		"UPDATE PATIENT SET NUMPAT = NUMPAT + 500000 WHERE NUMPAT % 37 = 1",
		"UPDATE DEMANDE SET NUMPAT = NUMPAT + 500000 WHERE NUMPAT % 37 = 1",
		"VACUUM",
	}
}

// before is what stands in both targets already, nobody's of the old laboratory.
func before(d *roomtest.Dir) {
	for _, base := range []string{"novalab.db", roomtest.TestBase} {
		d.Exec(base, "INSERT INTO prescriber (id, code, name) VALUES (970001, 'Z1', 'Dr Avant'), (970002, 'Z2', 'Dr Avant'), (970003, 'Z3', 'Dr Ici')", "PRAGMA wal_checkpoint(TRUNCATE)")
	}
}

// next does what is particular to a scenario at a place, and tells whether there was
// something. Where an undoing has ended it is looked at what that left.
func (r *room) next(ctx context.Context, v *exchange.Status) bool {
	p := v.Place
	switch {
	case r.stage.breaksOff != nil && !r.brokeOff && (p.Passage == procedure.LoadApproved || p.Passage == procedure.Compared):
		r.brokeOff = true
		r.runFor(ctx, r.patience, r.stage.breaksOff...)
	case r.brokeOff && v.Passage == r.stage.undoes && p.Passage == procedure.Loading:
		r.run(ctx, "undo", "--because", "the night is too short", "--as", r.Join("keys", r.signatory))
	case r.stage.catchesUp(v):
		r.run(ctx, "apply", "--catch-up")
	case r.stage.undoes == "":
		return false
	case v.Passage == r.stage.undoes && p.Passage == procedure.Compared && p.Kind == ecluse.Rehearsal:
		r.run(ctx, "undo", "--as", r.Join("keys", r.operator))
	case v.Passage == r.stage.undoes && p.Passage == procedure.Compared:
		r.run(ctx, "no-go", "--because", "the label printers do not answer", "--undo", "--as", r.Join("keys", r.signatory))
	case p.Passage == procedure.Declined:
		r.run(ctx, "undo", "--as", r.Join("keys", r.signatory))
	case p.Passage == procedure.Undoing:
		r.run(ctx, "undo")
	case p.Passage == procedure.Undone:
		if r.looksUndone(ctx) {
			r.run(ctx, "plan", "--passage", "final")
		}
	case p.Passage == procedure.LoadPlanned:
		if _, code := r.run(ctx, "approve", r.Join(r.plans, r.migration+"-loadplan-final.json"), "--as", r.Join("keys", r.signatory)); code != 0 {
			r.run(ctx, "plan", "--passage", "final") // the file may not have come to be
		}
	default:
		return false
	}
	return true
}

// whole tells whether a scenario is about all that is left, to the end.
func (s *stage) whole() bool { return s.undoes == "" && s.readings == 0 }

// endsAs is the stage whose end is that of the room: of a later reading that was given up
// nothing comes in.
func (r *room) endsAs() *stage {
	if r.stage.early != nil && r.readings < 2 {
		return r.stage.early
	}
	return r.stage
}

// runFor runs a command that somebody breaks off after a while; the gates go on.
func (r *room) runFor(ctx context.Context, while time.Duration, args ...string) {
	begun := time.Now()
	t := time.AfterFunc(while, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.current != nil {
			_ = r.current.Kill()
		}
	})
	defer t.Stop()
	if _, code := r.run(ctx, args...); code != 0 && time.Since(begun) >= while {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.killed = max(0, r.killed-1) // that was no fault
	}
}

// catchesUp tells whether the passage at a stage is still to be brought up to what changed.
func (s *stage) catchesUp(v *exchange.Status) bool {
	if s.readings == 0 || v.Readings == nil {
		return false
	}
	return v.Place.Passage == procedure.Compared && v.Readings.Closed < s.readings || v.Place.Passage == procedure.Loading
}

// reached tells whether what a scenario is about is over.
func (s *stage) reached(v *exchange.Status) bool {
	switch {
	case s.undoes != "":
		return v.Place.Passage == procedure.Undone
	case s.readings > 0:
		return v.Place.Passage == procedure.Compared && v.Readings != nil && v.Readings.Closed >= s.readings
	}
	return false
}

// looksUndone looks at the target once a passage is said to be out of it: the rows that
// were there before, no other, and no mark. It tells whether it could look.
func (r *room) looksUndone(ctx context.Context) bool {
	bare, err := r.bareFacts(r)
	var marks []string
	if err == nil {
		marks, err = r.site.marks(r)
	}
	if err != nil {
		r.Logf("the target cannot be read now: %v", err)
		wait(ctx, 200*time.Millisecond)
		return false
	}
	if err := wrongUndone(bare, r.stage.bare, marks); err != nil {
		r.Error(err)
	}
	r.undone = true
	return true
}

// wrongUndone tells what is wrong with a target out of which a passage was taken.
func wrongUndone(facts, bare string, marks []string) error {
	switch {
	case facts != bare:
		return errors.New("undone, the target does not hold what it held before")
	case len(marks) > 0:
		return fmt.Errorf("undone, the target still has the marks %v", marks)
	}
	return nil
}

// others makes the stages from which a passage is caught up with, or undone.
func (w *world) others(t *testing.T, patients int) {
	t.Helper()
	d := roomtest.CatchingUp(t, roomtest.Ready, patients, 1)
	c := d.Plant()
	before(d)
	w.from(t, d, c, func(r *room, keep func(*stage)) {
		keep(&stage{name: begun, undoes: "final-1", breaksOff: []string{"apply"}})
		r.step(t.Context())
		keep(&stage{name: compared, undoes: "final-1"})
		r.Exec("ancilab.db", changes(c)...)
		keep(&stage{name: changed, readings: 2})
		keep(&stage{name: givenUp, undoes: "final-1", breaksOff: []string{"apply", "--catch-up"}, early: w.stages[compared]})
		r.run(t.Context(), "apply", "--catch-up")
		keep(&stage{name: caughtUp, undoes: "final-1"})
	})
	d = roomtest.Trying(t, roomtest.Approved, patients)
	c = d.Plant()
	before(d)
	w.from(t, d, c, func(r *room, keep func(*stage)) {
		r.run(t.Context(), "plan", "--passage", "rehearsal")
		r.run(t.Context(), "approve", r.Join(r.plans, r.migration+"-loadplan-rehearsal.json"), "--as", r.Join("keys", r.operator))
		r.run(t.Context(), "apply", "--rehearsal")
		keep(&stage{name: rehearsed, undoes: "rehearsal-1"})
	})
}

// from makes stages of a room that goes on.
func (w *world) from(t *testing.T, d *roomtest.Dir, c roomtest.Canaries, going func(r *room, keep func(*stage))) {
	t.Helper()
	s := demonstration(c)
	r := newRoom(t, &stage{site: s, path: d.Path}, roomtest.Temp(t))
	bare, err := s.bareFacts(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.up(t.Context()); err != nil {
		t.Fatal(err)
	}
	going(r, func(x *stage) {
		if trouble := r.trouble(); trouble > 0 {
			t.Fatalf("%s: %v %v", x.name, r.errors, r.unclear)
		}
		r.down()
		x.site, x.path, x.bare = s, filepath.Join(roomtest.Temp(t), x.name), bare
		copyOf(t, r.Path, x.path)
		w.stages[x.name] = x
		if err := r.up(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	r.down()
}

// measured lets all rooms go to their end, some beside others as in a campaign.
func (w *world) measured(t *testing.T) *world {
	t.Helper()
	t.Run("nothing goes wrong", func(t *testing.T) {
		for _, s := range w.stages {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				w.measure(t, s)
			})
		}
	})
	// Acceptance takes the marks away: of a room that is accepted nobody sees them.
	a, l := w.stages[approved], w.stages[loaded]
	if t.Failed() || a.facts != l.facts || a.facts != w.stages[accepted].facts || wrongMarks(a.marks, l.marks) != nil {
		t.Fatal("rooms from different stages end differently, and nothing went wrong")
	}
	return w
}

package app_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
)

// TestLoadedAfterALiveOne: what was said go of and undone is over: another final passage
// loads, is said go of and accepted.
func TestLoadedAfterALiveOne(t *testing.T) {
	t.Parallel()
	d := roomtest.Twice(t, roomtest.Loaded, 40)
	r := d.Open()
	defer r.Close()
	goes := func() {
		t.Helper()
		if _, err := r.Go(t.Context(), desk.GoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
			t.Fatal(err)
		}
		seesGo(t, r)
	}
	goes()
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire), Because: "results are printed twice"}); err != nil {
		t.Fatal(err)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	if v := apply(t, r, ecluse.Final); !v.Reconciled || v.Passage.Number != 2 {
		t.Fatalf("%+v", v)
	}
	goes()
	accepted(t, d, r)
}

// seesGo has the target gate look what was said.
func seesGo(t *testing.T, r *app.Room) {
	t.Helper()
	look := exchange.Work{Verb: exchange.Look, Migration: roomtest.Migration}
	if _, err := r.HomeOf(exchange.TargetPlace).Work(t.Context(), r.Seat(exchange.TargetPlace), look, exchange.TargetPlace); err != nil {
		t.Fatal(err)
	}
}

// withoutGo is the case without what was said go of.
func withoutGo(c *exchange.Case) {
	c.Acts = slices.DeleteFunc(slices.Clone(c.Acts), func(s evidence.Signed) bool { return strings.Contains(string(s.Body), "\ngo report") })
}

// TestOlderRefusalAndHiddenGo: a lock that hides a go and shows a refusal of the plan from
// before it, or from before the passage began, has nothing taken out.
func TestOlderRefusalAndHiddenGo(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		person string
		role   ecluse.Role
		goes   bool
	}{"before the go": {roomtest.Claire, ecluse.Signatory, true}, "before it began": {roomtest.Marc, ecluse.Operator, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := roomtest.Twice(t, roomtest.Ready, 40)
			r := d.Open()
			defer r.Close()
			c, err := r.Seat(exchange.TargetPlace).Case(t.Context(), roomtest.Migration, ecluse.Final)
			if err != nil {
				t.Fatal(err)
			}
			at := time.Now()
			before := ordered(t, d, c, x.person, x.person, x.role, roomtest.Migration,
				evidence.Clause{Verb: evidence.VerbRefuse, Kind: evidence.KindLoadPlan, Subject: ecluse.DigestOf(c.LoadPlan)}, at)
			time.Sleep(time.Until(at.Truncate(time.Second).Add(time.Second)))
			apply(t, r, ecluse.Final)
			if x.goes {
				if _, err := r.Go(t.Context(), desk.GoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
					t.Fatal(err)
				}
				seesGo(t, r)
			}
			_, rows := d.Facts()
			source, target := gates(t, d, &lying{Lock: r.Seat(exchange.TargetPlace), change: func(c *exchange.Case) {
				withoutGo(c)
				c.Acts = append(c.Acts, before)
			}})
			defer source.Close()
			defer target.Close()
			_, err = target.Undo(t.Context(), roomtest.Migration, ecluse.Passage{Kind: ecluse.Final, Number: 1}, nil)
			wantError(t, err, ecluse.Refused)
			if _, left := d.Facts(); left != rows {
				t.Errorf("%d rows of %d are left", left, rows)
			}
		})
	}
}

// TestHiddenGoLeavesWhatPeopleChanged: of a table that did not stand as it was loaded, too,
// what people changed since a go stays, whether the lock still shows the go or not.
func TestHiddenGoLeavesWhatPeopleChanged(t *testing.T) {
	t.Parallel()
	for _, hidden := range []bool{false, true} {
		d := roomtest.At(t, roomtest.Sealed, 40)
		d.Exec("novalab.db", `CREATE TRIGGER tamper AFTER INSERT ON patient WHEN new.id % 7 = 3 BEGIN
			UPDATE patient SET family_name = upper(family_name) || ' ' WHERE id = new.id; END`)
		r := d.Open()
		apply(t, r, ecluse.Final)
		if _, err := r.Go(t.Context(), desk.GoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
			t.Fatal(err)
		}
		seesGo(t, r)
		d.Exec("novalab.db", "UPDATE patient SET given_name = 'PEOPLE-CHANGED' WHERE id % 7 = 4")
		edited := d.Query("novalab.db", "SELECT id FROM patient WHERE given_name = 'PEOPLE-CHANGED' ORDER BY id")
		c, err := r.Seat(exchange.TargetPlace).Case(t.Context(), roomtest.Migration, ecluse.Final)
		if err != nil {
			t.Fatal(err)
		}
		page, err := r.HomeOf(exchange.TargetPlace).Entry(roomtest.Migration)
		if err != nil {
			t.Fatal(err)
		}
		order := ordered(t, d, c, roomtest.Claire, roomtest.Claire, ecluse.Signatory, roomtest.Migration,
			evidence.Clause{Verb: evidence.VerbRefuse, Kind: evidence.KindReport, Subject: page.Compared["final-1"].Reports[0]}, time.Now())
		source, target := gates(t, d, &lying{Lock: silent{r.Seat(exchange.TargetPlace)}, change: func(c *exchange.Case) {
			if hidden {
				withoutGo(c)
			}
			c.Acts = append(c.Acts, order)
		}})
		if _, err = target.Undo(t.Context(), roomtest.Migration, ecluse.Passage{Kind: ecluse.Final, Number: 1}, nil); err != nil {
			t.Fatal(err)
		}
		if got := d.Query("novalab.db", "SELECT id FROM patient WHERE given_name = 'PEOPLE-CHANGED' ORDER BY id"); len(edited) == 0 || !slices.Equal(got, edited) {
			t.Errorf("go hidden %t: of %d rows that people changed %d are left", hidden, len(edited), len(got))
		}
		for _, c := range []interface{ Close() error }{source, target, r} {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

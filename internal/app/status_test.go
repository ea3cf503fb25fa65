package app_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/procedure"
)

// reachable are the places that a migration can come to by what the command line
// does.
func reachable() []procedure.Place {
	seen := map[procedure.Place]bool{}
	var all []procedure.Place
	var visit func(procedure.Place)
	visit = func(p procedure.Place) {
		if seen[p] {
			return
		}
		seen[p] = true
		all = append(all, p)
		for _, o := range procedure.Options(p) {
			if o.Verb == procedure.PlanLoad && p.Kind == "" { // a plan is of a kind
				continue
			}
			for _, a := range o.By {
				if next, err := procedure.Next(p, o.Verb, a); err == nil {
					visit(next)
				}
			}
		}
		if p.Passage == procedure.None || p.Passage == procedure.Undone { // what is planned next
			for _, k := range []ecluse.PassageKind{ecluse.Dry, ecluse.Rehearsal, ecluse.Final} {
				other := p
				other.Kind = k
				visit(other)
			}
		}
	}
	visit(procedure.Start())
	return all
}

// TestEveryStateGoesOn: wherever a migration stands, short of its end, somebody
// can do something next, and the command is there to copy.
func TestEveryStateGoesOn(t *testing.T) {
	t.Parallel()
	r := roomtest.At(t, roomtest.Made, 3).Open()
	migrations, passages := map[procedure.State]bool{}, map[procedure.State]bool{}
	for _, p := range reachable() {
		if p.Migration == procedure.None || p.Migration == procedure.Closed {
			continue
		}
		migrations[p.Migration], passages[p.Passage] = true, true
		for _, equal := range []bool{true, false} {
			next := r.NextAt(p, equal)
			if len(next) == 0 {
				t.Errorf("nothing is next at %+v, equal %v", p, equal)
			}
			for _, n := range next {
				if n.Command == "" || len(n.By) == 0 {
					t.Errorf("at %+v: %+v", p, n)
				}
				for _, a := range n.By {
					if _, err := procedure.Next(p, n.Verb, a); err != nil {
						t.Errorf("at %+v it waits for %s to %s, which is refused: %v", p, a, n.Verb, err)
					}
				}
				if n.Verb == procedure.Accept && !equal {
					t.Errorf("at %+v it proposes to accept what differs", p)
				}
			}
		}
	}
	for _, s := range procedure.Migrations() {
		if s != procedure.None && s != procedure.Closed && !migrations[s] {
			t.Errorf("no migration was %s", s)
		}
	}
	for _, s := range procedure.Passages() {
		if !passages[s] {
			t.Errorf("no passage was %s", s)
		}
	}
}

// TestNext: what is next where a passage has come to something.
func TestNext(t *testing.T) {
	t.Parallel()
	r := roomtest.At(t, roomtest.Made, 3).Open()
	at := func(m, p procedure.State) procedure.Place {
		return procedure.Place{Migration: m, Passage: p, Kind: ecluse.Final}
	}
	held := at(procedure.Sealed, procedure.Compared)
	held.Objected.Processor = true
	for name, tc := range map[string]struct {
		place procedure.Place
		equal bool
		aside []string
		want  []string
	}{
		"equal":             {at(procedure.Sealed, procedure.Compared), true, nil, []string{"ecluse report -m a-migration && ecluse accept -m a-migration --as KEY"}},
		"rows put aside":    {at(procedure.Sealed, procedure.Compared), true, []string{"no unit", "it's odd"}, []string{`ecluse report -m a-migration && ecluse accept -m a-migration --reject 'no unit=…' --reject 'it'\''s odd=…' --as KEY`}},
		"for many reasons":  {at(procedure.Sealed, procedure.Compared), true, []string{"a", "b", "c", "d"}, []string{"ecluse report -m a-migration && ecluse accept -m a-migration --all '…' --as KEY"}},
		"different":         {at(procedure.Sealed, procedure.Compared), false, nil, []string{"ecluse report -m a-migration && ecluse undo -m a-migration --as KEY"}},
		"loading":           {at(procedure.Sealed, procedure.Loading), false, nil, []string{"ecluse apply -m a-migration"}},
		"undoing":           {at(procedure.Sealed, procedure.Undoing), false, nil, []string{"ecluse undo -m a-migration"}},
		"undone":            {at(procedure.Sealed, procedure.Undone), false, nil, []string{"ecluse plan --passage dry -m a-migration"}},
		"erasing, undoing":  {at(procedure.Erasing, procedure.Undoing), false, nil, []string{"ecluse due"}},
		"erasing, loaded":   {at(procedure.Erasing, procedure.Compared), false, nil, []string{"ecluse due"}},
		"erasing":           {at(procedure.Erasing, procedure.Accepted), false, nil, []string{"ecluse due"}},
		"accepted":          {at(procedure.Accepted, procedure.Accepted), false, nil, []string{"ecluse due"}},
		"held by one party": {held, true, nil, []string{"ecluse resume -m a-migration --because … --as KEY"}},
	} {
		var got []string
		for _, n := range r.NextAt(tc.place, tc.equal, tc.aside...) {
			got = append(got, n.Command)
			if n.Verb == procedure.Resume && !slices.Equal(n.By, []procedure.Actor{procedure.Person(ecluse.Processor, ecluse.Signatory)}) {
				t.Errorf("%s: it waits for %v", name, n.By)
			}
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// TestStatusAfterDifference: what differs is proposed to be undone, not accepted;
// an undoing that was interrupted goes on with nobody's key.
func TestStatusAfterDifference(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 40)
	r := d.Open()
	before, _ := d.Facts()
	d.Exec("novalab.db", "CREATE TRIGGER alter_them AFTER INSERT ON patient BEGIN UPDATE patient SET family_name = 'x' WHERE rowid = new.rowid; END")
	if v, err := r.Apply(t.Context(), app.ApplyRequest{Passage: ecluse.Final}); err != nil || v.Reconciled {
		t.Fatalf("want a difference: %+v, %v", v, err)
	}
	next := func() string {
		t.Helper()
		s, err := r.Waits(t.Context(), roomtest.Migration)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := next(); !strings.HasSuffix(s, "&& ecluse undo -m quatre-vents-01 --as KEY") {
		t.Errorf("next: %s", s)
	}
	_, err := r.Undo(t.Context(), app.UndoRequest{})
	wantError(t, err, ecluse.WaitsForSign)

	away := d.Join("elsewhere.db")
	move(t, d.Join("novalab.db"), away)
	if _, err := r.Undo(t.Context(), app.UndoRequest{Key: d.Key(roomtest.Marc)}); err == nil {
		t.Fatal("undone without the target")
	}
	move(t, away, d.Join("novalab.db"))
	r = d.Open()
	if s := next(); s != "ecluse undo -m quatre-vents-01" {
		t.Errorf("next while undoing: %s", s)
	}
	if _, err := r.Undo(t.Context(), app.UndoRequest{}); err != nil {
		t.Fatal(err)
	}
	if after, _ := d.Facts(); after != before {
		t.Error("the target does not stand as before")
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// TestNextMapping: a mapping is asked for until one is signed for the instruction.
func TestNextMapping(t *testing.T) {
	t.Parallel()
	for stage, want := range map[roomtest.Stage]string{
		roomtest.Approved: "ecluse plan --passage dry -m quatre-vents-01", roomtest.Sealed: "ecluse apply -m quatre-vents-01",
	} {
		d := roomtest.At(t, stage, 3)
		r := d.Open()
		if s, err := r.Waits(t.Context(), roomtest.Migration); err != nil || s != want {
			t.Errorf("stage %d: next %q, %v, want %q", stage, s, err, want)
		}
		if _, err := r.Object(t.Context(), app.Order{Because: "a question", Key: d.Key(roomtest.Helene)}); err != nil {
			t.Fatal(err)
		}
		if s, err := r.Waits(t.Context(), roomtest.Migration); err != nil || !strings.HasPrefix(s, "ecluse resume ") {
			t.Errorf("stage %d, held: next %q, %v", stage, s, err)
		}
	}
}

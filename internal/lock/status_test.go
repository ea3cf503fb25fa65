package lock_test

import (
	"slices"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/lock"
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
	migrations, passages := map[procedure.State]bool{}, map[procedure.State]bool{}
	for _, p := range reachable() {
		if p.Migration == procedure.None || p.Migration == procedure.Closed {
			continue
		}
		migrations[p.Migration], passages[p.Passage] = true, true
		for _, equal := range []bool{true, false} {
			next := lock.NextAt(p, equal)
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
				if n.Verb == procedure.Accept && !equal && !strings.Contains(n.Command, "--reserve") {
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
		"equal":             {at(procedure.Sealed, procedure.Compared), true, nil, []string{"ecluse report -m a-migration && ecluse go -m a-migration --as KEY", "ecluse report -m a-migration && ecluse accept -m a-migration --as KEY"}},
		"rows put aside":    {at(procedure.Sealed, procedure.Compared), true, []string{"no unit", "it's odd"}, []string{"ecluse report -m a-migration && ecluse go -m a-migration --as KEY", `ecluse report -m a-migration && ecluse accept -m a-migration --reject 'no unit=…' --reject 'it'\''s odd=…' --as KEY`}},
		"for many reasons":  {at(procedure.Sealed, procedure.Compared), true, []string{"a", "b", "c", "d"}, []string{"ecluse report -m a-migration && ecluse go -m a-migration --as KEY", "ecluse report -m a-migration && ecluse accept -m a-migration --all '…' --as KEY"}},
		"different":         {at(procedure.Sealed, procedure.Compared), false, nil, []string{"ecluse report -m a-migration && ecluse undo -m a-migration --as KEY"}},
		"live":              {at(procedure.Sealed, procedure.Live), true, nil, []string{"ecluse report -m a-migration && ecluse accept -m a-migration --as KEY"}},
		"live, different":   {at(procedure.Sealed, procedure.Live), false, nil, []string{"ecluse report -m a-migration && ecluse accept -m a-migration --reserve '…' --as KEY"}},
		"declined":          {at(procedure.Sealed, procedure.Declined), true, nil, []string{"ecluse undo -m a-migration --as KEY"}},
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
		for _, n := range lock.NextAt(tc.place, tc.equal, tc.aside...) {
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

package app_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
)

// TestRenumberedIsTold: a correction that puts fewer rows aside names, in the signed
// report and where the next plan is approved, the table whose rows got other numbers and
// from which chunk. One that changes values alone names none, dry, in rehearsal or at last, and neither does a passage that goes on
// after a crash.
func TestRenumberedIsTold(t *testing.T) {
	t.Parallel()
	d := roomtest.Trying(t, roomtest.Sealed, patients)
	r := d.Open()
	const counted, strict, values = "id: NUMRES", "reject: {when: c == null, reason", "'pending' : 'final'"
	right := string(d.Read("mapping.yaml"))
	with := func(changes ...string) {
		t.Helper()
		text := right
		for _, old := range []string{counted, strict, values} {
			if strings.Count(text, old) != 1 {
				t.Fatalf("the mapping has not one %s", old)
			}
		}
		text = strings.NewReplacer(append(changes, counted, "id: counter")...).Replace(text)
		d.Write([]byte(text), "mapping.yaml")
		if _, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join("mapping.yaml"), Text: []byte(text), Key: d.Key(roomtest.Marc)}); err != nil {
			t.Fatal(err)
		}
	}
	stopped := false
	pass := func(kind ecluse.PassageKind, by string) (*desk.Since, *ecluse.Renumbering) {
		t.Helper()
		p := planFor(t, d, r, kind, by)
		if stopped { // with every chunk in: the next run goes by its notes
			passage, err := r.BeginLoading(t.Context(), roomtest.Migration, kind)
			if err != nil {
				t.Fatal(err)
			}
			source, target := gates(t, d, mute{r.Lock()})
			_, err = target.Load(t.Context(), roomtest.Migration, passage, 0, nil)
			if err := errors.Join(source.Close(), target.Close()); err != nil {
				t.Fatal(err)
			}
			if !errors.Is(err, errStopped) {
				t.Fatal(err)
			}
		}
		v := apply(t, r, kind)
		if kind == ecluse.Rehearsal {
			if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Marc)}); err != nil {
				t.Fatal(err)
			}
		}
		return p.Since, v.Load.Compared.Renumbered
	}
	same := func(r *ecluse.Renumbering, since string) {
		t.Helper()
		if r == nil || r.Since.String() != since || len(r.Tables) != 0 || r.Lost {
			t.Errorf("want the numbers of %s, got %+v", since, r)
		}
	}

	with(strict, "reject: {when: c == null || NUMRES % 100 == 3, reason")
	if since, n := pass(ecluse.Dry, roomtest.Marc); since != nil || n != nil {
		t.Errorf("the first pass: %+v, %+v", since, n)
	}

	with() // rows are put aside no more
	since, n := pass(ecluse.Dry, roomtest.Marc)
	if !since.Unnumbered || since.Renumbered != nil {
		t.Errorf("before the corrected mapping passed: %+v", since)
	}
	moved := func(n *ecluse.Renumbering) bool {
		return n != nil && n.Since.String() == "dry-1" && !n.SameMapping && len(n.Tables) == 1 &&
			n.Tables[0].Table.Name == "observation" && n.Tables[0].Column == "id" && n.Tables[0].From.Dataset == "result" && n.Tables[0].From.Sequence == 0 && !n.Tables[0].Base
	}
	if !moved(n) {
		t.Errorf("rows put aside no more: %+v", n)
	}

	with(values, "'final' : 'pending'")
	since, n = pass(ecluse.Rehearsal, roomtest.Marc)
	if !moved(since.Renumbered) || !since.Unnumbered {
		t.Errorf("the approval says of dry 2: %+v", since)
	}
	same(n, "dry-2")
	also := func(n *ecluse.Renumbering) {
		t.Helper()
		if n == nil || len(n.Also) != 1 || !moved(&n.Also[0]) {
			t.Errorf("what moved since dry 1 is told no more: %+v", n)
		}
	}
	also(n)

	stopped = true
	since, n = pass(ecluse.Final, roomtest.Claire)
	if since.Passage.String() != "rehearsal-1" || since.Unnumbered {
		t.Errorf("the approval says of rehearsal 1: %+v", since)
	}
	same(since.Renumbered, "dry-2")
	also(since.Renumbered)
	same(n, "rehearsal-1")
	also(n)
}

// mute is a lock that takes no report.
type mute struct{ gate.Lock }

func (m mute) Post(ctx context.Context, id ecluse.MigrationID, kind exchange.Paper, s evidence.Signed) error {
	if kind == exchange.LoadReport {
		return errStopped
	}
	return m.Lock.Post(ctx, id, kind, s)
}

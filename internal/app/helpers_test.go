package app_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
)

// lendOnce has the source gate lend its half, which the target gate keeps in
// memory for a quarter of an hour.
func lendOnce(t *testing.T, s *gate.Source, target *gate.Target, instruction []byte) {
	t.Helper()
	i, err := mandate.ParseInstruction("instruction.yaml", instruction)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() { got <- target.Recipient(t.Context(), i) }()
	for {
		if err := s.Lend(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-got:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
		}
	}
}

// gates opens both gates of a room beside it, with a lock of the caller's choice,
// the release secret lent.
func gates(t *testing.T, d *roomtest.Dir, l gate.Lock) (*gate.Source, *gate.Target) {
	t.Helper()
	s, err := app.Source(d.Join("room", "source"), l)
	if err != nil {
		t.Fatal(err)
	}
	target, err := app.Target(d.Join("room", "target"), l)
	if err != nil {
		t.Fatal(err)
	}
	lendOnce(t, s, target, d.Read("instruction.yaml"))
	return s, target
}

// place is where the room's migration stands.
func place(t *testing.T, r *app.Room) procedure.Place {
	t.Helper()
	all, err := r.Status(t.Context(), roomtest.Migration)
	if err != nil {
		t.Fatal(err)
	}
	return all[0].Place
}

// isDue makes an item's time have come, for the lock and, of what ends a migration, for
// its gates.
func isDue(d *roomtest.Dir, kind string) {
	d.Helper()
	if kind == "erase" || kind == "contract-end" {
		d.Late()
	}
	d.Exec("room/lock/control.db", "UPDATE due SET at = 1 WHERE kind = '"+kind+"' AND done = 0")
}

// runDue does what is due, and wants it all to succeed.
func runDue(t *testing.T, r *app.Room) {
	t.Helper()
	v, err := r.Due(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range v.Failed {
		t.Errorf("due: %s: %s", f.What, f.Why)
	}
}

// apply carries the plans out and wants it to succeed.
func apply(t *testing.T, r *app.Room, kind ecluse.PassageKind) *desk.Applied {
	t.Helper()
	v, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: kind})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// failingLock stops the first chunk that has rejects, after they are stored and
// before the chunk commits.
type failingLock struct {
	gate.Lock
	failed bool
}

var errStopped = errors.New("stopped on purpose")

func (l *failingLock) PutReject(ctx context.Context, m ecluse.MigrationID, d evidence.Signed, b io.Reader) error {
	if err := l.Lock.PutReject(ctx, m, d, b); err != nil || l.failed {
		return err
	}
	l.failed = true
	return errStopped
}

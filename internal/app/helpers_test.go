package app_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
)

// lend has the source gate lend its half whenever the target gate asks, until the test
// ends.
func lend(t *testing.T, s *gate.Source, instruction []byte) {
	t.Helper()
	i, err := mandate.ParseInstruction("instruction.yaml", instruction)
	if err != nil {
		t.Fatal(err)
	}
	var lending sync.WaitGroup
	lending.Go(func() {
		for t.Context().Err() == nil {
			_ = s.Lend(t.Context(), i) // refused, the target gate says what it lacks
			time.Sleep(20 * time.Millisecond)
		}
	})
	t.Cleanup(lending.Wait)
}

// gates opens both gates of a room beside it, with a lock of the caller's choice,
// the release secret lent when it is asked for.
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
	lend(t, s, d.Read("instruction.yaml"))
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

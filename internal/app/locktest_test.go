package app_test

import (
	"testing"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate/locktest"
)

// TestLock holds the lock in this process against what gates rely on.
func TestLock(t *testing.T) {
	t.Parallel()
	locktest.Run(t, func(t *testing.T, at locktest.State) *locktest.Case {
		t.Helper()
		c, _ := lockCase(t, at)
		return c
	})
}

// lockCase is a lock in this process with its migration at a state.
func lockCase(t *testing.T, at locktest.State) (*locktest.Case, *app.Room) {
	t.Helper()
	d := roomtest.At(t, map[locktest.State]roomtest.Stage{
		locktest.Reading: roomtest.Ready, locktest.ReadingSuspended: roomtest.Ready,
		locktest.Loading: roomtest.Sealed, locktest.LoadingSuspended: roomtest.Sealed, locktest.Erased: roomtest.Erased,
	}[at], 3)
	r := d.Open()
	var err error
	switch at {
	case locktest.Reading, locktest.ReadingSuspended:
		err = r.BeginReading(t.Context(), roomtest.Migration)
	case locktest.Loading, locktest.LoadingSuspended:
		_, err = r.BeginLoading(t.Context(), roomtest.Migration, ecluse.Final)
	}
	if err == nil && (at == locktest.ReadingSuspended || at == locktest.LoadingSuspended) {
		_, err = r.Suspend(t.Context(), desk.Order{Because: "a question is open", Key: d.Key(roomtest.Claire)})
	}
	if err != nil {
		t.Fatal(err)
	}
	key := func(part, name string) ssh.Signer {
		k, err := ssh.ParsePrivateKey(d.Read("room", part, name))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	return &locktest.Case{
		Lock: r.Seat(exchange.SourcePlace), AtTarget: r.Seat(exchange.TargetPlace), Key: evidence.FingerprintOf(key("lock", "lock_key").PublicKey()), Migration: roomtest.Migration,
		Source: key("source", "gate_key"), Target: key("target", "gate_key"),
		EndLeases: func(t *testing.T) {
			t.Helper()
			isDue(d, "lease-end")
			runDue(t, r)
		},
	}, r
}

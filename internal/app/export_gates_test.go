package app

import (
	"context"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/lock"
)

// Enrol hands in what a gate says of itself.
func (r *Room) Enrol(ctx context.Context, signed evidence.Signed) (ecluse.Fingerprint, error) {
	return r.lock.Enrol(ctx, signed)
}

// Knows tells whether a gate may reach the lock.
func (r *Room) Knows(ctx context.Context, gate ecluse.Fingerprint) (bool, error) {
	s, err := r.lock.Standing(ctx, gate)
	return s == lock.Known, err
}

// LockKey is the key under the journal's heads.
func (r *Room) LockKey() ecluse.Fingerprint { return r.lock.Key() }

// HomeOf is a gate's own folder.
func (r *Room) HomeOf(at exchange.Place) *gate.Home { return r.gates[at].home }

// Package client is a lock elsewhere: it fills gate.Lock and desk.Lock over HTTPS.
package client

import (
	"context"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/wire"
)

// Options name a laboratory on a server, and the way there.
type Options struct {
	wire.Options        // pin, proxy; Gate is a gate's key, for a gate
	Server       string // https://host:port
	Laboratory   string
}

// Sessions keeps a person's short-lived tokens between commands; it may be nil.
type Sessions interface {
	Read(key ecluse.Fingerprint) (token string)
	Write(key ecluse.Fingerprint, token string, expires int64) error
	Remove(key ecluse.Fingerprint) error
}

// Gate is the lock as a gate sees it: gate.Lock.
type Gate struct{}

// NewGate opens the lock for a gate; Options.Gate is its key.
func NewGate(o Options) (*Gate, error) { return &Gate{}, nil }

// Person is the lock as a person sees it: desk.Lock.
type Person struct{}

// LogIn opens the lock for the person whose key it is.
func LogIn(ctx context.Context, o Options, key ssh.Signer, s Sessions) (*Person, error) {
	return &Person{}, nil
}

// TakeRoster hands in a roster that a party's root signed; it needs no other identity.
func TakeRoster(ctx context.Context, o Options, signed evidence.Signed) (*exchange.RosterReceipt, error) {
	return nil, nil
}

// Enrol hands in what a gate says of itself (gate/v1), signed by the key of
// Options.Gate, and returns the key that signs the laboratory's journal. With an empty
// paper it only asks for that key.
func Enrol(ctx context.Context, o Options, signed evidence.Signed) (ecluse.Fingerprint, error) {
	return "", nil
}

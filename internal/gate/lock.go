// Package gate is the program beside a database: it trusts signatures and its
// own ledger, never the lock; it compiles every plan again; it reads and seals,
// or opens and writes. The lock is seen only through the interface Lock.
package gate

import (
	"context"
	"io"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// Papers is the signed side of the lock.
type Papers interface {
	// Case returns what stands about a migration, for a kind of passage.
	Case(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind) (*exchange.Case, error)
	// Post hands in something this gate signed: a recipient, a privilege record,
	// a report, its half of a certificate. Posting the same bytes twice is once.
	Post(ctx context.Context, m ecluse.MigrationID, kind exchange.Paper, s evidence.Signed) error
	// Record tells the journal what the gate did: ids and counts, never values.
	Record(ctx context.Context, e exchange.Event) error
	// Posted returns what gates handed in of a kind, in the order it came.
	Posted(ctx context.Context, m ecluse.MigrationID, kind exchange.Paper) ([]evidence.Signed, error)
}

// Chambers is where sealed chunks lie.
type Chambers interface {
	Slots(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error)
	Put(ctx context.Context, m ecluse.MigrationID, descriptor evidence.Signed, body io.Reader) (stored evidence.Signed, err error)
	Get(ctx context.Context, m ecluse.MigrationID, s ecluse.Slot) (descriptor evidence.Signed, body io.ReadCloser, err error)
	// Close stores the manifest; Manifest returns it, or nil before Close.
	Close(ctx context.Context, m ecluse.MigrationID, manifest evidence.Signed) error
	Manifest(ctx context.Context, m ecluse.MigrationID) (*evidence.Signed, error)
	// Wait returns when more chunks than so many are in, or the manifest is closed, or
	// after a while. Of fewer than none it returns at any move: a request was answered.
	Wait(ctx context.Context, m ecluse.MigrationID, beyond int) error
	// PutReject stores rows put aside, sealed to the source gate.
	PutReject(ctx context.Context, m ecluse.MigrationID, descriptor evidence.Signed, body io.Reader) error
	// Rejects lists the signed descriptors of what was put aside, and GetReject
	// fetches one by the digest of its ciphertext: for the source gate, which alone
	// can open them.
	Rejects(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error)
	GetReject(ctx context.Context, m ecluse.MigrationID, sha256 ecluse.Digest) (io.ReadCloser, error)
}

// Leases carries the release secret from the source gate to the target gate,
// sealed, for a quarter of an hour at a time.
type Leases interface {
	// Ask posts the target gate's signed request.
	Ask(ctx context.Context, m ecluse.MigrationID, request evidence.Signed) error
	// Asked lists the requests not answered yet.
	Asked(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error)
	// Lend posts the source gate's signed answer.
	Lend(ctx context.Context, m ecluse.MigrationID, answer evidence.Signed) error
	// Lent returns the answer to a request, or nil while there is none.
	Lent(ctx context.Context, m ecluse.MigrationID, request ecluse.Digest) (*evidence.Signed, error)
}

// Heads is how a gate watches the journal.
type Heads interface {
	// Head returns the journal's signed head of a migration, the leaves'
	// record hashes proving that it extends the tree of size from, and nothing
	// to prove when from is 0.
	Head(ctx context.Context, m ecluse.MigrationID, from int64) (head evidence.Signed, proof [][32]byte, err error)
	// Cosign hands in the gate's own signature under a head; Cosigned returns
	// the newest head that a gate signed, or nil.
	Cosign(ctx context.Context, m ecluse.MigrationID, head evidence.Signed) error
	Cosigned(ctx context.Context, m ecluse.MigrationID, gate ecluse.Fingerprint) (*evidence.Signed, error)
}

// Works is what is asked of a gate, and what it says came of it.
type Works interface {
	// Wanted lists what is asked and not answered. When all of it is known it waits
	// for more, a while.
	Wanted(ctx context.Context, known []string) ([]exchange.Work, error)
	// Tell says how far a piece of work has come.
	Tell(ctx context.Context, work string, p exchange.Progress) error
	// Probe measures the way to the lock, with a little that is thrown away.
	Probe(ctx context.Context) (exchange.Line, error)
	// Answer ends a piece of work.
	Answer(ctx context.Context, work string, a exchange.Answer) error
}

// Lock is all a gate sees of the lock. Its methods use only nouns of the root,
// evidence and exchange packages, so that a client over HTTPS can fill it.
type Lock interface {
	Papers
	Chambers
	Leases
	Heads
	Works
}

package gate

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/writer"
)

// Target is the target gate: it opens what was sealed for it, maps, loads, reads
// back and compares, and takes an unaccepted passage out again.
type Target struct {
	home      *Home
	lock      Lock
	db        writer.Target
	dialect   mandate.Dialect
	procedure ecluse.Digest
	patience  time.Duration // how long to wait for the release secret

	mu     sync.Mutex
	leases map[ecluse.MigrationID]*lease
}

// patience is how long a target gate waits for the source gate's answer.
const patience = 2 * time.Minute

// NewTarget puts a target gate together.
func NewTarget(home *Home, lock Lock, db writer.Target, dialect mandate.Dialect, procedure ecluse.Digest) *Target {
	return &Target{
		home: home, lock: lock, db: db, dialect: dialect, procedure: procedure, patience: patience,
		leases: map[ecluse.MigrationID]*lease{},
	}
}

// Home is the gate's own folder.
func (t *Target) Home() *Home { return t.home }

// Close disconnects from the database and forgets what was lent.
func (t *Target) Close() error {
	t.mu.Lock()
	for _, l := range t.leases {
		l.forget()
	}
	t.mu.Unlock()
	return t.db.Close()
}

func (t *Target) lease(m ecluse.MigrationID) *lease {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.leases[m]
	if l == nil {
		l = &lease{}
		t.leases[m] = l
	}
	return l
}

// Inspect lists the target's structure.
func (t *Target) Inspect(ctx context.Context) (*ecluse.Catalogue, error) { return t.db.Catalogue(ctx) }

// Recipient makes, once, the migration's identity, keeps it wrapped under both
// halves of the key, and posts the signed recipient that chunks are sealed to.
func (t *Target) Recipient(ctx context.Context, i *mandate.Instruction) error {
	if err := names(i.Target.Gate, t.home, "target"); err != nil {
		return err
	}
	page, err := t.home.Entry(i.ID)
	if err != nil {
		return err
	}
	source := lender{i.Source.Gate, i.Limits.LeaseTime()}
	id, err := t.identity(ctx, i.ID, source, t.home.Now)
	if errors.Is(err, exchange.ErrErased) && page.Erased.IsZero() {
		if _, kept := t.home.secret(i.ID, identityFile); errors.Is(kept, fs.ErrNotExist) {
			if err := t.newIdentity(ctx, i.ID, source, t.home.Now); err != nil {
				return err
			}
			id, err = t.identity(ctx, i.ID, source, t.home.Now)
		}
	}
	if err != nil {
		return err
	}
	return postRecipient(ctx, t.home, t.lock, i, evidence.ForChunks, id.Recipient().String())
}

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
	main      Base
	rehearsal *Base // nil: nothing is rehearsed here
	procedure ecluse.Digest
	patience  time.Duration // how long to wait for the release secret

	mu     sync.Mutex
	leases map[ecluse.MigrationID]*lease
}

// Base is a database that a target gate writes into. Which one a passage is loaded
// into, compared in and undone from, its kind alone says.
type Base struct {
	System  string // of a test base: its name in the gate's own settings
	DB      writer.Target
	Dialect mandate.Dialect
}

// patience is how long a target gate waits for the source gate's answer.
const patience = 2 * time.Minute

// NewTarget puts a target gate together.
func NewTarget(home *Home, lock Lock, main Base, rehearsal *Base, procedure ecluse.Digest) *Target {
	return &Target{
		home: home, lock: lock, main: main, rehearsal: rehearsal, procedure: procedure, patience: patience,
		leases: map[ecluse.MigrationID]*lease{},
	}
}

// Home is the gate's own folder.
func (t *Target) Home() *Home { return t.home }

// base is where a kind of passage goes: a rehearsal into the test base that both the
// instruction and the gate's own settings name, everything else into the gate's database.
func (t *Target) base(kind ecluse.PassageKind, system string) (*Base, error) {
	if kind != ecluse.Rehearsal {
		return &t.main, nil
	}
	e := &ecluse.Error{Kind: ecluse.Refused, What: "rehearse", Where: system, Article: "GDPR art. 29"}
	switch {
	case t.rehearsal == nil:
		e.Why, e.Next = "this gate has no test base", "write rehearsal: in the target gate's gate.yaml, with system: "+system+", and run ecluse gate check"
	case t.rehearsal.System != system:
		e.Why = "the controller names this system, and the test base of this gate is " + t.rehearsal.System
		e.Next = "compare system under rehearsal: in gate.yaml with target.pre_production of the instruction; one of them is to be corrected"
	default:
		return t.rehearsal, nil
	}
	return nil, e
}

// baseToLoad is base, and refuses a test base that is the gate's own database by the
// database's own word: gate.yaml can name one in two ways.
func (t *Target) baseToLoad(ctx context.Context, kind ecluse.PassageKind, system string) (*Base, error) {
	b, err := t.base(kind, system)
	if err != nil || b == &t.main {
		return b, err
	}
	same, err := b.DB.Same(ctx, t.main.DB)
	if err != nil {
		return nil, err
	}
	if same {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "rehearse", Where: system, Article: "GDPR art. 32(1)(b)",
			Why:  "the test base is the gate's own database under another name: a rehearsal is loaded elsewhere than where people work",
			Next: "name another database under rehearsal: in the target gate's gate.yaml, and run ecluse gate check",
		}
	}
	return b, nil
}

// baseOf is where the plan of a permit goes.
func (t *Target) baseOf(p mandate.LoadPermit) (*Base, error) {
	return t.base(p.Plan().Passage, p.Plan().Target.System)
}

// Close disconnects from the database and forgets what was lent.
func (t *Target) Close() error {
	t.mu.Lock()
	for _, l := range t.leases {
		l.forget()
	}
	t.mu.Unlock()
	err := t.main.DB.Close()
	if t.rehearsal != nil {
		err = errors.Join(err, t.rehearsal.DB.Close())
	}
	return err
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
func (t *Target) Inspect(ctx context.Context) (*ecluse.Catalogue, error) {
	return t.main.DB.Catalogue(ctx)
}

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
	// Nobody signed this instruction yet, nor how long it has the half lent, and before
	// anything began nobody asks whether the migration stands: what is lent here loads nothing.
	source := lender{i.Source.Gate, i.Limits.LeaseTime(), &lease{}}
	defer source.in.forget()
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

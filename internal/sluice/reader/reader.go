// Package reader is the upper gate: how rows come out of an old laboratory's
// database. A Source opens only with a permit, which only a verified, approved
// and recompiled read plan yields (package mandate).
package reader

import (
	"context"
	"time"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/record"
)

// Source is an old database. It has two accounts: the catalogue account sees
// every name and no value; the read account has what `ecluse gate grants DIR read` made.
type Source interface {
	// Catalogue inspects through the catalogue account. No row is read.
	Catalogue(ctx context.Context) (*ecluse.Catalogue, error)
	// Estimates guesses rows per table from statistics, for display only; a
	// table without statistics is absent.
	Estimates(ctx context.Context) (map[ecluse.TableName]int64, error)
	// Open connects the read account and begins one epoch: one snapshot, or one
	// set of table locks, or (frozen) the reader's word for it. It fails with
	// ecluse.Refused when the permit is zero.
	Open(ctx context.Context, p mandate.ReadPermit) (Session, error)
	Close() error
}

// Session is one epoch. When its connection is lost every call fails; the caller
// opens another session, which is another epoch.
type Session interface {
	// Privileges says what the read account can read, for every column of the
	// catalogue, as the database answers it.
	Privileges(ctx context.Context) (*Privileges, error)
	// ReadChunk reads the rows of a dataset after the cursor `after` (nil: from
	// the start) and emits them in batches of at most BatchRows rows, reusing
	// one batch: emit must not keep it. With until nil the reader chooses where
	// the chunk ends, near ChunkRows rows or ChunkBytes bytes of values, whichever
	// comes first (a batch, too, is emitted early beyond BatchBytes); otherwise it reads exactly up to and
	// including until, which an earlier ReadChunk returned. The rows between two
	// cursors are the same in every epoch of an unchanged source, in the same
	// order. It returns the cursor of the chunk's end and whether the dataset
	// ends there. Cursors may hold patient data: they are sealed at rest.
	ReadChunk(ctx context.Context, dataset ecluse.DatasetID, after, until Cursor, emit func(*record.Batch) error) (end Cursor, last bool, err error)
	// Check runs one of the instruction's checks inside the epoch. The batch has
	// fields key (text, null for the figure without a key) and count (int), sum
	// (number), first, last (text): those the check does not ask for are null.
	Check(ctx context.Context, name string) (*record.Batch, error)
	// Load counts the sessions of others that are at work on the source's server now, as
	// the read account may see them. It may be called while a chunk is emitted.
	Load(ctx context.Context) (int, error)
	// Close ends the epoch: rolls back, unlocks, disconnects.
	Close() error
}

// RangeReader is a session that may find rows by their key.
type RangeReader interface {
	// ReadRanges reads the rows of a dataset whose key, one whole number, is in one of the
	// ranges, as ReadChunk does. It tells whether it can, and else reads none.
	ReadRanges(ctx context.Context, dataset ecluse.DatasetID, ranges []Range, emit func(*record.Batch) error) (bool, error)
}

// Range is the whole numbers from one to another, both included.
type Range struct{ From, To int64 }

// Cursor is a place between two rows of a dataset, opaque to all but its reader.
type Cursor []byte

// Sizes that readers aim at.
const (
	BatchRows  = 8192
	BatchBytes = 4 << 20
	ChunkRows  = 65536 // halves what 131072 takes, and costs nothing measurable (bench)
	ChunkBytes = 32 << 20
)

// Privileges is what an account can do on a source, as the database answered.
type Privileges struct {
	Account   string                        // who the database says we are
	At        time.Time                     // the database's clock
	Epoch     string                        // "snapshot", "locked", "frozen", "reread"
	Readable  map[ecluse.TableName][]string // columns the account can select, by table or view, sorted
	Writable  []ecluse.TableName            // tables the account can change: must be empty
	Superuser bool                          // bypasses everything
	Whole     bool                          // the engine has no accounts (SQLite, files): everything is readable
}

// Scanner reads whole tables back inside one snapshot, for reconciliation. It
// is opened on the target, by the target gate's own account.
type Scanner interface {
	// Tables scans the given columns of a table and emits batches, possibly from
	// several goroutines at a time, each with its own batch. Order is free.
	Scan(ctx context.Context, table ecluse.TableName, columns []string, emit func(*record.Batch) error) error
	// Check counts the target's half of a cross-check; the batch is as in
	// Session.Check, its key text as the database writes By.
	Check(ctx context.Context, c ecluse.ShapeCheck) (*record.Batch, error)
	// At is the snapshot's time by the database's clock.
	At() time.Time
	Close() error
}

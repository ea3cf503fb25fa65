// Package writer is the lower gate: how rows enter a new laboratory's database,
// exactly once, and how they leave it again when a passage is undone.
package writer

import (
	"context"
	"time"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

// Target is a new database.
type Target interface {
	// Catalogue inspects structure only.
	Catalogue(ctx context.Context) (*ecluse.Catalogue, error)
	// Rows reads whole small tables that the mapping uses for look-ups (held
	// target tables), ordered by their key.
	Rows(ctx context.Context, table ecluse.TableName, columns []string, limit int) (*record.Batch, error)
	// Open prepares a passage: the schema "ecluse" with its marker table, if
	// absent. It fails with ecluse.Refused when the permit is zero.
	Open(ctx context.Context, p mandate.LoadPermit) (Session, error)
	// Snapshot opens a read-back inside one snapshot on up to conns connections.
	Snapshot(ctx context.Context, conns int) (reader.Scanner, error)
	// Same tells whether another target is this one database, whatever each is called:
	// by the database's own word, not by names.
	Same(ctx context.Context, other Target) (bool, error)
	Close() error
}

// Session writes one passage. Only one session of a migration writes at a time:
// Open takes a lock in the target that a lost connection releases.
type Session interface {
	// Missing lists what the account lacks to load the plan's tables, read what the
	// plan looks up and counts, move its sequences and keep its markers; empty when
	// nothing is missing.
	Missing(ctx context.Context) ([]string, error)
	// Begin records the passage with the sums taken before its first row, in
	// one transaction, unless it is already recorded; it returns what is
	// recorded and whether this call recorded it. `before` is opaque JSON
	// without values.
	Begin(ctx context.Context, before func(context.Context, reader.Scanner) ([]byte, error)) (recorded []byte, begun bool, err error)
	// Markers lists the chunks of the passage that are in, in the order of loading.
	Markers(ctx context.Context) ([]Marker, error)
	// Load writes a chunk and its marker in one transaction. The marker is
	// inserted first: when its slot is already there nothing is written and
	// Load returns the stored marker with Already set. Source rows that the
	// database refuses are put aside, all their target rows with them (halving
	// under savepoints), and reported. beforeCommit, if not nil, is then called
	// inside the transaction and its error rolls everything back.
	Load(ctx context.Context, chunk *Chunk, beforeCommit func(ctx context.Context, refused []Refusal) error) (Loaded, error)
	// Unload deletes the rows of a loaded chunk and its marker in one
	// transaction: rows of tables with a primary key by key, others by all their
	// written columns, one for one. Refused source rows must not be in it. Nothing
	// goes or changes along with them, by foreign keys or triggers of others: that
	// is refused, or, if so asked, those rows are left (Unloading.Leave).
	Unload(ctx context.Context, chunk *Chunk, how Unloading) (*Unloaded, error)
	// TakeLeft tries rows once more that Unload left because others referred to them: of
	// a passage that was revised, those may have come before them and gone since. It is
	// Unload, with Unloading.Leave whatever how says, of rows of any chunks in the order of loading, Source
	// telling what was made of one source row, and without markers.
	TakeLeft(ctx context.Context, left []Rows, how Unloading) (*Unloaded, error)
	// Revise takes rows of loaded chunks out and brings new chunks in, in one transaction:
	// what a later reading of the source changed. Rows that the database refused when
	// their chunk was loaded are offered again behind what comes: they may have wanted it.
	// All that goes goes before anything comes, but for a row whose primary key comes
	// again: rows that stay may refer to it, so it goes and comes in one statement. It is
	// refused whole, with ecluse.Refused, when a row that is to go is not in the target as
	// it was loaded (somebody changed or took it out: how many, of which table, never a
	// value), or when rows that stay would go or change along with it, or refer to what
	// goes and does not come again. When the markers of all that comes are there already
	// nothing is written and Revised.Already is set. beforeCommit, if not nil, is called
	// inside the transaction with what will be so when it commits; its error rolls
	// everything back.
	Revise(ctx context.Context, r *Revision, beforeCommit func(ctx context.Context, out *Revised) error) (*Revised, error)
	// MoveSequences sets each sequence past the highest value of its column,
	// never backwards; doing it twice changes nothing.
	MoveSequences(ctx context.Context, seqs []ecluse.ShapeSequence) error
	// End replaces the passage's markers by one tombstone, when it is over.
	End(ctx context.Context, outcome string) error
	Close() error
}

// Chunk is what a mapping made of one sealed chunk.
type Chunk struct {
	Slot     ecluse.Slot
	Reading  int              // as of which reading of the source, 0 the first; kept in the marker
	Rows     int              // source rows, rejected ones included
	Tables   []Rows           // in the order they are written
	Counters map[string]int64 // counters after the chunk, kept in its marker
	Rejected []int32          // source rows the mapping itself put aside, kept in the marker
}

// Rows is the rows of one table. Source[i] is the source row (its place in the
// chunk, from 0, ascending) that made row i.
type Rows struct {
	Table  ecluse.TableName
	Batch  *record.Batch
	Source []int32
}

// Refusal is a source row the database did not take: why, without any value.
type Refusal struct {
	Row    int32  // source row in the chunk
	Reason string // "clinlims.patient: unique key pat_pk (23505)"
}

// Marker is the durable proof that a chunk is in.
type Marker struct {
	Slot     ecluse.Slot
	Reading  int              // as of which reading of the source, 0 the first
	Position int              // from 0, in the order of loading
	Counters map[string]int64 // after the chunk
	Refused  []int32          // source rows not in the target: the mapping's and the database's
	Rows     map[ecluse.TableName]int64
	At       time.Time
}

// Revision is what a later reading of the source changes.
type Revision struct {
	Gone  []Part   // of loaded chunks, in the reverse of the order they were loaded in; their source rows are added to the markers' Refused
	Come  []*Chunk // new chunks, in the order of loading; at least one, which may be without rows: its marker tells that the revision is in
	Again []Part   // of loaded chunks, in the order of loading: what the database refused, offered again; what is in then is taken out of the markers' Refused
}

// Part is some source rows of one loaded chunk.
type Part struct {
	Slot ecluse.Slot
	Rows int // source rows of the chunk
	// Sources are those meant, ascending. Of Gone, some may have made no rows, or be in
	// the marker's Refused already: then Tables has none of theirs.
	Sources []int32
	Tables  []Rows // their rows as they were loaded, or mapped then, in the order they are written
}

// Revised is the outcome of Revise.
type Revised struct {
	Already bool
	Markers []Marker    // of the chunks of Gone, then of those of Again alone, then of Come, as they are now
	Refused [][]Refusal // by the database, by chunk of Come
	Again   [][]Refusal // by the database, once more, by part of Revision.Again
}

// Unloading is how a chunk is taken out.
type Unloading struct {
	// Leave leaves, and names, rows that people changed since they were loaded, and
	// rows that stay because of others that did not come with the chunk. Without it
	// the first go whatever they hold now, and the second fail the whole chunk.
	Leave bool
	// ByKey are tables of which, all the same, rows that were changed go: what changed
	// them was no person.
	ByKey []ecluse.TableName
	// BeforeCommit, if not nil, is called once, inside the transaction, when it is
	// known what goes and what stays; its error rolls everything back.
	BeforeCommit func(ctx context.Context, u *Unloaded) error
}

// Unloaded is the outcome of Unload.
type Unloaded struct {
	Deleted map[ecluse.TableName]int64
	Missing map[ecluse.TableName]int64 // rows that were no longer there; of a table without a key, or that were changed
	Left    []Left                     // by the place of their table in the chunk, then by row
}

// Left is a row that stays in the target.
type Left struct {
	Table  int   // its place in Chunk.Tables
	Row    int   // its place in that table's batch
	Source int32 // the source row that made it
	Why    Why
}

// Why is why a row is left.
type Why string

// The reasons.
const (
	Changed  Why = "changed"  // one of its written columns is no longer what was loaded
	Referred Why = "referred" // a row that stays refers to it, or would go or change along with it
)

// Loaded is the outcome of Load.
type Loaded struct {
	Marker  Marker
	Already bool
	Refused []Refusal // by the database, this time
}

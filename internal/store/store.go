// Package store holds what the control database keeps: rows as plain values.
// What keeps them is below it, one package per database; storetest is the suite
// each must pass.
//
// The control database is trusted for what it says of the course of things (who
// must do what next, what is due) and for nothing else: gates believe signatures
// and their own ledgers. Whoever can write it can stop or delay a migration, and
// can neither widen nor read one.
package store

import (
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/procedure"
)

// Document is a line about exact bytes kept under their SHA-256.
type Document struct {
	Digest    ecluse.Digest
	Kind      string             // evidence.Kind…, or another of that form
	Migration ecluse.MigrationID // empty: of the installation
	Size      int64
	Added     time.Time
}

// Roster is a party's roster that was accepted; numbers only rise.
type Roster struct {
	Side   ecluse.Side
	Number int
	Digest ecluse.Digest
	Issued time.Time
}

// Migration is one migration as the lock knows it.
type Migration struct {
	ID       ecluse.MigrationID
	Contract ecluse.Digest
	Place    procedure.Place
	Born     time.Time
	EraseBy  time.Time
	Ended    time.Time // zero while it goes on
}

// Act is a signed act that was recorded.
type Act struct {
	Digest    ecluse.Digest
	Migration ecluse.MigrationID // empty: of the installation
	Side      ecluse.Side
	Person    string
	Role      ecluse.Role
	Recorded  time.Time
	Clauses   []evidence.Clause
}

// Passage is one numbered run.
type Passage struct {
	Migration ecluse.MigrationID
	ecluse.Passage
	LoadPlan ecluse.Digest
	State    procedure.State
	Begun    time.Time
	Ended    time.Time // zero while it goes on
}

// Lease is a request for the release secret and the answer to it. Both are
// sealed statements of the gates: the lock cannot read the secret.
type Lease struct {
	Migration ecluse.MigrationID
	Request   evidence.Signed
	Answer    evidence.Signed // zero until it is lent
	Asked     time.Time
	Until     time.Time
	Ended     time.Time // zero while it lasts; then the answer is gone
}

// Work is something asked of a gate.
type Work struct {
	ID        string
	Gate      ecluse.Fingerprint
	Migration ecluse.MigrationID // empty: of a database as a whole
	Verb      string
	Text      []byte // all of it, as JSON
	Asked     time.Time
	Ended     time.Time // zero while it is open
	Answer    []byte    // as JSON; nil while it is open, and when it was withdrawn
}

// Carried is how far carrying by hand has come, to a gate that no line reaches and back.
type Carried struct {
	Number int64  // of the last dispatch
	Came   int64  // the dispatch whose return came in last
	Items  int    // of that return, taken in
	Digest []byte // of these items
}

// CarriedLeft is an item of what came in that could not be taken in yet.
type CarriedLeft struct {
	Number    int64 // of the dispatch that its return answers
	Item      int
	Migration ecluse.MigrationID // empty: of none
	Digest    []byte             // of the items of its return as far as this one
	Anew      bool               // the gate was asked for it anew since: it does not come in any more
}

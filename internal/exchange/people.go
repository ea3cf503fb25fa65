package exchange

import (
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/due"
	"ecluse/internal/procedure"
)

// Person is who somebody is to a lock, by the latest roster that has their key.
type Person struct {
	ID     string          `json:"id"`
	Side   ecluse.Side     `json:"side"`
	Roles  []ecluse.Role   `json:"roles"`
	Roster evidence.Signed `json:"roster"`
}

// Draft is what an act still needs: the role it is made in, and from when.
type Draft struct {
	Role      ecluse.Role `json:"role"`
	NotBefore time.Time   `json:"not_before"`
}

// Enclosure is a document that goes with an act, or with a request.
type Enclosure struct {
	Kind string `json:"kind"`
	Text []byte `json:"text"`
}

// Receipt is an act taken in, with the journal's head once it was in.
type Receipt = evidence.Receipt

// RosterReceipt is a roster taken in.
type RosterReceipt struct {
	Side    ecluse.Side   `json:"side"`
	Number  int           `json:"number"`
	Digest  ecluse.Digest `json:"digest"`
	People  int           `json:"people"`
	Expires time.Time     `json:"expires"`
}

// Plans is what compiling gave.
type Plans struct {
	Migration ecluse.MigrationID         `json:"migration"`
	Read      []byte                     `json:"read,omitempty"`
	Load      []byte                     `json:"load,omitempty"` // empty while no mapping is signed
	Unused    []string                   `json:"unused,omitempty"`
	Estimates map[ecluse.DatasetID]int64 `json:"estimates,omitempty"` // rows, for display
	Predicted *Prediction                `json:"predicted,omitempty"` // nil while nothing can be told
}

// Prediction is how long a passage is guessed to take.
type Prediction struct {
	Rows    int64   `json:"rows"`
	Bytes   int64   `json:"bytes"`   // of ciphertext
	Read    float64 `json:"read"`    // seconds; 0: all is read
	Load    float64 `json:"load"`    // seconds; 0: no load plan yet
	Limit   Limit   `json:"limit"`   // what sets the pace of the reading
	Learned bool    `json:"learned"` // from a passage of this migration, not from what is usual

	// Window is how long the instruction's window is, in seconds, where reading the source
	// once is guessed to take longer: each window reads from the first row, and there is no end.
	Window float64 `json:"window,omitempty"`

	Measured bool `json:"measured"` // Load is what a passage of this migration took, row by row
}

// Limit is what sets the pace.
type Limit string

// The limits.
const (
	ByDatabase Limit = "database"
	ByLine     Limit = "line"
	ByThrottle Limit = "queries a second"
)

// Beginning is what a person has the gates begin with, or go on with: whatever of it is
// approved and not done.
type Beginning struct {
	Kind    ecluse.PassageKind `json:"kind"`
	Plan    ecluse.Digest      `json:"plan,omitzero"`     // refused unless it is the plan in force; of a read plan: read and do not load
	CatchUp bool               `json:"catch_up,omitzero"` // read again what changed since, and bring the passage up to it
	GiveUp  bool               `json:"give_up,omitzero"`  // nothing: give up the later reading that is open
}

// Begun is what a lock asked gates to begin with.
type Begun struct {
	Migration ecluse.MigrationID `json:"migration"`
	Passage   ecluse.Passage     `json:"passage,omitzero"`
	Read      string             `json:"read,omitempty"` // id of the work; empty: nothing is to be read
	Load      string             `json:"load,omitempty"` // id of the work; empty: nothing is to be loaded
	Open      bool               `json:"open,omitempty"` // some of it had been asked before, and was not answered
}

// WorkView is how far a gate's work has come.
type WorkView struct {
	Work     Work               `json:"work"`
	Gate     ecluse.Fingerprint `json:"gate"`
	Seen     time.Time          `json:"seen,omitzero"`      // when the gate was last heard of; zero: not since the server started
	Away     bool               `json:"away,omitempty"`     // it was not heard of for longer than a gate that runs is silent
	Progress []Progress         `json:"progress,omitempty"` // the last of each stage, in their order
	Answer   *Answer            `json:"answer,omitempty"`   // nil while it goes on
	Version  int64              `json:"version"`            // rises with each change
}

// GateView is a gate that a lock knows.
type GateView struct {
	Gate      ecluse.Fingerprint `json:"gate"`
	Place     Place              `json:"place"`
	Seen      time.Time          `json:"seen,omitzero"`
	Admitted  bool               `json:"admitted,omitempty"`  // at the lock's own console
	Confirmed bool               `json:"confirmed,omitempty"` // by the controller, and not retired since
	Retired   bool               `json:"retired,omitempty"`
	Paper     ecluse.Digest      `json:"paper,omitzero"` // gate/v1, what it said of itself when it was enrolled
	System    string             `json:"system,omitempty"`
	StandsAt  string             `json:"stands_at,omitempty"`
	NoLine    bool               `json:"no_line,omitempty"` // what it says is carried by hand
}

// Known tells whether the gate may reach the lock at all.
func (v *GateView) Known() bool { return v.Admitted || v.Confirmed }

// PlansFolder stands in a command for the folder where the reader's machine keeps
// plans.
const PlansFolder = "{plans}"

// Status is where a migration stands and who does what next.
type Status struct {
	Migration ecluse.MigrationID         `json:"migration"`
	Place     procedure.Place            `json:"place"`
	EraseBy   time.Time                  `json:"erase_by"`
	Read      map[ecluse.DatasetID]int64 `json:"read,omitempty"` // rows sealed, at whatever reading
	Chunks    int                        `json:"chunks"`
	Bytes     int64                      `json:"bytes"`
	Readings  *Readings                  `json:"readings,omitempty"`       // nil where the source is read once
	Passage   string                     `json:"passage,omitempty"`        // "final-1"
	Approval  ecluse.Digest              `json:"approval,omitzero"`        // the act under which that passage began: refusing it orders it undone
	Predicted *Prediction                `json:"predicted,omitempty"`      // of loading what is sealed; nil while reading goes on
	Lapses    time.Time                  `json:"approval_lapses,omitzero"` // when the approval of what did not begin yet lapses
	AcceptBy  time.Time                  `json:"accept_by,omitzero"`       // of a passage that is live: until when it can be accepted or undone; then its keys go and it stays
	Near      []Deadline                 `json:"near,omitempty"`           // what ends within a week, the earliest first
	Kept      *Kept                      `json:"kept,omitempty"`           // rows put aside that outlive the migration, at the source gate
	Changed   *Changed                   `json:"changed,omitempty"`        // in the source, outside what is instructed, as the last reading began
	Held      []Hold                     `json:"held"`
	Next      []Next                     `json:"next"`
	Carry     []Waiting                  `json:"carry,omitempty"`   // what waits to be carried to a gate that no line reaches
	Damaged   *Problem                   `json:"damaged,omitempty"` // papers or chunks cannot be read: the rest may be missing here
}

// Readings counts how often a source was read, where the instruction lets it be read again
// for what changed.
type Readings struct {
	Closed int `json:"closed"` // read to their end
	Left   int `json:"left"`   // later ones that the instruction still grants
}

// Kept is rows put aside that outlive their migration.
type Kept struct {
	evidence.KeptRows
	Erased time.Time `json:"erased,omitzero"` // by the source gate's word
}

// Changed counts the columns that came into a source, and those that went, since its read
// plan was approved. Nobody instructed them: they void nothing.
type Changed struct {
	Added int64 `json:"added"`
	Gone  int64 `json:"gone"`
}

// What Changed counts, among the numbers of an epoch's event.
const (
	ColumnsAdded = "columns_added"
	ColumnsGone  = "columns_gone"
)

// Deadline is an end that comes near.
type Deadline struct {
	Of     string      `json:"of"`             // as package due calls it: erase, contract-end, roster-age
	Side   ecluse.Side `json:"side,omitempty"` // of a roster
	At     time.Time   `json:"at"`
	Within int         `json:"within_hours"` // of the warnings the last one that is due: 168, 48, 4
}

// Near is an end as a deadline that comes near; false when it does not yet.
func Near(of string, side ecluse.Side, end, now time.Time) (Deadline, bool) {
	within, near := due.Near(end, now)
	return Deadline{Of: of, Side: side, At: end, Within: int(within / time.Hour)}, near
}

// Waiting is something asked of a gate that no line reaches, which has not answered.
type Waiting struct {
	Gate  ecluse.Fingerprint `json:"gate"`
	Verb  Verb               `json:"verb"`
	Since time.Time          `json:"since"`
}

// Hold is a suspension or an objection that stands.
type Hold struct {
	Act     ecluse.Digest  `json:"act"`  // by which it was said: what resuming names
	Verb    procedure.Verb `json:"verb"` // suspend, object
	Person  string         `json:"person"`
	Side    ecluse.Side    `json:"side"`
	Role    ecluse.Role    `json:"role"`
	Since   time.Time      `json:"since"`
	Because string         `json:"because"`
}

// Next is one thing that can be done now, by whom, with the command to copy.
type Next struct {
	Verb    procedure.Verb    `json:"verb"`
	By      []procedure.Actor `json:"by"`
	Command string            `json:"command"`
}

// Inspection is a database's structure, as a gate listed it.
type Inspection struct {
	Gate      ecluse.Fingerprint `json:"gate"`
	Catalogue []byte             `json:"catalogue"` // ecluse.Catalogue, as the gate encoded it: its digest is journalled
	Estimates []byte             `json:"estimates"` // rows by table
}

// DueView is what a look at the table of what is due came to.
type DueView struct {
	Now    time.Time `json:"now"`
	Done   []DueItem `json:"done"`
	Failed []DueItem `json:"failed"`
	Next   time.Time `json:"next,omitzero"`
}

// DueItem is a line of it.
type DueItem struct {
	What      due.Kind           `json:"what"`
	Migration ecluse.MigrationID `json:"migration,omitempty"`
	Why       string             `json:"why,omitempty"` // it failed

	Kind ecluse.Kind `json:"kind,omitempty"` // of the failure
}

// Strays are files that should not be where they are.
type Strays struct {
	Chamber     []Stray  `json:"chamber"`     // not moved
	Quarantined int      `json:"quarantined"` // moved out of reach, waiting for a person
	Documents   []string `json:"documents"`   // files of the documents folder that no row names
}

// Stray is one of them, in the chamber's folder.
type Stray struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
	Why  string `json:"why"`
	Own  bool   `json:"own,omitempty"` // a live migration's own, damaged or left by a crash: told, never moved
}

// None tells whether nothing was found.
func (s *Strays) None() bool {
	return len(s.Chamber) == 0 && s.Quarantined == 0 && len(s.Documents) == 0
}

// Bundle is an evidence folder.
type Bundle struct {
	Migration ecluse.MigrationID                 `json:"migration"`
	Files     []File                             `json:"files"`
	Roots     map[ecluse.Side]ecluse.Fingerprint `json:"roots"`
}

// File is one of its files.
type File struct {
	Name string `json:"name"` // with slashes
	Body []byte `json:"body"`
}

// KindFrozen is the kind of a mapping's frozen table.
const KindFrozen = "frozen"

// KindLoadPlan is how the load plan in force of a kind of passage is kept.
func KindLoadPlan(k ecluse.PassageKind) string { return evidence.KindLoadPlan + "-" + string(k) }

// SessionView is somebody's session at the lock.
type SessionView struct {
	ID      string             `json:"id"`
	Person  string             `json:"person"`
	Side    ecluse.Side        `json:"side"`
	Key     ecluse.Fingerprint `json:"key"`
	Begun   time.Time          `json:"begun"`
	Seen    time.Time          `json:"seen"`
	Expires time.Time          `json:"expires"`
	Agent   string             `json:"agent"`
	Mine    bool               `json:"mine"` // the one that asks
}

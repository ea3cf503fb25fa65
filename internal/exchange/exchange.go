// Package exchange holds the nouns that the lock, its gates and the people at
// their own machines say to each other. They travel as JSON over HTTPS, or as
// they are within one process. Nothing in them can hold a value of a record.
package exchange

import (
	"slices"

	"ecluse"
	"ecluse/evidence"
)

// Case is everything signed about a migration, as the lock hands it out. A gate
// believes none of it before it has checked signatures, numbers and times.
type Case struct {
	Rosters     []evidence.Signed `json:"rosters"`
	Contract    []byte            `json:"contract"`
	Instruction []byte            `json:"instruction"`
	Mapping     []byte            `json:"mapping,omitempty"`   // empty before one is signed
	Frozen      [][]byte          `json:"frozen,omitempty"`    // the mapping's frozen tables, known by their digests
	ReadPlan    []byte            `json:"read_plan,omitempty"` // as approved; empty before one is compiled
	LoadPlan    []byte            `json:"load_plan,omitempty"` // of the kind of passage asked for
	Recipients  []evidence.Signed `json:"recipients"`
	Acts        []evidence.Signed `json:"acts"`
	Gates       []evidence.Signed `json:"gates,omitempty"` // what gates said of themselves; the acts on them are among the acts
	Passages    []ecluse.Passage  `json:"passages"`        // that began, in their order
}

// Paper is a kind of statement a gate signs.
type Paper string

// The kinds.
const (
	RecipientPaper   Paper = "recipient"
	PrivilegesBefore Paper = "privileges-before"
	PrivilegesAfter  Paper = "privileges-after"
	ExtractReport    Paper = "extract"
	LoadReport       Paper = "report"
	UndoReport       Paper = "undo"
	ReleasedRow      Paper = "released"
	TwinReport       Paper = "twin" // what a mapping made of invented rows
	ErasureReport    Paper = "erasure"
	ErasedRows       Paper = "rejects-erased" // rows kept after acceptance are gone
	Certificate      Paper = "certificate"
)

// Namespace is what a paper of a kind is signed in.
func (p Paper) Namespace() string {
	if p == RecipientPaper {
		return evidence.NamespaceRecipient
	}
	return evidence.NamespaceStatement
}

// PapersOfGates are the kinds that gates sign.
func PapersOfGates() []Paper {
	return []Paper{RecipientPaper, PrivilegesBefore, PrivilegesAfter, ExtractReport, LoadReport, UndoReport, TwinReport, ReleasedRow, ErasureReport, ErasedRows, Certificate}
}

// Known tells whether gates sign papers of this kind.
func (p Paper) Known() bool { return slices.Contains(PapersOfGates(), p) }

// Ends tells whether a gate says by it what it ended (Verb.Ends).
func (p Paper) Ends() bool {
	return p == UndoReport || p == ErasureReport || p == ErasedRows || p == Certificate
}

// Event is what a gate tells the journal: ids and counts.
type Event struct {
	Migration ecluse.MigrationID `json:"migration"`
	Type      string             `json:"type"`
	IDs       map[string]string  `json:"ids,omitempty"`
	Numbers   map[string]int64   `json:"numbers,omitempty"`
	Act       *evidence.Signed   `json:"act,omitempty"` // of whoever stood at the gate's console, where somebody had to
}

// Place is one of the two databases, and the gate beside it.
type Place string

// The places.
const (
	SourcePlace Place = "source"
	TargetPlace Place = "target"
)

// Stages are what a gate's work goes through: one closed list, for what a lock remembers
// of it.
func Stages() []string { return []string{"reading", "loading", "comparing", "tracing", "undoing"} }

// Progress is how far a passage, or an undoing, has come: counts only.
type Progress struct {
	Stage    string           `json:"stage"`
	Dataset  ecluse.DatasetID `json:"dataset,omitempty"`
	Rows     int64            `json:"rows"`
	Expected int64            `json:"expected,omitempty"` // rows of the stage, as far as can be told; 0: it cannot
	Bytes    int64            `json:"bytes"`
	Chunks   int              `json:"chunks"`
	Paused   bool             `json:"paused,omitempty"` // others are at work on the source's server
	Done     bool             `json:"done,omitempty"`
}

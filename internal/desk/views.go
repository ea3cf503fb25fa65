package desk

import (
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
)

// What commands show and --json prints. None of these types can hold a value of
// a record. Field names are stable.

// ContractView is a contract read.
type ContractView struct {
	ID     string        `json:"id"`
	Digest ecluse.Digest `json:"digest"`
}

// Inspection is a database's structure.
type Inspection struct {
	Digest    ecluse.Digest              `json:"digest"` // of the catalogue, as the journal has it
	Catalogue *ecluse.Catalogue          `json:"catalogue"`
	Estimates map[ecluse.TableName]int64 `json:"estimates"`
}

// SignRequest is a document somebody signs.
type SignRequest struct {
	File     string // its name, in errors; a mapping's frozen tables lie beside it
	Text     []byte
	WithPlan bool // of an instruction: approve the read plan compiled from it in the same act
	Key      ssh.Signer
}

// Signature is an act handed in.
type Signature struct {
	Act       ecluse.Digest      `json:"act"`
	Migration ecluse.MigrationID `json:"migration,omitempty"`
	Person    string             `json:"person"`
	Side      ecluse.Side        `json:"side"`
	Role      ecluse.Role        `json:"role"`
	Clauses   []string           `json:"clauses"`
	Waits     string             `json:"waits,omitempty"`      // for whom, in words
	Since     *Since             `json:"since,omitempty"`      // of the approval of a load plan: against the last one tried
	ReadSince *ReadSince         `json:"read_since,omitempty"` // of the approval of a read plan: against the last one approved
	SaysGo    bool               `json:"says_go,omitempty"`    // an acceptance that no go came before: it is both
	AcceptBy  time.Time          `json:"accept_by,omitzero"`   // of a go: until when the passage can be accepted or undone
	Kept      *exchange.Kept     `json:"kept,omitempty"`       // of an order to erase rows put aside that are kept: how they stand since
	InUse     bool               `json:"in_use,omitempty"`     // an erasure of what the laboratory works in: it stays, not accepted
}

// PlanRequest asks for plans to be compiled.
type PlanRequest struct {
	Migration   ecluse.MigrationID // empty: the only one
	Passage     ecluse.PassageKind
	Instruction []byte     // a draft not signed yet; empty: the migration's own
	File        string     // of the draft
	Key         ssh.Signer // whose draft it is: a migration is opened by a person
}

// Plans is what compiling gave: the read plan while it is not approved or being
// used, the load plan as soon as a mapping is signed.
type Plans struct {
	Migration ecluse.MigrationID         `json:"migration"`
	Read      *mandate.ReadPlan          `json:"-"`
	ReadPlan  ecluse.Digest              `json:"read_plan"`
	ReadFile  string                     `json:"read_file"`
	Load      *mandate.LoadPlan          `json:"-"`
	LoadPlan  ecluse.Digest              `json:"load_plan,omitzero"`
	LoadFile  string                     `json:"load_file,omitempty"`
	Passage   ecluse.PassageKind         `json:"passage"`
	Since     *Since                     `json:"since,omitempty"`      // nil: no load plan, or none was tried before
	ReadSince *ReadSince                 `json:"read_since,omitempty"` // nil: the read plan is approved, or none was before
	Counts    VerdictCounts              `json:"columns"`
	Unused    []string                   `json:"unused,omitempty"`    // instructed columns, "dataset.column", that the mapping has no use for
	Estimates map[ecluse.DatasetID]int64 `json:"estimates,omitempty"` // rows, for display
	Predicted *exchange.Prediction       `json:"predicted,omitempty"` // how long the passage is guessed to take
}

// VerdictCounts says how many columns of the source have which verdict.
type VerdictCounts struct {
	Taken      int `json:"taken"`
	Filters    int `json:"filters"`
	Refused    int `json:"refused"`
	Credential int `json:"credential"`
}

package journal

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"ecluse"
	"ecluse/evidence"
)

// Type of event. The list is closed: what is not in Types is refused.
type Type string

// Events of the installation's tree.
const (
	Created         Type = "created"         // the lock was made, for two roots
	RosterAccepted  Type = "roster-accepted" // a roster of a higher number
	ContractSigned  Type = "contract-signed" // by one party
	ContractEnded   Type = "contract-ended"
	ClockBack       Type = "clock-back"       // the machine's clock was set back
	BodiesForgotten Type = "bodies-forgotten" // retention was reached
	MigrationOpened Type = "migration-opened"
	Inspected       Type = "inspected"     // a database's structure was listed
	SessionBegun    Type = "session-begun" // somebody logged in
	SessionEnded    Type = "session-ended" // IDs["reason"]: logout, revoked, expired, roster, replaced
	LoginRefused    Type = "login-refused" // a known key's signature did not hold
	CarriedOut      Type = "carried-out"   // what a gate without a line needs to go on, by hand
	CarriedIn       Type = "carried-in"    // what such a gate said; each thing it said has its own event
)

// Events of a migration's tree.
const (
	Born              Type = "born"
	ActRecorded       Type = evidence.LeafAct   // the verifier of bundles looks for it
	ChunkStored       Type = evidence.LeafChunk // the verifier of bundles looks for it
	DocumentStored    Type = "document"
	StatementStored   Type = "statement" // signed by a gate: recipient, privileges, report, erasure
	ReadPlanCompiled  Type = "readplan"
	LoadPlanCompiled  Type = "loadplan"
	ReadingBegun      Type = "reading-begun"
	ReadingGivenUp    Type = "reading-given-up" // a later one; what was sealed of it is never loaded
	EpochBegun        Type = "epoch"
	ManifestClosed    Type = "manifest"
	RejectsShown      Type = "rejects-shown"       // rows put aside were opened on the laboratory's side
	FiguresShown      Type = "figures-shown"       // exact figures were, too
	LeftShown         Type = "left-shown"          // and so was the list of rows that an undoing left
	RejectReleased    Type = evidence.LeafReleased // one of those rows may be seen by others, masked
	PassageBegun      Type = evidence.LeafBegun    // the verifier of bundles looks for it
	PassageEnded      Type = "passage-ended"
	PassageStopped    Type = "passage-stopped"
	LeaseAsked        Type = "lease-asked"
	LeaseLent         Type = "lease-lent"
	LeaseEnded        Type = "lease-ended"
	Warned            Type = "warned"
	ApprovalLapsed    Type = "approval-lapsed"
	Accepted          Type = "accepted"
	Decided           Type = "decided" // go or no-go, of a report
	UndoBegun         Type = "undo-begun"
	UndoEnded         Type = "undo-ended"
	PassageLeft       Type = evidence.LeafLeft  // the verifier of bundles looks for it
	PassageInUse      Type = evidence.LeafInUse // it, too
	GateHeld          Type = "gate-held"        // at its own console: it opens nothing until it is released there
	ErasureBegun      Type = "erasure-begun"
	KeyDestroyed      Type = "key-destroyed"
	CiphertextRemoved Type = "ciphertext-removed"
	ErasureChecked    Type = "erasure-checked"
	Erased            Type = "erased"
	Certified         Type = "certified"
	BundleWritten     Type = "bundle-written"
	Closed            Type = "closed"
)

// Events of either.
const (
	Done        Type = "due-done"   // something that was due was done
	Failed      Type = "due-failed" // it was tried, and stays due
	MoveRefused Type = "refused"    // an attempt that contract, instruction, roster or procedure does not allow
)

// Types is the closed list.
func Types() []Type {
	return []Type{
		Created, RosterAccepted, ContractSigned, ContractEnded, ClockBack, BodiesForgotten, MigrationOpened, Inspected,
		SessionBegun, SessionEnded, LoginRefused, CarriedOut, CarriedIn,
		Born, ActRecorded, ChunkStored, DocumentStored, StatementStored, ReadPlanCompiled, LoadPlanCompiled,
		ReadingBegun, ReadingGivenUp, EpochBegun, ManifestClosed, RejectsShown, FiguresShown, LeftShown, RejectReleased, PassageBegun, PassageEnded, PassageStopped, LeaseAsked, LeaseLent, LeaseEnded,
		Warned, ApprovalLapsed, Accepted, Decided, UndoBegun, UndoEnded, PassageLeft, PassageInUse, GateHeld,
		ErasureBegun, KeyDestroyed, CiphertextRemoved, ErasureChecked, Erased, Certified, BundleWritten, Closed,
		Done, Failed, MoveRefused,
	}
}

// Event is something that happened. It holds ids and numbers and no value of a
// record; a count grouped by a value (a code, a reason) is journalled only from
// 10 up, by whoever counts.
type Event struct {
	Tree    string // a migration's id, or evidence.InstallationTree
	Type    Type
	IDs     map[string]string // keys and forms are those of idForms
	Numbers map[string]int64
	Body    Body // what may be forgotten; nil for none
}

// Body is the part of an event that is forgotten at retention: who it was. Its
// kinds are those below; none has a field that takes free text.
type Body interface{ body() }

// PersonID is a person's id in their side's roster.
type PersonID string

// Act is the body of ActRecorded and ContractSigned, and of what somebody did at a
// gate's console.
type Act struct {
	Side   ecluse.Side `json:"side"`
	Person PersonID    `json:"person"`
	Role   ecluse.Role `json:"role"`
}

// Session is the body of SessionBegun and SessionEnded: whose it is.
type Session struct {
	Side   ecluse.Side `json:"side"`
	Person PersonID    `json:"person"`
}

// Attempt is the body of MoveRefused and LoginRefused.
type Attempt struct {
	Side   ecluse.Side `json:"side"`
	Person PersonID    `json:"person"`
}

// Roster is the body of RosterAccepted.
type Roster struct {
	Side   ecluse.Side `json:"side"`
	Number int         `json:"number"`
	People []PersonID  `json:"people"`
}

// Carrier is the body of CarriedOut and CarriedIn: whose doing it was.
type Carrier struct {
	Side   ecluse.Side `json:"side"`
	Person PersonID    `json:"person"`
}

func (Act) body()     {}
func (Session) body() {}
func (Attempt) body() {}
func (Roster) body()  {}
func (Carrier) body() {}

const (
	digestForm      = `sha256:[0-9a-f]{64}`
	fingerprintForm = `SHA256:[A-Za-z0-9+/]{43}`
	wordForm        = `[a-z][a-z0-9-]{0,63}`
	nameForm        = `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}` // of datasets and tables: schema, not data
	slotForm        = nameForm + `/[0-9]{6,}\.[0-9]+`
)

// idForms are the ids an event may have, and the form of each: a free text, a
// name of a person or a value does not fit any.
var idForms = compile(map[string]string{
	"act": digestForm, "contract": digestForm, "instruction": digestForm, "mapping": digestForm, "document": digestForm,
	"plan": digestForm, "read_plan": digestForm, "load_plan": digestForm, "descriptor": digestForm, "manifest": digestForm,
	"recipient": digestForm, "report": digestForm, "statement": digestForm, "certificate": digestForm, "request": digestForm,
	"answer": digestForm, "head": digestForm, "roster": digestForm, "catalogue": digestForm, "bundle": digestForm,
	"sha256": digestForm, "before": digestForm, "after": digestForm, "procedure": digestForm, "subject": digestForm,
	"gate": fingerprintForm, "controller": fingerprintForm, "processor": fingerprintForm, "key": fingerprintForm,
	"side": wordForm, "kind": wordForm, "verb": wordForm, "state": wordForm, "engine": wordForm, "consistency": wordForm,
	"passage": `(dry|rehearsal|final)-[0-9]+`, "migration": `[a-z0-9-]{3,64}`,
	"dataset": nameForm, "table": nameForm, "slot": slotForm, "reason": wordForm, "place": wordForm, "says": `go|no-go`,
	"session": `[0-9a-f]{32}`,
})

func compile(forms map[string]string) map[string]*regexp.Regexp {
	m := make(map[string]*regexp.Regexp, len(forms))
	for k, f := range forms {
		m[k] = regexp.MustCompile(`^(` + f + `)$`)
	}
	return m
}

// Check refuses an event that is not of a listed type or has an id that is not
// listed or not of its form. The error names the key, never the value.
func (e *Event) Check() error {
	wrong := func(format string, args ...any) error {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "journal event " + string(e.Type), Why: fmt.Sprintf(format, args...)}
	}
	if !slices.Contains(Types(), e.Type) {
		return wrong("its type is not in the list")
	}
	for _, k := range slices.Sorted(maps.Keys(e.IDs)) {
		form := idForms[k]
		if form == nil {
			return wrong("an event has no id %q", k)
		}
		if !form.MatchString(e.IDs[k]) {
			return wrong("its id %q has not the form of one", k)
		}
	}
	return nil
}

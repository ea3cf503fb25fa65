package exchange

import (
	"slices"
	"strconv"

	"ecluse"
	"ecluse/evidence"
)

// Verb is what the lock asks of a gate. To be asked gives a gate no right: it does
// what signatures and its own ledger let it do.
type Verb string

// The verbs.
const (
	Inspect       Verb = "inspect"        // list the database's structure
	Sketch        Verb = "sketch"         // compile the read plan of an instruction nobody signed, to be looked at
	MakeRecipient Verb = "make-recipient" // make the key that chunks, or rejects, are sealed to
	CompileRead   Verb = "compile-read"
	CheckMapping  Verb = "check-mapping"
	CompileLoad   Verb = "compile-load"
	Twin          Verb = "twin" // take invented rows through the mapping in force
	Read          Verb = "read"
	Load          Verb = "load"
	Undo          Verb = "undo"
	Keep          Verb = "keep" // forget the markers of an accepted passage
	Lend          Verb = "lend" // answer requests for the release secret
	Erase         Verb = "erase"
	EraseKept     Verb = "erase-kept" // rows put aside that are kept, before their day
	Search        Verb = "search"     // its own folder for pieces of ciphertext
	Certify       Verb = "certify"
	Look          Verb = "look"        // at the journal, and cosign its head
	SignBundle    Verb = "sign-bundle" // the list of an evidence folder's files
)

// Ends tells whether a verb only ends what a gate began: it takes data out of a target,
// destroys keys, or says that this was done.
func (v Verb) Ends() bool {
	switch v {
	case Undo, Erase, EraseKept, Search, Certify:
		return true
	}
	return false
}

// Work is something the lock asks of a gate.
type Work struct {
	ID        string             `json:"id"`
	Verb      Verb               `json:"verb"`
	Migration ecluse.MigrationID `json:"migration,omitempty"` // empty: of the database as a whole
	Passage   ecluse.Passage     `json:"passage,omitzero"`    // of compile-load the kind alone
	Reading   int                `json:"reading,omitempty"`   // of read and load: of the source, 0 the first
	Papers    map[string][]byte  `json:"papers,omitempty"`    // what it is about, by name
	Signed    []evidence.Signed  `json:"signed,omitempty"`
}

// SameWork tells whether what is wanted of a gate is what it knows already, by ids.
func SameWork(wanted []Work, known []string) bool {
	return len(wanted) == len(known) && !slices.ContainsFunc(wanted, func(w Work) bool { return !slices.Contains(known, w.ID) })
}

// Names of the papers of work and of its answers.
const (
	PaperContract    = "contract"
	PaperInstruction = "instruction"
	PaperReadPlan    = "read plan"
	PaperLoadPlan    = "load plan"
	PaperMapping     = "mapping"
	PaperFrozen      = "frozen " // and a number from 0
	PaperCertificate = "certificate"
	PaperSums        = "sums"
	PaperCatalogue   = "catalogue" // ecluse.Catalogue as JSON
	PaperEstimates   = "estimates" // map of table to rows, as JSON
	PaperShape       = "shape"     // Checked as JSON
	PaperStatement   = "statement" // what the gate signed and posted of it
	PaperKeys        = "keys"      // what the gate destroyed, as JSON
	PaperLine        = "line"      // Line as JSON
	PaperProbe       = "probe "    // and a number from 0: a piece of ciphertext
	PaperSearched    = "searched"  // Searched as JSON
)

// Answer is what came of it: papers, or the problem that kept the gate from it.
type Answer struct {
	Papers  map[string][]byte `json:"papers,omitempty"`
	Signed  *evidence.Signed  `json:"signed,omitempty"`
	Problem *Problem          `json:"problem,omitempty"`
}

// Err is the problem as an error; nil when there is none.
func (a *Answer) Err() error {
	if a.Problem == nil {
		return nil
	}
	return a.Problem.Err()
}

// Checked is what a checked mapping reads and writes.
type Checked struct {
	ecluse.Shape
	Unused []string      `json:"unused,omitempty"` // instructed columns, "dataset.column", that it has no use for
	Schema ecluse.Digest `json:"schema,omitzero"`  // of the tables that it writes, as the gate found them
}

// Line is what a gate measured of the way to its lock.
type Line struct {
	Local bool    `json:"local,omitempty"` // there is none: one machine, one process
	Up    float64 `json:"up"`              // bytes a second
	Down  float64 `json:"down"`            // bytes a second
}

// Searched is what a gate found in its own folder after it had erased.
type Searched struct {
	Left   []string `json:"left"`  // files of the migration
	Files  int      `json:"files"` // gone through for pieces of ciphertext
	Found  []string `json:"found"` // files that hold one
	Unread int      `json:"unread"`
}

// Numbered lists the papers whose names are a prefix and a number from 0.
func Numbered(papers map[string][]byte, prefix string) [][]byte {
	var all [][]byte
	for n := 0; ; n++ {
		p, ok := papers[prefix+strconv.Itoa(n)]
		if !ok {
			return all
		}
		all = append(all, p)
	}
}

// AddNumbered adds papers under a prefix and a number from 0.
func AddNumbered(papers map[string][]byte, prefix string, all [][]byte) {
	for n, p := range all {
		papers[prefix+strconv.Itoa(n)] = p
	}
}

package exchange

import (
	"errors"
	"time"

	"ecluse"
	"ecluse/evidence"
)

// A source gate that no line reaches hears its lock by what is carried to it, and
// answers by what is carried back, on a disk, over SFTP or a share. Both are signed as
// a whole: who carries them can lose or delay them, and change nothing.

// Formats of what is carried.
const (
	DispatchFormat = "dispatch/v1"
	ReturnFormat   = "return/v1"
)

// DispatchLife is how long a gate acts on what was carried to it: what was suspended
// since, it does not see.
const DispatchLife = 72 * time.Hour

// MaxBody is what a lock takes at a time, in bytes, papers in base64.
const MaxBody = 4 << 20

// MaxLeft is more than the sealed list of the rows that an undoing left comes to: it has room
// whatever a chamber may hold, for an undoing comes to its end.
const MaxLeft = 8 << 20

// MaxReturn is the longest return that is sent so, with its signature: a gate that has said
// so much says the rest after the next dispatch.
const MaxReturn = (MaxBody - 4<<10) / 4 * 3

// Dispatch is all that a lock says to a gate, at one time.
type Dispatch struct {
	Format string             `json:"ecluse"`
	Lock   ecluse.Fingerprint `json:"lock"`
	Gate   ecluse.Fingerprint `json:"gate"`
	Number int64              `json:"number"` // counts up from 1, for each gate
	Made   time.Time          `json:"made"`
	Came   Came               `json:"came"`           // what came back before it
	Left   []int64            `json:"left,omitempty"` // the dispatches whose returns have something that may still come in
	Work   []Work             `json:"work"`
	Cases  []CarriedCase      `json:"cases"` // of the migrations that the gate is of
}

// Came is how far what a gate returned was taken in.
type Came struct {
	Number int64 `json:"number"` // of the dispatch that it answers; 0: nothing came back yet
	Items  int   `json:"items"`
}

// CarriedCase is what a source gate may ask its lock about a migration.
type CarriedCase struct {
	Migration ecluse.MigrationID                     `json:"migration"`
	Case      *Case                                  `json:"case"` // of a source gate the same, whatever the kind of passage
	Papers    map[Paper][]evidence.Signed            `json:"papers"`
	Slots     []evidence.Signed                      `json:"slots"`
	Manifest  *evidence.Signed                       `json:"manifest"`
	Rejects   []evidence.Signed                      `json:"rejects"`
	Asked     []evidence.Signed                      `json:"asked"` // for the release secret, and not answered
	Head      evidence.Signed                        `json:"head"`
	Leaves    [][]byte                               `json:"leaves"`   // record hashes of the tree under the head, in their order
	Cosigned  map[ecluse.Fingerprint]evidence.Signed `json:"cosigned"` // the newest head that each gate signed
}

// Return is what a gate says to its lock, in the order in which it said it.
type Return struct {
	Format string             `json:"ecluse"`
	Lock   ecluse.Fingerprint `json:"lock"`
	Gate   ecluse.Fingerprint `json:"gate"`
	Number int64              `json:"number"` // of the dispatch that it answers
	Made   time.Time          `json:"made"`
	Items  []Item             `json:"items"`
}

// ItemKind is which method of gate.Lock an item stands for.
type ItemKind string

// The kinds.
const (
	ItemPost   ItemKind = "post"
	ItemRecord ItemKind = "record"
	ItemPut    ItemKind = "put" // the chunk lies beside the return, under its digest
	ItemClose  ItemKind = "close"
	ItemLend   ItemKind = "lend"
	ItemCosign ItemKind = "cosign"
	ItemAnswer ItemKind = "answer"
)

// Item is one thing that a gate said.
type Item struct {
	Kind      ItemKind           `json:"kind"`
	Migration ecluse.MigrationID `json:"migration,omitempty"` // of all but answers
	Paper     Paper              `json:"paper,omitempty"`     // of a post
	Work      string             `json:"work,omitempty"`      // of an answer
	Signed    *evidence.Signed   `json:"signed,omitempty"`    // of all but records and answers; of a put the descriptor
	Event     *Event             `json:"event,omitempty"`     // of a record
	Answer    *Answer            `json:"answer,omitempty"`
}

// Taken is how far a return was gone through. Unless all is done, the next item is a chunk,
// which is wanted. What is neither new, nor late, nor refused, nor waits was in before.
type Taken struct {
	Done    int     `json:"done"`
	Of      int     `json:"of"`
	New     int     `json:"new"`            // taken in now
	Late    int     `json:"late,omitempty"` // answers to what ended otherwise meanwhile: nothing comes of them
	Refused []NotIn `json:"refused,omitempty"`
	Waiting int     `json:"waiting,omitempty"` // behind what was refused of the same migration
	Again   bool    `json:"again,omitempty"`   // these may still come in: of the same return, carried in again
}

// NotIn is an item of a return that was refused.
type NotIn struct {
	Item      int                `json:"item"` // its place, from 0
	Kind      ItemKind           `json:"kind"`
	Migration ecluse.MigrationID `json:"migration,omitempty"`
	Why       *Problem           `json:"why"`
}

// Before is how many items were in before.
func (t *Taken) Before() int { return t.Done - t.New - t.Late - len(t.Refused) - t.Waiting }

// CarriedIn is what was carried in.
type CarriedIn struct {
	Gate    ecluse.Fingerprint `json:"gate,omitempty"`
	Number  int64              `json:"number,omitempty"` // of the dispatch that was answered last
	Items   int                `json:"items"`            // of that answer and, of earlier ones, what was left
	New     int                `json:"new"`              // taken in now
	Late    int                `json:"late"`             // answers to what was withdrawn, or ended otherwise, meanwhile: nothing comes of them
	Before  int                `json:"before"`           // in before
	Refused []NotIn            `json:"refused"`
	Failed  []NotCarried       `json:"failed"`          // what could not be handed in, and stays in the folder
	Waiting int                `json:"waiting"`         // behind what was refused of the same migration
	Again   bool               `json:"again"`           // these lie in the folder, and may still come in
	Paper   bool               `json:"paper,omitempty"` // what a gate says of itself was among it
}

// NotCarried is a return that could not be handed in, or not all of it.
type NotCarried struct {
	Folder string             `json:"folder"`         // in the one that is carried
	Gate   ecluse.Fingerprint `json:"gate,omitempty"` // empty: it cannot be read
	Why    *Problem           `json:"why"`
}

// ErrOtherLock is the error of what was said to another lock.
var ErrOtherLock = errors.New("it is no return to this lock")

// ParseDispatch reads what a lock said to a gate; an empty gate is any.
func ParseDispatch(s evidence.Signed, lock, gate ecluse.Fingerprint) (*Dispatch, error) {
	d := &Dispatch{}
	if err := carried(s, lock, d); err != nil {
		return nil, err
	}
	switch {
	case d.Format != DispatchFormat:
		return nil, unread("its format is not " + DispatchFormat)
	case d.Lock != lock:
		return nil, unread("it is of another lock than this gate's")
	case gate != "" && d.Gate != gate:
		return nil, unread("it is for another gate: " + string(d.Gate))
	case d.Number < 1:
		return nil, unread("it has no number")
	}
	return d, nil
}

// ParseReturn reads what a gate said to a lock.
func ParseReturn(s evidence.Signed, lock ecluse.Fingerprint) (*Return, error) {
	r := &Return{}
	key, err := s.Verify(evidence.NamespaceCarried)
	if err != nil {
		return nil, err
	}
	if err := evidence.DecodeJSON(s.Body, r); err != nil {
		return nil, err
	}
	switch {
	case r.Format != ReturnFormat:
		return nil, unread("its format is not " + ReturnFormat)
	case r.Lock != lock:
		e := unread("it is for another lock than this one")
		e.Err = ErrOtherLock
		return nil, e
	case r.Gate != evidence.FingerprintOf(key):
		return nil, unread("another key signed it than the gate's that it speaks of")
	case r.Number < 1:
		return nil, unread("it has no number")
	}
	for i := range r.Items {
		if err := r.Items[i].Check(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func carried(s evidence.Signed, by ecluse.Fingerprint, v any) error {
	if err := s.VerifyBy(evidence.NamespaceCarried, by); err != nil {
		return err
	}
	return evidence.DecodeJSON(s.Body, v)
}

func unread(why string) *ecluse.Error {
	return &ecluse.Error{Kind: ecluse.Unverified, What: "read what was carried", Why: why, Next: "carry the folder that was meant for this place; if it is that one, have it carried out anew"}
}

// Namespace is what an item of its kind is signed in; empty of records and answers.
func (i *Item) Namespace() string {
	switch i.Kind {
	case ItemPost:
		return i.Paper.Namespace()
	case ItemPut:
		return evidence.NamespaceChunk
	case ItemClose:
		return evidence.NamespaceManifest
	case ItemLend:
		return evidence.NamespaceStatement
	case ItemCosign:
		return evidence.NamespaceHead
	}
	return ""
}

// Check refuses an item that has not just the parts of its kind.
func (i *Item) Check() error {
	signed := i.Signed != nil && i.Event == nil && i.Answer == nil && i.Migration != "" && i.Work == ""
	ok := false
	switch i.Kind {
	case ItemPost:
		ok = signed && i.Paper.Known()
	case ItemPut, ItemClose, ItemLend, ItemCosign:
		ok = signed && i.Paper == ""
	case ItemRecord:
		ok = i.Event != nil && i.Signed == nil && i.Answer == nil && i.Paper == "" && i.Work == "" && i.Event.Migration == i.Migration
	case ItemAnswer:
		ok = i.Answer != nil && i.Signed == nil && i.Event == nil && i.Paper == "" && i.Work != "" && i.Migration == ""
	}
	if !ok {
		return unread("an item of it has not the parts of its kind")
	}
	return nil
}

package evidence

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/crypto/ssh"

	"ecluse"
)

// Trigger is why a migration was erased: whichever came first.
type Trigger string

// The triggers.
const (
	ByAcceptance  Trigger = "acceptance"   // the controller accepted the report
	ByDeadline    Trigger = "deadline"     // erase_by of the instruction
	ByContractEnd Trigger = "contract end" // GDPR art. 28(3)(g)
	ByOrder       Trigger = "order"        // a signed act of the controller
)

// Outcome is what the certificate says became of the load.
type Outcome string

// The outcomes. Acknowledged and Delivered are for targets that cannot be read
// back.
const (
	Proven       Outcome = "proven"                   // read back and compared
	Reserved     Outcome = "proven with reservations" // the same; the differences found are explained and signed
	Acknowledged Outcome = "acknowledged"
	Delivered    Outcome = "delivered"
	Undone       Outcome = "undone"               // loaded, not accepted, taken out again
	NotUndone    Outcome = "not undone"           // loaded, not accepted, and it could not be taken out before the keys went
	InUse        Outcome = "in use, not accepted" // the controller said go of it, and works in it: nobody took it out
	NotLoaded    Outcome = "not loaded"
)

// Certificate is certificate/v1: the statement of erasure under GDPR art.
// 28(3)(g), signed by both gates (NIST SP 800-88 r2 for the method). It names no
// patient and no value.
type Certificate struct {
	Format      string             `json:"ecluse"` // SignCertificate sets it
	Migration   ecluse.MigrationID `json:"migration"`
	Plan        ecluse.Digest      `json:"plan"` // the read plan; empty when nothing was ever read
	Contract    ecluse.Digest      `json:"contract"`
	Instruction ecluse.Digest      `json:"instruction"`
	Manifest    ecluse.Digest      `json:"manifest"` // empty when reading was never completed
	Report      ecluse.Digest      `json:"report"`   // the one accepted; empty unless erased after acceptance
	Trigger     Trigger            `json:"trigger"`
	Act         ecluse.Digest      `json:"act"` // of acceptance or order; empty for the other triggers
	Outcome     Outcome            `json:"outcome"`
	Left        []LeftPassage      `json:"left,omitempty"`        // what stayed in the target, of an outcome "not undone"
	InUse       *InUsePassage      `json:"in_use,omitempty"`      // what stayed, of an outcome "in use, not accepted"
	Stayed      []StayedRows       `json:"stayed,omitempty"`      // rows of passages taken out that stayed in the target all the same
	Disposed    ecluse.Digest      `json:"dispositions,omitzero"` // of the rows put aside, as they were accepted with the report; empty where none was put aside
	Kept        *KeptRows          `json:"kept,omitempty"`        // rows put aside that are kept at the source gate for a while; nil: they were erased with the rest
	NotKept     NotKept            `json:"not_kept,omitempty"`    // why they were, though the instruction states a day until which they are kept
	OneRoom     bool               `json:"one_room"`              // lock and gates stood on one machine
	SourceAdmin ecluse.Side        `json:"source_administered"`   // by the instruction: whose people administer the source machine or its database
	TargetAdmin ecluse.Side        `json:"target_administered"`   // the same of the target
	Backups     Backups            `json:"backups"`               // by the instruction
	Method      string             `json:"method"`
	Tool        string             `json:"tool"`   // name and version
	Binary      ecluse.Digest      `json:"binary"` // of the program
	Keys        []DestroyedKey     `json:"keys"`
	Objects     []ErasedObject     `json:"objects"` // every sealed chunk ever stored, in the order of their slots
	Places      []ErasedPlace      `json:"places"`
	Looked      []LookedFor        `json:"looked"` // what was searched for afterwards
	Erased      time.Time          `json:"erased"` // UTC, whole seconds
	Limits      []string           `json:"limits"` // what this certificate does not say
}

// LeftPassage is a passage that was neither accepted nor taken out of the target.
type LeftPassage struct {
	Passage ecluse.Passage `json:"passage"`
	Why     ecluse.Kind    `json:"why"` // of the last failure to take it out; no more is said, lest a value be
}

// String is the sentence that people read.
func (l LeftPassage) String() string {
	return fmt.Sprintf("erased; passage %s was not taken out of the target (%s)", l.Passage, l.Why)
}

// InUsePassage is a passage in which the laboratory works since a go, and that nobody
// accepted: it was left where it is.
type InUsePassage struct {
	Passage ecluse.Passage `json:"passage"`
	Act     ecluse.Digest  `json:"act"` // by which go was said of its report
}

// String is the sentence that people read.
func (p InUsePassage) String() string {
	return fmt.Sprintf("erased; passage %s was not accepted, and stays in the target: it is in use since the controller said go", p.Passage)
}

// StayedRows is rows of a passage that was taken out of the target and that stayed
// there, because people changed them or refer to them since.
type StayedRows struct {
	Passage   ecluse.Passage `json:"passage"`
	Rows      string         `json:"rows"`      // as Told tells it
	Statement ecluse.Digest  `json:"statement"` // undo/v1, which has them by table and reason
}

// String is the sentence that people read.
func (s StayedRows) String() string {
	return fmt.Sprintf("passage %s was taken out of the target, but for rows that people changed or refer to since, and that stay there: %s", s.Passage, s.Rows)
}

// KeptRows is the rows that the accepted passage put aside, where the controller stated
// until when they are kept: opened by the source gate, sealed anew under a key that it made
// for them alone and that no other machine ever held, and erased by it when that day ends.
type KeptRows struct {
	Passage ecluse.Passage `json:"passage"`
	Until   string         `json:"until"` // the last day, YYYY-MM-DD, UTC
	Key     ecluse.Digest  `json:"key"`   // of the recipient that they are sealed to
}

// String is the sentence that people read.
func (k KeptRows) String() string {
	return fmt.Sprintf("rows that passage %s put aside are kept until %s at the laboratory's gate, which alone can open them", k.Passage, k.Until)
}

// NotKept is why a source gate destroyed the key of rows put aside without keeping them,
// though the controller had stated until when.
type NotKept string

// The reasons.
const (
	NotFetched  NotKept = "deadline" // at the deadline of erasure the server had not given them out, or not all of them
	NotLet      NotKept = "retired"  // the gate was retired, by an act that it verified: a server gives it nothing any more
	NotOrdered  NotKept = "order"    // the controller ordered all erased
	NotContract NotKept = "contract" // the contract leaves no time for it
)

// String is the sentence that people read.
func (n NotKept) String() string {
	return map[NotKept]string{
		NotFetched:  "rows put aside were to be kept at the laboratory's gate and are not: the deadline of erasure came before the gate had all of them",
		NotLet:      "rows put aside were to be kept at the laboratory's gate and are not: the gate had been retired",
		NotOrdered:  "rows put aside were to be kept at the laboratory's gate and are not: the controller ordered all erased",
		NotContract: "rows put aside were to be kept at the laboratory's gate and are not: the contract ends before",
	}[n]
}

// Ends is the first instant after the last day.
func (k KeptRows) Ends() time.Time {
	day, err := time.Parse(time.DateOnly, k.Until)
	if err != nil {
		return time.Time{} // what cannot be read keeps nothing
	}
	return day.AddDate(0, 0, 1)
}

func (k KeptRows) check() error {
	if k.Passage.Kind != ecluse.Final || k.Passage.Number < 1 || !isDay(k.Until) || k.Key.IsZero() {
		return invalid("check certificate", "no rows put aside can be kept of passage %s until %q", k.Passage, k.Until)
	}
	return nil
}

// ErasedRows is rejects-erased/v1: the source gate's word that rows kept were erased.
type ErasedRows struct {
	StatementHead
	Kept   KeptRows  `json:"kept"`
	Erased time.Time `json:"erased"` // UTC, whole seconds
}

// Told adds up masked groups for those who may not know the small counts: "12 + <10";
// empty when there is none.
func Told(groups []ecluse.MaskedGroup) string {
	var sum int64
	var parts []string
	for _, g := range groups {
		if n, err := strconv.ParseInt(g.Count, 10, 64); err == nil {
			sum += n
		} else {
			parts = append(parts, g.Count)
		}
	}
	if sum > 0 {
		parts = append([]string{strconv.FormatInt(sum, 10)}, parts...)
	}
	return strings.Join(parts, " + ")
}

// DestroyedKey is a key, or half of one, that no longer exists.
type DestroyedKey struct {
	Name      string        `json:"name"`        // "chunk identity, target's half", "release secret", "K"
	ID        ecluse.Digest `json:"id,omitzero"` // of the recipient it opened for, itself or its half: the digest of recipients/PURPOSE.json
	Holder    Gate          `json:"holder"`      // which gate held it
	Algorithm string        `json:"algorithm"`
	Destroyed time.Time     `json:"destroyed"`
}

// ErasedObject is a sealed chunk that no longer exists.
type ErasedObject struct {
	Slot   ecluse.Slot   `json:"slot"`
	SHA256 ecluse.Digest `json:"sha256"` // of the ciphertext
	Size   int64         `json:"size"`
	Rows   int64         `json:"rows"`
	Erased time.Time     `json:"erased"`
}

// ErasedPlace is where ciphertext or keys stood, backups included.
type ErasedPlace struct {
	Place   string `json:"place"`
	Held    string `json:"held"`
	Backups string `json:"backups"` // "none", or when the last one expires
}

// NoBackup is said of a folder of which there is no backup.
const NoBackup = "none"

// Backups are, of each folder, NoBackup or the day (YYYY-MM-DD) on which its last
// backup expires.
type Backups struct {
	SourceGate string `json:"source_gate"`
	Lock       string `json:"lock"`
	TargetGate string `json:"target_gate"`
}

func (b Backups) check() error {
	for _, s := range []string{b.SourceGate, b.Lock, b.TargetGate} {
		if day, err := time.Parse(time.DateOnly, s); s != NoBackup && (err != nil || day.Format(time.DateOnly) != s) {
			return invalid("check certificate", "of each folder's backups it says none, or the day on which the last one expires: not %q", s)
		}
	}
	return nil
}

// both is the day from which one of two folders is in no backup any more; empty
// when one never was.
func both(a, b string) string {
	if a == NoBackup || b == NoBackup {
		return ""
	}
	return min(a, b)
}

// LookedFor is one search after the erasure.
type LookedFor struct {
	What  string    `json:"what"`
	Found int64     `json:"found"` // 0, or there is no certificate
	At    time.Time `json:"at"`
}

func (c *Certificate) check() error {
	const what = "check certificate"
	if err := checkHead(what, CertificateFormat, c.Format, c.Migration); err != nil {
		return err
	}
	signed := c.Trigger == ByAcceptance || c.Trigger == ByOrder
	switch {
	case !slices.Contains([]Trigger{ByAcceptance, ByDeadline, ByContractEnd, ByOrder}, c.Trigger):
		return invalid(what, "%q is not a trigger", c.Trigger)
	case !slices.Contains([]Outcome{Proven, Reserved, Acknowledged, Delivered, Undone, NotUndone, InUse, NotLoaded}, c.Outcome):
		return invalid(what, "%q is not an outcome", c.Outcome)
	case (c.Outcome == NotUndone) != (len(c.Left) > 0):
		return invalid(what, "passages left in the target are named of a load that was not undone, and only then")
	case (c.Outcome == InUse) != (c.InUse != nil):
		return invalid(what, "a passage in use is named of a load that is in use and not accepted, and only then")
	case c.InUse != nil && (c.InUse.Passage.Kind != ecluse.Final || c.InUse.Passage.Number < 1 || c.InUse.Act.IsZero()):
		return invalid(what, "no passage %q can be in use, or the go is missing", c.InUse.Passage)
	case c.SourceAdmin != ecluse.Controller && c.SourceAdmin != ecluse.Processor:
		return invalid(what, "it does not say who administers the source")
	case c.TargetAdmin != ecluse.Controller && c.TargetAdmin != ecluse.Processor:
		return invalid(what, "it does not say who administers the target")
	case c.Contract.IsZero() || c.Instruction.IsZero() || c.Binary.IsZero():
		return invalid(what, "contract, instruction or binary is missing")
	case signed == c.Act.IsZero():
		return invalid(what, "the act is missing, or there is one that nothing asks for")
	case c.Trigger != ByAcceptance && !c.Disposed.IsZero():
		return invalid(what, "what becomes of rows put aside is accepted with a report, and only then")
	case (c.Trigger == ByAcceptance) == c.Report.IsZero():
		return invalid(what, "a report is named after acceptance, and only then")
	case c.Trigger == ByAcceptance != slices.Contains([]Outcome{Proven, Reserved, Acknowledged, Delivered}, c.Outcome):
		return invalid(what, "a load stays after acceptance and only then: not %s by %s", c.Outcome, c.Trigger)
	case !wholeSecond(c.Erased):
		return invalid(what, "its time is not an instant in UTC and whole seconds")
	case c.Trigger != ByAcceptance && (c.Kept != nil || c.NotKept != ""):
		return invalid(what, "rows put aside are kept after acceptance and only then")
	case c.NotKept != "" && (c.Kept != nil || c.NotKept.String() == ""):
		return invalid(what, "rows put aside are kept, or not for a reason: not %q", string(c.NotKept))
	case c.Plan.IsZero() && (len(c.Objects) > 0 || !c.Manifest.IsZero()):
		return invalid(what, "chunks or a manifest without a plan")
	}
	if err := c.Backups.check(); err != nil {
		return err
	}
	if c.Kept != nil {
		if err := c.Kept.check(); err != nil {
			return err
		}
	}
	return c.checkLists()
}

func (c *Certificate) checkLists() error {
	const what = "check certificate"
	holders := map[Gate]bool{}
	for _, k := range c.Keys {
		if k.Name == "" || k.Algorithm == "" || !wholeSecond(k.Destroyed) || k.Destroyed.After(c.Erased) {
			return invalid(what, "key %q: name, algorithm or time cannot be", k.Name)
		}
		holders[k.Holder] = true
	}
	if len(c.Objects) > 0 && (!holders[SourceGate] || !holders[TargetGate]) {
		return invalid(what, "it does not say of both gates which key was destroyed")
	}
	for i, o := range c.Objects {
		if err := checkSlot(what, o.Slot); err != nil {
			return err
		}
		if o.SHA256.IsZero() || o.Size < 1 || o.Rows < 0 || !wholeSecond(o.Erased) || o.Erased.After(c.Erased) {
			return invalid(what, "chunk %s: sha256, size, rows or time cannot be", o.Slot)
		}
		if i > 0 && !slotLess(c.Objects[i-1].Slot, o.Slot) {
			return invalid(what, "chunk %s is repeated or out of order", o.Slot)
		}
	}
	for _, l := range c.Left {
		if l.Passage.Kind != ecluse.Final && l.Passage.Kind != ecluse.Rehearsal || l.Passage.Number < 1 || !slices.Contains(ecluse.Kinds(), l.Why) {
			return invalid(what, "no passage %q can be left in the target for the reason %q", l.Passage, l.Why)
		}
	}
	for i, s := range c.Stayed {
		switch {
		case s.Passage.Kind != ecluse.Final || s.Passage.Number < 1 || s.Statement.IsZero() || s.Rows == "" || strings.Trim(s.Rows, "0123456789<*+ ") != "":
			return invalid(what, "no rows %q of passage %q can have stayed in the target", s.Rows, s.Passage)
		case i > 0 && s.Passage.Number <= c.Stayed[i-1].Passage.Number:
			return invalid(what, "passages of which rows stayed are repeated or out of order")
		}
	}
	for _, l := range c.Looked {
		if l.What == "" || l.Found != 0 || !wholeSecond(l.At) || l.At.After(c.Erased) {
			return invalid(what, "%q was found afterwards, or when is not said", l.What)
		}
	}
	for _, text := range append([]string{c.Method, c.Tool}, c.Limits...) {
		if strings.TrimSpace(text) == "" || strings.ContainsFunc(text, unicode.IsControl) {
			return invalid(what, "method, tool and limits are lines of text: not %q", text)
		}
	}
	if len(c.Looked) == 0 || len(c.Places) == 0 || len(c.Limits) == 0 {
		return invalid(what, "it does not say where things stood, what was looked for afterwards, or its limits")
	}
	return nil
}

// slotLess orders slots by dataset, sequence and version.
func slotLess(a, b ecluse.Slot) bool {
	switch {
	case a.Dataset != b.Dataset:
		return a.Dataset < b.Dataset
	case a.Sequence != b.Sequence:
		return a.Sequence < b.Sequence
	}
	return a.Version < b.Version
}

// SignCertificate encodes a certificate and signs it with one gate's key; the
// other gate signs the same bytes.
func SignCertificate(gate ssh.Signer, c *Certificate) (Signed, error) {
	c.Format = CertificateFormat
	if err := c.check(); err != nil {
		return Signed{}, err
	}
	return SignStatement(gate, c)
}

// ParseCertificate checks that the gate signed the certificate, and reads it.
func ParseCertificate(s Signed, gate ecluse.Fingerprint) (*Certificate, error) {
	return parseSigned(s, NamespaceStatement, gate, decodeCertificate)
}

func decodeCertificate(b []byte) (*Certificate, error) {
	c := &Certificate{}
	return c, decodeChecked(b, c, c.check)
}

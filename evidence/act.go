package evidence

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
)

// Verb is what a clause of an act does.
type Verb string

// The verbs.
const (
	VerbSign    Verb = "sign"    // take a document as one's own: contract, instruction, mapping; of a gate: confirm that it is this one
	VerbApprove Verb = "approve" // let a plan run
	VerbRefuse  Verb = "refuse"
	VerbAccept  Verb = "accept" // a report, the dispositions of rejects
	VerbErase   Verb = "erase"
	VerbLeave   Verb = "leave" // of a load plan: its passage may stay in the target if it cannot be taken out before the keys go
	VerbSuspend Verb = "suspend"
	VerbResume  Verb = "resume"
	VerbObject  Verb = "object" // GDPR art. 28(3), last sentence
	VerbGo      Verb = "go"     // of a final passage's report: the laboratory works in the new software from now on
	VerbNoGo    Verb = "no-go"  // of one: it does not
)

// Verbs lists them all.
func Verbs() []Verb {
	return []Verb{VerbSign, VerbApprove, VerbRefuse, VerbAccept, VerbErase, VerbLeave, VerbSuspend, VerbResume, VerbObject, VerbGo, VerbNoGo}
}

// Kinds of document that the bundle's verifier looks for in clauses. Others may
// be signed too: a kind is 2 to 32 lower-case letters and hyphens.
const (
	KindContract     = "contract"
	KindInstruction  = "instruction"
	KindMapping      = "mapping"
	KindReadPlan     = "readplan"
	KindLoadPlan     = "loadplan"
	KindReport       = "report"
	KindDispositions = "dispositions"
	KindDecision     = "decision"     // what stays open after a go
	KindReservations = "reservations" // differences accepted with a reason
	KindMigration    = "migration"    // its subject is the instruction's digest
	KindGate         = "gate"         // what a gate is and where it stands, in its own words
	KindAct          = "act"          // an act that stopped a migration, which resuming lifts; or one that approved a load plan, whose passage refusing it orders undone
	KindKept         = "kept-rows"    // rows put aside that outlive the acceptance: its subject is what the certificate has as their key
	KindReason       = "reason"       // why an order was given: plain text, signed with it

	// Of what is signed at the source gate's console, inside what the gate states of it.
	KindShown    = "shown"        // rows put aside, or exact figures, of a passage
	KindReleased = "released-row" // one row, masked: its subject is the digest of that
)

// Clause is one thing that an act says of one document.
type Clause struct {
	Verb    Verb
	Kind    string
	Subject ecluse.Digest // of the document's exact bytes
}

// String is the clause's line: "approve readplan sha256:…".
func (c Clause) String() string { return fmt.Sprintf("%s %s %s", c.Verb, c.Kind, c.Subject) }

// standing tells the kinds that hold for every migration: acts on them alone are
// made outside any.
func standing(kind string) bool { return kind == KindContract || kind == KindGate }

// MaxClauses bounds an act: what somebody can read before signing.
const MaxClauses = 32

// Act is act/v1: the small document that a person signs, whatever it is about.
// It says who does what to which exact bytes, in which role, and between which
// instants the signature may be handed in.
type Act struct {
	Migration    ecluse.MigrationID // empty for an act on contracts and gates only, made outside any migration
	Side         ecluse.Side
	Person       string // id in the roster
	Role         ecluse.Role
	Roster       ecluse.Digest // of the side's roster that the signer is in
	RosterNumber int
	NotBefore    time.Time // UTC, whole seconds
	NotAfter     time.Time // UTC, whole seconds
	Nonce        string    // 32 lower-case hexadecimal digits: no two acts are the same text
	Clauses      []Clause  // 1 to MaxClauses
}

// NewNonce makes the nonce of an act.
func NewNonce() string {
	var b [16]byte
	rand.Read(b[:]) // never fails since Go 1.24
	return hex.EncodeToString(b[:])
}

const (
	actFormat = "ecluse act/v1"
	noValue   = "-" // stands for an empty migration; too short to be one
)

// Text is the act's one canonical text, the bytes that are signed.
//
//	ecluse act/v1
//	migration megabus-2026-01
//	side controller
//	person anne-martin
//	role signatory
//	roster 3 sha256:…
//	not-before 2026-11-23T09:00:00Z
//	not-after 2026-11-23T21:00:00Z
//	nonce 0123456789abcdef0123456789abcdef
//	sign instruction sha256:…
//	approve readplan sha256:…
func (a *Act) Text() []byte {
	var b bytes.Buffer
	migration := string(a.Migration)
	if migration == "" {
		migration = noValue
	}
	fmt.Fprintf(&b, "%s\nmigration %s\nside %s\nperson %s\nrole %s\n", actFormat, migration, a.Side, a.Person, a.Role)
	fmt.Fprintf(&b, "roster %d %s\n", a.RosterNumber, a.Roster)
	fmt.Fprintf(&b, "not-before %s\nnot-after %s\nnonce %s\n", formatTime(a.NotBefore), formatTime(a.NotAfter), a.Nonce)
	for _, c := range a.Clauses {
		fmt.Fprintln(&b, c)
	}
	return b.Bytes()
}

// Has tells whether the act has the clause.
func (a *Act) Has(v Verb, kind string, subject ecluse.Digest) bool {
	return slices.Contains(a.Clauses, Clause{v, kind, subject})
}

// ParseAct reads an act's text, and only the text that Text would write.
func ParseAct(text []byte) (*Act, error) {
	const what = "read act"
	p := lineParser{lines: strings.Split(string(text), "\n")}
	if p.next() != actFormat {
		return nil, invalid(what, "it does not begin with %q", actFormat)
	}
	var a Act
	a.Migration = ecluse.MigrationID(p.field("migration"))
	if a.Migration == noValue {
		a.Migration = ""
	}
	a.Side = ecluse.Side(p.field("side"))
	a.Person = p.field("person")
	a.Role = ecluse.Role(p.field("role"))
	number, digest, _ := strings.Cut(p.field("roster"), " ")
	a.RosterNumber = p.number(number)
	a.Roster = p.digest(digest)
	a.NotBefore = p.time("not-before")
	a.NotAfter = p.time("not-after")
	a.Nonce = p.field("nonce")
	for len(p.lines) > 1 && p.err == nil && len(a.Clauses) <= MaxClauses {
		verb, rest, _ := strings.Cut(p.next(), " ")
		kind, subject, _ := strings.Cut(rest, " ")
		a.Clauses = append(a.Clauses, Clause{Verb(verb), kind, p.digest(subject)})
	}
	if p.err != nil {
		return nil, because(ecluse.Invalid, what, p.err)
	}
	if err := a.Check(); err != nil {
		return nil, err
	}
	if !bytes.Equal(a.Text(), text) {
		return nil, invalid(what, "its text is not the canonical one")
	}
	return &a, nil
}

var (
	personPattern = regexp.MustCompile(`^[a-z][a-z0-9]*([.-][a-z0-9]+)*$`)
	kindPattern   = regexp.MustCompile(`^[a-z][a-z-]{1,31}$`)
	noncePattern  = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// maxID bounds a person's id, in characters.
const maxID = 64

// ValidPerson tells what can be a person's id in a roster.
func ValidPerson(id string) bool { return len(id) <= maxID && personPattern.MatchString(id) }

// Check tells what is wrong with an act before it is signed.
func (a *Act) Check() error {
	const what = "check act"
	switch {
	case a.Migration != "" && !a.Migration.Valid():
		return invalid(what, "%q is not a migration's id", a.Migration)
	case a.Side != ecluse.Controller && a.Side != ecluse.Processor:
		return invalid(what, "%q is not a side", a.Side)
	case !ValidPerson(a.Person):
		return invalid(what, "%q is not a person's id", a.Person)
	case !slices.Contains(roles(), a.Role):
		return invalid(what, "%q is not a role", a.Role)
	case a.RosterNumber < 1 || a.Roster.IsZero():
		return invalid(what, "it does not name the signer's roster by number and digest")
	case !wholeSecond(a.NotBefore) || !wholeSecond(a.NotAfter) || !a.NotBefore.Before(a.NotAfter):
		return invalid(what, "its validity is not two instants in order, in UTC and whole seconds")
	case !noncePattern.MatchString(a.Nonce):
		return invalid(what, "its nonce is not 32 lower-case hexadecimal digits")
	case len(a.Clauses) == 0 || len(a.Clauses) > MaxClauses:
		return invalid(what, "it has %d clauses, want 1 to %d", len(a.Clauses), MaxClauses)
	}
	for i, c := range a.Clauses {
		if err := a.checkClause(i, c); err != nil {
			return err
		}
	}
	return nil
}

func (a *Act) checkClause(i int, c Clause) error {
	const what = "check act"
	switch {
	case !slices.Contains(Verbs(), c.Verb):
		return invalid(what, "clause %d: %q is not a verb", i+1, c.Verb)
	case !kindPattern.MatchString(c.Kind):
		return invalid(what, "clause %d: %q is not a kind of document", i+1, c.Kind)
	case c.Subject.IsZero():
		return invalid(what, "clause %d has no subject", i+1)
	case a.Migration == "" && !standing(c.Kind):
		return invalid(what, "clause %d: an act on a %s names its migration", i+1, c.Kind)
	case a.Migration != "" && c.Kind == KindGate:
		return invalid(what, "clause %d: an act on a gate names no migration: a gate serves them all", i+1)
	}
	for _, earlier := range a.Clauses[:i] {
		if earlier.Kind == c.Kind && earlier.Subject == c.Subject {
			return invalid(what, "clause %d says a second thing of %s %s", i+1, c.Kind, c.Subject)
		}
	}
	return nil
}

// SignAct checks an act and signs it.
func SignAct(signer ssh.Signer, a *Act) (Signed, error) {
	if err := a.Check(); err != nil {
		return Signed{}, err
	}
	return Sign(signer, NamespaceAct, a.Text())
}

func roles() []ecluse.Role {
	return []ecluse.Role{ecluse.Signatory, ecluse.Operator, ecluse.DPO, ecluse.Security}
}

const timeLayout = "2006-01-02T15:04:05Z"

func formatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

func wholeSecond(t time.Time) bool {
	return !t.IsZero() && t.Location() == time.UTC && t.Nanosecond() == 0 && t.Year() < 10000
}

// lineParser reads "name value" lines in a fixed order, keeping the first error.
type lineParser struct {
	lines []string
	err   error
}

func (p *lineParser) next() string {
	if len(p.lines) == 0 {
		return ""
	}
	l := p.lines[0]
	p.lines = p.lines[1:]
	return l
}

func (p *lineParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *lineParser) field(name string) string {
	l := p.next()
	v, ok := strings.CutPrefix(l, name+" ")
	if !ok {
		p.fail("want a line beginning with %q", name)
	}
	return v
}

func (p *lineParser) number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		p.fail("%q is not a number", s)
	}
	return n
}

func (p *lineParser) digest(s string) ecluse.Digest {
	d, err := ecluse.ParseDigest(s)
	if err != nil {
		p.fail("%w", err)
	}
	return d
}

func (p *lineParser) time(name string) time.Time {
	t, err := time.Parse(timeLayout, p.field(name))
	if err != nil {
		p.fail("%s is not an instant such as 2026-11-23T09:00:00Z", name)
	}
	return t
}

package mandate

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/document"
)

// Instruction is instruction/v1: what the controller tells the processor to
// move, by name, and nothing else (GDPR art. 28(3)(a) and 29). It binds once a
// signatory of the controller has signed its digest.
type Instruction struct {
	Format    string                `yaml:"ecluse" enum:"instruction/v1"`
	ID        ecluse.MigrationID    `yaml:"id"`
	Replaces  *ecluse.Digest        `yaml:"replaces,omitempty"` // the version in force until this one is; a first one has none
	Contract  ecluse.Digest         `yaml:"contract" law:"GDPR art. 28(3)"`
	Purpose   string                `yaml:"purpose" law:"GDPR art. 5(1)(b)"`
	Source    SourcePlace           `yaml:"source"`
	Target    TargetPlace           `yaml:"target"`
	Backups   Backups               `yaml:"backups" law:"GDPR art. 28(3)(g)"`
	Passages  Passages              `yaml:"passages"`
	Datasets  document.Map[Dataset] `yaml:"datasets" law:"GDPR art. 28(3)(a)"`
	Sensitive []ecluse.Class        `yaml:"sensitive,omitempty"`
	Checks    document.Map[Check]   `yaml:"checks,omitempty"`
	Accounts  Accounts              `yaml:"accounts,omitempty"`
	Limits    Limits                `yaml:"limits"`
	Deputies  []string              `yaml:"deputies,omitempty" law:"GDPR art. 29"` // ids in the controller's roster: who may say go or no-go beside a signatory
	EraseBy   time.Time             `yaml:"erase_by" law:"GDPR art. 28(3)(g)"`
	// Last day on which the rows that the accepted passage put aside are kept at the source
	// gate, for the laboratory to work through; without it they go with the rest.
	RejectsUntil *Date `yaml:"rejects_until,omitempty" law:"GDPR art. 5(1)(e)"`

	digest ecluse.Digest
	lines  *document.Lines
}

// SourcePlace is the old software and the gate beside its database.
type SourcePlace struct {
	Gate           ecluse.Fingerprint `yaml:"gate"`
	System         string             `yaml:"system"`
	AdministeredBy ecluse.Side        `yaml:"administered_by" law:"GDPR art. 5(2)"` // whose people administer the machine or its database
	Consistency    string             `yaml:"consistency"`                          // snapshot, locked, frozen, reread
	Frozen         *Freeze            `yaml:"frozen,omitempty"`
}

// Freeze is whose word it is that nobody writes in the source, and from when.
type Freeze struct {
	By   string    `yaml:"by"`
	From time.Time `yaml:"from"`
}

// TargetPlace is the new software and the gate beside its database.
type TargetPlace struct {
	Gate           ecluse.Fingerprint `yaml:"gate"`
	System         string             `yaml:"system"`
	AdministeredBy ecluse.Side        `yaml:"administered_by" law:"GDPR art. 5(2)"` // whose people administer the machine or its database
	PreProduction  string             `yaml:"pre_production,omitempty"`             // the system rehearsals go into
}

// Backups says of each of the three folders whether it is in backups: what was
// copied there before the erasure is out of its reach until the last one expires.
type Backups struct {
	SourceGate Backup `yaml:"source_gate" law:"GDPR art. 28(3)(g)"` // holds a half of the key, and the identity of rejects
	Lock       Backup `yaml:"lock" law:"GDPR art. 28(3)(g)"`        // holds ciphertext
	TargetGate Backup `yaml:"target_gate" law:"GDPR art. 28(3)(g)"` // holds the other half of the key
}

// Backup is the word none, or the day on which the last backup of a folder
// expires.
type Backup struct {
	Until Date `yaml:"until" law:"GDPR art. 28(3)(g)"`
	none  bool
}

// NoBackup is how an instruction, and the certificate after it, say that there is
// none.
const NoBackup = evidence.NoBackup

// None tells whether there is no backup.
func (b Backup) None() bool { return b.none }

func (b Backup) String() string {
	if b.none {
		return NoBackup
	}
	return b.Until.String()
}

// DecodeNode reads either way of writing a backup.
func (b *Backup) DecodeNode(n *document.Node, decode func(*document.Node, any)) error {
	if document.IsScalar(n) {
		if n.Value != NoBackup {
			return errors.New("want none, or {until: YYYY-MM-DD}, the day on which the last one expires")
		}
		*b = Backup{none: true}
		return nil
	}
	type keys Backup
	decode(n, (*keys)(b))
	return nil
}

// Passages is the budget of runs of each kind.
type Passages struct {
	Dry       int    `yaml:"dry"`
	Rehearsal int    `yaml:"rehearsal"`
	Final     int    `yaml:"final"`
	CatchUp   int    `yaml:"catch_up,omitempty"` // how often the source may be read again, after the first reading, for what changed since
	Untried   string `yaml:"untried,omitempty"`  // why no mapping is tried on the rows first: then there is neither dry run nor rehearsal
}

// Of is the budget of one kind.
func (p Passages) Of(k ecluse.PassageKind) int {
	switch k {
	case ecluse.Dry:
		return p.Dry
	case ecluse.Rehearsal:
		return p.Rehearsal
	case ecluse.Final:
		return p.Final
	}
	return 0
}

// Dataset is rows of one table, by named columns; or the distinct values of one
// column, each with its ordinal.
type Dataset struct {
	From     ecluse.TableName       `yaml:"from"`
	Key      []string               `yaml:"key,omitempty"`
	Columns  document.Map[Column]   `yaml:"columns,omitempty"`
	Distinct string                 `yaml:"distinct,omitempty"`
	Class    ecluse.Class           `yaml:"class,omitempty"`   // of Distinct
	As       string                 `yaml:"as,omitempty"`      // of Distinct
	Because  string                 `yaml:"because,omitempty"` // of Distinct
	Where    []Condition            `yaml:"where,omitempty"`
	Rows     *RowTolerance          `yaml:"rows,omitempty"`
	Within   document.Map[[]string] `yaml:"within,omitempty"` // dataset: columns that refer to its key
}

// RowTolerance is how many rows a dataset is expected to have, and how many more or fewer
// it may have: with others it is not what was looked at when it was instructed.
type RowTolerance struct {
	Expected  int64 `yaml:"expected" json:"expected"`
	Tolerance int64 `yaml:"tolerance,omitempty" json:"tolerance,omitempty"` // more or fewer, at most
}

// Most is how many rows there may be.
func (r *RowTolerance) Most() int64 { return r.Expected + r.Tolerance }

// Least is how many there must be.
func (r *RowTolerance) Least() int64 { return r.Expected - r.Tolerance }

// mostExpected keeps sums of the two within their type.
const mostExpected = 1 << 50

// Column is one instructed column, written `name: class` or `name: {class: …}`.
type Column struct {
	Class   ecluse.Class `yaml:"class"`
	As      string       `yaml:"as,omitempty"`      // "text": the database's exact text
	Because string       `yaml:"because,omitempty"` // asked for free text and documents
}

// DecodeNode reads either way of writing a column.
func (c *Column) DecodeNode(n *document.Node, decode func(*document.Node, any)) error {
	if document.IsScalar(n) {
		decode(n, &c.Class)
		if c.Class == "" {
			return errors.New("want the column's class")
		}
		return nil
	}
	type keys Column
	decode(n, (*keys)(c))
	return nil
}

// Condition keeps the rows whose column holds what it says. All conditions of a
// dataset hold together.
type Condition struct {
	Column  string   `yaml:"column"`
	From    string   `yaml:"from,omitempty"`   // ≥
	Before  string   `yaml:"before,omitempty"` // <
	In      []string `yaml:"in,omitempty"`     // one of
	NotNull bool     `yaml:"not_null,omitempty"`
}

// Check is a figure counted in the source, apart from the mapping, and compared
// with the target's.
type Check struct {
	Dataset ecluse.DatasetID `yaml:"dataset"`
	CountBy string           `yaml:"count_by,omitempty"` // rows for each value of the column
	Count   bool             `yaml:"count,omitempty"`
	Sum     string           `yaml:"sum,omitempty"`
	First   string           `yaml:"first,omitempty"`
	Last    string           `yaml:"last,omitempty"`
	By      string           `yaml:"by,omitempty"` // one figure for each value of the column
}

// Accounts says what a gate's database account may read beyond the instruction.
type Accounts struct {
	Source Account `yaml:"source,omitempty"`
}

// Account is an account that cannot be narrowed, and why.
type Account struct {
	MayAlsoRead Reach  `yaml:"may_also_read"`
	Because     string `yaml:"because"`
}

// Reach is a list of "table.column", or the one word all.
type Reach []string

// All tells the reach of an account that reads everything.
func (r Reach) All() bool { return len(r) == 1 && r[0] == reachAll }

const reachAll = "all"

// DecodeNode reads either way of writing a reach.
func (r *Reach) DecodeNode(n *document.Node, decode func(*document.Node, any)) error {
	if document.IsScalar(n) {
		if n.Value != reachAll {
			return errors.New("want a list of table.column, or all")
		}
		*r = Reach{reachAll}
		return nil
	}
	decode(n, (*[]string)(r))
	for _, s := range *r {
		if s == reachAll || !strings.Contains(s, ".") {
			return fmt.Errorf("%q is not table.column", s)
		}
	}
	if len(*r) == 0 {
		return errors.New("want a list of table.column, or all")
	}
	return nil
}

// Limits bound a passage: beyond them it stops.
type Limits struct {
	Rows             int    `yaml:"rows"`
	Bytes            Size   `yaml:"bytes"` // of ciphertext
	Window           string `yaml:"window,omitempty"`
	QueriesPerSecond int    `yaml:"queries_per_second,omitempty"`
	LoadPause        int    `yaml:"load_pause,omitempty"`     // the reading pauses while so many sessions of others are at work on the source's server; 0: never
	Lease            string `yaml:"lease,omitempty"`          // how long a half of the key is lent at a time: 15m, 24h
	RehearsalDays    int    `yaml:"rehearsal_days,omitempty"` // how long a rehearsal may stand in the test base; 7 where nothing is said
}

// Bounds of how long a rehearsal may stand in the test base: real people's data stand
// there, for the length of a test.
const (
	UsualRehearsalDays = 7
	MostRehearsalDays  = 90
)

// MostKeptDays is how long after erase_by rows put aside may be kept at most.
const MostKeptDays = 90

// RehearsalUntil is when a rehearsal begun at a time is undone by itself.
func (i *Instruction) RehearsalUntil(begun time.Time) time.Time {
	days := i.Limits.RehearsalDays
	if days == 0 {
		days = UsualRehearsalDays
	}
	until := begun.AddDate(0, 0, days)
	if until.After(i.EraseBy) {
		return i.EraseBy
	}
	return until
}

// Bounds of how long the source gate lends its half of the key at a time: the target
// gate keeps it in memory that long, and withholding it suspends no sooner. What is
// carried by hand takes longer than a line does.
const (
	UsualLease = 15 * time.Minute
	MostLease  = 72 * time.Hour
)

// LeaseTime is how long a half of the key is lent at a time.
func (l Limits) LeaseTime() time.Duration { return leaseTime(l.Lease) }

// leaseTime reads what was checked; anything else is the usual.
func leaseTime(s string) time.Duration {
	d, err := parseLease(s)
	if err != nil {
		return UsualLease
	}
	return d
}

// parseLease reads whole minutes or hours; empty is the usual.
func parseLease(s string) (time.Duration, error) {
	if s == "" {
		return UsualLease, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < UsualLease || d > MostLease || d%time.Minute != 0 {
		return 0, fmt.Errorf("want whole minutes or hours from %dm to %dh, such as 24h", UsualLease/time.Minute, MostLease/time.Hour)
	}
	return d, nil
}

// ParseInstruction reads and checks an instruction, without any catalogue. What
// is wrong gives document.Problems; what no signature could allow (a password)
// an *ecluse.Error of kind Refused around them.
func ParseInstruction(file string, text []byte) (*Instruction, error) {
	return parseInstruction(file, text, (*Instruction).check)
}

// ParseNewInstruction reads one that is still to be signed: it asks as well for what an
// instruction has to say today and had not to when it was signed earlier. One in force is
// read by ParseInstruction alone: a rule that came later must not take its deadline away.
func ParseNewInstruction(file string, text []byte) (*Instruction, error) {
	return parseInstruction(file, text, func(i *Instruction, p *problems) {
		i.check(p)
		i.checkTried(p)
		if i.Target.PreProduction != "" && i.Target.PreProduction == i.Target.System {
			p.add("target.pre_production", "it is the system itself: a rehearsal goes into another one", lawOnly)
		}
	})
}

func parseInstruction(file string, text []byte, check func(*Instruction, *problems)) (*Instruction, error) {
	i := &Instruction{digest: ecluse.DigestOf(text)}
	lines, err := document.Decode(file, text, i)
	if err != nil {
		return nil, err
	}
	i.lines = lines
	p := &problems{lines: lines}
	check(i, p)
	if err := p.err("read instruction"); err != nil {
		return nil, err
	}
	return i, nil
}

// Digest identifies the exact bytes the instruction was read from.
func (i *Instruction) Digest() ecluse.Digest { return i.digest }

// Follows says why the instruction cannot come after the version in force of the
// same migration, or nil. A zero digest: none is in force.
func (i *Instruction) Follows(inForce ecluse.Digest) error {
	return follows("instruction "+string(i.ID), i.Replaces, inForce, lawOnly)
}

// follows holds a document to its predecessor: whoever signs a change has seen
// what it changes.
func follows(what string, replaces *ecluse.Digest, inForce ecluse.Digest, article string) error {
	e := &ecluse.Error{Kind: ecluse.Refused, What: what, Where: "replaces", Article: article}
	switch {
	case inForce.IsZero() && replaces == nil, replaces != nil && *replaces == inForce:
		return nil
	case inForce.IsZero():
		e.Why = "no version of it is in force, and it replaces " + replaces.String()
		e.Next = "take replaces out: a first version names none"
		return e
	case replaces == nil:
		e.Why = inForce.String() + " is in force, and it does not name it"
	default:
		e.Why = fmt.Sprintf("%s is in force, and it replaces %s", inForce, *replaces)
	}
	e.Next = "compare both, then write: replaces: " + inForce.String()
	return e
}

package mandate

import (
	"fmt"
	"slices"
	"time"

	"ecluse"
	"ecluse/evidence"
)

// DeadlineOf is what ends.
type DeadlineOf string

// What ends: nothing moves after the first of them.
const (
	OfErasure  DeadlineOf = "erase"        // erase_by of the instruction
	OfContract DeadlineOf = "contract-end" // with it every migration under it
	OfRoster   DeadlineOf = "roster-age"   // no gate takes the roster any longer

	OfApproval DeadlineOf = "approval-lapse" // of the plan that is approved and did not begin; the lock's word
)

// Deadline is an end that a migration comes to.
type Deadline struct {
	Of   DeadlineOf
	Side ecluse.Side // of a roster
	At   time.Time
}

// Deadlines lists the ends of a migration, the earliest first. Of each side the roster that
// runs at now counts.
func Deadlines(c *Contract, i *Instruction, rosters []*evidence.Roster, now time.Time) []Deadline {
	all := []Deadline{{Of: OfErasure, At: i.EraseBy}, {Of: OfContract, At: c.ends()}}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		var last *evidence.Roster
		for _, r := range rosters {
			if r.Side == side && !r.Issued.After(now) && (last == nil || r.Number > last.Number) {
				last = r
			}
		}
		if last == nil {
			continue
		}
		all = append(all, Deadline{OfRoster, side, last.Ends()})
	}
	slices.SortStableFunc(all, func(a, b Deadline) int { return a.At.Compare(b.At) })
	return all
}

// ReadDeadlines is Deadlines, of a contract and of rosters as they were signed.
func ReadDeadlines(contract []byte, i *Instruction, rosters []evidence.Signed, now time.Time) ([]Deadline, error) {
	c, read, err := readEnds(contract, rosters)
	if err != nil {
		return nil, err
	}
	return Deadlines(c, i, read, now), nil
}

func readEnds(contract []byte, rosters []evidence.Signed) (*Contract, []*evidence.Roster, error) {
	c, err := ParseContract("contract", contract)
	if err != nil {
		return nil, nil, err
	}
	var read []*evidence.Roster
	for _, s := range rosters {
		r, err := evidence.ParseRoster("roster", s.Body)
		if err != nil {
			return nil, nil, err
		}
		read = append(read, r)
	}
	return c, read, nil
}

// ErasedBy is when keys and ciphertext go, whoever accepted what: the deadline, or the
// contract's end when that comes first.
func ErasedBy(c *Contract, i *Instruction) time.Time {
	return Deadlines(c, i, nil, time.Time{})[0].At
}

// DeadlineMargin is how long after a window's end nothing may end yet: a plan is for a
// night and for undoing it, not for a race.
const DeadlineMargin = 24 * time.Hour

// InTime refuses to compile a plan for a window before whose end, and DeadlineMargin after
// it, something ends: the next window, the one that is open, or now when there is none.
// It says nothing of a passage that began: in its window that goes on until what ends does.
func InTime(c *Contract, i *Instruction, rosters []*evidence.Roster, now time.Time) error {
	return inTime("compile the plan", c, i, rosters, now)
}

// beginsInTime asks the same of a passage that is to begin: its plan was approved up to
// BeginWithin before, and what ends has come nearer since.
func (d *docket) beginsInTime(begunAt time.Time) error {
	if !begunAt.IsZero() {
		return nil
	}
	rosters := slices.Concat(d.rosters.Side(ecluse.Controller), d.rosters.Side(ecluse.Processor))
	return inTime(beginPassage, d.contract, d.instruction, rosters, d.trust.Now)
}

// ReadsInTime asks it of a reading of the source, the first or a later one, that is to begin
// (since is zero), or that began then and would go on in a later window.
func ReadsInTime(contract []byte, i *Instruction, rosters []evidence.Signed, since, now time.Time) error {
	c, read, err := readEnds(contract, rosters)
	if err != nil {
		return err
	}
	return readsInTime(c, i, read, since, now)
}

func (d *docket) readsInTime(since time.Time) error {
	rosters := slices.Concat(d.rosters.Side(ecluse.Controller), d.rosters.Side(ecluse.Processor))
	return readsInTime(d.contract, d.instruction, rosters, since, d.trust.Now)
}

func readsInTime(c *Contract, i *Instruction, rosters []*evidence.Roster, since, now time.Time) error {
	w, err := ParseWindow(i.Limits.Window)
	if err != nil {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "read limits.window", Err: err}
	}
	switch {
	case since.IsZero():
		return inTime(beginPassage, c, i, rosters, now)
	case i.Limits.Window == "" || w.Open(now) && !since.Before(w.opened(now)):
		return nil
	}
	return inTime("go on reading", c, i, nil, now) // a roster that lapses in an open window counts to its end
}

func inTime(what string, c *Contract, i *Instruction, rosters []*evidence.Roster, now time.Time) error {
	w, err := ParseWindow(i.Limits.Window)
	if err != nil {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "read limits.window", Err: err}
	}
	until, span := now, "now"
	if i.Limits.Window != "" {
		until = w.Closes(w.Opens(now))
		span = "the end of the next window, " + until.UTC().Format("2006-01-02 15:04 UTC")
	}
	ends := Deadlines(c, i, rosters, now)
	if len(ends) == 0 || !ends[0].At.Before(until.Add(DeadlineMargin)) {
		return nil // the others are later
	}
	e := &ecluse.Error{
		Kind: ecluse.Refused, What: what, Where: string(i.ID), Article: "GDPR art. 28(3)(g)",
		Why:  fmt.Sprintf("%s, falls before %s, and the 24 hours after it that undoing may take", ends[0], span),
		Next: "sign a version of the instruction with a later erase_by before reading begins; a deadline never moves by itself",
	}
	switch ends[0].Of {
	case OfContract:
		e.Next = "both parties sign a version of the contract with a later end, then an instruction under it"
	case OfRoster:
		e.Next, e.Article = "the root of that party signs a new roster: ecluse roster add FILE --as ROOT-KEY", "GDPR art. 32(4)"
	}
	return e
}

// String is the end in words.
func (d Deadline) String() string {
	what := map[DeadlineOf]string{OfErasure: "the deadline of erasure", OfContract: "the contract's end", OfRoster: fmt.Sprintf("the end of the %s's roster", d.Side)}[d.Of]
	return what + ", " + d.At.UTC().Format("2006-01-02 15:04 UTC")
}

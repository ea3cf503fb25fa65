package mandate

import (
	"fmt"
	"slices"
	"time"

	"ecluse"
	"ecluse/evidence"
)

// beginning is when a passage began, or now for one that is to begin. Approvals
// have to hold then: a passage once begun goes on in its windows until the
// permit's own end.
type beginning struct {
	at      time.Time
	future  bool      // later than now
	opened  time.Time // when the window that was open then opened; the beginning itself, of none
	rosters *evidence.Rosters
}

func (d *docket) beginning(begunAt time.Time) *beginning {
	if begunAt.IsZero() {
		begunAt = d.trust.Now
	}
	opened := begunAt
	if w, err := ParseWindow(d.instruction.Limits.Window); err == nil && d.instruction.Limits.Window != "" && w.Open(begunAt) {
		opened = w.opened(begunAt)
	}
	return &beginning{at: begunAt, future: begunAt.After(d.trust.Now), opened: opened, rosters: &d.rosters}
}

// Lapses is when an approval given then lapses, if nothing began: after BeginWithin, or at
// the end of the window that is open by then, for nothing lapses inside an open window.
func (i *Instruction) Lapses(approved time.Time) time.Time {
	at := approved.Add(BeginWithin)
	if w, err := ParseWindow(i.Limits.Window); err == nil && i.Limits.Window != "" && w.Open(at) {
		at = w.Closes(at)
	}
	return at
}

const (
	beginPassage = "begin passage"
	approveAgain = "approve the plan again: `ecluse approve`"
)

// holding keeps the approvals that hold at the beginning, newest first. When
// none does it says why the newest does not.
func (b *beginning) holding(approvals []actBy) ([]actBy, error) {
	if b.future {
		return nil, ecluse.Errorf(ecluse.Unverified, beginPassage, "the ledger has it begun after now: the clock was set back")
	}
	var found []actBy
	var why error
	for _, a := range approvals {
		err := b.holds(a)
		if err == nil {
			found = append(found, a)
		} else if why == nil {
			why = err
		}
	}
	if len(found) == 0 {
		return nil, why
	}
	return found, nil
}

func (b *beginning) holds(a actBy) error {
	switch {
	case b.at.Before(a.NotBefore):
		return refusal(beginPassage, "it began before "+a.Person+"'s approval", "begin a new passage")
	case b.opened.After(a.NotAfter):
		return &ecluse.Error{
			Kind: ecluse.WaitsForSign, What: beginPassage, Next: approveAgain,
			Why: fmt.Sprintf("%s's approval ended on %s", a.Person, a.NotAfter.Format(time.RFC3339)),
		}
	}
	at := b.at
	if at.After(a.NotAfter) { // in the window
		at = a.NotAfter
	}
	_, _, err := evidence.VerifyAct(a.signed, b.rosters, at)
	if err == nil {
		err = b.stillThere(a)
	}
	if err != nil {
		return &ecluse.Error{
			Kind: ecluse.Unverified, What: beginPassage, Why: a.Person + "'s approval does not hold any more", Err: err,
			Next: "somebody whose mandate runs approves the plan: `ecluse approve`",
		}
	}
	return nil
}

// stillThere refuses the approval of somebody whom a later roster, of before the beginning,
// has no more: that counts at once.
func (b *beginning) stillThere(a actBy) error {
	for _, later := range b.rosters.Side(a.Side) {
		if later.Number <= a.RosterNumber || later.Issued.After(b.at) {
			continue
		}
		if p, ok := later.Person(a.Person); !ok || !slices.Contains(p.Roles, a.Role) {
			return ecluse.Errorf(ecluse.Unverified, "verify act", "%s is not in roster %d of the %s", a.Person, later.Number, later.Side)
		}
	}
	return nil
}

// InWindow refuses to read outside the hours that the instruction allows.
func (i *Instruction) InWindow(now time.Time) error {
	_, err := inWindow(i.Limits.Window, now)
	return err
}

// inWindow tells when the window that is open now closes, or refuses.
func inWindow(window string, now time.Time) (closes time.Time, err error) {
	w, err := ParseWindow(window)
	if err != nil {
		return time.Time{}, &ecluse.Error{Kind: ecluse.Invalid, What: "read limits.window", Err: err}
	}
	if !w.Open(now) {
		return time.Time{}, &ecluse.Error{
			Kind: ecluse.Refused, What: "read the source", Why: "the instruction allows it in the window " + window, Article: lawOnly,
			Next: "it opens at " + w.Opens(now).Format("2006-01-02 15:04 MST"),
		}
	}
	return w.Closes(now), nil
}

// frozenBy refuses to read before nobody writes any more.
func frozenBy(f *PlanFreeze, now time.Time) error {
	if f == nil || !now.Before(f.From) {
		return nil
	}
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "read the source", Article: lawOnly,
		Why:  "it is frozen from " + f.From.Format(time.RFC3339) + " by the word of " + f.By + ", and not before",
		Next: "run the same command again from then on",
	}
}

// soonAfter checks that the passage begins within 72 hours of its approval, which
// is complete with the last one, or in a window that opened within them.
func (b *beginning) soonAfter(approvals ...actBy) error {
	last := approvals[0].NotBefore
	for _, a := range approvals[1:] {
		if a.NotBefore.After(last) {
			last = a.NotBefore
		}
	}
	if b.opened.Sub(last) <= BeginWithin {
		return nil
	}
	return &ecluse.Error{
		Kind: ecluse.WaitsForSign, What: beginPassage, Next: approveAgain,
		Why: "it begins more than 72 hours after the approval of " + last.Format(time.RFC3339),
	}
}

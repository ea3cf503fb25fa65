package mandate

import (
	"slices"
	"time"

	"ecluse"
	"ecluse/evidence"
)

// Ending is what a gate can know by itself of a migration's end: what lets it destroy
// its half of the key.
type Ending struct {
	Accepted ecluse.Digest // the act by which the controller accepted a report; zero: none was shown
	Ordered  ecluse.Digest // the act by which the controller ordered erasure; zero: none was shown
	Deadline time.Time     // when it was to be erased, by the instruction in force; zero: none verifies
	Contract time.Time     // when its contract ends; zero: none verifies
	Kept     *Date         // the last day on which rows put aside are kept, by that instruction and within the contract; nil: they go with the rest

	gone    map[ecluse.Digest]ecluse.Digest   // a key of rows put aside that are kept → the act by which the controller orders them erased
	goes    map[ecluse.Digest]ecluse.Digest   // a report → the act by which the controller says go of it
	refused map[ecluse.Digest][]ecluse.Digest // a report or load plan → the acts that refuse it
}

// Loaded is what a gate knows of a passage that it loaded.
type Loaded struct {
	Plan    ecluse.Digest
	Reports []ecluse.Digest // that it signed of it; none: it is not known which
	Spent   []ecluse.Digest // acts by which passages before it were undone: one may have had the same plan
}

// Undone are the acts that order a passage undone: they refuse its load plan, or a report
// of it.
func (e Ending) Undone(l Loaded) (acts []ecluse.Digest) {
	for subject, all := range e.refused {
		of := subject == l.Plan || slices.Contains(l.Reports, subject) || len(l.Reports) == 0 && !e.goes[subject].IsZero()
		if !of {
			continue
		}
		for _, act := range all {
			if !slices.Contains(l.Spent, act) {
				acts = append(acts, act)
			}
		}
	}
	return acts
}

// KeptErased is the act by which the controller ordered the rows kept under a key erased
// before their day; zero: none was shown.
func (e Ending) KeptErased(key ecluse.Digest) ecluse.Digest { return e.gone[key] }

// Live is the act by which the controller said go of a passage that nobody ordered undone;
// zero: none was shown.
func (e Ending) Live(l Loaded) ecluse.Digest {
	if len(e.Undone(l)) > 0 {
		return ecluse.Digest{}
	}
	for report, act := range e.goes {
		if len(l.Reports) == 0 || slices.Contains(l.Reports, report) {
			return act
		}
	}
	return ecluse.Digest{}
}

// Over tells why the migration may be erased at t, in the words of a certificate;
// empty: it may not.
func (e Ending) Over(t time.Time) evidence.Trigger {
	switch {
	case !e.Accepted.IsZero():
		return evidence.ByAcceptance
	case !e.Ordered.IsZero():
		return evidence.ByOrder
	case !e.Deadline.IsZero() && !t.Before(e.Deadline):
		return evidence.ByDeadline
	case !e.Contract.IsZero() && !t.Before(e.Contract):
		return evidence.ByContractEnd
	}
	return ""
}

// Ended reads what the lock shows of a migration's end. Taking away asks for less than
// opening: rosters may have run out, and what does not verify counts for nothing
// instead of stopping all. It still asks for signatures: who could erase by word alone
// could destroy a migration whenever they liked.
func Ended(t Trust, m ecluse.MigrationID, p Papers) Ending {
	e := Ending{gone: map[ecluse.Digest]ecluse.Digest{}, goes: map[ecluse.Digest]ecluse.Digest{}, refused: map[ecluse.Digest][]ecluse.Digest{}}
	d := newDocket(t)
	d.actsThatVerify(m, p)
	for _, a := range d.acts {
		if a.Migration != m || a.Side != ecluse.Controller || a.NotBefore.After(t.Now) {
			continue
		}
		for _, c := range a.Clauses {
			switch {
			case c.Verb == evidence.VerbAccept && c.Kind == evidence.KindReport && a.Role == ecluse.Signatory:
				e.Accepted = a.signed.Digest()
			case c.Verb != evidence.VerbErase || !slices.Contains([]ecluse.Role{ecluse.Signatory, ecluse.DPO}, a.Role):
			case c.Kind == evidence.KindMigration:
				e.Ordered = a.signed.Digest()
			case c.Kind == evidence.KindKept:
				e.gone[c.Subject] = a.signed.Digest()
			}
		}
	}
	var err error
	if d.instruction, err = ParseInstruction("instruction", p.Instruction); err != nil || d.instruction.ID != m || !d.inForce() {
		return e
	}
	e.Deadline = d.instruction.EraseBy
	d.decisions(m, &e)
	if d.contract, err = ParseContract("contract", p.Contract); err == nil && d.contract.digest == d.instruction.Contract {
		e.Contract = d.contract.ends()
		if k := d.instruction.RejectsUntil; k != nil && !k.Ends().After(d.contract.EraseBy()) {
			e.Kept = k
		}
	}
	return e
}

// orderSlack is how far the clock of whoever orders something taken out may be ahead.
const orderSlack = 2 * time.Minute

// decisions notes what the controller said go of, and what was refused: a load plan or a
// report, whose passage is to be undone.
func (d *docket) decisions(m ecluse.MigrationID, e *Ending) {
	for _, a := range d.acts {
		if a.Migration != m || a.NotBefore.After(d.trust.Now.Add(orderSlack)) {
			continue
		}
		undoes := a.Role == ecluse.Operator || a.Side == ecluse.Controller && a.Role == ecluse.Signatory
		for _, c := range a.Clauses {
			switch {
			case c.Verb == evidence.VerbGo && !a.NotBefore.After(d.trust.Now) && c.Kind == evidence.KindReport && evidence.MayDecide(a.Act, d.instruction.Deputies) == nil:
				e.goes[c.Subject] = a.signed.Digest()
			case c.Verb == evidence.VerbRefuse && undoes:
				e.refused[c.Subject] = append(e.refused[c.Subject], a.signed.Digest())
			}
		}
	}
}

// actsThatVerify takes the rosters that chain to the roots, and the acts of people in
// them. A set of rosters that lacks one already seen lets no act count: it could hide
// that somebody left.
func (d *docket) actsThatVerify(m ecluse.MigrationID, p Papers) {
	if d.chain(p.Rosters) != nil {
		return
	}
	for side, floor := range d.trust.Floors {
		highest := 0
		for _, r := range d.rosters.Side(side) {
			highest = max(highest, r.Number)
		}
		if highest < floor {
			return
		}
	}
	for _, s := range p.Acts {
		a, err := evidence.ParseAct(s.Body)
		if err != nil || a.Migration != m {
			continue
		}
		if a, by, err := evidence.VerifyAct(s, &d.rosters, a.NotBefore); err == nil {
			d.acts = append(d.acts, actBy{a, by, s})
		}
	}
	slices.SortStableFunc(d.acts, func(a, b actBy) int { return a.NotBefore.Compare(b.NotBefore) })
}

// inForce tells whether the instruction is the one that this gate acted on, or one that
// the controller signed and that comes after it.
func (d *docket) inForce() bool {
	if !d.trust.Acted.IsZero() && d.instruction.digest == d.trust.Acted {
		return true
	}
	_, err := d.signed(ecluse.Controller, ecluse.Signatory, evidence.VerbSign, evidence.KindInstruction, d.instruction.digest)
	return err == nil && d.inSuccession() == nil
}

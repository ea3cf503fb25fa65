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
	Shown    ecluse.Digest // one whose signer is on no roster any more, first seen since: it leaves a load where it is and is no ground to destroy anything; zero: none
	Ordered  ecluse.Digest // the act by which the controller ordered erasure; zero: none was shown
	Deadline time.Time     // when it was to be erased, by the instruction in force; zero: none verifies
	Contract time.Time     // when its contract ends; zero: none verifies
	Kept     *Date         // the last day on which rows put aside are kept, by that instruction and within the contract; nil: they go with the rest
	Stated   *Date         // the same, whatever the contract says
	Whole    bool          // instruction and contract are there: what they do not say of rows put aside is not kept from the gate

	Counted []ecluse.Digest // acts that count, for the ledger: they do when their signers are gone

	gone    map[ecluse.Digest]ecluse.Digest // a key of rows put aside that are kept → the act by which the controller orders them erased
	goes    map[ecluse.Digest]said          // a report → the act by which the controller says go of it
	refused map[ecluse.Digest][]undoOrder   // a report, a load plan, or the act that approved one → the acts that refuse it
}

// said is an act and from when it holds.
type said struct {
	act ecluse.Digest
	at  time.Time
}

// undoOrder orders a passage undone.
type undoOrder struct {
	said
	decides bool // its signer may say go, and may end one
}

// Loaded is what a gate knows of a passage that it loaded.
type Loaded struct {
	Plan    ecluse.Digest
	Under   ecluse.Digest   // the act that approved the plan, under which it began; zero: an older gate did not note it, nor its reports
	Begun   time.Time       // a plan whose bytes come again was perhaps refused before
	Reports []ecluse.Digest // that it signed of it
	Spent   []ecluse.Digest // acts by which passages before it were undone: one may have had the same plan
	Went    time.Time       // when a go that the gate saw was said of it, whether it is shown now or not; zero: it saw none
}

// saidGo is the last go that is shown of a passage.
func (e Ending) saidGo(l Loaded) (last said, any bool) {
	for report, g := range e.goes {
		if l.reported(report) && (!any || g.at.After(last.at)) {
			last, any = g, true
		}
	}
	return last, any
}

func (l Loaded) reported(report ecluse.Digest) bool {
	return slices.Contains(l.Reports, report) || l.Under.IsZero() && len(l.Reports) == 0
}

// Undone are the acts that order a passage undone: they refuse its load plan since it began,
// the act that approved that, or a report of it. From a go on, shown or seen before, they are
// those of who could say go, and none that was signed before it.
func (e Ending) Undone(l Loaded) (acts []ecluse.Digest) {
	last, went := e.saidGo(l)
	if !l.Went.IsZero() && (!went || l.Went.After(last.at)) {
		last.at, went = l.Went, true
	}
	for subject, all := range e.refused {
		_, report := e.goes[subject]
		plan := subject == l.Plan
		if !plan && subject != l.Under && !slices.Contains(l.Reports, subject) && !(report && l.reported(subject)) {
			continue
		}
		for _, r := range all {
			switch {
			case slices.Contains(l.Spent, r.act), went && (!r.decides || r.at.Before(last.at)), plan && r.at.Before(l.Begun.Truncate(time.Second)):
			default:
				acts = append(acts, r.act)
			}
		}
	}
	return acts
}

// WentAt is when the last go that is shown of a passage was said; zero: none is.
func (e Ending) WentAt(l Loaded) time.Time {
	last, _ := e.saidGo(l)
	return last.at
}

// KeptErased is the act by which the controller ordered the rows kept under a key erased
// before their day; zero: none was shown.
func (e Ending) KeptErased(key ecluse.Digest) ecluse.Digest { return e.gone[key] }

// Live is the act by which the controller said go of a passage that nobody who could say it
// ordered undone since; zero: none was shown.
func (e Ending) Live(l Loaded) ecluse.Digest {
	if last, any := e.saidGo(l); any && len(e.Undone(l)) == 0 {
		return last.act
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
//
// An act that takes away, or lets something be let go of, counts if a roster entitles whoever
// signed it when the gate first sees it (Trust.Known), and not only on the day that it names:
// who was struck off could name any day. One that was signed in time and comes after that is
// signed again, by somebody who may; acceptances and goes that keep a load where it is hold
// of themselves.
func Ended(t Trust, m ecluse.MigrationID, p Papers) Ending {
	e := Ending{gone: map[ecluse.Digest]ecluse.Digest{}, goes: map[ecluse.Digest]said{}, refused: map[ecluse.Digest][]undoOrder{}}
	d := newDocket(t)
	d.actsThatVerify(m, p)
	for _, a := range d.acts {
		if a.Migration != m || a.Side != ecluse.Controller || a.NotBefore.After(t.Now) {
			continue
		}
		for _, c := range a.Clauses {
			switch {
			case c.Verb == evidence.VerbAccept && c.Kind == evidence.KindReport && a.Role == ecluse.Signatory && !d.counts(a, &e):
				e.Shown = a.signed.Digest()
			case c.Verb == evidence.VerbAccept && c.Kind == evidence.KindReport && a.Role == ecluse.Signatory:
				e.Accepted = a.signed.Digest()
			case c.Verb != evidence.VerbErase || !slices.Contains([]ecluse.Role{ecluse.Signatory, ecluse.DPO}, a.Role) || !d.counts(a, &e):
			case c.Kind == evidence.KindMigration:
				e.Ordered = a.signed.Digest()
			case c.Kind == evidence.KindKept:
				e.gone[c.Subject] = a.signed.Digest()
			}
		}
	}
	var err error
	if d.instruction, err = ParseInstruction("instruction", p.Instruction); err != nil || d.instruction.ID != m || !d.inForce(&e) {
		return e
	}
	e.Deadline = d.instruction.EraseBy
	d.decisions(m, &e)
	e.Stated = d.instruction.RejectsUntil
	if d.contract, err = ParseContract("contract", p.Contract); err == nil && d.contract.digest == d.instruction.Contract {
		e.Contract, e.Whole = d.contract.ends(), true
		if k := e.Stated; k != nil && !k.Ends().After(d.contract.EraseBy()) {
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
		decides := evidence.MayDecide(a.Act, d.instruction.Deputies) == nil
		undoes := decides || a.Role == ecluse.Operator || a.Side == ecluse.Controller && a.Role == ecluse.Signatory
		for _, c := range a.Clauses {
			switch {
			case c.Verb == evidence.VerbGo && !a.NotBefore.After(d.trust.Now) && c.Kind == evidence.KindReport && decides:
				if g, there := e.goes[c.Subject]; !there || g.at.Before(a.NotBefore) {
					e.goes[c.Subject] = said{a.signed.Digest(), a.NotBefore}
				}
			case c.Verb == evidence.VerbRefuse && undoes && d.counts(a, e):
				e.refused[c.Subject] = append(e.refused[c.Subject], undoOrder{said{a.signed.Digest(), a.NotBefore}, decides})
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

// counts tells whether an act counts that takes something away, and notes those that do.
func (d *docket) counts(a actBy, e *Ending) bool {
	if !d.trust.Known[a.signed.Digest()] {
		pub, err := a.signed.Verify(evidence.NamespaceAct)
		if err != nil || d.rosters.Entitled(a.Act, evidence.FingerprintOf(pub), d.trust.Now) != nil {
			return false
		}
	}
	if !slices.Contains(e.Counted, a.signed.Digest()) {
		e.Counted = append(e.Counted, a.signed.Digest())
	}
	return true
}

// inForce tells whether the instruction is the one that this gate acted on, or one that
// the controller signed and that comes after it.
func (d *docket) inForce(e *Ending) bool {
	signed, err := d.signed(ecluse.Controller, ecluse.Signatory, evidence.VerbSign, evidence.KindInstruction, d.instruction.digest)
	counted := slices.DeleteFunc(slices.Clone(signed), func(a actBy) bool { return !d.counts(a, e) })
	switch {
	case !d.trust.Acted.IsZero() && d.instruction.digest == d.trust.Acted:
		return true
	case d.trust.Acted.IsZero():
		// Nothing was read or loaded here: nobody gains by naming a day, and when it comes the
		// rosters have run out.
		counted = signed
	}
	return err == nil && len(counted) > 0 && d.inSuccession() == nil
}

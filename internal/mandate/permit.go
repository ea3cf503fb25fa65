package mandate

import (
	"fmt"
	"slices"
	"time"

	"ecluse"
	"ecluse/evidence"
)

// ReadPermit opens a reader. Only PermitRead makes one that is not zero; a zero
// permit opens nothing.
type ReadPermit struct {
	plan      *ReadPlan
	digest    ecluse.Digest
	recipient string
	rejects   string
	elsewhere Elsewhere
	notAfter  time.Time
	closes    time.Time
}

// Plan is what may be read; nil for the zero permit.
func (p ReadPermit) Plan() *ReadPlan { return p.plan }

// Digest is the plan's.
func (p ReadPermit) Digest() ecluse.Digest { return p.digest }

// Recipient is what chunks are sealed to ("age1pq1…"), signed by the target gate.
func (p ReadPermit) Recipient() string { return p.recipient }

// Rejects is what rejected rows are sealed to, signed by the source gate.
func (p ReadPermit) Rejects() string { return p.rejects }

// Elsewhere is what changed in the source since the plan was approved and nobody
// instructed: it is to be reported.
func (p ReadPermit) Elsewhere() Elsewhere { return p.elsewhere }

// NotAfter is when the permit ends: the earliest end of contract, host's
// certificate, instruction, recipients and rosters. Approvals bound when a
// passage begins, not how long it lasts.
func (p ReadPermit) NotAfter() time.Time { return p.notAfter }

// Closes is when the window of the instruction (limits.window) that the permit was
// made in ends; zero when the instruction has none. The reading pauses then, and
// goes on in the next window with another permit and the same signatures.
func (p ReadPermit) Closes() time.Time { return p.closes }

// LoadPermit opens a writer. Only PermitLoad makes one that lets rows in;
// PermitUndo makes one that takes them out.
type LoadPermit struct {
	plan     *LoadPlan
	digest   ecluse.Digest
	passage  ecluse.Passage
	rejects  string
	approval ecluse.Digest
	undoes   bool
	notAfter time.Time
}

// Plan is what may be written; nil for the zero permit.
func (p LoadPermit) Plan() *LoadPlan { return p.plan }

// Digest is the plan's.
func (p LoadPermit) Digest() ecluse.Digest { return p.digest }

// Passage is the run that this permit is for.
func (p LoadPermit) Passage() ecluse.Passage { return p.passage }

// Approval is the act by which the plan was approved for this passage, and for no other.
func (p LoadPermit) Approval() ecluse.Digest { return p.approval }

// Rejects is what rejected rows are sealed to, signed by the source gate.
func (p LoadPermit) Rejects() string { return p.rejects }

// UndoesOnly tells a permit that takes rows out and lets none in: nobody had to
// approve it, so nothing may be loaded by it.
func (p LoadPermit) UndoesOnly() bool { return p.undoes }

// NotAfter is when the permit ends, as for a ReadPermit.
func (p LoadPermit) NotAfter() time.Time { return p.notAfter }

// ReadPermitInputs is all that a permit to read is made of.
type ReadPermitInputs struct {
	Trust
	Papers
	Source    *ecluse.Catalogue // live, read by the gate itself
	Procedure ecluse.Digest
	Dialect   Dialect
	BegunAt   time.Time // from the gate's ledger; zero: the passage is not begun
	Again     bool      // a later reading, of what changed since
	AgainAt   time.Time // when that began, from the ledger; zero: it is to begin
}

// PermitRead verifies everything a reading needs and compiles the plan again
// from the source as it is. Each refusal is an *ecluse.Error: Invalid (a paper
// that cannot be read), Unverified (a signature that does not hold), Refused
// (not allowed), WaitsForSign (somebody has to sign first), Differs (the plan is
// not the one approved).
func PermitRead(in ReadPermitInputs) (ReadPermit, error) {
	in.Trust.Begun = in.BegunAt
	d, err := verify(in.Trust, in.Papers)
	if err != nil {
		return ReadPermit{}, err
	}
	if err := d.isGate(d.instruction.Source.Gate, "source"); err != nil {
		return ReadPermit{}, err
	}
	since := in.BegunAt
	if in.Again {
		since = in.AgainAt
	}
	if err := d.readsInTime(since); err != nil {
		return ReadPermit{}, err
	}
	approved, err := d.readPlan(in.Papers)
	if err != nil {
		return ReadPermit{}, err
	}
	again, err := CompileRead(ReadInputs{
		Contract: d.contract, Instruction: d.instruction, Source: in.Source,
		Recipient: in.Recipient, Rejects: in.Rejects, Procedure: in.Procedure, Dialect: in.Dialect,
	})
	if err != nil {
		return ReadPermit{}, changed("readplan", err)
	}
	elsewhere, err := Equivalent(approved, again)
	if err != nil {
		return ReadPermit{}, err
	}
	digest := ecluse.DigestOf(in.ReadPlan)
	if err := d.readApproved(digest, d.beginning(in.BegunAt)); err != nil {
		return ReadPermit{}, err
	}
	if err := frozenBy(approved.Frozen, in.Now); err != nil {
		return ReadPermit{}, err
	}
	closes, err := inWindow(approved.Limits.Window, in.Now)
	if err != nil {
		return ReadPermit{}, err
	}
	return ReadPermit{
		plan: approved, digest: digest, recipient: d.chunks.Recipient, rejects: d.rejects.Recipient,
		elsewhere: elsewhere, notAfter: d.ends, closes: closes,
	}, nil
}

// LoadPermitInputs is all that a permit to load is made of.
type LoadPermitInputs struct {
	Trust
	Papers
	LoadPlan  []byte            // as approved
	Shape     ecluse.Shape      // of the mapping as this gate checked it itself
	Target    *ecluse.Catalogue // live, read by the gate itself
	Held      []LoadHeld        // hashed by the gate itself
	Procedure ecluse.Digest
	Dialect   Dialect
	Passage   ecluse.Passage
	Used      int                      // passages of that kind begun so far, this one included once it is begun; from the ledger
	Withdrawn int                      // of the numbers before this one, those of passages that never began here, by the ledger
	BegunAt   time.Time                // of this passage, from the ledger; zero: not begun
	Under     map[string]ecluse.Digest // passages → the approvals they began under, from the ledger
	Twin      bool                     // the mapping passed on invented rows, by this gate's own ledger
	Tried     bool                     // it passed dry or in rehearsal, by the same
}

// Rehearsed refuses a passage that writes whose mapping was not tried: on invented rows
// before any row of a person's is written anywhere, and before a final one once dry or in
// rehearsal, unless the instruction says why not.
func (i *Instruction) Rehearsed(kind ecluse.PassageKind, twin, tried bool) error {
	e := &ecluse.Error{Kind: ecluse.Refused, What: "begin the passage", Where: string(kind), Article: "GDPR art. 32(1)(d)"}
	switch {
	case kind == ecluse.Dry:
		return nil
	case !twin:
		e.Why, e.Next = "this mapping has not passed on invented rows", "ecluse rehearse --twin, and correct what it shows"
	case kind == ecluse.Rehearsal:
		return nil
	case !tried && i.Passages.Untried == "":
		e.Why, e.Next = "this mapping has passed neither dry nor in rehearsal", "ecluse plan --passage dry, have it approved, then ecluse apply --dry-run"
		if i.Passages.Dry <= 0 && i.Passages.Rehearsal <= 0 {
			e.Next = "the controller signs a version of the instruction with dry: 1 at least, or untried: and the reason"
		}
	default:
		return nil
	}
	return e
}

// PermitLoad verifies everything a loading needs, the approval of the read plan
// included, and compiles the load plan again from the target as it is. Refusals
// are as PermitRead's.
func PermitLoad(in LoadPermitInputs) (LoadPermit, error) {
	in.Trust.Begun = in.BegunAt
	d, err := verify(in.Trust, in.Papers)
	if err != nil {
		return LoadPermit{}, err
	}
	if err := d.isGate(d.instruction.Target.Gate, "target"); err != nil {
		return LoadPermit{}, err
	}
	if err := d.beginsInTime(in.BegunAt); err != nil {
		return LoadPermit{}, err
	}
	read, err := d.readPlan(in.Papers)
	if err != nil {
		return LoadPermit{}, err
	}
	if err := d.readApproved(ecluse.DigestOf(in.ReadPlan), nil); err != nil {
		return LoadPermit{}, err
	}
	approved, err := ParseLoadPlan(in.LoadPlan)
	if err != nil {
		return LoadPermit{}, err
	}
	again, err := CompileLoad(LoadInputs{
		Instruction: d.instruction, ReadPlan: read, Passage: in.Passage.Kind, Shape: in.Shape, Target: in.Target,
		Held: in.Held, Procedure: in.Procedure, Dialect: in.Dialect,
	})
	if err != nil {
		return LoadPermit{}, changed("loadplan", err)
	}
	if err := sameBytes("loadplan", in.LoadPlan, again.Bytes()); err != nil {
		return LoadPermit{}, err
	}
	if err := WithinBudget(d.instruction, in.Passage, in.Used, in.Withdrawn, !in.BegunAt.IsZero()); err != nil {
		return LoadPermit{}, err
	}
	if in.BegunAt.IsZero() {
		if err := d.instruction.Rehearsed(in.Passage.Kind, in.Twin, in.Tried); err != nil {
			return LoadPermit{}, err
		}
	}
	digest := ecluse.DigestOf(in.LoadPlan)
	approval, err := d.loadApproved(digest, in.Passage, d.beginning(in.BegunAt), in.Under)
	if err != nil {
		return LoadPermit{}, err
	}
	return LoadPermit{plan: approved, digest: digest, passage: in.Passage, rejects: d.rejects.Recipient, approval: approval, notAfter: d.ends}, nil
}

// WithinBudget tells whether a passage may begin, or go on once begun, when
// `used` passages of its kind are begun (itself included once it is). Passages
// are numbered from 1 without a gap; the numbers of those that were withdrawn before one
// chunk of them was loaded do not count against the budget.
func WithinBudget(i *Instruction, p ecluse.Passage, used, withdrawn int, begun bool) error {
	what, budget := "begin "+p.String(), i.Passages.Of(p.Kind)
	switch {
	case p.Number < 1, begun && p.Number > used, !begun && p.Number != used+1:
		return ecluse.Errorf(ecluse.Invalid, what, "%d passages of the kind %s are begun", used, p.Kind)
	case p.Number-withdrawn > budget:
		return &ecluse.Error{
			Kind: ecluse.Refused, What: what, Article: lawOnly, Why: fmt.Sprintf("the instruction allows %d of the kind %s", budget, p.Kind),
			Next: "once reading has begun no instruction grants more: ecluse erase, then a new migration under one that does",
		}
	}
	return nil
}

// changed makes of a plan that does not compile any more one that differs.
func changed(kind string, err error) error {
	if k := ecluse.KindOf(err); k == ecluse.Refused || k == ecluse.Unverified {
		return err
	}
	return &ecluse.Error{
		Kind: ecluse.Differs, What: "compile " + kind + " again", Err: err,
		Why:  "it compiled when it was approved and does not any more",
		Next: "take the change back, or have a new plan approved",
	}
}

func (d *docket) isGate(named ecluse.Fingerprint, which string) error {
	if named == d.trust.Gate {
		return nil
	}
	return refusal("verify instruction", fmt.Sprintf("its %s gate is %s, and this gate is %s", which, named, d.trust.Gate),
		"run the passage at the gate the controller named, or have another instruction signed")
}

// readPlan reads the approved read plan and checks that it is one of these
// papers.
func (d *docket) readPlan(p Papers) (*ReadPlan, error) {
	plan, err := ParseReadPlan(p.ReadPlan)
	if err != nil {
		return nil, err
	}
	if plan.Migration != d.instruction.ID || plan.Instruction != d.instruction.digest || plan.Contract != d.contract.digest ||
		plan.Recipient != p.Recipient.Digest() || plan.Rejects != p.Rejects.Digest() {
		return nil, &ecluse.Error{
			Kind: ecluse.Differs, What: "verify readplan", Why: "it was compiled from another contract, instruction or recipient",
			Next: "give the plan that was approved for this instruction",
		}
	}
	return plan, d.stopped(evidence.KindReadPlan, ecluse.DigestOf(p.ReadPlan))
}

// readApproved checks the two approvals of a read plan: an operator of the
// processor and a signatory of the controller, two people. With b nil the
// passage began long ago, at the source.
func (d *docket) readApproved(plan ecluse.Digest, b *beginning) error {
	operators, err := d.signed(ecluse.Processor, ecluse.Operator, evidence.VerbApprove, evidence.KindReadPlan, plan)
	if err != nil {
		return err
	}
	signatories, err := d.signed(ecluse.Controller, ecluse.Signatory, evidence.VerbApprove, evidence.KindReadPlan, plan)
	if err != nil {
		return err
	}
	if b != nil {
		if operators, err = b.holding(operators); err != nil {
			return err
		}
		if signatories, err = b.holding(signatories); err != nil {
			return err
		}
	}
	x, y, err := twoPeople("verify approvals of the readplan", operators, signatories)
	if err != nil || b == nil {
		return err
	}
	return b.soonAfter(x, y)
}

// loadApproved finds the act by which somebody who may (evidence.Approvers) approved a load
// plan for a passage. One act lets one passage begin: what came out again, perhaps because
// the controller would not have it, comes in only by a new signature.
func (d *docket) loadApproved(plan ecluse.Digest, p ecluse.Passage, b *beginning, under map[string]ecluse.Digest) (ecluse.Digest, error) {
	none := ecluse.Digest{}
	if err := d.stopped(evidence.KindLoadPlan, plan); err != nil {
		return none, err
	}
	acts, err := d.loadApprovals(plan, p.Kind)
	if err != nil {
		return none, err
	}
	var refused error
	acts = slices.DeleteFunc(acts, func(a actBy) bool {
		act := a.signed.Digest()
		if err := d.stopped(evidence.KindAct, act); err != nil {
			refused = err
			return true
		}
		if own := under[p.String()]; !own.IsZero() {
			return act != own
		}
		for _, used := range under {
			if act == used {
				return true
			}
		}
		return false
	})
	if len(acts) == 0 && refused != nil {
		return none, &ecluse.Error{
			Kind: ecluse.Refused, What: beginPassage, Where: p.String(), Article: lawOnly, Err: refused,
			Why: "its passage was ordered undone", Next: "ecluse undo to its end; what is loaded then takes a new approval",
		}
	}
	if len(acts) == 0 {
		return none, &ecluse.Error{
			Kind: ecluse.WaitsForSign, What: beginPassage, Where: p.String(), Article: lawOnly,
			Why: "another passage began under each approval of this plan that is shown, and one approval lets one passage begin", Next: approveAgain,
		}
	}
	if acts, err = b.holding(acts); err != nil {
		return none, err
	}
	return acts[0].signed.Digest(), b.soonAfter(acts[0])
}

// loadApprovals lists the acts by which somebody who may approved a load plan, newest
// first; none is an error.
func (d *docket) loadApprovals(plan ecluse.Digest, kind ecluse.PassageKind) ([]actBy, error) {
	var found []actBy
	var why error = ecluse.Errorf(ecluse.Invalid, "verify approvals of the loadplan", "nobody may approve a passage of the kind %q", kind)
	for n, who := range evidence.Approvers(kind) {
		acts, err := d.signed(who.Side, who.Role, evidence.VerbApprove, evidence.KindLoadPlan, plan)
		if n == 0 {
			why = err
		}
		found = append(found, acts...)
	}
	if len(found) == 0 {
		return nil, why
	}
	slices.SortStableFunc(found, func(a, b actBy) int { return b.NotBefore.Compare(a.NotBefore) })
	return found, nil
}

package mandate

import (
	"fmt"
	"slices"
	"time"

	"ecluse"
	"ecluse/evidence"
)

// BeginWithin is how long after its plan is approved a passage begins at most.
const BeginWithin = 72 * time.Hour

// Trust is what a gate knows by itself, from its own console, key and ledger:
// none of it comes from the lock.
type Trust struct {
	Gate   ecluse.Fingerprint                 // its own key's
	Roots  map[ecluse.Side]ecluse.Fingerprint // each party's, given at enrolment
	Floors map[ecluse.Side]int                // highest roster number seen; absent: none yet
	Known  map[ecluse.Digest]bool             // acts that it saw while a roster still entitled who signed them
	Acted  ecluse.Digest                      // the instruction of this migration that it acted on last; zero: none
	Lock   ecluse.Fingerprint                 // the key that signs journal heads, given with the roots
	Now    time.Time                          // never before the ledger's high-water mark
	Begun  time.Time                          // from the ledger, of the passage in hand: see docket.judged; zero: none is

	OneRoom bool // lock and both gates were made together, on this machine: none of them enrolled
}

// Papers is what the lock hands over. Each is verified, none is believed.
type Papers struct {
	Rosters     []evidence.Signed // every number that an act names, and the latest, of both parties
	Contract    []byte            // contract/v1
	Instruction []byte            // instruction/v1
	Acts        []evidence.Signed // all those of the migration and of its contract
	Recipient   evidence.Signed   // recipient/v1 for chunks, by the target gate
	Rejects     evidence.Signed   // recipient/v1 for rejects, by the source gate
	ReadPlan    []byte            // as approved
	Gates       []evidence.Signed // gate/v1, of both gates
}

// docket is the papers once verified.
type docket struct {
	trust       Trust
	rosters     evidence.Rosters
	acts        []actBy // of this migration or its contract, in the order they begin
	contract    *Contract
	instruction *Instruction
	chunks      *evidence.Recipient
	rejects     *evidence.Recipient
	ends        time.Time // the earliest end met so far
	judged      time.Time // the instant that rosters have to run at
	closes      time.Time // the window that is open now; zero: there is none
}

// newDocket judges rosters as of now; inOpenWindow alone sets another instant.
func newDocket(t Trust) *docket { return &docket{trust: t, judged: t.Now} }

// actBy is a verified act and who made it.
type actBy struct {
	*evidence.Act
	by     *evidence.Person
	signed evidence.Signed
}

func refusal(what, why, next string) *ecluse.Error {
	return &ecluse.Error{Kind: ecluse.Refused, What: what, Why: why, Next: next}
}

// verify checks all that a reading and a loading have in common: what stands, and the
// recipients.
func verify(t Trust, p Papers) (*docket, error) {
	d, err := stands(t, p)
	if err != nil {
		return nil, err
	}
	return d, d.verifyRecipients(p.Recipient, p.Rejects)
}

// Stands checks what has to hold all along a passage, and not only when it begins: rosters,
// acts, contract and instruction are in force, and nobody stopped the migration.
func Stands(t Trust, p Papers) error {
	_, err := stands(t, p)
	return err
}

// MappingSigned checks that a migration stands, and that an operator of either party signed
// its mapping: what the mapping looks up in the target may be read then.
func MappingSigned(t Trust, p Papers, mapping ecluse.Digest) error {
	d, err := stands(t, p)
	if err != nil {
		return err
	}
	if err := d.stopped(evidence.KindMapping, mapping); err != nil {
		return err
	}
	if _, err := d.signed(ecluse.Processor, ecluse.Operator, evidence.VerbSign, evidence.KindMapping, mapping); err == nil {
		return nil
	}
	_, err = d.signed(ecluse.Controller, ecluse.Operator, evidence.VerbSign, evidence.KindMapping, mapping)
	return err
}

func stands(t Trust, p Papers) (*docket, error) {
	d := newDocket(t)
	var err error
	if d.contract, err = ParseContract("contract", p.Contract); err != nil {
		return nil, err
	}
	if d.instruction, err = ParseInstruction("instruction", p.Instruction); err != nil {
		return nil, err
	}
	if err := d.inOpenWindow(); err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		func() error { return d.verifyRosters(p.Rosters) },
		func() error { return d.verifyActs(p.Acts) },
		d.verifyContract,
		d.verifyInstruction, // with it, that nobody stopped the migration
		func() error { return d.verifyGates(p.Gates) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// inOpenWindow finds the instant that rosters are judged at: now or, of a passage that goes
// on in a window of its instruction, when the window opened or, if that was later, when it
// began. Nothing of a roster lapses inside an open window: a laboratory is not left half
// moved at two in the morning by a list that somebody forgot. What a later roster says, and
// whoever suspends, counts at once all the same.
func (d *docket) inOpenWindow() error {
	w, err := ParseWindow(d.instruction.Limits.Window)
	if err != nil {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "read limits.window", Err: err}
	}
	now := d.trust.Now
	if d.instruction.Limits.Window == "" || !w.Open(now) {
		return nil
	}
	d.closes = w.Closes(now)
	if begun := d.trust.Begun; !begun.IsZero() && !begun.After(now) {
		d.judged = w.opened(now)
		if begun.After(d.judged) {
			d.judged = begun
		}
	}
	return nil
}

// until notes an end: a permit lasts to the earliest.
func (d *docket) until(t time.Time) {
	if d.ends.IsZero() || t.Before(d.ends) {
		d.ends = t
	}
}

// chain takes the rosters, each signed by its party's root.
func (d *docket) chain(signed []evidence.Signed) error {
	for n, s := range signed {
		r, err := evidence.ParseRoster(fmt.Sprintf("roster[%d]", n), s.Body)
		if err != nil {
			return err
		}
		if _, err := evidence.VerifyRoster(s, d.trust.Roots[r.Side]); err != nil {
			return &ecluse.Error{
				Kind: ecluse.Unverified, What: whatRosters, Err: err,
				Why:  fmt.Sprintf("roster %d of the %s is not signed by the root that this gate was given", r.Number, r.Side),
				Next: "ask that party for a roster signed with its root key",
			}
		}
		if err := d.rosters.Add(r); err != nil {
			return err
		}
	}
	return nil
}

const whatRosters = "verify rosters"

// verifyRosters checks that each roster chains to its party's root, and that the
// latest of each side is neither older than one seen before nor out of date.
func (d *docket) verifyRosters(signed []evidence.Signed) error {
	if err := d.chain(signed); err != nil {
		return err
	}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		if err := d.rootOf(side); err != nil {
			return err
		}
		if err := d.current(side); err != nil {
			return err
		}
	}
	return nil
}

// rootOf checks that the contract names the root of a side that this gate was given.
func (d *docket) rootOf(side ecluse.Side) error {
	if root := d.trust.Roots[side]; root != "" && d.contract.Party(side).Root == root {
		return nil
	}
	return refusal(whatRosters, fmt.Sprintf("the contract names another root for the %s than this gate was given", side),
		"compare both with that party, by telephone, before anything else")
}

// current checks the roster of a side that runs now: the highest number issued.
// One that is to come counts as seen.
func (d *docket) current(side ecluse.Side) error {
	what := fmt.Sprintf("verify the %s's roster", side)
	const next = "ask that party for a new roster: `ecluse roster`"
	var last *evidence.Roster
	highest := 0
	for _, r := range d.rosters.Side(side) {
		highest = max(highest, r.Number)
		if !r.Issued.After(d.trust.Now) {
			last = r
		}
	}
	switch {
	case highest > 0 && highest < d.trust.Floors[side]:
		return refusal(what, fmt.Sprintf("its number is %d and this gate has seen %d", highest, d.trust.Floors[side]), next)
	case last == nil:
		return refusal(what, "there is none that is issued already", next)
	case !d.judged.Before(last.Issued.Add(evidence.RosterLife)):
		return refusal(what, "it is older than 30 days, issued on "+last.Issued.Format(time.RFC3339), next)
	case !d.judged.Before(last.Expires):
		return refusal(what, "it expired on "+last.Expires.Format(time.RFC3339), next)
	}
	end := last.Ends()
	if end.Before(d.closes) {
		end = d.closes
	}
	d.until(end)
	return nil
}

// verifyActs checks every act's text, signature, roster and role at the instant
// from which it holds. Whether it still counts is for each use to say.
func (d *docket) verifyActs(signed []evidence.Signed) error {
	for n, s := range signed {
		what := fmt.Sprintf("verify act %d of %d, %s", n+1, len(signed), s.Digest())
		a, err := evidence.ParseAct(s.Body)
		if err == nil {
			var by *evidence.Person
			if a, by, err = evidence.VerifyAct(s, &d.rosters, a.NotBefore); err == nil {
				d.acts = append(d.acts, actBy{a, by, s})
				continue
			}
		}
		return &ecluse.Error{Kind: ecluse.Unverified, What: what, Err: err, Next: "take it out, and have it signed again by somebody who may"}
	}
	slices.SortStableFunc(d.acts, func(a, b actBy) int { return a.NotBefore.Compare(b.NotBefore) })
	return nil
}

// about lists the acts with a clause of one of the verbs on a document, oldest
// first. An act of another migration counts for contracts and gates only, which
// several share.
func (d *docket) about(kind string, subject ecluse.Digest, verbs ...evidence.Verb) []actBy {
	var found []actBy
	for _, a := range d.acts {
		if kind != evidence.KindContract && kind != evidence.KindGate && (d.instruction == nil || a.Migration != d.instruction.ID) {
			continue
		}
		if slices.ContainsFunc(verbs, func(v evidence.Verb) bool { return a.Has(v, kind, subject) }) {
			found = append(found, a)
		}
	}
	return found
}

// signed lists the acts, newest first, by which a side's holders of a role
// signed or approved a document; none is an error.
func (d *docket) signed(side ecluse.Side, role ecluse.Role, verb evidence.Verb, kind string, subject ecluse.Digest) ([]actBy, error) {
	var found []actBy
	for _, a := range d.about(kind, subject, verb) {
		if a.Side == side && a.Role == role && !a.NotBefore.After(d.trust.Now) {
			found = append(found, a)
		}
	}
	if len(found) == 0 {
		return nil, &ecluse.Error{
			Kind: ecluse.WaitsForSign, What: fmt.Sprintf("verify signatures under %s %s", kind, subject),
			Why:  fmt.Sprintf("no %s of the %s has signed it (%s)", role, side, verb),
			Next: fmt.Sprintf("a %s of the %s signs it: `ecluse %s`", role, side, commandFor(verb)),
		}
	}
	slices.Reverse(found)
	return found, nil
}

func commandFor(v evidence.Verb) string {
	if v == evidence.VerbApprove {
		return "approve"
	}
	return "sign"
}

// twoPeople finds two acts, one of each list, of different natural persons.
func twoPeople(what string, a, b []actBy) (x, y actBy, err error) {
	for _, x = range a {
		for _, y = range b {
			if !x.by.Same(y.by) {
				return x, y, nil
			}
		}
	}
	return x, y, refusal(what, fmt.Sprintf("%s signed for both parties: one person cannot stand on both sides", x.Person), "somebody else signs for one of them")
}

func (d *docket) verifyContract() error {
	subject := d.contract.digest
	signed := map[ecluse.Side][]actBy{}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		acts, err := d.signed(side, ecluse.Signatory, evidence.VerbSign, evidence.KindContract, subject)
		if err != nil {
			return err
		}
		signed[side] = acts
	}
	if _, _, err := twoPeople("verify contract", signed[ecluse.Controller], signed[ecluse.Processor]); err != nil {
		return err
	}
	if err := d.contract.ValidAt(d.trust.Now); err != nil {
		return err
	}
	d.until(d.contract.ends())
	return d.stopped(evidence.KindContract, subject)
}

func (d *docket) verifyInstruction() error {
	const what = "verify instruction"
	i := d.instruction
	if i.Contract != d.contract.digest {
		return &ecluse.Error{Kind: ecluse.Differs, What: what, Why: "it is under another contract: " + i.Contract.String(), Next: "give the contract it names", Article: lawChapeau}
	}
	if _, err := d.signed(ecluse.Controller, ecluse.Signatory, evidence.VerbSign, evidence.KindInstruction, i.digest); err != nil {
		return err
	}
	if err := d.inSuccession(); err != nil {
		return err
	}
	if !d.trust.Now.Before(i.EraseBy) {
		return refusal(what, "its deadline passed on "+i.EraseBy.UTC().Format(time.RFC3339), "erasing is all that is left; a new instruction is a new migration")
	}
	d.until(i.EraseBy)
	// A migration as a whole is named by its instruction.
	if err := d.stopped(evidence.KindMigration, i.digest); err != nil {
		return err
	}
	return d.stopped(evidence.KindInstruction, i.digest)
}

// inSuccession checks the instruction against those that the controller signed for
// this migration before it: it is the last, and names the one before. What this
// gate acted on must be among them: its ledger keeps what the lock could leave out.
func (d *docket) inSuccession() error {
	const what = "verify instruction"
	i := d.instruction
	var versions []ecluse.Digest
	for _, a := range d.acts {
		if a.Migration != i.ID || a.Side != ecluse.Controller || a.Role != ecluse.Signatory || a.NotBefore.After(d.trust.Now) {
			continue
		}
		for _, c := range a.Clauses {
			if c.Verb == evidence.VerbSign && c.Kind == evidence.KindInstruction && !slices.Contains(versions, c.Subject) {
				versions = append(versions, c.Subject)
			}
		}
	}
	last := len(versions) - 1
	if versions[last] != i.digest {
		return refusal(what, "the controller signed a later version: "+versions[last].String(), "give that one; it is in force")
	}
	if acted := d.trust.Acted; !acted.IsZero() && !slices.Contains(versions, acted) {
		return refusal(what, "this gate acted on "+acted.String()+", which is not among the versions before it",
			"give every act of the migration; a change is a new version that names the one before")
	}
	if last == 0 {
		return i.Follows(ecluse.Digest{})
	}
	return i.Follows(versions[last-1])
}

func (d *docket) verifyRecipients(chunks, rejects evidence.Signed) (err error) {
	i := d.instruction
	if d.chunks, err = recipientFor(i, chunks, i.Target.Gate, evidence.ForChunks); err != nil {
		return err
	}
	if d.rejects, err = recipientFor(i, rejects, i.Source.Gate, evidence.ForRejects); err != nil {
		return err
	}
	for _, r := range []*evidence.Recipient{d.chunks, d.rejects} {
		if !d.trust.Now.Before(r.NotAfter) {
			return refusal("verify the recipient for "+r.Purpose, "it ended on "+r.NotAfter.Format(time.RFC3339), "its gate makes a new one")
		}
		d.until(r.NotAfter)
	}
	return nil
}

// mayStop are the roles whose suspension or objection stops a migration. Anybody
// in a roster may refuse a document for their side.
var mayStop = []ecluse.Role{ecluse.Signatory, ecluse.DPO, ecluse.Security}

// stopped tells whether a suspension, an objection or a refusal stands against a
// document, from either side: the end of its own validity does not lift it. What is said
// of the migration as a whole stops it whatever instruction it names, for the act itself
// names the migration: the subject is the lock's to show, and whoever wants to stop at
// once must not depend on it.
func (d *docket) stopped(kind string, subject ecluse.Digest) error {
	stops := d.about(kind, subject, evidence.VerbSuspend, evidence.VerbObject, evidence.VerbRefuse)
	if kind == evidence.KindMigration {
		stops = d.aboutMigration()
	}
	for _, a := range stops {
		refused := a.Has(evidence.VerbRefuse, kind, subject)
		if !refused && !slices.Contains(mayStop, a.Role) || d.lifted(a, refused, kind, subject) {
			continue
		}
		verb := "suspended"
		if refused {
			verb = "refused"
		} else if slices.ContainsFunc(a.Clauses, func(c evidence.Clause) bool { return c.Verb == evidence.VerbObject && c.Kind == kind }) {
			verb = "objected to"
		}
		return refusal("verify "+kind+" "+subject.String(),
			fmt.Sprintf("%s by %s (%s of the %s) on %s", verb, a.Person, a.Role, a.Side, a.NotBefore.Format(time.RFC3339)),
			"settle why with that person; somebody of that side then signs that it resumes")
	}
	return nil
}

// aboutMigration lists the acts that suspend or object to the migration as a whole.
func (d *docket) aboutMigration() []actBy {
	var found []actBy
	for _, a := range d.acts {
		if a.Migration == d.instruction.ID && slices.ContainsFunc(a.Clauses, func(c evidence.Clause) bool {
			return c.Kind == evidence.KindMigration && (c.Verb == evidence.VerbSuspend || c.Verb == evidence.VerbObject)
		}) {
			found = append(found, a)
		}
	}
	return found
}

// lifted tells whether somebody of the same side took a stop back. Resuming names, by
// digest, the acts that it lifts, and no other: nobody can sign the name of an act that
// does not exist yet, so a lock that keeps a resumption cannot use it against a later
// suspension, whatever clocks it shows to whoever signs and in whatever order it hands
// acts over. A refusal is also lifted when its side later signs or approves the same
// bytes; which is later, the signers' own machines say (desk.sign), never the lock.
func (d *docket) lifted(stop actBy, refused bool, kind string, subject ecluse.Digest) bool {
	same := func(a actBy) bool { return a.Side == stop.Side && !a.NotBefore.After(d.trust.Now) }
	for _, a := range d.about(evidence.KindAct, stop.signed.Digest(), evidence.VerbResume) {
		if same(a) && slices.Contains(mayStop, a.Role) {
			return true
		}
	}
	return refused && slices.ContainsFunc(d.about(kind, subject, evidence.VerbSign, evidence.VerbApprove), func(a actBy) bool {
		return same(a) && a.NotBefore.After(stop.NotBefore)
	})
}

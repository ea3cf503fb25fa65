package lock

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/due"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/store"
	"ecluse/internal/store/sqlite"
)

// Person is somebody whose key the latest rosters know, and the lock as they see it:
// desk.Lock.
type Person struct {
	*Lock
	key    ecluse.Fingerprint
	roster *evidence.Roster
	person *evidence.Person
}

// Nobody is the lock as somebody sees it of whom nothing is known: it shows, and
// takes nothing in.
func (l *Lock) Nobody() *Person { return &Person{Lock: l} }

// known refuses nobody.
func (s *Person) known() error {
	if s.person != nil {
		return nil
	}
	return &ecluse.Error{Kind: ecluse.WaitsForSign, What: "sign", Why: "no key is named", Next: "add --as KEY: a key file, or the public key or fingerprint of a key in ssh-agent"}
}

// Me says who the person is.
func (s *Person) Me(ctx context.Context) (*exchange.Person, error) {
	if err := s.known(); err != nil {
		return nil, err
	}
	signed, err := s.store.Signed(ctx, s.roster.Digest(), evidence.NamespaceRoster)
	if err != nil {
		return nil, err
	}
	return &exchange.Person{ID: s.person.ID, Side: s.roster.Side, Roles: s.person.Roles, Roster: signed[0]}, nil
}

// actors are the roles the person may act in.
func (s *Person) actors() []procedure.Actor {
	var all []procedure.Actor
	for _, r := range s.person.Roles {
		all = append(all, procedure.Person(s.roster.Side, r))
	}
	return all
}

// knownRosters reads the rosters, each checked against its party's root, once.
func (l *Lock) knownRosters(ctx context.Context) (*evidence.Rosters, error) {
	all := &evidence.Rosters{}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		rs, err := l.store.Rosters(ctx, side)
		if err != nil {
			return nil, err
		}
		for _, x := range rs {
			r, err := l.verified(ctx, x.Digest, side)
			if err != nil {
				return nil, err
			}
			if err := all.Add(r); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// verified reads a roster that was taken in, or what is remembered of it: rosters
// never change.
func (l *Lock) verified(ctx context.Context, d ecluse.Digest, side ecluse.Side) (*evidence.Roster, error) {
	l.mu.Lock()
	r := l.parsed[d]
	l.mu.Unlock()
	if r != nil {
		return r, nil
	}
	signed, err := l.store.Signed(ctx, d, evidence.NamespaceRoster)
	if err != nil {
		return nil, err
	}
	if len(signed) == 0 {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "read roster", Where: d.String(), Why: "its root's signature is not there"}
	}
	if r, err = evidence.VerifyRoster(signed[0], l.settings.Roots[side]); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parsed[d] = r
	return r, nil
}

// As finds the person a key belongs to.
func (l *Lock) As(ctx context.Context, print ecluse.Fingerprint) (*Person, error) {
	rs, err := l.knownRosters(ctx)
	if err != nil {
		return nil, err
	}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		if r, ok := rs.Latest(side); ok {
			if p, ok := r.Holder(print); ok {
				return &Person{l, print, r, p}, nil
			}
		}
	}
	return nil, &ecluse.Error{
		Kind: ecluse.Refused, What: "find whose key it is", Where: string(print), Why: "no roster taken in here has it", Article: "GDPR art. 29, 32(4)",
		Next: "have the party's root sign a roster with this key: ecluse roster add FILE --as ROOT-KEY",
	}
}

// Draft says in which of the person's roles an act of some clauses can be made now,
// and from when.
func (s *Person) Draft(ctx context.Context, m ecluse.MigrationID, clauses []evidence.Clause) (d *exchange.Draft, err error) {
	if err := s.known(); err != nil {
		return nil, err
	}
	if len(clauses) == 0 {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "draft an act", Why: "it says nothing"}
	}
	a := &attempt{verb: string(clauses[0].Verb), migration: m, subject: clauses[0].Subject, by: s}
	defer a.journal(ctx, s.Lock, &err)
	now, _, err := s.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	if now, err = s.afterStop(ctx, m, s.roster.Side, now); err != nil {
		return nil, err
	}
	from := now.UTC().Truncate(time.Second)
	if from.Before(s.roster.Issued) {
		from = s.roster.Issued.UTC()
	}
	act := &evidence.Act{Migration: m, Side: s.roster.Side, Person: s.person.ID, Clauses: clauses}
	if act.Role, err = s.role(ctx, act); err != nil {
		return nil, withNext(err, seeStatus)
	}
	return &exchange.Draft{Role: act.Role, NotBefore: from}, nil
}

// HandIn takes an act in with the documents it speaks of, verified as a gate would,
// and carries out what it says, all in one transaction: an act that the procedure
// refuses is not recorded.
func (s *Person) HandIn(ctx context.Context, signed evidence.Signed, papers []exchange.Enclosure) (r *exchange.Receipt, err error) {
	if err := s.known(); err != nil {
		return nil, err
	}
	rs, err := s.knownRosters(ctx)
	if err != nil {
		return nil, err
	}
	now, _, err := s.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	act, _, err := evidence.VerifyAct(signed, rs, now)
	if err != nil {
		return nil, err
	}
	a := &attempt{verb: string(act.Clauses[0].Verb), migration: act.Migration, subject: act.Clauses[0].Subject, by: s}
	defer a.journal(ctx, s.Lock, &err)
	if act.Side != s.roster.Side || act.Person != s.person.ID {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "hand in an act", Where: signed.Digest().String(), Why: "somebody else signed it", Next: "let them hand it in", Article: "GDPR art. 29"}
	}
	maps := slices.ContainsFunc(papers, func(p exchange.Enclosure) bool { return p.Kind == evidence.KindMapping })
	for _, p := range papers {
		if p.Kind == exchange.KindFrozen && maps {
			continue // the mapping, of which the act speaks, names it
		}
		if !slices.ContainsFunc(act.Clauses, func(c evidence.Clause) bool { return c.Subject == ecluse.DigestOf(p.Text) }) {
			return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "hand in an act", Where: p.Kind, Why: "the act does not speak of it", Next: "hand in the act with the documents whose digests it names, and no other"}
		}
	}
	if err := s.judge(ctx, act, papers); err != nil {
		return nil, err
	}
	if err := s.record(ctx, act, signed, papers); err != nil {
		return nil, withNext(err, seeStatus)
	}
	s.tell()
	tree := string(act.Migration)
	if tree == "" {
		tree = evidence.InstallationTree
	}
	head, err := s.log.Head(ctx, tree)
	return &exchange.Receipt{Act: signed.Digest(), Head: head}, err
}

const seeStatus = "ecluse status says what can be done now, and by whom"

// afterStop waits, at most a second, until an act can be told to come after one by
// which the same side stopped something: acts name whole seconds.
func (l *Lock) afterStop(ctx context.Context, m ecluse.MigrationID, side ecluse.Side, now time.Time) (time.Time, error) {
	acts, err := l.store.Acts(ctx, m)
	if err != nil {
		return now, err
	}
	next := time.Time{}
	for _, a := range acts {
		stops := slices.ContainsFunc(a.Clauses, func(c evidence.Clause) bool {
			return c.Verb == evidence.VerbSuspend || c.Verb == evidence.VerbObject || c.Verb == evidence.VerbRefuse
		})
		if at := a.Recorded.Truncate(time.Second).Add(time.Second); stops && a.Side == side && at.After(now) {
			next = at
		}
	}
	if next.IsZero() {
		return now, nil
	}
	t := time.NewTimer(next.Sub(now))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return now, context.Cause(ctx)
	}
	now, _, err = l.store.Now(ctx)
	return now, err
}

// role chooses the person's role that may make every move of the act.
func (s *Person) role(ctx context.Context, act *evidence.Act) (ecluse.Role, error) {
	start := procedure.Start()
	if act.Migration != "" {
		mig, err := s.store.Migration(ctx, act.Migration)
		if err != nil {
			return "", err
		}
		start = mig.Place
	}
	verbs, err := movesOf(act, start)
	if err != nil {
		return "", err
	}
	var first error
	for _, r := range s.person.Roles {
		p, err := start, error(nil)
		for _, v := range verbs {
			if p, err = step(p, v, procedure.Person(act.Side, r)); err != nil {
				break
			}
		}
		if err == nil {
			return r, nil
		}
		if first == nil {
			first = err
		}
	}
	return "", first
}

// movesOf lists the moves an act makes from where the migration stands. To refuse
// the load plan of a passage that has begun is to order it undone, as refusing
// its report is.
func movesOf(act *evidence.Act, p procedure.Place) ([]procedure.Verb, error) {
	verbs, err := procedure.ForAct(act)
	inside := []procedure.State{procedure.Loading, procedure.Loaded, procedure.Compared}
	for i, v := range verbs {
		if v == procedure.RefuseLoad && slices.Contains(inside, p.Passage) {
			verbs[i] = procedure.Undo
		}
	}
	return verbs, err
}

// step makes a move; the approval that is signed together with its instruction
// takes the plan shown before as compiled.
func step(p procedure.Place, v procedure.Verb, by procedure.Actor) (procedure.Place, error) {
	if v == procedure.ApproveRead && p.Migration == procedure.Instructed {
		planned, err := procedure.Next(p, procedure.PlanRead, procedure.SourceGate)
		if err != nil {
			return p, err
		}
		p = planned
	}
	return procedure.Next(p, v, by)
}

// record keeps an act with its papers and makes its moves.
func (l *Lock) record(ctx context.Context, act *evidence.Act, signed evidence.Signed, papers []exchange.Enclosure) error {
	tree := string(act.Migration)
	if tree == "" {
		tree = evidence.InstallationTree
	}
	e := journal.Event{
		Tree: tree, Type: journal.ActRecorded, IDs: map[string]string{"act": signed.Digest().String()},
		Body: journal.Act{Side: act.Side, Person: journal.PersonID(act.Person), Role: act.Role},
	}
	return l.store.Do(ctx, e, func(tx *sqlite.Tx) error {
		for _, p := range papers {
			if _, err := tx.AddDocument(ctx, p.Kind, act.Migration, p.Text); err != nil {
				return err
			}
		}
		if _, err := tx.AddAct(ctx, signed, act); err != nil {
			return err
		}
		place := procedure.Start()
		if act.Migration != "" {
			mig, err := tx.Migration(ctx, act.Migration)
			if err != nil {
				return err
			}
			place = mig.Place
		}
		verbs, err := movesOf(act, place)
		if err != nil {
			return err
		}
		by := procedure.Person(act.Side, act.Role)
		for _, v := range verbs {
			if err := l.carryOut(ctx, tx, act, signed.Digest(), v, by); err != nil {
				return err
			}
		}
		return nil
	})
}

// carryOut makes one move of an act and what follows from it.
func (l *Lock) carryOut(ctx context.Context, tx *sqlite.Tx, act *evidence.Act, digest ecluse.Digest, v procedure.Verb, by procedure.Actor) error {
	if act.Migration == "" { // contracts and gates stand before any migration
		if _, err := procedure.Next(procedure.Start(), v, by); err != nil {
			return err
		}
		if ofGate(v) {
			return gateJudged(ctx, tx, act)
		}
		if err := contractFollows(ctx, tx, act); err != nil {
			return err
		}
		return contractSigned(ctx, tx, act)
	}
	m := act.Migration
	mig, err := tx.Migration(ctx, m)
	if err != nil {
		return err
	}
	if v == procedure.SignInstruction {
		text, err := tx.Document(ctx, subjectOf(act, evidence.KindInstruction))
		if err != nil {
			return err
		}
		i, err := mandate.ParseInstruction("instruction", text)
		if err != nil {
			return err
		}
		if err := instructionFollows(ctx, tx, mig, i); err != nil {
			return err
		}
	}
	if v == procedure.ApproveRead && mig.Place.Migration == procedure.Instructed {
		if _, err := tx.Move(ctx, m, procedure.PlanRead, procedure.SourceGate); err != nil {
			return err
		}
	}
	if _, err := tx.Move(ctx, m, v, by); err != nil {
		return err
	}
	return follow(ctx, tx, act, digest, v)
}

// subjectOf is the document of a kind that an act speaks of.
func subjectOf(act *evidence.Act, kind string) ecluse.Digest {
	for _, c := range act.Clauses {
		if c.Kind == kind {
			return c.Subject
		}
	}
	return ecluse.Digest{}
}

// instructionFollows holds an instruction to the one that is signed and in force.
// Before the first signature drafts come and go.
func instructionFollows(ctx context.Context, tx *sqlite.Tx, mig *store.Migration, i *mandate.Instruction) error {
	if mig.Place.Migration == procedure.Born {
		return i.Follows(ecluse.Digest{})
	}
	current, err := tx.Current(ctx, mig.ID, evidence.KindInstruction)
	if err != nil || current == i.Digest() {
		return err
	}
	return i.Follows(current)
}

// contractFollows holds a contract to the version of the same id that both parties
// signed before, and that none of these replaces.
func contractFollows(ctx context.Context, tx *sqlite.Tx, act *evidence.Act) error {
	text, err := tx.Document(ctx, subjectOf(act, evidence.KindContract))
	if err != nil {
		return err
	}
	c, err := mandate.ParseContract("contract", text)
	if err != nil {
		return err
	}
	acts, err := tx.Acts(ctx, "")
	if err != nil {
		return err
	}
	docs, err := tx.Documents(ctx, "", evidence.KindContract)
	if err != nil {
		return err
	}
	inForce, replaced := map[ecluse.Digest]bool{}, map[ecluse.Digest]bool{}
	for _, d := range docs {
		if d.Digest == c.Digest() || unsigned(acts, d.Digest) != "" {
			continue
		}
		if text, err = tx.Document(ctx, d.Digest); err != nil {
			return err
		}
		other, err := mandate.ParseContract("contract", text)
		if err != nil {
			return err
		}
		if other.ID != c.ID {
			continue
		}
		inForce[d.Digest] = true
		if other.Replaces != nil {
			replaced[*other.Replaces] = true
		}
	}
	for d := range inForce {
		if !replaced[d] {
			return c.Follows(d)
		}
	}
	return c.Follows(ecluse.Digest{})
}

// follow does what comes with a move: documents put in force, deadlines set.
func follow(ctx context.Context, tx *sqlite.Tx, act *evidence.Act, digest ecluse.Digest, v procedure.Verb) error {
	m := act.Migration
	subject := func(kind string) ecluse.Digest { return subjectOf(act, kind) }
	now := tx.Now()
	switch v {
	case procedure.SignInstruction:
		return instructionSigned(ctx, tx, m, digest, subject(evidence.KindInstruction))
	case procedure.SignMapping:
		return tx.SetCurrent(ctx, m, evidence.KindMapping, subject(evidence.KindMapping))
	case procedure.ApproveRead:
		return tx.Schedule(ctx, ecluse.Digest{}, due.ForApproval(m, subject(evidence.KindReadPlan), now))
	case procedure.ApproveLoad:
		return tx.Schedule(ctx, ecluse.Digest{}, due.ForApproval(m, subject(evidence.KindLoadPlan), now))
	case procedure.Accept:
		if err := explained(ctx, tx, m, subject(evidence.KindReport), subject(evidence.KindDispositions)); err != nil {
			return err
		}
		tx.Also(journal.Event{Tree: string(m), Type: journal.Accepted, IDs: map[string]string{"report": subject(evidence.KindReport).String()}})
		if err := endPassage(ctx, tx, m, procedure.Accepted); err != nil {
			return err
		}
		return tx.SetDeadline(ctx, m, now, digest)
	case procedure.Erase:
		if mig, err := tx.Migration(ctx, m); err != nil || mig.EraseBy.Before(now) {
			return err // it is overdue, and what is counted from its deadline goes on
		}
		return tx.SetDeadline(ctx, m, now, digest)
	case procedure.Undo:
		tx.Also(journal.Event{Tree: string(m), Type: journal.UndoBegun})
		return undoOrdered(ctx, tx, m)
	}
	return nil
}

// instructionSigned puts an instruction in force, and its deadline: nearer than
// before or, since the controller signed it, later. That it ends with the contract
// was seen before the act was made (Room.open).
func instructionSigned(ctx context.Context, tx *sqlite.Tx, m ecluse.MigrationID, act, instruction ecluse.Digest) error {
	text, err := tx.Document(ctx, instruction)
	if err != nil {
		return err
	}
	i, err := mandate.ParseInstruction("instruction", text)
	if err != nil {
		return err
	}
	if err := tx.SetCurrent(ctx, m, evidence.KindInstruction, instruction); err != nil {
		return err
	}
	return tx.SetDeadline(ctx, m, i.EraseBy, act)
}

// explained refuses the acceptance of another report than that of the passage in
// hand, and one that leaves something unexplained. It stands in the transaction of
// the act: there is no other way to accept.
func explained(ctx context.Context, tx *sqlite.Tx, m ecluse.MigrationID, report, dispositions ecluse.Digest) error {
	current, err := tx.Current(ctx, m, evidence.KindReport)
	if err != nil {
		return err
	}
	if current != report {
		return &ecluse.Error{Kind: ecluse.Refused, What: "accept", Where: report.String(), Why: "it is not the report of the passage in hand, " + current.String(), Next: "ecluse report, then ecluse accept"}
	}
	text, err := tx.Document(ctx, report)
	if err != nil {
		return err
	}
	var said []byte
	if !dispositions.IsZero() {
		if said, err = tx.Document(ctx, dispositions); err != nil {
			return err
		}
	}
	return evidence.Explained(text, said)
}

// endPassage closes the passage in hand in the list of passages.
func endPassage(ctx context.Context, tx *sqlite.Tx, m ecluse.MigrationID, s procedure.State) error {
	passages, err := tx.Passages(ctx, m)
	if err != nil {
		return err
	}
	for _, p := range passages {
		if p.Ended.IsZero() {
			if err := tx.SetPassage(ctx, m, p.Passage, s, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// undoOrdered ends a dry run, which wrote nothing; another passage is the target
// gate's to undo.
func undoOrdered(ctx context.Context, tx *sqlite.Tx, m ecluse.MigrationID) error {
	mig, err := tx.Migration(ctx, m)
	if err != nil || mig.Place.Passage == procedure.Undoing {
		return err
	}
	tx.Also(journal.Event{Tree: string(m), Type: journal.UndoEnded})
	return endPassage(ctx, tx, m, procedure.Undone)
}

// contractSigned sets the deadlines of a contract that both parties have signed.
func contractSigned(ctx context.Context, tx *sqlite.Tx, act *evidence.Act) error {
	acts, err := tx.Acts(ctx, "")
	if err != nil {
		return err
	}
	for _, c := range act.Clauses {
		if missing := unsigned(acts, c.Subject); missing != "" {
			continue
		}
		text, err := tx.Document(ctx, c.Subject)
		if err != nil {
			return err
		}
		contract, err := mandate.ParseContract("contract", text)
		if err != nil {
			return err
		}
		tx.Also(journal.Event{Tree: evidence.InstallationTree, Type: journal.ContractSigned, IDs: map[string]string{"contract": c.Subject.String()}})
		if err := tx.Schedule(ctx, ecluse.Digest{}, due.ForContract(c.Subject, tx.Now(), contract.End.Ends())...); err != nil {
			return err
		}
	}
	return nil
}

// unsigned is the side that has not signed a contract; empty when both have.
func unsigned(acts []store.Act, contract ecluse.Digest) ecluse.Side {
	by := map[ecluse.Side]bool{}
	for _, a := range acts {
		for _, c := range a.Clauses {
			if c.Verb == evidence.VerbSign && c.Kind == evidence.KindContract && c.Subject == contract {
				by[a.Side] = true
			}
		}
	}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		if !by[side] {
			return side
		}
	}
	return ""
}

// inForce tells whether both parties signed a contract.
func (l *Lock) inForce(ctx context.Context, contract ecluse.Digest) error {
	acts, err := l.store.Acts(ctx, "")
	if err != nil {
		return err
	}
	if side := unsigned(acts, contract); side != "" {
		return &ecluse.Error{
			Kind: ecluse.WaitsForSign, What: "find the contract", Where: contract.String(), Why: fmt.Sprintf("the %s has not signed it", side),
			Next: "a signatory of that party: ecluse sign contract.yaml --as KEY", Article: "GDPR art. 28(3), 28(9)",
		}
	}
	return nil
}

package lock

import (
	"context"
	"errors"
	"io/fs"
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
// refuses is not recorded. Handed in again, after an answer that was lost, it is as it
// was, and its receipt has the head of now.
func (s *Person) HandIn(ctx context.Context, signed evidence.Signed, papers []exchange.Enclosure) (r *exchange.Receipt, err error) {
	if err := s.known(); err != nil {
		return nil, err
	}
	if r, err := s.handedIn(ctx, signed); r != nil || err != nil {
		return r, err
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
	defer func() {
		if err == nil {
			return
		}
		// Perhaps because another request of the same act was first.
		if first, _ := s.handedIn(ctx, signed); first != nil {
			r, err = first, nil
		}
	}()
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
	return s.receipt(ctx, signed.Digest(), act.Migration)
}

// handedIn is the receipt of an act that this person handed in before; nil when it is
// not known. Whether it could be made now is not asked: it counted when it came.
func (s *Person) handedIn(ctx context.Context, signed evidence.Signed) (*exchange.Receipt, error) {
	act, err := s.store.Act(ctx, signed.Digest())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if act.Side != s.roster.Side || act.Person != s.person.ID {
		return nil, nil
	}
	key, err := signed.Verify(evidence.NamespaceAct)
	if err != nil {
		return nil, err
	}
	kept, err := s.store.Signed(ctx, act.Digest, evidence.NamespaceAct)
	if err != nil {
		return nil, err
	}
	by := evidence.FingerprintOf(key)
	if !slices.ContainsFunc(kept, func(k evidence.Signed) bool { return k.VerifyBy(evidence.NamespaceAct, by) == nil }) {
		return nil, nil
	}
	return s.receipt(ctx, act.Digest, act.Migration)
}

// receipt shows that an act is in the journal.
func (l *Lock) receipt(ctx context.Context, act ecluse.Digest, m ecluse.MigrationID) (*exchange.Receipt, error) {
	tree := string(m)
	if tree == "" {
		tree = evidence.InstallationTree
	}
	head, err := l.log.Head(ctx, tree)
	if err != nil {
		return nil, err
	}
	return &exchange.Receipt{Act: act, Head: head}, nil
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
		p, err := start, s.mayDecide(ctx, act, r, start)
		for _, v := range verbs {
			if err != nil {
				break
			}
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
	inside := slices.DeleteFunc(procedure.InTarget(), func(s procedure.State) bool { return s == procedure.Undoing })
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
			return l.gateJudged(ctx, tx, act)
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
	if err := mayUndo(ctx, tx, act, v, mig.Place); err != nil {
		return err
	}
	if v == procedure.ApproveRead || v == procedure.ApproveLoad {
		if err := planInHand(ctx, tx, mig, act, v); err != nil {
			return err
		}
	}
	if v == procedure.Undo && mig.Place.Passage == procedure.Live && subjectOf(act, evidence.KindReason).IsZero() {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "undo", Where: string(m), Why: "the laboratory works in the new software since the go, and nobody said why that ends", Article: "GDPR art. 5(2)",
			Next: "ecluse undo --because … --as KEY",
		}
	}
	if v == procedure.Undo {
		if err := undoesInHand(ctx, tx, mig, act); err != nil {
			return err
		}
	}
	if _, err := tx.Move(ctx, m, v, by); err != nil {
		return err
	}
	return follow(ctx, tx, act, digest, v)
}

// undoesInHand refuses the order to undo another passage than the one in hand: it names the
// passage's report or, before there is one, the act under which it began.
func undoesInHand(ctx context.Context, tx *sqlite.Tx, mig *store.Migration, act *evidence.Act) error {
	if report := subjectOf(act, evidence.KindReport); !report.IsZero() {
		return reportInHand(ctx, tx, mig.ID, report, "undo")
	}
	under := subjectOf(act, evidence.KindAct)
	if under.IsZero() { // by a load plan, as orders were given before
		return nil
	}
	e := &ecluse.Error{Kind: ecluse.Refused, What: "undo", Where: under.String(), Why: "it is not the act under which the passage in hand began", Next: seeStatus}
	if slices.Contains(procedure.Reported(), mig.Place.Passage) {
		e.Why = "the passage in hand has a report, and is undone by refusing that"
		return e
	}
	passages, err := tx.Passages(ctx, mig.ID)
	if err != nil {
		return err
	}
	approval, err := inHand(ctx, tx, mig.ID, passages)
	if err == nil && approval != under {
		return e
	}
	return err
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
		return approved(ctx, tx, m, subject(evidence.KindReadPlan))
	case procedure.ApproveLoad:
		return approved(ctx, tx, m, subject(evidence.KindLoadPlan))
	case procedure.Go, procedure.NoGo:
		return decided(ctx, tx, act)
	case procedure.Accept:
		if err := explained(ctx, tx, act); err != nil {
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
	case procedure.EraseKept:
		return askEraseKept(ctx, tx, m)
	case procedure.Resume:
		return allLifted(ctx, tx, act)
	case procedure.Undo:
		tx.Also(journal.Event{Tree: string(m), Type: journal.UndoBegun})
		return undoOrdered(ctx, tx, m)
	}
	return nil
}

// approved sets when the approval of a plan lapses, by the instruction in force.
func approved(ctx context.Context, tx *sqlite.Tx, m ecluse.MigrationID, plan ecluse.Digest) error {
	in, err := tx.Current(ctx, m, evidence.KindInstruction)
	if err != nil {
		return err
	}
	text, err := tx.Document(ctx, in)
	if err != nil {
		return err
	}
	i, err := mandate.ParseInstruction("instruction", text)
	if err != nil {
		return err
	}
	return tx.Schedule(ctx, ecluse.Digest{}, due.ForApproval(m, plan, i.Lapses(tx.Now())))
}

// askEraseKept asks the gate that keeps rows put aside to erase them, and waits for
// nothing: it verifies the act itself, and hands in that they are gone.
func askEraseKept(ctx context.Context, tx *sqlite.Tx, m ecluse.MigrationID) error {
	d, err := tx.Current(ctx, m, evidence.KindInstruction)
	if err != nil {
		return err
	}
	text, err := tx.Document(ctx, d)
	if err != nil {
		return err
	}
	i, err := mandate.ParseInstruction("instruction", text)
	if err != nil {
		return err
	}
	w, err := newWork(i.Source.Gate, exchange.Work{Verb: exchange.EraseKept, Migration: m})
	if err != nil {
		return err
	}
	return tx.AskWork(ctx, w)
}

// instructionSigned puts an instruction in force, and its deadline: nearer than
// before or, since the controller signed it, later. That it ends with the contract
// was seen when its migration was opened (Person.OpenMigration).
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
func explained(ctx context.Context, tx *sqlite.Tx, act *evidence.Act) error {
	m, report := act.Migration, subjectOf(act, evidence.KindReport)
	if err := reportInHand(ctx, tx, m, report, "accept"); err != nil {
		return err
	}
	text, err := tx.Document(ctx, report)
	if err != nil {
		return err
	}
	said := map[string][]byte{}
	for _, kind := range []string{evidence.KindDispositions, evidence.KindReservations} {
		if d := subjectOf(act, kind); !d.IsZero() {
			if said[kind], err = tx.Document(ctx, d); err != nil {
				return err
			}
		}
	}
	if err := evidence.Explained(text, said[evidence.KindDispositions], said[evidence.KindReservations]); err != nil {
		return err
	}
	if d := subjectOf(act, evidence.KindDispositions); !d.IsZero() { // shown with the report
		if err := tx.SetCurrent(ctx, m, evidence.KindDispositions, d); err != nil {
			return err
		}
	}
	if said[evidence.KindReservations] == nil {
		return nil
	}
	var r evidence.Reservations
	if err := evidence.DecodeJSON(said[evidence.KindReservations], &r); err != nil {
		return err
	}
	owners := []string{}
	for _, x := range r.Differences {
		owners = append(owners, x.Owner)
	}
	return inRoster(ctx, tx, owners)
}

// reportInHand refuses what is said of another report than that of the passage in hand.
func reportInHand(ctx context.Context, tx *sqlite.Tx, m ecluse.MigrationID, report ecluse.Digest, what string) error {
	current, err := tx.Current(ctx, m, evidence.KindReport)
	if err != nil || current == report {
		return err
	}
	return &ecluse.Error{Kind: ecluse.Refused, What: what, Where: report.String(), Why: "it is not the report of the passage in hand, " + current.String(), Next: "ecluse report, then ecluse " + what}
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
// gate's to undo. Whoever loads it stops: the two cannot be in the target together.
func undoOrdered(ctx context.Context, tx *sqlite.Tx, m ecluse.MigrationID) error {
	if err := withdraw(ctx, tx, m, exchange.Load, "the passage is undone"); err != nil {
		return err
	}
	mig, err := tx.Migration(ctx, m)
	if err != nil || mig.Place.Passage == procedure.Undoing {
		return err
	}
	tx.Also(journal.Event{Tree: string(m), Type: journal.UndoEnded})
	return endPassage(ctx, tx, m, procedure.Undone)
}

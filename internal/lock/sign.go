package lock

import (
	"context"
	"fmt"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/account"
	"ecluse/internal/due"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/store"
	"ecluse/internal/store/sqlite"
)

// TakeRoster takes in a roster that a party's root key signed. It needs no other
// identity: root keys sign rosters and nothing else.
func (l *Lock) TakeRoster(ctx context.Context, signed evidence.Signed) (v *exchange.RosterReceipt, err error) {
	a := &attempt{verb: "roster", subject: signed.Digest()}
	defer a.journal(ctx, l, &err)
	roster, err := evidence.ParseRoster("roster", signed.Body)
	if err != nil {
		return nil, err
	}
	key, err := signed.Verify(evidence.NamespaceRoster)
	if err != nil {
		return nil, withNext(err, "sign it again as it stands: ecluse roster add FILE --as ROOT-KEY")
	}
	if by, root := evidence.FingerprintOf(key), l.settings.Roots[roster.Side]; by != root {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "take in roster", Where: "signature", Why: fmt.Sprintf("it was signed by %s, and the %s's root is %s", by, roster.Side, root), Article: "GDPR art. 29",
			Next: "sign it with the root key whose fingerprint was given when the lock was made",
		}
	}
	now, _, err := l.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	receipt := &exchange.RosterReceipt{Side: roster.Side, Number: roster.Number, Digest: roster.Digest(), People: len(roster.People), Expires: roster.Expires}
	known, err := l.store.Rosters(ctx, roster.Side)
	if err != nil {
		return nil, err
	}
	if n := len(known); n > 0 && known[n-1].Digest == receipt.Digest {
		return receipt, nil // the answer was lost, and the one in force is handed in again
	}
	if !now.Before(roster.Expires) {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "take in roster", Where: "expires", Why: "it expired on " + roster.Expires.UTC().Format(time.RFC3339), Article: "GDPR art. 32(4)",
			Next: "write one of the next number, for at most 30 days, and sign it",
		}
	}
	people := []journal.PersonID{}
	for _, p := range roster.People {
		people = append(people, journal.PersonID(p.ID))
	}
	err = l.store.Do(ctx, journal.Event{
		Tree: evidence.InstallationTree, Type: journal.RosterAccepted,
		IDs:  map[string]string{"roster": roster.Digest().String(), "side": string(roster.Side)},
		Body: journal.Roster{Side: roster.Side, Number: roster.Number, People: people},
	}, func(tx *sqlite.Tx) error {
		if _, err := tx.AddSigned(ctx, kindRoster, "", evidence.NamespaceRoster, signed); err != nil {
			return err
		}
		if err := tx.AddRoster(ctx, store.Roster{Side: roster.Side, Number: roster.Number, Digest: roster.Digest(), Issued: roster.Issued}); err != nil {
			return err
		}
		return tx.Schedule(ctx, ecluse.Digest{}, due.ForRoster(roster, tx.Now())...)
	})
	if err != nil {
		return nil, withNext(err, "write one of a higher number than any before, and sign it")
	}
	// Whoever asks with a session is looked up in the latest roster each time; so this one
	// is in force whether or not the sessions' rows go.
	_, err = account.KeepOnly(ctx, l.store, roster.Side, func(p account.Person) bool {
		holder, ok := roster.Holder(p.Key)
		return ok && holder.ID == p.ID && holder.Active(now)
	})
	if err != nil {
		return nil, err
	}
	return receipt, nil
}

// judge looks at the documents that come with an act, as far as the procedure does
// not: what a gate would refuse later is refused now.
func (s *Person) judge(ctx context.Context, act *evidence.Act, papers []exchange.Enclosure) error {
	for _, p := range papers {
		switch p.Kind {
		case evidence.KindContract:
			if err := s.judgeContract(p.Text); err != nil {
				return err
			}
		case evidence.KindInstruction:
			if err := s.judgeInstruction(ctx, act, p.Text); err != nil {
				return err
			}
		case evidence.KindMapping:
			var frozen [][]byte
			for _, f := range papers {
				if f.Kind == exchange.KindFrozen {
					frozen = append(frozen, f.Text)
				}
			}
			if _, err := s.CheckMapping(ctx, act.Migration, p.Text, frozen); err != nil {
				return err
			}
		case exchange.KindFrozen, evidence.KindReason, evidence.KindDispositions, evidence.KindDecision, evidence.KindReservations:
		default:
			return &ecluse.Error{Kind: ecluse.Invalid, What: "hand in an act", Where: p.Kind, Why: "no such document goes with an act"}
		}
	}
	for _, c := range act.Clauses {
		if c.Verb == evidence.VerbErase && c.Kind == evidence.KindKept {
			if err := s.judgeKept(ctx, act.Migration, c.Subject); err != nil {
				return err
			}
		}
	}
	return nil
}

// judgeKept holds an order to erase rows put aside to those that the certificate says are
// kept.
func (s *Person) judgeKept(ctx context.Context, m ecluse.MigrationID, key ecluse.Digest) error {
	e := &ecluse.Error{Kind: ecluse.Refused, What: "order the rows kept erased", Where: string(m), Next: seeStatus}
	mig, err := s.store.Migration(ctx, m)
	if err != nil {
		return err
	}
	kept, err := s.keptOf(ctx, *mig)
	switch {
	case err != nil:
		return err
	case kept == nil || kept.Key != key:
		e.Why = "the certificate does not say that such rows are kept"
	case !kept.Erased.IsZero():
		e.Why = "they were erased on " + kept.Erased.UTC().Format(time.RFC3339)
	default:
		return nil
	}
	return e
}

func (s *Person) judgeContract(text []byte) error {
	c, err := mandate.ParseContract("contract", text)
	if err != nil {
		return err
	}
	for side, root := range s.settings.Roots {
		if got := c.Party(side).Root; got != root {
			return &ecluse.Error{
				Kind: ecluse.Refused, What: "sign contract", Where: fmt.Sprintf("parties.%s.root", side),
				Why: fmt.Sprintf("it names %s, and this lock was made for %s", got, root), Next: "compare with that party, by telephone",
			}
		}
	}
	return nil
}

// judgeInstruction holds a signature to an instruction that a migration was opened
// with, and a plan approved with it to the one compiled from exactly it.
func (s *Person) judgeInstruction(ctx context.Context, act *evidence.Act, text []byte) error {
	i, err := mandate.ParseNewInstruction("instruction", text)
	if err != nil {
		return err
	}
	if i.ID != act.Migration {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "sign instruction", Where: "id", Why: "the act is on another migration"}
	}
	if err := s.fitsGates(ctx, i); err != nil {
		return err
	}
	if subjectOf(act, evidence.KindReadPlan).IsZero() {
		return nil
	}
	plan, err := s.readPlanInForce(ctx, i.ID)
	if err != nil {
		return err
	}
	if plan == nil || plan.Instruction != i.Digest() {
		return &ecluse.Error{
			Kind: ecluse.Differs, What: "sign with its plan", Where: string(i.ID), Why: "no read plan was compiled from exactly this instruction",
			Next: "ecluse plan --instruction FILE --as KEY, and read it",
		}
	}
	return nil
}

// fitsGates refuses an instruction that says of its places otherwise than the gates there,
// confirmed, said of themselves last: they would refuse to begin.
func (s *Person) fitsGates(ctx context.Context, i *mandate.Instruction) error {
	now, _, err := s.store.Now(ctx)
	if err != nil {
		return err
	}
	papers, err := s.enrolled(ctx, s.store, now)
	if err != nil {
		return err
	}
	last := map[ecluse.Fingerprint]*mandate.Gate{}
	for _, e := range papers {
		if !e.Confirmed || last[e.Gate] != nil && !e.made.After(last[e.Gate].Made) {
			continue
		}
		p, err := s.gatePaper(ctx, s.store, e.Paper)
		if err != nil {
			return err
		}
		last[e.Gate] = p.gate
	}
	for _, gate := range []ecluse.Fingerprint{i.Source.Gate, i.Target.Gate} {
		if g := last[gate]; g != nil {
			if err := i.Fits(g); err != nil {
				return err
			}
		}
	}
	return nil
}

// planInHand refuses the approval of another plan than the one in hand: the read plan in
// force, or the load plan of the kind of passage that was planned last. It stands in the
// transaction of the act: no other plan becomes approved by it.
func planInHand(ctx context.Context, tx *sqlite.Tx, mig *store.Migration, act *evidence.Act, v procedure.Verb) error {
	kind, name := evidence.KindReadPlan, evidence.KindReadPlan
	if v == procedure.ApproveLoad {
		kind, name = evidence.KindLoadPlan, exchange.KindLoadPlan(mig.Place.Kind)
	}
	plan, err := tx.Current(ctx, mig.ID, name)
	subject := subjectOf(act, kind)
	if err != nil || subject == plan {
		return err
	}
	e := &ecluse.Error{
		Kind: ecluse.Differs, What: "approve " + kind, Where: subject.String(), Why: "the plan in force is " + plan.String(),
		Next: "ecluse plan, read it, and approve the file it names", Article: "GDPR art. 29",
	}
	switch {
	case plan.IsZero():
		e.Why = "no plan of that kind is in force"
	case v == procedure.ApproveLoad:
		e.Why = fmt.Sprintf("the plan in hand is of a %s passage: %s", mig.Place.Kind, plan)
		e.Next = fmt.Sprintf("ecluse plan --passage %s, read it, and approve the file it names", mig.Place.Kind)
	}
	return e
}

func (l *Lock) readPlanInForce(ctx context.Context, m ecluse.MigrationID) (*mandate.ReadPlan, error) {
	text, err := l.current(ctx, m, evidence.KindReadPlan)
	if err != nil {
		return nil, err
	}
	return parseReadPlan(text)
}

func parseReadPlan(text []byte) (*mandate.ReadPlan, error) {
	if text == nil {
		return nil, nil
	}
	return mandate.ParseReadPlan(text)
}

// OpenMigration makes the migration of an instruction, unless it exists: from a
// contract that is complete, signed by both parties and current. There is no other
// way to make one.
func (s *Person) OpenMigration(ctx context.Context, text []byte) (m ecluse.MigrationID, err error) {
	if err := s.known(); err != nil {
		return "", err
	}
	a := &attempt{verb: "open", migration: idOf(text), subject: ecluse.DigestOf(text), by: s}
	defer a.journal(ctx, s.Lock, &err)
	i, err := mandate.ParseNewInstruction("instruction", text)
	if err != nil {
		return "", err
	}
	c, err := s.contract(ctx, i.Contract)
	if err != nil {
		return "", err
	}
	if err := s.inForce(ctx, c.Digest()); err != nil {
		return "", err
	}
	now, _, err := s.store.Now(ctx)
	if err != nil {
		return "", err
	}
	if err := c.ValidAt(now); err != nil {
		return "", err
	}
	if i.EraseBy.After(c.EraseBy()) {
		return "", &ecluse.Error{
			Kind: ecluse.Refused, What: "open migration", Where: "erase_by", Article: "GDPR art. 28(3)(g)",
			Why: "it is after the last day the contract leaves for erasing, " + c.EraseBy().Format("2006-01-02"),
		}
	}
	all, err := s.store.Migrations(ctx)
	if err != nil {
		return "", err
	}
	known := false
	for _, m := range all {
		known = known || m.ID == i.ID
	}
	event := journal.Event{Tree: string(i.ID), Type: journal.DocumentStored, IDs: map[string]string{"instruction": i.Digest().String()}}
	if !known {
		event.Type, event.IDs["contract"] = journal.Born, c.Digest().String()
		event.Body = journal.Act{Side: s.roster.Side, Person: journal.PersonID(s.person.ID), Role: s.person.Roles[0]}
	}
	return i.ID, s.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		if !known {
			tx.Also(journal.Event{Tree: evidence.InstallationTree, Type: journal.MigrationOpened, IDs: map[string]string{"migration": string(i.ID), "contract": c.Digest().String()}})
			if err := tx.OpenMigration(ctx, i.ID, c.Digest(), i.EraseBy, s.actors()...); err != nil {
				return err
			}
		}
		m, err := tx.Migration(ctx, i.ID)
		if err != nil {
			return err
		}
		if err := instructionFollows(ctx, tx, m, i); err != nil {
			return err
		}
		if _, err := tx.AddDocument(ctx, evidence.KindInstruction, i.ID, text); err != nil {
			return err
		}
		if m.Place.Migration != procedure.Born {
			return nil // a signed instruction stays in force until another is signed
		}
		return tx.SetCurrent(ctx, i.ID, evidence.KindInstruction, i.Digest())
	})
}

// Current reads the document of a kind that is in force; nil when there is none.
func (l *Lock) Current(ctx context.Context, m ecluse.MigrationID, kind string) ([]byte, error) {
	return l.current(ctx, m, kind)
}

// Document reads a document by its digest.
func (l *Lock) Document(ctx context.Context, d ecluse.Digest) ([]byte, error) {
	return l.store.Document(ctx, d)
}

// Rosters returns every roster taken in, with its root's signature.
func (l *Lock) Rosters(ctx context.Context) ([]evidence.Signed, error) { return l.rosters(ctx) }

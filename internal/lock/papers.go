package lock

import (
	"context"
	"maps"
	"slices"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/store/sqlite"
)

// Case gathers what stands about a migration.
func (l *Lock) Case(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind) (*exchange.Case, error) {
	mig, err := l.store.Migration(ctx, m)
	if err != nil {
		return nil, err
	}
	c := &exchange.Case{}
	if c.Contract, err = l.store.Document(ctx, mig.Contract); err != nil {
		return nil, err
	}
	for _, d := range []struct {
		kind string
		into *[]byte
	}{
		{evidence.KindInstruction, &c.Instruction},
		{evidence.KindMapping, &c.Mapping},
		{evidence.KindReadPlan, &c.ReadPlan},
		{exchange.KindLoadPlan(kind), &c.LoadPlan},
	} {
		if *d.into, err = l.current(ctx, m, d.kind); err != nil {
			return nil, err
		}
	}
	if c.Mapping, err = l.mappingFor(ctx, mig.Place, kind, c); err != nil {
		return nil, err
	}
	if c.Frozen, err = l.frozen(ctx, m); err != nil {
		return nil, err
	}
	if c.Rosters, err = l.rosters(ctx); err != nil {
		return nil, err
	}
	if c.Recipients, err = l.signed(ctx, m, kindRecipient, evidence.NamespaceRecipient); err != nil {
		return nil, err
	}
	if c.Acts, err = l.acts(ctx, m); err != nil {
		return nil, err
	}
	if c.Gates, err = l.EnrolledGates(ctx); err != nil {
		return nil, err
	}
	passages, err := l.store.Passages(ctx, m)
	for _, p := range passages {
		c.Passages = append(c.Passages, p.Passage)
	}
	return c, err
}

// mappingFor is the mapping in force, or, while a passage of that kind is in the
// target, the one it is loaded with: a later one is for the next passage.
func (l *Lock) mappingFor(ctx context.Context, p procedure.Place, kind ecluse.PassageKind, c *exchange.Case) ([]byte, error) {
	inside := append(procedure.InTarget(), procedure.Accepted)
	if c.LoadPlan == nil || p.Kind != kind || !slices.Contains(inside, p.Passage) {
		return c.Mapping, nil
	}
	plan, err := mandate.ParseLoadPlan(c.LoadPlan)
	if err != nil {
		return nil, err
	}
	return l.store.Document(ctx, plan.Shape.Mapping)
}

// current reads the document of a kind that is in force; nil when there is none.
func (l *Lock) current(ctx context.Context, m ecluse.MigrationID, kind string) ([]byte, error) {
	d, err := l.store.Current(ctx, m, kind)
	if err != nil || d.IsZero() {
		return nil, err
	}
	return l.store.Document(ctx, d)
}

func (l *Lock) frozen(ctx context.Context, m ecluse.MigrationID) ([][]byte, error) {
	docs, err := l.store.Documents(ctx, m, exchange.KindFrozen)
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for _, d := range docs {
		b, err := l.store.Document(ctx, d.Digest)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// rosters returns every roster taken in, with its root's signature.
func (l *Lock) rosters(ctx context.Context) ([]evidence.Signed, error) {
	var all []evidence.Signed
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		rs, err := l.store.Rosters(ctx, side)
		if err != nil {
			return nil, err
		}
		for _, r := range rs {
			s, err := l.store.Signed(ctx, r.Digest, evidence.NamespaceRoster)
			if err != nil {
				return nil, err
			}
			all = append(all, s...)
		}
	}
	return all, nil
}

// signed returns every signed document of a kind of a migration.
func (l *Lock) signed(ctx context.Context, m ecluse.MigrationID, kind, namespace string) ([]evidence.Signed, error) {
	docs, err := l.store.Documents(ctx, m, kind)
	if err != nil {
		return nil, err
	}
	var all []evidence.Signed
	for _, d := range docs {
		s, err := l.store.Signed(ctx, d.Digest, namespace)
		if err != nil {
			return nil, err
		}
		all = append(all, s...)
	}
	return all, nil
}

// acts returns the acts of a migration and those on contracts.
func (l *Lock) acts(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	of, err := l.Acts(ctx, m)
	if err != nil {
		return nil, err
	}
	installation, err := l.GateActs(ctx)
	return append(installation, of...), err
}

// Acts are the acts of a migration.
func (l *Lock) Acts(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	return l.signed(ctx, m, "act", evidence.NamespaceAct)
}

// GateActs are the acts that stand outside any migration: on contracts, and on gates.
func (l *Lock) GateActs(ctx context.Context) ([]evidence.Signed, error) {
	return l.signed(ctx, "", "act", evidence.NamespaceAct)
}

// Post takes in what a gate signed.
func (l *Lock) Post(ctx context.Context, m ecluse.MigrationID, kind exchange.Paper, s evidence.Signed) error {
	if !kind.Known() {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "post", Why: "no gate signs papers of that kind"}
	}
	namespace := kind.Namespace()
	known, err := l.store.Documents(ctx, m, string(kind))
	if err != nil {
		return err
	}
	key, err := s.Verify(namespace)
	if err != nil {
		return err
	}
	by := evidence.FingerprintOf(key)
	for _, d := range known {
		if d.Digest != s.Digest() {
			continue
		}
		signed, err := l.store.Signed(ctx, d.Digest, namespace)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(signed, func(x evidence.Signed) bool { return x.VerifyBy(namespace, by) == nil }) {
			return nil
		}
	}
	if kind != exchange.RecipientPaper { // recipients come before their instruction is signed
		if err := l.ofGates(ctx, m, by, "post "+string(kind)); err != nil {
			return err
		}
	}
	if kind == exchange.ReleasedRow {
		if err := l.mayRelease(ctx, m, s); err != nil {
			return err
		}
	}
	event := journal.Event{
		Tree: string(m), Type: journal.StatementStored,
		IDs: map[string]string{"statement": s.Digest().String(), "kind": string(kind), "gate": string(by)},
	}
	if kind == exchange.Certificate {
		event.Type, event.IDs = journal.Certified, map[string]string{"certificate": s.Digest().String(), "gate": string(by)}
	}
	return l.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		_, err := tx.AddSigned(ctx, string(kind), m, namespace, s)
		return err
	})
}

// mayRelease refuses the statement of a row released that verifiers of evidence would: it
// has to hold shapes alone, and the journal to say by which act of whom it was released.
func (l *Lock) mayRelease(ctx context.Context, m ecluse.MigrationID, s evidence.Signed) error {
	source, _, err := l.gates(ctx, m)
	if err != nil {
		return err
	}
	x, _, err := evidence.ParseReleased(s, source)
	if err != nil {
		return err
	}
	told, err := l.store.LeafOfAct(ctx, string(m), x.ActDigest.String())
	if err != nil {
		return err
	}
	if x.Migration != m || told == nil || told.Type != string(journal.RejectReleased) || told.IDs["statement"] != s.Digest().String() {
		return notAtConsole(string(m), "the journal does not say that this row was released, by this act", nil)
	}
	return nil
}

// Posted returns what gates handed in of a kind, in the order it came.
func (l *Lock) Posted(ctx context.Context, m ecluse.MigrationID, kind exchange.Paper) ([]evidence.Signed, error) {
	return l.signed(ctx, m, string(kind), kind.Namespace())
}

// Record puts a gate's event into the journal.
func (l *Lock) Record(ctx context.Context, e exchange.Event) error {
	event, err := l.gateEvent(ctx, e)
	if err != nil {
		return err
	}
	return l.tellOnce(ctx, event, nil)
}

// tellOnce journals what a gate told. An act at its console tells of one thing: the same
// told again, after an answer that was lost, is as it was, and anything else of that act is
// refused.
func (l *Lock) tellOnce(ctx context.Context, e journal.Event, fn func(*sqlite.Tx) error) error {
	if !slices.Contains(byPeople(), e.Type) {
		return l.store.Do(ctx, e, fn)
	}
	told, err := l.store.LeafOfAct(ctx, e.Tree, e.IDs["act"])
	if err != nil {
		return err
	}
	if told != nil && told.Type == string(e.Type) && maps.Equal(told.IDs, e.IDs) && maps.Equal(told.Numbers, e.Numbers) {
		if fn == nil {
			return nil
		}
		return l.store.Note(ctx, fn)
	}
	return l.store.Do(ctx, e, func(tx *sqlite.Tx) error {
		told, err := tx.LeafOfAct(ctx, e.Tree, e.IDs["act"])
		if err == nil && told != nil {
			err = notAtConsole(e.Tree, "its act told of something else before: an act is for one look, or one row", nil)
		}
		if err == nil && fn != nil {
			err = fn(tx)
		}
		return err
	})
}

// gateEvent is what a gate tells the journal.
func (l *Lock) gateEvent(ctx context.Context, e exchange.Event) (journal.Event, error) {
	if !slices.Contains(fromGates(), journal.Type(e.Type)) { // the rest is the lock's own to say
		return journal.Event{}, &ecluse.Error{Kind: ecluse.Refused, What: "record an event", Why: "it is none that a gate tells of"}
	}
	out := journal.Event{Tree: string(e.Migration), Type: journal.Type(e.Type), IDs: e.IDs, Numbers: e.Numbers}
	if !slices.Contains(byPeople(), out.Type) {
		return out, nil
	}
	act, err := l.atConsole(ctx, e)
	if err != nil {
		return journal.Event{}, err
	}
	out.IDs = map[string]string{}
	maps.Copy(out.IDs, e.IDs)
	out.IDs["act"] = e.Act.Digest().String()
	out.Body = journal.Act{Side: act.Side, Person: journal.PersonID(act.Person), Role: act.Role}
	return out, nil
}

// atConsole is the act of whoever stood at a gate's console, by the rosters that the gate
// could know then: what is carried by hand comes late, and is taken in all the same.
func (l *Lock) atConsole(ctx context.Context, e exchange.Event) (*evidence.Act, error) {
	refused := func(why string, err error) error { return notAtConsole(string(e.Migration), why, err) }
	if e.Act == nil {
		return nil, refused("it does not say who did it", nil)
	}
	act, err := evidence.ParseAct(e.Act.Body)
	if err != nil {
		return nil, err
	}
	known, err := l.knownRosters(ctx)
	if err != nil {
		return nil, err
	}
	then := &evidence.Rosters{}
	for _, r := range known.Side(act.Side) {
		if r.Number <= act.RosterNumber {
			if err := then.Add(r); err != nil {
				return nil, err
			}
		}
	}
	if _, _, err := evidence.VerifyAct(*e.Act, then, act.NotBefore); err != nil {
		return nil, refused("the act of whoever did it does not hold", err)
	}
	if act.Migration != e.Migration || act.Side != ecluse.Controller {
		return nil, refused("whoever did it is not of the controller's, or did it in another migration", nil)
	}
	if len(act.Clauses) != 1 || act.Clauses[0].Verb != evidence.VerbSign || act.Clauses[0].Kind != signedAtConsole(journal.Type(e.Type)) {
		return nil, refused("the act of whoever did it is about something else", nil)
	}
	if act.NotAfter.Sub(act.NotBefore) > mandate.ActAtConsole {
		return nil, refused("the act of whoever did it holds longer than one made at a console", nil)
	}
	return act, nil
}

// signedAtConsole is the kind of what the act behind an event is about.
func signedAtConsole(t journal.Type) string {
	if t == journal.RejectReleased {
		return evidence.KindReleased
	}
	return evidence.KindShown
}

func notAtConsole(where, why string, err error) error {
	return &ecluse.Error{Kind: ecluse.Refused, What: "record an event", Where: where, Why: why, Err: err, Article: "GDPR art. 32(4)", Next: "let it be done by a person of the controller's roster, with their key"}
}

// Record puts an event of this gate's into the journal.
func (s *Seat) Record(ctx context.Context, e exchange.Event) error {
	event, err := s.event(ctx, e)
	if err != nil {
		return err
	}
	return s.tellOnce(ctx, event, nil)
}

// event is what this gate tells the journal: it speaks for itself alone, and of what
// happens where it stands.
func (s *Seat) event(ctx context.Context, e exchange.Event) (journal.Event, error) {
	source, target, err := s.gates(ctx, e.Migration)
	if err != nil {
		return journal.Event{}, err
	}
	if s.gate != source && (s.gate != target || journal.Type(e.Type) != journal.GateHeld) {
		return journal.Event{}, &ecluse.Error{
			Kind: ecluse.Refused, What: "record an event", Where: string(e.Migration), Why: string(s.gate) + " is not the gate that tells of it", Article: "GDPR art. 29",
			Next: "let the gate tell of it that the instruction names",
		}
	}
	if _, named := e.IDs["gate"]; named {
		e.IDs = maps.Clone(e.IDs)
		e.IDs["gate"] = string(s.gate)
	}
	return s.gateEvent(ctx, e)
}

// fromGates are the events that gates tell of.
func fromGates() []journal.Type {
	return []journal.Type{journal.EpochBegun, journal.RejectsShown, journal.FiguresShown, journal.LeftShown, journal.RejectReleased, journal.GateHeld}
}

// byPeople are those that a person does, at the gate's console and with their own key.
func byPeople() []journal.Type {
	return []journal.Type{journal.RejectsShown, journal.FiguresShown, journal.LeftShown, journal.RejectReleased}
}

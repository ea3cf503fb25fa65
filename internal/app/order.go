package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/due"
	"ecluse/internal/gate"
	"ecluse/internal/journal"
	"ecluse/internal/procedure"
	"ecluse/internal/sluice"
	"ecluse/internal/store/sqlite"
)

// AcceptRequest is the controller's acceptance of the passage in hand.
type AcceptRequest struct {
	Migration    ecluse.MigrationID
	Dispositions map[string]string // what becomes of the rows put aside for a reason
	ForAll       string            // of every reason without one of its own
	Key          ssh.Signer
}

// Accept accepts the load, by one act: the report, and the dispositions of
// rejects. It is impossible while anything is unexplained.
func (r *Room) Accept(ctx context.Context, q AcceptRequest) (v *Signature, err error) {
	a := &attempt{verb: "accept", key: q.Key}
	defer a.journal(ctx, r.lock, &err)
	m, err := r.migration(ctx, q.Migration)
	if err != nil {
		return nil, err
	}
	a.migration = m
	who, err := r.lock.who(ctx, q.Key)
	if err != nil {
		return nil, err
	}
	report, digest, err := r.report(ctx, m)
	if err != nil {
		return nil, err
	}
	if !report.Compared.Equal {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "accept", Where: string(m), Why: "the comparison found differences", Article: "GDPR art. 5(1)(d)",
			Next: "ecluse report shows them; ecluse undo takes the passage out",
		}
	}
	text, err := dispose(m, digest, report, q)
	if err != nil {
		return nil, err
	}
	clauses := []evidence.Clause{{Verb: evidence.VerbAccept, Kind: evidence.KindReport, Subject: digest}}
	var papers []paper
	if text != nil {
		clauses = append(clauses, evidence.Clause{Verb: evidence.VerbAccept, Kind: evidence.KindDispositions, Subject: ecluse.DigestOf(text)})
		papers = append(papers, paper{evidence.KindDispositions, text})
	}
	v, err = r.lock.handIn(ctx, m, who, clauses, papers...)
	if err != nil {
		return nil, err
	}
	return v, r.waits(ctx, v)
}

// dispose writes the dispositions; every reason needs one. nil: no row was put
// aside.
func dispose(m ecluse.MigrationID, report ecluse.Digest, s *gate.LoadStatement, q AcceptRequest) ([]byte, error) {
	if len(s.Compared.Rejected) == 0 {
		return nil, nil
	}
	d := evidence.Dispositions{Format: evidence.DispositionsFormat, Migration: m, Report: report, Reasons: map[string]string{}}
	var open []string
	for _, g := range s.Compared.Rejected {
		say := q.Dispositions[g.By]
		if say == "" {
			say = q.ForAll
		}
		if strings.TrimSpace(say) == "" {
			open = append(open, fmt.Sprintf("%q", g.By))
			continue
		}
		d.Reasons[g.By] = say
	}
	if len(open) > 0 {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "accept", Where: string(m), Why: fmt.Sprintf("nobody said what becomes of the rows put aside for %s", strings.Join(open, ", ")),
			Next: "look at them with `ecluse rejects`, then add --reject 'REASON=what becomes of them' for each, or --all 'what becomes of all of them'",
		}
	}
	for _, k := range slices.Sorted(maps.Keys(q.Dispositions)) {
		if _, ok := d.Reasons[k]; !ok {
			return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "accept", Where: "--reject " + k, Why: "no row was put aside for that reason"}
		}
	}
	return evidence.EncodeJSON(d)
}

// Order is a signed act on a migration as a whole.
type Order struct {
	Migration ecluse.MigrationID
	Because   string // signed with the order and kept with it
	Key       ssh.Signer

	// EvenIfLoaded, of an erasure: a load that cannot be taken out of the target
	// stays there, and keys and ciphertext go at once.
	EvenIfLoaded bool
}

// maxReason bounds the reason of an order, in bytes.
const maxReason = 1000

// reasonOf checks the reason of an order: one line, shown on terminals and kept
// as evidence.
func reasonOf(because string) (string, error) {
	text := strings.TrimSpace(because)
	var why string
	switch {
	case text == "":
		why = "it says nothing"
	case len(text) > maxReason:
		why = fmt.Sprintf("it has %d bytes, want at most %d", len(text), maxReason)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		why = "it is not one line of text"
	default:
		return text, nil
	}
	return "", &ecluse.Error{Kind: ecluse.Invalid, What: "read the reason", Where: "--because", Why: why, Next: "say why in a sentence, without personal data"}
}

func (r *Room) order(ctx context.Context, q Order, v evidence.Verb) (s *Signature, err error) {
	a := &attempt{verb: string(v), key: q.Key}
	defer a.journal(ctx, r.lock, &err)
	because, err := reasonOf(q.Because)
	if err != nil {
		return nil, err
	}
	m, err := r.migration(ctx, q.Migration)
	if err != nil {
		return nil, err
	}
	a.migration = m
	who, err := r.lock.who(ctx, q.Key)
	if err != nil {
		return nil, err
	}
	subject, err := r.lock.store.Current(ctx, m, evidence.KindInstruction)
	if err != nil {
		return nil, err
	}
	reason := paper{evidence.KindReason, []byte(because)}
	clauses := []evidence.Clause{
		{Verb: v, Kind: evidence.KindMigration, Subject: subject},
		{Verb: evidence.VerbSign, Kind: evidence.KindReason, Subject: ecluse.DigestOf(reason.text)},
	}
	if q.EvenIfLoaded {
		plan, err := r.lock.inTarget(ctx, m)
		if err != nil {
			return nil, err
		}
		if !plan.IsZero() {
			clauses = append(clauses, evidence.Clause{Verb: evidence.VerbLeave, Kind: evidence.KindLoadPlan, Subject: plan})
		}
	}
	s, err = r.lock.handIn(ctx, m, who, clauses, reason)
	if err != nil {
		return nil, err
	}
	return s, r.waits(ctx, s)
}

// inTarget is the load plan of the passage that is in the target, not accepted and
// not yet taken out; zero when there is none.
func (l *lock) inTarget(ctx context.Context, m ecluse.MigrationID) (ecluse.Digest, error) {
	passages, err := l.store.Passages(ctx, m)
	if err != nil {
		return ecluse.Digest{}, err
	}
	for _, p := range passages {
		if p.Ended.IsZero() && p.Kind != ecluse.Dry {
			return p.LoadPlan, nil
		}
	}
	return ecluse.Digest{}, nil
}

// Object objects to a migration (GDPR art. 28(3), last sentence): it is held.
func (r *Room) Object(ctx context.Context, q Order) (*Signature, error) {
	return r.order(ctx, q, evidence.VerbObject)
}

// Suspend holds a migration.
func (r *Room) Suspend(ctx context.Context, q Order) (*Signature, error) {
	return r.order(ctx, q, evidence.VerbSuspend)
}

// Resume lifts one's own side's suspension or objection.
func (r *Room) Resume(ctx context.Context, q Order) (*Signature, error) {
	return r.order(ctx, q, evidence.VerbResume)
}

// Erase orders erasure, and erases at once.
func (r *Room) Erase(ctx context.Context, q Order) (*Signature, error) {
	s, err := r.order(ctx, q, evidence.VerbErase)
	if err != nil {
		return nil, err
	}
	d, err := r.Due(ctx)
	if err != nil {
		return nil, err
	}
	for _, f := range d.Failed {
		if f.What == due.Erase && f.Migration == s.Migration {
			return nil, &ecluse.Error{
				Kind: f.kind, What: "erase", Where: string(s.Migration), Why: "the order stands, and this kept it from being carried out: " + f.Why,
				Next: "ecluse due tries again, and so does every command. A load that cannot be taken out of the target keeps the keys for 72 hours at most; " +
					"a signatory of the controller does not wait: ecluse erase --even-if-loaded --because … --as KEY",
			}
		}
	}
	return s, r.waits(ctx, s)
}

// UndoRequest orders the passage in hand undone.
type UndoRequest struct {
	Migration ecluse.MigrationID
	Key       ssh.Signer // of who orders it; nil to go on with what was ordered
	Watch     sluice.Watch
}

// UndoneView is what it came to.
type UndoneView struct {
	Migration ecluse.MigrationID  `json:"migration"`
	Passage   ecluse.Passage      `json:"passage"`
	Rows      int64               `json:"rows"`
	Undo      *gate.UndoStatement `json:"undo,omitempty"` // nil of a dry run, which wrote nothing
}

// UndoOrdered tells whether the passage in hand is being undone: going on with it
// takes nobody's key.
func (r *Room) UndoOrdered(ctx context.Context, id ecluse.MigrationID) (bool, error) {
	m, err := r.migration(ctx, id)
	if err != nil {
		return false, err
	}
	mig, err := r.lock.store.Migration(ctx, m)
	if err != nil {
		return false, err
	}
	return mig.Place.Passage == procedure.Undoing, nil
}

// Undo takes the passage in hand out of the target, by the signed order of an
// operator or of the controller: an act that refuses the report or, before there
// is one, its load plan. Once ordered it goes on, after an interruption, with
// nobody's signature.
func (r *Room) Undo(ctx context.Context, q UndoRequest) (v *UndoneView, err error) {
	a := &attempt{verb: "undo", key: q.Key}
	defer a.journal(ctx, r.lock, &err)
	m, err := r.migration(ctx, q.Migration)
	if err != nil {
		return nil, err
	}
	a.migration = m
	mig, err := r.lock.store.Migration(ctx, m)
	if err != nil {
		return nil, err
	}
	v = &UndoneView{Migration: m}
	if v.Passage, err = r.openPassage(ctx, m); err != nil {
		return nil, err
	}
	if mig.Place.Passage != procedure.Undoing {
		if err := r.orderUndo(ctx, m, mig.Place, q.Key); err != nil {
			return nil, err
		}
		if mig.Place.Kind == ecluse.Dry {
			return v, nil
		}
	}
	v.Undo, err = r.undo(ctx, m, q.Watch)
	if err != nil {
		return nil, err
	}
	v.Rows = v.Undo.Rows
	return v, nil
}

// orderUndo hands in the act that orders it.
func (r *Room) orderUndo(ctx context.Context, m ecluse.MigrationID, p procedure.Place, key ssh.Signer) error {
	if key == nil {
		return &ecluse.Error{Kind: ecluse.WaitsForSign, What: "undo", Where: string(m), Why: "nobody has ordered it yet", Next: "add --as KEY: an operator's, or the controller's signatory's"}
	}
	who, err := r.lock.who(ctx, key)
	if err != nil {
		return err
	}
	kind, name := evidence.KindLoadPlan, kindLoadPlan(p.Kind)
	if p.Passage == procedure.Compared {
		kind, name = evidence.KindReport, evidence.KindReport
	}
	subject, err := r.lock.store.Current(ctx, m, name)
	if err != nil {
		return err
	}
	_, err = r.lock.handIn(ctx, m, who, []evidence.Clause{{Verb: evidence.VerbRefuse, Kind: kind, Subject: subject}})
	return err
}

// openPassage is the passage that has not ended.
func (r *Room) openPassage(ctx context.Context, m ecluse.MigrationID) (ecluse.Passage, error) {
	passages, err := r.lock.store.Passages(ctx, m)
	if err != nil {
		return ecluse.Passage{}, err
	}
	for _, p := range passages {
		if p.Ended.IsZero() {
			return p.Passage, nil
		}
	}
	return ecluse.Passage{}, &ecluse.Error{Kind: ecluse.Refused, What: "undo", Where: string(m), Why: "no passage is in hand: what was accepted stays, what was undone is out", Next: "ecluse status"}
}

// undo carries an ordered undoing out.
func (r *Room) undo(ctx context.Context, m ecluse.MigrationID, watch sluice.Watch) (*gate.UndoStatement, error) {
	p, err := r.openPassage(ctx, m)
	if err != nil {
		return nil, err
	}
	i, err := r.lock.instruction(ctx, m)
	if err != nil {
		return nil, err
	}
	t, err := r.targetGate(ctx)
	if err != nil {
		return nil, err
	}
	var done *gate.UndoStatement
	err = r.lending(ctx, i, func(ctx context.Context) error {
		done, err = t.Undo(ctx, m, p, watch)
		return err
	})
	if err != nil {
		return nil, advised(err)
	}
	event := journal.Event{Tree: string(m), Type: journal.UndoEnded, IDs: map[string]string{"passage": p.String()}, Numbers: map[string]int64{"chunks": int64(done.Chunks), "rows": done.Rows}}
	return done, r.lock.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		if _, err := tx.Move(ctx, m, procedure.FinishUndo, procedure.TargetGate); err != nil {
			return err
		}
		return endPassage(ctx, tx, m, procedure.Undone)
	})
}

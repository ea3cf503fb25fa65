package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
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

// dispositions is dispositions/v1: what becomes of rejected rows, by reason.
type dispositions struct {
	Format    string             `json:"ecluse"`
	Migration ecluse.MigrationID `json:"migration"`
	Report    ecluse.Digest      `json:"report"`
	Reasons   map[string]string  `json:"reasons"`
}

// Accept accepts the load, by one act: the report, and the dispositions of
// rejects. It is impossible while anything is unexplained.
func (r *Room) Accept(ctx context.Context, q AcceptRequest) (*Signature, error) {
	m, err := r.migration(ctx, q.Migration)
	if err != nil {
		return nil, err
	}
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
	v, err := r.lock.handIn(ctx, m, who, clauses, papers...)
	if err != nil {
		return nil, err
	}
	return v, r.endPassage(ctx, m, procedure.Accepted)
}

// endPassage closes the passage in hand in the list of passages.
func (r *Room) endPassage(ctx context.Context, m ecluse.MigrationID, s procedure.State) error {
	passages, err := r.lock.store.Passages(ctx, m)
	if err != nil {
		return err
	}
	for _, p := range passages {
		if !p.Ended.IsZero() {
			continue
		}
		event := journal.Event{Tree: string(m), Type: journal.Accepted, IDs: map[string]string{"passage": p.Passage.String()}}
		if s == procedure.Undone {
			event.Type = journal.UndoEnded
		}
		err := r.lock.store.Do(ctx, event, func(tx *sqlite.Tx) error { return tx.SetPassage(ctx, m, p.Passage, s, true) })
		if err != nil {
			return err
		}
	}
	return nil
}

// dispose writes the dispositions; every reason needs one. nil: no row was put
// aside.
func dispose(m ecluse.MigrationID, report ecluse.Digest, s *gate.LoadStatement, q AcceptRequest) ([]byte, error) {
	if len(s.Compared.Rejected) == 0 {
		return nil, nil
	}
	d := dispositions{Format: "dispositions/v1", Migration: m, Report: report, Reasons: map[string]string{}}
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
			Next: "add --reject 'REASON=what becomes of them' for each, or --all 'what becomes of all of them'",
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
	Because   string
	Key       ssh.Signer
}

func (r *Room) order(ctx context.Context, q Order, v evidence.Verb) (*Signature, error) {
	m, err := r.migration(ctx, q.Migration)
	if err != nil {
		return nil, err
	}
	who, err := r.lock.who(ctx, q.Key)
	if err != nil {
		return nil, err
	}
	subject, err := r.lock.store.Current(ctx, m, evidence.KindInstruction)
	if err != nil {
		return nil, err
	}
	var papers []paper
	if q.Because != "" {
		papers = append(papers, paper{"reason", []byte(q.Because)})
	}
	s, err := r.lock.handIn(ctx, m, who, []evidence.Clause{{Verb: v, Kind: evidence.KindMigration, Subject: subject}}, papers...)
	if err != nil {
		return nil, err
	}
	return s, r.waits(ctx, s)
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

// Erase orders erasure at once.
func (r *Room) Erase(ctx context.Context, q Order) (*Signature, error) {
	s, err := r.order(ctx, q, evidence.VerbErase)
	if err != nil {
		return nil, err
	}
	_, err = r.Due(ctx)
	return s, err
}

// UndoRequest orders the passage in hand undone.
type UndoRequest struct {
	Migration ecluse.MigrationID
	Key       ssh.Signer
	Watch     sluice.Watch
}

// UndoneView is what it came to.
type UndoneView struct {
	Migration ecluse.MigrationID  `json:"migration"`
	Passage   ecluse.Passage      `json:"passage"`
	Rows      int64               `json:"rows"`
	Undo      *gate.UndoStatement `json:"undo"`
}

// Undo takes the passage in hand out of the target, by the order of an operator
// or of the controller: an act that refuses the report, or, before there is one,
// its load plan.
func (r *Room) Undo(ctx context.Context, q UndoRequest) (*UndoneView, error) {
	m, err := r.migration(ctx, q.Migration)
	if err != nil {
		return nil, err
	}
	who, err := r.lock.who(ctx, q.Key)
	if err != nil {
		return nil, err
	}
	mig, err := r.lock.store.Migration(ctx, m)
	if err != nil {
		return nil, err
	}
	if mig.Place.Passage != procedure.Undoing {
		if err := r.begin(ctx, m, who.actors()...); err != nil {
			return nil, err
		}
	}
	return r.undo(ctx, m, q.Watch)
}

// begin orders the undoing.
func (r *Room) begin(ctx context.Context, m ecluse.MigrationID, by ...procedure.Actor) error {
	return r.lock.store.Do(ctx, journal.Event{Tree: string(m), Type: journal.UndoBegun}, func(tx *sqlite.Tx) error {
		_, err := tx.Move(ctx, m, procedure.Undo, by...)
		return err
	})
}

// undo carries an ordered undoing out.
func (r *Room) undo(ctx context.Context, m ecluse.MigrationID, watch sluice.Watch) (*UndoneView, error) {
	passages, err := r.lock.store.Passages(ctx, m)
	if err != nil {
		return nil, err
	}
	i, err := r.lock.instruction(ctx, m)
	if err != nil {
		return nil, err
	}
	v := &UndoneView{Migration: m}
	for _, p := range passages {
		if p.Ended.IsZero() {
			v.Passage = p.Passage
		}
	}
	t, err := r.targetGate(ctx)
	if err != nil {
		return nil, err
	}
	err = r.lending(ctx, i, func(ctx context.Context) error {
		v.Undo, err = t.Undo(ctx, m, v.Passage, watch)
		return err
	})
	if err != nil {
		return nil, err
	}
	v.Rows = v.Undo.Rows
	if err := r.move(ctx, m, journal.UndoEnded, procedure.FinishUndo, procedure.TargetGate); err != nil {
		return nil, err
	}
	return v, r.endPassage(ctx, m, procedure.Undone)
}

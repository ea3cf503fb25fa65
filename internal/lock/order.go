package lock

import (
	"context"

	"ecluse"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/procedure"
	"ecluse/internal/store/sqlite"
)

// InTarget is the load plan of the passage that is in the target, not accepted and
// not yet taken out; zero when there is none.
func (l *Lock) InTarget(ctx context.Context, m ecluse.MigrationID) (ecluse.Digest, error) {
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

// Undo asks the target gate to take the passage in hand out: it was ordered, or is
// being undone because it is erased. It returns the work's id; empty when nothing
// is left to take out.
func (l *Lock) Undo(ctx context.Context, m ecluse.MigrationID) (string, error) {
	mig, err := l.store.Migration(ctx, m)
	if err != nil {
		return "", err
	}
	if mig.Place.Passage != procedure.Undoing {
		if _, err := l.openPassage(ctx, m); err != nil {
			return "", err
		}
		return "", &ecluse.Error{Kind: ecluse.WaitsForSign, What: "undo", Where: string(m), Why: "nobody has ordered it yet", Next: "add --as KEY: an operator's, or the controller's signatory's"}
	}
	if open, err := l.openWork(ctx, m, exchange.Undo); err != nil || open != "" {
		return open, err
	}
	p, err := l.openPassage(ctx, m)
	if err != nil {
		return "", err
	}
	_, target, err := l.gates(ctx, m)
	if err != nil {
		return "", err
	}
	row, err := newWork(target, exchange.Work{Verb: exchange.Undo, Migration: m, Passage: p})
	if err != nil {
		return "", err
	}
	defer l.tell()
	return row.ID, l.store.AskWork(ctx, row)
}

// openPassage is the passage that has not ended.
func (l *Lock) openPassage(ctx context.Context, m ecluse.MigrationID) (ecluse.Passage, error) {
	passages, err := l.store.Passages(ctx, m)
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

// endUndo notes that a passage is out of the target.
func (l *Lock) endUndo(ctx context.Context, w exchange.Work, a *exchange.Answer, end closing) error {
	i, err := l.instruction(ctx, w.Migration)
	if err != nil {
		return err
	}
	_, s, err := l.statement(ctx, w.Migration, exchange.UndoReport, i.Target.Gate, "undo/v1", a)
	if err != nil {
		return err
	}
	sealed, err := l.rejectEvents(ctx, w.Migration, i.Target.Gate) // the list of rows that it left
	if err != nil {
		return err
	}
	defer l.forgetJournalled(w.Migration)
	closed, err := l.store.LeavesOf(ctx, string(w.Migration), string(journal.ManifestClosed))
	if err != nil {
		return err
	}
	l.closing.Lock()
	defer l.closing.Unlock()
	unnoted, err := l.unnoted(ctx, w.Migration, i)
	if err != nil {
		return err
	}
	event := journal.Event{Tree: string(w.Migration), Type: journal.UndoEnded, IDs: map[string]string{"passage": w.Passage.String()}, Numbers: map[string]int64{"chunks": int64(s.Chunks), "rows": s.Rows}}
	return l.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		if err := end(ctx, tx); err != nil {
			return err
		}
		for _, e := range sealed {
			tx.Also(e)
		}
		place, err := tx.Move(ctx, w.Migration, procedure.FinishUndo, procedure.TargetGate)
		if err != nil {
			return err
		}
		if place.Migration == procedure.Reading && len(closed) > 0 { // what was read before stands
			if _, err := tx.Move(ctx, w.Migration, procedure.EndCatchUp, procedure.Lock); err != nil {
				return err
			}
			if err := withdraw(ctx, tx, w.Migration, exchange.Read, "its passage is undone"); err != nil {
				return err
			}
			if unnoted != nil { // it was read all the same: the chamber takes nothing back
				tx.Also(*unnoted)
			}
		}
		out := procedure.Undone
		if s.Never { // refused before it began: the number stays, and does not count
			out = procedure.Withdrawn
		}
		return endPassage(ctx, tx, w.Migration, out)
	})
}

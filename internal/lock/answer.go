package lock

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/procedure"
	"ecluse/internal/store"
	"ecluse/internal/store/sqlite"
)

// Answer ends a piece of work, and what comes of it: the procedure moves on.
// Answering what was answered, or withdrawn, changes nothing.
func (s *Seat) Answer(ctx context.Context, id string, a exchange.Answer) error {
	if strings.HasPrefix(id, "lend-") { // only what kept the gate from lending is said
		return nil
	}
	if err := s.own(ctx, id); err != nil {
		return err
	}
	row, err := s.store.Work(ctx, id)
	if err != nil || !row.Ended.IsZero() {
		return err
	}
	var w exchange.Work
	if err := json.Unmarshal(row.Text, &w); err != nil {
		return err
	}
	defer s.tell()
	err = s.ended(ctx, w, &a)
	switch {
	case err == nil, errors.Is(err, errAnswered):
		return nil
	case ctx.Err() != nil, ecluse.KindOf(err) == ecluse.Failed, ecluse.KindOf(err) == ecluse.Interrupted:
		return err // the lock's own trouble: it is said again
	}
	text, err := json.Marshal(exchange.Answer{Problem: exchange.ProblemOf(err)})
	if err != nil {
		return err
	}
	_, err = s.store.EndWork(ctx, id, text)
	return err
}

// closing ends work in the transaction of what comes of it: an answer that is said
// twice has its consequences once.
type closing func(ctx context.Context, tx *sqlite.Tx) error

// ended is what comes of work that ended.
func (l *Lock) ended(ctx context.Context, w exchange.Work, a *exchange.Answer) error {
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	passage := w.Verb == exchange.Read || w.Verb == exchange.Load
	also := func(context.Context, *sqlite.Tx) error { return nil }
	switch {
	case a.Problem != nil && w.Verb == exchange.Read: // what was to be loaded from it waits in vain
		also, err = l.stopLoading(ctx, w)
	case a.Problem == nil && passage:
		also, err = l.shown(ctx, w.Migration)
	}
	if err != nil {
		return err
	}
	end := closing(func(ctx context.Context, tx *sqlite.Tx) error {
		open, err := tx.EndWork(ctx, w.ID, text)
		if err == nil && !open {
			err = errAnswered
		}
		if err != nil {
			return err
		}
		return also(ctx, tx)
	})
	switch {
	case a.Problem != nil && passage && a.Problem.Kind != ecluse.Interrupted: // an interruption leaves no entry
		event := journal.Event{Tree: string(w.Migration), Type: journal.PassageStopped, IDs: map[string]string{"reason": string(a.Problem.Kind)}}
		return l.store.Do(ctx, event, func(tx *sqlite.Tx) error { return end(ctx, tx) })
	case a.Problem == nil && w.Verb == exchange.Load:
		return l.endLoading(ctx, w, a, end)
	case a.Problem == nil && w.Verb == exchange.Undo:
		return l.endUndo(ctx, w, a, end)
	}
	return l.store.Note(ctx, func(tx *sqlite.Tx) error { return end(ctx, tx) })
}

// stopLoading withdraws the loading of what is read no more.
func (l *Lock) stopLoading(ctx context.Context, w exchange.Work) (closing, error) {
	loading, err := l.openWork(ctx, w.Migration, exchange.Load)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(exchange.Answer{Problem: exchange.ProblemOf(&ecluse.Error{
		Kind: ecluse.Interrupted, What: "load", Where: w.Passage.String(), Why: "the reading stopped", Next: "put right what kept it, and run `ecluse apply` again: both go on where they were",
	})})
	return func(ctx context.Context, tx *sqlite.Tx) error {
		if loading == "" {
			return nil
		}
		_, err := tx.EndWork(ctx, loading, text)
		return err
	}, err
}

// shown asks both gates to look at the journal, and waits for neither: each cosigns
// what was written since it began.
func (l *Lock) shown(ctx context.Context, m ecluse.MigrationID) (closing, error) {
	source, target, err := l.gates(ctx, m)
	if err != nil {
		return nil, err
	}
	all, err := l.store.WorkOf(ctx, m)
	if err != nil {
		return nil, err
	}
	var looks []store.Work
	for _, gate := range []ecluse.Fingerprint{source, target} {
		asked := func(w store.Work) bool { return w.Ended.IsZero() && w.Gate == gate && w.Verb == string(exchange.Look) }
		if slices.ContainsFunc(all, asked) || l.mayAsk(ctx, gate, exchange.Look) != nil {
			continue
		}
		row, err := newWork(gate, exchange.Work{Verb: exchange.Look, Migration: m})
		if err != nil {
			return nil, err
		}
		looks = append(looks, row)
	}
	return func(ctx context.Context, tx *sqlite.Tx) error {
		for _, row := range looks {
			if err := tx.AskWork(ctx, row); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// endLoading notes what a load came to, by the report that the target gate signed.
func (l *Lock) endLoading(ctx context.Context, w exchange.Work, a *exchange.Answer, end closing) error {
	m := w.Migration
	i, err := l.instruction(ctx, m)
	if err != nil {
		return err
	}
	report, s, err := l.statement(ctx, m, exchange.LoadReport, i.Target.Gate, evidence.ReportFormat, a)
	if err != nil {
		return err
	}
	if s.Passage != w.Passage {
		return &ecluse.Error{Kind: ecluse.Unverified, What: "end the passage", Where: w.Passage.String(), Why: "the report is of " + s.Passage.String()}
	}
	rejects, err := l.rejectEvents(ctx, m, i.Target.Gate)
	if err != nil {
		return err
	}
	defer l.forgetJournalled(m)
	numbers := map[string]int64{"rows_read": s.RowsRead, "rows_loaded": s.RowsLoaded, "chunks": int64(s.Chunks)}
	event := journal.Event{
		Tree: string(m), Type: journal.PassageEnded,
		IDs: map[string]string{"passage": w.Passage.String(), "report": report.String()}, Numbers: numbers,
	}
	return l.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		if err := end(ctx, tx); err != nil {
			return err
		}
		for _, e := range rejects {
			tx.Also(e)
		}
		p, err := tx.Move(ctx, m, procedure.FinishLoading, procedure.TargetGate)
		if err != nil {
			return err
		}
		if w.Passage.Kind == ecluse.Dry {
			return tx.SetPassage(ctx, m, w.Passage, p.Passage, true)
		}
		if p, err = tx.Move(ctx, m, procedure.Compare, procedure.TargetGate); err != nil {
			return err
		}
		if err := tx.SetCurrent(ctx, m, evidence.KindReport, report); err != nil {
			return err
		}
		return tx.SetPassage(ctx, m, w.Passage, p.Passage, false)
	})
}

// figures are what a lock looks at in a gate's statement.
type figures struct {
	evidence.StatementHead
	Passage      ecluse.Passage `json:"passage"`
	Reading      int            `json:"reading"` // of the source, as of which it is; of an undoing 0
	Chunks       int            `json:"chunks"`
	Rows         int64          `json:"-"`
	RowsRead     int64          `json:"rows_read"`
	RowsLoaded   int64          `json:"rows_loaded"`
	RowsRejected int64          `json:"rows_rejected"`
	Stay         string         `json:"stay"`  // of an undoing
	Never        bool           `json:"never"` // of an undoing: of what never began at the gate
	Unmapped     []string       `json:"unmapped"`
	Scant        []string       `json:"scant"`
	Compared     *struct {
		Equal  bool `json:"equal"`
		Checks []struct {
			Off int `json:"differ"`
		} `json:"checks"`
		Rejected []struct {
			By string `json:"by"`
		} `json:"rejected"`
	} `json:"compared"`
}

// tries tells whether a passage is a trial that its mapping passed, as the gate judges it
// (gate.LoadStatement).
func (f *figures) tries() bool {
	if f.Compared == nil || len(f.Unmapped)+len(f.Scant) > 0 {
		return false
	}
	for _, c := range f.Compared.Checks {
		if c.Off > 0 {
			return false
		}
	}
	return f.Passage.Kind == ecluse.Dry || f.Passage.Kind == ecluse.Rehearsal && f.Compared.Equal
}

// statement finds what a gate answered with among what it posted.
func (l *Lock) statement(ctx context.Context, m ecluse.MigrationID, kind exchange.Paper, by ecluse.Fingerprint, format string, a *exchange.Answer) (ecluse.Digest, *figures, error) {
	said, err := ecluse.ParseDigest(string(a.Papers[exchange.PaperStatement]))
	if err != nil {
		return said, nil, &ecluse.Error{Kind: ecluse.Invalid, What: "read the gate's answer", Err: err}
	}
	all, err := l.Posted(ctx, m, kind)
	if err != nil {
		return said, nil, err
	}
	for _, s := range all {
		if s.Digest() == said {
			f, err := figuresOf(s, by, format)
			return said, f, err
		}
	}
	return said, nil, &ecluse.Error{Kind: ecluse.Unverified, What: "read the gate's answer", Where: said.String(), Why: "the gate has posted no such " + string(kind)}
}

func figuresOf(s evidence.Signed, by ecluse.Fingerprint, format string) (*figures, error) {
	if err := s.VerifyBy(evidence.NamespaceStatement, by); err != nil {
		return nil, err
	}
	var f figures
	if err := json.Unmarshal(s.Body, &f); err != nil || f.Format != format {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "read the gate's statement", Why: "it is no " + format, Err: err}
	}
	if format == "undo/v1" { // whose rows are a number; a reading's are by dataset
		var u struct {
			Rows int64 `json:"rows"`
		}
		if err := json.Unmarshal(s.Body, &u); err != nil {
			return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "read the gate's statement", Why: "it is no " + format, Err: err}
		}
		f.Rows = u.Rows
	}
	return &f, nil
}

package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/gate"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/sluice"
	"ecluse/internal/store/sqlite"
)

// ApplyRequest asks for approved plans to be carried out.
type ApplyRequest struct {
	Migration ecluse.MigrationID
	Passage   ecluse.PassageKind
	Plan      []byte // refused unless it is the plan in force; of a read plan: read and do not load; nil: not compared
	Watch     sluice.Watch
}

// Applied is what came of it.
type Applied struct {
	Migration    ecluse.MigrationID     `json:"migration"`
	Passage      ecluse.Passage         `json:"passage,omitzero"`
	Read         *gate.ExtractStatement `json:"read,omitempty"` // nil when all had been read before
	Load         *gate.LoadStatement    `json:"load,omitempty"` // nil when no load plan is approved
	Report       ecluse.Digest          `json:"report,omitzero"`
	RowsRead     int64                  `json:"rows_read"`
	RowsLoaded   int64                  `json:"rows_loaded"`
	RowsRejected int64                  `json:"rows_rejected"`
	Chunks       int                    `json:"chunks"`
	Bytes        int64                  `json:"bytes"`
	Reconciled   bool                   `json:"reconciled"`
	Seconds      float64                `json:"seconds"`
}

// Apply carries out what is approved and not yet done: reading, loading, or both
// at a time. After an interruption it goes on where it was.
func (r *Room) Apply(ctx context.Context, q ApplyRequest) (*Applied, error) {
	begun := time.Now()
	m, err := r.migration(ctx, q.Migration)
	if err != nil {
		return nil, err
	}
	out := &Applied{Migration: m}
	i, reads, loads, err := r.begin(ctx, q, out)
	if err != nil {
		return nil, err
	}
	if reads && q.Watch != nil {
		if q.Watch, err = r.expecting(ctx, m, q.Watch); err != nil {
			return nil, err
		}
	}
	if err := r.carry(ctx, i, q, reads, loads, out); err != nil {
		return nil, advised(err)
	}
	if loads {
		if err := r.endLoading(ctx, m, out); err != nil {
			return nil, err
		}
	}
	if err := r.cosign(ctx, m); err != nil {
		return nil, err
	}
	out.Seconds = time.Since(begun).Seconds()
	return out, nil
}

// begin finds what is to be done and makes the moves that begin it. A refusal
// here is of the attempt; one further on, of the passage (stopped).
func (r *Room) begin(ctx context.Context, q ApplyRequest, out *Applied) (i *mandate.Instruction, reads, loads bool, err error) {
	m := out.Migration
	a := &attempt{verb: "apply", migration: m}
	defer a.journal(ctx, r.lock, &err)
	readOnly, err := r.samePlan(ctx, m, q)
	if err != nil {
		return nil, false, false, err
	}
	if i, err = r.lock.instruction(ctx, m); err != nil {
		return nil, false, false, err
	}
	if reads, loads, err = r.todo(ctx, m, q.Passage, readOnly); err != nil {
		return nil, false, false, withNext(err, seeStatus)
	}
	if reads {
		if err := r.inWindow(ctx, i); err != nil {
			return nil, false, false, err
		}
		if err := r.move(ctx, m, journal.ReadingBegun, procedure.BeginReading, procedure.SourceGate); err != nil {
			return nil, false, false, err
		}
	}
	if loads {
		if out.Passage, err = r.beginLoading(ctx, m, i, q.Passage); err != nil {
			return nil, false, false, err
		}
	}
	return i, reads, loads, nil
}

// advised says what to do about an error of a passage that does not say so itself.
// A passage that stops is never half done: each chunk is in whole or not at all.
func advised(err error) error {
	var e *ecluse.Error
	if errors.As(err, &e) && e.Next != "" {
		return err
	}
	next := "put right what it says, and run the same command again: it goes on where it stopped"
	if ecluse.KindOf(err) == ecluse.Unverified {
		next = "nothing of it was let in. Find out who changed it, and put it back as it was; then run the same command again. " +
			"If it cannot be put back: `ecluse undo`, `ecluse erase`, and a new instruction"
	}
	return withNext(err, next)
}

// withNext gives an error that has none its advice.
func withNext(err error, next string) error {
	var e *ecluse.Error
	if !errors.As(err, &e) {
		return &ecluse.Error{Kind: ecluse.Failed, What: "carry out the plan", Err: err, Next: next}
	}
	if e.Next != "" {
		next = e.Next
	}
	if outer, ok := any(err).(*ecluse.Error); ok { // the outermost only: it keeps its own words
		with := *outer
		with.Next = next
		return &with
	}
	return &ecluse.Error{Kind: e.Kind, What: "carry out the plan", Err: err, Next: next}
}

// samePlan refuses a plan's file that is not the plan in force, and tells whether
// it is the read plan.
func (r *Room) samePlan(ctx context.Context, m ecluse.MigrationID, q ApplyRequest) (read bool, err error) {
	if q.Plan == nil {
		return false, nil
	}
	got := ecluse.DigestOf(q.Plan)
	for _, kind := range []string{evidence.KindReadPlan, kindLoadPlan(q.Passage)} {
		if d, err := r.lock.store.Current(ctx, m, kind); err != nil || d == got {
			return kind == evidence.KindReadPlan, err
		}
	}
	return false, &ecluse.Error{
		Kind: ecluse.Differs, What: "apply plan", Where: got.String(), Why: "it is neither the read plan nor the " + string(q.Passage) + " load plan in force",
		Next: "ecluse plan, read it, have it approved, and apply that file",
	}
}

// inWindow refuses to begin a reading outside the hours the instruction allows,
// before anything is journalled. The source gate asks again, by its own clock.
func (r *Room) inWindow(ctx context.Context, i *mandate.Instruction) error {
	now, _, err := r.lock.store.Now(ctx)
	if err != nil {
		return err
	}
	return i.InWindow(now)
}

// todo finds out what is approved and not done.
func (r *Room) todo(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind, readOnly bool) (reads, loads bool, err error) {
	mig, err := r.lock.store.Migration(ctx, m)
	if err != nil {
		return false, false, err
	}
	p := mig.Place
	_, cannotRead := procedure.Next(p, procedure.BeginReading, procedure.SourceGate)
	reads = cannotRead == nil
	if readOnly {
		return reads, false, cannotRead
	}
	if p.Migration != procedure.Sealed && !reads {
		return false, false, cannotRead
	}
	after := p
	if reads {
		after, _ = procedure.Next(p, procedure.BeginReading, procedure.SourceGate)
	}
	_, cannotLoad := procedure.Next(after, procedure.BeginLoading, procedure.TargetGate)
	loads = cannotLoad == nil && p.Kind == kind
	if !reads && !loads {
		if cannotLoad == nil {
			cannotLoad = &ecluse.Error{
				Kind: ecluse.WaitsForSign, What: "load", Why: fmt.Sprintf("the plan that is approved is of a %s passage, not %s", p.Kind, kind),
				Next: "ecluse plan --passage " + string(kind),
			}
		}
		return false, false, cannotLoad
	}
	return reads, loads, nil
}

// move makes one move with its event.
func (r *Room) move(ctx context.Context, m ecluse.MigrationID, t journal.Type, v procedure.Verb, by procedure.Actor) error {
	return r.lock.store.Do(ctx, journal.Event{Tree: string(m), Type: t}, func(tx *sqlite.Tx) error {
		_, err := tx.Move(ctx, m, v, by)
		return err
	})
}

func (r *Room) beginLoading(ctx context.Context, m ecluse.MigrationID, i *mandate.Instruction, kind ecluse.PassageKind) (p ecluse.Passage, err error) {
	plan, err := r.lock.store.Current(ctx, m, kindLoadPlan(kind))
	if err != nil {
		return p, err
	}
	event := journal.Event{Tree: string(m), Type: journal.PassageBegun, IDs: map[string]string{"load_plan": plan.String()}}
	return p, r.lock.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		if _, err := tx.Move(ctx, m, procedure.BeginLoading, procedure.TargetGate); err != nil {
			return err
		}
		p, err = tx.BeginPassage(ctx, m, kind, plan, i.Passages.Of(kind))
		event.IDs["passage"] = p.String()
		return err
	})
}

// carry reads and loads, at a time where both are approved. When one fails the
// other is stopped: both go on later.
func (r *Room) carry(ctx context.Context, i *mandate.Instruction, q ApplyRequest, reads, loads bool, out *Applied) error {
	var s *gate.Source
	var t *gate.Target
	var err error
	if reads {
		if s, err = r.sourceGate(ctx); err != nil {
			return err
		}
	}
	if loads {
		if t, err = r.targetGate(ctx); err != nil {
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	if reads {
		g.Go(func() error {
			watch := q.Watch
			if loads {
				watch = nil // one line of progress: the load is the one that ends last
			}
			var err error
			if out.Read, err = s.Read(gctx, i.ID, watch); err != nil {
				return r.stopped(ctx, i.ID, err)
			}
			for _, n := range out.Read.Rows {
				out.RowsRead += n
			}
			out.Chunks, out.Bytes = out.Read.Chunks, out.Read.Bytes
			return nil
		})
	}
	if loads {
		g.Go(func() error {
			return r.lending(gctx, i, func(ctx context.Context) error {
				done, err := t.Load(ctx, i.ID, out.Passage, q.Watch)
				if err != nil {
					return r.stopped(ctx, i.ID, err)
				}
				out.Load, out.Report = done.Statement, done.Digest
				return nil
			})
		})
	}
	return g.Wait()
}

// expecting tells a watcher how many rows the source is guessed to have, while
// they are read, and loaded as they are read: afterwards it is known.
func (r *Room) expecting(ctx context.Context, m ecluse.MigrationID, watch sluice.Watch) (sluice.Watch, error) {
	text, err := r.lock.current(ctx, m, evidence.KindReadPlan)
	if err != nil {
		return nil, err
	}
	plan, err := parseReadPlan(text)
	if err != nil {
		return nil, err
	}
	byDataset, err := r.estimates(ctx, plan)
	if err != nil {
		return nil, err
	}
	expected := int64(0)
	for _, d := range plan.Datasets {
		n, ok := byDataset[d.Dataset]
		switch {
		case d.Distinct: // few, and nobody counts them
		case !ok:
			return watch, nil // the others alone would mislead
		default:
			expected += n
		}
	}
	return func(p sluice.Progress) {
		if p.Expected == 0 && (p.Stage == sluice.StageRead || p.Stage == sluice.StageLoad) {
			p.Expected = expected
		}
		watch(p)
	}, nil
}

// stopped journals that a passage stopped on an error of its own; an
// interruption or the other side's error leaves no entry.
func (r *Room) stopped(ctx context.Context, m ecluse.MigrationID, err error) error {
	kind := ecluse.KindOf(err)
	if errors.Is(err, context.Canceled) || kind == ecluse.Interrupted || ctx.Err() != nil {
		return err
	}
	noted := r.lock.store.Do(ctx, journal.Event{Tree: string(m), Type: journal.PassageStopped, IDs: map[string]string{"reason": string(kind)}}, nil)
	if noted != nil {
		return errors.Join(err, noted)
	}
	return err
}

// endLoading notes what the load came to.
func (r *Room) endLoading(ctx context.Context, m ecluse.MigrationID, out *Applied) error {
	s := out.Load
	i, err := r.lock.instruction(ctx, m)
	if err != nil {
		return err
	}
	rejects, err := r.lock.rejectEvents(ctx, m, i.Target.Gate)
	if err != nil {
		return err
	}
	defer r.lock.forgetJournalled(m)
	out.RowsLoaded, out.RowsRejected = s.RowsLoaded, s.RowsRejected
	out.Reconciled = s.Compared.Equal
	if out.Read == nil {
		out.RowsRead, out.Chunks = s.RowsRead, s.Chunks
	}
	numbers := map[string]int64{"rows_read": s.RowsRead, "rows_loaded": s.RowsLoaded, "chunks": int64(s.Chunks)}
	event := journal.Event{
		Tree: string(m), Type: journal.PassageEnded,
		IDs: map[string]string{"passage": out.Passage.String(), "report": out.Report.String()}, Numbers: numbers,
	}
	return r.lock.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		for _, e := range rejects {
			tx.Also(e)
		}
		p, err := tx.Move(ctx, m, procedure.FinishLoading, procedure.TargetGate)
		if err != nil {
			return err
		}
		if out.Passage.Kind == ecluse.Dry {
			return tx.SetPassage(ctx, m, out.Passage, p.Passage, true)
		}
		if p, err = tx.Move(ctx, m, procedure.Compare, procedure.TargetGate); err != nil {
			return err
		}
		if err := tx.SetCurrent(ctx, m, evidence.KindReport, out.Report); err != nil {
			return err
		}
		return tx.SetPassage(ctx, m, out.Passage, p.Passage, false)
	})
}

// cosign has both gates look at the journal: each demands that it continues what
// it saw last, and signs its head.
func (r *Room) cosign(ctx context.Context, m ecluse.MigrationID) error {
	i, err := r.lock.instruction(ctx, m)
	if err != nil {
		return err
	}
	for _, at := range []Place{SourcePlace, TargetPlace} {
		h := r.homes[at]
		if !slices.Contains([]ecluse.Fingerprint{i.Source.Gate, i.Target.Gate}, h.Fingerprint()) {
			continue
		}
		if err := h.Watch(ctx, r.lock, m); err != nil {
			return err
		}
	}
	return nil
}

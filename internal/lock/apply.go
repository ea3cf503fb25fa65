package lock

import (
	"context"
	"encoding/json"
	"errors"
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

// Begin asks the gates to carry out what is approved and not yet done: reading,
// loading, or both at a time. After an interruption it is what goes on. With a plan
// it is refused unless that is the plan in force; a read plan: read and do not load.
func (s *Person) Begin(ctx context.Context, m ecluse.MigrationID, q exchange.Beginning) (b *exchange.Begun, err error) {
	a := &attempt{verb: "apply", migration: m, by: s}
	defer a.journal(ctx, s.Lock, &err)
	return s.begin(ctx, m, q)
}

func (l *Lock) begin(ctx context.Context, m ecluse.MigrationID, q exchange.Beginning) (*exchange.Begun, error) {
	readOnly, err := l.samePlan(ctx, m, q.Kind, q.Plan)
	if err != nil {
		return nil, err
	}
	if q.GiveUp {
		return &exchange.Begun{Migration: m}, l.EndCatchUp(ctx, m)
	}
	if q.CatchUp {
		return l.BeginCatchUp(ctx, m, q.Kind)
	}
	i, err := l.instruction(ctx, m)
	if err != nil {
		return nil, err
	}
	reads, loads, err := l.todo(ctx, m, q.Kind, readOnly)
	if err != nil {
		return nil, withNext(err, seeStatus)
	}
	b := &exchange.Begun{Migration: m}
	for _, v := range []exchange.Verb{exchange.Read, exchange.Load} {
		open, err := l.openWork(ctx, m, v)
		if err != nil {
			return nil, err
		}
		b.Open = b.Open || open != ""
	}
	defer l.tell()
	if reads {
		if err := l.inWindow(ctx, i, false); err != nil {
			return nil, err
		}
		if b.Read, err = l.BeginReading(ctx, i); err != nil {
			return nil, err
		}
	}
	if loads {
		if b.Passage, b.Load, err = l.BeginLoading(ctx, i, q.Kind); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// BeginCatchUp begins a later reading for a passage that was compared, or finds the one
// that is under way.
func (l *Lock) BeginCatchUp(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind) (*exchange.Begun, error) {
	i, err := l.instruction(ctx, m)
	if err != nil {
		return nil, err
	}
	mig, err := l.store.Migration(ctx, m)
	if err != nil {
		return nil, err
	}
	reading, err := l.reading(ctx, m)
	if err != nil {
		return nil, err
	}
	refused, err := l.refusedLoad(ctx, m)
	if err != nil {
		return nil, err
	}
	// What is under way goes on, as every passage does. A reading that was closed and whose
	// changes the target gate refused is followed by another, as long as there is one.
	if mig.Place.Passage == procedure.Loading && (mig.Place.Migration == procedure.Reading || reading == 0 || !refused || reading >= i.Passages.CatchUp) {
		return l.begin(ctx, m, exchange.Beginning{Kind: kind})
	}
	if reading >= i.Passages.CatchUp {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "catch up", Where: string(m), Article: "GDPR art. 29",
			Why:  fmt.Sprintf("the instruction lets the source be read again %d times (passages.catch_up), and it was", i.Passages.CatchUp),
			Next: "go on with what was read, or have an instruction signed that grants more",
		}
	}
	if _, err := procedure.Next(mig.Place, procedure.CatchUp, procedure.SourceGate); err != nil || mig.Place.Kind != kind {
		if err == nil {
			err = &ecluse.Error{Kind: ecluse.Refused, What: "catch up", Where: string(m), Why: fmt.Sprintf("the passage in hand is a %s, not a %s", mig.Place.Kind, kind)}
		}
		return nil, withNext(err, "a passage that was loaded and compared can be brought up to what changed since: "+seeStatus)
	}
	if err := l.inWindow(ctx, i, true); err != nil {
		return nil, err
	}
	for gate, verb := range map[ecluse.Fingerprint]exchange.Verb{i.Source.Gate: exchange.Read, i.Target.Gate: exchange.Load} {
		if err := l.mayAsk(ctx, gate, verb); err != nil {
			return nil, err
		}
	}
	b := &exchange.Begun{Migration: m}
	if b.Passage, err = l.openPassage(ctx, m); err != nil {
		return nil, err
	}
	read, err := newWork(i.Source.Gate, exchange.Work{Verb: exchange.Read, Migration: m, Reading: reading + 1})
	if err != nil {
		return nil, err
	}
	load, err := newWork(i.Target.Gate, exchange.Work{Verb: exchange.Load, Migration: m, Passage: b.Passage, Reading: reading + 1})
	if err != nil {
		return nil, err
	}
	b.Read, b.Load = read.ID, load.ID
	defer l.tell()
	event := journal.Event{Tree: string(m), Type: journal.ReadingBegun, Numbers: map[string]int64{"reading": int64(reading + 1)}}
	return b, l.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		if _, err := tx.Move(ctx, m, procedure.CatchUp, procedure.SourceGate); err != nil {
			return err
		}
		return errors.Join(tx.AskWork(ctx, read), tx.AskWork(ctx, load))
	})
}

// EndCatchUp gives up a later reading that is open: the passage it was for is compared as
// of the reading before, and can be said go of. The target gate changes nothing before the
// reading's manifest is closed. What was sealed of it stays ciphertext that nobody opens,
// until it is destroyed with the rest; a reading that is begun once more seals over it.
func (l *Lock) EndCatchUp(ctx context.Context, m ecluse.MigrationID) error {
	refuse := func(why, next string) error {
		return &ecluse.Error{Kind: ecluse.Refused, What: "give up the later reading", Where: string(m), Why: why, Next: next}
	}
	l.closing.Lock()
	defer l.closing.Unlock()
	i, err := l.instruction(ctx, m)
	if err != nil {
		return err
	}
	mig, err := l.store.Migration(ctx, m)
	if err != nil {
		return err
	}
	reading, err := l.reading(ctx, m)
	if err != nil {
		return err
	}
	if mig.Place.Migration != procedure.Reading || reading == 0 {
		return refuse("no later reading of the source is open", seeStatus)
	}
	closed, err := l.lastManifest(m, i)
	if err != nil {
		return err
	}
	if closed == nil || closed.Reading >= reading { // it came in just before this lock ended
		return refuse("it has come to its end", "run `ecluse apply`: what it found is brought in")
	}
	p, err := l.openPassage(ctx, m)
	if err != nil {
		return err
	}
	report, err := l.reportInForce(ctx, m)
	if err != nil {
		return err
	}
	if report.Passage != p || report.Reading != reading-1 {
		return refuse("the passage was not compared as of the reading before", "ecluse undo, then ecluse plan, ecluse approve and ecluse apply: what was read is loaded as it is now, and nothing is read once more")
	}
	given, err := json.Marshal(exchange.Answer{Problem: exchange.ProblemOf(&ecluse.Error{
		Kind: ecluse.Interrupted, What: "catch up", Where: string(m), Why: "the later reading was given up", Next: seeStatus,
	})})
	if err != nil {
		return err
	}
	var open []string
	for _, v := range []exchange.Verb{exchange.Read, exchange.Load} {
		id, err := l.openWork(ctx, m, v)
		if err != nil {
			return err
		}
		if id != "" {
			open = append(open, id)
		}
	}
	event := journal.Event{Tree: string(m), Type: journal.ReadingGivenUp, Numbers: map[string]int64{"reading": int64(reading)}}
	defer l.tell()
	return l.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		if _, err := tx.Move(ctx, m, procedure.EndCatchUp, procedure.Lock); err != nil {
			return err
		}
		for _, id := range open {
			if _, err := tx.EndWork(ctx, id, given); err != nil {
				return err
			}
		}
		return nil
	})
}

// refusedLoad tells whether the target gate refused the load that it was asked for last.
func (l *Lock) refusedLoad(ctx context.Context, m ecluse.MigrationID) (bool, error) {
	all, err := l.store.WorkOf(ctx, m)
	if err != nil {
		return false, err
	}
	var last *store.Work
	for i := range all {
		if all[i].Verb == string(exchange.Load) && (last == nil || all[i].Asked.After(last.Asked)) {
			last = &all[i]
		}
	}
	if last == nil || last.Ended.IsZero() || last.Answer == nil {
		return false, nil
	}
	var a exchange.Answer
	if err := json.Unmarshal(last.Answer, &a); err != nil {
		return false, err
	}
	return ecluse.KindOf(a.Err()) == ecluse.Refused, nil
}

// reading is the number of the source's reading that is under way or, between two, of the
// last: 0 of the first. The journal tells: a manifest that came in just before a crash is
// handed in again.
func (l *Lock) reading(ctx context.Context, m ecluse.MigrationID) (int, error) {
	closed, err := l.store.LeavesOf(ctx, string(m), string(journal.ManifestClosed))
	if err != nil || len(closed) == 0 {
		return 0, err
	}
	mig, err := l.store.Migration(ctx, m)
	if err != nil {
		return 0, err
	}
	if mig.Place.Migration == procedure.Reading {
		return len(closed), nil
	}
	return len(closed) - 1, nil
}

// lastManifest is what closed the latest reading of the source; nil before there is one.
func (l *Lock) lastManifest(m ecluse.MigrationID, i *mandate.Instruction) (*evidence.Manifest, error) {
	signed, err := l.chamber.Manifest(m)
	if err != nil || signed == nil {
		return nil, err
	}
	return evidence.ParseManifest(*signed, i.Source.Gate)
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

// samePlan refuses a plan that is not the plan in force, and tells whether it is the
// read plan.
func (l *Lock) samePlan(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind, plan ecluse.Digest) (read bool, err error) {
	if plan.IsZero() {
		return false, nil
	}
	for _, k := range []string{evidence.KindReadPlan, exchange.KindLoadPlan(kind)} {
		if d, err := l.store.Current(ctx, m, k); err != nil || d == plan {
			return k == evidence.KindReadPlan, err
		}
	}
	return false, &ecluse.Error{
		Kind: ecluse.Differs, What: "apply plan", Where: plan.String(), Why: "it is neither the read plan nor the " + string(kind) + " load plan in force",
		Next: "ecluse plan, read it, have it approved, and apply that file",
	}
}

// inWindow refuses to begin a reading, or to go on with it, outside the hours that the
// instruction allows, and in a window before whose end something ends, before anything is
// journalled. The source gate asks again, by its own clock.
func (l *Lock) inWindow(ctx context.Context, i *mandate.Instruction, again bool) error {
	now, _, err := l.store.Now(ctx)
	if err != nil {
		return err
	}
	if err := i.InWindow(now); err != nil {
		return err
	}
	since := time.Time{}
	if !again {
		if since, err = l.readingSince(ctx, i.ID); err != nil {
			return err
		}
	}
	contract, err := l.contractText(ctx, i.Contract)
	if err != nil {
		return err
	}
	rosters, err := l.rosters(ctx)
	if err != nil {
		return err
	}
	return mandate.ReadsInTime(contract, i, rosters, since, now)
}

// readingSince is when the reading under way began; zero: it is to begin.
func (l *Lock) readingSince(ctx context.Context, m ecluse.MigrationID) (time.Time, error) {
	begun, err := l.store.LeavesOf(ctx, string(m), string(journal.ReadingBegun))
	if err != nil {
		return time.Time{}, err
	}
	closed, err := l.store.LeavesOf(ctx, string(m), string(journal.ManifestClosed))
	if err != nil {
		return time.Time{}, err
	}
	for _, x := range begun {
		if n := len(closed); n == 0 || x.Index > closed[n-1].Index {
			return x.At, nil
		}
	}
	return time.Time{}, nil
}

// todo finds out what is approved and not done.
func (l *Lock) todo(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind, readOnly bool) (reads, loads bool, err error) {
	mig, err := l.store.Migration(ctx, m)
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

// openWork finds what is asked about a migration and not answered.
func (l *Lock) openWork(ctx context.Context, m ecluse.MigrationID, v exchange.Verb) (string, error) {
	all, err := l.store.WorkOf(ctx, m)
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(all, func(w store.Work) bool { return w.Ended.IsZero() && w.Verb == string(v) })
	if at < 0 {
		return "", nil
	}
	return all[at].ID, nil
}

// BeginReading makes the move that begins a reading, and asks the source gate for it.
func (l *Lock) BeginReading(ctx context.Context, i *mandate.Instruction) (string, error) {
	if open, err := l.openWork(ctx, i.ID, exchange.Read); err != nil || open != "" {
		return open, err
	}
	if err := l.mayAsk(ctx, i.Source.Gate, exchange.Read); err != nil {
		return "", err
	}
	reading, err := l.reading(ctx, i.ID)
	if err != nil {
		return "", err
	}
	row, err := newWork(i.Source.Gate, exchange.Work{Verb: exchange.Read, Migration: i.ID, Reading: reading})
	if err != nil {
		return "", err
	}
	return row.ID, l.store.Do(ctx, journal.Event{Tree: string(i.ID), Type: journal.ReadingBegun}, func(tx *sqlite.Tx) error {
		if _, err := tx.Move(ctx, i.ID, procedure.BeginReading, procedure.SourceGate); err != nil {
			return err
		}
		return tx.AskWork(ctx, row)
	})
}

// BeginLoading makes the move that begins a passage, and asks the target gate for it.
func (l *Lock) BeginLoading(ctx context.Context, i *mandate.Instruction, kind ecluse.PassageKind) (p ecluse.Passage, id string, err error) {
	open, err := l.openWork(ctx, i.ID, exchange.Load)
	if err != nil {
		return p, "", err
	}
	if open != "" {
		p, err = l.openPassage(ctx, i.ID)
		return p, open, err
	}
	if err := l.mayAsk(ctx, i.Target.Gate, exchange.Load); err != nil {
		return p, "", err
	}
	if kind != ecluse.Dry {
		if err := l.rehearsed(ctx, i, kind); err != nil {
			return p, "", err
		}
	}
	reading, err := l.reading(ctx, i.ID)
	if err != nil {
		return p, "", err
	}
	event := journal.Event{Tree: string(i.ID), Type: journal.PassageBegun, IDs: map[string]string{}}
	err = l.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		place, err := tx.Move(ctx, i.ID, procedure.BeginLoading, procedure.TargetGate)
		if err != nil {
			return err
		}
		if place.Kind != kind {
			return &ecluse.Error{Kind: ecluse.Refused, What: "begin passage", Where: string(i.ID), Why: fmt.Sprintf("the passage in hand is a %s, not a %s", place.Kind, kind), Next: seeStatus}
		}
		plan, err := tx.Current(ctx, i.ID, exchange.KindLoadPlan(kind))
		if err != nil {
			return err
		}
		event.IDs["load_plan"] = plan.String()
		if _, err := approvalOf(ctx, tx, i.ID, kind, plan); err != nil {
			return err
		}
		p, err = tx.BeginPassage(ctx, i.ID, kind, plan, i.Passages.Of(kind))
		if err != nil {
			return err
		}
		event.IDs["passage"] = p.String()
		if kind == ecluse.Rehearsal {
			if err := rehearsalDue(ctx, tx, i, p); err != nil {
				return err
			}
		}
		row, err := newWork(i.Target.Gate, exchange.Work{Verb: exchange.Load, Migration: i.ID, Passage: p, Reading: reading})
		if err != nil {
			return err
		}
		id = row.ID
		return tx.AskWork(ctx, row)
	})
	return p, id, err
}

// acts is what lists a migration's acts.
type acts interface {
	Acts(ctx context.Context, m ecluse.MigrationID) ([]store.Act, error)
}

// approvalOf is the last act by which somebody who may approved exactly that load plan. It
// is looked for again when a passage begins: a state says that something was approved, an
// act what.
func approvalOf(ctx context.Context, in acts, m ecluse.MigrationID, kind ecluse.PassageKind, plan ecluse.Digest) (ecluse.Digest, error) {
	all, err := in.Acts(ctx, m)
	if err != nil {
		return ecluse.Digest{}, err
	}
	for _, a := range slices.Backward(all) {
		if evidence.MayApproveLoad(kind, a.Side, a.Role) && slices.Contains(a.Clauses, evidence.Clause{Verb: evidence.VerbApprove, Kind: evidence.KindLoadPlan, Subject: plan}) {
			return a.Digest, nil
		}
	}
	return ecluse.Digest{}, &ecluse.Error{
		Kind: ecluse.WaitsForSign, What: "begin passage", Where: plan.String(), Why: "nobody who may approved exactly this load plan", Article: "GDPR art. 29",
		Next: "ecluse plan --passage " + string(kind) + ", then ecluse approve",
	}
}

// inHand is the act under which the passage in hand began; zero: there is none.
func inHand(ctx context.Context, in acts, m ecluse.MigrationID, passages []store.Passage) (ecluse.Digest, error) {
	for _, p := range passages {
		if p.Ended.IsZero() {
			return approvalOf(ctx, in, m, p.Kind, p.LoadPlan)
		}
	}
	return ecluse.Digest{}, nil
}

// rehearsalDue sets when a rehearsal is undone by itself: counted from when it began,
// however often it goes on.
func rehearsalDue(ctx context.Context, tx *sqlite.Tx, i *mandate.Instruction, p ecluse.Passage) error {
	passages, err := tx.Passages(ctx, i.ID)
	if err != nil {
		return err
	}
	n := slices.IndexFunc(passages, func(x store.Passage) bool { return x.Passage == p })
	if n < 0 {
		return ecluse.Errorf(ecluse.Failed, "begin passage", "%s was not noted", p)
	}
	return tx.Schedule(ctx, ecluse.Digest{}, due.ForRehearsal(i.ID, p, i.RehearsalUntil(passages[n].Begun)))
}

// Look waits until something about a gate's work has changed since a version, or a
// while.
func (l *Lock) Look(ctx context.Context, work string, since int64) (*exchange.WorkView, error) {
	return l.look(ctx, work, since)
}

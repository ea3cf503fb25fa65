package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/procedure"
)

// Watch receives progress, some times a second. A nil Watch is nobody watching.
type Watch func(exchange.Progress)

// Away is told of a gate that work waits for: where it stands, and when it was last
// heard of (zero: not since the server started). A nil Away is nobody asking.
type Away func(at exchange.Place, seen time.Time)

// patience is how long a gate may take to be there before it is told that it is not:
// one that was just started connects within it.
const patience = 3 * time.Second

// ApplyRequest asks for approved plans to be carried out.
type ApplyRequest struct {
	Migration ecluse.MigrationID
	Passage   ecluse.PassageKind
	Plan      []byte // refused unless it is the plan in force; of a read plan: read and do not load; nil: not compared
	CatchUp   bool   // read again what changed since, and bring the passage that was compared up to it
	GiveUp    bool   // carry out nothing: give up the later reading that is open
	Watch     Watch
	Away      Away
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
	GivenUp      bool                   `json:"given_up,omitempty"` // a later reading was, and nothing else was done
	Seconds      float64                `json:"seconds"`
}

// Apply has the gates carry out what is approved and not yet done: reading, loading,
// or both at a time. After an interruption it goes on where it was. When ctx ends
// the gates go on: only a suspension stops them.
func (d *Desk) Apply(ctx context.Context, q ApplyRequest) (*Applied, error) {
	begun := time.Now()
	l, m, err := d.at(ctx, q.Migration)
	if err != nil {
		return nil, advised(err)
	}
	var plan ecluse.Digest
	if q.Plan != nil {
		plan = ecluse.DigestOf(q.Plan)
	}
	source, target, err := gatesOf(ctx, l, m)
	if err != nil {
		return nil, err
	}
	var out *Applied
	for again := false; ; again = true {
		b, err := l.Begin(ctx, m, exchange.Beginning{Kind: q.Passage, Plan: plan, CatchUp: q.CatchUp, GiveUp: q.GiveUp})
		if err != nil {
			return nil, advised(err)
		}
		if b.Migration != m {
			return nil, another("carry out the plan", string(m), fmt.Sprintf("the lock began the migration %q", b.Migration))
		}
		if q.GiveUp {
			return &Applied{Migration: m, GivenUp: true, Seconds: time.Since(begun).Seconds()}, nil
		}
		out = &Applied{Migration: m, Passage: b.Passage}
		err = d.carry(ctx, l, b, q, source, target, out)
		if err == nil {
			break
		}
		// What was asked before may have failed before, of something put right since: a
		// gate could not say so until now. It is asked once more.
		if again || !b.Open || ctx.Err() != nil || ecluse.KindOf(err) != ecluse.Failed {
			return nil, advised(err)
		}
	}
	out.Seconds = time.Since(begun).Seconds()
	return out, nil
}

// carry follows what was begun to its end. The load is the one that ends last: its
// progress is shown while both go on.
func (d *Desk) carry(ctx context.Context, l Lock, b *exchange.Begun, q ApplyRequest, source, target ecluse.Fingerprint, out *Applied) error {
	if b.Read != "" {
		show := q.Watch
		if b.Load != "" {
			show = nil
		}
		read := make(chan error, 1)
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		go func() {
			a, err := follow(ctx, l, b.Read, show, q.Away.at(exchange.SourcePlace))
			if err == nil {
				out.Read = &gate.ExtractStatement{}
				_, err = statement(ctx, l, b.Migration, exchange.ExtractReport, a, source, evidence.ExtractFormat, out.Read)
			}
			if err != nil {
				cancel(err) // what is loaded from it would be waited for in vain
			}
			read <- err
		}()
		var failed error
		if b.Load != "" {
			if failed = d.loaded(ctx, l, b, q, target, out); failed != nil && ctx.Err() == nil && ecluse.KindOf(failed) != ecluse.Interrupted {
				return failed // the reading goes on
			}
		}
		if err := <-read; err != nil {
			return err
		}
		if failed != nil {
			return failed
		}
		for _, n := range out.Read.Rows {
			out.RowsRead += n
		}
		out.Chunks, out.Bytes = out.Read.Chunks, out.Read.Bytes
		return nil
	}
	if err := d.loaded(ctx, l, b, q, target, out); err != nil {
		return err
	}
	out.RowsRead, out.Chunks = out.Load.RowsRead, out.Load.Chunks
	return nil
}

func (d *Desk) loaded(ctx context.Context, l Lock, b *exchange.Begun, q ApplyRequest, target ecluse.Fingerprint, out *Applied) error {
	a, err := follow(ctx, l, b.Load, q.Watch, q.Away.at(exchange.TargetPlace))
	if err != nil {
		return err
	}
	s := &gate.LoadStatement{}
	if out.Report, err = statement(ctx, l, b.Migration, exchange.LoadReport, a, target, evidence.ReportFormat, s); err != nil {
		return err
	}
	out.Load, out.RowsLoaded, out.RowsRejected, out.Reconciled = s, s.RowsLoaded, s.RowsRejected, s.Compared.Equal
	return nil
}

// at is Away of one place; nil where nobody is to be told.
func (a Away) at(p exchange.Place) func(time.Time) {
	if a == nil {
		return nil
	}
	return func(seen time.Time) { a(p, seen) }
}

// follow waits for the answer to a piece of work, passes its progress on, and tells
// once when the gate is away, and again when it went away again. Where there is nobody
// to tell, a gate that is away is not waited for: what was asked of it stays asked.
func follow(ctx context.Context, l Lock, work string, watch Watch, away func(time.Time)) (*exchange.Answer, error) {
	begun, told := time.Now(), false
	since, shown := int64(0), map[string]exchange.Progress{}
	for {
		v, err := l.Look(ctx, work, since)
		if err != nil {
			return nil, err
		}
		for _, p := range v.Progress {
			if shown[p.Stage] != p && watch != nil {
				watch(p)
			}
			shown[p.Stage] = p
		}
		since = v.Version
		if v.Answer != nil {
			return v.Answer, v.Answer.Err()
		}
		switch gone := v.Away && time.Since(begun) > patience; {
		case !v.Away:
			told = false
		case gone && away == nil:
			return nil, exchange.Away(v.Gate, v.Seen, v.Work.Verb)
		case gone && !told:
			told = true
			away(v.Seen)
		}
	}
}

// statement reads what a gate answered with among what it posted, verified.
func statement(ctx context.Context, l Lock, m ecluse.MigrationID, kind exchange.Paper, a *exchange.Answer, by ecluse.Fingerprint, format string, into any) (ecluse.Digest, error) {
	said, err := ecluse.ParseDigest(string(a.Papers[exchange.PaperStatement]))
	if err != nil {
		return said, &ecluse.Error{Kind: ecluse.Invalid, What: "read the gate's answer", Err: err}
	}
	all, err := l.Posted(ctx, m, kind)
	if err != nil {
		return said, err
	}
	for _, s := range all {
		if s.Digest() == said {
			return said, stated(s, m, by, format, into)
		}
	}
	return said, &ecluse.Error{Kind: ecluse.Unverified, What: "read the gate's answer", Where: said.String(), Why: "the lock shows no such " + string(kind)}
}

// stated reads what a gate said of a migration.
func stated(s evidence.Signed, m ecluse.MigrationID, by ecluse.Fingerprint, format string, into any) error {
	var head struct {
		Migration ecluse.MigrationID `json:"migration"`
	}
	if err := json.Unmarshal(s.Body, &head); err != nil || head.Migration != m {
		return another("read what the gate stated", string(m), fmt.Sprintf("it is of the migration %q", head.Migration))
	}
	return evidence.ParseStatement(s, by, format, into)
}

// gatesOf reads which gates the instruction in force names.
func gatesOf(ctx context.Context, l Lock, m ecluse.MigrationID) (source, target ecluse.Fingerprint, err error) {
	i, err := instructionOf(ctx, l, m)
	if err != nil {
		return "", "", err
	}
	return i.Source.Gate, i.Target.Gate, nil
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
	if outer, ok := err.(*ecluse.Error); ok { //nolint:errorlint // the outermost only: it keeps its own words
		with := *outer
		with.Next = next
		return &with
	}
	return &ecluse.Error{Kind: ecluse.KindOf(err), What: "carry out the plan", Err: err, Next: next}
}

// UndoRequest orders the passage in hand undone.
type UndoRequest struct {
	Migration ecluse.MigrationID
	Key       ssh.Signer // of who orders it; nil to go on with what was ordered
	Because   string     // signed with the order; after a go there has to be one
	Watch     Watch
	Away      Away
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
func (d *Desk) UndoOrdered(ctx context.Context, id ecluse.MigrationID) (bool, error) {
	l, m, err := d.at(ctx, id)
	if err != nil {
		return false, err
	}
	all, err := l.Status(ctx, m)
	return err == nil && len(all) == 1 && all[0].Place.Passage == procedure.Undoing, err
}

// Undo takes the passage in hand out of the target, by the signed order of an
// operator or of the controller: an act that refuses the report or, before there
// is one, the act that approved its load plan. Once ordered it goes on, after an interruption, with
// nobody's signature.
func (d *Desk) Undo(ctx context.Context, q UndoRequest) (*UndoneView, error) {
	l, m, err := d.as(ctx, q.Key, q.Migration)
	if err != nil {
		return nil, err
	}
	all, err := l.Status(ctx, m)
	if err != nil {
		return nil, err
	}
	p := all[0].Place
	v := &UndoneView{Migration: m}
	if v.Passage, err = passageOf(all[0].Passage); err != nil {
		return nil, err
	}
	if p.Passage != procedure.Undoing && all[0].Passage != "" && q.Key != nil {
		if err := d.orderUndo(ctx, l, m, all[0], q); err != nil {
			return nil, err
		}
		if p.Kind == ecluse.Dry {
			return v, nil
		}
	}
	work, err := l.Undo(ctx, m)
	if err != nil {
		return nil, err
	}
	a, err := follow(ctx, l, work, q.Watch, q.Away.at(exchange.TargetPlace))
	if err != nil {
		return nil, advised(err)
	}
	_, target, err := gatesOf(ctx, l, m)
	if err != nil {
		return nil, err
	}
	v.Undo = &gate.UndoStatement{}
	if _, err := statement(ctx, l, m, exchange.UndoReport, a, target, gate.UndoFormat, v.Undo); err != nil {
		return nil, err
	}
	v.Rows = v.Undo.Rows
	return v, nil
}

// orderUndo hands in the act that orders it.
func (d *Desk) orderUndo(ctx context.Context, l Lock, m ecluse.MigrationID, s exchange.Status, q UndoRequest) error {
	p := s.Place
	refuse := evidence.Clause{Verb: evidence.VerbRefuse, Kind: evidence.KindAct, Subject: s.Approval}
	if slices.Contains(procedure.Reported(), p.Passage) {
		text, err := l.Current(ctx, m, evidence.KindReport)
		if err != nil {
			return err
		}
		refuse.Kind, refuse.Subject = evidence.KindReport, ecluse.DigestOf(text)
	} else if err := approves(ctx, l, m, p.Kind, s.Approval); err != nil {
		return err
	}
	clauses := []evidence.Clause{refuse}
	var papers []exchange.Enclosure
	if q.Because != "" || p.Passage == procedure.Live {
		because, err := reasonOf(q.Because)
		if err != nil {
			return err
		}
		reason := exchange.Enclosure{Kind: evidence.KindReason, Text: []byte(because)}
		clauses = append(clauses, evidence.Clause{Verb: evidence.VerbSign, Kind: reason.Kind, Subject: ecluse.DigestOf(reason.Text)})
		papers = append(papers, reason)
	}
	_, err := d.sign(ctx, l, q.Key, m, clauses, papers...)
	return err
}

// approves reads the act that a lock shows as the one under which the passage in hand
// began: whoever orders that undone refuses what they were shown, and nothing that a lock
// puts behind it.
func approves(ctx context.Context, l Lock, m ecluse.MigrationID, kind ecluse.PassageKind, act ecluse.Digest) error {
	plan, err := l.Current(ctx, m, exchange.KindLoadPlan(kind))
	if err != nil {
		return err
	}
	text, err := l.Document(ctx, act)
	if err != nil {
		return err
	}
	a, err := evidence.ParseAct(text)
	if err != nil {
		return err
	}
	if ecluse.DigestOf(text) != act || a.Migration != m || !evidence.MayApproveLoad(kind, a.Side, a.Role) ||
		!a.Has(evidence.VerbApprove, evidence.KindLoadPlan, ecluse.DigestOf(plan)) {
		return another("undo", act.String(), "it is not the act by which the load plan of the passage in hand was approved")
	}
	return nil
}

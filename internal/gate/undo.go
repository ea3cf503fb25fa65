package gate

import (
	"context"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice"
	"ecluse/internal/sluice/reconcile"
)

// UndoStatement is undo/v1: what the target gate says of a passage taken out.
type UndoStatement struct {
	evidence.StatementHead
	Passage ecluse.Passage          `json:"passage"`
	Chunks  int                     `json:"chunks"`
	Rows    int64                   `json:"rows"`
	Tables  []reconcile.TableResult `json:"tables"`
	At      time.Time               `json:"at"`
}

// Undo takes out of the target what this gate's own ledger says it loaded. It
// needs no approval and goes on after every deadline.
func (t *Target) Undo(ctx context.Context, m ecluse.MigrationID, p ecluse.Passage, watch sluice.Watch) (*UndoStatement, error) {
	c, err := t.lock.Case(ctx, m, p.Kind)
	if err != nil {
		return nil, err
	}
	now, err := t.home.Now()
	if err != nil {
		return nil, err
	}
	page := t.home.Entry(m)
	l := sluice.Loading{Target: t.db, Signer: t.home.signer, Watch: watch}
	if l.Permit, err = mandate.PermitUndo(c.LoadPlan, page.Plans[p.String()], p, now); err != nil {
		return nil, err
	}
	if l.ReadPlan, err = mandate.ParseReadPlan(c.ReadPlan); err != nil {
		return nil, err
	}
	k, err := t.check(ctx, l.ReadPlan, c.Mapping, c.Frozen)
	if err != nil {
		return nil, err
	}
	if got := k.program.Shape().Mapping; got != l.Permit.Plan().Shape.Mapping {
		return nil, &ecluse.Error{Kind: ecluse.Differs, What: "undo " + p.String(), Why: "another mapping is in force than the one it was loaded with", Next: "sign that mapping again: " + l.Permit.Plan().Shape.Mapping.String()}
	}
	l.Program, l.Padded = k.program, k.padded
	source := l.ReadPlan.Source.Gate
	id, err := t.identity(ctx, m, source)
	if err != nil {
		return nil, err
	}
	l.Identity = id
	in := &inlet{lock: t.lock, migration: m, source: source, plan: l.ReadPlan.Digest()}
	if err := in.refresh(ctx); err != nil {
		return nil, err
	}
	l.Inlet = in
	done, err := sluice.Undo(ctx, l)
	if err != nil {
		return nil, err
	}
	return t.stateUndone(ctx, m, l.Permit.Digest(), done)
}

func (t *Target) stateUndone(ctx context.Context, m ecluse.MigrationID, plan ecluse.Digest, u *sluice.Undone) (*UndoStatement, error) {
	now, err := t.home.Now()
	if err != nil {
		return nil, err
	}
	s := &UndoStatement{
		StatementHead: evidence.StatementHead{Format: UndoFormat, Migration: m, Plan: plan},
		Passage:       u.Passage, Chunks: u.Chunks, Tables: u.Tables, At: now,
	}
	for _, n := range u.Rows {
		s.Rows += n
	}
	signed, err := evidence.SignStatement(t.home.signer, s)
	if err != nil {
		return nil, err
	}
	return s, t.lock.Post(ctx, m, UndoReport, signed)
}

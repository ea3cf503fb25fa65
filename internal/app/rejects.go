package app

import (
	"context"
	"slices"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/gate"
)

// RejectsRequest asks for the rows that a passage put aside.
type RejectsRequest struct {
	Migration ecluse.MigrationID
	Passage   string // "final-1"; empty: the last that began
}

// RejectsView says how many rows were shown, never what they hold.
type RejectsView struct {
	Migration ecluse.MigrationID `json:"migration"`
	Passage   ecluse.Passage     `json:"passage"`
	Rows      int64              `json:"rows"`
	Reported  *int64             `json:"reported,omitempty"` // by the passage's signed report; nil before there is one
}

// Rejects shows the rows put aside on the laboratory's side, where the source gate
// opens them in memory: nothing of them is kept, printed or journalled here.
func (r *Room) Rejects(ctx context.Context, q RejectsRequest, each func(*gate.Rejected) error) (*RejectsView, error) {
	m, p, err := r.passage(ctx, q)
	if err != nil {
		return nil, err
	}
	s, err := r.sourceGate(ctx)
	if err != nil {
		return nil, err
	}
	v := &RejectsView{Migration: m, Passage: p}
	err = s.Rejects(ctx, m, p, func(x *gate.Rejected) error {
		v.Rows++
		return each(x)
	})
	if err != nil {
		return nil, err
	}
	_, target, err := r.lock.gates(ctx, m)
	if err != nil {
		return nil, err
	}
	reports, err := r.lock.signed(ctx, m, string(gate.LoadReport), evidence.NamespaceStatement)
	if err != nil {
		return nil, err
	}
	for _, signed := range slices.Backward(reports) {
		var said gate.LoadStatement
		if err := evidence.ParseStatement(signed, target, evidence.ReportFormat, &said); err != nil {
			return nil, err
		}
		if said.Passage == p {
			v.Reported = &said.RowsRejected
			break
		}
	}
	return v, nil
}

// passage finds the passage meant: the one named, or the last that began.
func (r *Room) passage(ctx context.Context, q RejectsRequest) (ecluse.MigrationID, ecluse.Passage, error) {
	m, err := r.migration(ctx, q.Migration)
	if err != nil {
		return "", ecluse.Passage{}, err
	}
	all, err := r.lock.store.Passages(ctx, m)
	if err != nil {
		return "", ecluse.Passage{}, err
	}
	for _, p := range slices.Backward(all) {
		if q.Passage == "" || q.Passage == p.Passage.String() {
			return m, p.Passage, nil
		}
	}
	why := "no passage has begun, so nothing was put aside"
	if q.Passage != "" && len(all) > 0 {
		why = "that passage never began"
	}
	return "", ecluse.Passage{}, &ecluse.Error{Kind: ecluse.Invalid, What: "find the passage", Where: string(m), Why: why, Next: "ecluse status names the passage in hand: dry-1, final-1"}
}

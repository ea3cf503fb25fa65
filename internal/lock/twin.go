package lock

import (
	"context"
	"encoding/json"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
)

// Twin has the target gate take invented rows through the mapping in force, and returns
// what it signed of that.
func (l *Lock) Twin(ctx context.Context, m ecluse.MigrationID) (*evidence.Signed, error) {
	_, target, err := l.gates(ctx, m)
	if err != nil {
		return nil, err
	}
	a, err := l.ask(ctx, target, exchange.Work{Verb: exchange.Twin, Migration: m})
	if err != nil {
		return nil, err
	}
	said, err := ecluse.ParseDigest(string(a.Papers[exchange.PaperStatement]))
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "read the gate's answer", Err: err}
	}
	all, err := l.Posted(ctx, m, exchange.TwinReport)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.Digest() == said {
			return &s, nil
		}
	}
	return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "read the gate's answer", Where: said.String(), Why: "the gate has posted no such " + string(exchange.TwinReport)}
}

// twinFor has invented rows taken through the mapping of a plan that will write, unless they were, for
// the same columns and the target's schema.
func (l *Lock) twinFor(ctx context.Context, m ecluse.MigrationID, target ecluse.Fingerprint, plan *mandate.LoadPlan, schema ecluse.Digest) error {
	passed, err := l.twinPassed(ctx, m, target, plan, schema)
	if err != nil || passed {
		return err
	}
	_, err = l.Twin(ctx, m)
	return err
}

// columns identifies what a read plan's datasets are made of.
func (l *Lock) columns(ctx context.Context, readPlan ecluse.Digest) (ecluse.Digest, error) {
	text, err := l.store.Document(ctx, readPlan)
	if err != nil {
		return ecluse.Digest{}, err
	}
	plan, err := mandate.ParseReadPlan(text)
	if err != nil {
		return ecluse.Digest{}, err
	}
	return plan.Columns(), nil
}

// twinPassed tells whether the target gate signed that a plan's mapping passed on rows
// invented for its columns, under its own read plan (evidence has what was said of that one), and held against the target's schema; zero: whichever, for only
// the gate knows how that stands now.
func (l *Lock) twinPassed(ctx context.Context, m ecluse.MigrationID, target ecluse.Fingerprint, plan *mandate.LoadPlan, schema ecluse.Digest) (bool, error) {
	columns, err := l.columns(ctx, plan.ReadPlan)
	if err != nil {
		return false, err
	}
	all, err := l.Posted(ctx, m, exchange.TwinReport)
	if err != nil {
		return false, err
	}
	for _, s := range all {
		var x struct {
			evidence.StatementHead
			Mapping ecluse.Digest `json:"mapping"`
			Columns ecluse.Digest `json:"columns"`
			Schema  ecluse.Digest `json:"target_schema"`
			Passed  bool          `json:"passed"`
		}
		if s.VerifyBy(evidence.NamespaceStatement, target) != nil || json.Unmarshal(s.Body, &x) != nil {
			continue
		}
		if x.Format == evidence.TwinFormat && x.Passed && x.Mapping == plan.Shape.Mapping && x.Plan == plan.ReadPlan && x.Columns == columns && (schema.IsZero() || x.Schema == schema) {
			return true, nil
		}
	}
	return false, nil
}

// tried tells whether a plan's mapping passed dry on its columns, or in a rehearsal in which
// all was equal.
func (l *Lock) tried(ctx context.Context, m ecluse.MigrationID, target ecluse.Fingerprint, plan *mandate.LoadPlan) (bool, error) {
	columns, err := l.columns(ctx, plan.ReadPlan)
	if err != nil {
		return false, err
	}
	all, err := l.Posted(ctx, m, exchange.LoadReport)
	if err != nil {
		return false, err
	}
	for _, s := range all {
		f, err := figuresOf(s, target, evidence.ReportFormat)
		if err != nil || !f.tries() {
			continue
		}
		text, err := l.store.Document(ctx, f.Plan)
		if err != nil {
			return false, err
		}
		then, err := mandate.ParseLoadPlan(text)
		if err != nil {
			return false, err
		}
		if then.Shape.Mapping != plan.Shape.Mapping {
			continue
		}
		if was, err := l.columns(ctx, then.ReadPlan); err != nil || was == columns {
			return err == nil, err
		}
	}
	return false, nil
}

// rehearsed refuses to begin a final passage whose mapping was not tried. The target gate
// asks again, of its own ledger.
func (l *Lock) rehearsed(ctx context.Context, i *mandate.Instruction, kind ecluse.PassageKind) error {
	text, err := l.current(ctx, i.ID, exchange.KindLoadPlan(kind))
	if err != nil || text == nil {
		return err
	}
	plan, err := mandate.ParseLoadPlan(text)
	if err != nil {
		return err
	}
	twin, err := l.twinPassed(ctx, i.ID, i.Target.Gate, plan, ecluse.Digest{})
	if err != nil {
		return err
	}
	tried, err := l.tried(ctx, i.ID, i.Target.Gate, plan)
	if err != nil {
		return err
	}
	return i.Rehearsed(kind, twin, tried)
}

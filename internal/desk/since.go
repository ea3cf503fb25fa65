package desk

import (
	"context"
	"fmt"
	"slices"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
)

// Since is a load plan as the difference from the last one that was carried out dry or
// in rehearsal, and what that one came to.
type Since struct {
	Passage      ecluse.Passage       `json:"passage"`
	LoadPlan     ecluse.Digest        `json:"load_plan"`
	SameMapping  bool                 `json:"same_mapping"`
	Changes      []mandate.Change     `json:"changes,omitempty"`
	RowsRead     int64                `json:"rows_read"`
	RowsLoaded   int64                `json:"rows_loaded"`
	RowsRejected int64                `json:"rows_rejected"`
	Rejected     []ecluse.MaskedGroup `json:"rejected,omitempty"` // small counts are masked
	Unmapped     []ecluse.DatasetID   `json:"unmapped,omitempty"` // datasets of which no row came to anything
	Scant        []ecluse.DatasetID   `json:"scant,omitempty"`    // and those of which more than half the rows were put aside: that one was no trial

	Equal  bool `json:"equal"`            // read back, all of it; a dry run never is
	Checks int  `json:"checks,omitempty"` // compared: of a dry run, on the rows as they would be written
	Differ int  `json:"differ,omitempty"` // of them

	Renumbered *ecluse.Renumbering `json:"renumbered,omitempty"` // by that one, against the one before it
	Unnumbered bool                `json:"unnumbered,omitempty"` // the plan has counters, and its mapping is another: what it renumbers the next pass says
}

// since holds a load plan against the last one tried; nil when none was. What was tried
// is said by the target gate's signed report, and the plan is the one it names.
func since(ctx context.Context, l Lock, m ecluse.MigrationID, plan *mandate.LoadPlan) (*Since, error) {
	i, err := instructionOf(ctx, l, m)
	if err != nil {
		return nil, err
	}
	reports, err := l.Posted(ctx, m, exchange.LoadReport)
	if err != nil {
		return nil, err
	}
	for _, signed := range slices.Backward(reports) {
		var s gate.LoadStatement
		if err := evidence.ParseStatement(signed, i.Target.Gate, evidence.ReportFormat, &s); err != nil {
			return nil, err
		}
		if s.Migration != m || s.Passage.Kind == ecluse.Final {
			continue
		}
		text, err := l.Document(ctx, s.Plan)
		if err != nil {
			return nil, err
		}
		if got := ecluse.DigestOf(text); got != s.Plan {
			return nil, another("compare with "+s.Passage.String(), string(m), fmt.Sprintf("the lock shows the load plan %s for %s", got, s.Plan))
		}
		tried, err := mandate.ParseLoadPlan(text)
		if err != nil {
			return nil, err
		}
		v := &Since{
			Passage: s.Passage, LoadPlan: s.Plan, SameMapping: tried.Shape.Mapping == plan.Shape.Mapping, Changes: mandate.CompareLoads(tried, plan),
			RowsRead: s.RowsRead, RowsLoaded: s.RowsLoaded, RowsRejected: s.RowsRejected, Unmapped: s.Unmapped, Scant: s.Scant,
		}
		if s.Compared != nil {
			v.Rejected, v.Renumbered = s.Compared.Rejected, s.Compared.Renumbered
			v.Equal = s.Compared.Equal
			v.Checks, v.Differ = s.Compared.Tally()
		}
		v.Unnumbered = !v.SameMapping && counts(&plan.Shape)
		return v, nil
	}
	return nil, nil
}

// counts tells whether a counter numbers rows of any table.
func counts(s *ecluse.Shape) bool {
	return slices.ContainsFunc(s.Datasets, func(d ecluse.ShapeDataset) bool {
		return slices.ContainsFunc(d.Into, func(t ecluse.ShapeTable) bool { return t.Counter != "" })
	})
}

// ReadSince is a read plan as the difference from the last one that both parties approved.
type ReadSince struct {
	ReadPlan ecluse.Digest    `json:"read_plan"` // the one approved
	Changes  []mandate.Change `json:"changes"`
}

// readSince holds a read plan against the last one approved; nil when none was, when this one
// is, and on a device that was told no roots to know an approval by.
func (d *Desk) readSince(ctx context.Context, l Lock, plan *mandate.ReadPlan) (*ReadSince, error) {
	if d.roots == nil {
		return nil, nil
	}
	acts, err := l.Acts(ctx, plan.Migration)
	if err != nil {
		return nil, err
	}
	rosters, err := l.Rosters(ctx)
	if err != nil {
		return nil, err
	}
	last, err := mandate.LastReadApproved(d.roots, plan.Migration, rosters, acts, plan.Digest())
	if err != nil || last.IsZero() {
		return nil, err
	}
	text, err := l.Document(ctx, last)
	if err != nil {
		return nil, err
	}
	if got := ecluse.DigestOf(text); got != last {
		return nil, another("compare with the last read plan approved", string(plan.Migration), fmt.Sprintf("the lock shows the read plan %s for %s", got, last))
	}
	approved, err := mandate.ParseReadPlan(text)
	if err != nil {
		return nil, err
	}
	return &ReadSince{ReadPlan: last, Changes: mandate.CompareReads(approved, plan)}, nil
}

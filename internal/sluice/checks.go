package sluice

import (
	"context"

	"ecluse"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

// checks counts the source's half of the cross-checks, inside the epoch.
func (e *extractor) checks(ctx context.Context, session reader.Session, sealed chan<- *chunk) error {
	if len(e.plan.Checks) == 0 {
		return nil
	}
	_, _, err := e.chunk(ctx, place{ecluse.ChecksDataset, 0}, checksSchema(), sealed,
		func(emit func(*record.Batch) error) (reader.Cursor, bool, error) {
			for _, c := range e.plan.Checks {
				if err := e.pause.Wait(ctx); err != nil {
					return nil, false, err
				}
				figures, err := session.Check(ctx, c.Name)
				if err != nil {
					return nil, false, err
				}
				b := namedFigures(c.Name, figures)
				if err := e.count(b); err != nil {
					return nil, false, err
				}
				if err := emit(b); err != nil {
					return nil, false, err
				}
			}
			return nil, true, nil
		})
	return err
}

// checksSchema is the dataset ecluse.checks: one line per check and key.
func checksSchema() *record.Schema {
	text := ecluse.Type{Kind: ecluse.Text}
	return &record.Schema{Fields: []record.Field{
		{Name: "check", Type: text},
		{Name: "key", Type: text},
		{Name: "count", Type: ecluse.Type{Kind: ecluse.Int}},
		{Name: "sum", Type: ecluse.Type{Kind: ecluse.Number}},
		{Name: "first", Type: text},
		{Name: "last", Type: text},
	}}
}

// namedFigures puts a check's name before its figures.
func namedFigures(name string, figures *record.Batch) *record.Batch {
	b := record.NewBatch(checksSchema(), figures.Rows())
	for r := range figures.Rows() {
		b.Columns[0].AppendString(name)
		for i, f := range b.Schema.Fields[1:] {
			b.Columns[i+1].AppendFrom(figures.Column(f.Name), r)
		}
	}
	return b
}

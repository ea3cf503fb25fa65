package sqlite

import (
	"context"
	"slices"

	"ecluse"
	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/writer"
)

// Revise takes rows of loaded chunks out and brings new chunks in. Foreign keys wait
// for the end: by then the keys that rows that stay refer to are there again.
func (s *session) Revise(ctx context.Context, r *writer.Revision, beforeCommit func(ctx context.Context, out *writer.Revised) error) (*writer.Revised, error) {
	const what = writer.Revising
	x, err := r.Exchange()
	if err != nil {
		return nil, err
	}
	gone, err := s.loading(what, x.Gone)
	if err != nil {
		return nil, err
	}
	come, err := s.loading(what, x.Come)
	if err != nil {
		return nil, err
	}
	come.revises = true
	var out *writer.Revised
	err = s.transaction(ctx, what, func() error {
		out, err = x.Begin(func(slot ecluse.Slot) (*writer.Marker, error) { return s.stored(ctx, slot) })
		if err != nil || out.Already {
			return err
		}
		for _, c := range r.Come {
			m, err := s.mark(ctx, what, c)
			if err != nil {
				return err
			}
			out.Markers = append(out.Markers, m)
		}
		if err := gone.takeOut(ctx); err != nil {
			return err
		}
		if err := come.write(ctx); err != nil {
			return err
		}
		x.Took(out, come.refusals())
		if beforeCommit != nil {
			if err := beforeCommit(ctx, out); err != nil {
				return err
			}
		}
		for i := range out.Markers {
			if err := s.complete(ctx, &out.Markers[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// takeOut takes all rows out, the last table's last row first, each as it was loaded.
func (l *loading) takeOut(ctx context.Context) error {
	if _, err := l.session.conn.Exec(ctx, "PRAGMA defer_foreign_keys=ON"); err != nil {
		return err
	}
	for _, t := range slices.Backward(l.tables) {
		if err := t.takeOut(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) takeOut(ctx context.Context) error {
	find, err := t.finder(ctx, true, false)
	if err != nil {
		return err
	}
	defer find.close()
	before, err := t.session.changes(ctx)
	if err != nil {
		return err
	}
	deleted := int64(0)
	altered, kept := int64(0), false
	for i := len(t.rows.Source) - 1; i >= 0; i-- {
		n, why, err := find.delete(ctx, i)
		if _, ok := engine.Constraint(t.rows.Table, err); ok {
			why = writer.Referred
		} else if err != nil {
			return err
		}
		deleted += n
		switch {
		case why == writer.Referred:
			kept = true
		case n == 0:
			altered++
		}
	}
	switch {
	case altered > 0:
		return writer.RefuseAltered(t.rows.Table, altered)
	case kept:
		return writer.RefuseKept(t.rows.Table, nil)
	case !slices.Contains(t.session.cascade, t.rows.Table.Name):
		return nil
	}
	after, err := t.session.changes(ctx)
	if n := after - before - deleted; err == nil && n != 0 {
		return writer.RefuseAlong(t.rows.Table, n)
	}
	return err
}

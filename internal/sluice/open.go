package sluice

import (
	"context"
	"errors"
	"io"
	"slices"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/sluice/mapping"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/seal"
)

// openKey takes K out of slot 0.
func (l *Loading) openKey(ctx context.Context) (*seal.Key, error) {
	d, body, err := l.Inlet.Next(ctx, ecluse.KeyDataset, 0)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	id, err := l.Identity(ctx)
	if err != nil {
		return nil, err
	}
	return seal.OpenKey(body, d, id)
}

// hold fills both runs' look-up tables: held datasets and tables of the target.
func (o *loader) hold(ctx context.Context) error {
	runs := []*mapping.Run{mapping.NewRun(o.Program), mapping.NewRun(o.Program)}
	if err := o.fill(ctx, o.Reading, runs...); err != nil {
		return err
	}
	for _, r := range runs {
		o.runs <- r
	}
	return nil
}

// fill fills runs' look-up tables, those of held datasets as these are as of a reading.
func (o *loader) fill(ctx context.Context, reading int, runs ...*mapping.Run) error {
	for _, h := range o.plan.Shape.Held {
		err := o.alive(ctx, h.Dataset, reading, func(b *record.Batch) error {
			for _, r := range runs {
				if err := r.Hold(h.Dataset, b); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, r := range runs {
			if err := r.Held(h.Dataset); err != nil {
				return err
			}
		}
	}
	for _, t := range o.plan.Shape.Targets {
		b, err := o.Target.Rows(ctx, t.Table, t.Columns, t.Rows)
		if err != nil {
			return err
		}
		if err := o.asApproved(t.Table, t.Columns, b); err != nil && !o.Permit.UndoesOnly() {
			return err
		}
		for _, r := range runs {
			if err := r.HoldTarget(t.Name, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// heldVersions finds out which version of each chunk of a held dataset, as the first reading
// sealed it, is the latest, waiting for them as Next does.
func (o *loader) heldVersions(ctx context.Context) (map[ecluse.DatasetID][]int, error) {
	all := map[ecluse.DatasetID][]int{}
	for _, h := range o.plan.Shape.Held {
		for last := false; !last; {
			d, body, err := o.Inlet.Next(ctx, h.Dataset, len(all[h.Dataset]))
			if err != nil {
				return nil, err
			}
			body.Close()
			all[h.Dataset], last = append(all[h.Dataset], d.Slot.Version), d.Last
		}
	}
	return all, nil
}

// heldAs refuses a manifest that names other versions of the chunks of held datasets than the
// look-up tables were filled from: these may be mapped to nothing, so that no marker tells.
func (o *loader) heldAs(m *evidence.Manifest) error {
	for _, d := range m.Datasets {
		isHeld := func(h ecluse.ShapeHeld) bool { return h.Dataset == d.Dataset }
		if !slices.ContainsFunc(o.plan.Shape.Held, isHeld) {
			continue
		}
		as := o.before.Held[d.Dataset]
		for i, c := range d.Chunks {
			if i >= len(as) || as[i] != c.Slot.Version {
				return otherVersion(c.Slot, "the mapping looks other rows up in it")
			}
		}
		if n := len(d.Chunks); n > 0 && n < len(as) {
			return otherVersion(d.Chunks[n-1].Slot, "the mapping looks other rows up in it")
		}
	}
	return nil
}

// asApproved checks that a table of the target that the mapping looks codes up in
// is the one whose digest was approved.
func (o *loader) asApproved(table ecluse.TableName, columns []string, b *record.Batch) error {
	digest, err := reconcile.DigestRows(o.HeldKey, b)
	if err != nil {
		return err
	}
	for _, h := range o.plan.Held {
		if h.Table == table && slices.Equal(h.Columns, columns) && h.Digest == digest {
			return nil
		}
	}
	return &ecluse.Error{
		Kind: ecluse.Differs, What: "load", Where: table.String(), Why: "the target's look-up table changed since the load plan was approved",
		Next: "ecluse plan, and have the new load plan approved",
	}
}

// open opens one chunk and gives its batches; its end is checked before open
// returns.
func (o *loader) open(ctx context.Context, id ecluse.DatasetID, sequence int, each func(*record.Batch) error) (*evidence.Descriptor, error) {
	d, body, err := o.Inlet.Next(ctx, id, sequence)
	if err != nil {
		return nil, err
	}
	return d, o.opened(ctx, d, body, each)
}

// version opens one version of a chunk, as open does.
func (o *loader) version(ctx context.Context, s ecluse.Slot, each func(*record.Batch) error) error {
	d, body, err := o.Inlet.Version(ctx, s)
	if err != nil {
		return err
	}
	return o.opened(ctx, d, body, each)
}

func (o *loader) opened(ctx context.Context, d *evidence.Descriptor, body io.ReadCloser, each func(*record.Batch) error) error {
	defer body.Close()
	identity, err := o.Identity(ctx)
	if err != nil {
		return err
	}
	r, err := o.pool.Open(body, d, identity, o.key)
	if err != nil {
		return err
	}
	defer r.Close()
	b := record.NewBatch(r.Schema(), reader.BatchRows)
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		b.Reset()
		err := r.Next(b)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = each(b)
		}
		if err != nil {
			return err
		}
	}
}

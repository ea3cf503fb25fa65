package sluice

import (
	"context"
	"maps"
	"slices"

	"ecluse"
	"ecluse/internal/sluice/mapping"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// heldSince lists the held datasets of which rows went or came after a reading, up to
// o.Reading.
func (o *loader) heldSince(reading int) (changed []ecluse.DatasetID) {
	for _, h := range o.plan.Shape.Held {
		differs := func(l layer) bool { return l.dataset == h.Dataset && l.reading > reading && o.differs(l) }
		if slices.ContainsFunc(o.later.layers, differs) {
			changed = append(changed, h.Dataset)
		}
	}
	return changed
}

// differs tells whether any row of a layer went or came.
func (o *loader) differs(l layer) bool {
	for at := range o.later.gone {
		of, reading := at.dataset.Of()
		if of == l.dataset && reading < l.reading && len(o.later.between(at, l.reading-1, l.reading)) > 0 {
			return true
		}
	}
	return o.later.came[l] > 0
}

// runAt is a run whose look-up tables are as of a reading: run itself, whose are as of
// o.Reading, unless they changed in between. What is loaded was made with those of its time.
func (o *loader) runAt(ctx context.Context, run *mapping.Run, reading int) (*mapping.Run, error) {
	if len(o.heldSince(reading)) == 0 {
		return run, nil
	}
	if o.asOf[reading] == nil {
		then := mapping.NewRun(o.Program)
		if err := o.fill(ctx, reading, then); err != nil {
			return nil, err
		}
		o.asOf[reading] = then
	}
	return o.asOf[reading], nil
}

// lookedUp refuses to revise when rows changed that others are looked up in, and any that
// stays would be made otherwise with them. Each chunk in question is mapped with the old and
// the new ones.
func (o *loader) lookedUp(ctx context.Context, from int) error {
	changed := o.heldSince(from)
	if len(changed) == 0 {
		return nil
	}
	run := <-o.runs
	defer func() { o.runs <- run }()
	then, err := o.runAt(ctx, run, from)
	if err != nil {
		return err
	}
	counters := o.before.start(o.Program)
	for _, m := range o.inOrder() {
		before := counters
		counters = m.Counters
		of, _ := m.Slot.Dataset.Of()
		i := slices.IndexFunc(changed, func(held ecluse.DatasetID) bool { return o.Program.LooksUp(of, held) })
		if i < 0 || isBuckets(m.Slot.Dataset) {
			continue
		}
		alike, err := o.alike(ctx, then, run, &m, before)
		if err != nil {
			return err
		}
		if !alike {
			return &ecluse.Error{
				Kind: ecluse.Differs, What: "catch up", Where: string(changed[i]), Why: "rows of it changed, and the mapping looks other rows up in it: what was loaded was made with the old ones",
				Next: writer.LoadAnew,
			}
		}
	}
	return nil
}

// alike tells whether two runs make the same of the rows of a chunk that stay.
func (o *loader) alike(ctx context.Context, a, b *mapping.Run, m *writer.Marker, counters map[string]int64) (bool, error) {
	of, _ := m.Slot.Dataset.Of()
	for _, r := range []*mapping.Run{a, b} {
		if err := r.Begin(of, counters); err != nil {
			return false, err
		}
		r.Leave(o.later.left(place{m.Slot.Dataset, m.Slot.Sequence}, o.Reading))
	}
	err := o.version(ctx, m.Slot, func(rows *record.Batch) error {
		if err := a.Apply(rows); err != nil {
			return err
		}
		return b.Apply(rows)
	})
	if err != nil {
		return false, err
	}
	x, err := a.Output()
	if err != nil {
		return false, err
	}
	y, err := b.Output()
	if err != nil {
		return false, err
	}
	if !slices.Equal(x.Rejected, y.Rejected) || !maps.Equal(x.Reports, y.Reports) || !maps.Equal(x.Counters, y.Counters) {
		return false, nil
	}
	for i := range x.Tables {
		s, err := o.redone[x.Tables[i].Table].SumBatch(x.Tables[i].Batch)
		if err != nil {
			return false, err
		}
		t, err := o.redone[y.Tables[i].Table].SumBatch(y.Tables[i].Batch)
		if err != nil {
			return false, err
		}
		if s != t {
			return false, nil
		}
	}
	return true, nil
}

package sluice

import (
	"context"
	"errors"
	"maps"
	"slices"

	"ecluse"
	"ecluse/internal/sluice/mapping"
	"ecluse/internal/sluice/writer"
)

// errEpoch stops a pass at the first chunk that another epoch sealed than those before it.
var errEpoch = errors.New("another epoch goes on with the reading")

// anotherEpoch tells whether a chunk was sealed by another epoch than those gone through
// before, while the reading goes on: the source gate was interrupted. It reads again what it
// had sealed, and rows that are in may be none any more, or refer to others than they will.
func (o *loader) anotherEpoch(epoch int) bool {
	if o.epoch == 0 {
		o.epoch = epoch
	}
	return epoch != o.epoch && !o.closed && o.plan.Passage != ecluse.Dry
}

// passWhole takes every chunk through in the version that the manifest names. Where an epoch
// was interrupted while what it sealed was being loaded, it waits for the reading's end,
// replaces what changed of that, and goes on from there, by notes.
func (o *loader) passWhole(ctx context.Context, session writer.Session) error {
	write := func(ctx context.Context, m *mapped) error { return o.write(ctx, session, m) }
	o.closed = o.Reading > 0 || o.Sealed != nil
	if o.closed {
		if err := o.settle(ctx, session); err != nil {
			return err
		}
	}
	err := o.pass(ctx, write)
	if !o.stale {
		return err
	}
	if err := o.settle(ctx, session); err != nil {
		return err
	}
	return o.pass(ctx, write)
}

// settle waits for the reading's end and replaces chunks of which another version was loaded.
func (o *loader) settle(ctx context.Context, session writer.Session) error {
	manifest, err := o.Inlet.Complete(ctx)
	if err != nil {
		return err
	}
	o.closed = true // no other version comes
	if err := o.heldAs(manifest); err != nil {
		return err
	}
	if err := o.readMarkers(ctx, session); err != nil {
		return err
	}
	var old []writer.Marker
	for _, d := range manifest.Datasets {
		for _, c := range d.Chunks {
			m := o.markerAt(place{c.Slot.Dataset, c.Slot.Sequence})
			if m == nil || m.Slot == c.Slot || isBuckets(d.Dataset) {
				continue
			}
			old = append(old, *m)
		}
	}
	if len(old) > 0 {
		if err := o.replace(ctx, session, old); err != nil {
			return err
		}
	}
	o.forget()
	return o.readMarkers(ctx, session)
}

// replace puts the versions of chunks that the manifest names in the place of those that
// were loaded while the source was still being read, by an epoch that was interrupted: what
// was loaded goes and what is sealed now comes, of all of them in one transaction, so that
// rows of one may refer to rows of another. The pass is then gone through once more, by
// notes.
//
// A chunk's marker stays when another version takes its place: all its rows are among those
// that are not in, and undoing finds nothing of it.
func (o *loader) replace(ctx context.Context, session writer.Session, old []writer.Marker) error {
	run := <-o.runs
	defer func() { o.runs <- run }()
	slices.SortFunc(old, func(a, b writer.Marker) int { return a.Position - b.Position })
	var r writer.Revision
	var come []*mapped
	var aside []bool // rows of the one before were put aside
	for i := range old {
		w, m, err := o.replaced(ctx, run, &old[i])
		if err != nil {
			return err
		}
		r.Gone, r.Come = append(r.Gone, *w), append(r.Come, o.toWrite(m))
		come, aside = append(come, m), append(aside, len(old[i].Refused) > 0)
	}
	slices.Reverse(r.Gone)
	_, err := session.Revise(ctx, &r, func(ctx context.Context, out *writer.Revised) error {
		for i, m := range come {
			if err := o.refused(ctx, m, out.Refused[i]); err != nil {
				return err
			}
			if b := m.aside.batch; b != nil && (aside[i] || b.Rows() > 0) { // fewer may be, or none
				if err := o.putAsideAs(ctx, m, m.descriptor.Slot); err != nil {
					return err
				}
			}
			if _, err := o.note(m, out.Refused[i]); err != nil {
				return err
			}
		}
		return nil
	})
	var e *ecluse.Error
	if errors.As(err, &e) && e.Kind == ecluse.Refused && e.Next == "" {
		with := *e
		with.Next = writer.LoadAnew
		err = &with
	}
	return err
}

// replaced is a loaded chunk as it goes, and the version of it that comes. The numbers that
// the mapping counts are those of the one that goes: were there more or fewer, rows of other
// chunks would get other numbers than in a load from the beginning.
func (o *loader) replaced(ctx context.Context, run *mapping.Run, old *writer.Marker) (*writer.Part, *mapped, error) {
	out, err := o.mapLoaded(ctx, run, old, old.Counters)
	if err != nil {
		return nil, nil, err
	}
	start := maps.Clone(old.Counters)
	for name, last := range out.Counters {
		start[name] -= last - old.Counters[name]
	}
	chunk, err := o.again(ctx, run, old, start)
	if err != nil {
		return nil, nil, err
	}
	w := &writer.Part{Slot: old.Slot, Rows: chunk.Rows}
	for row := range int32(chunk.Rows) {
		w.Sources = append(w.Sources, row)
	}
	for _, t := range chunk.Tables {
		w.Tables = append(w.Tables, only(t, t.Source))
	}
	o.counters = start
	m, err := o.mapChunk(ctx, run, old.Slot.Dataset, old.Slot.Sequence, o.Reading)
	if err != nil {
		return nil, nil, err
	}
	if !maps.Equal(m.out.Counters, old.Counters) {
		return nil, nil, otherVersion(m.descriptor.Slot, "it has more rows to number, or fewer")
	}
	return w, m.copied(), nil
}

// copied is a mapped chunk whose rows stay when its run maps another.
func (m *mapped) copied() *mapped {
	out := *m.out
	out.Rejected, out.Tables = slices.Clone(out.Rejected), nil
	for _, t := range m.out.Tables {
		rows := only(writer.Rows{Table: t.Table, Batch: t.Batch, Source: t.Source}, t.Source)
		out.Tables = append(out.Tables, mapping.Rows{Table: t.Table, Batch: rows.Batch, Source: rows.Source, Counter: t.Counter})
	}
	m.out, m.run = &out, nil
	return m
}

// otherVersion refuses to go on with a chunk of which another version was loaded. why is
// what keeps it from being replaced, if anything does.
func otherVersion(slot ecluse.Slot, why string) error {
	e := &ecluse.Error{
		Kind: ecluse.Differs, What: "load", Where: "chunk " + slot.String(), Why: "the source changed while it was read: another version of the chunk was loaded",
		Next: writer.LoadAnew,
	}
	if why != "" {
		e.Err = errors.New(why)
	}
	return e
}

// forget drops what a pass counted, before it is gone through again.
func (o *loader) forget() {
	fresh := newLoader(o.Loading, o.plan, o.key)
	o.loaded, o.rejected, o.reported = fresh.loaded, fresh.rejected, fresh.reported
	o.figures, o.shapes, o.slots, o.loadedAs, o.out, o.stale = fresh.figures, fresh.shapes, fresh.slots, fresh.loadedAs, fresh.out, false
	o.counters = o.before.start(o.Program)
}

// readMarkers finds out what is in: of a chunk that was replaced, the version that came last.
func (o *loader) readMarkers(ctx context.Context, session writer.Session) error {
	all, err := session.Markers(ctx)
	if err != nil {
		return err
	}
	clear(o.markers)
	for _, m := range all {
		o.markers[m.Slot] = m
	}
	o.emptied = nil
	for _, m := range all {
		next := func(x writer.Marker) bool {
			return x.Slot.Dataset == m.Slot.Dataset && x.Slot.Sequence == m.Slot.Sequence && x.Slot.Version > m.Slot.Version
		}
		if slices.ContainsFunc(all, next) {
			delete(o.markers, m.Slot)
			o.emptied = append(o.emptied, m)
		}
	}
	return nil
}

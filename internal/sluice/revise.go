package sluice

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"ecluse"
	"ecluse/internal/sluice/mapping"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// revise brings a passage that was loaded as of an earlier reading up to o.Reading: what
// changed since goes and comes in one transaction, however many readings found it. A
// passage that is loaded as of this reading from its first chunk has nothing to revise.
func (o *loader) revise(ctx context.Context, session writer.Session) error {
	from := o.behind()
	if from < 0 {
		return nil
	}
	if err := o.heldChanged(from); err != nil {
		return err
	}
	var layers []layer
	for reading := from + 1; reading <= o.Reading; reading++ {
		layers = append(layers, o.layersOf(reading)...)
	}
	if len(layers) == 0 {
		return nil
	}
	if err := o.whole(ctx, from); err != nil {
		return err
	}
	return o.reviseFrom(ctx, session, from, layers)
}

// behind is the reading as of which chunks are in, where what a later one changed is not;
// −1: nothing is behind.
func (o *loader) behind() int {
	if len(o.markers) == 0 {
		return -1
	}
	from := o.applied()
	for _, m := range o.markers {
		if m.Reading == o.Reading {
			return -1 // this passage began as of it
		}
	}
	if from >= o.Reading {
		return -1
	}
	return from
}

// whole refuses to revise what was not loaded to its end: rows would come before those that
// they refer to.
func (o *loader) whole(ctx context.Context, from int) error {
	m, err := o.Inlet.Complete(ctx)
	if err != nil {
		return err
	}
	for _, d := range m.Datasets {
		of, reading := d.Dataset.Of()
		if reading > from || !slices.Contains(o.plan.Shape.Order, of) {
			continue
		}
		for n := range d.Chunks {
			if o.markerAt(place{d.Dataset, n}) == nil {
				return &ecluse.Error{
					Kind: ecluse.Refused, What: "catch up", Where: "chunk " + d.Chunks[n].Slot.String(), Why: "the passage was not loaded to its end before the source was read again",
					Next: "ecluse undo, then plan, approve and apply again: what was read is loaded as it is now, and nothing is read once more",
				}
			}
		}
	}
	return nil
}

// heldChanged refuses to revise when codes changed that other rows are looked up in: those
// would have to be made anew, and nobody knows which.
func (o *loader) heldChanged(from int) error {
	for _, l := range o.later.layers {
		held := func(h ecluse.ShapeHeld) bool { return h.Dataset == l.dataset }
		if l.reading > from && slices.ContainsFunc(o.plan.Shape.Held, held) && o.differs(l) {
			return &ecluse.Error{
				Kind: ecluse.Differs, What: "catch up", Where: string(l.dataset), Why: "rows of it changed, and the mapping looks other rows up in it: what was loaded was made with the old ones",
				Next: "ecluse undo, then plan, approve and apply again: what was read is loaded as it is now, and nothing is read once more",
			}
		}
	}
	return nil
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

// reviseFrom makes the changes that readings after one found.
func (o *loader) reviseFrom(ctx context.Context, session writer.Session, from int, layers []layer) error {
	reading := o.Reading
	run := <-o.runs
	defer func() { o.runs <- run }()
	var r writer.Revision
	var anew []revisedChunk
	markers := o.inOrder()
	counters := o.before.start(o.Program)
	for _, m := range markers {
		before := counters
		counters = m.Counters
		at := place{m.Slot.Dataset, m.Slot.Sequence}
		goes := o.later.between(at, from, reading)
		if len(goes) == 0 {
			continue
		}
		w, reports, err := o.withdrawn(ctx, run, &m, before, goes)
		if err != nil {
			return err
		}
		r.Gone = append(r.Gone, *w)
		x, err := o.lessen(ctx, run, &m, before, w, reports, o.later.last(at, reading))
		if err != nil {
			return err
		}
		anew = append(anew, x)
	}
	slices.Reverse(r.Gone)
	counters = maps.Clone(counters)
	for _, m := range markers { // one that was replaced came late, and counts from where it stands
		for name, last := range m.Counters {
			counters[name] = max(counters[name], last)
		}
	}
	var come []*mapped
	for _, l := range layers {
		all, err := o.changedChunks(ctx, run, l, &counters)
		if err != nil {
			return err
		}
		for _, m := range append(all, o.bucketsChunk(l, counters)) {
			come, r.Come = append(come, m), append(r.Come, o.toWrite(m))
		}
	}
	revised, err := session.Revise(ctx, &r, func(ctx context.Context, refused [][]writer.Refusal) error {
		for i, m := range come {
			if err := o.refused(ctx, m, refused[i]); err != nil {
				return err
			}
			if err := o.putAside(ctx, m); err != nil {
				return err
			}
			if _, err := o.note(m, refused[i]); err != nil {
				return err
			}
		}
		for _, x := range anew {
			if err := o.keepRevised(ctx, x); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if revised.Already {
		return ecluse.Errorf(ecluse.Differs, "catch up", "what reading %d changed came in meanwhile", reading)
	}
	for _, m := range revised.Markers {
		o.markers[m.Slot] = m
	}
	return nil
}

// revisedChunk is a chunk of which rows go, and what it comes to then.
type revisedChunk struct {
	slot    ecluse.Slot // that of revisedSlot
	outcome *outcome
	aside   *mapped // holds what stands aside then; nil: as before
}

// keepRevised puts aside anew what of a revised chunk still is, and notes what it came to.
func (o *loader) keepRevised(ctx context.Context, x revisedChunk) error {
	if x.aside != nil {
		if err := o.putAsideAs(ctx, x.aside, x.slot); err != nil {
			return err
		}
	}
	text, err := json.Marshal(x.outcome)
	if err != nil {
		return err
	}
	return o.setNote(x.slot, text)
}

// revisedSlot is the name under which is noted what a chunk came to after a reading took rows out.
func revisedSlot(s ecluse.Slot, reading int) ecluse.Slot {
	s.Dataset = (revisedPrefix + s.Dataset).Changed(reading)
	return s
}

const revisedPrefix ecluse.DatasetID = "ecluse.revised."

// inOrder are the markers in the order of loading.
func (o *loader) inOrder() []writer.Marker { return inOrder(slices.Collect(maps.Values(o.markers))) }

func inOrder(all []writer.Marker) []writer.Marker {
	slices.SortFunc(all, func(a, b writer.Marker) int { return a.Position - b.Position })
	return all
}

// changedChunks maps what a layer brings. Its mapped rows are copied: many chunks stand
// beside each other until they are written.
func (o *loader) changedChunks(ctx context.Context, run *mapping.Run, l layer, counters *map[string]int64) (all []*mapped, err error) {
	for sequence, last := 0, false; !last; sequence++ {
		o.counters = *counters
		m, err := o.mapChunk(ctx, run, l.dataset.Changed(l.reading), sequence, o.Reading)
		if err != nil {
			return nil, err
		}
		m.copied()
		*counters, last = m.out.Counters, m.descriptor.Last
		all = append(all, m)
	}
	return all, nil
}

// withdrawn is what goes of a chunk, as it was loaded, and the misses that were counted of
// it. The rows that go are mapped by themselves, but for a dataset that counters number:
// there a row's number depends on those before it.
func (o *loader) withdrawn(ctx context.Context, run *mapping.Run, m *writer.Marker, counters map[string]int64, goes []int32) (*writer.Withdrawn, map[string]int64, error) {
	w := &writer.Withdrawn{Slot: m.Slot, Sources: goes}
	of, _ := m.Slot.Dataset.Of()
	d, ok := o.ReadPlan.Dataset(of)
	if !ok {
		return nil, nil, ecluse.Errorf(ecluse.Unverified, "catch up", "dataset %s is not in the read plan", of)
	}
	var in []int32 // the others had been put aside
	refused := slices.Sorted(slices.Values(m.Refused))
	for _, row := range goes {
		if _, aside := slices.BinarySearch(refused, row); !aside {
			in = append(in, row)
		}
	}
	rows, first, next := record.NewBatch(SchemaOf(d), len(in)), int32(0), 0
	err := o.version(ctx, m.Slot, func(b *record.Batch) error {
		for ; next < len(in) && in[next] < first+int32(b.Rows()); next++ {
			for c, column := range rows.Columns {
				column.AppendFrom(b.Columns[c], int(in[next]-first))
			}
		}
		first += int32(b.Rows())
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	w.Rows = int(first)
	if err := run.Begin(of, counters); err != nil {
		return nil, nil, err
	}
	if err := run.Apply(rows); err != nil {
		return nil, nil, err
	}
	out, err := run.Output()
	if err != nil {
		return nil, nil, err
	}
	reports := out.Reports
	if !o.Program.Counts(of) {
		for _, t := range out.Tables {
			own := only(writer.Rows{Table: t.Table, Batch: t.Batch, Source: t.Source}, t.Source)
			for i, row := range own.Source {
				own.Source[i] = in[row]
			}
			w.Tables = append(w.Tables, own)
		}
		return w, reports, nil
	}
	chunk, err := o.again(ctx, run, m, counters)
	if err != nil {
		return nil, nil, err
	}
	for _, t := range chunk.Tables {
		w.Tables = append(w.Tables, only(t, goes))
	}
	return w, reports, nil
}

// lessen is what a chunk came to less what goes of it. As a rule that is its figures less
// theirs; where some of it had been put aside, the chunk is gone through again.
func (o *loader) lessen(ctx context.Context, run *mapping.Run, m *writer.Marker, counters map[string]int64, w *writer.Withdrawn, reports map[string]int64, reading int) (x revisedChunk, err error) {
	n, err := o.outcomeOf(m)
	if err != nil {
		return x, err
	}
	refused := slices.Sorted(slices.Values(m.Refused))
	aside := func(row int32) bool {
		_, aside := slices.BinarySearch(refused, row)
		return aside
	}
	if n == nil || slices.ContainsFunc(w.Sources, aside) {
		x, err = o.retake(ctx, run, m, counters, w.Sources, reading, n)
		if err == nil && n != nil {
			x.outcome.Given = n.Given
		}
		return x, err
	}
	sums := reconcile.Sums{}
	for t, s := range n.Sums {
		sums[t] = s
	}
	for _, t := range w.Tables {
		gone, err := o.redone[t.Table].SumBatch(t.Batch)
		if err != nil {
			return x, err
		}
		sums[t.Table] = sums.Of(t.Table).Sub(gone)
	}
	for why, rows := range reports {
		if n.Reports[why] -= rows; n.Reports[why] == 0 {
			delete(n.Reports, why)
		}
	}
	n.Sums, n.Tables = sums, map[ecluse.TableName]int64{}
	for t, s := range sums {
		n.Tables[t] = s.Count
	}
	return revisedChunk{slot: revisedSlot(m.Slot, reading), outcome: n}, nil
}

// retake finds out anew what a chunk comes to that is in and of which rows go, or went,
// after it was loaded. What it made is what was loaded then; what it put aside and counted
// is of the rows that are left. Why the database refused a row was in its note only.
func (o *loader) retake(ctx context.Context, run *mapping.Run, m *writer.Marker, counters map[string]int64, goes []int32, reading int, noted *outcome) (x revisedChunk, err error) {
	loaded, err := o.again(ctx, run, m, counters)
	if err != nil {
		return x, err
	}
	sums := reconcile.Sums{}
	for _, t := range loaded.Tables {
		sum, err := o.redone[t.Table].SumExcept(t.Batch, t.Source, goes)
		if err != nil {
			return x, err
		}
		sums.Add(sum)
	}
	o.counters = counters
	now, err := o.mapChunk(ctx, run, m.Slot.Dataset, m.Slot.Sequence, reading)
	if err != nil {
		return x, err
	}
	refused := o.byDatabase(now, m, reading, noted)
	if err := o.refused(ctx, now, refused); err != nil {
		return x, err
	}
	x.slot = revisedSlot(m.Slot, reading)
	if x.outcome, err = o.outcome(now, refused, sums); err != nil {
		return x, err
	}
	x.outcome.Counters = m.Counters
	if now.out, now.run = nil, nil; len(m.Refused) > 0 {
		x.aside = now
	}
	return x, nil
}

// remember notes anew what chunks came to that were revised and whose notes are lost.
func (o *loader) remember(ctx context.Context) error {
	run := <-o.runs
	defer func() { o.runs <- run }()
	counters, applied := o.before.start(o.Program), o.applied()
	for _, m := range o.inOrder() {
		before := counters
		counters = m.Counters
		at := place{m.Slot.Dataset, m.Slot.Sequence}
		last := o.later.last(at, applied)
		if last <= m.Reading {
			continue
		}
		if n, err := o.outcomeOf(&m); err != nil || n != nil {
			if err != nil {
				return err
			}
			continue
		}
		x, err := o.retake(ctx, run, &m, before, o.later.between(at, m.Reading, applied), last, nil)
		if err != nil {
			return err
		}
		if err := o.keepRevised(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

// byDatabase are the source rows that the database refused: those that are not in, and that
// neither the mapping put aside nor a reading found gone.
func (o *loader) byDatabase(m *mapped, marker *writer.Marker, reading int, noted *outcome) (refused []writer.Refusal) {
	no := map[int32]bool{}
	for _, r := range m.out.Rejected {
		no[r.Row] = true
	}
	for _, row := range o.later.left(place{marker.Slot.Dataset, marker.Slot.Sequence}, reading) {
		no[row] = true
	}
	for _, row := range marker.Refused {
		if no[row] {
			continue
		}
		why := "refused by the target" // all that is known when the note is lost
		if noted != nil && noted.Refused[row] != "" {
			why = noted.Refused[row]
		}
		refused = append(refused, writer.Refusal{Row: row, Reason: why})
	}
	slices.SortFunc(refused, func(a, b writer.Refusal) int { return int(a.Row - b.Row) })
	return refused
}

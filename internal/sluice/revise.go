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
	if err := o.lookedUp(ctx, from); err != nil {
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
					Next: writer.LoadAnew,
				}
			}
		}
	}
	return nil
}

// reviseFrom makes the changes that readings after one found. What the database refused
// before is offered again: it may have wanted what comes, or what goes was in its way.
func (o *loader) reviseFrom(ctx context.Context, session writer.Session, from int, layers []layer) error {
	run := <-o.runs
	defer func() { o.runs <- run }()
	var r writer.Revision
	var anew []revisedChunk
	counters := o.before.start(o.Program)
	for _, m := range o.inOrder() {
		before := counters
		counters = m.Counters
		x, gone, again, err := o.revised(ctx, run, m, before, from)
		if err != nil {
			return err
		}
		if gone != nil {
			r.Gone = append(r.Gone, *gone)
		}
		if x.again = -1; again != nil {
			x.again, r.Again = len(r.Again), append(r.Again, *again)
		}
		if gone != nil || again != nil {
			anew = append(anew, x)
		}
	}
	slices.Reverse(r.Gone)
	counters = maps.Clone(counters)
	for _, m := range o.inOrder() { // one that was replaced came late, and counts from where it stands
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
	out, err := session.Revise(ctx, &r, func(ctx context.Context, out *writer.Revised) error {
		for i, m := range come {
			if err := o.refused(ctx, m, out.Refused[i]); err != nil {
				return err
			}
			if err := o.putAside(ctx, m); err != nil {
				return err
			}
			if _, err := o.note(m, out.Refused[i]); err != nil {
				return err
			}
		}
		for _, x := range anew {
			if x.again >= 0 {
				if err := o.offered(ctx, run, &x, &r.Again[x.again], out.Again[x.again]); err != nil {
					return err
				}
			}
			if err := o.keepRevised(ctx, x); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if out.Already {
		return ecluse.Errorf(ecluse.Differs, "catch up", "what reading %d changed came in meanwhile", o.Reading)
	}
	for _, m := range out.Markers {
		o.markers[m.Slot] = m
	}
	return nil
}

// revised is what becomes of a loaded chunk: what goes of it, and what is offered again;
// nil: nothing.
func (o *loader) revised(ctx context.Context, run *mapping.Run, m writer.Marker, counters map[string]int64, from int) (x revisedChunk, gone, again *writer.Part, err error) {
	x = revisedChunk{marker: m, counters: counters, slot: revisedSlot(m.Slot, o.Reading)}
	goes := o.later.between(place{m.Slot.Dataset, m.Slot.Sequence}, from, o.Reading)
	if len(goes)+len(m.Refused) == 0 {
		return x, nil, nil, nil
	}
	if len(goes) > 0 {
		var reports map[string]int64
		in := slices.DeleteFunc(slices.Clone(goes), func(row int32) bool { // the others had been put aside
			_, aside := slices.BinarySearch(m.Refused, row)
			return aside
		})
		if gone, reports, err = o.part(ctx, run, &m, counters, in); err != nil {
			return x, nil, nil, err
		}
		gone.Sources = goes
		if err := o.lessen(ctx, run, &x, gone, reports); err != nil {
			return x, nil, nil, err
		}
	} else if x.outcome, err = o.outcomeOf(&m); err != nil {
		return x, nil, nil, err
	} else if x.outcome == nil {
		if err := o.retake(ctx, run, &x, nil, o.Reading, nil); err != nil {
			return x, nil, nil, err
		}
	}
	if refused := slices.Sorted(maps.Keys(x.outcome.Refused)); len(refused) > 0 {
		again, _, err = o.part(ctx, run, &m, counters, refused)
	}
	return x, gone, again, err
}

// revisedChunk is a chunk that was loaded, and what it comes to then.
type revisedChunk struct {
	marker   writer.Marker    // as it is before
	counters map[string]int64 // before it
	slot     ecluse.Slot      // that of revisedSlot
	outcome  *outcome
	aside    *mapped // holds what stands aside then; nil: as before
	again    int     // its place among what is offered again; −1: nothing is
}

// offered settles what became of rows that the database refused before.
func (o *loader) offered(ctx context.Context, run *mapping.Run, x *revisedChunk, again *writer.Part, refused []writer.Refusal) error {
	why := map[int32]string{}
	rows := make([]int32, len(refused))
	for i, r := range refused {
		rows[i], why[r.Row] = r.Row, r.Reason
	}
	if maps.Equal(why, x.outcome.Refused) {
		return nil
	}
	sums := x.outcome.Sums
	for _, t := range again.Tables {
		in, err := o.redone[t.Table].SumExcept(t.Batch, t.Source, rows)
		if err != nil {
			return err
		}
		sums.Add(in)
	}
	return o.takeStock(ctx, run, x, o.Reading, sums, x.outcome, func(*mapped) []writer.Refusal { return refused })
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

// part is source rows of a chunk as they were mapped when it was loaded, and the misses
// that were counted of them. They are mapped by themselves, but for a dataset that counters
// number: there a row's number depends on those before it.
func (o *loader) part(ctx context.Context, run *mapping.Run, m *writer.Marker, counters map[string]int64, sources []int32) (*writer.Part, map[string]int64, error) {
	of, _ := m.Slot.Dataset.Of()
	d, ok := o.ReadPlan.Dataset(of)
	if !ok {
		return nil, nil, ecluse.Errorf(ecluse.Unverified, "catch up", "dataset %s is not in the read plan", of)
	}
	rows, first, next := record.NewBatch(SchemaOf(d), len(sources)), int32(0), 0
	err := o.version(ctx, m.Slot, func(b *record.Batch) error {
		for ; next < len(sources) && sources[next] < first+int32(b.Rows()); next++ {
			for c, column := range rows.Columns {
				column.AppendFrom(b.Columns[c], int(sources[next]-first))
			}
		}
		first += int32(b.Rows())
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	p := &writer.Part{Slot: m.Slot, Rows: int(first), Sources: sources}
	if run, err = o.runAt(ctx, run, m.Reading); err != nil {
		return nil, nil, err
	}
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
				own.Source[i] = sources[row]
			}
			p.Tables = append(p.Tables, own)
		}
		return p, reports, nil
	}
	if out, err = o.asLoaded(ctx, run, m, counters); err != nil {
		return nil, nil, err
	}
	for _, t := range out.Tables {
		p.Tables = append(p.Tables, only(writer.Rows{Table: t.Table, Batch: t.Batch, Source: t.Source}, sources))
	}
	return p, reports, nil
}

// lessen is what a chunk came to less what goes of it. As a rule that is its figures less
// theirs; where some of it had been put aside, the chunk is gone through again.
func (o *loader) lessen(ctx context.Context, run *mapping.Run, x *revisedChunk, gone *writer.Part, reports map[string]int64) error {
	n, err := o.outcomeOf(&x.marker)
	if err != nil {
		return err
	}
	aside := func(row int32) bool {
		_, aside := slices.BinarySearch(x.marker.Refused, row)
		return aside
	}
	if n == nil || slices.ContainsFunc(gone.Sources, aside) {
		return o.retake(ctx, run, x, gone.Sources, o.Reading, n)
	}
	sums := reconcile.Sums{}
	for t, s := range n.Sums {
		sums[t] = s
	}
	for _, t := range gone.Tables {
		sum, err := o.redone[t.Table].SumBatch(t.Batch)
		if err != nil {
			return err
		}
		sums[t.Table] = sums.Of(t.Table).Sub(sum)
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
	x.outcome = n
	return nil
}

// retake finds out anew what a chunk comes to that is in and of which rows go, or went,
// after it was loaded. What it made is what was loaded then; what it put aside and counted
// is of the rows that are left. Why the database refused a row was in its note only.
func (o *loader) retake(ctx context.Context, run *mapping.Run, x *revisedChunk, goes []int32, reading int, noted *outcome) error {
	loaded, err := o.again(ctx, run, &x.marker, x.counters)
	if err != nil {
		return err
	}
	sums := reconcile.Sums{}
	for _, t := range loaded.Tables {
		sum, err := o.redone[t.Table].SumExcept(t.Batch, t.Source, goes)
		if err != nil {
			return err
		}
		sums.Add(sum)
	}
	return o.takeStock(ctx, run, x, reading, sums, noted, func(now *mapped) []writer.Refusal { return o.byDatabase(now, &x.marker, reading, noted) })
}

// takeStock maps a chunk as it is as of a reading, for what it puts aside and counts. sums
// are of what is in.
func (o *loader) takeStock(ctx context.Context, run *mapping.Run, x *revisedChunk, reading int, sums reconcile.Sums, noted *outcome, by func(*mapped) []writer.Refusal) error {
	o.counters = x.counters
	now, err := o.mapChunk(ctx, run, x.marker.Slot.Dataset, x.marker.Slot.Sequence, reading)
	if err != nil {
		return err
	}
	refused := by(now)
	if err := o.refused(ctx, now, refused); err != nil {
		return err
	}
	if x.outcome, err = o.outcome(now, refused, sums); err != nil {
		return err
	}
	x.outcome.Counters = x.marker.Counters
	if noted != nil {
		x.outcome.Given = noted.Given
	}
	if now.out, now.run = nil, nil; len(x.marker.Refused) > 0 {
		x.aside = now
	}
	return nil
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
		x := revisedChunk{marker: m, counters: before, slot: revisedSlot(m.Slot, applied)}
		if err := o.retake(ctx, run, &x, o.later.between(at, m.Reading, applied), applied, nil); err != nil {
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

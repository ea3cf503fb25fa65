package sluice

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/bucket"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/seal"
)

// later is what later readings of the source changed, as the target gate finds it out by
// itself. A later reading seals all rows of the buckets that differ, most of which are
// what they were. The rows of older chunks that are not among these are gone; the rows
// among these that older chunks have are stepped over. That follows from the sealed chunks
// alone, so it is the same for each passage and for its undoing.
type later struct {
	layers []layer // in the order of readings
	gone   map[place][]goneRow
	came   map[layer]int64 // rows of each that older chunks do not have
}

// layer is what one reading sealed of one dataset.
type layer struct {
	dataset ecluse.DatasetID
	reading int
}

// goneRow is a row of a chunk that is no row of its dataset, as of a reading.
type goneRow struct {
	row     int32
	reading int
}

// left lists the rows of a chunk that are none, as of a reading.
func (l *later) left(at place, reading int) []int32 { return l.between(at, -1, reading) }

// between lists those that a reading after one, up to another, found gone.
func (l *later) between(at place, after, upTo int) (rows []int32) {
	for _, g := range l.gone[at] {
		if g.reading > after && g.reading <= upTo {
			rows = append(rows, g.row)
		}
	}
	return rows
}

// last is the last reading, up to one, that found rows of a chunk gone; 0: none did.
func (l *later) last(at place, upTo int) (reading int) {
	for _, g := range l.gone[at] {
		if g.reading <= upTo {
			reading = max(reading, g.reading)
		}
	}
	return reading
}

func (l *later) add(at place, reading int, rows []int32) {
	if len(rows) == 0 {
		return
	}
	all := l.gone[at]
	for _, row := range rows {
		all = append(all, goneRow{row, reading})
	}
	slices.SortFunc(all, func(a, b goneRow) int { return cmp.Compare(a.row, b.row) })
	l.gone[at] = all
}

// layersOf lists a reading's layers of the datasets that the mapping maps.
func (o *loader) layersOf(reading int) (all []layer) {
	for _, d := range o.plan.Shape.Order {
		for _, l := range o.later.layers {
			if l.reading == reading && l.dataset == d {
				all = append(all, l)
			}
		}
	}
	return all
}

// datasets lists what the chamber has of a dataset of the instruction: its first reading
// and the layers up to a reading.
func (o *loader) datasets(id ecluse.DatasetID, reading int) []ecluse.DatasetID {
	all := []ecluse.DatasetID{id}
	for _, l := range o.later.layers {
		if l.dataset == id && l.reading <= reading {
			all = append(all, id.Changed(l.reading))
		}
	}
	return all
}

// findLater finds out what readings up to o.Reading changed.
func (o *loader) findLater(ctx context.Context) error {
	o.later.gone, o.later.came = map[place][]goneRow{}, map[layer]int64{}
	if o.Reading == 0 {
		return nil
	}
	m, err := o.Inlet.Complete(ctx)
	if err != nil {
		return err
	}
	for _, d := range m.Datasets {
		of, reading := d.Dataset.Of()
		if reading == 0 || reading > o.Reading || d.Dataset != of.Changed(reading) {
			continue
		}
		held := slices.ContainsFunc(o.plan.Shape.Held, func(h ecluse.ShapeHeld) bool { return h.Dataset == of })
		if held || slices.Contains(o.plan.Shape.Order, of) {
			o.later.layers = append(o.later.layers, layer{of, reading})
		}
	}
	slices.SortStableFunc(o.later.layers, func(a, b layer) int { return a.reading - b.reading })
	for _, l := range o.later.layers {
		if err := o.findGone(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// findGone finds a layer's, or remembers them.
func (o *loader) findGone(ctx context.Context, l layer) error {
	known, err := o.knownGone(l)
	if err != nil || known {
		return err
	}
	found, err := o.compareLayer(ctx, l)
	if err != nil {
		return err
	}
	o.takeGone(l, found)
	return o.noteGone(l, found)
}

// standing is how often a row is among those of a layer, and how often it was there before.
type standing struct{ now, before int32 }

// found is what a layer came to: the rows that are none, by chunk, and how many are new.
type found struct {
	gone map[place][]int32
	came int64
}

func (o *loader) takeGone(l layer, f found) {
	for at, rows := range f.gone {
		o.later.add(at, l.reading, rows)
	}
	o.later.came[l] = f.came
}

func (o *loader) compareLayer(ctx context.Context, l layer) (found, error) {
	o.meter.at(l.dataset)
	d, ok := o.ReadPlan.Dataset(l.dataset)
	if !ok {
		return found{}, ecluse.Errorf(ecluse.Unverified, "catch up", "dataset %s is not in the read plan", l.dataset)
	}
	var set bucket.Set
	if err := o.eachChunk(ctx, l.dataset.Buckets(l.reading), nil, func(_ place, b *record.Batch, _ int32) error { return set.Take(b) }); err != nil {
		return found{}, err
	}
	places := placesOf(o.key, d)
	rows := map[[2]uint64]standing{}
	err := o.eachChunk(ctx, l.dataset.Changed(l.reading), nil, func(_ place, b *record.Batch, _ int32) error {
		stray := false
		err := places.Each(b, func(_ int, r bucket.Row) {
			s := rows[r.Digest]
			s.now++
			rows[r.Digest] = s
			stray = stray || !set.Has(r.Place)
		})
		if stray {
			return ecluse.Errorf(ecluse.Unverified, "catch up", "rows of %s came that are not of the buckets that differ", l.dataset)
		}
		return err
	})
	if err != nil {
		return found{}, err
	}
	gone := map[place][]int32{}
	err = o.olderRows(ctx, d, o.datasets(l.dataset, l.reading-1), &set, func(at place, older []olderRow) {
		already := o.later.gone[at]
		for _, r := range older {
			for len(already) > 0 && already[0].row < r.row {
				already = already[1:]
			}
			if len(already) > 0 && already[0].row == r.row {
				continue
			}
			if s := rows[r.digest]; s.before < s.now {
				s.before++
				rows[r.digest] = s
				continue
			}
			gone[at] = append(gone[at], r.row)
		}
	})
	if err != nil {
		return found{}, err
	}
	came := int64(0)
	for _, s := range rows {
		came += int64(s.now - s.before)
	}
	return found{gone, came}, o.eachChunk(ctx, l.dataset.Changed(l.reading), nil, func(at place, b *record.Batch, first int32) error {
		return places.Each(b, func(i int, r bucket.Row) {
			if s := rows[r.Digest]; s.before > 0 {
				s.before--
				rows[r.Digest] = s
				gone[at] = append(gone[at], first+int32(i))
			}
		})
	})
}

// olderRow is a row of a chunk that is in a bucket that differs.
type olderRow struct {
	row    int32
	digest [2]uint64
}

// openers is how many chunks are looked through at a time.
const openers = 2

// olderRows gives the rows of a dataset that are in a set, chunk after chunk in the order of
// the manifest: that it is always the same order makes every passage find the same.
func (o *loader) olderRows(ctx context.Context, d *mandate.ReadDataset, ids []ecluse.DatasetID, set *bucket.Set, do func(at place, rows []olderRow)) error {
	manifest, err := o.Inlet.Complete(ctx)
	if err != nil {
		return err
	}
	var slots []ecluse.Slot
	for _, id := range ids {
		for _, of := range manifest.Datasets {
			if of.Dataset != id {
				continue
			}
			for _, c := range of.Chunks {
				slots = append(slots, c.Slot)
			}
		}
	}
	type looked struct {
		in  []olderRow
		all int64
	}
	found := make([]chan looked, len(slots))
	for i := range found {
		found[i] = make(chan looked, 1)
	}
	var next atomic.Int64
	ahead := make(chan struct{}, 2*openers) // a place in it comes first, then a chunk: so the first chunk to be taken has one
	g, gctx := errgroup.WithContext(ctx)
	for range openers {
		g.Go(func() error {
			places := placesOf(o.key, d)
			for {
				select {
				case ahead <- struct{}{}:
				case <-gctx.Done():
					return context.Cause(gctx)
				}
				n := int(next.Add(1)) - 1
				if n >= len(slots) {
					return nil
				}
				var l looked
				err := o.version(gctx, slots[n], func(b *record.Batch) error {
					first := int32(l.all)
					l.all += int64(b.Rows())
					return places.In(set, b, func(i int, r bucket.Row) { l.in = append(l.in, olderRow{first + int32(i), r.Digest}) })
				})
				if err != nil {
					return err
				}
				found[n] <- l
			}
		})
	}
	for n, s := range slots {
		select {
		case l := <-found[n]:
			do(place{s.Dataset, s.Sequence}, l.in)
			o.meter.add(l.all, 0)
			<-ahead
		case <-gctx.Done():
			return g.Wait()
		}
	}
	return g.Wait()
}

// eachChunk opens every chunk of what the chamber has under a name: the latest versions or,
// where these are given by sequence, others. first is the place in the chunk of a batch's
// first row.
func (o *loader) eachChunk(ctx context.Context, id ecluse.DatasetID, versions []int, each func(at place, b *record.Batch, first int32) error) error {
	for sequence, last := 0, false; !last; sequence++ {
		at, first := place{id, sequence}, int32(0)
		do := func(b *record.Batch) error {
			err := each(at, b, first)
			first += int32(b.Rows())
			o.meter.add(int64(b.Rows()), 0)
			return err
		}
		if sequence < len(versions) {
			if err := o.version(ctx, ecluse.Slot{Dataset: id, Sequence: sequence, Version: versions[sequence]}, do); err != nil {
				return err
			}
			last = sequence+1 == len(versions)
			continue
		}
		d, err := o.open(ctx, id, sequence, do)
		if err != nil {
			return err
		}
		last = d.Last
	}
	return nil
}

// alive gives the rows of a held dataset as it is as of a reading, those of the first in the
// versions that the passage began with.
func (o *loader) alive(ctx context.Context, id ecluse.DatasetID, reading int, each func(*record.Batch) error) error {
	for _, of := range o.datasets(id, reading) {
		err := o.eachChunk(ctx, of, o.before.Held[of], func(at place, b *record.Batch, first int32) error {
			left := o.later.left(at, reading)
			from, _ := slices.BinarySearch(left, first)
			to, _ := slices.BinarySearch(left, first+int32(b.Rows()))
			if from == to {
				return each(b)
			}
			some := record.NewBatch(b.Schema, b.Rows())
			next := int32(0)
			for _, row := range append(slices.Clone(left[from:to]), first+int32(b.Rows())) {
				for c, column := range some.Columns {
					column.AppendRange(b.Columns[c], int(next), int(row-first))
				}
				next = row - first + 1
			}
			return each(some)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// foundNote is what a layer came to, as it is noted.
type foundNote struct {
	Came int64      `json:"came"`
	Gone []goneNote `json:"gone"`
}

// goneNote is the rows of a chunk that are none: the steps from row to row, as uvarints.
type goneNote struct {
	Dataset  ecluse.DatasetID `json:"dataset"`
	Sequence int              `json:"sequence"`
	Rows     []byte           `json:"rows"`
}

// slot is the name that a layer's gone rows are noted under.
func (l layer) slot() ecluse.Slot {
	return ecluse.Slot{Dataset: "ecluse.gone." + l.dataset, Sequence: l.reading}
}

func (o *loader) noteGone(l layer, f found) error {
	if o.Notes == nil {
		return nil
	}
	all := foundNote{Came: f.came, Gone: []goneNote{}}
	for at, rows := range f.gone {
		n := goneNote{Dataset: at.dataset, Sequence: at.sequence}
		before := int32(0)
		for _, row := range rows {
			n.Rows = binary.AppendUvarint(n.Rows, uint64(row-before))
			before = row
		}
		all.Gone = append(all.Gone, n)
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return o.setNote(l.slot(), text)
}

func (o *loader) knownGone(l layer) (bool, error) {
	if o.Notes == nil {
		return false, nil
	}
	text, err := o.noteOf(l.slot())
	if err != nil || text == nil {
		return false, err
	}
	var all foundNote
	if err := json.Unmarshal(text, &all); err != nil {
		return false, err
	}
	f := found{map[place][]int32{}, all.Came}
	for _, n := range all.Gone {
		var rows []int32
		row := uint64(0)
		for rest := n.Rows; len(rest) > 0; {
			step, used := binary.Uvarint(rest)
			if row += step; used <= 0 || row > 1<<31-1 {
				return false, ecluse.Errorf(ecluse.Unverified, "catch up", "what was noted of %s is damaged", l.dataset)
			}
			rows, rest = append(rows, int32(row)), rest[used:]
		}
		f.gone[place{n.Dataset, n.Sequence}] = rows
	}
	o.takeGone(l, f)
	return true, nil
}

// setNote seals a note and keeps it; noteOf opens it, nil when there is none.
func (o *loader) setNote(slot ecluse.Slot, text []byte) error {
	sealed, err := seal.Wrap(o.key.Sub(useNotes, slot.String()), slot.String(), text)
	if err != nil {
		return err
	}
	return o.Notes.SetNote(slot, sealed)
}

func (o *loader) noteOf(slot ecluse.Slot) ([]byte, error) {
	sealed, err := o.Notes.Note(slot)
	if err != nil || sealed == nil {
		return nil, err
	}
	return seal.Unwrap(o.key.Sub(useNotes, slot.String()), slot.String(), sealed)
}

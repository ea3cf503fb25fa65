package sluice

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/sluice/mapping"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/seal"
	"ecluse/internal/sluice/writer"
)

// chunk opens and maps one chunk, unless its marker is in and what became of it is
// noted.
func (o *loader) chunk(ctx context.Context, id ecluse.DatasetID, sequence int) (m *mapped, err error) {
	if m, err := o.noted(id, sequence); m != nil || err != nil {
		return m, err
	}
	defer func() {
		if err == nil && o.anotherEpoch(m.descriptor.Epoch) {
			o.runs <- m.run // never blocks: it came from there
			m, err = nil, errEpoch
		}
	}()
	var run *mapping.Run
	select {
	case run = <-o.runs:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	marker := o.markerAt(place{id, sequence})
	if marker == nil {
		return o.mapChunk(ctx, run, id, sequence, o.Reading)
	}
	// Its note is lost. It may have been numbered after chunks that come behind it here.
	before := o.counters
	m, err = o.mapChunk(ctx, run, id, sequence, marker.Reading)
	if err != nil || maps.Equal(m.out.Counters, marker.Counters) {
		return m, err
	}
	began := maps.Clone(before)
	for name, last := range m.out.Counters {
		began[name] += marker.Counters[name] - last
	}
	o.counters = began
	return o.mapChunk(ctx, run, id, sequence, marker.Reading)
}

// mapChunk maps a chunk as it is as of a reading: the rows that it found gone are not there.
func (o *loader) mapChunk(ctx context.Context, run *mapping.Run, id ecluse.DatasetID, sequence, reading int) (m *mapped, err error) {
	of, _ := id.Of()
	if err := run.Begin(of, o.counters); err != nil {
		return nil, err
	}
	run.Leave(o.later.left(place{id, sequence}, reading))
	m = &mapped{run: run, aside: newAside(o.ReadPlan, of, o.Program)}
	m.descriptor, err = o.open(ctx, id, sequence, func(b *record.Batch) error {
		if err := run.Apply(b); err != nil {
			return err
		}
		m.aside.take(b, run.Aside())
		o.meter.add(int64(b.Rows()), int64(b.Size()))
		return nil
	})
	if err != nil {
		return nil, err
	}
	if m.out, err = run.Output(); err != nil {
		return nil, err
	}
	if o.plan.Passage != ecluse.Dry {
		// Here, while the chunk before is written: the writer waits for its database.
		if m.sums, err = o.summers.sum(m.out.Tables, nil); err != nil {
			return nil, err
		}
	}
	o.counters, m.given = maps.Clone(m.out.Counters), givenIn(m.out)
	o.slots[place{id, sequence}] = m.descriptor.Slot
	o.meter.chunk()
	return m, nil
}

// bucketsChunk stands for the list of a layer's buckets: it makes no rows. Its marker tells
// that what the layer changed is in.
func (o *loader) bucketsChunk(l layer, counters map[string]int64) *mapped {
	slot := ecluse.Slot{Dataset: l.dataset.Buckets(l.reading)}
	o.slots[place{slot.Dataset, 0}] = slot
	return &mapped{
		descriptor: &evidence.Descriptor{Slot: slot, Last: true}, out: &mapping.Output{Counters: counters},
		aside: newAside(o.ReadPlan, l.dataset, o.Program), sums: reconcile.Sums{},
	}
}

func (o *loader) markerAt(at place) *writer.Marker {
	for slot, m := range o.markers {
		if slot.Dataset == at.dataset && slot.Sequence == at.sequence {
			return &m
		}
	}
	return nil
}

// outcome is what became of a chunk, without any value.
type outcome struct {
	Rows     int64                      `json:"rows"` // of the source
	Last     bool                       `json:"last"`
	Tables   map[ecluse.TableName]int64 `json:"tables"`
	Sums     reconcile.Sums             `json:"sums"`
	Rejected map[string]int64           `json:"rejected,omitempty"` // rows, by reason
	Reports  map[string]int64           `json:"reports,omitempty"`
	Counters map[string]int64           `json:"counters,omitempty"`
	Given    given                      `json:"given,omitempty"`
	Epoch    int                        `json:"epoch,omitempty"`   // of the source gate, that sealed it
	Refused  map[int32]string           `json:"refused,omitempty"` // source rows that the database refused, and why
	Figures  map[string][]kept          `json:"figures,omitempty"` // of rejected rows, sealed under K
	Shapes   []reconcile.Shaped         `json:"shapes,omitempty"`  // of theirs
}

// noted finds what an earlier run did with a chunk; nil when that is not known.
func (o *loader) noted(id ecluse.DatasetID, sequence int) (*mapped, error) {
	marker := o.markerAt(place{id, sequence})
	if marker == nil {
		return nil, nil
	}
	n, err := o.outcomeOf(marker)
	if err != nil || n == nil {
		return nil, err
	}
	if o.epoch == 0 {
		o.epoch = n.Epoch
	}
	o.counters = n.Counters
	o.slots[place{id, sequence}] = marker.Slot
	o.meter.add(n.Rows, 0)
	o.meter.chunk()
	return &mapped{noted: n, given: n.Given, descriptor: &evidence.Descriptor{Slot: marker.Slot, Last: n.Last}}, nil
}

// outcomeOf opens the note of a chunk that is in: the latest, where readings since took
// rows out of it or offered some again. nil when it is lost.
func (o *loader) outcomeOf(m *writer.Marker) (*outcome, error) {
	gone := o.later.last(place{m.Slot.Dataset, m.Slot.Sequence}, o.applied())
	for reading := o.applied(); reading > m.Reading && reading >= gone; reading-- {
		if n, err := o.outcomeAt(revisedSlot(m.Slot, reading), m); n != nil || err != nil {
			return n, err
		}
	}
	if gone > m.Reading {
		return nil, nil
	}
	return o.outcomeAt(m.Slot, m)
}

// outcomeAt opens a note, unless it is of other rows than are in by the marker: it was noted
// for what did not commit, or a later one is lost.
func (o *loader) outcomeAt(slot ecluse.Slot, m *writer.Marker) (*outcome, error) {
	text, err := o.noteOf(slot)
	if err != nil || text == nil {
		return nil, err
	}
	n := &outcome{}
	if err := json.Unmarshal(text, n); err != nil {
		return nil, err
	}
	for t := range o.redone {
		if n.Tables[t] != m.Rows[t] {
			return nil, nil
		}
	}
	return n, nil
}

// applied is the last reading whose changes are in the target.
func (o *loader) applied() (reading int) {
	for slot, m := range o.markers {
		_, of := slot.Dataset.Of()
		reading = max(reading, of, m.Reading)
	}
	return reading
}

// useNotes is the use of K's sub-keys that notes are sealed under: a rejected
// row's code can be a patient's.
const useNotes = "notes"

// take adds a chunk's outcome to the passage's.
func (o *loader) take(chunk ecluse.DatasetID, n *outcome) {
	c := o.out.Opened[chunk]
	id, _ := chunk.Of()
	o.out.Opened[chunk] = reconcile.DatasetCount{Chunks: c.Chunks + 1, Rows: c.Rows + n.Rows}
	o.out.Chunks++
	for t, rows := range n.Tables {
		o.out.Rows[t] += rows
		o.out.Made[id] += rows
	}
	for _, s := range n.Sums {
		o.loaded.Add(s)
	}
	for why, rows := range n.Rejected {
		o.rejected[group{id, why}] += rows
	}
	for why, rows := range n.Reports {
		o.reported[group{id, why}] += rows
	}
	for _, x := range n.Shapes {
		o.shapes.Add(x)
	}
	o.figures.restore(n.Figures)
}

// write loads a mapped chunk. What became of it is noted before the transaction
// commits: a chunk whose marker is in has its note, and a note without a marker is
// written again.
func (o *loader) write(ctx context.Context, session writer.Session, m *mapped) error {
	chunk := o.toWrite(m)
	if _, in := o.markers[chunk.Slot]; !in {
		for slot := range o.markers {
			if slot.Dataset == chunk.Slot.Dataset && slot.Sequence == chunk.Slot.Sequence {
				o.loadedAs[place{slot.Dataset, slot.Sequence}] = slot // it is replaced when all is read
				return nil
			}
		}
	}
	var n *outcome
	loaded, err := session.Load(ctx, chunk, func(ctx context.Context, refused []writer.Refusal) error {
		if err := o.refused(ctx, m, refused); err != nil {
			return err
		}
		if err := o.putAside(ctx, m); err != nil {
			return err
		}
		var err error
		n, err = o.note(m, refused)
		return err
	})
	if err == nil && loaded.Already {
		n, err = o.lost(ctx, m, &loaded.Marker)
	}
	if err != nil {
		return err
	}
	o.take(m.descriptor.Slot.Dataset, n)
	return nil
}

// toWrite is a mapped chunk as writers take it.
func (o *loader) toWrite(m *mapped) *writer.Chunk {
	chunk := &writer.Chunk{Slot: m.descriptor.Slot, Rows: m.out.Rows, Counters: m.out.Counters, Reading: o.Reading}
	for _, t := range m.out.Tables {
		chunk.Tables = append(chunk.Tables, writer.Rows{Table: t.Table, Batch: t.Batch, Source: t.Source})
	}
	for _, r := range m.out.Rejected {
		chunk.Rejected = append(chunk.Rejected, r.Row)
	}
	return chunk
}

// lost notes once more the outcome of a chunk that is in and whose note is gone.
func (o *loader) lost(ctx context.Context, m *mapped, marker *writer.Marker) (*outcome, error) {
	refused := o.byDatabase(m, marker, marker.Reading, nil)
	if err := o.refused(ctx, m, refused); err != nil {
		return nil, err
	}
	return o.note(m, refused)
}

// note notes a chunk's outcome. refused are the rows that the database did not
// take.
func (o *loader) note(m *mapped, refused []writer.Refusal) (*outcome, error) {
	sums := m.sums
	if len(refused) > 0 {
		rows := make([]int32, len(refused))
		for i, r := range refused {
			rows[i] = r.Row
		}
		var err error
		if sums, err = o.redone.sum(m.out.Tables, rows); err != nil {
			return nil, err
		}
	}
	n, err := o.outcome(m, refused, sums)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	return n, o.setNote(m.descriptor.Slot, text)
}

// outcome is a chunk's, with the sums of what came in.
func (o *loader) outcome(m *mapped, refused []writer.Refusal, sums reconcile.Sums) (*outcome, error) {
	of, _ := m.descriptor.Slot.Dataset.Of()
	n := &outcome{
		Rows: m.descriptor.Rows, Last: m.descriptor.Last, Tables: map[ecluse.TableName]int64{}, Sums: sums,
		Rejected: map[string]int64{}, Reports: maps.Clone(m.out.Reports), Counters: m.out.Counters, Given: m.given, Epoch: m.descriptor.Epoch,
	}
	for _, r := range refused {
		n.Rejected[r.Reason]++
		if n.Refused == nil {
			n.Refused = map[int32]string{}
		}
		n.Refused[r.Row] = r.Reason
	}
	for t, sum := range n.Sums {
		n.Tables[t] = sum.Count
	}
	for _, r := range m.out.Rejected {
		n.Rejected[r.Reason]++
	}
	if b := m.aside.batch; b != nil && b.Rows() > 0 {
		own := newFigures(o.ReadPlan)
		own.add(of, b)
		n.Figures = own.keep()
		n.Shapes = m.aside.shapes(of)
	}
	return n, nil
}

// discard counts what a dry run would have loaded.
func (o *loader) discard(ctx context.Context, m *mapped) error {
	n := &outcome{Rows: m.descriptor.Rows, Tables: map[ecluse.TableName]int64{}, Rejected: map[string]int64{}, Reports: m.out.Reports}
	for _, t := range m.out.Tables {
		n.Tables[t.Table] += int64(t.Batch.Rows())
	}
	for _, r := range m.out.Rejected {
		n.Rejected[r.Reason]++
	}
	for _, x := range o.made {
		for _, t := range m.out.Tables {
			x.Add(t.Table, t.Batch)
		}
	}
	if m.aside.batch != nil {
		of, _ := m.descriptor.Slot.Dataset.Of()
		n.Shapes = m.aside.shapes(of)
		o.figures.add(of, m.aside.batch)
	}
	o.take(m.descriptor.Slot.Dataset, n)
	return o.putAside(ctx, m)
}

// count puts what was opened and put aside into the report.
func (o *loader) count() {
	r := o.out.Report
	for _, d := range o.out.Opened {
		o.out.Read += d.Rows
	}
	for at, gone := range o.later.gone {
		if _, opened := o.out.Opened[at.dataset]; opened {
			o.out.Read -= int64(len(gone))
		}
	}
	for _, g := range sorted(o.rejected) {
		r.Rejected = append(r.Rejected, reconcile.Grouped{Dataset: g.Dataset, By: g.By, Count: o.rejected[g]})
	}
	for _, g := range sorted(o.reported) {
		r.Reported = append(r.Reported, reconcile.Grouped{Dataset: g.Dataset, By: g.By, Count: o.reported[g]})
	}
	r.Shapes = o.shapes.List()
}

func sorted(m map[group]int64) []group {
	return slices.SortedFunc(maps.Keys(m), func(a, b group) int {
		if a.Dataset != b.Dataset {
			return slices.Compare([]byte(a.Dataset), []byte(b.Dataset))
		}
		return slices.Compare([]byte(a.By), []byte(b.By))
	})
}

// readConns is on how many connections the target is read back.
const readConns = 2

// readBack sums the written columns of every table that the plan writes.
func (o *loader) readBack(ctx context.Context, s reader.Scanner, seen func(rows, bytes int)) (reconcile.Sums, error) {
	keys := func(t ecluse.TableName) [32]byte { return o.key.Sub(seal.UseRows, t.String()) }
	return reconcile.ReadBack(ctx, s, keys, o.tables, seen)
}

// isBuckets tells that a dataset is a list of buckets, of which no row is made.
func isBuckets(d ecluse.DatasetID) bool {
	of, reading := d.Of()
	return reading > 0 && d == of.Buckets(reading)
}

func (o *loader) seen(rows, bytes int) { o.meter.add(int64(rows), int64(bytes)) }

// rowsIn counts the rows of all tables.
func rowsIn(s reconcile.Sums) (n int64) {
	for _, t := range s {
		n += t.Count
	}
	return n
}

// compareOpened states the first equality.
func (o *loader) compareOpened(manifest *evidence.Manifest) {
	r := o.out.Report
	for _, d := range manifest.Datasets {
		if of, _ := d.Dataset.Of(); !slices.Contains(o.plan.Shape.Order, of) || isBuckets(d.Dataset) {
			continue
		}
		r.Datasets = append(r.Datasets, reconcile.CompareDataset(d.Dataset, reconcile.DatasetCount{Chunks: len(d.Chunks), Rows: d.Rows}, o.out.Opened[d.Dataset]))
	}
}

// compareDry states what can be without writing: the first equality, and the third of the
// rows as they would be written beside those that stand in the target. Nothing is read
// back, so that the second stays open, and the report is equal to nothing.
func (o *loader) compareDry(ctx context.Context) error {
	manifest, err := o.Inlet.Complete(ctx)
	if err != nil {
		return err
	}
	o.compareOpened(manifest)
	if len(o.ReadPlan.Checks) == 0 {
		return nil
	}
	s, err := o.Target.Snapshot(ctx, 1)
	if err != nil {
		return err
	}
	defer s.Close()
	return o.crossChecks(ctx, s, manifest)
}

// compare reads the target back and states the three equalities.
func (o *loader) compare(ctx context.Context, session writer.Session) error {
	manifest, err := o.Inlet.Complete(ctx)
	if err != nil {
		return err
	}
	r := o.out.Report
	o.compareOpened(manifest)
	o.meter.begin(StageCompare, rowsIn(o.before.Sums)+rowsIn(o.loaded))
	s, err := o.Target.Snapshot(ctx, readConns)
	if err != nil {
		return err
	}
	defer s.Close()
	after, err := o.readBack(ctx, s, o.seen)
	if err != nil {
		return err
	}
	r.ReadBack = s.At()
	r.Tables = reconcile.Compare(o.before.Sums, o.loaded, after)
	if err := o.crossChecks(ctx, s, manifest); err != nil {
		return err
	}
	if err := o.trace(ctx, session, s, manifest); err != nil {
		return err
	}
	o.count()
	o.meter.done()
	return nil
}

// crossChecks compares the figures that the source counted, less those of the
// rows put aside, with the target's.
func (o *loader) crossChecks(ctx context.Context, s reader.Scanner, manifest *evidence.Manifest) error {
	if len(o.ReadPlan.Checks) == 0 {
		return nil
	}
	source := map[string]reconcile.Figures{}
	counted, err := countedIn(manifest)
	if err != nil {
		return err
	}
	if err := o.version(ctx, counted, func(b *record.Batch) error { return reconcile.SplitChecks(b, source) }); err != nil {
		return err
	}
	for _, c := range o.ReadPlan.Checks {
		if source[c.Name] == nil {
			source[c.Name] = reconcile.Figures{}
		}
		source[c.Name].PutAside(o.figures.lines[c.Name])
		if c.By != "" {
			source[c.Name].DropZero()
		}
	}
	of := map[string]ecluse.ShapeCheck{}
	for _, c := range o.plan.Shape.Checks {
		of[c.Name] = c
	}
	for _, c := range o.ReadPlan.Checks {
		check, ok := of[c.Name]
		if !ok {
			o.out.Report.Checks = append(o.out.Report.Checks, reconcile.CheckResult{Name: c.Name, Why: "the mapping does not say how the target counts it"})
			continue
		}
		counted, err := s.Check(ctx, check)
		if err != nil {
			return err
		}
		r := reconcile.CompareCheck(check, o.Codes[check.Codes], source[c.Name], counted)
		if made := o.made[c.Name]; made != nil {
			r = reconcile.CompareMapped(made, o.Codes[check.Codes], source[c.Name], counted)
		}
		o.out.Report.Checks = append(o.out.Report.Checks, r)
	}
	return nil
}

// countedIn is the chunk of the figures that a manifest's reading counted. A later one may lie
// beside it, of a reading that was given up before its end.
func countedIn(m *evidence.Manifest) (ecluse.Slot, error) {
	for _, d := range m.Datasets {
		if d.Dataset == ecluse.ChecksDataset && len(d.Chunks) == 1 {
			return d.Chunks[0].Slot, nil
		}
	}
	return ecluse.Slot{}, &ecluse.Error{
		Kind: ecluse.Unverified, What: "compare", Where: "chunk " + (ecluse.Slot{Dataset: ecluse.ChecksDataset}).String(),
		Why: "the manifest is closed and the chunk is not there",
	}
}

// highest is the highest number in use in a counter's column; 0 in an empty table.
func highest(ctx context.Context, s reader.Scanner, c mapping.Counter) (int64, error) {
	b, err := s.Check(ctx, ecluse.ShapeCheck{Name: c.Name, Table: c.Table, Last: c.Column})
	if err != nil {
		return 0, err
	}
	last := b.Column("last")
	if b.Rows() == 0 || last == nil || last.Null(0) {
		return 0, nil
	}
	n, err := strconv.ParseInt(string(last.Bytes(0)), 10, 64)
	if err != nil {
		return 0, &ecluse.Error{Kind: ecluse.Refused, What: "find the highest number of " + c.Name, Why: "it is no whole number of 64 bits"}
	}
	return n, nil
}

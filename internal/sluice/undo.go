package sluice

import (
	"context"
	"slices"

	"ecluse"
	"ecluse/internal/sluice/mapping"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// Undone is what an undoing came to.
type Undone struct {
	Passage ecluse.Passage             `json:"passage"`
	Chunks  int                        `json:"chunks"`
	Rows    map[ecluse.TableName]int64 `json:"rows"`   // deleted
	Tables  []reconcile.TableResult    `json:"tables"` // the target now, against the sums of before
}

// Equal tells whether the target stands as before the passage.
func (u *Undone) Equal() bool {
	return !slices.ContainsFunc(u.Tables, func(t reconcile.TableResult) bool { return !t.Equal })
}

// Undo takes a passage out of the target: chunk after chunk in the reverse of
// the order they came in, by the keys they wrote, which mapping the sealed chunk
// again tells. Sequences stay where they are: a number is not given twice. Undo
// may be run again after any interruption.
func Undo(ctx context.Context, l Loading) (*Undone, error) {
	plan := l.Permit.Plan()
	if plan == nil {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "undo", Why: "there is no permit for it"}
	}
	key, err := l.openKey(ctx)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	o := newLoader(l, plan, key)
	o.meter.begin(StageUndo, 0)
	session, err := l.Target.Open(ctx, l.Permit)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	if err := o.begin(ctx, session); err != nil {
		return nil, err
	}
	u := &Undone{Passage: l.Permit.Passage(), Rows: map[ecluse.TableName]int64{}}
	if err := o.unload(ctx, session, u); err != nil {
		return nil, err
	}
	o.meter.begin(StageCompare, rowsIn(o.before.Sums))
	s, err := l.Target.Snapshot(ctx, readConns)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	after, err := o.readBack(ctx, s, o.seen)
	if err != nil {
		return nil, err
	}
	u.Tables = reconcile.Compare(o.before.Sums, reconcile.Sums{}, after)
	if !u.Equal() {
		return u, &ecluse.Error{
			Kind: ecluse.Unverified, What: "undo " + u.Passage.String(), Why: "all its rows are out, and the target does not stand as before: somebody else wrote in its tables",
			Next: "look at the tables of the report; the passage stays open until they stand as before",
		}
	}
	if l.Out != nil {
		if err := l.Out(u); err != nil {
			return u, err
		}
	}
	o.meter.done()
	return u, session.End(ctx, "undone")
}

// unload takes the chunks out, the last first.
func (o *loader) unload(ctx context.Context, session writer.Session, u *Undone) error {
	markers := make([]writer.Marker, 0, len(o.markers))
	expected := int64(0)
	for _, m := range o.markers {
		markers = append(markers, m)
		expected += o.Sealed[m.Slot]
	}
	o.meter.expect(expected)
	slices.SortFunc(markers, func(a, b writer.Marker) int { return b.Position - a.Position })
	if len(markers) == 0 {
		return nil
	}
	if err := o.hold(ctx); err != nil {
		return err
	}
	run := <-o.runs
	start := o.counters
	for i, m := range markers {
		counters := start
		if i+1 < len(markers) {
			counters = markers[i+1].Counters
		}
		chunk, err := o.again(ctx, run, &m, counters)
		if err != nil {
			return err
		}
		out, err := session.Unload(ctx, chunk, writer.Unloading{})
		if err != nil {
			return err
		}
		for t, n := range out.Deleted {
			u.Rows[t] += n
		}
		u.Chunks++
		o.meter.at(m.Slot.Dataset)
		o.meter.add(int64(chunk.Rows), 0)
	}
	return nil
}

// again maps a loaded chunk once more, as it was mapped then.
func (o *loader) again(ctx context.Context, run *mapping.Run, m *writer.Marker, counters map[string]int64) (*writer.Chunk, error) {
	if err := run.Begin(m.Slot.Dataset, counters); err != nil {
		return nil, err
	}
	if err := o.version(ctx, m.Slot, run.Apply); err != nil {
		return nil, err
	}
	out, err := run.Output()
	if err != nil {
		return nil, err
	}
	refused := slices.Clone(m.Refused)
	slices.Sort(refused)
	chunk := &writer.Chunk{Slot: m.Slot, Rows: out.Rows, Counters: m.Counters}
	for _, t := range out.Tables {
		chunk.Tables = append(chunk.Tables, without(t, refused))
	}
	return chunk, nil
}

// without leaves out the rows of refused source rows.
func without(t mapping.Rows, refused []int32) writer.Rows {
	if len(refused) == 0 {
		return writer.Rows{Table: t.Table, Batch: t.Batch, Source: t.Source}
	}
	w := writer.Rows{Table: t.Table, Batch: record.NewBatch(t.Batch.Schema, t.Batch.Rows())}
	for i, row := range t.Source {
		if _, out := slices.BinarySearch(refused, row); out {
			continue
		}
		for c := range t.Batch.Columns {
			w.Batch.Columns[c].AppendFrom(t.Batch.Columns[c], i)
		}
		w.Source = append(w.Source, row)
	}
	return w
}

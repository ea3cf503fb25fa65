package sluice

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"ecluse"
	"ecluse/internal/sluice/mapping"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/seal"
	"ecluse/internal/sluice/writer"
)

// Undone is what an undoing came to, over all its runs.
type Undone struct {
	Passage ecluse.Passage             `json:"passage"`
	Chunks  int                        `json:"chunks"`  // of this run
	Rows    map[ecluse.TableName]int64 `json:"rows"`    // deleted by this run
	Stay    []reconcile.Grouped        `json:"-"`       // rows left in the target, because people changed them or refer to them, by table and reason
	Left    []LeftRow                  `json:"-"`       // of them the first, as many as are listed
	Missing []reconcile.Grouped        `json:"missing"` // rows that were no longer there, by table
	Tables  []reconcile.TableResult    `json:"tables"`  // the target now, against the sums of before
}

// LeftRow is a row that was left in the target, by the key it was written with: for
// the laboratory alone. It prints as its table.
type LeftRow struct {
	Table ecluse.TableName `json:"table"`
	Why   writer.Why       `json:"why"`
	Slot  ecluse.Slot      `json:"slot"` // the chunk whose row made it
	Row   int32            `json:"row"`  // which, from 0
	Key   []KeyValue       `json:"key"`  // empty of a table without one
}

// KeyValue is a column of a key and its value.
type KeyValue struct {
	Column string `json:"column"`
	Value  string `json:"value"`
}

// Format prints "a row of patient" whatever the verb.
func (r LeftRow) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "a row of %s", r.Table) }

// LogValue says the same to slog.
func (r LeftRow) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(r)) }

// Equal tells whether the target stands as before the passage.
func (u *Undone) Equal() bool {
	return !slices.ContainsFunc(u.Tables, func(t reconcile.TableResult) bool { return !t.Equal })
}

// Stays keeps, at the target gate, what stayed of each chunk that was taken out,
// sealed, until the laboratory has it.
type Stays interface {
	Notes
	Slots() ([]ecluse.Slot, error) // that have a note, in order
}

// useStays is the use of K's sub-keys that these notes are sealed under.
const useStays = "stays"

// Undo takes a passage out of the target: chunk after chunk in the reverse of
// the order they came in, by the keys they wrote, which mapping the sealed chunk
// again tells. Sequences stay where they are: a number is not given twice. Undo
// may be run again after any interruption.
//
// Where people work (Loading.Leave) rows that differ now from how they were loaded, and
// rows that such rows or new ones refer to, are left and named; of tables that never stood
// as they were loaded (Loading.ByKey) the first go all the same. Elsewhere all go by their
// keys, and unless the target then stands as before, the undoing fails.
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
	if err := o.begin(ctx, session, nil); err != nil {
		return nil, err
	}
	if err := o.beginUndoing(); err != nil {
		return nil, err
	}
	if err := o.findLater(ctx); err != nil {
		return nil, err
	}
	u := &Undone{Passage: l.Permit.Passage(), Rows: map[ecluse.TableName]int64{}}
	if err := o.unload(ctx, session, u); err != nil {
		return nil, err
	}
	if err := o.gatherStays(u); err != nil {
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
	if !u.Equal() && !l.Leave {
		return u, &ecluse.Error{
			Kind: ecluse.Unverified, What: "undo " + u.Passage.String(), Why: "all its rows are out, and the target does not stand as before: somebody else wrote in its tables",
			Next: "look at the tables of the report; the passage stays open until they stand as before",
		}
	}
	if l.Out != nil {
		if err := l.Out(ctx, u); err != nil {
			return u, err
		}
	}
	o.meter.done()
	return u, session.End(ctx, "undone")
}

// stays is what stayed of a chunk.
type stays struct {
	Left     []LeftRow                  `json:"left,omitempty"`
	Missing  map[ecluse.TableName]int64 `json:"missing,omitempty"`
	Referred *referred                  `json:"referred,omitempty"`
	Reading  int                        `json:"reading,omitempty"` // of the slot undoingSlot alone: as of which the passage was in
}

// undoingSlot is the name under which is noted as of which reading a passage was in when its
// undoing began: the markers that tell it go.
var undoingSlot = ecluse.Slot{Dataset: "ecluse.undoing"}

// beginUndoing finds out as of which reading the passage is in, or was.
func (o *loader) beginUndoing() error {
	n, err := o.staysNote(undoingSlot)
	if err != nil {
		return err
	}
	if o.Reading = o.applied(); n != nil {
		o.Reading = max(o.Reading, n.Reading)
	}
	if o.Reading == 0 || n != nil {
		return nil
	}
	return o.noteStays(undoingSlot, &stays{Reading: o.Reading})
}

// staysOf is what stays of a chunk, by the outcome of its unloading. before are the counters
// before it.
func (o *loader) staysOf(chunk *writer.Chunk, m *writer.Marker, before map[string]int64, w *writer.Unloaded) *stays {
	slot := chunk.Slot
	n := &stays{Missing: w.Missing}
	for _, x := range w.Left {
		rows := &chunk.Tables[x.Table]
		row := LeftRow{Table: rows.Table, Why: x.Why, Slot: slot, Row: x.Source, Key: []KeyValue{}}
		for _, t := range o.plan.Tables {
			if t.Table != rows.Table {
				continue
			}
			for _, name := range t.Key {
				if c := rows.Batch.Column(name); c != nil {
					row.Key = append(row.Key, KeyValue{name, c.Show(x.Row)})
				}
			}
		}
		if o.Reading == 0 || x.Why != writer.Referred {
			n.Left = append(n.Left, row)
			continue
		}
		if n.Referred == nil {
			n.Referred = &referred{Marker: *m, Before: before}
		}
		n.Referred.Rows = append(n.Referred.Rows, referredRow{At: x, Row: row})
	}
	return n
}

// noteStays notes what stays of a chunk before its transaction commits. Killed
// between the two, the chunk is still in, and what is noted then replaces this.
func (o *loader) noteStays(slot ecluse.Slot, n *stays) error {
	if len(n.Left) == 0 && len(n.Missing) == 0 && n.Referred == nil && n.Reading == 0 {
		if old, err := o.Stays.Note(slot); err != nil || old == nil {
			return err
		}
	}
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	sealed, err := seal.Wrap(o.key.Sub(useStays, slot.String()), slot.String(), text)
	if err != nil {
		return err
	}
	return o.Stays.SetNote(slot, sealed)
}

// staysNote opens what was noted; nil when nothing was.
func (o *loader) staysNote(slot ecluse.Slot) (*stays, error) {
	sealed, err := o.Stays.Note(slot)
	if err != nil || sealed == nil {
		return nil, err
	}
	text, err := seal.Unwrap(o.key.Sub(useStays, slot.String()), slot.String(), sealed)
	if err != nil {
		return nil, err
	}
	n := &stays{}
	if err := json.Unmarshal(text, n); err != nil { // its own words could quote a key
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "undo " + o.Permit.Passage().String(), Where: "chunk " + slot.String(), Why: "what stayed of it was noted, and cannot be read"}
	}
	return n, nil
}

// How many rows left are listed by their keys: as many as people go through, and what one
// paper holds in memory.
const (
	mostListed      = 10_000
	mostListedBytes = 4 << 20
)

// gatherStays adds up what stayed of every chunk, by whichever run it was taken out.
func (o *loader) gatherStays(u *Undone) error {
	slots, err := o.Stays.Slots()
	if err != nil {
		return err
	}
	missing, stay := map[group]int64{}, map[group]int64{}
	listed := 0 // bytes
	for _, slot := range slots {
		n, err := o.staysNote(slot)
		if err != nil {
			return err
		}
		of, _ := slot.Dataset.Of()
		rows := n.Left
		if n.Referred != nil {
			for _, r := range n.Referred.Rows {
				if !r.Out {
					rows = append(rows, r.Row)
				}
			}
		}
		for _, row := range rows {
			stay[group{of, row.Table.String() + ": " + string(row.Why)}]++
			if len(u.Left) == mostListed || listed > mostListedBytes {
				continue
			}
			text, err := json.Marshal(row)
			if err != nil {
				return err
			}
			u.Left = append(u.Left, row)
			listed += len(text)
		}
		for t, rows := range n.Missing {
			missing[group{of, t.String()}] += rows
		}
	}
	for _, g := range sorted(missing) {
		u.Missing = append(u.Missing, reconcile.Grouped{Dataset: g.Dataset, By: g.By, Count: missing[g]})
	}
	for _, g := range sorted(stay) {
		u.Stay = append(u.Stay, reconcile.Grouped{Dataset: g.Dataset, By: g.By, Count: stay[g]})
	}
	return nil
}

// unload takes the chunks out in the reverse of the plan's order, so that what refers to
// rows goes before them: what later readings brought came after all else, and stands
// beside it.
func (o *loader) unload(ctx context.Context, session writer.Session, u *Undone) error {
	type loaded struct {
		writer.Marker
		before map[string]int64 // counters
	}
	var chunks []loaded
	expected := int64(0)
	counters := o.counters
	for _, m := range inOrder(slices.AppendSeq(slices.Clone(o.emptied), maps.Values(o.markers))) {
		chunks = append(chunks, loaded{m, counters})
		counters = m.Counters
		expected += o.Sealed[m.Slot]
	}
	o.meter.expect(expected)
	if len(chunks) == 0 && o.Reading == 0 {
		return nil
	}
	slices.SortStableFunc(chunks, func(a, b loaded) int { return o.compareLoading(&b.Marker, &a.Marker) })
	if err := o.hold(ctx); err != nil {
		return err
	}
	run := <-o.runs
	for _, m := range chunks {
		chunk, err := o.again(ctx, run, &m.Marker, m.before)
		if err != nil {
			return err
		}
		how := writer.Unloading{Leave: o.Leave, ByKey: o.ByKey, BeforeCommit: func(_ context.Context, w *writer.Unloaded) error {
			return o.noteStays(m.Slot, o.staysOf(chunk, &m.Marker, m.before, w))
		}}
		out, err := session.Unload(ctx, chunk, how)
		if o.Reading > 0 && !o.Leave && ecluse.KindOf(err) == ecluse.Refused { // by rows of a chunk that is still in, perhaps
			how.Leave = true
			out, err = session.Unload(ctx, chunk, how)
		}
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
	return o.takeLeft(ctx, session, run, u)
}

// compareLoading orders chunks as a plan loads them: datasets in the order of the plan, what
// later readings brought of each behind it.
func (o *loader) compareLoading(a, b *writer.Marker) int {
	x, _ := a.Slot.Dataset.Of()
	y, _ := b.Slot.Dataset.Of()
	return cmp.Or(cmp.Compare(slices.Index(o.plan.Shape.Order, x), slices.Index(o.plan.Shape.Order, y)), cmp.Compare(a.Position, b.Position))
}

// again maps a loaded chunk once more, as it was mapped then. counters are those before it,
// or a guess: where the chunk was between others that are out by now, its marker tells
// after which number it began.
func (o *loader) again(ctx context.Context, run *mapping.Run, m *writer.Marker, counters map[string]int64) (*writer.Chunk, error) {
	if isBuckets(m.Slot.Dataset) {
		return &writer.Chunk{Slot: m.Slot, Counters: m.Counters, Reading: m.Reading}, nil
	}
	out, err := o.asLoaded(ctx, run, m, counters)
	if err != nil {
		return nil, err
	}
	refused := slices.Clone(m.Refused)
	slices.Sort(refused)
	chunk := &writer.Chunk{Slot: m.Slot, Rows: out.Rows, Counters: m.Counters, Reading: m.Reading}
	for _, t := range out.Tables {
		chunk.Tables = append(chunk.Tables, without(t, refused))
	}
	return chunk, nil
}

// asLoaded is what the mapping made of a chunk, and what the database refused of it, too.
func (o *loader) asLoaded(ctx context.Context, run *mapping.Run, m *writer.Marker, counters map[string]int64) (*mapping.Output, error) {
	out, err := o.mapLoaded(ctx, run, m, counters)
	if err == nil && !maps.Equal(out.Counters, m.Counters) {
		began := maps.Clone(counters)
		for name, last := range out.Counters {
			began[name] += m.Counters[name] - last
		}
		out, err = o.mapLoaded(ctx, run, m, began)
	}
	if err != nil {
		return nil, err
	}
	if !maps.Equal(out.Counters, m.Counters) {
		return nil, &ecluse.Error{
			Kind: ecluse.Unverified, What: "map chunk " + m.Slot.String() + " once more", Why: "it takes other numbers than when it was loaded",
			Next: "look at the target's table of markers: somebody changed it",
		}
	}
	return out, nil
}

func (o *loader) mapLoaded(ctx context.Context, run *mapping.Run, m *writer.Marker, counters map[string]int64) (*mapping.Output, error) {
	of, _ := m.Slot.Dataset.Of()
	run, err := o.runAt(ctx, run, m.Reading)
	if err != nil {
		return nil, err
	}
	if err := run.Begin(of, counters); err != nil {
		return nil, err
	}
	run.Leave(o.later.left(place{m.Slot.Dataset, m.Slot.Sequence}, m.Reading))
	if err := o.version(ctx, m.Slot, run.Apply); err != nil {
		return nil, err
	}
	return run.Output()
}

// without leaves out the rows of refused source rows, ascending.
func without(t mapping.Rows, refused []int32) writer.Rows {
	rows := writer.Rows{Table: t.Table, Batch: t.Batch, Source: t.Source}
	if len(refused) == 0 {
		return rows
	}
	return some(rows, func(row int32) bool {
		_, out := slices.BinarySearch(refused, row)
		return !out
	})
}

// only copies the rows of some source rows, ascending.
func only(t writer.Rows, sources []int32) writer.Rows {
	return some(t, func(row int32) bool {
		_, in := slices.BinarySearch(sources, row)
		return in
	})
}

func some(t writer.Rows, want func(source int32) bool) writer.Rows {
	w := writer.Rows{Table: t.Table, Batch: record.NewBatch(t.Batch.Schema, 0)}
	keep := func(from, to int) {
		for c, all := range t.Batch.Columns {
			w.Batch.Columns[c].AppendRange(all, from, to)
		}
		w.Source = append(w.Source, t.Source[from:to]...)
	}
	from := 0
	for i, row := range t.Source {
		if want(row) {
			continue
		}
		keep(from, i)
		from = i + 1
	}
	keep(from, len(t.Source))
	return w
}

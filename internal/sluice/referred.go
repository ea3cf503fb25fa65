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

// referred is rows of a chunk that stayed because others referred to them, and may go when
// all chunks are out: in a passage that was revised, rows of one table refer to others that
// came before and after them, whichever chunk goes first. The marker went with the chunk:
// with what it said the rows are made once more.
type referred struct {
	Marker writer.Marker    `json:"marker"`
	Before map[string]int64 `json:"before"` // counters
	Rows   []referredRow    `json:"rows"`
}

// referredRow is one of them. It is tried again by each run, whatever is noted of it: killed
// between note and commit, a row that is said to be out stands where it stood.
type referredRow struct {
	At  writer.Left `json:"at"`
	Row LeftRow     `json:"row"`
	Out bool        `json:"out,omitempty"`
}

// leftBehind is the referred rows of all chunks, in the order of loading.
type leftBehind struct {
	notes []*stays
	rows  []writer.Rows
	from  []int   // of which note each is
	at    [][]int // the places of its rows in the note
}

// add makes a chunk's referred rows once more.
func (l *leftBehind) add(n *stays, chunk *writer.Chunk) error {
	l.notes = append(l.notes, n)
	tables := map[int][]int{} // places in the note, by table
	for i, r := range n.Referred.Rows {
		tables[r.At.Table] = append(tables[r.At.Table], i)
	}
	for _, t := range slices.Sorted(maps.Keys(tables)) {
		if t < 0 || t >= len(chunk.Tables) {
			return ecluse.Errorf(ecluse.Unverified, "undo", "chunk %s has no rows that were noted to stay of it", chunk.Slot)
		}
		rows := chunk.Tables[t]
		some := writer.Rows{Table: rows.Table, Batch: record.NewBatch(rows.Batch.Schema, 0)}
		for _, i := range tables[t] {
			at := n.Referred.Rows[i].At
			if at.Row < 0 || at.Row >= len(rows.Source) || rows.Source[at.Row] != at.Source {
				return ecluse.Errorf(ecluse.Unverified, "undo", "chunk %s has no rows that were noted to stay of it", chunk.Slot)
			}
			for c, column := range some.Batch.Columns {
				column.AppendFrom(rows.Batch.Columns[c], at.Row)
			}
			some.Source = append(some.Source, at.Source)
		}
		l.rows, l.from, l.at = append(l.rows, some), append(l.from, len(l.notes)-1), append(l.at, tables[t])
	}
	return nil
}

// number gives the source rows of all chunks numbers of their own, ascending: what one
// source row made goes together.
func (l *leftBehind) number() {
	next := int32(0)
	for from := 0; from < len(l.rows); {
		to := from
		var all []int32
		for ; to < len(l.rows) && l.from[to] == l.from[from]; to++ {
			all = append(all, l.rows[to].Source...)
		}
		slices.Sort(all)
		all = slices.Compact(all)
		for _, rows := range l.rows[from:to] {
			for i, source := range rows.Source {
				at, _ := slices.BinarySearch(all, source)
				rows.Source[i] = next + int32(at)
			}
		}
		next += int32(len(all))
		from = to
	}
}

// outcome notes in the notes what still stays.
func (l *leftBehind) outcome(w *writer.Unloaded) {
	type row struct{ rows, row int }
	still := map[row]writer.Left{}
	for _, x := range w.Left {
		still[row{x.Table, x.Row}] = x
	}
	for i, places := range l.at {
		for n, at := range places {
			r := &l.notes[l.from[i]].Referred.Rows[at]
			x, stays := still[row{i, n}]
			if r.Out = !stays; stays {
				r.Row.Why = x.Why
			}
		}
	}
}

// takeLeft tries rows once more that were left because others referred to them, by whichever
// run: all chunks are out.
func (o *loader) takeLeft(ctx context.Context, session writer.Session, run *mapping.Run, u *Undone) error {
	if o.Reading == 0 {
		return nil
	}
	slots, err := o.Stays.Slots()
	if err != nil {
		return err
	}
	var all []*stays
	for _, slot := range slots {
		n, err := o.staysNote(slot)
		if err != nil {
			return err
		}
		if n != nil && n.Referred != nil {
			all = append(all, n)
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b *stays) int { return o.compareLoading(&a.Referred.Marker, &b.Referred.Marker) })
	var l leftBehind
	for _, n := range all {
		chunk, err := o.again(ctx, run, &n.Referred.Marker, n.Referred.Before)
		if err != nil {
			return err
		}
		if err := l.add(n, chunk); err != nil {
			return err
		}
	}
	l.number()
	out, err := session.TakeLeft(ctx, l.rows, writer.Unloading{ByKey: o.ByKey, BeforeCommit: func(_ context.Context, w *writer.Unloaded) error {
		l.outcome(w)
		for _, n := range l.notes {
			if err := o.noteStays(n.Referred.Marker.Slot, n); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		return err
	}
	for t, n := range out.Deleted {
		u.Rows[t] += n
	}
	return nil
}

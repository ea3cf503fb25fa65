package writer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sort"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// LoadAnew is what to do about a passage that cannot be brought up to a later reading, or to
// another version of a chunk.
const LoadAnew = "ecluse undo, then ecluse plan, ecluse approve and ecluse apply: what was read is loaded as it is now, and nothing is read once more"

// Revising is what Revise does, for its errors.
const Revising = "bring in a later reading"

// Exchange is a revision as an engine carries it out: all rows that go and all that
// come, as if of one chunk each.
type Exchange struct {
	Gone *Chunk // rows of one table together, in the order of loading
	Come *Chunk // rows of one table of one dataset together, in the order of loading; behind them, alike, those that are offered again

	revision *Revision
	slots    []ecluse.Slot // of loaded chunks, as Revised.Markers has them
	first    []int32       // where the source rows of each chunk that comes, then of each part that is offered again, begin in Come
}

// Exchange checks the revision and puts its chunks together.
func (r *Revision) Exchange() (*Exchange, error) {
	x := &Exchange{revision: r, Gone: &Chunk{}, Come: &Chunk{}}
	if len(r.Come) == 0 {
		return nil, invalid("", "no chunk comes with it, whose marker would tell that it is in")
	}
	seen := map[ecluse.Slot]bool{}
	for i := range r.Gone {
		w := &r.Gone[i]
		if seen[w.Slot] {
			return nil, invalid(w.Slot.String(), "it is there twice")
		}
		seen[w.Slot] = true
		x.slots = append(x.slots, w.Slot)
		if err := w.check(); err != nil {
			return nil, err
		}
	}
	offered := map[ecluse.Slot]bool{}
	for i := range r.Again {
		a := &r.Again[i]
		if offered[a.Slot] {
			return nil, invalid(a.Slot.String(), "it is there twice")
		}
		offered[a.Slot] = true
		if !seen[a.Slot] {
			x.slots = append(x.slots, a.Slot)
		}
		if err := a.check(); err != nil {
			return nil, err
		}
	}
	for i := range slices.Backward(r.Gone) {
		w := &r.Gone[i]
		for t := range w.Tables {
			if err := x.Gone.add(&w.Tables[t], 0, w.Rows); err != nil {
				return nil, invalid(w.Slot.String(), err.Error())
			}
		}
		x.Gone.Rows += w.Rows
	}
	for i := range x.Gone.Tables {
		x.Gone.Tables[i].ascend()
	}
	var before ecluse.DatasetID
	from := 0 // of a dataset's tables
	comes := func(c *Chunk) error {
		if c.Slot.Dataset != before {
			before, from = c.Slot.Dataset, len(x.Come.Tables)
		}
		at := from
		for t := range c.Tables {
			if err := x.Come.add(&c.Tables[t], at, c.Rows); err != nil {
				return invalid(c.Slot.String(), err.Error())
			}
			at = x.Come.place(&c.Tables[t], at) + 1
		}
		x.first = append(x.first, int32(x.Come.Rows))
		x.Come.Rows += c.Rows
		return nil
	}
	for _, c := range r.Come {
		if seen[c.Slot] || offered[c.Slot] {
			return nil, invalid(c.Slot.String(), "it is there twice")
		}
		seen[c.Slot] = true
		if err := comes(c); err != nil {
			return nil, err
		}
	}
	for i := range r.Again {
		if err := comes(r.Again[i].alone()); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func invalid(where, why string) error {
	return &ecluse.Error{Kind: ecluse.Invalid, What: Revising, Where: where, Why: why}
}

// check sees that the rows of a part are of its source rows.
func (p *Part) check() error {
	for i, row := range p.Sources {
		if row < 0 || int(row) >= p.Rows || i > 0 && row <= p.Sources[i-1] {
			return invalid(p.Slot.String(), fmt.Sprintf("the source rows meant are not ascending from 0 to %d", p.Rows-1))
		}
	}
	for _, t := range p.Tables {
		for _, row := range t.Source {
			if _, ok := slices.BinarySearch(p.Sources, row); !ok {
				return invalid(p.Slot.String(), fmt.Sprintf("source row %d has rows of %s there and is not meant itself", row, t.Table))
			}
		}
	}
	return nil
}

// alone is a part as a chunk of its own source rows and no others.
func (p *Part) alone() *Chunk {
	c := &Chunk{Slot: p.Slot, Rows: len(p.Sources)}
	for _, t := range p.Tables {
		sources := make([]int32, len(t.Source))
		for i, row := range t.Source {
			at, _ := slices.BinarySearch(p.Sources, row)
			sources[i] = int32(at)
		}
		c.Tables = append(c.Tables, Rows{Table: t.Table, Batch: t.Batch, Source: sources})
	}
	return c
}

// place is that of a table's rows with the same columns, from a place on; −1 when
// there are none.
func (c *Chunk) place(rows *Rows, from int) int {
	for i := from; i < len(c.Tables); i++ {
		if c.Tables[i].Table == rows.Table && c.Tables[i].Batch.Schema.Equal(rows.Batch.Schema) {
			return i
		}
	}
	return -1
}

// add adds rows of another chunk of so many source rows, which come after those that
// are there.
func (c *Chunk) add(rows *Rows, from, sources int) error {
	if len(rows.Source) != rows.Batch.Rows() {
		return fmt.Errorf("%s: %d source rows for %d rows", rows.Table, len(rows.Source), rows.Batch.Rows())
	}
	at := c.place(rows, from)
	if at < 0 {
		at = len(c.Tables)
		c.Tables = append(c.Tables, Rows{Table: rows.Table, Batch: record.NewBatch(rows.Batch.Schema, rows.Batch.Rows())})
	}
	to := &c.Tables[at]
	for i, source := range rows.Source {
		if source < 0 || int(source) >= sources {
			return fmt.Errorf("%s: source row %d of %d", rows.Table, source, sources)
		}
		for n, col := range to.Batch.Columns {
			col.AppendFrom(rows.Batch.Columns[n], i)
		}
		to.Source = append(to.Source, int32(c.Rows)+source)
	}
	return nil
}

// ascend puts rows in the order of their source rows: where two rules of a mapping write
// one table, those of the second come after all of the first.
func (r *Rows) ascend() {
	if slices.IsSorted(r.Source) {
		return
	}
	order := make([]int, len(r.Source))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(r.Source[a], r.Source[b]) })
	sorted := Rows{Table: r.Table, Batch: record.NewBatch(r.Batch.Schema, len(order))}
	for _, i := range order {
		for n, col := range sorted.Batch.Columns {
			col.AppendFrom(r.Batch.Columns[n], i)
		}
		sorted.Source = append(sorted.Source, r.Source[i])
	}
	*r = sorted
}

// Begin looks at the markers that are stored. Of a revision that is in it returns the
// outcome; else the markers of the loaded chunks, without what goes.
func (x *Exchange) Begin(stored func(ecluse.Slot) (*Marker, error)) (*Revised, error) {
	out := &Revised{Refused: make([][]Refusal, len(x.revision.Come)), Again: make([][]Refusal, len(x.revision.Again))}
	for _, slot := range x.slots {
		m, err := stored(slot)
		if err != nil {
			return nil, err
		}
		if m == nil {
			return nil, &ecluse.Error{Kind: ecluse.Refused, What: Revising, Where: slot.String(), Why: "it is not in this target"}
		}
		out.Markers = append(out.Markers, *m)
	}
	var in []Marker
	for _, c := range x.revision.Come {
		m, err := stored(c.Slot)
		if err != nil {
			return nil, err
		}
		if m != nil {
			in = append(in, *m)
		}
	}
	switch len(in) {
	case len(x.revision.Come):
		out.Already, out.Markers = true, append(out.Markers, in...)
		return out, nil
	case 0:
	default:
		return nil, &ecluse.Error{
			Kind: ecluse.Differs, What: Revising, Where: in[0].Slot.String(), Why: "part of what it brings is in this target, and the rest is not",
			Next: LoadAnew,
		}
	}
	for i := range x.revision.Again {
		a := &x.revision.Again[i]
		if err := a.absent(x.marker(out, a.Slot)); err != nil {
			return nil, err
		}
	}
	for i := range x.revision.Gone { // theirs are the first
		if err := x.revision.Gone[i].leave(&out.Markers[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// marker is that of a loaded chunk.
func (x *Exchange) marker(out *Revised, slot ecluse.Slot) *Marker {
	return &out.Markers[slices.Index(x.slots, slot)]
}

// Took completes the outcome, whose markers are those of Begin and then those of what
// comes, with the source rows of Come that the database refused, ascending.
func (x *Exchange) Took(out *Revised, refused []Refusal) {
	all := x.byChunk(refused)
	come := len(x.revision.Come)
	out.Refused = all[:come]
	for i, c := range x.revision.Come {
		m, in := &out.Markers[len(x.slots)+i], c.Marker(out.Refused[i])
		m.Counters, m.Refused, m.Rows = in.Counters, in.Refused, in.Rows
	}
	for i, once := range all[come:] {
		a := &x.revision.Again[i]
		for n := range once {
			once[n].Row = a.Sources[once[n].Row]
		}
		out.Again[i] = once
		a.enter(x.marker(out, a.Slot), once)
	}
}

// absent sees that the source rows of a part are not in.
func (p *Part) absent(m *Marker) error {
	for _, row := range p.Sources {
		if _, out := slices.BinarySearch(m.Refused, row); !out {
			return invalid(p.Slot.String(), fmt.Sprintf("source row %d of it is in this target", row))
		}
	}
	return nil
}

// enter notes in a marker what is in of a part that was offered again.
func (p *Part) enter(m *Marker, refused []Refusal) {
	in := func(row int32) bool {
		if _, offered := slices.BinarySearch(p.Sources, row); !offered {
			return false
		}
		_, no := slices.BinarySearchFunc(refused, row, func(r Refusal, row int32) int { return cmp.Compare(r.Row, row) })
		return !no
	}
	m.Refused = slices.DeleteFunc(slices.Clone(m.Refused), in)
	m.Rows = maps.Clone(m.Rows)
	for _, t := range p.Tables {
		for _, row := range t.Source {
			if in(row) {
				m.Rows[t.Table]++
			}
		}
	}
}

// leave takes what goes out of a marker.
func (p *Part) leave(m *Marker) error {
	m.Rows = maps.Clone(m.Rows)
	for _, t := range p.Tables {
		for _, row := range t.Source {
			if _, refused := slices.BinarySearch(m.Refused, row); refused {
				return invalid(p.Slot.String(), fmt.Sprintf("source row %d of it is not in this target", row))
			}
		}
		if m.Rows[t.Table] -= int64(len(t.Source)); m.Rows[t.Table] < 0 {
			return invalid(p.Slot.String(), fmt.Sprintf("more rows of %s are to go than it brought", t.Table))
		}
	}
	m.Refused = append(slices.Clone(m.Refused), p.Sources...)
	slices.Sort(m.Refused)
	m.Refused = slices.Compact(m.Refused)
	return nil
}

// byChunk gives refused source rows of Come, ascending, back to the chunks, then to the
// parts that are offered again.
func (x *Exchange) byChunk(refused []Refusal) [][]Refusal {
	out := make([][]Refusal, len(x.first))
	for _, r := range refused {
		i := sort.Search(len(x.first), func(i int) bool { return x.first[i] > r.Row }) - 1
		r.Row -= x.first[i]
		out[i] = append(out[i], r)
	}
	return out
}

// LeftOf is rows that Unload left as a chunk.
func LeftOf(rows []Rows) *Chunk {
	c := &Chunk{Tables: rows}
	for _, r := range rows {
		if n := len(r.Source); n > 0 {
			c.Rows = max(c.Rows, int(r.Source[n-1])+1)
		}
	}
	return c
}

// RefuseAltered refuses to take out rows that are not as they were loaded.
func RefuseAltered(table ecluse.TableName, rows int64) error {
	return &ecluse.Error{
		Kind: ecluse.Refused, What: Revising, Where: table.String(), Why: fmt.Sprintf("%d rows that the source changed are no longer as they were loaded: somebody changed them or took them out", rows),
		Next: "find out who works in this target, put the rows back as they were, and ecluse apply; or ecluse undo, which leaves what people changed, then ecluse plan, ecluse approve and ecluse apply",
	}
}

// RefuseAlong refuses to change rows that stay.
func RefuseAlong(table ecluse.TableName, rows int64) error {
	return &ecluse.Error{
		Kind: ecluse.Refused, What: Revising, Where: table.String(), Why: fmt.Sprintf("%d rows that stay would be deleted or changed along with those that the source changed", rows),
		Next: LoadAnew,
	}
}

// RefuseReferred refuses to leave rows that stay without what they refer to. Err, if not
// nil, is the database's word.
func RefuseReferred(err error) error {
	return &ecluse.Error{
		Kind: ecluse.Refused, What: Revising, Why: "rows that stay refer to rows that the source no longer has, or that the target does not take as they are now", Err: err,
		Next: "find out who works in this target; or ecluse undo, then ecluse plan, ecluse approve and ecluse apply",
	}
}

// RefuseKept refuses to go on where the target keeps rows that are to go. Err, if not
// nil, is the database's word.
func RefuseKept(table ecluse.TableName, err error) error {
	return &ecluse.Error{
		Kind: ecluse.Refused, What: Revising, Where: table.String(), Why: "a trigger keeps rows that are to go", Err: err,
		Next: "ask the new software's makers what that trigger is for",
	}
}

// Marker is what is true of the chunk when it is in but for the refused source rows.
func (c *Chunk) Marker(refused []Refusal) Marker {
	m := Marker{Slot: c.Slot, Reading: c.Reading, Counters: c.Counters, Refused: slices.Clone(c.Rejected), Rows: make(map[ecluse.TableName]int64, len(c.Tables))}
	out := make(map[int32]bool, len(refused))
	for _, r := range refused {
		out[r.Row] = true
		m.Refused = append(m.Refused, r.Row)
	}
	slices.Sort(m.Refused)
	m.Refused = slices.Compact(m.Refused)
	for _, t := range c.Tables {
		n := int64(len(t.Source))
		if len(out) > 0 {
			for _, source := range t.Source {
				if out[source] {
					n--
				}
			}
		}
		m.Rows[t.Table] += n
	}
	return m
}

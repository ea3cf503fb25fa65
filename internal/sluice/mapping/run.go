package mapping

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"ecluse"
	"ecluse/internal/sluice/mapping/expr"
	"ecluse/internal/sluice/record"
)

// Run applies a program, chunk after chunk. Its memory is used again for each;
// a Run serves one goroutine.
type Run struct {
	program  *Program
	tables   []*lookup
	set      *dataset // of the chunk under way; nil: none
	m        *expr.Machine
	in       *record.Batch
	from     int     // first row of the block in the batch
	base     int32   // source rows of the chunk before the block
	leave    []int32 // source rows of the chunk, ascending, that are stepped over
	rejected []int32 // by row of the block: number of the reason; −1: none
	states   []entryState
	counters map[string]int64
	out      Output
}

// entryState is the rows of one target table in the making.
type entryState struct {
	alive  []bool  // by row of the entry's domain: not skipped
	spans  []span  // rows that are written, in runs
	given  []int64 // by row of the block: the number a counter gave; 0: none
	sinks  []sinkState
	batch  *record.Batch
	source []int32
}

type span struct{ from, to int }

// sinkState is one written column in the making.
type sinkState struct {
	own    expr.Vector  // the column's values where an outcome changed some
	values *expr.Vector // what is written
	missed []int32      // rows whose miss has an outcome
}

// Output is what became of a chunk. It is good until the next Begin.
type Output struct {
	Rows     int              // source rows, rejected ones included
	Tables   []Rows           // in the order they are written
	Rejected []PutAside       // source rows put aside, ascending
	Blocked  []PutAside       // source rows that stop the passage
	Reports  map[string]int64 // misses that had an outcome, by reason; those put aside where a reason was given
	Counters map[string]int64 // after the chunk: the last number given
}

// Rows is the rows of one table. Source[i] is the source row (its place in the
// chunk, from 0, ascending) that made row i.
type Rows struct {
	Table   ecluse.TableName
	Batch   *record.Batch
	Source  []int32
	Counter string // the name of the one that numbered them; empty: none
}

// PutAside is a source row put aside, and why, without any value.
type PutAside struct {
	Row    int32
	Reason string
}

// NewRun begins a run of a program. Held datasets and target tables are given
// with Hold and HoldTarget before the first chunk that looks something up.
func NewRun(p *Program) *Run {
	r := &Run{program: p}
	for _, t := range p.tables {
		if t.from != frozenTable {
			t = &lookup{Table: t.Empty(), from: t.from}
		}
		r.tables = append(r.tables, t)
	}
	return r
}

// Hold adds rows of a held dataset; Held says that there are no more.
func (r *Run) Hold(d ecluse.DatasetID, b *record.Batch) error {
	return r.fill(heldDataset, string(d), b)
}

// Held ends a held dataset.
func (r *Run) Held(d ecluse.DatasetID) error { return r.close(heldDataset, string(d)) }

// HoldTarget gives all rows of a target table that the mapping calls name, with
// the columns of ecluse.ShapeTarget in their order.
func (r *Run) HoldTarget(name string, b *record.Batch) error {
	if err := r.fill(targetTable, name, b); err != nil {
		return err
	}
	return r.close(targetTable, name)
}

func (r *Run) find(from origin, name string) (*lookup, error) {
	for _, t := range r.tables {
		if t.Name == name && t.from == from {
			if t.closed {
				return nil, ecluse.Errorf(ecluse.Failed, "hold "+name, "it is complete already")
			}
			return t, nil
		}
	}
	return nil, ecluse.Errorf(ecluse.Failed, "hold "+name, "the mapping has no %s of that name", from)
}

func (r *Run) fill(from origin, name string, b *record.Batch) error {
	t, err := r.find(from, name)
	if err != nil {
		return err
	}
	if !b.Schema.Equal(t.Schema) {
		return &ecluse.Error{Kind: ecluse.Differs, What: "hold " + name, Why: "its columns are not those the mapping was checked against"}
	}
	if err := t.Fill(b); err != nil {
		return &ecluse.Error{Kind: ecluse.Refused, What: "hold " + name, Err: err, Next: "correct hold: in the mapping: its key, or the ceiling"}
	}
	return nil
}

func (r *Run) close(from origin, name string) error {
	t, err := r.find(from, name)
	if err != nil {
		return err
	}
	t.closed = true
	return nil
}

// Begin starts a chunk of a dataset. counters holds the last number that each
// counter has given, from the marker of the chunk loaded before; a counter that
// begins above the target's highest number (Counter.Above) must be in it.
func (r *Run) Begin(d ecluse.DatasetID, counters map[string]int64) error {
	what := "map dataset " + string(d)
	set := r.program.datasets[d]
	if set == nil {
		return ecluse.Errorf(ecluse.Failed, what, "the mapping has no rule for it")
	}
	for _, t := range r.tables {
		if !t.closed {
			return ecluse.Errorf(ecluse.Failed, what, "%s %s is not there yet", t.from, t.Name)
		}
	}
	r.counters = maps.Clone(counters)
	if r.counters == nil {
		r.counters = map[string]int64{}
	}
	for _, e := range set.entries {
		for _, s := range e.sinks {
			if s.counter < 0 {
				continue
			}
			c := &r.program.counters[s.counter]
			if last, ok := r.counters[c.Name]; ok {
				r.counters[c.Name] = max(last, 0)
				continue
			}
			if c.Above {
				return ecluse.Errorf(ecluse.Failed, what, "counter %s has no start", c.Name)
			}
			r.counters[c.Name] = c.From - 1
		}
	}
	if r.set != set {
		r.load(set)
	}
	r.base, r.leave = 0, nil
	r.out = Output{Tables: r.out.Tables[:0], Rejected: r.out.Rejected[:0], Blocked: r.out.Blocked[:0], Reports: map[string]int64{}}
	for i := range r.states {
		r.states[i].batch.Reset()
		r.states[i].source = r.states[i].source[:0]
	}
	return nil
}

// Leave steps over source rows of the chunk that Begin started, ascending, as if they were
// not there: they make no rows, take no numbers, are not put aside and not counted.
func (r *Run) Leave(rows []int32) { r.leave = rows }

// load makes room for a dataset's registers and rows.
func (r *Run) load(set *dataset) {
	r.set = set
	tables := make([]*expr.Table, len(r.tables))
	for i, t := range r.tables {
		tables[i] = t.Table
	}
	r.m = expr.NewMachine(set.code, tables)
	r.states = make([]entryState, len(set.entries))
	for i, e := range set.entries {
		r.states[i].batch = record.NewBatch(e.schema, expr.BlockRows)
		r.states[i].sinks = make([]sinkState, len(e.sinks))
	}
}

// Apply maps a batch of the chunk that Begin started. Nothing of the batch is
// needed after it returns.
func (r *Run) Apply(b *record.Batch) error {
	if r.set == nil {
		return ecluse.Errorf(ecluse.Failed, "map dataset", "no chunk was begun")
	}
	if b.Schema != r.set.schema && !b.Schema.Equal(r.set.schema) {
		return &ecluse.Error{Kind: ecluse.Differs, What: "map dataset " + string(r.set.id), Why: "the chunk's columns are not those the mapping was checked against"}
	}
	if b.Rows() > math.MaxInt32-int(r.base) {
		return ecluse.Errorf(ecluse.Refused, "map dataset "+string(r.set.id), "more than %d rows in a chunk", math.MaxInt32)
	}
	for from := 0; from < b.Rows(); from += expr.BlockRows {
		if err := r.block(b, from, min(expr.BlockRows, b.Rows()-from)); err != nil {
			return err
		}
	}
	return nil
}

// Output ends the chunk. Where a miss was to stop the passage it returns an
// error of kind Refused as well: then nothing of the output may be loaded.
func (r *Run) Output() (*Output, error) {
	if r.set == nil {
		return nil, ecluse.Errorf(ecluse.Failed, "map dataset", "no chunk was begun")
	}
	r.out.Rows, r.out.Counters = int(r.base), r.counters
	r.out.Tables = r.out.Tables[:0]
	for i, e := range r.set.entries {
		rows := Rows{Table: e.table, Batch: r.states[i].batch, Source: r.states[i].source}
		if n := slices.IndexFunc(e.sinks, func(s *sink) bool { return s.counter >= 0 }); n >= 0 {
			rows.Counter = r.program.counters[e.sinks[n].counter].Name
		}
		r.out.Tables = append(r.out.Tables, rows)
	}
	if len(r.out.Blocked) == 0 {
		return &r.out, nil
	}
	first := r.out.Blocked[0]
	return &r.out, &ecluse.Error{
		Kind: ecluse.Refused, What: "map dataset " + string(r.set.id), Where: fmt.Sprintf("row %d of the chunk", first.Row+1),
		Why:  fmt.Sprintf("%s; the mapping stops the passage here (%d rows of this chunk)", first.Reason, len(r.out.Blocked)),
		Next: "add the missing code, or give the miss another outcome",
	}
}

// block maps at most expr.BlockRows rows: every expression, then every row judged,
// then what is left written.
func (r *Run) block(b *record.Batch, from, n int) error {
	r.in, r.from = b, from
	r.m.Run(b, from, n)
	if cap(r.rejected) < n {
		r.rejected = make([]int32, expr.BlockRows)
	}
	r.rejected = r.rejected[:n]
	for i := range r.rejected {
		r.rejected[i] = -1
	}
	left := int32(len(r.set.reasons)) // no reason's number
	for ; len(r.leave) > 0 && r.leave[0] < r.base+int32(n); r.leave = r.leave[1:] {
		r.rejected[r.leave[0]-r.base] = left
	}
	for i, e := range r.set.entries {
		r.judge(e, &r.states[i])
	}
	for i, e := range r.set.entries {
		if err := r.write(e, &r.states[i]); err != nil {
			return err
		}
	}
	for i, reason := range r.rejected {
		if reason >= 0 && reason != left {
			r.out.Rejected = append(r.out.Rejected, PutAside{r.base + int32(i), r.set.reasons[reason]})
		}
	}
	r.base += int32(n)
	return nil
}

// row is the row of the block that made row i of an entry.
func (r *Run) row(e *entry, i int) int {
	if e.domain == expr.Source {
		return i
	}
	return int(r.m.Parents(e.domain)[i])
}

// reject puts a source row aside for the first reason found.
func (r *Run) reject(e *entry, i, reason int) {
	if row := r.row(e, i); r.rejected[row] < 0 {
		r.rejected[row] = int32(reason)
	}
}

// write adds the rows that are left to a table's batch.
func (r *Run) write(e *entry, st *entryState) error {
	st.spans = st.spans[:0]
	last := -1
	for i, alive := range st.alive {
		row := r.row(e, i)
		if !alive || r.rejected[row] >= 0 {
			continue
		}
		st.source = append(st.source, r.base+int32(row))
		if last >= 0 && st.spans[last].to == i {
			st.spans[last].to++
			continue
		}
		st.spans = append(st.spans, span{i, i + 1})
		last++
	}
	for i, s := range e.sinks {
		col := st.batch.Columns[i]
		switch {
		case s.counter >= 0:
			if err := r.number(e, s, st, col); err != nil {
				return err
			}
		case s.rowOf >= 0:
			r.repeat(e, s, st, col)
		case s.raw >= 0:
			for _, sp := range st.spans {
				col.AppendRange(r.in.Columns[s.raw], r.from+sp.from, r.from+sp.to)
			}
		default:
			appendValues(col, st.sinks[i].values, st.spans, record.Fixed(s.kind))
			r.count(e, s, st, &st.sinks[i])
		}
	}
	return nil
}

func appendValues(to *record.Column, v *expr.Vector, spans []span, integer bool) {
	for _, sp := range spans {
		for i := sp.from; i < sp.to; i++ {
			switch {
			case v.State(i) != 0:
				to.AppendNull()
			case integer:
				to.AppendInt(v.Int(i))
			default:
				to.AppendBytes(v.Text(i))
			}
		}
	}
}

// count reports the misses of rows that are written, or stops at them.
func (r *Run) count(e *entry, s *sink, st *entryState, ss *sinkState) {
	n := int64(0)
	for _, i := range ss.missed {
		row := r.row(e, int(i))
		if !st.alive[i] || r.rejected[row] >= 0 {
			continue
		}
		n++
		if s.miss == MissBlock {
			r.out.Blocked = append(r.out.Blocked, PutAside{r.base + int32(row), s.report})
		}
	}
	if n > 0 {
		r.out.Reports[s.report] += n
	}
}

// number gives the rows the next numbers of a counter.
func (r *Run) number(e *entry, s *sink, st *entryState, col *record.Column) error {
	c := &r.program.counters[s.counter]
	last := r.counters[c.Name]
	if cap(st.given) < len(r.rejected) {
		st.given = make([]int64, expr.BlockRows)
	}
	st.given = st.given[:len(r.rejected)]
	clear(st.given)
	for _, sp := range st.spans {
		if last > c.high-int64(sp.to-sp.from) {
			return &ecluse.Error{
				Kind: ecluse.Refused, What: "map dataset " + string(r.set.id), Where: c.Name,
				Why: "the counter goes beyond what the column holds",
			}
		}
		for i := sp.from; i < sp.to; i++ {
			last++
			appendNumber(col, last)
			st.given[r.row(e, i)] = last
		}
	}
	r.counters[c.Name] = last
	return nil
}

// repeat writes the number that an earlier table's row got.
func (r *Run) repeat(e *entry, s *sink, st *entryState, col *record.Column) {
	given := r.states[s.rowOf].given
	for _, sp := range st.spans {
		for i := sp.from; i < sp.to; i++ {
			if n := given[r.row(e, i)]; n != 0 {
				appendNumber(col, n)
			} else {
				col.AppendNull()
			}
		}
	}
}

func appendNumber(col *record.Column, n int64) {
	if record.Fixed(col.Type().Kind) {
		col.AppendInt(n)
		return
	}
	col.CloseValue(strconv.AppendInt(col.Grow(), n, 10))
}

// Aside lists the source rows of the chunk under way that were put aside so far,
// ascending. The list grows with Apply and is good until the next Begin.
func (r *Run) Aside() []PutAside { return r.out.Rejected }

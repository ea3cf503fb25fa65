package mapping

import (
	"bytes"

	"ecluse"
	"ecluse/internal/sluice/mapping/expr"
	"ecluse/internal/sluice/record"
)

// judge finds the rows that are skipped and the source rows that are rejected.
func (r *Run) judge(e *entry, st *entryState) {
	n := r.m.Rows(e.domain)
	if cap(st.alive) < n {
		st.alive = make([]bool, max(n, expr.BlockRows))
	}
	st.alive = st.alive[:n]
	for i := range st.alive {
		st.alive[i] = e.skip < 0 || !r.m.Reg(e.skip).Holds(i)
	}
	for _, c := range e.rejects {
		for i, alive := range st.alive {
			if alive && r.m.Reg(c.reg).Holds(i) {
				r.reject(e, i, c.reason)
			}
		}
	}
	for i, s := range e.sinks {
		switch {
		case s.counter >= 0:
		case s.rowOf >= 0:
			r.judgeRowOf(e, s, st)
		case s.raw >= 0:
			r.judgeRaw(e, s, st)
		default:
			r.judgeValues(e, s, st, &st.sinks[i])
		}
	}
}

// judgeRaw checks a source column that is copied as it is.
func (r *Run) judgeRaw(e *entry, s *sink, st *entryState) {
	c, n := r.in.Columns[s.raw], len(st.alive)
	integer, f := record.Fixed(s.kind), s.fit
	// One look at all the values spares a closer one at each.
	var free bool
	if integer {
		free = f.free(s.kind) || s.kind != ecluse.Float && f.unit == 1 && within(c.Ints()[r.from:r.from+n], f.low, f.high)
	} else {
		f.noNUL = f.noNUL && bytes.IndexByte(c.Span(r.from, r.from+n), 0) >= 0
		if longest, _ := c.Lengths(r.from, r.from+n); f.chars > 0 && longest <= f.chars {
			f.chars = 0
		}
		free = f.freeText(s.kind)
	}
	if free && (!f.notNull || c.Nulls() == 0) {
		return
	}
	for i, alive := range st.alive {
		row := r.from + i
		switch {
		case !alive:
		case c.Null(row):
			if f.notNull {
				r.reject(e, i, s.onNull)
			}
		case integer && !f.integer(c.Int(row), s.kind), !integer && !f.text(c.Bytes(row), s.kind):
			r.reject(e, i, s.onMisfit)
		}
	}
}

// within tells whether all values lie between two; a null is nought.
func within(v []int64, low, high int64) bool {
	least, most := low, high
	for _, x := range v {
		least, most = min(least, x), max(most, x)
	}
	return least == low && most == high
}

func (r *Run) judgeRowOf(e *entry, s *sink, st *entryState) {
	if !s.fit.notNull {
		return
	}
	of := r.states[s.rowOf].alive
	for i, alive := range st.alive {
		if alive && !of[r.row(e, i)] {
			r.reject(e, i, s.onNull)
		}
	}
}

// judgeValues gives misses their outcome and checks that values fit.
func (r *Run) judgeValues(e *entry, s *sink, st *entryState, ss *sinkState) {
	v := r.m.Reg(s.reg)
	ss.values, ss.missed = v, ss.missed[:0]
	for i, alive := range st.alive {
		if !alive {
			continue
		}
		switch state := v.State(i); {
		case state == 0:
			if !s.fits(v, i) {
				r.reject(e, i, s.onMisfit)
			}
		case state&expr.Misfit != 0:
			r.reject(e, i, s.onMisfit)
		case state&expr.Miss != 0:
			r.judgeMiss(e, s, ss, i)
		case s.fit.notNull:
			r.reject(e, i, s.onNull)
		}
	}
}

// judgeMiss gives one miss its outcome. An overflow, which nobody has foreseen,
// puts the row aside.
func (r *Run) judgeMiss(e *entry, s *sink, ss *sinkState, i int) {
	switch s.miss {
	case MissBlock:
	case MissNull:
		if s.fit.notNull {
			r.reject(e, i, s.onNull)
		}
	case MissKeep, MissValue:
		if ss.values != &ss.own {
			ss.own.CopyAll(ss.values, s.kind, r.m.Rows(e.domain))
			ss.values = &ss.own
		}
		ss.own.Copy(i, r.m.Reg(s.alt), s.kind)
		switch state := ss.own.State(i); {
		case state == 0:
			if !s.fits(&ss.own, i) {
				r.reject(e, i, s.onMisfit)
			}
		case state != expr.Null:
			r.reject(e, i, s.onMisfit)
		case s.fit.notNull:
			r.reject(e, i, s.onNull)
		}
	default:
		r.reject(e, i, s.onMiss)
		if s.counted && r.rejected[r.row(e, i)] == int32(s.onMiss) {
			r.out.Reports[s.report]++
		}
		return
	}
	ss.missed = append(ss.missed, int32(i))
}

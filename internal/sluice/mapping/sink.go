package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ecluse"
	"ecluse/internal/sluice/mapping/expr"
)

// OnNull ends the reason of a row that is put aside because the target's column is NOT NULL;
// before it stands "table.column".
const OnNull = ": null in a column that takes none"

// sink compiles one written column; nil when something is wrong with it.
func (d *datasetCheck) sink(field string, tab *ecluse.Table, c *ecluse.Column, col *Column, e *entry) *sink {
	name := tab.Name.String() + "." + c.Name
	s := &sink{
		kind: c.Type.Kind, fit: fitOf(d.in.Target.Engine, c), raw: -1, alt: -1, counter: -1, rowOf: -1, miss: col.Miss,
		report:   col.Report,
		onMiss:   d.reason(name + ": no result"),
		onMisfit: d.reason(name + ": the value does not fit the column"),
		onNull:   d.reason(name + OnNull),
	}
	switch {
	case s.report == "":
		s.report = name + ": no result"
	case s.miss == MissReject:
		s.onMiss, s.counted = d.reason(s.report), true
	}
	switch {
	case col.RowOf != nil:
		return d.rowOf(field, s, c, *col.RowOf)
	case col.Value == counterWord:
		return d.counter(field, s, tab.Name, c, col)
	}
	o, ok := d.expr(field, col.Value)
	if !ok {
		return nil
	}
	if err := d.outcome(col, o); err != nil {
		d.add(field, err.Error())
		return nil
	}
	for _, of := range []string{name, d.reasons[s.onMiss], d.reasons[s.onMisfit], d.reasons[s.onNull]} {
		d.because(of, o)
	}
	if s.reg, ok = d.target(field, o, c, s, e.domain); !ok {
		return nil
	}
	if o.Column >= 0 && e.domain == expr.Source && o.Type.Kind == c.Type.Kind && o.Type.Scale == c.Type.Scale {
		s.raw = o.Column
	}
	var alt expr.Operand
	switch col.Miss {
	case MissKeep:
		if alt, ok = d.kept(field, o); !ok {
			return nil
		}
	case MissValue:
		if alt, ok = d.expr(field, col.Default); !ok {
			return nil
		}
		if alt.MayMiss {
			d.add(field, "default: may have no result itself")
			return nil
		}
	default:
		return s
	}
	if s.alt, ok = d.target(field, alt, c, s, e.domain); !ok {
		return nil
	}
	return s
}

// outcome checks that a miss has one, where it can happen, and only there.
func (d *datasetCheck) outcome(col *Column, o expr.Operand) error {
	switch {
	case o.MayMiss && col.Miss == "":
		return errors.New("this may have no result: state miss: null, keep, value, reject or block")
	case !o.MayMiss && col.Miss != "":
		return errors.New("this always has a result (null is one: use coalesce); take miss away")
	}
	return nil
}

// kept is the one thing that a missed expression was made from.
func (d *datasetCheck) kept(field string, o expr.Operand) (expr.Operand, bool) {
	if len(o.Names) != 1 {
		d.add(field, "miss: keep wants an expression made from one column; this one is made from "+strings.Join(o.Names, ", "))
		return o, false
	}
	return d.c.Named(o.Names[0]), true
}

// target brings an operand to the column's type and to the entry's rows.
func (d *datasetCheck) target(field string, o expr.Operand, c *ecluse.Column, s *sink, domain int) (int, bool) {
	v, err := d.c.Convert(o, c.Type)
	if err != nil {
		d.add(field, err.Error())
		return 0, false
	}
	if v.Domain == expr.Constant && !d.constantFits(field, d.c.Value(v), s) {
		return 0, false
	}
	return d.c.In(v, domain).Reg, true
}

func (d *datasetCheck) constantFits(field string, v *expr.Vector, s *sink) bool {
	switch state := v.State(0); {
	case state == expr.Null && s.fit.notNull:
		d.add(field, "null in a column that takes none")
	case state == expr.Null:
		return true
	case state&expr.Miss != 0:
		d.add(field, "this has no result")
	case state != 0, !s.fits(v, 0):
		d.add(field, "the value does not fit the column")
	default:
		return true
	}
	return false
}

func (d *datasetCheck) counter(field string, s *sink, table ecluse.TableName, c *ecluse.Column, col *Column) *sink {
	if !numbers(c.Type) {
		d.add(field, fmt.Sprintf("a counter gives whole numbers; the column is %s", c.Type))
		return nil
	}
	name := table.String() + "." + c.Name
	ctr := d.counters[name]
	if ctr == nil {
		ctr = &Counter{Name: name, Table: table, Column: c.Name, Above: col.From == nil, high: highest(c.Type, s.fit)}
		if col.From != nil {
			ctr.From = *col.From
		}
		d.counters[name] = ctr
		d.program.counters = append(d.program.counters, *ctr)
	} else if ctr.Above != (col.From == nil) || col.From != nil && ctr.From != *col.From {
		d.add(field, "the counter begins elsewhere in another rule")
	}
	s.counter = slices.IndexFunc(d.program.counters, func(c Counter) bool { return c.Name == name })
	return s
}

func numbers(t ecluse.Type) bool {
	return t.Kind == ecluse.Int || t.Kind == ecluse.Decimal && t.Scale == 0 || t.Kind == ecluse.Number
}

// highest is the highest number that a counted column can hold.
func highest(t ecluse.Type, f fit) int64 {
	if t.Kind == ecluse.Number {
		return nines(18)
	}
	return f.high
}

// rowOf finds the entry, earlier in the list, whose number is repeated.
func (d *datasetCheck) rowOf(field string, s *sink, c *ecluse.Column, of ecluse.TableName) *sink {
	for i, e := range d.entries {
		if e.table != of {
			continue
		}
		if !slices.ContainsFunc(e.sinks, func(s *sink) bool { return s.counter >= 0 }) || e.domain != 0 {
			break
		}
		if !numbers(c.Type) {
			d.add(field, fmt.Sprintf("row_of gives whole numbers; the column is %s", c.Type))
			return nil
		}
		s.rowOf = i
		return s
	}
	d.add(field, fmt.Sprintf("row_of: no earlier rule of this dataset makes one row of %s numbered by a counter", of))
	return nil
}

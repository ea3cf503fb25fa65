package reconcile

import (
	"math/big"
	"strconv"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// Mapped counts, of rows that were made and not written, what the target's half of a
// check will count of them. It reads the written columns and knows nothing of how they
// came about.
type Mapped struct {
	check ecluse.ShapeCheck
	lines Figures
	why   string // why it cannot be told before the rows are written
}

// NewMapped begins to count for a check.
func NewMapped(check ecluse.ShapeCheck) *Mapped {
	return &Mapped{check: check, lines: Figures{}}
}

// Add counts the rows of a batch made for a table.
func (m *Mapped) Add(table ecluse.TableName, b *record.Batch) {
	if table != m.check.Table || b.Rows() == 0 || m.why != "" {
		return
	}
	by, where, ok := m.columns(b)
	if !ok {
		return
	}
	sum, first, last := b.Column(m.check.Sum), b.Column(m.check.First), b.Column(m.check.Last)
	groups := map[string]*tally{} // with a mark before the key: null is none of them
	var key []byte
	for r := range b.Rows() {
		if !allHold(where, r) {
			continue
		}
		key = key[:0]
		if by != nil && !by.Null(r) {
			key = record.AppendPlain(append(key, '='), by, r)
		}
		t := groups[string(key)]
		if t == nil {
			t = &tally{}
			groups[string(key)] = t
		}
		t.count++
		t.add(sum, r)
		t.bound(&t.first, first, r, -1)
		t.bound(&t.last, last, r, 1)
	}
	for k, t := range groups {
		at := Key{Null: true}
		if k != "" {
			at = Key{Text: k[1:]}
		}
		m.lines.Add(at, t.figure(&m.check))
	}
}

// columns finds what the check counts by and under which conditions. A column that
// nobody writes gets what the target puts there.
func (m *Mapped) columns(b *record.Batch) (by *record.Column, where []condition, ok bool) {
	find := func(name string) *record.Column {
		c := b.Column(name)
		if c == nil && name != "" && m.why == "" {
			m.why = "the mapping does not write " + name + ": what the target puts there shows once rows are loaded"
		}
		return c
	}
	for _, name := range []string{m.check.Sum, m.check.First, m.check.Last} {
		find(name)
	}
	if by = find(m.check.By); by != nil {
		switch t := by.Type(); {
		case t.Kind == ecluse.Text, t.Kind == ecluse.Int, t.Kind == ecluse.Date, t.Kind == ecluse.Decimal && t.Scale == 0:
		default: // databases write these each in its own way
			m.why = "how the target writes " + m.check.By + " shows once rows are loaded"
		}
	}
	for _, w := range m.check.Where {
		if c := find(w.Column); c != nil {
			where = append(where, condition{w, c})
		}
	}
	return by, where, m.why == ""
}

// condition is one of a check's, over a batch.
type condition struct {
	ecluse.ShapeEq
	column *record.Column
}

func allHold(all []condition, row int) bool {
	for _, c := range all {
		if !c.holds(row) {
			return false
		}
	}
	return true
}

func (c condition) holds(row int) bool {
	null := c.column.Null(row)
	if c.Null != nil && *c.Null != null {
		return false
	}
	if c.From == nil && c.Before == nil {
		return c.Null != nil || !null && c.equals(row)
	}
	if null {
		return false
	}
	n := rational(record.AppendPlain(nil, c.column, row))
	return n != nil && (c.From == nil || n.Cmp(new(big.Rat).SetInt64(*c.From)) >= 0) &&
		(c.Before == nil || n.Cmp(new(big.Rat).SetInt64(*c.Before)) < 0)
}

func (c condition) equals(row int) bool {
	switch c.column.Type().Kind {
	case ecluse.Text:
		return string(c.column.Bytes(row)) == c.Equals
	case ecluse.Bool:
		want, err := strconv.ParseBool(c.Equals)
		return err == nil && want == (c.column.Int(row) != 0)
	}
	return compareTexts(string(record.AppendPlain(nil, c.column, row)), c.Equals) == 0
}

// tally is one line over one batch.
type tally struct {
	count       int64
	sum         *Amount
	first, last *string
}

func (t *tally) add(c *record.Column, row int) {
	if c == nil || c.Null(row) {
		return
	}
	a := amount(record.AppendPlain(nil, c, row))
	switch {
	case a == nil: // no number: the target would refuse the row
	case t.sum == nil:
		t.sum = a
	case t.sum.Special == "" && a.Special == "":
		t.sum.Exact.Add(t.sum.Exact, a.Exact)
	default:
		t.sum = t.sum.add(a)
	}
}

// bound keeps a value that comes before (-1) or after (1) the one kept.
func (t *tally) bound(kept **string, c *record.Column, row, side int) {
	if c == nil || c.Null(row) {
		return
	}
	s := string(record.AppendPlain(nil, c, row))
	if *kept == nil || compareTexts(s, **kept) == side {
		*kept = &s
	}
}

// figure is what the check asks for.
func (t *tally) figure(check *ecluse.ShapeCheck) *Figure {
	f := &Figure{Sum: t.sum, First: t.first, Last: t.last}
	if check.Count {
		f.Count = &t.count
	}
	return f
}

// CompareMapped compares the figures that the source counted with those that the target
// would count: of the rows that stand there and of those made.
func CompareMapped(m *Mapped, codes map[string]string, source Figures, standing *record.Batch) CheckResult {
	if m.why != "" {
		return CheckResult{Name: m.check.Name, Why: m.why}
	}
	return compareCheck(m.check, codes, source, standing, m.lines)
}

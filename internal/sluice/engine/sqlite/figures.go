package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql/driver"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/record"
)

// Figures is one cross-check as SQLite counts it: the rows of a statement, which
// gives four columns: the key as text, and the values to add up, to find the
// smallest and to find the largest of (NULL for what is not asked).
//
// They are added up here and not by SQLite, whose sum() of decimals is binary and
// whose grouping would sort the whole table in memory.
type Figures struct {
	SQL              string
	By, Count        bool
	Sum, First, Last ecluse.Type // Kind empty: not asked
}

// figuresFields are the columns of what a check gives (reader.Session.Check).
var figuresFields = []record.Field{
	{Name: "key", Type: ecluse.Type{Kind: ecluse.Text}},
	{Name: "count", Type: ecluse.Type{Kind: ecluse.Int}},
	{Name: "sum", Type: ecluse.Type{Kind: ecluse.Number}},
	{Name: "first", Type: ecluse.Type{Kind: ecluse.Text}},
	{Name: "last", Type: ecluse.Type{Kind: ecluse.Text}},
}

// SourceFigures composes a check of a read plan: over exactly the rows that its
// dataset takes.
func SourceFigures(p *mandate.ReadPlan, k *mandate.ReadCheck) (*Figures, error) {
	invalid := func(why string) error {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "compose check", Where: k.Name, Why: why}
	}
	d, ok := p.Dataset(k.Dataset)
	if !ok {
		return nil, invalid("the plan has no dataset " + string(k.Dataset))
	}
	s, err := Select(p, d)
	if err != nil {
		return nil, err
	}
	f := &Figures{By: k.By != "", Count: k.Count}
	column := func(name string, t *ecluse.Type) string {
		c, ok := d.Column(name)
		switch {
		case name == "" || err != nil:
			return "NULL"
		case !ok || d.Distinct && c != &d.Columns[0]:
			err = invalid("dataset " + string(k.Dataset) + " has no column " + name)
			return "NULL"
		}
		if t != nil {
			*t = c.Type
		}
		if d.Distinct {
			return s.Outputs[0]
		}
		return output("t", c)
	}
	key := column(k.By, nil)
	if k.By != "" {
		key = "CAST(" + key + " AS TEXT)"
	}
	f.SQL = "SELECT " + strings.Join([]string{key, column(k.Sum, &f.Sum), column(k.First, &f.First), column(k.Last, &f.Last)}, ", ") +
		"\nFROM " + s.from + whereClause(s.where)
	return f, err
}

// TargetFigures composes the target's half of a check.
func TargetFigures(c *ecluse.Catalogue, k *ecluse.ShapeCheck) (*Figures, error) {
	invalid := func(why string) error {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "compose check", Where: k.Name, Why: why}
	}
	t, ok := c.Table(k.Table)
	if !ok {
		return nil, invalid("the target has no table " + k.Table.String())
	}
	f := &Figures{By: k.By != "", Count: k.Count}
	var err error
	column := func(name string, typ *ecluse.Type) string {
		col, ok := t.Column(name)
		switch {
		case name == "" || err != nil:
			return "NULL"
		case !ok:
			err = invalid(k.Table.String() + " has no column " + name)
			return "NULL"
		}
		if typ != nil {
			*typ = col.Type
		}
		return ScanOutput(col)
	}
	key := column(k.By, nil)
	if k.By != "" {
		key = "CAST(" + key + " AS TEXT)"
	}
	f.SQL = "SELECT " + strings.Join([]string{key, column(k.Sum, &f.Sum), column(k.First, &f.First), column(k.Last, &f.Last)}, ", ") +
		"\nFROM " + QuoteTable(t.Name) + " AS t"
	var where []string
	for _, w := range k.Where {
		conds, e := equals(t, w)
		if e != nil {
			return nil, invalid(e.Error())
		}
		where = append(where, conds...)
	}
	f.SQL += whereClause(where)
	return f, err
}

// ScanOutput is the expression by which a column is read back from table t. A
// text is read as text whatever class SQLite made of it on its way in: what is
// compared is what it says.
func ScanOutput(c *ecluse.Column) string {
	if c.Type.Kind == ecluse.Text {
		return "CAST(t." + Quote(c.Name) + " AS TEXT)"
	}
	return "t." + Quote(c.Name)
}

func equals(t *ecluse.Table, w ecluse.ShapeEq) ([]string, error) {
	col, ok := t.Column(w.Column)
	if !ok {
		return nil, fmt.Errorf("%s has no column %s", t.Name, w.Column)
	}
	if w.Null != nil {
		if *w.Null {
			return []string{"t." + Quote(w.Column) + " IS NULL"}, nil
		}
		return []string{"t." + Quote(w.Column) + " IS NOT NULL"}, nil
	}
	c := mandate.ReadCondition{Column: w.Column, Type: col.Type}
	if w.From != nil || w.Before != nil {
		c.Type.Kind = ecluse.Int
		if w.From != nil {
			c.From = strconv.FormatInt(*w.From, 10)
		}
		if w.Before != nil {
			c.Before = strconv.FormatInt(*w.Before, 10)
		}
	} else {
		c.In = []string{w.Equals}
	}
	return condition("t", &c)
}

// Run counts. The batch has a line for each key, in the order of its bytes, null
// first; without By one line, whose key is null.
func (f *Figures) Run(ctx context.Context, c *Conn, what string) (*record.Batch, error) {
	t := &tally{lines: map[string]*line{}}
	for i, typ := range []ecluse.Type{f.Sum, f.First, f.Last} {
		if typ.Kind != "" {
			t.asked[i] = record.NewColumn(typ, 1)
		}
	}
	if !f.By {
		t.null = &line{}
	}
	rows := int64(0)
	err := c.Each(ctx, func(v []driver.Value) error {
		if rows++; rows%8192 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if i := t.add(v); i >= 0 {
			return Misfit(what, rows, figuresFields[2+i].Name, t.asked[i].Type(), v[1+i])
		}
		return nil
	}, f.SQL)
	if err != nil {
		return nil, Strip(what, c.path, err)
	}
	out := record.NewBatch(&record.Schema{Fields: figuresFields}, len(t.lines)+1)
	if t.null != nil {
		out.Columns[0].AppendNull()
		t.null.write(out, f.Count)
	}
	for _, k := range slices.Sorted(maps.Keys(t.lines)) {
		out.Columns[0].AppendString(k)
		t.lines[k].write(out, f.Count)
	}
	return out, nil
}

// tally gathers a check's lines.
type tally struct {
	asked [3]*record.Column // sum, first, last: tells values of the right type
	lines map[string]*line
	null  *line
}

// line is the figures of one key.
type line struct {
	count       int64
	sum         exact
	first, last driver.Value
}

// add takes one row; it returns the place in asked of a value that is not of its
// column's type, or −1.
func (t *tally) add(row []driver.Value) int {
	l := t.null
	if k, ok := row[0].(string); ok {
		if l = t.lines[k]; l == nil {
			l = &line{}
			t.lines[k] = l
		}
	} else if l == nil {
		l = &line{}
		t.null = l
	}
	l.count++
	for i, v := range row[1:] {
		if v == nil {
			continue
		}
		t.asked[i].Reset()
		if !Decode(t.asked[i], v) {
			return i
		}
		switch {
		case i == 0:
			l.sum.add(v)
		case i == 1 && (l.first == nil || compare(v, l.first) < 0):
			l.first = v
		case i == 2 && (l.last == nil || compare(v, l.last) > 0):
			l.last = v
		}
	}
	return -1
}

func (l *line) write(b *record.Batch, count bool) {
	if count {
		b.Columns[1].AppendInt(l.count)
	} else {
		b.Columns[1].AppendNull()
	}
	for i, s := range []string{l.sum.String(), textOf(l.first), textOf(l.last)} {
		null := i == 0 && s == "" || i == 1 && l.first == nil || i == 2 && l.last == nil
		if null {
			b.Columns[2+i].AppendNull()
		} else {
			b.Columns[2+i].AppendString(s)
		}
	}
}

func textOf(v driver.Value) string {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return string(appendNumber(nil, v))
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}

// compare orders two values of one column: numbers by size (NaN last, as
// PostgreSQL has it), texts by bytes.
func compare(a, b driver.Value) int {
	switch x := a.(type) {
	case int64:
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y)
		}
	case float64:
		if y, ok := b.(float64); ok {
			return cmp.Compare(x, y)
		}
	case string:
		if y, ok := b.(string); ok {
			return strings.Compare(x, y)
		}
	case []byte:
		if y, ok := b.([]byte); ok {
			return bytes.Compare(x, y)
		}
	}
	x, nanX := size(a)
	y, nanY := size(b)
	if nanX || nanY {
		return cmp.Compare(bit(nanX), bit(nanY))
	}
	return x.Cmp(y)
}

// size is a number's, exactly.
func size(v driver.Value) (n *big.Float, nan bool) {
	switch v := v.(type) {
	case int64:
		return new(big.Float).SetInt64(v), false
	case float64:
		return new(big.Float).SetFloat64(v), false
	case string:
		if v == "Infinity" || v == "-Infinity" {
			return new(big.Float).SetInf(v[0] == '-'), false
		}
	}
	return nil, true
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// exact is a sum of decimals without rounding. The zero value is no sum at all.
type exact struct {
	n       big.Int // unscaled
	scale   int     // digits after the point
	any     bool
	special string // NaN, Infinity or -Infinity once one was added
}

func (e *exact) add(v driver.Value) {
	e.any = true
	if n, ok := v.(int64); ok {
		e.addUnscaled(big.NewInt(n), 0)
		return
	}
	s := textOf(v)
	if f, ok := v.(float64); ok && math.IsInf(f, 0) || s == "NaN" || strings.HasSuffix(s, "Infinity") {
		if e.special != "" && e.special != s {
			s = "NaN"
		}
		e.special = s
		return
	}
	whole, part, _ := strings.Cut(s, ".")
	n, ok := new(big.Int).SetString(whole+part, 10)
	if !ok {
		e.special = "NaN"
		return
	}
	e.addUnscaled(n, len(part))
}

func (e *exact) addUnscaled(n *big.Int, scale int) {
	switch {
	case scale < e.scale:
		n.Mul(n, power10(e.scale-scale))
	case scale > e.scale:
		e.n.Mul(&e.n, power10(scale-e.scale))
		e.scale = scale
	}
	e.n.Add(&e.n, n)
}

func power10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// String is the sum in plain decimals without trailing zeros; empty when nothing
// was added.
func (e *exact) String() string {
	if !e.any || e.special != "" {
		return e.special
	}
	if e.scale == 0 {
		return e.n.String()
	}
	digits := new(big.Int).Abs(&e.n).String()
	if short := e.scale + 1 - len(digits); short > 0 {
		digits = strings.Repeat("0", short) + digits
	}
	whole, part := digits[:len(digits)-e.scale], strings.TrimRight(digits[len(digits)-e.scale:], "0")
	if e.n.Sign() < 0 {
		whole = "-" + whole
	}
	if part == "" {
		return whole
	}
	return whole + "." + part
}

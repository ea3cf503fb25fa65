package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/record"
)

// Counting is how a check is counted.
type Counting struct {
	Statement string
	name      string
	fields    []Field // what is asked for, by the names of CheckSchema's fields
}

// CheckSchema is the schema of a check's figures.
func CheckSchema() *record.Schema {
	text := ecluse.Type{Kind: ecluse.Text}
	return &record.Schema{Fields: []record.Field{
		{Name: "key", Type: text},
		{Name: "count", Type: ecluse.Type{Kind: ecluse.Int}},
		{Name: "sum", Type: ecluse.Type{Kind: ecluse.Number}},
		{Name: "first", Type: text},
		{Name: "last", Type: text},
	}}
}

// counter gathers the figures of one check.
type counter struct {
	Counting
	items []string
	group string
}

// by groups by a column: texts by their bytes.
func (k *counter) by(quoted string, t ecluse.Type, declared string) {
	w, cast := readAs(t, declared)
	if t.Kind == ecluse.Text && (cast || w != wireUUID) {
		quoted, w = textBytes(quoted), wireText
	}
	k.group = quoted
	k.add("key", t, w, quoted)
}

func (k *counter) add(figure string, t ecluse.Type, w wire, item string) {
	k.fields = append(k.fields, Field{figure, t, w})
	k.items = append(k.items, item+" AS "+name(figure))
}

func (k *counter) count(item string) {
	k.add("count", ecluse.Type{Kind: ecluse.Int}, wireInt8, item)
}

// figures adds sum, first and last of columns that find knows.
func (k *counter) figures(sum, first, last string, find func(string) (ecluse.Type, string, bool)) error {
	for _, f := range []struct{ figure, column, function string }{{"sum", sum, "sum"}, {"first", first, "min"}, {"last", last, "max"}} {
		if f.column == "" {
			continue
		}
		t, declared, ok := find(f.column)
		if !ok || !countable(f.figure, t.Kind) {
			return fmt.Errorf("%s is not counted of %s", f.figure, f.column)
		}
		item := f.function + "(t." + name(f.column) + ")"
		w, _ := readAs(t, declared)
		if f.figure == "sum" {
			t, w, item = ecluse.Type{Kind: ecluse.Number}, wireNumeric, item+"::numeric"
		}
		k.add(f.figure, t, w, item)
	}
	return nil
}

func (k *counter) from(from string, where []string) *Counting {
	q := "SELECT " + strings.Join(k.items, ", ") + " FROM " + from + clause(where)
	if k.group != "" {
		q += " GROUP BY " + k.group + " ORDER BY " + k.group
	}
	k.Statement = copyOut(q)
	return &k.Counting
}

// NewCounting composes how check c of plan p is counted, over the same rows that
// its dataset reads.
func NewCounting(p *mandate.ReadPlan, c *mandate.ReadCheck) (*Counting, error) {
	refuse := func(why string) error {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "compose the statement of check " + c.Name, Why: why}
	}
	d, ok := p.Dataset(c.Dataset)
	if !ok {
		return nil, refuse("the plan has no dataset " + string(c.Dataset))
	}
	r, err := NewReading(p, d)
	if err != nil {
		return nil, err
	}
	k := &counter{Counting: Counting{name: c.Name}}
	if d.Distinct && c.By+c.Sum+c.First+c.Last != "" {
		return nil, refuse("distinct values can only be counted")
	}
	if c.By != "" {
		col, ok := d.Column(c.By)
		if !ok {
			return nil, refuse("its dataset has no column " + c.By)
		}
		k.by("t."+name(c.By), col.Type, col.Declared)
	}
	if c.Count {
		k.count("count(*)")
	}
	err = k.figures(c.Sum, c.First, c.Last, func(n string) (ecluse.Type, string, bool) {
		col, ok := d.Column(n)
		if !ok {
			return ecluse.Type{}, "", false
		}
		return col.Type, col.Declared, true
	})
	if err != nil {
		return nil, refuse(err.Error())
	}
	return k.from(r.from, r.where), nil
}

// countable tells of what kinds a figure is counted.
func countable(figure string, k ecluse.DataKind) bool {
	switch k {
	case ecluse.Int, ecluse.Decimal, ecluse.Number:
		return true
	case ecluse.Date, ecluse.Time, ecluse.Timestamp, ecluse.Instant:
		return figure != "sum"
	}
	return false
}

// newTargetCounting composes the target's half of a cross-check.
func newTargetCounting(t *ecluse.Table, c *ecluse.ShapeCheck) (*Counting, error) {
	refuse := func(why string) error {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "count check " + c.Name, Where: t.Name.String(), Why: why}
	}
	k := &counter{Counting: Counting{name: c.Name}}
	if c.By != "" {
		col, ok := t.Column(c.By)
		if !ok {
			return nil, refuse("there is no column " + c.By)
		}
		k.by("t."+name(c.By), col.Type, col.Declared) // as the target writes it: who compares takes Minus off
	}
	if c.Count {
		k.count("count(*)")
	}
	err := k.figures(c.Sum, c.First, c.Last, func(n string) (ecluse.Type, string, bool) {
		col, ok := t.Column(n)
		if !ok {
			return ecluse.Type{}, "", false
		}
		return col.Type, col.Declared, true
	})
	if err != nil {
		return nil, refuse(err.Error())
	}
	where, err := targetWhere(t, c.Where)
	if err != nil {
		return nil, refuse(err.Error())
	}
	return k.from(Name(t.Name)+" AS t", where), nil
}

func targetWhere(t *ecluse.Table, eqs []ecluse.ShapeEq) ([]string, error) {
	var all []string
	for _, w := range eqs {
		col, ok := t.Column(w.Column)
		if !ok {
			return nil, fmt.Errorf("there is no column %s", w.Column)
		}
		quoted := "t." + name(w.Column)
		if w.Null != nil && *w.Null {
			all = append(all, quoted+" IS NULL")
			continue
		}
		if w.Null != nil {
			all = append(all, quoted+" IS NOT NULL")
		}
		if w.From != nil {
			all = append(all, quoted+" >= "+strconv.FormatInt(*w.From, 10))
		}
		if w.Before != nil {
			all = append(all, quoted+" < "+strconv.FormatInt(*w.Before, 10))
		}
		if w.Null != nil || w.From != nil || w.Before != nil {
			continue
		}
		left, typ, err := compared(quoted, col.Type)
		if err != nil {
			return nil, err
		}
		all = append(all, left+" = "+literal(w.Equals)+"::"+typ)
	}
	return all, nil
}

// Run counts, on a connection inside an epoch or a snapshot.
func (k *Counting) Run(ctx context.Context, conn *Conn) (*record.Batch, error) {
	out := record.NewBatch(CheckSchema(), 16)
	batch := record.NewBatch(Schema(k.fields), 16)
	d, err := NewDecoder(k.fields, func(full *record.Batch) (*record.Batch, error) {
		if full != nil {
			k.append(out, full)
		}
		return batch, nil
	})
	if err != nil {
		return nil, err
	}
	if _, err = conn.CopyOut(ctx, k.Statement, d); err == nil {
		err = d.Close()
	}
	if err != nil {
		return nil, Wrap(ctx, "count check "+k.name, "", err)
	}
	return out, nil
}

func (k *Counting) append(out, full *record.Batch) {
	for i, f := range out.Schema.Fields {
		from, to := full.Column(f.Name), out.Columns[i]
		for row := range full.Rows() {
			switch {
			case from == nil || from.Null(row):
				to.AppendNull()
			case f.Type.Kind == ecluse.Int:
				to.AppendInt(from.Int(row))
			default:
				to.CloseValue(record.AppendPlain(to.Grow(), from, row))
			}
		}
	}
}

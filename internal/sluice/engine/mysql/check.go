package mysql

import (
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/record"
)

// Counting is how a check of the plan is counted, over the same rows that its
// dataset reads.
type Counting struct {
	Refs      []Ref
	Statement string

	figures []figure
}

// figure is one column of the answer: where it goes and how it is written.
type figure struct {
	name   string // field of CheckSchema
	decode decodeFunc
	typ    ecluse.Type
	column string
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

// NewCounting composes how check c of plan p is counted.
func NewCounting(p *mandate.ReadPlan, c *mandate.ReadCheck) (*Counting, error) {
	d, ok := p.Dataset(c.Dataset)
	if !ok {
		return nil, wrongCheck(c, "the plan has no dataset "+string(c.Dataset))
	}
	b, err := newBuilder(p, d)
	if err != nil {
		return nil, err
	}
	var from string
	var where []string
	if d.View != "" {
		from, err = b.view(d)
	} else {
		from, where, err = b.rows(d)
	}
	if err != nil {
		return nil, err
	}
	out := &Counting{Refs: b.refs}
	selects, group, err := out.selects(d, c, b.alias)
	if err != nil {
		return nil, err
	}
	out.Statement = "SELECT " + strings.Join(selects, ", ") + "\nFROM " + from
	if d.Distinct {
		where = append(where, b.alias+"."+name(d.Columns[0].Name)+" IS NOT NULL")
	}
	if len(where) > 0 {
		out.Statement += "\nWHERE " + strings.Join(where, "\n  AND ")
	}
	if group != "" {
		out.Statement += "\nGROUP BY " + group + "\nORDER BY " + group
	}
	return out, nil
}

func wrongCheck(c *mandate.ReadCheck, why string) error {
	return &ecluse.Error{Kind: ecluse.Invalid, What: "compose the statement of check " + c.Name, Why: why}
}

func (o *Counting) selects(d *mandate.ReadDataset, c *mandate.ReadCheck, alias string) (selects []string, group string, err error) {
	column := func(n string) (*mandate.ReadColumn, declared, string, error) {
		col, ok := d.Column(n)
		if !ok {
			return nil, declared{}, "", wrongCheck(c, "its dataset has no column "+n)
		}
		return col, parseDeclared(col.Declared), alias + "." + name(n), nil
	}
	if d.Distinct && (c.By != "" || c.Sum+c.First+c.Last != "") {
		return nil, "", wrongCheck(c, "distinct values can only be counted")
	}
	if c.By != "" {
		col, decl, quoted, err := column(c.By)
		if err != nil {
			return nil, "", err
		}
		group = decl.orderExpr(quoted)
		key := decl.valueExpr(quoted, col.AsText)
		if decl.text() {
			key = group
		}
		selects = append(selects, key)
		o.figures = append(o.figures, figure{"key", decodeOf(decl, col.AsText), col.Type, c.By})
	}
	if c.Count {
		count := "COUNT(*)"
		if d.Distinct {
			_, decl, quoted, err := column(d.Columns[0].Name)
			if err != nil {
				return nil, "", err
			}
			count = "COUNT(DISTINCT " + decl.orderExpr(quoted) + ")"
		}
		selects = append(selects, count)
		o.figures = append(o.figures, figure{"count", decodeInt, ecluse.Type{Kind: ecluse.Int}, ""})
	}
	for _, f := range []struct{ name, function, column string }{{"sum", "SUM", c.Sum}, {"first", "MIN", c.First}, {"last", "MAX", c.Last}} {
		if f.column == "" {
			continue
		}
		col, decl, quoted, err := column(f.column)
		if err != nil {
			return nil, "", err
		}
		fig := figure{f.name, decodeOf(decl, false), decl.Type(), f.column}
		switch kind := decl.Type().Kind; {
		case col.AsText, kind == ecluse.Text, kind == ecluse.Bytes, kind == ecluse.Float,
			f.name == "sum" && kind != ecluse.Int && kind != ecluse.Decimal && kind != ecluse.Number:
			return nil, "", wrongCheck(c, f.column+" is not of a kind that "+f.name+" is counted of")
		case f.name == "sum", decl.base == "bit":
			quoted, fig.decode, fig.typ = quoted+" + 0", decodeNumber, ecluse.Type{Kind: ecluse.Number}
		}
		selects = append(selects, f.function+"("+quoted+")")
		o.figures = append(o.figures, fig)
	}
	if len(o.figures) == 0 {
		return nil, "", wrongCheck(c, "it counts nothing")
	}
	return selects, group, nil
}

// Append adds a row of the answer to a batch of CheckSchema.
func (o *Counting) Append(b *record.Batch, row Row) error {
	rows := b.Rows()
	for i, f := range o.figures {
		if row[i] == nil {
			continue
		}
		v := record.NewColumn(f.typ, 1)
		err := f.decode(v, row[i])
		if err != nil {
			return &ecluse.Error{Kind: ecluse.Invalid, What: "count a check", Where: "column " + f.column, Why: err.Error()}
		}
		switch to := b.Column(f.name); {
		case f.name == "count":
			to.AppendInt(v.Int(0))
		default:
			to.CloseValue(record.AppendPlain(to.Grow(), v, 0))
		}
	}
	for _, c := range b.Columns {
		if c.Len() == rows {
			c.AppendNull()
		}
	}
	return nil
}

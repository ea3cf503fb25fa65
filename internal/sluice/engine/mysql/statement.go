package mysql

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/record"
)

// Ref is a table or view that a statement names, with the alias it names it by:
// under LOCK TABLES each alias is a lock of its own.
type Ref struct {
	Table ecluse.TableName
	Alias string
}

// Reading is how one dataset of a plan is read: the statement, the order of its
// rows and the decoding of its columns.
type Reading struct {
	Dataset *mandate.ReadDataset
	Schema  *record.Schema
	Refs    []Ref

	selects []string
	columns []columnDecoder
	intact  []intactCheck
	keys    []keyPart // in which rows ascend; empty where they have no key
	counted bool      // rows are counted from the start: the keys are not unique, or of a distinct value
	order   []string
	from    string
	where   []string
}

// intactCheck is a selected truth: the text of a column survived its conversion.
type intactCheck struct {
	at     int
	column string
}

// keyPart is one column of the key that rows are ordered and resumed by.
type keyPart struct {
	at       int // in the select list
	expr     string
	integer  bool
	unsigned bool // an integer that the driver gives as uint64
}

// Keyed tells a dataset read in the order of a unique key from one whose rows
// are ordered by all that travels of them and counted.
func (r *Reading) Keyed() bool { return !r.counted }

// Seeks tells a dataset that can be taken up anywhere without sorting it again: its
// key is whole numbers, which an index has in their order.
func (r *Reading) Seeks() bool {
	return r.Keyed() && !slices.ContainsFunc(r.keys, func(k keyPart) bool { return !k.integer })
}

// NewReading composes how dataset d of plan p is read. Through a granted view the
// conditions stand inside the view.
func NewReading(p *mandate.ReadPlan, d *mandate.ReadDataset) (*Reading, error) {
	b, err := newBuilder(p, d)
	if err != nil {
		return nil, err
	}
	r := &Reading{Dataset: d, Schema: &record.Schema{}}
	if d.View == "" {
		r.from, r.where, err = b.rows(d)
	} else {
		r.from, err = b.view(d)
	}
	if err != nil {
		return nil, err
	}
	r.Refs = b.refs
	if d.Distinct {
		return r, r.readDistinct(b.alias)
	}
	for i := range d.Columns {
		if err := r.readColumn(&d.Columns[i], b.alias); err != nil {
			return nil, err
		}
	}
	if d.KeyUnique && len(d.Key) > 0 {
		for _, k := range d.Key {
			r.keyBy(k, b.alias)
		}
		return r, nil
	}
	r.counted = true
	// Rows that are equal in all that travels of them are interchangeable: any
	// order of the others is the same order every time.
	for i := range d.Columns {
		r.orderBy(&d.Columns[i], b.alias)
	}
	return r, nil
}

var charsetName = regexp.MustCompile(`^[a-z0-9_]*$`)

func (r *Reading) readColumn(c *mandate.ReadColumn, alias string) error {
	d := parseDeclared(c.Declared)
	if !charsetName.MatchString(d.charset) {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "compose the statement of dataset " + string(r.Dataset.Dataset), Where: "column " + c.Name, Why: "its character set has no name"}
	}
	quoted := alias + "." + name(c.Name)
	dec, err := decoderFor(c, d)
	if err != nil {
		return err
	}
	dec.at = r.sel(d.valueExpr(quoted, c.AsText), c.Name)
	r.columns = append(r.columns, dec)
	r.Schema.Fields = append(r.Schema.Fields, record.Field{Name: c.Name, Type: c.Type})
	if e := d.intactExpr(quoted); e != "" {
		r.intact = append(r.intact, intactCheck{r.sel(e, ""), c.Name})
	}
	return nil
}

// sel adds an expression to the select list, once, and says where it is.
func (r *Reading) sel(expr, as string) int {
	for i, s := range r.selects {
		if s == expr || strings.HasPrefix(s, expr+" AS ") {
			return i
		}
	}
	if as != "" && !strings.HasSuffix(expr, "."+name(as)) {
		expr += " AS " + name(as)
	}
	r.selects = append(r.selects, expr)
	return len(r.selects) - 1
}

func (r *Reading) keyBy(column, alias string) {
	quoted := alias + "." + name(column)
	k := keyPart{expr: textBytes(quoted)}
	if d, ok := columnOf(r.Dataset, column); ok {
		k = keyPart{expr: d.orderExpr(quoted), integer: d.integer(), unsigned: d.base == "bigint" && d.unsigned}
	}
	k.at = r.sel(k.expr, "")
	r.keys = append(r.keys, k)
	r.order = append(r.order, k.expr)
}

func (r *Reading) orderBy(c *mandate.ReadColumn, alias string) {
	d := parseDeclared(c.Declared)
	e := d.orderExpr(alias + "." + name(c.Name))
	if d.long() {
		e = "SHA2(" + e + ", 256)"
	}
	r.order = append(r.order, e)
}

// readDistinct reads the distinct values of one column, by bytes, in the order
// of their bytes, with their place from 1.
func (r *Reading) readDistinct(alias string) error {
	c := &r.Dataset.Columns[0]
	d := parseDeclared(c.Declared)
	if len(r.Dataset.Columns) != 2 || r.Dataset.Columns[1].Type.Kind != ecluse.Int {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "compose the statement of dataset " + string(r.Dataset.Dataset), Why: "a distinct dataset has one column and its ordinal"}
	}
	if err := r.readColumn(c, alias); err != nil {
		return err
	}
	quoted := alias + "." + name(c.Name)
	e := d.orderExpr(quoted)
	if d.integer() {
		e = textBytes(quoted)
	}
	r.selects[0] = e + " AS " + name(c.Name) // its bytes, so that DISTINCT compares them
	r.counted, r.keys = true, []keyPart{{at: 0, expr: e}}
	r.where = append(r.where, quoted+" IS NOT NULL")
	r.order = append(r.order, e)
	r.columns = append(r.columns, columnDecoder{name: r.Dataset.Columns[1].Name, at: -1})
	r.Schema.Fields = append(r.Schema.Fields, record.Field{Name: r.Dataset.Columns[1].Name, Type: r.Dataset.Columns[1].Type})
	return nil
}

// Span says which rows of a dataset a statement is for.
type Span struct {
	After *Position // nil: from the start
	Limit int64     // 0: to the end
	In    []Range   // of the key, where it can be found by ranges; nil: all
}

// Range is the whole numbers from one to another, both included.
type Range struct{ From, To int64 }

// Ranges tells a dataset whose rows can be found by ranges of its key: one whole number.
func (r *Reading) Ranges() bool {
	return r.Seeks() && len(r.keys) == 1 && !r.keys[0].unsigned && !r.Dataset.Distinct
}

// in is "the key is in one of these ranges".
func (r *Reading) in(ranges []Range) string {
	all := make([]string, len(ranges))
	for i, x := range ranges {
		all[i] = fmt.Sprintf("%s BETWEEN %d AND %d", r.keys[0].expr, x.From, x.To)
	}
	return "(" + strings.Join(all, " OR ") + ")"
}

// Statement is the statement for a span of rows.
func (r *Reading) Statement(s Span) string {
	var b strings.Builder
	b.WriteString("SELECT ")
	if r.Dataset.Distinct {
		b.WriteString("DISTINCT ")
	}
	b.WriteString(strings.Join(r.selects, ", ") + "\nFROM " + r.from)
	where := r.where
	if s.After != nil && r.Keyed() {
		where = append(where[:len(where):len(where)], r.after(s.After.Key))
	}
	if len(s.In) > 0 {
		where = append(where[:len(where):len(where)], r.in(s.In))
	}
	if len(where) > 0 {
		b.WriteString("\nWHERE " + strings.Join(where, "\n  AND "))
	}
	if len(r.order) > 0 {
		b.WriteString("\nORDER BY " + strings.Join(r.order, ", "))
	}
	offset := int64(0)
	if s.After != nil && !r.Keyed() {
		offset = s.After.Ordinal
	}
	switch {
	case s.Limit > 0:
		fmt.Fprintf(&b, "\nLIMIT %d OFFSET %d", s.Limit, offset)
	case offset > 0:
		fmt.Fprintf(&b, "\nLIMIT 18446744073709551615 OFFSET %d", offset)
	}
	return b.String()
}

// after is "the key is greater than this one". The first part stands alone too,
// for the index.
func (r *Reading) after(key [][]byte) string {
	last := len(r.keys) - 1
	cond := r.keys[last].expr + " > " + r.keys[last].literal(key[last])
	for i := last - 1; i >= 0; i-- {
		e, l := r.keys[i].expr, r.keys[i].literal(key[i])
		cond = "(" + e + " > " + l + " OR " + e + " = " + l + " AND " + cond + ")"
	}
	if last > 0 {
		cond = r.keys[0].expr + " >= " + r.keys[0].literal(key[0]) + " AND " + cond
	}
	return cond
}

// builder names tables and gathers conditions for one statement.
type builder struct {
	plan  *mandate.ReadPlan
	alias string // of the dataset's own table
	refs  []Ref
}

func newBuilder(p *mandate.ReadPlan, d *mandate.ReadDataset) (*builder, error) {
	for i := range p.Datasets {
		if p.Datasets[i].Dataset == d.Dataset {
			return &builder{plan: p, alias: "d" + strconv.Itoa(i)}, nil
		}
	}
	return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "compose the statement of dataset " + string(d.Dataset), Why: "the plan has no such dataset"}
}

// ref names a table; the dataset's own first, then those of its conditions.
func (b *builder) ref(t ecluse.TableName) string {
	alias := b.alias
	if n := len(b.refs); n > 0 {
		alias += "_" + strconv.Itoa(n)
	}
	b.refs = append(b.refs, Ref{t, alias})
	return alias
}

// rows is the dataset's own table and its conditions.
func (b *builder) rows(d *mandate.ReadDataset) (from string, where []string, err error) {
	alias := b.ref(d.From)
	where, err = b.conditions(d, alias, 0)
	return tableName(d.From) + " AS " + alias, where, err
}

// view is the granted view of a dataset.
func (b *builder) view(d *mandate.ReadDataset) (from string, err error) {
	v, err := viewName(d)
	if err != nil {
		return "", err
	}
	return tableName(v) + " AS " + b.ref(v), nil
}

func viewName(d *mandate.ReadDataset) (ecluse.TableName, error) {
	v, err := ecluse.ParseTableName(d.View)
	if err == nil && v.Schema == "" {
		err = fmt.Errorf("want database.view")
	}
	if err != nil {
		return v, &ecluse.Error{Kind: ecluse.Invalid, What: "compose the statement of dataset " + string(d.Dataset), Where: "view", Why: "it names no view in a database", Err: err}
	}
	return v, nil
}

// conditions of a dataset, those of the datasets it lies within included.
func (b *builder) conditions(d *mandate.ReadDataset, alias string, depth int) ([]string, error) {
	all, err := conditions(d, alias)
	if err != nil {
		return nil, err
	}
	for _, w := range d.Within {
		c, err := b.within(d, &w, alias, depth)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// within is "the row's columns are the key of a row that the other dataset takes".
// IN, not EXISTS: servers make a hash of the inner rows once, where texts compared
// by bytes would have them search the whole inner table for every row.
func (b *builder) within(d *mandate.ReadDataset, w *mandate.ReadWithin, alias string, depth int) (string, error) {
	wrong := func(why string) error {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "compose the statement of dataset " + string(d.Dataset), Where: "within " + string(w.Dataset), Why: why}
	}
	var outer *mandate.ReadDataset
	for i := range b.plan.Datasets {
		if b.plan.Datasets[i].Dataset == w.Dataset {
			outer = &b.plan.Datasets[i]
		}
	}
	switch {
	case outer == nil:
		return "", wrong("the plan has no such dataset")
	case depth >= len(b.plan.Datasets):
		return "", wrong("the datasets lie within each other in a circle")
	case len(w.Columns) == 0 || len(w.Columns) != len(outer.Key):
		return "", wrong("its columns are not as many as that dataset's key has")
	}
	inner := b.ref(outer.From)
	here, there := make([]string, len(w.Columns)), make([]string, len(w.Columns))
	for i, column := range w.Columns {
		h, t := alias+"."+name(column), inner+"."+name(outer.Key[i])
		hd, hok := columnOf(d, column)
		td, tok := columnOf(outer, outer.Key[i])
		if !tok || td.Type().Kind == ecluse.Text || hok && hd.Type().Kind != td.Type().Kind {
			h, t = textBytes(h), textBytes(t) // by bytes; other kinds have no collation
		}
		here[i], there[i] = h, t
	}
	where, err := b.conditions(outer, inner, depth+1)
	if err != nil {
		return "", err
	}
	s := strings.Join(here, ", ")
	if len(here) > 1 {
		s = "(" + s + ")"
	}
	s += " IN (SELECT " + strings.Join(there, ", ") + " FROM " + tableName(outer.From) + " AS " + inner
	if len(where) > 0 {
		s += " WHERE " + strings.Join(where, " AND ")
	}
	return s + ")", nil
}

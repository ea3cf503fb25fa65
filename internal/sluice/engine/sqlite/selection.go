package sqlite

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
)

// Selection is a dataset's rows as SQLite finds them: what is asked for, from
// where, which rows, in what order.
type Selection struct {
	Outputs []string // expressions: the plan's columns, then what else the order needs
	Order   []Key    // rows are read in this order
	// Sorted tells that no index gives the order. Rows equal in all of Order may
	// then exist, and are equal in all that is read.
	Sorted bool
	from   string
	where  []string
}

// Key is one expression that rows are ordered by, compared by By, and found in
// output Out. A key of an order that is not Sorted is never null.
type Key struct {
	By  string
	Out int
}

// Select composes the selection of a dataset of plan p:
//
//   - a table with rowids in the order of its rowids, which is the order it lies in;
//   - a table without, by its key;
//   - a view, or what has no unique key, sorted by its key, then by all that is read;
//   - a distinct column's values, nulls left out, by their bytes.
func Select(p *mandate.ReadPlan, d *mandate.ReadDataset) (*Selection, error) {
	where, err := conditions(p, d, "t", 0)
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "compose statement", Where: "dataset " + string(d.Dataset), Err: err}
	}
	s := &Selection{where: where}
	table := QuoteTable(d.From) + " AS t"
	if d.Distinct {
		col := &d.Columns[0]
		s.where = append(s.where, "t."+Quote(col.Name)+" IS NOT NULL")
		s.from = fmt.Sprintf("(SELECT DISTINCT %s COLLATE BINARY AS v FROM %s%s) AS d", output("t", col), table, whereClause(s.where))
		s.Outputs, s.Order, s.where = []string{"d.v"}, []Key{{By: "d.v COLLATE BINARY"}}, nil
		s.Sorted = true
		return s, nil
	}
	s.from = table
	for i := range d.Columns {
		s.Outputs = append(s.Outputs, output("t", &d.Columns[i]))
	}
	switch d.Storage {
	case StorageRowid:
		name := rowidName(verdictColumns(p, d.From))
		if name == "" {
			return nil, ecluse.Errorf(ecluse.Differs, "compose statement", "table %s has no name left for its rowid", d.From)
		}
		s.from += " NOT INDEXED" // no index may change the order or cost a sort
		s.key("t."+name, "t."+name)
	case StorageKeyed:
		if d.KeyUnique {
			for _, k := range d.Key {
				s.key("t."+Quote(k), "+t."+Quote(k))
			}
			break
		}
		s.sorted(d)
	default:
		s.sorted(d)
	}
	return s, nil
}

// sorted orders by the key, then by everything that is read.
func (s *Selection) sorted(d *mandate.ReadDataset) {
	s.Sorted = true
	for _, k := range d.Key {
		s.key("t."+Quote(k)+" COLLATE BINARY", "+t."+Quote(k))
	}
	for _, e := range s.Outputs[:len(d.Columns)] {
		s.key(e+" COLLATE BINARY", e)
	}
}

// key adds an expression to the order, and to the outputs unless it is there.
func (s *Selection) key(by, out string) {
	at := slices.Index(s.Outputs, out)
	if at < 0 {
		at = len(s.Outputs)
		s.Outputs = append(s.Outputs, out)
	}
	if !slices.ContainsFunc(s.Order, func(k Key) bool { return k.By == by }) {
		s.Order = append(s.Order, Key{By: by, Out: at})
	}
}

// verdictColumns are all columns of a table, as the plan lists them.
func verdictColumns(p *mandate.ReadPlan, table ecluse.TableName) []string {
	var names []string
	for _, v := range p.Verdicts {
		if v.Table != table {
			continue
		}
		for _, c := range v.Columns {
			names = append(names, c.Column)
		}
	}
	return names
}

// SQL is the statement, with more conditions and a limit (0: none) for a part of
// the rows.
func (s *Selection) SQL(limit int64, and ...string) string {
	by := make([]string, len(s.Order))
	for i, k := range s.Order {
		by[i] = k.By
	}
	sql := "SELECT " + strings.Join(s.Outputs, ", ") + "\nFROM " + s.from +
		whereClause(append(slices.Clone(s.where), and...)) + "\nORDER BY " + strings.Join(by, ", ")
	if limit > 0 {
		sql += "\nLIMIT " + strconv.FormatInt(limit, 10)
	}
	return sql
}

// Beyond is the condition that a row comes after the key given by parameters
// ?first, ?first+1, …; in a sorted selection, at it too, since others may be equal.
// nulls says which of the parameters are null.
func (s *Selection) Beyond(first int, nulls []bool) string {
	if s.Sorted {
		return s.sortedBy(">", first, nulls)
	}
	return s.indexed(">", first)
}

// UpTo is the condition that a row comes before such a key or at it.
func (s *Selection) UpTo(first int, nulls []bool) string {
	if s.Sorted {
		return s.sortedBy("<", first, nulls)
	}
	return s.indexed("<=", first)
}

// indexed compares keys that are never null, in the way an index serves.
func (s *Selection) indexed(op string, first int) string {
	keys, params := make([]string, len(s.Order)), make([]string, len(s.Order))
	for i, k := range s.Order {
		keys[i], params[i] = k.By, fmt.Sprintf("?%d", first+i)
	}
	if len(keys) == 1 {
		return keys[0] + " " + op + " " + params[0]
	}
	return "(" + strings.Join(keys, ", ") + ") " + op + " (" + strings.Join(params, ", ") + ")"
}

// sortedBy compares keys whose values may be null: nulls come first in SQLite's
// order, and no comparison with one is true. Equal keys pass.
func (s *Selection) sortedBy(op string, first int, nulls []bool) string {
	var b strings.Builder
	for i, k := range s.Order {
		param := fmt.Sprintf("?%d", first+i)
		strict := k.By + " " + op + " " + param
		switch {
		case op == ">" && nulls[i]:
			strict = k.By + " IS NOT NULL"
		case op == "<" && nulls[i]:
			strict = "FALSE"
		case op == "<":
			strict = "(" + strict + " OR " + k.By + " IS NULL)"
		}
		fmt.Fprintf(&b, "(%s OR (%s IS %s AND ", strict, k.By, param)
	}
	return b.String() + "TRUE" + strings.Repeat("))", len(s.Order))
}

// output is the expression of a column that travels. Through the sign + a column
// loses its declared type, by which the driver would make a time of some texts.
func output(alias string, c *mandate.ReadColumn) string {
	e := alias + "." + Quote(c.Name)
	switch {
	case c.AsText:
		return "CAST(" + e + " AS TEXT)"
	case dated(c.Declared):
		return "+" + e
	}
	return e
}

func whereClause(conds []string) string {
	if len(conds) == 0 {
		return ""
	}
	return "\nWHERE " + strings.Join(conds, "\n  AND ")
}

// conditions are those of a dataset, and that a row of each dataset it lies
// within exists, whose own conditions hold in turn.
func conditions(p *mandate.ReadPlan, d *mandate.ReadDataset, alias string, depth int) ([]string, error) {
	if depth > len(p.Datasets) {
		return nil, fmt.Errorf("datasets lie within each other in a circle")
	}
	var out []string
	for i := range d.Where {
		conds, err := condition(alias, &d.Where[i])
		if err != nil {
			return nil, fmt.Errorf("condition on %s: %w", d.Where[i].Column, err)
		}
		out = append(out, conds...)
	}
	for n, w := range d.Within {
		parent, ok := p.Dataset(w.Dataset)
		if !ok || len(parent.Key) != len(w.Columns) || len(w.Columns) == 0 {
			return nil, fmt.Errorf("within %s: its key does not fit", w.Dataset)
		}
		other := fmt.Sprintf("%s_%d", alias, n+1)
		conds := make([]string, 0, len(w.Columns))
		for i, c := range w.Columns {
			conds = append(conds, fmt.Sprintf("%s.%s = %s.%s COLLATE BINARY", other, Quote(parent.Key[i]), alias, Quote(c)))
		}
		more, err := conditions(p, parent, other, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, fmt.Sprintf("EXISTS (SELECT 1 FROM %s AS %s WHERE %s)", QuoteTable(parent.From), other, strings.Join(append(conds, more...), " AND ")))
	}
	return out, nil
}

var plainNumber = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// condition composes a condition on one column. It holds only for values of the
// column's own kind: a text in a column of numbers is beyond no bound.
func condition(alias string, c *mandate.ReadCondition) ([]string, error) {
	e := alias + "." + Quote(c.Column)
	var out []string
	literal := quoteText
	var bad error
	switch c.Type.Kind {
	case ecluse.Text:
		e = "CAST(" + e + " AS TEXT) COLLATE BINARY"
	case ecluse.Bool:
		literal = func(s string) string {
			if s != "true" && s != "false" {
				bad = fmt.Errorf("want true or false")
			}
			return s
		}
	default:
		classes := "IN ('integer', 'real')"
		if c.Type.Kind == ecluse.Int {
			classes = "= 'integer'"
		}
		if c.From != "" || c.Before != "" || len(c.In) > 0 {
			out = append(out, "typeof("+e+") "+classes)
		}
		literal = func(s string) string {
			if !plainNumber.MatchString(s) {
				bad = fmt.Errorf("want a number")
			}
			return s
		}
	}
	if c.NotNull {
		out = append(out, e+" IS NOT NULL")
	}
	if c.From != "" {
		out = append(out, e+" >= "+literal(c.From))
	}
	if c.Before != "" {
		out = append(out, e+" < "+literal(c.Before))
	}
	if len(c.In) > 0 {
		in := make([]string, len(c.In))
		for i, v := range c.In {
			in[i] = literal(v)
		}
		out = append(out, e+" IN ("+strings.Join(in, ", ")+")")
	}
	return out, bad
}

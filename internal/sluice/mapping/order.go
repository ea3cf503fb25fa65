package mapping

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"ecluse"
)

// link is what decides where a dataset stands in the order of loading.
type link struct {
	dataset ecluse.DatasetID
	name    string
	lookups []string           // tables looked up
	tables  []ecluse.TableName // tables written, in order
	refers  []reference
}

// reference is a foreign key whose columns are all written.
type reference struct {
	key string
	to  ecluse.TableName
}

// writes notes a written table and the foreign keys it brings.
func (l *link) writes(tab *ecluse.Table, in *Into) {
	for _, fk := range tab.ForeignKeys {
		written := true
		for _, c := range fk.Columns {
			col, ok := in.Columns.Get(c)
			written = written && ok && col.Value != "null"
		}
		if written && fk.References != tab.Name && !slices.Contains(l.tables, fk.References) {
			l.refers = append(l.refers, reference{fk.Name, fk.References})
		}
	}
	l.tables = append(l.tables, tab.Name)
}

// order is the datasets as they are loaded: look-ups and foreign keys decide,
// then held ones come first, then the mapping's own order. The text says why
// there is no order.
func (k *checking) order() ([]ecluse.DatasetID, string) {
	needs := map[int]map[int]string{} // dataset by place: whom it comes after, and why
	after := func(i, j int, why string) {
		if needs[i] == nil {
			needs[i] = map[int]string{}
		}
		if needs[i][j] == "" {
			needs[i][j] = why
		}
	}
	for i, l := range k.links {
		for _, t := range sorted(l.lookups) {
			if j := slices.IndexFunc(k.links, func(o link) bool { return o.name == t }); j >= 0 && j != i && k.held(t) {
				after(i, j, fmt.Sprintf("%s looks up %s", l.name, t))
			}
		}
		for _, r := range l.refers {
			if slices.Contains(l.tables, r.to) {
				k.add("from."+l.name, fmt.Sprintf("write %s before what refers to it (%s)", r.to, r.key))
				continue
			}
			for j, o := range k.links {
				if j != i && slices.Contains(o.tables, r.to) {
					after(i, j, fmt.Sprintf("%s refers to %s of %s (%s)", l.name, r.to, o.name, r.key))
				}
			}
		}
	}
	var order []ecluse.DatasetID
	done := map[int]bool{}
	for len(order) < len(k.links) {
		next := -1
		for i, l := range k.links {
			if done[i] || !ready(needs[i], done) {
				continue
			}
			if next < 0 || k.held(l.name) && !k.held(k.links[next].name) {
				next = i
			}
		}
		if next < 0 {
			return nil, "no order: " + strings.Join(cycle(needs, done), "; ")
		}
		done[next] = true
		order = append(order, k.links[next].dataset)
	}
	return order, ""
}

func (k *checking) held(name string) bool {
	_, ok := k.doc.Hold.Get(name)
	return ok
}

func ready(needs map[int]string, done map[int]bool) bool {
	for j := range needs {
		if !done[j] {
			return false
		}
	}
	return true
}

// cycle tells the reasons of the datasets that wait for one another.
func cycle(needs map[int]map[int]string, done map[int]bool) []string {
	var why []string
	for i, n := range needs {
		for j, w := range n {
			if !done[i] && !done[j] {
				why = append(why, w)
			}
		}
	}
	sort.Strings(why)
	return why
}

func sorted(s []string) []string {
	c := slices.Clone(s)
	sort.Strings(c)
	return c
}

// sequences checks "sequence: table.column".
func (k *checking) sequences() {
	for seq, column := range k.doc.Sequences.All() {
		field := "sequences." + seq
		name, err := ecluse.ParseTableName(seq)
		if err != nil {
			k.add(field, err.Error())
			continue
		}
		if !slices.ContainsFunc(k.in.Target.Sequences, func(s ecluse.Sequence) bool { return s.Name == name }) {
			k.add(field, "the target has no such sequence")
		}
		at := strings.LastIndexByte(*column, '.')
		table, err := ecluse.ParseTableName((*column)[:max(at, 0)])
		if err != nil {
			k.add(field, "want table.column")
			continue
		}
		col := (*column)[at+1:]
		if c := k.column(field, table, col); c != nil && !numbers(c.Type) {
			k.add(field, "a sequence follows whole numbers")
		}
		k.program.shape.Sequences = append(k.program.shape.Sequences, ecluse.ShapeSequence{Sequence: name, Table: table, Column: col})
	}
	s := k.program.shape.Sequences
	sort.Slice(s, func(i, j int) bool { return s[i].Sequence.Less(s[j].Sequence) })
}

// column finds a column of the target, or notes that there is none.
func (k *checking) column(field string, table ecluse.TableName, name string) *ecluse.Column {
	tab, ok := k.in.Target.Table(table)
	if !ok {
		k.add(field, "the target has no table "+table.String())
		return nil
	}
	c, ok := tab.Column(name)
	if !ok {
		k.add(field, fmt.Sprintf("%s has no column %s", table, name))
		return nil
	}
	return c
}

// checks checks the target's half of the cross-checks.
func (k *checking) checks() {
	for name, f := range k.doc.Checks.All() {
		field := "checks." + name
		if !f.Count && f.Sum == "" && f.First == "" && f.Last == "" {
			k.add(field, "no figure: count, sum, first or last")
		}
		c := ecluse.ShapeCheck{Name: name, Table: f.Table, Count: f.Count, Sum: f.Sum, First: f.First, Last: f.Last, By: f.By, Minus: f.Minus, Codes: f.Codes}
		if f.Sum != "" {
			if col := k.column(field+".sum", f.Table, f.Sum); col != nil && !slices.Contains([]ecluse.DataKind{ecluse.Int, ecluse.Decimal, ecluse.Number}, col.Type.Kind) {
				k.add(field+".sum", "only exact numbers are added up")
			}
		}
		for key, column := range map[string]string{"first": f.First, "last": f.Last} {
			if column == "" {
				continue
			}
			if col := k.column(field+"."+key, f.Table, column); col != nil && slices.Contains([]ecluse.DataKind{ecluse.Text, ecluse.Bytes, ecluse.Bool, ecluse.Float}, col.Type.Kind) {
				k.add(field+"."+key, "want a date, a time or an exact number")
			}
		}
		if f.By != "" {
			if col := k.column(field+".by", f.Table, f.By); col != nil && f.Minus != 0 && !numbers(col.Type) {
				k.add(field+".minus", "taken off whole numbers only")
			}
		} else if f.Minus != 0 || f.Codes != "" {
			k.add(field, "minus and codes change by")
		}
		if f.Codes != "" {
			k.codes(field+".codes", f.Codes)
		}
		for i, w := range f.Where {
			at := fmt.Sprintf("%s.where[%d]", field, i)
			k.column(at, f.Table, w.Column)
			if w.Equals == "" && w.Null == nil && w.From == nil && w.Before == nil {
				k.add(at, "no condition: equals, null, from or before")
			}
			c.Where = append(c.Where, ecluse.ShapeEq(w))
		}
		k.program.shape.Checks = append(k.program.shape.Checks, c)
	}
	s := k.program.shape.Checks
	sort.Slice(s, func(i, j int) bool { return s[i].Name < s[j].Name })
}

// codes reads the frozen table that turns the target's codes back into the
// source's. That its keys are of one line each was seen when it was made a table.
func (k *checking) codes(field, name string) {
	f, ok := k.doc.Tables.Get(name)
	if !ok {
		k.add(field, "no such frozen table")
		return
	}
	at := slices.IndexFunc(k.in.Frozen, func(b []byte) bool { return ecluse.DigestOf(b) == f.SHA256.Digest })
	if at < 0 {
		return // told where the table is defined, as is what follows
	}
	rows, err := readCSV(f, k.in.Frozen[at])
	if err != nil {
		return
	}
	if len(rows[0]) != 2 || len(f.Key) != 1 {
		k.add(field, "want a table with a key of one column, and one other column")
		return
	}
	from := slices.Index(rows[0], f.Key[0])
	if from < 0 {
		return
	}
	codes := make(map[string]string, len(rows)-1)
	for _, row := range rows[1:] {
		codes[row[from]] = row[1-from]
	}
	k.program.codes[name] = codes
}

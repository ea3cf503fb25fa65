package mapping

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"ecluse"
	"ecluse/internal/sluice/mapping/expr"
	"ecluse/internal/sluice/record"
)

// Inputs is all that a mapping is checked against.
type Inputs struct {
	Instruction ecluse.Digest                       // the instruction it is for; zero: not compared
	Datasets    map[ecluse.DatasetID]*record.Schema // as the read plan lets them travel
	Frozen      [][]byte                            // the frozen tables' exact bytes, known by their digests
	Target      *ecluse.Catalogue
}

// Check type-checks and compiles a mapping. Equal inputs give equal programs.
// The error is document.Problems, or an *ecluse.Error of kind Refused when a
// frozen table holds people.
func Check(doc *Document, in Inputs) (*Program, error) {
	k := &checking{
		doc: doc, in: in, problems: problems{lines: doc.lines}, byName: map[string]*expr.Table{},
		program: &Program{datasets: map[ecluse.DatasetID]*dataset{}, codes: map[string]map[string]string{}}, counters: map[string]*Counter{},
	}
	if !in.Instruction.IsZero() && doc.Instruction != in.Instruction {
		k.add("instruction", "the mapping is for another instruction")
	}
	if err := k.tables(); err != nil {
		return nil, err
	}
	for id, list := range doc.From.All() {
		if err := k.dataset(id, *list); err != nil {
			return nil, err
		}
	}
	k.sequences()
	k.checks()
	k.finish()
	if err := k.err(); err != nil {
		return nil, err
	}
	return k.program, nil
}

// checking is a check under way.
type checking struct {
	problems
	doc      *Document
	in       Inputs
	program  *Program
	byName   map[string]*expr.Table
	counters map[string]*Counter
	links    []link // what each dataset needs of others
	shapes   []ecluse.ShapeDataset
}

// tables defines the look-up tables, in the order of the document.
func (k *checking) tables() error {
	for name, f := range k.doc.Tables.All() {
		field := "tables." + name
		at := slices.IndexFunc(k.in.Frozen, func(b []byte) bool { return ecluse.DigestOf(b) == f.SHA256.Digest })
		if at < 0 {
			k.add(field+".sha256", "no file with this digest is given: is "+f.File+" there, and unchanged?")
			continue
		}
		t, err := readFrozen(name, f, k.in.Frozen[at], len(k.program.tables))
		var refused *ecluse.Error
		if errors.As(err, &refused) {
			refused.Where = f.File + ", " + refused.Where
			return refused
		}
		k.table(field, frozenTable, t, err)
		k.program.shape.Frozen = append(k.program.shape.Frozen, ecluse.ShapeFrozen{Name: name, File: f.File, Digest: f.SHA256.Digest, Key: f.Key})
	}
	for name, h := range k.doc.Hold.All() {
		field := "hold." + name
		schema := k.in.Datasets[ecluse.DatasetID(name)]
		if schema == nil {
			k.add(field, "no such dataset in the instruction")
			continue
		}
		t, err := expr.NewTable(name, schema, h.Key, h.Rows, len(k.program.tables))
		k.table(field, heldDataset, t, err)
		k.program.shape.Held = append(k.program.shape.Held, ecluse.ShapeHeld{Dataset: ecluse.DatasetID(name), Key: h.Key, Rows: h.Rows})
	}
	for name, t := range k.doc.Targets.All() {
		k.target("targets."+name, name, t)
	}
	s := &k.program.shape
	sort.Slice(s.Frozen, func(i, j int) bool { return s.Frozen[i].Name < s.Frozen[j].Name })
	sort.Slice(s.Held, func(i, j int) bool { return s.Held[i].Dataset < s.Held[j].Dataset })
	sort.Slice(s.Targets, func(i, j int) bool { return s.Targets[i].Name < s.Targets[j].Name })
	return nil
}

func (k *checking) target(field, name string, t *TargetTable) {
	tab, ok := k.in.Target.Table(t.Table)
	if !ok {
		k.add(field+".table", "the target has no table "+t.Table.String())
		return
	}
	if slices.ContainsFunc(k.program.shape.Targets, func(o ecluse.ShapeTarget) bool { return o.Table == t.Table }) {
		k.add(field+".table", "the table is held under another name already")
		return
	}
	schema := &record.Schema{}
	for _, c := range slices.Concat(t.Key, t.Columns) {
		col, ok := tab.Column(c)
		if !ok {
			k.add(field, fmt.Sprintf("%s has no column %s", t.Table, c))
			return
		}
		if schema.Index(c) < 0 {
			schema.Fields = append(schema.Fields, record.Field{Name: c, Type: col.Type})
		}
	}
	def, err := expr.NewTable(name, schema, t.Key, t.Rows, len(k.program.tables))
	k.table(field, targetTable, def, err)
	shape := ecluse.ShapeTarget{Name: name, Table: t.Table, Key: t.Key, Rows: t.Rows}
	for _, f := range schema.Fields {
		shape.Columns = append(shape.Columns, f.Name)
	}
	k.program.shape.Targets = append(k.program.shape.Targets, shape)
}

func (k *checking) table(field string, from origin, t *expr.Table, err error) {
	if err != nil {
		k.add(field, err.Error())
		return
	}
	k.program.tables = append(k.program.tables, &lookup{Table: t, from: from, closed: from == frozenTable})
	k.byName[t.Name] = t
}

// dataset compiles the rules of one dataset.
func (k *checking) dataset(name string, list []Into) error {
	id := ecluse.DatasetID(name)
	schema := k.in.Datasets[id]
	if schema == nil {
		k.add("from."+name, "no such dataset in the instruction")
		return nil
	}
	c, err := expr.New(schema, k.byName)
	if err != nil {
		return err
	}
	d := &datasetCheck{
		checking: k, c: c, dataset: &dataset{id: id, schema: schema, behind: map[string][]string{}},
		shape: ecluse.ShapeDataset{Dataset: id}, link: link{dataset: id, name: name},
	}
	for i := range list {
		if err := d.entry(fmt.Sprintf("from.%s[%d]", name, i), &list[i]); err != nil {
			return err
		}
	}
	d.code = c.Code(d.needed()...)
	k.program.datasets[id] = d.dataset
	d.shape.Reads, d.lookups = c.Reads(), c.Lookups()
	d.link.lookups = d.lookups
	k.links = append(k.links, d.link)
	k.shapes = append(k.shapes, d.shape)
	return nil
}

// datasetCheck is the check of one dataset.
type datasetCheck struct {
	*checking
	*dataset
	c     *expr.Compiler
	shape ecluse.ShapeDataset
	link  link
	lists map[string][]string // of the entry under way: what the list that a piece is of is made from
}

// needed is the registers that rules read.
func (d *datasetCheck) needed() []int {
	var regs []int
	for _, e := range d.entries {
		if e.skip >= 0 {
			regs = append(regs, e.skip)
		}
		for _, c := range e.rejects {
			regs = append(regs, c.reg)
		}
		for _, s := range e.sinks {
			if s.raw < 0 && s.counter < 0 && s.rowOf < 0 {
				regs = append(regs, s.reg)
			}
			if s.alt >= 0 {
				regs = append(regs, s.alt)
			}
		}
	}
	return regs
}

// reason numbers a reason for putting a row aside.
func (d *datasetCheck) reason(s string) int {
	if i := slices.Index(d.reasons, s); i >= 0 {
		return i
	}
	d.reasons = append(d.reasons, s)
	return len(d.reasons) - 1
}

// because notes the source columns that an expression is made from, for a reason or a
// written column: what is known by a list's piece is known by the list.
func (d *datasetCheck) because(of string, o expr.Operand) {
	names := slices.Clone(d.behind[of])
	for _, n := range o.Names {
		if list, ok := d.lists[n]; ok {
			names = append(names, list...)
		} else {
			names = append(names, n)
		}
	}
	at := d.dataset.schema.Index
	slices.SortFunc(names, func(a, b string) int { return at(a) - at(b) })
	d.behind[of] = slices.Compact(names)
}

// expr compiles an expression of a field, or notes what is wrong with it.
func (d *datasetCheck) expr(field, text string) (expr.Operand, bool) {
	o, err := d.c.Compile(text)
	if err != nil {
		d.add(field, err.Error())
		return o, false
	}
	return o, true
}

// entry compiles one target table.
func (d *datasetCheck) entry(field string, in *Into) error {
	if err := d.c.Enter(); err != nil {
		return err
	}
	d.lists = map[string][]string{}
	tab, ok := d.in.Target.Table(in.Into)
	if !ok {
		d.add(field+".into", "the target has no table "+in.Into.String())
		return nil
	}
	if tab.Kind != ecluse.BaseTable && tab.Kind != ecluse.Partitioned {
		d.add(field+".into", fmt.Sprintf("%s is a %s: rows go into tables", in.Into, tab.Kind))
		return nil
	}
	e := &entry{table: in.Into, skip: -1, schema: &record.Schema{}}
	shape := ecluse.ShapeTable{Table: in.Into}
	d.each(field, in, e, &shape)
	for name, text := range in.Let.All() {
		if o, ok := d.expr(field+".let."+name, *text); ok {
			if err := d.name(name, o); err != nil {
				d.add(field+".let."+name, err.Error())
			}
		}
		shape.Let = append(shape.Let, name+" = "+ecluse.OneLine(*text))
	}
	if in.Skip != "" {
		shape.Skip = ecluse.OneLine(in.Skip)
		_, e.skip = d.condition(field+".skip", in.Skip, e.domain)
	}
	for i, r := range in.Reject {
		at := fmt.Sprintf("%s.reject[%d]", field, i)
		if r.Reason == "" {
			d.add(at, "reason: missing")
		}
		when, reg := d.condition(at, r.When, e.domain)
		d.because(r.Reason, when)
		shape.Rejects = append(shape.Rejects, ecluse.ShapeReject{When: ecluse.OneLine(r.When), Reason: r.Reason})
		e.rejects = append(e.rejects, condition{reg, d.reason(r.Reason)})
		if !slices.Contains(d.shape.Rejects, r.Reason) {
			d.shape.Rejects = append(d.shape.Rejects, r.Reason)
		}
	}
	if slices.ContainsFunc(d.program.shape.Targets, func(t ecluse.ShapeTarget) bool { return t.Table == in.Into }) {
		d.add(field+".into", "the table is looked up (targets): it would change under the passage; hold a dataset instead")
	}
	d.columns(field, in, tab, e, &shape)
	d.entries = append(d.entries, e)
	d.shape.Into = append(d.shape.Into, shape)
	d.link.writes(tab, in)
	return nil
}

// name puts a value in scope.
func (d *datasetCheck) name(name string, o expr.Operand) error {
	if name == counterWord {
		return errors.New("counter is a word of the language")
	}
	return d.c.Name(name, o)
}

// each makes the domain of an exploded list.
func (d *datasetCheck) each(field string, in *Into, e *entry, shape *ecluse.ShapeTable) {
	position, _ := in.Each.Get("position")
	for name, text := range in.Each.All() {
		if name == "position" {
			continue
		}
		shape.Each = name + " in " + ecluse.OneLine(*text)
		o, ok := d.expr(field+".each."+name, *text)
		switch {
		case !ok:
			return
		case o.Type.Kind != expr.List:
			d.add(field+".each."+name, "want a list, such as split(x, ',')")
			return
		case o.MayMiss:
			d.add(field+".each."+name, "the list may have no result: say what it is then, with coalesce")
			return
		}
		piece, at := d.c.Explode(o, name)
		d.lists[name] = o.Names
		e.domain = piece.Domain
		if err := d.name(name, piece); err != nil {
			d.add(field+".each."+name, err.Error())
		}
		if position == nil {
			continue
		}
		shape.Each += ", position " + *position
		if err := d.name(*position, at); err != nil {
			d.add(field+".each.position", err.Error())
		}
	}
}

// condition compiles skip and reject: what is neither true nor false does not
// hold, so it may not come from a miss that nobody has thought of.
func (d *datasetCheck) condition(field, text string, domain int) (expr.Operand, int) {
	o, ok := d.expr(field, text)
	switch {
	case !ok:
		return expr.Operand{}, 0
	case o.Type.Kind != ecluse.Bool:
		d.add(field, "want a condition, true or false")
	case o.MayMiss:
		d.add(field, "the condition may have no result: test x == null, or use coalesce(…, false)")
	}
	return o, d.c.In(o, domain).Reg
}

// columns compiles the written columns of an entry.
func (d *datasetCheck) columns(field string, in *Into, tab *ecluse.Table, e *entry, shape *ecluse.ShapeTable) {
	for name, col := range in.Columns.All() {
		at := field + ".columns." + name
		c, ok := tab.Column(name)
		if !ok {
			d.add(at, fmt.Sprintf("%s has no column %s", tab.Name, name))
			continue
		}
		if c.Generated {
			d.add(at, "the target computes this column itself")
			continue
		}
		s := d.sink(at, tab, c, col, e)
		if s == nil {
			continue
		}
		if s.counter >= 0 {
			if shape.Counter != "" {
				d.add(at, "one counter per table: "+shape.Counter+" has it")
			}
			shape.Counter = name
		}
		e.schema.Fields = append(e.schema.Fields, record.Field{Name: name, Type: c.Type})
		e.sinks = append(e.sinks, s)
		shape.Columns = append(shape.Columns, ecluse.ShapeColumn{Column: name, Type: c.Type, From: col.String()})
	}
	for _, c := range tab.Columns {
		if _, written := in.Columns.Get(c.Name); !written && !c.Nullable && !c.HasDefault && !c.Generated && c.Identity == "" {
			d.add(field+".columns", fmt.Sprintf("%s.%s must not be null and has no default: write it", tab.Name, c.Name))
		}
	}
	shape.KeyWrite = len(tab.PrimaryKey) > 0
	for _, pk := range tab.PrimaryKey {
		if _, ok := in.Columns.Get(pk); !ok {
			shape.KeyWrite = false
		}
	}
}

// finish puts order, shape and leavings together.
func (k *checking) finish() {
	s := &k.program.shape
	s.Mapping = k.doc.digest
	order, err := k.order()
	if err != "" {
		k.add("from", err)
		return
	}
	s.Order = order
	for _, id := range order {
		i := slices.IndexFunc(k.shapes, func(d ecluse.ShapeDataset) bool { return d.Dataset == id })
		s.Datasets = append(s.Datasets, k.shapes[i])
	}
	k.leavings()
}

// leavings lists the instructed columns that nothing uses.
func (k *checking) leavings() {
	for id, schema := range k.in.Datasets {
		used := map[string]bool{}
		for _, d := range k.shapes {
			if d.Dataset == id {
				for _, c := range d.Reads {
					used[c] = true
				}
			}
		}
		for i, f := range schema.Fields {
			if t := k.byName[string(id)]; t != nil && k.held(string(id)) && t.Used(i) {
				continue
			}
			if !used[f.Name] {
				k.program.unused = append(k.program.unused, string(id)+"."+f.Name)
			}
		}
	}
	sort.Strings(k.program.unused)
}

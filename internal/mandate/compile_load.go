package mandate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ecluse"
)

// LoadInputs is all that a load plan is made of.
type LoadInputs struct {
	Instruction *Instruction
	ReadPlan    *ReadPlan // as approved: its digest is in the load plan
	Passage     ecluse.PassageKind
	Shape       ecluse.Shape // of the checked mapping
	Target      *ecluse.Catalogue
	Held        []LoadHeld // target tables the mapping looks codes up in, as they are now
	Procedure   ecluse.Digest
	Dialect     Dialect
}

// CompileLoad makes the load plan. It is deterministic. Everything in which the
// mapping does not fit the read plan or the target is in one error of kind
// Invalid.
func CompileLoad(in LoadInputs) (*LoadPlan, error) {
	if err := checkLoadInputs(in); err != nil {
		return nil, err
	}
	i, r := in.Instruction, in.ReadPlan
	p := &LoadPlan{
		Format: LoadPlanFormat, Migration: r.Migration, Instruction: r.Instruction, ReadPlan: r.Digest(),
		Procedure: in.Procedure, Passage: in.Passage,
		Target: PlanPlace{Gate: i.Target.Gate, System: i.Target.System, Engine: in.Target.Engine},
		Shape:  in.Shape, Held: slices.Clone(in.Held), EraseBy: r.EraseBy,
	}
	if in.Passage == ecluse.Rehearsal {
		p.Target.System = i.Target.PreProduction
	}
	k := &loadCompiler{in: in, plan: p}
	k.datasets()
	k.tables()
	k.sequences()
	k.checks()
	k.held()
	if len(k.wrong) > 0 {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: "compile load plan", Err: errors.Join(k.wrong...),
			Next: "correct the mapping, or look whether the target's structure changed",
		}
	}
	return p, k.statements()
}

func checkLoadInputs(in LoadInputs) error {
	const what = "compile load plan"
	if in.ReadPlan.Instruction != in.Instruction.digest {
		return &ecluse.Error{
			Kind: ecluse.Differs, What: what, Why: "the read plan is under another instruction: " + in.ReadPlan.Instruction.String(),
			Next: "give the instruction it names",
		}
	}
	switch in.Passage {
	case ecluse.Dry, ecluse.Final:
	case ecluse.Rehearsal:
		if in.Instruction.Target.PreProduction == in.Instruction.Target.System {
			return &ecluse.Error{
				Kind: ecluse.Refused, What: what, Article: lawOnly, Why: "the instruction names the system itself as the one to rehearse in",
				Next: "have an instruction signed with another target.pre_production",
			}
		}
		if in.Instruction.Target.PreProduction == "" {
			return &ecluse.Error{
				Kind: ecluse.Refused, What: what, Article: lawOnly, Why: "the instruction names no pre-production system to rehearse in",
				Next: "have an instruction signed with target.pre_production",
			}
		}
	default:
		return ecluse.Errorf(ecluse.Invalid, what, "%q is not a kind of passage", in.Passage)
	}
	return sameEngine(what, in.Target.Engine, in.Dialect)
}

// loadCompiler holds what is found while a plan is made.
type loadCompiler struct {
	in    LoadInputs
	plan  *LoadPlan
	wrong []error
}

func (k *loadCompiler) add(where, format string, args ...any) {
	k.wrong = append(k.wrong, fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...)))
}

// datasets checks what the shape reads against the read plan.
func (k *loadCompiler) datasets() {
	s := k.in.Shape
	if s.Mapping.IsZero() {
		k.add("mapping", "it has no digest")
	}
	order := make([]ecluse.DatasetID, len(s.Datasets))
	for i, d := range s.Datasets {
		order[i] = d.Dataset
		if slices.Contains(order[:i], d.Dataset) {
			k.add("dataset "+string(d.Dataset), "it is mapped twice")
		}
		k.reads(d.Dataset, d.Reads)
	}
	if !slices.Equal(order, s.Order) {
		k.add("order", "it is not that of the datasets")
	}
	for _, h := range s.Held {
		k.reads(h.Dataset, h.Key)
	}
}

func (k *loadCompiler) reads(id ecluse.DatasetID, columns []string) {
	d, ok := k.in.ReadPlan.Dataset(id)
	if !ok {
		k.add("dataset "+string(id), "the read plan has none of that name")
		return
	}
	for _, c := range columns {
		if _, ok := d.Column(c); !ok {
			k.add("dataset "+string(id), "the read plan takes no column %s", c)
		}
	}
}

// tables checks what the shape writes against the target, and gathers the
// columns written of each table.
func (k *loadCompiler) tables() {
	written := map[ecluse.TableName]map[string]bool{}
	keyed := map[ecluse.TableName]bool{}
	var names []ecluse.TableName
	for _, d := range k.in.Shape.Datasets {
		for n, into := range d.Into {
			where := fmt.Sprintf("dataset %s into %s", d.Dataset, into.Table)
			t, ok := k.in.Target.Table(into.Table)
			if !ok {
				k.add(where, "the target has no such table%s", near(into.Table.String(), tableNames(k.in.Target)))
				continue
			}
			if t.Kind != ecluse.BaseTable && t.Kind != ecluse.Partitioned {
				k.add(where, "it is a %s: rows are written into tables", t.Kind)
			}
			if written[t.Name] == nil {
				written[t.Name], keyed[t.Name] = map[string]bool{}, true
				names = append(names, t.Name)
			}
			key := k.into(fmt.Sprintf("%s (%d)", where, n+1), t, &into, written[t.Name])
			keyed[t.Name] = keyed[t.Name] && key
		}
	}
	for _, name := range names {
		t, _ := k.in.Target.Table(name)
		out := LoadTable{Table: name}
		if keyed[name] {
			out.Key = t.PrimaryKey
		}
		for _, c := range t.Columns {
			if written[name][c.Name] {
				out.Columns = append(out.Columns, LoadColumn{Name: c.Name, Type: c.Type, Declared: c.Declared})
			}
		}
		k.plan.Tables = append(k.plan.Tables, out)
	}
}

// into checks one table written from one dataset and tells whether its whole
// primary key is written.
func (k *loadCompiler) into(where string, t *ecluse.Table, into *ecluse.ShapeTable, written map[string]bool) bool {
	mine := map[string]bool{}
	for _, c := range into.Columns {
		col, ok := t.Column(c.Column)
		switch {
		case !ok:
			k.add(where, "the table has no column %s%s", c.Column, near(c.Column, columnNames(t)))
			continue
		case mine[c.Column]:
			k.add(where, "column %s is written twice", c.Column)
		case col.Generated:
			k.add(where, "column %s is computed by the database", c.Column)
		case col.Type != c.Type:
			k.add(where, "column %s is %s (%s), the mapping makes %s", c.Column, col.Type, col.Declared, c.Type)
		}
		mine[c.Column], written[c.Column] = true, true
	}
	for _, c := range t.Columns {
		if !c.Nullable && !c.HasDefault && !c.Generated && c.Identity == "" && !mine[c.Name] {
			k.add(where, "column %s has to be written: it is NOT NULL and has no default", c.Name)
		}
	}
	if into.Counter != "" && !mine[into.Counter] {
		k.add(where, "its counter %s is not a written column", into.Counter)
	}
	key := len(t.PrimaryKey) > 0 && !slices.ContainsFunc(t.PrimaryKey, func(c string) bool { return !mine[c] })
	if key != into.KeyWrite {
		k.add(where, "the mapping was checked against another primary key; it is (%s)", strings.Join(t.PrimaryKey, ", "))
	}
	return key
}

func (k *loadCompiler) sequences() {
	for _, s := range k.in.Shape.Sequences {
		where := "sequence " + s.Sequence.String()
		if !slices.ContainsFunc(k.in.Target.Sequences, func(t ecluse.Sequence) bool { return t.Name == s.Sequence }) {
			k.add(where, "the target has none of that name")
		}
		n := slices.IndexFunc(k.plan.Tables, func(t LoadTable) bool { return t.Table == s.Table })
		if n < 0 || !slices.ContainsFunc(k.plan.Tables[n].Columns, func(c LoadColumn) bool { return c.Name == s.Column }) {
			k.add(where, "%s.%s is not written", s.Table, s.Column)
		}
	}
}

// checks pairs the target's halves of the cross-checks with the source's: each
// figure the controller asked for is compared, and nothing else is counted.
func (k *loadCompiler) checks() {
	theirs := map[string]bool{}
	for _, c := range k.in.Shape.Checks {
		where := "check " + c.Name
		if theirs[c.Name] {
			k.add(where, "it is given twice")
		}
		theirs[c.Name] = true
		n := slices.IndexFunc(k.in.ReadPlan.Checks, func(r ReadCheck) bool { return r.Name == c.Name })
		if n < 0 {
			k.add(where, "the instruction has none of that name")
			continue
		}
		r := k.in.ReadPlan.Checks[n]
		if r.Count != c.Count || (r.Sum == "") != (c.Sum == "") || (r.First == "") != (c.First == "") ||
			(r.Last == "") != (c.Last == "") || (r.By == "") != (c.By == "") {
			k.add(where, "the instruction asks for another figure")
		}
		k.check(where, c)
	}
	for _, r := range k.in.ReadPlan.Checks {
		if !theirs[r.Name] {
			k.add("check "+r.Name, "the instruction asks for it and the mapping does not say how the target counts it")
		}
	}
}

func (k *loadCompiler) check(where string, c ecluse.ShapeCheck) {
	t, ok := k.in.Target.Table(c.Table)
	if !ok {
		k.add(where, "the target has no table %s", c.Table)
		return
	}
	columns := []string{c.Sum, c.First, c.Last, c.By}
	for _, w := range c.Where {
		columns = append(columns, w.Column)
	}
	for _, name := range columns {
		if _, ok := t.Column(name); name != "" && !ok {
			k.add(where, "%s has no column %s%s", c.Table, name, near(name, columnNames(t)))
		}
	}
	if c.Codes != "" && !slices.ContainsFunc(k.in.Shape.Frozen, func(f ecluse.ShapeFrozen) bool { return f.Name == c.Codes }) {
		k.add(where, "the mapping has no table of codes %s", c.Codes)
	}
}

func (k *loadCompiler) held() {
	slices.SortFunc(k.plan.Held, func(a, b LoadHeld) int { return strings.Compare(a.Table.String(), b.Table.String()) })
	for i, h := range k.plan.Held {
		where := "held table " + h.Table.String()
		t, ok := k.in.Target.Table(h.Table)
		if !ok {
			k.add(where, "the target has no such table")
			continue
		}
		if i > 0 && k.plan.Held[i-1].Table == h.Table {
			k.add(where, "it is given twice")
		}
		for _, c := range h.Columns {
			if _, ok := t.Column(c); !ok {
				k.add(where, "it has no column %s", c)
			}
		}
		if h.Digest.IsZero() || h.Rows < 0 {
			k.add(where, "its rows have no digest")
		}
	}
}

func (k *loadCompiler) statements() error {
	var err error
	for n := range k.plan.Tables {
		t := &k.plan.Tables[n]
		if t.Statement, err = k.in.Dialect.WriteStatement(t); err != nil {
			return compiling("table "+t.Table.String(), err)
		}
	}
	return nil
}

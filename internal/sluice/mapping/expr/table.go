package expr

import (
	"encoding/binary"
	"fmt"

	"cel.dev/cel-go/checker"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/decls"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// Table is what a look-up finds rows in. Its definition is fixed before
// expressions are compiled; rows come with Fill, and only the columns that
// expressions read are kept.
type Table struct {
	Name   string
	Schema *record.Schema

	key     []int // columns of the key, in its order
	limit   int
	slot    int // among the machine's tables
	used    map[int]bool
	columns []*record.Column // nil for columns that nothing reads
	rows    int
	texts   map[string]int32
	ints    map[int64]int32
}

// NewTable defines a table without rows, the slot-th of those that a machine
// will be given.
func NewTable(name string, schema *record.Schema, key []string, limit, slot int) (*Table, error) {
	t := &Table{Name: name, Schema: schema, limit: limit, slot: slot, used: map[int]bool{}}
	for _, k := range key {
		i := schema.Index(k)
		if i < 0 {
			return nil, fmt.Errorf("no column %s", k)
		}
		switch schema.Fields[i].Type.Kind {
		case kInt, kText, kDecimal, kDate:
		default:
			return nil, fmt.Errorf("a key of %s cannot be looked up", schema.Fields[i].Type.Kind)
		}
		t.key = append(t.key, i)
		t.used[i] = true
	}
	return t, nil
}

// Used tells whether a column is in the key or read by an expression.
func (t *Table) Used(column int) bool { return t.used[column] }

// UseAll keeps every column.
func (t *Table) UseAll() {
	for i := range t.Schema.Fields {
		t.used[i] = true
	}
}

// Empty is a table of the same definition, ready to take rows.
func (t *Table) Empty() *Table {
	c := *t
	c.rows, c.texts, c.ints = 0, map[string]int32{}, map[int64]int32{}
	c.columns = make([]*record.Column, len(t.Schema.Fields))
	for i, f := range t.Schema.Fields {
		if t.used[i] {
			c.columns[i] = record.NewColumn(f.Type, 0)
		}
	}
	return &c
}

// A key of one column needs no encoding: single tells one integer, plain one text.
func (t *Table) single() bool {
	return len(t.key) == 1 && stored(t.Schema.Fields[t.key[0]].Type.Kind)
}

func (t *Table) plain() bool { return len(t.key) == 1 && !t.single() }

// Fill adds rows of the table's schema. A row whose key has a null can be looked
// up by nobody; two rows of one key are an error.
func (t *Table) Fill(b *record.Batch) error {
	if t.rows+b.Rows() > t.limit {
		return fmt.Errorf("more than the %d rows that the mapping allows", t.limit)
	}
	for i, c := range t.columns {
		if c != nil {
			c.AppendRange(b.Columns[i], 0, b.Rows())
		}
	}
	var key []byte
	for i := range b.Rows() {
		at := int32(t.rows + i)
		null := false
		key = key[:0]
		for _, k := range t.key {
			c := b.Columns[k]
			if null = null || c.Null(i); null {
				break
			}
			switch {
			case t.plain():
				key = append(key, c.Bytes(i)...)
			case stored(c.Type().Kind):
				key = binary.BigEndian.AppendUint64(key, uint64(c.Int(i)))
			default:
				key = appendKeyText(key, c.Bytes(i))
			}
		}
		if null {
			continue
		}
		var dup bool
		if t.single() {
			n := b.Columns[t.key[0]].Int(i)
			_, dup = t.ints[n]
			t.ints[n] = at
		} else {
			_, dup = t.texts[string(key)]
			t.texts[string(key)] = at
		}
		if dup {
			return fmt.Errorf("row %d: its key is that of an earlier row", t.rows+i+1)
		}
	}
	t.rows += b.Rows()
	return nil
}

func appendKeyText(key, s []byte) []byte {
	return append(binary.AppendUvarint(key, uint64(len(s))), s...)
}

// tableFunction is the name of the function that t[a, b] becomes.
func tableFunction(name string) string { return name + "[]" }

// declare makes t[key…] and t[key…] == null known to the type checker. An integer key may be given as
// a decimal and the other way round.
func (t *Table) declare(env *checker.Env, name string) error {
	signatures := [][]*types.Type{{}}
	for _, k := range t.key {
		accepts := kinds(t.Schema.Fields[k].Type.Kind)
		switch accepts[0] {
		case kInt:
			accepts = kinds(kInt, kDecimal)
		case kDecimal:
			accepts = kinds(kDecimal, kInt)
		}
		var next [][]*types.Type
		for _, s := range signatures {
			for _, kind := range accepts {
				next = append(next, append(append([]*types.Type{}, s...), celType(kind)))
			}
		}
		signatures = next
	}
	var opts []decls.FunctionOpt
	for i, s := range signatures {
		opts = append(opts, decls.Overload(fmt.Sprintf("%s %d", tableFunction(name), i), s, types.NewObjectType(rowType(name))))
	}
	row := types.NewObjectType(rowType(name))
	fns := []*decls.FunctionDecl{}
	for fn, o := range map[string][]decls.FunctionOpt{
		tableFunction(name): opts,
		operators.Equals:    {decls.Overload("row of "+name+" == null", []*types.Type{row, row}, celBool)},
		operators.NotEquals: {decls.Overload("row of "+name+" != null", []*types.Type{row, row}, celBool)},
	} {
		f, err := decls.NewFunction(fn, o...)
		if err != nil {
			return err
		}
		fns = append(fns, f)
	}
	return env.AddFunctions(fns...)
}

// lookup is t[a, b]: the place of a row. A null in the key gives null, a key that
// is not there no result.
func (w *walk) lookup(e ast.Expr, t *Table, args []ast.Expr) (Operand, error) {
	if len(args) != len(t.key) {
		return Operand{}, fault(e, "%s is looked up by %d columns", t.Name, len(t.key))
	}
	in := make([]Operand, len(args))
	for i, a := range args {
		o, err := w.expr(a)
		if err != nil {
			return o, err
		}
		want := t.Schema.Fields[t.key[i]].Type
		switch {
		case o.Null:
			return o, fault(a, "null is in no key")
		case o.Type.Kind == kDecimal && want.Kind == kInt, o.Type.Kind == kDecimal && want.Kind == kDecimal && o.Type.Scale > want.Scale:
			o = w.shrunk(o, want)
		case want.Kind == kDecimal && (o.Type.Kind == kInt || o.Type.Kind == kDecimal):
			o = w.rescaled(o, want.Scale)
		case o.Type.Kind != want.Kind:
			return o, fault(a, "%s where the key of %s is %s", o.Type.Kind, t.Name, want.Kind)
		}
		in[i] = o
	}
	w.lookups[t.Name] = true
	o := w.emitFrom(0, "lookup "+t.Name, ecluse.Type{Kind: Row}, true, in, func(in []int, out int) kernel {
		switch {
		case t.single():
			return findInt(t.slot, in[0], out)
		case t.plain():
			return findText(t.slot, in[0], out)
		}
		return findKey(t, in, out)
	})
	o.table = t
	return o, nil
}

// shrunk brings a decimal to a key's scale; what does not fit is not in the table.
func (c *Compiler) shrunk(o Operand, want ecluse.Type) Operand {
	from := o.Type.Scale
	return c.num1(fmt.Sprintf("key %d to %d", from, want.Scale), want, true, o, func(x int64) (int64, bool) { return rescale(x, from, want.Scale, "exact") })
}

func findInt(slot, in, out int) kernel {
	return func(m *Machine, n int) {
		x, z, index := &m.regs[in], &m.regs[out], m.tables[slot].ints
		z.integers(n)
		for i := range n {
			p := i & x.mask
			s, at := x.state[p], int32(0)
			if s == 0 {
				var ok bool
				if at, ok = index[x.num[p]]; !ok {
					s = Miss
				}
			}
			z.state[i], z.num[i] = s, int64(at)
		}
	}
}

func findText(slot, in, out int) kernel {
	return func(m *Machine, n int) {
		x, z, index := &m.regs[in], &m.regs[out], m.tables[slot].texts
		z.integers(n)
		for i := range n {
			p := i & x.mask
			s, at := x.state[p], int32(0)
			if s == 0 {
				var ok bool
				if at, ok = index[string(x.txt[p])]; !ok {
					s = Miss
				}
			}
			z.state[i], z.num[i] = s, int64(at)
		}
	}
}

func findKey(t *Table, in []int, out int) kernel {
	integer := make([]bool, len(t.key))
	for i, k := range t.key {
		integer[i] = stored(t.Schema.Fields[k].Type.Kind)
	}
	return func(m *Machine, n int) {
		z, index := &m.regs[out], m.tables[t.slot].texts
		z.integers(n)
		for i := range n {
			s := uint8(0)
			m.key = m.key[:0]
			for j, r := range in {
				x := &m.regs[r]
				p := i & x.mask
				if s |= x.state[p]; s != 0 {
					continue
				}
				if integer[j] {
					m.key = binary.BigEndian.AppendUint64(m.key, uint64(x.num[p]))
				} else {
					m.key = appendKeyText(m.key, x.txt[p])
				}
			}
			at := int32(0)
			if s == 0 {
				var ok bool
				if at, ok = index[string(m.key)]; !ok {
					s = Miss
				}
			}
			z.state[i], z.num[i] = s, int64(at)
		}
	}
}

// field is a column of a row that was looked up.
func (c *Compiler) field(row Operand, name string) Operand {
	t := row.table
	col := t.Schema.Index(name)
	t.used[col] = true
	typ := t.Schema.Fields[col].Type
	o := c.emitFrom(0, fmt.Sprintf("column %d of %s", col, t.Name), typ, false, []Operand{row}, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			x, z, from := &m.regs[in[0]], &m.regs[out], m.tables[t.slot].columns[col]
			z.room(typ.Kind, n)
			for i := range n {
				p := i & x.mask
				at := int(x.num[p])
				switch {
				case x.state[p] != 0:
					z.set(i, typ.Kind, x.state[p])
				case from.Null(at):
					z.set(i, typ.Kind, Null)
				case stored(typ.Kind):
					z.state[i], z.num[i] = 0, from.Int(at)
				default:
					z.state[i], z.txt[i] = 0, from.Bytes(at)
				}
			}
		}
	})
	return o
}

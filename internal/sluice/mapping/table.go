package mapping

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/checker"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/decls"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// maxHeldRows bounds what is kept in memory for look-ups.
const maxHeldRows = 1_000_000

// table is what a look-up finds rows in: a frozen file, a held dataset or a table
// of the target. Its definition is fixed when the mapping is checked; the rows of
// the last two come with a run.
type table struct {
	name   string
	what   string // "frozen table", "held dataset", "target table"
	schema *record.Schema
	key    []int // columns of the key, in its order
	limit  int
	slot   int // among the machine's tables
	used   map[int]bool

	columns []*record.Column // nil for columns that nothing reads
	rows    int
	closed  bool // all rows are in
	texts   map[string]int32
	ints    map[int64]int32
}

// newTable defines a table without rows.
func newTable(name, what string, schema *record.Schema, key []string, limit int) (*table, error) {
	t := &table{name: name, what: what, schema: schema, limit: limit, used: map[int]bool{}}
	for _, k := range key {
		i := schema.Index(k)
		if i < 0 {
			return nil, fmt.Errorf("no column %s", k)
		}
		switch schema.Fields[i].Type.Kind {
		case ecluse.Int, ecluse.Text, ecluse.Decimal, ecluse.Date:
		default:
			return nil, fmt.Errorf("a key of %s cannot be looked up", schema.Fields[i].Type.Kind)
		}
		t.key = append(t.key, i)
		t.used[i] = true
	}
	return t, nil
}

// empty is the table ready to take a run's rows.
func (t *table) empty() *table {
	c := *t
	c.rows, c.closed = 0, false
	c.texts, c.ints = map[string]int32{}, map[int64]int32{}
	c.columns = make([]*record.Column, len(t.schema.Fields))
	for i, f := range t.schema.Fields {
		if t.used[i] {
			c.columns[i] = record.NewColumn(f.Type, 0)
		}
	}
	return &c
}

// A key of one column needs no encoding: single tells one integer, plain one text.
func (t *table) single() bool {
	return len(t.key) == 1 && stored(t.schema.Fields[t.key[0]].Type.Kind)
}

func (t *table) plain() bool { return len(t.key) == 1 && !t.single() }

// fill adds rows. A row whose key has a null can be looked up by nobody.
func (t *table) fill(b *record.Batch) error {
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
func (t *table) declare(env *checker.Env, name string) error {
	signatures := [][]*types.Type{{}}
	for _, k := range t.key {
		accepts := kinds(t.schema.Fields[k].Type.Kind)
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
func (w *walk) lookup(e ast.Expr, t *table, args []ast.Expr) (operand, error) {
	if len(args) != len(t.key) {
		return operand{}, fault(e, "%s is looked up by %d columns", t.name, len(t.key))
	}
	in := make([]operand, len(args))
	for i, a := range args {
		o, err := w.expr(a)
		if err != nil {
			return o, err
		}
		want := t.schema.Fields[t.key[i]].Type
		switch {
		case o.literal:
			return o, fault(a, "null is in no key")
		case o.typ.Kind == kDecimal && want.Kind == kInt, o.typ.Kind == kDecimal && want.Kind == kDecimal && o.typ.Scale > want.Scale:
			o = w.shrunk(o, want)
		case want.Kind == kDecimal && (o.typ.Kind == kInt || o.typ.Kind == kDecimal):
			o = w.rescaled(o, want.Scale)
		case o.typ.Kind != want.Kind:
			return o, fault(a, "%s where the key of %s is %s", o.typ.Kind, t.name, want.Kind)
		}
		in[i] = o
	}
	w.lookups[t.name] = true
	o := w.emitFrom(0, "lookup "+t.name, ecluse.Type{Kind: rowKind}, true, in, func(in []int, out int) kernel {
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
func (c *compiler) shrunk(o operand, want ecluse.Type) operand {
	from := o.typ.Scale
	return c.num1(fmt.Sprintf("key %d to %d", from, want.Scale), want, true, o, func(x int64) (int64, bool) { return rescale(x, from, want.Scale, "exact") })
}

func findInt(slot, in, out int) kernel {
	return func(m *machine, n int) {
		x, z, index := &m.regs[in], &m.regs[out], m.tables[slot].ints
		z.integers(n)
		for i := range n {
			p := i & x.mask
			s, at := x.state[p], int32(0)
			if s == 0 {
				var ok bool
				if at, ok = index[x.num[p]]; !ok {
					s = isMiss
				}
			}
			z.state[i], z.num[i] = s, int64(at)
		}
	}
}

func findText(slot, in, out int) kernel {
	return func(m *machine, n int) {
		x, z, index := &m.regs[in], &m.regs[out], m.tables[slot].texts
		z.integers(n)
		for i := range n {
			p := i & x.mask
			s, at := x.state[p], int32(0)
			if s == 0 {
				var ok bool
				if at, ok = index[string(x.txt[p])]; !ok {
					s = isMiss
				}
			}
			z.state[i], z.num[i] = s, int64(at)
		}
	}
}

func findKey(t *table, in []int, out int) kernel {
	integer := make([]bool, len(t.key))
	for i, k := range t.key {
		integer[i] = stored(t.schema.Fields[k].Type.Kind)
	}
	return func(m *machine, n int) {
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
					s = isMiss
				}
			}
			z.state[i], z.num[i] = s, int64(at)
		}
	}
}

// field is a column of a row that was looked up.
func (c *compiler) field(row operand, name string) operand {
	t := row.table
	col := t.schema.Index(name)
	t.used[col] = true
	typ := t.schema.Fields[col].Type
	o := c.emitFrom(0, fmt.Sprintf("column %d of %s", col, t.name), typ, false, []operand{row}, func(in []int, out int) kernel {
		return func(m *machine, n int) {
			x, z, from := &m.regs[in[0]], &m.regs[out], m.tables[t.slot].columns[col]
			z.room(typ.Kind, n)
			for i := range n {
				p := i & x.mask
				at := int(x.num[p])
				switch {
				case x.state[p] != 0:
					z.set(i, typ.Kind, x.state[p])
				case from.Null(at):
					z.set(i, typ.Kind, isNull)
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

// readFrozen reads a frozen table. A column whose every cell is a whole number
// written the one usual way is one of integers; an empty cell is null.
func readFrozen(name string, f *FrozenTable, b []byte) (*table, error) {
	rows, err := readCSV(f, b)
	if err != nil {
		return nil, err
	}
	header := rows[0]
	schema := &record.Schema{}
	for i, h := range header {
		typ, err := cellType(f.Types[h], i, rows[1:])
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", h, err)
		}
		schema.Fields = append(schema.Fields, record.Field{Name: h, Type: ecluse.Type{Kind: typ}})
	}
	for column := range f.Types {
		if schema.Index(column) < 0 {
			return nil, fmt.Errorf("types: no column %s", column)
		}
	}
	if err := screenTable(header, rows[1:]); err != nil {
		return nil, err
	}
	t, err := newTable(name, "frozen table", schema, f.Key, len(rows))
	if err != nil {
		return nil, err
	}
	for i := range header {
		t.used[i] = true
	}
	batch := record.NewBatch(schema, len(rows)-1)
	for _, row := range rows[1:] {
		for i, cell := range row {
			c := batch.Columns[i]
			switch {
			case cell == "":
				c.AppendNull()
			case schema.Fields[i].Type.Kind == kInt:
				n, _ := strconv.ParseInt(cell, 10, 64) // cellType has looked
				c.AppendInt(n)
			default:
				c.AppendString(cell)
			}
		}
	}
	t = t.empty()
	if err := t.fill(batch); err != nil {
		return nil, err
	}
	t.closed = true
	return t, nil
}

func readCSV(f *FrozenTable, b []byte) ([][]string, error) {
	b = bytes.TrimPrefix(b, []byte("\uFEFF"))
	if !utf8.Valid(b) {
		return nil, errors.New("not UTF-8")
	}
	r := csv.NewReader(bytes.NewReader(b))
	if f.Delimiter != "" {
		r.Comma, _ = utf8.DecodeRuneInString(f.Delimiter)
	}
	var rows [][]string
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if rows = append(rows, row); len(rows) > maxHeldRows {
			return nil, fmt.Errorf("more than %d rows", maxHeldRows)
		}
	}
	if len(rows) == 0 {
		return nil, errors.New("no header line")
	}
	seen := map[string]bool{}
	for _, h := range rows[0] {
		if h == "" || strings.TrimSpace(h) != h || seen[h] {
			return nil, errors.New("header: every column needs a name of its own, without spaces around it")
		}
		seen[h] = true
	}
	return rows, nil
}

func cellType(declared string, column int, rows [][]string) (ecluse.DataKind, error) {
	if declared == "text" {
		return kText, nil
	}
	cells := 0
	for i, row := range rows {
		c := row[column]
		if c == "" {
			continue
		}
		cells++
		n, err := strconv.ParseInt(c, 10, 64)
		if err != nil || strconv.FormatInt(n, 10) != c {
			if declared == "int" {
				return "", fmt.Errorf("line %d is not a whole number", i+2)
			}
			return kText, nil
		}
	}
	if cells == 0 && declared == "" {
		return kText, nil
	}
	return kInt, nil
}

package expr

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"ecluse"
)

// maxCoalesce is how many values coalesce chooses among.
const maxCoalesce = 6

func (l *lang) logic() {
	l.add(operators.LogicalAnd, kBool, kinds(kBool, kBool), func(k *callSite) (Operand, error) { return k.junction(false) })
	l.add(operators.LogicalOr, kBool, kinds(kBool, kBool), func(k *callSite) (Operand, error) { return k.junction(true) })
	l.add(operators.LogicalNot, kBool, kinds(kBool), func(k *callSite) (Operand, error) {
		a, err := k.arg(0)
		if err != nil {
			return a, err
		}
		return k.num1("not", widest(kBool), false, a, func(x int64) (int64, bool) { return 1 - x, true }), nil
	})
	for _, k := range valueKinds() {
		l.add(operators.Equals, kBool, kinds(k, k), comparison)
		l.add(operators.NotEquals, kBool, kinds(k, k), comparison)
		l.add(operators.Conditional, k, kinds(kBool, k, k), choose)
		for n := 2; n <= maxCoalesce; n++ {
			l.add("coalesce", k, slices.Repeat(kinds(k), n), coalesce)
		}
		if k == kBool || k == kBytes || k == kNumber {
			continue
		}
		for _, op := range []string{operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals} {
			l.add(op, kBool, kinds(k, k), comparison)
		}
	}
	for _, op := range []string{operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals} {
		l.add(op, kBool, kinds(kInt, kDecimal), comparison)
		l.add(op, kBool, kinds(kDecimal, kInt), comparison)
	}
	l.add("null_if", kText, kinds(kText, kText), nullIf)
	l.add("null_if", kInt, kinds(kInt, kInt), nullIf)
	l.add("empty", kBool, kinds(kText), empty)
	for _, k := range kinds(kText, kInt) {
		l.put(&overload{
			name: operators.In, args: kinds(k, "list of "+k), result: kBool, build: inList,
			celArgs: []*types.Type{celType(k), types.NewListType(celType(k))},
		})
		for _, v := range valueKinds() {
			l.put(&overload{
				name: operators.Index, args: kinds("map of "+k+" to "+v, k), result: v, build: codeMap,
				celArgs: []*types.Type{types.NewMapType(celType(k), celType(v)), celType(k)},
			})
		}
	}
}

// junction is and (decided by false) or or (decided by true), in Kleene's logic:
// a null beside what decides does not matter.
func (k *callSite) junction(decides bool) (Operand, error) {
	in, err := k.all()
	if err != nil {
		return Operand{}, err
	}
	d := int64(0)
	if decides {
		d = 1
	}
	return k.emit(fmt.Sprintf("junction %d", d), widest(kBool), false, in, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			x, y, z := &m.regs[in[0]], &m.regs[in[1]], &m.regs[out]
			z.integers(n)
			for i := range n {
				p, q := i&x.mask, i&y.mask
				s, v := x.state[p]|y.state[q], 1-d
				if x.state[p] == 0 && x.num[p] == d || y.state[q] == 0 && y.num[q] == d {
					s, v = 0, d
				}
				z.state[i], z.num[i] = s, v
			}
		}
	}), nil
}

// compare says whether an order (negative, zero, positive) satisfies an operator.
func compare(op string) func(order int) bool {
	switch op {
	case operators.Equals:
		return func(o int) bool { return o == 0 }
	case operators.NotEquals:
		return func(o int) bool { return o != 0 }
	case operators.Less:
		return func(o int) bool { return o < 0 }
	case operators.LessEquals:
		return func(o int) bool { return o <= 0 }
	case operators.Greater:
		return func(o int) bool { return o > 0 }
	}
	return func(o int) bool { return o >= 0 }
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func comparison(k *callSite) (Operand, error) {
	in, err := k.all()
	if err != nil {
		return Operand{}, err
	}
	holds, key := compare(k.sig.name), "compare "+k.sig.name
	switch kind := in[0].Type.Kind; {
	case kind == kNumber:
		return Operand{}, fault(k.node, "numbers of no fixed scale are compared as decimals: to_decimal(x, 3)")
	case kind == kDecimal || in[1].Type.Kind == kDecimal:
		sa, sb := in[0].Type.Scale, in[1].Type.Scale
		return k.num2(fmt.Sprintf("%s %d %d", key, sa, sb), widest(kBool), in[0], in[1], func(a, b int64) (int64, bool) {
			return truth(holds(cmpScaled(a, sa, b, sb))), true
		}), nil
	case kind == kFloat:
		return k.num2(key+" float", widest(kBool), in[0], in[1], func(a, b int64) (int64, bool) {
			x, y := math.Float64frombits(uint64(a)), math.Float64frombits(uint64(b))
			if x != x || y != y {
				return 0, false
			}
			return truth(holds(cmpFloat(x, y))), true
		}), nil
	case stored(kind):
		return k.num2(key, widest(kBool), in[0], in[1], func(a, b int64) (int64, bool) {
			return truth(holds(cmpInt(a, b))), true
		}), nil
	}
	return k.emit(key+" text", widest(kBool), false, in, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			x, y, z := &m.regs[in[0]], &m.regs[in[1]], &m.regs[out]
			z.integers(n)
			for i := range n {
				p, q := i&x.mask, i&y.mask
				z.state[i], z.num[i] = x.state[p]|y.state[q], 0
				if z.state[i] == 0 {
					z.num[i] = truth(holds(bytes.Compare(x.txt[p], y.txt[q])))
				}
			}
		}
	}), nil
}

func cmpInt(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// alike brings decimals to one scale; other kinds are left as they are.
func (k *callSite) alike(in []Operand) ecluse.Type {
	t := in[0].Type
	for _, o := range in[1:] {
		t.Scale = max(t.Scale, o.Type.Scale)
		t.Precision = max(t.Precision, o.Type.Precision)
	}
	if t.Kind == kDecimal {
		t.Precision = 18
		for i := range in {
			in[i] = k.rescaled(in[i], t.Scale)
		}
	}
	return t
}

// choose is cond ? a : b. Where cond is null, so is the result.
func choose(k *callSite) (Operand, error) {
	in, err := k.all()
	if err != nil {
		return Operand{}, err
	}
	t := k.alike(in[1:])
	return k.emit("choose", t, false, in, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			c, z := &m.regs[in[0]], &m.regs[out]
			branch := [2]*Vector{&m.regs[in[2]], &m.regs[in[1]]}
			z.room(t.Kind, n)
			for i := range n {
				if s := c.state[i&c.mask]; s != 0 {
					z.set(i, t.Kind, s)
					continue
				}
				z.Copy(i, branch[c.num[i&c.mask]&1], t.Kind)
			}
		}
	}), nil
}

// set makes value i of a state other than present.
func (v *Vector) set(i int, k ecluse.DataKind, s uint8) {
	v.state[i] = s
	if stored(k) {
		v.num[i] = 0
	} else {
		v.txt[i] = nil
	}
}

// coalesce is the first value that is there, else the last, whatever it is.
func coalesce(k *callSite) (Operand, error) {
	in, err := k.all()
	if err != nil {
		return Operand{}, err
	}
	t := k.alike(in)
	last := in[len(in)-1].MayMiss
	o := k.emit("coalesce", t, false, in, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			z := &m.regs[out]
			z.room(t.Kind, n)
			for i := range n {
				for _, r := range in {
					x := &m.regs[r]
					z.Copy(i, x, t.Kind)
					if z.state[i] == 0 {
						break
					}
				}
			}
		}
	})
	o.MayMiss = last
	return o, nil
}

// nullIf is its first argument, or null where it equals the second.
func nullIf(k *callSite) (Operand, error) {
	in, err := k.all()
	if err != nil {
		return Operand{}, err
	}
	t := in[0].Type
	return k.emit("null_if", t, false, in, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			x, y, z := &m.regs[in[0]], &m.regs[in[1]], &m.regs[out]
			z.room(t.Kind, n)
			for i := range n {
				z.Copy(i, x, t.Kind)
				p, q := i&x.mask, i&y.mask
				if z.state[i] != 0 || y.state[q] != 0 {
					continue
				}
				if t.Kind == kText && bytes.Equal(x.txt[p], y.txt[q]) || t.Kind != kText && x.num[p] == y.num[q] {
					z.set(i, t.Kind, Null)
				}
			}
		}
	}), nil
}

// empty tells a text that is null or of no characters.
func empty(k *callSite) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	o := k.emit("empty", widest(kBool), false, []Operand{a}, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			x, z := &m.regs[in[0]], &m.regs[out]
			z.integers(n)
			clear(z.state)
			for i := range n {
				p := i & x.mask
				z.num[i] = truth(x.state[p] != 0 || len(x.txt[p]) == 0)
			}
		}
	})
	o.MayMiss = false
	return o, nil
}

// fixedList compiles the constants of a list or of one side of a map.
func (k *callSite) fixedList(nodes []ast.Expr, want ecluse.DataKind) ([]Operand, error) {
	out := make([]Operand, len(nodes))
	for i, e := range nodes {
		o, err := k.expr(e)
		if err != nil {
			return nil, err
		}
		switch {
		case o.Null:
			o = k.null(widest(want))
		case o.Domain != Constant:
			return nil, fault(e, "must be written out: it is read when the mapping is checked")
		case o.Type.Kind != want:
			return nil, fault(e, "%s where %s is wanted", o.Type.Kind, want)
		}
		out[i] = o
	}
	return out, nil
}

// codeIndex finds the place of fixed codes, all texts or all integers.
type codeIndex struct {
	texts map[string]int
	ints  map[int64]int
}

func (k *callSite) codeIndex(nodes []ast.Expr, kind ecluse.DataKind) (*codeIndex, string, error) {
	keys, err := k.fixedList(nodes, kind)
	if err != nil {
		return nil, "", err
	}
	x := &codeIndex{texts: map[string]int{}, ints: map[int64]int{}}
	var spelled strings.Builder
	for i, o := range keys {
		v := &k.consts[o.Reg]
		if v.state[0] != 0 {
			return nil, "", fault(nodes[i], "null equals nothing: test x == null")
		}
		if kind == kText {
			if _, dup := x.texts[string(v.txt[0])]; dup {
				return nil, "", fault(nodes[i], "code given twice")
			}
			x.texts[string(v.txt[0])] = i
		} else {
			if _, dup := x.ints[v.num[0]]; dup {
				return nil, "", fault(nodes[i], "code given twice")
			}
			x.ints[v.num[0]] = i
		}
		fmt.Fprintf(&spelled, " %d", o.Reg)
	}
	return x, spelled.String(), nil
}

// find is the place of value i of a vector, or −1.
func (x *codeIndex) find(v *Vector, i int, kind ecluse.DataKind) int {
	var at int
	var ok bool
	if kind == kText {
		at, ok = x.texts[string(v.txt[i&v.mask])]
	} else {
		at, ok = x.ints[v.num[i&v.mask]]
	}
	if !ok {
		return -1
	}
	return at
}

// inList is x in ['a', 'b'].
func inList(k *callSite) (Operand, error) {
	if k.args[1].Kind() != ast.ListKind {
		return Operand{}, fault(k.args[1], "want a list written out, such as ['M', 'F']")
	}
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	kind := a.Type.Kind
	x, spelled, err := k.codeIndex(k.args[1].AsList().Elements(), kind)
	if err != nil {
		return Operand{}, err
	}
	return k.emit("in"+spelled, widest(kBool), false, []Operand{a}, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			v, z := &m.regs[in[0]], &m.regs[out]
			z.integers(n)
			for i := range n {
				z.state[i], z.num[i] = v.state[i&v.mask], 0
				if z.state[i] == 0 {
					z.num[i] = truth(x.find(v, i, kind) >= 0)
				}
			}
		}
	}), nil
}

// codeMap is {'a': 1, 'b': 2}[x]: no result where x is not a key.
func codeMap(k *callSite) (Operand, error) {
	if k.args[0].Kind() != ast.MapKind {
		return Operand{}, fault(k.args[0], "want a map written out, such as {'M': 1, 'F': 2}")
	}
	var keys, vals []ast.Expr
	for _, e := range k.args[0].AsMap().Entries() {
		keys, vals = append(keys, e.AsMapEntry().Key()), append(vals, e.AsMapEntry().Value())
	}
	if len(keys) == 0 {
		return Operand{}, fault(k.args[0], "the map is empty")
	}
	a, err := k.arg(1)
	if err != nil {
		return a, err
	}
	kind := a.Type.Kind
	x, spelledKeys, err := k.codeIndex(keys, kind)
	if err != nil {
		return Operand{}, err
	}
	values, err := k.fixedList(vals, k.sig.result)
	if err != nil {
		return Operand{}, err
	}
	t := k.alike(values)
	vectors := make([]*Vector, len(values))
	spelled := spelledKeys + " to"
	for i, o := range values {
		v := k.consts[o.Reg]
		vectors[i] = &v
		spelled += fmt.Sprintf(" %d", o.Reg)
	}
	return k.emit("codes"+spelled, t, true, []Operand{a}, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			v, z := &m.regs[in[0]], &m.regs[out]
			z.room(t.Kind, n)
			for i := range n {
				if s := v.state[i&v.mask]; s != 0 {
					z.set(i, t.Kind, s)
				} else if at := x.find(v, i, kind); at >= 0 {
					z.Copy(i, vectors[at], t.Kind)
				} else {
					z.set(i, t.Kind, Miss)
				}
			}
		}
	}), nil
}

package expr

import (
	"fmt"
	"slices"

	"ecluse"
)

// constInt is a constant of a kind stored as an integer.
func (c *Compiler) constInt(k ecluse.DataKind, n int64) Operand {
	return c.constant(fmt.Sprintf("%s %d", k, n), ecluse.Type{Kind: k}, Vector{state: []uint8{0}, num: []int64{n}})
}

func (c *Compiler) constText(s string) Operand {
	return c.constant("text "+s, ecluse.Type{Kind: kText}, Vector{state: []uint8{0}, txt: [][]byte{[]byte(s)}})
}

// null is a constant null of a type.
func (c *Compiler) null(t ecluse.Type) Operand {
	return c.constant(fmt.Sprintf("null %v", t), t, Vector{state: []uint8{Null}, num: []int64{0}, txt: [][]byte{{}}, list: []int32{0, 0}})
}

func (c *Compiler) constant(key string, t ecluse.Type, v Vector) Operand {
	key = "constant " + key
	if o, ok := c.memo[key]; ok {
		return o
	}
	o := Operand{Reg: c.register(), Type: t, Domain: Constant, Column: -1}
	c.consts[o.Reg], c.scratch.regs[o.Reg] = v, v
	c.memo[key] = o
	return o
}

func (c *Compiler) register() int {
	c.consts = append(c.consts, Vector{})
	c.scratch.regs = append(c.scratch.regs, Vector{})
	return len(c.consts) - 1
}

// column is a source column.
func (c *Compiler) column(i int) Operand {
	c.reads[i] = true
	f := c.schema.Fields[i]
	key := fmt.Sprintf("column %d", i)
	if o, ok := c.memo[key]; ok {
		return o
	}
	o := Operand{Reg: c.register(), Type: f.Type, Column: i, Names: []string{f.Name}}
	c.steps = append(c.steps, step{Source, load(i, f.Type.Kind, o.Reg), nil, []int{o.Reg}})
	c.memo[key] = o
	return o
}

// In is an operand as the rows of a domain see it: its own, or one whose rows
// were made from those it has values for.
func (c *Compiler) In(o Operand, domain int) Operand {
	if o.Domain == Constant || o.Domain == domain {
		return o
	}
	key := fmt.Sprintf("spread %d to %d", o.Reg, domain)
	if p, ok := c.memo[key]; ok {
		return p
	}
	p := o
	p.Reg, p.Domain, p.Column = c.register(), domain, -1
	c.steps = append(c.steps, step{domain, spread(o.Reg, p.Reg, domain, o.Type.Kind), []int{o.Reg}, []int{p.Reg}})
	c.memo[key] = p
	return p
}

// emit adds a kernel over operands and gives its result. key tells the kernel
// and its fixed parameters from all others; the same kernel over the same
// registers is computed once. A kernel over constants alone is run at once.
func (c *Compiler) emit(key string, t ecluse.Type, mayMiss bool, in []Operand, build func(in []int, out int) kernel) Operand {
	return c.emitFrom(Constant, key, t, mayMiss, in, build)
}

// emitFrom is emit for a kernel that runs in a domain at least: look-ups are
// never run at once, since tables are filled later.
func (c *Compiler) emitFrom(domain int, key string, t ecluse.Type, mayMiss bool, in []Operand, build func(in []int, out int) kernel) Operand {
	o := Operand{Type: t, Domain: domain, MayMiss: mayMiss, Column: -1}
	for _, a := range in {
		o.Domain = max(o.Domain, a.Domain)
		o.MayMiss = o.MayMiss || a.MayMiss
		o.Names = append(o.Names, a.Names...)
	}
	slices.Sort(o.Names)
	o.Names = slices.Compact(o.Names)
	regs := make([]int, len(in))
	for i, a := range in {
		regs[i] = c.In(a, o.Domain).Reg
	}
	key = fmt.Sprintf("%s %v %v", key, t, regs)
	if p, ok := c.memo[key]; ok {
		return p
	}
	o.Reg = c.register()
	run := build(regs, o.Reg)
	if o.Domain == Constant {
		run(&c.scratch, 1)
		v := c.scratch.regs[o.Reg].constant(t.Kind)
		c.consts[o.Reg], c.scratch.regs[o.Reg] = v, v
		o.MayMiss = v.state[0]&Miss != 0
	} else {
		c.steps = append(c.steps, step{o.Domain, run, regs, []int{o.Reg}})
	}
	c.memo[key] = o
	return o
}

package expr

import (
	"slices"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// What a value is, beside its bits. A state is a set of flags; none: present.
const (
	Null   uint8 = 1 << iota // null where it came from
	Miss                     // no result: not found, not a date, beyond 64 bits
	Misfit                   // a result that the target column cannot hold
)

// Vector is one register: the values of one expression for the rows of a block.
// A constant has one value and mask 0, so that v.num[i&v.mask] is right for both.
// Texts are views: into the batch, into a constant, or into the register's arena.
type Vector struct {
	state []uint8
	num   []int64
	txt   [][]byte
	list  []int32 // list i is txt[list[i]:list[i+1]]
	arena []byte
	mask  int
}

// integers makes room for n integers.
func (v *Vector) integers(n int) {
	v.states(n)
	if cap(v.num) < n {
		v.num = make([]int64, n, max(n, BlockRows))
	}
	v.num = v.num[:n]
}

// texts makes room for n texts and empties the arena.
func (v *Vector) texts(n int) {
	v.states(n)
	if cap(v.txt) < n {
		v.txt = make([][]byte, n, max(n, BlockRows))
	}
	v.txt, v.arena = v.txt[:n], v.arena[:0]
}

// lists makes room for n lists, still empty.
func (v *Vector) lists(n int) {
	v.states(n)
	if cap(v.list) < n+1 {
		v.list = make([]int32, n+1, max(n, BlockRows)+1)
	}
	v.list, v.txt, v.arena = v.list[:n+1], v.txt[:0], v.arena[:0]
	v.list[0] = 0
}

func (v *Vector) states(n int) {
	v.mask = -1
	if cap(v.state) < n {
		v.state = make([]uint8, n, max(n, BlockRows))
	}
	v.state = v.state[:n]
}

// room makes room for n values of a kind.
func (v *Vector) room(k ecluse.DataKind, n int) {
	if stored(k) {
		v.integers(n)
	} else {
		v.texts(n)
	}
}

// constant is a copy of a vector's first value, good for every row.
func (v *Vector) constant(k ecluse.DataKind) Vector {
	c := Vector{state: []uint8{v.state[0]}}
	switch {
	case k == List:
		for _, t := range v.txt {
			c.txt = append(c.txt, append([]byte{}, t...))
		}
		c.list = []int32{0, int32(len(c.txt))}
	case stored(k):
		c.num = []int64{v.num[0]}
	default:
		c.txt = [][]byte{append([]byte{}, v.txt[0]...)}
	}
	return c
}

// State tells what value i is; 0: present.
func (v *Vector) State(i int) uint8 { return v.state[i&v.mask] }

// Int is value i of a kind kept as integers.
func (v *Vector) Int(i int) int64 { return v.num[i&v.mask] }

// Text is value i of a kind kept as bytes, good for the block under way.
func (v *Vector) Text(i int) record.Value { return v.txt[i&v.mask] }

// Holds tells a condition that is true.
func (v *Vector) Holds(i int) bool {
	i &= v.mask
	return v.state[i] == 0 && v.num[i] != 0
}

// CopyAll makes v the first n values of o.
func (v *Vector) CopyAll(o *Vector, k ecluse.DataKind, n int) {
	v.room(k, n)
	for i := range n {
		v.Copy(i, o, k)
	}
}

// Copy makes value i that of o.
func (v *Vector) Copy(i int, o *Vector, k ecluse.DataKind) {
	j := i & o.mask
	v.state[i] = o.state[j]
	if stored(k) {
		v.num[i] = o.num[j]
	} else {
		v.txt[i] = o.txt[j]
	}
}

// Machine is the registers of one run of some code. It serves one goroutine.
type Machine struct {
	code   *Code
	regs   []Vector
	rows   []int     // per domain
	parent [][]int32 // per domain; nil for the source rows
	tables []*Table  // by slot
	in     *record.Batch
	from   int // first row of the block in the batch
	key    []byte
}

// NewMachine makes room for the registers of some code. Tables stand in the order
// of their slots.
func NewMachine(code *Code, tables []*Table) *Machine {
	m := &Machine{
		code: code, regs: make([]Vector, len(code.consts)), rows: make([]int, code.domains),
		parent: make([][]int32, code.domains), tables: tables,
	}
	copy(m.regs, code.consts)
	return m
}

// Run computes the registers for the n rows of a batch from a row on; n is at
// most BlockRows.
func (m *Machine) Run(b *record.Batch, from, n int) {
	m.in, m.from, m.rows[Source] = b, from, n
	for _, s := range m.code.steps {
		s.run(m, m.rows[s.domain])
	}
}

// Reg is a register's values for the block under way.
func (m *Machine) Reg(i int) *Vector { return &m.regs[i] }

// Rows is the number of rows of a domain in the block under way.
func (m *Machine) Rows(domain int) int { return m.rows[domain] }

// Parents gives the source row of the block for each row of a domain; nil for
// the source rows themselves.
func (m *Machine) Parents(domain int) []int32 { return m.parent[domain] }

// BlockRows is how many source rows are worked on at once: few enough for the
// registers to stay in the processor's cache.
const BlockRows = 1024

// kernel computes one register from others, for n rows.
type kernel func(m *Machine, n int)

// step is a kernel, the domain it runs in, and the registers it reads and writes.
type step struct {
	domain  int
	run     kernel
	in, out []int
}

// prune drops the steps whose results nothing needs.
func prune(steps []step, needed map[int]bool) []step {
	kept := make([]step, 0, len(steps))
	for _, s := range slices.Backward(steps) {
		if !slices.ContainsFunc(s.out, func(r int) bool { return needed[r] }) {
			continue
		}
		for _, r := range s.in {
			needed[r] = true
		}
		kept = append(kept, s)
	}
	slices.Reverse(kept)
	return kept
}

// load copies a source column into a register; integers are shared.
func load(column int, kind ecluse.DataKind, out int) kernel {
	return func(m *Machine, n int) {
		v, c := &m.regs[out], m.in.Columns[column]
		v.states(n)
		if c.Nulls() == 0 {
			clear(v.state)
		} else {
			for i := range v.state {
				v.state[i] = 0
				if c.Null(m.from + i) {
					v.state[i] = Null
				}
			}
		}
		if stored(kind) {
			v.num = c.Ints()[m.from : m.from+n]
			return
		}
		v.texts(n)
		for i := range v.txt {
			v.txt[i] = c.Bytes(m.from + i)
		}
	}
}

// spread copies a register of the source rows to the rows of another domain.
func spread(in, out, domain int, kind ecluse.DataKind) kernel {
	return func(m *Machine, n int) {
		x, z, parent := &m.regs[in], &m.regs[out], m.parent[domain][:n]
		if kind == List {
			z.lists(n)
			for i, p := range parent {
				z.state[i] = x.state[p]
				z.txt = append(z.txt, x.txt[x.list[p]:x.list[p+1]]...)
				z.list[i+1] = int32(len(z.txt))
			}
			return
		}
		z.room(kind, n)
		for i, p := range parent {
			z.state[i] = x.state[p]
			if stored(kind) {
				z.num[i] = x.num[p]
			} else {
				z.txt[i] = x.txt[p]
			}
		}
	}
}

// explode makes a domain of the pieces of a list: their texts, their positions
// from 1, and the source row of each.
func explode(list, domain, piece, position int) kernel {
	return func(m *Machine, n int) {
		x, p, q := &m.regs[list], &m.regs[piece], &m.regs[position]
		parent := m.parent[domain][:0]
		p.texts(0)
		q.integers(0)
		for i := range n {
			r := i & x.mask
			if x.state[r] != 0 {
				continue
			}
			for j, t := range x.txt[x.list[r]:x.list[r+1]] {
				parent = append(parent, int32(i))
				p.txt = append(p.txt, t)
				q.num = append(q.num, int64(j+1))
			}
		}
		m.parent[domain] = parent
		m.rows[domain] = len(parent)
		p.states(len(parent))
		clear(p.state)
		q.states(len(parent))
		clear(q.state)
	}
}

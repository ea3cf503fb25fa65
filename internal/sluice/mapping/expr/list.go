package expr

import (
	"bytes"
	"fmt"

	"ecluse"
)

// split cuts a text at every separator. drop_last_empty leaves out the empty
// piece after a separator at the end.
func split(k *callSite) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	sep, err := k.fixedText(1)
	if err != nil {
		return Operand{}, err
	}
	if sep == "" {
		return Operand{}, fault(k.args[1], "must not be empty")
	}
	drop := len(k.args) == 3
	if drop {
		if _, err := k.option(2, "drop_last_empty"); err != nil {
			return Operand{}, err
		}
	}
	by := []byte(sep)
	return k.emit(fmt.Sprintf("split %q %t", sep, drop), ecluse.Type{Kind: List}, false, []Operand{a}, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			x, z := &m.regs[in[0]], &m.regs[out]
			z.lists(n)
			for i := range n {
				p := i & x.mask
				z.state[i] = x.state[p]
				if z.state[i] == 0 {
					z.txt = appendPieces(z.txt, x.txt[p], by, drop)
				}
				z.list[i+1] = int32(len(z.txt))
			}
		}
	}), nil
}

func appendPieces(to [][]byte, s, by []byte, drop bool) [][]byte {
	for {
		at := bytes.Index(s, by)
		if at < 0 {
			break
		}
		to = append(to, s[:at])
		s = s[at+len(by):]
	}
	if drop && len(s) == 0 {
		return to
	}
	return append(to, s)
}

func listSize(k *callSite) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	return k.emit("list size", widest(kInt), false, []Operand{a}, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			x, z := &m.regs[in[0]], &m.regs[out]
			z.integers(n)
			for i := range n {
				p := i & x.mask
				z.state[i], z.num[i] = x.state[p], int64(x.list[p+1]-x.list[p])
			}
		}
	}), nil
}

// listItem is split(…)[i], from 0: no result beyond the end.
func listItem(k *callSite) (Operand, error) {
	in, err := k.all()
	if err != nil {
		return Operand{}, err
	}
	return k.emit("item", widest(kText), true, in, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			x, y, z := &m.regs[in[0]], &m.regs[in[1]], &m.regs[out]
			z.texts(n)
			for i := range n {
				p, q := i&x.mask, i&y.mask
				z.state[i], z.txt[i] = x.state[p]|y.state[q], nil
				if z.state[i] != 0 {
					continue
				}
				items := x.txt[x.list[p]:x.list[p+1]]
				if at := y.num[q]; at >= 0 && at < int64(len(items)) {
					z.txt[i] = items[at]
				} else {
					z.state[i] = Miss
				}
			}
		}
	}), nil
}

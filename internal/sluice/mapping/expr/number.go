package expr

import (
	"fmt"
	"math"
	"math/bits"

	"cel.dev/cel-go/common/operators"

	"ecluse"
)

// Exact decimals are 64-bit integers and a scale known when the mapping is
// checked. Whatever would need more than 64 bits has no result.

const maxScale = 18

// pow10 is the powers of ten that fit 64 bits.
var pow10 = [maxScale + 1]int64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
}

func (l *lang) numbers() {
	l.add(decimalLiteral, kDecimal, kinds(kText), numberLiteral)
	for op, f := range map[string]func(a, b int64) (int64, bool){
		operators.Add: addInt, operators.Subtract: subInt,
	} {
		for _, s := range [][2]ecluse.DataKind{{kInt, kInt}, {kInt, kDecimal}, {kDecimal, kInt}, {kDecimal, kDecimal}} {
			l.add(op, numberOf(s), s[:], func(k *callSite) (Operand, error) { return k.sum(f) })
		}
	}
	for _, s := range [][2]ecluse.DataKind{{kInt, kInt}, {kInt, kDecimal}, {kDecimal, kInt}, {kDecimal, kDecimal}} {
		l.add(operators.Multiply, numberOf(s), s[:], product)
		l.add("div", kDecimal, kinds(s[0], s[1], kInt, optionKind), quotient)
	}
	l.add(operators.Modulo, kInt, kinds(kInt, kInt), func(k *callSite) (Operand, error) {
		in, err := k.all()
		if err != nil {
			return Operand{}, err
		}
		return k.num2("modulo", widest(kInt), in[0], in[1], func(a, b int64) (int64, bool) {
			if b == 0 || b == -1 {
				return 0, b != 0
			}
			return a % b, true
		}), nil
	})
	for _, kind := range kinds(kInt, kDecimal) {
		l.add(operators.Negate, kind, kinds(kind), func(k *callSite) (Operand, error) {
			a, err := k.arg(0)
			if err != nil {
				return a, err
			}
			return k.num1("negate", a.Type, false, a, func(x int64) (int64, bool) { return -x, x != math.MinInt64 }), nil
		})
	}
	l.add("round", kDecimal, kinds(kDecimal, kInt, optionKind), rounded)
	l.parsers()
}

func numberOf(s [2]ecluse.DataKind) ecluse.DataKind {
	if s[0] == kDecimal || s[1] == kDecimal {
		return kDecimal
	}
	return kInt
}

// parsers are the conversions between kinds of numbers, and from text.
func (l *lang) parsers() {
	for _, from := range kinds(kText, kNumber) {
		l.add("to_int", kInt, kinds(from), func(k *callSite) (Operand, error) { return k.parseDecimal(0, "exact", widest(kInt)) })
		l.add("to_decimal", kDecimal, kinds(from, kInt), toDecimal)
		l.add("to_decimal", kDecimal, kinds(from, kInt, optionKind), toDecimal)
		l.add("to_float", kFloat, kinds(from), toFloat)
	}
	l.add("to_decimal", kDecimal, kinds(kInt, kInt), rounded)
	l.add("to_decimal", kDecimal, kinds(kDecimal, kInt), rounded)
	l.add("to_decimal", kDecimal, kinds(kFloat, kInt, optionKind), floatToDecimal)
	l.add("to_int", kInt, kinds(kDecimal), func(k *callSite) (Operand, error) {
		a, err := k.arg(0)
		if err != nil {
			return a, err
		}
		s := a.Type.Scale
		return k.num1(fmt.Sprintf("whole %d", s), widest(kInt), true, a, func(x int64) (int64, bool) { return rescale(x, s, 0, "exact") }), nil
	})
	l.add("to_number", kNumber, kinds(kText), toNumber)
	l.add("to_float", kFloat, kinds(kInt), func(k *callSite) (Operand, error) {
		a, err := k.arg(0)
		if err != nil {
			return a, err
		}
		return k.num1("float of int", widest(kFloat), true, a, func(x int64) (int64, bool) {
			return int64(math.Float64bits(float64(x))), x >= -1<<53 && x <= 1<<53
		}), nil
	})
}

// num1 is a kernel from one integer to one, or to none.
func (c *Compiler) num1(key string, t ecluse.Type, mayMiss bool, a Operand, f func(int64) (int64, bool)) Operand {
	return c.numOr(Miss, key, t, mayMiss, a, f)
}

// numOr is num1 with another state for what has no result.
func (c *Compiler) numOr(none uint8, key string, t ecluse.Type, mayMiss bool, a Operand, f func(int64) (int64, bool)) Operand {
	return c.emit(key, t, mayMiss, []Operand{a}, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			x, z := &m.regs[in[0]], &m.regs[out]
			z.integers(n)
			for i := range n {
				p := i & x.mask
				s, v := x.state[p], int64(0)
				if s == 0 {
					var ok bool
					if v, ok = f(x.num[p]); !ok {
						s, v = none, 0
					}
				}
				z.state[i], z.num[i] = s, v
			}
		}
	})
}

// num2 is a kernel from two integers to one. Not to have a result is not
// foreseen of it: see Column.Miss.
func (c *Compiler) num2(key string, t ecluse.Type, a, b Operand, f func(x, y int64) (int64, bool)) Operand {
	return c.emit(key, t, false, []Operand{a, b}, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			x, y, z := &m.regs[in[0]], &m.regs[in[1]], &m.regs[out]
			z.integers(n)
			for i := range n {
				p, q := i&x.mask, i&y.mask
				s, v := x.state[p]|y.state[q], int64(0)
				if s == 0 {
					var ok bool
					if v, ok = f(x.num[p], y.num[q]); !ok {
						s, v = Miss, 0
					}
				}
				z.state[i], z.num[i] = s, v
			}
		}
	})
}

// textToNum is a kernel from one text to one integer, or to none.
func (c *Compiler) textToNum(key string, t ecluse.Type, mayMiss bool, a Operand, f func([]byte) (int64, bool)) Operand {
	return c.textOr(Miss, key, t, mayMiss, a, f)
}

// textOr is textToNum with another state for what has no result.
func (c *Compiler) textOr(none uint8, key string, t ecluse.Type, mayMiss bool, a Operand, f func([]byte) (int64, bool)) Operand {
	return c.emit(key, t, mayMiss, []Operand{a}, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			x, z := &m.regs[in[0]], &m.regs[out]
			z.integers(n)
			for i := range n {
				p := i & x.mask
				s, v := x.state[p], int64(0)
				if s == 0 {
					var ok bool
					if v, ok = f(x.txt[p]); !ok {
						s, v = none, 0
					}
				}
				z.state[i], z.num[i] = s, v
			}
		}
	})
}

func addInt(a, b int64) (int64, bool) {
	c := a + b
	return c, (c > a) == (b > 0)
}

func subInt(a, b int64) (int64, bool) {
	c := a - b
	return c, (c < a) == (b > 0)
}

func mulInt(a, b int64) (int64, bool) {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	return signed(hi, lo, (a < 0) != (b < 0))
}

func magnitude(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

func signed(hi, lo uint64, negative bool) (int64, bool) {
	if hi != 0 || lo > math.MaxInt64 {
		return 0, false
	}
	if negative {
		return -int64(lo), true
	}
	return int64(lo), true
}

// cmpScaled compares a·10^−sa with b·10^−sb exactly.
func cmpScaled(a int64, sa int, b int64, sb int) int {
	if sa == sb || (a < 0) != (b < 0) {
		return cmpInt(a, b)
	}
	ah, al := bits.Mul64(magnitude(a), uint64(pow10[max(sb-sa, 0)]))
	bh, bl := bits.Mul64(magnitude(b), uint64(pow10[max(sa-sb, 0)]))
	order := 0
	switch {
	case ah != bh && ah < bh, ah == bh && al < bl:
		order = -1
	case ah != bh || al != bl:
		order = 1
	}
	if a < 0 {
		return -order
	}
	return order
}

// rescale changes the scale of x; mode says what happens to digits that do not fit.
func rescale(x int64, from, to int, mode string) (int64, bool) {
	if to >= from {
		return mulInt(x, pow10[to-from])
	}
	return divide(magnitude(x), uint64(pow10[from-to]), x < 0, mode)
}

// divide rounds a/b to a whole number.
func divide(a, b uint64, negative bool, mode string) (int64, bool) {
	return round128(0, a, b, negative, mode)
}

// round128 rounds (hi·2^64 + lo)/b to a whole number.
func round128(hi, lo, b uint64, negative bool, mode string) (int64, bool) {
	if b == 0 || hi >= b {
		return 0, false
	}
	q, r := bits.Div64(hi, lo, b)
	if r != 0 {
		up := false
		switch mode {
		case "exact":
			return 0, false
		case "half_up":
			up = r >= b-r
		case "half_even":
			up = r > b-r || r == b-r && q&1 == 1
		}
		if up {
			q++
		}
	}
	return signed(0, q, negative)
}

// rescaled brings a decimal (or an integer) to a larger scale.
func (c *Compiler) rescaled(a Operand, scale int) Operand {
	if a.Type.Scale == scale && a.Type.Kind == kDecimal {
		return a
	}
	from := a.Type.Scale
	return c.num1(fmt.Sprintf("rescale %d to %d", from, scale), ecluse.Type{Kind: kDecimal, Precision: 18, Scale: scale}, false, a,
		func(x int64) (int64, bool) { return rescale(x, from, scale, "exact") })
}

// sum is a + b or a − b.
func (k *callSite) sum(f func(a, b int64) (int64, bool)) (Operand, error) {
	in, err := k.all()
	if err != nil {
		return Operand{}, err
	}
	t := widest(kInt)
	if k.sig.result == kDecimal {
		t = ecluse.Type{Kind: kDecimal, Precision: 18, Scale: max(in[0].Type.Scale, in[1].Type.Scale)}
		in[0], in[1] = k.rescaled(in[0], t.Scale), k.rescaled(in[1], t.Scale)
	}
	return k.num2(k.sig.name, t, in[0], in[1], f), nil
}

func product(k *callSite) (Operand, error) {
	in, err := k.all()
	if err != nil {
		return Operand{}, err
	}
	t := widest(k.sig.result)
	t.Scale = in[0].Type.Scale + in[1].Type.Scale
	if t.Scale > maxScale {
		return Operand{}, fault(k.node, "%d digits after the point: round one of the two first", t.Scale)
	}
	return k.num2("multiply", t, in[0], in[1], mulInt), nil
}

// quotient is div(a, b, scale, rounding).
func quotient(k *callSite) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	b, err := k.arg(1)
	if err != nil {
		return b, err
	}
	scale, mode, err := k.scaleAndMode(2)
	if err != nil {
		return Operand{}, err
	}
	// a·10^−sa / (b·10^−sb) = (a·10^(scale+sb−sa) / b)·10^−scale
	up := scale + b.Type.Scale - a.Type.Scale
	if up < 0 || up > maxScale {
		return Operand{}, fault(k.node, "these scales do not go together: round first")
	}
	t := ecluse.Type{Kind: kDecimal, Precision: 18, Scale: scale}
	o := k.num2(fmt.Sprintf("div %d %s", up, mode), t, a, b, func(x, y int64) (int64, bool) {
		hi, lo := bits.Mul64(magnitude(x), uint64(pow10[up]))
		return round128(hi, lo, magnitude(y), (x < 0) != (y < 0), mode)
	})
	o.MayMiss = true
	return o, nil
}

func (k *callSite) scaleAndMode(i int) (scale int, mode string, err error) {
	if scale, err = k.fixedInt(i, 0, maxScale); err != nil {
		return 0, "", err
	}
	if i+1 >= len(k.args) {
		return scale, "exact", nil
	}
	mode, err = k.option(i+1, "half_up", "half_even", "down", "exact")
	return scale, mode, err
}

// rounded is round(x, scale, rounding) and to_decimal(x, scale).
func rounded(k *callSite) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	scale, mode, err := k.scaleAndMode(1)
	if err != nil {
		return Operand{}, err
	}
	from := a.Type.Scale
	t := ecluse.Type{Kind: kDecimal, Precision: 18, Scale: scale}
	return k.num1(fmt.Sprintf("round %d to %d %s", from, scale, mode), t, mode == "exact" && scale < from, a,
		func(x int64) (int64, bool) { return rescale(x, from, scale, mode) }), nil
}

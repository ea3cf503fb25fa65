package expr

import (
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/checker"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/containers"
	"cel.dev/cel-go/common/decls"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"ecluse"
)

// overload is one function of the language for one list of kinds.
type overload struct {
	name   string
	args   []ecluse.DataKind
	result ecluse.DataKind
	build  func(*callSite) (Operand, error)
	// celArgs stands in for args where kinds are not enough: maps and lists.
	celArgs []*types.Type
}

func (o *overload) id() string {
	s := make([]string, len(o.args))
	for i, a := range o.args {
		s[i] = string(a)
	}
	return o.name + "(" + strings.Join(s, ", ") + ")"
}

// lang is every function, operator and option, compiled once.
type lang struct {
	env       *checker.Env
	overloads map[string]*overload
	options   map[string]bool
	ordered   []*overload
}

var language = sync.OnceValue(newLanguage)

func newLanguage() *lang {
	l := &lang{overloads: map[string]*overload{}, options: map[string]bool{}}
	l.logic()
	l.numbers()
	l.texts()
	l.moments()
	env, err := checker.NewEnv(containers.DefaultContainer, &provider{})
	if err != nil {
		panic("internal error: " + err.Error())
	}
	for _, name := range []string{"half_up", "half_even", "down", "exact", "earlier", "later", "drop_last_empty"} {
		l.options[name] = true
		if err := env.AddIdents(decls.NewVariable(name, celOption)); err != nil {
			panic("internal error: " + err.Error())
		}
	}
	// The checker knows and and or by name and asks only that they exist.
	for _, o := range l.ordered {
		if err := env.AddFunctions(o.decl()); err != nil {
			panic("internal error: " + err.Error())
		}
	}
	l.env = env
	return l
}

func (o *overload) decl() *decls.FunctionDecl {
	args := o.celArgs
	if args == nil {
		for _, k := range o.args {
			args = append(args, celType(k))
		}
	}
	f, err := decls.NewFunction(o.name, decls.Overload(o.id(), args, celType(o.result)))
	if err != nil {
		panic("internal error: " + err.Error())
	}
	return f
}

func (l *lang) add(name string, result ecluse.DataKind, args []ecluse.DataKind, build func(*callSite) (Operand, error)) {
	l.put(&overload{name: name, args: args, result: result, build: build})
}

func (l *lang) put(o *overload) {
	if l.overloads[o.id()] != nil {
		panic("internal error: two functions " + o.id())
	}
	l.overloads[o.id()] = o
	l.ordered = append(l.ordered, o)
}

// kinds spells a signature.
func kinds(k ...ecluse.DataKind) []ecluse.DataKind { return k }

// Short names for signatures.
const (
	kBool      = ecluse.Bool
	kInt       = ecluse.Int
	kDecimal   = ecluse.Decimal
	kNumber    = ecluse.Number
	kFloat     = ecluse.Float
	kText      = ecluse.Text
	kBytes     = ecluse.Bytes
	kDate      = ecluse.Date
	kTime      = ecluse.Time
	kTimestamp = ecluse.Timestamp
	kInstant   = ecluse.Instant
)

// callSite is one call in an expression.
type callSite struct {
	*walk
	node ast.Expr
	args []ast.Expr
	sig  *overload
}

// arg compiles argument i as the kind that the signature names.
func (k *callSite) arg(i int) (Operand, error) {
	want := k.sig.args[i]
	o, err := k.expr(k.args[i])
	if err != nil {
		return o, err
	}
	if o.Null {
		return k.null(widest(want)), nil
	}
	if o.Type.Kind != want {
		return o, fault(k.args[i], "%s where %s is wanted", o.Type.Kind, want)
	}
	return o, nil
}

func (k *callSite) all() ([]Operand, error) {
	in := make([]Operand, len(k.args))
	for i := range in {
		var err error
		if in[i], err = k.arg(i); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// fixedText is argument i, which must be written out: it is read when the
// mapping is checked.
func (k *callSite) fixedText(i int) (string, error) {
	o, err := k.arg(i)
	if err != nil {
		return "", err
	}
	if v := &k.consts[o.Reg]; o.Domain == Constant && v.state[0] == 0 {
		return string(v.txt[0]), nil
	}
	return "", fault(k.args[i], "must be a fixed text: it is read when the mapping is checked")
}

func (k *callSite) fixedInt(i int, low, high int64) (int, error) {
	o, err := k.arg(i)
	if err != nil {
		return 0, err
	}
	if v := &k.consts[o.Reg]; o.Domain == Constant && v.state[0] == 0 && v.num[0] >= low && v.num[0] <= high {
		return int(v.num[0]), nil
	}
	return 0, fault(k.args[i], "must be a fixed number from %d to %d", low, high)
}

func (k *callSite) option(i int, allowed ...string) (string, error) {
	if k.args[i].Kind() == ast.IdentKind {
		for _, a := range allowed {
			if k.args[i].AsIdent() == a {
				return a, nil
			}
		}
	}
	return "", fault(k.args[i], "want %s", strings.Join(allowed, ", "))
}

// widest is the type of a null, or of a result, of a kind.
func widest(k ecluse.DataKind) ecluse.Type {
	switch k {
	case ecluse.Decimal:
		return ecluse.Type{Kind: k, Precision: 18}
	case ecluse.Float:
		return ecluse.Type{Kind: k, Precision: 53}
	}
	return ecluse.Type{Kind: k}
}

func isNullLiteral(e ast.Expr) bool {
	return e.Kind() == ast.LiteralKind && e.AsLiteral().Type() == types.NullType
}

// nullTest compiles x == null and x != null, for values and rows of every kind.
func (w *walk) nullTest(e ast.Expr) (o Operand, ok bool, err error) {
	call := e.AsCall()
	name := call.FunctionName()
	if name != operators.Equals && name != operators.NotEquals {
		return o, false, nil
	}
	x := call.Args()[0]
	switch {
	case isNullLiteral(call.Args()[1]):
	case isNullLiteral(x):
		x = call.Args()[1]
	default:
		return o, false, nil
	}
	a, err := w.expr(x)
	if err != nil {
		return o, true, err
	}
	if a.Null {
		return o, true, fault(e, "null is null")
	}
	want := int64(1)
	if name == operators.NotEquals {
		want = 0
	}
	o = w.emit(fmt.Sprintf("null test %d", want), widest(kBool), false, []Operand{a}, func(in []int, out int) kernel {
		return func(m *Machine, n int) {
			x, z := &m.regs[in[0]], &m.regs[out]
			z.integers(n)
			for i := range n {
				z.state[i] = 0
				z.num[i] = 1 - want
				if x.state[i&x.mask] != 0 {
					z.num[i] = want
				}
			}
		}
	})
	o.MayMiss = false
	return o, true, nil
}

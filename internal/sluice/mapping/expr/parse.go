package expr

import (
	"fmt"
	"regexp"
	"strings"

	"cel.dev/cel-go/checker"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// exprError is a fault at a place of an expression.
type exprError struct {
	node ast.Expr
	why  string
}

func (e *exprError) Error() string { return e.why }

func fault(e ast.Expr, format string, args ...any) error {
	return &exprError{e, fmt.Sprintf(format, args...)}
}

// Compile parses, type-checks and compiles one expression. Its error says at
// which character of the expression.
func (c *Compiler) Compile(expr string) (Operand, error) {
	d := desugar(expr)
	src := common.NewTextSource(d.text)
	tree, errs := c.parser.Parse(src)
	if err := firstError(&d, expr, errs); err != nil {
		return Operand{}, err
	}
	if err := c.rewrite(tree, d.text); err != nil {
		return Operand{}, placed(&d, expr, tree, err)
	}
	checked, errs := checker.Check(tree, src, c.env)
	if err := firstError(&d, expr, errs); err != nil {
		return Operand{}, err
	}
	o, err := (&walk{c, checked}).expr(checked.Expr())
	if err != nil {
		return Operand{}, placed(&d, expr, checked, err)
	}
	return o, nil
}

func firstError(d *desugared, expr string, errs *common.Errors) error {
	if errs == nil || len(errs.GetErrors()) == 0 {
		return nil
	}
	e := errs.GetErrors()[0]
	offset := -1
	if e.Location != nil && e.Location.Line() > 0 {
		offset = lineStart(d.text, e.Location.Line()) + e.Location.Column()
	}
	return at(expr, d.written(offset), clean(e.Message))
}

// wrapper is how the checker spells that a type may be null, as all may.
var wrapper = regexp.MustCompile(`wrapper\((\w+)\)`)

// clean takes the type checker's own spelling of things out of its messages.
func clean(s string) string {
	s = strings.ReplaceAll(s, " (in container '')", "")
	s, _, _ = strings.Cut(s, "\n")
	s = wrapper.ReplaceAllString(s, "$1")
	if strings.Contains(s, "'_/_'") {
		return "a division states digits and rounding: div(a, b, 3, half_up)"
	}
	return strings.TrimSpace(s)
}

func placed(d *desugared, expr string, tree *ast.AST, err error) error {
	e, ok := err.(*exprError) //nolint:errorlint // made and returned in this file only
	if !ok || e.node == nil {
		return err
	}
	r, ok := tree.SourceInfo().GetOffsetRange(e.node.ID())
	if !ok {
		return err
	}
	return at(expr, d.written(int(r.Start)), e.why)
}

// at says where in the expression: by its line when it has several.
func at(expr string, offset int, why string) error {
	before := []rune(expr)
	before = before[:min(max(offset, 0), len(before))]
	line, column := 1, 1
	for _, r := range before {
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	if line > 1 || strings.Contains(strings.TrimSpace(expr), "\n") {
		return fmt.Errorf("line %d, column %d of the expression: %s", line, column, why)
	}
	return fmt.Errorf("column %d: %s", column, why)
}

func lineStart(text string, line int) int {
	n := 0
	for i, l := range strings.SplitAfter(text, "\n") {
		if i+1 == line {
			break
		}
		n += len([]rune(l))
	}
	return n
}

// decimalLiteral is the function that 1.5 becomes: CEL would make a float of it.
const decimalLiteral = "@decimal"

var floatToken = regexp.MustCompile(`^-?\s*[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?`)

// rewrite makes CEL's tree ours before it is checked: look-ups, columns written
// with brackets, and decimal literals, whose digits the parser has already lost.
func (c *Compiler) rewrite(tree *ast.AST, text string) error {
	runes := []rune(text)
	fac := ast.NewExprFactory()
	var firstErr error
	visit := func(e ast.Expr) {
		switch e.Kind() {
		case ast.LiteralKind:
			if e.AsLiteral().Type() != types.DoubleType {
				return
			}
			r, ok := tree.SourceInfo().GetOffsetRange(e.ID())
			if !ok || int(r.Start) >= len(runes) {
				firstErr = fault(e, "number not found")
				return
			}
			digits := strings.Join(strings.Fields(floatToken.FindString(string(runes[r.Start:]))), "")
			e.SetKindCase(fac.NewCall(e.ID(), decimalLiteral, fac.NewLiteral(ast.MaxID(tree), types.String(digits))))
		case ast.CallKind:
			call := e.AsCall()
			if call.FunctionName() != operators.Index || len(call.Args()) != 2 {
				return
			}
			c.rewriteIndex(fac, e, call.Args()[0], call.Args()[1])
		}
	}
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(visit))
	return firstErr
}

func (c *Compiler) rewriteIndex(fac ast.ExprFactory, e, target, index ast.Expr) {
	if target.Kind() != ast.IdentKind {
		return
	}
	name := target.AsIdent()
	if _, shadowed := c.scope[name]; shadowed {
		return
	}
	switch {
	case name == rowName && index.Kind() == ast.LiteralKind && index.AsLiteral().Type() == types.StringType:
		e.SetKindCase(fac.NewSelect(e.ID(), target, string(index.AsLiteral().(types.String))))
	case c.tables[name] != nil:
		args := []ast.Expr{index}
		if index.Kind() == ast.ListKind {
			args = index.AsList().Elements()
		}
		e.SetKindCase(fac.NewCall(e.ID(), tableFunction(name), args...))
	}
}

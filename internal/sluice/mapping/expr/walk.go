package expr

import (
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"ecluse"
)

// walk compiles a checked tree. Whatever it does not know, it refuses.
type walk struct {
	*Compiler
	tree *ast.AST
}

func (w *walk) expr(e ast.Expr) (Operand, error) {
	switch e.Kind() {
	case ast.LiteralKind:
		return w.literal(e)
	case ast.IdentKind:
		return w.ident(e)
	case ast.SelectKind:
		return w.selectColumn(e)
	case ast.CallKind:
		return w.call(e)
	case ast.ListKind, ast.MapKind:
		return Operand{}, fault(e, "a list or a map stands only after in, or before an index")
	}
	return Operand{}, fault(e, "not part of the language of mappings")
}

func (w *walk) literal(e ast.Expr) (Operand, error) {
	switch v := e.AsLiteral().(type) {
	case types.Bool:
		n := int64(0)
		if v {
			n = 1
		}
		return w.constInt(ecluse.Bool, n), nil
	case types.Int:
		return w.constInt(ecluse.Int, int64(v)), nil
	case types.String:
		return w.constText(string(v)), nil
	case types.Null:
		return Operand{Null: true, Domain: Constant, Column: -1}, nil
	}
	return Operand{}, fault(e, "write 1, 1.5, 'text', true or null; this kind of literal has no use here")
}

func (w *walk) ident(e ast.Expr) (Operand, error) {
	name := e.AsIdent()
	if o, ok := w.scope[name]; ok {
		return o, nil
	}
	if i := w.schema.Index(name); i >= 0 {
		return w.column(i), nil
	}
	return Operand{}, fault(e, "%s has no value by itself", name)
}

func (w *walk) selectColumn(e ast.Expr) (Operand, error) {
	sel := e.AsSelect()
	if sel.IsTestOnly() {
		return Operand{}, fault(e, "not part of the language of mappings")
	}
	of := sel.Operand()
	if of.Kind() == ast.IdentKind && of.AsIdent() == rowName && w.schema.Index(rowName) < 0 {
		return w.column(w.schema.Index(sel.FieldName())), nil
	}
	row, err := w.expr(of)
	if err != nil {
		return Operand{}, err
	}
	if row.table == nil {
		return Operand{}, fault(e, "only a row of a table has columns")
	}
	return w.field(row, sel.FieldName()), nil
}

func (w *walk) call(e ast.Expr) (Operand, error) {
	call := e.AsCall()
	if call.IsMemberFunction() {
		return Operand{}, fault(e, "write %s(x, …), not x.%[1]s(…)", call.FunctionName())
	}
	if o, ok, err := w.nullTest(e); ok {
		return o, err
	}
	if name, ok := strings.CutSuffix(call.FunctionName(), "[]"); ok && w.tables[name] != nil {
		return w.lookup(e, w.tables[name], call.Args())
	}
	ids := w.tree.GetOverloadIDs(e.ID())
	switch len(ids) {
	case 0:
		return Operand{}, fault(e, "%s is not part of the language of mappings", call.FunctionName())
	case 1:
	default:
		return Operand{}, fault(e, "the kind of value is not clear: every part is null, or the parts are of several kinds")
	}
	o := w.lang.overloads[ids[0]]
	if o == nil {
		return Operand{}, fault(e, "%s is not part of the language of mappings", call.FunctionName())
	}
	return o.build(&callSite{walk: w, node: e, args: call.Args(), sig: o})
}

package mapping

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/checker"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/containers"
	"cel.dev/cel-go/common/decls"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/parser"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// operand is a compiled expression: the register that will hold its values.
type operand struct {
	reg     int
	typ     ecluse.Type
	table   *table   // whose row it is, when typ is a row
	domain  int      // noDomain for a constant
	mayMiss bool     // it can have no result where its inputs have one
	literal bool     // the word null
	column  int      // 1 + the source column it is, unchanged; 0: it is not one
	names   []string // source columns and pieces it is made from, sorted
}

const noDomain = -1

// compiler turns the expressions of one dataset into steps on registers. Equal
// sub-expressions share a register.
type compiler struct {
	lang    *lang
	schema  *record.Schema
	tables  map[string]*table
	env     *checker.Env
	parser  *parser.Parser
	steps   []step
	consts  []vector // by register; the zero vector for those computed
	kinds   []ecluse.DataKind
	memo    map[string]operand
	domains int
	pieces  []int              // a register of each domain but the first
	reads   map[int]bool       // source columns used
	lookups map[string]bool    // tables used
	scope   map[string]operand // let and each, by name
	scratch machine            // constants, for folding
}

// exprError is a fault at a place of an expression.
type exprError struct {
	node ast.Expr
	why  string
}

func (e *exprError) Error() string { return e.why }

func fault(e ast.Expr, format string, args ...any) error {
	return &exprError{e, fmt.Sprintf(format, args...)}
}

// Expressions are short; what is longer than this was not written by a person.
const (
	maxExpression = 10_000
	maxNodes      = 2_000
	maxDepth      = 60
)

func newCompiler(schema *record.Schema, tables map[string]*table) (*compiler, error) {
	c := &compiler{
		lang: language(), schema: schema, tables: tables, memo: map[string]operand{}, domains: 1,
		reads: map[int]bool{}, lookups: map[string]bool{},
	}
	p, err := parser.NewParser(parser.ExpressionSizeCodePointLimit(maxExpression),
		parser.MaxExpressionNodeCount(maxNodes), parser.MaxRecursionDepth(maxDepth), parser.ErrorRecoveryLimit(4))
	if err != nil {
		return nil, err
	}
	c.parser = p
	return c, c.enter()
}

// enter begins the scope of one target table: the dataset's columns and nothing else.
func (c *compiler) enter() error {
	fields := map[string]*types.Type{}
	rows := map[string]map[string]*types.Type{rowType("the dataset"): fields}
	for _, f := range c.schema.Fields {
		fields[f.Name] = celType(f.Type.Kind)
	}
	for name, t := range c.tables {
		cols := map[string]*types.Type{}
		for _, f := range t.schema.Fields {
			cols[f.Name] = celType(f.Type.Kind)
		}
		rows[rowType(name)] = cols
	}
	env, err := checker.NewEnv(containers.DefaultContainer, &provider{rows}, checker.ValidatedDeclarations(c.lang.env))
	if err != nil {
		return err
	}
	c.env, c.scope = env, map[string]operand{}
	for _, f := range c.schema.Fields {
		if namePattern.MatchString(f.Name) {
			if err := c.declare(f.Name, celType(f.Type.Kind)); err != nil {
				return err
			}
		}
	}
	if c.schema.Index(rowName) < 0 {
		if err := c.declare(rowName, types.NewObjectType(rowType("the dataset"))); err != nil {
			return err
		}
	}
	for name, t := range c.tables {
		if err := t.declare(c.env, name); err != nil {
			return err
		}
	}
	return nil
}

func (c *compiler) declare(name string, t *types.Type) error {
	return c.env.AddIdents(decls.NewVariable(name, t))
}

// name puts a let or a piece in scope.
func (c *compiler) name(name string, o operand) error {
	if _, ok := c.lang.options[name]; ok || name == counterWord || name == rowName {
		return fmt.Errorf("%s is a word of the language", name)
	}
	t := celType(o.typ.Kind)
	if o.table != nil {
		t = types.NewObjectType(rowType(o.table.name))
	}
	if c.schema.Index(name) >= 0 {
		return fmt.Errorf("the dataset has a column of that name")
	}
	if _, ok := c.scope[name]; ok {
		return fmt.Errorf("the name is taken")
	}
	if err := c.declare(name, t); err != nil {
		return err
	}
	c.scope[name] = o
	return nil
}

// compile parses, type-checks and compiles one expression. Its error says at
// which character of the expression.
func (c *compiler) compile(expr string) (operand, error) {
	d := desugar(expr)
	src := common.NewTextSource(d.text)
	tree, errs := c.parser.Parse(src)
	if err := firstError(&d, expr, errs); err != nil {
		return operand{}, err
	}
	if err := c.rewrite(tree, d.text); err != nil {
		return operand{}, placed(&d, expr, tree, err)
	}
	checked, errs := checker.Check(tree, src, c.env)
	if err := firstError(&d, expr, errs); err != nil {
		return operand{}, err
	}
	o, err := (&walk{c, checked}).expr(checked.Expr())
	if err != nil {
		return operand{}, placed(&d, expr, checked, err)
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
func (c *compiler) rewrite(tree *ast.AST, text string) error {
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

func (c *compiler) rewriteIndex(fac ast.ExprFactory, e, target, index ast.Expr) {
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

// walk compiles a checked tree. Whatever it does not know, it refuses.
type walk struct {
	*compiler
	tree *ast.AST
}

func (w *walk) expr(e ast.Expr) (operand, error) {
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
		return operand{}, fault(e, "a list or a map stands only after in, or before an index")
	}
	return operand{}, fault(e, "not part of the language of mappings")
}

func (w *walk) literal(e ast.Expr) (operand, error) {
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
		return operand{literal: true, domain: noDomain}, nil
	}
	return operand{}, fault(e, "write 1, 1.5, 'text', true or null; this kind of literal has no use here")
}

func (w *walk) ident(e ast.Expr) (operand, error) {
	name := e.AsIdent()
	if o, ok := w.scope[name]; ok {
		return o, nil
	}
	if i := w.schema.Index(name); i >= 0 {
		return w.column(i), nil
	}
	return operand{}, fault(e, "%s has no value by itself", name)
}

func (w *walk) selectColumn(e ast.Expr) (operand, error) {
	sel := e.AsSelect()
	if sel.IsTestOnly() {
		return operand{}, fault(e, "not part of the language of mappings")
	}
	of := sel.Operand()
	if of.Kind() == ast.IdentKind && of.AsIdent() == rowName && w.schema.Index(rowName) < 0 {
		return w.column(w.schema.Index(sel.FieldName())), nil
	}
	row, err := w.expr(of)
	if err != nil {
		return operand{}, err
	}
	if row.table == nil {
		return operand{}, fault(e, "only a row of a table has columns")
	}
	return w.field(row, sel.FieldName()), nil
}

func (w *walk) call(e ast.Expr) (operand, error) {
	call := e.AsCall()
	if call.IsMemberFunction() {
		return operand{}, fault(e, "write %s(x, …), not x.%[1]s(…)", call.FunctionName())
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
		return operand{}, fault(e, "%s is not part of the language of mappings", call.FunctionName())
	case 1:
	default:
		return operand{}, fault(e, "the kind of value is not clear: every part is null, or the parts are of several kinds")
	}
	o := w.lang.overloads[ids[0]]
	if o == nil {
		return operand{}, fault(e, "%s is not part of the language of mappings", call.FunctionName())
	}
	return o.build(&callSite{walk: w, node: e, args: call.Args(), sig: o})
}

// constInt is a constant of a kind stored as an integer.
func (c *compiler) constInt(k ecluse.DataKind, n int64) operand {
	return c.constant(fmt.Sprintf("%s %d", k, n), ecluse.Type{Kind: k}, vector{state: []uint8{0}, num: []int64{n}})
}

func (c *compiler) constText(s string) operand {
	return c.constant("text "+s, ecluse.Type{Kind: ecluse.Text}, vector{state: []uint8{0}, txt: [][]byte{[]byte(s)}})
}

// null is a constant null of a type.
func (c *compiler) null(t ecluse.Type) operand {
	return c.constant(fmt.Sprintf("null %v", t), t, vector{state: []uint8{isNull}, num: []int64{0}, txt: [][]byte{{}}, list: []int32{0, 0}})
}

func (c *compiler) constant(key string, t ecluse.Type, v vector) operand {
	if o, ok := c.memo[key]; ok {
		return o
	}
	o := operand{reg: c.register(t.Kind), typ: t, domain: noDomain}
	v.mask = 0
	c.consts[o.reg] = v
	c.scratch.regs[o.reg] = v
	c.memo[key] = o
	return o
}

func (c *compiler) register(k ecluse.DataKind) int {
	c.consts = append(c.consts, vector{})
	c.kinds = append(c.kinds, k)
	c.scratch.regs = append(c.scratch.regs, vector{})
	return len(c.consts) - 1
}

// column is a source column.
func (c *compiler) column(i int) operand {
	c.reads[i] = true
	f := c.schema.Fields[i]
	key := fmt.Sprintf("column %d", i)
	if o, ok := c.memo[key]; ok {
		return o
	}
	o := operand{reg: c.register(f.Type.Kind), typ: f.Type, column: i + 1, names: []string{f.Name}}
	c.steps = append(c.steps, step{0, load(i, f.Type.Kind, o.reg), nil, []int{o.reg}})
	c.memo[key] = o
	return o
}

// moved is the operand as the rows of a domain see it.
func (c *compiler) moved(o operand, domain int) operand {
	if o.domain == noDomain || o.domain == domain {
		return o
	}
	key := fmt.Sprintf("spread %d to %d", o.reg, domain)
	if p, ok := c.memo[key]; ok {
		return p
	}
	p := o
	p.reg, p.domain, p.column = c.register(o.typ.Kind), domain, 0
	c.steps = append(c.steps, step{domain, spread(o.reg, p.reg, domain, o.typ.Kind), []int{o.reg}, []int{p.reg}})
	c.memo[key] = p
	return p
}

// emit adds a kernel over operands and gives its result. key tells the kernel
// and its fixed parameters from all others; the same kernel over the same
// registers is computed once. A kernel over constants alone is run at once.
func (c *compiler) emit(key string, t ecluse.Type, mayMiss bool, in []operand, build func(in []int, out int) kernel) operand {
	return c.emitFrom(noDomain, key, t, mayMiss, in, build)
}

// emitFrom is emit for a kernel that runs in a domain at least: look-ups are
// never run at once, since tables are filled later.
func (c *compiler) emitFrom(domain int, key string, t ecluse.Type, mayMiss bool, in []operand, build func(in []int, out int) kernel) operand {
	o := operand{typ: t, domain: domain, mayMiss: mayMiss}
	for _, a := range in {
		o.domain = max(o.domain, a.domain)
		o.mayMiss = o.mayMiss || a.mayMiss
		o.names = append(o.names, a.names...)
	}
	slices.Sort(o.names)
	o.names = slices.Compact(o.names)
	regs := make([]int, len(in))
	for i, a := range in {
		regs[i] = c.moved(a, o.domain).reg
	}
	key = fmt.Sprintf("%s %v %v", key, t, regs)
	if p, ok := c.memo[key]; ok {
		return p
	}
	o.reg = c.register(t.Kind)
	run := build(regs, o.reg)
	if o.domain == noDomain {
		run(&c.scratch, 1)
		v := c.scratch.regs[o.reg].constant(t.Kind)
		c.consts[o.reg], c.scratch.regs[o.reg] = v, v
		o.mayMiss = v.state[0]&isMiss != 0
	} else {
		c.steps = append(c.steps, step{o.domain, run, regs, []int{o.reg}})
	}
	c.memo[key] = o
	return o
}

// newDomain is a domain of the pieces of a list.
func (c *compiler) newDomain(list operand, name string) (piece, position operand) {
	domain := c.domains
	c.domains++
	piece = operand{reg: c.register(ecluse.Text), typ: ecluse.Type{Kind: ecluse.Text}, domain: domain, names: []string{name}}
	position = operand{reg: c.register(ecluse.Int), typ: ecluse.Type{Kind: ecluse.Int}, domain: domain, names: []string{name}}
	c.pieces = append(c.pieces, piece.reg)
	c.steps = append(c.steps, step{0, explode(list.reg, domain, piece.reg, position.reg), []int{list.reg}, []int{piece.reg, position.reg}})
	return piece, position
}

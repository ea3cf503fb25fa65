// Package expr is the language of mappings: CEL's syntax and its type checker,
// compiled to columnar kernels.
//
// An expression is parsed and type-checked once. One walk of the checked tree
// turns it into steps on registers; each step computes one register for a block
// of rows. Kernels are total: what has no result is a state beside the value,
// never an error. Decimals are exact, dates are calendar days, and nothing is
// allocated per row once the registers have grown. A node of the tree that the
// walk does not know is refused when the mapping is checked.
package expr

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"cel.dev/cel-go/checker"
	"cel.dev/cel-go/common/containers"
	"cel.dev/cel-go/common/decls"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/parser"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// Besides the kinds of record values an expression may give a list of texts
// (split) or a row of a look-up table.
const (
	List ecluse.DataKind = "list of text"
	Row  ecluse.DataKind = "row"
)

// Operand is a compiled expression: the register that will hold its values, and
// what is known of them.
type Operand struct {
	Reg     int
	Type    ecluse.Type
	Domain  int      // whose rows it has values for; Constant: one value for all
	MayMiss bool     // it can have no result where what it is made from has one
	Null    bool     // it is the word null, of no type yet
	Column  int      // the source column it is, unchanged; −1: it is not one
	Names   []string // source columns and pieces it is made from, sorted

	table *Table // whose row it is, when it is a row
}

// Domains. Source is that of the source rows; each exploded list makes another.
const (
	Constant = -1
	Source   = 0
)

// Compiler turns the expressions of one dataset into steps on registers. Equal
// sub-expressions share a register.
type Compiler struct {
	lang    *lang
	schema  *record.Schema
	tables  map[string]*Table
	env     *checker.Env
	parser  *parser.Parser
	steps   []step
	consts  []Vector // by register; the zero vector for those computed
	memo    map[string]Operand
	domains int
	pieces  []int              // a register of each domain but the first
	reads   map[int]bool       // source columns used
	lookups map[string]bool    // tables used
	scope   map[string]Operand // names given to values
	scratch Machine            // constants, for folding
}

// Expressions are short; what is longer than this was not written by a person.
const (
	maxExpression = 10_000
	maxNodes      = 2_000
	maxDepth      = 60
)

// New makes a compiler for rows of a schema. Tables are found by their names.
func New(schema *record.Schema, tables map[string]*Table) (*Compiler, error) {
	c := &Compiler{
		lang: language(), schema: schema, tables: tables, memo: map[string]Operand{}, domains: 1,
		reads: map[int]bool{}, lookups: map[string]bool{},
	}
	p, err := parser.NewParser(parser.ExpressionSizeCodePointLimit(maxExpression),
		parser.MaxExpressionNodeCount(maxNodes), parser.MaxRecursionDepth(maxDepth), parser.ErrorRecoveryLimit(4))
	if err != nil {
		return nil, err
	}
	c.parser = p
	return c, c.Enter()
}

// namePattern is a name that expressions can use as it is.
var namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// IsName tells a name that expressions can use as it is.
func IsName(s string) bool { return namePattern.MatchString(s) }

// Enter begins a scope: the dataset's columns, the tables, and no other name.
func (c *Compiler) Enter() error {
	fields := map[string]*types.Type{}
	rows := map[string]map[string]*types.Type{rowType("the dataset"): fields}
	for _, f := range c.schema.Fields {
		fields[f.Name] = celType(f.Type.Kind)
	}
	for name, t := range c.tables {
		cols := map[string]*types.Type{}
		for _, f := range t.Schema.Fields {
			cols[f.Name] = celType(f.Type.Kind)
		}
		rows[rowType(name)] = cols
	}
	env, err := checker.NewEnv(containers.DefaultContainer, &provider{rows}, checker.ValidatedDeclarations(c.lang.env))
	if err != nil {
		return err
	}
	c.env, c.scope = env, map[string]Operand{}
	for _, f := range c.schema.Fields {
		if IsName(f.Name) {
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

func (c *Compiler) declare(name string, t *types.Type) error {
	return c.env.AddIdents(decls.NewVariable(name, t))
}

// Name puts a value in scope under a name.
func (c *Compiler) Name(name string, o Operand) error {
	switch {
	case o.Null:
		return fmt.Errorf("null needs no name")
	case c.lang.options[name] || name == rowName:
		return fmt.Errorf("%s is a word of the language", name)
	case c.schema.Index(name) >= 0:
		return fmt.Errorf("the dataset has a column of that name")
	}
	if _, ok := c.scope[name]; ok {
		return fmt.Errorf("the name is taken")
	}
	t := celType(o.Type.Kind)
	if o.table != nil {
		t = types.NewObjectType(rowType(o.table.Name))
	}
	if err := c.declare(name, t); err != nil {
		return err
	}
	c.scope[name] = o
	return nil
}

// Named finds a value by one of Operand.Names: a piece or a source column.
func (c *Compiler) Named(name string) Operand {
	if o, ok := c.scope[name]; ok {
		return o
	}
	return c.column(c.schema.Index(name))
}

// Explode makes a domain of the pieces of a list: the text of each, known by a
// name, and its position from 1.
func (c *Compiler) Explode(list Operand, name string) (piece, position Operand) {
	domain := c.domains
	c.domains++
	piece = Operand{Reg: c.register(), Type: ecluse.Type{Kind: kText}, Domain: domain, Column: -1, Names: []string{name}}
	position = Operand{Reg: c.register(), Type: ecluse.Type{Kind: kInt}, Domain: domain, Column: -1, Names: []string{name}}
	c.pieces = append(c.pieces, piece.Reg)
	c.steps = append(c.steps, step{Source, explode(list.Reg, domain, piece.Reg, position.Reg), []int{list.Reg}, []int{piece.Reg, position.Reg}})
	return piece, position
}

// Value is a constant's value.
func (c *Compiler) Value(o Operand) *Vector { return &c.consts[o.Reg] }

// Reads lists the source columns that expressions use, in the schema's order.
func (c *Compiler) Reads() []string {
	var names []string
	for i, f := range c.schema.Fields {
		if c.reads[i] {
			names = append(names, f.Name)
		}
	}
	return names
}

// Lookups lists the tables that expressions look up, sorted.
func (c *Compiler) Lookups() []string { return slices.Sorted(maps.Keys(c.lookups)) }

// Code is compiled expressions. It does not change: machines share it.
type Code struct {
	steps   []step
	consts  []Vector
	domains int
}

// Code is all that is needed to compute some registers.
func (c *Compiler) Code(needed ...int) *Code {
	need := map[int]bool{}
	for _, r := range append(needed, c.pieces...) {
		need[r] = true
	}
	return &Code{steps: prune(c.steps, need), consts: c.consts, domains: c.domains}
}

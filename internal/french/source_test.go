package french

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// source is the module's Go files as far as sentences of errors go: which functions
// take one, and what is handed to them. It knows syntax and names, not types.
type source struct {
	fset      *token.FileSet
	files     []*file
	functions map[string][]*function // by folder.Name, methods as well
	constants map[string]ast.Expr    // by folder.Name
	sinks     map[string][]sink      // by folder.Name, folder.Name.closure or *.Method
	returns   map[string][]string    // what calls give, once looked for
	grown     bool                   // a sink was found in this round

	found map[string]token.Position // templates, and where one stands
	lost  map[string]token.Position // expressions that are no template

	articles map[string]string // references to the law, and where one stands
}

type file struct {
	dir     string
	ast     *ast.File
	imports map[string]string // a name, and the folder it stands for
}

type function struct {
	file *file
	name string // in its folder; a closure's is Outer.name
	typ  *ast.FuncType
	body *ast.BlockStmt
	up   *function // what a closure stands in
	recv struct{ name, typ string }
}

// sink is a parameter that becomes a sentence.
type sink struct {
	param  int
	format bool // it has verbs, filled from the parameters behind it
	part   bool // it becomes a part of one: a name, or a text of several words
}

// spoken are functions that give words to errors otherwise than by an error's fields.
var spoken = []string{
	"internal/procedure.verbs", "internal/store/sqlite.faultOf", "internal/sluice/engine/mysql.meaningOf", "internal/sluice/engine/postgres.meaningOf",
	"internal/wire.connectWhy", "internal/wire.proxyAnswer.text", "internal/erasure.Erasure.look", "internal/procedure.Move.when", "internal/chamber.Chamber.judge",
	"evidence.bundleChecks", "evidence.verifier.check*", "evidence.Report.CheckReceipts", "evidence.Certificate.warnings", "evidence.Certificate.places", "evidence.LeftPassage.String", "evidence.InUsePassage.String", "evidence.KeptRows.String", "evidence.StayedRows.String",
}

// sentences are the fields that hold one, of ecluse.Error, document.Problem and their like.
var sentences = []string{"What", "Why", "Next", "why"}

func readSource(t *testing.T, root string) *source {
	t.Helper()
	s := &source{
		fset: token.NewFileSet(), functions: map[string][]*function{}, constants: map[string]ast.Expr{},
		found: map[string]token.Position{}, lost: map[string]token.Position{}, articles: map[string]string{},
		sinks: map[string][]sink{
			"errors.New": {{param: 0}},
			"fmt.Errorf": {{param: 0, format: true}},
			"*.Problem":  {{param: 1}}, // document.Lines
			"..Errorf":   {{param: 1}, {param: 2, format: true}},
		},
	}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, name)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && (strings.HasPrefix(d.Name(), ".") || strings.HasSuffix(d.Name(), "test") || slices.Contains([]string{"bench", "docs", "examples", "scripts", "testdata"}, rel)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(s.fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		s.add(&file{dir: path.Dir(rel), ast: f, imports: map[string]string{}})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for s.grown = true; s.grown; {
		s.grown = false
		clear(s.found)
		clear(s.lost)
		s.returns = map[string][]string{}
		for _, f := range s.files {
			for _, d := range f.ast.Decls {
				s.walkDecl(f, d)
			}
		}
	}
	return s
}

func (s *source) add(f *file) {
	s.files = append(s.files, f)
	for _, i := range f.ast.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		name := path.Base(p)
		if i.Name != nil {
			name = i.Name.Name
		}
		switch {
		case p == "ecluse":
			p = "."
		case strings.HasPrefix(p, "ecluse/"):
			p = strings.TrimPrefix(p, "ecluse/")
		}
		f.imports[name] = p
	}
	for _, d := range f.ast.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			fn := declared(f, d)
			s.functions[f.dir+"."+fn.name] = append(s.functions[f.dir+"."+fn.name], fn)
			if i := param(fn.typ, "why"); i >= 0 {
				s.sink(fn, sink{param: i})
			}
			if d.Recv != nil {
				s.functions["m:"+f.dir+"."+d.Name.Name] = append(s.functions["m:"+f.dir+"."+d.Name.Name], fn)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok && len(v.Values) == len(v.Names) {
					for i, n := range v.Names {
						s.constants[f.dir+"."+n.Name] = v.Values[i]
					}
				}
			}
		}
	}
}

func (s *source) walkDecl(f *file, d ast.Decl) {
	fn := &function{file: f, name: "_", typ: &ast.FuncType{Params: &ast.FieldList{}}}
	if d, ok := d.(*ast.FuncDecl); ok {
		if d.Body == nil {
			return
		}
		fn = declared(f, d)
		s.walk(fn, d.Body)
		// What an error of a type of its own says, or a verb that an error names.
		if d.Recv != nil && d.Name.Name == "Error" || slices.ContainsFunc(spoken, func(p string) bool { ok, _ := path.Match(p, f.dir+"."+fn.name); return ok }) {
			s.harvest(fn)
		}
		return
	}
	s.walk(fn, d)
	for _, spec := range d.(*ast.GenDecl).Specs {
		if v, ok := spec.(*ast.ValueSpec); ok && strings.HasPrefix(strings.ToLower(v.Names[0].Name), "err") {
			for _, e := range v.Values {
				if _, ok := e.(*ast.BasicLit); ok {
					s.text(fn, e)
				}
			}
		}
	}
}

func declared(f *file, d *ast.FuncDecl) *function {
	fn := &function{file: f, name: d.Name.Name, typ: d.Type, body: d.Body}
	if d.Recv != nil && len(d.Recv.List) == 1 {
		if t := typeName(d.Recv.List[0].Type); t != "" {
			fn.name = t + "." + fn.name
			if names := d.Recv.List[0].Names; len(names) == 1 {
				fn.recv.name, fn.recv.typ = names[0].Name, t
			}
		}
	}
	return fn
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// typeOf is the type, of the same package, of a receiver, parameter or variable.
func (s *source) typeOf(fn *function, name string) string {
	for f := fn; f != nil; f = f.up {
		for _, p := range f.typ.Params.List {
			for _, n := range p.Names {
				if n.Name == name {
					return typeName(p.Type)
				}
			}
		}
		if f.recv.name == name {
			return f.recv.typ
		}
	}
	return ""
}

// walk looks for sentences in a function's body, closures in their turn.
func (s *source) walk(fn *function, n ast.Node) {
	closures := map[*ast.FuncLit]string{}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && article.MatchString(text) {
				s.articles[text] = s.at(s.fset.Position(n.Pos()))
			}
		case *ast.FuncLit:
			name := closures[n]
			if name == "" {
				name = "_"
			}
			s.walk(&function{file: fn.file, name: fn.name + "." + name, typ: n.Type, body: n.Body, up: fn}, n.Body)
			return false
		case *ast.AssignStmt:
			for i, l := range n.Lhs {
				if len(n.Rhs) != len(n.Lhs) {
					break
				}
				if lit, ok := n.Rhs[i].(*ast.FuncLit); ok {
					if id, ok := l.(*ast.Ident); ok {
						closures[lit] = id.Name
					}
				}
				if sel, ok := l.(*ast.SelectorExpr); ok && slices.Contains(sentences, sel.Sel.Name) {
					s.take(fn, n.Rhs[i], false)
				}
			}
		case *ast.CompositeLit:
			for _, e := range n.Elts {
				if strings.HasSuffix(typeName(n.Type), "Error") { // without names of fields
					if call, ok := e.(*ast.CallExpr); ok && s.isSprintf(fn, call) {
						s.take(fn, call, false)
					} else {
						s.text(fn, e)
					}
				}
				if kv, ok := e.(*ast.KeyValueExpr); ok {
					id, ok := kv.Key.(*ast.Ident)
					switch {
					case ok && slices.Contains(sentences, id.Name):
						s.take(fn, kv.Value, false)
					case ok && id.Name == "Where": // a name, or words around names
						s.arguments(fn, []ast.Expr{kv.Value}, 0)
					}
				}
			}
		case *ast.CallExpr:
			for _, k := range s.sinksOf(fn, n.Fun) {
				if k.param < len(n.Args) && k.part {
					s.arguments(fn, n.Args[k.param:k.param+1], 0)
				} else if k.param < len(n.Args) {
					s.take(fn, n.Args[k.param], k.format)
					if k.format {
						s.arguments(fn, n.Args[k.param+1:], 0)
					}
				}
			}
		}
		return true
	})
}

func (s *source) sinksOf(fn *function, callee ast.Expr) []sink {
	switch c := callee.(type) {
	case *ast.Ident:
		for f := fn; f != nil; f = f.up {
			if k := s.sinks[f.file.dir+"."+f.name+"."+c.Name]; k != nil {
				return k
			}
			for _, p := range f.typ.Params.List { // a function that was handed in
				if t, ok := p.Type.(*ast.FuncType); ok && slices.ContainsFunc(p.Names, func(n *ast.Ident) bool { return n.Name == c.Name }) {
					if i := param(t, "why"); i >= 0 {
						return []sink{{param: i}}
					}
				}
			}
		}
		return s.sinks[fn.file.dir+"."+c.Name]
	case *ast.SelectorExpr:
		if x, ok := c.X.(*ast.Ident); ok && fn.file.imports[x.Name] != "" {
			return s.sinks[fn.file.imports[x.Name]+"."+c.Sel.Name]
		}
		if x, ok := c.X.(*ast.Ident); ok {
			if t := s.typeOf(fn, x.Name); t != "" && s.functions[fn.file.dir+"."+t+"."+c.Sel.Name] != nil {
				return s.sinks[fn.file.dir+"."+t+"."+c.Sel.Name]
			}
		}
		if k := s.sinks["m:"+fn.file.dir+"."+c.Sel.Name]; k != nil {
			return k
		}
		return s.sinks["*."+c.Sel.Name]
	}
	return nil
}

// take notes what an expression may say. One that is a parameter makes of its function
// one that takes sentences.
func (s *source) take(fn *function, e ast.Expr, format bool) {
	at := s.fset.Position(e.Pos())
	if call, ok := e.(*ast.CallExpr); ok && s.isSprintf(fn, call) {
		s.take(fn, call.Args[0], true)
		s.arguments(fn, call.Args[1:], 0)
		return
	}
	if id, ok := e.(*ast.Ident); ok {
		for f := fn; f != nil; f = f.up {
			if i := param(f.typ, id.Name); i >= 0 {
				s.sink(f, sink{param: i, format: format})
				return
			}
		}
	}
	all := s.resolve(fn, e, format, 0)
	if len(all) == 0 && !s.isElsewhere(fn, e) {
		s.lost[fn.file.dir+": "+types.ExprString(e)] = at
	}
	s.note(all, at)
}

// isElsewhere tells what is no text, or is one that was handed in.
func (s *source) isElsewhere(fn *function, e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.CompositeLit, *ast.UnaryExpr:
		return true
	case *ast.Ident:
		for f := fn; f != nil; f = f.up {
			for _, p := range f.typ.Params.List {
				for _, n := range p.Names {
					if n.Name == e.Name {
						return true
					}
				}
			}
		}
	}
	return false
}

func (s *source) note(all []string, at token.Position) {
	for _, t := range all {
		if _, known := s.found[t]; !known {
			s.found[t] = at
		}
	}
}

// arguments notes the sentences among what fills a template.
func (s *source) arguments(fn *function, args []ast.Expr, depth int) {
	if depth > 6 {
		return
	}
	for _, a := range args {
		if call, ok := a.(*ast.CallExpr); ok && s.isSprintf(fn, call) {
			s.take(fn, call, false)
			continue
		}
		s.partOf(fn, a)
		s.fragments(s.resolve(fn, a, false, depth+1), a)
	}
}

// partOf makes a function whose parameter goes into a sentence one that is looked at
// where it is called.
func (s *source) partOf(fn *function, e ast.Expr) {
	id, ok := e.(*ast.Ident)
	if !ok {
		return
	}
	for f := fn; f != nil; f = f.up {
		if i := param(f.typ, id.Name); i >= 0 {
			s.sink(f, sink{param: i, part: true})
			return
		}
	}
}

// fragments notes those of several texts that are more than a name.
func (s *source) fragments(all []string, e ast.Expr) {
	for _, t := range all {
		if strings.Contains(strings.TrimSpace(t), " ") {
			s.note([]string{t}, s.fset.Position(e.Pos()))
		}
	}
}

// harvest takes every text that a function composes or returns.
func (s *source) harvest(fn *function) {
	ast.Inspect(fn.body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ReturnStmt:
			for _, e := range n.Results {
				s.text(fn, e)
			}
		case *ast.CompositeLit:
			elements := n.Elts
			if two := texts(n); two != nil {
				elements = two[:1]
			}
			for _, e := range elements {
				if kv, ok := e.(*ast.KeyValueExpr); ok {
					e = kv.Value
				}
				s.text(fn, e)
			}
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "text" { // English and French
				s.take(fn, n.Args[0], true)
				break
			}
			for _, a := range n.Args {
				if s.isSprintf(fn, n) || s.sinksOf(fn, n.Fun) != nil { // walk has them
					break
				}
				s.text(fn, a)
			}
		case *ast.AssignStmt:
			for _, e := range n.Rhs {
				if n.Tok != token.ADD_ASSIGN {
					s.text(fn, e)
				}
			}
		}
		return true
	})
}

// texts tells a pair of words in English and French by its French.
func texts(n *ast.CompositeLit) []ast.Expr {
	if len(n.Elts) != 2 || !strings.HasSuffix(nameOf(n.Type), "Text") && n.Type != nil {
		return nil
	}
	return n.Elts
}

func nameOf(e ast.Expr) string {
	if sel, ok := e.(*ast.SelectorExpr); ok {
		return sel.Sel.Name
	}
	return typeName(e)
}

func (s *source) text(fn *function, e ast.Expr) {
	if call, ok := e.(*ast.CallExpr); ok {
		if s.isSprintf(fn, call) {
			s.take(fn, call, false)
		}
		return
	}
	s.fragments(s.resolve(fn, e, false, 0), e)
}

func (s *source) sink(f *function, k sink) {
	keys := []string{f.file.dir + "." + f.name}
	if _, method, ok := strings.Cut(f.name, "."); ok && f.up == nil {
		keys = append(keys, "m:"+f.file.dir+"."+method)
	}
	for _, key := range keys {
		whole := slices.ContainsFunc(s.sinks[key], func(o sink) bool { return k.part && o.param == k.param })
		if !whole && !slices.Contains(s.sinks[key], k) {
			s.sinks[key] = append(s.sinks[key], k)
			s.grown = true
		}
	}
}

func (s *source) isSprintf(fn *function, call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && fn.file.imports[x.Name] == "fmt" && (sel.Sel.Name == "Sprintf" || sel.Sel.Name == "Errorf")
}

func param(t *ast.FuncType, name string) int {
	i := 0
	for _, f := range t.Params.List {
		for _, n := range f.Names {
			if n.Name == name {
				if id, ok := f.Type.(*ast.Ident); ok && id.Name == "string" {
					return i
				}
				return -1
			}
			i++
		}
	}
	return -1
}

// resolve gives what an expression may say as templates; "%s" for what is not known
// before the program runs; nothing if nothing is known of it.
func (s *source) resolve(fn *function, e ast.Expr, format bool, depth int) []string {
	if depth > 6 {
		return nil
	}
	switch e := e.(type) {
	case *ast.ParenExpr:
		return s.resolve(fn, e.X, format, depth)
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return []string{"%d"}
		}
		text, _ := strconv.Unquote(e.Value)
		if !format {
			text = strings.ReplaceAll(text, "%", "%%")
		}
		return []string{text}
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return nil
		}
		return product(s.part(fn, e.X, format, depth), s.part(fn, e.Y, format, depth))
	case *ast.Ident:
		return s.variable(fn, e.Name, format, depth)
	case *ast.CallExpr:
		return s.call(fn, e, 0, format, depth)
	case *ast.SelectorExpr:
		if slices.Contains(sentences, e.Sel.Name) {
			return []string{"%s"}
		}
		if x, ok := e.X.(*ast.Ident); ok && fn.file.imports[x.Name] != "" {
			if c := s.constants[fn.file.imports[x.Name]+"."+e.Sel.Name]; c != nil {
				return s.resolve(fn, c, format, depth+1)
			}
		}
	case *ast.IndexExpr:
		// A table of sentences, written where it is used or in a variable.
		x := e.X
		if id, ok := x.(*ast.Ident); ok {
			x = s.constants[fn.file.dir+"."+id.Name]
			for _, v := range s.assigned(fn, id.Name) {
				x = v.value
			}
		}
		if lit, ok := x.(*ast.CompositeLit); ok {
			var all []string
			for _, el := range lit.Elts {
				if kv, ok := el.(*ast.KeyValueExpr); ok {
					el = kv.Value
				}
				all = append(all, s.resolve(fn, el, format, depth+1)...)
			}
			return all
		}
	}
	return nil
}

// part is one side of a concatenation: what has several texts is a hole for them.
func (s *source) part(fn *function, e ast.Expr, format bool, depth int) []string {
	s.partOf(fn, e)
	all := s.resolve(fn, e, format, depth)
	if len(all) == 1 {
		return all
	}
	s.fragments(all, e)
	return []string{"%s"}
}

type assignment struct {
	value ast.Expr
	index int // of a call's results
	plus  bool
}

// assigned gives what a local variable is ever set to.
func (s *source) assigned(fn *function, name string) []assignment {
	var all []assignment
	for f := fn; f != nil && len(all) == 0; f = f.up {
		if f.body == nil {
			continue
		}
		ast.Inspect(f.body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for i, l := range n.Lhs {
					if id, ok := l.(*ast.Ident); ok && id.Name == name {
						if len(n.Rhs) == len(n.Lhs) {
							all = append(all, assignment{n.Rhs[i], 0, n.Tok == token.ADD_ASSIGN})
						} else {
							all = append(all, assignment{n.Rhs[0], i, false})
						}
					}
				}
			case *ast.ValueSpec:
				for i, id := range n.Names {
					if id.Name == name && i < len(n.Values) {
						all = append(all, assignment{n.Values[i], 0, false})
					}
				}
			}
			return true
		})
	}
	return all
}

func (s *source) variable(fn *function, name string, format bool, depth int) []string {
	var all []string
	for _, a := range s.assigned(fn, name) {
		var v []string
		if call, ok := a.value.(*ast.CallExpr); ok {
			v = s.call(fn, call, a.index, format, depth+1)
		} else {
			v = s.resolve(fn, a.value, format, depth+1)
		}
		if a.plus {
			if len(v) == 0 {
				v = []string{"%s"}
			}
			v = product(all, v)
		}
		for _, t := range v {
			if t != "" && !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
	}
	if len(all) > 0 {
		return all
	}
	if c := s.constants[fn.file.dir+"."+name]; c != nil {
		return s.resolve(fn, c, format, depth+1)
	}
	return nil
}

// call resolves what a function of ours returns in place i.
func (s *source) call(fn *function, call *ast.CallExpr, i int, format bool, depth int) []string {
	if s.isSprintf(fn, call) {
		s.arguments(fn, call.Args[1:], depth+1)
		return s.resolve(fn, call.Args[0], true, depth)
	}
	var key string
	switch c := call.Fun.(type) {
	case *ast.Ident:
		if c.Name == "string" && len(call.Args) == 1 {
			return s.resolve(fn, call.Args[0], format, depth)
		}
		key = fn.file.dir + "." + c.Name
	case *ast.SelectorExpr:
		if slices.Contains([]string{"Error", "String", "say"}, c.Sel.Name) {
			return []string{"%s"} // another error, looked up by itself; a name; a text in both languages
		}
		key = "m:" + fn.file.dir + "." + c.Sel.Name
		if x, ok := c.X.(*ast.Ident); ok && fn.file.imports[x.Name] != "" {
			key = fn.file.imports[x.Name] + "." + c.Sel.Name
		} else if ok {
			if t := s.typeOf(fn, x.Name); t != "" && s.functions[fn.file.dir+"."+t+"."+c.Sel.Name] != nil {
				key = fn.file.dir + "." + t + "." + c.Sel.Name
			}
		}
		if len(s.functions[key]) > 1 {
			return nil // methods of several types
		}
	}
	memo := fmt.Sprint(key, i, format)
	if all, known := s.returns[memo]; known {
		return all
	}
	s.returns[memo] = nil // one that calls itself
	var all []string
	for _, f := range s.functions[key] {
		if f.body == nil || f.typ.Results == nil {
			continue
		}
		ast.Inspect(f.body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncLit:
				return false
			case *ast.ReturnStmt:
				if i < len(n.Results) {
					got := s.resolve(f, n.Results[i], format, depth+1)
					if len(got) == 0 {
						got = []string{"%s"}
					}
					for _, t := range got {
						if t != "" {
							all = append(all, t)
						}
					}
				}
			}
			return true
		})
	}
	s.returns[memo] = all
	return all
}

func product(a, b []string) []string {
	var all []string
	for _, x := range a {
		for _, y := range b {
			all = append(all, x+y)
		}
	}
	return all
}

func (s *source) at(p token.Position) string {
	name, err := filepath.Rel("../..", p.Filename)
	if err != nil {
		name = p.Filename
	}
	return fmt.Sprintf("%s:%d", filepath.ToSlash(name), p.Line)
}

// sentence tells a template that has words of its own from one that only joins others,
// a format's name, an article of law, an expression of the mapping's language.
func sentence(template string) bool {
	own := ""
	for _, p := range parse(template) {
		own += " " + p.text
	}
	return words.MatchString(own) && !notWords.MatchString(template)
}

var (
	words    = regexp.MustCompile(`\pL{2}`)
	article  = regexp.MustCompile(`^(GDPR|CSP|EU clauses|2021/915|Decision \(EU\)) .*[0-9IV)]`)
	notWords = regexp.MustCompile(`^(ecluse [a-z]+/v1|(GDPR|CSP|EU|2021)\b.*|[a-z_]+\(.*\)|x .*|YYYY-.*|[a-zA-Z_.%]*\[%d\]|[a-zA-Z0-9_./%]+\.(json|yaml|example)|https://|-{2}.*)$`)
)

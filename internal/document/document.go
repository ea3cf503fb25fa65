// Package document decodes the YAML that people write, strictly: an unknown or
// repeated key, a missing field or a value of the wrong kind is an error that
// names file, line, field and, where the law asks for the field, its article.
//
// A struct field is described by two tags:
//
//	Start document.Date `yaml:"start" law:"GDPR art. 28(3)"`          // required
//	Window string       `yaml:"window,omitempty"`                     // may be absent
//
// Required fields must be present and not empty. Everything wrong in a document
// is reported at once, in the order of its lines.
package document

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"ecluse"
)

// Problem is one thing wrong in a document.
type Problem struct {
	File    string
	Line    int // from 1; 0 when the whole document is meant
	Field   string
	Why     string
	Article string
}

func (p Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: ", p.File, p.Line)
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	b.WriteString(p.Why)
	if p.Article != "" {
		b.WriteString(" (" + p.Article + ")")
	}
	return b.String()
}

// Problems is everything wrong in a document. It matches ecluse.Invalid.
type Problems []Problem

func (ps Problems) Error() string {
	s := make([]string, len(ps))
	for i, p := range ps {
		s[i] = p.Error()
	}
	return strings.Join(s, "\n")
}

// Unwrap gives the problems one by one, and an *ecluse.Error of kind Invalid.
func (ps Problems) Unwrap() []error {
	errs := make([]error, 0, len(ps)+1)
	for _, p := range ps {
		errs = append(errs, p)
	}
	return append(errs, &ecluse.Error{Kind: ecluse.Invalid, What: "read document"})
}

// maxSize bounds a document; the largest real ones are a few hundred kilobytes.
const maxSize = 16 << 20

// Decode reads the one YAML document in text into v, a pointer to a struct.
// The error, if any, is Problems.
func Decode(file string, text []byte, v any) (*Lines, error) {
	d := &decoder{file: file, lines: &Lines{file: file, at: map[string]int{}}}
	if len(text) > maxSize {
		return nil, Problems{{File: file, Why: fmt.Sprintf("document is larger than %d bytes", maxSize)}}
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var root yaml.Node
	if err := dec.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, Problems{{File: file, Line: 1, Why: "document is empty"}}
		}
		return nil, Problems{{File: file, Line: yamlLine(err), Why: strings.TrimPrefix(err.Error(), "yaml: ")}}
	}
	var more yaml.Node
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		d.problem(more.Line, "", "a file holds one document", "")
	}
	d.value(root.Content[0], reflect.ValueOf(v).Elem(), "", 0)
	if len(d.problems) > 0 {
		sort.SliceStable(d.problems, func(i, j int) bool { return d.problems[i].Line < d.problems[j].Line })
		return nil, d.problems
	}
	return d.lines, nil
}

// Lines remembers where each field stood, so that later checks can point at it.
type Lines struct {
	file string
	at   map[string]int
}

// Problem makes a problem about a field (its path, "datasets.patient.from").
func (l *Lines) Problem(field, why, article string) Problem {
	f, line := field, 0
	for f != "" && line == 0 {
		line = l.at[f]
		i := strings.LastIndexAny(f, ".[")
		if i < 0 {
			break
		}
		f = f[:i]
	}
	return Problem{File: l.file, Line: max(line, 1), Field: field, Why: why, Article: article}
}

// File is the document's name.
func (l *Lines) File() string { return l.file }

func yamlLine(err error) int {
	_, rest, ok := strings.Cut(err.Error(), "line ")
	if !ok {
		return 1
	}
	n := 0
	for _, c := range rest {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int(c-'0')
	}
	return max(n, 1)
}

type decoder struct {
	file     string
	problems Problems
	lines    *Lines
}

func (d *decoder) problem(line int, field, why, article string) {
	d.problems = append(d.problems, Problem{File: d.file, Line: line, Field: field, Why: why, Article: article})
}

// mapDecoder is a map that keeps its order (Map).
type mapDecoder interface {
	entry(key string) reflect.Value // new settable value for key
}

// Node is a part of a document, for types that decode themselves.
type Node = yaml.Node

// IsScalar tells a node that is a single value.
func IsScalar(n *Node) bool { return n.Kind == yaml.ScalarNode }

// IsList tells a node that is a list.
func IsList(n *Node) bool { return n.Kind == yaml.SequenceNode }

// NodeDecoder decodes itself from a node, for values written in several shapes
// ("name: class" or "name: {class: …}"). Children are decoded with decode.
type NodeDecoder interface {
	DecodeNode(n *yaml.Node, decode func(n *yaml.Node, into any)) error
}

var textType = reflect.TypeFor[encoding.TextUnmarshaler]()

const maxDepth = 64

func (d *decoder) value(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind == yaml.AliasNode {
		d.problem(n.Line, path, "aliases are not allowed: what is signed says each thing where it stands", "")
		return
	}
	if depth > maxDepth {
		d.problem(n.Line, path, "nested too deep", "")
		return
	}
	if path != "" {
		d.lines.at[path] = n.Line
	}
	if v.Kind() == reflect.Pointer {
		if n.Tag == "!!null" {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), path, depth)
		return
	}
	if nd, ok := v.Addr().Interface().(NodeDecoder); ok {
		err := nd.DecodeNode(n, func(n *yaml.Node, into any) {
			d.value(n, reflect.ValueOf(into).Elem(), path, depth+1)
		})
		if err != nil {
			d.problem(n.Line, path, err.Error(), "")
		}
		return
	}
	if md, ok := v.Addr().Interface().(mapDecoder); ok {
		d.mapping(n, path, func(k, val *yaml.Node) {
			d.value(val, md.entry(k.Value), join(path, k.Value), depth+1)
		})
		return
	}
	if reflect.PointerTo(v.Type()).Implements(textType) {
		if n.Kind != yaml.ScalarNode {
			d.problem(n.Line, path, "want a single value", "")
			return
		}
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Value)); err != nil {
			d.problem(n.Line, path, err.Error(), "")
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, path, depth)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.problem(n.Line, path, "want a list", "")
			return
		}
		for i, c := range n.Content {
			e := reflect.New(v.Type().Elem()).Elem()
			d.value(c, e, path+"["+strconv.Itoa(i)+"]", depth+1)
			v.Set(reflect.Append(v, e))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		d.mapping(n, path, func(k, val *yaml.Node) {
			e := reflect.New(v.Type().Elem()).Elem()
			d.value(val, e, join(path, k.Value), depth+1)
			v.SetMapIndex(reflect.ValueOf(k.Value).Convert(v.Type().Key()), e)
		})
	case reflect.Interface:
		d.problem(n.Line, path, "internal error: field without a type", "")
	default:
		d.scalar(n, v, path)
	}
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.problem(n.Line, path, "want a single value", "")
		return
	}
	switch v.Kind() {
	case reflect.String:
		if n.Tag == "!!null" {
			return
		}
		v.SetString(n.Value) // the text as written: 2026-01-01 and 007 stay what they are
	case reflect.Bool:
		if n.Value != "true" && n.Value != "false" {
			d.problem(n.Line, path, "want true or false", "")
			return
		}
		v.SetBool(n.Value == "true")
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(strings.ReplaceAll(n.Value, "_", ""), 10, 64)
		if err != nil {
			d.problem(n.Line, path, "want a whole number", "")
			return
		}
		v.SetInt(i)
	default:
		d.problem(n.Line, path, "internal error: no decoding for "+v.Type().String(), "")
	}
}

func (d *decoder) mapping(n *yaml.Node, path string, each func(k, v *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.problem(n.Line, path, "want keys and values", "")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode || k.Tag == "!!merge" {
			d.problem(k.Line, path, "want a plain key", "")
			continue
		}
		if first, dup := seen[k.Value]; dup {
			d.problem(k.Line, join(path, k.Value), fmt.Sprintf("key given twice (first on line %d)", first), "")
			continue
		}
		seen[k.Value] = k.Line
		each(k, n.Content[i+1])
	}
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string, depth int) {
	t := v.Type()
	byName := map[string]int{}
	var known []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			byName[name] = i
			known = append(known, name)
		}
	}
	if n.Kind != yaml.MappingNode {
		d.problem(n.Line, path, "want keys and values: "+strings.Join(known, ", "), "")
		return
	}
	given := map[string]bool{}
	d.mapping(n, path, func(k, val *yaml.Node) {
		i, ok := byName[k.Value]
		if !ok {
			why := "unknown key"
			if near := nearest(k.Value, known); near != "" {
				why += ": did you mean " + near + "?"
			}
			d.problem(k.Line, join(path, k.Value), why, "")
			return
		}
		given[k.Value] = true
		d.value(val, v.Field(i), join(path, k.Value), depth+1)
		if !optional(t.Field(i)) && v.Field(i).IsZero() && v.Field(i).Kind() != reflect.Bool && v.Field(i).Kind() != reflect.Int && !d.has(join(path, k.Value)) {
			d.problem(k.Line, join(path, k.Value), "must not be empty", t.Field(i).Tag.Get("law"))
		}
	})
	for _, name := range known {
		f := t.Field(byName[name])
		if !given[name] && !optional(f) {
			d.problem(n.Line, join(path, name), "missing", f.Tag.Get("law"))
		}
	}
}

// has tells whether a problem about the field is already noted.
func (d *decoder) has(field string) bool {
	for _, p := range d.problems {
		if p.Field == field || strings.HasPrefix(p.Field, field+".") || strings.HasPrefix(p.Field, field+"[") {
			return true
		}
	}
	return false
}

func optional(f reflect.StructField) bool {
	_, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return opts == "omitempty"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// nearest finds a known key at most two edits away.
func nearest(s string, known []string) string {
	best, at := "", 3
	for _, k := range known {
		if n := distance(s, k); n < at {
			best, at = k, n
		}
	}
	return best
}

func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := prev
			if a[i] != b[j] {
				cost = 1 + min(prev, row[j], row[j+1])
			}
			prev, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// Map is a map that keeps the order of its keys as written.
type Map[V any] struct {
	keys   []string
	values map[string]*V
}

func (m *Map[V]) entry(key string) reflect.Value {
	if m.values == nil {
		m.values = map[string]*V{}
	}
	v := new(V)
	m.keys = append(m.keys, key)
	m.values[key] = v
	return reflect.ValueOf(v).Elem()
}

// Set adds or replaces a value, for documents made by a program.
func (m *Map[V]) Set(key string, v V) {
	if _, ok := m.values[key]; !ok {
		m.entry(key)
	}
	*m.values[key] = v
}

// Keys are the keys in the order written.
func (m *Map[V]) Keys() []string { return m.keys }

// Len is the number of keys.
func (m *Map[V]) Len() int { return len(m.keys) }

// Get finds a value.
func (m *Map[V]) Get(key string) (*V, bool) {
	v, ok := m.values[key]
	return v, ok
}

// All ranges over keys and values in the order written.
func (m *Map[V]) All() func(yield func(string, *V) bool) {
	return func(yield func(string, *V) bool) {
		for _, k := range m.keys {
			if !yield(k, m.values[k]) {
				return
			}
		}
	}
}

package schematest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/document"
	"ecluse/internal/mandate"
)

// object is a piece of JSON Schema.
type object = map[string]any

// generator makes a schema of a Go type from its tags: `yaml` or `json` names a
// field and says whether it may be absent, `enum` lists its values, `law` names
// the article that asks for it. Comments of the Go types become descriptions.
type generator struct {
	tag      string // "yaml" or "json"
	comments map[string]string
	defs     object
}

const (
	digestPattern      = "^sha256:[0-9a-f]{64}$"
	fingerprintPattern = "^SHA256:[A-Za-z0-9+/]{43}$"
	datePattern        = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
	instantPattern     = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"
)

func pattern(p string) object { return object{"type": "string", "pattern": p} }

func enum[T ~string](values ...T) object { return object{"enum": values} }

// scalar is a text as people write one in YAML: 007 and true are texts too.
func scalar() object { return object{"type": []string{"string", "number", "boolean"}} }

// special are the types that read themselves.
func special() map[string]object {
	return map[string]object{
		"ecluse.Digest":      pattern(digestPattern),
		"ecluse.Fingerprint": pattern(fingerprintPattern),
		"ecluse.TableName":   {"type": "string", "minLength": 1},
		"ecluse.Class":       enum(ecluse.Classes()...),
		"ecluse.Side":        enum(ecluse.Controller, ecluse.Processor),
		"ecluse.Role":        enum(ecluse.Signatory, ecluse.Operator, ecluse.DPO, ecluse.Security),
		"ecluse.Engine":      enum(ecluse.PostgreSQL, ecluse.MySQL, ecluse.SQLite),
		"ecluse.PassageKind": enum(ecluse.Dry, ecluse.Rehearsal, ecluse.Final),
		"ecluse.TableKind":   enum(ecluse.BaseTable, ecluse.View, ecluse.MaterializedView, ecluse.Partitioned, ecluse.ForeignTable),
		"ecluse.MigrationID": pattern("^[a-z][a-z0-9-]{2,63}$"),
		"ecluse.DataKind": enum(ecluse.Bool, ecluse.Int, ecluse.Decimal, ecluse.Number, ecluse.Float, ecluse.Text,
			ecluse.Bytes, ecluse.Date, ecluse.Time, ecluse.Timestamp, ecluse.Instant),
		"evidence.Day":    pattern(datePattern),
		"time.Time":       pattern(instantPattern),
		"mandate.Date":    pattern(datePattern),
		"mandate.Verdict": enum(mandate.Taken, mandate.Filtered, mandate.RefusedColumn, mandate.RefusedCredential),
		"mandate.Size": {
			"type": []string{"string", "integer"}, "pattern": "^[0-9]+ ?([kKMGT]B|[KMGT]iB|B)?$", "minimum": 1,
		},
		"mandate.Reach": {"oneOf": []any{
			object{"const": "all"},
			object{"type": "array", "minItems": 1, "items": object{"type": "string", "pattern": "\\."}},
		}},
		"mapping.fileDigest": pattern("^(sha256:)?[0-9a-f]{64}$"),
	}
}

// either are types that people may write short, as one value, or in full.
func (g *generator) either(t reflect.Type) (object, bool) {
	switch t.String() {
	case "mandate.Column":
		return object{"oneOf": []any{g.of(reflect.TypeFor[ecluse.Class]()), g.structure(t)}}, true
	case "mandate.Backup":
		return object{"oneOf": []any{object{"const": mandate.NoBackup}, g.structure(t)}}, true
	case "mandate.Administrators":
		side := g.of(t.Elem())
		return object{"oneOf": []any{side, object{"const": []ecluse.Side{ecluse.Controller, ecluse.Processor}}}}, true
	case "mapping.rejects":
		one := g.of(t.Elem())
		return object{"oneOf": []any{one, object{"type": "array", "items": one}}}, true
	case "mapping.Column":
		expression := object{"type": []string{"string", "number", "boolean", "null"}}
		return object{"oneOf": []any{expression, object{
			"type": "object", "additionalProperties": false, "anyOf": []any{object{"required": []string{"value"}}, object{"required": []string{"row_of"}}},
			"properties": object{
				"value": expression, "miss": object{"enum": []any{"null", nil, "keep", "value", "reject", "block"}},
				"default": scalar(), "report": scalar(), "from": object{"type": "integer", "minimum": 1}, "row_of": object{"type": "string"},
			},
		}}}, true
	}
	return nil, false
}

// of is the schema of a type.
func (g *generator) of(t reflect.Type) object {
	if s, ok := special()[t.String()]; ok {
		return s
	}
	if s, ok := g.either(t); ok {
		return s
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.of(t.Elem())
	case reflect.Slice:
		return object{"type": "array", "items": g.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": g.of(t.Elem())}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.String:
		if g.tag == "yaml" {
			return scalar()
		}
		return object{"type": "string"}
	case reflect.Struct:
		if values, ok := t.FieldByName("values"); ok && strings.HasPrefix(t.Name(), "Map[") {
			return object{"type": "object", "additionalProperties": g.of(values.Type.Elem().Elem())}
		}
		name := t.Name()
		if _, ok := g.defs[name]; !ok {
			g.defs[name] = nil // a type within itself refers to its name
			g.defs[name] = g.structure(t)
		}
		return object{"$ref": "#/$defs/" + name}
	}
	panic("no schema for " + t.String())
}

func (g *generator) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	for f := range t.Fields() {
		name, opts, _ := strings.Cut(f.Tag.Get(g.tag), ",")
		if name == "" || name == "-" {
			continue
		}
		s := g.field(t, f)
		properties[name] = s
		if opts != "omitempty" {
			required = append(required, name)
		}
	}
	return object{"type": "object", "additionalProperties": false, "properties": properties, "required": required}
}

func (g *generator) field(t reflect.Type, f reflect.StructField) object {
	s := g.of(f.Type)
	if values := strings.Fields(f.Tag.Get("enum")); len(values) > 0 {
		s = enum(values...)
	}
	if description := g.describe(t, f); description != "" {
		copied := object{"description": description}
		for k, v := range s {
			copied[k] = v
		}
		return copied
	}
	return s
}

func (g *generator) describe(t reflect.Type, f reflect.StructField) string {
	d := g.comments[t.Name()+"."+f.Name]
	if law := f.Tag.Get("law"); law != "" {
		d = strings.TrimSpace(d + " (" + law + ")")
	}
	return d
}

// schema is a whole document's.
func schema(tag, title, format string, t reflect.Type, comments map[string]string) object {
	g := &generator{tag: tag, comments: comments, defs: object{}}
	s := g.structure(t)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["$id"] = "https://ecluse.invalid/schemas/" + title + ".json"
	s["title"] = format
	s["properties"].(object)["ecluse"] = object{"const": format}
	if len(g.defs) > 0 {
		s["$defs"] = g.defs
	}
	return s
}

// comments gathers the comments of struct fields, and of the structs for the
// whole, in the packages that declare documents.
func comments(t *testing.T, folders ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, folder := range folders {
		notTest := func(i fs.FileInfo) bool { return !strings.HasSuffix(i.Name(), "_test.go") }
		packages, err := parser.ParseDir(token.NewFileSet(), folder, notTest, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range packages {
			ast.Inspect(p, func(n ast.Node) bool {
				if spec, ok := n.(*ast.TypeSpec); ok {
					if s, ok := spec.Type.(*ast.StructType); ok {
						fieldComments(found, spec.Name.Name, s)
					}
				}
				return true
			})
		}
	}
	return found
}

func fieldComments(found map[string]string, of string, s *ast.StructType) {
	for _, f := range s.Fields.List {
		text := f.Comment.Text()
		if text == "" {
			continue
		}
		for _, name := range f.Names {
			found[of+"."+name.Name] = strings.Join(strings.Fields(text), " ")
		}
	}
}

// roster has the keys of roster/v1, which package evidence keeps to itself;
// TestSchemasAgree holds the two together.
type roster struct {
	Format   string               `yaml:"ecluse"`
	Party    string               `yaml:"party"`
	Side     ecluse.Side          `yaml:"side"`
	Number   int                  `yaml:"number"`             // from 1; a change is a new number
	Previous *ecluse.Digest       `yaml:"previous,omitempty"` // the roster before this one
	Issued   time.Time            `yaml:"issued"`
	Expires  time.Time            `yaml:"expires"`
	People   document.Map[person] `yaml:"people"`
}

type person struct {
	Name            string        `yaml:"name"`
	Employee        string        `yaml:"employee"` // RPPS number or the employer's id
	Email           string        `yaml:"email"`
	Keys            []string      `yaml:"keys"` // lines of OpenSSH .pub files
	Roles           []ecluse.Role `yaml:"roles"`
	From            evidence.Day  `yaml:"from"`
	Until           evidence.Day  `yaml:"until"`
	Confidentiality evidence.Day  `yaml:"confidentiality" law:"GDPR art. 28(3)(b)"`
}

// act is the schema of the text of an act: JSON Schema cannot describe lines, so
// one pattern says them all.
func act() object {
	const digest, instant = "sha256:[0-9a-f]{64}", "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"
	verbs := make([]string, 0, len(evidence.Verbs()))
	for _, v := range evidence.Verbs() {
		verbs = append(verbs, string(v))
	}
	return object{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"$id":     "https://ecluse.invalid/schemas/act.json",
		"title":   "act/v1",
		"description": "The text that a person signs (SSHSIG, namespace " + evidence.NamespaceAct + "), not JSON: lines that end with a line feed, " +
			"in this order: the format; migration, - for an act on contracts and gates, made outside any; side; person, an id of the roster; role; " +
			"roster, its number and digest; not-before and not-after, in UTC; nonce; then 1 to 32 clauses, each a verb, a kind of document " +
			"and the SHA-256 of the document's exact bytes.",
		"type": "string",
		"pattern": "^ecluse act/v1\nmigration (-|[a-z0-9-]{3,64})\nside (controller|processor)\nperson [a-z][a-z0-9.-]{0,63}\n" +
			"role (signatory|operator|dpo|security)\nroster [1-9][0-9]* " + digest + "\nnot-before " + instant + "\nnot-after " + instant +
			"\nnonce [0-9a-f]{32}\n((" + strings.Join(verbs, "|") + ") [a-z][a-z-]{1,31} " + digest + "\n)+$",
	}
}

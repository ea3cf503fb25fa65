// Package schematest keeps the JSON Schemas of Écluse's documents, in
// docs/reference/schemas: they are made from the Go types that read them, and a
// test says when they are stale.
//
//	go test ./internal/mandate/schematest -update
package schematest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
	"ecluse/internal/mandate/mandatetest"
	"ecluse/internal/sluice/mapping"
)

const folder = "../../../docs/reference/schemas/"

var update = flag.Bool("update", false, "write the schemas again")

// all are the schemas by file.
func all(t *testing.T) map[string]object {
	t.Helper()
	c := comments(t, ".", "../../..", "..", "../../sluice/mapping")
	return map[string]object{
		"act.json":         act(),
		"contract.json":    schema("yaml", "contract", mandate.ContractFormat, reflect.TypeFor[mandate.Contract](), c),
		"gate.json":        schema("yaml", "gate", mandate.GateFormat, reflect.TypeFor[mandate.Gate](), c),
		"instruction.json": schema("yaml", "instruction", mandate.InstructionFormat, reflect.TypeFor[mandate.Instruction](), c),
		"loadplan.json":    schema("json", "loadplan", mandate.LoadPlanFormat, reflect.TypeFor[mandate.LoadPlan](), c),
		"mapping.json":     schema("yaml", "mapping", mapping.Format, reflect.TypeFor[mapping.Document](), c),
		"readplan.json":    schema("json", "readplan", mandate.ReadPlanFormat, reflect.TypeFor[mandate.ReadPlan](), c),
		"roster.json":      schema("yaml", "roster", "roster/v1", reflect.TypeFor[roster](), c),
	}
}

func TestSchemasFresh(t *testing.T) {
	for file, s := range all(t) {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(s); err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(folder+file, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if kept, err := os.ReadFile(folder + file); err != nil || !bytes.Equal(kept, b.Bytes()) {
			t.Errorf("%s is not what the Go types say: go test ./internal/mandate/schematest -update (%v)", file, err)
		}
	}
}

func compiled(t *testing.T, file string) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(folder + file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sample is a document, how it is read, and the file of its schema.
type sample struct {
	schema string
	text   []byte
	read   func([]byte) error
}

func samples(t *testing.T) map[string]sample {
	t.Helper()
	w := mandatetest.New(t)
	source, body := mandatetest.SourceFor(ecluse.Shape{
		Datasets: []ecluse.ShapeDataset{{Dataset: "patient", Reads: []string{"name", "code"}}},
		Checks:   []ecluse.ShapeCheck{{Name: "rows", Count: true}},
	})
	m := w.Migration(t, source, mandatetest.Dialect(source.Engine), strings.Replace(body, "figure: technical", "figure: {class: technical, as: text}", 1))
	target := &ecluse.Catalogue{Engine: ecluse.SQLite, Tables: []ecluse.Table{{
		Name: ecluse.TableName{Name: "person"}, Kind: ecluse.BaseTable, PrimaryKey: []string{"name"},
		Columns: []ecluse.Column{{Name: "name", Type: ecluse.Type{Kind: ecluse.Text}}},
	}}}
	person := ecluse.TableName{Name: "person"}
	load := m.LoadPermitInputs(t, ecluse.Dry, ecluse.Shape{
		Datasets: []ecluse.ShapeDataset{{Dataset: "patient", Reads: []string{"name"}, Into: []ecluse.ShapeTable{{
			Table: person, Columns: []ecluse.ShapeColumn{{Column: "name", From: "name"}},
		}}}},
		Checks: []ecluse.ShapeCheck{{Name: "rows", Table: person, Count: true}},
	}, target, mandatetest.Dialect(ecluse.SQLite))
	instruction, err := os.ReadFile("../testdata/instruction.yaml")
	if err != nil {
		t.Fatal(err)
	}
	readInstruction := func(b []byte) error { _, err := mandate.ParseInstruction("i.yaml", b); return err }
	gate := w.Gate(w.SourceGate, mandatetest.Key(t))
	return map[string]sample{
		"gate":        {"gate.json", gate.Bytes(), func(b []byte) error { _, err := mandate.ParseGate("g.yaml", b); return err }},
		"contract":    {"contract.json", w.Contract, func(b []byte) error { _, err := mandate.ParseContract("c.yaml", b); return err }},
		"instruction": {"instruction.json", instruction, readInstruction},
		"invented":    {"instruction.json", m.Papers.Instruction, readInstruction},
		"roster":      {"roster.json", m.Papers.Rosters[0].Body, func(b []byte) error { _, err := evidence.ParseRoster("r.yaml", b); return err }},
		"mapping":     {"mapping.json", []byte(mappingSample), func(b []byte) error { _, err := mapping.Parse("m.yaml", b); return err }},
		"readplan":    {"readplan.json", m.Papers.ReadPlan, func(b []byte) error { _, err := mandate.ParseReadPlan(b); return err }},
		"loadplan":    {"loadplan.json", load.LoadPlan, func(b []byte) error { _, err := mandate.ParseLoadPlan(b); return err }},
	}
}

const mappingSample = `
ecluse: mapping/v1
id: invented-01
instruction: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
tables: {sex: {file: sex.csv, sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855, key: [code]}}
from:
  patient:
    - into: person
      reject: {when: name == '', reason: patient without a name}
      columns: {id: counter, name: name, rank: 1, sex: {value: "sex[code].label", miss: "null", report: unknown sex}}
sequences: {person_seq: person.id}
checks: {rows: {table: person, count: true}}
`

// TestSchemasAgree: each sample is valid for its schema and for the program.
// Without any of its keys, or with one more, the schema never refuses what the
// program takes, and refuses what the program finds missing or unknown.
func TestSchemasAgree(t *testing.T) {
	for name, s := range samples(t) {
		t.Run(name, func(t *testing.T) {
			check := compiled(t, s.schema)
			var root yaml.Node
			if err := yaml.Unmarshal(s.text, &root); err != nil {
				t.Fatal(err)
			}
			if err := check.Validate(plain(root.Content[0])); err != nil {
				t.Errorf("the schema refuses the sample: %v", err)
			}
			if err := s.read(s.text); err != nil {
				t.Errorf("the program refuses the sample: %v", err)
			}
			tried := 0
			spoil(&root, root.Content[0], func(how string) {
				tried++
				text, err := yaml.Marshal(&root)
				if err != nil {
					t.Fatal(err)
				}
				bySchema, byProgram := check.Validate(plain(root.Content[0])), s.read(text)
				switch {
				case byProgram == nil && bySchema != nil:
					t.Errorf("%s: only the schema refuses: %v", how, bySchema)
				case bySchema == nil && byProgram != nil && saysShape(byProgram):
					t.Errorf("%s: only the program refuses: %v", how, byProgram)
				}
			})
			if tried < 10 {
				t.Errorf("only %d ways tried", tried)
			}
		})
	}
}

// saysShape tells an error about keys, which a schema has to find too.
func saysShape(err error) bool {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return strings.Contains(first, "unknown key") || strings.HasSuffix(first, ": missing") || strings.Contains(first, ": missing (")
}

// spoil takes each key of a document out in turn, then adds one to each mapping.
func spoil(root, n *yaml.Node, try func(how string)) {
	for _, c := range n.Content {
		spoil(root, c, try)
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	kept := n.Content
	for i := 0; i < len(kept); i += 2 {
		n.Content = append(append([]*yaml.Node{}, kept[:i]...), kept[i+2:]...)
		try("without " + kept[i].Value + " of line " + strconv.Itoa(kept[i].Line))
	}
	n.Content = append(append([]*yaml.Node{}, kept...),
		&yaml.Node{Kind: yaml.ScalarNode, Value: "unheard-of"}, &yaml.Node{Kind: yaml.SequenceNode})
	try("with a key more after line " + strconv.Itoa(n.Line))
	n.Content = kept
}

// plain is a YAML node as JSON has it; dates stay texts.
func plain(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plain(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			list[i] = plain(c)
		}
		return list
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return json.Number(n.Value)
	case "!!bool":
		return n.Value == "true"
	case "!!null":
		return nil
	}
	return n.Value
}

func TestSchemasRefuse(t *testing.T) {
	s := samples(t)
	for name, c := range map[string]struct{ sample, old, new string }{
		"credential":       {"instruction", "sex: identity", "sex: password"},
		"column's reason":  {"instruction", "because: the biologists' remarks are part of the result", "becuase: typo in the key"},
		"reach":            {"instruction", "[public.patient.address]", "everything"},
		"digest":           {"instruction", "contract: sha256:e3", "contract: md5:e3"},
		"date":             {"contract", "\nend: ", "\nend: about "},
		"end choice":       {"contract", "choice: delete", "choice: keep"},
		"role":             {"roster", "[signatory]", "[king]"},
		"number":           {"roster", "number: 2", "number: two"},
		"verdict":          {"readplan", `"verdict": "taken"`, `"verdict": "stolen"`},
		"passage":          {"loadplan", `"passage": "dry"`, `"passage": "wet"`},
		"place":            {"gate", "place: source", "place: lock"},
		"administrators":   {"gate", "machine_administered_by: controller", "machine_administered_by: nobody"},
		"order of both":    {"gate", "[controller, processor]", "[processor, controller]"},
		"another document": {"loadplan", "loadplan/v1", "readplan/v1"},
		"miss":             {"mapping", `miss: "null"`, "miss: forget"},
	} {
		text := strings.Replace(string(s[c.sample].text), c.old, c.new, 1)
		if text == string(s[c.sample].text) {
			t.Errorf("%s: the edit changes nothing", name)
		}
		var root yaml.Node
		if err := yaml.Unmarshal([]byte(text), &root); err != nil {
			t.Fatal(err)
		}
		if err := compiled(t, s[c.sample].schema).Validate(plain(root.Content[0])); err == nil {
			t.Errorf("%s: the schema takes it", name)
		}
	}
}

func TestActSchema(t *testing.T) {
	source, body := mandatetest.SourceFor(ecluse.Shape{})
	m := mandatetest.New(t).Migration(t, source, mandatetest.Dialect(source.Engine), body)
	check := compiled(t, "act.json")
	for _, a := range m.Papers.Acts {
		text := string(a.Body)
		if err := check.Validate(text); err != nil {
			t.Errorf("%v", err)
		}
		for i := range text {
			spoiled := text[:i] + "\x01" + text[i+1:]
			if err := check.Validate(spoiled); err == nil {
				t.Errorf("the schema takes another byte %d of %q", i, text)
			}
		}
	}
}

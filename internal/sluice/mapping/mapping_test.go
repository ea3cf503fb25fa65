package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/sluice/mapping/mappingtest"
)

// show spells an output: one line a row, "table: a|b", then rejects and reports.
func show(o *Output) string {
	var b strings.Builder
	for _, r := range o.Tables {
		for i := range r.Batch.Rows() {
			cells := make([]string, len(r.Batch.Columns))
			for j, c := range r.Batch.Columns {
				cells[j] = mappingtest.Cell(c, i)
			}
			fmt.Fprintf(&b, "%s %d: %s\n", r.Table, r.Source[i], strings.Join(cells, "|"))
		}
	}
	for _, r := range o.Rejected {
		fmt.Fprintf(&b, "rejected %d: %s\n", r.Row, r.Reason)
	}
	for _, k := range slices.Sorted(maps.Keys(o.Reports)) {
		fmt.Fprintf(&b, "report %s: %d\n", k, o.Reports[k])
	}
	return b.String()
}

// target makes a catalogue: "t: id int!, name text(10)" a line, ! for NOT NULL.
func target(t testing.TB, tables ...string) *ecluse.Catalogue {
	t.Helper()
	c := &ecluse.Catalogue{Engine: ecluse.PostgreSQL}
	for _, spec := range tables {
		name, cols, _ := strings.Cut(spec, ": ")
		n, err := ecluse.ParseTableName(name)
		if err != nil {
			t.Fatal(err)
		}
		tab := ecluse.Table{Name: n, Kind: ecluse.BaseTable}
		for _, f := range strings.Split(cols, ", ") {
			col := ecluse.Column{FracDigits: 6, Nullable: !strings.HasSuffix(f, "!")}
			var kind string
			col.Name, kind, _ = strings.Cut(strings.TrimSuffix(f, "!"), " ")
			col.Type = mappingtest.Type(t, kind)
			if col.Type.Kind == ecluse.Text || col.Type.Kind == ecluse.Bytes {
				col.MaxLength, col.Type.Precision = col.Type.Precision, 0
			}
			col.Declared = kind
			if col.Type.Kind == ecluse.Int {
				col.Declared = "bigint"
			}
			tab.Columns = append(tab.Columns, col)
		}
		c.Tables = append(c.Tables, tab)
	}
	return c
}

const head = "ecluse: mapping/v1\nid: test-01\ninstruction: sha256:0000000000000000000000000000000000000000000000000000000000000000\n"

// build parses and checks a mapping of one dataset, "d".
func build(t testing.TB, body string, in Inputs) (*Program, error) {
	t.Helper()
	doc, err := Parse("mapping.yaml", []byte(strings.Replace(head, "0000\n", "0001\n", 1)+body))
	if err != nil {
		return nil, err
	}
	return Check(doc, in)
}

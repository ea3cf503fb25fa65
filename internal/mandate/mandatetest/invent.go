package mandatetest

import (
	"fmt"
	"slices"
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
)

// Complete fills in what a test's shape leaves out: the mapping's digest, the
// order, the types of written columns, and whether keys are written.
func Complete(shape ecluse.Shape, target *ecluse.Catalogue) ecluse.Shape {
	if shape.Mapping.IsZero() {
		shape.Mapping = ecluse.DigestOf([]byte("an invented mapping"))
	}
	shape.Datasets = slices.Clone(shape.Datasets)
	order := make([]ecluse.DatasetID, len(shape.Datasets))
	for i := range shape.Datasets {
		d := &shape.Datasets[i]
		order[i] = d.Dataset
		d.Into = slices.Clone(d.Into)
		for n := range d.Into {
			into := &d.Into[n]
			into.Columns = slices.Clone(into.Columns)
			if t, ok := target.Table(into.Table); ok {
				completeTable(into, t)
			}
		}
	}
	if shape.Order == nil {
		shape.Order = order
	}
	return shape
}

func completeTable(into *ecluse.ShapeTable, t *ecluse.Table) {
	written := map[string]bool{}
	for i := range into.Columns {
		c := &into.Columns[i]
		written[c.Column] = true
		if col, ok := t.Column(c.Column); ok && c.Type == (ecluse.Type{}) {
			c.Type = col.Type
		}
	}
	into.KeyWrite = len(t.PrimaryKey) > 0
	for _, k := range t.PrimaryKey {
		into.KeyWrite = into.KeyWrite && written[k]
	}
}

// SourceFor invents a source with a table for each dataset of a shape, and the
// body of an instruction that takes them.
func SourceFor(shape ecluse.Shape) (*ecluse.Catalogue, string) {
	c := &ecluse.Catalogue{Engine: ecluse.SQLite}
	var body strings.Builder
	body.WriteString("datasets:\n")
	columns := map[ecluse.DatasetID][]string{}
	var order []ecluse.DatasetID
	read := func(d ecluse.DatasetID, names ...string) {
		if _, ok := columns[d]; !ok {
			order = append(order, d)
			columns[d] = []string{"row"}
		}
		for _, n := range names {
			if !slices.Contains(columns[d], n) {
				columns[d] = append(columns[d], n)
			}
		}
	}
	for _, d := range shape.Datasets {
		read(d.Dataset, d.Reads...)
	}
	for _, h := range shape.Held {
		read(h.Dataset, h.Key...)
	}
	if len(order) == 0 {
		read("nothing")
	}
	for _, d := range order {
		t := ecluse.Table{Name: ecluse.TableName{Name: string(d)}, Kind: ecluse.BaseTable, Storage: "rowid", PrimaryKey: []string{"row"}}
		t.Columns = append(t.Columns, ecluse.Column{Name: "figure", Type: ecluse.Type{Kind: ecluse.Int}, Declared: "INTEGER"})
		fmt.Fprintf(&body, "  %s:\n    from: %s\n    key: [row]\n    columns:\n      figure: technical\n", d, d)
		for _, n := range columns[d] {
			t.Columns = append(t.Columns, ecluse.Column{Name: n, Type: ecluse.Type{Kind: ecluse.Text}, Declared: "TEXT"})
			fmt.Fprintf(&body, "      %q: technical\n", n)
		}
		c.Tables = append(c.Tables, t)
	}
	if len(shape.Checks) > 0 {
		body.WriteString("checks:\n")
	}
	for _, k := range shape.Checks {
		fmt.Fprintf(&body, "  %s: {dataset: %s", k.Name, order[0])
		for _, f := range [][2]string{{"sum", k.Sum}, {"first", k.First}, {"last", k.Last}} {
			if f[1] != "" {
				fmt.Fprintf(&body, ", %s: figure", f[0])
			}
		}
		if k.By != "" {
			body.WriteString(", by: row")
		}
		fmt.Fprintf(&body, ", count: %t}\n", k.Count)
	}
	slices.SortFunc(c.Tables, func(a, b ecluse.Table) int { return strings.Compare(a.Name.Name, b.Name.Name) })
	body.WriteString("accounts: {source: {may_also_read: all, because: SQLite has no accounts to narrow}}\n")
	return c, body.String()
}

// Dialect is a dialect whose statements are sentences: for tests that run none.
func Dialect(e ecluse.Engine) mandate.Dialect { return sentences(e) }

type sentences ecluse.Engine

func (s sentences) Engine() ecluse.Engine { return ecluse.Engine(s) }

func (s sentences) ReadStatement(_ *mandate.ReadPlan, d *mandate.ReadDataset) (string, error) {
	var b strings.Builder
	b.WriteString("read")
	for _, c := range d.Columns {
		b.WriteString(" " + c.Name)
	}
	fmt.Fprintf(&b, " of %s", d.From)
	for _, w := range d.Where {
		fmt.Fprintf(&b, " where %s", w.Column)
	}
	for _, w := range d.Within {
		fmt.Fprintf(&b, " within %s", w.Dataset)
	}
	return b.String(), nil
}

func (s sentences) CheckStatement(_ *mandate.ReadPlan, c *mandate.ReadCheck) (string, error) {
	return "count " + c.Name, nil
}

func (s sentences) WriteStatement(t *mandate.LoadTable) (string, error) {
	return fmt.Sprintf("write %d columns into %s", len(t.Columns), t.Table), nil
}

// TextType reads any column as text, and must where the declared type is "money".
func (s sentences) Consistencies() []string {
	return []string{mandate.Snapshot, mandate.Locked, mandate.Frozen, mandate.Reread}
}

func (s sentences) TellsLoad() bool { return ecluse.Engine(s) != ecluse.SQLite }

func (s sentences) TextType(c *ecluse.Column) (can, must bool) {
	return c.Type.Kind != ecluse.Bytes, c.Declared == "money"
}

package postgres

import (
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
)

// Dialect is what compiling plans needs to know of PostgreSQL.
type Dialect struct{}

var (
	_ mandate.Dialect   = Dialect{}
	_ mandate.ViewNamer = Dialect{}
)

// Engine is ecluse.PostgreSQL.
func (Dialect) Engine() ecluse.Engine { return ecluse.PostgreSQL }

// ViewName is the granted view of a dataset: the dataset's name in a schema of
// the migration's own. A table of which the instruction lets the account read more
// than it takes, because no view can be had, is read itself.
func (Dialect) ViewName(p *mandate.ReadPlan, d *mandate.ReadDataset) string {
	for _, c := range p.MayAlsoRead {
		if c == "all" || strings.HasPrefix(c, d.From.String()+".") {
			return ""
		}
	}
	return ecluse.TableName{Schema: viewSchema(p.Migration), Name: fitting(string(d.Dataset))}.String()
}

// viewSchema is where a migration's views are. Catalogue leaves out schemas whose
// names begin so: what was granted for a plan does not change the plan.
func viewSchema(m ecluse.MigrationID) string { return fitting(viewPrefix + string(m)) }

const viewPrefix = "ecluse_"

// ReadStatement is the statement that reads a whole dataset and, where it reads
// a view, what the view is.
func (Dialect) ReadStatement(p *mandate.ReadPlan, d *mandate.ReadDataset) (string, error) {
	r, err := NewReading(p, d)
	if err != nil || d.View == "" {
		return r.statement(), err
	}
	v, err := view(p, d)
	return r.statement() + "\n-- " + Name(r.Relation) + " is " + v, err
}

func (r *Reading) statement() string {
	if r == nil {
		return ""
	}
	return r.Statement()
}

// CheckStatement is the statement that counts a check.
func (Dialect) CheckStatement(p *mandate.ReadPlan, c *mandate.ReadCheck) (string, error) {
	f, err := NewCounting(p, c)
	if err != nil {
		return "", err
	}
	return f.Statement, nil
}

// WriteStatement is the statement that writes rows of a table.
func (Dialect) WriteStatement(t *mandate.LoadTable) (string, error) {
	return NewCopier(t.Table, t.Columns).Statement(), nil
}

// Consistencies are a snapshot, whether or not somebody froze the database too.
func (Dialect) Consistencies() []string { return []string{mandate.Snapshot, mandate.Frozen} }

// TellsLoad is so: everybody sees which sessions have a transaction under way.
func (Dialect) TellsLoad() bool { return true }

// TextType tells that any column can be read as its text, and that those must be
// whose type has no kind of its own.
func (Dialect) TextType(c *ecluse.Column) (can, must bool) {
	_, cast := readAs(c.Type, c.Declared)
	return true, cast
}

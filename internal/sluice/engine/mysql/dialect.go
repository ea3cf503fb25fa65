package mysql

import (
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
)

// Dialect fills mandate.Dialect and mandate.ViewNamer.
type Dialect struct{}

// Engine is ecluse.MySQL.
func (Dialect) Engine() ecluse.Engine { return ecluse.MySQL }

// ViewName is the granted view of a dataset: the dataset's name in a database of
// the migration's own. A table of which the instruction lets the account read
// more than it takes, because no view can be had, is read itself.
func (Dialect) ViewName(p *mandate.ReadPlan, d *mandate.ReadDataset) string {
	for _, c := range p.MayAlsoRead {
		if c == "all" || strings.HasPrefix(c, d.From.String()+".") {
			return ""
		}
	}
	return ecluse.TableName{Schema: viewDatabase(p), Name: string(d.Dataset)}.String()
}

// maxName is how many characters a database's name may have.
const maxName = 64

// viewDatabase names the migration and the gate: laboratories choose their ids by
// themselves and may share a server.
func viewDatabase(p *mandate.ReadPlan) string {
	n := "ecluse_" + strings.ReplaceAll(string(p.Migration), "-", "_")
	const mark = 8
	n = n[:min(len(n), maxName-1-mark)]
	return n + "_" + ecluse.DigestOf([]byte(string(p.Source.Gate) + " " + string(p.Migration))).Hex()[:mark]
}

// ReadStatement is the statement that reads a whole dataset.
func (Dialect) ReadStatement(p *mandate.ReadPlan, d *mandate.ReadDataset) (string, error) {
	r, err := NewReading(p, d)
	if err != nil {
		return "", err
	}
	return r.Statement(Span{}), nil
}

// CheckStatement is the statement that counts a check.
func (Dialect) CheckStatement(p *mandate.ReadPlan, c *mandate.ReadCheck) (string, error) {
	k, err := NewCounting(p, c)
	if err != nil {
		return "", err
	}
	return k.Statement, nil
}

// WriteStatement refuses: MariaDB and MySQL are sources only.
func (Dialect) WriteStatement(t *mandate.LoadTable) (string, error) {
	return "", &ecluse.Error{
		Kind: ecluse.Refused, What: "compose the statement that writes " + t.Table.String(),
		Why: "MariaDB and MySQL can be read from and not written to", Next: "load into PostgreSQL or SQLite",
	}
}

// TextType tells that every column can be read as its exact text (bytes as
// hexadecimal digits), and that columns of types unknown here can only be.
func (Dialect) TextType(c *ecluse.Column) (can, must bool) {
	return true, !parseDeclared(c.Declared).known()
}

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

// ViewName is the granted view of a dataset: the dataset's name, in a database of
// the migration's own. A mark of the view's own statement ends it, so that a view
// that an earlier version of the instruction left behind is not read in its
// place. A table of which the instruction lets the account read more than it
// takes, because no view can be had, is read itself.
func (Dialect) ViewName(p *mandate.ReadPlan, d *mandate.ReadDataset) string {
	for _, c := range p.MayAlsoRead {
		if c == "all" || strings.HasPrefix(c, d.From.String()+".") {
			return ""
		}
	}
	query, _, err := viewStatement(p, d)
	if err != nil {
		return "" // ReadStatement says why
	}
	return ecluse.TableName{Schema: viewDatabase(p), Name: marked(string(d.Dataset), query)}.String()
}

// viewDatabase names the migration and the gate: laboratories choose their ids by
// themselves and may share a server.
func viewDatabase(p *mandate.ReadPlan) string {
	id := string(p.Migration)
	return marked("ecluse_"+strings.ReplaceAll(id, "-", "_"), string(p.Source.Gate)+" "+id)
}

// marked ends a name with eight digits of the SHA-256 of text, within the 64
// characters that a name may have.
func marked(name, text string) string {
	const longest, mark = 64, 8
	return name[:min(len(name), longest-1-mark)] + "_" + ecluse.DigestOf([]byte(text)).Hex()[:mark]
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

// Consistencies are all of them: what Begin does.
func (Dialect) Consistencies() []string {
	return []string{mandate.Snapshot, mandate.Locked, mandate.Frozen, mandate.Reread}
}

// TellsLoad is so: the server counts its running threads for everybody.
func (Dialect) TellsLoad() bool { return true }

// TextType tells that every column can be read as its exact text (bytes as
// hexadecimal digits), and that columns of types unknown here can only be.
func (Dialect) TextType(c *ecluse.Column) (can, must bool) {
	return true, !parseDeclared(c.Declared).known()
}

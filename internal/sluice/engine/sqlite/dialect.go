package sqlite

import (
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
)

// Dialect tells package mandate what it needs to know of SQLite.
type Dialect struct{}

var _ mandate.Dialect = Dialect{}

// Engine is SQLite.
func (Dialect) Engine() ecluse.Engine { return ecluse.SQLite }

// ReadStatement reads a whole dataset; a session reads the same in parts.
func (Dialect) ReadStatement(p *mandate.ReadPlan, d *mandate.ReadDataset) (string, error) {
	s, err := Select(p, d)
	if err != nil {
		return "", err
	}
	shown := *s
	shown.Outputs = s.Outputs[:1]
	if !d.Distinct {
		shown.Outputs = s.Outputs[:len(d.Columns)]
	}
	return shown.SQL(0), nil
}

// CheckStatement gives the rows of a check, which the gate adds up.
func (Dialect) CheckStatement(p *mandate.ReadPlan, c *mandate.ReadCheck) (string, error) {
	f, err := SourceFigures(p, c)
	if err != nil {
		return "", err
	}
	return f.SQL, nil
}

// WriteStatement writes one row of a table; a session writes several at a time.
func (Dialect) WriteStatement(t *mandate.LoadTable) (string, error) {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return InsertSQL(t.Table, names, 1), nil
}

// InsertSQL inserts rows rows of the named columns. OR ABORT: a conflict clause
// in the schema may not skip or replace rows unseen.
func InsertSQL(table ecluse.TableName, columns []string, rows int) string {
	row := "(?" + strings.Repeat(", ?", len(columns)-1) + ")"
	return "INSERT OR ABORT INTO " + QuoteTable(table) + " (" + quoteAll("", columns) + ") VALUES " +
		row + strings.Repeat(", "+row, rows-1)
}

// Consistencies are a snapshot, whether or not somebody froze the database too.
func (Dialect) Consistencies() []string { return []string{mandate.Snapshot, mandate.Frozen} }

// TellsLoad is not so: a file has no server.
func (Dialect) TellsLoad() bool { return false }

// TextType tells which columns can and must be read as SQLite writes their
// values. Any column can: any may hold a text.
func (Dialect) TextType(c *ecluse.Column) (can, must bool) { return true, onlyText(c.Declared) }

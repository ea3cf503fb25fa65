package mysql

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"ecluse"
)

// Reading the catalogue may take so long, in seconds, and no longer: it must not
// weigh on a laboratory at work.
const catalogueSeconds = 300

// Catalogue reads the structure of the given databases, tables sorted by name.
// The account needs no more than REFERENCES on them, with which no row can be
// read. Triggers are listed only where the account may also see them.
func Catalogue(ctx context.Context, c *Conn, schemas []string) (*ecluse.Catalogue, error) {
	out, err := catalogue(ctx, c, schemas)
	if err != nil {
		return nil, Wrap(ctx, "read the catalogue", c.config.String(), err)
	}
	for _, s := range schemas {
		if !slices.ContainsFunc(out.Tables, func(t ecluse.Table) bool { return t.Name.Schema == s }) {
			return nil, &ecluse.Error{
				Kind: ecluse.Invalid, What: "read the catalogue", Where: c.config.String() + ": database " + s, Why: "the account sees no table in it",
				Next: "check the database's name, upper and lower case included, and run what `ecluse gate grants DIR inspect` prints",
			}
		}
	}
	return out, nil
}

func catalogue(ctx context.Context, c *Conn, schemas []string) (*ecluse.Catalogue, error) {
	limit := "max_execution_time=" + strconv.Itoa(1000*catalogueSeconds)
	if c.MariaDB() {
		limit = "max_statement_time=" + strconv.Itoa(catalogueSeconds)
	}
	if err := c.Exec(ctx, "SET SESSION "+limit); err != nil && Number(err) != unknownVariable {
		return nil, err
	}
	r := &cataloguer{conn: c, schemas: schemas, tables: map[ecluse.TableName]*ecluse.Table{}}
	for _, read := range []func(context.Context) error{r.readTables, r.readColumns, r.readKeys, r.readForeignKeys, r.readTriggers} {
		if err := read(ctx); err != nil {
			return nil, err
		}
	}
	r.storeViews()
	out := &ecluse.Catalogue{Engine: ecluse.MySQL}
	for _, t := range r.tables {
		out.Tables = append(out.Tables, *t)
	}
	slices.SortFunc(out.Tables, func(a, b ecluse.Table) int {
		if a.Name.Less(b.Name) {
			return -1
		}
		return 1
	})
	return out, nil
}

type cataloguer struct {
	conn    *Conn
	schemas []string
	tables  map[ecluse.TableName]*ecluse.Table
}

// each runs a query on a view of information_schema whose first two columns are
// a database and a table, and calls f for the tables that count.
func (r *cataloguer) each(ctx context.Context, columns, view, schemaColumn, more string, f func(t *ecluse.Table, row []string)) error {
	return r.conn.Each(ctx, "SELECT "+columns+" FROM information_schema."+view+" WHERE "+schemaColumn+" IN ("+textLiterals(r.schemas)+") "+more,
		func(row []string) error {
			if t := r.tables[ecluse.TableName{Schema: row[0], Name: row[1]}]; t != nil {
				f(t, row[2:])
			}
			return nil
		})
}

func textLiterals(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = textLiteral(s)
	}
	return strings.Join(quoted, ", ")
}

func (r *cataloguer) readTables(ctx context.Context) error {
	return r.conn.Each(ctx, "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ("+
		textLiterals(r.schemas)+")", func(row []string) error {
		t := &ecluse.Table{Name: ecluse.TableName{Schema: row[0], Name: row[1]}, Kind: ecluse.BaseTable, Storage: strings.ToLower(row[3])}
		switch row[2] {
		case "BASE TABLE", "SYSTEM VERSIONED":
		case "VIEW":
			t.Kind, t.Storage = ecluse.View, ""
		default: // sequences, temporary tables
			return nil
		}
		if slices.Contains(r.schemas, row[0]) { // the catalogue compares without regard to case
			r.tables[t.Name] = t
		}
		return nil
	})
}

// storeViews says of views how the tables beneath are stored, where all tables
// are stored in the same way: which those beneath are is not shown to an account
// that sees names only.
func (r *cataloguer) storeViews() {
	storage := ""
	for _, t := range r.tables {
		switch {
		case t.Kind != ecluse.BaseTable:
		case storage == "":
			storage = t.Storage
		case storage != t.Storage:
			return
		}
	}
	for _, t := range r.tables {
		if t.Kind == ecluse.View {
			t.Storage = storage
		}
	}
}

func (r *cataloguer) readColumns(ctx context.Context) error {
	const columns = "TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, " +
		"CHARACTER_MAXIMUM_LENGTH, DATETIME_PRECISION"
	return r.each(ctx, columns, "COLUMNS", "TABLE_SCHEMA", "ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION", func(t *ecluse.Table, row []string) {
		t.Columns = append(t.Columns, column(row))
	})
}

// column makes one of a row of readColumns, from COLUMN_NAME on.
func column(row []string) ecluse.Column {
	extra := strings.ToLower(row[5])
	c := ecluse.Column{
		Name: row[0], Declared: row[1], Nullable: row[3] == "YES",
		HasDefault: row[4] != "" && row[4] != "NULL",
		Generated:  strings.Contains(extra, "virtual generated") || strings.Contains(extra, "stored generated"),
	}
	if row[2] != "" {
		c.Declared += charsetMark + row[2]
	}
	if strings.Contains(extra, "auto_increment") {
		c.Identity = "auto_increment"
	}
	d := parseDeclared(c.Declared)
	c.Type, c.Padded = d.Type(), d.base == "char"
	switch d.base {
	case "enum":
		c.Labels = d.labels
	case "char", "varchar", "binary", "varbinary", "tinyblob", "blob", "mediumblob":
		c.MaxLength, _ = strconv.Atoi(row[6])
	}
	if row[7] != "" {
		c.FracDigits, _ = strconv.Atoi(row[7])
	}
	return c
}

// readKeys reads primary keys, and the other unique keys none of whose columns
// can be null.
func (r *cataloguer) readKeys(ctx context.Context) error {
	type index struct {
		table   *ecluse.Table
		name    string
		columns []string
	}
	var all []index
	err := r.each(ctx, "TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME", "STATISTICS", "TABLE_SCHEMA",
		"AND NON_UNIQUE = 0 ORDER BY BINARY TABLE_SCHEMA, BINARY TABLE_NAME, BINARY INDEX_NAME, SEQ_IN_INDEX", func(t *ecluse.Table, row []string) {
			if n := len(all); n == 0 || all[n-1].table != t || all[n-1].name != row[0] {
				all = append(all, index{table: t, name: row[0]})
			}
			all[len(all)-1].columns = append(all[len(all)-1].columns, row[1])
		})
	for _, i := range all {
		if i.name == "PRIMARY" {
			i.table.PrimaryKey = i.columns
			continue
		}
		nullable := slices.ContainsFunc(i.columns, func(n string) bool { // an expression has no name
			c, ok := i.table.Column(n)
			return !ok || c.Nullable
		})
		if !nullable {
			i.table.Unique = append(i.table.Unique, i.columns)
		}
	}
	return err
}

func (r *cataloguer) readForeignKeys(ctx context.Context) error {
	const columns = "TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME"
	return r.each(ctx, columns, "KEY_COLUMN_USAGE", "TABLE_SCHEMA",
		"AND REFERENCED_TABLE_NAME IS NOT NULL ORDER BY BINARY TABLE_SCHEMA, BINARY TABLE_NAME, BINARY CONSTRAINT_NAME, ORDINAL_POSITION", func(t *ecluse.Table, row []string) {
			if n := len(t.ForeignKeys); n == 0 || t.ForeignKeys[n-1].Name != row[0] {
				t.ForeignKeys = append(t.ForeignKeys, ecluse.ForeignKey{Name: row[0], References: ecluse.TableName{Schema: row[2], Name: row[3]}})
			}
			k := &t.ForeignKeys[len(t.ForeignKeys)-1]
			k.Columns, k.RefColumns = append(k.Columns, row[1]), append(k.RefColumns, row[4])
		})
}

func (r *cataloguer) readTriggers(ctx context.Context) error {
	return r.each(ctx, "EVENT_OBJECT_SCHEMA, EVENT_OBJECT_TABLE, TRIGGER_NAME", "TRIGGERS", "TRIGGER_SCHEMA",
		"AND EVENT_MANIPULATION = 'INSERT' ORDER BY BINARY TRIGGER_NAME", func(t *ecluse.Table, row []string) { t.Triggers = append(t.Triggers, row[0]) })
}

// Estimates is the number of rows the server guesses for each table.
func Estimates(ctx context.Context, c *Conn, schemas []string) (map[ecluse.TableName]int64, error) {
	out := map[ecluse.TableName]int64{}
	err := c.Each(ctx, "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_ROWS IS NOT NULL AND TABLE_SCHEMA IN ("+
		textLiterals(schemas)+")", func(row []string) error {
		n, err := strconv.ParseInt(row[2], 10, 64)
		out[ecluse.TableName{Schema: row[0], Name: row[1]}] = n
		return err
	})
	if err != nil {
		return nil, Wrap(ctx, "estimate the source's rows", c.config.String(), err)
	}
	return out, nil
}

package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ecluse"
)

// Names of Écluse's own tables in a target. No catalogue lists them.
const (
	PassageTable   = "ecluse_passage"
	MarkerTable    = "ecluse_marker"
	TombstoneTable = "ecluse_tombstone"
)

// SequenceSchema is the schema part of the name of an AUTOINCREMENT counter:
// sqlite_sequence.patient counts the rows of patient.
const SequenceSchema = "sqlite_sequence"

// Ways a table is stored.
const (
	StorageRowid   = "rowid"
	StorageKeyed   = "without rowid"
	StorageHidden  = "rowid hidden" // its three names are columns of the table
	StorageVirtual = "virtual"
)

// rowidNames are the names of the rowid, unless a column has taken them.
var rowidNames = []string{"rowid", "_rowid_", "oid"}

// Catalogue reads names, types and keys. It reads no row of any table but
// SQLite's own description of the file.
func Catalogue(ctx context.Context, c *Conn) (*ecluse.Catalogue, error) {
	out := &ecluse.Catalogue{Engine: ecluse.SQLite}
	r := catalogueReader{c}
	type entry struct {
		name, kind, sql string
		keyed, strict   bool
	}
	var entries []entry
	err := c.Each(ctx, func(v []driver.Value) error {
		entries = append(entries, entry{text(v[0]), text(v[1]), text(v[4]), number(v[2]) != 0, number(v[3]) != 0})
		return nil
	}, `SELECT l.name, l.type, l.wr, l.strict, s.sql FROM pragma_table_list AS l
		JOIN sqlite_schema AS s ON s.name = l.name AND s.type IN ('table', 'view')
		WHERE l.schema = 'main' AND l.name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY l.name`)
	if err != nil {
		return nil, Strip("inspect", c.path, err)
	}
	for _, e := range entries {
		if e.name == PassageTable || e.name == MarkerTable || e.name == TombstoneTable {
			continue
		}
		t := ecluse.Table{Name: ecluse.TableName{Name: e.name}, Kind: ecluse.BaseTable, Storage: StorageRowid}
		switch {
		case e.kind == "view":
			t.Kind, t.Storage = ecluse.View, ""
		case e.kind == "virtual":
			t.Kind, t.Storage = ecluse.ForeignTable, StorageVirtual
		case e.keyed:
			t.Storage = StorageKeyed
		}
		if err := r.table(ctx, &t, e.sql, e.strict); err != nil {
			return nil, Strip("inspect", e.name, err)
		}
		for _, col := range t.Columns {
			if col.Identity == "auto_increment" {
				out.Sequences = append(out.Sequences, ecluse.Sequence{Name: ecluse.TableName{Schema: SequenceSchema, Name: e.name}, Increment: 1})
			}
		}
		out.Tables = append(out.Tables, t)
	}
	r.references(out)
	slices.SortFunc(out.Tables, func(a, b ecluse.Table) int { return strings.Compare(a.Name.Name, b.Name.Name) })
	slices.SortFunc(out.Sequences, func(a, b ecluse.Sequence) int { return strings.Compare(a.Name.Name, b.Name.Name) })
	return out, nil
}

// Estimates are the row counts that ANALYZE left behind, if it ever ran.
func Estimates(ctx context.Context, c *Conn) (map[ecluse.TableName]int64, error) {
	out := map[ecluse.TableName]int64{}
	there, err := c.One(ctx, "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1'")
	if err != nil || there == nil {
		return out, Strip("estimate", c.path, err)
	}
	err = c.Each(ctx, func(v []driver.Value) error {
		first, _, _ := strings.Cut(text(v[1]), " ")
		if n, err := strconv.ParseInt(first, 10, 64); err == nil {
			name := ecluse.TableName{Name: text(v[0])}
			out[name] = max(out[name], n) // a partial index has fewer
		}
		return nil
	}, "SELECT tbl, stat FROM sqlite_stat1")
	return out, Strip("estimate", c.path, err)
}

type catalogueReader struct{ c *Conn }

func (r catalogueReader) each(ctx context.Context, f func(v []driver.Value), sql, table string) error {
	return r.c.Each(ctx, func(v []driver.Value) error { f(v); return nil }, sql, table)
}

func (r catalogueReader) table(ctx context.Context, t *ecluse.Table, sql string, strict bool) error {
	name := t.Name.Name
	key := map[int64]string{}
	err := r.each(ctx, func(v []driver.Value) {
		hidden := number(v[5])
		if hidden == 1 {
			return // an argument of a virtual table, no column
		}
		col := ecluse.Column{
			Name: text(v[0]), Declared: text(v[1]), Type: typeOf(text(v[1])),
			Nullable: number(v[2]) == 0, HasDefault: v[3] != nil, Generated: hidden >= 2, FracDigits: 6,
		}
		if n := number(v[4]); n > 0 {
			key[n] = col.Name
			if t.Storage == StorageKeyed || strict {
				col.Nullable = false
			}
		}
		t.Columns = append(t.Columns, col)
	}, `SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)`, name)
	if err != nil {
		if t.Kind == ecluse.View {
			return nil // it refers to what is gone: nothing can be read through it
		}
		return err
	}
	for n := int64(1); n <= int64(len(key)); n++ {
		t.PrimaryKey = append(t.PrimaryKey, key[n])
	}
	if t.Kind != ecluse.BaseTable {
		return nil
	}
	pkIndex, err := r.unique(ctx, t)
	if err != nil {
		return err
	}
	r.identity(t, sql, pkIndex)
	if err := r.foreignKeys(ctx, t); err != nil {
		return err
	}
	return r.triggers(ctx, t)
}

var autoIncrement = regexp.MustCompile(`(?i)\bAUTOINCREMENT\b`)

// identity finds the column that is another name of the rowid, and whether the
// rowid can be named at all.
func (catalogueReader) identity(t *ecluse.Table, sql string, pkIndex bool) {
	if t.Storage != StorageRowid {
		return
	}
	if len(t.PrimaryKey) == 1 && !pkIndex {
		if col, ok := t.Column(t.PrimaryKey[0]); ok && strings.EqualFold(col.Declared, "INTEGER") {
			col.Identity, col.Nullable = "rowid", false
			if autoIncrement.MatchString(sql) {
				col.Identity = "auto_increment"
			}
			return
		}
	}
	if rowidName(columnNames(t)) == "" {
		t.Storage = StorageHidden
	}
}

func columnNames(t *ecluse.Table) []string {
	names := make([]string, len(t.Columns))
	for i := range t.Columns {
		names[i] = t.Columns[i].Name
	}
	return names
}

// RowidName is a name by which the rowid of a table can be called; empty when its
// columns have taken all.
func RowidName(t *ecluse.Table) string { return rowidName(columnNames(t)) }

// rowidName is a name by which the rowid can be called beside these columns.
func rowidName(columns []string) string {
	for _, n := range rowidNames {
		if !slices.ContainsFunc(columns, func(c string) bool { return strings.EqualFold(c, n) }) {
			return n
		}
	}
	return ""
}

// unique finds the unique keys without NULLs, and whether the primary key has an
// index of its own.
func (r catalogueReader) unique(ctx context.Context, t *ecluse.Table) (pkIndex bool, err error) {
	var names []string
	err = r.each(ctx, func(v []driver.Value) {
		switch {
		case text(v[1]) == "pk":
			pkIndex = true
		case number(v[2]) == 0:
			names = append(names, text(v[0]))
		}
	}, `SELECT name, origin, partial FROM pragma_index_list(?) WHERE "unique" ORDER BY name`, t.Name.Name)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		var columns []string
		whole := true
		err := r.each(ctx, func(v []driver.Value) {
			col, ok := t.Column(text(v[0]))
			whole = whole && ok && !col.Nullable
			columns = append(columns, text(v[0]))
		}, "SELECT name FROM pragma_index_info(?) ORDER BY seqno", name)
		if err != nil {
			return false, err
		}
		if whole {
			t.Unique = append(t.Unique, columns)
		}
	}
	slices.SortFunc(t.Unique, slices.Compare)
	return pkIndex, nil
}

// foreignKeys lists the table's. SQLite keeps no names: they are numbered as
// declared. Écluse writes with every one of them deferred to the commit.
func (r catalogueReader) foreignKeys(ctx context.Context, t *ecluse.Table) error {
	byID := map[int64]*ecluse.ForeignKey{}
	var last int64
	err := r.each(ctx, func(v []driver.Value) {
		id := number(v[0])
		last = max(last, id)
		fk := byID[id]
		if fk == nil {
			fk = &ecluse.ForeignKey{References: ecluse.TableName{Name: text(v[1])}, Deferrable: true}
			byID[id] = fk
		}
		fk.Columns = append(fk.Columns, text(v[2]))
		if v[3] != nil {
			fk.RefColumns = append(fk.RefColumns, text(v[3]))
		}
	}, `SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id, seq`, t.Name.Name)
	for id := last; id >= 0 && len(byID) > 0; id-- { // SQLite counts from the last
		if fk := byID[id]; fk != nil {
			fk.Name = fmt.Sprintf("%s_fk%d", t.Name.Name, len(t.ForeignKeys)+1)
			t.ForeignKeys = append(t.ForeignKeys, *fk)
		}
	}
	return err
}

// references spells the tables foreign keys point to as the catalogue does, and
// names the columns where the schema leaves them to the primary key.
func (catalogueReader) references(c *ecluse.Catalogue) {
	for i := range c.Tables {
		for j := range c.Tables[i].ForeignKeys {
			fk := &c.Tables[i].ForeignKeys[j]
			for k := range c.Tables {
				if !strings.EqualFold(c.Tables[k].Name.Name, fk.References.Name) {
					continue
				}
				fk.References = c.Tables[k].Name
				if len(fk.RefColumns) == 0 {
					fk.RefColumns = slices.Clone(c.Tables[k].PrimaryKey)
				}
			}
		}
	}
}

// triggerEvent finds the event after a trigger's name, whatever that name is.
var triggerEvent = regexp.MustCompile("(?is)\\bTRIGGER\\s+(?:IF\\s+NOT\\s+EXISTS\\s+)?" +
	"(?:\"(?:[^\"]|\"\")*\"|\\[[^\\]]*\\]|`[^`]*`|'(?:[^']|'')*'|[^\\s\"\\[`']+)\\s+" +
	"(?:BEFORE\\s+|AFTER\\s+|INSTEAD\\s+OF\\s+)?(DELETE|INSERT|UPDATE)\\b")

// triggers lists those that fire on insert; one whose text is not understood is
// listed too.
func (r catalogueReader) triggers(ctx context.Context, t *ecluse.Table) error {
	return r.each(ctx, func(v []driver.Value) {
		m := triggerEvent.FindStringSubmatch(text(v[1]))
		if m == nil || strings.EqualFold(m[1], "INSERT") {
			t.Triggers = append(t.Triggers, text(v[0]))
		}
	}, "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE ORDER BY name", t.Name.Name)
}

// text and number read cells of SQLite's own tables.
func text(v driver.Value) string {
	s, _ := v.(string)
	return s
}

func number(v driver.Value) int64 {
	n, _ := v.(int64)
	return n
}

// Cascading lists the tables from which a row cannot go without other tables'
// rows going or changing: a foreign key with ON DELETE CASCADE, SET NULL or SET
// DEFAULT refers to them.
func Cascading(ctx context.Context, c *Conn) ([]string, error) {
	var out []string
	err := c.Each(ctx, func(v []driver.Value) error {
		out = append(out, text(v[0]))
		return nil
	}, `SELECT DISTINCT p.name FROM sqlite_schema AS t, pragma_foreign_key_list(t.name) AS k
		JOIN sqlite_schema AS p ON p.type = 'table' AND p.name = k."table" COLLATE NOCASE
		WHERE t.type = 'table' AND k.on_delete IN ('CASCADE', 'SET NULL', 'SET DEFAULT')`)
	return out, Strip("inspect", c.path, err)
}

package sqlite_test

import (
	"context"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecluse"
	"ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/engine/sqlite/sqlitetest"
)

func catalogue(t *testing.T, f *sqlitetest.File) *ecluse.Catalogue {
	t.Helper()
	c, err := sqlite.Open(t.Context(), f.Path, sqlite.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cat, err := sqlite.Catalogue(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

func TestTypes(t *testing.T) {
	f := sqlitetest.New(t)
	for _, c := range []struct {
		declared string
		want     ecluse.Type
		must     bool // read as text
	}{
		{"INTEGER", ecluse.Type{Kind: ecluse.Int}, false},
		{"bigint unsigned", ecluse.Type{Kind: ecluse.Int}, false},
		{"TINYINT(1)", ecluse.Type{Kind: ecluse.Int}, false},
		{"TEXT", ecluse.Type{Kind: ecluse.Text}, false},
		{"VARCHAR(20)", ecluse.Type{Kind: ecluse.Text}, false},
		{"REAL", ecluse.Type{Kind: ecluse.Float, Precision: 53}, false},
		{"double precision", ecluse.Type{Kind: ecluse.Float, Precision: 53}, false},
		{"NUMERIC", ecluse.Type{Kind: ecluse.Number}, false},
		{"DECIMAL(10,2)", ecluse.Type{Kind: ecluse.Number}, false},
		{"BOOLEAN", ecluse.Type{Kind: ecluse.Bool}, false},
		{"DATE", ecluse.Type{Kind: ecluse.Text}, false},
		{"TIMESTAMP WITH TIME ZONE", ecluse.Type{Kind: ecluse.Text}, false},
		{"BLOB", ecluse.Type{Kind: ecluse.Bytes}, false},
		{"", ecluse.Type{Kind: ecluse.Text}, true},
		{"JSON", ecluse.Type{Kind: ecluse.Text}, true},
		{"STRING", ecluse.Type{Kind: ecluse.Text}, true},
		{"UUID", ecluse.Type{Kind: ecluse.Text}, true},
	} {
		f.Exec(t, "DROP TABLE IF EXISTS x; CREATE TABLE x (c "+c.declared+")")
		table, _ := catalogue(t, f).Table(f.Name("x"))
		col := &table.Columns[0]
		if _, must := (sqlite.Dialect{}).TextType(col); col.Type != c.want || must != c.must {
			t.Errorf("%q travels as %s, must be read as text %t; want %s, %t", c.declared, col.Type, must, c.want, c.must)
		}
		// Our rule for affinities is SQLite's own: a text that is a number tells.
		f.Exec(t, "DELETE FROM x; INSERT INTO x VALUES ('1'), (1.5)")
		got := f.Strings(t, "SELECT group_concat(typeof(c), ' ') FROM x")[0]
		want := map[sqlite.Affinity]string{
			sqlite.Integer: "integer real", sqlite.Numeric: "integer real", sqlite.Real: "real real", sqlite.Text: "text text", sqlite.Blob: "text real",
		}[sqlite.AffinityOf(c.declared)]
		if got != want {
			t.Errorf("%q keeps '1' and 1.5 as %s, want %s", c.declared, got, want)
		}
	}
}

func TestCatalogue(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, `
		CREATE TABLE patient (
			id INTEGER PRIMARY KEY AUTOINCREMENT, "NIR" TEXT NOT NULL UNIQUE, name TEXT DEFAULT 'X', age INT GENERATED ALWAYS AS (2026 - born) VIRTUAL,
			born INT, site TEXT NOT NULL, number INT NOT NULL, mother REFERENCES Patient,
			UNIQUE (site, number), UNIQUE (name), FOREIGN KEY (site, number) REFERENCES visit (site, "n") ON DELETE CASCADE);
		CREATE TABLE visit (site TEXT, n INT, note, PRIMARY KEY (site, n)) WITHOUT ROWID;
		CREATE TABLE legacy (code TEXT PRIMARY KEY, "a ""b""" DATETIME, rowid TEXT);
		CREATE TABLE hidden (rowid INT, _rowid_ INT, oid INT);
		CREATE TABLE strict (a INT, b ANY, c TEXT, PRIMARY KEY (a)) STRICT;
		CREATE TABLE odd (id INTEGER PRIMARY KEY DESC);
		CREATE INDEX partial ON legacy (rowid) WHERE code > 'm';
		CREATE UNIQUE INDEX expressed ON legacy (lower(code));
		CREATE VIEW seen AS SELECT id, name, id * 2 AS twice, CAST(born AS REAL) AS b FROM patient;
		CREATE VIEW broken AS SELECT * FROM gone;
		CREATE VIRTUAL TABLE words USING fts5(body);
		CREATE TRIGGER "before insert" AFTER UPDATE ON patient BEGIN SELECT 1; END;
		CREATE TRIGGER log INSERT ON patient BEGIN SELECT 1; END;
		CREATE TRIGGER [a] BEFORE INSERT ON patient BEGIN SELECT 1; END;
		CREATE TRIGGER gone AFTER DELETE ON patient BEGIN INSERT INTO legacy (code) VALUES ('x'); END;
		CREATE TABLE ecluse_marker (a); CREATE TABLE ecluse_passage (a); CREATE TABLE ecluse_tombstone (a);
		ANALYZE`)
	cat := catalogue(t, f)
	col := func(table, name string) ecluse.Column {
		t.Helper()
		tab, ok := cat.Table(f.Name(table))
		if !ok {
			t.Fatalf("no table %s", table)
		}
		c, ok := tab.Column(name)
		if !ok {
			t.Fatalf("no column %s.%s", table, name)
		}
		return *c
	}
	var names []string
	for _, table := range cat.Tables {
		names = append(names, table.Name.Name)
	}
	shadows := []string{"words", "words_config", "words_content", "words_data", "words_docsize", "words_idx"}
	if diff := cmp.Diff(append([]string{"broken", "hidden", "legacy", "odd", "patient", "seen", "strict", "visit"}, shadows...), names); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
	text := ecluse.Type{Kind: ecluse.Text}
	patient, _ := cat.Table(f.Name("patient"))
	want := ecluse.Table{
		Name: f.Name("patient"), Kind: ecluse.BaseTable, Storage: "rowid", PrimaryKey: []string{"id"},
		Columns: patient.Columns, Unique: [][]string{{"NIR"}, {"site", "number"}}, Triggers: []string{"a", "log"},
		ForeignKeys: []ecluse.ForeignKey{
			{Name: "patient_fk1", Columns: []string{"mother"}, References: f.Name("patient"), RefColumns: []string{"id"}, Deferrable: true},
			{Name: "patient_fk2", Columns: []string{"site", "number"}, References: f.Name("visit"), RefColumns: []string{"site", "n"}, Deferrable: true},
		},
	}
	if diff := cmp.Diff(want, *patient, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("patient (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		table, column string
		want          ecluse.Column
	}{
		{"patient", "id", ecluse.Column{Name: "id", Type: ecluse.Type{Kind: ecluse.Int}, Declared: "INTEGER", Identity: "auto_increment", FracDigits: 6}},
		{"patient", "age", ecluse.Column{Name: "age", Type: ecluse.Type{Kind: ecluse.Int}, Declared: "INT", Nullable: true, Generated: true, FracDigits: 6}},
		{"patient", "name", ecluse.Column{Name: "name", Type: text, Declared: "TEXT", Nullable: true, HasDefault: true, FracDigits: 6}},
		{"legacy", "code", ecluse.Column{Name: "code", Type: text, Declared: "TEXT", Nullable: true, FracDigits: 6}},
		{"legacy", `a "b"`, ecluse.Column{Name: `a "b"`, Type: text, Declared: "DATETIME", Nullable: true, FracDigits: 6}},
		{"visit", "site", ecluse.Column{Name: "site", Type: text, Declared: "TEXT", FracDigits: 6}},
		{"strict", "b", ecluse.Column{Name: "b", Type: text, Declared: "ANY", Nullable: true, FracDigits: 6}},
		{"strict", "a", ecluse.Column{Name: "a", Type: ecluse.Type{Kind: ecluse.Int}, Declared: "INT", FracDigits: 6}},
		{"odd", "id", ecluse.Column{Name: "id", Type: ecluse.Type{Kind: ecluse.Int}, Declared: "INTEGER", Nullable: true, FracDigits: 6}},
		{"seen", "b", ecluse.Column{Name: "b", Type: ecluse.Type{Kind: ecluse.Float, Precision: 53}, Declared: "REAL", Nullable: true, FracDigits: 6}},
		{"seen", "twice", ecluse.Column{Name: "twice", Type: text, Nullable: true, FracDigits: 6}},
	} {
		if diff := cmp.Diff(c.want, col(c.table, c.column)); diff != "" {
			t.Errorf("%s.%s (-want +got):\n%s", c.table, c.column, diff)
		}
	}
	for name, want := range map[string]struct {
		kind    ecluse.TableKind
		storage string
	}{
		"visit": {ecluse.BaseTable, "without rowid"}, "legacy": {ecluse.BaseTable, "rowid"}, "hidden": {ecluse.BaseTable, "rowid hidden"},
		"seen": {ecluse.View, ""}, "broken": {ecluse.View, ""}, "words": {ecluse.ForeignTable, "virtual"}, "words_data": {ecluse.BaseTable, "rowid"},
	} {
		if table, _ := cat.Table(f.Name(name)); table.Kind != want.kind || table.Storage != want.storage {
			t.Errorf("%s is a %s stored as %q, want %v", name, table.Kind, table.Storage, want)
		}
	}
	if diff := cmp.Diff([]ecluse.Sequence{{Name: ecluse.TableName{Schema: "sqlite_sequence", Name: "patient"}, Increment: 1}}, cat.Sequences); diff != "" {
		t.Errorf("sequences (-want +got):\n%s", diff)
	}
}

func TestEstimates(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, "CREATE TABLE a (x); CREATE TABLE b (x PRIMARY KEY); INSERT INTO b WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM g WHERE i < 40) SELECT i FROM g")
	estimates := func() map[ecluse.TableName]int64 {
		c, err := sqlite.Open(t.Context(), f.Path, sqlite.ReadOnly)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		e, err := sqlite.Estimates(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if e := estimates(); len(e) != 0 {
		t.Errorf("without statistics: %v", e)
	}
	f.Exec(t, "ANALYZE")
	if diff := cmp.Diff(map[ecluse.TableName]int64{f.Name("b"): 40}, estimates()); diff != "" {
		t.Error(diff)
	}
}

// A connection for reading cannot write, whatever it is asked.
func TestReadOnly(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, "CREATE TABLE a (x)")
	c, err := sqlite.Open(t.Context(), f.Path, sqlite.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, sql := range []string{"INSERT INTO a VALUES (1)", "PRAGMA query_only=0; INSERT INTO a VALUES (1)", "PRAGMA user_version=7"} {
		if _, err := c.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s was done", sql)
		}
	}
	if _, err := c.One(t.Context(), `SELECT "nowhere" FROM a`); err == nil {
		t.Error("an unknown name in double quotes was taken for a text")
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	if _, err := sqlite.Open(context.Background(), dir+"/none.db", sqlite.ReadWrite); err == nil {
		t.Error("a file that is not there was opened")
	}
	if _, err := os.Stat(dir + "/none.db"); err == nil {
		t.Error("and made")
	}
	odd := dir + "/a b?c#d%20é.db"
	if err := os.WriteFile(odd, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := sqlite.Open(t.Context(), odd, sqlite.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Exec(t.Context(), "CREATE TABLE a (x)"); err != nil {
		t.Fatal(err)
	}
	if i, err := os.Stat(odd); err != nil || i.Size() == 0 {
		t.Errorf("the table is in another file: %v", err)
	}
	if err := os.WriteFile(dir+"/text.db", []byte("this is no database, only a text that is long enough to be looked at\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), dir+"/text.db", sqlite.ReadOnly); err == nil {
		t.Error("a text file was opened")
	} else {
		t.Log(err)
	}
}

// Package sqlitetest makes SQLite files for the conformance suites of readers and
// writers.
package sqlitetest

import (
	"context"
	"database/sql/driver"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/reader/readertest"
	"ecluse/internal/stocktest"
)

// Kinds are the types that columns of SQLite travel as.
func Kinds() []ecluse.Type {
	return []ecluse.Type{
		{Kind: ecluse.Bool},
		{Kind: ecluse.Int},
		{Kind: ecluse.Number},
		{Kind: ecluse.Float, Precision: 53},
		{Kind: ecluse.Text},
		{Kind: ecluse.Bytes},
	}
}

var declared = map[ecluse.DataKind]string{
	ecluse.Bool: "BOOLEAN", ecluse.Int: "INTEGER", ecluse.Number: "NUMERIC", ecluse.Float: "REAL", ecluse.Text: "TEXT", ecluse.Bytes: "BLOB",
}

// File is one database file, in WAL mode as most software leaves it.
type File struct {
	Path string
	conn *engine.Conn
}

// New makes an empty file that disappears with the test.
func New(t testing.TB) *File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "laboratory.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := At(t, path)
	f.Exec(t, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF")
	return f
}

// At is the file at path, which is there already.
func At(t testing.TB, path string) *File {
	t.Helper()
	c, err := engine.Open(context.Background(), path, engine.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &File{Path: path, conn: c}
}

// Exec runs statements.
func (f *File) Exec(t testing.TB, sql string, args ...driver.Value) {
	t.Helper()
	if _, err := f.conn.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%v\nin %s", err, sql)
	}
}

// Strings runs a query and returns the text of its first column.
func (f *File) Strings(t testing.TB, sql string) []string {
	t.Helper()
	out := []string{}
	err := f.conn.Each(context.Background(), func(v []driver.Value) error {
		s, _ := v[0].(string)
		out = append(out, s)
		return nil
	}, sql)
	if err != nil {
		t.Fatalf("%v\nin %s", err, sql)
	}
	return out
}

// Create makes a table or view.
func (f *File) Create(t testing.TB, table readertest.Table) {
	t.Helper()
	f.Exec(t, DDL(table))
}

// DDL is the statement that makes a table or view.
func DDL(table readertest.Table) string {
	list := func(names []string) string {
		quoted := make([]string, len(names))
		for i, n := range names {
			quoted[i] = engine.Quote(n)
		}
		return "(" + strings.Join(quoted, ", ") + ")"
	}
	name := engine.Quote(table.Name)
	if table.ViewOf != "" {
		names := make([]string, len(table.Columns))
		for i, c := range table.Columns {
			names[i] = c.Name
		}
		columns := list(names)
		return "CREATE VIEW " + name + " AS SELECT " + columns[1:len(columns)-1] + " FROM " + engine.Quote(table.ViewOf)
	}
	var parts []string
	generated := false
	for _, c := range table.Columns {
		part := engine.Quote(c.Name) + " " + declared[c.Type.Kind]
		if c.NotNull {
			part += " NOT NULL"
		}
		if c.Generated {
			generated = true
			part += " PRIMARY KEY AUTOINCREMENT"
		}
		parts = append(parts, part)
	}
	if len(table.Key) > 0 && !generated {
		parts = append(parts, "PRIMARY KEY "+list(table.Key))
	}
	for _, u := range table.Unique {
		parts = append(parts, "UNIQUE "+list(u))
	}
	for _, fk := range table.ForeignKeys {
		parts = append(parts, "FOREIGN KEY "+list(fk.Columns)+" REFERENCES "+engine.Quote(fk.Table))
	}
	sql := "CREATE TABLE " + name + " (" + strings.Join(parts, ", ") + ")"
	if table.Clustered {
		sql += " WITHOUT ROWID"
	}
	return sql
}

// Insert adds rows.
func (f *File) Insert(t testing.TB, table readertest.Table, rows [][]any) {
	t.Helper()
	names := make([]string, len(table.Columns))
	for i, c := range table.Columns {
		names[i] = c.Name
	}
	f.Exec(t, "BEGIN IMMEDIATE")
	s, err := f.conn.Prepare(context.Background(), engine.InsertSQL(f.Name(table.Name), names, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	values := make([]driver.Value, len(names))
	for _, row := range rows {
		for i, v := range row {
			values[i] = v
		}
		if _, err := s.Exec(context.Background(), values); err != nil {
			t.Fatal(err)
		}
	}
	f.Exec(t, "COMMIT")
}

// Name is a table's.
func (f *File) Name(table string) ecluse.TableName { return ecluse.TableName{Name: table} }

// Grant has nothing to grant: SQLite has no accounts.
func (f *File) Grant(testing.TB, *mandate.ReadPlan) {}

// Widen has nothing to widen.
func (f *File) Widen(testing.TB, string) {}

// Generate inserts a row without its first column and returns the number that
// column got.
func (f *File) Generate(t testing.TB, table readertest.Table, rest []any) int64 {
	t.Helper()
	names := make([]string, len(rest))
	values := make([]driver.Value, len(rest))
	for i, v := range rest {
		names[i], values[i] = table.Columns[i+1].Name, v
	}
	f.Exec(t, engine.InsertSQL(f.Name(table.Name), names, 1), values...)
	id, err := f.conn.One(context.Background(), "SELECT last_insert_rowid()")
	if err != nil {
		t.Fatal(err)
	}
	n, _ := id.(int64)
	return n
}

// Revoke makes a table unwritable in the one way SQLite has: it is not there.
func (f *File) Revoke(t testing.TB, table string) {
	t.Helper()
	f.Exec(t, "ALTER TABLE "+engine.Quote(table)+" RENAME TO "+engine.Quote(table+" away"))
}

// Markers counts the markers there are.
func (f *File) Markers(t testing.TB) int {
	t.Helper()
	v, err := f.conn.One(context.Background(), "SELECT count(*) FROM "+engine.MarkerTable)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := v.(int64)
	return int(n)
}

// TemporaryFiles lists the files this process has open that have no name any
// more, as SQLite's temporary files do on Linux.
func TemporaryFiles(t testing.TB) []string {
	t.Helper()
	const folder = "/proc/self/fd"
	fds, err := os.ReadDir(folder)
	if err != nil {
		stocktest.Lacks(t, "/proc, which lists a process's open files")
	}
	var out []string
	for _, fd := range fds {
		if name, _ := os.Readlink(filepath.Join(folder, fd.Name())); strings.HasSuffix(name, " (deleted)") {
			out = append(out, name)
		}
	}
	return out
}

package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"ecluse"
	"ecluse/internal/mandate/mandatetest"
	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/engine/sqlite/sqlitetest"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/writer"
	"ecluse/internal/sluice/writer/writertest"
)

type file struct{ *sqlitetest.File }

func (f file) Target(testing.TB) writer.Target { return New(f.Path) }

func (f file) Exec(t testing.TB, sql string) { f.File.Exec(t, sql) }

func (f file) Sequence(table string) ecluse.TableName {
	return ecluse.TableName{Schema: engine.SequenceSchema, Name: table}
}

func (f file) Address() string { return f.Path }

func TestWriter(t *testing.T) {
	writertest.Run(t, writertest.Harness{
		Dialect: engine.Dialect{}, Kinds: sqlitetest.Kinds(),
		New:    func(t testing.TB) writertest.Database { return file{sqlitetest.New(t)} },
		Attach: func(t testing.TB, address string) writertest.Database { return file{sqlitetest.At(t, address)} },
	})
}

// open begins a passage that writes every column of tables from the dataset
// "rows".
func open(t testing.TB, f *sqlitetest.File, tables ...string) (*Target, writer.Session) {
	t.Helper()
	target := New(f.Path)
	cat, err := target.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := ecluse.ShapeDataset{Dataset: "rows", Reads: []string{"a"}}
	for _, name := range tables {
		table, ok := cat.Table(f.Name(name))
		if !ok {
			t.Fatalf("no table %s", name)
		}
		into := ecluse.ShapeTable{Table: table.Name}
		for _, c := range table.Columns {
			into.Columns = append(into.Columns, ecluse.ShapeColumn{Column: c.Name, From: "a"})
		}
		d.Into = append(d.Into, into)
	}
	s, err := target.Open(t.Context(), mandatetest.New(t).LoadPermit(t, ecluse.Shape{Datasets: []ecluse.ShapeDataset{d}}, cat, engine.Dialect{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	_, _, err = s.Begin(t.Context(), func(context.Context, reader.Scanner) ([]byte, error) { return []byte("{}"), nil })
	if err != nil {
		t.Fatal(err)
	}
	return target, s
}

// TestSame: one file is known by whichever path leads to it.
func TestSame(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"one.db", "other.db"} {
		if err := os.WriteFile(at(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("one.db", at("symlink.db")), os.Link(at("one.db"), at("hardlink.db"))); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"one.db": true, "symlink.db": true, "hardlink.db": true, "other.db": false} {
		if same, err := New(at("one.db")).Same(t.Context(), New(at(name))); err != nil || same != want {
			t.Errorf("%s: %v, %v", name, same, err)
		}
	}
	if same, err := New(at("one.db")).Same(t.Context(), New(at("none.db"))); err == nil {
		t.Errorf("a file that is not there: %v", same)
	}
}

package sqlite

import (
	"context"
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

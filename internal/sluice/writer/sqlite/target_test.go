package sqlite

import (
	"testing"

	"ecluse"
	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/engine/sqlite/sqlitetest"
	"ecluse/internal/sluice/writer"
	"ecluse/internal/sluice/writer/writertest"
)

type file struct{ *sqlitetest.File }

func (f file) Target(testing.TB) writer.Target { return New(f.Path) }

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

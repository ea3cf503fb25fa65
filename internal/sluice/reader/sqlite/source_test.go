package sqlite

import (
	"testing"

	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/engine/sqlite/sqlitetest"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/reader/readertest"
)

type file struct{ *sqlitetest.File }

func (f file) Source(testing.TB) reader.Source { return New(f.Path) }

func TestReader(t *testing.T) {
	readertest.Run(t, readertest.Harness{
		Dialect: engine.Dialect{}, Kinds: sqlitetest.Kinds(),
		New: func(t testing.TB) readertest.Database { return file{sqlitetest.New(t)} },
	})
}

package mysql

import (
	"testing"

	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/mysql"
	"ecluse/internal/sluice/engine/mysql/mysqltest"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/reader/readertest"
)

// place is a lab as the suite knows it.
type place struct {
	*mysqltest.DB
	lab *lab
}

func (p place) Source(t testing.TB) reader.Source { return p.lab.source(t) }

func (p place) Grant(t testing.TB, plan *mandate.ReadPlan) { p.lab.grant(t, plan) }

func (p place) Widen(t testing.TB, table string) {
	p.Run(t, "GRANT SELECT ON "+engine.Quote(p.Database)+"."+engine.Quote(table)+" TO "+p.lab.account.String())
}

func TestReader(t *testing.T) {
	readertest.Run(t, readertest.Harness{
		Dialect: engine.Dialect{}, Kinds: mysqltest.Kinds(),
		New: func(t testing.TB) readertest.Database {
			l := newLab(t, "")
			return place{l.db, l}
		},
	})
}

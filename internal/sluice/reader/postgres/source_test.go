package postgres_test

import (
	"fmt"
	"testing"

	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/engine/postgres/postgrestest"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/reader/postgres"
	"ecluse/internal/sluice/reader/readertest"
)

func TestReader(t *testing.T) {
	readertest.Run(t, readertest.Harness{Dialect: engine.Dialect{}, Kinds: postgrestest.Kinds(), New: newDatabase})
}

// database is one database of the suite, with the two accounts of a gate.
type database struct {
	postgrestest.Database
	catalogue, rows engine.Config
}

func newDatabase(t testing.TB) readertest.Database {
	c := postgrestest.New(t)
	return &database{Database: postgrestest.Database{Config: c}, catalogue: postgrestest.Role(t, c), rows: postgrestest.Role(t, c)}
}

func (d *database) Source(testing.TB) reader.Source { return postgres.New(d.catalogue, d.rows) }

func (d *database) Grant(t testing.TB, plan *mandate.ReadPlan) {
	script, err := engine.ReadGrants(plan, d.rows.User)
	if err != nil {
		t.Fatal(err)
	}
	postgrestest.Run(t, d.Config, "DROP OWNED BY "+d.rows.User+" CASCADE")
	postgrestest.Script(t, d.Config, script)
}

func (d *database) Widen(t testing.TB, table string) {
	postgrestest.Run(t, d.Config, fmt.Sprintf("GRANT USAGE ON SCHEMA public TO %[1]s; GRANT SELECT ON %[2]s TO %[1]s", d.rows.User, table))
}

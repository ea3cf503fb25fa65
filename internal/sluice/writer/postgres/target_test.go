package postgres

import (
	"fmt"
	"strconv"
	"testing"

	"ecluse"
	engine "ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/engine/postgres/postgrestest"
	"ecluse/internal/sluice/reader/readertest"
	"ecluse/internal/sluice/writer"
	"ecluse/internal/sluice/writer/writertest"
)

// database is one database of the suite; its role is a gate's account.
type database struct {
	postgrestest.Database
	role engine.Config
}

func (d *database) Sequence(table string) ecluse.TableName {
	return ecluse.TableName{Schema: "public", Name: table + "_id_seq"}
}

func (d *database) Exec(t testing.TB, sql string) { postgrestest.Run(t, d.Config, sql) }

func (d *database) Generate(t testing.TB, table readertest.Table, rest []any) int64 {
	id := postgrestest.One(t, d.Config, fmt.Sprintf("INSERT INTO public.%s (%s) VALUES ('%v') RETURNING id", table.Name, table.Columns[1].Name, rest[0]))
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (d *database) Target(t testing.TB) writer.Target {
	postgrestest.Run(t, d.Config, fmt.Sprintf(`GRANT CREATE, TEMPORARY ON DATABASE %[2]s TO %[1]s; GRANT USAGE ON SCHEMA public TO %[1]s;
		GRANT SELECT, INSERT, DELETE ON ALL TABLES IN SCHEMA public TO %[1]s; GRANT SELECT, UPDATE, USAGE ON ALL SEQUENCES IN SCHEMA public TO %[1]s`, d.role.User, d.Database.Database))
	return New(d.role)
}

func (d *database) Revoke(t testing.TB, table string) {
	postgrestest.Run(t, d.Config, "REVOKE INSERT ON "+table+" FROM "+d.role.User)
}

func (d *database) Markers(t testing.TB) int {
	if postgrestest.One(t, d.Config, "SELECT count(*) FROM pg_namespace WHERE nspname = 'ecluse'") == "0" {
		return 0
	}
	n, err := strconv.Atoi(postgrestest.One(t, d.Config, "SELECT count(*) FROM ecluse.marker"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (d *database) Address() string { return d.Database.Database + " " + d.role.User }

func newDatabase(t testing.TB) writertest.Database {
	c := postgrestest.New(t)
	return &database{Database: postgrestest.Database{Config: c}, role: postgrestest.Role(t, c)}
}

func attach(t testing.TB, address string) writertest.Database {
	d := &database{Database: postgrestest.Database{Config: postgrestest.Server(t)}}
	if _, err := fmt.Sscan(address, &d.Database.Database, &d.role.User); err != nil {
		t.Fatal(err)
	}
	user := d.role.User
	d.role = d.Config
	d.role.User, d.role.Password = user, "test"
	return d
}

func TestWriter(t *testing.T) {
	writertest.Run(t, writertest.Harness{Dialect: engine.Dialect{}, Kinds: postgrestest.Kinds(), New: newDatabase, Attach: attach})
}

// TestSame: one database is known whatever its server is called, and another on the same
// server is another.
func TestSame(t *testing.T) {
	one, other := postgrestest.New(t), postgrestest.New(t)
	spelt := one
	if spelt.Host = "localhost"; one.Host == spelt.Host {
		spelt.Host = "127.0.0.1"
	}
	for name, c := range map[string]struct {
		with writer.Target
		same bool
	}{"another spelling": {New(spelt), true}, "itself": {New(one), true}, "another": {New(other), false}} {
		if same, err := New(one).Same(t.Context(), c.with); err != nil || same != c.same {
			t.Errorf("%s: %v, %v", name, same, err)
		}
	}
	spelt.Port = 1
	if same, err := New(one).Same(t.Context(), New(spelt)); err == nil {
		t.Errorf("a server that is not there: %v", same)
	}
}

package app_test

import (
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/engine/postgres"
)

// TestGrantsHost: MySQL's account may come from where this gate connects from, or
// from where it is said, and from nowhere else.
func TestGrantsHost(t *testing.T) {
	d := roomtest.At(t, roomtest.Made, 10)
	r := d.Open()
	inspect := func(settings, host string) (string, error) {
		account := "{user: u, database: lab, " + settings + "}"
		d.Write([]byte("ecluse: gate/v1\nengine: mysql\ncatalogue: "+account+"\nrows: "+account+"\n"), "room", "source", "gate.yaml")
		return r.Beside(exchange.SourcePlace).Grants(t.Context(), app.GrantsRequest{Verb: "inspect", Host: host})
	}
	for _, c := range []struct{ settings, host, want string }{
		{"host: 127.0.0.1", "", "'u'@'127.0.0.1'"},
		{"host: 127.0.0.1", "10.1.2.%", "'u'@'10.1.2.%'"},
		{"host: /run/mysqld/mysqld.sock", "", "'u'@'localhost'"},
		{"host: no-such-host.invalid", "", "'u'@'%'"},
	} {
		got, err := inspect(c.settings, c.host)
		if err != nil || !strings.Contains(got, "CREATE USER IF NOT EXISTS "+c.want+" ACCOUNT LOCK;") || strings.Count(got, "'u'@") != strings.Count(got, c.want) {
			t.Errorf("%s, host %q: want %s, got %v:\n%s", c.settings, c.host, c.want, err, got)
		}
	}
	d.Write([]byte("ecluse: gate/v1\nengine: postgresql\ncatalogue: {host: h, user: u, database: d}\nrows: {host: h, user: u, database: d}\n"), "room", "source", "gate.yaml")
	if _, err := r.Beside(exchange.SourcePlace).Grants(t.Context(), app.GrantsRequest{Verb: "inspect", Host: "h"}); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("a host of PostgreSQL's account: %v", err)
	}
}

// TestGrantsBeforeThePlan: what a passage will write and look up is known from the mapping
// and the target's schema, before any load plan is compiled: its rights are granted first.
func TestGrantsBeforeThePlan(t *testing.T) {
	t.Parallel()
	draft := func(r *app.Room) (*mandate.LoadPlan, error) {
		t.Helper()
		b := r.Beside(exchange.TargetPlace)
		gate, err := b.Target()
		if err != nil {
			t.Fatal(err)
		}
		c, err := r.Lock().Case(t.Context(), roomtest.Migration, ecluse.Final)
		if err != nil {
			t.Fatal(err)
		}
		if c.LoadPlan != nil {
			t.Fatal("there is a load plan")
		}
		return gate.Draft(t.Context(), c, ecluse.Final)
	}
	d := roomtest.Trying(t, roomtest.Planned, 3)
	r := d.Open()
	before, err := draft(r)
	if err != nil {
		t.Fatal(err)
	}
	script, err := postgres.LoadGrants(before, "loader")
	if err != nil || !strings.Contains(script, "GRANT INSERT") {
		t.Errorf("%v\n%s", err, script)
	}

	d = roomtest.Trying(t, roomtest.Approved, 3)
	r = d.Open()
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	c, err := r.Lock().Case(t.Context(), roomtest.Migration, ecluse.Final)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := mandate.ParseLoadPlan(c.LoadPlan)
	if err != nil {
		t.Fatal(err)
	}
	want, err := postgres.LoadGrants(plan, "loader")
	if err != nil || script != want {
		t.Errorf("the plan grants otherwise than its draft: %v\n%s", err, want)
	}
}

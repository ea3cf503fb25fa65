package postgres_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/engine/postgres/postgrestest"
)

// labPlan takes patients seen in two years, their results, and the doctors of all.
func labPlan() *mandate.ReadPlan {
	integer, text := ecluse.Type{Kind: ecluse.Int}, ecluse.Type{Kind: ecluse.Text}
	p := &mandate.ReadPlan{Migration: "lab-2026-01", Datasets: []mandate.ReadDataset{
		{
			Dataset: "patient", From: public("patient"), Storage: "heap", Key: []string{"id"}, KeyUnique: true,
			Columns: []mandate.ReadColumn{
				{Name: "id", Type: integer, Declared: "bigint"},
				{Name: "name", Type: text, Declared: "text"},
				{Name: "info", Type: text, Declared: "jsonb"},
				{Name: "weight", Type: text, Declared: "numeric(5,2)", AsText: true},
			},
			Where: []mandate.ReadCondition{
				{Column: "seen", Type: ecluse.Type{Kind: ecluse.Date}, From: "2015-01-01", Before: "2020-11-01"},
				{Column: "town", Type: text, In: []string{"L'Haÿ", `back\slash`}, NotNull: true},
			},
		},
		{
			Dataset: "result", From: public("result"), Storage: "heap", Key: []string{"id"}, KeyUnique: true,
			Columns: []mandate.ReadColumn{{Name: "id", Type: integer, Declared: "bigint"}, {Name: "patient_id", Type: integer, Declared: "bigint"}},
			Within:  []mandate.ReadWithin{{Dataset: "patient", Columns: []string{"patient_id"}}},
		},
		{
			Dataset: "doctor", From: public("patient"), Storage: "heap", Distinct: true,
			Columns: []mandate.ReadColumn{{Name: "doctor", Type: text, Declared: "character varying(40)"}, {Name: "ordinal", Type: integer}},
		},
	}}
	p.Checks = []mandate.ReadCheck{{Name: "per_patient", Dataset: "result", Count: true, By: "patient_id"}, {Name: "first", Dataset: "patient", First: "id"}}
	for i := range p.Datasets {
		p.Datasets[i].View = postgres.Dialect{}.ViewName(p, &p.Datasets[i])
	}
	return p
}

func TestReadStatements(t *testing.T) {
	const seen = `t."seen" >= '2015-01-01'::date AND t."seen" < '2020-11-01'::date`
	const town = `t."town" IS NOT NULL AND t."town"::text COLLATE "C" IN ('L''Haÿ'::text, E'back\\slash'::text)`
	inner := strings.ReplaceAll(seen+" AND "+town, "t.", "t1.")
	views := []string{
		`COPY (SELECT t."id", t."name", t."info"::text AS "info", t."weight"::text AS "weight" FROM "ecluse_lab-2026-01"."patient" AS t) TO STDOUT (FORMAT binary)` + "\n" +
			`-- "ecluse_lab-2026-01"."patient" is SELECT t.tableoid, t.ctid, t."id", t."name", t."info", t."weight" FROM "public"."patient" AS t WHERE ` + seen + " AND " + town,
		`COPY (SELECT t."id", t."patient_id" FROM "ecluse_lab-2026-01"."result" AS t) TO STDOUT (FORMAT binary)` + "\n" +
			`-- "ecluse_lab-2026-01"."result" is SELECT t.tableoid, t.ctid, t."id", t."patient_id" FROM "public"."result" AS t WHERE ` +
			`EXISTS (SELECT FROM "public"."patient" AS t1 WHERE t1."id" = t."patient_id" AND ` + inner + `)`,
		`COPY (SELECT t."doctor" COLLATE "C" AS "doctor", row_number() OVER (ORDER BY t."doctor" COLLATE "C") AS "ordinal" FROM "ecluse_lab-2026-01"."doctor" AS t) TO STDOUT (FORMAT binary)` + "\n" +
			`-- "ecluse_lab-2026-01"."doctor" is SELECT DISTINCT t."doctor"::text COLLATE "C" AS "doctor" FROM "public"."patient" AS t WHERE t."doctor" IS NOT NULL`,
	}
	tables := []string{
		`COPY (SELECT t."id", t."name", t."info"::text AS "info", t."weight"::text AS "weight" FROM "public"."patient" AS t WHERE ` + seen + " AND " + town + `) TO STDOUT (FORMAT binary)`,
		`COPY (SELECT t."id", t."patient_id" FROM "public"."result" AS t WHERE EXISTS (SELECT FROM "public"."patient" AS t1 WHERE t1."id" = t."patient_id" AND ` + inner + `)) TO STDOUT (FORMAT binary)`,
		`COPY (SELECT t."doctor" COLLATE "C" AS "doctor", row_number() OVER (ORDER BY t."doctor" COLLATE "C") AS "ordinal" FROM (SELECT DISTINCT t."doctor"::text COLLATE "C" AS "doctor" FROM "public"."patient" AS t WHERE t."doctor" IS NOT NULL) AS t) TO STDOUT (FORMAT binary)`,
	}
	p := labPlan()
	for _, want := range [][]string{views, tables} {
		for i := range p.Datasets {
			got, err := postgres.Dialect{}.ReadStatement(p, &p.Datasets[i])
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want[i], got); diff != "" {
				t.Errorf("%s:\n%s", p.Datasets[i].Dataset, diff)
			}
		}
		p.MayAlsoRead = []string{"all"} // then there are no views
		for i := range p.Datasets {
			p.Datasets[i].View = postgres.Dialect{}.ViewName(p, &p.Datasets[i])
		}
	}
	check, err := postgres.Dialect{}.CheckStatement(labPlan(), &p.Checks[0])
	if err != nil {
		t.Fatal(err)
	}
	want := `COPY (SELECT t."patient_id" AS "key", count(*) AS "count" FROM "ecluse_lab-2026-01"."result" AS t GROUP BY t."patient_id" ORDER BY t."patient_id") TO STDOUT (FORMAT binary)`
	if diff := cmp.Diff(want, check); diff != "" {
		t.Error(diff)
	}
}

func TestWriteStatement(t *testing.T) {
	table := &mandate.LoadTable{Table: ecluse.TableName{Schema: "Labo", Name: `a"b`}, Columns: []mandate.LoadColumn{
		{Name: "Id", Type: ecluse.Type{Kind: ecluse.Int}, Declared: "bigint"},
		{Name: "n", Type: ecluse.Type{Kind: ecluse.Decimal, Precision: 12, Scale: 3}, Declared: "numeric(12,3)"},
	}}
	for _, c := range []struct{ declared, form string }{{"jsonb", "binary"}, {"json", "binary"}, {"xml", "binary"}, {"text[]", "text"}, {`"Labo".statut`, "text"}, {"interval", "text"}} {
		table.Columns = append(table.Columns[:2], mandate.LoadColumn{Name: "x", Type: ecluse.Type{Kind: ecluse.Text}, Declared: c.declared})
		got, err := postgres.Dialect{}.WriteStatement(table)
		if want := `COPY "Labo"."a""b" ("Id", "n", "x") FROM STDIN (FORMAT ` + c.form + `)`; got != want || err != nil {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
}

func TestStatementsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*mandate.ReadPlan){
		"within an unknown dataset": func(p *mandate.ReadPlan) { p.Datasets[1].Within[0].Dataset = "nobody" },
		"within too few columns":    func(p *mandate.ReadPlan) { p.Datasets[1].Within[0].Columns = nil },
		"within itself":             func(p *mandate.ReadPlan) { p.Datasets[1].Within[0].Dataset = "result" },
		"a NUL":                     func(p *mandate.ReadPlan) { p.Datasets[0].Where[1].In[0] = "a\x00b" },
		"compared bytes":            func(p *mandate.ReadPlan) { p.Datasets[0].Where[1].Type.Kind = ecluse.Bytes },
		"a view without a name":     func(p *mandate.ReadPlan) { p.Datasets[1].View = `"` },
		"distinct numbers":          func(p *mandate.ReadPlan) { p.Datasets[2].Columns[0].Type.Kind = ecluse.Int },
	} {
		p := labPlan()
		spoil(p)
		var err error
		for i := range p.Datasets {
			if _, e := (postgres.Dialect{}).ReadStatement(p, &p.Datasets[i]); e != nil {
				err = e
			}
		}
		if err == nil || ecluse.KindOf(err) != ecluse.Invalid {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := postgres.ReadGrants(p, "reader"); err == nil {
			t.Errorf("%s: granted", name)
		}
	}
}

func TestTextType(t *testing.T) {
	for _, c := range []struct {
		declared string
		kind     ecluse.DataKind
		must     bool
	}{
		{"integer", ecluse.Int, false},
		{"character varying(20)", ecluse.Text, false},
		{"uuid", ecluse.Text, false},
		{"jsonb", ecluse.Text, true},
		{"interval", ecluse.Text, true},
		{"text[]", ecluse.Text, true},
		{`"Labo".statut`, ecluse.Text, true},
		{`"Labo".whole`, ecluse.Int, false}, // a domain over integer
	} {
		can, must := postgres.Dialect{}.TextType(&ecluse.Column{Type: ecluse.Type{Kind: c.kind}, Declared: c.declared})
		if !can || must != c.must {
			t.Errorf("%s: can %t, must %t", c.declared, can, must)
		}
	}
}

const labTables = `CREATE TABLE patient (id bigint PRIMARY KEY, name text, info jsonb, weight numeric(5,2), seen date, town text, doctor varchar(40), password text);
	CREATE TABLE result (id bigint PRIMARY KEY, patient_id bigint, secret text); CREATE TABLE other (id bigint);
	INSERT INTO patient SELECT i, 'n' || i, '{}', i, date '2014-12-31' + i::int, CASE WHEN i % 2 = 0 THEN 'L''Haÿ' ELSE 'Orléans' END, 'Dr ' || i % 3, 'ZQX' FROM generate_series(1::bigint, 10) AS i;
	INSERT INTO result SELECT i, 1 + i % 10, 'ZQX' FROM generate_series(1::bigint, 100) AS i`

// TestReadGrants: what the role can do, tried one by one.
func TestReadGrants(t *testing.T) {
	c := postgrestest.New(t)
	postgrestest.Run(t, c, labTables)
	role := postgrestest.Role(t, c)
	script, err := postgres.ReadGrants(labPlan(), role.User)
	if err != nil {
		t.Fatal(err)
	}
	postgrestest.Run(t, c, "GRANT SELECT ON other TO "+role.User) // what it had goes
	for range 2 {                                                 // running it again changes nothing
		postgrestest.Script(t, c, script)
	}
	conn := postgrestest.Connect(t, role)
	for _, q := range []struct {
		sql     string
		allowed bool
	}{
		{`SELECT id, name FROM "ecluse_lab-2026-01".patient WHERE ctid >= '(0,1)'`, true},
		{`SELECT tableoid, ctid, id FROM "ecluse_lab-2026-01".result`, true},
		{`SELECT doctor FROM "ecluse_lab-2026-01".doctor`, true},
		{`SELECT town FROM "ecluse_lab-2026-01".patient`, false},
		{`SELECT count(*) FROM public.patient`, false},
		{`SELECT id FROM public.patient`, false},
		{`SELECT id FROM public.other`, false},
		{`UPDATE "ecluse_lab-2026-01".patient SET name = ''`, false},
		{`DELETE FROM "ecluse_lab-2026-01".result`, false},
		{`CREATE TABLE "ecluse_lab-2026-01".mine (a int)`, false},
		{`COPY public.patient TO STDOUT`, false},
		{`SELECT pg_read_file('/etc/hostname')`, false},
		{`SET ROLE postgres`, false},
	} {
		if _, err := conn.Exec(t.Context(), q.sql); (err == nil) != q.allowed {
			t.Errorf("%s: %v", q.sql, err)
		}
	}
	// A cheap function that shows its argument sees no row that the view leaves out.
	postgrestest.Run(t, c, `CREATE FUNCTION leak(bigint) RETURNS bool LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE EXCEPTION 'row %', $1; END $$; GRANT USAGE ON SCHEMA public TO `+role.User)
	if _, err := conn.Exec(t.Context(), `SELECT id FROM "ecluse_lab-2026-01".patient WHERE id IN (1, 3, 5) AND public.leak(id)`); err != nil {
		t.Errorf("a function of the reader's saw a row that the view leaves out: %v", err)
	}
	if got := postgrestest.One(t, c, `SELECT count(*) || ' ' || (SELECT count(*) FROM "ecluse_lab-2026-01".result) || ' ' || (SELECT count(*) FROM "ecluse_lab-2026-01".doctor) FROM "ecluse_lab-2026-01".patient`); got != "5 50 3" {
		t.Errorf("patients, results and doctors in the views: %s, want 5 50 3", got)
	}
}

// TestRights: what the role can reach in any way is told.
func TestRights(t *testing.T) {
	c := postgrestest.New(t)
	postgrestest.Run(t, c, labTables)
	role, group := postgrestest.Role(t, c), postgrestest.Role(t, c)
	script, err := postgres.ReadGrants(labPlan(), role.User)
	if err != nil {
		t.Fatal(err)
	}
	postgrestest.Script(t, c, script)
	rights := func() *postgres.Rights {
		t.Helper()
		r, err := postgres.RightsOf(t.Context(), postgrestest.Connect(t, role))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := rights()
	view := func(n string) ecluse.TableName { return ecluse.TableName{Schema: "ecluse_lab-2026-01", Name: n} }
	want := map[ecluse.TableName][]string{
		view("patient"): {"ctid", "id", "info", "name", "tableoid", "weight"}, view("result"): {"ctid", "id", "patient_id", "tableoid"}, view("doctor"): {"doctor"},
	}
	if diff := cmp.Diff(want, r.Readable); diff != "" || r.Superuser || len(r.Writable) > 0 || r.Account != role.User || r.At.IsZero() {
		t.Errorf("as granted: %+v\n%s", r, diff)
	}
	for _, c2 := range []struct {
		name, grant, revoke string
		found               func(*postgres.Rights) bool
	}{
		{
			"one column", "GRANT USAGE ON SCHEMA public TO " + role.User + "; GRANT SELECT (secret) ON result TO " + role.User, "REVOKE ALL ON result FROM " + role.User,
			func(r *postgres.Rights) bool { return cmp.Equal(r.Readable[public("result")], []string{"secret"}) },
		},
		{
			"a role it may become", "GRANT SELECT ON other TO " + group.User + "; GRANT " + group.User + " TO " + role.User, "REVOKE " + group.User + " FROM " + role.User,
			func(r *postgres.Rights) bool { return cmp.Equal(r.Readable[public("other")], []string{"id"}) },
		},
		{
			"all data", "GRANT pg_read_all_data TO " + role.User, "REVOKE pg_read_all_data FROM " + role.User,
			func(r *postgres.Rights) bool { return len(r.Readable[public("patient")]) == 8 },
		},
		{
			"a table to change", "GRANT UPDATE (name) ON patient TO " + role.User, "REVOKE ALL ON patient FROM " + role.User,
			func(r *postgres.Rights) bool {
				return cmp.Equal(r.Writable, []ecluse.TableName{public("patient")})
			},
		},
		{
			"a function of its owner's rights", `CREATE FUNCTION peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM public.patient'; GRANT USAGE ON SCHEMA public TO ` + role.User,
			"DROP FUNCTION peek()",
			func(r *postgres.Rights) bool { return cmp.Equal(r.Readable[public("peek()")], []string{"*"}) },
		},
		{"the server's files", "GRANT pg_read_server_files TO " + role.User, "REVOKE pg_read_server_files FROM " + role.User, func(r *postgres.Rights) bool { return r.Superuser }},
		{"replication", "ALTER ROLE " + role.User + " REPLICATION", "ALTER ROLE " + role.User + " NOREPLICATION", func(r *postgres.Rights) bool { return r.Superuser }},
	} {
		postgrestest.Run(t, c, c2.grant)
		if r := rights(); !c2.found(r) {
			t.Errorf("%s is not found: %+v", c2.name, r)
		}
		postgrestest.Run(t, c, c2.revoke)
		if r := rights(); c2.found(r) {
			t.Errorf("%s is found although revoked", c2.name)
		}
	}
	if r, err := postgres.RightsOf(t.Context(), postgrestest.Connect(t, c)); err != nil || !r.Superuser {
		t.Errorf("the superuser: %+v, %v", r, err)
	}
}

// TestInspectGrants: the catalogue account sees every name and no value.
func TestInspectGrants(t *testing.T) {
	c := postgrestest.New(t)
	postgrestest.Run(t, c, labTables)
	role := postgrestest.Role(t, c)
	postgrestest.Run(t, c, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
	postgrestest.Script(t, c, postgres.InspectGrants(role.User))
	owner, err := postgres.Catalogue(t.Context(), postgrestest.Connect(t, c))
	if err != nil {
		t.Fatal(err)
	}
	conn := postgrestest.Connect(t, role)
	seen, err := postgres.Catalogue(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(owner, seen); diff != "" || len(seen.Tables) != 3 {
		t.Errorf("%d tables; the owner sees more:\n%s", len(seen.Tables), diff)
	}
	if _, err := conn.Exec(t.Context(), "SELECT id FROM public.patient"); err == nil {
		t.Error("it can read")
	}
	if e, err := postgres.ExtentOf(t.Context(), conn, public("patient")); err != nil || e.Blocks != 1 {
		t.Errorf("extent %+v, %v", e, err)
	}
}

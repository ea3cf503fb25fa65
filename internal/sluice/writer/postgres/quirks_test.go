package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/mandate/mandatetest"
	engine "ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/engine/postgres/postgrestest"
	"ecluse/internal/sluice/reader"
	source "ecluse/internal/sluice/reader/postgres"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// TestMaterialQuirks moves a database full of what breaks migrations into another
// of the same shape, table by table, and asks both for the same facts.
func TestMaterialQuirks(t *testing.T) {
	schema := postgrestest.Material(t, "quirks", "postgres.sql")
	old, fresh := postgrestest.New(t), newDatabase(t).(*database)
	for _, c := range []engine.Config{old, fresh.Config} {
		postgrestest.Script(t, c, schema)
	}
	// The one instant after the year 294246 would have to travel as text.
	for _, c := range []engine.Config{old, fresh.Config} {
		postgrestest.Run(t, c, `UPDATE "Labo"."Patient" SET vu = '9999-12-31 23:59:59.999999+00' WHERE "Id" = 3`)
	}
	want := facts(t, old)
	postgrestest.Run(t, fresh.Config, `TRUNCATE "Labo"."Patient", "Labo".dossier, "Labo".sans_cle, "Labo".journal RESTART IDENTITY CASCADE; ALTER TABLE "Labo".sans_cle DISABLE TRIGGER t;
		GRANT USAGE, CREATE ON SCHEMA "Labo" TO `+fresh.role.User+`; GRANT ALL ON ALL TABLES IN SCHEMA "Labo" TO `+fresh.role.User+`; GRANT ALL ON ALL SEQUENCES IN SCHEMA "Labo" TO `+fresh.role.User)
	moveAll(t, old, fresh, "Patient", "dossier", "sans_cle", "journal")
	if diff := cmp.Diff(want, facts(t, fresh.Config)); diff != "" {
		t.Errorf("facts of the old database and of the new one:\n%s", diff)
	}
}

// facts are those of the material's own script.
func facts(t *testing.T, c engine.Config) []string {
	t.Helper()
	var out []string
	conn := postgrestest.Connect(t, c)
	for _, q := range strings.Split(postgrestest.Material(t, "quirks", "postgres-facts.sql"), ";") {
		if q = strings.TrimSpace(q); q == "" {
			continue
		}
		if strings.HasPrefix(q, "SET") {
			if _, err := conn.Exec(t.Context(), q); err != nil {
				t.Fatal(err)
			}
			continue
		}
		err := conn.Each(t.Context(), q, func(v []string) error { out = append(out, fmt.Sprintf("%q", v)); return nil })
		if err != nil {
			t.Fatalf("%v in %s", err, q)
		}
	}
	return out
}

// moveAll instructs, reads, loads and reads back whole tables.
func moveAll(t *testing.T, old engine.Config, fresh *database, tables ...string) {
	t.Helper()
	src := source.New(old, old)
	cat, err := src.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var body strings.Builder
	shape := ecluse.Shape{}
	body.WriteString("datasets:\n")
	for i, n := range tables {
		table, _ := cat.Table(ecluse.TableName{Schema: "Labo", Name: n})
		d := ecluse.ShapeDataset{Dataset: ecluse.DatasetID(fmt.Sprintf("d%d", i)), Reads: []string{}}
		into := ecluse.ShapeTable{Table: table.Name}
		fmt.Fprintf(&body, "  d%d:\n    from: Labo.%s\n    columns:\n", i, n)
		for _, c := range table.Columns {
			if c.Generated {
				continue
			}
			fmt.Fprintf(&body, "      %q: {class: document, because: Everything of this invented database is moved}\n", c.Name)
			d.Reads = append(d.Reads, c.Name)
			into.Columns = append(into.Columns, ecluse.ShapeColumn{Column: c.Name, From: c.Name})
		}
		d.Into = []ecluse.ShapeTable{into}
		shape.Datasets = append(shape.Datasets, d)
	}
	body.WriteString("accounts: {source: {may_also_read: all, because: It is a test on invented data}}\n")
	m := mandatetest.New(t).Migration(t, cat, engine.Dialect{}, body.String())
	in, err := src.Open(t.Context(), m.ReadPermit(t))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	target := New(fresh.role)
	postgrestest.Run(t, fresh.Config, "GRANT CREATE ON DATABASE "+fresh.Database.Database+" TO "+fresh.role.User)
	there, err := target.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	permit := m.LoadPermit(t, ecluse.Final, shape, there, engine.Dialect{})
	out, err := target.Open(t.Context(), permit)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	_, _, err = out.Begin(t.Context(), func(context.Context, reader.Scanner) ([]byte, error) { return []byte("{}"), nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range m.Plan.Datasets {
		moveDataset(t, in, out, &d)
	}
}

func moveDataset(t *testing.T, in reader.Session, out writer.Session, d *mandate.ReadDataset) {
	t.Helper()
	var all *record.Batch
	_, last, err := in.ReadChunk(t.Context(), d.Dataset, nil, nil, func(b *record.Batch) error {
		all = record.NewBatch(b.Schema, b.Rows())
		for i, c := range b.Columns {
			all.Columns[i].AppendRange(c, 0, b.Rows())
		}
		return nil
	})
	if err != nil || !last {
		t.Fatalf("read %s: last %t, %v", d.From, last, err)
	}
	if all == nil {
		return // no rows
	}
	rows := writer.Rows{Table: d.From, Batch: all}
	for i := range all.Rows() {
		rows.Source = append(rows.Source, int32(i))
	}
	l, err := out.Load(t.Context(), &writer.Chunk{Slot: ecluse.Slot{Dataset: d.Dataset}, Rows: all.Rows(), Tables: []writer.Rows{rows}}, accept)
	if err != nil || len(l.Refused) > 0 {
		t.Fatalf("load %s: %v, %v", d.From, l.Refused, err)
	}
}

package mapping

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/record"
)

const example = "../../../examples/blis-openelis"

// TestMaterialPair moves a real laboratory with the mapping of the example and
// nothing else of Écluse: rows are read with a plain query, written with a plain
// COPY, and the facts of the result compared with those of MAPPING.md.
func TestMaterialPair(t *testing.T) {
	material := os.Getenv("ECLUSE_MATERIAL")
	if material == "" {
		t.Skip("set ECLUSE_MATERIAL to the folder that holds pair-blis-openelis/")
	}
	pair := filepath.Join(material, "pair-blis-openelis")
	ctx := t.Context()
	source := loadSource(t, pair)
	to, database := loadTarget(t, pair)

	instruction := readInstruction(t)
	schemas := map[ecluse.DatasetID]*record.Schema{}
	for id, d := range instruction.Datasets.All() {
		schemas[ecluse.DatasetID(id)] = datasetSchema(t, source, d)
	}
	p := examplePair(t, pair, schemas, catalogue(t, to))
	if got := p.Unused(); len(got) > 0 {
		t.Errorf("instructed but not used: %v", got)
	}
	run := NewRun(p)
	for _, h := range p.Shape().Held {
		d, _ := instruction.Datasets.Get(string(h.Dataset))
		for _, b := range readDataset(t, source, d, schemas[h.Dataset]) {
			if err := run.Hold(h.Dataset, b); err != nil {
				t.Fatal(err)
			}
		}
		if err := run.Held(h.Dataset); err != nil {
			t.Fatal(err)
		}
	}
	counters := map[string]int64{}
	for _, c := range p.Counters() {
		q := fmt.Sprintf("select coalesce(max(%s), 0)::bigint from %s", c.Column, c.Table)
		var high int64
		if err := to.QueryRow(ctx, q).Scan(&high); err != nil {
			t.Fatal(err)
		}
		counters[c.Name] = high
	}
	reports := map[string]int64{}
	for _, id := range p.Shape().Order {
		d, _ := instruction.Datasets.Get(string(id))
		if err := run.Begin(id, counters); err != nil {
			t.Fatal(err)
		}
		for _, b := range readDataset(t, source, d, schemas[id]) {
			if err := run.Apply(b); err != nil {
				t.Fatal(err)
			}
		}
		out, err := run.Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out.Rejected {
			t.Errorf("dataset %s: row %d rejected: %s", id, r.Row, r.Reason)
		}
		for k, n := range out.Reports {
			reports[k] += n
		}
		counters = out.Counters
		for _, rows := range out.Tables {
			copyIn(ctx, t, to, rows)
		}
	}
	for _, s := range p.Shape().Sequences {
		q := fmt.Sprintf("select setval('%s', (select max(%s)::bigint from %s))", s.Sequence, s.Column, s.Table)
		if _, err := to.Exec(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]int64{
		"sex neither M nor F": 9, "date of birth not a full date": 3, "date of birth not a full date (as entered)": 3,
		"tests of a category without a section": 4, "analyses of a category without a section": 1703,
	}
	if d := cmp.Diff(want, reports); d != "" {
		t.Errorf("reports differ (−want):\n%s", d)
	}
	compareFacts(t, pair, database)
}

func compareFacts(t *testing.T, pair, database string) {
	t.Helper()
	got := psql(t, database, "-A", "-t", "-q", "-f", filepath.Join(pair, "verify.sql"))
	want, err := os.ReadFile(filepath.Join(pair, "expected.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("facts differ from expected.txt (−) :\n%s", d)
	}
}

func readInstruction(t *testing.T) *mandate.Instruction {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(example, "instruction.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	i, err := mandate.ParseInstruction("instruction.yaml", b)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func examplePair(t *testing.T, pair string, schemas map[ecluse.DatasetID]*record.Schema, target *ecluse.Catalogue) *Program {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(example, "mapping.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	order, err := os.ReadFile(filepath.Join(pair, "measure-order.csv"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := Parse("mapping.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Check(doc, Inputs{Datasets: schemas, Frozen: [][]byte{order}, Target: target})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func need(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Fatalf("%s is not set; run: eval \"$(scripts/servers up)\"", name)
	}
	return v
}

func randomName(prefix string) string {
	var b [6]byte
	_, _ = rand.Read(b[:])
	return prefix + hex.EncodeToString(b[:])
}

// loadSource loads the dump into a database of its own and connects to it.
func loadSource(t *testing.T, pair string) *sql.DB {
	t.Helper()
	cfg, err := mysql.ParseDSN(need(t, "ECLUSE_TEST_MYSQL"))
	if err != nil {
		t.Fatal(err)
	}
	dump, err := os.ReadFile(filepath.Join(pair, "source-blis_127.sql"))
	if err != nil {
		t.Fatal(err)
	}
	name := randomName("blis_")
	text := strings.NewReplacer("CREATE DATABASE IF NOT EXISTS blis_127;", "CREATE DATABASE "+name+";", "USE blis_127;", "USE "+name+";").Replace(string(dump))
	cfg.MultiStatements, cfg.InterpolateParams = true, true
	cfg.Params = map[string]string{"time_zone": "'+00:00'", "sql_mode": "''"}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() {
		_, err := db.Exec("DROP DATABASE " + name)
		if err != nil {
			t.Error(err)
		}
		_ = db.Close()
	})
	for _, q := range []string{text, "SET NAMES utf8mb4", "SET time_zone = '+00:00'", "USE " + name} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

// loadTarget loads the target's baseline into a database of its own.
func loadTarget(t *testing.T, pair string) (*pgx.Conn, string) {
	t.Helper()
	ctx := t.Context()
	url := need(t, "ECLUSE_TEST_POSTGRES")
	admin, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	name := randomName("oe_")
	for _, role := range []string{"clinlims", "admin"} {
		if _, err := admin.Exec(ctx, "do $$ begin create role "+role+" superuser; exception when duplicate_object then null; end $$"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := admin.Exec(ctx, "create database "+name); err != nil {
		t.Fatal(err)
	}
	cfg := admin.Config().Copy()
	cfg.Database = name
	host := fmt.Sprintf("postgresql://%s@%s:%d/%s?sslmode=disable", cfg.User, cfg.Host, cfg.Port, name)
	psql(t, host, "-q", "-v", "ON_ERROR_STOP=1", "-f", filepath.Join(pair, "target-openelis.sql"))
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close(context.Background())
		if _, err := admin.Exec(context.Background(), "drop database "+name+" with (force)"); err != nil {
			t.Error(err)
		}
		_ = admin.Close(context.Background())
	})
	return conn, host
}

func psql(t *testing.T, url string, args ...string) string {
	t.Helper()
	cmd := exec.Command("psql", append([]string{"-X", "-d", url}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("psql %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}

// datasetSchema is how an instructed dataset travels.
func datasetSchema(t *testing.T, db *sql.DB, d *mandate.Dataset) *record.Schema {
	t.Helper()
	kind := func(column, as string) ecluse.Type {
		if as == "text" {
			return ecluse.Type{Kind: ecluse.Text}
		}
		var declared string
		q := "select data_type from information_schema.columns where table_schema = database() and table_name = ? and column_name = ?"
		if err := db.QueryRowContext(t.Context(), q, d.From.Name, column).Scan(&declared); err != nil {
			t.Fatalf("column %s: %v", column, err)
		}
		switch declared {
		case "int":
			return ecluse.Type{Kind: ecluse.Int}
		case "timestamp":
			return ecluse.Type{Kind: ecluse.Instant}
		case "datetime":
			return ecluse.Type{Kind: ecluse.Timestamp}
		case "varchar", "char":
			return ecluse.Type{Kind: ecluse.Text}
		}
		t.Fatalf("column %s: no travelling type for %s here", column, declared)
		return ecluse.Type{}
	}
	s := &record.Schema{}
	if d.Distinct != "" {
		s.Fields = []record.Field{{Name: d.Distinct, Type: kind(d.Distinct, d.As)}, {Name: "ordinal", Type: ecluse.Type{Kind: ecluse.Int}}}
		return s
	}
	for name, c := range d.Columns.All() {
		s.Fields = append(s.Fields, record.Field{Name: name, Type: kind(name, c.As)})
	}
	return s
}

// readDataset reads a dataset by text protocol, in batches.
func readDataset(t *testing.T, db *sql.DB, d *mandate.Dataset, s *record.Schema) []*record.Batch {
	t.Helper()
	columns := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		columns[i] = "`" + f.Name + "`"
	}
	q := fmt.Sprintf("select %s from `%s` order by `%s`", strings.Join(columns, ", "), d.From.Name, strings.Join(d.Key, "`, `"))
	if d.Distinct != "" {
		q = fmt.Sprintf("select cast(d as char character set utf8mb4), row_number() over (order by d) from (select distinct cast(`%s` as binary) d from `%s`) x order by d", d.Distinct, d.From.Name)
	}
	rows, err := db.QueryContext(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	raw := make([]sql.RawBytes, len(s.Fields))
	into := make([]any, len(raw))
	for i := range raw {
		into[i] = &raw[i]
	}
	var out []*record.Batch
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		if len(out) == 0 || out[len(out)-1].Rows() == 3000 {
			out = append(out, record.NewBatch(s, 3000))
		}
		for i, c := range out[len(out)-1].Columns {
			appendRaw(t, c, raw[i])
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func appendRaw(t *testing.T, c *record.Column, raw []byte) {
	t.Helper()
	if raw == nil {
		c.AppendNull()
		return
	}
	switch k := c.Type().Kind; k {
	case ecluse.Int:
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			t.Fatal("not a whole number")
		}
		c.AppendInt(n)
	case ecluse.Timestamp, ecluse.Instant:
		v, err := time.Parse("2006-01-02 15:04:05", string(raw))
		if err != nil {
			t.Fatal("not a timestamp")
		}
		c.AppendInt(v.UnixMicro())
	default:
		c.AppendBytes(raw)
	}
}

package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/engine/postgres/postgrestest"
	"ecluse/internal/sluice/record"
)

func public(table string) ecluse.TableName {
	return ecluse.TableName{Schema: "public", Name: table}
}

// rows reads a table whole.
func rows(t *testing.T, c postgres.Config, table string, columns ...string) *record.Batch {
	t.Helper()
	s, err := postgres.OpenSnapshot(t.Context(), c, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := s.Rows(t.Context(), public(table), columns, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// write copies a batch into a table whose columns are declared so.
func write(t *testing.T, c postgres.Config, table string, b *record.Batch, declared ...string) {
	t.Helper()
	var columns []mandate.LoadColumn
	for i, f := range b.Schema.Fields {
		columns = append(columns, mandate.LoadColumn{Name: f.Name, Type: f.Type, Declared: declared[i]})
	}
	copier := postgres.NewCopier(public(table), columns)
	if u := copier.Unfit(b); u != nil {
		t.Fatalf("%s: %v", table, u)
	}
	n, err := postgrestest.Connect(t, c).CopyIn(t.Context(), copier.Statement(), copier.Rows(b, 0, b.Rows(), nil))
	if err != nil || n != int64(b.Rows()) {
		t.Fatalf("%s: %d rows, %v", table, n, err)
	}
}

// TestNumbers: the server is the judge of every text, both ways.
func TestNumbers(t *testing.T) {
	c := postgrestest.New(t)
	postgrestest.Run(t, c, "CREATE TABLE given (s text PRIMARY KEY, n numeric, d numeric(18,6)); CREATE TABLE back (s text, n numeric, d numeric(18,6), e text)")
	numbers := []string{
		"0", "-0", "0.0", "0.000", "1", "-1", "9999", "10000", "99999999", "100000000", "0.0001", "0.00010", "-0.00001", "12345.6789", "10000.0001",
		"123456789012.123456", "-999999999999.999999", "1e40", "123456789012345678901234567890.123456789012345678901234567890", "1e-40", "NaN", "Infinity", "-Infinity",
		"1" + strings.Repeat("0", 300), "0." + strings.Repeat("0", 300) + "1", "50000", "500000000.5",
	}
	for _, n := range numbers {
		postgrestest.Run(t, c, fmt.Sprintf("INSERT INTO given VALUES ('%[1]s', '%[1]s', CASE WHEN abs('%[1]s'::numeric) < 1e12 THEN '%[1]s'::numeric END)", n))
	}
	b := rows(t, c, "given", "s", "n", "d")
	for i := range b.Rows() {
		s := string(b.Columns[0].Bytes(i))
		if want := postgrestest.One(t, c, "SELECT n FROM public.given WHERE s = '"+s+"'"); string(b.Columns[1].Bytes(i)) != want {
			t.Errorf("%s is read as %s, the server says %s", s, b.Columns[1].Bytes(i)[:], want)
		}
	}
	write(t, c, "back", b, "text", "numeric", "numeric(18,6)")
	if n := postgrestest.One(t, c, "SELECT count(*) FROM public.given JOIN public.back USING (s) WHERE given.n::text = back.n::text AND given.d::text IS NOT DISTINCT FROM back.d::text"); n != fmt.Sprint(len(numbers)) {
		t.Errorf("%s of %d numbers came back the same", n, len(numbers))
	}
	// What a mapping may write: exponents, signs, zeros on either side.
	s := record.NewBatch(&record.Schema{Fields: []record.Field{{Name: "e", Type: ecluse.Type{Kind: ecluse.Text}}, {Name: "n", Type: ecluse.Type{Kind: ecluse.Number}}}}, 0)
	for _, e := range []string{"1e3", "1.50e1", "-1.5E-3", "+7", "007.10", ".5", "5.", "12345678.9e-4", "1e-7", "100e-2", "0e5", "-0.0e3"} {
		s.Columns[0].AppendString(e)
		s.Columns[1].AppendString(e)
	}
	write(t, c, "back", s, "text", "numeric")
	if wrong := postgrestest.One(t, c, "SELECT string_agg(e || ' is ' || n, ', ') FROM public.back WHERE e IS NOT NULL AND n::text <> e::numeric::text"); wrong != "" {
		t.Error(wrong)
	}
}

// TestMoments: dates before Christ, infinities and the ends of what there is,
// through the binary form and through the text form of COPY.
func TestMoments(t *testing.T) {
	c := postgrestest.New(t)
	postgrestest.Run(t, c, `CREATE TABLE given (id int PRIMARY KEY, d date, h time, t timestamp, i timestamptz, f float4, g float8, b bytea, x bool, s text);
		CREATE TABLE as_binary (LIKE given); CREATE TABLE as_text (LIKE given);
		CREATE DOMAIN whole AS int; ALTER TABLE as_text ALTER id TYPE whole`)
	for i, v := range []string{
		"'1970-01-01', '00:00', '1970-01-01', '1970-01-01', 0, 0, '', true, ''",
		"'0044-03-15 BC', '24:00:00', '4713-01-01 00:00:00 BC', '4713-01-01 00:00:00+00 BC', 'NaN', 'NaN', '\\x00ff5c0a', false, E'tab\\t line\\n\\r \\\\N \\\\. é 🧪'",
		"'infinity', '23:59:59.999999', 'infinity', 'infinity', 'Infinity', 'Infinity', NULL, NULL, '\\N'",
		"'-infinity', NULL, '-infinity', '-infinity', '-Infinity', '-Infinity', '\\x', NULL, NULL",
		"'5874897-12-31', '12:00', '294246-12-31 23:59:59.999999', '294246-12-31 23:59:59.999999+00', 1e-45, 5e-324, NULL, NULL, NULL",
		"'0001-01-01', '00:00:00.000001', '0001-01-01 00:00:00.5', '1969-12-31 23:59:59.999999+00', 3.4028235e38, 1.7976931348623157e308, NULL, NULL, '0099'",
		"'4713-01-01 BC', NULL, '0001-12-31 23:59:59 BC', '0099-06-15 12:00+02', 0.1, 0.1, NULL, NULL, NULL",
	} {
		postgrestest.Run(t, c, fmt.Sprintf("INSERT INTO given VALUES (%d, %s)", i, v))
	}
	columns := []string{"id", "d", "h", "t", "i", "f", "g", "b", "x", "s"}
	b := rows(t, c, "given", columns...)
	for i := range b.Rows() {
		for col, epoch := range map[int]string{
			1: "d - date '1970-01-01'", 3: "(extract(epoch FROM t AT TIME ZONE 'UTC') * 1000000)::numeric(30,0)", 4: "(extract(epoch FROM i) * 1000000)::numeric(30,0)",
		} {
			got := fmt.Sprint(b.Columns[col].Int(i))
			want := postgrestest.One(t, c, fmt.Sprintf("SELECT CASE %[1]s::text WHEN 'infinity' THEN '%[2]d' WHEN '-infinity' THEN '%[3]d' ELSE (%[4]s)::text END FROM public.given WHERE id = %[5]d",
				columns[col], ecluse.Infinity, ecluse.NegInfinity, epoch, i))
			if got != want {
				t.Errorf("row %d, column %s: %s, the server says %s", i, columns[col], got, want)
			}
		}
	}
	declared := []string{"integer", "date", "time without time zone", "timestamp without time zone", "timestamp with time zone", "real", "double precision", "bytea", "boolean", "text"}
	write(t, c, "as_binary", b, declared...)
	declared[0] = "public.whole"
	write(t, c, "as_text", b, declared...)
	for _, table := range []string{"as_binary", "as_text"} {
		if n := postgrestest.One(t, c, "SELECT count(*) FROM (SELECT ROW(given.*)::text FROM public.given EXCEPT SELECT ROW(b.*)::text FROM public."+table+" AS b) AS x"); n != "0" {
			t.Errorf("%s: %s rows came back as others", table, n)
		}
	}
}

// TestTextKinds: what has no kind of its own travels as the server's text.
func TestTextKinds(t *testing.T) {
	c := postgrestest.New(t)
	postgrestest.Run(t, c, `CREATE TYPE status AS ENUM ('saisi', 'validé'); CREATE DOMAIN nir AS varchar(15) CHECK (length(VALUE) > 3); CREATE TYPE address AS (street text, code char(5));
		CREATE TABLE given (id int PRIMARY KEY, st status, n nir, tags text[], mat int[][], info jsonb, raw json, x xml, ip inet, r daterange, a address, l interval, b bit(5), m money, h timetz, p char(8), u uuid);
		CREATE TABLE back (LIKE given);
		INSERT INTO given VALUES (1, 'validé', '25307', '{a,"b,c",NULL,"d\"e"}', '{{1,2},{3,4}}', '{"b":1.10,"a":null}', '{"b":1.10, "b":2}', '<a>é</a>', '10.0.0.0/8', '[2024-01-01,2024-02-01)',
			ROW('4 quai, "B"', '69002'), '1 mon -3 days 04:05:06.7', '10101', -1234.56, '24:00:00+02', 'ab', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'),
			(2, NULL, NULL, '{}', NULL, 'null', '  {"a" : 1}  ', NULL, '::1', 'empty', ROW(NULL, NULL), '178000000 years', NULL, '-92233720368547758.08', NULL, '', NULL)`)
	conn := postgrestest.Connect(t, c)
	cat, err := postgres.Catalogue(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	table, _ := cat.Table(public("given"))
	var names, declared []string
	for _, col := range table.Columns {
		names, declared = append(names, col.Name), append(declared, col.Declared)
		if col.Name != "id" && col.Type.Kind != ecluse.Text {
			t.Errorf("%s travels as %s", col.Declared, col.Type)
		}
	}
	if st, _ := table.Column("st"); !cmp.Equal(st.Labels, []string{"saisi", "validé"}) {
		t.Errorf("labels %q", st.Labels)
	}
	b := rows(t, c, "given", names...)
	if got := string(b.Column("p").Bytes(0)); got != "ab" {
		t.Errorf("a char(8) is read as %q: its padding means nothing", got)
	}
	if got := string(b.Column("u").Bytes(0)); got != "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11" {
		t.Errorf("a uuid is read as %q", got)
	}
	write(t, c, "back", b, declared...)
	for _, n := range names {
		if got := postgrestest.One(t, c, fmt.Sprintf(`SELECT count(*) FROM public.given AS g JOIN public.back AS b USING (id) WHERE g.%[1]s::text IS NOT DISTINCT FROM b.%[1]s::text`, n)); got != "2" {
			t.Errorf("column %s: %s of 2 values came back", n, got)
		}
	}
}

// TestErrorsHoldNoValue: the server's words quote rows.
func TestErrorsHoldNoValue(t *testing.T) {
	const secret = "ZQX-SECRET"
	c := postgrestest.New(t)
	postgrestest.Run(t, c, `CREATE TABLE one (code varchar(12) PRIMARY KEY, n int CHECK (n > 0)); INSERT INTO one VALUES ('ZQX-SECRET', 1);
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no %', NEW.code USING HINT = NEW.code, DETAIL = NEW.code, COLUMN = 'code'; END $$;
		CREATE TABLE two (code text); CREATE TRIGGER refuse BEFORE INSERT ON two FOR EACH ROW EXECUTE FUNCTION refuse()`)
	conn := postgrestest.Connect(t, c)
	for _, q := range []struct{ sql, state, want string }{
		{"INSERT INTO public.one VALUES ('" + secret + "', 2)", "23505", "public.one: unique key one_pkey (23505)"},
		{"INSERT INTO public.one VALUES ('a', -1)", "23514", "public.one: check one_n_check (23514)"},
		{"INSERT INTO public.one VALUES ('" + secret + " and more', 2)", "22001", "text longer than its column (22001)"},
		{"INSERT INTO public.one VALUES ('a', '" + secret + "')", "22P02", "not a value of its column's type (22P02)"},
		{"INSERT INTO public.two VALUES ('" + secret + "')", "P0001", "refused by a trigger (P0001)"},
		{"SELECT 1 FROM public.nowhere", "42P01", "not there (42P01)"},
	} {
		_, raw := conn.Exec(t.Context(), q.sql)
		err := postgres.Wrap(t.Context(), "load", "", raw)
		s := postgres.Server(err)
		if err == nil || s == nil || s.State != q.state || !strings.Contains(err.Error(), q.want) || strings.Contains(fmt.Sprintf("%+v %#v", err, err), secret) {
			t.Errorf("%s: %v", q.state, err)
		}
		if want := q.state[:2] != "42"; s != nil && s.Row() != want {
			t.Errorf("%s is about a row: %t, want %t", q.state, s.Row(), want)
		}
	}
}

func TestConnectRefused(t *testing.T) {
	server := postgrestest.Server(t)
	nobody, nowhere, closed := server, server, server
	nobody.User = "ecluse nobody"
	nowhere.Database = "ecluse nowhere"
	closed.Port = 1
	for _, c := range []struct {
		config postgres.Config
		want   string
	}{{nobody, "account and password"}, {nowhere, "no such database"}, {closed, "nothing answers"}} {
		c.config.Password = "ZQX-SECRET"
		_, err := postgres.Connect(context.Background(), c.config)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(fmt.Sprintf("%v %#v %v", err, err, c.config), "SECRET") {
			t.Errorf("%v: %v", c.config, err)
		}
	}
}

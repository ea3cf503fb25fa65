package postgres

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/mandate/mandatetest"
	engine "ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/engine/postgres/postgrestest"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/reader/readertest"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// place is a database, tables made by its owner, and the catalogue of it.
type place struct {
	*database
	target writer.Target
	cat    *ecluse.Catalogue
}

func newPlace(t *testing.T, tables string) *place {
	t.Helper()
	p := &place{database: newDatabase(t).(*database)}
	postgrestest.Run(t, p.Config, tables)
	p.target = p.Target(t)
	cat, err := p.target.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.cat = cat
	return p
}

func name(table string) ecluse.TableName { return ecluse.TableName{Schema: "public", Name: table} }

// shape writes the given columns of tables, "table: a, b", from the dataset "rows".
func shape(tables ...string) ecluse.Shape {
	d := ecluse.ShapeDataset{Dataset: "rows", Reads: []string{"a"}}
	for _, s := range tables {
		table, columns, _ := strings.Cut(s, ": ")
		into := ecluse.ShapeTable{Table: name(table)}
		for c := range strings.SplitSeq(columns, ", ") {
			into.Columns = append(into.Columns, ecluse.ShapeColumn{Column: c, From: "a"})
		}
		d.Into = append(d.Into, into)
	}
	return ecluse.Shape{Datasets: []ecluse.ShapeDataset{d}}
}

// rows of a table by the types of the catalogue; source rows are 0, 1, 2… when
// none are given.
func (p *place) rows(t *testing.T, into ecluse.ShapeTable, values [][]any, source ...int32) writer.Rows {
	t.Helper()
	table, ok := p.cat.Table(into.Table)
	if !ok {
		t.Fatalf("no table %s", into.Table)
	}
	var columns []readertest.Column
	for _, c := range into.Columns {
		col, ok := table.Column(c.Column)
		if !ok {
			t.Fatalf("no column %s", c.Column)
		}
		columns = append(columns, readertest.Column{Name: c.Column, Type: col.Type})
	}
	if source == nil {
		for i := range values {
			source = append(source, int32(i))
		}
	}
	return writer.Rows{Table: into.Table, Batch: readertest.Batch(t, columns, values), Source: source}
}

// chunk is chunk n of one table.
func (p *place) chunk(t *testing.T, n int, s ecluse.Shape, values [][]any) *writer.Chunk {
	t.Helper()
	return &writer.Chunk{
		Slot: ecluse.Slot{Dataset: "rows", Sequence: n}, Rows: len(values),
		Tables: []writer.Rows{p.rows(t, s.Datasets[0].Into[0], values)},
	}
}

func accept(context.Context, []writer.Refusal) error { return nil }

func load(t *testing.T, s writer.Session, c *writer.Chunk, want ...string) {
	t.Helper()
	l, err := s.Load(t.Context(), c, accept)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range l.Refused {
		got = append(got, fmt.Sprintf("%d: %s", r.Row, r.Reason))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
}

func (p *place) one(t *testing.T, query string) string {
	t.Helper()
	return postgrestest.One(t, p.Config, query)
}

// TestTypesOfTheServersOwn: a table with a column whose binary form is not known
// goes through the text form, whatever else is in it, and comes out again.
func TestTypesOfTheServersOwn(t *testing.T) {
	p := newPlace(t, `CREATE TYPE status AS ENUM ('saisi', 'validé'); CREATE DOMAIN whole AS int CHECK (VALUE > 0);
		CREATE TABLE odd (st status, w whole, tags text[], l interval, raw json, info jsonb, n numeric(12,3), d date, at timestamptz, h time, f real, g double precision, b bytea, x bool, s text, u uuid, c char(4), big numeric);
		INSERT INTO odd (st, s) VALUES ('saisi', 'theirs')`)
	sh := shape("odd: st, w, tags, l, raw, info, n, d, at, h, f, g, b, x, s, u, c, big")
	s := beginShape(t, p.target, sh)
	full := []any{
		"validé", int64(3), `{a,"b,c",NULL}`, "1 mon", `{"b":1.10, "b":2}`, `{"a": 1}`, "-12.500", "1900-02-28", "2024-02-29 13:14:15.123456", "08:30:00.5", 0.5, 0.1,
		[]byte("\x00\\x\n"), true, "tab\t line\n\r \\N \\. é 🧪", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "ab", "1e40",
	}
	empty := make([]any, len(full))
	chunk := p.chunk(t, 0, sh, [][]any{full, empty, full})
	load(t, s, chunk)
	const want = `(validé,3,"{a,""b,c"",NULL}","1 mon","{""b"":1.10, ""b"":2}","{""a"": 1}",-12.500,1900-02-28,"2024-02-29 13:14:15.123456+00",08:30:00.5,0.5,0.1,"\\x005c780a",t,"tab	 line
` + "\r" + ` \\N \\. é 🧪",a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,"ab  ",10000000000000000000000000000000000000000)`
	if got := p.one(t, "SELECT ROW(o.*)::text FROM public.odd AS o WHERE w = 3 LIMIT 1"); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	bad := slices.Clone(full)
	bad[0] = "annulé" // no label of the enum
	negative := slices.Clone(full)
	negative[1] = int64(-1)
	load(t, s, p.chunk(t, 1, sh, [][]any{full, bad, negative, empty}),
		"1: public.odd.st: not a value of its column's type (22P02)", "2: public.odd: check whole_check (23514)")
	n, err := s.Unload(t.Context(), chunk, writer.Unloading{})
	if err != nil || n.Deleted[name("odd")] != 3 {
		t.Errorf("unloaded %v, %v", n, err)
	}
	if got := p.one(t, "SELECT string_agg(coalesce(s, '-'), ',' ORDER BY s) FROM public.odd"); !strings.Contains(got, "theirs") || len(strings.Split(got, ",")) != 3 {
		t.Errorf("left: %q", got)
	}
}

func TestValuesThatNothingHolds(t *testing.T) {
	p := newPlace(t, "CREATE TABLE v (id int PRIMARY KEY, s text, n numeric, h time, c varchar(3))")
	sh := shape("v: id, s, n, h, c")
	s := beginShape(t, p.target, sh)
	load(t, s, p.chunk(t, 0, sh, [][]any{
		{int64(1), "a", "1.5", "08:00:00", "abc"},
		{int64(1) << 40, "b", nil, nil, nil},
		{int64(3), "ZQX\x00", nil, nil, nil},
		{int64(4), "d", "twelve", nil, nil},
		{int64(5), "e", nil, nil, "ZQXZ"},
		{int64(6), "f", "NaN", nil, "éé "},
	}),
		"1: public.v.id: number out of its column's range (22003)",
		"2: public.v.s: text with a character that the database does not hold (22021)",
		"3: public.v.n: not a value of its column's type (22P02)",
		"4: public.v.c: text longer than its column (22001)")
	if got := p.one(t, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM public.v"); got != "1 6" {
		t.Errorf("loaded: %s", got)
	}
	// A time that only MySQL has.
	day := p.chunk(t, 1, sh, [][]any{{int64(7), nil, nil, nil, nil}, {int64(8), nil, nil, "00:00:00", nil}})
	day.Tables[0].Batch.Columns[3].Ints()[1] = -26 * 3_600_000_000
	load(t, s, day, "1: public.v.h: not a date or time of its column's range (22008)")
}

func TestTriggers(t *testing.T) {
	p := newPlace(t, `CREATE TABLE kept (id int PRIMARY KEY); CREATE TABLE told (id int PRIMARY KEY, s text);
		CREATE FUNCTION keep_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 3 THEN RETURN NULL; END IF; RETURN NEW; END $$;
		CREATE TRIGGER keep_out BEFORE INSERT ON kept FOR EACH ROW EXECUTE FUNCTION keep_out();
		CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 3 THEN RAISE EXCEPTION 'not %', NEW.s; END IF; RETURN NEW; END $$;
		CREATE TRIGGER tell AFTER INSERT ON told FOR EACH ROW EXECUTE FUNCTION tell()`)
	sh := shape("told: id, s", "kept: id")
	s := beginShape(t, p.target, sh)
	load(t, s, p.chunk(t, 0, sh, [][]any{{int64(1), "ZQX"}, {int64(2), "ZQX"}, {int64(3), "ZQX"}, {int64(4), "ZQX"}}), "2: public.told: refused by a trigger (P0001)")
	silent := &writer.Chunk{Slot: ecluse.Slot{Dataset: "rows", Sequence: 1}, Rows: 4, Tables: []writer.Rows{
		p.rows(t, sh.Datasets[0].Into[1], [][]any{{int64(1)}, {int64(2)}, {int64(3)}, {int64(4)}}),
	}}
	_, err := s.Load(t.Context(), silent, accept)
	if err == nil || ecluse.KindOf(err) != ecluse.Failed || !strings.Contains(err.Error(), "took 3 rows of 4") {
		t.Errorf("a row that a trigger swallows: %v", err)
	}
	if got := p.one(t, "SELECT (SELECT count(*) FROM public.kept) || ' ' || (SELECT count(*) FROM ecluse.marker)"); got != "0 1" {
		t.Errorf("rows and markers: %s, want 0 1", got)
	}
}

// TestRefersForward: rows that refer to later ones of their chunk get in although
// another row breaks the chunk into parts between them.
func TestRefersForward(t *testing.T) {
	p := newPlace(t, "CREATE TABLE node (id int PRIMARY KEY, next int REFERENCES node, code text UNIQUE); INSERT INTO node VALUES (1000, NULL, 'taken')")
	sh := shape("node: id, next, code")
	s := beginShape(t, p.target, sh)
	var values [][]any
	for i := range int64(50) {
		values = append(values, []any{i, i + 1, nil})
	}
	values = append(values, []any{int64(50), nil, nil}, []any{int64(51), int64(77), nil}, []any{int64(52), int64(51), nil})
	values[20][2] = "taken"
	load(t, s, p.chunk(t, 0, sh, values[21:]), "30: public.node: foreign key node_next_fkey (23503)", "31: public.node: foreign key node_next_fkey (23503)")
	// Rows 0 to 19 lead to row 20, which is refused.
	l, err := s.Load(t.Context(), p.chunk(t, 1, sh, values[:21]), accept)
	if err != nil || len(l.Refused) != 21 {
		t.Errorf("%d rows refused, %v; want all 21", len(l.Refused), err)
	}
	values[20][2] = nil
	load(t, s, p.chunk(t, 2, sh, append(values[:21:21], []any{int64(2000), nil, "taken"})), "21: public.node: unique key node_code_key (23505)")
}

func TestIdentityAndGenerated(t *testing.T) {
	p := newPlace(t, `CREATE TABLE g (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, s text, up text GENERATED ALWAYS AS (upper(s)) STORED, at timestamptz DEFAULT now())`)
	sh := shape("g: id, s")
	s := beginShape(t, p.target, sh)
	load(t, s, p.chunk(t, 0, sh, [][]any{{int64(41), "a"}, {int64(40), "b"}}))
	if got := p.one(t, "SELECT string_agg(id || s || up || (at IS NOT NULL), ' ' ORDER BY id) FROM public.g"); got != "40bBtrue 41aAtrue" {
		t.Error(got)
	}
}

// TestUnloadTakesNothingElse: rows of others that would go or change along with
// the chunk's are a reason to stop.
func TestUnloadTakesNothingElse(t *testing.T) {
	for _, action := range []string{"CASCADE", "SET NULL"} {
		p := newPlace(t, "CREATE TABLE patient (id int PRIMARY KEY, name text); CREATE TABLE visit (id int PRIMARY KEY, patient int REFERENCES patient ON DELETE "+action+")")
		sh := shape("patient: id, name", "visit: id, patient")
		s := beginShape(t, p.target, sh)
		chunk := p.chunk(t, 0, sh, [][]any{{int64(1), "a"}, {int64(2), "b"}})
		chunk.Tables = append(chunk.Tables, p.rows(t, sh.Datasets[0].Into[1], [][]any{{int64(1), int64(1)}}, 0))
		load(t, s, chunk)
		postgrestest.Run(t, p.Config, "INSERT INTO visit VALUES (900, 2)")
		if _, err := s.Unload(t.Context(), chunk, writer.Unloading{}); err == nil || ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "1 rows") {
			t.Errorf("%s: %v", action, err)
		}
		if got := p.one(t, "SELECT (SELECT count(*) FROM public.patient) || ' ' || (SELECT count(patient) FROM public.visit)"); got != "2 2" {
			t.Errorf("%s: %s rows, want 2 2", action, got)
		}
		postgrestest.Run(t, p.Config, "DELETE FROM visit WHERE id = 900")
		if n, err := s.Unload(t.Context(), chunk, writer.Unloading{}); err != nil || n.Deleted[name("patient")] != 2 || n.Deleted[name("visit")] != 1 {
			t.Errorf("%s: %v, %v", action, n, err)
		}
	}
}

func TestUnloadPartitionsWithoutKey(t *testing.T) {
	p := newPlace(t, `CREATE TABLE event (year int, label text, amount double precision) PARTITION BY RANGE (year);
		CREATE TABLE event_old PARTITION OF event FOR VALUES FROM (0) TO (2020); CREATE TABLE event_new PARTITION OF event FOR VALUES FROM (2020) TO (3000);
		INSERT INTO event VALUES (2019, 'twice', 0.1), (2021, 'twice', 0.1), (2021, NULL, NULL)`)
	sh := shape("event: year, label, amount")
	s := beginShape(t, p.target, sh)
	before := p.one(t, "SELECT string_agg(ROW(e.*)::text, ' ' ORDER BY ROW(e.*)::text) FROM public.event AS e")
	chunk := p.chunk(t, 0, sh, [][]any{{int64(2019), "twice", 0.1}, {int64(2019), "twice", 0.1}, {int64(2021), nil, nil}, {int64(2021), "", nil}})
	load(t, s, chunk)
	if n, err := s.Unload(t.Context(), chunk, writer.Unloading{}); err != nil || n.Deleted[name("event")] != 4 {
		t.Errorf("%v, %v", n, err)
	}
	if got := p.one(t, "SELECT string_agg(ROW(e.*)::text, ' ' ORDER BY ROW(e.*)::text) FROM public.event AS e"); got != before {
		t.Errorf("%s, before %s", got, before)
	}
}

// TestUnloadLooksRowsUp: a chunk of a table just loaded, of which the server has no
// statistics yet, goes by its key; without the key's index all is read once for a chunk.
func TestUnloadLooksRowsUp(t *testing.T) {
	const chunks, rows = 4, 10_000
	for _, indexed := range []bool{true, false} {
		p := newPlace(t, "CREATE TABLE event (id int PRIMARY KEY, label text) WITH (autovacuum_enabled = off)")
		sh := shape("event: id, label")
		s := beginShape(t, p.target, sh)
		var loaded []*writer.Chunk
		for n := range chunks {
			values := make([][]any, rows)
			for i := range values {
				values[i] = []any{int64(n*rows + i), "a label of some length"}
			}
			loaded = append(loaded, p.chunk(t, n, sh, values))
			load(t, s, loaded[n])
		}
		if !indexed {
			postgrestest.Run(t, p.Config, "ALTER TABLE event DROP CONSTRAINT event_pkey")
		}
		for _, chunk := range slices.Backward(loaded) {
			if u, err := s.Unload(t.Context(), chunk, writer.Unloading{Leave: true}); err != nil || u.Deleted[name("event")] != rows {
				t.Fatal(u, err)
			}
		}
		if err := s.Close(); err != nil { // then the server adds up what the session did
			t.Fatal(err)
		}
		const stat = " FROM pg_stat_user_tables WHERE relname = 'event'"
		for p.one(t, "SELECT n_tup_del"+stat) != fmt.Sprint(chunks*rows) {
			time.Sleep(10 * time.Millisecond)
		}
		read, err := strconv.Atoi(p.one(t, "SELECT seq_tup_read"+stat))
		if err != nil || indexed == (read >= rows) || read > chunks*chunks*rows {
			t.Errorf("primary key %t: %d rows read for %d that went, %v", indexed, read, chunks*rows, err)
		}
	}
}

// TestConnectionLostBeforeCommit: nothing is half done, and the next session goes on.
func TestConnectionLostBeforeCommit(t *testing.T) {
	p := newPlace(t, "CREATE TABLE r (id int PRIMARY KEY)")
	sh := shape("r: id")
	permit := mandatetest.New(t).LoadPermit(t, sh, p.cat, engine.Dialect{})
	s, err := p.target.Open(t.Context(), permit)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	begun := func(context.Context, reader.Scanner) ([]byte, error) { return []byte("{}"), nil }
	if _, _, err := s.Begin(t.Context(), begun); err != nil {
		t.Fatal(err)
	}
	chunk := p.chunk(t, 0, sh, [][]any{{int64(1)}, {int64(1)}, {int64(2)}})
	_, err = s.Load(t.Context(), chunk, func(context.Context, []writer.Refusal) error {
		postgrestest.Run(t, p.Config, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+p.role.User+"'")
		return nil
	})
	if err == nil || ecluse.KindOf(err) != ecluse.Failed {
		t.Errorf("a lost connection gave %v", err)
	}
	if got := p.one(t, "SELECT (SELECT count(*) FROM public.r) || ' ' || (SELECT count(*) FROM ecluse.marker)"); got != "0 0" {
		t.Errorf("rows and markers: %s, want 0 0", got)
	}
	next, err := p.target.Open(t.Context(), permit)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if _, fresh, err := next.Begin(t.Context(), begun); err != nil || fresh {
		t.Errorf("begun again: %t, %v", fresh, err)
	}
	load(t, next, chunk, "1: public.r: unique key r_pkey (23505)")
}

// TestLoadGrants: the account that `grants load` makes can do all of a passage,
// and read nothing of the target but what the plan writes.
func TestLoadGrants(t *testing.T) {
	p := newPlace(t, `CREATE SEQUENCE ids; CREATE TABLE r (id int PRIMARY KEY, s text, made int DEFAULT nextval('ids'), other text);
		CREATE TABLE code (code text PRIMARY KEY, label text, secret text); INSERT INTO code VALUES ('a', 'b', 'c')`)
	sh := shape("r: id, s")
	sh.Sequences = []ecluse.ShapeSequence{{Sequence: name("ids"), Table: name("r"), Column: "id"}}
	permit := mandatetest.New(t).LoadPermit(t, sh, p.cat, engine.Dialect{})
	role := postgrestest.Role(t, p.Config)
	plan := *permit.Plan()
	plan.Held = append(plan.Held, mandate.LoadHeld{Table: name("code"), Columns: []string{"code", "label"}})
	script, err := engine.LoadGrants(&plan, role.User)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		postgrestest.Script(t, p.Config, script)
	}
	target := New(role)
	s, err := target.Open(t.Context(), permit)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if missing, err := s.Missing(t.Context()); err != nil || len(missing) > 0 {
		t.Errorf("missing %q, %v", missing, err)
	}
	count := func(ctx context.Context, sc reader.Scanner) ([]byte, error) {
		return []byte("{}"), sc.Scan(ctx, name("r"), []string{"id", "s"}, func(*record.Batch) error { return nil })
	}
	if _, _, err := s.Begin(t.Context(), count); err != nil {
		t.Fatal(err)
	}
	chunk := p.chunk(t, 0, sh, [][]any{{int64(100), "a"}, {int64(200), "b"}})
	load(t, s, chunk)
	if err := s.MoveSequences(t.Context(), sh.Sequences); err != nil {
		t.Error(err)
	}
	if got := p.one(t, "SELECT nextval('public.ids')"); got != "201" {
		t.Errorf("the next number is %s", got)
	}
	if b, err := target.Rows(t.Context(), name("code"), []string{"code", "label"}, 10); err != nil || b.Rows() != 1 {
		t.Errorf("held table: %v", err)
	}
	come := p.chunk(t, 1, sh, [][]any{{int64(100), "c"}, {int64(200), "is there"}})
	revised, err := s.Revise(t.Context(), &writer.Revision{Gone: []writer.Part{goes(chunk, 0)}, Come: []*writer.Chunk{come}}, nil)
	if err != nil || len(revised.Refused[0]) != 1 {
		t.Errorf("revise: %v, %v", revised, err)
	}
	come = p.chunk(t, 1, sh, [][]any{{int64(100), "c"}})
	if n, err := s.Unload(t.Context(), come, writer.Unloading{}); err != nil || n.Deleted[name("r")] != 1 {
		t.Errorf("unload: %v, %v", n, err)
	}
	chunk.Tables = goes(chunk, 1).Tables
	if n, err := s.Unload(t.Context(), chunk, writer.Unloading{}); err != nil || n.Deleted[name("r")] != 1 {
		t.Errorf("unload: %v, %v", n, err)
	}
	if err := s.End(t.Context(), "undone"); err != nil {
		t.Error(err)
	}
	conn := postgrestest.Connect(t, role)
	for _, q := range []string{
		"SELECT other FROM public.r", "SELECT secret FROM public.code", "UPDATE public.r SET s = ''", "INSERT INTO public.r (other) VALUES ('x')",
		"TRUNCATE public.r", "CREATE TABLE public.mine (a int)", "DROP TABLE ecluse.marker", "DELETE FROM public.code",
	} {
		if _, err := conn.Exec(t.Context(), q); err == nil {
			t.Errorf("it can: %s", q)
		}
	}
}

// TestReadsMissing: what is only read (codes that are looked up, cross-checks) is
// asked for too, before the first row.
func TestReadsMissing(t *testing.T) {
	p := newPlace(t, `CREATE TABLE r (id int PRIMARY KEY, s text);
		CREATE TABLE code (code text PRIMARY KEY, label text GENERATED ALWAYS AS (code || '!') STORED);
		CREATE TABLE kept (id int PRIMARY KEY, at date, kind text, n int)`)
	sh := shape("r: id, s")
	sh.Checks = []ecluse.ShapeCheck{{Name: "dates", Table: name("kept"), Last: "at", By: "kind", Where: []ecluse.ShapeEq{{Column: "n", Equals: "1"}}}}
	held := mandate.LoadHeld{Table: name("code"), Columns: []string{"code", "label"}, Digest: ecluse.DigestOf(nil)}
	permit := mandatetest.New(t).LoadPermit(t, sh, p.cat, engine.Dialect{}, held)
	role := postgrestest.Role(t, p.Config)
	script, err := engine.LoadGrants(permit.Plan(), role.User)
	if err != nil {
		t.Fatal(err)
	}
	postgrestest.Script(t, p.Config, script)
	s, err := New(role).Open(t.Context(), permit)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if missing, err := s.Missing(t.Context()); err != nil || len(missing) > 0 {
		t.Errorf("missing %q, %v", missing, err)
	}
	for right, want := range map[string]string{
		"SELECT (label) ON code": "SELECT on column public.code.label",
		"SELECT (at) ON kept":    "SELECT on column public.kept.at",
		"SELECT (kind) ON kept":  "SELECT on column public.kept.kind",
		"SELECT (n) ON kept":     "SELECT on column public.kept.n",
		"SELECT (s) ON r":        "SELECT on column public.r.s",
		"SELECT (ctid) ON r":     "SELECT on column public.r.ctid",
	} {
		postgrestest.Run(t, p.Config, "REVOKE "+right+" FROM "+role.User)
		if missing, err := s.Missing(t.Context()); err != nil || len(missing) != 1 || missing[0] != want {
			t.Errorf("without %s: missing %q, %v", right, missing, err)
		}
		postgrestest.Run(t, p.Config, "GRANT "+right+" TO "+role.User)
	}
}

func TestMarkersMissing(t *testing.T) {
	p := newPlace(t, "CREATE TABLE r (id int PRIMARY KEY)")
	postgrestest.Run(t, p.Config, "REVOKE CREATE ON DATABASE "+p.Database.Database+" FROM "+p.role.User)
	_, err := p.target.Open(t.Context(), mandatetest.New(t).LoadPermit(t, shape("r: id"), p.cat, engine.Dialect{}))
	if err == nil || ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "schema ecluse") {
		t.Errorf("without the right to make the schema: %v", err)
	}
}

func TestSequenceSteps(t *testing.T) {
	for _, c := range []struct{ sequence, ids, want string }{
		{"START 5 INCREMENT 10", "5, 37", "55"},
		{"START 5 INCREMENT 10", "45", "55"},
		{"START 5 INCREMENT 10", "46", "65"},
		{"START 100", "3", "100"}, // not called yet, and past
		{"START 100", "100", "101"},
		{"START -1 INCREMENT -1", "-41, 9", "-42"},
		{"START -5 INCREMENT -10", "-37", "-55"},
		{"AS smallint", "32766", "32767"},
		{"", "", "1"},
	} {
		p := newPlace(t, "CREATE SEQUENCE q "+c.sequence+"; CREATE TABLE r (id numeric(10,0))")
		if c.ids != "" {
			postgrestest.Run(t, p.Config, "INSERT INTO r SELECT unnest(ARRAY["+c.ids+"])")
		}
		s := beginShape(t, p.target, shape("r: id"))
		for range 2 {
			if err := s.MoveSequences(t.Context(), []ecluse.ShapeSequence{{Sequence: name("q"), Table: name("r"), Column: "id"}}); err != nil {
				t.Fatal(err)
			}
		}
		if got := p.one(t, "SELECT nextval('public.q')"); got != c.want {
			t.Errorf("%s past %s gives %s, want %s", c.sequence, c.ids, got, c.want)
		}
		s.Close()
	}
	if _, ok := past(big.NewInt(5), true, big.NewInt(1), big.NewInt(5)); ok {
		t.Error("a sequence that stands at its edge was moved")
	}
}

// TestAnotherPlan: a passage goes on with the plan it was begun with.
func TestAnotherPlan(t *testing.T) {
	p := newPlace(t, "CREATE TABLE r (id int PRIMARY KEY, s text)")
	s := beginShape(t, p.target, shape("r: id"))
	s.Close()
	postgrestest.Run(t, p.Config, "UPDATE ecluse.passage SET plan = 'sha256:0'")
	again, err := p.target.Open(t.Context(), mandatetest.New(t).LoadPermit(t, shape("r: id"), p.cat, engine.Dialect{}))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	_, _, err = again.Begin(t.Context(), func(context.Context, reader.Scanner) ([]byte, error) { return []byte("{}"), nil })
	if ecluse.KindOf(err) != ecluse.Differs || err == nil {
		t.Errorf("begun under another plan: %v", err)
	}
	_, err = again.Load(t.Context(), p.chunk(t, 0, shape("r: id"), [][]any{{int64(1)}}), accept)
	if ecluse.KindOf(err) != ecluse.Differs || err == nil {
		t.Errorf("loaded under another plan: %v", err)
	}
}

// TestLeaveOfEveryType: a row that nobody changed is as it was loaded, whatever
// its types; a change that equality does not see is one.
func TestLeaveOfEveryType(t *testing.T) {
	p := newPlace(t, `CREATE TYPE status AS ENUM ('saisi', 'validé'); CREATE DOMAIN whole AS int CHECK (VALUE > 0);
		CREATE COLLATION anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		CREATE TABLE odd (id int PRIMARY KEY, st status, w whole, tags text[], l interval, raw json, info jsonb, n numeric(12,3), d date, at timestamptz, h time, f real, g double precision, b bytea, x bool, s text, u uuid, c char(4), big numeric, v varchar(9) COLLATE anycase)`)
	sh := shape("odd: id, st, w, tags, l, raw, info, n, d, at, h, f, g, b, x, s, u, c, big, v")
	s := beginShape(t, p.target, sh)
	full := []any{
		int64(1), "validé", int64(3), `{a,"b,c",NULL}`, "1 mon", `{"b":1.10, "b":2}`, `{"a": 1}`, "-12.500", "1900-02-28", "2024-02-29 13:14:15.123456", "08:30:00.5", 0.5, 0.1,
		[]byte("\\x00\\\\x\\n"), true, "tab\\t é", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "ab", "1e40", "Abc",
	}
	empty := make([]any, len(full))
	empty[0] = int64(2)
	for n, c := range []struct {
		change string
		left   int
	}{
		{"SELECT 1", 0},
		{"UPDATE odd SET raw = raw, n = -12.5, c = 'ab  ', tags = tags || '{}'::text[], at = at + '0 s' WHERE id = 1", 0},
		{`UPDATE odd SET raw = '{"b":1.10,"b":2}'`, 2},
		{"UPDATE odd SET v = upper(v)", 1},
		{"UPDATE odd SET l = '30 days' WHERE id = 1", 1}, // a month, for equality
		{"UPDATE odd SET st = 'saisi' WHERE st IS NULL", 1},
		{"UPDATE odd SET at = at + '1 us'", 1},
		{"UPDATE odd SET s = '' WHERE s IS NULL", 1},
		{"UPDATE odd SET u = NULL", 1},
		{"UPDATE odd SET g = g + 5e-18", 0},
		{"UPDATE odd SET g = g + 2e-17", 1},
	} {
		chunk := p.chunk(t, n, sh, [][]any{full, empty})
		load(t, s, chunk)
		postgrestest.Run(t, p.Config, c.change)
		u, err := s.Unload(t.Context(), chunk, writer.Unloading{Leave: true})
		if err != nil || len(u.Left) != c.left || len(u.Missing) > 0 {
			t.Errorf("%s: %+v, %v; want %d rows left", c.change, u, err, c.left)
		}
		postgrestest.Run(t, p.Config, "DELETE FROM odd")
	}
}

// TestLeaveByTriggersAndCycles: a row that a trigger does not let go stays, and so
// does one whose going would change rows of others; rows that refer to each other
// go together.
func TestLeaveByTriggersAndCycles(t *testing.T) {
	p := newPlace(t, `CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a DEFERRABLE);
		ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b DEFERRABLE; CREATE TABLE theirs (a int REFERENCES a); CREATE TABLE stock (n int); INSERT INTO stock VALUES (0);
		CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF OLD.id = 3 THEN RAISE EXCEPTION 'patient ZQX'; ELSIF OLD.id = 4 THEN RETURN NULL; ELSIF OLD.id = 5 THEN UPDATE public.stock SET n = n + 1; END IF;
			RETURN OLD; END $$;
		CREATE TRIGGER guard BEFORE DELETE ON a FOR EACH ROW EXECUTE FUNCTION guard();
		GRANT SELECT, UPDATE ON stock TO PUBLIC`)
	sh := shape("a: id, b", "b: id, a")
	s := beginShape(t, p.target, sh)
	ids := func(n int) (out [][]any) {
		for i := range n {
			out = append(out, []any{int64(i + 1), int64(i + 1)})
		}
		return out
	}
	chunk := p.chunk(t, 0, sh, ids(7))
	chunk.Tables = append(chunk.Tables, p.rows(t, sh.Datasets[0].Into[1], ids(7)))
	load(t, s, chunk)
	postgrestest.Run(t, p.Config, "INSERT INTO theirs VALUES (6)")
	u, err := s.Unload(t.Context(), chunk, writer.Unloading{Leave: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range u.Left {
		got = append(got, fmt.Sprintf("%s %d %s", chunk.Tables[l.Table].Table.Name, l.Row+1, l.Why))
	}
	want := []string{
		"a 3 referred", "a 4 referred", "a 5 referred", "a 6 referred", "b 3 referred", "b 4 referred", "b 5 referred", "b 6 referred",
	}
	if diff := cmp.Diff(want, got); diff != "" || u.Deleted[name("a")] != 3 || u.Deleted[name("b")] != 3 {
		t.Errorf("deleted %v, left (-want +got):\n%s", u.Deleted, diff)
	}
	if n := p.one(t, "SELECT n FROM public.stock"); n != "0" {
		t.Errorf("rows of others were changed: %s", n)
	}
}

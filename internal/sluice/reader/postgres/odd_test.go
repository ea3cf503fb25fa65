package postgres_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/mandate/mandatetest"
	engine "ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/engine/postgres/postgrestest"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/reader/readertest"
	"ecluse/internal/sluice/record"
)

// place is a database, a permit of its own and an epoch.
type place struct {
	*database
	source reader.Source
	permit mandate.ReadPermit
}

// newPlace makes tables, has an instruction signed and grants what it needs.
func newPlace(t *testing.T, tables, instruction string) *place {
	t.Helper()
	p := &place{database: newDatabase(t).(*database)}
	postgrestest.Run(t, p.Config, tables)
	return p.permitted(t, instruction)
}

func (p *place) permitted(t *testing.T, instruction string) *place {
	t.Helper()
	p.source = p.Source(t)
	cat, err := p.source.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.permit = mandatetest.New(t).ReadPermit(t, cat, engine.Dialect{}, instruction)
	p.Grant(t, p.permit.Plan())
	return p
}

func (p *place) open(t *testing.T) reader.Session {
	t.Helper()
	s, err := p.source.Open(t.Context(), p.permit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// part is one chunk, by its rows as text.
type part struct {
	end  reader.Cursor
	last bool
	rows []string
	size int // bytes of its batches
}

func chunks(t *testing.T, s reader.Session, dataset ecluse.DatasetID) []part {
	t.Helper()
	var all []part
	var after reader.Cursor
	for {
		p, err := one(t.Context(), s, dataset, after, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
		if p.last {
			return all
		}
		after = p.end
	}
}

func one(ctx context.Context, s reader.Session, dataset ecluse.DatasetID, after, until reader.Cursor) (part, error) {
	var p part
	var err error
	p.end, p.last, err = s.ReadChunk(ctx, dataset, after, until, func(b *record.Batch) error {
		p.rows = append(p.rows, readertest.Rows(b)...)
		p.size += b.Size()
		return nil
	})
	return p, err
}

// TestPartitions: a partitioned table is read as one, in an order that its
// partitions and its conditions do not change.
func TestPartitions(t *testing.T) {
	p := newPlace(t, `CREATE TABLE visit (id int NOT NULL, year int NOT NULL, town text) PARTITION BY RANGE (year);
		CREATE TABLE visit_old PARTITION OF visit FOR VALUES FROM (0) TO (2020); CREATE TABLE visit_new PARTITION OF visit FOR VALUES FROM (2020) TO (3000);
		CREATE TABLE town (name text PRIMARY KEY); INSERT INTO town SELECT 't' || i FROM generate_series(1, 50) AS i;
		INSERT INTO visit SELECT i, 2000 + i % 40, 't' || i % 100 FROM generate_series(1, 300000) AS i`, `datasets:
  town: {from: public.town, key: [name], columns: {name: technical}}
  visit: {from: public.visit, columns: {id: technical, year: result}}
  within: {from: public.visit, columns: {id: technical, year: result}, within: {town: [town]}}
`)
	s := p.open(t)
	for dataset, want := range map[ecluse.DatasetID]int{"visit": 300_000, "within": 150_000} {
		parts := chunks(t, s, dataset)
		seen := map[string]bool{}
		for _, c := range parts {
			for _, r := range c.rows {
				seen[r] = true
			}
		}
		if len(seen) != want || len(parts) < 2 {
			t.Errorf("%s: %d rows in %d chunks, want %d in several", dataset, len(seen), len(parts), want)
		}
		var after reader.Cursor
		later := p.open(t)
		for i, c := range parts {
			again, err := one(t.Context(), later, dataset, after, c.end)
			if err != nil || !cmp.Equal(again.rows, c.rows) || again.last != c.last {
				t.Errorf("%s: chunk %d read again has %d rows for %d, %v", dataset, i, len(again.rows), len(c.rows), err)
			}
			after = c.end
		}
	}
}

// TestRangesOfSmallKeys: a key of two or four bytes is found by ranges that it cannot hold,
// in a table, its partitions and a foreign order of rows.
func TestRangesOfSmallKeys(t *testing.T) {
	const columns = "columns: {id: technical, town: result}}\n"
	p := newPlace(t, `CREATE TABLE two (id smallint PRIMARY KEY, town text); INSERT INTO two SELECT i, 't' FROM generate_series(-32768, 32767, 5) AS i;
		CREATE TABLE four (id int PRIMARY KEY, town text); INSERT INTO four VALUES (-2147483648, 't'), (-1, 't'), (0, 't'), (2147483647, 't');
		CREATE TABLE parts (id int PRIMARY KEY, town text) PARTITION BY RANGE (id);
		CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (0); CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (0) TO (MAXVALUE);
		INSERT INTO parts SELECT i, 't' FROM generate_series(-500, 500) AS i`,
		"datasets:\n  two: {from: public.two, key: [id], "+columns+"  four: {from: public.four, key: [id], "+columns+"  parts: {from: public.parts, key: [id], "+columns)
	s := p.open(t)
	for dataset, all := range map[ecluse.DatasetID]int{"two": 13108, "four": 4, "parts": 1001} {
		for _, c := range []struct {
			ranges []reader.Range
			want   int
		}{
			{[]reader.Range{{From: math.MinInt64, To: math.MaxInt64}}, all},
			{[]reader.Range{{From: math.MinInt64, To: -1}, {From: 0, To: math.MaxInt64}}, all},
			{[]reader.Range{{From: math.MaxInt32 + 1, To: math.MaxInt64}, {From: math.MinInt64, To: math.MinInt32 - 1}}, 0},
		} {
			rows := map[int64]bool{}
			can, err := s.(reader.RangeReader).ReadRanges(t.Context(), dataset, c.ranges, func(b *record.Batch) error {
				for i := range b.Rows() {
					rows[b.Columns[0].Int(i)] = true
				}
				return nil
			})
			if err != nil || !can || len(rows) != c.want {
				t.Errorf("%s: %d rows in %v, want %d; %v, %v", dataset, len(rows), c.ranges, c.want, can, err)
			}
		}
	}
}

// TestOutOfLine: rows of a few bytes that are followed by rows of a megabyte, kept
// out of line, do not make a chunk of gigabytes.
func TestOutOfLine(t *testing.T) {
	p := newPlace(t, `CREATE TABLE scan (id int PRIMARY KEY, body bytea, note text); ALTER TABLE scan ALTER body SET STORAGE EXTERNAL;
		INSERT INTO scan SELECT i, '' FROM generate_series(1, 3000) AS i;
		INSERT INTO scan SELECT i, decode(repeat(lpad(to_hex(i), 8, '0'), 262144), 'hex') FROM generate_series(3001, 3090) AS i;
		INSERT INTO scan SELECT i, '', 'last' FROM generate_series(3091, 3100) AS i`,
		"datasets:\n  scan: {from: public.scan, key: [id], columns: {id: technical, body: {class: document, because: Scanned prescriptions are kept in this column only}, note: result}}\n")
	s := p.open(t)
	var after reader.Cursor
	rows, parts := 0, 0
	for last := false; !last; parts++ {
		size, n := 0, 0
		var err error
		after, last, err = s.ReadChunk(t.Context(), "scan", after, nil, func(b *record.Batch) error {
			if b.Size() > 3*reader.BatchBytes {
				t.Errorf("a batch of %d bytes", b.Size())
			}
			n, size = n+b.Rows(), size+b.Size()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if size > reader.ChunkBytes+reader.ChunkBytes/4 {
			t.Errorf("chunk %d has %d rows, %d bytes", parts, n, size)
		}
		rows += n
	}
	if rows != 3100 || parts < 3 || parts > 6 {
		t.Errorf("%d rows in %d chunks", rows, parts)
	}
}

func TestValuesThatDoNotFit(t *testing.T) {
	const secret = "ZQX"
	tables := `CREATE TABLE r (id int PRIMARY KEY, n numeric(6,2), t timestamptz, s text);
		INSERT INTO r VALUES (1, 1.5, now(), 'ZQX'), (2, 'NaN', '294276-12-31 23:59:59+00', 'ZQX')`
	for column, as := range map[string]string{"n": "NaN", "t": "294276-12-31 23:59:59+00"} {
		body := "datasets:\n  r: {from: public.r, key: [id], columns: {id: technical, s: result, " + column + ": %s}}\n"
		p := newPlace(t, tables, fmt.Sprintf(body, "result"))
		_, err := one(t.Context(), p.open(t), "r", nil, nil)
		if err == nil || ecluse.KindOf(err) != ecluse.Invalid || !strings.Contains(err.Error(), "column "+column+", row 1") || strings.Contains(err.Error(), secret) {
			t.Errorf("column %s: %v", column, err)
		}
		p.permitted(t, fmt.Sprintf(body, "{class: result, as: text}"))
		got, err := one(t.Context(), p.open(t), "r", nil, nil)
		if err != nil || len(got.rows) != 2 || got.rows[1] != "2|ZQX|"+as {
			t.Errorf("column %s as text: %q, %v", column, got.rows, err)
		}
	}
}

// TestStaleView: a view made for another plan is refused, and one that is not there.
func TestStaleView(t *testing.T) {
	const body = "datasets:\n  r: {from: public.r, key: [id], columns: {id: technical, s: result}, where: [{column: id, from: '%d'}]}\n"
	p := newPlace(t, "CREATE TABLE r (id int PRIMARY KEY, s text); INSERT INTO r SELECT i FROM generate_series(1, 9) AS i", fmt.Sprintf(body, 5))
	s := p.open(t)
	if got, err := one(t.Context(), s, "r", nil, nil); err != nil || len(got.rows) != 5 {
		t.Errorf("%d rows, %v", len(got.rows), err)
	}
	s.Close()
	first := p.permit.Plan()
	p.permitted(t, fmt.Sprintf(body, 7))
	p.Grant(t, first)
	if _, err := p.source.Open(t.Context(), p.permit); err == nil || ecluse.KindOf(err) != ecluse.Differs || !strings.Contains(err.Error(), "another plan") {
		t.Errorf("a view of another plan: %v", err)
	}
	postgrestest.Run(t, p.Config, `DROP VIEW "ecluse_invented-1".r`)
	if _, err := p.source.Open(t.Context(), p.permit); err == nil || ecluse.KindOf(err) != ecluse.Differs || !strings.Contains(err.Error(), "not there") {
		t.Errorf("no view: %v", err)
	}
}

// TestTablesThemselves: where the instruction says that the account may read more,
// tables are read without views, column by column.
func TestTablesThemselves(t *testing.T) {
	p := newPlace(t, `CREATE TABLE r (id int PRIMARY KEY, s text, town text, secret text); CREATE TABLE q (id int PRIMARY KEY, r int);
		INSERT INTO r SELECT i, 's' || i, 'Orléans' FROM generate_series(1, 9) AS i; INSERT INTO q SELECT i, i FROM generate_series(1, 20) AS i`, `datasets:
  r: {from: public.r, key: [id], columns: {id: technical, s: result}, where: [{column: town, in: [Orléans]}]}
  q: {from: public.q, key: [id], columns: {id: technical}, within: {r: [r]}}
accounts: {source: {may_also_read: [public.r.secret], because: The old software's maker makes views in December only}}
`)
	if v := p.permit.Plan().Datasets[0].View; v != "" {
		t.Fatalf("view %q", v)
	}
	s := p.open(t)
	if v := p.permit.Plan().Datasets[1].View; v == "" {
		t.Fatal("the other table has no view")
	}
	for dataset, want := range map[ecluse.DatasetID]int{"r": 9, "q": 9} {
		if got, err := one(t.Context(), s, dataset, nil, nil); err != nil || len(got.rows) != want || !got.last {
			t.Errorf("%s: %d rows, %v", dataset, len(got.rows), err)
		}
	}
	may, err := s.Privileges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[ecluse.TableName][]string{{Schema: "public", Name: "r"}: {"id", "s", "town"}, {Schema: "ecluse_invented-1", Name: "q"}: {"ctid", "id", "tableoid"}}
	if diff := cmp.Diff(want, may.Readable); diff != "" {
		t.Error(diff)
	}
}

func TestForeignCursors(t *testing.T) {
	p := newPlace(t, "CREATE TABLE r (id int PRIMARY KEY); INSERT INTO r SELECT i FROM generate_series(1, 9) AS i", "datasets:\n  r: {from: public.r, key: [id], columns: {id: technical}}\n")
	s := p.open(t)
	whole, err := one(t.Context(), s, "r", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []reader.Cursor{{}, []byte("x"), []byte("n00000000"), []byte("b\xff0000000"), append(whole.end, 0)} {
		for _, ends := range [][2]reader.Cursor{{c, nil}, {nil, c}} {
			if _, err := one(t.Context(), s, "r", ends[0], ends[1]); ecluse.KindOf(err) != ecluse.Invalid || err == nil {
				t.Errorf("from %q to %q: %v", ends[0], ends[1], err)
			}
		}
	}
	if _, err := one(t.Context(), s, "r", whole.end, []byte("b\x00\x00\x00\x00\x00\x00\x00\x00")); err == nil {
		t.Error("a chunk that ends before it begins was read")
	}
}

// TestLostSession: once its connection is gone an epoch answers with errors, and
// the next one reads.
func TestLostSession(t *testing.T) {
	p := newPlace(t, "CREATE TABLE r (id int PRIMARY KEY); INSERT INTO r SELECT i FROM generate_series(1, 9) AS i", "datasets:\n  r: {from: public.r, key: [id], columns: {id: technical}}\nchecks:\n  rows: {dataset: r, count: true}\n")
	s := p.open(t)
	postgrestest.Run(t, p.Config, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+p.rows.User+"'")
	for range 2 {
		if _, err := one(t.Context(), s, "r", nil, nil); err == nil || ecluse.KindOf(err) != ecluse.Failed {
			t.Errorf("a lost session reads: %v", err)
		}
		if _, err := s.Check(t.Context(), "rows"); err == nil {
			t.Error("a lost session counts")
		}
	}
	if got, err := one(t.Context(), p.open(t), "r", nil, nil); err != nil || len(got.rows) != 9 {
		t.Errorf("the next epoch: %d rows, %v", len(got.rows), err)
	}
}

// TestRowSecurity: rows that the database would hide from the account are an
// error, never a short answer.
func TestRowSecurity(t *testing.T) {
	p := newPlace(t, `CREATE TABLE r (id int PRIMARY KEY); INSERT INTO r SELECT i FROM generate_series(1, 9) AS i;
		ALTER TABLE r ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON r FOR SELECT USING (id < 3)`, `datasets:
  r: {from: public.r, key: [id], columns: {id: technical}}
accounts: {source: {may_also_read: [public.r.id], because: The old software's maker makes views in December only}}
`)
	got, err := one(t.Context(), p.open(t), "r", nil, nil)
	if err == nil {
		t.Errorf("%d rows of 9 were taken for all", len(got.rows))
	}
}

func TestSizes(t *testing.T) {
	if engine.BatchRows != reader.BatchRows || engine.BatchBytes != reader.BatchBytes {
		t.Error("batches of the engine are not those of readers")
	}
}

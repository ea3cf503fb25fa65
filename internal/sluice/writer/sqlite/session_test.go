package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/mandate/mandatetest"
	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/engine/sqlite/sqlitetest"
	"ecluse/internal/sluice/reader/readertest"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
	"ecluse/internal/stocktest"
)

// rowsOf is rows of a table whose columns are all of the type given first; row i
// is source row i.
func rowsOf(t testing.TB, f *sqlitetest.File, table string, columns []readertest.Column, values ...[]any) writer.Rows {
	t.Helper()
	source := make([]int32, len(values))
	for i := range source {
		source[i] = int32(i)
	}
	return writer.Rows{Table: f.Name(table), Batch: readertest.Batch(t, columns, values), Source: source}
}

func chunkOf(n int, tables ...writer.Rows) *writer.Chunk {
	c := &writer.Chunk{Slot: ecluse.Slot{Dataset: "rows", Sequence: n}, Tables: tables}
	for _, r := range tables {
		c.Rows = max(c.Rows, len(r.Source))
	}
	return c
}

// What a schema says to do on conflict skips or replaces no row unseen.
func TestConflictClauses(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, `
		CREATE TABLE a (id INTEGER PRIMARY KEY ON CONFLICT REPLACE, u INT UNIQUE ON CONFLICT IGNORE);
		CREATE TABLE b (id INTEGER PRIMARY KEY, u INT UNIQUE ON CONFLICT ROLLBACK);
		CREATE TRIGGER skip BEFORE INSERT ON b WHEN new.u = 13 BEGIN SELECT raise(IGNORE); END;
		INSERT INTO a VALUES (1, 1), (2, 2); INSERT INTO b VALUES (1, 1)`)
	columns := readertest.Columns(readertest.Int, "id", "u")
	_, s := open(t, f, "a", "b")
	l, err := s.Load(t.Context(), chunkOf(
		0,
		rowsOf(t, f, "a", columns, []any{int64(1), int64(10)}, []any{int64(3), int64(2)}, []any{int64(4), int64(4)}, []any{int64(5), int64(5)}, []any{int64(6), int64(6)}),
		rowsOf(t, f, "b", columns, []any{int64(2), nil}, []any{int64(3), nil}, []any{int64(4), int64(1)}, []any{int64(5), int64(13)}, []any{int64(6), int64(6)}),
	), nil)
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, r := range l.Refused {
		reasons = append(reasons, r.Reason)
	}
	want := "a: primary key a.id (1555); a: unique key a.u (2067); b: unique key b.u (2067); b: a trigger dropped a row"
	if got := strings.Join(reasons, "; "); got != want {
		t.Errorf("refused %s, want %s", got, want)
	}
	if got := strings.Join(f.Strings(t, "SELECT id||'|'||u FROM a UNION ALL SELECT id||'|'||u FROM b"), " "); got != "1|1 2|2 6|6 1|1 6|6" {
		t.Errorf("in the tables: %s", got)
	}
}

// Rows that did not come with a chunk do not go with it.
func TestUnloadCascades(t *testing.T) {
	columns := readertest.Columns(readertest.Int, "id", "refers")
	for _, action := range []string{"CASCADE", "SET NULL", "RESTRICT", "NO ACTION"} {
		f := sqlitetest.New(t)
		f.Exec(t, `CREATE TABLE patient (id INTEGER PRIMARY KEY, refers INT REFERENCES patient ON DELETE `+action+`);
			CREATE TABLE request (id INTEGER PRIMARY KEY, refers INT REFERENCES patient ON DELETE `+action+`);
			CREATE TABLE theirs (refers INT REFERENCES patient ON DELETE `+action+`)`)
		_, s := open(t, f, "patient", "request")
		chunk := chunkOf(
			0, rowsOf(t, f, "patient", columns, []any{int64(1), nil}, []any{int64(2), int64(1)}), rowsOf(t, f, "request", columns, []any{int64(7), int64(2)}),
		)
		if _, err := s.Load(t.Context(), chunk, nil); err != nil {
			t.Fatal(err)
		}
		f.Exec(t, "INSERT INTO theirs VALUES (2)")
		if _, err := s.Unload(t.Context(), chunk, writer.Unloading{}); err == nil {
			t.Errorf("%s: others' rows went or changed", action)
		}
		if got := f.Strings(t, "SELECT '' || refers FROM theirs"); len(got) != 1 || got[0] != "2" {
			t.Errorf("%s: others' rows are %q", action, got)
		}
		f.Exec(t, "DELETE FROM theirs")
		n, err := s.Unload(t.Context(), chunk, writer.Unloading{})
		if err != nil || n.Deleted[f.Name("patient")] != 2 || n.Deleted[f.Name("request")] != 1 {
			t.Errorf("%s, once the others are gone: %v, %v", action, n, err)
		}
	}
}

// Values that SQLite changes on their way in are found again on their way out.
func TestUnloadWithoutKey(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, `CREATE TABLE event (rowid TEXT COLLATE NOCASE, amount DECIMAL(10,2), weight REAL, body BLOB, b BOOLEAN);
		INSERT INTO event VALUES ('a', 1.5, 2, x'00', 1), ('A', 1.5, 2, x'00', 1), (NULL, NULL, NULL, NULL, NULL)`)
	columns := []readertest.Column{
		{Name: "rowid", Type: readertest.Text},
		{Name: "amount", Type: ecluse.Type{Kind: ecluse.Number}},
		{Name: "weight", Type: ecluse.Type{Kind: ecluse.Float, Precision: 53}},
		{Name: "body", Type: ecluse.Type{Kind: ecluse.Bytes}},
		{Name: "b", Type: ecluse.Type{Kind: ecluse.Bool}},
	}
	_, s := open(t, f, "event")
	chunk := chunkOf(0, rowsOf(
		t, f, "event", columns, []any{"A", "1.50", 2.0, []byte{0}, true}, []any{"A", "1.5000", 2.0, []byte{0}, true}, []any{nil, nil, nil, nil, nil}, []any{"", "0", 0.0, []byte{}, false},
	))
	if _, err := s.Load(t.Context(), chunk, nil); err != nil {
		t.Fatal(err)
	}
	n, err := s.Unload(t.Context(), chunk, writer.Unloading{})
	if err != nil || n.Deleted[f.Name("event")] != 4 {
		t.Errorf("%v, %v; want 4 rows", n, err)
	}
	got := f.Strings(t, "SELECT coalesce(rowid, '-') || count(*) FROM event GROUP BY rowid COLLATE BINARY ORDER BY 1")
	if strings.Join(got, " ") != "-1 A1 a1" {
		t.Errorf("left: %q", got)
	}
}

// A large chunk is taken out of a table without key in one pass, and nothing of
// it is written to a temporary file.
func TestUnloadMany(t *testing.T) {
	const rows = 100_000
	f := sqlitetest.New(t)
	f.Exec(t, "CREATE TABLE event (a INT, b INT)")
	columns := readertest.Columns(readertest.Int, "a", "b")
	_, s := open(t, f, "event")
	values := make([][]any, rows)
	for i := range values {
		values[i] = []any{int64(i % 1000), nil}
	}
	chunk := chunkOf(0, rowsOf(t, f, "event", columns, values...))
	if _, err := s.Load(t.Context(), chunk, nil); err != nil {
		t.Fatal(err)
	}
	sqlitetest.TemporaryFiles(t) // skips here where it cannot look
	done := make(chan []string)
	stop := make(chan struct{})
	go func() {
		var seen []string
		for {
			select {
			case <-stop:
				done <- seen
				return
			case <-time.After(5 * time.Millisecond):
				seen = append(seen, sqlitetest.TemporaryFiles(t)...)
			}
		}
	}()
	n, err := s.Unload(t.Context(), chunk, writer.Unloading{})
	close(stop)
	if seen := <-done; len(seen) > 0 {
		t.Errorf("temporary files %q", seen)
	}
	if err != nil || n.Deleted[f.Name("event")] != rows {
		t.Errorf("%v, %v; want %d rows", n, err, rows)
	}
}

// A target that could not be emptied again is not opened.
func TestNoWayBack(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, "CREATE TABLE k (a INT DEFAULT (random()), b INT, PRIMARY KEY (a)) WITHOUT ROWID")
	target := New(f.Path)
	cat, err := target.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shape := ecluse.Shape{Datasets: []ecluse.ShapeDataset{{
		Dataset: "rows", Reads: []string{"a"},
		Into: []ecluse.ShapeTable{{Table: f.Name("k"), Columns: []ecluse.ShapeColumn{{Column: "b", From: "a"}}}},
	}}}
	_, err = target.Open(t.Context(), mandatetest.New(t).LoadPermit(t, shape, cat, engine.Dialect{}))
	if ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("got %v, want a refusal", err)
	}
}

// In rollback-journal mode too a chunk is whole or not there; a snapshot that is
// being read keeps it out, and says so.
func TestRollbackJournal(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, "PRAGMA journal_mode=DELETE; CREATE TABLE a (id INTEGER PRIMARY KEY, u INT)")
	columns := readertest.Columns(readertest.Int, "id", "u")
	target, s := open(t, f, "a")
	if _, err := s.Load(t.Context(), chunkOf(0, rowsOf(t, f, "a", columns, []any{int64(1), nil})), nil); err != nil {
		t.Fatal(err)
	}
	sc, err := target.Snapshot(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.(*session).conn.Exec(t.Context(), "PRAGMA busy_timeout=100"); err != nil {
		t.Fatal(err)
	}
	more := chunkOf(1, rowsOf(t, f, "a", columns, []any{int64(2), nil}))
	if _, err := s.Load(t.Context(), more, nil); err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("under a snapshot's lock: %v", err)
	}
	rows := 0
	if err := sc.Scan(t.Context(), f.Name("a"), []string{"id"}, func(b *record.Batch) error { rows += b.Rows(); return nil }); err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
	sc.Close()
	if l, err := s.Load(t.Context(), more, nil); err != nil || l.Already {
		t.Errorf("afterwards: already %t, %v", l.Already, err)
	}
}

func TestReadOnlyFile(t *testing.T) {
	if os.Geteuid() == 0 {
		stocktest.Lacks(t, "a user who is not root: root writes what it likes")
	}
	f := sqlitetest.New(t)
	f.Exec(t, "PRAGMA journal_mode=DELETE; CREATE TABLE a (id INTEGER PRIMARY KEY)")
	if err := os.Chmod(f.Path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Open(t.Context(), f.Path, engine.ReadWrite); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("got %v, want a refusal", err)
	}
}

// A context that ends in the middle of an insert leaves nothing behind on its
// connection: past releases of the driver committed, or stayed in a transaction.
func TestCancelledInserts(t *testing.T) {
	const rounds, rows = 30, 5000
	f := sqlitetest.New(t)
	f.Exec(t, "CREATE TABLE a (id INTEGER PRIMARY KEY, u INT)")
	columns := readertest.Columns(readertest.Int, "id", "u")
	_, s := open(t, f, "a")
	values := make([][]any, rows)
	load := func(ctx context.Context, n int) error {
		for i := range values {
			values[i] = []any{int64(n*rows + i), nil}
		}
		_, err := s.Load(ctx, chunkOf(n, rowsOf(t, f, "a", columns, values...)), nil)
		return err
	}
	begun := time.Now()
	if err := load(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	took, in, stopped := time.Since(begun), 1, 0
	for n := 1; n <= rounds; n++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Int64N(int64(took))))
		err := load(ctx, n)
		cancel()
		if err == nil {
			in++
			continue
		}
		stopped++
		if !errors.Is(err, context.DeadlineExceeded) || ecluse.KindOf(err) != ecluse.Interrupted {
			t.Errorf("an interrupted load gave %v", err)
		}
		if got := f.Strings(t, "SELECT '' || count(*) FROM a")[0]; got != fmt.Sprint(in*rows) {
			t.Fatalf("%s rows after %d chunks and an interrupted one", got, in)
		}
		if n%3 == 0 { // and the next write is fine
			if err := load(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			in++
		}
	}
	if m, err := s.Markers(t.Context()); err != nil || len(m) != in || stopped == 0 {
		t.Errorf("%d markers for %d chunks, %d loads interrupted, %v", len(m), in, stopped, err)
	}
}

// TestReviseRestrict: SQLite lets ON DELETE RESTRICT wait for the end, too; what a trigger
// keeps, or says no to, is refused whole.
func TestReviseRestrict(t *testing.T) {
	columns := readertest.Columns(readertest.Int, "id", "refers")
	f := sqlitetest.New(t)
	f.Exec(t, `CREATE TABLE patient (id INTEGER PRIMARY KEY, refers INT REFERENCES patient ON DELETE RESTRICT);
		CREATE TABLE theirs (refers INT REFERENCES patient ON DELETE RESTRICT);
		CREATE TABLE count (n INT); INSERT INTO count VALUES (0);
		CREATE TRIGGER counted AFTER INSERT ON patient BEGIN UPDATE count SET n = n + 1; END;
		CREATE TRIGGER keeps BEFORE DELETE ON patient WHEN old.id = 7 BEGIN SELECT raise(IGNORE); END;
		CREATE TRIGGER says_no BEFORE DELETE ON patient WHEN old.id = 8 BEGIN SELECT raise(ABORT, 'no'); END`)
	_, s := open(t, f, "patient")
	version := func(n int, values ...[]any) *writer.Chunk {
		c := chunkOf(n, rowsOf(t, f, "patient", columns, values...))
		c.Slot.Version = n
		return c
	}
	old := version(0, []any{int64(1), nil}, []any{int64(2), int64(1)}, []any{int64(7), nil}, []any{int64(8), nil})
	if _, err := s.Load(t.Context(), old, nil); err != nil {
		t.Fatal(err)
	}
	f.Exec(t, "INSERT INTO theirs VALUES (1)")
	state := func() string {
		return strings.Join(f.Strings(t, "SELECT id || ':' || ifnull(refers, '') FROM patient"), " ")
	}
	goes := func(sources ...int32) []writer.Part {
		w := writer.Part{Slot: old.Slot, Rows: old.Rows, Sources: sources, Tables: []writer.Rows{{Table: f.Name("patient"), Batch: record.NewBatch(old.Tables[0].Batch.Schema, 0), Source: sources}}}
		for _, source := range sources {
			for c, col := range w.Tables[0].Batch.Columns {
				col.AppendFrom(old.Tables[0].Batch.Columns[c], int(source))
			}
		}
		return []writer.Part{w}
	}
	for _, sources := range [][]int32{{0}, {2}, {1, 3}} {
		_, err := s.Revise(t.Context(), &writer.Revision{Gone: goes(sources...), Come: []*writer.Chunk{version(1)}}, nil)
		if ecluse.KindOf(err) != ecluse.Refused || state() != "1: 2:1 7: 8:" {
			t.Errorf("source rows %v: %v, %s", sources, err, state())
		}
	}
	out, err := s.Revise(t.Context(), &writer.Revision{Gone: goes(0, 1), Come: []*writer.Chunk{version(1, []any{int64(1), int64(3)}, []any{int64(3), nil})}}, nil)
	if err != nil || len(out.Refused[0]) > 0 || state() != "1:3 3: 7: 8:" {
		t.Errorf("%v, %v, %s", err, out, state())
	}
}

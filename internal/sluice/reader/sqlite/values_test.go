package sqlite

import (
	"database/sql/driver"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/mandate/mandatetest"
	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/engine/sqlite/sqlitetest"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/reader/readertest"
	"ecluse/internal/sluice/record"
)

// open begins an epoch under an instruction that begins with "datasets:".
func open(t *testing.T, f *sqlitetest.File, body string) reader.Session {
	t.Helper()
	source := New(f.Path)
	cat, err := source.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := source.Open(t.Context(), mandatetest.New(t).ReadPermit(t, cat, engine.Dialect{}, body))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// rows reads a dataset chunk by chunk.
func rows(t *testing.T, s reader.Session, dataset ecluse.DatasetID) ([]string, error) {
	t.Helper()
	out := []string{}
	var after reader.Cursor
	for {
		end, last, err := s.ReadChunk(t.Context(), dataset, after, nil, func(b *record.Batch) error {
			out = append(out, readertest.Rows(b)...)
			return nil
		})
		if err != nil || last {
			return out, err
		}
		after = end
	}
}

func wantRows(t *testing.T, f *sqlitetest.File, body string, want ...string) {
	t.Helper()
	got, err := rows(t, open(t, f, body), "x")
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", body, diff)
	}
}

// The driver makes times of some texts in columns declared DATE; we do not.
func TestDatesAreTexts(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, `CREATE TABLE x (id INTEGER PRIMARY KEY, d DATE, dt DATETIME, ts TIMESTAMP);
		INSERT INTO x VALUES (1, '2020-01-02', '2020-01-02 03:04:05', '2020-01-02T03:04:05Z'), (2, '00/00/0000', '', '12:00'), (3, NULL, NULL, NULL);
		CREATE VIEW v AS SELECT * FROM x; CREATE TABLE k (d DATE PRIMARY KEY, n INT) WITHOUT ROWID; INSERT INTO k VALUES ('2020-01-02', 1), ('1999-12-31', 2)`)
	want := []string{"1|2020-01-02|2020-01-02 03:04:05|2020-01-02T03:04:05Z", "2|00/00/0000||12:00", "3|∅|∅|∅"}
	wantRows(t, f, "datasets:\n  x: {from: x, key: [id], columns: {id: technical, d: result, dt: result, ts: result}}\n", want...)
	wantRows(t, f, "datasets:\n  x: {from: v, key: [id], columns: {id: technical, d: result, dt: result, ts: result}}\n", want...)
	wantRows(t, f, "datasets:\n  x: {from: k, key: [d], columns: {d: result, n: result}}\n", "1999-12-31|2", "2020-01-02|1")
	wantRows(t, f, "datasets:\n  x: {from: x, distinct: d, class: result}\n", "00/00/0000|1", "2020-01-02|2")
}

// Any value can stand in any column of SQLite: one that is not of the column's
// type stops the reading, unless the column is read as text.
func TestMisfits(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, `CREATE TABLE x (id INTEGER PRIMARY KEY, i INTEGER, b BOOLEAN, n NUMERIC, r REAL, t TEXT, y BLOB, d DATE);
		INSERT INTO x (id) VALUES (1)`)
	const secret = "SECRET"
	for _, c := range []struct{ column, value, why, text string }{
		{"i", "'SECRET'", "a text where the column travels as int", secret},
		{"i", "1.5", "a real where the column travels as int", "1.5"},
		{"i", "''", "a text where the column travels as int", ""},
		{"i", "x'534543524554'", "a blob where the column travels as int", secret},
		{"b", "2", "an integer where the column travels as bool", "2"},
		{"b", "'true'", "a text where the column travels as bool", "true"},
		{"n", "'< 5'", "a text where the column travels as number", "< 5"},
		{"n", "x'31'", "a blob where the column travels as number", "1"},
		{"r", "'SECRET'", "a text where the column travels as float(53)", secret},
		{"t", "x'534543524554'", "a blob where the column travels as text", secret},
		{"y", "'SECRET'", "a text where the column travels as bytes", secret},
		{"d", "20200102", "an integer where the column travels as text", "20200102"},
		{"d", "2458850.5", "a real where the column travels as text", "2458850.5"},
	} {
		f.Exec(t, "UPDATE x SET i = NULL, b = NULL, n = NULL, r = NULL, t = NULL, y = NULL, d = NULL; UPDATE x SET "+c.column+" = "+c.value)
		f.Exec(t, "INSERT OR REPLACE INTO x (id) VALUES (0), (-7)")
		class := "result"
		if c.column == "y" {
			class = "{class: document, because: The old software keeps scanned prescriptions in this column only}"
		}
		_, err := rows(t, open(t, f, fmt.Sprintf("datasets:\n  x: {from: x, key: [id], columns: {id: technical, %s: %s}}\n", c.column, class)), "x")
		if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "dataset x: row 3, column "+c.column+": the database holds "+c.why) {
			t.Errorf("%s = %s: %v", c.column, c.value, err)
		}
		asText := "{class: result, as: text}"
		if c.column == "y" {
			asText = "{class: document, as: text, because: The old software keeps scanned prescriptions in this column only}"
		}
		wantRows(t, f, fmt.Sprintf("datasets:\n  x: {from: x, key: [id], columns: {id: technical, %s: %s}}\n", c.column, asText), "-7|∅", "0|∅", "1|"+c.text)
	}
}

func TestTextThatIsNotUTF8(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, "CREATE TABLE x (id INTEGER PRIMARY KEY, t TEXT); INSERT INTO x VALUES (1, CAST(x'4c4546c8565245' AS TEXT))")
	_, err := rows(t, open(t, f, "datasets:\n  x: {from: x, key: [id], columns: {id: technical, t: identity}}\n"), "x")
	if err == nil || !strings.Contains(err.Error(), "row 1, column t: the text is not valid UTF-8") {
		t.Error(err)
	}
}

// The shortest decimal that stands for the binary number SQLite keeps.
func TestNumbers(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, `CREATE TABLE x (id INTEGER PRIMARY KEY, n DECIMAL(30,10));
		INSERT INTO x VALUES (1, '12.50'), (2, 0.1+0.2), (3, '9223372036854775807'), (4, 1e20), (5, -1e-7), (6, 9e999), (7, '-0.0'), (8, '123456789.123456')`)
	s := open(t, f, "datasets:\n  x: {from: x, key: [id], columns: {id: technical, n: result}}\n")
	var got []string
	_, _, err := s.ReadChunk(t.Context(), "x", nil, nil, func(b *record.Batch) error {
		for i := range b.Rows() {
			got = append(got, string(b.Columns[1].Bytes(i)))
		}
		return nil
	})
	want := []string{"12.5", "0.30000000000000004", "9223372036854775807", "100000000000000000000", "-0.0000001", "Infinity", "0", "123456789.123456"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// A condition holds for values of the column's own kind only: in SQLite any text
// is larger than any number.
func TestConditionsOnMisfits(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, `CREATE TABLE x (id INTEGER PRIMARY KEY, i INTEGER, n NUMERIC, b BOOLEAN, s VARCHAR COLLATE NOCASE, d DATE);
		INSERT INTO x VALUES (1, 5, 5, 1, 'a', '2020'), (2, 'five', '< 5', 'true', 'A', '2020-01-01'), (3, 5.5, 5.5, 0, 'a ', 5), (4, x'35', x'35', 2, x'61', NULL)`)
	for where, want := range map[string][]string{
		"{column: i, from: '1'}":             {"1"},
		"{column: n, from: '1'}":             {"1", "3"},
		"{column: n, in: ['5', '5.50']}":     {"1", "3"},
		"{column: b, in: ['true']}":          {"1"},
		"{column: b, in: ['true', 'false']}": {"1", "3"},
		"{column: s, in: ['a']}":             {"1", "4"}, // by bytes, whatever the column's collation
		"{column: d, in: ['2020', '5']}":     {"1", "3"},
		"{column: d, not_null: true}":        {"1", "2", "3"},
	} {
		wantRows(t, f, "datasets:\n  x: {from: x, key: [id], columns: {id: technical}, where: ["+where+"]}\n", want...)
	}
}

func TestOddTables(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, `CREATE TABLE "a ""b"" [c]" (rowid TEXT, "select" INT, "é (x)" TEXT); INSERT INTO "a ""b"" [c]" VALUES ('z', 1, 'un'), ('a', 2, 'deux');
		CREATE TABLE hidden (rowid INT, _rowid_ INT, oid INT); INSERT INTO hidden VALUES (2, 1, 1), (1, 1, NULL), (1, NULL, 5);
		CREATE TABLE nocase (k TEXT COLLATE NOCASE, n INT, PRIMARY KEY (k, n)) WITHOUT ROWID; INSERT INTO nocase VALUES ('b', 1), ('A', 2), ('B', 3), ('a', 4);
		CREATE TABLE untyped (id INTEGER PRIMARY KEY, v); INSERT INTO untyped VALUES (1, 1), (2, 1.5), (3, 'un'), (4, x'6465757821'), (5, NULL);
		CREATE TABLE strict (id INT PRIMARY KEY, g INT AS (id * 2) STORED) STRICT, WITHOUT ROWID; INSERT INTO strict (id) VALUES (3), (1)`)
	wantRows(t, f, "datasets:\n  x: {from: '\"a \"\"b\"\" [c]\"', columns: {rowid: technical, select: result, é (x): result}}\n", "z|1|un", "a|2|deux")
	wantRows(t, f, "datasets:\n  x: {from: hidden, key: [oid], columns: {rowid: technical, _rowid_: technical, oid: technical}}\n", "1|1|∅", "2|1|1", "1|∅|5")
	wantRows(t, f, "datasets:\n  x: {from: nocase, key: [n, k], columns: {k: technical, n: result}}\n", "b|1", "A|2", "B|3", "a|4")
	wantRows(t, f, "datasets:\n  x: {from: nocase, key: [n], columns: {k: technical, n: result}}\n", "b|1", "A|2", "B|3", "a|4")
	wantRows(t, f, "datasets:\n  x: {from: nocase, distinct: k, class: result}\n", "A|1", "B|2", "a|3", "b|4")
	wantRows(t, f, "datasets:\n  x: {from: untyped, key: [id], columns: {id: technical, v: result}}\n", "1|1", "2|1.5", "3|un", "4|deux!", "5|∅")
	wantRows(t, f, "datasets:\n  x: {from: strict, key: [id], columns: {id: technical, g: result}}\n", "1|2", "3|6")
}

func TestUTF16(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, "PRAGMA encoding='UTF-16le'; CREATE TABLE x (id INTEGER PRIMARY KEY, t TEXT); INSERT INTO x VALUES (1, 'LEFÈVRE 𝄞'), (2, 'a'||char(0)||'b')")
	if got := f.Strings(t, "PRAGMA encoding"); got[0] != "UTF-16le" {
		t.Fatalf("the file is %s", got)
	}
	wantRows(t, f, "datasets:\n  x: {from: x, key: [id], columns: {id: technical, t: identity}, where: [{column: t, in: ['LEFÈVRE 𝄞', \"a\\0b\"]}]}\n", "1|LEFÈVRE 𝄞", "2|a\x00b")
}

// Sorting does not write values into temporary files.
func TestNoTemporaryFile(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, `CREATE TABLE x (t TEXT); CREATE VIEW v AS SELECT * FROM x;
		INSERT INTO x WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM g WHERE i < 100000) SELECT hex(randomblob(50)) FROM g`)
	s := open(t, f, "datasets:\n  x: {from: v, columns: {t: identity}}\n  d: {from: x, distinct: t, class: identity}\n")
	for _, d := range []ecluse.DatasetID{"x", "d"} {
		_, _, err := s.ReadChunk(t.Context(), d, nil, nil, func(*record.Batch) error {
			if names := sqlitetest.TemporaryFiles(t); len(names) > 0 {
				return fmt.Errorf("temporary files %q", names)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// Between any two places lie the rows between them, nulls and equal rows too.
func TestBetweenPlaces(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, `CREATE TABLE x (a TEXT, b INT);
		INSERT INTO x VALUES (NULL, NULL), (NULL, NULL), (NULL, 1), ('', NULL), ('', 2), ('', 2), ('B', NULL), ('a', 1), ('a', 1.0), ('a', 3), ('b', 0);
		CREATE VIEW v AS SELECT * FROM x;
		CREATE TABLE k (a TEXT, b INT, PRIMARY KEY (a, b)) WITHOUT ROWID; INSERT INTO k SELECT DISTINCT * FROM x WHERE a IS NOT NULL AND b IS NOT NULL`)
	for name, s := range map[string]reader.Session{
		"sorted":   open(t, f, "datasets:\n  x: {from: v, key: [a], columns: {a: result, b: result}}\n"),
		"keyed":    open(t, f, "datasets:\n  x: {from: k, key: [a, b], columns: {a: result, b: result}}\n"),
		"rowid":    open(t, f, "datasets:\n  x: {from: x, columns: {a: result, b: result}}\n"),
		"distinct": open(t, f, "datasets:\n  x: {from: v, distinct: a, class: result}\n"),
	} {
		all, err := rows(t, s, "x")
		if err != nil || len(all) < 4 {
			t.Fatalf("%s: %d rows, %v", name, len(all), err)
		}
		places := placesOf(t, s.(*session), len(all))
		for from := range places {
			for to := from; to < len(places); to++ {
				if places[to] == nil {
					continue
				}
				got := []string{}
				end, last, err := s.ReadChunk(t.Context(), "x", places[from], places[to], func(b *record.Batch) error {
					got = append(got, readertest.Rows(b)...)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(all[from:to], got); diff != "" || last != (to == len(all)) || !cmp.Equal(end, places[to]) {
					t.Errorf("%s: from %d to %d, last %t (-want +got):\n%s", name, from, to, last, diff)
				}
			}
		}
	}
}

// placesOf walks through dataset x and keeps the cursor behind each row.
func placesOf(t *testing.T, s *session, n int) []reader.Cursor {
	t.Helper()
	sel, err := engine.Select(s.plan, &s.plan.Datasets[0])
	if err != nil {
		t.Fatal(err)
	}
	c := &chunk{selection: sel, conn: s.conn, throttle: s.throttle}
	rows, err := c.query(t.Context(), &cursor{}, int64(n))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	places := []reader.Cursor{nil}
	for {
		ok, err := rows.next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return places
		}
		rows.pass()
		rows.at.rows++
		places = append(places, rows.at.encode())
	}
}

func FuzzCursor(f *testing.F) {
	for _, c := range []cursor{
		{},
		{rows: 7, key: []driver.Value{int64(-3)}},
		{rows: 1 << 40, skip: 3, key: []driver.Value{nil, 1.5, "texte", []byte{0, 1}}},
	} {
		f.Add([]byte(c.encode()), len(c.key))
	}
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if n < 0 || n > 8 {
			return
		}
		c, err := parseCursor(b, n)
		if err != nil || len(b) == 0 {
			return
		}
		again, err := parseCursor(c.encode(), n)
		if err != nil || !cmp.Equal(again.encode(), c.encode()) {
			t.Errorf("%x is read, written and not read again: %v", b, err)
		}
	})
}

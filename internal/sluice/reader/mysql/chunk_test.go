package mysql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

func count(n *int) func(*record.Batch) error {
	return func(b *record.Batch) error {
		*n += b.Rows()
		return nil
	}
}

const spread = `
CREATE TABLE signed (k int PRIMARY KEY, v int); INSERT INTO signed SELECT (CAST(seq AS signed) - 135000) * 7, seq FROM seq_1_to_270000;
CREATE TABLE huge (k bigint unsigned PRIMARY KEY, v int); INSERT INTO huge SELECT 18446744073709551615 - (seq - 1) * 61489146912365172, seq FROM seq_1_to_300;
CREATE TABLE pair (a smallint NOT NULL, b char(3) NOT NULL, c bigint unsigned NOT NULL, v int, PRIMARY KEY (a, b, c)); INSERT INTO pair SELECT CAST(seq % 3 AS signed) - 1, CHAR(65 + seq % 20), seq, seq FROM seq_1_to_140000;
CREATE TABLE texts (k varchar(20) COLLATE utf8mb4_bin NOT NULL UNIQUE, v int); INSERT INTO texts SELECT CONCAT(ELT(1 + seq % 5, 'É', 'e', 'E', 'é', ' '), MD5(seq) ), seq FROM seq_1_to_100000;
INSERT INTO texts VALUES ('a', -1), ('a\t', -2), ('ab', -3), ('', -4);
CREATE TABLE days (k date PRIMARY KEY, v int); INSERT INTO days SELECT '1970-01-01' + INTERVAL seq DAY, seq FROM seq_1_to_3000;
CREATE TABLE keyless (a int, b varchar(9), c text); INSERT INTO keyless SELECT seq % 7, IF(seq % 11 = 0, NULL, seq % 1000), IF(seq % 2, REPEAT('x', 5), 'X') FROM seq_1_to_140000;
CREATE TABLE blobs (k int PRIMARY KEY, b longblob); INSERT INTO blobs SELECT seq, REPEAT(CHAR(64 + seq), 1000000) FROM seq_1_to_40;
`

const spreadBody = `
datasets:
  signed: {from: {db}.signed, key: [k], columns: {k: technical, v: technical}}
  huge: {from: {db}.huge, key: [k], columns: {k: technical, v: technical}}
  pair: {from: {db}.pair, key: [a, b, c], columns: {v: technical, a: technical, b: technical, c: technical}}
  texts: {from: {db}.texts, key: [k], columns: {k: technical, v: technical}}
  days: {from: {db}.days, key: [k], columns: {k: technical, v: technical}}
  keyless: {from: {db}.keyless, columns: {a: technical, b: technical, c: technical}}
  blobs: {from: {db}.blobs, key: [k], columns: {k: technical, b: {class: document, because: the scanned letters of each request have to be kept}}}
checks:
  all: {dataset: signed, count: true, sum: k}
`

// Every dataset, in every way of taking it up: in one go, chunk by chunk in new
// sessions, and again between the same cursors.
func TestChunks(t *testing.T) {
	l := newLab(t, spread)
	for _, consistency := range []string{"snapshot", "locked", "frozen", "reread"} {
		t.Run(consistency, func(t *testing.T) {
			l.world.Consistency = consistency
			p := l.permit(t, spreadBody)
			s := l.openWith(t, p)
			for dataset, want := range map[ecluse.DatasetID]struct{ rows, chunks int }{
				"signed": {270000, 5}, "huge": {300, 1}, "pair": {140000, 3}, "texts": {100004, 2}, "days": {3000, 1}, "keyless": {140000, 3}, "blobs": {40, 2},
			} {
				chunks := readAll(t, s, dataset)
				var all []string
				for _, c := range chunks {
					all = append(all, lines(c.rows)...)
				}
				if len(all) != want.rows || len(chunks) != want.chunks {
					t.Fatalf("%s: %d rows in %d chunks; want %d in %d", dataset, len(all), len(chunks), want.rows, want.chunks)
				}
				if unique := slices.Compact(slices.Sorted(slices.Values(all))); dataset != "keyless" && len(unique) != want.rows {
					t.Errorf("%s: %d different rows of %d", dataset, len(unique), want.rows)
				}
				other := l.openWith(t, p)
				var after reader.Cursor
				for i, c := range chunks { // in another epoch, up to the same places
					again, err := readChunk(t.Context(), other, dataset, after, c.end)
					if err != nil || !slices.Equal(lines(again.rows), lines(c.rows)) || again.last != c.last || string(again.end) != string(c.end) {
						t.Fatalf("%s: chunk %d came out differently: %v, %d rows, last %v", dataset, i, err, len(again.rows), again.last)
					}
					after = c.end
				}
				if len(chunks) > 1 { // and from the middle, out of turn
					again, err := readChunk(t.Context(), other, dataset, chunks[0].end, nil)
					if err != nil || !slices.Equal(lines(again.rows), lines(chunks[1].rows)) {
						t.Fatalf("%s: taken up again: %v, %d rows", dataset, err, len(again.rows))
					}
				}
				if err := other.Close(); err != nil {
					t.Error(err)
				}
			}
			if got := figures(t, s, "all"); got != "NULL|270000|945000|NULL|NULL" {
				t.Errorf("check: %s", got)
			}
		})
	}
}

func lines(rows [][]string) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = strings.Join(r, "|")
	}
	return out
}

func few(ddl string) string {
	return strings.NewReplacer("140000", "1000", "270000", "1000", "_40;", "_2;").Replace(ddl)
}

func TestTextKeysGoByBytes(t *testing.T) {
	l := newLab(t, few(spread))
	s := l.open(t, spreadBody)
	var keys []string
	for _, r := range allRows(t, s, "texts") {
		keys = append(keys, r[0])
	}
	if !slices.IsSorted(keys) {
		t.Error("keys are not in the order of their bytes")
	}
	if i := slices.Index(keys, "a"); i < 0 || keys[i+1] != "a\t" || keys[i+2] != "ab" {
		t.Errorf("around a: %q", keys[i:i+3])
	}
}

// A check in the middle of a dataset interrupts a statement under way, and the
// snapshot stays.
func TestInterruptedStatementKeepsTheSnapshot(t *testing.T) {
	l := newLab(t, spread)
	s := l.open(t, spreadBody)
	first, err := readChunk(t.Context(), s, "texts", nil, nil)
	if err != nil || first.last {
		t.Fatalf("%v, last %v", err, first.last)
	}
	l.db.Run(t, "DELETE FROM signed WHERE k < 0; DELETE FROM texts")
	kills := func() (n int) {
		if err := l.db.QueryRow("SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'COM_KILL'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := kills()
	if got := figures(t, s, "all"); got != "NULL|270000|945000|NULL|NULL" {
		t.Errorf("check: %s", got)
	}
	if kills() == before {
		t.Error("the statement was read to its end and not interrupted")
	}
	var rest int
	_, last, err := s.ReadChunk(t.Context(), "texts", first.end, nil, count(&rest))
	if err != nil || !last || rest != 100004-len(first.rows) {
		t.Errorf("rest: %v, %d rows, last %v", err, rest, last)
	}
}

func TestEmptyAndGrowingDatasets(t *testing.T) {
	l := newLab(t, "CREATE TABLE g (k int PRIMARY KEY)")
	l.world.Consistency = "reread"
	s := l.open(t, "datasets:\n  g: {from: {db}.g, key: [k], columns: {k: technical}}")
	c, err := readChunk(t.Context(), s, "g", nil, nil)
	if err != nil || !c.last || c.end != nil || len(c.rows) > 0 {
		t.Fatalf("empty: %+v, %v", c, err)
	}
	l.db.Run(t, "INSERT INTO g VALUES (5), (6)")
	c, err = readChunk(t.Context(), s, "g", nil, nil)
	if err != nil || !c.last || len(c.rows) != 2 {
		t.Fatalf("two rows: %+v, %v", c, err)
	}
	l.db.Run(t, "INSERT INTO g VALUES (1), (9); DELETE FROM g WHERE k = 6")
	again, err := readChunk(t.Context(), s, "g", nil, c.end)
	if err != nil || again.last || fmt.Sprint(again.rows) != "[[1] [5]]" || string(again.end) != string(c.end) {
		t.Fatalf("up to a row that is gone: %+v, %v", again, err)
	}
	rest, err := readChunk(t.Context(), s, "g", again.end, nil)
	if err != nil || !rest.last || fmt.Sprint(rest.rows) != "[[9]]" {
		t.Fatalf("what is new: %+v, %v", rest, err)
	}
}

func TestCursorsOfOtherDatasetsAreRefused(t *testing.T) {
	l := newLab(t, few(spread))
	s := l.open(t, spreadBody)
	for _, c := range []string{"", "k", "n", "k\x07aaaaaaa", "k\x08aaaaaaaa\x00", "k\xff\xff\xff\xff\x0f", "n\x01\x01", "x"} {
		for _, d := range []ecluse.DatasetID{"signed", "pair"} {
			if _, err := readChunk(t.Context(), s, d, reader.Cursor(c), nil); ecluse.KindOf(err) != ecluse.Invalid {
				t.Errorf("%s takes %q: %v", d, c, err)
			}
		}
	}
	_, err := readChunk(t.Context(), s, "keyless", reader.Cursor("n\x14"), reader.Cursor("n\x0a"))
	wantError(t, err, ecluse.Invalid, "ends before it begins")
	_, err = readChunk(t.Context(), s, "nothing", nil, nil)
	wantError(t, err, ecluse.Refused, "no such dataset")
}

// The caller's own error comes back as it is, and the session goes on.
func TestCallersErrorComesBack(t *testing.T) {
	l := newLab(t, few(spread))
	s := l.open(t, spreadBody)
	mine := fmt.Errorf("mine")
	_, _, err := s.ReadChunk(t.Context(), "signed", nil, nil, func(*record.Batch) error { return mine })
	if err != mine {
		t.Errorf("got %v", err)
	}
	if n := len(allRows(t, s, "days")); n != 3000 {
		t.Errorf("afterwards: %d rows", n)
	}
}

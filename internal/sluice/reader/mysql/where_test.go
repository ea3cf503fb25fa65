package mysql

import (
	"fmt"
	"strings"
	"testing"

	"ecluse"
)

const filtered = `
CREATE TABLE w (id int PRIMARY KEY, t varchar(20), l varchar(20) CHARACTER SET latin1, kind enum('a','A','é'), fixed char(4), n int, ubig bigint unsigned, bits bit(3),
	y year, price decimal(10,2), f float, day date, at datetime(3), stamp timestamp NOT NULL DEFAULT '2020-01-01', span time) COLLATE utf8mb4_general_ci;
INSERT INTO w VALUES
 (1, 'Dupont', 'é', 'a', 'x', 15, 18446744073709551615, b'101', 2015, 12.5, 0.1, '2015-01-01', '2015-01-01 00:00:00', '2015-01-01 00:00:00', '08:30:00'),
 (2, 'dupont', 'e', 'é', 'X', -3, 9223372036854775808, b'001', 1915, 12.49, 1e10, '2014-12-31', '2014-12-31 23:59:59.999', '2014-12-31 23:59:59', '-01:00:00'),
 (3, 'Dupont ', 'É', 'a', 'x', NULL, 0, b'000', 2000, -1, -1, '2020-02-29', '2020-02-29 12:00:00', '2020-02-29 12:00:00', '100:00:00'),
 (4, 'Dupônt', '', NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, '0000-00-00', NULL, '0000-00-00', NULL),
 (5, 'O''Br\\ien"', NULL, NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2020-01-01', NULL);
`

func TestConditions(t *testing.T) {
	l := newLab(t, filtered)
	for condition, want := range map[string]string{
		`{column: t, in: [Dupont]}`:                      "1", // not dupont, not «Dupont », not Dupônt
		`{column: t, in: ["Dupont ", dupont]}`:           "2 3",
		`{column: t, in: ['O''Br\ien"']}`:                "5",
		`{column: l, in: [é]}`:                           "1",
		`{column: kind, in: [a]}`:                        "1 3",
		`{column: fixed, in: [x]}`:                       "1 3",
		`{column: n, from: "0", before: "15"}`:           "4 5",
		`{column: n, in: ["15", "-3"]}`:                  "1 2",
		`{column: ubig, from: "9223372036854775808"}`:    "1 2",
		`{column: ubig, in: ["18446744073709551615"]}`:   "1",
		`{column: bits, from: "1", before: "5"}`:         "2",
		`{column: y, in: ["15"]}`:                        "", // not 2015
		`{column: y, from: "1915", before: "2001"}`:      "2 3",
		`{column: price, from: "12.49", before: "12.5"}`: "2",
		`{column: f, from: "1.5"}`:                       "2",
		`{column: day, from: "2015-01-01"}`:              "1 3",
		`{column: day, before: "2015-01-01"}`:            "2 4",
		`{column: day, not_null: true}`:                  "1 2 3 4", // zero is not null
		`{column: at, from: "2015-01-01T00:00:00"}`:      "1 3",
		`{column: at, in: ["2014-12-31T23:59:59.999"]}`:  "2",
		`{column: stamp, from: "2015-01-01T01:00:00+01:00", before: "2020-02-29T12:00:00Z"}`: "1 5",
		`{column: stamp, in: ["2020-02-29T12:00:00Z"]}`:                                      "3",
		`{column: span, from: "08:00:00"}`:                                                   "1 3",
		`{column: t, in: [Dupont]}, {column: n, from: "16"}`:                                 "",
	} {
		s := l.open(t, "datasets:\n  w: {from: {db}.w, key: [id], columns: {id: technical}, where: ["+condition+"]}")
		var ids []string
		for _, r := range allRows(t, s, "w") {
			ids = append(ids, r[0])
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%s: %q, want %q", condition, got, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A view filters by the moment itself, whatever the time zone of whoever reads it.
func TestInstantsDoNotDependOnTheReadersZone(t *testing.T) {
	l := newLab(t, filtered)
	p := l.permit(t, `datasets:
  w: {from: {db}.w, key: [id], columns: {id: technical}, where: [{column: stamp, from: "2015-01-01T00:00:00Z", before: "2016-01-01T00:00:00Z"}]}`)
	for _, zone := range []string{"+00:00", "-11:00", "+13:00"} {
		l.db.Run(t, "SET time_zone = '"+zone+"'")
		var ids string
		if err := l.db.QueryRow("SELECT GROUP_CONCAT(id) FROM " + strings.ReplaceAll("`"+p.Plan().Datasets[0].View+"`", ".", "`.`")).Scan(&ids); err != nil {
			t.Fatal(err)
		}
		if ids != "1" {
			t.Errorf("in %s the view shows %s", zone, ids)
		}
	}
}

const chained = `
CREATE TABLE a (code varchar(10) COLLATE utf8mb4_bin, part smallint, y int, note varchar(9), PRIMARY KEY (code, part)) DEFAULT CHARSET=utf8mb4;
INSERT INTO a VALUES ('A', 1, 2020, ''), ('a', 1, 2020, ''), ('B', 1, 2010, ''), ('É', -2, 2020, '');
CREATE TABLE b (id bigint unsigned PRIMARY KEY, a_code varchar(12) CHARACTER SET latin1, a_part int);
INSERT INTO b VALUES (1, 'A', 1), (2, 'a', 1), (3, 'á', 1), (4, 'B', 1), (5, 'É', -2), (6, 'E', -2), (18446744073709551615, 'A', 1), (8, 'A', NULL), (9, 'A ', 1);
CREATE TABLE c (id int PRIMARY KEY, b_id bigint unsigned, x int);
INSERT INTO c VALUES (10, 1, 1), (11, 3, 1), (12, 18446744073709551615, 1), (13, NULL, 1), (14, 5, 1), (15, 9, 1), (16, 2, 1);
`

func TestWithinGoesByBytesAndThroughOthers(t *testing.T) {
	l := newLab(t, chained)
	for _, consistency := range []string{"snapshot", "locked"} {
		for _, reach := range []string{"", "accounts: {source: {may_also_read: all, because: the old server is too slow for views and ends in December}}\n"} {
			l.world.Consistency = consistency
			s := l.open(t, `
datasets:
  a: {from: '{db}.a', key: [code, part], columns: {code: technical, part: technical}, where: [{column: 'y', from: "2015"}, {column: code, in: [A, É]}]}
  b: {from: '{db}.b', key: [id], columns: {id: technical}, within: {a: [a_code, a_part]}}
  c: {from: '{db}.c', key: [id], columns: {id: technical}, within: {b: [b_id]}}
checks:
  c: {dataset: c, count: true, sum: id}
`+reach)
			wantRows(t, allRows(t, s, "a"), "A|1", "É|-2")
			wantRows(t, allRows(t, s, "b"), "1", "5", "18446744073709551615")
			wantRows(t, allRows(t, s, "c"), "10", "12", "14")
			if got := figures(t, s, "c"); got != "NULL|3|36|NULL|NULL" {
				t.Errorf("check: %s", got)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestDistinctGoesByBytes(t *testing.T) {
	l := newLab(t, `CREATE TABLE d (v varchar(30), l varchar(30) CHARACTER SET latin1, long_ones mediumtext, n int, day date) ENGINE=MyISAM;
		INSERT INTO d VALUES ('Dr Léa', 'é', 'z', 10, '0000-00-00'), ('dr léa', 'É', 'Z', 9, '2020-01-01'), ('Dr Lea', 'e', 'z ', 9, NULL), ('Dr Léa ', 'ÿ', 'z', 10, '0000-00-00'), ('Dr Léa', '€', REPEAT('z', 9000), 1, '2020-01-01'), (NULL, NULL, NULL, NULL, NULL)`)
	l.world.Consistency = "frozen"
	s := l.open(t, `
datasets:
  v: {from: '{db}.d', distinct: v, class: prescriber}
  l: {from: '{db}.d', distinct: l, class: prescriber}
  long: {from: '{db}.d', distinct: long_ones, class: prescriber}
  n: {from: '{db}.d', distinct: n, class: prescriber, as: text}
  day: {from: '{db}.d', distinct: day, class: prescriber, as: text}
checks:
  v: {dataset: v, count: true}
`)
	wantRows(t, allRows(t, s, "v"), "Dr Lea|1", "Dr Léa|2", "Dr Léa |3", "dr léa|4")
	wantRows(t, allRows(t, s, "l"), "e|1", "É|2", "é|3", "ÿ|4", "€|5")
	wantRows(t, allRows(t, s, "long"), "Z|1", "z|2", "z |3", strings.Repeat("z", 9000)+"|4")
	wantRows(t, allRows(t, s, "n"), "1|1", "10|2", "9|3")
	wantRows(t, allRows(t, s, "day"), "0000-00-00|1", "2020-01-01|2")
	if got := figures(t, s, "v"); got != "NULL|4|NULL|NULL|NULL" {
		t.Errorf("check: %s", got)
	}
	first, err := readChunk(t.Context(), s, "v", nil, []byte("n\x02"))
	if err != nil || fmt.Sprint(first.rows) != "[[Dr Lea 1] [Dr Léa 2]]" || first.last {
		t.Errorf("first two: %+v, %v", first, err)
	}
	rest, err := readChunk(t.Context(), l.openWith(t, l.permit(t, "datasets:\n  v: {from: '{db}.d', distinct: v, class: prescriber}")), "v", first.end, nil)
	if err != nil || !rest.last || rest.rows[0][1] != "3" {
		t.Errorf("the rest: %+v, %v", rest, err)
	}
}

// Values that differ only beyond what the server sorts by cannot be put in order:
// better an error than one of them lost.
func TestDistinctBeyondWhatTheServerSorts(t *testing.T) {
	l := newLab(t, `CREATE TABLE d (v mediumtext); INSERT INTO d SELECT CONCAT(REPEAT('z', 5000), 20 - seq) FROM seq_1_to_19`)
	s := l.open(t, "datasets:\n  v: {from: '{db}.d', distinct: v, class: prescriber}")
	c, err := readChunk(t.Context(), s, "v", nil, nil)
	if err != nil {
		wantError(t, err, ecluse.Failed, "order", "4096")
		return
	}
	for i := 1; i < len(c.rows); i++ {
		if c.rows[i-1][0] >= c.rows[i][0] {
			t.Fatalf("row %d is not in order", i)
		}
	}
	if len(c.rows) != 19 {
		t.Errorf("%d rows", len(c.rows))
	}
}

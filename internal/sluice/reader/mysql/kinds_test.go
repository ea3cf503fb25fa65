package mysql

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"

	"ecluse"
)

const kinds = `
CREATE TABLE kinds (
  id int PRIMARY KEY, tiny tinyint(1), small smallint unsigned, medium mediumint, whole int(8) unsigned zerofill, big bigint, ubig bigint unsigned,
  one bit(1), bits bit(10), bits63 bit(63), bits64 bit(64), year year, price decimal(12,3), zeros decimal(8,2) zerofill, vast decimal(30,10), f float, g float(7,2), d double,
  fixed char(6), words varchar(20), long_words text, kind enum('a','é','') NOT NULL DEFAULT '', tags set('x','y','é') CHARACTER SET latin1, note json,
  raw varbinary(20), padded binary(4), large longblob, place point, address inet6, mark uuid,
  day date, at datetime(6), at3 datetime(3), stamp timestamp(6) NULL, span time(3), twice int AS (id * 2) VIRTUAL, initial char(1) AS (left(words, 1)) STORED
) DEFAULT CHARSET=utf8mb4;
INSERT INTO kinds (id, tiny, small, medium, whole, big, ubig, one, bits, bits63, bits64, year, price, zeros, vast, f, g, d, fixed, words, long_words, kind, tags, note, raw, padded, large, place, address, mark, day, at, at3, stamp, span) VALUES
 (1, -128, 65535, -8388608, 42, -9223372036854775808, 18446744073709551615, b'1', b'1010101010', 9223372036854775807, 18446744073709551615, 0, -999999999.999, 3.5,
  12345678901234567890.0123456789, 16777217, 99999.99, -1.7976931348623157e308, 'ab  ', 'é 𝒳 \\ '' \0 \r\n ', repeat('long ', 20000), 'é', 'y,é', '{"b":1,"a":[1.0,1e2]}',
  x'00ff0d0a1a00', x'61', repeat(x'ab', 100000), ST_GeomFromText('POINT(1 2)'), '2001:db8::1', '123e4567-e89b-12d3-a456-426655440000',
  '9999-12-31', '9999-12-31 23:59:59.999999', '1969-12-31 23:59:59.999', '2038-01-19 03:14:07.999999', '-838:59:59.999'),
 (2, 127, 0, 8388607, 0, 9223372036854775807, 0, b'0', b'0', 0, 0, 2155, 0.001, 0, -0.0000000001, -0e0, 0.1, 4.9e-324, '', '', '', 'nothing such', '', 'null',
  '', '', '', NULL, '::', NULL, '0000-01-01', '1000-01-01', '2024-02-29', '1970-01-01 00:00:01', '838:59:59'),
 (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'a', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
`

func TestKinds(t *testing.T) {
	l := newLab(t, kinds)
	column := map[string][2]string{ // in rows 1 and 2
		"tiny": {"-128", "127"}, "small": {"65535", "0"}, "medium": {"-8388608", "8388607"}, "whole": {"42", "0"},
		"big": {"-9223372036854775808", "9223372036854775807"}, "ubig": {"18446744073709551615", "0"},
		"one": {"1", "0"}, "bits": {"682", "0"}, "bits63": {"9223372036854775807", "0"}, "bits64": {"18446744073709551615", "0"},
		"year": {"0", "2155"}, "price": {"-999999999999", "1"}, "zeros": {"350", "0"},
		"vast": {"12345678901234567890.0123456789", "-0.0000000001"},
		"f":    {"1.6777216e+07", "0"}, "g": {"99999.9921875", "0.10000000149011612"}, "d": {"-1.7976931348623157e+308", "5e-324"},
		"fixed": {"ab", ""}, "words": {"é 𝒳 \\ ' \x00 \r\n ", ""}, "long_words": {strings.Repeat("long ", 13107), ""},
		"kind": {"é", ""}, "tags": {"y,é", ""},
		"address": {"2001:db8::1", "::"}, "mark": {"123e4567-e89b-12d3-a456-426655440000", "NULL"},
		"day": {"2932896", "-719528"}, "at": {"253402300799999999", "-30610224000000000"}, "at3": {"-1000", "1709164800000000"},
		"stamp": {"2147483647999999", "1000000"}, "span": {"-3020399999000", "3020399000000"}, "twice": {"2", "4"}, "initial": {"é", ""},
	}
	// Bytes, whose class is document: they need a reason.
	opaque := map[string][2]string{
		"note": {`{"b":1,"a":[1.0,1e2]}`, "null"}, "raw": {"00ff0d0a1a00", ""}, "padded": {"61000000", "00000000"}, "large": {strings.Repeat("ab", 100000), ""},
		"place": {"000000000101000000000000000000f03f0000000000000040", "NULL"},
	}
	column["long_words"] = [2]string{strings.Repeat("long ", 13107), ""}
	var names []string
	var b strings.Builder
	b.WriteString("datasets:\n  kinds:\n    from: {db}.kinds\n    key: [id]\n    columns:\n      id: technical\n")
	for n := range column {
		names = append(names, n)
		fmt.Fprintf(&b, "      %s: technical\n", n)
	}
	for n, v := range opaque {
		names = append(names, n)
		column[n] = v
		fmt.Fprintf(&b, "      %s: {class: document, because: the scanned letters of each request have to be kept}\n", n)
	}
	s := l.open(t, b.String())
	rows := allRows(t, s, "kinds")
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	for i, n := range names {
		for r := range 2 {
			if got, want := rows[r][i+1], column[n][r]; got != want && !(n == "long_words" && r == 0 && strings.HasPrefix(got, want) && len(got) == 65535) {
				t.Errorf("row %d, %s: %.80q, want %.80q", r+1, n, got, want)
			}
		}
		if got := rows[2][i+1]; got != "NULL" && n != "kind" && n != "twice" {
			t.Errorf("row 3, %s: %.80q, want null", n, got)
		}
	}
}

func TestKindsAsText(t *testing.T) {
	l := newLab(t, kinds)
	text := map[string]string{
		"tiny": "-128", "whole": "00000042", "ubig": "18446744073709551615", "one": "1", "bits": "682", "bits64": "18446744073709551615", "year": "0000",
		"price": "-999999999.999", "zeros": "000003.50", "f": "16777216", "d": "-1.7976931348623157e308", "raw": "00ff0d0a1a00",
		"day": "9999-12-31", "at": "9999-12-31 23:59:59.999999", "stamp": "2038-01-19 03:14:07.999999", "span": "-838:59:59.999", "fixed": "ab",
	}
	var names []string
	var b strings.Builder
	b.WriteString("datasets:\n  kinds:\n    from: {db}.kinds\n    key: [id]\n    columns:\n      id: technical\n")
	for n := range text {
		names = append(names, n)
		fmt.Fprintf(&b, "      %s: {class: technical, as: text}\n", n)
	}
	rows := allRows(t, l.open(t, b.String()), "kinds")
	for i, n := range names {
		if rows[0][i+1] != text[n] {
			t.Errorf("%s: %q, want %q", n, rows[0][i+1], text[n])
		}
	}
}

func TestPartialDatesAreRefusedUnlessText(t *testing.T) {
	l := newLab(t, `CREATE TABLE p (id int PRIMARY KEY, zero date NOT NULL, part date, at datetime, stamp timestamp NOT NULL DEFAULT 0, feb date);
		SET sql_mode = 'ALLOW_INVALID_DATES'; INSERT INTO p VALUES (1, '2000-01-01', '2000-01-01', '2000-01-01', '2000-01-01', '2000-01-01'), (2, '0000-00-00', '1900-00-00', '2000-01-00 10:00:00', '0000-00-00', '2023-02-31')`)
	for column, want := range map[string]string{"zero": "0000-00-00", "part": "1900-00-00", "at": "2000-01-00 10:00:00", "stamp": "0000-00-00 00:00:00", "feb": "2023-02-31"} {
		body := "datasets:\n  p: {from: {db}.p, key: [id], columns: {id: technical, %s: %s}}"
		s := l.open(t, fmt.Sprintf(body, column, "identity"))
		var got int
		_, _, err := s.ReadChunk(t.Context(), "p", nil, nil, count(&got))
		wantError(t, err, ecluse.Invalid, "read dataset p", "row 2, column "+column, "as: text")
		if strings.Contains(err.Error(), want) || got != 0 {
			t.Errorf("error shows the value, or rows came out: %v, %d rows", err, got)
		}
		s = l.open(t, fmt.Sprintf(body, column, "{class: identity, as: text}"))
		rows := allRows(t, s, "p")
		if len(rows) != 2 || rows[1][1] != want {
			t.Errorf("%s as text: %v", column, rows)
		}
		// A date that is not null is not null to the server either, zero or not.
		s = l.open(t, fmt.Sprintf(body, column, "{class: identity, as: text}")[:0]+
			"datasets:\n  p: {from: {db}.p, key: [id], columns: {id: technical}, where: [{column: "+column+", not_null: true}]}")
		wantRows(t, allRows(t, s, "p"), "1", "2")
	}
}

func TestLatin1IsWindows1252(t *testing.T) {
	var all strings.Builder
	for c := 1; c < 256; c++ {
		fmt.Fprintf(&all, "%02x", c)
	}
	l := newLab(t, "CREATE TABLE w (id int PRIMARY KEY, t varchar(300) CHARACTER SET latin1); INSERT INTO w VALUES (1, x'"+all.String()+"')")
	got := allRows(t, l.open(t, "datasets:\n  w: {from: {db}.w, key: [id], columns: {id: technical, t: technical}}\n"), "w")[0][1]
	runes := []rune(got)
	if len(runes) != 255 {
		t.Fatalf("%d characters of 255", len(runes))
	}
	for c := 1; c < 256; c++ {
		want := charmap.Windows1252.DecodeByte(byte(c))
		if want == '\uFFFD' { // the five gaps keep their number
			want = rune(c)
		}
		if runes[c-1] != want {
			t.Errorf("byte %02x is %q, want %q", c, runes[c-1], want)
		}
	}
}

func TestOtherCharacterSets(t *testing.T) {
	l := newLab(t, `CREATE TABLE c (id int PRIMARY KEY, dos varchar(9) CHARACTER SET cp850, mac varchar(9) CHARACTER SET macroman, wide varchar(9) CHARACTER SET utf16,
		old varchar(9) CHARACTER SET utf8, plain varchar(9) CHARACTER SET ascii, pl varchar(9) CHARACTER SET latin2);
		INSERT INTO c VALUES (1, 'é°à', 'Œé', '𝒳é', 'é€', 'abc', 'Łé')`)
	rows := allRows(t, l.open(t, "datasets:\n  c: {from: {db}.c, key: [id], columns: {id: technical, dos: technical, mac: technical, wide: technical, old: technical, plain: technical, pl: technical}}"), "c")
	wantRows(t, rows, "1|é°à|Œé|𝒳é|é€|abc|Łé")
}

// Bytes that a text's character set does not have come into tables by copied
// files and old bugs. Swapping the ASCII of a column's definition does it here.
func TestBadBytesAreRefused(t *testing.T) {
	l := newLab(t, `CREATE TABLE b (id int PRIMARY KEY, t varchar(20) CHARACTER SET ascii) ENGINE=MyISAM; SET sql_mode = ''`)
	l.db.Run(t, "ALTER TABLE b MODIFY t varbinary(20); INSERT INTO b VALUES (1, 'ok'), (2, x'41e942'); ALTER TABLE b MODIFY t varchar(20) CHARACTER SET ascii")
	var stored string
	if err := l.db.QueryRow("SELECT HEX(t) FROM b WHERE id = 2").Scan(&stored); err != nil {
		t.Fatal(err)
	}
	if stored != strings.ToUpper(hex.EncodeToString([]byte("A\xe9B"))) {
		t.Fatalf("the server mended the bytes itself: %s", stored)
	}
	l.world.Consistency = "frozen"
	s := l.open(t, "datasets:\n  b: {from: {db}.b, key: [id], columns: {id: technical, t: technical}}")
	_, err := readChunk(t.Context(), s, "b", nil, nil)
	wantError(t, err, ecluse.Invalid, "row 2, column t", "character set")
	// Where they only filter, the server warns that it could not compare them.
	s = l.open(t, "datasets:\n  b: {from: {db}.b, key: [id], columns: {id: technical}, where: [{column: t, in: [ok]}]}")
	_, err = readChunk(t.Context(), s, "b", nil, nil)
	wantError(t, err, ecluse.Failed, "warning 1977")
}

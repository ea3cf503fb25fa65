package mysql

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ecluse"
	"ecluse/internal/sluice/record"
)

func TestParseDates(t *testing.T) {
	for text, want := range map[string]int64{
		"1970-01-01": 0, "1969-12-31": -1, "2000-02-29": 11016, "0001-01-01": -719162, "0000-01-01": -719528, "9999-12-31": 2932896,
	} {
		if got, ok := parseDate([]byte(text)); !ok || got != want {
			t.Errorf("%s: %d, %v; want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"0000-00-00", "1900-00-00", "1900-01-00", "1900-00-01", "2023-02-29", "2023-02-31", "2023-13-01", "2023-1-01", "20230101", "", "2023-01-01 ", "-023-01-01", "2023-01-+1",
	} {
		if got, ok := parseDate([]byte(text)); ok {
			t.Errorf("%q was read as day %d", text, got)
		}
	}
}

func TestParseTimes(t *testing.T) {
	for text, want := range map[string]int64{
		"00:00:00": 0, "-26:15:00.5": -94500_500_000, "838:59:59": 3020399_000_000, "-838:59:59.999999": -3020399_999_999, "12:00:00.000001": 43200_000_001,
	} {
		if got, ok := parseTime([]byte(text)); !ok || got != want {
			t.Errorf("%s: %d, %v; want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "-", "839:00:00", "1:00:00", "12:60:00", "12:00:60", "12:00", "12:00:00.", "12:00:00.1234567", "12:00:00,5", "1234:00:00", "--1:00:00", "12:00:00.+1"} {
		if got, ok := parseTime([]byte(text)); ok {
			t.Errorf("%q was read as %d µs", text, got)
		}
	}
	for text, want := range map[string]int64{"1970-01-01 00:00:00": 0, "1969-12-31 23:59:59.5": -500_000, "9999-12-31 23:59:59.999999": 253402300799_999_999} {
		if got, ok := parseDatetime([]byte(text)); !ok || got != want {
			t.Errorf("%s: %d, %v; want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"0000-00-00 00:00:00", "2024-01-01", "2024-01-01T00:00:00", "2024-01-01 24:00:00", "2024-01-01 123:00:00", "2024-01-01 -1:00:00"} {
		if got, ok := parseDatetime([]byte(text)); ok {
			t.Errorf("%q was read as %d µs", text, got)
		}
	}
}

func TestParseNumbers(t *testing.T) {
	for _, c := range []struct {
		text  string
		scale int
		want  int64
	}{
		{"0", 0, 0},
		{"-0.5", 2, -50},
		{"000012.30", 2, 1230},
		{"999999999999999999", 0, 999999999999999999},
		{"-0.000000000000000001", 18, -1},
		{"7", 3, 7000},
	} {
		if got, ok := parseDecimal([]byte(c.text), c.scale); !ok || got != c.want {
			t.Errorf("%s: %d, %v; want %d", c.text, got, ok, c.want)
		}
	}
	for _, text := range []string{"", "-", ".", "1.", ".5", "1.234", "1e3", "NaN", "1000000000000000000", "10000000000000000.00", "1.2.3", "--1", "+1", "1 "} {
		if got, ok := parseDecimal([]byte(text), 2); ok {
			t.Errorf("%q was read as %d", text, got)
		}
	}
	for text, want := range map[string]string{"18446744073709551615": "18446744073709551615", "-0.0000000001": "-0.0000000001", "000012.30": "12.30", "0": "0", "00": "0"} {
		if got, ok := appendNumber(nil, []byte(text)); !ok || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "-", ".", "1.", ".5", "1e3", "NaN", "1.2.3", "--1"} {
		if got, ok := appendNumber(nil, []byte(text)); ok {
			t.Errorf("%q was taken for the number %s", text, got)
		}
	}
}

// What time.Parse and fmt make of it decides: whatever is read comes out again.
func FuzzMoments(f *testing.F) {
	for _, s := range []string{"2024-02-29 23:59:59.999999", "0000-00-00", "-838:59:59.5", "1900-00-01 00:00:00", "9999-12-31"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if days, ok := parseDate(b); ok {
			if back := time.Unix(days*86400, 0).UTC().Format(time.DateOnly); back != string(b) {
				t.Errorf("date %q is %q", b, back)
			}
		}
		if us, ok := parseDatetime(b); ok {
			back := time.UnixMicro(us).UTC().Format("2006-01-02 15:04:05.000000")
			if want := (string(b) + ".000000")[:19] + fraction(string(b[19:])); back != want {
				t.Errorf("datetime %q is %q", b, back)
			}
		}
		if us, ok := parseTime(b); ok {
			text, sign := strings.TrimPrefix(string(b), "-"), ""
			if us < 0 {
				sign, us = "-", -us
			} else if strings.HasPrefix(string(b), "-") {
				sign = "-" // minus nothing
			}
			s := us / 1_000_000
			width := strings.IndexByte(text, ':')
			back := fmt.Sprintf("%s%0*d:%02d:%02d.%06d", sign, width, s/3600, s/60%60, s%60, us%1_000_000)
			if want := sign + text[:width+6] + fraction(text[width+6:]); back != want {
				t.Errorf("time %q is %q", b, back)
			}
		}
	})
}

func fraction(s string) string {
	return "." + (strings.TrimPrefix(s, ".") + "000000")[:6]
}

func FuzzDecimals(f *testing.F) {
	f.Add([]byte("-12.340"), uint8(3))
	f.Add([]byte("999999999999999999"), uint8(0))
	f.Add([]byte("0.000000000000000001"), uint8(18))
	f.Fuzz(func(t *testing.T, b []byte, scale uint8) {
		if scale > 18 {
			return
		}
		n, ok := parseDecimal(b, int(scale))
		number, isNumber := appendNumber(nil, b)
		if !ok {
			return
		}
		if !isNumber {
			t.Fatalf("%q is a decimal and no number", b)
		}
		got := strings.TrimPrefix(string(decimalText(n, int(scale))), "-")
		whole, frac, _ := strings.Cut(strings.TrimPrefix(string(number), "-"), ".")
		want := whole
		if scale > 0 {
			want += "." + frac + strings.Repeat("0", int(scale)-len(frac))
		}
		if got != want || (n < 0) != (strings.HasPrefix(string(b), "-") && n != 0) {
			t.Errorf("%q at scale %d is %d: %s, want %s", b, scale, n, got, want)
		}
	})
}

func decimalText(n int64, scale int) []byte {
	c := record.NewColumn(ecluse.Type{Kind: ecluse.Decimal, Precision: 18, Scale: scale}, 1)
	c.AppendInt(n)
	return record.AppendPlain(nil, c, 0)
}

func TestDecimalsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(-999999999999999999, 999999999999999999).Draw(t, "n")
		scale := rapid.IntRange(0, 18).Draw(t, "scale")
		if got, ok := parseDecimal(decimalText(n, scale), scale); !ok || got != n {
			t.Fatalf("%d at scale %d came back as %d, %v", n, scale, got, ok)
		}
	})
}

func TestDeclared(t *testing.T) {
	for text, want := range map[string]string{
		"tinyint(1)":                             "int",
		"int(10) unsigned zerofill":              "int",
		"bigint(20)":                             "int",
		"bigint(20) unsigned":                    "number",
		"bigint unsigned":                        "number",
		"bit(1)":                                 "int",
		"bit(63)":                                "int",
		"bit(64)":                                "number",
		"decimal(18,4) unsigned":                 "decimal(18,4)",
		"decimal(19,4)":                          "number",
		"float":                                  "float(24)",
		"float(7,2)":                             "float(24)",
		"double":                                 "float(53)",
		"year(4)":                                "int",
		"date":                                   "date",
		"time(3)":                                "time",
		"datetime(6)":                            "timestamp",
		"timestamp /* mariadb-5.3 */":            "instant",
		"json":                                   "text",
		"varchar(20) character set latin1":       "text",
		"enum('M','F','') character set utf8mb4": "text",
		"set('a,b','it''s') character set latin1": "text",
		"varbinary(20)": "bytes",
		"longblob":      "bytes",
		"point":         "bytes",
		"uuid":          "text",
		"inet6":         "text",
	} {
		if got := parseDeclared(text).Type().String(); got != want {
			t.Errorf("%s travels as %s, want %s", text, got, want)
		}
	}
	d := parseDeclared("enum('M',' character set x','it''s','') character set latin1")
	if d.charset != "latin1" || len(d.labels) != 4 || d.labels[2] != "it's" || d.labels[3] != "" {
		t.Errorf("enum read as %+v", d)
	}
	for declaration, must := range map[string]bool{"uuid": true, "varchar(3) character set utf8mb4": false, "int(11)": false, "blob": false} {
		if can, m := (Dialect{}).TextType(&ecluse.Column{Declared: declaration}); !can || m != must {
			t.Errorf("%s: can be text %v, must %v", declaration, can, m)
		}
	}
}

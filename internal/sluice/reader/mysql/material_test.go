package mysql

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/sluice/engine/mysql/mysqltest"
)

// material loads a script kept outside this repository into a lab of its own.
func material(t *testing.T, path string, replace ...string) *lab {
	t.Helper()
	l := newLab(t, "")
	replace = append(replace, "blis_127", l.db.Database)
	l.db.Load(t, path, replace...)
	l.db.Run(t, "SET sql_mode = '', time_zone = '+00:00', foreign_key_checks = 0")
	return l
}

// What the quirks hold is in expected-mariadb.txt: each value arrives as it is
// there, or is refused by name.
func TestMaterialQuirks(t *testing.T) {
	l := material(t, "quirks/mariadb.sql")
	expected, err := os.ReadFile(filepath.Join(mysqltest.Material(t), "quirks/expected-mariadb.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var want [][]string
	for line := range strings.Lines(string(expected)) {
		want = append(want, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	const text = "{class: technical, as: text}"
	const document = "{class: document, because: the scanned letters of each request have to be kept}"
	s := l.open(t, `
datasets:
  patient:
    from: '{db}.Patient'
    key: [id]
    columns: {id: technical, Nom: identity, 'né(e) le': `+text+`, modifié: `+text+`, ts: `+text+`, actif: technical, niveau: technical, flags: technical, un_bit: technical,
      sexe: identity, risques: technical, annee: `+text+`, duree: `+text+`, extra: technical, montant: technical, f: technical, d: technical, age: technical, initiale: identity}
  order: {from: '{db}.order', key: [key, group], columns: {key: technical, group: technical, select: technical, from: technical, desc: technical, primary: technical}}
  no_key: {from: '{db}.no_key', columns: {a: technical, b: technical}}
  parent: {from: '{db}.parent', key: [id], columns: {id: technical, fav: technical}}
  child: {from: '{db}.child', key: [id], columns: {id: technical, pid: technical}}
  img: {from: '{db}.img', key: [id], columns: {id: technical, b: `+document+`, v: technical, t: technical}}
  latin: {from: '{db}.latin', key: [id], columns: {id: technical, ok: technical, double_codé: technical, cp: technical}}
  dated: {from: '{db}.Patient', key: [id], columns: {id: technical, 'né(e) le': technical}}
  typed: {from: '{db}.Patient', key: [id], columns: {id: technical, ts: technical, duree: technical, annee: technical}}
checks:
  no_key: {dataset: no_key, count: true, sum: a}
`)
	hexed := func(s string) string { return fmt.Sprintf("%X", s) }
	var got [][]string
	for _, r := range allRows(t, s, "patient") {
		r[1] = hexed(r[1])
		for _, i := range []int{15, 16} { // the server writes exponents without a sign, and a float with six digits
			f, err := strconv.ParseFloat(r[i], 64)
			if err == nil {
				bits := 64
				if i == 15 {
					bits = 32
				}
				r[i] = strings.Replace(strconv.FormatFloat(f, 'g', -1, bits), "e+", "e", 1)
			}
		}
		got = append(got, r)
	}
	for _, r := range allRows(t, s, "order") {
		r[2] = hexed(r[2])
		if r[4] != "NULL" {
			r[4] = strconv.Itoa(len(r[4]))
		}
		got = append(got, r)
	}
	noKey := allRows(t, s, "no_key")
	got = append(got, []string{strconv.Itoa(len(noKey)), "2", "2"})
	wantRows(t, noKey, "NULL|NULL", "1|x", "1|x")
	for _, d := range []ecluse.DatasetID{"parent", "child"} {
		got = append(got, allRows(t, s, d)...)
	}
	images := allRows(t, s, "img")
	byID := [][]string{images[0], images[1], images[2]}
	order := [][]string{want[11], want[12], want[13]} // as the server printed them
	for i, r := range byID {
		sum := fmt.Sprintf("%x", md5Of(r[1]))
		text := r[3]
		if text != "NULL" {
			text = hexed(text)
		}
		byID[i] = []string{r[0], strconv.Itoa(len(r[1]) / 2), sum, strings.ToUpper(r[2]), text}
	}
	for _, w := range order {
		for _, r := range byID {
			if r[0] == w[0] {
				got = append(got, r)
			}
		}
	}
	for _, r := range allRows(t, s, "latin") {
		got = append(got, []string{r[0], hexed(r[1]), hexed(r[2]), hexed(r[3])})
	}
	if len(got) != len(want)-1 { // the last line counts a view
		t.Fatalf("%d lines, want %d", len(got), len(want)-1)
	}
	for i := range got {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("line %d:\n%.300q\nwant\n%.300q", i+1, got[i], want[i])
		}
	}
	if f := figures(t, s, "no_key"); f != "NULL|3|2|NULL|NULL" {
		t.Errorf("check: %s", f)
	}
	_, err = readChunk(t.Context(), s, "dated", nil, nil)
	wantError(t, err, ecluse.Invalid, "row 1, column né(e) le", "as: text")
	wantRows(t, allRows(t, s, "typed"), "0|1000000|0|0", "1|1729989000000000|-94500500000|2024", "2|2147483647000000|3020399000000|1901", "18446744073709551615|946684800000000|NULL|2155")
	catalogue, err := l.source(t).Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := catalogue.Table(ecluse.TableName{Schema: l.db.Database, Name: "Patient"}); !ok || len(p.Columns) != 19 || !p.Columns[17].Generated || !p.Columns[18].Generated || p.Columns[0].Identity != "auto_increment" {
		t.Errorf("catalogue: %+v", p)
	}
}

// BLIS: every column of the tables that the pair needs, counted and compared with
// what the server's own client prints of them.
func TestMaterialBLIS(t *testing.T) {
	l := material(t, "pair-blis-openelis/source-blis_127.sql")
	l.world.Consistency = "locked" // MyISAM
	catalogue, err := l.source(t).Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(catalogue.Tables); n != 53 {
		t.Errorf("%d tables, want 53", n)
	}
	tables := map[string]string{ // and their keys
		"patient": "patient_id", "specimen": "specimen_id", "test": "test_id", "test_type": "test_type_id", "test_category": "test_category_id",
		"measure": "measure_id", "specimen_type": "specimen_type_id", "reference_range": "id", "test_type_measure": "", "patient_daily": "",
	}
	var b strings.Builder
	b.WriteString("datasets:\n")
	for _, n := range slices.Sorted(maps.Keys(tables)) {
		table, ok := catalogue.Table(ecluse.TableName{Schema: l.db.Database, Name: n})
		if !ok {
			t.Fatalf("no table %s", n)
		}
		fmt.Fprintf(&b, "  %s:\n    from: '{db}.%s'\n", n, n)
		if k := tables[n]; k != "" {
			fmt.Fprintf(&b, "    key: [%s]\n", k)
		}
		b.WriteString("    columns:\n")
		for _, c := range table.Columns {
			if regexp.MustCompile("hash|pass").MatchString(c.Name) {
				continue
			}
			as := ""
			if k := c.Type.Kind; k == ecluse.Date || k == ecluse.Timestamp {
				as = ", as: text"
			}
			fmt.Fprintf(&b, "      %q: {class: technical%s}\n", c.Name, as)
		}
	}
	b.WriteString("  doctor: {from: '{db}.specimen', distinct: doctor, class: technical}\n")
	b.WriteString("checks:\n  tests: {dataset: test, count_by: test_type_id}\n  moments: {dataset: test, first: ts, last: ts}\n")
	p := l.permit(t, b.String())
	s := l.openWith(t, p)
	for i := range p.Plan().Datasets {
		d := &p.Plan().Datasets[i]
		if d.Distinct {
			continue
		}
		rows := allRows(t, s, d.Dataset)
		var n int
		if err := l.db.QueryRow("SELECT COUNT(*) FROM `" + d.From.Name + "`").Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n != len(rows) || n == 0 && d.From.Name != "patient_daily" {
			t.Errorf("%s: %d rows, want %d", d.Dataset, len(rows), n)
		}
	}
	for d, want := range map[ecluse.DatasetID]int{"patient": 3033, "specimen": 10018, "test": 11310} {
		if n := len(allRows(t, s, d)); n != want {
			t.Errorf("%s: %d rows, want %d", d, n, want)
		}
	}
	d, _ := p.Plan().Dataset("test")
	ts, result, stuck, mojibake := -1, -1, 0, 0
	for i, c := range d.Columns {
		switch c.Name {
		case "ts":
			ts = i
		case "result":
			result = i
		}
	}
	for _, r := range allRows(t, s, "test") {
		if n, err := strconv.ParseInt(r[ts], 10, 64); err == nil && n < 86400_000_000 {
			if stuck++; n/60_000_000 != 33 { // 00:33 on 1970-01-01, in UTC
				t.Errorf("ts is minute %d of 1970", n/60_000_000)
			}
		}
		if strings.Contains(r[result], "â‰¥") {
			mojibake++
		}
	}
	if stuck != 5640 || mojibake != 20 {
		t.Errorf("%d stuck times, want 5640; %d doubly encoded results, want 20", stuck, mojibake)
	}
	var doctors int
	if err := l.db.QueryRow("SELECT COUNT(DISTINCT BINARY doctor) FROM specimen").Scan(&doctors); err != nil {
		t.Fatal(err)
	}
	var spellings []string
	for _, r := range allRows(t, s, "doctor") {
		if strings.HasSuffix(r[0], "Dillards") {
			spellings = append(spellings, r[0])
		}
	}
	if n := len(allRows(t, s, "doctor")); n != doctors || !slices.IsSorted(spellings) || len(spellings) < 3 {
		t.Errorf("%d doctors, want %d; spellings %q", n, doctors, spellings)
	}
	if f := figures(t, s, "moments"); !strings.HasPrefix(f, "NULL|NULL|NULL|1970-01-01T00:33:") {
		t.Errorf("moments: %s", f)
	}
	sum := 0
	for _, line := range strings.Fields(figures(t, s, "tests")) {
		n, _ := strconv.Atoi(strings.Split(line, "|")[1])
		sum += n
	}
	if sum != 11310 {
		t.Errorf("tests by type come to %d", sum)
	}
}

package sqlite

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ecluse"
	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/engine/sqlite/sqlitetest"
	"ecluse/internal/sluice/reader/readertest"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

func TestNumber(t *testing.T) {
	for text, want := range map[string]any{
		"0": int64(0), "-0": int64(0), "0.00": int64(0), "-12.50": -12.5, "007": int64(7), "1.0": int64(1), ".5": 0.5, "5.": int64(5),
		"9223372036854775807": int64(math.MaxInt64), "-9223372036854775808": int64(math.MinInt64),
		"0.1": 0.1, "123456789012.345": 123456789012.345, "0.000000000000001": 1e-15, "9007199254740993": int64(9007199254740993),
		"0.30000000000000004": 0.30000000000000004, "100000000000000000000": 1e20,
	} {
		if got, ok := number([]byte(text)); !ok || got != want {
			t.Errorf("%s is %v (%T), %t; want %v", text, got, got, ok, want)
		}
	}
	for _, text := range []string{"", "-", ".", "1e5", "1,5", " 1", "NaN", "12345678901234567890.5", "0.12345678901234567890", "1" + strings.Repeat("0", 400)} {
		if got, ok := number([]byte(text)); ok {
			t.Errorf("%q is %v: want no number that SQLite keeps", text, got)
		}
	}
}

// What number says SQLite keeps comes back the same number.
func TestNumberComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?[0-9]{0,20}(\.[0-9]{0,20})?`).Draw(t, "text")
		v, ok := number([]byte(text))
		if !ok {
			return
		}
		c := record.NewColumn(ecluse.Type{Kind: ecluse.Number}, 1)
		if !engine.Decode(c, v) || !readertest.SameNumber(string(c.Bytes(0)), strings.TrimSuffix(text, ".")) {
			t.Errorf("%q comes back as %q", text, string(c.Bytes(0)))
		}
	})
}

// Values that SQLite would change without a word put their source row aside.
func TestUnfit(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, "CREATE TABLE patient (id INTEGER PRIMARY KEY, born DATE, amount DECIMAL(30,10), weight REAL, name TEXT)")
	target, s := open(t, f, "patient")
	columns := []readertest.Column{
		{Name: "id", Type: readertest.Int},
		{Name: "born", Type: readertest.Text},
		{Name: "amount", Type: ecluse.Type{Kind: ecluse.Number}},
		{Name: "weight", Type: ecluse.Type{Kind: ecluse.Float, Precision: 53}},
		{Name: "name", Type: readertest.Text},
	}
	rows := [][]any{
		{int64(1), "1970-01-01", "12.50", 0.1, "007"},
		{int64(2), "0070", nil, nil, nil},                           // would be 70
		{int64(3), "19700101", nil, nil, nil},                       // reads the same as a number
		{int64(4), " 7", nil, nil, nil},                             // would be 7
		{int64(5), nil, "12345678901234567890.123456789", nil, nil}, // would be rounded
		{int64(6), nil, "NaN", nil, nil},
		{int64(7), nil, "-Infinity", nil, nil},
		{int64(8), nil, nil, math.NaN(), nil}, // would be null
		{nil, nil, nil, nil, nil},             // would be given a number
		{int64(10), "1e5", nil, nil, nil},     // would be 100000.0
		{int64(11), "+ 7", "1e5", math.Inf(1), ""},
	}
	chunk := &writer.Chunk{Slot: ecluse.Slot{Dataset: "rows"}, Rows: len(rows)}
	source := make([]int32, len(rows))
	for i := range source {
		source[i] = int32(i)
	}
	chunk.Tables = []writer.Rows{{Table: f.Name("patient"), Batch: readertest.Batch(t, columns, rows), Source: source}}
	l, err := s.Load(t.Context(), chunk, nil)
	if err != nil {
		t.Fatal(err)
	}
	var refused []string
	for _, r := range l.Refused {
		refused = append(refused, strings.TrimPrefix(r.Reason, "patient: "))
	}
	want := []string{
		1:  "column born: a text that SQLite would keep as another number",
		3:  "column born: a text that SQLite would keep as another number",
		4:  "column amount: more digits than SQLite keeps of a number",
		7:  "column weight: NaN, which SQLite keeps as null",
		8:  "column id: null in the primary key",
		9:  "column born: a text that SQLite would keep as another number",
		10: "column amount: more digits than SQLite keeps of a number",
	}
	for row, reason := range want {
		if reason == "" {
			continue
		}
		if len(refused) == 0 || refused[0] != reason {
			t.Fatalf("row %d: refused %q, want first %q", row, refused, reason)
		}
		refused = refused[1:]
	}
	if len(refused) > 0 {
		t.Errorf("also refused: %q", refused)
	}
	sc, err := target.Snapshot(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer sc.Close()
	var got []string
	err = sc.Scan(t.Context(), f.Name("patient"), []string{"id", "born", "amount", "weight", "name"}, func(b *record.Batch) error {
		got = append(got, readertest.Rows(b)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := strings.Join(got, " "); s != "1|1970-01-01|25/2|0.1|007 3|19700101|∅|∅|∅ 6|∅|NaN|∅|∅ 7|∅|-Infinity|∅|∅" {
		t.Errorf("in the table: %s", s)
	}
}

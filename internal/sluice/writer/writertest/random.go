package writertest

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"ecluse"
	"ecluse/internal/sluice/reader/readertest"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// testRandom writes chunks of random rows that fit the table and reads them back.
func testRandom(t *testing.T, h Harness) {
	table := readertest.Table{Name: "random", Key: []string{"id"}, Columns: []readertest.Column{{Name: "id", Type: readertest.Int, NotNull: true}}}
	for i, k := range h.Kinds {
		table.Columns = append(table.Columns, readertest.Column{Name: fmt.Sprintf("c%d_%s", i, k.Kind), Type: k})
	}
	p := newPlace(t, h, table).allow(t, table)
	s := p.begin(t)
	var all [][]any // by id
	var chunks []*writer.Chunk
	sequence := 0
	rapid.Check(t, func(rt *rapid.T) {
		first := len(all)
		rows := rapid.IntRange(1, 40).Draw(rt, "rows")
		for i := range rows {
			row := []any{int64(first + i)}
			for _, k := range h.Kinds {
				row = append(row, draw(rt, k))
			}
			all = append(all, row)
		}
		chunks = append(chunks, &writer.Chunk{Slot: slot(sequence), Rows: rows, Tables: []writer.Rows{p.rows(t, table, all[first:], nil)}})
		load(t, s, chunks[sequence])
		sequence++
	})
	names := make([]string, len(table.Columns))
	for i, c := range table.Columns {
		names[i] = c.Name
	}
	sc, err := p.target.Snapshot(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer sc.Close()
	seen := map[int64]bool{}
	err = sc.Scan(t.Context(), p.db.Name(table.Name), names, collector(func(b *record.Batch) {
		for i := range b.Rows() {
			id := b.Columns[0].Int(i)
			seen[id] = true
			for c, col := range b.Columns {
				if !readertest.Equal(t, col, i, all[id][c]) {
					t.Fatalf("row %d, column %s: got %q, want %#v", id, names[c], strings.Split(readertest.Row(b, i), "|")[c], all[id][c])
				}
			}
		}
	}))
	if err != nil || len(seen) != len(all) {
		t.Errorf("%d rows, %v; want %d", len(seen), err, len(all))
	}
	sc.Close()
	// What nobody changed is known to be as it was loaded.
	for i := len(chunks) - 1; i >= 0; i-- {
		if u := unload(t, s, chunks[i]); len(u.Left) > 0 || len(u.Missing) > 0 {
			t.Fatalf("nobody changed anything, and %v stay, %v are missing", u.Left, u.Missing)
		}
	}
	wantContent(t, "random", p.content(t, table), nil)
}

// draw is a random value of a type that every engine with that type keeps.
func draw(rt *rapid.T, typ ecluse.Type) any {
	if rapid.IntRange(0, 9).Draw(rt, "null") == 0 {
		return nil
	}
	switch typ.Kind {
	case ecluse.Bool:
		return rapid.Bool().Draw(rt, "bool")
	case ecluse.Int:
		return rapid.Int64().Draw(rt, "int")
	case ecluse.Decimal:
		return decimal(rt, typ.Precision, typ.Scale)
	case ecluse.Number:
		return decimal(rt, 15, rapid.IntRange(0, 15).Draw(rt, "scale"))
	case ecluse.Float:
		return float(rt, typ)
	case ecluse.Text:
		return rapid.StringOf(rapid.Rune().Filter(func(r rune) bool { return r != 0 && utf8.ValidRune(r) })).Draw(rt, "text")
	case ecluse.Bytes:
		return rapid.SliceOf(rapid.Byte()).Draw(rt, "bytes")
	}
	return moment(rt, typ.Kind)
}

func decimal(rt *rapid.T, precision, scale int) string {
	limit := int64(math.Pow10(precision)) - 1
	n := rapid.Int64Range(-limit, limit).Draw(rt, "decimal")
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	digits := fmt.Sprintf("%0*d", scale+1, n)
	if scale == 0 {
		return sign + digits
	}
	return sign + digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
}

// float is finite, a whole number of some power of two in range, and no minus
// nought, which not every engine tells from nought.
func float(rt *rapid.T, typ ecluse.Type) float64 {
	if typ.Precision == 24 {
		return float64(rapid.Float32Range(-1e30, 1e30).Draw(rt, "float")) + 0
	}
	f := rapid.Float64Range(-1e300, 1e300).Draw(rt, "float")
	if math.Abs(f) < 1e-300 {
		return 0
	}
	return f
}

func moment(rt *rapid.T, k ecluse.DataKind) string {
	between := func(from, to string) time.Time {
		a, _ := time.Parse(time.DateOnly, from)
		b, _ := time.Parse(time.DateOnly, to)
		return time.UnixMicro(rapid.Int64Range(a.UnixMicro(), b.UnixMicro()-1).Draw(rt, "microseconds")).UTC()
	}
	switch k {
	case ecluse.Date:
		return between("1583-01-01", "9999-12-31").Format(time.DateOnly)
	case ecluse.Time:
		return between("1970-01-01", "1970-01-02").Format("15:04:05.999999")
	case ecluse.Timestamp:
		return between("1583-01-01", "9999-12-31").Format("2006-01-02 15:04:05.999999")
	}
	return between("1971-01-01", "2037-12-31").Format("2006-01-02 15:04:05.999999") // Instant
}

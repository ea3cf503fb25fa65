package readertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

const numberedBody = "datasets:\n  numbered: {from: %q, key: [id], columns: {id: technical, label: result, amount: result}}\n"

var numberedTable = Table{
	Name: "numbered", Key: []string{"id"},
	Columns: []Column{{Name: "id", Type: Int, NotNull: true}, {Name: "label", Type: Text, NotNull: true}, {Name: "amount", Type: Int}},
}

// numbered makes a table of rows with ids 3, 6, 9…, in an order that is not that
// of the ids.
func numbered(t *testing.T, p *place, rows int) {
	t.Helper()
	out := make([][]any, rows)
	for i := range out {
		id := int64((i*7919)%rows+1) * 3
		var amount any
		if id%7 != 0 {
			amount = id * 2
		}
		out[i] = []any{id, fmt.Sprintf("label %d", id), amount}
	}
	p.table(t, numberedTable, out)
}

func numberedRow(id int64) string {
	if id%7 == 0 {
		return fmt.Sprintf("%d|label %d|∅", id, id)
	}
	return fmt.Sprintf("%d|label %d|%d", id, id, id*2)
}

func testChunksByRows(t *testing.T, h Harness) {
	const rows = 300_007 // no multiple of 7919
	p := newPlace(t, h)
	numbered(t, p, rows)
	permit := p.permit(t, numberedBody, p.name("numbered"))
	s := p.open(t, permit)
	seen := make([]bool, rows+1)
	parts := all(t, s, "numbered", func(b *record.Batch) {
		for i := range b.Rows() {
			id := b.Columns[0].Int(i)
			if id%3 != 0 || id < 3 || id > rows*3 || seen[id/3] {
				t.Fatalf("row %d came twice or never was", id)
			}
			seen[id/3] = true
			if got := Row(b, i); got != numberedRow(id) {
				t.Fatalf("got %q, want %q", got, numberedRow(id))
			}
		}
	})
	total := 0
	for i, c := range parts {
		total += c.Rows
		if c.Rows > reader.ChunkRows*5/4 || !c.Last && c.Rows < reader.ChunkRows/2 {
			t.Errorf("chunk %d has %d rows, want some %d", i, c.Rows, reader.ChunkRows)
		}
	}
	if total != rows || len(parts) < 2 {
		t.Errorf("%d rows in %d chunks, want %d in several", total, len(parts), rows)
	}
	s.Close()
	later := p.open(t, permit)
	again(t, later, "numbered", parts)
	// Going on from a cursor of another session, without a known end.
	if got := chunk(t, later, "numbered", parts[0].End, nil, nil); !cmp.Equal(got, parts[1]) {
		t.Errorf("from the first chunk's end: %+v, want %+v", got, parts[1])
	}
}

func testChunksByBytes(t *testing.T, h Harness) {
	const rows, width = 1200, 60_000
	p := newPlace(t, h)
	table := Table{Name: "wide", Key: []string{"id"}, Columns: []Column{{Name: "id", Type: Int, NotNull: true}, {Name: "body", Type: Text}}}
	p.db.Create(t, table)
	for i := 0; i < rows; i += 100 {
		batch := make([][]any, 100)
		for n := range batch {
			batch[n] = []any{int64(i + n), fmt.Sprintf("%06d", i+n) + strings.Repeat("x", width-6)}
		}
		p.db.Insert(t, table, batch)
	}
	permit := p.permit(t, "datasets:\n  wide: {from: %q, key: [id], columns: {id: technical, body: result}}\n", p.name("wide"))
	s := p.open(t, permit)
	ids := map[int64]bool{}
	parts := all(t, s, "wide", func(b *record.Batch) {
		for i := range b.Rows() {
			ids[b.Columns[0].Int(i)] = true
			if v := b.Columns[1].Bytes(i); len(v) != width || string(v[:6]) != fmt.Sprintf("%06d", b.Columns[0].Int(i)) {
				t.Fatalf("row %d holds %d bytes of another", b.Columns[0].Int(i), len(v))
			}
		}
	})
	if len(ids) != rows || len(parts) < 2 || len(parts) > 4 {
		t.Errorf("%d rows in %d chunks, want %d in 2 to 4", len(ids), len(parts), rows)
	}
	again(t, s, "wide", parts)
}

// hostile are texts whose order depends on who compares them.
var hostile = []string{"B", "a", "A", "á", "b", "É", "e", "Z", "z ", "z", "ß", "ss", "œ", "10", "9"}

func testCompositeKey(t *testing.T, h Harness) {
	const each = 10_000
	p := newPlace(t, h)
	table := Table{
		Name: "visit", Key: []string{"site", "number"}, Clustered: true,
		Columns: []Column{{Name: "site", Type: Text, NotNull: true}, {Name: "number", Type: Int, NotNull: true}, {Name: "note", Type: Text}},
	}
	p.db.Create(t, table)
	want := map[string]bool{}
	for _, site := range hostile {
		rows := make([][]any, each)
		for i := range rows {
			n := int64(i*7919%each) - each/2
			rows[i] = []any{site, n, nil}
			want[fmt.Sprintf("%s|%d|∅", site, n)] = true
		}
		p.db.Insert(t, table, rows)
	}
	permit := p.permit(t, "datasets:\n  visit: {from: %q, key: [site, number], columns: {site: technical, number: technical, note: result}}\n", p.name("visit"))
	s := p.open(t, permit)
	parts := all(t, s, "visit", func(b *record.Batch) {
		for _, r := range Rows(b) {
			if !want[r] {
				t.Fatalf("row %q came twice or never was", r)
			}
			delete(want, r)
		}
	})
	if len(want) != 0 || len(parts) < 2 {
		t.Errorf("%d rows missing after %d chunks", len(want), len(parts))
	}
	s.Close()
	again(t, p.open(t, permit), "visit", parts)
}

// duplicated makes rows that are equal in everything.
func duplicated(t *testing.T, p *place) (table Table, want map[string]int) {
	t.Helper()
	table = Table{Name: "event", Columns: []Column{{Name: "label", Type: Text}, {Name: "amount", Type: p.Exact()}}}
	p.db.Create(t, table)
	want = map[string]int{}
	for _, v := range [][]any{{"twice", "1.5"}, {nil, nil}, {"null amount", nil}, {nil, "-2"}, {"", "0"}} {
		rows := make([][]any, 40_000)
		if v[0] == nil { // a chunk ends among nulls, wherever an engine sorts them
			rows = make([][]any, 70_000)
		}
		for i := range rows {
			rows[i] = v
		}
		p.db.Insert(t, table, rows)
		parts := []string{"∅", "∅"}
		for i, cell := range v {
			if s, ok := cell.(string); ok {
				parts[i] = strings.Replace(s, "1.5", "3/2", 1)
			}
		}
		want[strings.Join(parts, "|")] = len(rows)
	}
	return table, want
}

const eventBody = "datasets:\n  event: {from: %q, columns: {label: result, amount: result}}\n"

func testNoKey(t *testing.T, h Harness) {
	p := newPlace(t, h)
	table, want := duplicated(t, p)
	testDuplicates(t, p, table.Name, want)
}

func testView(t *testing.T, h Harness) {
	p := newPlace(t, h)
	table, want := duplicated(t, p)
	p.db.Create(t, Table{Name: "event_view", ViewOf: table.Name, Columns: table.Columns})
	testDuplicates(t, p, "event_view", want)
}

func testDuplicates(t *testing.T, p *place, table string, want map[string]int) {
	t.Helper()
	permit := p.permit(t, eventBody, p.name(table))
	s := p.open(t, permit)
	got := map[string]int{}
	parts := all(t, s, "event", func(b *record.Batch) {
		for i := range b.Rows() {
			got[Row(b, i)]++
		}
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows by content (-want +got):\n%s", diff)
	}
	if len(parts) < 2 {
		t.Errorf("one chunk of %d rows", parts[0].Rows)
	}
	s.Close()
	again(t, p.open(t, permit), "event", parts)
}

func testDistinct(t *testing.T, h Harness) {
	p := newPlace(t, h)
	table := Table{Name: "request", Key: []string{"id"}, Columns: []Column{{Name: "id", Type: Int, NotNull: true}, {Name: "doctor", Type: Text}}}
	rows := [][]any{{int64(0), nil}}
	values := slices.Clone(hostile)
	for i := range 140_000 {
		values = append(values, fmt.Sprintf("D%d", i))
	}
	for i, v := range values {
		rows = append(rows, []any{int64(2*i + 1), v}, []any{int64(2*i + 2), v})
	}
	p.table(t, table, rows)
	permit := p.permit(t, "datasets:\n  doctor: {from: %q, distinct: doctor, class: prescriber}\n", p.name("request"))
	s := p.open(t, permit)
	slices.Sort(values) // by bytes
	n := 0
	parts := all(t, s, "doctor", func(b *record.Batch) {
		if b.Schema.Fields[1].Name != "ordinal" || b.Schema.Fields[1].Type.Kind != ecluse.Int {
			t.Fatalf("second column is %s", b.Schema.Fields[1].Name)
		}
		for i := range b.Rows() {
			if n == len(values) || b.Columns[0].Null(i) || string(b.Columns[0].Bytes(i)) != values[n] || b.Columns[1].Int(i) != int64(n+1) {
				t.Fatalf("value %d is %q with ordinal %d: want each once, by its bytes, nulls left out, numbered from 1", n, b.Columns[0].Bytes(i), b.Columns[1].Int(i))
			}
			n++
		}
	})
	if n != len(values) || len(parts) < 2 {
		t.Errorf("%d values in %d chunks, want %d in several", n, len(parts), len(values))
	}
	s.Close()
	again(t, p.open(t, permit), "doctor", parts)
}

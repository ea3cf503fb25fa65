// Package writertest is the suite that the writer of every engine must pass,
// against the real engine. A leaf's test fills Harness and calls Run:
//
//	func TestWriter(t *testing.T) { writertest.Run(t, writertest.Harness{…}) }
//
// Tables and values are described as in readertest. Permits are real ones. One
// test starts the test's own binary again and kills it in the middle of a load:
// TestWriter must therefore do nothing but fill the harness.
package writertest

import (
	"fmt"
	"slices"
	"testing"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/mandate/mandatetest"
	"ecluse/internal/sluice/reader/readertest"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// Harness is an engine under test.
type Harness struct {
	Dialect mandate.Dialect
	// Kinds are the types that columns of the engine travel as, as in readertest.
	Kinds []ecluse.Type
	// New makes an empty database under a name of its own, which disappears when
	// the test ends.
	New func(t testing.TB) Database
	// Attach is a database that New made in another process; it does not
	// disappear with this one.
	Attach func(t testing.TB, address string) Database
}

// Database is one database of the engine, with the rights of its owner. Its ten
// methods are what a suite does to a target from outside of the writer.
type Database interface {
	// Create and Insert are those of readertest.Database.
	Create(t testing.TB, table readertest.Table)
	Insert(t testing.TB, table readertest.Table, rows [][]any)
	// Exec runs SQL of the kind that every engine knows, as people do who work with
	// the new software.
	Exec(t testing.TB, sql string)
	// Name is a table's as the catalogue spells it; Sequence that of the numbers of
	// a table's Generated column.
	Name(table string) ecluse.TableName
	Sequence(table string) ecluse.TableName
	// Generate inserts a row without its Generated column, the first, and returns
	// the number it got.
	Generate(t testing.TB, table readertest.Table, rest []any) int64
	// Target is the database as a new laboratory's, with the account a gate has.
	Target(t testing.TB) writer.Target
	// Revoke takes from that account what it needs to write a table.
	Revoke(t testing.TB, table string)
	// Markers counts the markers there are, of whatever migration.
	Markers(t testing.TB) int
	// Address is what Attach takes.
	Address() string
}

// place is a database and the tables a test writes.
type place struct {
	Harness
	db     Database
	target writer.Target
	permit mandate.LoadPermit
}

// newPlace makes a database with tables.
func newPlace(t *testing.T, h Harness, tables ...readertest.Table) *place {
	t.Helper()
	p := &place{Harness: h, db: h.New(t)}
	for _, table := range tables {
		p.db.Create(t, table)
	}
	p.target = p.db.Target(t)
	t.Cleanup(func() { p.target.Close() })
	return p
}

// allow gives the place the permit of a migration whose dataset "rows" writes
// every column of the tables, in their order.
func (p *place) allow(t testing.TB, tables ...readertest.Table) *place {
	t.Helper()
	return p.allowShape(t, p.shape(tables...))
}

func (p *place) shape(tables ...readertest.Table) ecluse.Shape {
	d := ecluse.ShapeDataset{Dataset: "rows", Reads: []string{"a"}}
	for _, table := range tables {
		into := ecluse.ShapeTable{Table: p.db.Name(table.Name)}
		for _, c := range table.Columns {
			into.Columns = append(into.Columns, ecluse.ShapeColumn{Column: c.Name, From: "a"})
		}
		d.Into = append(d.Into, into)
	}
	return ecluse.Shape{Datasets: []ecluse.ShapeDataset{d}}
}

func (p *place) allowShape(t testing.TB, shape ecluse.Shape) *place {
	t.Helper()
	cat, err := p.target.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.permit = mandatetest.New(t).LoadPermit(t, shape, cat, p.Dialect)
	return p
}

// open opens a session that ends with the test, without beginning the passage.
func (p *place) open(t testing.TB) writer.Session {
	t.Helper()
	s, err := p.target.Open(t.Context(), p.permit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// begin opens a session and begins the passage.
func (p *place) begin(t testing.TB) writer.Session {
	t.Helper()
	s := p.open(t)
	if _, _, err := s.Begin(t.Context(), nothing); err != nil {
		t.Fatal(err)
	}
	return s
}

// rows is what a chunk writes into one table. Source is 0, 1, 2… when nil.
func (p *place) rows(t testing.TB, table readertest.Table, values [][]any, source []int32) writer.Rows {
	t.Helper()
	if source == nil {
		for i := range values {
			source = append(source, int32(i))
		}
	}
	return writer.Rows{Table: p.db.Name(table.Name), Batch: readertest.Batch(t, table.Columns, values), Source: source}
}

// slot is a place of the suite's one dataset.
func slot(sequence int) ecluse.Slot { return ecluse.Slot{Dataset: "rows", Sequence: sequence} }

// content is a table's rows as text, sorted, as a snapshot shows them.
func (p *place) content(t testing.TB, table readertest.Table) []string {
	t.Helper()
	sc, err := p.target.Snapshot(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer sc.Close()
	names := make([]string, len(table.Columns))
	for i, c := range table.Columns {
		names[i] = c.Name
	}
	out := []string{}
	collect := collector(func(b *record.Batch) { out = append(out, readertest.Rows(b)...) })
	if err := sc.Scan(t.Context(), p.db.Name(table.Name), names, collect); err != nil {
		t.Fatalf("scan %s: %v", table.Name, err)
	}
	slices.Sort(out)
	return out
}

// texts are rows as content shows them.
func texts(t testing.TB, table readertest.Table, values [][]any) []string {
	t.Helper()
	out := readertest.Rows(readertest.Batch(t, table.Columns, values))
	slices.Sort(out)
	return out
}

// numbers makes n rows that keyed takes, from id first on.
func numbers(first, n int) [][]any {
	out := make([][]any, n)
	for i := range out {
		id := int64(first + i)
		out[i] = []any{id, fmt.Sprintf("code %d", id), fmt.Sprintf("note %d", id)}
	}
	return out
}

// keyed has a primary key, a unique code and a note that may be null.
var keyed = readertest.Table{
	Name: "analysis", Key: []string{"id"}, Unique: [][]string{{"code"}},
	Columns: []readertest.Column{
		{Name: "id", Type: readertest.Int, NotNull: true},
		{Name: "code", Type: readertest.Text, NotNull: true},
		{Name: "note", Type: readertest.Text},
	},
}

// keyless has no key at all.
var keyless = readertest.Table{
	Name: "event", Columns: []readertest.Column{{Name: "label", Type: readertest.Text}, {Name: "amount", Type: readertest.Int}},
}

// Package readertest is the suite that the reader of every engine must pass,
// against the real engine. A leaf's test fills Harness and calls Run:
//
//	func TestReader(t *testing.T) { readertest.Run(t, readertest.Harness{…}) }
//
// The suite says what tables and rows it needs in words that no engine owns
// (Table, and Go values); the leaf's Database makes them in its dialect. Permits
// are real ones, signed and verified by mandate.
package readertest

import (
	"testing"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/reader"
)

// Harness is an engine under test.
type Harness struct {
	Dialect mandate.Dialect
	// Kinds are the types that columns of the engine travel as. Int and Text must
	// be among them, and Number or a Decimal.
	Kinds []ecluse.Type
	// New makes an empty database under a name of its own, which disappears when
	// the test ends.
	New func(t testing.TB) Database
}

// Database is one database of the engine. It has six methods: what a suite does
// to a database is more than what a reader does.
type Database interface {
	// Create makes a table or view.
	Create(t testing.TB, table Table)
	// Insert adds rows, in this order. A value is nil or, by its column's kind:
	// bool (Bool), int64 (Int), float64 (Float), []byte (Bytes) or string: Text; a
	// Decimal or Number in plain notation; a Date 2006-01-02; a Time
	// 15:04:05.999999; a Timestamp 2006-01-02 15:04:05.999999; an Instant, in UTC,
	// in that form too.
	Insert(t testing.TB, table Table, rows [][]any)
	// Name is a table's as the catalogue spells it.
	Name(table string) ecluse.TableName
	// Source is the database as an old laboratory's, with the accounts a gate has.
	Source(t testing.TB) reader.Source
	// Grant gives the read account what a plan needs and takes away all else. It
	// does nothing where an engine has no accounts.
	Grant(t testing.TB, plan *mandate.ReadPlan)
	// Widen lets the read account read one more table, whole.
	Widen(t testing.TB, table string)
}

// Table describes a table in no dialect.
type Table struct {
	Name    string
	Columns []Column
	Key     []string // primary key; empty: the table has none
	// Clustered asks for storage in the key's order where the engine has a choice
	// (SQLite's WITHOUT ROWID).
	Clustered   bool
	Unique      [][]string
	ForeignKeys []ForeignKey
	// ViewOf makes it a view of all rows and of the same columns of that table.
	ViewOf string
}

// Column is one column of a Table.
type Column struct {
	Name    string
	Type    ecluse.Type
	NotNull bool
	// Generated numbers come from the engine when none is given: identity,
	// AUTO_INCREMENT, AUTOINCREMENT. The column is Int and the whole Key.
	Generated bool
}

// ForeignKey refers to the primary key of another table, or of its own. It holds
// at the latest at the commit.
type ForeignKey struct {
	Columns []string
	Table   string
}

// Columns is a list of columns that may be null, of one type.
func Columns(t ecluse.Type, names ...string) []Column {
	out := make([]Column, len(names))
	for i, n := range names {
		out[i] = Column{Name: n, Type: t}
	}
	return out
}

// The types every engine has.
var (
	Int  = ecluse.Type{Kind: ecluse.Int}
	Text = ecluse.Type{Kind: ecluse.Text}
)

// Exact is the engine's type for decimals: Number if it has it, else its Decimal.
func (h Harness) Exact() ecluse.Type {
	exact := ecluse.Type{}
	for _, k := range h.Kinds {
		if k.Kind == ecluse.Number || k.Kind == ecluse.Decimal && exact.Kind == "" {
			exact = k
		}
	}
	return exact
}

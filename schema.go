package ecluse

import (
	"fmt"
	"strings"
)

// Engine is a family of databases.
type Engine string

// The engines known so far.
const (
	PostgreSQL Engine = "postgresql"
	MySQL      Engine = "mysql" // MariaDB and MySQL
	SQLite     Engine = "sqlite"
)

// DataKind is how a value travels, whatever the databases at either end call it.
type DataKind string

// The kinds of data in flight. What is none of them travels as Text, in the
// exact text its database gives.
const (
	Bool      DataKind = "bool"
	Int       DataKind = "int"     // 64 bits, signed
	Decimal   DataKind = "decimal" // exact, Precision ≤ 18 digits of which Scale after the point
	Number    DataKind = "number"  // exact text of any other exact number, NaN and ±Infinity included
	Float     DataKind = "float"   // binary, Precision 24 or 53 bits; never mixed with the exact kinds
	Text      DataKind = "text"    // valid UTF-8, NUL allowed in flight
	Bytes     DataKind = "bytes"
	Date      DataKind = "date"      // proleptic Gregorian days since 1970-01-01; ±infinity
	Time      DataKind = "time"      // signed microseconds (MySQL TIME goes from −838 to 838 hours)
	Timestamp DataKind = "timestamp" // wall clock, microseconds since 1970-01-01 00:00 of that clock; ±infinity
	Instant   DataKind = "instant"   // point in time, microseconds since 1970-01-01 00:00 UTC; ±infinity
)

// Infinity and NegInfinity are the days or microseconds that stand for
// PostgreSQL's 'infinity' and '-infinity' in Date, Timestamp and Instant.
const (
	Infinity    = int64(1<<63 - 1)
	NegInfinity = -int64(1<<63-1) - 1
)

// Type is a kind with its size.
type Type struct {
	Kind      DataKind `json:"kind" yaml:"kind"`
	Precision int      `json:"precision,omitempty" yaml:"precision,omitempty"`
	Scale     int      `json:"scale,omitempty" yaml:"scale,omitempty"`
}

func (t Type) String() string {
	switch {
	case t.Kind == Decimal:
		return fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale)
	case t.Kind == Float:
		return fmt.Sprintf("float(%d)", t.Precision)
	}
	return string(t.Kind)
}

// TableName is a table's or view's name as its catalogue spells it.
type TableName struct {
	Schema string // empty where the engine has one namespace
	Name   string
}

// ParseTableName reads "schema.table" or "table". A part that holds a dot or a
// double quote is written between double quotes, doubled inside.
func ParseTableName(s string) (TableName, error) {
	var parts []string
	rest := s
	for {
		var part string
		if strings.HasPrefix(rest, `"`) {
			end := -1
			for i := 1; i < len(rest); i++ {
				if rest[i] != '"' {
					continue
				}
				if i+1 < len(rest) && rest[i+1] == '"' {
					i++
					continue
				}
				end = i
				break
			}
			if end < 0 {
				return TableName{}, fmt.Errorf("table name %q: quote not closed", s)
			}
			part, rest = strings.ReplaceAll(rest[1:end], `""`, `"`), rest[end+1:]
		} else if i := strings.IndexByte(rest, '.'); i >= 0 {
			part, rest = rest[:i], rest[i:]
		} else {
			part, rest = rest, ""
		}
		if part == "" {
			return TableName{}, fmt.Errorf("table name %q: empty part", s)
		}
		parts = append(parts, part)
		if rest == "" {
			break
		}
		if rest[0] != '.' {
			return TableName{}, fmt.Errorf("table name %q: want a dot after the quote", s)
		}
		rest = rest[1:]
	}
	switch len(parts) {
	case 1:
		return TableName{Name: parts[0]}, nil
	case 2:
		return TableName{Schema: parts[0], Name: parts[1]}, nil
	}
	return TableName{}, fmt.Errorf("table name %q: want table or schema.table", s)
}

func (n TableName) String() string {
	q := func(p string) string {
		if strings.ContainsAny(p, `."`) || p == "" {
			return `"` + strings.ReplaceAll(p, `"`, `""`) + `"`
		}
		return p
	}
	if n.Schema == "" {
		return q(n.Name)
	}
	return q(n.Schema) + "." + q(n.Name)
}

// MarshalText writes the name as ParseTableName reads it.
func (n TableName) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads a name as ParseTableName does.
func (n *TableName) UnmarshalText(b []byte) error {
	v, err := ParseTableName(string(b))
	*n = v
	return err
}

// Less orders names by schema, then name, by bytes.
func (n TableName) Less(o TableName) bool {
	if n.Schema != o.Schema {
		return n.Schema < o.Schema
	}
	return n.Name < o.Name
}

// Catalogue is what a database says of its own structure: names, types and keys,
// never rows, estimates or versions. Its tables are sorted by name, so that two
// readings of an unchanged schema are equal.
type Catalogue struct {
	Engine    Engine     `json:"engine"`
	Tables    []Table    `json:"tables"`
	Sequences []Sequence `json:"sequences,omitempty"`
}

// Table finds a table by name.
func (c *Catalogue) Table(n TableName) (*Table, bool) {
	for i := range c.Tables {
		if c.Tables[i].Name == n {
			return &c.Tables[i], true
		}
	}
	return nil, false
}

// TableKind tells tables from what only looks like one.
type TableKind string

// The kinds of table.
const (
	BaseTable        TableKind = "table"
	View             TableKind = "view"
	MaterializedView TableKind = "materialized view"
	Partitioned      TableKind = "partitioned table" // read and written as one; its partitions are not listed
	ForeignTable     TableKind = "foreign table"
)

// Table is one table, view or partitioned table.
type Table struct {
	Name        TableName    `json:"name"`
	Kind        TableKind    `json:"kind"`
	Storage     string       `json:"storage,omitempty"` // "heap", "innodb", "myisam", "rowid", "without rowid"
	Columns     []Column     `json:"columns"`           // in the table's order
	PrimaryKey  []string     `json:"primary_key,omitempty"`
	Unique      [][]string   `json:"unique,omitempty"` // other unique keys whose columns are all NOT NULL, each sorted as declared
	ForeignKeys []ForeignKey `json:"foreign_keys,omitempty"`
	Triggers    []string     `json:"triggers,omitempty"` // those that fire on insert
}

// Column finds a column by its exact name.
func (t *Table) Column(name string) (*Column, bool) {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return &t.Columns[i], true
		}
	}
	return nil, false
}

// Column is one column of a table.
type Column struct {
	Name       string   `json:"name"`
	Type       Type     `json:"type"`     // how it travels
	Declared   string   `json:"declared"` // the engine's own words: "character varying(20)"
	Nullable   bool     `json:"nullable,omitempty"`
	HasDefault bool     `json:"has_default,omitempty"`
	Generated  bool     `json:"generated,omitempty"`  // computed by the database: cannot be written
	Identity   string   `json:"identity,omitempty"`   // "always" or "by default" (PostgreSQL), "auto_increment", "rowid"
	MaxLength  int      `json:"max_length,omitempty"` // characters of a Text, bytes of a Bytes; 0: no limit
	Padded     bool     `json:"padded,omitempty"`     // char(n): trailing spaces mean nothing
	FracDigits int      `json:"frac_digits"`          // digits of a second kept by Time, Timestamp, Instant; 6: all
	Labels     []string `json:"labels,omitempty"`     // allowed texts of an enum
}

// ForeignKey ties columns to another table's key.
type ForeignKey struct {
	Name       string    `json:"name"`
	Columns    []string  `json:"columns"`
	References TableName `json:"references"`
	RefColumns []string  `json:"ref_columns"`
	Deferrable bool      `json:"deferrable,omitempty"`
}

// Sequence is a number generator of the target.
type Sequence struct {
	Name      TableName `json:"name"`
	Increment int64     `json:"increment"`
}

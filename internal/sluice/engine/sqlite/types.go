package sqlite

import (
	"strings"

	"ecluse"
)

// Affinity is what SQLite turns a value into when it enters a column
// (https://www.sqlite.org/datatype3.html, 3.1).
type Affinity string

// The affinities.
const (
	Integer Affinity = "integer"
	Text    Affinity = "text"
	Blob    Affinity = "blob" // as it comes
	Real    Affinity = "real"
	Numeric Affinity = "numeric"
)

// AffinityOf is SQLite's own rule, in its order.
func AffinityOf(declared string) Affinity {
	d := strings.ToUpper(declared)
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(d, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("INT"):
		return Integer
	case has("CHAR", "CLOB", "TEXT"):
		return Text
	case d == "", d == "ANY", has("BLOB"):
		return Blob
	case has("REAL", "FLOA", "DOUB"):
		return Real
	}
	return Numeric
}

// typeOf is how a declared type travels. What the word promises counts before
// the affinity it happens to have: BOOLEAN, DATE and DECIMAL are all numeric to
// SQLite.
func typeOf(declared string) ecluse.Type {
	switch AffinityOf(declared) {
	case Integer:
		return ecluse.Type{Kind: ecluse.Int}
	case Real:
		return ecluse.Type{Kind: ecluse.Float, Precision: 53}
	case Blob:
		if declared == "" || strings.EqualFold(declared, "ANY") {
			break
		}
		return ecluse.Type{Kind: ecluse.Bytes}
	case Numeric:
		switch word(declared) {
		case "BOOLEAN", "BOOL":
			return ecluse.Type{Kind: ecluse.Bool}
		case "NUMERIC", "DECIMAL", "DEC", "NUMBER", "FIXED", "MONEY", "CURRENCY":
			return ecluse.Type{Kind: ecluse.Number}
		}
	}
	return ecluse.Type{Kind: ecluse.Text}
}

// onlyText tells the columns whose declared type promises no kind of value at
// all: none, ANY, or a word that SQLite does not know and takes for a number's
// (JSON, UUID, STRING). They are read as SQLite writes their values.
func onlyText(declared string) bool {
	switch AffinityOf(declared) {
	case Blob:
		return typeOf(declared).Kind == ecluse.Text
	case Numeric:
		return typeOf(declared).Kind == ecluse.Text && !dated(declared)
	}
	return false
}

// dated tells the declared types of dates and times, which SQLite does not have:
// the laboratory's software keeps texts (or numbers) of its own making there.
func dated(declared string) bool {
	switch word(declared) {
	case "DATE", "DATETIME", "TIMESTAMP", "TIME":
		return true
	}
	return false
}

// word is the first word of a declared type, in capitals.
func word(declared string) string {
	d := strings.ToUpper(strings.TrimSpace(declared))
	if i := strings.IndexAny(d, " ("); i >= 0 {
		d = d[:i]
	}
	return d
}

package mysql

import (
	"strconv"
	"strings"

	"ecluse"
)

// declared is a column's declaration, as Catalogue writes it into
// ecluse.Column.Declared: the server's COLUMN_TYPE, and for texts " character
// set …". All that a statement or a decoder needs to know of a column is in it,
// so that it is in the plan, and a change of it is another plan.
type declared struct {
	base     string // "varchar", "int"
	length   int    // first number between parentheses, −1 if none
	scale    int    // second
	unsigned bool
	charset  string
	labels   []string
}

const charsetMark = " character set "

func parseDeclared(s string) declared {
	d := declared{length: -1}
	if i := strings.LastIndex(s, charsetMark); i >= 0 && !strings.ContainsAny(s[i:], "')") {
		s, d.charset = s[:i], s[i+len(charsetMark):]
	}
	end := strings.IndexAny(s, "( ")
	if end < 0 {
		d.base = strings.ToLower(s)
		return d
	}
	d.base = strings.ToLower(s[:end])
	rest := s[end:]
	if rest[0] == '(' {
		if d.base == "enum" || d.base == "set" {
			d.labels = parseLabels(rest)
			return d
		}
		args, after, _ := strings.Cut(rest[1:], ")")
		first, second, _ := strings.Cut(args, ",")
		if n, err := strconv.Atoi(first); err == nil {
			d.length = n
		}
		d.scale, _ = strconv.Atoi(second)
		rest = after
	}
	d.unsigned = strings.Contains(rest, "unsigned")
	return d
}

// parseLabels reads ('M','F','it”s') as the catalogue writes it.
func parseLabels(s string) []string {
	var labels []string
	var b strings.Builder
	inside := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\'':
			if inside {
				b.WriteByte(s[i])
			}
		case inside && i+1 < len(s) && s[i+1] == '\'':
			b.WriteByte('\'')
			i++
		case inside:
			labels = append(labels, b.String())
			b.Reset()
			inside = false
		default:
			inside = true
		}
	}
	return labels
}

// Type is how a column of this declaration travels.
//
//   - tinyint(1) is an int: it holds −128 to 127, whatever programs make of it;
//   - bit(n) is an int of its bits, bit(1) too; bit(64) a number;
//   - year is an int, 0000 included;
//   - bigint unsigned, and decimals of more than 18 digits, are numbers;
//   - datetime has no zone: a timestamp; timestamp is stored in UTC: an instant;
//   - geometries and vectors are the bytes the server stores;
//   - what is not known here (inet6, uuid, types to come) travels as text.
func (d declared) Type() ecluse.Type {
	switch d.base {
	case "tinyint", "smallint", "mediumint", "int", "integer", "year":
		return ecluse.Type{Kind: ecluse.Int}
	case "bigint":
		if d.unsigned {
			return ecluse.Type{Kind: ecluse.Number}
		}
		return ecluse.Type{Kind: ecluse.Int}
	case "bit":
		if d.length > 63 {
			return ecluse.Type{Kind: ecluse.Number}
		}
		return ecluse.Type{Kind: ecluse.Int}
	case "decimal", "numeric":
		if d.length > 18 || d.length < 1 {
			return ecluse.Type{Kind: ecluse.Number}
		}
		return ecluse.Type{Kind: ecluse.Decimal, Precision: d.length, Scale: d.scale}
	case "float":
		return ecluse.Type{Kind: ecluse.Float, Precision: 24}
	case "double", "real":
		return ecluse.Type{Kind: ecluse.Float, Precision: 53}
	case "date":
		return ecluse.Type{Kind: ecluse.Date}
	case "time":
		return ecluse.Type{Kind: ecluse.Time}
	case "datetime":
		return ecluse.Type{Kind: ecluse.Timestamp}
	case "timestamp":
		return ecluse.Type{Kind: ecluse.Instant}
	}
	if d.binary() {
		return ecluse.Type{Kind: ecluse.Bytes}
	}
	return ecluse.Type{Kind: ecluse.Text}
}

// binary tells the types whose values are bytes.
func (d declared) binary() bool {
	switch d.base {
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector",
		"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection":
		return true
	}
	return false
}

// text tells the types that are texts at the server, with a character set.
func (d declared) text() bool {
	switch d.base {
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "json":
		return true
	}
	return false
}

// known tells the types this package knows by name.
func (d declared) known() bool { return d.text() || d.Type().Kind != ecluse.Text }

// integer tells the types compared and ordered as whole numbers, by their index.
func (d declared) integer() bool {
	switch d.base {
	case "tinyint", "smallint", "mediumint", "int", "integer", "year", "bigint":
		return true
	}
	return false
}

// sortLength is how many bytes of a value the server looks at when it sorts
// (max_sort_length).
const sortLength = 4096

// long tells values that may go beyond sortLength bytes.
func (d declared) long() bool {
	switch d.base {
	case "char", "varchar", "binary", "varbinary":
		return d.length < 0 || 4*d.length > sortLength
	}
	return d.text() || d.binary() || !d.known()
}

// utf8Bytes tells texts whose stored bytes are the UTF-8 that travels.
func (d declared) utf8Bytes() bool {
	switch d.charset {
	case "utf8mb4", "utf8mb3", "utf8", "ascii":
		return true
	}
	return d.base == "json"
}

// total tells the character sets whose every byte means something, so that the
// server's conversion to UTF-8 can lose nothing. Its latin1 is Windows-1252 with
// the five gaps filled by the control characters of the same number.
func (d declared) total() bool { return d.charset == "latin1" }

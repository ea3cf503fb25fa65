package postgres

import (
	"strings"

	"ecluse"
)

// name quotes an identifier.
func name(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// Name quotes a table's, view's or sequence's full name.
func Name(n ecluse.TableName) string {
	if n.Schema == "" {
		return name(n.Name)
	}
	return name(n.Schema) + "." + name(n.Name)
}

// names quotes a list of columns.
func names(columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = name(c)
	}
	return strings.Join(quoted, ", ")
}

// Literal writes a text as a literal.
func Literal(s string) string { return literal(s) }

// literal writes a text as a literal that means the same whatever
// standard_conforming_strings says.
func literal(s string) string {
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}

// longest is how many bytes of a name the server keeps; it cuts the rest off
// without a word.
const longest = 63

// fitting shortens a name that would be cut, so that two long ones stay two.
func fitting(s string) string {
	if len(s) <= longest {
		return s
	}
	return s[:longest-17] + "_" + ecluse.DigestOf([]byte(s)).Hex()[:16]
}

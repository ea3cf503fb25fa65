package sqlite

import (
	"strings"

	"ecluse"
)

// Quote writes an identifier. Identifiers are compared without regard to case by
// SQLite, with regard to it by us.
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// QuoteTable writes a table's name. SQLite files have one namespace.
func QuoteTable(n ecluse.TableName) string {
	if n.Schema != "" {
		return Quote(n.Schema) + "." + Quote(n.Name)
	}
	return Quote(n.Name)
}

// quoteText writes a text literal, whatever the file's encoding.
func quoteText(s string) string {
	s = "'" + strings.ReplaceAll(s, "'", "''") + "'"
	return strings.ReplaceAll(s, "\x00", "'||char(0)||'")
}

// quoteAll writes identifiers, each after prefix, joined by commas.
func quoteAll(prefix string, names []string) string {
	var b strings.Builder
	for i, n := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(prefix + Quote(n))
	}
	return b.String()
}

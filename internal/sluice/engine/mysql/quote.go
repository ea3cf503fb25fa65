package mysql

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"ecluse"
)

// name quotes an identifier.
func name(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }

// tableName quotes a table's full name.
func tableName(n ecluse.TableName) string {
	if n.Schema == "" {
		return name(n.Name)
	}
	return name(n.Schema) + "." + name(n.Name)
}

// bytesLiteral writes bytes as a binary string, readable where nothing in them
// depends on the server's sql_mode.
func bytesLiteral(s string) string {
	if !utf8.ValidString(s) || strings.ContainsAny(s, `'"\`) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "x'" + hex.EncodeToString([]byte(s)) + "'"
	}
	return "_binary'" + s + "'"
}

// textLiteral writes a text in the session's character set, for names compared
// with the catalogue's.
func textLiteral(s string) string { return "_utf8mb4 x'" + hex.EncodeToString([]byte(s)) + "'" }

// accountName quotes an account.
func accountName(user, host string) string {
	q := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(s) + "'" }
	return q(user) + "@" + q(host)
}

// schemaPattern quotes a database for a grant on all its tables, where _ and %
// stand for anything.
func schemaPattern(s string) string {
	return name(strings.NewReplacer(`\`, `\\`, `_`, `\_`, `%`, `\%`).Replace(s))
}

// Quote quotes an identifier.
func Quote(s string) string { return name(s) }

package mysql

import (
	"strings"

	"ecluse"
)

// grant is one line of SHOW GRANTS: rights on everything (schema "*"), on the
// tables of databases (table "*") or on one table. A line about a role, a routine
// or a proxy has no schema.
type grant struct {
	rights []string // upper case, without their columns
	schema string   // a pattern where table is "*"
	table  string
}

// errGrant never shows the line: it can hold a password's hash.
var errGrant = &ecluse.Error{
	Kind: ecluse.Failed, What: "read the account's rights", Why: "a line of SHOW GRANTS is of no known form",
	Next: "run SHOW GRANTS as that account and report its form without names",
}

func parseGrant(line string) (grant, error) {
	var g grant
	if strings.HasPrefix(line, "SET DEFAULT ROLE ") || strings.HasPrefix(line, "REVOKE ") {
		return g, nil // a partial revocation only narrows
	}
	rest, ok := strings.CutPrefix(line, "GRANT ")
	if !ok {
		return g, errGrant
	}
	rights, rest, ok := cutOutside(rest, " ON ")
	if !ok {
		return g, nil // a role
	}
	for len(rights) > 0 {
		var right string
		right, rights, _ = cutOutside(rights, ",")
		right, _, _ = strings.Cut(right, "(")
		g.rights = append(g.rights, strings.ToUpper(strings.TrimSpace(right)))
	}
	object, rest, ok := cutOutside(rest, " TO ")
	if !ok {
		return g, errGrant
	}
	if object == "*.*" {
		g.schema, g.table = "*", "*"
		if strings.HasSuffix(rest, " WITH GRANT OPTION") {
			g.rights = append(g.rights, "GRANT OPTION")
		}
		return g, nil
	}
	schema, table, ok := cutOutside(object, ".")
	if !ok || !strings.HasPrefix(schema, "`") { // PROCEDURE, FUNCTION, PACKAGE, a proxy
		return g, nil
	}
	g.schema, g.table = unquote(schema), unquote(table)
	return g, nil
}

// cutOutside cuts s around the first sep that stands outside quotes and
// parentheses.
func cutOutside(s, sep string) (before, after string, found bool) {
	var quote byte
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0 // a doubled one opens again at once
			}
		case depth == 0 && strings.HasPrefix(s[i:], sep):
			return s[:i], s[i+len(sep):], true
		case c == '`' || c == '\'' || c == '"':
			quote = c
		case c == '(':
			depth++
		case c == ')':
			depth--
		}
	}
	return s, "", false
}

func unquote(s string) string {
	if len(s) >= 2 && s[0] == '`' && s[len(s)-1] == '`' {
		return strings.ReplaceAll(s[1:len(s)-1], "``", "`")
	}
	return s
}

// covers tells whether the grant is about a table.
func (g grant) covers(t ecluse.TableName) bool {
	switch {
	case g.schema == "":
		return false
	case g.schema == "*":
		return true
	case g.table == "*":
		return like(strings.ToLower(g.schema), strings.ToLower(t.Schema))
	}
	return g.schema == t.Schema && g.table == t.Name
}

// like matches SQL's LIKE, as the names of databases in grants do.
func like(pattern, s string) bool {
	if pattern == "" {
		return s == ""
	}
	switch c := pattern[0]; {
	case c == '%':
		return like(pattern[1:], s) || s != "" && like(pattern, s[1:])
	case s == "":
		return false
	case c == '_':
		return like(pattern[1:], s[1:])
	case c == '\\' && len(pattern) > 1:
		return pattern[1] == s[0] && like(pattern[2:], s[1:])
	default:
		return c == s[0] && like(pattern[1:], s[1:])
	}
}

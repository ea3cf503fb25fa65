package postgres

import (
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestCopied(t *testing.T) {
	columns := []string{"value", "value:2", "a b"}
	for _, c := range []struct {
		where  string
		line   int64
		column string
	}{
		{`COPY result, line 12, column value: "ZQX"`, 12, "value"},
		{`COPY result, line 12, column value`, 12, "value"},
		{`COPY result, line 3, column a b: "value"`, 3, "a b"},
		{`COPY result, line 3: "1,value"`, 3, ""},
		{"PL/pgSQL function f() line 7 at RAISE\nCOPY result, line 4: \"x\"", 4, ""},
		{"COPY résultat, ligne 5, colonne value : « ZQX »", 5, "value"},
		{`COPY result, line 9, column other: "value"`, 9, ""},
		{"PL/pgSQL function f() line 7 at RAISE", 0, ""},
		{"", 0, ""},
	} {
		line, column := strip(&pgconn.PgError{Code: "22001", Where: c.where}).Copied(columns)
		if line != c.line || column != c.column {
			t.Errorf("%q: line %d, column %q; want %d, %q", c.where, line, column, c.line, c.column)
		}
	}
}

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

// FuzzCopied: of what an error says of its context come a line of the copy and one
// of its columns, and nothing else that stands there.
func FuzzCopied(f *testing.F) {
	for _, where := range []string{
		`COPY result, line 12, column value: "ZQX"`, `COPY result, line 3: "1,value"`,
		"PL/pgSQL function f() line 7 at RAISE\nCOPY result, line 4: \"x\"", "COPY résultat, ligne 5, colonne value : « ZQX »",
		`COPY result, line 99999999999999999999, column value`, "",
	} {
		f.Add("22001", where, "value")
	}
	f.Fuzz(func(t *testing.T, state, where, own string) {
		s := strip(&pgconn.PgError{Code: state, Where: where, Message: where, Detail: where, Hint: where})
		line, column := s.Copied([]string{own})
		if line < 0 || line > 1<<62 || column != "" && column != own {
			t.Errorf("line %d, column %q", line, column)
		}
		if said, none := s.Error(), strip(&pgconn.PgError{Code: state}).Error(); said != none {
			t.Errorf("%q says more than %q", said, none)
		}
	})
}

package postgres

import (
	"context"
	"maps"
	"slices"
	"strings"

	"ecluse"
	engine "ecluse/internal/sluice/engine/postgres"
)

// Missing lists what the account lacks for the plan.
func (s *session) Missing(ctx context.Context) ([]string, error) {
	var missing []string
	ask := func(query, what string, args ...string) error {
		got, err := s.conn.One(ctx, query, args...)
		if err == nil && got != "t" {
			missing = append(missing, what)
		}
		return err
	}
	err := ask("SELECT has_database_privilege(current_database(), 'TEMPORARY')", "TEMPORARY on the database, for taking rows out again")
	for _, t := range s.plan.Tables {
		if err != nil {
			break
		}
		err = s.missingOf(ctx, t.Table, ask)
		for _, c := range t.Columns {
			if err == nil {
				err = ask(column("INSERT", " AND a.attgenerated = ''"), "INSERT on column "+t.Table.String()+"."+c.Name, t.Table.Schema, t.Table.Name, c.Name)
			}
		}
	}
	reads := engine.LoadReads(s.plan)
	for _, t := range slices.SortedFunc(maps.Keys(reads), func(a, b ecluse.TableName) int { return strings.Compare(a.String(), b.String()) }) {
		for _, c := range reads[t] {
			if err == nil {
				err = ask(column("SELECT", " AND has_schema_privilege(n.oid, 'USAGE')"), "SELECT on column "+t.String()+"."+c, t.Schema, t.Name, c)
			}
		}
	}
	for _, q := range s.plan.Shape.Sequences {
		if err == nil {
			err = ask("SELECT coalesce((SELECT has_sequence_privilege(c.oid, 'SELECT') AND has_sequence_privilege(c.oid, 'UPDATE') FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'S'), false)",
				"SELECT and UPDATE on sequence "+q.Sequence.String(), q.Sequence.Schema, q.Sequence.Name)
		}
	}
	for _, own := range []string{passages, markers} {
		if err == nil {
			err = ask("SELECT has_schema_privilege($2, 'USAGE') AND has_table_privilege($1, 'SELECT') AND has_table_privilege($1, 'INSERT') AND has_table_privilege($1, 'UPDATE') AND has_table_privilege($1, 'DELETE')",
				"SELECT, INSERT, UPDATE and DELETE on "+own, own, engine.Markers)
		}
	}
	return missing, engine.Wrap(ctx, "ask for the account's rights", s.conn.Config().String(), err)
}

// tableOf finds a table by $1 and $2, whatever the account's rights.
const tableOf = " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2"

func (s *session) missingOf(ctx context.Context, t ecluse.TableName, ask func(query, what string, args ...string) error) error {
	for _, q := range []struct{ query, what string }{
		{"SELECT coalesce((SELECT has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'DELETE')" + tableOf + "), false)", "USAGE on the schema and DELETE on " + t.String()},
		{"SELECT coalesce((SELECT NOT row_security_active(c.oid)" + tableOf + "), false)", "exemption from the row-level security of " + t.String()},
	} {
		if err := ask(q.query, q.what, t.Schema, t.Name); err != nil {
			return err
		}
	}
	var lacking []string
	err := s.conn.Each(ctx, `SELECT q.seq::text FROM (`+engine.DefaultSequences("$1", "$2")+`) AS q(seq) JOIN pg_class AS k ON k.oid = q.seq
		WHERE CASE WHEN k.relkind = 'S' THEN NOT has_sequence_privilege(k.oid, 'USAGE') END`,
		func(v []string) error { lacking = append(lacking, v[0]); return nil }, t.Schema, t.Name)
	for _, q := range lacking {
		if err == nil {
			err = ask("SELECT false", "USAGE on sequence "+q)
		}
	}
	return err
}

// column asks whether the account has a right on column $3 of table $1.$2, and
// whether something else holds of it.
func column(right, also string) string {
	return `SELECT coalesce((SELECT has_column_privilege(c.oid, a.attnum, '` + right + `')` + also + `
		FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = $3 AND NOT a.attisdropped
		WHERE n.nspname = $1 AND c.relname = $2), false)`
}

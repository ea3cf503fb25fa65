package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// Unload takes a chunk out again, the last table first.
func (s *session) Unload(ctx context.Context, chunk *writer.Chunk) (map[ecluse.TableName]int64, error) {
	what := "unload chunk " + chunk.Slot.String()
	l, err := s.loading(what, chunk)
	if err != nil {
		return nil, err
	}
	deleted := map[ecluse.TableName]int64{}
	err = s.transaction(ctx, what, readWrite, func() error {
		m, err := s.stored(ctx, chunk.Slot)
		switch {
		case err != nil:
			return err
		case m == nil:
			return &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "it is not in this target"}
		}
		if err := l.without(what, m.Refused); err != nil {
			return err
		}
		if _, err := s.conn.Exec(ctx, "SET CONSTRAINTS ALL DEFERRED"); err != nil {
			return err
		}
		for i := len(l.tables) - 1; i >= 0; i-- {
			t := l.tables[i]
			n, err := s.take(ctx, what, t)
			deleted[t.rows.Table] += n
			if err != nil {
				return err
			}
		}
		if _, err := s.conn.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
			return err
		}
		return s.conn.Each(ctx, "DELETE FROM "+markers+" WHERE "+ours+bySlot, nil, s.id(slotArgs(chunk.Slot)...)...)
	})
	if refused := engine.Server(err); refused != nil && refused.State == foreignKey {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: what, Why: "rows that did not come with it refer to its rows", Err: refused,
			Next: "take those out first; chunks are unloaded in the reverse of their order",
		}
	}
	if err != nil {
		return nil, err
	}
	return deleted, nil
}

// without refuses a chunk that holds rows of source rows that never came in: by
// their key, rows of others would go.
func (l *loading) without(what string, refused []int32) error {
	for _, t := range l.tables {
		for _, row := range refused {
			if from, to := t.span(row, row+1); from < to {
				return &ecluse.Error{
					Kind: ecluse.Invalid, What: what, Where: fmt.Sprintf("%s, source row %d", t.rows.Table, row),
					Why: "that source row was refused when the chunk was loaded",
				}
			}
		}
	}
	return nil
}

// gone is the temporary table that names the rows to delete.
const gone = "pg_temp.ecluse_gone"

// take deletes the rows of one table. What goes or changes along with them by the
// foreign keys or triggers of others is refused: it could not be brought back.
func (s *session) take(ctx context.Context, what string, t *table) (int64, error) {
	if len(t.rows.Source) == 0 {
		return 0, nil
	}
	columns, keyed := t.key()
	if !keyed {
		columns = t.columns
	}
	if err := s.name(ctx, t, columns); err != nil {
		return 0, err
	}
	before, err := s.changed(ctx)
	if err != nil {
		return 0, err
	}
	deletion := deleteOneForOne
	if keyed {
		deletion = deleteByKey
	}
	n, err := s.conn.Exec(ctx, deletion(t.rows.Table, columns))
	if err != nil {
		return 0, err
	}
	after, err := s.changed(ctx)
	if err != nil {
		return n, err
	}
	if after-before != n {
		return n, &ecluse.Error{
			Kind: ecluse.Refused, What: what, Where: t.rows.Table.String(),
			Why: fmt.Sprintf("%d rows that did not come with it would be deleted or changed along with it", after-before-n),
		}
	}
	_, err = s.conn.Exec(ctx, "DROP TABLE "+gone)
	return n, err
}

// name puts the rows' columns into a temporary table whose types are the target's.
func (s *session) name(ctx context.Context, t *table, columns []mandate.LoadColumn) error {
	_, err := s.conn.Exec(ctx, "CREATE TEMP TABLE ecluse_gone ON COMMIT DROP AS SELECT "+strings.Join(quoted("t", columns), ", ")+
		" FROM "+engine.Name(t.rows.Table)+" AS t WITH NO DATA")
	if err != nil {
		return err
	}
	b := &record.Batch{Schema: &record.Schema{}}
	for _, c := range columns {
		b.Schema.Fields = append(b.Schema.Fields, record.Field{Name: c.Name, Type: c.Type})
		b.Columns = append(b.Columns, t.rows.Batch.Column(c.Name))
	}
	copier := engine.NewCopier(ecluse.TableName{Schema: "pg_temp", Name: "ecluse_gone"}, columns)
	rows := copier.Rows(b, 0, b.Rows(), nil)
	if _, err := s.conn.CopyIn(ctx, copier.Statement(), rows); err != nil {
		return err
	}
	_, err = s.conn.Exec(ctx, "ANALYZE "+gone)
	return err
}

// changed counts the rows that this transaction deleted or changed, of whatever
// table, by whatever foreign key or trigger.
func (s *session) changed(ctx context.Context) (int64, error) {
	n, err := s.conn.One(ctx, "SELECT coalesce(sum(n_tup_del + n_tup_upd), 0) FROM pg_stat_xact_user_tables")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(n, 10, 64)
}

func deleteByKey(table ecluse.TableName, key []mandate.LoadColumn) string {
	same := make([]string, len(key))
	for i, c := range quoted("t", key) {
		same[i] = c + " = " + quoted("g", key)[i]
	}
	return "DELETE FROM " + engine.Name(table) + " AS t USING " + gone + " AS g WHERE " + strings.Join(same, " AND ")
}

// deleteOneForOne deletes, for each row named, one row equal in all written
// columns, the latest first. Rows are compared by their whole text, which tells
// NULL from an empty text and knows no collation.
func deleteOneForOne(table ecluse.TableName, columns []mandate.LoadColumn) string {
	row := func(alias string) string { return "ROW(" + strings.Join(quoted(alias, columns), ", ") + ")::text" }
	return `WITH gone AS (SELECT ` + row("g") + ` AS row, count(*) AS n FROM ` + gone + ` AS g GROUP BY 1),
	found AS (
		SELECT t.tableoid AS part, t.ctid AS place, gone.n, row_number() OVER (PARTITION BY gone.row ORDER BY t.tableoid DESC, t.ctid DESC) AS i
		FROM ` + engine.Name(table) + ` AS t JOIN gone ON gone.row = ` + row("t") + `
	)
DELETE FROM ` + engine.Name(table) + ` AS t USING found WHERE found.i <= found.n AND t.tableoid = found.part AND t.ctid = found.place`
}

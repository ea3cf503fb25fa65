package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"math"
	"slices"
	"strings"

	"ecluse"
	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/writer"
)

// Unload takes a chunk out again, the last table's last row first.
func (s *session) Unload(ctx context.Context, chunk *writer.Chunk) (map[ecluse.TableName]int64, error) {
	what := "unload chunk " + chunk.Slot.String()
	l, err := s.loading(what, chunk)
	if err != nil {
		return nil, err
	}
	deleted := map[ecluse.TableName]int64{}
	err = s.transaction(ctx, what, func() error {
		m, err := s.stored(ctx, chunk.Slot)
		if err != nil {
			return err
		}
		if m == nil {
			return &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "it is not in this target"}
		}
		if err := l.without(what, m.Refused); err != nil {
			return err
		}
		if _, err := s.conn.Exec(ctx, "PRAGMA defer_foreign_keys=ON"); err != nil {
			return err
		}
		for i := len(l.tables) - 1; i >= 0; i-- {
			t := l.tables[i]
			n, err := t.delete(ctx)
			deleted[t.rows.Table] += n
			if err != nil {
				return err
			}
		}
		if open, err := s.conn.Unresolved(); err != nil || open {
			if open {
				err = &ecluse.Error{
					Kind: ecluse.Refused, What: what, Why: "rows that did not come with it refer to its rows",
					Next: "take those out first; chunks are unloaded in the reverse of their order",
				}
			}
			return err
		}
		_, err = s.conn.Exec(ctx, "DELETE FROM ecluse_marker WHERE migration = ? AND passage = ? AND dataset = ? AND sequence = ? AND version = ?",
			string(s.plan.Migration), s.passage, string(chunk.Slot.Dataset), int64(chunk.Slot.Sequence), int64(chunk.Slot.Version))
		return err
	})
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

// delete takes the table's rows out. What goes or changes along with them by the
// foreign keys of others is refused: it could not be brought back.
func (t *table) delete(ctx context.Context) (int64, error) {
	c := t.session.conn
	total := func() (int64, error) {
		v, err := c.One(ctx, "SELECT total_changes()")
		n, _ := v.(int64)
		return n, err
	}
	before, err := total()
	if err != nil {
		return 0, err
	}
	var n int64
	if t.key != nil {
		n, err = t.deleteByKey(ctx)
	} else {
		n, err = t.deleteOneForOne(ctx, total, &before)
	}
	if err != nil || !slices.Contains(t.session.cascade, t.rows.Table.Name) {
		return n, err
	}
	after, err := total()
	if err == nil && after-before != n {
		err = &ecluse.Error{
			Kind: ecluse.Refused, What: "unload", Where: t.rows.Table.String(),
			Why: fmt.Sprintf("%d rows that did not come with it would be deleted or changed along with it", after-before-n),
		}
	}
	return n, err
}

func (t *table) deleteByKey(ctx context.Context) (int64, error) {
	conds := make([]string, len(t.key))
	for i, at := range t.key {
		conds[i] = engine.Quote(t.columns[at]) + " = ?"
	}
	st, err := t.session.conn.Prepare(ctx, "DELETE FROM "+engine.QuoteTable(t.rows.Table)+" WHERE "+strings.Join(conds, " AND "))
	if err != nil {
		return 0, err
	}
	defer st.Close()
	var deleted int64
	values := make([]driver.Value, len(t.key))
	for i := len(t.rows.Source) - 1; i >= 0; i-- {
		for n, at := range t.key {
			values[n] = value(t.rows.Batch.Columns[at], i, t.fits[at].affinity)
		}
		n, err := st.Exec(ctx, values)
		if err != nil {
			return 0, err
		}
		deleted += n
	}
	return deleted, nil
}

// deleteOneForOne takes out, for each written row, one row equal in all written
// columns, the latest first. The chunk's rows are gathered in a temporary table
// (in memory) whose columns change values as the target's do; the target is read
// backwards until all are found.
func (t *table) deleteOneForOne(ctx context.Context, total func() (int64, error), before *int64) (int64, error) {
	c, s := t.session.conn, t.session
	names := make([]string, len(t.columns))
	same := make([]string, len(t.columns))
	for i, n := range t.columns {
		names[i] = engine.Quote(n)
		same[i] = "u." + names[i] + " IS t." + names[i] + " COLLATE BINARY"
	}
	columns := strings.Join(names, ", ")
	exec := func(sql string) error { _, err := c.Exec(ctx, sql); return err }
	if err := exec("CREATE TEMP TABLE ecluse_gone AS SELECT " + columns + " FROM main." + engine.QuoteTable(t.rows.Table) + " WHERE 0"); err != nil {
		return 0, err
	}
	gone := &table{session: s, rows: &writer.Rows{Table: ecluse.TableName{Schema: "temp", Name: "ecluse_gone"}, Batch: t.rows.Batch, Source: t.rows.Source}, columns: t.columns, fits: t.fits}
	if _, err := gone.insert(ctx, 0, math.MaxInt32, nil); err != nil { // it has no constraint to refuse for
		return 0, err
	}
	err := exec("CREATE TEMP TABLE ecluse_goes AS SELECT " + columns + ", count(*) AS \"ecluse count\" FROM temp.ecluse_gone GROUP BY " + columns + "; " +
		"CREATE INDEX temp.ecluse_goes_by ON ecluse_goes (" + columns + ")")
	if err != nil {
		return 0, err
	}
	id := engine.RowidName(t.catalogue)
	rowids, err := t.find(ctx, "SELECT t."+id+", u."+id+", u.\"ecluse count\" FROM main."+engine.QuoteTable(t.rows.Table)+
		" AS t NOT INDEXED CROSS JOIN temp.ecluse_goes AS u ON "+strings.Join(same, " AND ")+" ORDER BY t."+id+" DESC")
	if err != nil {
		return 0, err
	}
	if *before, err = total(); err != nil {
		return 0, err
	}
	st, err := c.Prepare(ctx, "DELETE FROM main."+engine.QuoteTable(t.rows.Table)+" WHERE "+id+" = ?")
	if err != nil {
		return 0, err
	}
	defer st.Close()
	var deleted int64
	for _, id := range rowids {
		n, err := st.Exec(ctx, []driver.Value{id})
		if err != nil {
			return 0, err
		}
		deleted += n
	}
	return deleted, exec("DROP TABLE temp.ecluse_goes; DROP TABLE temp.ecluse_gone")
}

// find reads pairs of a row of the target and a row of the gathered ones, with
// how many of those there are, until each has been found as often.
func (t *table) find(ctx context.Context, sql string) ([]int64, error) {
	rows, err := t.session.conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	left := map[int64]int64{}
	var found []int64
	for len(found) < len(t.rows.Source) {
		if len(found)%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		ok, err := rows.Next()
		if !ok {
			return found, err
		}
		id, _ := rows.Values[0].(int64)
		group, _ := rows.Values[1].(int64)
		if _, seen := left[group]; !seen {
			left[group], _ = rows.Values[2].(int64)
		}
		if left[group] > 0 {
			left[group]--
			found = append(found, id)
		}
	}
	return found, nil
}

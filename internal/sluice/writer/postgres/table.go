package postgres

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"ecluse"
	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/writer"
)

// table is the rows of one table of a chunk.
type table struct {
	plan    *mandate.LoadTable
	rows    *writer.Rows
	columns []mandate.LoadColumn
	copier  *engine.Copier
}

// table checks the rows of a table against the plan.
func (s *session) table(rows *writer.Rows, chunkRows int) (*table, error) {
	i := slices.IndexFunc(s.plan.Tables, func(t mandate.LoadTable) bool { return t.Table == rows.Table })
	if i < 0 {
		return nil, fmt.Errorf("the plan does not write this table")
	}
	t := &table{plan: &s.plan.Tables[i], rows: rows}
	for _, f := range rows.Batch.Schema.Fields {
		c := slices.IndexFunc(t.plan.Columns, func(c mandate.LoadColumn) bool { return c.Name == f.Name })
		switch {
		case c < 0:
			return nil, fmt.Errorf("the plan does not write column %s", f.Name)
		case t.plan.Columns[c].Type != f.Type:
			return nil, fmt.Errorf("column %s is %s, the plan writes %s", f.Name, f.Type, t.plan.Columns[c].Type)
		case slices.ContainsFunc(t.columns, func(c mandate.LoadColumn) bool { return c.Name == f.Name }):
			return nil, fmt.Errorf("column %s is there twice", f.Name)
		}
		t.columns = append(t.columns, t.plan.Columns[c])
	}
	if len(rows.Source) != rows.Batch.Rows() {
		return nil, fmt.Errorf("%d source rows for %d rows", len(rows.Source), rows.Batch.Rows())
	}
	for i, source := range rows.Source {
		if source < 0 || int(source) >= chunkRows || i > 0 && source < rows.Source[i-1] {
			return nil, fmt.Errorf("its source rows are not ascending from 0 to %d", chunkRows-1)
		}
	}
	t.copier = engine.NewCopier(rows.Table, t.columns)
	return t, nil
}

// span is the rows that source rows from lo up to hi made.
func (t *table) span(lo, hi int32) (from, to int) {
	at := func(row int32) int {
		return sort.Search(len(t.rows.Source), func(i int) bool { return t.rows.Source[i] >= row })
	}
	return at(lo), at(hi)
}

// copy writes the rows of source rows from lo up to hi, without the refused ones.
func (t *table) copy(ctx context.Context, conn *engine.Conn, lo, hi int32, refused map[int32]string) error {
	from, to := t.span(lo, hi)
	rows := t.copier.Rows(t.rows.Batch, from, to, t.skip(refused))
	if from == to {
		return nil
	}
	took, err := conn.CopyIn(ctx, t.copier.Statement(), rows)
	if err == nil && took != rows.Rows() {
		return withheld(t.rows.Table, rows.Rows(), took)
	}
	return err
}

func (t *table) skip(refused map[int32]string) func(int) bool {
	if len(refused) == 0 {
		return nil
	}
	return func(row int) bool {
		_, ok := refused[t.rows.Source[row]]
		return ok
	}
}

// sourceOf is the source row of a line, from 1, of a copy; −1 when there is none.
func (t *table) sourceOf(line int64, lo, hi int32, refused map[int32]string) int32 {
	if line < 1 {
		return -1
	}
	from, to := t.span(lo, hi)
	skip := t.skip(refused)
	for row := from; row < to; row++ {
		if skip != nil && skip(row) {
			continue
		}
		if line--; line == 0 {
			return t.rows.Source[row]
		}
	}
	return -1
}

// key is the columns of the primary key, when rows are found by it.
func (t *table) key() ([]mandate.LoadColumn, bool) {
	var key []mandate.LoadColumn
	for _, k := range t.plan.Key {
		i := slices.IndexFunc(t.columns, func(c mandate.LoadColumn) bool { return c.Name == k })
		if i < 0 {
			return nil, false
		}
		key = append(key, t.columns[i])
	}
	return key, len(key) > 0
}

// quoted names columns of an alias.
func quoted(alias string, columns []mandate.LoadColumn) []string {
	out := bare(columns)
	for i := range out {
		out[i] = alias + "." + out[i]
	}
	return out
}

// bare names columns by themselves.
func bare(columns []mandate.LoadColumn) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = engine.Name(ecluse.TableName{Name: c.Name})
	}
	return out
}

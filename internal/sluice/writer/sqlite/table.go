package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// rowsAtOnce is how many rows one statement inserts.
const rowsAtOnce = 64

// maxParameters is how many values one statement takes.
const maxParameters = 32_000

// table is a chunk's rows of one table on their way in or out.
type table struct {
	session   *session
	rows      *writer.Rows
	catalogue *ecluse.Table
	columns   []string
	fits      []fit
	key       []int // places of the primary key's columns; nil when the plan does not write all of them
	values    []driver.Value
}

// table checks rows against the plan and prepares to write them.
func (s *session) table(rows *writer.Rows, sourceRows int) (*table, error) {
	n := slices.IndexFunc(s.plan.Tables, func(t mandate.LoadTable) bool { return t.Table == rows.Table })
	if n < 0 {
		return nil, errors.New("the plan does not write this table")
	}
	here, ok := s.cat.Table(rows.Table)
	if !ok {
		return nil, errors.New("the target has no such table")
	}
	t := &table{session: s, rows: rows, catalogue: here}
	for i, f := range rows.Batch.Schema.Fields {
		planned := slices.IndexFunc(s.plan.Tables[n].Columns, func(c mandate.LoadColumn) bool { return c.Name == f.Name })
		col, ok := here.Column(f.Name)
		if planned < 0 || !ok {
			return nil, fmt.Errorf("the plan does not write column %s", f.Name)
		}
		if !bindable(f.Type.Kind) {
			return nil, fmt.Errorf("column %s: SQLite has no %s", f.Name, f.Type)
		}
		key := slices.Contains(here.PrimaryKey, f.Name)
		t.columns = append(t.columns, f.Name)
		t.fits = append(t.fits, fit{affinity: engine.AffinityOf(col.Declared), key: key})
		if key && len(s.plan.Tables[n].Key) > 0 {
			t.key = append(t.key, i)
		}
	}
	if len(t.key) != len(s.plan.Tables[n].Key) {
		return nil, errors.New("part of its primary key is not written")
	}
	if len(rows.Source) != rows.Batch.Rows() {
		return nil, fmt.Errorf("%d source rows for %d rows", len(rows.Source), rows.Batch.Rows())
	}
	for i, row := range rows.Source {
		if row < 0 || int(row) >= sourceRows || i > 0 && row < rows.Source[i-1] {
			return nil, fmt.Errorf("row %d: source row %d is out of order", i, row)
		}
	}
	return t, nil
}

// span is the rows that source rows from lo up to hi made.
func (t *table) span(lo, hi int32) (from, to int) {
	at := func(row int32) int {
		return sort.Search(len(t.rows.Source), func(i int) bool { return t.rows.Source[i] >= row })
	}
	return at(lo), at(hi)
}

// insert writes the rows that source rows from lo up to hi made, but for those
// refused. A reason says that the database does not take one of them; then some
// may have been written.
func (t *table) insert(ctx context.Context, lo, hi int32, refused map[int32]string) (reason string, err error) {
	from, to := t.span(lo, hi)
	at := max(1, min(rowsAtOnce, maxParameters/len(t.columns)))
	t.values = t.values[:0]
	rows := 0
	for i := from; i < to; i++ {
		if len(refused) > 0 {
			if _, ok := refused[t.rows.Source[i]]; ok {
				continue
			}
		}
		for c, col := range t.rows.Batch.Columns {
			t.values = append(t.values, value(col, i, t.fits[c].affinity))
		}
		if rows++; rows == at {
			if reason, err = t.exec(ctx, rows, t.values); reason != "" || err != nil {
				return reason, err
			}
			t.values, rows = t.values[:0], 0
		}
	}
	for i := range rows {
		if reason, err = t.exec(ctx, 1, t.values[i*len(t.columns):(i+1)*len(t.columns)]); reason != "" || err != nil {
			return reason, err
		}
	}
	return "", nil
}

func (t *table) exec(ctx context.Context, rows int, values []driver.Value) (reason string, err error) {
	st, err := t.session.insertion(ctx, t.rows.Table, t.columns, rows)
	if err != nil {
		return "", err
	}
	n, err := st.Exec(ctx, values)
	if err != nil {
		if reason, ok := engine.Constraint(t.rows.Table, err); ok {
			return reason, nil
		}
		return "", err
	}
	if n != int64(rows) {
		return t.rows.Table.String() + ": a trigger dropped a row", nil
	}
	return "", nil
}

// insertion is a prepared statement, kept for the session.
func (s *session) insertion(ctx context.Context, name ecluse.TableName, columns []string, rows int) (*engine.Stmt, error) {
	id := fmt.Sprintf("%d %s %q", rows, name, columns)
	st := s.inserts[id]
	if st == nil {
		var err error
		if st, err = s.conn.Prepare(ctx, engine.InsertSQL(name, columns, rows)); err != nil {
			return nil, err
		}
		s.inserts[id] = st
	}
	return st, nil
}

// findUnfit finds the source rows whose values SQLite would not give back.
func (t *table) findUnfit(unfit map[int32]string) {
	for c, col := range t.rows.Batch.Columns {
		check := t.fits[c].check(col.Type().Kind)
		if check == nil {
			continue
		}
		for i := range col.Len() {
			if why := check(col, i); why != "" {
				if _, ok := unfit[t.rows.Source[i]]; !ok {
					unfit[t.rows.Source[i]] = fmt.Sprintf("%s: column %s: %s", t.rows.Table, t.columns[c], why)
				}
			}
		}
	}
}

// orphans are the source rows of which a row's foreign key has no answer.
func (t *table) orphans(ctx context.Context, c *engine.Conn, fk *ecluse.ForeignKey, refused map[int32]string) ([]int32, error) {
	var columns []int
	for _, name := range fk.Columns {
		i := t.rows.Batch.Schema.Index(name)
		if i < 0 {
			return nil, nil // the chunk does not say what it refers to
		}
		columns = append(columns, i)
	}
	conds := make([]string, len(fk.RefColumns))
	for i, name := range fk.RefColumns {
		conds[i] = engine.Quote(name) + " = ?"
	}
	st, err := c.Prepare(ctx, "SELECT 1 FROM "+engine.QuoteTable(fk.References)+" WHERE "+strings.Join(conds, " AND "))
	if err != nil {
		return nil, err
	}
	defer st.Close()
	var out []int32
	values := make([]driver.Value, len(columns))
rows:
	for i, source := range t.rows.Source {
		if _, ok := refused[source]; ok {
			continue
		}
		for n, at := range columns {
			col := t.rows.Batch.Columns[at]
			if col.Null(i) {
				continue rows
			}
			values[n] = value(col, i, t.fits[at].affinity)
		}
		there, err := st.Any(ctx, values)
		if err != nil {
			return nil, err
		}
		if !there {
			out = append(out, source)
		}
	}
	return out, nil
}

// bindable tells the kinds SQLite has a storage class for.
func bindable(k ecluse.DataKind) bool {
	switch k {
	case ecluse.Bool, ecluse.Int, ecluse.Number, ecluse.Float, ecluse.Text, ecluse.Bytes:
		return true
	}
	return false
}

// value is value i of a column as SQLite takes it.
func value(col *record.Column, i int, affinity engine.Affinity) driver.Value {
	if col.Null(i) {
		return nil
	}
	switch col.Type().Kind {
	case ecluse.Bool, ecluse.Int:
		return col.Int(i)
	case ecluse.Float:
		return col.Float(i)
	case ecluse.Bytes:
		return append([]byte{}, col.Bytes(i)...) // never nil, which would be null
	case ecluse.Number:
		if affinity != engine.Text && affinity != engine.Blob {
			if v, ok := number(col.Bytes(i)); ok {
				return v
			}
		}
	}
	return string(col.Bytes(i))
}

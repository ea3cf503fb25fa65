package sqlite

import (
	"context"
	"database/sql/driver"
	"strings"
	"time"

	"ecluse"
	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

// reading is how columns of a table are read back.
type reading struct {
	table  *ecluse.Table
	schema *record.Schema
	sql    string
	what   string
}

func readingOf(cat *ecluse.Catalogue, what string, table ecluse.TableName, columns []string) (*reading, error) {
	invalid := func(why string) error { return &ecluse.Error{Kind: ecluse.Invalid, What: what, Why: why} }
	t, ok := cat.Table(table)
	if !ok {
		return nil, invalid("the target has no such table")
	}
	if len(columns) == 0 {
		return nil, invalid("no column is asked for")
	}
	r := &reading{table: t, schema: &record.Schema{}, what: what}
	outputs := make([]string, len(columns))
	for i, name := range columns {
		col, ok := t.Column(name)
		if !ok {
			return nil, invalid("the table has no column " + name)
		}
		r.schema.Fields = append(r.schema.Fields, record.Field{Name: name, Type: col.Type})
		outputs[i] = engine.ScanOutput(col)
	}
	r.sql = "SELECT " + strings.Join(outputs, ", ") + " FROM " + engine.QuoteTable(table) + " AS t"
	return r, nil
}

func (r *reading) decode(b *record.Batch, values []driver.Value, row int64) error {
	if i := engine.DecodeRow(b, values); i >= 0 {
		return engine.Misfit(r.what, row, r.schema.Fields[i].Name, r.schema.Fields[i].Type, values[i])
	}
	return nil
}

// scanner reads back inside the transaction that is open on its connection.
type scanner struct {
	conn  *engine.Conn
	cat   *ecluse.Catalogue
	at    time.Time
	owned bool // the connection is this scanner's to close
}

var _ reader.Scanner = (*scanner)(nil)

// newScanner reads the catalogue, with which the snapshot begins.
func newScanner(ctx context.Context, c *engine.Conn) (*scanner, error) {
	at := time.Now().UTC()
	cat, err := engine.Catalogue(ctx, c)
	if err != nil {
		return nil, err
	}
	return &scanner{conn: c, cat: cat, at: at}, nil
}

// Scan reads a table from its first row to its last.
func (s *scanner) Scan(ctx context.Context, table ecluse.TableName, columns []string, emit func(*record.Batch) error) error {
	what := "read back " + table.String()
	r, err := readingOf(s.cat, what, table, columns)
	if err != nil {
		return err
	}
	b := record.NewBatch(r.schema, reader.BatchRows)
	row := int64(0)
	err = s.conn.Each(ctx, func(v []driver.Value) error {
		row++
		if err := r.decode(b, v, row); err != nil {
			return err
		}
		if b.Rows() < reader.BatchRows && b.Size() < reader.BatchBytes {
			return nil
		}
		if err := emit(b); err != nil {
			return err
		}
		b.Reset()
		return ctx.Err()
	}, r.sql)
	if err == nil && b.Rows() > 0 {
		err = emit(b)
	}
	return engine.Strip(what, "", err)
}

// Check counts the target's half of a cross-check.
func (s *scanner) Check(ctx context.Context, c ecluse.ShapeCheck) (*record.Batch, error) {
	f, err := engine.TargetFigures(s.cat, &c)
	if err != nil {
		return nil, err
	}
	return f.Run(ctx, s.conn, "count check "+c.Name)
}

// At is when the snapshot began. SQLite has no clock but this machine's.
func (s *scanner) At() time.Time { return s.at }

// Close ends the snapshot, unless it is a transaction of a session's.
func (s *scanner) Close() error {
	if !s.owned {
		return nil
	}
	return s.conn.Close()
}

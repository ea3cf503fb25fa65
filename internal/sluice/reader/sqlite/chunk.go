package sqlite

import (
	"bytes"
	"context"
	"database/sql/driver"

	"ecluse"
	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

// ReadChunk reads the rows between two places. Every chunk is a statement of its
// own that seeks its first row, so that nothing is sorted but what has no index,
// and then at most a chunk of it.
func (s *session) ReadChunk(ctx context.Context, dataset ecluse.DatasetID, after, until reader.Cursor, emit func(*record.Batch) error) (reader.Cursor, bool, error) {
	what := "read dataset " + string(dataset)
	d, ok := s.plan.Dataset(dataset)
	if !ok {
		return nil, false, &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "the plan has no such dataset", Article: "GDPR art. 29"}
	}
	sel, err := engine.Select(s.plan, d)
	if err != nil {
		return nil, false, err
	}
	c := &chunk{what: what, dataset: d, selection: sel, conn: s.conn, throttle: s.throttle, batch: s.batch(d), emit: emit}
	if c.from, err = parseCursor(after, len(sel.Order)); err == nil && len(until) > 0 {
		c.to, err = parseCursor(until, len(sel.Order))
	}
	if err != nil {
		return nil, false, &ecluse.Error{Kind: ecluse.Invalid, What: what, Err: err}
	}
	end, last, err := c.read(ctx)
	if err != nil {
		return nil, false, engine.Strip(what, "", err)
	}
	return end, last, nil
}

// batch is the one that all chunks of a dataset are read into.
func (s *session) batch(d *mandate.ReadDataset) *record.Batch {
	b := s.batches[d.Dataset]
	if b == nil {
		schema := &record.Schema{}
		for _, c := range d.Columns {
			schema.Fields = append(schema.Fields, record.Field{Name: c.Name, Type: c.Type})
		}
		b = record.NewBatch(schema, reader.BatchRows)
		s.batches[d.Dataset] = b
	}
	b.Reset()
	return b
}

// chunk is one call of ReadChunk.
type chunk struct {
	what      string
	dataset   *mandate.ReadDataset
	selection *engine.Selection
	conn      *engine.Conn
	throttle  *reader.Throttle
	batch     *record.Batch
	emit      func(*record.Batch) error
	from      *cursor
	to        *cursor // nil: where the chunk is full
	rows      int64
	bytes     int // emitted
}

// read reads the chunk and finds its end.
func (c *chunk) read(ctx context.Context) (end reader.Cursor, last bool, err error) {
	limit := int64(0)
	if c.to == nil {
		limit = reader.ChunkRows + 1
	}
	rows, err := c.query(ctx, c.from, limit)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	last = true
	for {
		if c.rows%1024 == 0 && ctx.Err() != nil {
			return nil, false, context.Cause(ctx)
		}
		ok, err := rows.next()
		if err != nil {
			return nil, false, err
		}
		if !ok || c.to != nil && rows.beyond(c.to) {
			break
		}
		if c.to == nil && c.full() {
			last = false
			break
		}
		rows.pass()
		if err := c.row(rows.Values); err != nil {
			return nil, false, err
		}
	}
	if err := c.flush(); err != nil {
		return nil, false, err
	}
	at := rows.at
	if c.to != nil {
		at.key, at.skip = c.to.key, c.to.skip
		if last, err = c.nothingBeyond(ctx); err != nil {
			return nil, false, err
		}
	}
	if len(at.key) == 0 {
		return nil, last, nil // no row at all
	}
	at.rows = c.from.rows + c.rows
	return at.encode(), last, nil
}

// full tells that the chunk has as many rows or bytes as a reader aims at.
func (c *chunk) full() bool {
	return c.rows >= reader.ChunkRows || c.bytes+c.batch.Size() >= reader.ChunkBytes
}

// row adds a row to the batch, which is emitted when it is full.
func (c *chunk) row(values []driver.Value) error {
	c.rows++
	ordinal := c.from.rows + c.rows
	b := c.batch
	if c.dataset.Distinct {
		values = []driver.Value{values[0], ordinal}
	}
	if i := engine.DecodeRow(b, values); i >= 0 {
		return engine.Misfit(c.what, ordinal, c.dataset.Columns[i].Name, b.Columns[i].Type(), values[i])
	}
	if b.Rows() >= reader.BatchRows || b.Size() >= reader.BatchBytes {
		return c.flush()
	}
	return nil
}

func (c *chunk) flush() error {
	if c.batch.Rows() == 0 {
		return nil
	}
	c.bytes += c.batch.Size()
	err := c.emit(c.batch)
	c.batch.Reset()
	return err
}

// query opens the rows after a place; up to the chunk's end, if it is known.
func (c *chunk) query(ctx context.Context, from *cursor, limit int64) (*span, error) {
	var conds []string
	args := append([]driver.Value(nil), from.key...)
	if len(from.key) > 0 {
		conds = append(conds, c.selection.Beyond(1, nulls(from.key)))
	}
	if limit > 0 {
		limit += from.skip
	} else {
		conds = append(conds, c.selection.UpTo(len(args)+1, nulls(c.to.key)))
		args = append(args, c.to.key...)
	}
	if err := c.throttle.Wait(ctx); err != nil {
		return nil, err
	}
	rows, err := c.conn.Query(ctx, c.selection.SQL(limit, conds...), args...)
	if err != nil {
		return nil, err
	}
	return &span{Rows: rows, selection: c.selection, at: cursor{key: append([]driver.Value(nil), from.key...)}, skip: from.skip}, nil
}

// nothingBeyond tells whether the dataset ends where the chunk does.
func (c *chunk) nothingBeyond(ctx context.Context) (bool, error) {
	rows, err := c.query(ctx, c.to, 1)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	ok, err := rows.next()
	return !ok, err
}

func nulls(key []driver.Value) []bool {
	out := make([]bool, len(key))
	for i, v := range key {
		out[i] = v == nil
	}
	return out
}

// span is the rows after a place, in order.
type span struct {
	*engine.Rows
	selection *engine.Selection
	at        cursor // behind the last row passed
	skip      int64  // rows equal to at that still lie before the place
}

// next goes to the next row behind the place.
func (s *span) next() (bool, error) {
	for {
		ok, err := s.Next()
		if !ok || s.skip == 0 || !s.equals(s.at.key) {
			s.skip = 0
			return ok, err
		}
		s.skip--
		s.at.skip++
	}
}

// beyond tells that the row lies behind a place although its key is the place's.
func (s *span) beyond(to *cursor) bool {
	return s.selection.Sorted && s.equals(to.key) && s.equals(s.at.key) && s.at.skip >= to.skip
}

// pass moves the place behind the row.
func (s *span) pass() {
	if s.selection.Sorted {
		if s.equals(s.at.key) {
			s.at.skip++
			return
		}
		s.at.skip = 1
	}
	s.at.key = s.at.key[:0]
	for _, k := range s.selection.Order {
		s.at.key = append(s.at.key, s.Values[k.Out])
	}
}

// equals compares the row's key.
func (s *span) equals(key []driver.Value) bool {
	if len(key) == 0 {
		return false
	}
	for i, k := range s.selection.Order {
		if !equal(s.Values[k.Out], key[i]) {
			return false
		}
	}
	return true
}

// equal compares two values of one storage class.
func equal(a, b driver.Value) bool {
	x, isBlob := a.([]byte)
	y, isBlobToo := b.([]byte)
	if isBlob || isBlobToo {
		return isBlob && isBlobToo && bytes.Equal(x, y)
	}
	return a == b
}

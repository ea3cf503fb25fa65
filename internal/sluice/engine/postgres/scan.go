package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// Snapshot reads whole tables of one state of a database, on several
// connections. It fills reader.Scanner.
type Snapshot struct {
	at    time.Time
	conns []*Conn
	free  chan *Conn

	mu     sync.Mutex
	tables map[ecluse.TableName]*ecluse.Table
}

const beginSnapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

// OpenSnapshot takes a snapshot of a database on conns connections.
func OpenSnapshot(ctx context.Context, c Config, conns int) (*Snapshot, error) {
	first, err := Connect(ctx, c)
	if err != nil {
		return nil, err
	}
	if _, err := first.Exec(ctx, beginSnapshot); err != nil {
		_ = first.Close()
		return nil, Wrap(ctx, "take a snapshot", c.String(), err)
	}
	return share(ctx, first, []*Conn{first}, conns)
}

// ShareSnapshot reads the state that a transaction under way sees, its own
// writes apart, on conns other connections. It ends before that transaction.
func ShareSnapshot(ctx context.Context, from *Conn, conns int) (*Snapshot, error) {
	return share(ctx, from, nil, conns)
}

func share(ctx context.Context, from *Conn, have []*Conn, conns int) (*Snapshot, error) {
	s := &Snapshot{conns: have, free: make(chan *Conn, max(conns, 1)), tables: map[ecluse.TableName]*ecluse.Table{}}
	if err := s.open(ctx, from, max(conns, 1)); err != nil {
		_ = s.Close()
		return nil, Wrap(ctx, "take a snapshot", from.config.String(), err)
	}
	for _, c := range s.conns {
		s.free <- c
	}
	return s, nil
}

func (s *Snapshot) open(ctx context.Context, from *Conn, conns int) error {
	id := ""
	err := from.Each(ctx, `SELECT pg_export_snapshot(), to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`, func(v []string) (err error) {
		id = v[0]
		s.at, err = time.Parse(time.RFC3339Nano, v[1])
		return err
	})
	for err == nil && len(s.conns) < conns {
		var c *Conn
		if c, err = Connect(ctx, from.config); err != nil {
			break
		}
		s.conns = append(s.conns, c)
		_, err = c.Exec(ctx, beginSnapshot+"; SET TRANSACTION SNAPSHOT "+literal(id))
	}
	return err
}

// At is the snapshot's time by the server's clock.
func (s *Snapshot) At() time.Time { return s.at }

// Close ends the snapshot.
func (s *Snapshot) Close() error {
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
	return nil
}

// take waits for a connection that nobody uses.
func (s *Snapshot) take(ctx context.Context) (*Conn, error) {
	select {
	case c := <-s.free:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// table describes a table, once.
func (s *Snapshot) table(ctx context.Context, n ecluse.TableName) (*ecluse.Table, error) {
	s.mu.Lock()
	t := s.tables[n]
	s.mu.Unlock()
	if t != nil {
		return t, nil
	}
	c, err := s.take(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { s.free <- c }()
	if t, err = describeTable(ctx, c, n); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.tables[n] = t
	s.mu.Unlock()
	return t, nil
}

// scanBlocks is how many blocks a connection reads at a time: some 16 MiB.
const scanBlocks = 2048

// Scan emits the given columns of every row of a table, in any order, from
// several goroutines at a time, each with its own batch.
func (s *Snapshot) Scan(ctx context.Context, table ecluse.TableName, columns []string, emit func(*record.Batch) error) error {
	t, err := s.table(ctx, table)
	if err != nil {
		return err
	}
	q := &scanning{table: t, emit: emit, ranges: 1}
	if q.fields, q.items, err = asked(t, columns); err != nil {
		return err
	}
	if t.Storage == heap {
		if err := q.measure(ctx, s); err != nil {
			return err
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	for range min(len(s.conns), int(q.ranges)) {
		g.Go(func() error { return q.work(gctx, s) })
	}
	return Wrap(ctx, "read back", table.String(), g.Wait())
}

// asked is how columns of a table are asked for.
func asked(t *ecluse.Table, columns []string) (fields []Field, items []string, err error) {
	for _, n := range columns {
		col, ok := t.Column(n)
		if !ok {
			return nil, nil, &ecluse.Error{Kind: ecluse.Differs, What: "read", Where: t.Name.String(), Why: "there is no column " + n}
		}
		w, cast := readAs(col.Type, col.Declared)
		item := "t." + name(n)
		if cast {
			item += "::text"
		}
		fields, items = append(fields, Field{n, col.Type, w}), append(items, item)
	}
	return fields, items, nil
}

// scanning is one table being read back.
type scanning struct {
	table  *ecluse.Table
	fields []Field
	items  []string
	emit   func(*record.Batch) error
	ranges uint32
	next   atomic.Uint32
}

func (q *scanning) measure(ctx context.Context, s *Snapshot) error {
	c, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer func() { s.free <- c }()
	if c.version < tidRanges {
		return nil // in one go: a range would cost a whole scan
	}
	e, err := ExtentOf(ctx, c, q.table.Name)
	q.ranges = e.Blocks/scanBlocks + 1
	return err
}

// work reads range after range on one connection, until none is left.
func (q *scanning) work(ctx context.Context, s *Snapshot) error {
	c, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer func() { s.free <- c }()
	batch := record.NewBatch(Schema(q.fields), BatchRows)
	turn := func(full *record.Batch) (*record.Batch, error) {
		if full == nil {
			return batch, nil
		}
		return batch, q.emit(full)
	}
	for {
		n := q.next.Add(1) - 1
		if n >= q.ranges {
			return nil
		}
		d, err := NewDecoder(q.fields, turn)
		if err != nil {
			return err
		}
		if _, err := c.CopyOut(ctx, q.statement(n), d); err != nil {
			return err
		}
		if err := d.Close(); err != nil {
			return err
		}
	}
}

func (q *scanning) statement(n uint32) string {
	var where []string
	if n > 0 {
		where = append(where, fmt.Sprintf("t.ctid >= '(%d,0)'::tid", n*scanBlocks))
	}
	if n+1 < q.ranges {
		where = append(where, fmt.Sprintf("t.ctid < '(%d,0)'::tid", (n+1)*scanBlocks))
	}
	return copyOut("SELECT " + strings.Join(q.items, ", ") + " FROM " + Name(q.table.Name) + " AS t" + clause(where))
}

// Check counts the target's half of a cross-check.
func (s *Snapshot) Check(ctx context.Context, c ecluse.ShapeCheck) (*record.Batch, error) {
	t, err := s.table(ctx, c.Table)
	if err != nil {
		return nil, err
	}
	k, err := newTargetCounting(t, &c)
	if err != nil {
		return nil, err
	}
	conn, err := s.take(ctx)
	if err != nil {
		return nil, Wrap(ctx, "count check "+c.Name, "", err)
	}
	defer func() { s.free <- conn }()
	return k.Run(ctx, conn)
}

// Rows reads a small table whole, in the order of its primary key, or of all
// columns when it has none; texts in the order of their bytes. More than limit
// rows are refused.
func (s *Snapshot) Rows(ctx context.Context, table ecluse.TableName, columns []string, limit int) (*record.Batch, error) {
	t, err := s.table(ctx, table)
	if err != nil {
		return nil, err
	}
	fields, items, err := asked(t, columns)
	if err != nil {
		return nil, err
	}
	key := t.PrimaryKey
	if len(key) == 0 {
		key = columns
	}
	order := make([]string, len(key))
	for i, k := range key {
		order[i] = "t." + name(k)
		if col, ok := t.Column(k); ok && col.Type.Kind == ecluse.Text {
			order[i] = textBytes(order[i])
		}
	}
	all := record.NewBatch(Schema(fields), 0)
	batch := record.NewBatch(Schema(fields), 0)
	d, err := NewDecoder(fields, func(full *record.Batch) (*record.Batch, error) {
		if full != nil {
			for i, c := range full.Columns {
				all.Columns[i].AppendRange(c, 0, full.Rows())
			}
		}
		return batch, nil
	})
	if err != nil {
		return nil, err
	}
	conn, err := s.take(ctx)
	if err != nil {
		return nil, Wrap(ctx, "read table", table.String(), err)
	}
	defer func() { s.free <- conn }()
	query := "SELECT " + strings.Join(items, ", ") + " FROM " + Name(table) + " AS t ORDER BY " + strings.Join(order, ", ") + " LIMIT " + strconv.Itoa(limit+1)
	if _, err = conn.CopyOut(ctx, copyOut(query), d); err == nil {
		err = d.Close()
	}
	switch {
	case err != nil:
		return nil, Wrap(ctx, "read table", table.String(), err)
	case all.Rows() > limit:
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "read table", Where: table.String(), Why: fmt.Sprintf("it has more than %d rows", limit),
			Next: "look codes up in a smaller table, or raise the mapping's ceiling",
		}
	}
	return all, nil
}

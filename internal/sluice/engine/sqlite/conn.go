// Package sqlite is what reader, writer and read-back of SQLite share: the
// connection, the catalogue, the composition of statements, the decoding of
// values, the figures of checks.
//
// It speaks to the driver itself, not through database/sql: one connection is
// one epoch or one passage, and rows go from the driver into a batch without a
// conversion between.
//
// Nothing of a record is written to a temporary file: sorting and statement
// journals stay in memory (temp_store).
package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	driversqlite "modernc.org/sqlite"

	"ecluse"
)

// Mode is how a file is opened. A file that does not exist is never made.
type Mode int

// The modes.
const (
	ReadOnly  Mode = iota // mode=ro: the laboratory's file cannot be changed
	ReadWrite             // durable commits, foreign keys enforced
)

// busyMillis is how long a lock held by another program is waited for.
const busyMillis = 10_000

// Conn is one connection, for one goroutine at a time.
type Conn struct {
	raw  driver.Conn
	path string
}

// Open connects to the database file at path.
func Open(ctx context.Context, path string, m Mode) (*Conn, error) {
	dsn, err := dsn(path, m)
	if err != nil {
		return nil, err
	}
	connector, err := driversqlite.NewConnector(dsn)
	if err != nil {
		return nil, Strip("open database", path, err)
	}
	raw, err := connector.Connect(ctx)
	if err != nil {
		return nil, Strip("open database", path, err)
	}
	c := &Conn{raw: raw, path: path}
	// The file is looked at only now: it may be no database at all. One that may
	// not be written was opened for reading without a word.
	_, err = c.One(ctx, "SELECT count(*) FROM sqlite_schema")
	if err == nil && m == ReadWrite {
		err = c.writable()
	}
	if err != nil {
		raw.Close()
		return nil, Strip("open database", path, err)
	}
	return c, nil
}

// dsn is the address of a file in the driver's words. Functions that a schema
// may name are not run, double quotes never make a text, values never go to a
// temporary file.
func dsn(path string, m Mode) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	p := filepath.ToSlash(abs)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p // C:/… on Windows
	}
	q := url.Values{"_dqs": {"0"}, "_error_rc": {"1"}, "_defensive": {"1"}, "_busy_timeout": {fmt.Sprint(busyMillis)}}
	q["_pragma"] = []string{"temp_store(MEMORY)", "trusted_schema(OFF)", "cell_size_check(ON)"}
	switch m {
	case ReadWrite:
		q.Set("mode", "rw")
		q.Set("_foreign_keys", "1")
		q.Set("_synchronous", "EXTRA") // FULL, and the folder too when a rollback journal goes
	default:
		q.Set("mode", "ro")
		q.Set("_query_only", "1")
	}
	return "file://" + (&url.URL{Path: p}).EscapedPath() + "?" + q.Encode(), nil
}

func (c *Conn) writable() error {
	ro, err := c.raw.(interface {
		IsReadOnly(schema string) (bool, error)
	}).IsReadOnly("main")
	if err != nil || !ro {
		return err
	}
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "open database", Where: c.path, Why: "the file can only be read",
		Next: "give the account the right to write the file and its folder",
	}
}

// Path is the file's.
func (c *Conn) Path() string { return c.path }

// Close disconnects; a transaction that is open is rolled back.
func (c *Conn) Close() error { return c.raw.Close() }

// Exec runs a statement, or several without arguments, and returns how many rows
// the last one changed itself.
func (c *Conn) Exec(ctx context.Context, sql string, args ...driver.Value) (int64, error) {
	r, err := c.raw.(driver.ExecerContext).ExecContext(ctx, sql, named(nil, args))
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Query runs a statement that gives rows. Cancelling ctx interrupts it up to its
// first row; the caller looks at ctx between rows.
func (c *Conn) Query(ctx context.Context, sql string, args ...driver.Value) (*Rows, error) {
	r, err := c.raw.(driver.QueryerContext).QueryContext(ctx, sql, named(nil, args))
	if err != nil {
		return nil, err
	}
	return &Rows{rows: r, Values: make([]driver.Value, len(r.Columns()))}, nil
}

// One is the first column of the first row, nil when there is no row.
func (c *Conn) One(ctx context.Context, sql string, args ...driver.Value) (driver.Value, error) {
	r, err := c.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if ok, err := r.Next(); !ok {
		return nil, err
	}
	return r.Values[0], nil
}

// Each calls f for every row.
func (c *Conn) Each(ctx context.Context, f func(row []driver.Value) error, sql string, args ...driver.Value) error {
	r, err := c.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		ok, err := r.Next()
		if !ok {
			return err
		}
		if err := f(r.Values); err != nil {
			return err
		}
	}
}

// Unresolved tells whether the open transaction has foreign keys that nothing
// answers yet.
func (c *Conn) Unresolved() (bool, error) {
	n, _, err := c.raw.(driversqlite.DBStatus).Status(driversqlite.DBStatusDeferredFKs, false)
	return n != 0, err
}

// Rows is what a query gives, one row at a time.
type Rows struct {
	rows   driver.Rows
	Values []driver.Value // of the row Next found: nil, int64, float64, string or []byte
}

// Next goes to the next row; false at the end and at an error.
func (r *Rows) Next() (bool, error) {
	switch err := r.rows.Next(r.Values); {
	case err == nil:
		return true, nil
	case errors.Is(err, io.EOF):
		return false, nil
	default:
		return false, err
	}
}

// Close ends the query.
func (r *Rows) Close() error { return r.rows.Close() }

// Stmt is a prepared statement that changes rows.
type Stmt struct {
	raw   driver.Stmt
	named []driver.NamedValue
}

// Prepare compiles a statement for use many times.
func (c *Conn) Prepare(ctx context.Context, sql string) (*Stmt, error) {
	s, err := c.raw.(driver.ConnPrepareContext).PrepareContext(ctx, sql)
	if err != nil {
		return nil, err
	}
	return &Stmt{raw: s}, nil
}

// Exec runs the statement and returns how many rows it changed itself.
func (s *Stmt) Exec(ctx context.Context, args []driver.Value) (int64, error) {
	s.named = named(s.named[:0], args)
	r, err := s.raw.(driver.StmtExecContext).ExecContext(ctx, s.named)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Any runs the statement and tells whether it gives a row.
func (s *Stmt) Any(ctx context.Context, args []driver.Value) (bool, error) {
	s.named = named(s.named[:0], args)
	r, err := s.raw.(driver.StmtQueryContext).QueryContext(ctx, s.named)
	if err != nil {
		return false, err
	}
	rows := &Rows{rows: r, Values: make([]driver.Value, len(r.Columns()))}
	defer rows.Close()
	return rows.Next()
}

// Close forgets the statement.
func (s *Stmt) Close() error { return s.raw.Close() }

func named(dst []driver.NamedValue, args []driver.Value) []driver.NamedValue {
	for i, v := range args {
		dst = append(dst, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return dst
}

// Package postgres is what reading and writing PostgreSQL share: connections,
// the catalogue, types, statements, grants, COPY's binary form both ways, and
// the reading back of whole tables. It fills mandate.Dialect.
//
// Rows travel in COPY's binary form, decoded straight into record.Batch and
// encoded straight from it. Names are quoted wherever they come from; values in
// conditions are literals, compared by bytes where they are texts.
package postgres

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"ecluse"
)

// Config says how to reach a server. Its password lives in memory only; it
// prints as the account and the address.
type Config struct {
	Host     string // a name, an address, or a Unix socket's folder, which begins with /
	Port     int
	User     string
	Password string
	Database string
	TLS      *tls.Config   // nil: in clear, for loopback and sockets only
	Silence  time.Duration // after which a server that says nothing is taken for lost; 0: half an hour
}

func (c Config) String() string {
	return c.User + "@" + net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) + "/" + c.Database
}

// GoString keeps %#v from printing the password.
func (c Config) GoString() string { return c.String() }

// oldest is the first version of the server that is read and written, tidRanges
// the first that scans a range of places in a table.
const (
	oldest    = 120000
	tidRanges = 140000
)

// lockWait bounds waiting for somebody else's lock on a table.
const lockWait = time.Minute

// sessionSettings is the session, whatever server, database and role say: what is
// not set here could reinterpret texts, change the order of rows, let a name mean
// another thing, or end a long reading.
const sessionSettings = `
SET client_encoding = 'UTF8';
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET extra_float_digits = 3;
SET bytea_output = 'hex';
SET lc_monetary = 'C';
SET xmloption = 'content';
SET standard_conforming_strings = on;
SET search_path = pg_catalog;
SET row_security = off;
SET synchronize_seqscans = off;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
SET work_mem = '64MB';
SET statement_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET lock_timeout = %d`

// Conn is one connection: a session of its own, never replaced by another behind
// the caller's back, for snapshots and locks live and die with it. It serves one
// goroutine at a time.
type Conn struct {
	config  Config
	pg      *pgconn.PgConn
	version int
	goodbye func()
}

// Connect opens a connection. Servers older than PostgreSQL 12 are refused: their
// catalogue says less.
func Connect(ctx context.Context, c Config) (*Conn, error) {
	cfg, err := driverConfig(c)
	if err != nil {
		return nil, err
	}
	pg, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, Wrap(ctx, "connect", c.String(), err)
	}
	conn := &Conn{config: c, pg: pg, goodbye: func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
		defer cancel()
		_ = pg.Close(ctx) // the session ends on either side, said goodbye to or not
	}}
	if err := conn.begin(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// driverConfig takes nothing from the environment: neither PGHOST and the like
// nor ~/.pgpass.
func driverConfig(c Config) (*pgconn.Config, error) {
	cfg, err := pgconn.ParseConfig("host=localhost user=nobody sslmode=disable passfile='' target_session_attrs=any")
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "connect", Where: c.String(), Why: "a PG… variable of the environment is in the way", Next: "unset PGSERVICE and its like"}
	}
	if c.Port < 1 || c.Port > 65535 {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "connect", Where: c.String(), Why: "its port is not from 1 to 65535"}
	}
	cfg.Host, cfg.Port, cfg.User, cfg.Password, cfg.Database = c.Host, uint16(c.Port), c.User, c.Password, c.Database
	cfg.TLSConfig, cfg.Fallbacks, cfg.ConnectTimeout = c.TLS, nil, 30*time.Second
	cfg.RuntimeParams = map[string]string{"application_name": "ecluse", "client_encoding": "UTF8"}
	cfg.OnNotice = nil // notices may quote rows
	cfg.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		return pgproto3.NewFrontend(bufio.NewReaderSize(&unhurried{src: r}, readAhead), w)
	}
	silence := c.Silence
	if silence == 0 {
		silence = 30 * time.Minute
	}
	cfg.AfterNetConnect = func(_ context.Context, _ *pgconn.Config, conn net.Conn) (net.Conn, error) {
		return &quietConn{Conn: conn, silence: silence}, nil
	}
	return cfg, nil
}

// readAhead is how many bytes of an answer are fetched at a time, where they have
// come: the server sends eight kibibytes, and each call of the system costs as much as
// decoding them.
const readAhead = 64 << 10

func (c *Conn) begin(ctx context.Context) error {
	if c.pg.ParameterStatus("integer_datetimes") != "on" {
		return &ecluse.Error{Kind: ecluse.Refused, What: "connect", Where: c.config.String(), Why: "the server keeps times as floating-point numbers"}
	}
	block := ""
	err := c.Each(ctx, "SELECT current_setting('server_version_num'), current_setting('block_size')", func(v []string) error {
		n, err := strconv.Atoi(v[0])
		c.version, block = n, v[1]
		return err
	})
	if err == nil && (c.version < oldest || c.version < tidRanges && block != "8192") {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "connect", Where: c.config.String(), Why: "the server is older than PostgreSQL 12, or than 14 with blocks of another size than 8 KiB",
			Next: "dump the database, load it into a newer server on the same machine, and use that one",
		}
	}
	if err == nil {
		_, err = c.Exec(ctx, fmt.Sprintf(sessionSettings, lockWait.Milliseconds()))
	}
	return Wrap(ctx, "connect", c.config.String(), err)
}

// Config is how the connection was made, for opening another like it.
func (c *Conn) Config() Config { return c.config }

// Version is the server's, such as 150004.
func (c *Conn) Version() int { return c.version }

// Exec runs statements that answer with no rows, and says how many rows the last
// one touched.
func (c *Conn) Exec(ctx context.Context, statements string) (int64, error) {
	results, err := c.pg.Exec(ctx, statements).ReadAll()
	if err != nil {
		return 0, err
	}
	if len(results) == 0 {
		return 0, nil
	}
	return results[len(results)-1].CommandTag.RowsAffected(), nil
}

// Each runs a short statement, with arguments $1… as texts, and calls f, unless
// it is nil, with each row as texts, NULL being the empty one.
func (c *Conn) Each(ctx context.Context, statement string, f func(row []string) error, args ...string) error {
	values := make([][]byte, len(args))
	for i, a := range args {
		values[i] = []byte(a)
	}
	r := c.pg.ExecParams(ctx, statement, values, nil, nil, nil)
	texts := make([]string, len(r.FieldDescriptions()))
	var wrong error
	for r.NextRow() {
		for i, v := range r.Values() {
			texts[i] = string(v)
		}
		if wrong == nil && f != nil {
			wrong = f(texts)
		}
	}
	if _, err := r.Close(); err != nil {
		return err
	}
	return wrong
}

// One runs a statement whose answer is one row of one value; it is empty when
// there is no row.
func (c *Conn) One(ctx context.Context, statement string, args ...string) (string, error) {
	var one string
	err := c.Each(ctx, statement, func(v []string) error { one = v[0]; return nil }, args...)
	return one, err
}

// CopyOut writes what a COPY … TO STDOUT answers to w, row by row. An error of w
// ends the connection.
func (c *Conn) CopyOut(ctx context.Context, statement string, w io.Writer) (rows int64, err error) {
	tag, err := c.pg.CopyTo(ctx, w, statement)
	return tag.RowsAffected(), err
}

// CopyIn gives r to a COPY … FROM STDIN and says how many rows the server took.
// An error of the server leaves the connection usable.
func (c *Conn) CopyIn(ctx context.Context, statement string, r io.Reader) (rows int64, err error) {
	tag, err := c.pg.CopyFrom(ctx, r, statement)
	return tag.RowsAffected(), err
}

// closing bounds the goodbye to a server that may be gone.
const closing = 5 * time.Second

// Close ends the session: its transaction is rolled back, its locks are freed.
func (c *Conn) Close() error {
	c.goodbye()
	return nil
}

// Package mysql is what reading MariaDB and MySQL needs: connections, the
// catalogue, types, statements, grants and the decoder of rows. It fills
// mandate.Dialect. It can only be a source: nothing here writes.
//
// Everything is read through the text protocol, on a session pinned to UTC and
// utf8mb4. Every comparison of texts is one of bytes: the server's collations
// hold "Müller ", "MULLER" and "müller" for the same.
package mysql

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"ecluse"
)

// Config says how to reach a server. Its password lives in memory only; it
// prints as the account and the address.
type Config struct {
	Net      string // "tcp" or "unix"
	Address  string // "host:port", or the socket's path
	User     string
	Password string
	Database string      // to connect to; may be empty
	TLS      *tls.Config // nil: in clear, for loopback and sockets only
}

func (c Config) String() string { return c.User + "@" + c.Address }

// GoString keeps %#v from printing the password.
func (c Config) GoString() string { return c.String() }

// A server that says nothing for so long is taken for lost. Sorting a large
// table before its first row can take minutes.
const silence = 30 * time.Minute

// The session, whatever the server's settings: what is not set here could cut
// short (sql_select_limit), reinterpret (time_zone, sql_mode) or end (timeouts)
// a reading. max_sort_length covers the longest key an index can have (3072 bytes).
func sessionSettings() map[string]string {
	return map[string]string{
		"time_zone":             "'+00:00'",
		"sql_mode":              "''",
		"sql_auto_is_null":      "0",
		"sql_select_limit":      "18446744073709551615",
		"sql_big_selects":       "1",
		"max_sort_length":       strconv.Itoa(sortLength),
		"sort_buffer_size":      "16777216",
		"max_error_count":       "64",
		"sql_quote_show_create": "1",
		"lock_wait_timeout":     "60",
		"wait_timeout":          "604800",
		"net_write_timeout":     "604800",
	}
}

// Settings that only some servers know.
func ownSettings(maria bool) []string {
	if maria {
		return []string{"max_statement_time=0", "idle_transaction_timeout=0", "idle_readonly_transaction_timeout=0"}
	}
	return []string{"max_execution_time=0"}
}

// Conn is one connection: a session of its own, never replaced by another behind
// the caller's back, for snapshots and locks live and die with it. It serves one
// goroutine at a time.
type Conn struct {
	config  Config
	conn    rawConn
	id      int64
	version string
}

type rawConn interface {
	driver.Conn
	driver.QueryerContext
	driver.ExecerContext
}

// Connect opens a connection, read-only. Servers older than MySQL 5.6 and
// MariaDB 10.0 are refused: they know neither read-only transactions nor
// fractions of a second.
func Connect(ctx context.Context, c Config) (*Conn, error) {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.User, cfg.Passwd, cfg.DBName, cfg.TLS = c.Net, c.Address, c.User, c.Password, c.Database, c.TLS
	cfg.Params = sessionSettings()
	cfg.ConnectionAttributes = "program_name:ecluse"
	cfg.Logger = &mysql.NopLogger{}
	cfg.Timeout, cfg.ReadTimeout = 30*time.Second, silence
	if err := cfg.Apply(mysql.Charset("utf8mb4", "")); err != nil {
		return nil, Wrap(ctx, "connect", c.String(), err)
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, Wrap(ctx, "connect", c.String(), err)
	}
	dc, err := connector.Connect(ctx)
	if err != nil {
		return nil, Wrap(ctx, "connect", c.String(), err)
	}
	raw, ok := dc.(rawConn)
	if !ok {
		_ = dc.Close()
		return nil, fmt.Errorf("mysql: the driver's connection takes no context")
	}
	conn := &Conn{config: c, conn: raw}
	if err := conn.begin(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

func (c *Conn) begin(ctx context.Context) error {
	err := c.Each(ctx, "SELECT CONNECTION_ID(), VERSION()", func(v []string) error {
		c.version = v[1]
		id, err := strconv.ParseInt(v[0], 10, 64)
		c.id = id
		return err
	})
	if err != nil {
		return Wrap(ctx, "connect", c.config.String(), err)
	}
	if tooOld(c.version) {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "connect", Where: c.config.String(), Why: "the server is " + c.version + ", older than MySQL 5.6 and MariaDB 10.0",
			Next: "dump the database and load it into a newer server on the same machine, then read that one",
		}
	}
	for _, s := range ownSettings(c.MariaDB()) {
		if err := c.Exec(ctx, "SET SESSION "+s); err != nil && Number(err) != unknownVariable {
			return Wrap(ctx, "connect", c.config.String(), err)
		}
	}
	if err := c.Exec(ctx, "SET SESSION TRANSACTION READ ONLY"); err != nil {
		return Wrap(ctx, "connect", c.config.String(), err)
	}
	return nil
}

// MariaDB tells MariaDB from MySQL.
func (c *Conn) MariaDB() bool { return strings.Contains(strings.ToLower(c.version), "mariadb") }

func tooOld(version string) bool {
	head, _, _ := strings.Cut(version, "-")
	parts := strings.Split(head, ".")
	if len(parts) < 2 {
		return true
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return err1 != nil || err2 != nil || major < 5 || major == 5 && minor < 6
}

// Exec runs a statement that answers with no rows.
func (c *Conn) Exec(ctx context.Context, statement string) error {
	_, err := c.conn.ExecContext(ctx, statement, nil)
	return err
}

// Query runs a statement and streams its rows; nothing else can run before they
// are closed. When ctx ends, so does the connection.
func (c *Conn) Query(ctx context.Context, statement string) (*Rows, error) {
	rows, err := c.conn.QueryContext(ctx, statement, nil)
	if err != nil {
		return nil, err
	}
	return &Rows{rows: rows, row: make(Row, len(rows.Columns()))}, nil
}

// Each runs a short statement and calls f with each row as texts, NULL being the
// empty one.
func (c *Conn) Each(ctx context.Context, statement string, f func(row []string) error) error {
	rows, err := c.Query(ctx, statement)
	if err != nil {
		return err
	}
	texts := make([]string, len(rows.row))
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return rows.Close()
		}
		if err == nil {
			for i, v := range row {
				texts[i] = plain(v)
			}
			err = f(texts)
		}
		if err != nil {
			_ = rows.Close()
			return err
		}
	}
}

// One runs a statement whose answer is one value.
func (c *Conn) One(ctx context.Context, statement string) (string, error) {
	var one string
	err := c.Each(ctx, statement, func(v []string) error { one = v[0]; return nil })
	return one, err
}

func plain(v driver.Value) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []byte:
		return string(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	}
	return fmt.Sprint(v)
}

// Interrupt ends the statement that runs on c, from a second connection, and
// leaves the session with its snapshot or locks alive. The statement's rows still
// have to be closed.
func (c *Conn) Interrupt(ctx context.Context) error {
	other, err := Connect(ctx, c.config)
	if err != nil {
		return err
	}
	defer other.Close()
	return Wrap(ctx, "interrupt", c.config.String(), other.Exec(ctx, "KILL QUERY "+strconv.FormatInt(c.id, 10)))
}

// Close ends the session: its transaction is rolled back, its locks are freed.
// With rows still under way the driver cannot say goodbye; the server then finds
// the connection closed, which comes to the same.
func (c *Conn) Close() error {
	_ = c.conn.Close()
	return nil
}

// Row is one row as the driver gives it: each value nil, []byte, int64, uint64 or
// float64.
type Row []driver.Value

// Rows is the answer to a query.
type Rows struct {
	rows driver.Rows
	row  Row
}

// Next is the next row, or io.EOF, valid until the next call.
func (r *Rows) Next() (Row, error) {
	if err := r.rows.Next(r.row); err != nil {
		return nil, err
	}
	return r.row, nil
}

// Close reads what is left of the answer, so that the connection can be used
// again.
func (r *Rows) Close() error { return r.rows.Close() }

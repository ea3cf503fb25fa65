package app

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/internal/config"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/engine/mysql"
	"ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/reader"
	mysqlreader "ecluse/internal/sluice/reader/mysql"
	postgresreader "ecluse/internal/sluice/reader/postgres"
	sqlitereader "ecluse/internal/sluice/reader/sqlite"
	postgreswriter "ecluse/internal/sluice/writer/postgres"
	sqlitewriter "ecluse/internal/sluice/writer/sqlite"
)

// openSource connects to an old laboratory's database: this list and the next
// are the engines compiled in.
func openSource(c *config.Gate) (reader.Source, mandate.Dialect, error) {
	switch c.Engine {
	case ecluse.SQLite:
		return sqlitereader.New(c.Rows.File), sqlite.Dialect{}, nil
	case ecluse.PostgreSQL:
		catalogue, rows, err := both(c, postgresConfig)
		return postgresreader.New(catalogue, rows), postgres.Dialect{}, err
	case ecluse.MySQL:
		catalogue, rows, err := both(c, mysqlConfig)
		if err != nil {
			return nil, nil, err
		}
		rows.Database = "" // it reads through views elsewhere, and may have no right here
		s, err := mysqlreader.New(mysqlreader.Config{Catalogue: catalogue, Read: rows})
		return s, mysql.Dialect{}, err
	}
	return nil, nil, unknownEngine(c.Engine, "read from")
}

// openTarget connects to a new laboratory's database.
func openTarget(d config.Database) (gate.Base, error) {
	switch d.Engine {
	case ecluse.SQLite:
		return gate.Base{DB: sqlitewriter.New(d.Rows.File), Dialect: sqlite.Dialect{}}, nil
	case ecluse.PostgreSQL:
		rows, err := postgresConfig(&d.Rows)
		return gate.Base{DB: postgreswriter.New(rows), Dialect: postgres.Dialect{}}, err
	}
	return gate.Base{}, unknownEngine(d.Engine, "written to")
}

// openBases connects to all that a target gate writes into: its database, and the test
// base where gate.yaml has one.
func openBases(c *config.Gate) (main gate.Base, rehearsal *gate.Base, err error) {
	if main, err = openTarget(c.Database()); err != nil || c.Rehearsal == nil {
		return main, nil, err
	}
	test, err := openTarget(c.Rehearsal.Database())
	if err != nil {
		return main, nil, errors.Join(err, main.DB.Close())
	}
	test.System = c.Rehearsal.System
	return main, &test, nil
}

func unknownEngine(e ecluse.Engine, what string) error {
	return &ecluse.Error{
		Kind: ecluse.Invalid, What: connecting, Where: config.FileName + ": engine",
		Why: fmt.Sprintf("%s cannot be %s", e, what), Next: "read: sqlite, postgresql, mysql; write: sqlite, postgresql",
	}
}

// both makes the settings of both accounts.
func both[T any](c *config.Gate, of func(*config.Account) (T, error)) (catalogue, rows T, err error) {
	if catalogue, err = of(&c.Catalogue); err != nil {
		return catalogue, rows, err
	}
	rows, err = of(&c.Rows)
	return catalogue, rows, err
}

func postgresConfig(a *config.Account) (postgres.Config, error) {
	c := postgres.Config{Host: a.Host, Port: a.Port, User: a.User, Database: a.Database}
	if c.Port == 0 {
		c.Port = 5432
	}
	var err error
	if c.Password, err = a.Password(); err != nil {
		return c, err
	}
	c.TLS, err = tlsConfig(a)
	return c, err
}

func mysqlConfig(a *config.Account) (mysql.Config, error) {
	port := a.Port
	if port == 0 {
		port = 3306
	}
	c := mysql.Config{Net: "tcp", Address: net.JoinHostPort(a.Host, strconv.Itoa(port)), User: a.User, Database: a.Database}
	if strings.HasPrefix(a.Host, "/") {
		c.Net, c.Address = "unix", a.Host
	}
	var err error
	if c.Password, err = a.Password(); err != nil {
		return c, err
	}
	c.TLS, err = tlsConfig(a)
	return c, err
}

// tlsConfig is how an account's connection is protected; nil stays on this
// machine. There is no way to leave a server unverified.
func tlsConfig(a *config.Account) (*tls.Config, error) {
	if !a.Encrypted() {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: a.Host}
	pin, err := a.Pinned()
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: connecting, Where: "pin", Err: err}
	}
	if pin != nil {
		c.InsecureSkipVerify = true // by authority and name: it is verified below, on every handshake
		c.VerifyConnection = func(s tls.ConnectionState) error { return pinned(a.Host, pin, s.PeerCertificates) }
		return c, nil
	}
	if a.CAFile == "" {
		return c, nil
	}
	text, err := os.ReadFile(a.CAFile)
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: connecting, Where: "ca_file", Why: "it cannot be read", Err: err}
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(text) {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: connecting, Where: a.CAFile, Why: "there is no certificate in it"}
	}
	return c, nil
}

const connecting = "connect to the database"

// pinned refuses a server whose own certificate is not the one of gate.yaml.
func pinned(host string, pin []byte, chain []*x509.Certificate) error {
	if len(chain) > 0 {
		got := sha256.Sum256(chain[0].Raw)
		if bytes.Equal(got[:], pin) {
			return nil
		}
	}
	return &ecluse.Error{
		Kind: ecluse.Unverified, What: connecting, Where: host, Why: "its certificate is not the one that gate.yaml pins",
		Next: "ask whoever runs the server whether it has a new certificate; if so, write its SHA-256 under pin",
	}
}

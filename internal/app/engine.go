package app

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/internal/config"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/engine/mysql"
	"ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/reader"
	mysqlreader "ecluse/internal/sluice/reader/mysql"
	postgresreader "ecluse/internal/sluice/reader/postgres"
	sqlitereader "ecluse/internal/sluice/reader/sqlite"
	"ecluse/internal/sluice/writer"
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
	return nil, nil, unknownEngine(c, "read from")
}

// openTarget connects to a new laboratory's database.
func openTarget(c *config.Gate) (writer.Target, mandate.Dialect, error) {
	switch c.Engine {
	case ecluse.SQLite:
		return sqlitewriter.New(c.Rows.File), sqlite.Dialect{}, nil
	case ecluse.PostgreSQL:
		rows, err := postgresConfig(&c.Rows)
		return postgreswriter.New(rows), postgres.Dialect{}, err
	}
	return nil, nil, unknownEngine(c, "written to")
}

func unknownEngine(c *config.Gate, what string) error {
	return &ecluse.Error{
		Kind: ecluse.Invalid, What: "connect to the database", Where: config.FileName + ": engine",
		Why: fmt.Sprintf("%s cannot be %s", c.Engine, what), Next: "read: sqlite, postgresql, mysql; write: sqlite, postgresql",
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
// machine.
func tlsConfig(a *config.Account) (*tls.Config, error) {
	mode := a.TLS
	if mode == "" {
		mode = "verify"
		if a.Local() {
			mode = "disable"
		}
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: a.Host}
	switch mode {
	case "disable":
		return nil, nil
	case "require": // encrypted, the server not verified: gate.yaml says so in so many words
		c.InsecureSkipVerify = true
		return c, nil
	}
	if a.CA == "" {
		return c, nil
	}
	text, err := os.ReadFile(a.CA)
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "connect to the database", Where: "ca", Err: err}
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(text) {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "connect to the database", Where: a.CA, Why: "there is no certificate in it"}
	}
	return c, nil
}

// Package mysqltest gives tests a database of their own on a real server, the one
// that ECLUSE_TEST_MYSQL names.
package mysqltest

import (
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	driver "github.com/go-sql-driver/mysql"

	"ecluse/internal/sluice/engine/mysql"
)

// DB is a new, empty database and the administrator's connections to it.
type DB struct {
	*sql.DB
	Database string
	Root     mysql.Config // the administrator's account, in this database
}

// New makes a database and drops it when the test ends. A missing server fails
// the test: it never skips.
func New(t testing.TB) *DB {
	t.Helper()
	dsn := os.Getenv("ECLUSE_TEST_MYSQL")
	if dsn == "" {
		t.Fatal(`ECLUSE_TEST_MYSQL is not set; run: eval "$(scripts/servers up)"`)
	}
	c, err := driver.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	c.MultiStatements, c.InterpolateParams = true, true
	c.Params = map[string]string{"sql_mode": "''", "time_zone": "'+00:00'", "lock_wait_timeout": "30"}
	connector, err := driver.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	db := &DB{DB: sql.OpenDB(connector), Database: "écluse_" + random()}
	db.SetMaxOpenConns(1) // USE holds for the next statement
	db.Run(t, "CREATE DATABASE `"+db.Database+"` CHARACTER SET utf8mb4; USE `"+db.Database+"`")
	db.Root = mysql.Config{Net: c.Net, Address: c.Addr, User: c.User, Password: c.Passwd, Database: db.Database, TLS: c.TLS}
	t.Cleanup(func() {
		db.Run(t, "DROP DATABASE `"+db.Database+"`")
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func random() string {
	b := make([]byte, 6)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// Run runs statements, separated by semicolons, as the administrator.
func (db *DB) Run(t testing.TB, statements string) {
	t.Helper()
	if _, err := db.Exec(statements); err != nil {
		t.Fatalf("%v in:\n%.400s", err, statements)
	}
}

// Account makes an account without rights; the test's end drops it.
func (db *DB) Account(t testing.TB) (mysql.Config, mysql.Account) {
	t.Helper()
	a := mysql.Account{User: "t" + random(), Host: "%"}
	c := db.Root
	c.User, c.Password, c.Database = a.User, random(), ""
	db.Run(t, fmt.Sprintf("CREATE USER %s IDENTIFIED BY '%s'", a, c.Password))
	t.Cleanup(func() { db.Run(t, "DROP USER "+a.String()) })
	return c, a
}

// Load runs a script of the material kept outside the repository.
func (db *DB) Load(t testing.TB, path string, replace ...string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(Material(t), path))
	if err != nil {
		t.Fatal(err)
	}
	db.Run(t, strings.NewReplacer(replace...).Replace(string(b)))
}

// Material is the folder that ECLUSE_MATERIAL names.
func Material(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("ECLUSE_MATERIAL")
	if dir == "" {
		t.Fatal("ECLUSE_MATERIAL is not set: the folder that holds pair-blis-openelis/ and quirks/")
	}
	return dir
}

// Package postgrestest gives tests a database of their own on the server that
// ECLUSE_TEST_POSTGRES names.
package postgrestest

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ecluse/internal/sluice/engine/postgres"
)

// Variable names the server: postgresql://superuser@host:port/postgres.
const Variable = "ECLUSE_TEST_POSTGRES"

// Server is the superuser of the tests' server. Without one the test fails: it
// never skips.
func Server(t testing.TB) postgres.Config {
	t.Helper()
	address := os.Getenv(Variable)
	if address == "" {
		t.Fatalf(`%s is not set: run  eval "$(scripts/servers up)"`, Variable)
	}
	c, err := parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// parse reads postgresql://user:password@host:port/database, in clear. Other
// parameters are ignored.
func parse(s string) (postgres.Config, error) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.User == nil {
		return postgres.Config{}, errors.New(Variable + ": want postgresql://user:password@host:port/database")
	}
	c := postgres.Config{Host: u.Hostname(), Port: 5432, User: u.User.Username(), Database: strings.TrimPrefix(u.Path, "/")}
	c.Password, _ = u.User.Password()
	if p := u.Port(); p != "" {
		c.Port, err = strconv.Atoi(p)
	}
	return c, err
}

// New makes an empty database, dropped when the test ends.
func New(t testing.TB) postgres.Config {
	t.Helper()
	server := Server(t)
	name := "ecluse_test_" + strings.ToLower(rand.Text())
	Run(t, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { Run(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	mine := server
	mine.Database = name
	return mine
}

// Connect opens a connection that the test's end closes.
func Connect(t testing.TB, c postgres.Config) *postgres.Conn {
	t.Helper()
	conn, err := postgres.Connect(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Run runs statements on a connection of their own, in schema public.
func Run(t testing.TB, c postgres.Config, statements string) {
	t.Helper()
	conn, err := postgres.Connect(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, s := range []string{"SET search_path = public", statements} {
		if _, err := conn.Exec(context.Background(), s); err != nil {
			t.Fatalf("%v in %.200s", err, s)
		}
	}
}

// One asks one value, as a text.
func One(t testing.TB, c postgres.Config, query string) string {
	t.Helper()
	conn, err := postgres.Connect(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	one, err := conn.One(context.Background(), query)
	if err != nil {
		t.Fatalf("%v in %s", err, query)
	}
	return one
}

// Role makes a role that may log in, dropped when the test ends, and says how it
// connects to c's database.
func Role(t testing.TB, c postgres.Config) postgres.Config {
	t.Helper()
	role := "ecluse_role_" + strings.ToLower(rand.Text())
	Run(t, c, "CREATE ROLE "+role+" LOGIN PASSWORD 'test'")
	t.Cleanup(func() { Run(t, c, "DROP OWNED BY "+role+" CASCADE; DROP ROLE "+role) })
	mine := c
	mine.User, mine.Password = role, "test"
	return mine
}

// Material is a file kept outside the repository, for tests named TestMaterial….
func Material(t testing.TB, path ...string) string {
	t.Helper()
	dir := os.Getenv("ECLUSE_MATERIAL")
	if dir == "" {
		t.Skip("ECLUSE_MATERIAL is not set: the folder that holds pair-blis-openelis/ and quirks/")
	}
	text, err := os.ReadFile(filepath.Join(append([]string{dir}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Script runs a script as psql would.
func Script(t testing.TB, c postgres.Config, script string) {
	t.Helper()
	conn, err := postgres.Connect(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Exec(context.Background(), script); err != nil {
		t.Fatalf("%v in the script:\n%s", err, script)
	}
}

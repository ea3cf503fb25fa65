// Package config holds the one configuration file of a gate, and what a person's
// device knows of servers: its contexts and its short-lived sessions. The comments
// of Gate and Context are the manual. Secrets are given by path or environment,
// never by value.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ecluse"
	"ecluse/internal/document"
)

// Gate is gate.yaml, beside a gate's key.
type Gate struct {
	// Format is always "gate/v1".
	Format string `yaml:"ecluse"`
	// Engine of the database: postgresql, mysql (MariaDB too) or sqlite.
	Engine ecluse.Engine `yaml:"engine"`
	// Catalogue is the account that sees every name and no value. It inspects
	// and compiles. At the target, and for SQLite, it may be the same as Rows.
	Catalogue Account `yaml:"catalogue"`
	// Rows is the account that reads rows at the source (what `ecluse gate grants
	// DIR read` made) or loads them at the target (`… load`).
	Rows Account `yaml:"rows"`

	// Rehearsal is the test base of the new software, of a target gate alone: rehearsals
	// go into it and nowhere else. Without it the gate rehearses nothing.
	Rehearsal *Rehearsal `yaml:"rehearsal,omitempty"`

	// Server, Laboratory and Pin are where this gate is asked for work, as in
	// contexts.yaml. `ecluse gate enrol` writes them; a gate that stands in one room
	// with its lock has none of them.
	Server     string        `yaml:"server,omitempty"`
	Laboratory string        `yaml:"laboratory,omitempty"`
	Pin        ecluse.Digest `yaml:"pin,omitempty"`
	// Proxy between this gate and the server, and the file with its account's
	// password, as in contexts.yaml; the file is relative to gate.yaml.
	Proxy             string `yaml:"proxy,omitempty"`
	ProxyPasswordFile string `yaml:"proxy_password_file,omitempty"`
}

// Database is what a gate stands beside: an engine, and the two accounts there.
type Database struct {
	Engine    ecluse.Engine
	Catalogue Account
	Rows      Account
}

// Database is the gate's own.
func (g *Gate) Database() Database { return Database{g.Engine, g.Catalogue, g.Rows} }

// Rehearsal is a second database, and the name under which instructions have it.
type Rehearsal struct {
	// System is what the instruction calls it under target.pre_production: a rehearsal
	// is refused where the two differ.
	System string `yaml:"system"`
	// Engine, Catalogue and Rows are as the gate's own.
	Engine    ecluse.Engine `yaml:"engine"`
	Catalogue Account       `yaml:"catalogue"`
	Rows      Account       `yaml:"rows"`
}

// Database is where rehearsals go.
func (r *Rehearsal) Database() Database { return Database{r.Engine, r.Catalogue, r.Rows} }

// Remote tells whether the gate's lock is on a server.
func (g *Gate) Remote() bool { return g.Server != "" }

func (g *Gate) way() way {
	return way{g.Server, g.Laboratory, g.Pin, g.Proxy, g.ProxyPasswordFile}
}

// ProxyURL is the proxy with the account's password, read now; nil when there is
// no proxy. It is for the connection alone, never for a screen.
func (g *Gate) ProxyURL() (*url.URL, error) { return g.way().proxyURL() }

// Account says how to reach a database.
type Account struct {
	// File is a SQLite database's path, relative to gate.yaml.
	File string `yaml:"file,omitempty"`
	// Host and Port of a server. A host beginning with / is a Unix socket's
	// folder (PostgreSQL) or the socket (MySQL).
	Host string `yaml:"host,omitempty"`
	Port int    `yaml:"port,omitempty"`
	// Database to connect to.
	Database string `yaml:"database,omitempty"`
	// User is the account's name.
	User string `yaml:"user,omitempty"`
	// PasswordFile holds the password, alone on its line, mode 0600, relative to
	// gate.yaml. Without it the environment variable named by PasswordEnv is
	// used; without that, no password.
	PasswordFile string `yaml:"password_file,omitempty"`
	PasswordEnv  string `yaml:"password_env,omitempty"`
	// TLS is verify-full (the server's certificate and its name are verified), or
	// disable, for loopback and sockets only. Default: verify-full, and disable on
	// loopback and sockets that have neither ca_file nor pin.
	TLS string `yaml:"tls,omitempty"`
	// CAFile holds the certificates, in PEM, of the authority that signed the
	// server's; without it, the system's authorities.
	CAFile string `yaml:"ca_file,omitempty"`
	// Pin is the SHA-256 of the server's own certificate, for a server whose
	// certificate nobody signed; as `openssl x509 -noout -fingerprint -sha256`
	// prints it. It is verified instead of authority and name.
	Pin string `yaml:"pin,omitempty"`
}

// Words of Account.TLS.
const (
	VerifyFull = "verify-full"
	Disable    = "disable"
)

// FileName is the configuration's name in a gate's folder.
const FileName = "gate.yaml"

// Load reads gate.yaml of a gate's folder. Paths in it come back absolute.
func Load(dir string) (*Gate, error) {
	path := filepath.Join(dir, FileName)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: "read the gate's configuration", Where: path, Why: "it cannot be read",
			Next: "write it: the comments in the example made by `ecluse init` or `ecluse gate enrol` are the manual", Err: cause(err),
		}
	}
	return parseGate(dir, path, text)
}

func parseGate(dir, path string, text []byte) (*Gate, error) {
	var g Gate
	lines, err := document.Decode(path, text, &g)
	if err != nil {
		return nil, err
	}
	var problems document.Problems
	wrong := func(field, why string) { problems = append(problems, lines.Problem(field, why, "")) }
	if g.Format != "gate/v1" {
		wrong("ecluse", "want gate/v1")
	}
	checkDatabase(dir, "", g.Engine, &g.Catalogue, &g.Rows, wrong)
	if g.Rehearsal != nil {
		g.Rehearsal.check(dir, &g, wrong)
	}
	if g.way() != (way{}) {
		g.way().check(wrong)
	}
	if p := &g.ProxyPasswordFile; *p != "" && !filepath.IsAbs(*p) {
		*p = filepath.Join(dir, *p)
	}
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b document.Problem) int { return a.Line - b.Line })
		return nil, problems
	}
	return &g, nil
}

// checkDatabase checks an engine and its accounts, and makes paths absolute.
func checkDatabase(dir, at string, e ecluse.Engine, catalogue, rows *Account, wrong func(field, why string)) {
	switch e {
	case ecluse.PostgreSQL, ecluse.MySQL, ecluse.SQLite:
	default:
		wrong(at+"engine", fmt.Sprintf("want %s, %s or %s", ecluse.PostgreSQL, ecluse.MySQL, ecluse.SQLite))
	}
	for name, a := range map[string]*Account{"catalogue": catalogue, "rows": rows} {
		a.check(e, func(field, why string) { wrong(at+name+"."+field, why) })
		for _, p := range []*string{&a.File, &a.PasswordFile, &a.CAFile} {
			if *p != "" && !filepath.IsAbs(*p) {
				*p = filepath.Join(dir, *p)
			}
		}
	}
}

// check refuses a test base that has no name, or that is where people work.
func (r *Rehearsal) check(dir string, g *Gate, wrong func(field, why string)) {
	const at = "rehearsal."
	checkDatabase(dir, at, r.Engine, &r.Catalogue, &r.Rows, wrong)
	if r.System == "" {
		wrong(at+"system", "missing: the name that the instruction has under target.pre_production")
	}
	if r.Engine == ecluse.MySQL {
		wrong(at+"engine", "rows are written to "+string(ecluse.PostgreSQL)+" or "+string(ecluse.SQLite))
	}
	if r.Engine == g.Engine && r.Rows.sameDatabase(&g.Rows) {
		wrong(at+"rows", "it is the gate's own database: a rehearsal is loaded elsewhere than where people work")
	}
}

// sameDatabase tells whether two accounts of one engine are of one database, as far as
// the names tell.
func (a *Account) sameDatabase(b *Account) bool {
	return a.File == b.File && a.Host == b.Host && a.port() == b.port() && a.Database == b.Database
}

// port is PostgreSQL's where none is given: it is the one server engine written to.
func (a *Account) port() int {
	if a.Port == 0 && a.Host != "" {
		return 5432
	}
	return a.Port
}

func (a *Account) check(e ecluse.Engine, wrong func(field, why string)) {
	if e == ecluse.SQLite {
		if a.File == "" {
			wrong("file", "a SQLite database is a file: say where")
		}
		return
	}
	if a.Host == "" {
		wrong("host", "missing")
	}
	if a.User == "" {
		wrong("user", "missing")
	}
	if a.Database == "" {
		wrong("database", "missing")
	}
	a.checkTLS(wrong)
}

func (a *Account) checkTLS(wrong func(field, why string)) {
	switch a.TLS {
	case "", VerifyFull:
	case Disable:
		if !a.Local() {
			wrong("tls", "disable is for loopback and sockets only: rows would travel in clear")
		}
	case "require", "verify":
		wrong("tls", a.TLS+" is not known: want verify-full, with ca_file or pin where the system's authorities do not know the server")
	default:
		wrong("tls", "want verify-full or disable")
	}
	secured := a.TLS == VerifyFull || a.CAFile != "" || a.Pin != ""
	switch {
	case secured && a.TLS == Disable:
		wrong("tls", "disable leaves ca_file and pin without use: leave them out, or say verify-full")
	case secured && strings.HasPrefix(a.Host, "/"):
		wrong("tls", "a socket stays on this machine: leave tls, ca_file and pin out")
	case a.CAFile != "" && a.Pin != "":
		wrong("pin", "a pinned certificate is known by itself: give ca_file or pin")
	}
	if _, err := a.Pinned(); err != nil {
		wrong("pin", err.Error())
	}
}

// Pinned is the SHA-256 that the server's certificate must have; nil when none is
// pinned.
func (a *Account) Pinned() ([]byte, error) {
	if a.Pin == "" {
		return nil, nil
	}
	b, err := hex.DecodeString(strings.ReplaceAll(a.Pin, ":", ""))
	if err != nil || len(b) != sha256.Size {
		return nil, errors.New("want the certificate's SHA-256, 64 hexadecimal digits: openssl x509 -noout -fingerprint -sha256 -in server.crt")
	}
	return b, nil
}

// Encrypted tells whether the connection is made with TLS.
func (a *Account) Encrypted() bool {
	return a.TLS == VerifyFull || a.TLS == "" && (!a.Local() || a.CAFile != "" || a.Pin != "")
}

// Local tells whether the connection stays on this machine: by a socket, the name
// localhost or an address of the loopback. Any other name may be resolved to
// anywhere, however it begins.
func (a *Account) Local() bool {
	if a.Host == "localhost" || strings.HasPrefix(a.Host, "/") {
		return true
	}
	ip, err := netip.ParseAddr(a.Host)
	return err == nil && ip.IsLoopback()
}

// Password reads the account's password; empty when none is set.
func (a *Account) Password() (string, error) {
	if a.PasswordFile != "" {
		return password("read the database password", a.PasswordFile)
	}
	if a.PasswordEnv != "" {
		return os.Getenv(a.PasswordEnv), nil
	}
	return "", nil
}

// password reads a file that holds one, alone on its line, for its owner's eyes.
func password(what, path string) (string, error) {
	b, err := readOwn(what, path, othersAny)
	return strings.TrimRight(string(b), "\r\n"), err
}

// Example is a gate.yaml to fill in, as `ecluse init` and `ecluse gate enrol` leave
// it in a gate's folder.
const Example = exampleHead + exampleServer + exampleDatabase

// ExampleFor is Example with the server's lines filled in.
func ExampleFor(server, laboratory string, pin ecluse.Digest) string {
	filled := fmt.Sprintf(`server: %s
laboratory: %s
pin: %s    # of the server's key: nobody else is believed to be the server
`, server, laboratory, pin)
	_, optional, _ := strings.Cut(exampleServer, exampleRequired)
	return exampleHead + "# Where this gate is asked for work.\n" + filled + optional + exampleDatabase
}

const exampleHead = `# Settings of one gate. Nothing here leaves this machine.
# ecluse gate config check DIR says everything that is wrong in it.
ecluse: gate/v1

`

// exampleRequired are the lines that ExampleFor fills in.
const exampleRequired = `# server: https://ecluse.example:8443
# laboratory: megabus
# pin: sha256:…              # of the server's key: nobody else is believed to be the server
`

const exampleServer = "# Where this gate is asked for work; a gate in one room with its lock leaves these out.\n" + exampleRequired + `# proxy: http://NAME@proxy:3128       # without NAME@ where the proxy has no accounts
# proxy_password_file: proxy.password # alone on its line, chmod 600

`

const exampleDatabase = `# The database.
engine: postgresql          # postgresql, mysql (MariaDB too), sqlite

# Sees every name and no value: it inspects and compiles (ecluse gate grants DIR inspect).
catalogue:
  host: 127.0.0.1
  port: 5432
  database: laboratory
  user: ecluse_catalogue
  password_file: catalogue.password   # alone on its line, chmod 600

# Reads what the plan says (ecluse gate grants DIR read), or loads it (… load).
rows:
  host: 127.0.0.1
  port: 5432
  database: laboratory
  user: ecluse_rows
  password_file: rows.password

# A server elsewhere is reached with TLS, its certificate and name verified; where
# the system's authorities do not know it, with one of
#   ca_file: authority.pem             # the authority that signed it
#   pin: "AA:BB:…"                     # openssl x509 -noout -fingerprint -sha256 -in server.crt

# Of a target gate: the test base that rehearsals go into, another database than the
# one above. system is its name under target.pre_production of the instruction.
#   rehearsal:
#     system: NOVALAB-TEST
#     engine: postgresql
#     catalogue: {host: 127.0.0.1, port: 5432, database: laboratory_test, user: ecluse_catalogue, password_file: catalogue.password}
#     rows: {host: 127.0.0.1, port: 5432, database: laboratory_test, user: ecluse_rows, password_file: rows.password}

# A SQLite database instead:
#   engine: sqlite
#   catalogue: {file: laboratory.db}
#   rows: {file: laboratory.db}
`

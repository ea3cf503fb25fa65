package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ecluse"
)

func write(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestExampleLoads(t *testing.T) {
	dir := write(t, Example)
	g, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "rows.password"); g.Rows.PasswordFile != want || g.Engine != ecluse.PostgreSQL {
		t.Errorf("loaded %+v", g)
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"engine": {"ecluse: gate/v1\nengine: oracle\ncatalogue: {file: a}\nrows: {file: a}\n", "gate.yaml:2: engine: want"},
		"file":   {"ecluse: gate/v1\nengine: sqlite\ncatalogue: {file: a}\nrows: {host: b}\n", "rows.file"},
		"clear":  {"ecluse: gate/v1\nengine: mysql\ncatalogue: {host: 10.0.0.1, user: u, database: d, tls: disable}\nrows: {host: h, user: u, database: d}\n", "in clear"},
		"name":   {server("host: 127.example.org, tls: disable"), "in clear"},
		"short":  {server("host: '127.1', tls: disable"), "in clear"},
		"old":    {server("host: h, tls: require"), "want verify-full, with ca_file or pin"},
		"tls":    {server("host: h, tls: prefer"), "want verify-full or disable"},
		"pin":    {server("host: h, pin: AA:BB"), "rows.pin: want the certificate's SHA-256"},
		"both":   {server("host: h, ca_file: a.pem, pin: '" + strings.Repeat("ab", 32) + "'"), "give ca_file or pin"},
		"idle":   {server("host: localhost, tls: disable, ca_file: a.pem"), "without use"},
		"socket": {server("host: /run/postgresql, ca_file: a.pem"), "a socket stays on this machine"},
		"value":  {"ecluse: gate/v1\nengine: mysql\ncatalogue: {host: h, user: u, database: d, password: x}\nrows: {host: h, user: u, database: d}\n", "unknown key"},
	} {
		if _, err := Load(write(t, c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("a folder without configuration loaded")
	}
}

// server is a configuration whose rows account has these settings.
func server(settings string) string {
	return "ecluse: gate/v1\nengine: mysql\ncatalogue: {host: h, user: u, database: d}\nrows: {" + settings + ", user: u, database: d}\n"
}

// TestEncrypted: only what surely stays on this machine goes without TLS.
func TestEncrypted(t *testing.T) {
	for _, c := range []struct {
		account          Account
		local, encrypted bool
	}{
		{Account{Host: "localhost"}, true, false},
		{Account{Host: "127.0.0.1"}, true, false},
		{Account{Host: "127.8.9.10"}, true, false},
		{Account{Host: "::1"}, true, false},
		{Account{Host: "::ffff:127.0.0.1"}, true, false},
		{Account{Host: "/run/mysqld/mysqld.sock"}, true, false},
		{Account{Host: "127.0.0.1", TLS: VerifyFull}, true, true},
		{Account{Host: "127.0.0.1", CAFile: "a.pem"}, true, true},
		{Account{Host: "localhost", Pin: strings.Repeat("ab", 32)}, true, true},
		{Account{Host: "127.example.org"}, false, true},
		{Account{Host: "127.0.0.1.example.org"}, false, true},
		{Account{Host: "127.1"}, false, true},
		{Account{Host: "localhost.example.org"}, false, true},
		{Account{Host: "10.0.0.1"}, false, true},
	} {
		if c.account.Local() != c.local || c.account.Encrypted() != c.encrypted {
			t.Errorf("%+v: local %t, encrypted %t", c.account, c.account.Local(), c.account.Encrypted())
		}
	}
}

func TestPasswordFileMustBePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	if err := os.WriteFile(path, []byte("sesame\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := Account{PasswordFile: path}
	if got, err := a.Password(); err != nil || got != "sesame" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Password(); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("world-readable password: %v", err)
	}
}

// TestRehearsal: a test base has a name, rights as any database, and is another one than
// the gate's own.
func TestRehearsal(t *testing.T) {
	t.Parallel()
	const head = "ecluse: gate/v1\nengine: postgresql\ncatalogue: {host: 127.0.0.1, database: lab, user: c}\nrows: {host: 127.0.0.1, port: 5432, database: lab, user: r}\n"
	const test = "catalogue: {host: 127.0.0.1, database: lab_test, user: c}, rows: {host: 127.0.0.1, database: lab_test, user: r, password_file: p}"
	g, err := parseGate("/gate", "gate.yaml", []byte(head+"rehearsal: {system: NOVALAB-TEST, engine: postgresql, "+test+"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if db := g.Rehearsal.Database(); db.Rows.PasswordFile != filepath.Join("/gate", "p") || db.Rows.Database != "lab_test" || g.Database().Rows.Database != "lab" {
		t.Errorf("%+v", db)
	}
	for want, text := range map[string]string{
		"rehearsal.system":         "rehearsal: {engine: postgresql, " + test + "}\n",
		"rehearsal.engine":         "rehearsal: {system: X, engine: mysql, " + test + "}\n",
		"rehearsal.rows":           "rehearsal: {system: X, engine: postgresql, " + strings.ReplaceAll(test, "lab_test", "lab") + "}\n",
		"rehearsal.catalogue.user": "rehearsal: {system: X, engine: postgresql, " + strings.Replace(test, ", user: c", "", 1) + "}\n",
	} {
		if _, err := parseGate("/gate", "gate.yaml", []byte(head+text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want a problem at %s, got %v", want, err)
		}
	}
}

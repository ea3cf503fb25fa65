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

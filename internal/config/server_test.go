package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestServerLoad(t *testing.T) {
	dir := t.TempDir()
	s, err := LoadServer(dir)
	if err != nil || s.Listen != "127.0.0.1:8443" || s.URL(s.Listen) != "https://localhost:8443" {
		t.Fatalf("without a file: %+v, %v", s, err)
	}
	text := "ecluse: server/v1\nlisten: :443\npublic: https://ecluse.example.org\nhosts: [192.0.2.7]\ncertificate: a.crt\nkey: a.key\n"
	if err := os.WriteFile(filepath.Join(dir, ServerName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err = LoadServer(dir); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Names(), []string{"192.0.2.7", "ecluse.example.org"}) || s.URL("[::]:443") != "https://ecluse.example.org" || s.Certificate != filepath.Join(dir, "a.crt") {
		t.Errorf("read as %+v, names %v", s, s.Names())
	}
	s.Public = ""
	if got := s.URL("127.0.0.1:4433"); got != "https://192.0.2.7:4433" {
		t.Errorf("reached by %s", got)
	}
}

func TestServerExampleFor(t *testing.T) {
	text, err := ServerExampleFor("https://ecluse.example.net")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := parseServer("server.yaml", []byte(text)); err != nil || s.Public != "https://ecluse.example.net" {
		t.Errorf("read as %+v, %v", s, err)
	}
	for _, bad := range []string{"http://a", "https://a\nlisten: :1", "https://a # b"} {
		if text, err := ServerExampleFor(bad); err == nil {
			t.Errorf("%q written:\n%s", bad, text)
		}
	}
}

func TestServerRefuse(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nothing to listen at": {"ecluse: server/v1\n", "listen"},
		"no port":              {"ecluse: server/v1\nlisten: localhost\n", "server.yaml:2: listen: want ADDRESS:PORT"},
		"another document":     {"ecluse: gate/v1\nlisten: :1\n", "want server/v1"},
		"in clear":             {"ecluse: server/v1\nlisten: :1\npublic: http://a\n", "public: want https://HOST"},
		"a path":               {"ecluse: server/v1\nlisten: :1\npublic: https://a/b\n", "public: want https://HOST"},
		"half a certificate":   {"ecluse: server/v1\nlisten: :1\nkey: a.key\n", "go together"},
		"a word too many":      {"ecluse: server/v1\nlisten: :1\npassword: secret\n", "password"},
	} {
		_, err := parseServer("server.yaml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func FuzzServer(f *testing.F) {
	f.Add([]byte(ServerExample))
	f.Add([]byte("ecluse: server/v1\nlisten: :443\npublic: https://ecluse.example.org\nhosts: [192.0.2.7]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseServer("server.yaml", text)
		if err != nil {
			return
		}
		if s.Check() != nil {
			t.Error("read, and wrong")
		}
		if u := parseURL(s.URL("127.0.0.1:1")); s.Public != "" && u == nil {
			t.Errorf("people are told %q", s.URL("127.0.0.1:1"))
		}
	})
}

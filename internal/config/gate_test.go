package config

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/document"
)

const inOneRoom = "ecluse: gate/v1\nengine: sqlite\ncatalogue: {file: a}\nrows: {file: a}\n"

func digest(c string) ecluse.Digest {
	d, err := ecluse.ParseDigest("sha256:" + strings.Repeat(c, 64))
	if err != nil {
		panic(err)
	}
	return d
}

// TestExampleFor: what enrolment writes names the server, and keeps the manual.
func TestExampleFor(t *testing.T) {
	text := ExampleFor("https://ecluse.example:8443", "megabus", digest("a"))
	g, err := Load(write(t, text))
	if err != nil {
		t.Fatal(err)
	}
	if !g.Remote() || g.Server != "https://ecluse.example:8443" || g.Laboratory != "megabus" || g.Pin != digest("a") {
		t.Errorf("loaded %+v", g)
	}
	for _, manual := range []string{"# proxy: ", "# proxy_password_file: ", "ca_file", "engine: sqlite"} {
		if !strings.Contains(text, manual) || !strings.Contains(Example, manual) {
			t.Errorf("%q is not in the manual", manual)
		}
	}
	if strings.Contains(text, "ecluse.example:8443\n# ") || strings.Contains(text, "sha256:…") {
		t.Error("the lines to fill in are still there")
	}
}

// TestGateServer: everything wrong is told at once, in the words of a context.
func TestGateServer(t *testing.T) {
	_, err := Load(write(t, inOneRoom+"server: http://h\nlaboratory: Megabus\nproxy: 'http://n:secret@p:3128'\n"))
	var ps document.Problems
	if !errors.As(err, &ps) {
		t.Fatal(err)
	}
	var got []string
	for _, p := range ps {
		got = append(got, p.Field)
	}
	if d := cmp.Diff([]string{"pin", "server", "laboratory", "proxy"}, got); d != "" {
		t.Errorf("%s\n%v", d, err)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Error("the password of the proxy is told")
	}
	for _, part := range []string{"laboratory: megabus\n", "proxy: http://p\n", "proxy_password_file: p\n"} {
		if _, err := Load(write(t, inOneRoom+part)); err == nil || !strings.Contains(err.Error(), "server: want https://") {
			t.Errorf("%q alone: %v", part, err)
		}
	}
	// Gates speak HTTP/1.1 anyway: what would say so says nothing.
	if _, err := Load(write(t, inOneRoom+"http1: true\n")); err == nil || !strings.Contains(err.Error(), "http1") {
		t.Errorf("a setting that nothing heeds: %v", err)
	}
	if g, err := Load(write(t, inOneRoom)); err != nil || g.Remote() {
		t.Errorf("a gate in one room with its lock: %v", err)
	}
}

// TestGateProxy: the password is read from its file beside gate.yaml, for the
// connection alone.
func TestGateProxy(t *testing.T) {
	dir := write(t, inOneRoom+"server: https://h\nlaboratory: l\npin: "+digest("a").String()+
		"\nproxy: http://lab@proxy:3128\nproxy_password_file: p\n")
	if err := os.WriteFile(filepath.Join(dir, "p"), []byte("sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	u, err := g.ProxyURL()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&url.URL{Scheme: "http", Host: "proxy:3128", User: url.UserPassword("lab", "sesame")}, u, cmp.AllowUnexported(url.Userinfo{})); d != "" {
		t.Error(d)
	}
	if err := os.Chmod(filepath.Join(dir, "p"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := g.ProxyURL(); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("a password that others may read: %v", err)
	}
}

func FuzzGate(f *testing.F) {
	f.Add(Example)
	f.Add(ExampleFor("https://h:8443", "megabus", digest("a")))
	f.Add(inOneRoom + "server: https://h\nproxy: 'http://a:b@c:1'\n")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := parseGate("dir", "dir/gate.yaml", []byte(text))
		if err != nil {
			return
		}
		if g.Remote() && g.Pin.IsZero() {
			t.Error("a server without its pin is taken")
		}
		if u := parseURL(g.Proxy); g.Proxy != "" && u != nil {
			if _, secret := u.User.Password(); secret {
				t.Error("a password stands in gate.yaml")
			}
		}
	})
}

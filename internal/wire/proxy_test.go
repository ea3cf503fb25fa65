package wire

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ecluse"
)

type proxy struct {
	server string
	login  string // user:password it wants
	scheme string // what it asks with, Basic when empty
	status int    // its answer, when not 200
	listen *tls.Config
	mitm   *tls.Config // opens TLS with this
	maxCH  int         // cuts connections that begin with a longer record

	mu    sync.Mutex
	asked []string
}

func (p *proxy) start(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if p.listen != nil {
		l = tls.NewListener(l, p.listen)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.handle(c)
		}
	}()
	return l.Addr().String()
}

func (p *proxy) handle(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.Host)
	p.mu.Unlock()
	if p.login != "" && r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(p.login)) {
		scheme := p.scheme
		if scheme == "" {
			scheme = "Basic"
		}
		fmt.Fprintf(c, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: %s realm=\"x\"\r\nConnection: close\r\n\r\n", scheme)
		return
	}
	if p.status != 0 {
		fmt.Fprintf(c, "HTTP/1.1 %d no\r\nConnection: close\r\n\r\n", p.status)
		return
	}
	up, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer up.Close()
	fmt.Fprint(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	if p.mitm != nil {
		tls.Server(c, p.mitm).Handshake()
		return
	}
	if p.maxCH > 0 {
		head, err := in.Peek(5)
		if err != nil || int(head[3])<<8|int(head[4]) > p.maxCH {
			return
		}
	}
	go func() { io.Copy(up, in); up.Close() }()
	io.Copy(c, up)
}

func TestProxyWithLogin(t *testing.T) {
	a := authority(t)
	key, fp := gateKeyOf(t)
	p := &proxy{server: serve(t, ServerConfig(a)), login: "user:pa/ss"}
	addr := p.start(t)
	file := filepath.Join(t.TempDir(), "login")
	if err := os.WriteFile(file, []byte("user:pa/ss\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"in the URL": {Proxy: "http://user:pa%2Fss@" + addr},
		"in a file":  {Proxy: "http://" + addr, ProxyLogin: file},
	} {
		o.Pin, o.Gate = a.Pin(), key
		if got, err := get(t, o, "localhost:1"); err != nil || got != "HTTP/2.0 "+string(fp) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for _, o := range []Options{{Proxy: "http://" + addr}, {Proxy: "http://user:wrongword@" + addr}} {
		o.Pin = a.Pin()
		_, err := get(t, o, "localhost:1")
		if err == nil || !strings.Contains(err.Error(), "user and") || strings.Contains(err.Error(), "wrongword") {
			t.Errorf("got %v", err)
		}
	}
	if os.PathSeparator == '/' {
		if err := os.Chmod(file, 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := Transport(Options{Pin: a.Pin(), Proxy: "http://" + addr, ProxyLogin: file}); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("a login for others to read: %v", err)
		}
	}
}

func TestHTTPSProxy(t *testing.T) {
	a, network := authority(t), authority(t)
	key, fp := gateKeyOf(t)
	var shown atomic.Int32
	c := ServerConfig(network)
	c.NextProtos = nil
	c.VerifyConnection = func(cs tls.ConnectionState) error { shown.Add(int32(len(cs.PeerCertificates))); return nil }
	p := &proxy{server: serve(t, ServerConfig(a)), listen: c}
	o := Options{Pin: a.Pin(), Gate: key, Proxy: "https://" + p.start(t), proxyRoots: x509.NewCertPool()}
	if _, err := get(t, o, "localhost:1"); err == nil || !strings.Contains(err.Error(), "proxy's own TLS") {
		t.Errorf("a proxy nobody knows: %v", err)
	}
	o.proxyRoots.AddCert(network.cert)
	if got, err := get(t, o, "localhost:1"); err != nil || got != "HTTP/2.0 "+string(fp) || shown.Load() != 0 {
		t.Errorf("got %q, %v, %d certificates shown", got, err, shown.Load())
	}
}

func TestProxyFromEnvironment(t *testing.T) {
	if addr := os.Getenv("WIRE_TEST_ADDR"); addr != "" {
		pin, err := ParsePin(os.Getenv("WIRE_TEST_PIN"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := get(t, Options{Pin: pin}, "server.test"); err != nil || got == "" {
			t.Error(got, err)
		}
		if _, err := get(t, Options{Pin: pin}, "direct.invalid"); err == nil || !strings.Contains(err.Error(), "direct.invalid") {
			t.Error("NO_PROXY:", err)
		}
		if _, err := get(t, Options{Pin: pin, Proxy: "none"}, "server.test"); err == nil {
			t.Error("none went through a proxy")
		}
		return
	}
	a := authority(t, "server.test")
	p := &proxy{server: serve(t, ServerConfig(a)), login: "u:secretword"}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyFromEnvironment$", "-test.v")
	cmd.Env = append(os.Environ(), "HTTPS_PROXY=http://u:secretword@"+p.start(t), "NO_PROXY=direct.invalid", "WIRE_TEST_ADDR=x", "WIRE_TEST_PIN="+a.Pin().String())
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "secretword") {
		t.Fatalf("%v\n%s", err, out)
	}
	if len(p.asked) != 1 || p.asked[0] != "CONNECT server.test:443" {
		t.Errorf("the proxy was asked %q", p.asked)
	}
}

func TestBadProxies(t *testing.T) {
	a := authority(t)
	for _, u := range []string{
		"http://user:s3cr/et@proxy:8080", "http://user:1234/s3cr@proxy:8080", "http://user:s3cr#x@proxy", "http://user:12?s3cr@proxy",
		"http://user:s3cr%zz@proxy", "socks5://user:s3cr@proxy", "user:s3cr@proxy:1", "http://user:s3cr@", "http://proxy/path", "://s3cr", "\x00s3cr",
	} {
		_, err := Transport(Options{Pin: a.Pin(), Proxy: u})
		var e *ecluse.Error
		if !errors.As(err, &e) || e.Kind != ecluse.Invalid {
			t.Errorf("%s: got %v", u, err)
			continue
		}
		for _, part := range []string{"s3cr", "1234", "user:s", "et@"} {
			if strings.Contains(fmt.Sprintf("%+v %s", *e, err), part) {
				t.Errorf("%s: the error repeats %q: %v", u, part, err)
			}
		}
	}
}

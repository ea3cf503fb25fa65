package wire

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
)

// clock is a clock that tests set.

type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

func authority(t *testing.T, hosts ...string) *Authority {
	t.Helper()
	a, err := OpenAuthority(t.TempDir(), hosts, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// serve answers with the gate's fingerprint, or "nobody", and the protocol.

func serve(t *testing.T, c *tls.Config) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{
		TLSConfig: c, ErrorLog: nullLog(),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who, ok := GateOf(r.TLS)
			if !ok {
				who = "nobody"
			}
			fmt.Fprint(w, r.Proto, " ", who)
		}),
	}
	go s.ServeTLS(l, "", "")
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// get asks the server at addr.

func get(t *testing.T, o Options, addr string) (string, error) {
	t.Helper()
	tr, err := Transport(o)
	if err != nil {
		return "", err
	}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, Timeout: 20 * time.Second}).Get("https://" + addr + "/")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func gateKeyOf(t *testing.T) (ssh.Signer, ecluse.Fingerprint) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return s, evidence.FingerprintOf(s.PublicKey())
}

// proxy is a CONNECT proxy. Whatever name it is asked for, it goes to its server.

func TestGetBothProtocols(t *testing.T) {
	a := authority(t)
	addr := serve(t, ServerConfig(a))
	for _, c := range []struct {
		http1 bool
		want  string
	}{{false, "HTTP/2.0 nobody"}, {true, "HTTP/1.1 nobody"}} {
		got, err := get(t, Options{Pin: a.Pin(), HTTP1: c.http1}, addr)
		if err != nil || got != c.want {
			t.Errorf("HTTP1 %v: got %q, %v; want %q", c.http1, got, err, c.want)
		}
	}
}

func TestInClearNever(t *testing.T) {
	a := authority(t)
	var asked atomic.Bool
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) }))
	defer s.Close()
	tr, err := Transport(Options{Pin: a.Pin()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&http.Client{Transport: tr}).Get(s.URL); err == nil || asked.Load() || ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("http:// gave %v", err)
	}
}

func TestTLS12Refused(t *testing.T) {
	addr := serve(t, ServerConfig(authority(t)))
	_, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	var alert tls.AlertError
	if !errors.As(err, &alert) && (err == nil || !strings.Contains(err.Error(), "protocol version")) {
		t.Errorf("a TLS 1.2 client got %v", err)
	}
}

func TestPinAlone(t *testing.T) {
	a, other := authority(t), authority(t)
	addr := serve(t, ServerConfig(a))
	for name, pin := range map[string]Pin{"another's": other.Pin(), "none": {}} {
		_, err := get(t, Options{Pin: pin}, addr)
		want := ecluse.Unverified
		if pin.IsZero() {
			want = ecluse.Invalid
		}
		if err == nil || ecluse.KindOf(err) != want {
			t.Errorf("pin %s: got %v", name, err)
		}
	}
}

// TestForgedChain: showing the pinned certificate is not having been signed by it.

func TestForgedChain(t *testing.T) {
	a, other := authority(t), authority(t)
	cert, err := other.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	forged := &tls.Certificate{Certificate: [][]byte{cert.Certificate[0], a.cert.Raw}, PrivateKey: cert.PrivateKey}
	addr := serve(t, &tls.Config{Certificates: []tls.Certificate{*forged}})
	if _, err := get(t, Options{Pin: a.Pin()}, addr); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("got %v", err)
	}
	// Nor is it having its key.
	stolen := &tls.Certificate{Certificate: [][]byte{a.cert.Raw}, PrivateKey: cert.PrivateKey}
	addr = serve(t, &tls.Config{Certificates: []tls.Certificate{*stolen}})
	if _, err := get(t, Options{Pin: a.Pin()}, addr); err == nil {
		t.Error("a server without the pinned key was believed")
	}
}

func TestOtherHost(t *testing.T) {
	a := authority(t, "right.test")
	p := &proxy{server: serve(t, ServerConfig(a))}
	o := Options{Pin: a.Pin(), Proxy: "http://" + p.start(t)}
	if got, err := get(t, o, "right.test"); err != nil {
		t.Fatal(got, err)
	}
	_, err := get(t, o, "wrong.test")
	var e *ecluse.Error
	if !errors.As(err, &e) || e.Kind != ecluse.Unverified || !strings.Contains(e.Next, "hosts") {
		t.Errorf("the right authority for another host: got %v", err)
	}
}

func TestOtherTime(t *testing.T) {
	a := authority(t)
	addr := serve(t, ServerConfig(a))
	for name, d := range map[string]time.Duration{"late": 91 * 24 * time.Hour, "early": -25 * time.Hour} {
		_, err := get(t, Options{Pin: a.Pin(), Now: func() time.Time { return time.Now().Add(d) }}, addr)
		if ecluse.KindOf(err) != ecluse.Unverified || !strings.Contains(err.Error(), "valid") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// operator writes a self-signed certificate as an operator would.

// TestNotResumed: each connection is a handshake of its own.

func TestNotResumed(t *testing.T) {
	a := authority(t)
	addr := serve(t, ServerConfig(a))
	cache := tls.NewLRUClientSessionCache(8)
	for range 3 {
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, ClientSessionCache: cache})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
		io.ReadAll(conn)
		if conn.ConnectionState().DidResume {
			t.Error("a session was resumed")
		}
		conn.Close()
	}
}

// TestHTTPSProxy: the proxy's own TLS is not held against the server's pin, and

// the gate does not show itself to the proxy.

// TestProxyFromEnvironment runs itself again: the environment is read once.

// TestBadProxies: what is wrong in a proxy's URL is said without repeating it.

func TestDialGivenUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, proxy := range []string{"none", "http://" + l.Addr().String()} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		_, err = dial(ctx, Options{Pin: authority(t).Pin(), Proxy: proxy}, l.Addr().String())
		if ecluse.KindOf(err) != ecluse.Interrupted {
			t.Errorf("proxy %s: got %v", proxy, err)
		}
	}
}

func nullLog() *log.Logger { return log.New(io.Discard, "", 0) }

// dial connects to a server, addr is host:port, through the proxy if there is
// one, and returns once the server has proved that it is the pinned one.
func dial(ctx context.Context, o Options, addr string) (*tls.Conn, error) {
	l, err := o.line()
	if err != nil {
		return nil, err
	}
	return l.dial(ctx, addr, l.config(addr))
}

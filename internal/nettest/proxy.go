package nettest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// ProxyOptions say what a proxy asks and allows. The zero value lets anybody
// through to anywhere.
type ProxyOptions struct {
	User, Password string            // asked for by Basic authentication, when User is set
	Challenge      string            // Proxy-Authenticate; when empty, Basic. Negotiate is a proxy that no password satisfies
	Refused        []string          // hosts, without a port: 403
	Hosts          map[string]string // "name:port" to the address it leads to: the proxy's name server
	TLS            *Authority        // the way to the proxy is TLS, with a certificate of this authority
	Inspect        *Authority        // tunnels are opened and closed again with certificates of this authority

	// Upstream is how an inspecting proxy talks to the real server; when nil it
	// believes any certificate.
	Upstream *tls.Config
}

// Proxy is an HTTP proxy on loopback that knows CONNECT alone: whoever asks for a
// page in clear gets 405.
//
// With Inspect it reads along: it ends the client's TLS with a certificate made
// for the name asked for, and talks TLS of its own to the real server, in the
// protocol (ALPN) that both speak. A client's certificate gets no further than the
// proxy, as with the real ones.
type Proxy struct {
	opt   ProxyOptions
	addr  string
	ctx   context.Context // of all its tunnels
	stop  context.CancelFunc
	serve *http.Server
	work  sync.WaitGroup

	mu    sync.Mutex
	count ProxyCount
	seen  []byte
}

// ProxyCount is what a proxy has done.
type ProxyCount struct {
	Tunnels  int      // that were made
	Asked    int      // times that it asked for a password: 407
	Refused  int      // 403
	Failed   int      // the server could not be reached (502), or an inspected handshake failed
	Hosts    []string // that tunnels were made to, with ports, in order
	Up, Down int64    // bytes through tunnels that have ended; what was inside of them when inspecting
}

const remembered = 1 << 20 // bytes that an inspecting proxy keeps of what it reads

// NewProxy starts one, until ctx or the test ends.
func NewProxy(ctx context.Context, t testing.TB, opt ProxyOptions) *Proxy {
	t.Helper()
	l, err := here(ctx, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{opt: opt, addr: l.Addr().String()}
	if opt.TLS != nil {
		c, err := opt.TLS.For("127.0.0.1")
		if err != nil {
			_ = l.Close()
			t.Fatal(err)
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*c}, MinVersion: tls.VersionTLS12})
	}
	p.ctx, p.stop = context.WithCancel(ctx)
	p.serve = &http.Server{
		Handler: http.HandlerFunc(p.handle), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	p.work.Go(func() { _ = p.serve.Serve(l) })
	p.work.Go(func() {
		<-p.ctx.Done()
		_ = p.serve.Close()
	})
	t.Cleanup(p.Close)
	return p
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.addr }

// URL is what a client is configured with, user and password included.
func (p *Proxy) URL() *url.URL {
	u := &url.URL{Scheme: "http", Host: p.addr}
	if p.opt.TLS != nil {
		u.Scheme = "https"
	}
	if p.opt.User != "" {
		u.User = url.UserPassword(p.opt.User, p.opt.Password)
	}
	return u
}

// Count tells what it did so far.
func (p *Proxy) Count() ProxyCount {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.count
	c.Hosts = slices.Clone(c.Hosts)
	return c
}

// Seen is what an inspecting proxy has read inside of TLS, both ways mixed, the
// first MiB of it.
func (p *Proxy) Seen() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

// Close ends it and waits until nothing of it is left.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.stop()
	p.mu.Unlock()
	p.work.Wait()
}

func (p *Proxy) note(change func(*ProxyCount)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.count)
}

// allowed tells whether r carries the user and password, in the header that
// net/http reads for servers only under another name.
func (p *Proxy) allowed(r *http.Request) bool {
	if p.opt.Challenge == "" && p.opt.User == "" {
		return true
	}
	as := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	user, password, ok := as.BasicAuth()
	return ok && p.opt.Challenge == "" && user == p.opt.User && password == p.opt.Password
}

func (p *Proxy) handle(w http.ResponseWriter, r *http.Request) {
	if !p.allowed(r) {
		p.note(func(c *ProxyCount) { c.Asked++ })
		challenge := p.opt.Challenge
		if challenge == "" {
			challenge = `Basic realm="nettest"`
		}
		w.Header().Set("Proxy-Authenticate", challenge)
		http.Error(w, "who are you", http.StatusProxyAuthRequired)
		return
	}
	if r.Method != http.MethodConnect {
		http.Error(w, "CONNECT only", http.StatusMethodNotAllowed)
		return
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		http.Error(w, "no host and port", http.StatusBadRequest)
		return
	}
	if slices.Contains(p.opt.Refused, host) {
		p.note(func(c *ProxyCount) { c.Refused++ })
		http.Error(w, "refused by policy", http.StatusForbidden)
		return
	}
	to := r.Host
	if a, ok := p.opt.Hosts[to]; ok {
		to = a
	}
	d := net.Dialer{Timeout: 10 * time.Second}
	far, err := d.DialContext(p.ctx, "tcp", to)
	if err != nil {
		p.note(func(c *ProxyCount) { c.Failed++ })
		http.Error(w, "cannot reach it", http.StatusBadGateway)
		return
	}
	near, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = far.Close()
		http.Error(w, "no tunnel", http.StatusInternalServerError)
		return
	}
	if !p.begin() {
		_ = far.Close()
		_ = near.Close()
		return
	}
	defer p.work.Done()
	p.note(func(c *ProxyCount) { c.Tunnels++; c.Hosts = append(c.Hosts, r.Host) })
	p.tunnel(near, buffered.Reader, far, host)
}

// begin makes Close wait for a tunnel, which the server does not, unless it is
// waiting already.
func (p *Proxy) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return false
	}
	p.work.Add(1)
	return true
}

func (p *Proxy) tunnel(near net.Conn, buffered *bufio.Reader, far net.Conn, host string) {
	defer far.Close()
	defer near.Close()
	end := context.AfterFunc(p.ctx, func() {
		_ = near.Close()
		_ = far.Close()
	})
	defer end()
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	var client net.Conn = early{near, buffered}
	server := far
	if p.opt.Inspect != nil {
		var err error
		if client, server, err = p.open(client, far, host); err != nil {
			p.note(func(c *ProxyCount) { c.Failed++ })
			return
		}
	}
	var ways sync.WaitGroup
	copyTo := func(dst, src net.Conn, count func(*ProxyCount) *int64) {
		n, err := io.Copy(reading{dst, p}, src)
		p.note(func(c *ProxyCount) { *count(c) += n })
		if err != nil || closeWrite(dst) != nil {
			_ = near.Close()
			_ = far.Close()
		}
	}
	ways.Go(func() { copyTo(server, client, func(c *ProxyCount) *int64 { return &c.Up }) })
	copyTo(client, server, func(c *ProxyCount) *int64 { return &c.Down })
	ways.Wait()
}

// open makes two TLS connections of one that was meant to be end to end.
func (p *Proxy) open(near, far net.Conn, host string) (client, server net.Conn, err error) {
	upstream := &tls.Config{InsecureSkipVerify: true} // made to be the man in the middle
	if p.opt.Upstream != nil {
		upstream = p.opt.Upstream.Clone()
	}
	var server2 *tls.Conn
	c := tls.Server(near, &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			name := host
			if hello.ServerName != "" {
				name = hello.ServerName
			}
			upstream.ServerName, upstream.NextProtos = name, hello.SupportedProtos
			server2 = tls.Client(far, upstream)
			if err := server2.HandshakeContext(p.ctx); err != nil {
				return nil, err
			}
			cert, err := p.opt.Inspect.For(name)
			if err != nil {
				return nil, err
			}
			own := &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12}
			if chosen := server2.ConnectionState().NegotiatedProtocol; chosen != "" {
				own.NextProtos = []string{chosen}
			}
			return own, nil
		},
	})
	if err := c.HandshakeContext(p.ctx); err != nil {
		return nil, nil, err
	}
	if server2 == nil {
		return nil, nil, errors.New("no hello")
	}
	return c, server2, nil
}

// early is a connection whose first bytes were read with the request before.
type early struct {
	net.Conn
	r *bufio.Reader
}

func (e early) Read(b []byte) (int, error) { return e.r.Read(b) }
func (e early) CloseWrite() error          { return closeWrite(e.Conn) }

// reading remembers what goes by, when the proxy inspects.
type reading struct {
	net.Conn
	p *Proxy
}

func (r reading) Write(b []byte) (int, error) {
	if r.p.opt.Inspect != nil {
		r.p.mu.Lock()
		r.p.seen = append(r.p.seen, b[:min(len(b), remembered-len(r.p.seen))]...)
		r.p.mu.Unlock()
	}
	return r.Conn.Write(b)
}

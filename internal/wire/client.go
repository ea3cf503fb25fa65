package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
)

// Options say how a server is reached and known.
type Options struct {
	Pin  Pin        // the server's
	Gate ssh.Signer // the gate's Ed25519 key; nil for people, who log in otherwise

	// Proxy is http://host:port or https://host:port, with user:password@ where it
	// wants one; "none" is no proxy. Empty is what HTTPS_PROXY and NO_PROXY say.
	Proxy string
	// ProxyLogin is a file that holds user:password for the proxy, of mode 0600.
	ProxyLogin string

	HTTP1 bool             // HTTP/1.1 only, where something on the way breaks HTTP/2
	Now   func() time.Time // the clock certificates are held against; time.Now when nil

	proxyRoots *x509.CertPool // for an HTTPS proxy; nil is the system's
}

// How long each step may take on a slow line: a lost SYN is sent again after 1, 3
// and 7 seconds (RFC 6298), and a server syncs a chunk before it answers. What a
// server lets wait on purpose it answers before answering is over.
const (
	connecting = 30 * time.Second
	handshake  = 30 * time.Second
	answering  = 2 * time.Minute
	idle       = 90 * time.Second
	probing    = 15 * time.Second
	// maxHeader bounds the header of an answer, from server or proxy.
	maxHeader = 64 << 10
)

const lookAtNetwork = "see what `ecluse gate check` says of the network"

// Transport reaches one server: it speaks to whoever has the pin, and in clear to
// nobody. Redirections are the http.Client's to refuse.
func Transport(o Options) (*http.Transport, error) {
	l, err := o.line()
	if err != nil {
		return nil, err
	}
	return l.transport(), nil
}

// line is Options that hold.
type line struct {
	pin   Pin
	gate  *tls.Certificate // nil without one
	http1 bool
	now   func() time.Time
	proxy func(addr string) (*url.URL, error)
	roots *x509.CertPool
}

func (o Options) line() (*line, error) {
	if o.Pin.IsZero() {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: "reach the server", Why: "its pin is not known",
			Next: "give the pin that `ecluse serve` printed when it started: sha256: and 64 hexadecimal digits",
		}
	}
	l := &line{pin: o.Pin, http1: o.HTTP1, now: o.Now, roots: o.proxyRoots}
	if l.now == nil {
		l.now = time.Now
	}
	var err error
	if o.Gate != nil {
		if l.gate, err = gateCertificate(o.Gate); err != nil {
			return nil, err
		}
	}
	if l.proxy, err = o.proxies(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *line) transport() *http.Transport {
	return &http.Transport{
		DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			c, err := l.dial(ctx, addr, l.config(addr))
			if err != nil {
				return nil, err // not a nil *tls.Conn
			}
			return c, nil
		},
		DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
			return nil, &ecluse.Error{Kind: ecluse.Refused, What: "reach the server", Where: addr, Why: "the address is not https://", Next: "write it with https://"}
		},
		ForceAttemptHTTP2:      true, // of what ALPN offers
		ResponseHeaderTimeout:  answering,
		IdleConnTimeout:        idle,
		MaxIdleConnsPerHost:    4,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true, // ciphertext gains nothing, and lengths of secrets say nothing
		// TCP's own probes stop while data waits to be acknowledged; these do not. A
		// ping waits behind what is being sent.
		HTTP2: &http.HTTP2Config{SendPingTimeout: probing, PingTimeout: 3 * probing, WriteByteTimeout: 4 * probing},
	}
}

func (l *line) dial(ctx context.Context, addr string, c *tls.Config) (*tls.Conn, error) {
	proxy, err := l.proxy(addr)
	if err != nil {
		return nil, err
	}
	conn, err := l.connect(ctx, proxy, addr)
	if err != nil {
		return nil, err
	}
	if proxy != nil {
		if conn, err = l.tunnel(ctx, conn, proxy, addr); err != nil {
			return nil, err
		}
	}
	return l.secure(ctx, conn, addr, c)
}

// connect makes the TCP connection, to the proxy if there is one.
func (l *line) connect(ctx context.Context, proxy *url.URL, addr string) (net.Conn, error) {
	what := "reach the server"
	if proxy != nil {
		addr, what = proxyAddr(proxy), "reach the proxy"
	}
	d := net.Dialer{
		Timeout:         connecting,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: probing, Interval: probing, Count: 4},
	}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, broken(ctx, what, addr, connectWhy(err).EN, err)
	}
	return conn, nil
}

// config is a client's TLS for one server. The system's authorities are never
// asked; verify is all there is.
func (l *line) config(addr string) *tls.Config {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	c := base()
	c.ServerName = host
	c.InsecureSkipVerify = true // VerifyConnection does it, by the pin
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		return l.pin.verify(cs.PeerCertificates, host, l.now())
	}
	if l.http1 {
		c.NextProtos = []string{"http/1.1"}
	}
	if l.gate != nil {
		// Sent after the server is verified, encrypted (RFC 8446, 2): the gate shows
		// itself to nobody else.
		c.Certificates = []tls.Certificate{*l.gate}
	}
	return c
}

// secure makes TLS on a connection; it closes it when that fails.
func (l *line) secure(ctx context.Context, conn net.Conn, addr string, c *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	t := tls.Client(conn, c)
	err := t.HandshakeContext(ctx)
	if err == nil {
		return t, nil
	}
	_ = conn.Close()
	const what = "verify the server"
	d := new(distrust)
	if !errors.As(err, &d) {
		return nil, broken(ctx, what, addr, "the TLS 1.3 handshake did not come about", err)
	}
	e := &ecluse.Error{Kind: ecluse.Unverified, What: what, Where: addr, Why: "it is not the server that was pinned", Next: lookAtNetwork, Article: "GDPR art. 32", Err: d}
	switch d.why {
	case otherHost:
		e.Why, e.Next = "the server is the pinned one, and does not go by this name", "use a name it has, or start `ecluse serve` with this one among its hosts"
	case otherTime:
		e.Why, e.Next = "the server's certificate is not valid now", "set this machine's clock right; else the server's certificate has to be renewed"
	}
	return nil, e
}

// broken is an error of the way to the server, or that the caller gave up.
func broken(ctx context.Context, what, where, why string, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return &ecluse.Error{Kind: ecluse.Interrupted, What: what, Where: where, Err: context.Cause(ctx)}
	}
	return &ecluse.Error{Kind: ecluse.Failed, What: what, Where: where, Why: why, Next: lookAtNetwork, Err: err}
}

// connectWhy says why there is no connection.
func connectWhy(err error) Text {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return Text{"the name is not known", "ce nom n'est pas connu"}
	case errors.As(err, &dns):
		return Text{"the name server does not answer", "le serveur de noms ne répond pas"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return Text{"the connection is refused", "la connexion est refusée"}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return Text{"nothing answers", "rien ne répond"}
	}
	return Text{"there is no way to it", "aucun chemin n'y mène"}
}

package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"ecluse"
)

// proxies tells the proxy for an address; it answers nil where there is none.
func (o Options) proxies() (func(addr string) (*url.URL, error), error) {
	login, err := o.login()
	if err != nil {
		return nil, err
	}
	with := func(u *url.URL) (*url.URL, error) {
		if err := checkProxy(u); err != nil {
			return nil, err
		}
		if login != nil {
			u.User = login
		}
		return u, nil
	}
	if o.Proxy == "none" {
		return func(string) (*url.URL, error) { return nil, nil }, nil
	}
	if o.Proxy != "" {
		u, err := url.Parse(o.Proxy)
		if err != nil {
			return nil, badProxy() // the cause repeats parts of the URL
		}
		if u, err = with(u); err != nil {
			return nil, err
		}
		return func(string) (*url.URL, error) { return u, nil }, nil
	}
	return func(addr string) (*url.URL, error) {
		u, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "https", Host: addr}})
		if err != nil {
			return nil, badProxy()
		}
		if u == nil {
			return nil, nil
		}
		own := *u // the environment's is shared
		return with(&own)
	}, nil
}

// login reads the file with the proxy's user and password.
func (o Options) login() (*url.Userinfo, error) {
	if o.ProxyLogin == "" {
		return nil, nil
	}
	const what = "read the proxy's login"
	b, err := readPrivate(what, o.ProxyLogin)
	if err != nil {
		return nil, err
	}
	user, password, ok := strings.Cut(strings.TrimRight(string(b), "\r\n"), ":")
	if !ok || user == "" || strings.ContainsAny(user+password, "\r\n") {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: o.ProxyLogin, Why: "it is not user:password on one line", Next: "write it again; nothing else stands in the file"}
	}
	return url.UserPassword(user, password), nil
}

// checkProxy refuses what is not a proxy's URL. A password that is not escaped is
// cut at "/", "?" or "#" and its beginning taken for the host: then there is a
// rest, and nothing of the URL is repeated.
func checkProxy(u *url.URL) error {
	rest := u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != ""
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || rest {
		return badProxy()
	}
	return nil
}

func badProxy() error {
	return &ecluse.Error{
		Kind: ecluse.Invalid, What: "read the proxy's URL", Why: "it is not http:// or https://, a host and a port, with nothing after",
		Next: "write http://host:port; a password in it has its / ? # @ and % written as %2F %3F %23 %40 and %25, or stands in a file of its own",
	}
}

// proxyAddr is a proxy's host and port. User and password are not in it.
func proxyAddr(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// proxyAnswer is a proxy that answered something else than 2xx to CONNECT.
type proxyAnswer struct {
	status  int
	schemes []string // of Proxy-Authenticate (RFC 9110, 11.7.1), those that have a name here
	sent    bool     // it was given a user and a password
}

func (a *proxyAnswer) Error() string {
	return fmt.Sprintf("the proxy answered %d %s", a.status, http.StatusText(a.status))
}

// tunnel asks the proxy for a connection to addr (CONNECT, RFC 9110, 9.3.6). It
// is done here, not by http.Transport, which would hold an HTTPS proxy against
// the server's pin, show it the gate's certificate, and keep the proxy's answer
// to itself. It closes conn when that fails.
func (l *line) tunnel(ctx context.Context, conn net.Conn, proxy *url.URL, addr string) (_ net.Conn, err error) {
	const what = "pass the proxy"
	where := proxyAddr(proxy)
	ctx, cancel := context.WithTimeout(ctx, handshake+connecting) // it connects in our place
	defer cancel()
	defer func() {
		if err != nil {
			_ = conn.Close()
		}
	}()
	if proxy.Scheme == "https" {
		// The proxy is the network's, not ours: the system's authorities know it.
		t := tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: proxy.Hostname(), RootCAs: l.roots, NextProtos: []string{"http/1.1"}})
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, broken(ctx, what, where, "the proxy's own TLS does not hold", err)
		}
		conn = t
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	a, err := askProxy(conn, proxy.User, addr)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, broken(ctx, what, where, "the proxy does not answer", nil)
	case err != nil:
		return nil, broken(ctx, what, where, "the proxy's answer is not HTTP", nil) // the cause repeats the answer
	}
	if a.status/100 != 2 {
		return nil, broken(ctx, what, where, a.text(addr).EN, a)
	}
	if !stop() {
		return nil, broken(ctx, what, where, "the proxy answered too late", context.Cause(ctx))
	}
	return conn, nil
}

func askProxy(conn net.Conn, user *url.Userinfo, addr string) (*proxyAnswer, error) {
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{"User-Agent": {"ecluse"}}}
	if user != nil {
		password, _ := user.Password()
		r.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := r.Write(conn); err != nil {
		return nil, err
	}
	in := bufio.NewReader(io.LimitReader(conn, maxHeader))
	resp, err := http.ReadResponse(in, r) //nolint:bodyclose // closing reads the rest; the connection is given up or goes on
	if err != nil {
		return nil, err
	}
	a := &proxyAnswer{status: resp.StatusCode, sent: user != nil}
	if a.status/100 == 2 && in.Buffered() > 0 {
		return nil, fmt.Errorf("%d bytes came before the server could speak", in.Buffered())
	}
	for _, h := range resp.Header.Values("Proxy-Authenticate") {
		scheme, _, _ := strings.Cut(h, " ")
		for _, known := range []string{"Basic", "Digest", "Negotiate", "NTLM", "Kerberos", "Bearer"} {
			if strings.EqualFold(scheme, known) && !slices.Contains(a.schemes, known) {
				a.schemes = append(a.schemes, known)
			}
		}
	}
	return a, nil
}

// text says what the proxy answered.
func (a *proxyAnswer) text(addr string) Text {
	switch {
	case a.status == http.StatusProxyAuthRequired && len(a.schemes) > 0 && !slices.Contains(a.schemes, "Basic"):
		return text("the proxy wants %[1]s log-in only, and not user and password (Basic)",
			"le proxy veut une authentification %[1]s, et non un nom et un mot de passe (Basic)", strings.Join(a.schemes, ", "))
	case a.status == http.StatusProxyAuthRequired && a.sent:
		return Text{"the proxy does not accept this user and password", "le proxy refuse ce nom et ce mot de passe"}
	case a.status == http.StatusProxyAuthRequired:
		return Text{"the proxy wants a user and a password", "le proxy demande un nom et un mot de passe"}
	case a.status >= 500:
		return text("the proxy does not reach %[2]s (it answered %[1]d)", "le proxy n'atteint pas %[2]s (il a répondu %[1]d)", a.status, addr)
	}
	return text("the proxy does not let connections through to %[2]s (it answered %[1]d)", "le proxy ne laisse pas passer les connexions vers %[2]s (il a répondu %[1]d)", a.status, addr)
}

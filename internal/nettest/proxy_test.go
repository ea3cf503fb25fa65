package nettest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// site is an HTTPS server of an authority's, with HTTP/2.
func site(t *testing.T, a *Authority, clients *x509.CertPool) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto+" for "+r.Host)
	}))
	cert, err := a.For("lock.example")
	if err != nil {
		t.Fatal(err)
	}
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS13}
	if clients != nil {
		s.TLS.ClientAuth, s.TLS.ClientCAs = tls.RequireAndVerifyClientCert, clients
	}
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, at string, via *url.URL, roots *x509.CertPool) (string, error) {
	t.Helper()
	tr := &http.Transport{Proxy: http.ProxyURL(via), TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func TestProxy(t *testing.T) {
	a := NewAuthority(t)
	s := site(t, a, nil)
	p := NewProxy(t.Context(), t, ProxyOptions{
		User: "labo", Password: "très secret", Refused: []string{"refused.example"},
		Hosts: map[string]string{"lock.example:443": s.Listener.Addr().String(), "closed.example:443": "127.0.0.1:1"},
	})
	if got, err := get(t, "https://lock.example/", p.URL(), a.Pool()); got != "HTTP/2.0 for lock.example" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	without, wrong := *p.URL(), *p.URL()
	without.User, wrong.User = nil, url.UserPassword("labo", "secret")
	for _, c := range []struct {
		at   string
		via  *url.URL
		want string
	}{
		{"https://lock.example/", &without, "Proxy Authentication Required"},
		{"https://lock.example/", &wrong, "Proxy Authentication Required"},
		{"https://refused.example/", p.URL(), "Forbidden"},
		{"https://closed.example/", p.URL(), "Bad Gateway"},
	} {
		if _, err := get(t, c.at, c.via, a.Pool()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s as %v: %v, want %s", c.at, c.via.User, err, c.want)
		}
	}
	n := p.Count()
	if n.Tunnels != 1 || n.Asked != 2 || n.Refused != 1 || n.Failed != 1 || !slices.Equal(n.Hosts, []string{"lock.example:443"}) {
		t.Errorf("count %+v", n)
	}
	if len(p.Seen()) != 0 {
		t.Error("a proxy that does not inspect has read along")
	}
}

func TestProxyAsks(t *testing.T) {
	for challenge, want := range map[string]string{"": `Basic realm="nettest"`, "Negotiate": "Negotiate"} {
		p := NewProxy(t.Context(), t, ProxyOptions{User: "labo", Password: "secret", Challenge: challenge})
		req := httptest.NewRequestWithContext(t.Context(), http.MethodConnect, "https://lock.example:443", http.NoBody)
		if challenge != "" { // which no password satisfies
			req.SetBasicAuth("labo", "secret")
			req.Header["Proxy-Authorization"] = req.Header["Authorization"]
		}
		w := httptest.NewRecorder()
		p.handle(w, req)
		if got := w.Header().Get("Proxy-Authenticate"); w.Code != http.StatusProxyAuthRequired || got != want {
			t.Errorf("%d, %q, want 407, %q", w.Code, got, want)
		}
	}
}

func TestProxyTLS(t *testing.T) {
	a := NewAuthority(t)
	s := site(t, a, nil)
	p := NewProxy(t.Context(), t, ProxyOptions{
		User: "labo", Password: "secret", TLS: a,
		Hosts: map[string]string{"lock.example:443": s.Listener.Addr().String()},
	})
	if got, err := get(t, "https://lock.example/", p.URL(), a.Pool()); got != "HTTP/2.0 for lock.example" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestProxyInspects: who trusts the inspector's authority sees nothing of it, who
// does not is told; a client's certificate does not get through.
func TestProxyInspects(t *testing.T) {
	real, other := NewAuthority(t), NewAuthority(t)
	s := site(t, real, nil)
	p := NewProxy(t.Context(), t, ProxyOptions{
		Inspect: other, Upstream: &tls.Config{RootCAs: real.Pool()},
		Hosts: map[string]string{"lock.example:443": s.Listener.Addr().String(), "locked.example:443": site(t, real, real.Pool()).Listener.Addr().String()},
	})
	if got, err := get(t, "https://lock.example/canary", p.URL(), other.Pool()); got != "HTTP/2.0 for lock.example" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if !bytes.Contains(p.Seen(), []byte("HTTP/2.0 for lock.example")) {
		t.Errorf("the inspector has read %q", p.Seen())
	}
	var unknown x509.UnknownAuthorityError
	if _, err := get(t, "https://lock.example/", p.URL(), real.Pool()); !errors.As(err, &unknown) {
		t.Errorf("with the real authority alone: %v, want an unknown authority", err)
	}
	if got, err := get(t, "https://locked.example/", p.URL(), other.Pool()); err == nil {
		t.Errorf("a server that asks for a certificate answered %q", got)
	}
}

func TestProxyLeaves(t *testing.T) {
	a := NewAuthority(t)
	target := echo(t)
	leakFree(t, func(ctx context.Context, t *testing.T) {
		p := NewProxy(ctx, t, ProxyOptions{TLS: a})
		c, err := tls.Dial("tcp", p.Addr(), &tls.Config{RootCAs: a.Pool()})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "CONNECT "+target+" HTTP/1.1\r\nHost: "+target+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		const established = "HTTP/1.1 200 Connection established\r\n\r\n"
		if _, err := io.ReadFull(c, make([]byte, len(established))); err != nil {
			t.Fatal(err)
		}
		if err := say(c, "through"); err != nil {
			t.Error(err)
		}
	})
}

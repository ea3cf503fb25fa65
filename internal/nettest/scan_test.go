package nettest

import (
	"context"
	"crypto/tls"
	"io"
	"strings"
	"testing"
	"time"
)

// tlsListener handshakes with whoever comes.
func tlsListener(t *testing.T, conf *tls.Config) string {
	t.Helper()
	cert, err := NewAuthority(t).For("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	conf.Certificates = []tls.Certificate{*cert}
	l, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
	return l.Addr().String()
}

func TestScan(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	strict := &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert}
	if bad := Scan(ctx, t, tlsListener(t, strict)).Faults(); len(bad) > 0 {
		t.Errorf("TLS 1.3 alone: %q", bad)
	}
	old := &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}
	bad := strings.Join(Scan(ctx, t, tlsListener(t, old)).Faults(), "\n")
	for _, want := range []string{"TLSv1.3 is not offered", "TLSv1.2 is offered", "ECDHE-ECDSA-AES128-SHA with 128 bits is accepted"} {
		if !strings.Contains(bad, want) {
			t.Errorf("TLS 1.2 with a weak cipher: %q, want %q", bad, want)
		}
	}
}

const report = `<?xml version="1.0"?><document><ssltest host="127.0.0.1">
<protocol type="ssl" version="3" enabled="1" /><protocol type="tls" version="1.3" enabled="1" />
<cipher sslversion="TLSv1.3" bits="128" cipher="TLS_AES_128_GCM_SHA256" strength="acceptable" />
<cipher sslversion="SSLv3" bits="40" cipher="EXP-RC4-MD5" strength="weak" /></ssltest></document>`

func TestReadScan(t *testing.T) {
	o, err := readScan([]byte(report))
	if err != nil {
		t.Fatal(err)
	}
	const want = "SSLv3 is offered\nEXP-RC4-MD5 with 40 bits is accepted in SSLv3 (weak)"
	if got := strings.Join(o.Faults(), "\n"); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	for _, nothing := range []string{"", "<document/>", `<document><ssltest host="h"></ssltest></document>`} {
		if o, err := readScan([]byte(nothing)); err == nil {
			t.Errorf("%q is read as %+v", nothing, o)
		}
	}
}

func FuzzReadScan(f *testing.F) {
	f.Add([]byte(report))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := readScan(b)
		if err != nil && len(o.Versions)+len(o.Ciphers) > 0 {
			t.Errorf("an offer beside the error %v", err)
		}
		_ = o.Faults()
	})
}

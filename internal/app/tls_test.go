package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/config"
	"ecluse/internal/sluice/engine/postgres"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an invented authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	key, cert := certificate(t, template, nil)
	return &authority{cert, key}
}

func certificate(t *testing.T, template *x509.Certificate, by *authority) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

// file writes the authority's certificate as PEM.
func (a *authority) file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serve is a PostgreSQL server as far as its TLS handshake, on the loopback. It
// tells for each connection whether the client went through with the handshake.
func serve(t *testing.T, by *authority, name string) (port int, sha256Hex string, shaken <-chan bool) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	key, cert := certificate(t, template, by)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	out := make(chan bool, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			request := make([]byte, 8) // SSLRequest
			_, err = io.ReadFull(c, request)
			if err == nil {
				_, err = c.Write([]byte{'S'})
			}
			// With TLS 1.2 the server's handshake ends after the client's has verified.
			secured := tls.Server(c, &tls.Config{
				Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, MaxVersion: tls.VersionTLS12,
			})
			out <- err == nil && secured.Handshake() == nil
			c.Close()
		}
	}()
	sum := sha256.Sum256(cert.Raw)
	return l.Addr().(*net.TCPAddr).Port, hex.EncodeToString(sum[:]), out
}

// TestServerIsVerified: a connection with TLS is made to the server that gate.yaml
// means and to no other.
func TestServerIsVerified(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	other := strings.Repeat("ab", sha256.Size)
	for name, c := range map[string]struct {
		signed  *authority
		name    string
		account config.Account
		pinned  bool // by its own certificate
		want    bool
	}{
		"its authority":       {ours, "localhost", config.Account{CAFile: ours.file(t)}, false, true},
		"another authority":   {ours, "localhost", config.Account{CAFile: theirs.file(t)}, false, false},
		"the system's":        {ours, "localhost", config.Account{TLS: config.VerifyFull}, false, false},
		"another name":        {ours, "another.example.org", config.Account{CAFile: ours.file(t)}, false, false},
		"pinned":              {ours, "localhost", config.Account{}, true, true},
		"pinned, self-signed": {nil, "another.example.org", config.Account{}, true, true},
		"another is pinned":   {ours, "localhost", config.Account{Pin: other}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			port, pin, shaken := serve(t, c.signed, c.name)
			a := c.account
			a.Host, a.Port, a.User, a.Database = "localhost", port, "u", "d"
			if c.pinned {
				a.Pin = pin
			}
			cfg, err := app.PostgresConfig(&a)
			if err != nil {
				t.Fatal(err)
			}
			_, err = postgres.Connect(t.Context(), cfg) // it always fails: there is no server behind the handshake
			if got := <-shaken; got != c.want {
				t.Errorf("the handshake came through: %t, want %t (%v)", got, c.want, err)
			}
			if a.Pin == other && ecluse.KindOf(err) != ecluse.Unverified {
				t.Errorf("%v (%s)", err, ecluse.KindOf(err))
			}
		})
	}
}

// TestServerOverTheNetwork: without a word about TLS a remote server is verified.
func TestServerOverTheNetwork(t *testing.T) {
	c, err := app.PostgresConfig(&config.Account{Host: "127.example.org", User: "u", Database: "d"})
	if err != nil || c.TLS == nil || c.TLS.InsecureSkipVerify || c.TLS.ServerName != "127.example.org" {
		t.Errorf("%+v, %v", c.TLS, err)
	}
}

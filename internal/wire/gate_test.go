package wire

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
)

func TestGateKnown(t *testing.T) {
	a := authority(t)
	addr := serve(t, ServerConfig(a))
	key, fp := gateKeyOf(t)
	for _, http1 := range []bool{false, true} {
		got, err := get(t, Options{Pin: a.Pin(), Gate: key, HTTP1: http1}, addr)
		if err != nil || !strings.HasSuffix(got, " "+string(fp)) || !fp.Valid() {
			t.Errorf("got %q, %v; want %s", got, err, fp)
		}
	}
	if _, ok := GateOf(nil); ok {
		t.Error("nobody is a gate")
	}
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	cert, err := x509.ParseCertificate(clientCert(t, private.Public(), private).Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := GateOf(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}); ok {
		t.Error("a handshake that is not over names a gate")
	}
	ec, err := ssh.NewSignerFromSigner(ecKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Transport(Options{Pin: a.Pin(), Gate: ec}); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("an ECDSA gate: %v", err)
	}
}

func clientCert(t *testing.T, pub, signer any) tls.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, signer)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: signer}
}

func TestOtherClientCertificatesRefused(t *testing.T) {
	a := authority(t)
	addr := serve(t, ServerConfig(a))
	_, mine, _ := ed25519.GenerateKey(rand.Reader)
	_, victim, _ := ed25519.GenerateKey(rand.Reader)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := clientCert(t, mine.Public(), mine)
	stolen := clientCert(t, victim.Public(), victim)
	stolen.PrivateKey = mine
	bent := tls.Certificate{Certificate: [][]byte{append([]byte{}, good.Certificate[0]...)}, PrivateKey: mine}
	bent.Certificate[0][len(bent.Certificate[0])-1] ^= 1
	ec := ecKey(t)
	issued := func() tls.Certificate { // for mine, signed by another key
		ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true}
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, ca, mine.Public(), victim)
		if err != nil {
			t.Fatal(err)
		}
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: mine}
	}()
	for name, c := range map[string]struct {
		cert tls.Certificate
		ok   bool
	}{
		"good":                   {good, true},
		"RSA":                    {clientCert(t, &rsaKey.PublicKey, rsaKey), false},
		"ECDSA":                  {clientCert(t, &ec.PublicKey, ec), false},
		"another's, without key": {stolen, false},
		"bent signature":         {bent, false},
		"issued by another":      {issued, false},
		"two":                    {tls.Certificate{Certificate: [][]byte{good.Certificate[0], good.Certificate[0]}, PrivateKey: mine}, false},
		"malformed":              {tls.Certificate{Certificate: [][]byte{[]byte("not DER")}, PrivateKey: mine}, false},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.cert, nil }})
			if err == nil { // TLS 1.3: what the server thinks of the client comes with the first read
				fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
				var b []byte
				if b, err = io.ReadAll(conn); err == nil && !strings.Contains(string(b), "SHA256:") {
					err = fmt.Errorf("got %q", b)
				}
			}
			if (err == nil) != c.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

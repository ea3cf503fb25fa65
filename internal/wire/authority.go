package wire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ecluse"
	"ecluse/internal/durable"
)

const (
	authorityFile = "authority.pem"
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 90 * 24 * time.Hour
	leafRenewed   = leafLife / 3 // is left when the next one is made
	// backdated is how far a client's clock may be behind: a wrong time zone.
	backdated = 24 * time.Hour
)

// Authority is a server's own certificate authority: one key, on the server's
// disk, that signs for this server only. Clients pin it. The server's leaf is
// made in memory, at each start and when two thirds of its life are over: on the
// disk there is one file, whole or absent.
type Authority struct {
	now   func() time.Time
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	names []string
	ips   []net.IP

	mu   sync.Mutex
	leaf *tls.Certificate
}

// OpenAuthority opens the authority in a folder, and makes it when there is
// none. hosts are the names and addresses by which clients reach the server;
// localhost and the loopback addresses are always among them.
func OpenAuthority(dir string, hosts []string, now func() time.Time) (*Authority, error) {
	a := &Authority{now: now}
	if err := a.host(hosts); err != nil {
		return nil, err
	}
	if err := a.open(dir); err != nil {
		return nil, err
	}
	_, err := a.GetCertificate(nil)
	return a, err
}

// Pin is the pin of the authority's key.
func (a *Authority) Pin() Pin { return PinOf(a.cert) }

// GetCertificate gives the server's leaf and makes another when it is time.
func (a *Authority) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if l := a.leaf; l != nil && now.After(l.Leaf.NotBefore) && now.Add(leafRenewed).Before(l.Leaf.NotAfter) {
		return l, nil
	}
	leaf, err := a.issue(now)
	if err != nil {
		return nil, err
	}
	a.leaf = leaf
	return leaf, nil
}

func (a *Authority) issue(now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "ecluse"},
		NotBefore: now.Add(-backdated), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              a.names, IPAddresses: a.ips,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Failed, What: "make the server's certificate", Err: err}
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// open reads the authority's file, or makes it. Two servers that start at once
// make one.
func (a *Authority) open(dir string) (err error) {
	const what = "open the server's certificate authority"
	failed := func(err error) error {
		return &ecluse.Error{Kind: ecluse.Failed, What: what, Where: dir, Why: "its folder cannot be used", Err: pathless(err)}
	}
	if err := durable.Mkdir(dir); err != nil {
		return failed(err)
	}
	unlock, err := durable.Lock(filepath.Join(dir, "authority.lock"))
	if err != nil {
		return failed(err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := durable.Sweep(dir); err != nil {
		return failed(err)
	}
	path := filepath.Join(dir, authorityFile)
	text, err := readPrivate(what, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		if err := a.parse(text); err != nil {
			return &ecluse.Error{
				Kind: ecluse.Invalid, What: what, Where: path, Why: "the file is damaged: clients pin the key that was in it",
				Next: "put it back from a backup; or remove it, start again, and give every client the new pin", Err: err,
			}
		}
		if a.now().Add(leafLife).Before(a.cert.NotAfter) {
			return nil
		}
	}
	// The first certificate, or the next one of the same key: the pin stays.
	if text, err = a.certify(); err != nil {
		return &ecluse.Error{Kind: ecluse.Failed, What: what, Where: path, Err: err}
	}
	if err := durable.WriteFile(path, text); err != nil {
		return failed(err)
	}
	return nil
}

// certify signs the authority's own certificate; it returns the file's text.
func (a *Authority) certify() ([]byte, error) {
	private, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&a.key.PublicKey)
	if err != nil {
		return nil, err
	}
	now := a.now()
	t := &x509.Certificate{
		// Two servers' authorities side by side in a browser have two names.
		Subject:   pkix.Name{CommonName: "ecluse server " + ecluse.DigestOf(public).Hex()[:16]},
		NotBefore: now.Add(-backdated), NotAfter: now.Add(authorityLife),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, MaxPathLenZero: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &a.key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return slices.Concat(
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	), nil
}

// parse reads what certify wrote.
func (a *Authority) parse(text []byte) error {
	first, rest := pem.Decode(text)
	if first == nil || first.Type != "PRIVATE KEY" {
		return errors.New("it does not begin with a private key")
	}
	private, err := x509.ParsePKCS8PrivateKey(first.Bytes)
	if err != nil {
		return err
	}
	key, ok := private.(*ecdsa.PrivateKey)
	if !ok {
		return errors.New("its key is not an ECDSA key")
	}
	second, rest := pem.Decode(rest)
	if second == nil || second.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return errors.New("want one certificate after the key")
	}
	cert, err := x509.ParseCertificate(second.Bytes)
	if err != nil {
		return err
	}
	if !key.PublicKey.Equal(cert.PublicKey) || !cert.IsCA {
		return errors.New("its certificate is not an authority's with that key")
	}
	a.key, a.cert = key, cert
	return nil
}

// host sorts names from addresses.
func (a *Authority) host(hosts []string) error {
	for _, h := range slices.Concat([]string{"localhost", "127.0.0.1", "::1"}, hosts) {
		ip := net.ParseIP(h)
		switch {
		case ip != nil && !slices.ContainsFunc(a.ips, ip.Equal):
			a.ips = append(a.ips, ip)
		case ip == nil && !isName(h):
			return &ecluse.Error{
				Kind: ecluse.Invalid, What: "make the server's certificate", Where: fmt.Sprintf("%q", h), Why: "it is neither a host's name nor an IP address",
				Next: "name the server as clients will: ecluse.example.org or 192.0.2.7, without port; letters beyond ASCII as xn--",
			}
		case ip == nil && !slices.Contains(a.names, strings.ToLower(h)):
			a.names = append(a.names, strings.ToLower(h))
		}
	}
	return nil
}

// isName tells a host's name (RFC 1123, 2.1) in ASCII.
func isName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
				return false
			}
		}
	}
	return true
}

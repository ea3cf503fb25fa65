package wire

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
)

// Identity is what a server shows: an Authority's certificate or an operator's
// File.
type Identity interface {
	// Pin is what clients must be given, over a way they trust.
	Pin() Pin
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// ServerConfig is the TLS of a server. It asks for a client certificate and
// demands none, for people have none; one that is shown must be a gate's.
func ServerConfig(id Identity) *tls.Config {
	c := base()
	c.GetCertificate = id.GetCertificate
	c.ClientAuth = tls.RequestClientCert
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 {
			return nil
		}
		key, err := gateKey(cs.PeerCertificates)
		if err != nil {
			return err
		}
		cert := cs.PeerCertificates[0]
		if !ed25519.Verify(key, cert.RawTBSCertificate, cert.Signature) {
			return errors.New("the client certificate is not signed by its own key")
		}
		return nil
	}
	return c
}

// GateOf names the gate at the other end of a connection to a server with
// ServerConfig; false when no gate showed itself. The handshake proved that the
// peer holds the key (RFC 8446, 4.4.3). Names, dates and issuers in the
// certificate are the gate's own words, and nothing reads them. Which gates are
// enrolled is the caller's to know.
func GateOf(cs *tls.ConnectionState) (ecluse.Fingerprint, bool) {
	if cs == nil || !cs.HandshakeComplete {
		return "", false
	}
	key, err := gateKey(cs.PeerCertificates)
	if err != nil {
		return "", false
	}
	pub, err := ssh.NewPublicKey(key)
	if err != nil {
		return "", false
	}
	return evidence.FingerprintOf(pub), true
}

func gateKey(chain []*x509.Certificate) (ed25519.PublicKey, error) {
	if len(chain) != 1 {
		return nil, errors.New("want one self-signed client certificate")
	}
	key, ok := chain[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("the client certificate is not for an Ed25519 key")
	}
	return key, nil
}

package wire

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
)

// gateCertificate makes a gate's client certificate, in memory: an envelope for
// its public key, in the form TLS wants.
//
// The same key signs descriptors. What it signs cannot be taken for the other:
// an SSHSIG begins with "SSHSIG", a handshake's proof with 64 spaces (RFC 8446,
// 4.4.3), a certificate with a DER sequence.
func gateCertificate(s ssh.Signer) (*tls.Certificate, error) {
	const what = "make the gate's client certificate"
	var pub ed25519.PublicKey
	if k, ok := s.PublicKey().(ssh.CryptoPublicKey); ok {
		pub, _ = k.CryptoPublicKey().(ed25519.PublicKey)
	}
	if pub == nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: what, Why: "the gate's key is not an Ed25519 key", Next: "use the key that `ecluse gate enrol` made"}
	}
	signer := sshSigner{pub: pub, s: s}
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: "ecluse gate"},
		// No well-defined end (RFC 5280, 4.1.2.5): what ends is the enrolment.
		NotBefore: time.Unix(0, 0).UTC(), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, pub, signer)
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Failed, What: what, Why: "the gate's key does not sign", Err: err}
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: signer}, nil
}

// sshSigner is an SSH agent or key file as crypto/tls wants it: for Ed25519 both
// sign the message itself (RFC 8032, RFC 8709).
type sshSigner struct {
	pub ed25519.PublicKey
	s   ssh.Signer
}

func (s sshSigner) Public() crypto.PublicKey { return s.pub }

func (s sshSigner) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc() != 0 {
		return nil, errors.New("an Ed25519 key signs messages, not hashes")
	}
	sig, err := s.s.Sign(rand, message)
	if err != nil {
		return nil, err
	}
	return sig.Blob, nil
}

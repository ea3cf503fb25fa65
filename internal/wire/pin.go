package wire

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"ecluse"
)

// Pin is the SHA-256 of a public key as a certificate carries it, the DER of its
// SubjectPublicKeyInfo (RFC 7469, 2.4): certificates are renewed, the pin stays.
// Its text is "sha256:" and 64 lower-case hexadecimal digits, what
//
//	openssl x509 -in cert.pem -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum
//
// prints.
type Pin ecluse.Digest

// PinOf is the pin of a certificate's key.
func PinOf(c *x509.Certificate) Pin { return Pin(ecluse.DigestOf(c.RawSubjectPublicKeyInfo)) }

// ParsePin reads the text form of a pin.
func ParsePin(s string) (Pin, error) {
	d, err := ecluse.ParseDigest(s)
	if err != nil {
		return Pin{}, &ecluse.Error{
			Kind: ecluse.Invalid, What: "read the server's pin", Why: "it is not sha256: and 64 lower-case hexadecimal digits",
			Next: "copy it whole from what `ecluse serve` printed when it started",
		}
	}
	return Pin(d), nil
}

func (p Pin) String() string { return ecluse.Digest(p).String() }

// IsZero tells a pin that was never set. It is never accepted.
func (p Pin) IsZero() bool { return p == Pin{} }

// MarshalText writes the text form; the zero pin is empty.
func (p Pin) MarshalText() ([]byte, error) { return ecluse.Digest(p).MarshalText() }

// UnmarshalText reads what MarshalText wrote.
func (p *Pin) UnmarshalText(b []byte) (err error) {
	*p = Pin{}
	if len(b) > 0 {
		*p, err = ParsePin(string(b))
	}
	return err
}

// why a server's certificates are not believed.
type why int

const (
	otherKey  why = iota // neither the server's key nor one that signed for it
	otherHost            // the right authority, for another name
	otherTime            // outside the certificate's validity
)

// distrust is the reason why a server was not believed. Its issuer is what the
// certificate says of itself: nothing vouches for it.
type distrust struct {
	why           why
	issuer        string
	after, before time.Time // the certificate's validity
}

func (d *distrust) Error() string {
	switch d.why {
	case otherHost:
		return "its certificate is for other names"
	case otherTime:
		return fmt.Sprintf("its certificate is valid from %s to %s only", d.after.UTC().Format(time.DateTime), d.before.UTC().Format(time.DateTime))
	}
	return fmt.Sprintf("the pinned key is not in the certificate that came, which says it is issued by %q", d.issuer)
}

// verify believes a chain whose first certificate has the pin, or was signed by
// one that has it and is for host. Whoever holds a pinned key of their own needs
// no name; an authority's may have signed for several hosts. The caller has seen
// the handshake prove that the peer holds the first certificate's key.
func (p Pin) verify(chain []*x509.Certificate, host string, now time.Time) error {
	if len(chain) == 0 || p.IsZero() {
		return &distrust{why: otherKey}
	}
	leaf := chain[0]
	d := &distrust{why: otherKey, issuer: printable(leaf.Issuer.String()), after: leaf.NotBefore, before: leaf.NotAfter}
	if PinOf(leaf) == p {
		if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
			d.why = otherTime
			return d
		}
		return nil
	}
	// What else the pinned certificate says is of no weight: only its key is.
	o := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
		CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, c := range chain[1:] {
		if PinOf(c) == p {
			o.Roots.AddCert(c)
		} else {
			o.Intermediates.AddCert(c)
		}
	}
	if _, err := leaf.Verify(o); err != nil {
		var invalid x509.CertificateInvalidError
		if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
			d.why = otherTime
			if invalid.Cert != nil {
				d.after, d.before = invalid.Cert.NotBefore, invalid.Cert.NotAfter
			}
		}
		return d
	}
	if leaf.VerifyHostname(host) != nil {
		d.why = otherHost
		return d
	}
	return nil
}

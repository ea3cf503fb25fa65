package evidence

import (
	"crypto/rsa"
	"slices"

	"golang.org/x/crypto/ssh"

	"ecluse"
)

// FingerprintOf is the key's SHA-256 fingerprint as OpenSSH prints it.
func FingerprintOf(k ssh.PublicKey) ecluse.Fingerprint {
	return ecluse.Fingerprint(ssh.FingerprintSHA256(k))
}

// minRSA is the shortest RSA modulus accepted, in bits (CNIL security guide,
// encryption: at least 2048).
const minRSA = 2048

// CheckKey refuses kinds of key that the oldest supported ssh-keygen could not
// verify or that are too weak: accepted are Ed25519, ECDSA on the NIST curves,
// RSA of 2048 bits and more, and the first two on a FIDO token.
func CheckKey(k ssh.PublicKey) error {
	known := []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		ssh.KeyAlgoRSA, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
	}
	const what = "check key"
	if !slices.Contains(known, k.Type()) {
		return invalid(what, "a key of type %q is not accepted", k.Type())
	}
	if c, ok := k.(ssh.CryptoPublicKey); ok {
		if r, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && r.N.BitLen() < minRSA {
			return invalid(what, "an RSA key of %d bits is too short: at least %d", r.N.BitLen(), minRSA)
		}
	}
	return nil
}

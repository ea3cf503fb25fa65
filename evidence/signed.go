package evidence

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"ecluse"
)

// Namespaces of SSHSIG signatures: a signature made for one use is refused in
// every other (OpenSSH, PROTOCOL.sshsig).
const (
	NamespaceAct       = "act@ecluse"       // a person's signature under an Act
	NamespaceRoster    = "roster@ecluse"    // a party's root key under its roster
	NamespaceChunk     = "chunk@ecluse"     // a gate's under a Descriptor
	NamespaceManifest  = "manifest@ecluse"  // the source gate's under a Manifest
	NamespaceRecipient = "recipient@ecluse" // a gate's under a Recipient
	NamespaceHead      = "head@ecluse"      // the lock's and both gates' under a journal Head
	NamespaceStatement = "statement@ecluse" // a gate's under privilege records, reports, certificates
	NamespaceBundle    = "bundle@ecluse"    // each gate's under a bundle's SHA256SUMS
	NamespaceLogin     = "login@ecluse"     // a person's under a Login
	NamespaceGate      = "gate@ecluse"      // a gate's under what it is and where it stands
	NamespaceCarried   = "carried@ecluse"   // the lock's, or a gate's, under all that is carried by hand at a time
)

// Namespaces lists those of what is kept as evidence. NamespaceLogin is not among
// them: a login is kept nowhere, and SignLogin alone signs one; nor NamespaceCarried,
// under which what is kept is carried.
func Namespaces() []string {
	return []string{
		NamespaceAct, NamespaceRoster, NamespaceChunk, NamespaceManifest,
		NamespaceRecipient, NamespaceHead, NamespaceStatement, NamespaceBundle, NamespaceGate,
	}
}

// Signed is a body and an armoured SSHSIG signature over its exact bytes, as
// `ssh-keygen -Y sign` writes one.
type Signed struct {
	Body      []byte `json:"body"`
	Signature []byte `json:"signature"`
}

// Digest is the body's.
func (s Signed) Digest() ecluse.Digest { return ecluse.DigestOf(s.Body) }

// Sign signs body under one of Namespaces, or NamespaceCarried, with SHA-512 (an RSA key signs as
// rsa-sha2-512).
func Sign(signer ssh.Signer, namespace string, body []byte) (Signed, error) {
	if namespace != NamespaceCarried && !slices.Contains(Namespaces(), namespace) {
		return Signed{}, invalid("sign", "%q is not a namespace of what is kept as evidence", namespace)
	}
	return sign(signer, namespace, body)
}

func sign(signer ssh.Signer, namespace string, body []byte) (Signed, error) {
	const what = "sign"
	if err := CheckKey(signer.PublicKey()); err != nil {
		return Signed{}, err
	}
	sig, err := sshsig.Sign(bytes.NewReader(body), signer, sshsig.HashSHA512, namespace)
	var known *ecluse.Error
	if errors.As(err, &known) {
		return Signed{}, known // of a passphrase that nobody can be asked for, say
	}
	if err != nil {
		return Signed{}, because(ecluse.Failed, what, err)
	}
	return Signed{Body: body, Signature: sshsig.Armor(sig)}, nil
}

// Verify checks the signature and returns the key that made it. It says nothing
// about whose key that is: callers compare its fingerprint, or look it up in a
// roster.
func (s Signed) Verify(namespace string) (ssh.PublicKey, error) {
	what := "verify " + namespace + " signature"
	blob, err := unarmor(s.Signature)
	if err != nil {
		return nil, because(ecluse.Unverified, what, err)
	}
	sig, err := sshsig.ParseSignature(blob)
	if err != nil {
		return nil, because(ecluse.Unverified, what, err)
	}
	if !bytes.Equal(sig.Marshal(), blob) {
		return nil, unverified(what, "the signature is not in its one form")
	}
	if err := CheckKey(sig.PublicKey); err != nil {
		return nil, because(ecluse.Unverified, what, err)
	}
	err = sshsig.Verify(bytes.NewReader(s.Body), sig, sig.PublicKey, sig.HashAlgorithm, namespace)
	if err != nil {
		return nil, because(ecluse.Unverified, what, err)
	}
	return sig.PublicKey, nil
}

// VerifyBy checks the signature and that the key of that fingerprint made it.
func (s Signed) VerifyBy(namespace string, by ecluse.Fingerprint) error {
	pub, err := s.Verify(namespace)
	if err != nil {
		return err
	}
	if got := FingerprintOf(pub); got != by {
		return unverified("verify "+namespace+" signature", "signed by %s, not by %s", got, by)
	}
	return nil
}

const (
	armourBegin = "-----BEGIN SSH SIGNATURE-----\n"
	armourEnd   = "-----END SSH SIGNATURE-----\n"
)

// unarmor reads an armoured signature in one of its two usual forms, lines of 64
// characters (ours) or of 70 (OpenSSH's), and no other: a byte changed in the
// armour is a change.
func unarmor(b []byte) ([]byte, error) {
	text, ok := strings.CutPrefix(string(b), armourBegin)
	if !ok {
		return nil, errors.New("the signature does not begin with " + strings.TrimSpace(armourBegin))
	}
	text, ok = strings.CutSuffix(text, armourEnd)
	if !ok {
		return nil, errors.New("the signature does not end with " + strings.TrimSpace(armourEnd))
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(strings.ReplaceAll(text, "\n", ""))
	if err != nil {
		return nil, fmt.Errorf("the signature's base64 is damaged: %w", err)
	}
	for _, width := range []int{64, 70} {
		if wrap(blob, width) == text {
			return blob, nil
		}
	}
	return nil, errors.New("the signature's lines are not of 64 or 70 characters")
}

func wrap(blob []byte, width int) string {
	var out strings.Builder
	for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(blob)), width) {
		out.Write(line)
		out.WriteByte('\n')
	}
	return out.String()
}

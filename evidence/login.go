package evidence

import (
	"bytes"
	"regexp"
	"strings"

	"golang.org/x/crypto/ssh"

	"ecluse"
)

// Login is login/v1: what a person signs to begin a session with a server. It
// commits them to nothing but that: it names the one server and laboratory that
// may take it, so that no server can hand it on to another, and its namespace
// and first line are no act's.
type Login struct {
	Server     ecluse.Digest // pin: SHA-256 of the server's public key (SubjectPublicKeyInfo), as the signer's own device holds it
	Laboratory string        // id of the laboratory on that server
	Key        ecluse.Fingerprint
	Challenge  string // the server's, opaque to whoever signs: ChallengeSize bytes in lower-case hexadecimal
}

// ChallengeSize is how many bytes a challenge has.
const ChallengeSize = 56

const loginFormat = "ecluse login/v1"

var (
	laboratoryPattern = regexp.MustCompile(`^[a-z0-9-]{3,64}$`)
	challengePattern  = regexp.MustCompile(`^[0-9a-f]{112}$`)
)

// Text is the login's one text, the bytes that are signed.
//
//	ecluse login/v1
//	server sha256:…
//	laboratory tilleuls
//	key SHA256:…
//	challenge 0123456789abcdef…
func (l *Login) Text() []byte {
	return []byte(loginFormat + "\nserver " + l.Server.String() + "\nlaboratory " + l.Laboratory +
		"\nkey " + string(l.Key) + "\nchallenge " + l.Challenge + "\n")
}

// Check tells what is wrong with a login before it is signed. No error repeats
// what it was given: whoever sends one is not known yet.
func (l *Login) Check() error {
	const what = "check login"
	switch {
	case l.Server.IsZero():
		return invalid(what, "it names no server")
	case !laboratoryPattern.MatchString(l.Laboratory):
		return invalid(what, "its laboratory is not an id of 3 to 64 lower-case letters, digits and hyphens")
	case !l.Key.Valid():
		return invalid(what, "its key is not a fingerprint")
	case !challengePattern.MatchString(l.Challenge):
		return invalid(what, "its challenge is not %d bytes in lower-case hexadecimal", ChallengeSize)
	}
	return nil
}

// ParseLogin reads a login's text, and only the text that Text would write.
func ParseLogin(text []byte) (*Login, error) {
	const what = "read login"
	p := lineParser{lines: strings.Split(string(text), "\n")}
	if p.next() != loginFormat {
		return nil, invalid(what, "it does not begin with %q", loginFormat)
	}
	server, digestErr := ecluse.ParseDigest(p.field("server"))
	l := &Login{Server: server, Laboratory: p.field("laboratory"), Key: ecluse.Fingerprint(p.field("key")), Challenge: p.field("challenge")}
	switch {
	case p.err != nil:
		return nil, because(ecluse.Invalid, what, p.err)
	case digestErr != nil:
		return nil, invalid(what, "its server is not a digest")
	}
	if err := l.Check(); err != nil {
		return nil, err
	}
	if !bytes.Equal(l.Text(), text) {
		return nil, invalid(what, "its text is not the canonical one")
	}
	return l, nil
}

// SignLogin checks a login and signs it with the key that it names.
func SignLogin(signer ssh.Signer, l *Login) (Signed, error) {
	if err := l.Check(); err != nil {
		return Signed{}, err
	}
	if FingerprintOf(signer.PublicKey()) != l.Key {
		return Signed{}, invalid("sign login", "it names another key")
	}
	return sign(signer, NamespaceLogin, l.Text())
}

// VerifyLogin checks that the key which a login names signed it, and reads it.
// Whether server, laboratory and challenge are one's own, and whose key it is,
// is for the caller to judge.
func VerifyLogin(s Signed) (*Login, error) {
	l, err := ParseLogin(s.Body)
	if err != nil {
		return nil, err
	}
	if err := s.VerifyBy(NamespaceLogin, l.Key); err != nil {
		return nil, err
	}
	return l, nil
}

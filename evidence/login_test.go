package evidence

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"pgregory.net/rapid"

	"ecluse"
)

func testLogin(key ecluse.Fingerprint) *Login {
	return &Login{
		Server: ecluse.DigestOf([]byte("server")), Laboratory: "tilleuls", Key: key,
		Challenge: strings.Repeat("0123456789abcdef", 7),
	}
}

const somebody ecluse.Fingerprint = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func TestLoginText(t *testing.T) {
	want := "ecluse login/v1\nserver " + ecluse.DigestOf([]byte("server")).String() + "\nlaboratory tilleuls\nkey " + string(somebody) +
		"\nchallenge " + strings.Repeat("0123456789abcdef", 7) + "\n"
	if diff := cmp.Diff(want, string(testLogin(somebody).Text())); diff != "" {
		t.Error(diff)
	}
}

func TestLoginRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &Login{
			Server:     ecluse.DigestOf(rapid.SliceOf(rapid.Byte()).Draw(t, "server")),
			Laboratory: rapid.StringMatching(`[a-z0-9-]{3,64}`).Draw(t, "laboratory"),
			Key:        ecluse.Fingerprint(rapid.StringMatching(`SHA256:[A-Za-z0-9+/]{43}`).Draw(t, "key")),
			Challenge:  rapid.StringMatching(`[0-9a-f]{112}`).Draw(t, "challenge"),
		}
		got, err := ParseLogin(l.Text())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(l, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestParseLoginRefuses(t *testing.T) {
	good := string(testLogin(somebody).Text())
	for name, edit := range map[string][2]string{
		"format":           {"login/v1", "act/v1"},
		"server":           {"server sha256:", "server sha512:"},
		"no server":        {ecluse.DigestOf([]byte("server")).String(), ecluse.Digest{}.String()},
		"laboratory":       {"laboratory tilleuls", "laboratory Tilleuls"},
		"no laboratory":    {"laboratory tilleuls\n", ""},
		"key":              {"key SHA256:A", "key SHA256:"},
		"challenge":        {"challenge 0", "challenge g"},
		"short challenge":  {"challenge 01", "challenge "},
		"space":            {"laboratory ", "laboratory  "},
		"no final newline": {"cdef\n", "cdef"},
		"carriage return":  {"tilleuls\n", "tilleuls\r\n"},
		"a line more":      {"cdef\n", "cdef\nrole signatory\n"},
		"order of lines":   {"laboratory tilleuls\nkey " + string(somebody), "key " + string(somebody) + "\nlaboratory tilleuls"},
	} {
		text := strings.Replace(good, edit[0], edit[1], 1)
		if text == good {
			t.Errorf("%s: edit changes nothing", name)
		}
		_, err := ParseLogin([]byte(text))
		if ecluse.KindOf(err) != ecluse.Invalid {
			t.Errorf("%s: got %v, want invalid", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "illeuls") {
			t.Errorf("%s: the error repeats what was sent: %v", name, err)
		}
	}
}

// TestLoginIsNoAct: neither signature is taken for the other, nor for that of
// any other use.
func TestLoginIsNoAct(t *testing.T) {
	key, _ := testKey(t, "ed25519", "")
	other, _ := testKey(t, "ed25519", "")
	l := testLogin(FingerprintOf(key.PublicKey()))
	signed, err := SignLogin(key, l)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := VerifyLogin(signed); err != nil || *got != *l {
		t.Fatalf("%v, %v", got, err)
	}
	refused := func(what string, err error, want ecluse.Kind) {
		t.Helper()
		if err == nil || ecluse.KindOf(err) != want {
			t.Errorf("%s: got %v, want %s", what, err, want)
		}
	}
	for _, n := range Namespaces() {
		_, err := signed.Verify(n)
		refused("a login as "+n, err, ecluse.Unverified)
		under := must(Sign(key, n, l.Text()))
		_, err = VerifyLogin(under)
		refused("a login's text signed as "+n, err, ecluse.Unverified)
	}
	var rs Rosters
	_, _, err = VerifyAct(signed, &rs, time.Now())
	refused("a login as an act", err, ecluse.Unverified)
	a := testAct()
	act, err := SignAct(key, a)
	if err != nil {
		t.Fatal(err)
	}
	_, err = VerifyLogin(act)
	refused("an act as a login", err, ecluse.Invalid)
	_, err = VerifyLogin(must(sign(key, NamespaceLogin, a.Text())))
	refused("an act's text signed as a login", err, ecluse.Invalid)

	_, err = VerifyLogin(must(sign(other, NamespaceLogin, l.Text())))
	refused("another key's signature", err, ecluse.Unverified)
	_, err = VerifyLogin(Signed{bytes.Replace(signed.Body, []byte("tilleuls"), []byte("platanes"), 1), signed.Signature})
	refused("another laboratory under the same signature", err, ecluse.Unverified)
	_, err = Sign(key, NamespaceLogin, a.Text())
	refused("signing anything as a login", err, ecluse.Invalid)
	_, err = SignLogin(other, l)
	refused("signing for another key", err, ecluse.Invalid)
}

// TestLoginOpenSSH: what ssh-keygen signs is taken, what is signed here
// ssh-keygen verifies; and a roster's allowed_signers lets nobody's log-in pass
// for an act.
func TestLoginOpenSSH(t *testing.T) {
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			key, file := testKey(t, kind, dir)
			l := testLogin(FingerprintOf(key.PublicKey()))
			signed, err := SignLogin(key, l)
			if err != nil {
				t.Fatal(err)
			}
			sig, allowed := filepath.Join(dir, "ours.sig"), filepath.Join(dir, "allowed")
			write(t, sig, signed.Signature)
			verify := func(namespace string) error {
				_, err := sshKeygen(t, l.Text(), "-Y", "verify", "-f", allowed, "-I", "anne", "-n", namespace, "-s", sig)
				return err
			}
			public := ssh.MarshalAuthorizedKey(key.PublicKey())
			write(t, allowed, append([]byte("anne "), public...))
			if err := verify(NamespaceLogin); err != nil {
				t.Errorf("ssh-keygen refuses our login: %v", err)
			}
			if verify(NamespaceAct) == nil {
				t.Error("ssh-keygen takes a login for an act")
			}
			write(t, allowed, append([]byte(`anne namespaces="act@ecluse" `), public...))
			if verify(NamespaceLogin) == nil {
				t.Error("a roster's list of signers takes a login")
			}

			theirs := filepath.Join(dir, "login")
			write(t, theirs, l.Text())
			if out, err := sshKeygen(t, nil, "-q", "-Y", "sign", "-n", NamespaceLogin, "-f", file, theirs); err != nil {
				t.Fatalf("sign: %v: %s", err, out)
			}
			text, err := os.ReadFile(theirs + ".sig")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := VerifyLogin(Signed{l.Text(), text}); err != nil {
				t.Errorf("OpenSSH's signature: %v", err)
			}
		})
	}
}

func FuzzParseLogin(f *testing.F) {
	f.Add(testLogin(somebody).Text())
	f.Add([]byte(loginFormat + "\nserver sha256:\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := ParseLogin(text)
		if err == nil && !bytes.Equal(l.Text(), text) {
			t.Error("parsed another text than the login's own")
		}
	})
}

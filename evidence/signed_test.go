package evidence

import (
	"bytes"
	"crypto/dsa"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"ecluse"
)

// testKey makes a private key of a kind and, in dir, the file ssh-keygen reads.
func testKey(t testing.TB, kind, dir string) (ssh.Signer, string) {
	t.Helper()
	var key any
	var err error
	switch kind {
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "ecdsa":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if dir == "" {
		return signer, ""
	}
	block, err := ssh.MarshalPrivateKey(key, kind)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, kind)
	write(t, file, pem.EncodeToMemory(block))
	write(t, file+".pub", ssh.MarshalAuthorizedKey(signer.PublicKey()))
	return signer, file
}

func write(t testing.TB, file string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// sshKeygen runs the real tool on stdin.
func sshKeygen(t testing.TB, stdin []byte, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("ssh-keygen", args...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestSignOpenSSH(t *testing.T) {
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			signer, file := testKey(t, kind, dir)
			body := []byte("what is signed\n")
			fp := FingerprintOf(signer.PublicKey())

			s, err := Sign(signer, NamespaceAct, body)
			if err != nil {
				t.Fatal(err)
			}
			sig, allowed := filepath.Join(dir, "ours.sig"), filepath.Join(dir, "allowed")
			write(t, sig, s.Signature)
			write(t, allowed, append([]byte("anne "), ssh.MarshalAuthorizedKey(signer.PublicKey())...))
			out, err := sshKeygen(t, body, "-Y", "check-novalidate", "-n", NamespaceAct, "-s", sig)
			if err != nil || !strings.Contains(out, string(fp)) {
				t.Errorf("check-novalidate: %v: %s", err, out)
			}
			out, err = sshKeygen(t, body, "-Y", "verify", "-f", allowed, "-I", "anne", "-n", NamespaceAct, "-s", sig)
			if err != nil {
				t.Errorf("verify: %v: %s", err, out)
			}
			if out, err := sshKeygen(t, body, "-Y", "verify", "-f", allowed, "-I", "anne", "-n", NamespaceRoster, "-s", sig); err == nil {
				t.Errorf("verify accepts another namespace: %s", out)
			}

			theirs := filepath.Join(dir, "body")
			write(t, theirs, body)
			if out, err := sshKeygen(t, nil, "-q", "-Y", "sign", "-n", NamespaceAct, "-f", file, theirs); err != nil {
				t.Fatalf("sign: %v: %s", err, out)
			}
			text, err := os.ReadFile(theirs + ".sig")
			if err != nil {
				t.Fatal(err)
			}
			if err := (Signed{Body: body, Signature: text}).VerifyBy(NamespaceAct, fp); err != nil {
				t.Errorf("OpenSSH's signature: %v", err)
			}
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	signer, _ := testKey(t, "ed25519", "")
	other, _ := testKey(t, "ed25519", "")
	s, err := Sign(signer, NamespaceChunk, []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	fp := FingerprintOf(signer.PublicKey())
	refused := func(name string, s Signed, namespace string, by ecluse.Fingerprint) {
		t.Helper()
		err := s.VerifyBy(namespace, by)
		if ecluse.KindOf(err) != ecluse.Unverified || err == nil {
			t.Errorf("%s: got %v, want unverified", name, err)
		}
	}
	refused("other body", Signed{[]byte("bodz"), s.Signature}, NamespaceChunk, fp)
	refused("other namespace", s, NamespaceAct, fp)
	refused("other key", s, NamespaceChunk, FingerprintOf(other.PublicKey()))
	refused("something in the reserved field", reserve(t, s), NamespaceChunk, fp)
	refused("no signature", Signed{Body: s.Body}, NamespaceChunk, fp)
	refused("text before", Signed{s.Body, append([]byte("x\n"), s.Signature...)}, NamespaceChunk, fp)
	refused("text after", Signed{s.Body, append(bytes.Clone(s.Signature), '\n')}, NamespaceChunk, fp)
	refused("wrapped otherwise", Signed{s.Body, bytes.Replace(s.Signature, []byte("U1NI"), []byte("U1\nNI"), 1)}, NamespaceChunk, fp)
	for i := range s.Signature {
		for _, bit := range []byte{1, 0x20, 0x80} {
			flipped := bytes.Clone(s.Signature)
			flipped[i] ^= bit
			refused("flipped byte", Signed{s.Body, flipped}, NamespaceChunk, fp)
		}
	}
}

// reserve puts something into the field of a signature that has no use yet and
// that no signature covers.
func reserve(t *testing.T, s Signed) Signed {
	t.Helper()
	blob, err := unarmor(s.Signature)
	if err != nil {
		t.Fatal(err)
	}
	var b struct {
		Magic                        [6]byte
		Version                      uint32
		Key, Namespace               string
		Reserved, HashAlgorithm, Sig string
	}
	if err := ssh.Unmarshal(blob, &b); err != nil {
		t.Fatal(err)
	}
	b.Reserved = "x"
	return Signed{s.Body, []byte(armourBegin + wrap(ssh.Marshal(b), 64) + armourEnd)}
}

func TestSignRefuses(t *testing.T) {
	signer, _ := testKey(t, "ed25519", "")
	if _, err := Sign(signer, "file", nil); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("unknown namespace: %v", err)
	}
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := ssh.NewSignerFromKey(short)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Sign(weak, NamespaceAct, nil); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("RSA of 1024 bits: %v", err)
	}
	var old dsa.PrivateKey
	if err := dsa.GenerateParameters(&old.Parameters, rand.Reader, dsa.L1024N160); err != nil {
		t.Fatal(err)
	}
	if err := dsa.GenerateKey(&old, rand.Reader); err != nil {
		t.Fatal(err)
	}
	pub, err := ssh.NewPublicKey(&old.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckKey(pub); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("DSA: %v", err)
	}
}

func FuzzUnarmor(f *testing.F) {
	signer, _ := testKey(f, "ed25519", "")
	s, err := Sign(signer, NamespaceAct, []byte("body"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Signature)
	f.Add([]byte(armourBegin + armourEnd))
	f.Fuzz(func(t *testing.T, sig []byte) {
		if _, err := (Signed{[]byte("body"), sig}).Verify(NamespaceAct); err == nil && !bytes.Equal(sig, s.Signature) {
			// Another key may have signed; the same blob in 70 columns is fine too.
			if _, err := unarmor(sig); err != nil {
				t.Errorf("verified what cannot be read: %v", err)
			}
		}
	})
}

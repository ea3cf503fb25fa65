package desk

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ecluse"
	"ecluse/evidence"
)

func TestKeysAreOpenSSHs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "claire")
	print, err := NewKey(path, "Claire Aubry", nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("ssh-keygen", "-lf", path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), string(print)) {
		t.Errorf("ssh-keygen says %s, %v; want %s", out, err, print)
	}
	s, err := Signer(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := evidence.FingerprintOf(s.PublicKey()); got != print {
		t.Errorf("signer is %s, want %s", got, print)
	}
	if _, err := NewKey(path, "again", nil); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("overwrote a key: %v", err)
	}
}

func TestEncryptedKeyAsksForItsPassphrase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k")
	print, err := NewKey(path, "k", []byte("sésame"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Signer(path, nil); err == nil {
		t.Error("an encrypted key opened without a passphrase")
	}
	asked := 0
	with := func(pass string) func(string) ([]byte, error) {
		return func(string) ([]byte, error) { asked++; return []byte(pass), nil }
	}
	wrong, err := Signer(path, with("non"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := evidence.Sign(wrong, evidence.NamespaceAct, []byte("x")); err == nil || !strings.Contains(err.Error(), "the passphrase does not open the key") {
		t.Errorf("a wrong passphrase signed: %v", err)
	}
	alone, err := Signer(path, func(string) ([]byte, error) {
		return nil, &ecluse.Error{Kind: ecluse.WaitsForSign, What: "open key", Why: "nobody is there"}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := evidence.Sign(alone, evidence.NamespaceAct, []byte("x")); ecluse.KindOf(err) != ecluse.WaitsForSign {
		t.Errorf("with nobody to ask: %v", err)
	}
	asked = 0
	s, err := Signer(path, with("sésame"))
	if err != nil || evidence.FingerprintOf(s.PublicKey()) != print || asked > 0 {
		t.Errorf("whose key it is takes no passphrase: %v, asked %d times", err, asked)
	}
	for range 2 {
		signed, err := evidence.Sign(s, evidence.NamespaceAct, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if by, err := signed.Verify(evidence.NamespaceAct); err != nil || evidence.FingerprintOf(by) != print {
			t.Errorf("signed by %s, %v", by, err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}
}

func TestAgentSigns(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "agent")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	t.Setenv("SSH_AUTH_SOCK", socket)
	path := filepath.Join(dir, "k")
	print, err := NewKey(path, "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := os.Stat(socket); err == nil {
			break
		}
	}
	var out []byte
	for range 50 { // the agent listens a moment after it starts
		if out, err = exec.Command("ssh-add", path).CombinedOutput(); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("ssh-add: %s %v", out, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{string(print), path + ".pub"} {
		s, err := Signer(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := evidence.Sign(s, evidence.NamespaceAct, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signed.Verify(evidence.NamespaceAct); err != nil {
			t.Error(err)
		}
	}
}

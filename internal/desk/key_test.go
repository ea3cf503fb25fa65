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
	if _, err := NewKey(path, "k", []byte("sésame")); err != nil {
		t.Fatal(err)
	}
	if _, err := Signer(path, nil); err == nil {
		t.Error("an encrypted key opened without a passphrase")
	}
	if _, err := Signer(path, func(string) ([]byte, error) { return []byte("non"), nil }); err == nil {
		t.Error("a wrong passphrase opened the key")
	}
	if _, err := Signer(path, func(string) ([]byte, error) { return []byte("sésame"), nil }); err != nil {
		t.Error(err)
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

package lock

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
)

// In tells whether a folder is a lock's.
func In(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, keyFile))
	return err == nil
}

// Describe reads what a lock is known by from its folder, without opening it: the key
// that signs its journal, and the parties' roots.
func Describe(dir string) (ecluse.Fingerprint, map[ecluse.Side]ecluse.Fingerprint, error) {
	signer, err := readKey(dir)
	if err != nil {
		return "", nil, err
	}
	s, err := readSettings(dir)
	if err != nil {
		return "", nil, err
	}
	return evidence.FingerprintOf(signer.PublicKey()), s.Roots, nil
}

// readKey reads the key that signs the journal.
func readKey(dir string) (ssh.Signer, error) {
	text, err := durable.ReadPrivate(filepath.Join(dir, keyFile))
	if errors.Is(err, durable.ErrOthers) {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "open the lock", Where: keyFile, Err: err, Article: "GDPR art. 32",
			Next: "chmod 600 " + filepath.Join(dir, keyFile) + "; whoever may have read it can sign this journal",
		}
	}
	if err != nil {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: "open the lock", Where: dir, Why: "there is no lock in this folder",
			Next: "ecluse init DIR --controller SHA256:… --processor SHA256:…, or name another folder", Err: err,
		}
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "open the lock", Where: keyFile, Err: err}
	}
	return signer, nil
}

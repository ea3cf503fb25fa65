package app_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
)

// TestBackupOfTheLockPutBack (AC-27): the lock's whole folder is copied while the
// chamber is full, the migration erased, and the copy put back. Nothing that is
// left in the three folders opens a chunk of it or rows put aside, and neither
// gate does anything with it, whatever the old papers and approvals say.
func TestBackupOfTheLockPutBack(t *testing.T) {
	t.Parallel()
	for _, stage := range []roomtest.Stage{roomtest.Sealed, roomtest.Loaded} {
		t.Run(fmt.Sprint(stage), func(t *testing.T) {
			t.Parallel()
			d := roomtest.At(t, stage, patients)
			copyOfLock(d)
			all, opened := sealedFiles(d), openable(d)
			if len(all) == 0 || len(opened) != len(all) { // or the search below would show nothing
				t.Fatalf("before the erasure %d files of %d open", len(opened), len(all))
			}
			isDue(d, "erase")
			r := d.Open()
			runDue(t, r)
			nothingLeft(t, d)
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.RemoveAll(d.Join("room", "lock")), os.Rename(d.Join("backup"), d.Join("room", "lock"))); err != nil {
				t.Fatal(err)
			}

			if again := sealedFiles(d); len(again) != len(all) {
				t.Fatalf("%d files were put back, want %d", len(again), len(all))
			}
			if opened := openable(d); len(opened) > 0 {
				t.Errorf("after the erasure %v open", opened)
			}
			d.Seen(time.Now(), "source", "target") // the deadline was a test's
			gatesRefuse(t, d)
			r = d.Open()
			if _, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final}); err == nil {
				t.Error("the room goes on with an erased migration")
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if opened := openable(d); len(opened) > 0 {
				t.Errorf("after the gates were asked %v open", opened)
			}
			for _, part := range []string{"source", "target"} {
				if left, err := os.ReadDir(d.Join("room", part, "migrations")); err != nil || len(left) > 0 {
					t.Errorf("the %s gate made something anew: %v, %v", part, left, err)
				}
			}
		})
	}
}

// copyOfLock copies the lock's folder to "backup", with its modes.
func copyOfLock(d *roomtest.Dir) {
	d.Helper()
	from, to := d.Join("room", "lock"), d.Join("backup")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		d.Fatal(err)
	}
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		return os.Chmod(to+path[len(from):], info.Mode().Perm())
	})
	if err != nil {
		d.Fatal(err)
	}
}

// gatesRefuse asks the gates for all that they do with a migration, past
// everything the lock itself would refuse.
func gatesRefuse(t *testing.T, d *roomtest.Dir) {
	t.Helper()
	l, closeLock, err := app.OpenLock(t.Context(), d.Join("room", "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer closeLock()
	source, err := app.Source(d.Join("room", "source"), l)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	target, err := app.Target(d.Join("room", "target"), l)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	i, err := mandate.ParseInstruction("instruction.yaml", d.Read("instruction.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, m, final := t.Context(), roomtest.Migration, ecluse.Passage{Kind: ecluse.Final, Number: 1}
	for what, do := range map[string]func() error{
		"source: read":      func() error { _, err := source.Read(ctx, m, 0, nil); return err },
		"source: recipient": func() error { return source.Recipient(ctx, i) },
		"target: recipient": func() error { return target.Recipient(ctx, i) },
		"target: load":      func() error { _, err := target.Load(ctx, m, final, 0, nil); return err },
	} {
		if err := do(); !errors.Is(err, exchange.ErrErased) || ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// sealedFiles are the chamber's chunks and rows put aside.
func sealedFiles(d *roomtest.Dir) []string {
	d.Helper()
	var all []string
	for _, kind := range []string{"chunks", "rejects"} {
		names, err := filepath.Glob(d.Join("room", "lock", "chamber", "live", string(roomtest.Migration), kind, "objects", "*.age"))
		if err != nil {
			d.Fatal(err)
		}
		all = append(all, names...)
	}
	return all
}

var identityText = regexp.MustCompile(`(?i)AGE-SECRET-KEY-[0-9A-Z-]+`)

// openable are the sealed files that open with anything in the three folders:
// identities in clear, and those that any two secrets unwrap.
func openable(d *roomtest.Dir) []string {
	d.Helper()
	var texts, secrets, wrapped [][]byte
	for _, part := range []string{"lock", "source", "target"} {
		err := filepath.WalkDir(d.Join("room", part), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			texts = append(texts, identityText.FindAll(b, -1)...)
			switch {
			case len(b) == 32:
				secrets = append(secrets, b)
			case len(b) < 512: // identities are short
				wrapped = append(wrapped, b)
			}
			return nil
		})
		if err != nil {
			d.Fatal(err)
		}
	}
	for _, own := range secrets {
		for _, release := range secrets {
			for _, w := range wrapped {
				if text, err := unwrap(own, halfFor(d, release), w); err == nil {
					texts = append(texts, text)
				}
			}
		}
	}
	var identities []age.Identity
	for _, text := range texts {
		if id, err := age.ParseHybridIdentity(string(bytes.ToUpper(text))); err == nil {
			identities = append(identities, id)
		}
	}
	var opened []string
	for _, path := range sealedFiles(d) {
		b, err := os.ReadFile(path)
		if err != nil {
			d.Fatal(err)
		}
		if len(identities) == 0 {
			continue
		}
		if _, err := age.Decrypt(bytes.NewReader(b), identities...); err == nil {
			opened = append(opened, filepath.Base(path))
		}
	}
	return opened
}

// halfFor is what the source gate lends of its secret to the room's target gate.
func halfFor(d *roomtest.Dir, release []byte) []byte {
	d.Helper()
	key, err := ssh.ParsePrivateKey(d.Read("room", "target", "gate_key"))
	if err != nil {
		d.Fatal(err)
	}
	half, err := hkdf.Key(sha256.New, release, []byte(roomtest.Migration), "ecluse release v1 "+string(evidence.FingerprintOf(key.PublicKey())), 32)
	if err != nil {
		d.Fatal(err)
	}
	return half
}

func unwrap(own, release, wrapped []byte) ([]byte, error) {
	m := string(roomtest.Migration)
	key, err := hkdf.Key(sha256.New, append(bytes.Clone(own), release...), []byte(m), "ecluse identity v1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return gcm.Open(nil, nil, wrapped, []byte(m))
}

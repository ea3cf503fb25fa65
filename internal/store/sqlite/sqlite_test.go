package sqlite_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"testing"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/internal/journal"
	"ecluse/internal/store/sqlite"
	"ecluse/internal/store/storetest"
)

// wrapped gives the suite its own type of transaction.
type wrapped struct{ *sqlite.Store }

func (w wrapped) Do(ctx context.Context, e journal.Event, fn func(storetest.Tx) error) error {
	if fn == nil {
		return w.Store.Do(ctx, e, nil)
	}
	return w.Store.Do(ctx, e, func(tx *sqlite.Tx) error { return fn(tx) })
}

func (w wrapped) Note(ctx context.Context, fn func(storetest.Tx) error) error {
	return w.Store.Note(ctx, func(tx *sqlite.Tx) error { return fn(tx) })
}

func roots() map[ecluse.Side]ecluse.Fingerprint {
	return map[ecluse.Side]ecluse.Fingerprint{
		ecluse.Controller: "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		ecluse.Processor:  "SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB",
	}
}

func open(t *testing.T, dir string, create bool) *sqlite.Store {
	t.Helper()
	var s *sqlite.Store
	var err error
	if create {
		s, err = sqlite.Create(t.Context(), dir, roots())
	} else {
		s, err = sqlite.Open(t.Context(), dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string, create bool) storetest.Store {
		return wrapped{open(t, dir, create)}
	})
}

func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

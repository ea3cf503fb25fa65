package carry

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/mod/sumdb/tlog"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

const migration ecluse.MigrationID = "quatre-vents-01"

// bench is a folder with a dispatch that a lock signed, and a gate's own file.
type bench struct {
	testing.TB
	lock, gate ssh.Signer
	dir, said  string
	heads      []evidence.Signed // of the journal, by size
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{TB: t, dir: filepath.Join(t.TempDir(), "disk"), said: filepath.Join(t.TempDir(), "said")}
	b.lock, b.gate = b.key(), b.key()
	d := b.dispatch()
	b.write(d, b.lock)
	return b
}

func (b *bench) key() ssh.Signer {
	b.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	b.must(err)
	signer, err := ssh.NewSignerFromSigner(private)
	b.must(err)
	return signer
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// dispatch asks to look and to read, of a migration whose journal has seven entries.
func (b *bench) dispatch() *exchange.Dispatch {
	b.Helper()
	c := exchange.CarriedCase{Migration: migration, Case: &exchange.Case{}, Leaves: [][]byte{}}
	var tree evidence.Tree
	b.heads = nil
	for n := range int64(8) {
		var root tlog.Hash
		if n > 0 {
			leaf := evidence.LeafHash([]byte{byte(n)})
			c.Leaves = append(c.Leaves, leaf[:])
			b.must(tree.Append(leaf))
			var err error
			root, err = tree.Root(n)
			b.must(err)
		}
		s, err := evidence.SignHead(b.lock, &evidence.Head{Tree: string(migration), Size: n, Root: root, At: time.Unix(1e9+n, 0).UTC()})
		b.must(err)
		b.heads = append(b.heads, s)
	}
	c.Head = b.heads[7]
	return &exchange.Dispatch{
		Format: exchange.DispatchFormat, Lock: print(b.lock), Gate: print(b.gate), Number: 1, Made: time.Now().UTC().Truncate(time.Second),
		Work:  []exchange.Work{{ID: "w1", Verb: exchange.Look, Migration: migration}, {ID: "w2", Verb: exchange.Read, Migration: migration}},
		Cases: []exchange.CarriedCase{c},
	}
}

func print(k ssh.Signer) ecluse.Fingerprint { return evidence.FingerprintOf(k.PublicKey()) }

func (b *bench) signed(d *exchange.Dispatch, by ssh.Signer) evidence.Signed {
	b.Helper()
	text, err := evidence.EncodeJSON(d)
	b.must(err)
	s, err := evidence.Sign(by, evidence.NamespaceCarried, text)
	b.must(err)
	return s
}

func (b *bench) write(d *exchange.Dispatch, by ssh.Signer) {
	b.Helper()
	b.must(WriteDispatch(b.Context(), b.dir, b.signed(d, by), d, nil))
}

// open opens the folder at the gate, as after any crash.
func (b *bench) open() *Lock {
	b.Helper()
	l, err := Open(b.dir, print(b.lock), print(b.gate))
	b.must(err)
	b.must(l.GoOn(b.said))
	return l
}

func (b *bench) chunk(sequence int, body string) evidence.Signed {
	b.Helper()
	s, err := evidence.SignDescriptor(b.gate, &evidence.Descriptor{
		Migration: migration, Plan: ecluse.DigestOf(nil), Epoch: 1, Slot: ecluse.Slot{Dataset: "patient", Sequence: sequence}, Rows: 1,
		Size: int64(len(body)), SHA256: ecluse.DigestOf([]byte(body)), Sum: ecluse.DigestOf([]byte("sum")),
	})
	b.must(err)
	return s
}

func (b *bench) put(l *Lock, sequence int, body string) error {
	b.Helper()
	_, err := l.Put(b.Context(), migration, b.chunk(sequence, body), strings.NewReader(body))
	return err
}

func (b *bench) refused(what string, err error, kind ecluse.Kind, words string) {
	b.Helper()
	if ecluse.KindOf(err) != kind || !strings.Contains(fmt.Sprint(err), words) {
		b.Errorf("%s: %v, want %s: %s", what, err, kind, words)
	}
}

var event = exchange.Event{Migration: migration, Type: "epoch", IDs: map[string]string{}, Numbers: map[string]int64{"epoch": 1}}

// latest is the latest return in a folder.
func latest(dir string, lock ecluse.Fingerprint) (*Returned, error) {
	all, unread, err := ReadReturns(dir, lock)
	for _, u := range unread {
		err = errors.Join(err, u.Err)
	}
	if err != nil {
		return nil, err
	}
	return all[len(all)-1], nil
}

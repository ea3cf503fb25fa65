// Package locktest is the suite that whatever fills gate.Lock must pass: the lock
// in this process, and a client of one elsewhere.
package locktest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"testing"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
)

// State is where a case's migration stands.
type State string

// The states. A passage that reads or loads has begun and nothing of it is done.
const (
	Reading          State = "reading"
	ReadingSuspended State = "reading, suspended"
	Loading          State = "loading" // everything is read
	LoadingSuspended State = "loading, suspended"
	Erased           State = "erased"
)

// Case is a lock with one migration in it, and the keys of both its gates.
type Case struct {
	Lock           gate.Lock          // as the source gate sees it
	AtTarget       gate.Lock          // as the target gate does
	Key            ecluse.Fingerprint // that the lock signs heads with
	Migration      ecluse.MigrationID
	Source, Target ssh.Signer
	// EndLeases lets the time of every lease asked for so far run out.
	EndLeases func(*testing.T)
}

// Harness opens a lock of its own for each test.
type Harness func(t *testing.T, at State) *Case

// Run holds a lock against all that gates rely on.
func Run(t *testing.T, open Harness) {
	for _, part := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"papers", papers},
		{"chambers", chambers},
		{"leases", leases},
		{"heads", heads},
		{"states", states},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.run(t, open)
		})
	}
}

// bench is a case being tested.
type bench struct {
	*testing.T
	*Case
	stranger ssh.Signer
	sealer   age.Recipient
	read     *mandate.ReadPlan
}

// test runs one small test on a lock of its own.
func test(t *testing.T, open Harness, at State, name string, run func(*bench)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		b := &bench{T: t, Case: open(t, at)}
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if b.stranger, err = ssh.NewSignerFromSigner(private); err != nil {
			t.Fatal(err)
		}
		identity, err := age.GenerateHybridIdentity()
		if err != nil {
			t.Fatal(err)
		}
		b.sealer = identity.Recipient()
		c, err := b.Lock.Case(t.Context(), b.Migration, ecluse.Final)
		if err != nil {
			t.Fatal(err)
		}
		if b.read, err = mandate.ParseReadPlan(c.ReadPlan); err != nil {
			t.Fatal(err)
		}
		run(b)
	})
}

// want checks an error's kind; none for no error.
func (b *bench) want(what string, err error, kinds ...ecluse.Kind) {
	b.Helper()
	if len(kinds) == 0 {
		if err != nil {
			b.Errorf("%s: %v", what, err)
		}
		return
	}
	for _, k := range kinds {
		if err != nil && ecluse.KindOf(err) == k {
			return
		}
	}
	b.Errorf("%s: want it %v, got %v", what, kinds, err)
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func print(k ssh.Signer) ecluse.Fingerprint { return evidence.FingerprintOf(k.PublicKey()) }

// seal makes the sealed bytes of a chunk.
func (b *bench) seal(content string) []byte {
	b.Helper()
	var out bytes.Buffer
	w, err := age.Encrypt(&out, b.sealer)
	b.must(err)
	_, err = io.WriteString(w, content)
	b.must(err)
	b.must(w.Close())
	return out.Bytes()
}

// describe signs a descriptor of sealed bytes; change may spoil it before.
func (b *bench) describe(by ssh.Signer, plan ecluse.Digest, at ecluse.Slot, body []byte, change func(*evidence.Descriptor)) evidence.Signed {
	b.Helper()
	d := &evidence.Descriptor{
		Migration: b.Migration, Plan: plan, Epoch: 1, Slot: at, Rows: 1,
		Size: int64(len(body)), SHA256: ecluse.DigestOf(body), Sum: ecluse.DigestOf([]byte("sum")),
	}
	if change != nil {
		change(d)
	}
	s, err := evidence.SignDescriptor(by, d)
	b.must(err)
	return s
}

// chunk is a chunk as the source gate makes it.
func (b *bench) chunk(sequence int, content string, change func(*evidence.Descriptor)) (evidence.Signed, []byte) {
	b.Helper()
	body := b.seal(content)
	return b.describe(b.Source, b.read.Digest(), ecluse.Slot{Dataset: "result", Sequence: sequence}, body, change), body
}

func (b *bench) put(s evidence.Signed, body []byte) error {
	b.Helper()
	_, err := b.Lock.Put(b.Context(), b.Migration, s, bytes.NewReader(body))
	return err
}

// statement is something that a gate signs.
func (b *bench) statement(by ssh.Signer, format string, request ecluse.Digest) evidence.Signed {
	b.Helper()
	s, err := evidence.SignStatement(by, &struct {
		evidence.StatementHead
		Request ecluse.Digest `json:"request"`
		Nonce   string        `json:"nonce"`
	}{evidence.StatementHead{Format: format, Migration: b.Migration}, request, rand.Text()})
	b.must(err)
	return s
}

// size is the number of the journal's entries about the migration.
func (b *bench) size() int64 {
	b.Helper()
	return b.head(0).Size
}

func (b *bench) head(from int64) *evidence.Head {
	b.Helper()
	s, _, err := b.Lock.Head(b.Context(), b.Migration, from)
	b.must(err)
	h, err := evidence.VerifyHead(s, b.Key)
	b.must(err)
	return h
}

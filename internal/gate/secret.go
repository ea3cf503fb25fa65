package gate

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"filippo.io/age"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
)

// Names of the secret files in a gate's folder of a migration. The source gate
// keeps K, the release secret and the identity that opens rejects; the target
// gate keeps its own secret and the wrapped identity that opens chunks. K at the
// target gate is in memory only: it is taken from slot 0 each time.
const (
	kFile        = "k"
	releaseFile  = "release"
	rejectsFile  = "rejects-identity"
	secretFile   = "secret"
	identityFile = "identity.wrapped"
)

const secretSize = 32

// orCreate reads a 32-byte secret, or makes it when make is set.
func (h *Home) orCreate(m ecluse.MigrationID, name string, create bool) ([]byte, error) {
	s, err := h.secret(m, name)
	switch {
	case err == nil && len(s) == secretSize:
		return s, nil
	case err == nil:
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "read " + name, Why: fmt.Sprintf("it has %d bytes, want %d", len(s), secretSize)}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, &ecluse.Error{Kind: ecluse.Failed, What: "read " + name, Err: pathless(err)}
	}
	page, err := h.Entry(m)
	if err != nil {
		return nil, err
	}
	if !create || !page.Erased.IsZero() {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "read " + name, Err: exchange.ErrErased}
	}
	s = make([]byte, secretSize)
	rand.Read(s)
	return s, h.keep(m, name, s)
}

// The formats of the two statements that lend a release secret.
const (
	leaseFormat = "lease/v1"
	lentFormat  = "lent/v1"
)

// leaseRequest asks for the release secret: lease/v1.
type leaseRequest struct {
	evidence.StatementHead
	Recipient string    `json:"recipient"` // made for this request, kept in memory
	Asked     time.Time `json:"asked"`
	Until     time.Time `json:"until"`
	Seen      []byte    `json:"seen,omitempty"`   // the journal's last head in the target gate's ledger
	Undoes    bool      `json:"undoes,omitempty"` // it is for taking rows out again
}

// leaseAnswer lends it: lent/v1.
type leaseAnswer struct {
	evidence.StatementHead
	Request ecluse.Digest `json:"request"`
	Sealed  []byte        `json:"sealed"` // age file of the 32 bytes, to the request's recipient
	Until   time.Time     `json:"until"`
	Seen    []byte        `json:"seen,omitempty"` // the journal's last head in the source gate's ledger
}

// lease is a release secret in memory, until it ends.
type lease struct {
	mu     sync.Mutex
	secret []byte
	until  time.Time // by the gates' clocks
	got    time.Time // by this process's own, which nobody sets back
	lasts  time.Duration
}

// lender is the source gate, how long it lends at a time, and where that is kept.
type lender struct {
	gate  ecluse.Fingerprint
	lasts time.Duration
	in    *lease
}

// take returns the secret while the lease lasts, and forgets it after. It lasts no longer
// than whoever takes it may be lent it for, under whatever it was got.
func (l *lease) take(now time.Time, lasts time.Duration) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.secret != nil && (now.After(l.until) || time.Since(l.got) > min(l.lasts, lasts)) {
		clear(l.secret)
		l.secret = nil
	}
	return bytes.Clone(l.secret)
}

func (l *lease) put(secret []byte, until time.Time, lasts time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.secret, l.until, l.got, l.lasts = secret, until, time.Now(), lasts
}

func (l *lease) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.secret)
	l.secret = nil
}

// askRelease gets the release secret for the target gate: from memory while a
// lease lasts, otherwise by asking the source gate through the lock.
func (t *Target) askRelease(ctx context.Context, m ecluse.MigrationID, source lender, clock clock) ([]byte, error) {
	now, err := clock()
	if err != nil {
		return nil, err
	}
	if s := source.in.take(now, source.lasts); s != nil {
		return s, nil
	}
	identity, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, err
	}
	page, err := t.home.Entry(m)
	if err != nil {
		return nil, err
	}
	if err := t.mayBorrow(ctx, m, &page); err != nil {
		return nil, err
	}
	var seen []byte
	if !page.undoing() {
		seen = page.Head
	}
	request, err := evidence.SignStatement(t.home.signer, &leaseRequest{
		StatementHead: evidence.StatementHead{Format: leaseFormat, Migration: m},
		Recipient:     identity.Recipient().String(), Asked: now, Until: now.Add(source.lasts), Seen: seen, Undoes: page.undoing(),
	})
	if err != nil {
		return nil, err
	}
	if err := t.lock.Ask(ctx, m, request); err != nil {
		return nil, err
	}
	answer, err := t.awaitLoan(ctx, m, request.Digest(), source)
	if err != nil {
		return nil, err
	}
	secret, said, err := openLoan(answer, source.gate, m, request.Digest(), identity)
	if err != nil {
		return nil, err
	}
	if !page.undoing() {
		if err := t.home.agrees(ctx, t.lock, m, said.Seen); err != nil {
			clear(secret)
			return nil, err
		}
	}
	source.in.put(bytes.Clone(secret), said.Until, source.lasts)
	return secret, nil
}

// awaitLoan waits for the source gate's answer. Nobody answers when the source
// gate is off or withholds: that suspends the migration, by design. Where the
// instruction grants longer loans than is usual, the answer is carried by hand.
func (t *Target) awaitLoan(ctx context.Context, m ecluse.MigrationID, request ecluse.Digest, source lender) (*evidence.Signed, error) {
	patience := t.patience
	if source.lasts > mandate.UsualLease {
		patience = source.lasts
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, &ecluse.Error{
		Kind: ecluse.Failed, What: "borrow the release secret", Why: fmt.Sprintf("the source gate did not answer for %s", patience),
		Next: "see that the source gate runs, that the clocks of both gates are right, that it is not held at its own console, for then it lends nothing even to undo, and that the migration is not suspended (`ecluse status`)",
	})
	defer cancel()
	for {
		answer, err := t.lock.Lent(ctx, m, request)
		if err != nil && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil || answer != nil {
			return answer, err
		}
		if err := t.lock.Wait(ctx, m, -1); ctx.Err() != nil {
			return nil, context.Cause(ctx)
		} else if err != nil {
			return nil, err
		}
	}
}

func openLoan(s *evidence.Signed, source ecluse.Fingerprint, m ecluse.MigrationID, request ecluse.Digest, id age.Identity) ([]byte, *leaseAnswer, error) {
	var a leaseAnswer
	if err := evidence.ParseStatement(*s, source, lentFormat, &a); err != nil {
		return nil, nil, err
	}
	if a.Migration != m || a.Request != request {
		return nil, nil, &ecluse.Error{Kind: ecluse.Unverified, What: "borrow the release secret", Why: "the answer is to another request"}
	}
	r, err := age.Decrypt(bytes.NewReader(a.Sealed), id)
	if err != nil {
		return nil, nil, &ecluse.Error{Kind: ecluse.Unverified, What: "borrow the release secret", Why: "the answer does not open", Err: err}
	}
	secret, err := io.ReadAll(io.LimitReader(r, secretSize+1))
	if err != nil || len(secret) != secretSize {
		return nil, nil, &ecluse.Error{Kind: ecluse.Unverified, What: "borrow the release secret", Why: "the answer does not hold a secret", Err: err}
	}
	return secret, &a, nil
}

// wrapKey derives the key that wraps a migration's identity from both halves:
// HKDF-SHA-256 over the target gate's secret and the release secret.
func wrapKey(m ecluse.MigrationID, own, release []byte) (cipher.AEAD, error) {
	both := append(bytes.Clone(own), release...)
	defer clear(both)
	key, err := hkdf.Key(sha256.New, both, []byte(m), "ecluse identity v1", 32)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// clock is Home.Now for what a clock set back stops, and Home.Latest for what
// takes data away.
type clock func() (time.Time, error)

// opener gives the migration's identity as often as it is asked for: while a lease
// lasts from the secret in memory, after that by borrowing it again.
func (t *Target) opener(m ecluse.MigrationID, source lender, clock clock) func(context.Context) (age.Identity, error) {
	return func(ctx context.Context) (age.Identity, error) { return t.identity(ctx, m, source, clock) }
}

// identity opens the migration's identity: both halves of the key are needed.
func (t *Target) identity(ctx context.Context, m ecluse.MigrationID, source lender, clock clock) (*age.HybridIdentity, error) {
	wrapped, err := t.home.secret(m, identityFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "open the chamber", Where: string(m), Err: exchange.ErrErased}
	}
	if err != nil {
		return nil, err
	}
	own, err := t.home.orCreate(m, secretFile, false)
	if err != nil {
		return nil, err
	}
	release, err := t.askRelease(ctx, m, source, clock)
	if err != nil {
		return nil, err
	}
	defer clear(release)
	aead, err := wrapKey(m, own, release)
	if err != nil {
		return nil, err
	}
	text, err := aead.Open(nil, nil, wrapped, []byte(m))
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "open the chamber", Where: string(m), Why: "the two halves of the key do not belong together"}
	}
	defer clear(text)
	return age.ParseHybridIdentity(string(text))
}

// newIdentity makes the migration's identity and keeps it, wrapped.
func (t *Target) newIdentity(ctx context.Context, m ecluse.MigrationID, source lender, clock clock) error {
	own, err := t.home.orCreate(m, secretFile, true)
	if err != nil {
		return err
	}
	release, err := t.askRelease(ctx, m, source, clock)
	if err != nil {
		return err
	}
	defer clear(release)
	aead, err := wrapKey(m, own, release)
	if err != nil {
		return err
	}
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return err
	}
	return t.home.keep(m, identityFile, aead.Seal(nil, nil, []byte(id.String()), []byte(m)))
}

// lend answers the target gate's requests for the release secret (source side).
func (s *Source) lend(ctx context.Context, m ecluse.MigrationID, target ecluse.Fingerprint, lasts time.Duration) error {
	asked, err := s.lock.Asked(ctx, m)
	if err != nil {
		return err
	}
	for _, request := range asked {
		// What is undone needs it while the clock is set back too: the target gate
		// refuses to load then. Whether a request is late cannot be told meanwhile; its
		// answer opens only with what the asking process keeps in memory.
		now, err := s.home.Now()
		back := errors.Is(err, exchange.ErrClockBack)
		if err != nil && !back {
			return err
		}
		var q leaseRequest
		if err := evidence.ParseStatement(request, target, leaseFormat, &q); err != nil {
			return err
		}
		if q.Migration != m || !back && now.After(q.Until) || q.Until.Sub(q.Asked) > lasts {
			continue // late or foreign: never answered
		}
		if err := s.mayLend(ctx, m, &q); err != nil {
			return err
		}
		if err := s.home.agrees(ctx, s.lock, m, q.Seen); err != nil {
			return err
		}
		release, err := s.home.orCreate(m, releaseFile, true)
		if err != nil {
			return err
		}
		to, err := age.ParseHybridRecipient(q.Recipient)
		if err != nil {
			return &ecluse.Error{Kind: ecluse.Unverified, What: "lend the release secret", Why: "the request names no hybrid recipient", Err: err}
		}
		half, err := halfFor(release, m, target)
		clear(release)
		if err != nil {
			return err
		}
		answer, err := s.loan(m, request.Digest(), to, half, now.Add(lasts))
		if err != nil {
			return err
		}
		if err := s.lock.Lend(ctx, m, answer); err != nil {
			return err
		}
	}
	return nil
}

// halfFor is what is lent to one target gate. Before an instruction is signed the lock
// alone says which gate asks: another one that it names gets a half that opens nothing
// of the right one's.
func halfFor(release []byte, m ecluse.MigrationID, target ecluse.Fingerprint) ([]byte, error) {
	return hkdf.Key(sha256.New, release, []byte(m), "ecluse release v1 "+string(target), secretSize)
}

func (s *Source) loan(m ecluse.MigrationID, request ecluse.Digest, to age.Recipient, half []byte, until time.Time) (evidence.Signed, error) {
	defer clear(half)
	seen, err := s.home.lastHead(m)
	if err != nil {
		return evidence.Signed{}, err
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, to)
	if err != nil {
		return evidence.Signed{}, err
	}
	if _, err := w.Write(half); err != nil {
		return evidence.Signed{}, err
	}
	if err := w.Close(); err != nil {
		return evidence.Signed{}, err
	}
	return evidence.SignStatement(s.home.signer, &leaseAnswer{
		StatementHead: evidence.StatementHead{Format: lentFormat, Migration: m},
		Request:       request, Sealed: sealed.Bytes(), Until: until, Seen: seen,
	})
}

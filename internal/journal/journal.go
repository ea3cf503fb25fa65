// Package journal is the append-only Merkle log of all that happened: one tree
// for each migration and one for the installation (RFC 6962 hashes, stored as
// golang.org/x/mod/sumdb/tlog lays them out).
//
// A leaf holds ids, numbers and the hash of a salted body. Bodies say who acted;
// they lie beside the tree and are forgotten at retention with their salts,
// leaving a valid tree (CNIL recommendation 2021-122: six months to a year, and
// no personal data of the main processing). Patients appear in neither: an event
// has no field that could hold one.
//
// The journal trusts its store to keep what it is given in one transaction with
// the change that an event speaks of; it does not trust it not to be rewritten.
// That is what heads are for: the lock signs them, both gates keep the last one,
// demand a proof that the next continues it, and cosign.
package journal

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/mod/sumdb/tlog"

	"ecluse"
	"ecluse/evidence"
)

// Hashes reads the stored hashes of trees.
type Hashes interface {
	// Size is the number of leaves of a tree; an unknown tree has none.
	Size(ctx context.Context, tree string) (int64, error)
	// Hashes returns stored hashes by tlog index; one that is missing is an error.
	Hashes(ctx context.Context, tree string, indexes []int64) ([]tlog.Hash, error)
}

// Trees is the journal inside the transaction that an event belongs to.
type Trees interface {
	Hashes
	// Grow adds an entry at the end of its tree.
	Grow(ctx context.Context, e Entry) error
}

// Entry is a leaf as it is stored.
type Entry struct {
	Tree   string
	Index  int64
	At     time.Time
	Leaf   []byte // evidence.Leaf's bytes
	Hashes []tlog.Hash
	First  int64 // index of Hashes[0] in tlog's order
	Salt   []byte
	Body   []byte // nil without one
}

// Append adds an event to its tree, in the caller's transaction.
func Append(ctx context.Context, t Trees, e Event, at time.Time) (*evidence.Leaf, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	n, err := t.Size(ctx, e.Tree)
	if err != nil {
		return nil, err
	}
	leaf := &evidence.Leaf{
		Index: n, At: at.UTC().Truncate(time.Millisecond), Tree: e.Tree, Type: string(e.Type), IDs: e.IDs, Numbers: e.Numbers,
	}
	entry := Entry{Tree: e.Tree, Index: n, At: leaf.At, First: tlog.StoredHashIndex(0, n)}
	if e.Body != nil {
		if entry.Body, err = evidence.EncodeJSON(e.Body); err != nil {
			return nil, err
		}
		var salt [32]byte
		rand.Read(salt[:])
		entry.Salt, leaf.Body = salt[:], evidence.BodyDigest(salt, entry.Body)
	}
	if entry.Leaf, err = leaf.Bytes(); err != nil {
		return nil, err
	}
	entry.Hashes, err = tlog.StoredHashesForRecordHash(n, evidence.LeafHash(entry.Leaf), reader(ctx, t, e.Tree))
	if err != nil {
		return nil, fmt.Errorf("grow tree %s: %w", e.Tree, err)
	}
	return leaf, t.Grow(ctx, entry)
}

func reader(ctx context.Context, h Hashes, tree string) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) { return h.Hashes(ctx, tree, indexes) })
}

// ErrForgotten is the cause when a body is asked for that retention has taken.
var ErrForgotten = errors.New("the body was forgotten")

// Store keeps the journal.
type Store interface {
	Hashes
	Heads
	// Leaves returns the bytes of leaves from index from up to, not including, to.
	Leaves(ctx context.Context, tree string, from, to int64) ([][]byte, error)
	// Body returns a leaf's salt and body; ErrForgotten in the chain when gone.
	Body(ctx context.Context, tree string, index int64) (salt, body []byte, err error)
	// Now is the store's high-water clock.
	Now(ctx context.Context) (now time.Time, behind time.Duration, err error)
}

// Heads keeps heads. They are no events: they would change the tree they speak
// of.
type Heads interface {
	// LastHead returns the newest head kept of a tree, and its cosignatures;
	// a zero Signed when there is none.
	LastHead(ctx context.Context, tree string) (head evidence.Signed, cosigned []evidence.Signed, err error)
	// HeadOf returns the head kept of a tree at a size; a zero Signed when there
	// is none.
	HeadOf(ctx context.Context, tree string, size int64) (evidence.Signed, error)
	// KeepHead keeps a head the lock signed, and KeepCosignature a gate's
	// signature under a head that is kept.
	KeepHead(ctx context.Context, h *evidence.Head, signed evidence.Signed) error
	KeepCosignature(ctx context.Context, h *evidence.Head, gate ecluse.Fingerprint, signature []byte) error
}

// Log answers for the journal: it signs heads with the lock's key and proves.
type Log struct {
	store Store
	key   ssh.Signer
}

// New makes a log whose heads are signed by the lock's key.
func New(s Store, lock ssh.Signer) *Log { return &Log{store: s, key: lock} }

// Head returns the signed head of the tree as it stands. A tree that has not
// grown keeps the head it had, with what gates signed under it.
func (l *Log) Head(ctx context.Context, tree string) (evidence.Signed, error) {
	size, err := l.store.Size(ctx, tree)
	if err != nil {
		return evidence.Signed{}, err
	}
	now, _, err := l.store.Now(ctx)
	if err != nil {
		return evidence.Signed{}, err
	}
	h := &evidence.Head{Tree: tree, Size: size, At: now.UTC().Truncate(time.Second)}
	last, _, err := l.store.LastHead(ctx, tree)
	if err != nil {
		return evidence.Signed{}, err
	}
	if last.Body != nil {
		before, err := evidence.ParseHead(last.Body)
		if err != nil {
			return evidence.Signed{}, err
		}
		if before.Size == size {
			return last, nil
		}
		if h.At.Before(before.At) { // another process was between
			h.At = before.At
		}
	}
	if h.Root, err = l.root(ctx, tree, size); err != nil {
		return evidence.Signed{}, err
	}
	signed, err := evidence.SignHead(l.key, h)
	if err != nil {
		return evidence.Signed{}, err
	}
	if err := l.store.KeepHead(ctx, h, signed); err != nil {
		return evidence.Signed{}, err
	}
	return l.store.HeadOf(ctx, tree, size) // another process may have kept one first
}

func (l *Log) root(ctx context.Context, tree string, size int64) (tlog.Hash, error) {
	if size == 0 {
		return tlog.TreeHash(0, nil)
	}
	return tlog.TreeHash(size, reader(ctx, l.store, tree))
}

// Cosign keeps a gate's signature under a head that the lock signed, after
// checking it. It need not be the newest: the journal grows meanwhile.
func (l *Log) Cosign(ctx context.Context, gate ecluse.Fingerprint, s evidence.Signed) error {
	h, err := evidence.VerifyHead(s, gate)
	if err != nil {
		return err
	}
	kept, err := l.store.HeadOf(ctx, h.Tree, h.Size)
	if err != nil {
		return err
	}
	if !bytes.Equal(kept.Body, s.Body) {
		return &ecluse.Error{
			Kind: ecluse.Unverified, What: "cosign head", Where: h.Tree, Why: "the gate signed a head that the lock did not",
			Next: "ask for the head again",
		}
	}
	return l.store.KeepCosignature(ctx, h, gate, s.Signature)
}

// Consistency proves that the tree of size to continues that of size from.
// There is nothing to prove from an empty tree, or between equal sizes.
func (l *Log) Consistency(ctx context.Context, tree string, from, to int64) (tlog.TreeProof, error) {
	if err := l.within(ctx, tree, from, to); err != nil {
		return nil, err
	}
	if from == 0 || from == to {
		return nil, nil
	}
	return tlog.ProveTree(to, from, reader(ctx, l.store, tree))
}

func (l *Log) within(ctx context.Context, tree string, from, to int64) error {
	size, err := l.store.Size(ctx, tree)
	if err != nil {
		return err
	}
	if from < 0 || from > to || to > size {
		return &ecluse.Error{
			Kind: ecluse.Unverified, What: "prove", Where: tree,
			Why: fmt.Sprintf("from %d to %d is not within a tree of %d leaves", from, to, size),
		}
	}
	return nil
}

// Leaves returns the leaves from index from up to, not including, to, as bytes
// and parsed.
func (l *Log) Leaves(ctx context.Context, tree string, from, to int64) ([][]byte, []*evidence.Leaf, error) {
	raw, err := l.store.Leaves(ctx, tree, from, to)
	if err != nil {
		return nil, nil, err
	}
	leaves := make([]*evidence.Leaf, len(raw))
	for i, b := range raw {
		if leaves[i], err = evidence.ParseLeaf(b); err != nil {
			return nil, nil, err
		}
	}
	return raw, leaves, nil
}

// Body returns the body of a leaf after checking it against the leaf.
func (l *Log) Body(ctx context.Context, leaf *evidence.Leaf) ([]byte, error) {
	salt, body, err := l.store.Body(ctx, leaf.Tree, leaf.Index)
	if err != nil {
		return nil, err
	}
	var s [32]byte
	copy(s[:], salt)
	if len(salt) != len(s) || evidence.BodyDigest(s, body) != leaf.Body {
		return nil, &ecluse.Error{
			Kind: ecluse.Unverified, What: "read journal", Where: fmt.Sprintf("%s, leaf %d", leaf.Tree, leaf.Index),
			Why: "the body is not the one that was journalled",
		}
	}
	return body, nil
}

// batch is how many leaves or hashes Check holds at a time.
const batch = 1000

// Check reads a whole tree again: every leaf parses, stands in its place and is
// not older than the one before; every hash follows from the leaves; every body
// that is left is the one journalled; the newest head kept is the tree's.
func (l *Log) Check(ctx context.Context, tree string) error {
	size, err := l.store.Size(ctx, tree)
	if err != nil {
		return err
	}
	wrong := func(at int64, why string) error {
		return &ecluse.Error{Kind: ecluse.Unverified, What: "check journal", Where: fmt.Sprintf("%s, leaf %d", tree, at), Why: why}
	}
	var whole evidence.Tree
	var last time.Time
	for from := int64(0); from < size; from += batch {
		raw, leaves, err := l.Leaves(ctx, tree, from, min(size, from+batch))
		if err != nil {
			return err
		}
		for i, leaf := range leaves {
			if leaf.Tree != tree || leaf.Index != whole.Size() {
				return wrong(whole.Size(), "another leaf stands there")
			}
			if leaf.At.Before(last) {
				return wrong(leaf.Index, "it is dated before the leaf before it")
			}
			last = leaf.At
			if err := whole.Append(evidence.LeafHash(raw[i])); err != nil {
				return err
			}
			if leaf.Body.IsZero() {
				continue
			}
			if _, err := l.Body(ctx, leaf); err != nil && !errors.Is(err, ErrForgotten) {
				return err
			}
		}
	}
	if whole.Size() != size {
		return wrong(whole.Size(), "leaves are missing")
	}
	return l.checkHashes(ctx, tree, &whole)
}

func (l *Log) checkHashes(ctx context.Context, tree string, whole *evidence.Tree) error {
	wrong := func(why string) error {
		return &ecluse.Error{Kind: ecluse.Unverified, What: "check journal", Where: tree, Why: why}
	}
	count := tlog.StoredHashCount(whole.Size())
	for from := int64(0); from < count; from += batch {
		var indexes []int64
		for at := from; at < min(count, from+batch); at++ {
			indexes = append(indexes, at)
		}
		want, err := whole.ReadHashes(indexes)
		if err != nil {
			return err
		}
		got, err := l.store.Hashes(ctx, tree, indexes)
		if err != nil {
			return err
		}
		for i := range want {
			if got[i] != want[i] {
				return wrong(fmt.Sprintf("stored hash %d does not follow from the leaves", indexes[i]))
			}
		}
	}
	last, _, err := l.store.LastHead(ctx, tree)
	if err != nil || last.Body == nil {
		return err
	}
	h, err := evidence.VerifyHead(last, evidence.FingerprintOf(l.key.PublicKey()))
	if err != nil {
		return err
	}
	if root, err := whole.Root(h.Size); err != nil || root != h.Root {
		return wrong("the newest head is not of this tree")
	}
	return nil
}

package evidence

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"ecluse"
)

// Tree is a Merkle tree (RFC 6962) held in memory, grown leaf by leaf. The zero
// value is empty. It is a tlog.HashReader.
type Tree struct {
	stored []tlog.Hash // in tlog's order
	size   int64
}

// Append adds the hash of the next leaf (LeafHash).
func (t *Tree) Append(leaf tlog.Hash) error {
	hashes, err := tlog.StoredHashesForRecordHash(t.size, leaf, t)
	if err != nil {
		return because(ecluse.Failed, "grow tree", err)
	}
	t.stored = append(t.stored, hashes...)
	t.size++
	return nil
}

// Size is the number of leaves.
func (t *Tree) Size() int64 { return t.size }

// ReadHashes finds stored hashes for package tlog.
func (t *Tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		if at < 0 || at >= int64(len(t.stored)) {
			return nil, fmt.Errorf("hash %d is not in a tree of %d leaves", at, t.size)
		}
		out[i] = t.stored[at]
	}
	return out, nil
}

// Root is the hash over the first size leaves.
func (t *Tree) Root(size int64) (tlog.Hash, error) {
	if size < 0 || size > t.size {
		return tlog.Hash{}, unverified("hash tree", "it has %d leaves, not %d", t.size, size)
	}
	return tlog.TreeHash(size, t)
}

// CheckConsistency verifies that the tree of head newer continues that of head
// older: every leaf known then is still where it was.
func CheckConsistency(p tlog.TreeProof, newer, older *Head) error {
	const what = "check consistency"
	switch {
	case newer.Tree != older.Tree:
		return unverified(what, "tree %s does not continue tree %s", newer.Tree, older.Tree)
	case newer.Size < older.Size:
		return unverified(what, "the journal had %d leaves and now has %d", older.Size, newer.Size)
	case newer.At.Before(older.At):
		return unverified(what, "the newer head is dated before the older")
	case older.Size == 0:
		return nil // everything continues the empty tree
	case newer.Size == older.Size:
		if newer.Root != older.Root {
			return unverified(what, "two trees of %d leaves: the journal has forked", newer.Size)
		}
		return nil
	}
	if err := tlog.CheckTree(p, newer.Size, newer.Root, older.Size, older.Root); err != nil {
		return because(ecluse.Unverified, what, err)
	}
	return nil
}

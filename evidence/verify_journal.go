package evidence

import (
	"fmt"
	"strings"
	"time"

	"ecluse"
)

// checkJournal recomputes the whole tree from the leaves and holds every head
// against it.
func (v *verifier) checkJournal() (string, error) {
	tree, err := v.readLeaves()
	if err != nil {
		return "", err
	}
	var lock ecluse.Fingerprint
	var last *Head
	for _, name := range v.named("journal/heads/", ".txt") {
		h, by, err := v.checkSignatures(name)
		if err != nil {
			return "", because(ecluse.Unverified, name, err)
		}
		if lock == "" {
			lock = by
		}
		if lock != by {
			return "", unverified(name, "signed by %s, other heads by %s", by, lock)
		}
		if err := v.checkHead(name, h, tree); err != nil {
			return "", err
		}
		if last != nil && h.At.Before(last.At) {
			return "", unverified(name, "dated before the head of %d leaves", last.Size)
		}
		last = h
	}
	if last == nil || last.Size != tree.Size() {
		return "", unverified("verify journal", "no head covers all of its %d leaves", tree.Size())
	}
	v.lock, v.last = lock, last
	return fmt.Sprintf("%d leaves, lock %s", tree.Size(), lock), nil
}

// readLeaves reads the leaves in their order and grows the tree.
func (v *verifier) readLeaves() (*Tree, error) {
	const what = "read journal"
	tree := &Tree{}
	v.handed = map[ecluse.Digest]*Leaf{}
	before := time.Time{}
	for line := range strings.Lines(string(v.files[FileLeaves])) {
		text, whole := strings.CutSuffix(line, "\n")
		l, err := ParseLeaf([]byte(text))
		switch {
		case err != nil:
			return nil, because(ecluse.Unverified, what, err)
		case !whole:
			return nil, unverified(what, "its last line is cut")
		case l.Index != tree.Size() || l.Tree != string(v.instruction.id):
			return nil, unverified(what, "leaf %d of tree %s stands at place %d of %s", l.Index, l.Tree, tree.Size(), v.instruction.id)
		case l.At.Before(before):
			return nil, unverified(what, "leaf %d is dated before the one above it", l.Index)
		}
		before = l.At
		if err := tree.Append(LeafHash([]byte(text))); err != nil {
			return nil, err
		}
		v.leaves = append(v.leaves, l)
		if l.Type != LeafAct {
			continue
		}
		d, err := ecluse.ParseDigest(l.IDs["act"])
		if err != nil || v.handed[d] != nil {
			return nil, unverified(what, "leaf %d does not name an act, or names one again", l.Index)
		}
		v.handed[d] = l
	}
	return tree, nil
}

// checkSignatures checks the lock's signature and both gates' under a head, and
// returns the lock's key.
func (v *verifier) checkSignatures(name string) (*Head, ecluse.Fingerprint, error) {
	s, err := v.signedBy(name, "lock")
	if err != nil {
		return nil, "", err
	}
	lock, err := s.Verify(NamespaceHead)
	if err != nil {
		return nil, "", err
	}
	by := FingerprintOf(lock)
	for _, g := range []Gate{SourceGate, TargetGate} {
		if by == v.gate(g) {
			return nil, "", unverified("verify head", "the lock and the %s gate have the same key", g)
		}
		s, err := v.signedBy(name, string(g))
		if err != nil {
			return nil, "", err
		}
		if err := s.VerifyBy(NamespaceHead, v.gate(g)); err != nil {
			return nil, "", err
		}
	}
	h, err := ParseHead(s.Body)
	return h, by, err
}

func (v *verifier) checkHead(name string, h *Head, tree *Tree) error {
	root, err := tree.Root(h.Size)
	switch {
	case err != nil:
		return because(ecluse.Unverified, name, err)
	case root != h.Root:
		return unverified(name, "the first %d leaves give another root", h.Size)
	case h.Tree != string(v.instruction.id) || name != HeadFile(h.Size):
		return unverified(name, "it is the head of %d leaves of tree %s", h.Size, h.Tree)
	case h.Size > 0 && h.At.Before(v.leaves[h.Size-1].At.Truncate(time.Second)):
		return unverified(name, "dated before its last leaf")
	}
	return nil
}

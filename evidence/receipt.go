package evidence

import (
	"io/fs"
	"strings"

	"ecluse"
)

// Receipt is what a lock gave somebody for an act: the head of its journal once the
// act was in. Whoever has it can tell later whether the journal in a bundle is the one
// that their act went into.
type Receipt struct {
	Act  ecluse.Digest `json:"act"`
	Head Signed        `json:"head"`
}

// Check holds a receipt against a bundle's journal, whose heads both gates signed. A
// lock that took an act in and kept it from the gates, by showing them another
// journal, is found out here.
func (r *Receipt) Check(fsys fs.FS) error {
	const what = "check receipt"
	h, err := ParseHead(r.Head.Body)
	if err != nil {
		return because(ecluse.Unverified, what, err)
	}
	key, err := r.Head.Verify(NamespaceHead)
	if err != nil {
		return because(ecluse.Unverified, what, err)
	}
	heads, err := fs.Glob(fsys, "journal/heads/*.txt")
	if err != nil || len(heads) == 0 {
		return unverified(what, "the bundle has no head of a journal")
	}
	var last Signed
	if last.Body, err = fs.ReadFile(fsys, heads[0]); err == nil {
		last.Signature, err = fs.ReadFile(fsys, sigBy(heads[0], "lock"))
	}
	if err != nil {
		return because(ecluse.Unverified, what, err)
	}
	if err := last.VerifyBy(NamespaceHead, FingerprintOf(key)); err != nil {
		return unverified(what, "another key than that of the bundle's journal signed it: %s", FingerprintOf(key))
	}
	text, err := fs.ReadFile(fsys, FileLeaves)
	if err != nil {
		return because(ecluse.Unverified, what, err)
	}
	tree, in := &Tree{}, false
	for line := range strings.Lines(string(text)) {
		leaf := []byte(strings.TrimSuffix(line, "\n"))
		l, err := ParseLeaf(leaf)
		if err != nil {
			return because(ecluse.Unverified, what, err)
		}
		if l.Tree != h.Tree {
			return unverified(what, "it is of %s, and the bundle of %s", h.Tree, l.Tree)
		}
		if tree.Size() < h.Size && l.Type == LeafAct && l.IDs["act"] == r.Act.String() {
			in = true
		}
		if err := tree.Append(LeafHash(leaf)); err != nil {
			return err
		}
	}
	root, err := tree.Root(min(h.Size, tree.Size()))
	switch {
	case err != nil:
		return because(ecluse.Unverified, what, err)
	case h.Size > tree.Size() || root != h.Root:
		return unverified(what, "the journal in the bundle is not the one that act %s went into: the lock kept two", r.Act)
	case !in:
		return unverified(what, "act %s is not in the journal", r.Act)
	}
	return nil
}

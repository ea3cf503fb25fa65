package evidence

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"ecluse"
)

// Receipt is what a lock gave somebody for an act: the head of its journal once the
// act was in. Whoever has it can tell later whether the journal in a bundle is the one
// that their act went into.
type Receipt struct {
	Act  ecluse.Digest `json:"act"`
	Head Signed        `json:"head"`
}

// By is the key of the lock that signed the receipt's head.
func (r *Receipt) By() (ecluse.Fingerprint, error) {
	key, err := r.Head.Verify(NamespaceHead)
	if err != nil {
		return "", because(ecluse.Unverified, "check receipt", err)
	}
	return FingerprintOf(key), nil
}

// Journal is whose journal a bundle has, by its first head: the tree, and the key of
// the lock that signed it.
func Journal(bundle fs.FS) (tree string, lock ecluse.Fingerprint, err error) {
	const what = "read the bundle's journal"
	heads, err := fs.Glob(bundle, "journal/heads/*.txt")
	if err != nil || len(heads) == 0 {
		return "", "", unverified(what, "the bundle has no head of a journal")
	}
	var s Signed
	if s.Body, err = fs.ReadFile(bundle, heads[0]); err == nil {
		s.Signature, err = fs.ReadFile(bundle, sigBy(heads[0], "lock"))
	}
	if err != nil {
		return "", "", because(ecluse.Unverified, what, err)
	}
	key, err := s.Verify(NamespaceHead)
	if err != nil {
		return "", "", because(ecluse.Unverified, what, err)
	}
	h, err := ParseHead(s.Body)
	if err != nil {
		return "", "", because(ecluse.Unverified, what, err)
	}
	return h.Tree, FingerprintOf(key), nil
}

// Check holds a receipt against a bundle's journal, whose heads both gates signed. A
// lock that took an act in and kept it from the gates, by showing them another
// journal, is found out here.
func (r *Receipt) Check(bundle fs.FS) error {
	const what = "check receipt"
	h, err := ParseHead(r.Head.Body)
	if err != nil {
		return because(ecluse.Unverified, what, err)
	}
	by, err := r.By()
	if err != nil {
		return err
	}
	_, lock, err := Journal(bundle)
	if err != nil {
		return err
	}
	if lock != by {
		return unverified(what, "another key than that of the bundle's journal signed it: %s", by)
	}
	text, err := fs.ReadFile(bundle, FileLeaves)
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

// Kept is a receipt as somebody keeps it, in a file.
type Kept struct {
	File string
	Receipt
	At time.Time // when the act was in; zero: the receipt is damaged
}

// maxReceipt bounds a receipt's file: an act's digest, a head, a signature.
const maxReceipt = 64 << 10

// Receipts reads every receipt (*.json) of a folder, by name. One that is damaged is
// an error: what it said cannot be held against anything.
func Receipts(folder fs.FS) ([]Kept, error) {
	names, err := fs.Glob(folder, "*.json")
	if err != nil {
		return nil, err
	}
	var all []Kept
	for _, name := range names {
		k := Kept{File: name}
		if err := k.read(folder); err != nil {
			return nil, &ecluse.Error{
				Kind: ecluse.Invalid, What: "read receipt", Where: path.Base(name), Why: "it is damaged, or no receipt", Err: err,
				Next: "bring it back from a copy, or move it aside",
			}
		}
		all = append(all, k)
	}
	return all, nil
}

func (k *Kept) read(folder fs.FS) error {
	const what = "read receipt"
	info, err := fs.Stat(folder, k.File)
	if err != nil {
		return because(ecluse.Invalid, what, err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxReceipt {
		return unverified(what, "it is no plain file, or too long")
	}
	text, err := fs.ReadFile(folder, k.File)
	if err != nil {
		return because(ecluse.Invalid, what, err)
	}
	if err := json.Unmarshal(text, &k.Receipt); err != nil {
		return unverified(what, "it is not a receipt in JSON") // the parser's own words could repeat what it read
	}
	h, err := ParseHead(k.Head.Body)
	if err != nil {
		return err
	}
	k.At = h.At
	return nil
}

// CheckReceipts is one more check of a bundle: every act that somebody has a receipt
// for is in its journal. It returns the receipts that the journal does not bear out.
func (r *Report) CheckReceipts(bundle fs.FS, all []Kept) []Kept {
	l := Line{Check: "every act that there is a receipt for is in the journal", OK: true}
	var hidden []Kept
	for _, k := range all {
		err := k.Check(bundle)
		if err == nil {
			continue
		}
		if hidden = append(hidden, k); l.OK {
			l.OK, l.Why = false, err.Error()
		}
	}
	switch {
	case l.OK:
		l.Why = fmt.Sprintf("receipts: %d", len(all))
	case len(hidden) > 1:
		l.Why += fmt.Sprintf("; other acts: %d", len(hidden)-1)
	}
	r.Lines = append(r.Lines, l)
	return hidden
}

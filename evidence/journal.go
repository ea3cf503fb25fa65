package evidence

import (
	"bytes"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/mod/sumdb/tlog"

	"ecluse"
)

// InstallationTree is the journal of the installation itself; every other tree
// is named by its migration.
const InstallationTree = "installation"

// Types of leaf that the bundle's verifier looks for in a migration's tree.
// Others are the journal's business.
const (
	LeafAct      = "act"             // an act was handed in; IDs["act"] is its digest
	LeafLeft     = "passage-left"    // IDs["passage"] could not be taken out of the target before the keys went; IDs["reason"]: ecluse.Kind of why
	LeafInUse    = "passage-in-use"  // IDs["passage"] was not accepted before the keys went, and stays: IDs["act"] said go of it
	LeafBegun    = "passage-begun"   // IDs["passage"] began under the load plan of the digest IDs["load_plan"]
	LeafReleased = "reject-released" // IDs["act"] let others see a row put aside, IDs["statement"]
	LeafStated   = "statement"       // a gate signed and handed in the statement of the digest IDs["statement"]
	LeafChunk    = "chunk"           // a sealed chunk was stored; IDs["descriptor"] is its descriptor's digest
)

// Leaf is one entry of the journal. It carries ids and numbers, never a name or
// a value of a record; its body lies beside the tree with its salt, and can be
// forgotten without harm to the tree.
type Leaf struct {
	Index   int64             `json:"index"` // from 0
	At      time.Time         `json:"at"`    // UTC, whole milliseconds
	Tree    string            `json:"tree"`
	Type    string            `json:"type"`
	IDs     map[string]string `json:"ids"`     // "act": "sha256:…"; printable ASCII without spaces or quotes
	Numbers map[string]int64  `json:"numbers"` // "rows": 131072
	Body    ecluse.Digest     `json:"body"`    // BodyDigest; zero without a body
}

// BodyDigest is SHA-256(salt ‖ body), the salt being 32 random bytes.
func BodyDigest(salt [32]byte, body []byte) ecluse.Digest {
	return ecluse.DigestOf(append(salt[:], body...))
}

var (
	leafTypePattern = regexp.MustCompile(`^[a-z][a-z0-9._-]{0,63}$`)
	leafKeyPattern  = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	leafIDPattern   = regexp.MustCompile(`^[A-Za-z0-9._:/+=@-]{1,200}$`)
)

func (l *Leaf) check() error {
	const what = "check leaf"
	switch {
	case l.Index < 0:
		return invalid(what, "its index is negative")
	case l.At.IsZero() || l.At.Location() != time.UTC || !l.At.Equal(l.At.Truncate(time.Millisecond)):
		return invalid(what, "leaf %d: its time is not in UTC and whole milliseconds", l.Index)
	case !ecluse.MigrationID(l.Tree).Valid():
		return invalid(what, "leaf %d: %q is not a tree", l.Index, l.Tree)
	case !leafTypePattern.MatchString(l.Type):
		return invalid(what, "leaf %d: %q is not a type", l.Index, l.Type)
	case l.IDs == nil || l.Numbers == nil:
		return invalid(what, "leaf %d: ids or numbers are null", l.Index)
	}
	for k, v := range l.IDs {
		if !leafKeyPattern.MatchString(k) || !leafIDPattern.MatchString(v) {
			return invalid(what, "leaf %d: id %q or its value is not of the form allowed", l.Index, k)
		}
	}
	for k := range l.Numbers {
		if !leafKeyPattern.MatchString(k) {
			return invalid(what, "leaf %d: number %q has not a name of the form allowed", l.Index, k)
		}
	}
	return nil
}

// Bytes is the leaf as one line of JSON, without a newline: what is hashed into
// the tree. The time is cut to milliseconds and put in UTC.
func (l *Leaf) Bytes() ([]byte, error) {
	c := *l
	c.At = l.At.UTC().Truncate(time.Millisecond)
	if c.IDs == nil {
		c.IDs = map[string]string{}
	}
	if c.Numbers == nil {
		c.Numbers = map[string]int64{}
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	b, err := EncodeJSON(&c)
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b, []byte("\n")), nil
}

// ParseLeaf reads what Bytes wrote.
func ParseLeaf(b []byte) (*Leaf, error) {
	l := &Leaf{}
	line := append(bytes.Clone(b), '\n')
	if err := decodeChecked(line, l, l.check); err != nil {
		return nil, err
	}
	return l, nil
}

// LeafHash is the hash of a leaf's bytes in the tree: SHA-256(0x00 ‖ bytes), RFC
// 6962 section 2.1.
func LeafHash(leaf []byte) tlog.Hash { return tlog.RecordHash(leaf) }

// Head is the state of a tree: how many leaves it has and the hash over them.
type Head struct {
	Tree string
	Size int64
	Root tlog.Hash
	At   time.Time // UTC, whole seconds
}

const headFormat = "ecluse head/v1"

// Text is the head's one text, which the lock signs and both gates cosign.
//
//	ecluse head/v1
//	tree megabus-2026-01
//	size 17
//	root sha256:…
//	at 2026-11-23T09:00:00Z
func (h *Head) Text() []byte {
	return []byte(headFormat + "\ntree " + h.Tree + "\nsize " + strconv.FormatInt(h.Size, 10) +
		"\nroot sha256:" + hex.EncodeToString(h.Root[:]) + "\nat " + formatTime(h.At) + "\n")
}

// ParseHead reads a head's text, and only the text that Text would write.
func ParseHead(text []byte) (*Head, error) {
	const what = "read head"
	p := lineParser{lines: strings.Split(string(text), "\n")}
	if p.next() != headFormat {
		return nil, invalid(what, "it does not begin with %q", headFormat)
	}
	h := &Head{Tree: p.field("tree")}
	size, err := strconv.ParseInt(p.field("size"), 10, 64)
	if err != nil || size < 0 {
		p.fail("its size is not a number")
	}
	h.Size = size
	h.Root = tlog.Hash(p.digest(p.field("root")))
	h.At = p.time("at")
	switch {
	case p.err != nil:
		return nil, because(ecluse.Invalid, what, p.err)
	case !ecluse.MigrationID(h.Tree).Valid():
		return nil, invalid(what, "%q is not a tree", h.Tree)
	case !bytes.Equal(h.Text(), text):
		return nil, invalid(what, "its text is not the canonical one")
	}
	return h, nil
}

// SignHead signs a head, as the lock that made it or as a gate that checked it.
func SignHead(signer ssh.Signer, h *Head) (Signed, error) {
	return Sign(signer, NamespaceHead, h.Text())
}

// VerifyHead checks that the key signed the head, and reads it.
func VerifyHead(s Signed, by ecluse.Fingerprint) (*Head, error) {
	return parseSigned(s, NamespaceHead, by, ParseHead)
}

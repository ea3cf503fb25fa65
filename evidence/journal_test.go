package evidence

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"ecluse"
)

func testLeaf(index int64) *Leaf {
	return &Leaf{
		Index: index, At: testDay.Add(time.Duration(index) * time.Second), Tree: "tilleuls-2026", Type: LeafChunk,
		IDs:     map[string]string{"descriptor": ecluse.DigestOf([]byte{byte(index)}).String(), "by": "source"},
		Numbers: map[string]int64{"rows": index},
		Body:    BodyDigest([32]byte{1}, []byte("body")),
	}
}

func TestLeafBytes(t *testing.T) {
	l := &Leaf{Index: 7, At: time.Date(2026, 11, 23, 10, 0, 0, 123456789, time.FixedZone("", 3600)), Tree: "installation", Type: "start"}
	got, err := l.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"index":7,"at":"2026-11-23T09:00:00.123Z","tree":"installation","type":"start","ids":{},"numbers":{},"body":""}`
	if string(got) != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	back, err := ParseLeaf(got)
	if err != nil || back.Index != 7 {
		t.Errorf("got %v, %v", back, err)
	}
	for _, bad := range []string{
		want + "\n", " " + want,
		`{"index":7,"index":7,"at":"2026-11-23T09:00:00.123Z","tree":"installation","type":"start","ids":{},"numbers":{},"body":""}`,
		`{"index":7,"at":"2026-11-23T09:00:00.123Z","tree":"installation","type":"start","ids":{"a":"b c"},"numbers":{},"body":""}`,
		`{"index":7,"at":"2026-11-23T09:00:00.123Z","tree":"installation","type":"start","ids":null,"numbers":{},"body":""}`,
		`{"index":7,"at":"2026-11-23T09:00:00.1234Z","tree":"installation","type":"start","ids":{},"numbers":{},"body":""}`,
		`{"index":7,"at":"2026-11-23T09:00:00.123Z","tree":"installation","type":"start","ids":{},"numbers":{}}`,
	} {
		if _, err := ParseLeaf([]byte(bad)); ecluse.KindOf(err) != ecluse.Invalid || err == nil {
			t.Errorf("ParseLeaf(%s): %v", bad, err)
		}
	}
}

func TestHeadText(t *testing.T) {
	h := &Head{Tree: "tilleuls-2026", Size: 12, Root: tlog.Hash{1, 2}, At: testDay}
	got, err := ParseHead(h.Text())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h, got); diff != "" {
		t.Error(diff)
	}
	lock, _ := testKey(t, "ed25519", "")
	s, err := SignHead(lock, h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyHead(s, FingerprintOf(lock.PublicKey())); err != nil {
		t.Error(err)
	}
}

// TestTreeRFC6962 compares with a tree written down from the RFC's definition.
func TestTreeRFC6962(t *testing.T) {
	var mth func(d [][]byte) tlog.Hash
	mth = func(d [][]byte) tlog.Hash {
		switch len(d) {
		case 0:
			return sha256.Sum256(nil)
		case 1:
			return sha256.Sum256(append([]byte{0}, d[0]...))
		}
		k := 1
		for 2*k < len(d) {
			k *= 2
		}
		l, r := mth(d[:k]), mth(d[k:])
		return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
	}
	var leaves [][]byte
	tree := &Tree{}
	for i := range 70 {
		got, err := tree.Root(int64(i))
		if err != nil || got != mth(leaves) {
			t.Fatalf("root of %d leaves: %v, %v", i, got, err)
		}
		leaves = append(leaves, fmt.Append(nil, "leaf ", i))
		if err := tree.Append(LeafHash(leaves[i])); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tree.Root(71); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("root beyond the tree: %v", err)
	}
}

func TestProofs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1, 60).Draw(t, "size")
		old := rapid.Int64Range(0, n).Draw(t, "older size")
		tree := &Tree{}
		for i := range n {
			if err := tree.Append(LeafHash([]byte{byte(i)})); err != nil {
				t.Fatal(err)
			}
		}
		head := func(size int64) *Head {
			root, err := tree.Root(size)
			if err != nil {
				t.Fatal(err)
			}
			return &Head{Tree: "tilleuls-2026", Size: size, Root: root, At: testDay}
		}
		var proof tlog.TreeProof
		if old > 0 {
			var err error
			if proof, err = tlog.ProveTree(n, old, tree); err != nil {
				t.Fatal(err)
			}
		}
		newer, older := head(n), head(old)
		if err := CheckConsistency(proof, newer, older); err != nil {
			t.Fatal(err)
		}
		later := head(old)
		later.At = later.At.Add(time.Second)
		other := head(old)
		other.Tree = "other-2026"
		if CheckConsistency(proof, newer, later) == nil || CheckConsistency(proof, newer, other) == nil {
			t.Fatal("a head before the older one, or of another tree, continues it")
		}
		if old > 0 {
			older.Root[5] ^= 1
			if ecluse.KindOf(CheckConsistency(proof, newer, older)) != ecluse.Unverified {
				t.Fatal("a fork is consistent")
			}
			if CheckConsistency(nil, older, newer) == nil && old < n {
				t.Fatal("a shorter tree is consistent")
			}
		}
	})
}

func FuzzParseLeaf(f *testing.F) {
	b, err := testLeaf(3).Bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseLeaf(b)
		if err != nil {
			return
		}
		if again, err := l.Bytes(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("parsed other bytes than the leaf's own: %v", err)
		}
	})
}

func FuzzParseHead(f *testing.F) {
	f.Add((&Head{Tree: "tilleuls-2026", Size: 12, At: testDay}).Text())
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := ParseHead(b); err == nil && !bytes.Equal(h.Text(), b) {
			t.Error("parsed another text than the head's own")
		}
	})
}

package evidence

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"ecluse"
)

// TestCheckReceipts: an act that the journal does not have, a head that is not of it and
// another lock's key are each found out; what is damaged is said to be.
func TestCheckReceipts(t *testing.T) {
	c := newCast(t)
	bundle := newStory(c).tell(t)
	tree, lock, err := Journal(bundle)
	if err != nil || tree != string(testMigration) || lock != FingerprintOf(c.lock.PublicKey()) {
		t.Fatal(tree, lock, err)
	}
	heads := must(fs.Glob(bundle, "journal/heads/*.txt"))
	last := heads[len(heads)-1]
	head := Signed{Body: bundle[last].Data, Signature: bundle[sigBy(last, "lock")].Data}
	var in ecluse.Digest
	for line := range strings.Lines(string(bundle[FileLeaves].Data)) {
		if l := must(ParseLeaf([]byte(strings.TrimSuffix(line, "\n")))); l.Type == LeafAct {
			in = must(ecluse.ParseDigest(l.IDs["act"]))
		}
	}
	h := must(ParseHead(head.Body))
	forked := *h
	forked.Root[0] ^= 1
	receipts := fstest.MapFS{}
	for name, r := range map[string]Receipt{
		"a-in.json":     {in, head},
		"b-not-in.json": {ecluse.DigestOf([]byte("x")), head},
		"c-forked.json": {in, must(Sign(c.lock, NamespaceHead, forked.Text()))},
		"d-other.json":  {in, must(Sign(c.source, NamespaceHead, h.Text()))},
	} {
		receipts[name] = &fstest.MapFile{Data: must(EncodeJSON(r))}
	}
	receipts["README"] = &fstest.MapFile{Data: []byte("not a receipt")}
	all, err := Receipts(receipts)
	if err != nil || len(all) != 4 {
		t.Fatal(all, err)
	}
	r := Verify(bundle, c.roots())
	hidden := r.CheckReceipts(bundle, all)
	if len(hidden) != 3 || hidden[0].File != "b-not-in.json" || r.OK() || !strings.Contains(r.Text(), "is not in the journal; other acts: 2") {
		t.Errorf("%+v\n%s", hidden, r.Text())
	}
	r = Verify(bundle, c.roots())
	if hidden := r.CheckReceipts(bundle, all[:1]); len(hidden) != 0 || !r.OK() {
		t.Errorf("%+v\n%s", hidden, r.Text())
	}
	for name, text := range map[string]string{"no JSON": "x", "empty": "", "no head": `{"act":"` + in.String() + `"}`, "too long": strings.Repeat(" ", maxReceipt+1)} {
		_, err := Receipts(fstest.MapFS{"r.json": {Data: []byte(text)}})
		if ecluse.KindOf(err) != ecluse.Invalid || !strings.Contains(err.Error(), "r.json") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReceipts(f *testing.F) {
	f.Add([]byte(`{"act":"` + ecluse.DigestOf(nil).String() + `","head":{"body":"eA==","signature":"eA=="}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := Receipts(fstest.MapFS{"r.json": {Data: text}})
		if err == nil && (len(all) != 1 || all[0].At.IsZero()) {
			t.Error("read a receipt without a head")
		}
	})
}

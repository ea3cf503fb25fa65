package evidence

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
)

func TestBuilderNames(t *testing.T) {
	for _, name := range []string{
		"", "/etc/passwd", "../x", "acts/../x", "a b", "é", "a//b", "a/", ".hidden", "acts/.x", "a\nb", `a\b`,
		"patients.csv", "SHA256SUMS", "acts/x.act", "chunks/x.json", "documents/" + ecluse.DigestOf(nil).Hex() + ".pdf",
	} {
		b := NewBuilder()
		if err := b.Add(name, nil); ecluse.KindOf(err) != ecluse.Invalid || err == nil {
			t.Errorf("Add(%q): got %v, want invalid", name, err)
		}
		if _, err := b.Sums(); err == nil {
			t.Errorf("after Add(%q) the sums are given", name)
		}
	}
}

func TestBuilderOrder(t *testing.T) {
	gate, _ := testKey(t, "ed25519", "")
	b := NewBuilder()
	if err := b.Add(FileContract, []byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := b.Add(FileContract, []byte("a")); err != nil {
		t.Errorf("the same file again: %v", err)
	}
	sums := must(b.Sums())
	if err := b.AddSums(SourceGate, must(Sign(gate, NamespaceBundle, append(sums, '\n')))); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("other sums: %v", err)
	}
	if err := b.AddSums(SourceGate, must(Sign(gate, NamespaceAct, sums))); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("other namespace: %v", err)
	}
	if err := b.AddSums(SourceGate, must(Sign(gate, NamespaceBundle, sums))); err != nil {
		t.Error(err)
	}
	none := func(string, []byte) error { return nil }
	if err := b.Write(none); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("one gate has not signed: %v", err)
	}
	if err := b.AddSums(TargetGate, must(Sign(gate, NamespaceBundle, sums))); err != nil {
		t.Error(err)
	}
	var names []string
	if err := b.Write(func(name string, _ []byte) error { names = append(names, name); return nil }); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{FileContract, FileScript, FileSums, FileSums + ".source.sig", FileSums + ".target.sig"}, names); diff != "" {
		t.Error(diff)
	}
	full := errors.New("disk full")
	if err := b.Write(func(string, []byte) error { return full }); !errors.Is(err, full) {
		t.Errorf("full disk: %v", err)
	}
	if err := b.Add(FileMapping, nil); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("after the sums: %v", err)
	}
	if err := NewBuilder().Add(FileScript, []byte("other")); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("two different files: %v", err)
	}
}

func FuzzParseSums(f *testing.F) {
	f.Add(FormatSums(map[string]ecluse.Digest{"a/b.txt": ecluse.DigestOf(nil), "c": ecluse.DigestOf([]byte("c"))}))
	f.Add([]byte("x  y\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		sums, err := ParseSums(text)
		if err == nil && !bytes.Equal(FormatSums(sums), text) {
			t.Error("read other bytes than it writes")
		}
	})
}

func FuzzScalars(f *testing.F) {
	f.Add([]byte("ecluse: contract/v1\nparties: {controller: {root: a}, processor: {root: b}}\nlist: [1]\n"))
	f.Add([]byte("ecluse: contract/v1\na: &x {b: 1}\nc: *x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := readScalars("contract.yaml", text, "contract/v1"); err == nil && s["ecluse"] != "contract/v1" {
			t.Error("another format is read")
		}
	})
}

func FuzzCertificate(f *testing.F) {
	s := newStory(newCast(f))
	var seed *Certificate
	s.certificate = func(c *Certificate) { seed = c }
	s.tell(f)
	fuzzJSON(f, seed, decodeCertificate)
}

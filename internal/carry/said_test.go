package carry

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// TestSaidSurvives: what was said is there after a crash, and half a line is as if it had
// not been said.
func TestSaidSurvives(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	l := b.open()
	b.must(l.Record(t.Context(), event))
	b.must(b.put(l, 0, "sealed"))
	b.must(l.Answer(t.Context(), "w1", exchange.Answer{}))
	whole, err := os.ReadFile(b.said)
	b.must(err)
	last := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	for cut := last; cut <= len(whole); cut++ {
		b.must(os.WriteFile(b.said, whole[:cut], 0o600))
		want := 2
		if cut == len(whole) {
			want = 3
		}
		l := b.open()
		if l.Items() != want || len(l.open()) != 4-want {
			t.Fatalf("cut at %d of %d: %d items, want %d; open %v", cut, len(whole), l.Items(), want, l.open())
		}
		b.must(l.Answer(t.Context(), "w1", exchange.Answer{}))
		if again, err := os.ReadFile(b.said); err != nil || !bytes.Equal(again, whole) {
			t.Fatalf("cut at %d: it goes on with %q, want %q: %v", cut, again, whole, err)
		}
	}
	// A line that is none is not passed over.
	for _, bad := range []string{"{}\n", "x\n", "\n", "{\"kind\":\"put\"}\n", strings.Replace(string(whole), "w1", "w1\",\"more\":\"", 1)} {
		b.must(os.WriteFile(b.said, []byte(bad), 0o600))
		l, err := Open(b.dir, print(b.lock), print(b.gate))
		b.must(err)
		b.refused(bad, l.GoOn(b.said), ecluse.Unverified, "it is damaged")
	}
}

// TestSeal: what is signed after more was said begins with what was signed before.
func TestSeal(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	l := b.open()
	sign := func(namespace string, body []byte) (evidence.Signed, error) {
		return evidence.Sign(b.gate, namespace, body)
	}
	seal := func() *Returned {
		b.must(l.Seal(sign, time.Now()))
		r, err := latest(b.dir, print(b.lock))
		b.must(err)
		return r
	}
	if r := seal(); len(r.Items) != 0 || r.Number != 1 || r.Gate != print(b.gate) {
		t.Errorf("of nothing: %+v", r.Return)
	}
	b.must(l.Record(t.Context(), event))
	first := seal()
	b.must(l.Answer(t.Context(), "w1", exchange.Answer{}))
	b.must(l.Answer(t.Context(), "w1", exchange.Answer{})) // answered already
	b.must(l.Answer(t.Context(), "none", exchange.Answer{}))
	l = b.open()
	second := seal()
	if len(first.Items) != 1 || len(second.Items) != 2 {
		t.Fatalf("%d and %d items", len(first.Items), len(second.Items))
	}
	one, err := evidence.EncodeJSON(first.Items[0])
	b.must(err)
	same, err := evidence.EncodeJSON(second.Items[0])
	b.must(err)
	if !bytes.Equal(one, same) {
		t.Errorf("it begins with %s, not with %s", same, one)
	}
	if err := l.Seal(func(string, []byte) (evidence.Signed, error) { return evidence.Signed{}, os.ErrPermission }, time.Now()); !errors.Is(err, os.ErrPermission) {
		t.Errorf("%v", err)
	}
}

// FuzzItems: what is read is what was written, line by line.
func FuzzItems(f *testing.F) {
	b := newBench(f)
	l := b.open()
	b.must(l.Record(f.Context(), event))
	b.must(b.put(l, 0, "sealed"))
	b.must(l.Answer(f.Context(), "w1", exchange.Answer{}))
	text, err := os.ReadFile(b.said)
	b.must(err)
	f.Add(text)
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"kind":"put"}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		items, err := parseItems(text)
		if err != nil {
			return
		}
		var again []byte
		for _, it := range items {
			if it.Kind == exchange.ItemPut && it.Signed == nil || it.Kind == exchange.ItemRecord && it.Event == nil || it.Kind == exchange.ItemAnswer && it.Answer == nil {
				t.Fatalf("an item without its part: %+v", it)
			}
			line, err := evidence.EncodeJSON(it)
			if err != nil {
				t.Fatal(err)
			}
			again = append(again, line...)
		}
		if !bytes.Equal(text, again) {
			t.Errorf("read %q, which is written %q", text, again)
		}
	})
}

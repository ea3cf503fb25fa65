package exchange_test

import (
	"bytes"
	"crypto/ed25519"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// carrier is a key, the same each time: what is fuzzed is what it signs.
func carrier(t testing.TB) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func signedBy(t testing.TB, key ssh.Signer, body []byte) evidence.Signed {
	t.Helper()
	s, err := evidence.Sign(key, evidence.NamespaceCarried, body)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	text, err := evidence.EncodeJSON(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// FuzzParseDispatch: what is read is for this lock and gate, and written again the same.
func FuzzParseDispatch(f *testing.F) {
	key := carrier(f)
	me := evidence.FingerprintOf(key.PublicKey())
	f.Add(encoded(f, exchange.Dispatch{
		Format: exchange.DispatchFormat, Lock: me, Gate: me, Number: 1, Made: time.Unix(1e9, 0).UTC(), Work: []exchange.Work{{ID: "w", Verb: exchange.Read, Migration: "megabus-01"}},
		Cases: []exchange.CarriedCase{{Migration: "megabus-01", Leaves: [][]byte{{1}}}},
	}))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := exchange.ParseDispatch(signedBy(t, key, body), me, me)
		if err != nil {
			return
		}
		if d.Format != exchange.DispatchFormat || d.Lock != me || d.Gate != me || d.Number < 1 || !bytes.Equal(encoded(t, d), body) {
			t.Errorf("read %+v of %q", d, body)
		}
		if _, err := exchange.ParseDispatch(signedBy(t, key, body), "SHA256:other", me); err == nil {
			t.Error("read as another lock's")
		}
	})
}

// FuzzParseReturn: what is read is the gate's own for this lock, each item whole, and written
// again the same.
func FuzzParseReturn(f *testing.F) {
	key := carrier(f)
	me := evidence.FingerprintOf(key.PublicKey())
	s := signedBy(f, key, []byte("x"))
	items := []exchange.Item{
		{Kind: exchange.ItemPost, Migration: "megabus-01", Paper: exchange.ExtractReport, Signed: &s},
		{Kind: exchange.ItemRecord, Migration: "megabus-01", Event: &exchange.Event{Migration: "megabus-01", Type: "epoch", IDs: map[string]string{"a": "b"}, Numbers: map[string]int64{"n": 1}}},
		{Kind: exchange.ItemPut, Migration: "megabus-01", Signed: &s},
		{Kind: exchange.ItemClose, Migration: "megabus-01", Signed: &s},
		{Kind: exchange.ItemLend, Migration: "megabus-01", Signed: &s},
		{Kind: exchange.ItemCosign, Migration: "megabus-01", Signed: &s},
		{Kind: exchange.ItemAnswer, Work: "w", Answer: &exchange.Answer{}},
	}
	whole := exchange.Return{Format: exchange.ReturnFormat, Lock: "SHA256:lock", Gate: me, Number: 1, Made: time.Unix(1e9, 0).UTC(), Items: items}
	if _, err := exchange.ParseReturn(signedBy(f, key, encoded(f, whole)), "SHA256:lock"); err != nil {
		f.Fatal(err)
	}
	for i := range items { // of one item, and of one that has a part of another
		one := whole
		one.Items = []exchange.Item{items[i]}
		f.Add(encoded(f, one))
		for j := range items {
			mixed := items[i]
			if mixed.Signed == nil {
				mixed.Signed = items[j].Signed
			}
			if mixed.Event == nil {
				mixed.Event = items[j].Event
			}
			if mixed.Answer == nil {
				mixed.Answer = items[j].Answer
			}
			one.Items = []exchange.Item{mixed}
			text := encoded(f, one)
			f.Add(text)
			same := bytes.Equal(encoded(f, mixed), encoded(f, items[i]))
			if _, err := exchange.ParseReturn(signedBy(f, key, text), "SHA256:lock"); (err == nil) != same {
				f.Errorf("%s with a part of %s: %v", items[i].Kind, items[j].Kind, err)
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := exchange.ParseReturn(signedBy(t, key, body), "SHA256:lock")
		if err != nil {
			if ecluse.KindOf(err) == ecluse.Failed {
				t.Errorf("not refused by its words: %v", err)
			}
			return
		}
		if r.Gate != me || r.Number < 1 || !bytes.Equal(encoded(t, r), body) {
			t.Errorf("read %+v of %q", r, body)
		}
		for _, it := range r.Items {
			if it.Namespace() != "" && it.Signed == nil || it.Kind == exchange.ItemRecord && it.Event == nil || it.Kind == exchange.ItemAnswer && it.Answer == nil {
				t.Errorf("an item without its part: %+v", it)
			}
		}
	})
}

package carry

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/mod/sumdb/tlog"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
)

var _ gate.Lock = (*Lock)(nil)

const migration ecluse.MigrationID = "quatre-vents-01"

// bench is a folder with a dispatch that a lock signed, and a gate's own file.
type bench struct {
	testing.TB
	lock, gate ssh.Signer
	dir, said  string
	heads      []evidence.Signed // of the journal, by size
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{TB: t, dir: filepath.Join(t.TempDir(), "disk"), said: filepath.Join(t.TempDir(), "said")}
	b.lock, b.gate = b.key(), b.key()
	d := b.dispatch()
	b.write(d, b.lock)
	return b
}

func (b *bench) key() ssh.Signer {
	b.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	b.must(err)
	signer, err := ssh.NewSignerFromSigner(private)
	b.must(err)
	return signer
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// dispatch asks to look and to read, of a migration whose journal has seven entries.
func (b *bench) dispatch() *exchange.Dispatch {
	b.Helper()
	c := exchange.CarriedCase{Migration: migration, Case: &exchange.Case{}, Leaves: [][]byte{}}
	var tree evidence.Tree
	b.heads = nil
	for n := range int64(8) {
		var root tlog.Hash
		if n > 0 {
			leaf := evidence.LeafHash([]byte{byte(n)})
			c.Leaves = append(c.Leaves, leaf[:])
			b.must(tree.Append(leaf))
			var err error
			root, err = tree.Root(n)
			b.must(err)
		}
		s, err := evidence.SignHead(b.lock, &evidence.Head{Tree: string(migration), Size: n, Root: root, At: time.Unix(1e9+n, 0).UTC()})
		b.must(err)
		b.heads = append(b.heads, s)
	}
	c.Head = b.heads[7]
	return &exchange.Dispatch{
		Format: exchange.DispatchFormat, Lock: print(b.lock), Gate: print(b.gate), Number: 1, Made: time.Now().UTC().Truncate(time.Second),
		Work:  []exchange.Work{{ID: "w1", Verb: exchange.Look, Migration: migration}, {ID: "w2", Verb: exchange.Read, Migration: migration}},
		Cases: []exchange.CarriedCase{c},
	}
}

func print(k ssh.Signer) ecluse.Fingerprint { return evidence.FingerprintOf(k.PublicKey()) }

func (b *bench) signed(d *exchange.Dispatch, by ssh.Signer) evidence.Signed {
	b.Helper()
	text, err := evidence.EncodeJSON(d)
	b.must(err)
	s, err := evidence.Sign(by, evidence.NamespaceCarried, text)
	b.must(err)
	return s
}

func (b *bench) write(d *exchange.Dispatch, by ssh.Signer) {
	b.Helper()
	b.must(WriteDispatch(b.Context(), b.dir, b.signed(d, by), d, nil))
}

// open opens the folder at the gate, as after any crash.
func (b *bench) open() *Lock {
	b.Helper()
	l, err := Open(b.dir, print(b.lock), print(b.gate))
	b.must(err)
	b.must(l.GoOn(b.said))
	return l
}

func (b *bench) chunk(sequence int, body string) evidence.Signed {
	b.Helper()
	s, err := evidence.SignDescriptor(b.gate, &evidence.Descriptor{
		Migration: migration, Plan: ecluse.DigestOf(nil), Epoch: 1, Slot: ecluse.Slot{Dataset: "patient", Sequence: sequence}, Rows: 1,
		Size: int64(len(body)), SHA256: ecluse.DigestOf([]byte(body)), Sum: ecluse.DigestOf([]byte("sum")),
	})
	b.must(err)
	return s
}

func (b *bench) put(l *Lock, sequence int, body string) error {
	b.Helper()
	_, err := l.Put(b.Context(), migration, b.chunk(sequence, body), strings.NewReader(body))
	return err
}

func (b *bench) refused(what string, err error, kind ecluse.Kind, words string) {
	b.Helper()
	if ecluse.KindOf(err) != kind || !strings.Contains(fmt.Sprint(err), words) {
		b.Errorf("%s: %v, want %s: %s", what, err, kind, words)
	}
}

var event = exchange.Event{Migration: migration, Type: "epoch", IDs: map[string]string{}, Numbers: map[string]int64{"epoch": 1}}

// TestOpenRefuses: a gate acts on what its lock signed for it, and on nothing else.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(b *bench)
		kind  ecluse.Kind
		words string
	}{
		"nothing":   {func(b *bench) { b.must(os.RemoveAll(filepath.Join(b.dir, "out-000001"))) }, ecluse.Invalid, "nothing was carried out into this folder"},
		"no folder": {func(b *bench) { b.must(os.RemoveAll(b.dir)) }, ecluse.Failed, "read what was carried out"},
		"a byte altered": {func(b *bench) {
			path := filepath.Join(b.dir, "out-000001", "dispatch.json")
			text, err := os.ReadFile(path)
			b.must(err)
			text[len(text)/2] ^= 1
			b.must(os.WriteFile(path, text, 0o600))
		}, ecluse.Unverified, "signature"},
		"no signature":   {func(b *bench) { b.must(os.Remove(filepath.Join(b.dir, "out-000001", "dispatch.json.sig"))) }, ecluse.Failed, "read what was carried out"},
		"another lock's": {func(b *bench) { b.write(b.dispatch(), b.key()) }, ecluse.Unverified, "signed"},
		"of another lock": {func(b *bench) {
			d := b.dispatch()
			d.Lock = d.Gate
			b.write(d, b.lock)
		}, ecluse.Unverified, "of another lock"},
		"for another gate": {func(b *bench) {
			d := b.dispatch()
			d.Gate = print(b.key())
			b.write(d, b.lock)
		}, ecluse.Unverified, "for another gate"},
		"under another number": {func(b *bench) {
			b.must(os.Rename(filepath.Join(b.dir, "out-000001"), filepath.Join(b.dir, "out-000009")))
		}, ecluse.Unverified, "has another number"},
		"a gate's return": {func(b *bench) {
			d := b.dispatch()
			d.Format = exchange.ReturnFormat
			b.write(d, b.lock)
		}, ecluse.Unverified, "its format is not dispatch/v1"},
	} {
		b := newBench(t)
		c.spoil(b)
		_, err := Open(b.dir, print(b.lock), print(b.gate))
		b.refused(name, err, c.kind, c.words)
	}
}

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

// TestPutOnce: a chunk whose file is there and which was not said, is put again; the same
// twice is once; another in its slot is refused.
func TestPutOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	l := b.open()
	b.must(b.put(l, 0, "sealed"))
	b.must(os.Truncate(b.said, 0)) // killed after the file, before the item
	l = b.open()
	if s, err := l.Slots(t.Context(), migration); err != nil || len(s) != 0 {
		t.Errorf("%v, %v", s, err)
	}
	b.must(b.put(l, 0, "sealed"))
	b.must(b.put(l, 0, "sealed"))
	l = b.open()
	b.must(b.put(l, 0, "sealed"))
	if l.Items() != 1 {
		t.Errorf("%d items", l.Items())
	}
	b.refused("another chunk in its slot", b.put(l, 0, "other"), ecluse.Refused, "the slot holds another chunk")
	_, err := l.Put(t.Context(), migration, b.chunk(1, "sealed"), strings.NewReader("seale"))
	b.refused("a body cut short", err, ecluse.Unverified, "not what its descriptor says")
	_, err = l.Put(t.Context(), migration, b.chunk(1, "sealed"), strings.NewReader("sealed and more"))
	b.refused("a longer body", err, ecluse.Unverified, "not what its descriptor says")
	if l.Items() != 1 {
		t.Errorf("%d items", l.Items())
	}
	files, err := os.ReadDir(filepath.Join(b.dir, "in-000001", "chunks"))
	if err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
	// A folder without it is not the one.
	b.must(os.Remove(filepath.Join(b.dir, "in-000001", "chunks", files[0].Name())))
	l, err = Open(b.dir, print(b.lock), print(b.gate))
	b.must(err)
	b.refused("a copy of before", l.GoOn(b.said), ecluse.Refused, "a chunk that this gate sealed is not in it")
}

// TestCase: what a source gate asks about a migration is there whatever the kind of passage:
// rows that a dry one put aside are shown, too.
func TestCase(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	l := b.open()
	recipient := b.chunk(0, "stands for one")
	b.must(l.Post(t.Context(), migration, exchange.RecipientPaper, recipient))
	b.must(l.Post(t.Context(), migration, exchange.RecipientPaper, recipient)) // once
	for _, kind := range []ecluse.PassageKind{ecluse.Dry, ecluse.Final} {
		if c, err := l.Case(t.Context(), migration, kind); err != nil || len(c.Recipients) != 1 {
			t.Errorf("%s: %+v, %v", kind, c, err)
		}
	}
	_, err := l.Case(t.Context(), "other", ecluse.Final)
	b.refused("another migration", err, ecluse.Invalid, "nothing of it was carried out")
}

// TestHead: the journal's head comes with the proof that it continues whichever earlier one
// the gate saw.
func TestHead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	l := b.open()
	for from := range int64(8) {
		signed, raw, err := l.Head(t.Context(), migration, from)
		b.must(err)
		newer, err := evidence.VerifyHead(signed, print(b.lock))
		b.must(err)
		older, err := evidence.ParseHead(b.heads[from].Body)
		b.must(err)
		proof := make(tlog.TreeProof, len(raw))
		for i, p := range raw {
			proof[i] = p
		}
		if err := evidence.CheckConsistency(proof, newer, older); err != nil {
			t.Errorf("from %d: %v", from, err)
		}
	}
	_, _, err := l.Head(t.Context(), migration, 8)
	b.refused("more than was carried out", err, ecluse.Refused, "saw more of it already")
	_, _, err = l.Head(t.Context(), "other", 0)
	b.refused("another migration", err, ecluse.Invalid, "nothing of it was carried out")

	d := b.dispatch()
	d.Cases[0].Leaves = d.Cases[0].Leaves[:5]
	b.write(d, b.lock)
	_, _, err = b.open().Head(t.Context(), migration, 3)
	b.refused("leaves left out", err, ecluse.Unverified, "not all of it was carried out")
	d = b.dispatch()
	d.Cases[0].Leaves[2] = d.Cases[0].Leaves[2][:31]
	b.write(d, b.lock)
	_, _, err = b.open().Head(t.Context(), migration, 3)
	b.refused("a leaf cut short", err, ecluse.Unverified, "damaged")
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
		r, err := ReadReturn(b.dir, print(b.lock))
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

// TestWanted: what is answered is no longer wanted, and whoever waits hears of it.
func TestWanted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	l := b.open()
	all, err := l.Wanted(t.Context(), nil)
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	got := make(chan []exchange.Work)
	go func() {
		more, _ := l.Wanted(t.Context(), []string{"w1", "w2"})
		got <- more
	}()
	b.must(l.Answer(t.Context(), "w2", exchange.Answer{}))
	if more := <-got; len(more) != 1 || more[0].ID != "w1" {
		t.Errorf("%v", more)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Wanted(ctx, []string{"w1"}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	b.must(l.Answer(t.Context(), "w1", exchange.Answer{}))
	if more, err := l.Wanted(t.Context(), nil); err != nil || len(more) != 0 {
		t.Errorf("%v, %v", more, err)
	}
}

// TestForgotten: a new dispatch takes the one before away, and leaves the return of which a
// part may still be to come in.
func TestForgotten(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, name := range []string{"in-000001", "in-000002", "in-000003", "in-x", "notes"} {
		b.must(os.MkdirAll(filepath.Join(b.dir, name), 0o700))
	}
	d := b.dispatch()
	d.Number, d.Came = 3, exchange.Came{Number: 2, Items: 1}
	b.write(d, b.lock)
	entries, err := os.ReadDir(b.dir)
	b.must(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"in-000002", "in-000003", "in-x", "notes", "out-000003"}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
}

// liar is a server that says what it pleases of how far it took a return in.
type liar struct {
	Lines
	says []exchange.Taken
}

func (l *liar) CarryIn(context.Context, evidence.Signed) (*exchange.Taken, error) {
	v := l.says[0]
	l.says = l.says[1:]
	return &v, nil
}

// TestServerLies: a person's device sends chunks that there are, and believes no number
// that cannot be.
func TestServerLies(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	l := b.open()
	b.must(l.Record(t.Context(), event))
	b.must(b.put(l, 0, "sealed"))
	b.must(l.Seal(func(namespace string, body []byte) (evidence.Signed, error) {
		return evidence.Sign(b.gate, namespace, body)
	}, time.Now()))
	for _, says := range []exchange.Taken{{Done: 0, Of: 2}, {Done: -1, Of: 2}, {Done: 1, Of: 3}, {Done: 3, Of: 2}, {Done: 7, Of: 9}} {
		_, err := CarryIn(t.Context(), &liar{says: []exchange.Taken{says}}, print(b.lock), b.dir, func(exchange.Taken) {})
		b.refused(fmt.Sprint(says), err, ecluse.Unverified, "the server")
	}
	if _, err := ReadReturn(b.dir, print(b.lock)); err != nil {
		t.Errorf("the folder is not as it was: %v", err)
	}
	if _, err := CarryIn(t.Context(), &liar{says: []exchange.Taken{{Done: 2, Of: 2}}}, print(b.lock), b.dir, func(exchange.Taken) {}); err != nil {
		t.Error(err)
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

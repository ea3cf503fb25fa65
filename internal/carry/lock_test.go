package carry

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
)

var _ gate.Lock = (*Lock)(nil)

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
			b.must(os.RemoveAll(filepath.Join(b.dir, "out-000001")))
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

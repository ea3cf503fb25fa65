package locktest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
)

func chambers(t *testing.T, open Harness) {
	test(t, open, Reading, "put and got", func(b *bench) {
		s, body := b.chunk(0, "one", nil)
		stored, err := b.Lock.Put(b.Context(), b.Migration, s, bytes.NewReader(body))
		b.must(err)
		if stored.Digest() != s.Digest() {
			b.Error("another descriptor is stored")
		}
		b.holds(s)
		got, r, err := b.AtTarget.Get(b.Context(), b.Migration, ecluse.Slot{Dataset: "result"})
		b.must(err)
		defer r.Close()
		if text, err := io.ReadAll(r); err != nil || !bytes.Equal(text, body) || got.Digest() != s.Digest() {
			b.Errorf("%d bytes of %d came back, %v", len(text), len(body), err)
		}
	})
	test(t, open, Reading, "getting what is not there", func(b *bench) {
		_, _, err := b.AtTarget.Get(b.Context(), b.Migration, ecluse.Slot{Dataset: "result", Sequence: 7})
		b.want("an empty slot", err, ecluse.Failed, ecluse.Invalid)
	})
	test(t, open, Reading, "a slot is written once", func(b *bench) {
		s, body := b.chunk(0, "one", nil)
		b.must(b.put(s, body))
		before := b.size()
		b.want("the same again", b.put(s, body))
		if b.size() != before {
			b.Error("it was journalled again")
		}
		other, body := b.chunk(0, "another", nil)
		stored, err := b.Lock.Put(b.Context(), b.Migration, other, bytes.NewReader(body))
		b.want("another", err, ecluse.Refused)
		if stored.Digest() != s.Digest() {
			b.Error("it does not say what is stored")
		}
		b.holds(s)
	})
	test(t, open, Reading, "what does not come in", func(b *bench) {
		plan, at := b.read.Digest(), ecluse.Slot{Dataset: "result"}
		body := b.seal("one")
		signed := func(change func(*evidence.Descriptor)) evidence.Signed {
			return b.describe(b.Source, plan, at, body, change)
		}
		for name, c := range map[string]struct {
			s    evidence.Signed
			body []byte
			kind ecluse.Kind
		}{
			"by the target gate":    {b.describe(b.Target, plan, at, body, nil), body, ecluse.Unverified},
			"by a stranger":         {b.describe(b.stranger, plan, at, body, nil), body, ecluse.Unverified},
			"of another plan":       {b.describe(b.Source, ecluse.DigestOf(nil), at, body, nil), body, ecluse.Refused},
			"of another migration":  {signed(func(d *evidence.Descriptor) { d.Migration = "another-one" }), body, ecluse.Refused},
			"with another digest":   {signed(func(d *evidence.Descriptor) { d.SHA256[0] ^= 1 }), body, ecluse.Unverified},
			"cut":                   {signed(nil), body[:len(body)-1], ecluse.Unverified},
			"longer":                {signed(nil), append(bytes.Clone(body), 0), ecluse.Unverified},
			"not sealed":            {b.describe(b.Source, plan, at, []byte("in clear, to be read by all"), nil), []byte("in clear, to be read by all"), ecluse.Refused},
			"before its turn":       {signed(func(d *evidence.Descriptor) { d.Slot.Sequence = 1 }), body, ecluse.Refused},
			"a version of nothing":  {signed(func(d *evidence.Descriptor) { d.Slot.Version = 1 }), body, ecluse.Refused},
			"with rows beyond all":  {signed(func(d *evidence.Descriptor) { d.Rows = b.read.Limits.Rows + 1 }), body, ecluse.Refused},
			"with bytes beyond all": {signed(func(d *evidence.Descriptor) { d.Size = b.read.Limits.Bytes + 1 }), body, ecluse.Refused},
		} {
			b.want(name, b.put(c.s, c.body), c.kind)
		}
		b.holds()
	})
	test(t, open, Reading, "a body that breaks off", func(b *bench) {
		s, body := b.chunk(0, "one", nil)
		broken := errors.New("the line is dead")
		_, err := b.Lock.Put(b.Context(), b.Migration, s, io.MultiReader(bytes.NewReader(body[:len(body)/2]), failing{broken}))
		if err == nil {
			b.Error("half a chunk was stored")
		}
		b.holds()
		b.want("the whole of it after", b.put(s, body))
	})
	test(t, open, Reading, "the manifest", closing)
	test(t, open, Reading, "waiting", waits)
	test(t, open, Loading, "rows put aside", rejects)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// holds compares what is in the chamber.
func (b *bench) holds(want ...evidence.Signed) {
	b.Helper()
	got, err := b.Lock.Slots(b.Context(), b.Migration)
	b.must(err)
	if len(got) != len(want) {
		b.Errorf("%d chunks are in, want %d", len(got), len(want))
		return
	}
	for i := range want {
		if got[i].Digest() != want[i].Digest() {
			b.Errorf("chunk %d is another", i)
		}
	}
}

func closing(b *bench) {
	s, body := b.chunk(0, "one", func(d *evidence.Descriptor) { d.Last = true })
	b.must(b.put(s, body))
	manifest := func(digest ecluse.Digest) evidence.Signed {
		m, err := evidence.SignManifest(b.Source, &evidence.Manifest{
			Migration: b.Migration, Plan: b.read.Digest(), Epochs: 1,
			Datasets: []evidence.ManifestDataset{{Dataset: "result", Rows: 1, Chunks: []evidence.ManifestChunk{{Slot: ecluse.Slot{Dataset: "result"}, SHA256: digest, Rows: 1}}}},
		})
		b.must(err)
		return m
	}
	whole := manifest(ecluse.DigestOf(body))
	if m, err := b.Lock.Manifest(b.Context(), b.Migration); err != nil || m != nil {
		b.Errorf("a manifest before it is closed: %v", err)
	}
	b.want("of other chunks", b.Lock.Close(b.Context(), b.Migration, manifest(ecluse.DigestOf(nil))), ecluse.Unverified)
	b.must(b.Lock.Close(b.Context(), b.Migration, whole))
	if m, err := b.Lock.Manifest(b.Context(), b.Migration); err != nil || m == nil || m.Digest() != whole.Digest() {
		b.Errorf("the manifest: %v, %v", m, err)
	}
	more, body := b.chunk(1, "two", nil)
	b.want("a chunk after it", b.put(more, body), ecluse.Refused)
}

// waits: nobody waits for ever, for what comes or against their will.
func waits(b *bench) {
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	if err := b.Lock.Wait(ctx, b.Migration, 0); err == nil {
		b.Error("it waited for nobody")
	}
	begun := time.Now()
	s, body := b.chunk(0, "one", nil)
	done := make(chan error, 1)
	go func() { done <- b.Lock.Wait(b.Context(), b.Migration, 0) }()
	b.must(b.put(s, body))
	if err := <-done; err != nil || time.Since(begun) > time.Minute {
		b.Errorf("waited %s, %v", time.Since(begun), err)
	}
	begun = time.Now()
	if err := b.Lock.Wait(b.Context(), b.Migration, 0); err != nil || time.Since(begun) > 5*time.Second { // one is in
		b.Errorf("it waited for what is there, %s, %v", time.Since(begun), err)
	}
}

func rejects(b *bench) {
	c, err := b.Lock.Case(b.Context(), b.Migration, ecluse.Final)
	b.must(err)
	plan, at, body := ecluse.DigestOf(c.LoadPlan), ecluse.Slot{Dataset: "result"}, b.seal("put aside")
	put := func(s evidence.Signed, body []byte) error {
		return b.AtTarget.PutReject(b.Context(), b.Migration, s, bytes.NewReader(body))
	}
	signed := b.describe(b.Target, plan, at, body, nil)
	b.want("by the source gate", put(b.describe(b.Source, plan, at, body, nil), body), ecluse.Unverified)
	b.want("of another plan", put(b.describe(b.Target, ecluse.DigestOf(nil), at, body, nil), body), ecluse.Refused)
	b.want("changed", put(signed, append(bytes.Clone(body), 0)), ecluse.Unverified)
	b.want("as they should be", put(signed, body))
	b.want("again", put(signed, body))
	other := b.seal("put aside, loaded again")
	b.want("in their place", put(b.describe(b.Target, plan, at, other, nil), other))
}

// states: what a state does not allow is refused, whoever signed it.
func states(t *testing.T, open Harness) {
	test(t, open, ReadingSuspended, "nothing comes in while it is suspended", func(b *bench) {
		s, body := b.chunk(0, "one", nil)
		b.want("a chunk", b.put(s, body), ecluse.Refused)
		b.holds()
	})
	test(t, open, LoadingSuspended, "nothing goes out while it is suspended", func(b *bench) {
		_, _, err := b.AtTarget.Get(b.Context(), b.Migration, b.first())
		b.want("a chunk", err, ecluse.Refused)
		c, err := b.Lock.Case(b.Context(), b.Migration, ecluse.Final)
		b.must(err)
		body := b.seal("put aside")
		aside := b.describe(b.Target, ecluse.DigestOf(c.LoadPlan), ecluse.Slot{Dataset: "result"}, body, nil)
		b.want("rows put aside", b.AtTarget.PutReject(b.Context(), b.Migration, aside, bytes.NewReader(body)), ecluse.Refused)
		all, err := b.Lock.Rejects(b.Context(), b.Migration)
		b.must(err)
		if len(all) > 0 {
			b.Errorf("%d are in", len(all))
		}
	})
	test(t, open, Loading, "nothing comes in once all is read", func(b *bench) {
		s, body := b.chunk(0, "one", nil)
		b.want("a chunk", b.put(s, body), ecluse.Refused)
		_, r, err := b.AtTarget.Get(b.Context(), b.Migration, b.first())
		b.must(err)
		r.Close()
	})
	test(t, open, Erased, "nothing comes in or out once it is erased", func(b *bench) {
		s, body := b.chunk(0, "one", nil)
		b.want("a chunk", b.put(s, body), ecluse.Refused)
		c, err := b.Lock.Case(b.Context(), b.Migration, ecluse.Final)
		b.must(err)
		aside := b.describe(b.Target, ecluse.DigestOf(c.LoadPlan), ecluse.Slot{Dataset: "result"}, body, nil)
		b.want("rows put aside", b.AtTarget.PutReject(b.Context(), b.Migration, aside, bytes.NewReader(body)), ecluse.Refused)
		b.holds()
		_, _, err = b.AtTarget.Get(b.Context(), b.Migration, ecluse.Slot{Dataset: "result"})
		b.want("what was a chunk", err, ecluse.Failed, ecluse.Refused, ecluse.Invalid)
	})
}

// first is the slot of a chunk that is in.
func (b *bench) first() ecluse.Slot {
	b.Helper()
	all, err := b.Lock.Slots(b.Context(), b.Migration)
	b.must(err)
	if len(all) == 0 {
		b.Fatal("nothing is in")
	}
	d, err := evidence.ParseDescriptor(all[0], print(b.Source))
	b.must(err)
	return d.Slot
}

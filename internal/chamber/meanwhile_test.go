package chamber

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
)

// meanwhile is a body of which the rest comes after something else was done.
func meanwhile(body []byte, do func()) io.Reader {
	first := true
	return io.MultiReader(bytes.NewReader(body[:len(body)-1]), readerFunc(func(p []byte) (int, error) {
		if !first {
			return 0, io.EOF
		}
		first = false
		do()
		p[0] = body[len(body)-1]
		return 1, nil
	}))
}

// TestErasedMeanwhile: what is received while its migration is erased is not stored, and
// leaves nothing; nothing keeps a later erasure from ending.
func TestErasedMeanwhile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mustPut(slot(0), b.seal("rows"), nil)
	now := time.Date(2026, 12, 31, 18, 0, 0, 0, time.UTC)
	erase := func() {
		if _, err := b.c.Erase(b.terms.Migration, now); err != nil {
			t.Error(err)
		}
	}
	body := b.seal("more rows")
	_, err := b.c.Put(t.Context(), b.terms, b.describe(b.source, slot(1), body, nil), meanwhile(body, erase))
	if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "being erased") {
		t.Errorf("a chunk: %v", err)
	}
	b2 := setup(t)
	b2.mustPut(slot(0), b2.seal("rows"), nil)
	erase2 := func() {
		if _, err := b2.c.Erase(b2.terms.Migration, now); err != nil {
			t.Error(err)
		}
	}
	body = b2.seal("put aside")
	err = b2.c.PutReject(t.Context(), b2.terms, b2.describe(b2.source, slot(0), body, nil), meanwhile(body, erase2))
	if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "being erased") {
		t.Errorf("rows put aside: %v", err)
	}
	for _, b := range []*bench{b, b2} {
		if files := b.files(); len(files) != 1 || !strings.HasPrefix(files[0], "erased/") {
			t.Errorf("left: %v", files)
		}
	}

	// What another process stored all the same goes at the next look.
	inv, err := b.c.Inventory(b.terms.Migration)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.c.mkdir(b.c.chunks(b.terms.Migration).objects()); err != nil {
		t.Fatal(err)
	}
	signed := b.describe(b.source, slot(1), body, nil)
	if err := b.c.link(b.c.chunks(b.terms.Migration).objects()+"/stray.age", signed); err != nil {
		t.Fatal(err)
	}
	again, err := b.c.Erase(b.terms.Migration, now.Add(time.Hour))
	if err != nil || !again.Erased.Equal(inv.Erased) {
		t.Errorf("%+v, %v", again, err)
	}
	if remains, err := b.c.Remains(b.terms.Migration); err != nil || len(remains) > 0 {
		t.Errorf("remains %v, %v", remains, err)
	}
}

// TestCeilingsMeanwhile: chunks that come at a time are within the ceilings and in order
// together, not each alone.
func TestCeilingsMeanwhile(t *testing.T) {
	t.Parallel()
	other := func(d *evidence.Descriptor) { d.Slot.Dataset = "patient" }
	for name, c := range map[string]struct {
		rows   int64
		first  func(*evidence.Descriptor)
		second func(*evidence.Descriptor)
		words  string
	}{
		"rows":  {15, other, nil, "20 rows"},
		"bytes": {0, other, nil, "bytes"},
		"ended": {0, last, func(d *evidence.Descriptor) { d.Slot.Sequence = 1 }, "already ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.terms.Rows = c.rows
			body := b.seal(strings.Repeat("rows", 200))
			if name == "ended" {
				b.mustPut(slot(0), body, nil)
				// The version that ends the dataset comes while the next chunk does.
				c.first = func(d *evidence.Descriptor) { d.Slot.Version, d.Last = 1, true }
			}
			more := b.seal("more")
			if name == "bytes" {
				b.terms.Bytes = int64(len(body)+len(more)) - 1
			}
			_, err := b.c.Put(t.Context(), b.terms, b.describe(b.source, slot(0), more, c.second), meanwhile(more, func() { b.mustPut(slot(0), body, c.first) }))
			if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%v, want %s", err, c.words)
			}
			if strays := b.strays(); len(strays) > 0 {
				t.Errorf("left: %v", strays)
			}
		})
	}
	t.Run("rejects", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		body := b.seal("put aside")
		b.terms.Bytes = int64(len(body)) + 10
		put := func(s ecluse.Slot, r io.Reader) error {
			return b.c.PutReject(t.Context(), b.terms, b.describe(b.source, s, body, nil), r)
		}
		err := put(slot(0), meanwhile(body, func() {
			if err := put(slot(1), bytes.NewReader(body)); err != nil {
				t.Error(err)
			}
		}))
		if ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("%v", err)
		}
		if err := put(slot(1), bytes.NewReader(body)); err != nil { // instead of what it replaces
			t.Errorf("again: %v", err)
		}
	})
	t.Run("slot", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		body, more := b.seal("rows"), b.seal("others")
		stored, err := b.c.Put(t.Context(), b.terms, b.describe(b.source, slot(0), more, nil), meanwhile(more, func() { b.mustPut(slot(0), body, nil) }))
		var e *ecluse.Error
		if !errors.As(err, &e) || e.Kind != ecluse.Refused || stored.Body == nil {
			t.Errorf("%v, %v", stored, err)
		}
		if strays := b.strays(); len(strays) > 0 {
			t.Errorf("left: %v", strays)
		}
	})
}

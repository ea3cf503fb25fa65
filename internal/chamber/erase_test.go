package chamber

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/evidence"
)

func TestErase(t *testing.T) {
	b := setup(t)
	bodies := map[ecluse.Slot][]byte{}
	for i := range 3 {
		bodies[slot(i)] = b.seal("rows of a chunk")
		b.mustPut(slot(i), bodies[slot(i)], nil)
	}
	reject := b.seal("put aside")
	if err := b.c.PutReject(t.Context(), b.terms, b.describe(b.source, slot(0), reject, nil), bytes.NewReader(reject)); err != nil {
		t.Fatal(err)
	}
	other := b.terms
	other.Migration = "other-2026-01"
	kept := b.seal("another migration")
	signed := b.describe(b.source, slot(0), kept, func(d *evidence.Descriptor) { d.Migration = other.Migration })
	if _, err := b.c.Put(t.Context(), other, signed, bytes.NewReader(kept)); err != nil {
		t.Fatal(err)
	}

	now := time.Date(2026, 12, 31, 18, 0, 0, 0, time.UTC)
	inv, err := b.c.Erase(b.terms.Migration, now)
	if err != nil {
		t.Fatal(err)
	}
	if len(inv.Chunks) != 3 || len(inv.Rejects) != 1 || !inv.Erased.Equal(now) || len(inv.Probes) != 4 {
		t.Errorf("%+v", inv)
	}
	var size int64
	for i, o := range inv.Erasures() {
		body := bodies[slot(i)]
		size += o.Size
		if want := (evidence.ErasedObject{Slot: slot(i), SHA256: ecluse.DigestOf(body), Size: int64(len(body)), Rows: 10, Erased: now}); o != want {
			t.Errorf("%+v, want %+v", o, want)
		}
		if !bytes.Contains(body, inv.Probes[i]) || len(inv.Probes[i]) != ProbeSize {
			t.Error("a probe is not of the ciphertext")
		}
	}
	if size+int64(len(reject)) != inv.Bytes {
		t.Errorf("%d bytes erased, want %d", inv.Bytes, size+int64(len(reject)))
	}
	if remains, err := b.c.Remains(b.terms.Migration); len(remains) != 0 || err != nil {
		t.Error(remains, err)
	}
	if remains, err := b.c.Remains(other.Migration); len(remains) != 2 || err != nil {
		t.Error("the other migration:", remains, err)
	}

	// The same again, later and from disk, is the same inventory.
	b.open()
	again, err := b.c.Erase(b.terms.Migration, now.Add(time.Hour))
	if diff := cmp.Diff(inv, again); diff != "" || err != nil {
		t.Error(err, diff)
	}
	// Nothing of the migration is ever stored again.
	if err := b.put(slot(0), bodies[slot(0)], nil); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("stored after its erasure: %v", err)
	}
	if err := b.c.PutReject(t.Context(), b.terms, b.describe(b.source, slot(0), reject, nil), bytes.NewReader(reject)); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("rejects stored after its erasure: %v", err)
	}
	if err := b.c.Forget(b.terms.Migration); err != nil {
		t.Fatal(err)
	}
	if again, err = b.c.Inventory(b.terms.Migration); err != nil || again.Probes != nil || len(again.Chunks) != 3 {
		t.Errorf("after Forget: %+v %v", again, err)
	}
	if none, err := b.c.Inventory("never-2026-01"); none != nil || err != nil {
		t.Error(none, err)
	}
	if strays, err := b.c.Scan(func(m ecluse.MigrationID) bool { return m == other.Migration }); err != nil || len(strays) > 0 {
		t.Error(strays, err)
	}
}

// A migration that never stored anything is erased like any other; a file that
// nobody knows goes with its folder, and is seen when it comes back.
func TestEraseWhatever(t *testing.T) {
	b := setup(t)
	inv, err := b.c.Erase(b.terms.Migration, time.Now())
	if err != nil || len(inv.Chunks) != 0 || inv.Erased.IsZero() {
		t.Errorf("%+v %v", inv, err)
	}
	path := filepath.Join(b.dir, "live", string(b.terms.Migration), "restored.bak")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	remains, err := b.c.Remains(b.terms.Migration)
	if diff := cmp.Diff([]string{"live/megabus-2026-01/restored.bak"}, remains); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if s := b.strays(); len(s) != 1 || s[0].Why != "its migration is erased" {
		t.Error(s)
	}
}

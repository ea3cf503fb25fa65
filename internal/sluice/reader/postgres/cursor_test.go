package postgres

import (
	"bytes"
	"testing"

	"ecluse"
	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/postgres"
)

// FuzzCursor: a cursor that is taken is one this reader writes, and names the
// place it was written for.
func FuzzCursor(f *testing.F) {
	for _, c := range [][]byte{nil, {}, []byte("b"), []byte("n00000000"), []byte("b\xff0000000"), append([]byte{'b'}, make([]byte, 8)...), append([]byte{'n'}, make([]byte, 8)...), []byte("b\x00\x010000000"[:9])} {
		f.Add(c, true)
		f.Add(c, false)
	}
	f.Fuzz(func(t *testing.T, c []byte, blocks bool) {
		storage := ""
		if blocks {
			storage = "heap"
		}
		d := &dataset{Reading: &engine.Reading{Dataset: &mandate.ReadDataset{Dataset: "result", Storage: storage}}}
		if d.Blocks() != blocks {
			t.Fatal("the dataset is not read as it should be")
		}
		at, err := d.position(c)
		switch {
		case err != nil:
			if ecluse.KindOf(err) != ecluse.Invalid {
				t.Errorf("not invalid: %v", err)
			}
			return
		case at < 0:
			t.Errorf("position %d", at)
		case c != nil && !bytes.Equal(d.cursor(at), c):
			t.Errorf("cursor %x was taken for %x", c, []byte(d.cursor(at)))
		case blocks && position(tid(at)) != at:
			t.Errorf("position %d is no place in a table", at)
		}
	})
}

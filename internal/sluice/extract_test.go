package sluice

import (
	"context"
	"math/rand/v2"
	"runtime"
	"testing"

	"filippo.io/age"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/seal"
)

// TestExtractKeepsNoBodies: once a chunk is handed over nothing of it but its
// descriptor stays, so that memory does not grow with rows.
func TestExtractKeepsNoBodies(t *testing.T) {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	e := &extractor{
		Extraction: Extraction{Key: &seal.Key{1}, Recipient: id.Recipient()},
		plan:       &mandate.ReadPlan{},
		stored:     map[ecluse.Slot]*evidence.Descriptor{}, latest: map[place]int{},
		out: Extracted{Rows: map[ecluse.DatasetID]int64{}},
	}
	const chunks, size = 40, 1 << 20
	noise := make([]byte, size) // random: what is sealed is as large
	src := rand.NewChaCha8([32]byte{})
	schema := &record.Schema{Fields: []record.Field{{Name: "v", Type: ecluse.Type{Kind: ecluse.Bytes}}}}
	sealed := make(chan *chunk, 1)
	var bytes int
	for n := range chunks {
		_, _, err := e.chunk(context.Background(), place{"d", n}, schema, sealed, func(emit func(*record.Batch) error) (reader.Cursor, bool, error) {
			b := record.NewBatch(schema, 1)
			_, _ = src.Read(noise)
			b.Columns[0].AppendBytes(noise)
			return nil, false, emit(b)
		})
		if err != nil {
			t.Fatal(err)
		}
		bytes += (<-sealed).body.Len()
	}
	if bytes < chunks*size {
		t.Fatalf("sealed %d bytes of %d", bytes, chunks*size)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > chunks*size/2 {
		t.Errorf("%d MiB are held after %d chunks of 1 MiB", m.HeapAlloc>>20, chunks)
	}
	runtime.KeepAlive(e)
}

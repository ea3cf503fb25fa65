package reconcile

import (
	"testing"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// TestDigestRowsIsKeyed: whoever lacks the key cannot try what rows a digest is of.
func TestDigestRowsIsKeyed(t *testing.T) {
	b := record.NewBatch(&record.Schema{Fields: []record.Field{{Name: "code", Type: typeText}}}, 1)
	b.Columns[0].AppendString("A")
	digest := func(key string) ecluse.Digest {
		d, err := DigestRows([]byte(key), b)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	if a := digest("a"); a != digest("a") || a == digest("b") || a == digest("") {
		t.Error("it does not depend on the key alone")
	}
}

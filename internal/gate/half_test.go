package gate

import (
	"bytes"
	"testing"

	"ecluse"
)

// TestHalfIsForOneGate: what the source gate lends to one gate is nothing of what it
// lends to another, or for another migration, nor the secret itself.
func TestHalfIsForOneGate(t *testing.T) {
	release := bytes.Repeat([]byte{7}, secretSize)
	half := func(m ecluse.MigrationID, target ecluse.Fingerprint) string {
		h, err := halfFor(release, m, target)
		if err != nil || len(h) != secretSize {
			t.Fatalf("%d bytes, %v", len(h), err)
		}
		return string(h)
	}
	right := half("quatre-vents-01", "SHA256:right")
	if right != half("quatre-vents-01", "SHA256:right") {
		t.Error("lent twice it is another")
	}
	for name, other := range map[string]string{
		"another gate": half("quatre-vents-01", "SHA256:thief"), "another migration": half("quatre-vents-02", "SHA256:right"), "the secret": string(release),
	} {
		if other == right {
			t.Error(name)
		}
	}
}

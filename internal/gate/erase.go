package gate

import (
	"time"

	"ecluse"
	"ecluse/evidence"
)

// Destroyed is a gate's own word that its half of a migration's key is gone.
type Destroyed struct {
	evidence.StatementHead
	Place string         `json:"place"` // "source" or "target"
	Keys  []DestroyedKey `json:"keys"`
	At    time.Time      `json:"at"`

	Signed evidence.Signed `json:"-"`
}

// DestroyedKey names a secret, never its bytes.
type DestroyedKey struct {
	Name      string `json:"name"`
	Opens     string `json:"opens,omitempty"` // what was sealed to its recipient: evidence.ForChunks or ForRejects
	Algorithm string `json:"algorithm"`
}

// secrets are what each file of a gate's folder held.
func secrets() map[string]DestroyedKey {
	return map[string]DestroyedKey{
		kFile:        {"K, key of sums, notes and bookmarks", "", "HMAC-SHA-256, AES-256-GCM"},
		releaseFile:  {"release secret, source gate's half of the chunk key", evidence.ForChunks, "HKDF-SHA-256 input, 256 bits"},
		rejectsFile:  {"identity of rejects", evidence.ForRejects, "age, ML-KEM-768 with X25519"},
		secretFile:   {"target gate's half of the chunk key", evidence.ForChunks, "HKDF-SHA-256 input, 256 bits"},
		identityFile: {"wrapped identity of chunks", evidence.ForChunks, "age, ML-KEM-768 with X25519, under AES-256-GCM"},
	}
}

// Erase destroys this gate's half of a migration's key and all it kept of it, and
// says so under its signature. The ledger remembers that it did: a migration
// erased here never opens again. Called again it gives the same statement.
func (h *Home) Erase(m ecluse.MigrationID, plan ecluse.Digest, place string) (*Destroyed, error) {
	now, err := h.Latest()
	if err != nil {
		return nil, err
	}
	d := &Destroyed{StatementHead: evidence.StatementHead{Format: evidence.ErasureFormat, Migration: m, Plan: plan}, Place: place, Keys: []DestroyedKey{}}
	names, err := h.Files(m)
	if err != nil {
		return nil, err
	}
	// The ledger first: what it says is gone must not be made anew by a crash.
	err = h.Note(m, func(e *Entry) error {
		if e.Erased.IsZero() {
			e.Erased = now
			for _, n := range names {
				if _, ok := secrets()[n]; ok {
					e.Destroyed = append(e.Destroyed, n)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if _, err := h.Destroy(m); err != nil {
		return nil, err
	}
	page, err := h.Entry(m)
	if err != nil {
		return nil, err
	}
	d.At = page.Erased
	for _, n := range page.Destroyed {
		d.Keys = append(d.Keys, secrets()[n])
	}
	d.Signed, err = evidence.SignStatement(h.signer, d)
	return d, err
}

// Certify signs the certificate of erasure.
func (h *Home) Certify(c *evidence.Certificate) (evidence.Signed, error) {
	return evidence.SignCertificate(h.signer, c)
}

// SignBundle signs the list of an evidence bundle's files.
func (h *Home) SignBundle(sums []byte) (evidence.Signed, error) {
	return h.Sign(evidence.NamespaceBundle, sums)
}

// ForgetLease drops a borrowed release secret from memory.
func (t *Target) ForgetLease(m ecluse.MigrationID) { t.lease(m).forget() }

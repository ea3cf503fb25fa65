package gate

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// Destroyed is a gate's own word that its half of a migration's key is gone.
type Destroyed struct {
	evidence.StatementHead
	Place string         `json:"place"` // "source" or "target"
	Keys  []DestroyedKey `json:"keys"`
	At    time.Time      `json:"at"`

	Kept    *evidence.KeptRows `json:"kept,omitempty"`     // rows put aside that outlive it, under a key of their own
	NotKept evidence.NotKept   `json:"not_kept,omitempty"` // why none do, though the instruction states a day

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
		kFile:        {"K, key of sums, notes and bookmarks", "", "HMAC-SHA-256, GMAC, polynomial hash and AES-128, AES-256-GCM"},
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
	if page.Kept != nil {
		d.Kept = &page.Kept.KeptRows
	}
	d.NotKept = page.NotKept
	for _, n := range page.Destroyed {
		d.Keys = append(d.Keys, secrets()[n])
	}
	d.Signed, err = evidence.SignStatement(h.signer, d)
	return d, err
}

// Certify signs the certificate of erasure, when what it says of this gate is what
// the gate's own ledger says: that it erased, which keys, and when.
func (h *Home) Certify(m ecluse.MigrationID, at exchange.Place, c *evidence.Certificate) (evidence.Signed, error) {
	refuse := func(why string) (evidence.Signed, error) {
		return evidence.Signed{}, &ecluse.Error{
			Kind: ecluse.Unverified, What: "sign the certificate of erasure", Where: string(m), Why: why, Article: "GDPR art. 28(3)(g)",
			Next: "do not accept a certificate from this lock; find out who changed what it says",
		}
	}
	page, err := h.Entry(m)
	if err != nil {
		return evidence.Signed{}, err
	}
	own := map[string]bool{}
	for _, n := range page.Destroyed {
		own[secrets()[n].Name] = true
	}
	switch {
	case c.Migration != m:
		return refuse("it is of another migration")
	case page.Erased.IsZero() || h.Holds(m):
		return refuse("this gate has not erased its half of the key")
	case c.OneRoom != h.oneRoom:
		return refuse("it says otherwise than this gate whether lock and gates stood in one room")
	}
	// What was closed by hand may never have come in; then nothing was accepted.
	if at == exchange.SourcePlace && c.Trigger == evidence.ByAcceptance && !page.Manifest.IsZero() && c.Manifest != page.Manifest {
		return refuse("it names another manifest than the one that closed this gate's last reading of the source")
	}
	if at == exchange.SourcePlace && (!page.keeps(c.Kept) || c.NotKept != "" && c.NotKept != page.NotKept) {
		return refuse("of rows put aside that are kept it says otherwise than this gate's ledger")
	}
	if at == exchange.TargetPlace && !page.stayed(c.Stayed) {
		return refuse("of rows that stayed in the target it says otherwise than this gate's ledger")
	}
	if x := c.InUse; x != nil && at == exchange.TargetPlace {
		if t := page.Undone[x.Passage.String()]; page.Plans[x.Passage.String()].IsZero() || t != nil && !t.At.IsZero() {
			return refuse("it says that a passage is in use which this gate did not load, or took out")
		}
	}
	said := 0
	for _, k := range c.Keys {
		if string(k.Holder) != string(at) {
			continue
		}
		if said++; !own[k.Name] || !k.Destroyed.Equal(page.Erased) {
			return refuse(fmt.Sprintf("it names a key of this gate, %q, that its ledger does not, or another time", k.Name))
		}
	}
	if said != len(own) {
		return refuse(fmt.Sprintf("it names %d keys of this gate, and its ledger %d", said, len(own)))
	}
	signed, err := evidence.SignCertificate(h.signer, c)
	if err != nil {
		return signed, err
	}
	return signed, h.Note(m, func(e *Entry) error {
		e.Certificate = signed.Digest()
		return nil
	})
}

// keeps tells whether the rows that a certificate says are kept are those that this gate
// keeps.
func (e *Entry) keeps(said *evidence.KeptRows) bool {
	if e.Kept == nil || said == nil {
		return e.Kept == nil && said == nil
	}
	return *said == e.Kept.KeptRows
}

// stayed tells whether a certificate's passages of which rows stayed in the target are
// those that this gate left some of.
func (e *Entry) stayed(said []evidence.StayedRows) bool {
	n := 0
	for p, t := range e.Undone {
		rows := evidence.Told(t.Left)
		if rows == "" {
			continue
		}
		n++
		if !slices.ContainsFunc(said, func(s evidence.StayedRows) bool { return s.Passage.String() == p && s.Rows == rows }) {
			return false
		}
	}
	return n == len(said)
}

// SignBundle signs the list of an evidence folder's files, when it has the
// certificate that this gate signed.
func (h *Home) SignBundle(m ecluse.MigrationID, sums []byte) (evidence.Signed, error) {
	page, err := h.Entry(m)
	if err != nil {
		return evidence.Signed{}, err
	}
	if page.Certificate.IsZero() || !bytes.Contains(sums, []byte(page.Certificate.Hex()+" ")) {
		return evidence.Signed{}, &ecluse.Error{
			Kind: ecluse.Unverified, What: "sign the list of evidence", Where: string(m), Why: "the certificate that this gate signed is not in it",
			Next: "do not accept evidence from this lock; find out who changed it",
		}
	}
	return h.Sign(evidence.NamespaceBundle, sums)
}

// ForgetLease drops a borrowed release secret from memory.
func (t *Target) ForgetLease(m ecluse.MigrationID) { t.lease(m).forget() }

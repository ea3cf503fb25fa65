package evidence

import (
	"slices"

	"golang.org/x/crypto/ssh"

	"ecluse"
)

// Formats of the JSON documents that gates sign, as their first field says.
const (
	DescriptorFormat  = "chunk/v1"
	ManifestFormat    = "manifest/v1"
	RecipientFormat   = "recipient/v1"
	PrivilegesFormat  = "privileges/v1"
	ExtractFormat     = "extract/v1"
	ReportFormat      = "report/v1"
	ReleasedFormat    = "released/v1"
	TwinFormat        = "twin/v1"
	UndoFormat        = "undo/v1"
	ErasureFormat     = "erasure/v1"
	ErasedRowsFormat  = "rejects-erased/v1"
	CertificateFormat = "certificate/v1"
)

// Descriptor is chunk/v1: what a gate signs of a sealed chunk. Nothing in it can
// be reckoned back to a value: Sum is keyed with the migration's key.
type Descriptor struct {
	Format    string             `json:"ecluse"` // SignDescriptor sets it
	Migration ecluse.MigrationID `json:"migration"`
	Plan      ecluse.Digest      `json:"plan"` // under which the chunk was made
	Epoch     int                `json:"epoch"`
	Slot      ecluse.Slot        `json:"slot"`
	Rows      int64              `json:"rows"`
	Last      bool               `json:"last"`   // the dataset ends with this chunk
	Size      int64              `json:"size"`   // bytes of ciphertext
	SHA256    ecluse.Digest      `json:"sha256"` // of the ciphertext
	Sum       ecluse.Digest      `json:"sum"`    // keyed, over the uncompressed batch stream (internal/sluice/seal)
}

func checkSlot(what string, s ecluse.Slot) error {
	switch {
	case !s.Dataset.Valid():
		return invalid(what, "%q is not a dataset's name", s.Dataset)
	case s.Sequence < 0 || s.Version < 0:
		return invalid(what, "slot %s: sequence and version count from 0", s)
	}
	return nil
}

func checkHead(what, want, format string, m ecluse.MigrationID) error {
	switch {
	case format != want:
		return invalid(what, "its format is %q, want %s", format, want)
	case !m.Valid():
		return invalid(what, "%q is not a migration's id", m)
	}
	return nil
}

func (d *Descriptor) check() error {
	const what = "check descriptor"
	if err := checkHead(what, DescriptorFormat, d.Format, d.Migration); err != nil {
		return err
	}
	if err := checkSlot(what, d.Slot); err != nil {
		return err
	}
	switch {
	case d.Plan.IsZero() || d.SHA256.IsZero() || d.Sum.IsZero():
		return invalid(what, "chunk %s: plan, sha256 or sum is missing", d.Slot)
	case d.Epoch < 0 || d.Rows < 0 || d.Size < 1:
		return invalid(what, "chunk %s: epoch, rows or size cannot be", d.Slot)
	}
	return nil
}

// SignDescriptor encodes a descriptor and signs it with a gate's key.
func SignDescriptor(gate ssh.Signer, d *Descriptor) (Signed, error) {
	d.Format = DescriptorFormat
	return signJSON(gate, NamespaceChunk, d, d.check)
}

// ParseDescriptor checks that the gate signed the descriptor, and reads it.
func ParseDescriptor(s Signed, gate ecluse.Fingerprint) (*Descriptor, error) {
	return parseSigned(s, NamespaceChunk, gate, decodeDescriptor)
}

func decodeDescriptor(b []byte) (*Descriptor, error) {
	d := &Descriptor{}
	return d, decodeChecked(b, d, d.check)
}

// Manifest is manifest/v1: the source gate's word that every dataset is
// complete. For each slot it names the one version that counts.
type Manifest struct {
	Format    string             `json:"ecluse"` // SignManifest sets it
	Migration ecluse.MigrationID `json:"migration"`
	Plan      ecluse.Digest      `json:"plan"` // the read plan
	Epochs    int                `json:"epochs"`
	Reading   int                `json:"reading,omitempty"` // 0: the first; later ones add what changed since
	Datasets  []ManifestDataset  `json:"datasets"`
}

// ManifestDataset is one complete dataset.
type ManifestDataset struct {
	Dataset ecluse.DatasetID `json:"dataset"`
	Chunks  []ManifestChunk  `json:"chunks"` // sequence 0, 1, 2, …
	Rows    int64            `json:"rows"`
}

// ManifestChunk is one chunk of a dataset.
type ManifestChunk struct {
	Slot   ecluse.Slot   `json:"slot"`
	SHA256 ecluse.Digest `json:"sha256"` // of the ciphertext
	Rows   int64         `json:"rows"`
}

func (m *Manifest) check() error {
	const what = "check manifest"
	if err := checkHead(what, ManifestFormat, m.Format, m.Migration); err != nil {
		return err
	}
	if m.Plan.IsZero() || m.Epochs < 1 {
		return invalid(what, "plan or number of epochs is missing")
	}
	if m.Reading < 0 || m.Reading >= m.Epochs {
		return invalid(what, "there is no reading %d in %d epochs", m.Reading, m.Epochs)
	}
	seen := map[ecluse.DatasetID]bool{}
	for _, d := range m.Datasets {
		if _, reading := d.Dataset.Of(); reading > m.Reading {
			return invalid(what, "dataset %s is of a reading that did not come yet", d.Dataset)
		}
		if seen[d.Dataset] {
			return invalid(what, "dataset %s is given twice", d.Dataset)
		}
		seen[d.Dataset] = true
		if err := d.check(); err != nil {
			return err
		}
	}
	return nil
}

func (d *ManifestDataset) check() error {
	const what = "check manifest"
	var rows int64
	for i, c := range d.Chunks {
		if err := checkSlot(what, c.Slot); err != nil {
			return err
		}
		if c.Slot.Dataset != d.Dataset || c.Slot.Sequence != i {
			return invalid(what, "dataset %s: chunk %s stands at place %d", d.Dataset, c.Slot, i)
		}
		if c.SHA256.IsZero() || c.Rows < 0 {
			return invalid(what, "chunk %s: sha256 or rows cannot be", c.Slot)
		}
		rows += c.Rows
	}
	if !d.Dataset.Valid() || rows != d.Rows {
		return invalid(what, "dataset %s: its chunks hold %d rows, not %d", d.Dataset, rows, d.Rows)
	}
	return nil
}

// Equal tells whether both are complete with the same chunks.
func (d ManifestDataset) Equal(o ManifestDataset) bool {
	return d.Dataset == o.Dataset && d.Rows == o.Rows && slices.Equal(d.Chunks, o.Chunks)
}

// Continues checks that a later reading's manifest leaves what was read before as it is:
// it adds what changed since, and counts the cross-checks anew.
func (m *Manifest) Continues(before *Manifest) error {
	const what = "compare manifests"
	if m.Reading != before.Reading+1 || m.Migration != before.Migration || m.Plan != before.Plan {
		return unverified(what, "reading %d of one migration and plan does not follow reading %d", m.Reading, before.Reading)
	}
	now := map[ecluse.DatasetID]*ManifestDataset{}
	for i := range m.Datasets {
		now[m.Datasets[i].Dataset] = &m.Datasets[i]
	}
	for i := range before.Datasets {
		d := &before.Datasets[i]
		if n := now[d.Dataset]; d.Dataset != ecluse.ChecksDataset && (n == nil || !slices.Equal(n.Chunks, d.Chunks)) {
			return unverified(what, "dataset %s is not as the reading before left it", d.Dataset)
		}
		delete(now, d.Dataset)
	}
	for id := range now {
		if _, reading := id.Of(); reading != m.Reading {
			return unverified(what, "dataset %s came later, and is not of reading %d", id, m.Reading)
		}
	}
	return nil
}

// Covers checks that every chunk of the manifest is one of the descriptors, with
// the same plan, ciphertext and rows, and that a dataset's last chunk, and no
// other, says it is the last. Superseded versions may stand beside.
func (m *Manifest) Covers(descriptors []*Descriptor) error {
	const what = "compare manifest"
	by := make(map[ecluse.Slot]*Descriptor, len(descriptors))
	for _, d := range descriptors {
		by[d.Slot] = d
	}
	for _, ds := range m.Datasets {
		for i, c := range ds.Chunks {
			d, ok := by[c.Slot]
			switch {
			case !ok:
				return unverified(what, "chunk %s has no descriptor", c.Slot)
			case d.SHA256 != c.SHA256 || d.Rows != c.Rows || d.Migration != m.Migration || d.Plan != m.Plan:
				return unverified(what, "chunk %s is not as its descriptor says", c.Slot)
			case d.Last != (i == len(ds.Chunks)-1):
				return unverified(what, "chunk %s: the dataset's end is not where its descriptor says", c.Slot)
			}
		}
	}
	return nil
}

// SignManifest encodes a manifest and signs it with the source gate's key.
func SignManifest(gate ssh.Signer, m *Manifest) (Signed, error) {
	m.Format = ManifestFormat
	return signJSON(gate, NamespaceManifest, m, m.check)
}

// ParseManifest checks that the gate signed the manifest, and reads it.
func ParseManifest(s Signed, gate ecluse.Fingerprint) (*Manifest, error) {
	return parseSigned(s, NamespaceManifest, gate, decodeManifest)
}

func decodeManifest(b []byte) (*Manifest, error) {
	m := &Manifest{}
	return m, decodeChecked(b, m, m.check)
}

func signJSON(gate ssh.Signer, namespace string, v any, check func() error) (Signed, error) {
	if err := check(); err != nil {
		return Signed{}, err
	}
	b, err := EncodeJSON(v)
	if err != nil {
		return Signed{}, err
	}
	return Sign(gate, namespace, b)
}

func parseSigned[T any](s Signed, namespace string, gate ecluse.Fingerprint, decode func([]byte) (*T, error)) (*T, error) {
	if err := s.VerifyBy(namespace, gate); err != nil {
		return nil, err
	}
	v, err := decode(s.Body)
	if err != nil {
		return nil, err
	}
	return v, nil
}

func decodeChecked(b []byte, v any, check func() error) error {
	if err := DecodeJSON(b, v); err != nil {
		return err
	}
	return check()
}

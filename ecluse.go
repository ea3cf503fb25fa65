// Package ecluse holds the nouns every other package speaks with: identifiers,
// data classes, the shape of databases and the kinds of error. It imports
// nothing of ours and does no input or output.
//
// The words are those of the table in docs/architecture.md, section 1.
package ecluse

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// MigrationID names one migration: everything under one instruction. It is the
// instruction's id, lower-case letters, digits and hyphens, 3 to 64 characters.
type MigrationID string

// Valid tells whether m has a migration id's form. It is then no path, and no more
// than one name in a folder.
func (m MigrationID) Valid() bool {
	return len(m) >= 3 && len(m) <= 64 && m[0] != '-' && only(string(m), "abcdefghijklmnopqrstuvwxyz0123456789-")
}

// UnmarshalText reads an id, or none. What is decoded becomes names of folders: one
// that is none is refused before anybody can use it.
func (m *MigrationID) UnmarshalText(b []byte) error {
	if v := MigrationID(b); v != "" && !v.Valid() {
		return fmt.Errorf("%q is not a migration's id: want 3 to 64 lower-case letters, digits and hyphens", v)
	}
	*m = MigrationID(b)
	return nil
}

// DatasetID names a dataset of an instruction ("patient").
type DatasetID string

// Valid tells whether d has a dataset's name's form. It is then no path, and no more
// than a part of one name in a folder.
func (d DatasetID) Valid() bool {
	return d != "" && len(d) <= 192 && d[0] != '.' && d[0] != '-' &&
		only(string(d), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")
}

// UnmarshalText reads a name, or none, as MigrationID's does.
func (d *DatasetID) UnmarshalText(b []byte) error {
	if v := DatasetID(b); v != "" && !v.Valid() {
		return fmt.Errorf("%q is not a dataset's name: want letters, digits, _, - and dots", v)
	}
	*d = DatasetID(b)
	return nil
}

func only(s, of string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return !strings.ContainsRune(of, c) })
}

// Names of the datasets Écluse itself sends through the chamber. A dataset of an
// instruction cannot begin with "ecluse.".
const (
	KeyDataset    DatasetID = "ecluse.key"    // K, slot 0 of every migration
	ChecksDataset DatasetID = "ecluse.checks" // the source's half of the cross-checks
)

// What a later reading of the source seals of a dataset: the rows of the buckets that
// differ, and which buckets those are. Readings count from 0, the first.
const (
	changedPrefix = "ecluse.changed."
	bucketsPrefix = "ecluse.buckets."
)

// Changed names the rows that a later reading sealed of a dataset: "ecluse.changed.2.patient".
func (d DatasetID) Changed(reading int) DatasetID {
	return DatasetID(changedPrefix + strconv.Itoa(reading) + "." + string(d))
}

// Buckets names the list of buckets that they are all rows of.
func (d DatasetID) Buckets(reading int) DatasetID {
	return DatasetID(bucketsPrefix + strconv.Itoa(reading) + "." + string(d))
}

// Of is the instruction's dataset that rows belong to and the reading of the source
// they were sealed in: of "ecluse.changed.2.patient" patient and 2, of patient itself
// patient and 0.
func (d DatasetID) Of() (of DatasetID, reading int) {
	for _, prefix := range []string{changedPrefix, bucketsPrefix} {
		rest, ok := strings.CutPrefix(string(d), prefix)
		if !ok {
			continue
		}
		number, name, ok := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(number); ok && err == nil && n > 0 && strconv.Itoa(n) == number && DatasetID(name).Valid() {
			return DatasetID(name), n
		}
	}
	return d, 0
}

// Digest is the SHA-256 of a document's exact bytes. Its text is
// "sha256:" and 64 lower-case hexadecimal digits.
type Digest [sha256.Size]byte

// DigestOf returns the SHA-256 of b.
func DigestOf(b []byte) Digest { return sha256.Sum256(b) }

// ParseDigest reads the text form of a digest.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	h, ok := strings.CutPrefix(s, "sha256:")
	if !ok || len(h) != 2*len(d) || strings.ToLower(h) != h {
		return d, fmt.Errorf("%q is not a digest: want sha256: and 64 lower-case hexadecimal digits", s)
	}
	if _, err := hex.Decode(d[:], []byte(h)); err != nil {
		return d, fmt.Errorf("%q is not a digest: %w", s, err)
	}
	return d, nil
}

func (d Digest) String() string { return "sha256:" + hex.EncodeToString(d[:]) }

// Hex is the digest without its prefix, as file names and sha256sum write it.
func (d Digest) Hex() string { return hex.EncodeToString(d[:]) }

// IsZero tells a digest that was never set.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText and UnmarshalText use the text form; the zero digest is empty.
func (d Digest) MarshalText() ([]byte, error) {
	if d.IsZero() {
		return nil, nil
	}
	return []byte(d.String()), nil
}

// UnmarshalText reads what MarshalText wrote.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = Digest{}
		return nil
	}
	v, err := ParseDigest(string(b))
	*d = v
	return err
}

// Fingerprint identifies a public key as OpenSSH prints it: "SHA256:" and 43
// characters of unpadded base64. Roots, people's keys and gates are named by it.
type Fingerprint string

// Valid tells whether f has a fingerprint's form.
func (f Fingerprint) Valid() bool {
	h, ok := strings.CutPrefix(string(f), "SHA256:")
	if !ok || len(h) != 43 {
		return false
	}
	return only(h, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}

// Side is one of the two parties of a contract (GDPR art. 4(7) and 4(8)).
type Side string

// The two sides.
const (
	Controller Side = "controller"
	Processor  Side = "processor"
)

// Role is what a roster lets a person do.
type Role string

// The roles a roster may give.
const (
	Signatory Role = "signatory" // signs contract, instruction, final load plan, acceptance for its party
	Operator  Role = "operator"  // writes mappings, approves plans for the processor, runs passages
	DPO       Role = "dpo"       // data-protection officer: reads everything but records, may object, order erasure
	Security  Role = "security"  // security officer: may suspend, is alerted
)

// PassageKind is one of the three kinds of run.
type PassageKind string

// The kinds of passage.
const (
	Dry       PassageKind = "dry"       // maps and checks everything, writes nothing
	Rehearsal PassageKind = "rehearsal" // into a target the instruction names as pre-production
	Final     PassageKind = "final"     // into the target
)

// UnmarshalText reads a kind, or none.
func (k *PassageKind) UnmarshalText(b []byte) error {
	switch v := PassageKind(b); v {
	case "", Dry, Rehearsal, Final:
		*k = v
		return nil
	default:
		return fmt.Errorf("%q is not a kind of passage: want dry, rehearsal or final", v)
	}
}

// Passage is one numbered run of a migration.
type Passage struct {
	Kind   PassageKind `json:"kind"`
	Number int         `json:"number"` // from 1, per kind
}

func (p Passage) String() string { return fmt.Sprintf("%s-%d", p.Kind, p.Number) }

// Slot is a chunk's place: written once, never twice (epoch is not part of it:
// a later epoch fills only what is missing, or a new version of what differs).
type Slot struct {
	Dataset  DatasetID `json:"dataset"`
	Sequence int       `json:"sequence"` // from 0
	Version  int       `json:"version"`  // from 0
}

func (s Slot) String() string {
	return fmt.Sprintf("%s/%06d.%d", s.Dataset, s.Sequence, s.Version)
}

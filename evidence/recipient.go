package evidence

import (
	"regexp"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
)

// What a recipient is for.
const (
	ForChunks  = "chunks"  // made by the target gate: the source gate seals to it and nothing else
	ForRejects = "rejects" // made by the source gate: rejected rows go back to the laboratory's own machine
)

// Recipient is recipient/v1: a gate's public key for one migration. Its age
// identity never leaves that gate.
type Recipient struct {
	Format      string             `json:"ecluse"` // SignRecipient sets it
	Migration   ecluse.MigrationID `json:"migration"`
	Instruction ecluse.Digest      `json:"instruction"`
	Purpose     string             `json:"purpose"`   // ForChunks or ForRejects
	Recipient   string             `json:"recipient"` // hybrid post-quantum, "age1pq1…"
	NotAfter    time.Time          `json:"not_after"` // UTC, whole seconds
}

var recipientPattern = regexp.MustCompile(`^age1pq1[02-9ac-hj-np-z]+$`)

func (r *Recipient) check() error {
	const what = "check recipient"
	if err := checkHead(what, RecipientFormat, r.Format, r.Migration); err != nil {
		return err
	}
	switch {
	case r.Instruction.IsZero():
		return invalid(what, "the instruction's digest is missing")
	case r.Purpose != ForChunks && r.Purpose != ForRejects:
		return invalid(what, "its purpose is %q, want %s or %s", r.Purpose, ForChunks, ForRejects)
	case !recipientPattern.MatchString(r.Recipient):
		return invalid(what, "it is not a hybrid age recipient (age1pq1…)")
	case !wholeSecond(r.NotAfter):
		return invalid(what, "its end is not an instant in UTC and whole seconds")
	}
	return nil
}

// SignRecipient encodes a recipient and signs it with the gate's key.
func SignRecipient(gate ssh.Signer, r *Recipient) (Signed, error) {
	r.Format = RecipientFormat
	return signJSON(gate, NamespaceRecipient, r, r.check)
}

// ParseRecipient checks that the gate signed the recipient, and reads it.
func ParseRecipient(s Signed, gate ecluse.Fingerprint) (*Recipient, error) {
	return parseSigned(s, NamespaceRecipient, gate, decodeRecipient)
}

func decodeRecipient(b []byte) (*Recipient, error) {
	r := &Recipient{}
	return r, decodeChecked(b, r, r.check)
}

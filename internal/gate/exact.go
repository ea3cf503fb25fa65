package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/sluice/seal"
)

// ExactFormat is the format of Exact.
const ExactFormat = "exact/v1"

// Exact is exact/v1: the figures behind a LoadStatement, counts under ten and the
// keys of checks among them, which may tell a patient. The target gate seals it to
// the source gate, and it is erased with the rows put aside. It prints as what it
// is about.
type Exact struct {
	evidence.StatementHead                   // Plan is the load plan's
	Passage                ecluse.Passage    `json:"passage"`
	Report                 ecluse.Digest     `json:"report"` // the statement whose figures these are
	Figures                *reconcile.Report `json:"figures"`
}

// Format prints "exact figures of final-1" whatever the verb.
func (x Exact) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "exact figures of %s", x.Passage) }

// LogValue says the same to slog.
func (x Exact) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(x)) }

// label is the first line inside the sealed paper: it cannot pass for another's.
func (x *Exact) label() string {
	return fmt.Sprintf("%s %s %s %s", ExactFormat, x.Migration, x.Passage, x.Plan)
}

// exactOf names the slot that a passage's exact figures lie in, among the rejects: one for
// each reading of the source that it was compared as of.
func exactOf(p ecluse.Passage, reading int) ecluse.Slot {
	return ecluse.Slot{Dataset: ecluse.DatasetID("ecluse.exact." + p.String()), Version: reading}
}

// sealExact hands the exact figures in, for the source gate alone. Handed in again
// they replace those of a run that never came to its statement.
func (t *Target) sealExact(ctx context.Context, to age.Recipient, reading int, x *Exact) error {
	return t.sealPaper(ctx, to, x.label(), x.StatementHead, x.Passage, exactOf(x.Passage, reading), x)
}

// pad is what the size of a sealed paper is a multiple of.
const pad = 4096

// sealPaper hands in a paper about a passage, for the source gate alone, in a slot
// of its own among the rejects.
func (t *Target) sealPaper(ctx context.Context, to age.Recipient, label string, head evidence.StatementHead, p ecluse.Passage, slot ecluse.Slot, paper any) error {
	text, err := evidence.EncodeJSON(paper)
	if err != nil {
		return err
	}
	if len(text) > maxExact-maxExact>>8 { // nobody could open it again
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "seal exact figures", Where: string(slot.Dataset), Why: fmt.Sprintf("they come to %d bytes, and %d are sealed at the most", len(text), maxExact),
			Next: "find out what counts by so many keys: ecluse plan shows the checks",
		}
	}
	// Its size is known to all: it must not count rows.
	text = append(text, bytes.Repeat([]byte(" "), pad-len(text)%pad)...)
	sealed, err := seal.SealBytes(to, label, text)
	if err != nil {
		return err
	}
	// There are no batches to sum under K; of what is inside only the ciphertext's
	// digest may be told.
	digest := ecluse.DigestOf(sealed)
	signed, err := evidence.SignDescriptor(t.home.signer, &evidence.Descriptor{
		Migration: head.Migration, Plan: head.Plan, Epoch: p.Number, Slot: slot,
		Last: true, Size: int64(len(sealed)), SHA256: digest, Sum: digest,
	})
	if err != nil {
		return err
	}
	return t.lock.PutReject(ctx, head.Migration, signed, bytes.NewReader(sealed))
}

// maxExact bounds a sealed paper of exact figures.
const maxExact = 64 << 20

// Exact opens the exact figures of a passage, in memory, for whom of the controller's
// people the key is. That they looked is journalled before.
func (s *Source) Exact(ctx context.Context, m ecluse.MigrationID, p ecluse.Passage, key ssh.Signer) (*Exact, error) {
	const what = "open the exact figures"
	o, err := s.opening(ctx, what, m, p)
	if err != nil {
		return nil, err
	}
	defer o.key.Wipe()
	var last *evidence.Descriptor
	for _, d := range o.sealed {
		if d.Slot == exactOf(p, d.Slot.Version) && (last == nil || last.Slot.Version < d.Slot.Version) {
			last = d
		}
	}
	if last == nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: p.String(), Why: "the target gate has handed none in", Next: "they come when the passage ends: ecluse apply"}
	}
	shown := evidence.Clause{Verb: evidence.VerbSign, Kind: evidence.KindShown, Subject: last.SHA256}
	err = s.attended(ctx, m, key, shown, exchange.Event{Type: "figures-shown", IDs: map[string]string{"passage": p.String()}})
	if err != nil {
		return nil, err
	}
	want := &Exact{StatementHead: evidence.StatementHead{Format: ExactFormat, Migration: m, Plan: last.Plan}, Passage: p}
	x := &Exact{}
	if err := s.openPaper(ctx, what, o, last, p, want.label(), x); err != nil {
		return nil, err
	}
	if x.StatementHead != want.StatementHead || x.Passage != p || x.Figures == nil {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: what, Where: p.String(), Why: "inside it says that it is of another passage"}
	}
	return x, nil
}

// openPaper opens a paper that the target gate sealed about a passage.
func (s *Source) openPaper(ctx context.Context, what string, o *opening, d *evidence.Descriptor, p ecluse.Passage, label string, paper any) error {
	body, err := s.lock.GetReject(ctx, o.m, d.SHA256)
	if err != nil {
		return err
	}
	defer body.Close()
	sealed, err := io.ReadAll(io.LimitReader(body, maxExact))
	if err != nil {
		return err
	}
	if len(sealed) == maxExact {
		return &ecluse.Error{Kind: ecluse.Refused, What: what, Where: p.String(), Why: fmt.Sprintf("it is larger than the %d bytes that are opened at the most", maxExact)}
	}
	if ecluse.DigestOf(sealed) != d.SHA256 {
		return &ecluse.Error{Kind: ecluse.Unverified, What: what, Where: p.String(), Why: "its SHA-256 is not the one the target gate signed", Next: "nothing of it was used; look at the journal for who could change it"}
	}
	text, err := seal.OpenBytes(o.identity, label, sealed)
	if err != nil {
		return err
	}
	j := json.NewDecoder(bytes.NewReader(text))
	j.DisallowUnknownFields()
	if err := j.Decode(paper); err != nil { // its own words could quote a key
		format, _, _ := strings.Cut(label, " ")
		return &ecluse.Error{Kind: ecluse.Unverified, What: what, Where: p.String(), Why: "it is no " + format}
	}
	return nil
}

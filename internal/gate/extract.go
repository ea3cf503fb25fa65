package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/sluice/screen"
	"ecluse/internal/sluice/seal"
)

// ExtractStatement is extract/v1: what the source gate says of a reading, before
// its manifest is closed. Small counts of what free text holds are masked; the
// exact ones stay sealed at the source gate (Source.Findings).
type ExtractStatement struct {
	evidence.StatementHead                            // Plan is the read plan's
	Epoch                  int                        `json:"epoch"`
	Manifest               ecluse.Digest              `json:"manifest"`
	Rows                   map[ecluse.DatasetID]int64 `json:"rows"`
	Chunks                 int                        `json:"chunks"`                   // of this epoch
	Bytes                  int64                      `json:"bytes"`                    // of ciphertext, of this epoch
	Resealed               int                        `json:"resealed"`                 // chunks found changed by a later epoch
	Kept                   int                        `json:"kept"`                     // chunks of earlier epochs found equal
	Pauses                 int                        `json:"pauses,omitempty"`         // of this epoch, while others were at work on the source's server
	PausedSeconds          int64                      `json:"paused_seconds,omitempty"` // for how long in all
	Reading                int                        `json:"reading,omitempty"`        // 0: the first
	Changed                map[ecluse.DatasetID]int64 `json:"changed,omitempty"`        // of a later reading: rows of the buckets that differ, of each dataset where some do
	Added                  []string                   `json:"added"`                    // columns that came into the source after the plan was approved: refused
	Gone                   []string                   `json:"gone,omitempty"`           // columns that nobody instructed and that the source has no more
	FreeText               []FreeText                 `json:"free_text"`
	At                     time.Time                  `json:"at"`

	digest ecluse.Digest // of the statement as signed
}

// FreeText counts the values of one column of free text, and those that hold
// something shaped like personal data or a word of health, masked below ten.
type FreeText struct {
	Dataset ecluse.DatasetID `json:"dataset"`
	Column  string           `json:"column"`
	Values  string           `json:"values"`
	NIR     string           `json:"nir"`
	Email   string           `json:"email"`
	Phone   string           `json:"phone"`
	Health  string           `json:"health"`
}

// Findings are the exact counts behind FreeText, for the laboratory alone.
type Findings map[ecluse.DatasetID]map[string]screen.Findings

// masked is what others may know of them.
func (f Findings) masked() []FreeText {
	out := []FreeText{}
	for _, d := range slices.Sorted(maps.Keys(f)) {
		for _, c := range slices.Sorted(maps.Keys(f[d])) {
			x := f[d][c]
			out = append(out, FreeText{
				Dataset: d, Column: c, Values: reconcile.Mask(x.Values),
				NIR: reconcile.Mask(x.NIR), Email: reconcile.Mask(x.Email), Phone: reconcile.Mask(x.Phone), Health: reconcile.Mask(x.Health),
			})
		}
	}
	return out
}

// state seals the exact findings for this gate's own side, then signs and posts
// what the reading came to.
func (s *Source) state(ctx context.Context, permit mandate.ReadPermit, reading int, x *sluice.Extracted) (*ExtractStatement, error) {
	m := permit.Plan().Migration
	now, err := s.home.Now()
	if err != nil {
		return nil, err
	}
	to, err := age.ParseHybridRecipient(permit.Rejects())
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "read", Why: "the recipient of rejects is not a hybrid one", Err: err}
	}
	text, err := evidence.EncodeJSON(Findings(x.FreeText))
	if err != nil {
		return nil, err
	}
	sealed, err := seal.SealBytes(to, findingsLabel(m, x.Epoch), text)
	if err != nil {
		return nil, err
	}
	if err := s.home.keep(m, findingsFile(x.Epoch), sealed); err != nil {
		return nil, err
	}
	out := &ExtractStatement{
		StatementHead: evidence.StatementHead{Format: evidence.ExtractFormat, Migration: m, Plan: permit.Digest()},
		Epoch:         x.Epoch, Manifest: x.Manifest.Digest(), Rows: instructed(x.Rows), Chunks: x.Chunks, Bytes: x.Bytes, Resealed: x.Resealed, Kept: x.Kept,
		Reading: reading, Changed: x.Changed,
		Pauses: x.Pauses, PausedSeconds: int64(x.Paused / time.Second),
		Added: append([]string{}, permit.Elsewhere().Added...), Gone: permit.Elsewhere().Gone, FreeText: Findings(x.FreeText).masked(), At: now,
	}
	signed, err := evidence.SignStatement(s.home.signer, out)
	if err != nil {
		return nil, err
	}
	out.digest = signed.Digest()
	return out, s.lock.Post(ctx, m, exchange.ExtractReport, signed)
}

// instructed leaves out what Écluse adds of its own.
func instructed(rows map[ecluse.DatasetID]int64) map[ecluse.DatasetID]int64 {
	out := maps.Clone(rows)
	maps.DeleteFunc(out, func(d ecluse.DatasetID, _ int64) bool { return strings.HasPrefix(string(d), "ecluse.") })
	return out
}

func findingsFile(epoch int) string { return fmt.Sprintf("findings-%06d", epoch) }

func findingsLabel(m ecluse.MigrationID, epoch int) string {
	return fmt.Sprintf("findings/v1 %s %d", m, epoch)
}

// Findings opens the exact counts of what free text held in an epoch.
func (s *Source) Findings(m ecluse.MigrationID, epoch int) (Findings, error) {
	const what = "open the findings in free text"
	id, err := s.rejectsIdentity(what, m)
	if err != nil {
		return nil, err
	}
	sealed, err := s.home.secret(m, findingsFile(epoch))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: what, Where: findingsFile(epoch), Why: "it is not in the source gate's folder"}
	} else if err != nil {
		return nil, pathless(err)
	}
	text, err := seal.OpenBytes(id, findingsLabel(m, epoch), sealed)
	if err != nil {
		return nil, err
	}
	f := Findings{}
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: what, Where: findingsFile(epoch), Why: "it is damaged"}
	}
	return f, nil
}

// LastExtract is the latest of a source gate's statements; nil before there is one.
func LastExtract(all []evidence.Signed, source ecluse.Fingerprint) (*ExtractStatement, error) {
	var last *ExtractStatement
	for _, s := range all {
		x := &ExtractStatement{}
		if err := evidence.ParseStatement(s, source, evidence.ExtractFormat, x); err != nil {
			return nil, err
		}
		if last == nil || x.Epoch > last.Epoch {
			last = x
		}
	}
	return last, nil
}

package gate

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"

	"ecluse"
	"ecluse/evidence"
)

// Watch looks at the journal of a migration: its head must be signed by the lock
// and continue the one this gate saw last. It is cosigned and kept. A journal
// that forks stops the gate.
func (h *Home) Watch(ctx context.Context, lock Heads, m ecluse.MigrationID, signer ecluse.Fingerprint) error {
	page := h.Entry(m)
	last := &evidence.Head{Tree: string(m)}
	if page.Head != nil {
		var err error
		if last, err = evidence.ParseHead(page.Head); err != nil {
			return err
		}
	}
	signed, raw, err := lock.Head(ctx, m, last.Size)
	if err != nil {
		return err
	}
	head, err := evidence.VerifyHead(signed, signer)
	if err != nil {
		return err
	}
	proof := make(tlog.TreeProof, len(raw))
	for i, p := range raw {
		proof[i] = p
	}
	if last.Size > 0 {
		if err := evidence.CheckConsistency(proof, head, last); err != nil {
			return &ecluse.Error{
				Kind: ecluse.Unverified, What: "watch the journal", Where: string(m), Why: "it does not continue what this gate saw last: it was rewritten", Err: err,
				Next: "stop, keep the lock's folder as it is, and call the laboratory's data-protection officer",
			}
		}
	}
	own, err := evidence.SignHead(h.signer, head)
	if err != nil {
		return err
	}
	if err := lock.Cosign(ctx, m, own); err != nil {
		return err
	}
	return h.Note(m, func(e *Entry) error {
		e.Head = signed.Body
		return nil
	})
}

package gate

import (
	"context"
	"fmt"

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
	// The ledger first: this gate never signed a head that its ledger does not know.
	err = h.Note(m, func(e *Entry) error {
		e.Head = signed.Body
		return nil
	})
	if err != nil {
		return err
	}
	return lock.Cosign(ctx, m, own)
}

// notBehind compares the ledger with the newest head under which the lock has
// this gate's own signature. A ledger that was put back from a copy would let an
// old paper pass for new.
func (h *Home) notBehind(ctx context.Context, lock Heads, m ecluse.MigrationID) error {
	signed, err := lock.Cosigned(ctx, m, h.Fingerprint())
	if err != nil || signed == nil {
		return err
	}
	mine, err := evidence.VerifyHead(*signed, h.Fingerprint())
	if err != nil {
		return err
	}
	known := &evidence.Head{}
	if page := h.Entry(m); page.Head != nil {
		if known, err = evidence.ParseHead(page.Head); err != nil {
			return err
		}
	}
	if mine.Tree == string(m) && mine.Size > known.Size {
		return rolledBack(fmt.Sprintf("it has seen the journal of %s up to %d entries, and this gate signed %d", m, known.Size, mine.Size))
	}
	return nil
}

func rolledBack(why string) error {
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "open the gate", Where: ledgerFile, Why: "the ledger was put back from an older copy: " + why,
		Next: "bring the newest ledger back, or have the migration erased and a new instruction signed",
	}
}

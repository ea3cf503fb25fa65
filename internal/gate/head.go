package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"ecluse"
	"ecluse/evidence"
)

// Watch looks at the journal of a migration: its head must be signed by the lock
// and continue the one this gate saw last. It is cosigned and kept. A journal
// that forks stops the gate.
func (h *Home) Watch(ctx context.Context, lock Heads, m ecluse.MigrationID) error {
	for {
		// Another process of this gate may see more meanwhile: then what was
		// compared is not what the ledger knows, and it is compared again.
		if err := h.watch(ctx, lock, m); !errors.Is(err, errSeenMore) {
			return err
		}
	}
}

var errSeenMore = errors.New("the ledger knows another head meanwhile")

func (h *Home) watch(ctx context.Context, lock Heads, m ecluse.MigrationID) error {
	page, err := h.Entry(m)
	if err != nil {
		return err
	}
	last := &evidence.Head{Tree: string(m)}
	if page.Head != nil {
		if last, err = evidence.ParseHead(page.Head); err != nil {
			return err
		}
	}
	signed, raw, err := lock.Head(ctx, m, last.Size)
	if ecluse.KindOf(err) == ecluse.Unverified { // the lock itself finds no way from there
		return rewritten(m, err)
	}
	if err != nil {
		return err
	}
	head, err := evidence.VerifyHead(signed, h.lock)
	if err != nil {
		return err
	}
	proof := make(tlog.TreeProof, len(raw))
	for i, p := range raw {
		proof[i] = p
	}
	if err := evidence.CheckConsistency(proof, head, last); err != nil {
		return rewritten(m, err)
	}
	own, err := evidence.SignHead(h.signer, head)
	if err != nil {
		return err
	}
	// The ledger first: this gate never signed a head that its ledger does not know.
	err = h.Note(m, func(e *Entry) error {
		if !bytes.Equal(e.Head, page.Head) {
			return errSeenMore
		}
		e.Head = signed.Body
		return nil
	})
	if err != nil {
		return err
	}
	return lock.Cosign(ctx, m, own)
}

func rewritten(m ecluse.MigrationID, err error) error {
	return &ecluse.Error{
		Kind: ecluse.Unverified, What: "watch the journal", Where: string(m), Why: "it does not continue what this gate saw last: it was rewritten", Err: err,
		Next: "stop, keep the lock's folder as it is, and call the laboratory's data-protection officer",
	}
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
	// The ledger after the lock: what this gate signed stands there already.
	page, err := h.Entry(m)
	if err != nil {
		return err
	}
	known := &evidence.Head{}
	if page.Head != nil {
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

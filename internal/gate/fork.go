package gate

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"

	"ecluse"
	"ecluse/evidence"
)

// lastHead is the last head in this gate's ledger, for the other gate: nil before one.
func (h *Home) lastHead(m ecluse.MigrationID) ([]byte, error) {
	page, err := h.Entry(m)
	return page.Head, err
}

// undoing tells whether a passage is being taken out: that goes on whatever became of
// the journal, as it does when the clock is set back.
func (e *Entry) undoing() bool {
	for _, t := range e.Undone {
		if t.At.IsZero() {
			return true
		}
	}
	return false
}

// mostLooks is how often a journal that grows is looked at for both heads to be held
// against one.
const mostLooks = 200

// agrees holds the head that the other gate saw last, in words that it signed, against
// this gate's own: one journal must continue both. A lock that shows each gate another
// journal is found out here, at the latest when a lease ends.
func (h *Home) agrees(ctx context.Context, lock Heads, m ecluse.MigrationID, other []byte) error {
	own, err := h.lastHead(m)
	if err != nil || own == nil || other == nil {
		return err
	}
	theirs, err := evidence.ParseHead(other)
	if err != nil {
		return err
	}
	mine, err := evidence.ParseHead(own)
	if err != nil {
		return err
	}
	if theirs.Tree != string(m) {
		return forked(m, nil)
	}
	for range mostLooks {
		a, err := h.continues(ctx, lock, m, mine)
		if err != nil {
			return err
		}
		b, err := h.continues(ctx, lock, m, theirs)
		if err != nil {
			return err
		}
		if a.Size != b.Size {
			continue // it grew between
		}
		if a.Root != b.Root {
			return forked(m, nil)
		}
		return nil
	}
	return &ecluse.Error{Kind: ecluse.Failed, What: "compare the journal with the other gate's", Where: string(m), Why: "it grew each time it was looked at", Next: "it is tried again"}
}

// continues asks for a head that provably continues one.
func (h *Home) continues(ctx context.Context, lock Heads, m ecluse.MigrationID, from *evidence.Head) (*evidence.Head, error) {
	signed, raw, err := lock.Head(ctx, m, from.Size)
	if ecluse.KindOf(err) == ecluse.Unverified {
		return nil, forked(m, err)
	}
	if err != nil {
		return nil, err
	}
	head, err := evidence.VerifyHead(signed, h.lock)
	if err != nil {
		return nil, err
	}
	proof := make(tlog.TreeProof, len(raw))
	for i, p := range raw {
		proof[i] = p
	}
	if err := evidence.CheckConsistency(proof, head, from); err != nil {
		return nil, forked(m, err)
	}
	return head, nil
}

func forked(m ecluse.MigrationID, err error) error {
	return &ecluse.Error{
		Kind: ecluse.Unverified, What: "compare the journal with the other gate's", Where: string(m), Why: "no journal continues both: the lock shows the gates two", Err: err,
		Next: "stop, keep the lock's folder as it is, and call the laboratory's data-protection officer",
	}
}

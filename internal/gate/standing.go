package gate

import (
	"context"

	"ecluse"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
)

// standing checks, each time the release secret is lent, that the migration may still go
// on: that nobody stopped it, and that its instruction and contract run. Both gates ask,
// so that a lock which keeps a suspension from one of them stops the passage all the same,
// when the lease ends at the latest.
func (h *Home) standing(ctx context.Context, lock Papers, m ecluse.MigrationID) error {
	c, err := lock.Case(ctx, m, ecluse.Final)
	if err != nil {
		return err
	}
	t, err := h.trust(m)
	if err != nil {
		return err
	}
	if err := mandate.Stands(t, standingPapers(c)); err != nil {
		return err
	}
	_, err = h.ending(m, c) // what is signed already counts, though its signer leave before it is acted on
	return err
}

// mappingSigned checks that an operator signed the mapping in force, of a migration that
// stands.
func (h *Home) mappingSigned(m ecluse.MigrationID, c *exchange.Case) error {
	t, err := h.trust(m)
	if err != nil {
		return err
	}
	return mandate.MappingSigned(t, standingPapers(c), ecluse.DigestOf(c.Mapping))
}

// standingPapers are what mandate.Stands looks at.
func standingPapers(c *exchange.Case) mandate.Papers {
	return mandate.Papers{Rosters: c.Rosters, Contract: c.Contract, Instruction: c.Instruction, Acts: c.Acts, Gates: c.Gates}
}

// mayLend refuses to lend for a migration that does not stand. Before anything was read
// there is nothing that the secret could open, and drafts nobody signed get their
// recipients; what takes data out again is stopped by nothing.
func (s *Source) mayLend(ctx context.Context, m ecluse.MigrationID, q *leaseRequest) error {
	page, err := s.home.Entry(m)
	if err != nil || q.Undoes || nothingBegan(&page) {
		return err
	}
	return s.home.standing(ctx, s.lock, m)
}

// mayBorrow is mayLend at the target gate.
func (t *Target) mayBorrow(ctx context.Context, m ecluse.MigrationID, page *Entry) error {
	if page.undoing() || nothingBegan(page) {
		return nil
	}
	return t.home.standing(ctx, t.lock, m)
}

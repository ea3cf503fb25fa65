package gate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"filippo.io/age"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
)

// trust is what this gate knows by itself about a migration.
func (h *Home) trust(m ecluse.MigrationID) (mandate.Trust, error) {
	now, err := h.Now()
	if err != nil {
		return mandate.Trust{}, err
	}
	floors, err := h.RosterFloor()
	if err != nil {
		return mandate.Trust{}, err
	}
	page, err := h.Entry(m)
	return mandate.Trust{
		Gate: h.Fingerprint(), Roots: h.Roots(), Floors: floors, Lock: h.lock, Acted: page.Instruction, Now: now, Begun: page.inHand(), OneRoom: h.oneRoom,
	}, err
}

// inHand is when the last passage began that this gate read or loaded and that is not over:
// taken out again, carried out dry, accepted, or erased; zero: none is. What lapses in an
// open window holds on for that one, not for what comes after it.
func (e *Entry) inHand() time.Time {
	if !e.Accepted.IsZero() || !e.Erased.IsZero() {
		return time.Time{}
	}
	last := e.ReadBegun
	for p, t := range e.Passages {
		if e.Undone[p] == nil && !slices.Contains(e.Dry, p) && t.After(last) {
			last = t
		}
	}
	return last
}

// papers turns what the lock hands out into what mandate verifies.
func papers(c *exchange.Case) (mandate.Papers, *mandate.Instruction, error) {
	i, err := mandate.ParseInstruction("instruction", c.Instruction)
	if err != nil {
		return mandate.Papers{}, nil, err
	}
	p := mandate.Papers{
		Rosters: c.Rosters, Contract: c.Contract, Instruction: c.Instruction, Acts: c.Acts, ReadPlan: c.ReadPlan, Gates: c.Gates,
	}
	if p.Recipient, err = recipientOf(c.Recipients, i, evidence.ForChunks); err != nil {
		return p, i, err
	}
	p.Rejects, err = recipientOf(c.Recipients, i, evidence.ForRejects)
	return p, i, err
}

// upToDate is what comes before anything is read or loaded: the ledger is the
// newest there was, and the journal continues what it knows.
func (h *Home) upToDate(ctx context.Context, lock Heads, m ecluse.MigrationID) error {
	if err := h.notBehind(ctx, lock, m); err != nil {
		return err
	}
	return h.Watch(ctx, lock, m)
}

// saw raises the ledger's floor to the rosters of a case that was verified.
func (h *Home) saw(c *exchange.Case) error {
	numbers := map[ecluse.Side]int{}
	for _, s := range c.Rosters {
		r, err := evidence.ParseRoster("roster", s.Body)
		if err != nil {
			return err
		}
		numbers[r.Side] = max(numbers[r.Side], r.Number)
	}
	return h.SawRosters(numbers)
}

// waiting refuses to begin before a plan stands.
func waiting(text []byte, what, next string) error {
	if text != nil {
		return nil
	}
	return &ecluse.Error{Kind: ecluse.WaitsForSign, What: what, Why: "no plan stands for it", Next: next}
}

// permit verifies everything and compiles the read plan again. What it finds is
// noted in the ledger before anything is read: a plan that began here is the one
// that goes on.
func (s *Source) permit(ctx context.Context, m ecluse.MigrationID, reading int) (mandate.ReadPermit, age.Recipient, error) {
	var none mandate.ReadPermit
	c, err := s.lock.Case(ctx, m, ecluse.Final)
	if err != nil {
		return none, nil, err
	}
	if err := waiting(c.ReadPlan, "read", "ecluse plan, then ecluse approve by both parties"); err != nil {
		return none, nil, err
	}
	if err := s.home.upToDate(ctx, s.lock, m); err != nil {
		return none, nil, err
	}
	t, err := s.home.trust(m)
	if err != nil {
		return none, nil, err
	}
	p, _, err := papers(c)
	if err != nil {
		return none, nil, err
	}
	catalogue, err := s.db.Catalogue(ctx)
	if err != nil {
		return none, nil, err
	}
	page, err := s.home.Entry(m)
	if err != nil {
		return none, nil, err
	}
	digest := ecluse.DigestOf(c.ReadPlan)
	if err := page.goesOn(digest, page.ReadPlan, page.ReadBegun); err != nil {
		return none, nil, err
	}
	if err := s.notBehindEpoch(ctx, m); err != nil {
		return none, nil, err
	}
	permit, err := mandate.PermitRead(mandate.ReadPermitInputs{
		Trust: t, Papers: p, Source: catalogue, Procedure: s.procedure, Dialect: s.dialect, BegunAt: page.ReadBegun,
		Again: reading > 0 && reading >= page.Readings, AgainAt: page.Again.since(reading),
	})
	if err != nil {
		return none, nil, err
	}
	to, err := age.ParseHybridRecipient(permit.Recipient())
	if err != nil {
		return none, nil, &ecluse.Error{Kind: ecluse.Unverified, What: "read", Why: "the recipient is not a hybrid one", Err: err}
	}
	if err := s.home.saw(c); err != nil {
		return none, nil, err
	}
	return permit, to, s.home.Note(m, func(e *Entry) error {
		e.Instruction, e.ReadPlan = permit.Plan().Instruction, digest
		if e.ReadBegun.IsZero() {
			e.ReadBegun = t.Now
		}
		return nil
	})
}

// notBehindEpoch looks at the chunks that this gate itself signed: none can be of
// an epoch that its ledger does not know.
func (s *Source) notBehindEpoch(ctx context.Context, m ecluse.MigrationID) error {
	there, err := s.lock.Slots(ctx, m)
	if err != nil {
		return err
	}
	page, err := s.home.Entry(m)
	if err != nil {
		return err
	}
	for _, x := range there {
		if d, err := evidence.ParseDescriptor(x, s.home.Fingerprint()); err == nil && d.Epoch > page.Epoch {
			return rolledBack(fmt.Sprintf("it knows %d epochs of %s, and this gate signed a chunk of epoch %d", page.Epoch, m, d.Epoch))
		}
	}
	return nil
}

// goesOn refuses another plan than the one that began.
func (e *Entry) goesOn(plan, begun ecluse.Digest, at time.Time) error {
	switch {
	case !e.Erased.IsZero():
		return &ecluse.Error{Kind: ecluse.Refused, What: "open the gate", Why: "this gate has erased its half of the migration's key on " + e.Erased.Format(time.RFC3339), Err: exchange.ErrErased}
	case !at.IsZero() && plan != begun:
		return &ecluse.Error{
			Kind: ecluse.Differs, What: "open the gate", Why: "another plan began here: " + begun.String(),
			Next: "go on with that one, or have the migration erased and a new instruction signed", Article: "GDPR art. 29",
		}
	}
	return nil
}

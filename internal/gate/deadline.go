package gate

import (
	"context"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
)

// deadlinesEvery is how often a gate looks whether an end comes near.
const deadlinesEvery = 10 * time.Minute

// WatchDeadlines tells whoever stands beside a gate of the ends that come near of the
// migrations that it knows, each once a warning, until ctx ends. It is display only, by
// papers that it reads itself: what the gate may do is judged when it does it.
func WatchDeadlines(ctx context.Context, h *Home, papers Papers, tell func(Doing)) {
	type warning struct {
		m ecluse.MigrationID
		d exchange.Deadline
	}
	told := map[warning]bool{}
	for {
		known, err := h.Migrations()
		for _, m := range known {
			for _, d := range near(ctx, h, papers, m) {
				if w := (warning{m, d}); !told[w] {
					told[w] = true
					tell(Doing{Work: exchange.Work{Migration: m}, Near: &d})
				}
			}
		}
		pause := deadlinesEvery
		if err != nil || len(known) == 0 {
			pause = longPause
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// near lists what ends soon of a migration; nothing when its papers cannot be read, which
// is told where they are needed, and of one that is over.
func near(ctx context.Context, h *Home, papers Papers, m ecluse.MigrationID) []exchange.Deadline {
	now, err := h.Latest()
	if err != nil {
		return nil
	}
	if e, err := h.Entry(m); err != nil || !e.Erased.IsZero() {
		return nil
	}
	c, err := papers.Case(ctx, m, ecluse.Final)
	if err != nil {
		return nil
	}
	i, err := mandate.ParseInstruction("instruction", c.Instruction)
	if err != nil || now.After(i.EraseBy) {
		return nil
	}
	contract, err := mandate.ParseContract("contract", c.Contract)
	if err != nil {
		return nil
	}
	var all []exchange.Deadline
	for _, d := range mandate.Deadlines(contract, i, rostersOf(c), now) {
		if x, soon := exchange.Near(string(d.Of), d.Side, d.At, now); soon {
			all = append(all, x)
		}
	}
	return all
}

// rostersOf reads what rosters can be read: whether they hold is judged where they permit.
func rostersOf(c *exchange.Case) []*evidence.Roster {
	var rosters []*evidence.Roster
	for _, s := range c.Rosters {
		if r, err := evidence.ParseRoster("roster", s.Body); err == nil {
			rosters = append(rosters, r)
		}
	}
	return rosters
}

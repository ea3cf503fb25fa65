package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ecluse"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
)

// ending is what this gate can know of a migration's end from the papers that the lock
// shows, by its own roots and ledger. An acceptance that verifies is noted: the load
// that it keeps is not taken out any more.
func (h *Home) ending(m ecluse.MigrationID, c *exchange.Case) (mandate.Ending, error) {
	now, err := h.Latest()
	if err != nil {
		return mandate.Ending{}, err
	}
	floors, err := h.RosterFloor()
	if err != nil {
		return mandate.Ending{}, err
	}
	page, err := h.Entry(m)
	if err != nil {
		return mandate.Ending{}, err
	}
	known := map[ecluse.Digest]bool{}
	for _, d := range page.Counted {
		known[d] = true
	}
	e := mandate.Ended(
		mandate.Trust{Gate: h.Fingerprint(), Roots: h.Roots(), Floors: floors, Known: known, Acted: page.Instruction, Now: now}, m,
		mandate.Papers{Rosters: c.Rosters, Contract: c.Contract, Instruction: c.Instruction, Acts: c.Acts},
	)
	if e.Accepted.IsZero() {
		e.Accepted = page.Accepted // what was seen once is not taken back
	}
	unknown := func(d ecluse.Digest) bool { return !known[d] }
	if page.Accepted != e.Accepted && page.Accepted.IsZero() || slices.ContainsFunc(e.Counted, unknown) {
		err = h.Note(m, func(p *Entry) error {
			if p.Accepted.IsZero() {
				p.Accepted = e.Accepted
			}
			for _, d := range e.Counted {
				if !slices.Contains(p.Counted, d) {
					p.Counted = append(p.Counted, d)
				}
			}
			return nil
		})
	}
	for p := range page.Plans {
		if !strings.HasPrefix(p, string(ecluse.Final)+"-") || page.Undone[p] != nil || !page.Live[p].Act.IsZero() {
			continue
		}
		if live := e.Live(page.loaded(p)); !live.IsZero() { // nor is that taken back
			err = errors.Join(err, h.Note(m, func(n *Entry) error { n.Live[p] = Went{live, e.WentAt(n.loaded(p))}; return nil }))
		}
	}
	return e, err
}

// struckOff says why an acceptance is none here; nil when none such was shown.
func struckOff(e *mandate.Ending) error {
	if e.Shown.IsZero() {
		return nil
	}
	return &ecluse.Error{
		Kind: ecluse.Unverified, What: "verify acceptance", Where: e.Shown.String(),
		Why: "who signed it is not on the controller's newest roster in that role, and this gate had not seen it before",
	}
}

// keeps is the acceptance that leaves a load where it is, by whoever was on the roster on the
// day that it names; zero: there is none.
func keeps(e *mandate.Ending) ecluse.Digest {
	if e.Accepted.IsZero() {
		return e.Shown
	}
	return e.Accepted
}

// mayErase refuses to destroy this gate's half of a migration's key before its time. A
// lock's asking is no ground: the controller accepted or ordered it, the deadline or the
// contract is over by this gate's own clock, or nothing ever began here.
func (h *Home) mayErase(ctx context.Context, lock Papers, m ecluse.MigrationID) error {
	page, err := h.Entry(m)
	if err != nil {
		return err
	}
	if !page.Erased.IsZero() || nothingBegan(&page) {
		return nil
	}
	c, err := lock.Case(ctx, m, ecluse.Final)
	if err != nil {
		return err
	}
	e, err := h.ending(m, c)
	if err != nil {
		return err
	}
	now, err := h.Latest()
	if err != nil || e.Over(now.Add(clockSlack)) != "" { // the lock's clock may be a little ahead
		return err
	}
	why := "no signature of the controller that verifies accepts a load or orders it"
	if e.Deadline.IsZero() {
		why += ", and no instruction that verifies gives a deadline"
	} else {
		why += fmt.Sprintf(", and by this gate's clock the deadline is on %s, and it is %s", e.Deadline.UTC().Format(time.RFC3339), now.Format(time.RFC3339))
	}
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "destroy this gate's half of the key", Where: string(m), Why: why, Err: struckOff(&e), Article: "GDPR art. 29",
		Next: "let the controller sign it: ecluse erase --because … --as KEY; if the deadline has passed elsewhere, set this machine's clock right",
	}
}

// nothingBegan tells whether nothing was read or loaded here: what is destroyed then
// has opened nothing, and drafts of instructions that nobody signed come and go.
func nothingBegan(page *Entry) bool {
	return page.ReadBegun.IsZero() && page.Epoch == 0 && len(page.Passages) == 0 && len(page.Undone) == 0
}

// loaded is what the ledger has of a passage.
func (e *Entry) loaded(p string) mandate.Loaded {
	l := mandate.Loaded{Plan: e.Plans[p], Under: e.Under[p], Begun: e.Passages[p], Went: e.Live[p].At}
	if c := e.Compared[p]; c != nil {
		l.Reports = c.Reports
	}
	for other, t := range e.Undone {
		if other != p {
			l.Spent = append(l.Spent, t.By...)
		}
	}
	return l
}

// seesGo looks what the lock shows of a go, so that it is in the ledger before anybody could
// take it away again.
func (h *Home) seesGo(ctx context.Context, lock Papers, m ecluse.MigrationID) error {
	page, err := h.Entry(m)
	if err != nil || len(page.Compared) == 0 {
		return err
	}
	c, err := lock.Case(ctx, m, ecluse.Final)
	if err != nil {
		return err
	}
	_, err = h.ending(m, c)
	return err
}

// mayUndo returns the acts that order a final passage undone. It refuses to take out what
// the controller accepted; what the laboratory works in since a go, seen now or ever; and
// what this gate reported, so that a go may have been said that it is not shown: but for an
// order by somebody who may, or, where no go was seen, when all is over by this gate's own
// clock.
func (h *Home) mayUndo(m ecluse.MigrationID, c *exchange.Case, p ecluse.Passage) ([]ecluse.Digest, error) {
	e, err := h.ending(m, c)
	if err != nil || p.Kind != ecluse.Final {
		return nil, err
	}
	page, err := h.Entry(m)
	if err != nil {
		return nil, err
	}
	now, err := h.Latest()
	if err != nil {
		return nil, err
	}
	refuse := func(why, article, next string) ([]ecluse.Digest, error) {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "undo", Where: p.String(), Why: why, Article: article, Next: next}
	}
	const order = "who wants it undone orders it and says why: ecluse undo --because … --as KEY"
	ordered, live := e.Undone(page.loaded(p.String())), page.Live[p.String()].Act
	switch t := page.Undone[p.String()]; {
	case t != nil && !t.At.IsZero(): // out already, before another was accepted
		return nil, nil
	case !keeps(&e).IsZero():
		return refuse("the controller has accepted the load: "+keeps(&e).String(), "GDPR art. 29", "what was accepted stays; who asks for this otherwise than by signature is to be asked why")
	case len(ordered) > 0:
		return ordered, nil
	case !live.IsZero():
		return refuse("the laboratory works in it since the controller said go: "+live.String(), "GDPR art. 32(1)(b)", order)
	case page.Compared[p.String()] != nil && e.Over(now.Add(clockSlack)) == "":
		return refuse("this gate reported it, and nobody who may ordered it undone since by a signature that verifies", "GDPR art. 32(1)(b)", order)
	}
	return nil, nil
}

// mayKeep refuses to let go of a passage that nobody accepted: without its markers it
// could not be taken out again.
func (h *Home) mayKeep(m ecluse.MigrationID, c *exchange.Case, p ecluse.Passage) error {
	e, err := h.ending(m, c)
	if err != nil || !e.Accepted.IsZero() {
		return err
	}
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "keep", Where: p.String(), Why: "no acceptance by the controller's signatory verifies", Err: struckOff(&e), Article: "GDPR art. 29",
		Next: "accept the load: ecluse accept --as KEY; or undo it",
	}
}

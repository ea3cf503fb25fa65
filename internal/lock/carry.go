package lock

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/store"
	"ecluse/internal/store/sqlite"
)

// A source gate that no line reaches is asked, and answers, by what is carried by hand
// (exchange.Dispatch, exchange.Return). What is asked of it stays asked, whoever asked:
// the answer is there when the same thing is asked again.

// noLine tells whether a gate said, and the controller confirmed, that no line reaches it.
func (l *Lock) noLine(ctx context.Context, gate ecluse.Fingerprint) (bool, error) {
	all, err := l.enrolledNow(ctx)
	if err != nil {
		return false, err
	}
	return withoutLine(all, gate, false), nil
}

// carriedFor finds the gate meant: the one named, or the only one without a line. One that
// was retired is carried to as well while it has keys to destroy (Standing).
func (l *Lock) carriedFor(ctx context.Context, gate ecluse.Fingerprint) (ecluse.Fingerprint, error) {
	all, err := l.Gates(ctx)
	if err != nil {
		return "", err
	}
	all = slices.DeleteFunc(all, func(v exchange.GateView) bool { return !v.NoLine || gate != "" && v.Gate != gate })
	var let []ecluse.Fingerprint
	for _, v := range all {
		s, err := l.Standing(ctx, v.Gate)
		if err != nil {
			return "", err
		}
		if s != Stranger {
			let = append(let, v.Gate)
		}
	}
	if len(let) == 1 {
		return let[0], nil
	}
	where := string(gate)
	why := fmt.Sprintf("%d gates said that no line reaches them, and were confirmed", len(let))
	if gate != "" {
		why = "it is no gate that said so of itself, and was confirmed"
	}
	return "", &ecluse.Error{
		Kind: ecluse.Invalid, What: "find the gate without a line", Where: where, Why: why,
		Next: "ecluse gates lists them; name one with --gate; one is enrolled with: ecluse gate enrol … --carried FOLDER",
	}
}

// CarryOut says all that a gate without a line needs to go on, under the lock's signature.
func (s *Person) CarryOut(ctx context.Context, gate ecluse.Fingerprint) (*evidence.Signed, error) {
	gate, err := s.carriedFor(ctx, gate)
	if err != nil {
		return nil, err
	}
	over, err := s.inTurn(ctx) // what comes in meanwhile would be in the cases and not in Came, or the other way round
	if err != nil {
		return nil, err
	}
	defer over()
	d := &exchange.Dispatch{Format: exchange.DispatchFormat, Lock: s.Key(), Gate: gate, Work: []exchange.Work{}, Cases: []exchange.CarriedCase{}}
	if err := s.withdrawIdle(ctx, gate); err != nil {
		return nil, err
	}
	wanted, err := s.wanted(ctx, gate)
	if err != nil {
		return nil, err
	}
	d.Work = append(d.Work, wanted...)
	migrations, err := s.store.Migrations(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range migrations {
		c, err := s.carriedOf(ctx, gate, m, wanted)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil { // the others of the laboratory go on; nothing is asked about this one
			s.alert(ctx, m.ID, err)
			d.Work = slices.DeleteFunc(d.Work, func(w exchange.Work) bool { return w.Migration == m.ID })
			continue
		}
		if c != nil {
			d.Cases = append(d.Cases, *c)
		}
	}
	event := journal.Event{Tree: evidence.InstallationTree, Type: journal.CarriedOut, IDs: map[string]string{"gate": string(gate)}, Numbers: map[string]int64{}, Body: s.carrier()}
	var signed evidence.Signed
	err = s.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		c, err := tx.Carried(ctx, gate)
		if err != nil {
			return err
		}
		c.Number++
		d.Number, d.Made, d.Came = c.Number, tx.Now().UTC().Truncate(time.Second), exchange.Came{Number: c.Came, Items: c.Items}
		if d.Left, err = giveUp(ctx, tx, gate, d.Work); err != nil {
			return err
		}
		event.Numbers["number"], event.Numbers["works"] = c.Number, int64(len(d.Work))
		text, err := evidence.EncodeJSON(d)
		if err != nil {
			return err
		}
		if signed, err = evidence.Sign(s.signer, evidence.NamespaceCarried, text); err != nil {
			return err
		}
		return tx.CarriedOut(ctx, gate, c.Number)
	})
	return &signed, err
}

// giveUp gives up what was left of a migration that a gate is asked about anew: it would do it
// twice. Of one that is over nothing comes in any more, wherever its folder is. It lists the returns of which something is left all the same.
func giveUp(ctx context.Context, tx *sqlite.Tx, gate ecluse.Fingerprint, asked []exchange.Work) ([]int64, error) {
	for _, w := range asked {
		if w.Verb == exchange.Lend || w.Verb == exchange.Look { // which are done anew and change nothing
			continue
		}
		if err := tx.AskCarriedAnew(ctx, gate, w.Migration); err != nil {
			return nil, err
		}
	}
	all, err := tx.CarriedLeft(ctx, gate)
	if err != nil {
		return nil, err
	}
	var numbers []int64
	for _, x := range all {
		over, err := isOver(ctx, tx, x.Migration)
		switch {
		case err != nil:
			return nil, err
		case over:
			if err := tx.TakeCarried(ctx, gate, x.Number, x.Item); err != nil {
				return nil, err
			}
		case !x.Anew:
			numbers = append(numbers, x.Number)
		}
	}
	return slices.Compact(numbers), nil
}

// carriedOf gathers what a gate may ask about a migration; nil when it is none of its, or is
// over and nothing is asked about it.
func (s *Person) carriedOf(ctx context.Context, gate ecluse.Fingerprint, m store.Migration, wanted []exchange.Work) (*exchange.CarriedCase, error) {
	source, _, err := s.gates(ctx, m.ID)
	if ecluse.KindOf(err) == ecluse.WaitsForSign || err == nil && source != gate {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !m.Ended.IsZero() && !slices.ContainsFunc(wanted, func(w exchange.Work) bool { return w.Migration == m.ID }) {
		return nil, nil
	}
	return s.carriedCase(ctx, m.ID)
}

// carrier is who carries, for the part of the journal that may be forgotten.
func (s *Person) carrier() journal.Body {
	return journal.Carrier{Side: s.roster.Side, Person: journal.PersonID(s.person.ID)}
}

// carriedCase gathers what a source gate may ask about a migration.
func (l *Lock) carriedCase(ctx context.Context, m ecluse.MigrationID) (*exchange.CarriedCase, error) {
	c := &exchange.CarriedCase{
		Migration: m, Papers: map[exchange.Paper][]evidence.Signed{}, Leaves: [][]byte{},
		Cosigned: map[ecluse.Fingerprint]evidence.Signed{},
	}
	var err error
	// What a source gate looks at in it is the same of every kind.
	if c.Case, err = l.Case(ctx, m, ecluse.Final); err != nil {
		return nil, err
	}
	for _, kind := range exchange.PapersOfGates() {
		if c.Papers[kind], err = l.Posted(ctx, m, kind); err != nil {
			return nil, err
		}
	}
	if c.Slots, err = l.Slots(ctx, m); err != nil {
		return nil, err
	}
	if c.Manifest, err = l.Manifest(ctx, m); err != nil {
		return nil, err
	}
	if c.Rejects, err = l.Rejects(ctx, m); err != nil {
		return nil, err
	}
	if c.Asked, err = l.Asked(ctx, m); err != nil {
		return nil, err
	}
	source, target, err := l.gates(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, g := range []ecluse.Fingerprint{source, target} {
		s, err := l.Cosigned(ctx, m, g)
		if err != nil {
			return nil, err
		}
		if s != nil {
			c.Cosigned[g] = *s
		}
	}
	if c.Head, err = l.log.Head(ctx, string(m)); err != nil {
		return nil, err
	}
	head, err := evidence.ParseHead(c.Head.Body)
	if err != nil {
		return nil, err
	}
	raw, _, err := l.log.Leaves(ctx, string(m), 0, head.Size)
	if err != nil {
		return nil, err
	}
	for _, leaf := range raw {
		h := evidence.LeafHash(leaf)
		c.Leaves = append(c.Leaves, h[:])
	}
	return c, nil
}

// CarryReject opens rows put aside, sealed to the source gate, to be carried to it.
func (s *Person) CarryReject(ctx context.Context, m ecluse.MigrationID, sha256 ecluse.Digest) (io.ReadCloser, error) {
	source, _, err := s.gates(ctx, m)
	if err != nil {
		return nil, err
	}
	if _, err := s.carriedFor(ctx, source); err != nil {
		return nil, err
	}
	return s.GetReject(ctx, m, sha256)
}

// CarryPaper takes in what a gate without a line says of itself.
func (s *Person) CarryPaper(ctx context.Context, paper evidence.Signed) error {
	_, err := s.Enrol(ctx, paper)
	return err
}

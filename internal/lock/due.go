package lock

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/due"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/procedure"
	"ecluse/internal/store"
	"ecluse/internal/store/sqlite"
)

// Due does what is due. A clock that was set back stops everything else: no
// deadline moves.
func (l *Lock) Due(ctx context.Context) (*exchange.DueView, error) {
	rep, err := l.due.Run(ctx)
	if err != nil {
		return nil, err
	}
	v, err := l.dueView(ctx, rep)
	if err != nil {
		return nil, err
	}
	return v, rep.Check()
}

// Watch does what becomes due until the context ends.
func (l *Lock) Watch(ctx context.Context, tell func(exchange.DueView)) error {
	return l.due.Watch(ctx, func(rep due.Report, err error) {
		v, _ := l.dueView(ctx, rep)
		if v == nil {
			v = &exchange.DueView{Now: rep.Now}
		}
		if err != nil {
			v.Failed = append(v.Failed, exchange.DueItem{Why: err.Error()})
		}
		tell(*v)
	})
}

func (l *Lock) dueView(ctx context.Context, rep due.Report) (*exchange.DueView, error) {
	v := &exchange.DueView{Now: rep.Now, Done: []exchange.DueItem{}, Failed: []exchange.DueItem{}}
	for _, it := range rep.Done {
		v.Done = append(v.Done, exchange.DueItem{What: it.Kind, Migration: it.Migration})
	}
	for _, f := range rep.Failed {
		v.Failed = append(v.Failed, exchange.DueItem{What: f.Item.Kind, Migration: f.Item.Migration, Why: f.Err.Error(), Kind: ecluse.KindOf(f.Err)})
	}
	var err error
	v.Next, err = l.store.Next(ctx)
	return v, err
}

// runner says what each kind of item does.
func (l *Lock) runner() (*due.Runner, error) {
	return due.New(l.store, map[due.Kind]due.Action{
		due.Erase:         func(ctx context.Context, it due.Item, _ time.Time) error { return l.erase(ctx, it.Migration, it.At) },
		due.WarnErase:     l.warn,
		due.ContractEnd:   l.contractEnd,
		due.WarnContract:  l.warn,
		due.WarnRoster:    l.warnRoster,
		due.RosterAge:     l.warnRoster,
		due.ApprovalLapse: l.lapse,
		due.RehearsalEnd:  l.rehearsalEnd,
		due.LeaseEnd: func(ctx context.Context, it due.Item, _ time.Time) error {
			request, err := ecluse.ParseDigest(it.Subject)
			if err != nil {
				return err
			}
			return l.store.Do(ctx, journal.Event{Tree: string(it.Migration), Type: journal.LeaseEnded, IDs: map[string]string{"request": it.Subject}},
				func(tx *sqlite.Tx) error { return tx.EndLease(ctx, request) })
		},
		due.Hunt: l.hunt,
		due.Forget: func(ctx context.Context, _ due.Item, now time.Time) error {
			if err := l.store.ForgetWork(ctx, now.Add(-workLife)); err != nil {
				return err
			}
			if _, err := l.store.Forget(ctx, now.Add(-due.BodyLife)); err != nil {
				return err
			}
			err := l.store.Do(ctx, journal.Event{Tree: evidence.InstallationTree, Type: journal.Warned, IDs: map[string]string{"kind": string(due.Forget)}},
				func(tx *sqlite.Tx) error {
					enrolled, err := l.enrolled(ctx, tx, tx.Now())
					if err != nil {
						return err
					}
					if err := dropLapsed(ctx, tx, enrolled); err != nil {
						return err
					}
					return tx.Schedule(ctx, ecluse.Digest{}, due.Item{Kind: due.Forget, Subject: now.Format(time.DateOnly), At: now.AddDate(0, 1, 0)})
				})
			return errors.Join(err, l.store.RemoveDropped(ctx))
		},
	})
}

// warn journals a warning; status shows the deadline.
func (l *Lock) warn(ctx context.Context, it due.Item, _ time.Time) error {
	tree := string(it.Migration)
	if tree == "" {
		tree = evidence.InstallationTree
	}
	event := journal.Event{Tree: tree, Type: journal.Warned, IDs: map[string]string{"kind": string(it.Kind)}}
	if d := due.Ahead(it); d > 0 {
		event.Numbers = map[string]int64{"hours": int64(d / time.Hour)}
	}
	return l.store.Do(ctx, event, nil)
}

// warnRoster is warn, of a roster that no later one of its side came after.
func (l *Lock) warnRoster(ctx context.Context, it due.Item, now time.Time) error {
	digest, _, _ := strings.Cut(it.Subject, " ")
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		all, err := l.store.Rosters(ctx, side)
		if err != nil {
			return err
		}
		if n := len(all); n > 0 && all[n-1].Digest.String() == digest {
			return l.warn(ctx, it, now)
		}
	}
	return nil
}

// lapse takes back an approval whose passage did not begin within 72 hours.
func (l *Lock) lapse(ctx context.Context, it due.Item, _ time.Time) error {
	mig, err := l.store.Migration(ctx, it.Migration)
	if err != nil {
		return err
	}
	v, err := l.lapsing(ctx, it.Migration, mig.Place, it.Subject)
	if err != nil || v == "" {
		return err
	}
	return l.move(ctx, it.Migration, journal.ApprovalLapsed, v, procedure.Lock)
}

// lapsing is the move by which the approval of a plan lapses; none when what it approves
// began, or another plan is in force.
func (l *Lock) lapsing(ctx context.Context, m ecluse.MigrationID, p procedure.Place, plan string) (procedure.Verb, error) {
	for _, v := range []procedure.Verb{procedure.LapseRead, procedure.LapseLoad} {
		if _, err := procedure.Next(p, v, procedure.Lock); err != nil {
			continue
		}
		kind := evidence.KindReadPlan
		if v == procedure.LapseLoad {
			kind = exchange.KindLoadPlan(p.Kind)
		}
		current, err := l.store.Current(ctx, m, kind)
		if err != nil {
			return "", err
		}
		if current.String() == plan {
			return v, nil
		}
	}
	return "", nil
}

// rehearsalEnd takes a rehearsal that nobody undid out of the test base.
func (l *Lock) rehearsalEnd(ctx context.Context, it due.Item, _ time.Time) error {
	mig, err := l.store.Migration(ctx, it.Migration)
	if err != nil {
		return err
	}
	passages, err := l.store.Passages(ctx, it.Migration)
	if err != nil {
		return err
	}
	stands := func(p store.Passage) bool { return p.Ended.IsZero() && p.String() == it.Subject }
	if mig.Place.Kind != ecluse.Rehearsal || !slices.ContainsFunc(passages, stands) {
		return nil
	}
	return l.undoUnaccepted(ctx, it.Migration)
}

// contractEnd brings forward the erasure of every migration under a contract. One
// that fails, or is overdue already, keeps none of the others.
func (l *Lock) contractEnd(ctx context.Context, it due.Item, now time.Time) error {
	all, err := l.store.Migrations(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, m := range all {
		if m.Contract.String() != it.Subject || !m.Ended.IsZero() {
			continue
		}
		if sooner, err := l.erasesBy(ctx, m.ID, now); sooner || err != nil {
			failed = append(failed, err)
			continue
		}
		err := l.store.Do(ctx, journal.Event{Tree: string(m.ID), Type: journal.ContractEnded, IDs: map[string]string{"contract": it.Subject}},
			func(tx *sqlite.Tx) error {
				return tx.Schedule(ctx, ecluse.Digest{}, due.Item{Kind: due.Erase, Migration: m.ID, At: now})
			})
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// erasesBy tells whether a migration's erasure is open and due by then.
func (l *Lock) erasesBy(ctx context.Context, m ecluse.MigrationID, then time.Time) (bool, error) {
	items, err := l.store.Items(ctx, m)
	return slices.ContainsFunc(items, func(it due.Item) bool { return it.Kind == due.Erase && !it.At.After(then) }), err
}

package app

import (
	"context"
	"errors"
	"slices"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/due"
	"ecluse/internal/journal"
	"ecluse/internal/procedure"
	"ecluse/internal/store/sqlite"
)

// DueView is what a look at the table of what is due came to.
type DueView struct {
	Now    time.Time `json:"now"`
	Done   []DueItem `json:"done"`
	Failed []DueItem `json:"failed"`
	Next   time.Time `json:"next,omitzero"`
}

// DueItem is a line of it.
type DueItem struct {
	What      due.Kind           `json:"what"`
	Migration ecluse.MigrationID `json:"migration,omitempty"`
	Why       string             `json:"why,omitempty"` // it failed

	kind ecluse.Kind // of the failure
}

// Due does what is due. A clock that was set back stops everything else: no
// deadline moves.
func (r *Room) Due(ctx context.Context) (*DueView, error) {
	runner, err := r.runner()
	if err != nil {
		return nil, err
	}
	rep, err := runner.Run(ctx)
	if err != nil {
		return nil, err
	}
	v, err := r.dueView(ctx, rep)
	if err != nil {
		return nil, err
	}
	return v, rep.Check()
}

// Watch does what becomes due until the context ends.
func (r *Room) Watch(ctx context.Context, tell func(DueView)) error {
	runner, err := r.runner()
	if err != nil {
		return err
	}
	return runner.Watch(ctx, func(rep due.Report, err error) {
		v, _ := r.dueView(ctx, rep)
		if v == nil {
			v = &DueView{Now: rep.Now}
		}
		if err != nil {
			v.Failed = append(v.Failed, DueItem{Why: err.Error()})
		}
		tell(*v)
	})
}

func (r *Room) dueView(ctx context.Context, rep due.Report) (*DueView, error) {
	v := &DueView{Now: rep.Now, Done: []DueItem{}, Failed: []DueItem{}}
	for _, it := range rep.Done {
		v.Done = append(v.Done, DueItem{What: it.Kind, Migration: it.Migration})
	}
	for _, f := range rep.Failed {
		v.Failed = append(v.Failed, DueItem{What: f.Item.Kind, Migration: f.Item.Migration, Why: f.Err.Error(), kind: ecluse.KindOf(f.Err)})
	}
	var err error
	v.Next, err = r.lock.store.Next(ctx)
	return v, err
}

// runner says what each kind of item does.
func (r *Room) runner() (*due.Runner, error) {
	return due.New(r.lock.store, map[due.Kind]due.Action{
		due.Erase:         func(ctx context.Context, it due.Item, _ time.Time) error { return r.erase(ctx, it.Migration, it.At) },
		due.WarnErase:     r.warn,
		due.ContractEnd:   r.contractEnd,
		due.WarnContract:  r.warn,
		due.RosterAge:     r.warn,
		due.ApprovalLapse: r.lapse,
		due.LeaseEnd: func(ctx context.Context, it due.Item, _ time.Time) error {
			request, err := ecluse.ParseDigest(it.Subject)
			if err != nil {
				return err
			}
			return r.lock.store.Do(ctx, journal.Event{Tree: string(it.Migration), Type: journal.LeaseEnded, IDs: map[string]string{"request": it.Subject}},
				func(tx *sqlite.Tx) error { return tx.EndLease(ctx, request) })
		},
		due.Hunt: r.hunt,
		due.Forget: func(ctx context.Context, _ due.Item, now time.Time) error {
			if _, err := r.lock.store.Forget(ctx, now.Add(-due.BodyLife)); err != nil {
				return err
			}
			return r.lock.store.Do(ctx, journal.Event{Tree: evidence.InstallationTree, Type: journal.Warned, IDs: map[string]string{"kind": string(due.Forget)}},
				func(tx *sqlite.Tx) error {
					return tx.Schedule(ctx, ecluse.Digest{}, due.Item{Kind: due.Forget, Subject: now.Format(time.DateOnly), At: now.AddDate(0, 1, 0)})
				})
		},
	})
}

// warn journals a warning; status shows the deadline.
func (r *Room) warn(ctx context.Context, it due.Item, _ time.Time) error {
	tree := string(it.Migration)
	if tree == "" {
		tree = evidence.InstallationTree
	}
	return r.lock.store.Do(ctx, journal.Event{Tree: tree, Type: journal.Warned, IDs: map[string]string{"kind": string(it.Kind)}}, nil)
}

// lapse takes back an approval whose passage did not begin within 72 hours.
func (r *Room) lapse(ctx context.Context, it due.Item, _ time.Time) error {
	mig, err := r.lock.store.Migration(ctx, it.Migration)
	if err != nil {
		return err
	}
	for _, v := range []procedure.Verb{procedure.LapseRead, procedure.LapseLoad} {
		if _, err := procedure.Next(mig.Place, v, procedure.Lock); err != nil {
			continue // it began meanwhile, or another plan is in force
		}
		kind := evidence.KindReadPlan
		if v == procedure.LapseLoad {
			kind = kindLoadPlan(mig.Place.Kind)
		}
		current, err := r.lock.store.Current(ctx, it.Migration, kind)
		if err != nil {
			return err
		}
		if current.String() != it.Subject {
			continue
		}
		if err := r.move(ctx, it.Migration, journal.ApprovalLapsed, v, procedure.Lock); err != nil {
			return err
		}
	}
	return nil
}

// contractEnd brings forward the erasure of every migration under a contract. One
// that fails, or is overdue already, keeps none of the others.
func (r *Room) contractEnd(ctx context.Context, it due.Item, now time.Time) error {
	all, err := r.lock.store.Migrations(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, m := range all {
		if m.Contract.String() != it.Subject || !m.Ended.IsZero() {
			continue
		}
		if sooner, err := r.lock.erasesBy(ctx, m.ID, now); sooner || err != nil {
			failed = append(failed, err)
			continue
		}
		err := r.lock.store.Do(ctx, journal.Event{Tree: string(m.ID), Type: journal.ContractEnded, IDs: map[string]string{"contract": it.Subject}},
			func(tx *sqlite.Tx) error {
				return tx.Schedule(ctx, ecluse.Digest{}, due.Item{Kind: due.Erase, Migration: m.ID, At: now})
			})
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// erasesBy tells whether a migration's erasure is open and due by then.
func (l *lock) erasesBy(ctx context.Context, m ecluse.MigrationID, then time.Time) (bool, error) {
	items, err := l.store.Items(ctx, m)
	return slices.ContainsFunc(items, func(it due.Item) bool { return it.Kind == due.Erase && !it.At.After(then) }), err
}

package lock

import (
	"context"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/chamber"
	"ecluse/internal/due"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/store/sqlite"
)

// Strays looks for files that belong to no live migration. What is found stays.
func (l *Lock) Strays(ctx context.Context) (*exchange.Strays, error) {
	found, err := l.strays(ctx)
	if err != nil {
		return nil, err
	}
	s := &exchange.Strays{Chamber: []exchange.Stray{}, Documents: []string{}}
	for _, f := range found {
		if f.Why == chamber.InQuarantine {
			s.Quarantined++
		} else {
			s.Chamber = append(s.Chamber, exchange.Stray(f))
		}
	}
	orphans, err := l.store.Orphans(ctx)
	s.Documents = append(s.Documents, orphans...)
	return s, err
}

func (l *Lock) strays(ctx context.Context) ([]chamber.Stray, error) {
	all, err := l.store.Migrations(ctx)
	if err != nil {
		return nil, err
	}
	live := map[ecluse.MigrationID]bool{}
	for _, m := range all {
		live[m.ID] = m.Ended.IsZero()
	}
	return l.chamber.Scan(func(m ecluse.MigrationID) bool { return live[m] })
}

// hunt looks for forgotten files once a day and moves those of no live migration
// out of where anything could serve them from: the file that was published in
// 2021 was one that nobody remembered.
func (l *Lock) hunt(ctx context.Context, it due.Item, now time.Time) error {
	s, err := l.Strays(ctx)
	if err != nil {
		return err
	}
	numbers := map[string]int64{"own": 0, "moved": 0, "quarantined": int64(s.Quarantined), "documents": int64(len(s.Documents))}
	for _, f := range s.Chamber {
		if f.Own {
			numbers["own"]++
			continue
		}
		if err := l.chamber.Quarantine(chamber.Stray(f)); err != nil {
			return err
		}
		numbers["moved"]++
	}
	event := journal.Event{Tree: evidence.InstallationTree, Type: journal.Warned, IDs: map[string]string{"kind": string(due.Hunt)}, Numbers: numbers}
	return l.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		return tx.Schedule(ctx, ecluse.Digest{}, due.Item{Kind: due.Hunt, Subject: now.Format(time.DateOnly), At: now.Add(due.HuntEvery)})
	})
}

package app

import (
	"context"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/chamber"
	"ecluse/internal/due"
	"ecluse/internal/journal"
	"ecluse/internal/store/sqlite"
)

// Strays are files that should not be where they are.
type Strays struct {
	Chamber     []chamber.Stray `json:"chamber"`     // not moved
	Quarantined int             `json:"quarantined"` // moved out of reach, waiting for a person
	Documents   []string        `json:"documents"`   // files of the documents folder that no row names
}

// None tells whether nothing was found.
func (s *Strays) None() bool {
	return len(s.Chamber) == 0 && s.Quarantined == 0 && len(s.Documents) == 0
}

// Strays looks for files that belong to no live migration. What is found stays.
func (r *Room) Strays(ctx context.Context) (*Strays, error) {
	all, err := r.lock.store.Migrations(ctx)
	if err != nil {
		return nil, err
	}
	live := map[ecluse.MigrationID]bool{}
	for _, m := range all {
		live[m.ID] = m.Ended.IsZero()
	}
	found, err := r.lock.chamber.Scan(func(m ecluse.MigrationID) bool { return live[m] })
	if err != nil {
		return nil, err
	}
	s := &Strays{Chamber: []chamber.Stray{}, Documents: []string{}}
	for _, f := range found {
		if f.Why == chamber.InQuarantine {
			s.Quarantined++
		} else {
			s.Chamber = append(s.Chamber, f)
		}
	}
	orphans, err := r.lock.store.Orphans(ctx)
	s.Documents = append(s.Documents, orphans...)
	return s, err
}

// hunt looks for forgotten files once a day and moves those of no live migration
// out of where anything could serve them from: the file that was published in
// 2021 was one that nobody remembered.
func (r *Room) hunt(ctx context.Context, it due.Item, now time.Time) error {
	s, err := r.Strays(ctx)
	if err != nil {
		return err
	}
	numbers := map[string]int64{"own": 0, "moved": 0, "quarantined": int64(s.Quarantined), "documents": int64(len(s.Documents))}
	for _, f := range s.Chamber {
		if f.Own {
			numbers["own"]++
			continue
		}
		if err := r.lock.chamber.Quarantine(f); err != nil {
			return err
		}
		numbers["moved"]++
	}
	event := journal.Event{Tree: evidence.InstallationTree, Type: journal.Warned, IDs: map[string]string{"kind": string(due.Hunt)}, Numbers: numbers}
	return r.lock.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		return tx.Schedule(ctx, ecluse.Digest{}, due.Item{Kind: due.Hunt, Subject: now.Format(time.DateOnly), At: now.Add(due.HuntEvery)})
	})
}

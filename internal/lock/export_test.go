package lock

import (
	"context"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/procedure"
)

// NextAt is what a migration that stands somewhere waits for, its report equal or
// not, rows put aside for some reasons.
func NextAt(p procedure.Place, equal bool, aside ...string) []exchange.Next {
	return next("a-migration", p, known{equal: equal, aside: aside})
}

// LastLeaf is the last line of a migration's journal.
func LastLeaf(ctx context.Context, l *Lock, m ecluse.MigrationID) (*evidence.Leaf, error) {
	signed, err := l.log.Head(ctx, string(m))
	if err != nil {
		return nil, err
	}
	h, err := evidence.ParseHead(signed.Body)
	if err != nil {
		return nil, err
	}
	_, leaves, err := l.log.Leaves(ctx, string(m), h.Size-1, h.Size)
	if err != nil {
		return nil, err
	}
	return leaves[0], nil
}

// Fetched makes a gate one that was sent all but so many bytes of what it may be sent of a
// migration.
func Fetched(ctx context.Context, l *Lock, m ecluse.MigrationID, gate ecluse.Fingerprint, but int64) error {
	most, err := l.mostFetched(ctx, m)
	if err != nil {
		return err
	}
	l.addFetched(fetcher{m, gate}, int(most-but), most)
	return nil
}

// BeginErasureFrom begins an erasure whose ground was judged where the migration stood once.
func BeginErasureFrom(ctx context.Context, l *Lock, m ecluse.MigrationID, why evidence.Trigger, from procedure.Place) error {
	return l.beginErasure(ctx, m, why, from)
}

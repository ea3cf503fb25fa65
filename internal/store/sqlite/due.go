package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/due"
	"ecluse/internal/journal"
)

// Schedule puts items in the table, each in the place of the one of its name
// (due.Replace decides whether it may). act is the digest of the act that allows
// it, zero for none.
func (tx *Tx) Schedule(ctx context.Context, act ecluse.Digest, items ...due.Item) error {
	for _, it := range items {
		var at int64
		err := tx.q.QueryRowContext(
			ctx, `SELECT at FROM due WHERE kind = ? AND migration = ? AND subject = ? AND done = 0`,
			string(it.Kind), string(it.Migration), it.Subject,
		).Scan(&at)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return failed("schedule", err)
		default:
			old := it
			old.At = instant(at)
			if err := due.Replace(old, it, act); err != nil {
				return err
			}
		}
		_, err = tx.q.ExecContext(
			ctx, `INSERT INTO due (kind, migration, subject, at) VALUES (?, ?, ?, ?)
			 ON CONFLICT (kind, migration, subject) DO UPDATE SET at = excluded.at, done = 0`,
			string(it.Kind), string(it.Migration), it.Subject, millis(it.At),
		)
		if err != nil {
			return failed("schedule", err)
		}
	}
	return nil
}

const itemColumns = `kind, migration, subject, at`

func scanItem(rows *sql.Rows) (it due.Item, err error) {
	var at int64
	err = rows.Scan(&it.Kind, &it.Migration, &it.Subject, &at)
	it.At = instant(at)
	return it, err
}

// Due lists the open items whose time has come.
func (r reads) Due(ctx context.Context, now time.Time) ([]due.Item, error) {
	return query(ctx, r.q, scanItem, `SELECT `+itemColumns+` FROM due WHERE done = 0 AND at <= ? ORDER BY at, kind, migration, subject`, millis(now))
}

// Items lists the open items of a migration, or of the installation.
func (r reads) Items(ctx context.Context, m ecluse.MigrationID) ([]due.Item, error) {
	return query(ctx, r.q, scanItem, `SELECT `+itemColumns+` FROM due WHERE done = 0 AND migration = ? ORDER BY at, kind, subject`, string(m))
}

// Next is the time of the earliest open item; zero when there is none.
func (r reads) Next(ctx context.Context) (time.Time, error) {
	var at int64
	err := r.q.QueryRowContext(ctx, `SELECT coalesce(min(at), 0) FROM due WHERE done = 0`).Scan(&at)
	return instant(at), failed("read the table of what is due", err)
}

var errClosed = errors.New("the item is closed")

// Done closes an item. One that another process has closed is not journalled
// again; one that was moved meanwhile stays open.
func (s *Store) Done(ctx context.Context, it due.Item) error {
	err := s.Do(ctx, itemEvent(journal.Done, it), func(tx *Tx) error {
		var at, done int64
		name := []any{string(it.Kind), string(it.Migration), it.Subject}
		err := tx.q.QueryRowContext(ctx, `SELECT at, done FROM due WHERE kind = ? AND migration = ? AND subject = ?`, name...).Scan(&at, &done)
		switch {
		case errors.Is(err, sql.ErrNoRows) || err == nil && done != 0:
			return errClosed
		case err != nil || at != millis(it.At):
			return failed("close item", err)
		}
		_, err = tx.q.ExecContext(ctx, `UPDATE due SET done = ? WHERE kind = ? AND migration = ? AND subject = ?`, append([]any{millis(tx.now)}, name...)...)
		return failed("close item", err)
	})
	if errors.Is(err, errClosed) {
		return nil
	}
	return err
}

// Failed says that an item was tried in vain.
func (s *Store) Failed(ctx context.Context, it due.Item, kind ecluse.Kind) error {
	e := itemEvent(journal.Failed, it)
	e.IDs["reason"] = string(kind)
	return s.Do(ctx, e, nil)
}

func itemEvent(t journal.Type, it due.Item) journal.Event {
	tree := string(it.Migration)
	if tree == "" {
		tree = evidence.InstallationTree
	}
	return journal.Event{Tree: tree, Type: t, IDs: map[string]string{"kind": string(it.Kind)}, Numbers: map[string]int64{"at": it.At.Unix()}}
}

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"ecluse/evidence"
	"ecluse/internal/account"
	"ecluse/internal/journal"
)

const sessionColumns = `id, key, side, person, agent, begun, seen`

func scanSession(rows *sql.Rows) (s account.Session, err error) {
	var begun, seen int64
	err = rows.Scan(&s.ID, &s.Person.Key, &s.Person.Side, &s.Person.ID, &s.Agent, &begun, &seen)
	s.Begun, s.Seen = instant(begun), instant(seen)
	return s, err
}

// The key is not in the leaf: it names a person, and leaves are never forgotten.
func sessionEvent(typ journal.Type, s account.Session) journal.Event {
	return journal.Event{
		Tree: evidence.InstallationTree, Type: typ, IDs: map[string]string{"session": s.ID},
		Body: journal.Session{Side: s.Person.Side, Person: journal.PersonID(s.Person.ID)},
	}
}

func endEvent(s account.Session, why account.Reason) journal.Event {
	e := sessionEvent(journal.SessionEnded, s)
	e.IDs["reason"] = string(why)
	return e
}

// BeginSession keeps a session, begun and seen now. It ends those that have
// expired, and the key's own beyond account.MaxSessions, the one unused the
// longest first.
func (s *Store) BeginSession(ctx context.Context, hash [32]byte, x account.Session) (account.Session, error) {
	err := s.Do(ctx, sessionEvent(journal.SessionBegun, x), func(tx *Tx) error {
		x.Begun, x.Seen = tx.now, tx.now
		_, err := tx.q.ExecContext(
			ctx, `INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			hash[:], x.ID, string(x.Person.Key), string(x.Person.Side), x.Person.ID, x.Agent, millis(x.Begun), millis(x.Seen),
		)
		if err != nil {
			return failed("begin session", err)
		}
		all, err := query(ctx, tx.q, scanSession, `SELECT `+sessionColumns+` FROM session ORDER BY id = ? DESC, seen DESC, begun DESC`, x.ID)
		if err != nil {
			return err
		}
		of := 0
		for _, y := range all {
			why := account.Replaced
			if y.Expired(tx.now) {
				why = account.Expired
			} else if y.Person.Key != x.Person.Key {
				continue
			} else if of++; of <= account.MaxSessions {
				continue
			}
			if _, err := tx.removeSession(ctx, y.ID); err != nil {
				return err
			}
			tx.Also(endEvent(y, why))
		}
		return nil
	})
	return x, err
}

func (tx *Tx) removeSession(ctx context.Context, id string) (bool, error) {
	r, err := tx.q.ExecContext(ctx, `DELETE FROM session WHERE id = ?`, id)
	if err != nil {
		return false, failed("end session", err)
	}
	n, err := r.RowsAffected()
	return n > 0, failed("end session", err)
}

// Session finds a session by its token's hash. The clock is kept to
// account.SeenEvery only: requests must not wait for the disk.
func (s *Store) Session(ctx context.Context, hash [32]byte) (x account.Session, now time.Time, err error) {
	all, err := query(ctx, s.q, scanSession, `SELECT `+sessionColumns+` FROM session WHERE hash = ?`, hash[:])
	if err != nil {
		return x, now, err
	}
	if len(all) == 0 {
		return x, now, missing("find session", "")
	}
	now, _, err = s.nowTo(ctx, account.SeenEvery)
	return all[0], now, err
}

// TouchSession notes that a session is in use. The journal does not speak of it.
func (s *Store) TouchSession(ctx context.Context, id string) error {
	return s.do(ctx, func(tx *Tx) error {
		_, err := tx.q.ExecContext(ctx, `UPDATE session SET seen = ? WHERE id = ? AND seen <= ?`, millis(tx.now), id, millis(tx.now.Add(-account.SeenEvery)))
		return failed("note that the session is in use", err)
	})
}

// Sessions lists all, the oldest first.
func (r reads) Sessions(ctx context.Context) ([]account.Session, error) {
	return query(ctx, r.q, scanSession, `SELECT `+sessionColumns+` FROM session ORDER BY begun, id`)
}

var errEnded = errors.New("another process has ended the session")

// EndSessions ends those that match, all in one transaction. It writes nothing
// when there are none.
func (s *Store) EndSessions(ctx context.Context, why account.Reason, match func(x *account.Session, now time.Time) bool) (int, error) {
	for {
		now, _, err := s.nowTo(ctx, account.SeenEvery)
		if err != nil {
			return 0, err
		}
		var ending []account.Session
		all, err := s.Sessions(ctx)
		if err != nil {
			return 0, err
		}
		for _, x := range all {
			if match(&x, now) {
				ending = append(ending, x)
			}
		}
		if len(ending) == 0 {
			return 0, nil
		}
		err = s.Do(ctx, endEvent(ending[0], why), func(tx *Tx) error {
			for i, x := range ending {
				there, err := tx.removeSession(ctx, x.ID)
				if err != nil {
					return err
				}
				if !there {
					return errEnded
				}
				if i > 0 {
					tx.Also(endEvent(x, why))
				}
			}
			return nil
		})
		switch {
		case err == nil:
			return len(ending), nil
		case !errors.Is(err, errEnded): // else look again
			return 0, err
		}
	}
}

// LoginRefused journals that a signature under a person's key did not hold.
func (s *Store) LoginRefused(ctx context.Context, p account.Person) error {
	return s.Do(ctx, journal.Event{
		Tree: evidence.InstallationTree, Type: journal.LoginRefused,
		Body: journal.Attempt{Side: p.Side, Person: journal.PersonID(p.ID)},
	}, nil)
}

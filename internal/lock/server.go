package lock

import (
	"context"

	"ecluse"
	"ecluse/internal/account"
	"ecluse/internal/store/sqlite"
)

// Sessions is where people's sessions are kept.
func (l *Lock) Sessions() account.Store { return l.store }

var _ account.Store = (*sqlite.Store)(nil)

// Holder finds the person who holds a key by the latest rosters and whose mandate
// runs now: account.People.
func (l *Lock) Holder(ctx context.Context, key ecluse.Fingerprint) (account.Person, bool, error) {
	p, err := l.As(ctx, key)
	if ecluse.KindOf(err) == ecluse.Refused {
		return account.Person{}, false, nil
	}
	if err != nil {
		return account.Person{}, false, err
	}
	now, _, err := l.store.Now(ctx)
	if err != nil || !now.Before(p.roster.Expires) || !p.person.Active(now) {
		return account.Person{}, false, err
	}
	return account.Person{Side: p.roster.Side, ID: p.person.ID, Key: key}, true, nil
}

// Names refuses a gate that the instruction of a migration does not name.
func (l *Lock) Names(ctx context.Context, m ecluse.MigrationID, gate ecluse.Fingerprint) error {
	return l.ofGates(ctx, m, gate, "reach the migration")
}

// Has refuses a migration that is not of this laboratory.
func (l *Lock) Has(ctx context.Context, m ecluse.MigrationID) error {
	_, err := l.store.Migration(ctx, m)
	return err
}

// Roles are what the person's roster lets them do.
func (s *Person) Roles() []ecluse.Role {
	if s.person == nil {
		return nil
	}
	return s.person.Roles
}

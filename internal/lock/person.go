package lock

import (
	"context"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/procedure"
)

// Person is somebody whose key the latest rosters know, and the lock as they see it:
// desk.Lock.
type Person struct {
	*Lock
	key    ecluse.Fingerprint
	roster *evidence.Roster
	person *evidence.Person
}

// Nobody is the lock as somebody sees it of whom nothing is known: it shows, and
// takes nothing in.
func (l *Lock) Nobody() *Person { return &Person{Lock: l} }

// known refuses nobody.
func (s *Person) known() error {
	if s.person != nil {
		return nil
	}
	return &ecluse.Error{Kind: ecluse.WaitsForSign, What: "sign", Why: "no key is named", Next: "add --as KEY: a key file, or the public key or fingerprint of a key in ssh-agent"}
}

// Me says who the person is.
func (s *Person) Me(ctx context.Context) (*exchange.Person, error) {
	if err := s.known(); err != nil {
		return nil, err
	}
	signed, err := s.store.Signed(ctx, s.roster.Digest(), evidence.NamespaceRoster)
	if err != nil {
		return nil, err
	}
	return &exchange.Person{ID: s.person.ID, Side: s.roster.Side, Roles: s.person.Roles, Roster: signed[0]}, nil
}

// actors are the roles the person may act in.
func (s *Person) actors() []procedure.Actor {
	var all []procedure.Actor
	for _, r := range s.person.Roles {
		all = append(all, procedure.Person(s.roster.Side, r))
	}
	return all
}

// knownRosters reads the rosters, each checked against its party's root, once.
func (l *Lock) knownRosters(ctx context.Context) (*evidence.Rosters, error) {
	all := &evidence.Rosters{}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		rs, err := l.store.Rosters(ctx, side)
		if err != nil {
			return nil, err
		}
		for _, x := range rs {
			r, err := l.verified(ctx, x.Digest, side)
			if err != nil {
				return nil, err
			}
			if err := all.Add(r); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// verified reads a roster that was taken in, or what is remembered of it: rosters
// never change.
func (l *Lock) verified(ctx context.Context, d ecluse.Digest, side ecluse.Side) (*evidence.Roster, error) {
	l.mu.Lock()
	r := l.parsed[d]
	l.mu.Unlock()
	if r != nil {
		return r, nil
	}
	signed, err := l.store.Signed(ctx, d, evidence.NamespaceRoster)
	if err != nil {
		return nil, err
	}
	if len(signed) == 0 {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "read roster", Where: d.String(), Why: "its root's signature is not there"}
	}
	if r, err = evidence.VerifyRoster(signed[0], l.settings.Roots[side]); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parsed[d] = r
	return r, nil
}

// As finds the person a key belongs to.
func (l *Lock) As(ctx context.Context, print ecluse.Fingerprint) (*Person, error) {
	rs, err := l.knownRosters(ctx)
	if err != nil {
		return nil, err
	}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		if r, ok := rs.Latest(side); ok {
			if p, ok := r.Holder(print); ok {
				return &Person{l, print, r, p}, nil
			}
		}
	}
	return nil, &ecluse.Error{
		Kind: ecluse.Refused, What: "find whose key it is", Where: string(print), Why: "no roster taken in here has it", Article: "GDPR art. 29, 32(4)",
		Next: "have the party's root sign a roster with this key: ecluse roster add FILE --as ROOT-KEY",
	}
}

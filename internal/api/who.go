package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"ecluse"
	"ecluse/internal/account"
	"ecluse/internal/exchange"
	"ecluse/internal/lock"
	"ecluse/internal/wire"
)

// Who may come.
var (
	gateOnly = who{name: "gate", find: (*server).knownGate}
	ending   = who{name: "gate, retired too", find: (*server).endingGate}
	enrols   = who{name: "enrolling gate", find: (*server).enrolling, stranger: true}
	people   = who{name: "person", find: (*server).personOf}
)

// laboratory finds the one that a request names. An unknown one is no identity.
func (s *server) laboratory(r *http.Request) *Lab { return s.labs[r.PathValue("lab")] }

// errTooOften is that of a network whose strangers ask too often.
var errTooOften = errors.New("strangers of this network ask too often")

// How long a gate stays known without the lock being asked again, and how long whoever
// proved to be somebody is not counted among the strangers of their network.
const (
	gateMemory = 2 * time.Second
	trust      = time.Hour
)

// charge counts whoever shows something that was not good a while ago among the
// strangers of their network, before anything is looked up for them.
func (s *server) charge(r *http.Request, shown ...string) error {
	s.mu.Lock()
	trusted := slices.ContainsFunc(shown, func(x string) bool { return time.Since(s.known[x]) < trust })
	s.mu.Unlock()
	if trusted || s.limit.stranger(r.RemoteAddr) {
		return nil
	}
	return errTooOften
}

// good notes that what somebody showed was good just now, or not any more.
func (s *server) good(shown string, good bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !good {
		delete(s.known, shown)
		return
	}
	if len(s.known) > remembered {
		clear(s.known)
	}
	s.known[shown] = time.Now()
}

// knownGate is a gate that is known, and not one that was retired.
func (s *server) knownGate(r *http.Request) (*caller, error) {
	c, err := s.endingGate(r)
	if c != nil && c.leaving {
		return nil, err
	}
	return c, err
}

// endingGate is a gate that is known, or that was retired and may have something to end.
func (s *server) endingGate(r *http.Request) (*caller, error) {
	g, proved := gateKey(r)
	c := &caller{lab: s.laboratory(r), gate: g}
	shown, leaving := "", ""
	if c.lab != nil && proved {
		shown = c.name()
		leaving = shown + " leaving"
	}
	s.mu.Lock()
	fresh := time.Since(s.known[shown]) < gateMemory
	s.mu.Unlock()
	if fresh {
		return c, nil
	}
	if err := s.charge(r, shown, leaving); err != nil {
		return nil, err
	}
	if shown == "" {
		if proved && len(s.Labs) > 0 { // as long as for a laboratory that there is
			_, _ = s.Labs[0].Lock.Standing(r.Context(), g)
		}
		return nil, nil
	}
	standing, err := c.lab.Lock.Standing(r.Context(), c.gate)
	if err != nil {
		return nil, err
	}
	s.good(shown, standing == lock.Known)
	s.good(leaving, standing == lock.Leaving)
	if standing == lock.Stranger {
		return nil, nil
	}
	c.leaving = standing == lock.Leaving
	return c, nil
}

// gateKey is the key that a gate proved to TLS.
func gateKey(r *http.Request) (ecluse.Fingerprint, bool) {
	if r.TLS == nil {
		return "", false
	}
	return wire.GateOf(r.TLS)
}

// enrolling is any gate that proved its key to TLS, which anybody can make, and names the
// key that signs the laboratory's journal: it was told it at its console. Whoever names
// another is told nothing, as whoever names a laboratory that there is not.
func (s *server) enrolling(r *http.Request) (*caller, error) {
	if !s.limit.stranger(r.RemoteAddr) {
		return nil, errTooOften
	}
	l := s.laboratory(r)
	g, ok := gateKey(r)
	if l == nil || !ok || r.URL.Query().Get("lock") != string(l.Lock.Key()) {
		return nil, nil
	}
	return &caller{lab: l, gate: g}, nil
}

// personOf is whoever a token stands for, while the latest roster has their key.
func (s *server) personOf(r *http.Request) (*caller, error) {
	l := s.laboratory(r)
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	shown := ""
	if l != nil && ok {
		hash := sha256.Sum256([]byte(token))
		shown = l.ID + " token " + string(hash[:])
	}
	if err := s.charge(r, shown); err != nil {
		return nil, err
	}
	if l == nil && ok && len(s.Labs) > 0 { // as long as for a laboratory that there is
		s.Labs[0].Door.Sessions().Pretend(r.Context())
	}
	if shown == "" {
		return nil, nil
	}
	c, err := s.holder(r.Context(), l, token)
	if err == nil || ecluse.KindOf(err) == ecluse.Refused { // else nobody could tell
		s.good(shown, c != nil)
	}
	return c, err
}

// holder is who a session is of, while the latest roster gives its key to them still. One
// that it gives to somebody else, or to nobody, is over.
func (s *server) holder(ctx context.Context, l *Lab, token string) (*caller, error) {
	session, err := l.Door.Sessions().Find(ctx, token)
	if err != nil {
		return nil, err
	}
	now, holds, err := l.Lock.Holder(ctx, session.Person.Key)
	if err != nil {
		return nil, err
	}
	if !holds || now != session.Person {
		err := l.Door.Sessions().Revoke(ctx, session.ID, account.Roster)
		if errors.Is(err, account.ErrNoSession) { // another request was first
			err = nil
		}
		return nil, err
	}
	p, err := l.Lock.As(ctx, session.Person.Key)
	if err != nil {
		return nil, err
	}
	return &caller{lab: l, person: p, session: session}, nil
}

// Decisions.

// ofMigration lets a gate come to migrations whose instruction names it.
func ofMigration(ctx context.Context, c *caller) error {
	m := ecluse.MigrationID(c.path("migration"))
	if err := c.lab.Lock.Has(ctx, m); err != nil {
		return err
	}
	return c.lab.Lock.Names(ctx, m, c.gate)
}

// says lets a gate hand in what it signed; one that was retired only what it ended.
func says(ctx context.Context, c *caller) error {
	if c.leaving && !exchange.Paper(c.path("kind")).Ends() {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "take a paper in", Why: "this gate was retired: it says what it undid and erased, and nothing else",
			Next: "let whoever retired it confirm it again", Article: "GDPR art. 29",
		}
	}
	return ofMigration(ctx, c)
}

// known lets whoever is somebody come: what they may do is the lock's procedure.
func known(context.Context, *caller) error { return nil }

// worker lets those come who make migrations go on: operators and signatories.
func worker(_ context.Context, c *caller) error {
	for _, r := range c.person.Roles() {
		if r == ecluse.Operator || r == ecluse.Signatory {
			return nil
		}
	}
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "ask a gate", Why: "your roster makes you neither operator nor signatory", Article: "GDPR art. 29",
		Next: "an operator or a signatory does it; you may read everything but records, suspend, object",
	}
}

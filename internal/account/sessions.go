package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"ecluse"
)

// Sessions begins, finds and ends sessions. Who may see or end whose is the
// caller's to judge.
type Sessions struct {
	store    Store
	touching sync.Map // ids: of many requests at once one writes
}

// NewSessions makes sessions over a store.
func NewSessions(s Store) *Sessions { return &Sessions{store: s} }

// Begin begins a session of a person, who has shown that they hold their key,
// and returns its token: 256 random bits, of which only the SHA-256 is kept.
func (ss *Sessions) Begin(ctx context.Context, p Person, userAgent string) (token string, _ Session, err error) {
	var secret [32]byte
	var id [16]byte
	rand.Read(secret[:])
	rand.Read(id[:])
	s, err := ss.store.BeginSession(ctx, sha256.Sum256(secret[:]), Session{
		ID: hex.EncodeToString(id[:]), Person: p, Agent: Family(userAgent),
	})
	if err != nil {
		return "", Session{}, err
	}
	return tokenPrefix + encoding.EncodeToString(secret[:]), s, nil
}

// tokenPrefix lets those who search files and logs for secrets know one.
const tokenPrefix = "ecluse_session_"

var encoding = base64.RawURLEncoding.Strict()

// hashOf reads a token, in its one form, and hashes what is secret of it.
func hashOf(token string) (hash [32]byte, ok bool) {
	text, ok := strings.CutPrefix(token, tokenPrefix)
	secret, err := encoding.DecodeString(text)
	if !ok || err != nil || len(secret) != len(hash) || encoding.EncodeToString(secret) != text { // the decoder skips line ends
		return hash, false
	}
	return sha256.Sum256(secret), true
}

// Pretend takes as long as Find for a token that nobody has.
func (ss *Sessions) Pretend(ctx context.Context) {
	var none [32]byte
	_, _, _ = ss.store.Session(ctx, none)
}

// Find finds the session of a token. It is looked for by hash: how long that
// takes says nothing of any token's bytes. Nothing is written but the time, once
// in SeenEvery.
//
// A session is no permission. Rosters change while it lasts: whoever asks must
// check, each time, that the latest roster of the session's side still holds the
// key Session.Person.Key for that person with a mandate that runs, and otherwise
// end it (Revoke, for the reason Roster).
func (ss *Sessions) Find(ctx context.Context, token string) (Session, error) {
	hash, ok := hashOf(token)
	if !ok {
		return Session{}, noSession()
	}
	s, now, err := ss.store.Session(ctx, hash)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Session{}, noSession()
	case err != nil:
		return Session{}, err
	case s.Expired(now):
		return Session{}, noSession()
	case now.Sub(s.Seen) < SeenEvery:
		return s, nil
	}
	if _, other := ss.touching.LoadOrStore(s.ID, nil); other {
		return s, nil
	}
	defer ss.touching.Delete(s.ID)
	return s, ss.store.TouchSession(ctx, s.ID)
}

// noSession is one answer for what never was, has ended or has expired.
func noSession() error {
	return &ecluse.Error{Kind: ecluse.Refused, What: "find session", Why: "it has ended or expired, or never was", Next: "log in again", Err: ErrNoSession}
}

// List lists the open sessions of a person of a side, whichever of their keys
// began them, or everybody's when person is empty; the oldest first. It ends
// those that have expired.
func (ss *Sessions) List(ctx context.Context, side ecluse.Side, person string) ([]Session, error) {
	if _, err := ss.EndExpired(ctx); err != nil {
		return nil, err
	}
	all, err := ss.store.Sessions(ctx)
	return slices.DeleteFunc(all, func(s Session) bool { return person != "" && (s.Person.Side != side || s.Person.ID != person) }), err
}

// Revoke ends a session by its id.
func (ss *Sessions) Revoke(ctx context.Context, id string, why Reason) error {
	n, err := ss.store.EndSessions(ctx, why, func(s *Session, _ time.Time) bool { return s.ID == id })
	if err == nil && n == 0 {
		return noSession()
	}
	return err
}

// KeepOnly ends the sessions of a side whose key a new roster gives to nobody, or to
// another person than theirs, and says how many.
func KeepOnly(ctx context.Context, st Store, side ecluse.Side, holds func(Person) bool) (int, error) {
	return st.EndSessions(ctx, Roster, func(s *Session, _ time.Time) bool { return s.Person.Side == side && !holds(s.Person) })
}

// EndExpired takes away the rows of sessions that have expired, which open
// nothing as it is, and tells the journal. Begin and List do it too.
func (ss *Sessions) EndExpired(ctx context.Context) (int, error) {
	return ss.store.EndSessions(ctx, Expired, (*Session).Expired)
}

// Package account lets people in over the network: a person signs a challenge
// with a key of their roster and gets a short token for it.
//
// One control database is one laboratory's, so that every session in it is of
// that laboratory by construction; a person logs in to one at a time. There is
// no password, and a token gives no more than a name: what the person may do, the
// roster and the procedure decide each time, and whatever moves data needs an
// act signed with the key itself. Gates believe no session at all.
package account

import (
	"context"
	"errors"
	"strings"
	"time"

	"ecluse"
)

// How long things last, and how many there may be.
const (
	ChallengeLife = 2 * time.Minute
	IdleLife      = time.Hour      // of a session that nobody uses
	SessionLife   = 12 * time.Hour // of any session
	SeenEvery     = time.Minute    // how exactly a session's last use is kept
	RefusalEvery  = time.Minute    // how often one key's failures are journalled

	MaxSpent    = 4096 // challenges used within ChallengeLife
	MaxLogins   = 30   // of these, one key's
	MaxSessions = 32   // one key's at a time; one more ends the one unused the longest
)

// Causes: somebody must wait before logging in again; a token opens no session.
var (
	ErrBusy      = errors.New("too many log-ins within two minutes")
	ErrNoSession = errors.New("no session")
)

// Person is whose key it is that logs in.
type Person struct {
	Key  ecluse.Fingerprint
	Side ecluse.Side
	ID   string // in the roster of that side
}

// Session is what a token stands for.
type Session struct {
	ID     string // 32 hexadecimal digits; says nothing of the token
	Person Person
	Agent  string // Family's answer, never the header itself
	Begun  time.Time
	Seen   time.Time // the last use, to SeenEvery
}

// Expired tells whether the session has lasted too long, or unused too long.
func (s *Session) Expired(now time.Time) bool {
	return now.Sub(s.Begun) >= SessionLife || now.Sub(s.Seen) >= IdleLife
}

// Reason is why a session ended, as the journal has it.
type Reason string

// The reasons.
const (
	LoggedOut Reason = "logout"
	Revoked   Reason = "revoked"
	Expired   Reason = "expired"
	Roster    Reason = "roster"   // the latest roster no longer holds the key
	Replaced  Reason = "replaced" // by a newer session of the same key (MaxSessions)
)

// Store keeps sessions and the clock, which never goes back. A session's begin
// and end are one transaction with their event in the journal; an ended session
// is gone.
type Store interface {
	// BeginSession keeps a session under its token's hash, begun and seen now, and
	// ends those that have expired and the key's own beyond MaxSessions.
	BeginSession(ctx context.Context, hash [32]byte, s Session) (Session, error)
	// Session finds by hash, and tells the time; fs.ErrNotExist in the chain when
	// there is none. It may find one that has expired, and writes nothing but,
	// once a minute, the clock.
	Session(ctx context.Context, hash [32]byte) (s Session, now time.Time, err error)
	// TouchSession notes that a session is in use, unless that was noted less
	// than SeenEvery ago or it has ended.
	TouchSession(ctx context.Context, id string) error
	// Sessions lists all, the oldest first, those that have expired too.
	Sessions(ctx context.Context) ([]Session, error)
	// EndSessions ends those that match, and says how many.
	EndSessions(ctx context.Context, why Reason, match func(s *Session, now time.Time) bool) (int, error)
	// LoginRefused journals that a signature under this person's key did not hold.
	LoginRefused(ctx context.Context, p Person) error
}

// Family is what is kept of a User-Agent header: one word of a closed list.
func Family(userAgent string) string {
	for _, f := range []struct{ has, name string }{
		{"ecluse/", "ecluse"},
		{"Edg/", "edge"},
		{"Firefox/", "firefox"},
		{"Chrome/", "chrome"}, // Edge says so too
		{"Safari/", "safari"}, // everybody says so
	} {
		if strings.Contains(userAgent, f.has) {
			return f.name
		}
	}
	return "other"
}

package account

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"ecluse"
	"ecluse/evidence"
)

// People answers for the latest roster of each side.
type People interface {
	// Holder finds the person who holds a key by the latest rosters and whose
	// mandate runs now; false for nobody.
	Holder(ctx context.Context, key ecluse.Fingerprint) (Person, bool, error)
}

// Door is where people of one laboratory log in.
//
// Failures close it to nobody: unknown keys' leave no trace on the disk, a known
// key's are journalled once in RefusalEvery and never counted against it.
type Door struct {
	server     ecluse.Digest
	laboratory string
	people     People
	store      Store
	challenges *Challenges
	sessions   *Sessions

	mu    sync.Mutex
	noted map[ecluse.Fingerprint]time.Time // refusals journalled within RefusalEvery; known keys only
}

// NewDoor makes the door of a laboratory; server is the pin that people's
// devices hold of this server (evidence.Login).
func NewDoor(server ecluse.Digest, laboratory string, people People, store Store) *Door {
	return &Door{
		server: server, laboratory: laboratory, people: people, store: store,
		challenges: NewChallenges(), sessions: NewSessions(store), noted: map[ecluse.Fingerprint]time.Time{},
	}
}

// Challenge issues a challenge.
func (d *Door) Challenge() string { return d.challenges.Issue() }

// Sessions are those that begin at this door.
func (d *Door) Sessions() *Sessions { return d.sessions }

const (
	maxText      = 1 << 10
	maxSignature = 8 << 10 // an armoured one with an RSA key of 16384 bits is shorter
)

// LogIn takes a signed login and begins a session. The token is in the answer
// and nowhere else. An unknown key and a signature that does not hold get the
// same answer, after the same work but for the journal's.
func (d *Door) LogIn(ctx context.Context, s evidence.Signed, userAgent string) (token string, _ Session, err error) {
	if len(s.Body) > maxText || len(s.Signature) > maxSignature {
		return "", Session{}, &ecluse.Error{Kind: ecluse.Invalid, What: "log in", Why: "login or signature is too long to be one"}
	}
	l, err := evidence.ParseLogin(s.Body)
	switch {
	case err != nil:
		return "", Session{}, err
	case l.Server != d.server:
		return "", Session{}, refused("the login is for another server: somebody stands between, or its key has changed", "compare the server's fingerprint that your device holds with the laboratory's", nil)
	case l.Laboratory != d.laboratory:
		return "", Session{}, refused("the login is for another laboratory", "name this one in what you sign", nil)
	}
	if _, _, err := d.challenges.read(l.Challenge); err != nil {
		return "", Session{}, err
	}
	_, bad := evidence.VerifyLogin(s)
	p, known, err := d.people.Holder(ctx, l.Key)
	if err != nil {
		return "", Session{}, err
	}
	if bad != nil && known {
		err = d.note(ctx, p)
	}
	if bad != nil || !known {
		return "", Session{}, errors.Join(refused("the signature does not hold, or its key is in no roster in force", "sign the text as it is, in the namespace "+evidence.NamespaceLogin+", with a key of your roster", nil), err)
	}
	if err := d.challenges.Spend(l.Challenge, l.Key); err != nil {
		return "", Session{}, err
	}
	return d.sessions.Begin(ctx, p, userAgent)
}

// Pretend answers a log-in to a laboratory that there is not, whose challenges are of
// issued, as this one answers a key that it does not know: after the same work, and with
// the same errors.
func (d *Door) Pretend(ctx context.Context, laboratory string, issued *Challenges, s evidence.Signed) error {
	other := Door{server: d.server, laboratory: laboratory, people: nobody{d.people}, store: d.store, challenges: issued, sessions: d.sessions}
	_, _, err := other.LogIn(ctx, s, "")
	return err
}

// nobody looks people up and knows none of them.
type nobody struct{ of People }

func (n nobody) Holder(ctx context.Context, key ecluse.Fingerprint) (Person, bool, error) {
	_, _, err := n.of.Holder(ctx, key)
	return Person{}, false, err
}

// note journals a refusal of a known key, unless that was just done.
func (d *Door) note(ctx context.Context, p Person) error {
	d.mu.Lock()
	now := time.Now()
	maps.DeleteFunc(d.noted, func(_ ecluse.Fingerprint, at time.Time) bool { return now.Sub(at) >= RefusalEvery })
	_, done := d.noted[p.Key]
	if !done {
		d.noted[p.Key] = now
	}
	d.mu.Unlock()
	if done {
		return nil
	}
	return d.store.LoginRefused(context.WithoutCancel(ctx), p) // hanging up hides nothing
}

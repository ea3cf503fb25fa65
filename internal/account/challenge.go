package account

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"

	"ecluse"
	"ecluse/evidence"
)

// A challenge is nonce ‖ time ‖ HMAC-SHA-256 of both, in hexadecimal.
const (
	nonceSize = 16
	stampSize = nonceSize + 8
)

// Challenges issues what is to be signed and takes each once. Issuing one keeps
// nothing: it carries its own time, under a key that is in memory only and ends
// with the process, and so do all challenges. That time is how long the process
// has run, which no clock set back makes shorter.
type Challenges struct {
	key   [32]byte
	began time.Time

	mu    sync.Mutex
	spent map[nonce]use // within ChallengeLife; by known keys only, whose signature held
}

type nonce [nonceSize]byte

type use struct {
	issued time.Duration
	key    ecluse.Fingerprint
}

// NewChallenges makes its own key.
func NewChallenges() *Challenges {
	c := &Challenges{began: time.Now(), spent: map[nonce]use{}}
	rand.Read(c.key[:])
	return c
}

// Issue makes a challenge, of one size whoever asks.
func (c *Challenges) Issue() string {
	b := make([]byte, stampSize, evidence.ChallengeSize)
	rand.Read(b[:nonceSize])
	binary.BigEndian.PutUint64(b[nonceSize:], uint64(time.Since(c.began)))
	return hex.EncodeToString(c.seal(b))
}

// seal appends the HMAC of a nonce and its time to them.
func (c *Challenges) seal(stamp []byte) []byte {
	h := hmac.New(sha256.New, c.key[:])
	h.Write(stamp)
	return h.Sum(stamp)
}

// read tells whether a challenge is one of its own and not too old. It does not
// look whether it was spent.
func (c *Challenges) read(challenge string) (n nonce, issued time.Duration, err error) {
	b, err := hex.DecodeString(challenge)
	if err != nil || len(b) != evidence.ChallengeSize || !hmac.Equal(b, c.seal(b[:stampSize:stampSize])) {
		return n, 0, refused("this server did not issue the challenge, or has been started again since", askAgain, nil)
	}
	issued = time.Duration(binary.BigEndian.Uint64(b[nonceSize:stampSize]))
	if time.Since(c.began)-issued > ChallengeLife {
		return n, 0, refused("the challenge is older than two minutes", askAgain, nil)
	}
	return nonce(b[:nonceSize]), issued, nil
}

// Spend takes a challenge once, for a known key whose signature was verified:
// nobody else can fill the set, and a key fills only its own part of it.
func (c *Challenges) Spend(challenge string, key ecluse.Fingerprint) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, issued, err := c.read(challenge) // under the lock: what is forgotten below is too old here
	if err != nil {
		return err
	}
	now, logins := time.Since(c.began), 0
	for n, u := range c.spent {
		switch {
		case now-u.issued > ChallengeLife:
			delete(c.spent, n)
		case u.key == key:
			logins++
		}
	}
	if _, again := c.spent[n]; again {
		return refused("the challenge was used before", askAgain, nil)
	}
	if logins >= MaxLogins || len(c.spent) >= MaxSpent {
		return refused("", "go on with a session that is open, or try again in two minutes", ErrBusy)
	}
	c.spent[n] = use{issued, key}
	return nil
}

const askAgain = "ask for a new challenge and sign it"

// refused says why nobody was let in. It repeats nothing of what was sent.
func refused(why, next string, cause error) error {
	return &ecluse.Error{Kind: ecluse.Refused, What: "log in", Why: why, Next: next, Err: cause}
}

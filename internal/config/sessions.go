package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ecluse"
	"ecluse/internal/durable"
)

// Session is a short-lived token that a server gave to the holder of a key. It
// prints without the token.
type Session struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

// Format prints a session, whatever the verb, without its token.
func (s Session) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "session until "+s.Expires.UTC().Format(time.RFC3339)) // into a buffer of package fmt
}

// SessionsFolder is where a person's sessions are kept. It may be emptied at any
// time: whoever finds none logs in again.
func SessionsFolder() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", &ecluse.Error{Kind: ecluse.Invalid, What: "find the cache folder", Err: err, Next: "set HOME, or XDG_CACHE_HOME"}
	}
	return filepath.Join(dir, "ecluse", "sessions"), nil
}

// sessionPath names the file by whom the token is for: it goes back to the server
// that gave it, which is known by its key, and speaks for one key in one laboratory.
func sessionPath(dir string, x *Context, key ecluse.Fingerprint) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{strings.ToLower(x.Server), x.Pin.String(), x.Laboratory, string(key)}, "\n")))
	return filepath.Join(dir, hex.EncodeToString(sum[:])+".json")
}

const readSession = "read the session"

// ReadSession finds the session of a key with a context's server; nil when there
// is none, or it has expired. A file that others may read is refused.
func ReadSession(dir string, x *Context, key ecluse.Fingerprint, now time.Time) (*Session, error) {
	if err := ownFolder(readSession, dir); err != nil {
		return nil, err
	}
	path := sessionPath(dir, x, key)
	text, err := readOwn(readSession, path, othersAny)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := parseSession(text)
	if err != nil {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: readSession, Where: path, Why: err.Error(), Next: "remove the file: the next command logs in again",
		}
	}
	if !now.Before(s.Expires) {
		return nil, nil
	}
	return s, nil
}

// WriteSession keeps a session in place of the one before. A reader at the same
// time gets the one or the other.
func WriteSession(dir string, x *Context, key ecluse.Fingerprint, s Session) error {
	const what = "keep the session"
	if err := s.check(); err != nil {
		return &ecluse.Error{Kind: ecluse.Invalid, What: what, Why: err.Error(), Next: "log in again"}
	}
	text, err := json.Marshal(&s)
	if err != nil {
		return &ecluse.Error{Kind: ecluse.Failed, What: what, Err: err}
	}
	err = durable.Mkdir(dir)
	if err == nil {
		if err := ownFolder(what, dir); err != nil {
			return err
		}
		err = durable.WriteFile(sessionPath(dir, x, key), append(text, '\n'))
	}
	if err == nil {
		err = durable.Sweep(dir)
	}
	if err != nil {
		return &ecluse.Error{Kind: ecluse.Failed, What: what, Where: dir, Err: cause(err)}
	}
	return nil
}

// RemoveSession forgets a session; one that is not there is no error.
func RemoveSession(dir string, x *Context, key ecluse.Fingerprint) error {
	path := sessionPath(dir, x, key)
	if err := durable.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &ecluse.Error{Kind: ecluse.Failed, What: "forget the session", Where: path, Err: cause(err)}
	}
	return nil
}

// parseSession reads a session's text. Its errors repeat nothing of it.
func parseSession(text []byte) (*Session, error) {
	s := &Session{}
	if json.Unmarshal(text, s) != nil {
		return nil, errors.New("it is not a session's JSON")
	}
	return s, s.check()
}

// check refuses what cannot be sent in a header.
func (s *Session) check() error {
	if s.Token == "" || len(s.Token) > 4096 || strings.ContainsFunc(s.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("it holds no token")
	}
	if s.Expires.IsZero() {
		return errors.New("it does not say when it expires")
	}
	return nil
}

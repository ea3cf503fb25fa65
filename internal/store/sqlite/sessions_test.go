package sqlite_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/account"
	"ecluse/internal/journal"
	"ecluse/internal/store/sqlite"
)

func beginSession(t *testing.T, s *sqlite.Store) (hash [32]byte, _ account.Session) {
	t.Helper()
	rand.Read(hash[:])
	key := ecluse.Fingerprint("SHA256:" + strings.Repeat("A", 43))
	x, err := s.BeginSession(t.Context(), hash, account.Session{
		ID: hex.EncodeToString(hash[:16]), Person: account.Person{Key: key, Side: ecluse.Controller, ID: "anne-martin"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return hash, x
}

// TestSessionTable: a database made before there were sessions gets their table
// when it is opened.
func TestSessionTable(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, true).Close()
	raw(t, dir, `DROP TABLE carried_left`)
	raw(t, dir, `DROP TABLE carried`)
	raw(t, dir, `DROP TABLE work`)
	raw(t, dir, `DROP TABLE session`)
	raw(t, dir, `DELETE FROM goose_db_version WHERE version_id >= 2`)
	s := open(t, dir, false)
	defer s.Close()
	beginSession(t, s)
}

// TestSessionClock: a session's time is the store's, which does not go back; and
// asking for a session does not write the clock but once a minute.
func TestSessionClock(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, true)
	defer s.Close()
	hash, x := beginSession(t, s)
	now := func() time.Time {
		t.Helper()
		_, now, err := s.Session(t.Context(), hash)
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	high := func() int64 { return rawRow(t, dir, `SELECT high FROM clock`) }
	time.Sleep(1100 * time.Millisecond) // Now would keep it
	before := high()
	if got := now(); got.Sub(x.Begun) < time.Second || high() != before {
		t.Errorf("%v after it began; the clock was kept at %d, now %d", got.Sub(x.Begun), before, high())
	}
	raw(t, dir, `UPDATE clock SET high = high - 61000`)
	if now(); high() < before {
		t.Error("after more than a minute the clock was not kept")
	}

	future := time.Now().Add(account.SessionLife) // and then the machine's clock is set back
	raw(t, dir, `UPDATE clock SET high = ?`, future.UnixMilli())
	for range 2 {
		if got := now(); got.UnixMilli() < future.UnixMilli() || !x.Expired(got) {
			t.Errorf("at %v the session of %v has not expired", got, x.Begun)
		}
	}
	if n, err := s.EndSessions(t.Context(), account.Expired, (*account.Session).Expired); n != 1 || err != nil {
		t.Errorf("ended %d, %v", n, err)
	}
}

// TestKillSessions kills a process that begins and ends sessions, at random
// moments: the sessions left are those that the journal has begun and not ended.
func TestKillSessions(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		sessionsUntilKilled(t, dir)
	}
	dir := t.TempDir()
	open(t, dir, true).Close()
	before := int64(0)
	for range 6 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKillSessions$")
		cmd.Env = append(os.Environ(), crashDir+"="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(60+mathrand.IntN(120)) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()

		s := open(t, dir, false)
		left := map[string]bool{}
		size, err := s.Size(t.Context(), evidence.InstallationTree)
		if err != nil {
			t.Fatal(err)
		}
		_, leaves, err := journal.New(s, newKey(t)).Leaves(t.Context(), evidence.InstallationTree, 0, size)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range leaves {
			switch id := l.IDs["session"]; journal.Type(l.Type) {
			case journal.SessionBegun:
				left[id] = true
			case journal.SessionEnded:
				if !left[id] {
					t.Errorf("session %s ended and had not begun", id)
				}
				delete(left, id)
			}
		}
		all, err := s.Sessions(t.Context())
		if err != nil || len(all) != len(left) {
			t.Errorf("%d sessions, the journal has %d open, %v", len(all), len(left), err)
		}
		for _, x := range all {
			if !left[x.ID] {
				t.Errorf("the journal does not have the session %s as open", x.ID)
			}
		}
		if err := journal.New(s, newKey(t)).Check(t.Context(), evidence.InstallationTree); err != nil {
			t.Error(err)
		}
		before = size
		s.Close()
	}
	if before < 20 {
		t.Errorf("%d entries after 6 kills: the test proves nothing", before)
	}
}

func sessionsUntilKilled(t *testing.T, dir string) {
	s := open(t, dir, false)
	for {
		_, x := beginSession(t, s)
		if x.ID[0]&1 == 0 {
			continue
		}
		_, err := s.EndSessions(t.Context(), account.Revoked, func(y *account.Session, _ time.Time) bool { return x.ID[:1] == y.ID[:1] })
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestTokenIsNowhere looks for a token, in every spelling of it, in every byte of
// the folder: its hash is there and it is not, while the session is open and
// after its end.
func TestTokenIsNowhere(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, true)
	defer s.Close()
	ss := account.NewSessions(s)
	person := account.Person{Key: "SHA256:" + ecluse.Fingerprint(strings.Repeat("A", 43)), Side: ecluse.Controller, ID: "anne-martin"}
	const agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	token, x, err := ss.Begin(t.Context(), person, agent)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := base64.RawURLEncoding.DecodeString(token[len(token)-43:])
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(secret)
	look := func(when string) {
		if len(where(t, dir, hash[:])) == 0 {
			t.Fatalf("%s: the search does not see even the hash", when)
		}
		for name, b := range map[string][]byte{
			"the token": []byte(token), "its text": []byte(token[len(token)-43:]), "its bytes": secret,
			"half its bytes": secret[:16], "its hexadecimal": []byte(hex.EncodeToString(secret)), "the whole user agent": []byte(agent),
		} {
			for _, b := range [][]byte{b, bytes.ToUpper(b)} {
				if found := where(t, dir, b); len(found) != 0 {
					t.Errorf("%s: %s is in %v", when, name, found)
				}
			}
		}
	}
	look("open")
	if err := ss.Revoke(t.Context(), x.ID, account.LoggedOut); err != nil {
		t.Fatal(err)
	}
	look("ended") // the log of writes still has the hash
}

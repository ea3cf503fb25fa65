package storetest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/account"
	"ecluse/internal/journal"
)

var (
	anne = account.Person{Key: "SHA256:" + ecluse.Fingerprint(strings.Repeat("A", 43)), Side: ecluse.Controller, ID: "anne-martin"}
	paul = account.Person{Key: "SHA256:" + ecluse.Fingerprint(strings.Repeat("B", 43)), Side: ecluse.Processor, ID: "paul-roux"}
)

// begin begins the nth session, of a person.
func begin(t *testing.T, s Store, n int, p account.Person) account.Session {
	t.Helper()
	x, err := s.BeginSession(t.Context(), hashOf(n), account.Session{ID: idOf(n), Person: p, Agent: "ecluse"})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func hashOf(n int) [32]byte { return sha256.Sum256(fmt.Append(nil, n)) }

func idOf(n int) string { h := hashOf(n); return hex.EncodeToString(h[:16]) }

func ofKey(p account.Person) func(*account.Session, time.Time) bool {
	return func(x *account.Session, _ time.Time) bool { return x.Person.Key == p.Key }
}

// ended are the reasons of the sessions that the journal has as ended.
func ended(t *testing.T, s Store) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, l := range leaves(t, s, evidence.InstallationTree) {
		if l.Type != string(journal.SessionEnded) {
			continue
		}
		if got[l.IDs["session"]] != "" {
			t.Errorf("session %s ended twice", l.IDs["session"])
		}
		got[l.IDs["session"]] = l.IDs["reason"]
	}
	return got
}

func sessions(t *testing.T, open Opener) {
	dir := t.TempDir()
	s := open(t, dir, true)
	ctx := t.Context()
	first, second, third := begin(t, s, 1, anne), begin(t, s, 2, anne), begin(t, s, 3, paul)
	if first.Begun.IsZero() || !first.Seen.Equal(first.Begun) || time.Since(first.Begun).Abs() > time.Minute {
		t.Errorf("begun %v, seen %v", first.Begun, first.Seen)
	}
	if _, err := s.BeginSession(ctx, hashOf(1), account.Session{ID: idOf(9), Person: paul}); err == nil {
		t.Error("a token was given twice")
	}
	size := len(leaves(t, s, evidence.InstallationTree))
	for range 2 { // too soon: it was seen a moment ago
		if err := s.TouchSession(ctx, first.ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir, false)
	defer s.Close()
	got, now, err := s.Session(ctx, hashOf(1))
	if err != nil || now.Before(first.Begun) {
		t.Errorf("at %v: %v", now, err)
	}
	if d := cmp.Diff(first, got); d != "" {
		t.Error(d)
	}
	if _, _, err := s.Session(ctx, hashOf(9)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a token that never was: %v", err)
	}
	all, err := s.Sessions(ctx)
	if err != nil || len(all) != 3 {
		t.Fatalf("sessions %v, %v", all, err)
	}
	if n := len(leaves(t, s, evidence.InstallationTree)); n != size {
		t.Errorf("looking at sessions left %d entries", n-size)
	}

	if n, err := s.EndSessions(ctx, account.Roster, ofKey(anne)); n != 2 || err != nil {
		t.Fatalf("ended %d, %v", n, err)
	}
	if n, err := s.EndSessions(ctx, account.Roster, ofKey(anne)); n != 0 || err != nil {
		t.Errorf("ended %d again, %v", n, err)
	}
	if _, _, err := s.Session(ctx, hashOf(2)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an ended session: %v", err)
	}
	if err := s.TouchSession(ctx, second.ID); err != nil {
		t.Errorf("touching an ended session: %v", err)
	}
	if all, err := s.Sessions(ctx); err != nil || len(all) != 1 || all[0].ID != third.ID {
		t.Errorf("left: %v, %v", all, err)
	}
	if d := cmp.Diff(map[string]string{first.ID: "roster", second.ID: "roster"}, ended(t, s)); d != "" {
		t.Error(d)
	}
	if err := s.LoginRefused(ctx, anne); err != nil {
		t.Fatal(err)
	}
	log := journal.New(s, newKey(t))
	for _, l := range leaves(t, s, evidence.InstallationTree) {
		switch journal.Type(l.Type) {
		case journal.SessionBegun, journal.SessionEnded, journal.LoginRefused:
			body, err := log.Body(ctx, l)
			if err != nil || !strings.Contains(string(body), `"person":"`) {
				t.Errorf("the body of %s is %s, %v", l.Type, body, err)
			}
			text, _ := l.Bytes()
			if strings.Contains(string(text), "anne") || strings.Contains(string(text), "SHA256:") {
				t.Errorf("a leaf says who: %s", text)
			}
		}
	}
	if err := log.Check(ctx, evidence.InstallationTree); err != nil {
		t.Error(err)
	}
}

// sessionsEndOnce: two processes end the same sessions at once; the journal has
// each once, and what was counted is what was ended.
func sessionsEndOnce(t *testing.T, open Opener) {
	dir := t.TempDir()
	one := open(t, dir, true)
	defer one.Close()
	two := open(t, dir, false)
	defer two.Close()
	const each = 12
	for n := range each {
		begin(t, one, n, []account.Person{anne, paul}[n%2])
	}
	var g errgroup.Group
	counts := make([]int, 4)
	for i := range counts {
		g.Go(func() (err error) {
			match := ofKey(anne)
			if i >= 2 {
				match = func(*account.Session, time.Time) bool { return true }
			}
			counts[i], err = []Store{one, two}[i%2].EndSessions(t.Context(), account.Revoked, match)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if sum := counts[0] + counts[1] + counts[2] + counts[3]; sum != each || len(ended(t, one)) != each {
		t.Errorf("ended %v, the journal has %d, want %d", counts, len(ended(t, one)), each)
	}
}

// sessionsAreCounted: one key's beyond the number end, the one unused the longest
// first; nobody else's do.
func sessionsAreCounted(t *testing.T, open Opener) {
	s := fresh(t, open)
	begin(t, s, 1000, paul)
	for n := range account.MaxSessions + 3 {
		begin(t, s, n, anne)
		time.Sleep(2 * time.Millisecond) // the order is known
	}
	all, err := s.Sessions(t.Context())
	if err != nil || len(all) != account.MaxSessions+1 {
		t.Fatalf("%d sessions, %v", len(all), err)
	}
	want := map[string]string{idOf(0): "replaced", idOf(1): "replaced", idOf(2): "replaced"}
	if d := cmp.Diff(want, ended(t, s)); d != "" {
		t.Error(d)
	}
}

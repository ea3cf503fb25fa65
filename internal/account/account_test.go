package account_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"
	"pgregory.net/rapid"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/account"
	"ecluse/internal/journal"
	"ecluse/internal/store/sqlite"
)

// lab is a laboratory with a door, on a real store. In a bubble of synctest its
// time is the test's.
type lab struct {
	t      *testing.T
	store  *sqlite.Store
	door   *account.Door
	people people
	server ecluse.Digest
	key    ssh.Signer // Anne's
	anne   account.Person
}

type people map[ecluse.Fingerprint]account.Person

func (p people) Holder(_ context.Context, key ecluse.Fingerprint) (account.Person, bool, error) {
	who, ok := p[key]
	return who, ok, nil
}

const laboratory = "tilleuls"

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, key: newKey(t), people: people{}, server: ecluse.DigestOf([]byte("server"))}
	l.anne = l.add(l.key, "anne-martin")
	var err error
	l.store, err = sqlite.Create(t.Context(), t.TempDir(), map[ecluse.Side]ecluse.Fingerprint{
		ecluse.Controller: evidence.FingerprintOf(newKey(t).PublicKey()), ecluse.Processor: evidence.FingerprintOf(newKey(t).PublicKey()),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.store.Close() })
	l.door = account.NewDoor(l.server, laboratory, l.people, l.store)
	return l
}

func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func (l *lab) add(key ssh.Signer, id string) account.Person {
	p := account.Person{Key: evidence.FingerprintOf(key.PublicKey()), Side: ecluse.Controller, ID: id}
	l.people[p.Key] = p
	return p
}

// sign signs a login of a key, edited, over a fresh challenge.
func (l *lab) sign(key ssh.Signer, edit func(*evidence.Login)) evidence.Signed {
	l.t.Helper()
	login := &evidence.Login{
		Server: l.server, Laboratory: laboratory, Key: evidence.FingerprintOf(key.PublicKey()), Challenge: l.door.Challenge(),
	}
	if edit != nil {
		edit(login)
	}
	s, err := evidence.SignLogin(key, login)
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

func (l *lab) logIn(s evidence.Signed) (string, error) {
	token, _, err := l.door.LogIn(l.t.Context(), s, "ecluse/1.0")
	return token, err
}

// in logs somebody in.
func (l *lab) in(key ssh.Signer) (token string, s account.Session) {
	l.t.Helper()
	token, s, err := l.door.LogIn(l.t.Context(), l.sign(key, nil), "ecluse/1.0")
	if err != nil {
		l.t.Fatal(err)
	}
	return token, s
}

// open tells whether a token opens a session.
func (l *lab) open(token string) bool {
	l.t.Helper()
	_, err := l.door.Sessions().Find(l.t.Context(), token)
	if err != nil && !errors.Is(err, account.ErrNoSession) {
		l.t.Fatal(err)
	}
	return err == nil
}

// journalled counts events of a type, for a reason when one is given.
func (l *lab) journalled(typ journal.Type, why account.Reason) (n int) {
	l.t.Helper()
	size, err := l.store.Size(l.t.Context(), evidence.InstallationTree)
	if err != nil {
		l.t.Fatal(err)
	}
	raw, err := l.store.Leaves(l.t.Context(), evidence.InstallationTree, 0, size)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, b := range raw {
		leaf, err := evidence.ParseLeaf(b)
		if err != nil {
			l.t.Fatal(err)
		}
		if leaf.Type == string(typ) && (why == "" || leaf.IDs["reason"] == string(why)) {
			n++
		}
	}
	return n
}

// bubble runs a test on time of its own.
func bubble(t *testing.T, test func(*testing.T, *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newLab(t)) })
}

func TestLogIn(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		token, s := l.in(l.key)
		if s.Person != l.anne || s.Agent != "ecluse" || len(token) != len("ecluse_session_")+43 {
			t.Errorf("session %+v, token of %d characters", s, len(token))
		}
		got, err := l.door.Sessions().Find(t.Context(), token)
		if err != nil || got != s {
			t.Errorf("found %+v, %v", got, err)
		}
		again, other := l.in(l.key)
		if again == token || other.ID == s.ID {
			t.Error("two sessions have one token or id")
		}
		if n := l.journalled(journal.SessionBegun, ""); n != 2 {
			t.Errorf("journalled %d times", n)
		}
	})
}

func TestLogInRefused(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		stranger, other := newKey(t), newLab(t)
		used := l.sign(l.key, nil)
		if _, err := l.logIn(used); err != nil {
			t.Fatal(err)
		}
		stale := l.sign(l.key, nil)
		time.Sleep(account.ChallengeLife + 1)
		good := l.sign(l.key, nil)
		text := strings.Replace(string(good.Body), "key "+string(l.anne.Key), "key "+string(evidence.FingerprintOf(stranger.PublicKey())), 1)
		forged := l.sign(l.key, func(x *evidence.Login) {
			b, _ := hex.DecodeString(x.Challenge)
			b[16] ^= 1 // its time
			x.Challenge = hex.EncodeToString(b)
		})
		act, err := evidence.Sign(l.key, evidence.NamespaceAct, good.Body)
		if err != nil {
			t.Fatal(err)
		}
		bySomebodyElse := l.sign(stranger, nil)
		for name, c := range map[string]struct {
			s    evidence.Signed
			kind ecluse.Kind
			why  string
		}{
			"replayed":                       {used, ecluse.Refused, "older than two minutes"},
			"stale":                          {stale, ecluse.Refused, "older than two minutes"},
			"another server":                 {l.sign(l.key, func(x *evidence.Login) { x.Server[0] ^= 1 }), ecluse.Refused, "another server"},
			"another laboratory":             {l.sign(l.key, func(x *evidence.Login) { x.Laboratory = "platanes" }), ecluse.Refused, "another laboratory"},
			"a forged challenge":             {forged, ecluse.Refused, "did not issue"},
			"another door's challenge":       {l.sign(l.key, func(x *evidence.Login) { x.Challenge = other.door.Challenge() }), ecluse.Refused, "did not issue"},
			"a key in no roster":             {bySomebodyElse, ecluse.Refused, "does not hold, or its key"},
			"a tampered key":                 {evidence.Signed{Body: []byte(text), Signature: good.Signature}, ecluse.Refused, "does not hold, or its key"},
			"somebody else's signature":      {evidence.Signed{Body: good.Body, Signature: bySomebodyElse.Signature}, ecluse.Refused, "does not hold, or its key"},
			"no signature":                   {evidence.Signed{Body: good.Body}, ecluse.Refused, "does not hold, or its key"},
			"signed as an act":               {act, ecluse.Refused, "does not hold, or its key"},
			"nothing":                        {evidence.Signed{}, ecluse.Invalid, ""},
			"a text too long to be one":      {evidence.Signed{Body: make([]byte, 1<<20)}, ecluse.Invalid, "too long"},
			"a signature too long to be one": {evidence.Signed{Body: good.Body, Signature: make([]byte, 1<<20)}, ecluse.Invalid, "too long"},
		} {
			_, err := l.logIn(c.s)
			if err == nil || ecluse.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%s: got %v, want %s: %s", name, err, c.kind, c.why)
			}
		}
		if n := l.journalled(journal.SessionBegun, ""); n != 1 {
			t.Errorf("%d sessions began", n)
		}
		if _, err := l.logIn(good); err != nil {
			t.Errorf("what was tried in vain with a challenge spent it: %v", err)
		}
		if _, err := l.logIn(good); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "used before") {
			t.Errorf("replayed at once: %v", err)
		}
		delete(l.people, l.anne.Key)
		if _, err := l.logIn(l.sign(l.key, nil)); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("after the roster took the key away: %v", err)
		}
	})
}

// TestNobodyLocksOut: whatever others try in her name or their own, the only
// biologist logs in; strangers leave nothing in the database, and failures in
// her name an entry a minute.
func TestNobodyLocksOut(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		stranger := newKey(t)
		size, err := l.store.Size(t.Context(), evidence.InstallationTree)
		if err != nil {
			t.Fatal(err)
		}
		var answers []string
		try := func(s evidence.Signed) {
			t.Helper()
			_, err := l.logIn(s)
			if err == nil {
				t.Fatal("let in")
			}
			answers = append(answers, err.Error())
		}
		for range 3 * account.MaxLogins {
			try(l.sign(stranger, nil))
		}
		if n, err := l.store.Size(t.Context(), evidence.InstallationTree); n != size || err != nil {
			t.Errorf("strangers left %d entries, %v", n-size, err)
		}
		inHerName := func() evidence.Signed {
			return evidence.Signed{Body: l.sign(l.key, nil).Body, Signature: l.sign(stranger, nil).Signature}
		}
		hungUp, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := l.door.LogIn(hungUp, inHerName(), ""); err == nil {
			t.Error("let in")
		}
		for range 3 * account.MaxLogins {
			try(inHerName())
		}
		if n := l.journalled(journal.LoginRefused, ""); n != 1 {
			t.Errorf("journalled %d times within a minute", n)
		}
		time.Sleep(account.RefusalEvery)
		try(inHerName())
		if n := l.journalled(journal.LoginRefused, ""); n != 2 {
			t.Errorf("journalled %d times in two minutes", n)
		}
		for _, a := range answers {
			if a != answers[0] {
				t.Errorf("a stranger learns who has a key here: %q and %q", answers[0], a)
			}
		}
		l.in(l.key)
	})
}

// TestBusy: one key's log-ins are bounded and nobody else's with it; the set is
// bounded too, and empties.
func TestBusy(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		busy, colleague := newKey(t), newKey(t)
		l.add(busy, "paul-roux")
		l.add(colleague, "luc-petit")
		for range account.MaxLogins {
			l.in(busy)
		}
		_, err := l.logIn(l.sign(busy, nil))
		var e *ecluse.Error
		if !errors.Is(err, account.ErrBusy) || !errors.As(err, &e) || e.Kind != ecluse.Refused || e.Next == "" {
			t.Errorf("one more: %v", err)
		}
		l.in(colleague)
		l.in(l.key)
		time.Sleep(account.ChallengeLife + 1)
		l.in(busy)
	})
	synctest.Test(t, func(t *testing.T) {
		c := account.NewChallenges()
		key := func(n int) ecluse.Fingerprint {
			return ecluse.Fingerprint(hex.EncodeToString([]byte{byte(n >> 8), byte(n)}))
		}
		for n := range account.MaxSpent {
			if err := c.Spend(c.Issue(), key(n/account.MaxLogins)); err != nil {
				t.Fatal(n, err)
			}
		}
		if err := c.Spend(c.Issue(), "nobody's yet"); !errors.Is(err, account.ErrBusy) {
			t.Errorf("the set is full: %v", err)
		}
		time.Sleep(account.ChallengeLife + 1)
		if err := c.Spend(c.Issue(), "nobody's yet"); err != nil {
			t.Errorf("two minutes later: %v", err)
		}
	})
}

// TestSpendOnce: of many at once with one challenge, one gets in; to the last
// instant of its life, and not after.
func TestSpendOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := account.NewChallenges()
		challenge := c.Issue()
		time.Sleep(account.ChallengeLife)
		var won sync.Map
		var g sync.WaitGroup
		for n := range 20 {
			g.Go(func() {
				if c.Spend(challenge, "key") == nil {
					won.Store(n, nil)
				}
			})
		}
		g.Wait()
		n := 0
		won.Range(func(any, any) bool { n++; return true })
		if n != 1 {
			t.Errorf("%d got in", n)
		}
		time.Sleep(time.Nanosecond)
		if err := c.Spend(challenge, "key"); err == nil || strings.Contains(err.Error(), "used") {
			t.Errorf("after its life: %v", err)
		}
	})
}

func TestChallengeForm(t *testing.T) {
	c := account.NewChallenges()
	seen := map[string]bool{}
	for range 100 {
		s := c.Issue()
		if len(s) != 2*evidence.ChallengeSize || seen[s] {
			t.Fatalf("challenge %q", s)
		}
		seen[s] = true
	}
	if err := account.NewChallenges().Spend(c.Issue(), "key"); err == nil {
		t.Error("a challenge of another process is taken")
	}
	rapid.Check(t, func(t *rapid.T) {
		b, err := hex.DecodeString(c.Issue())
		if err != nil {
			t.Fatal(err)
		}
		b[rapid.IntRange(0, len(b)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if c.Spend(hex.EncodeToString(b), "key") == nil {
			t.Error("a changed challenge is taken")
		}
	})
}

func TestExpiry(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		bubble(t, func(t *testing.T, l *lab) {
			token, _ := l.in(l.key)
			time.Sleep(account.IdleLife - time.Millisecond)
			if !l.open(token) { // and is in use again
				t.Fatal("expired too early")
			}
			time.Sleep(account.IdleLife - time.Millisecond)
			if !l.open(token) {
				t.Fatal("using it did not prolong it")
			}
			time.Sleep(account.IdleLife)
			if l.open(token) {
				t.Error("open after an hour unused")
			}
			if n := l.journalled(journal.SessionEnded, ""); n != 0 {
				t.Errorf("finding wrote %d ends", n)
			}
			if all, err := l.door.Sessions().List(t.Context(), "", ""); err != nil || len(all) != 0 || l.journalled(journal.SessionEnded, account.Expired) != 1 {
				t.Errorf("listed %v, %v, %d ends", all, err, l.journalled(journal.SessionEnded, account.Expired))
			}
		})
	})
	t.Run("absolute", func(t *testing.T) {
		bubble(t, func(t *testing.T, l *lab) {
			token, s := l.in(l.key)
			for time.Since(s.Begun) < account.SessionLife-30*time.Minute {
				time.Sleep(30 * time.Minute)
				if !l.open(token) {
					t.Fatalf("expired after %v in use", time.Since(s.Begun))
				}
			}
			time.Sleep(30 * time.Minute)
			if l.open(token) {
				t.Error("open after twelve hours")
			}
			l.in(l.key) // ends it
			if n := l.journalled(journal.SessionEnded, account.Expired); n != 1 {
				t.Errorf("journalled %d times", n)
			}
		})
	})
}

// TestFindWritesOnceAMinute counts what finding writes.
func TestFindWritesOnceAMinute(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		counted := &counter{Store: l.store}
		ss := account.NewSessions(counted)
		token, s := l.in(l.key)
		find := func() account.Session {
			t.Helper()
			got, err := ss.Find(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		for range 600 { // ten minutes
			time.Sleep(time.Second)
			find()
		}
		if counted.n != 10 {
			t.Errorf("wrote %d times in ten minutes", counted.n)
		}
		if got := find(); got.Seen.Sub(s.Begun) != 10*time.Minute || !got.Begun.Equal(s.Begun) {
			t.Errorf("seen %v after it began", got.Seen.Sub(s.Begun))
		}
		time.Sleep(account.SeenEvery)
		counted.n, counted.held = 0, make(chan struct{})
		var g sync.WaitGroup
		for range 50 {
			g.Go(func() { find() })
		}
		synctest.Wait()
		close(counted.held)
		g.Wait()
		if counted.n != 1 {
			t.Errorf("of fifty requests at once %d wrote", counted.n)
		}
	})
}

type counter struct {
	account.Store
	mu   sync.Mutex
	n    int
	held chan struct{}
}

func (c *counter) TouchSession(ctx context.Context, id string) error {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	if c.held != nil {
		<-c.held
	}
	return c.Store.TouchSession(ctx, id)
}

// asked counts how often people are looked up.
type asked struct {
	people
	n int
}

func (a *asked) Holder(ctx context.Context, key ecluse.Fingerprint) (account.Person, bool, error) {
	a.n++
	return a.people.Holder(ctx, key)
}

// TestPretend: a log-in to a laboratory that there is not costs the same look, and lets
// nobody in, not even whom this one knows.
func TestPretend(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		who := &asked{people: l.people}
		l.door = account.NewDoor(l.server, laboratory, who, l.store)
		closed := account.NewChallenges()
		s, err := evidence.SignLogin(l.key, &evidence.Login{Server: l.server, Laboratory: "nowhere", Key: l.anne.Key, Challenge: closed.Issue()})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.door.Pretend(t.Context(), "nowhere", closed, s); ecluse.KindOf(err) != ecluse.Refused || who.n != 1 {
			t.Errorf("%v, after %d looks", err, who.n)
		}
		if all, err := l.door.Sessions().List(t.Context(), "", ""); err != nil || len(all) > 0 {
			t.Errorf("sessions: %v, %v", all, err)
		}
	})
}

func TestRevoke(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		ss := l.door.Sessions()
		second, paul := newKey(t), newKey(t)
		l.add(second, "anne-martin")
		l.people[evidence.FingerprintOf(paul.PublicKey())] = account.Person{
			Key: evidence.FingerprintOf(paul.PublicKey()), Side: ecluse.Processor, ID: "anne-martin", // the same id on the other side
		}
		a, sa := l.in(l.key)
		b, _ := l.in(l.key)
		c, _ := l.in(second)
		d, _ := l.in(paul)
		if all, err := ss.List(t.Context(), "", ""); err != nil || len(all) != 4 {
			t.Errorf("all: %v, %v", all, err)
		}
		if hers, err := ss.List(t.Context(), ecluse.Controller, "anne-martin"); err != nil || len(hers) != 3 {
			t.Errorf("hers: %v, %v", hers, err)
		}
		if err := ss.Revoke(t.Context(), sa.ID, account.LoggedOut); err != nil || l.open(a) || !l.open(b) {
			t.Errorf("revoked one: %v; open %t, %t", err, l.open(a), l.open(b))
		}
		if err := ss.Revoke(t.Context(), sa.ID, account.Revoked); !errors.Is(err, account.ErrNoSession) {
			t.Errorf("again: %v", err)
		}
		left := func(p account.Person) bool { return p.Key != l.anne.Key }
		if n, err := account.KeepOnly(t.Context(), l.store, ecluse.Processor, func(account.Person) bool { return true }); n != 0 || err != nil || !l.open(b) || !l.open(d) {
			t.Errorf("another side's roster revoked %d, %v", n, err)
		}
		if n, err := account.KeepOnly(t.Context(), l.store, ecluse.Controller, left); n != 1 || err != nil || l.open(b) || !l.open(c) || !l.open(d) {
			t.Errorf("revoked a key's %d, %v; open %t, %t, %t", n, err, l.open(b), l.open(c), l.open(d))
		}
		for why, want := range map[account.Reason]int{account.LoggedOut: 1, account.Roster: 1, account.Revoked: 0} {
			if n := l.journalled(journal.SessionEnded, why); n != want {
				t.Errorf("%s: journalled %d times, want %d", why, n, want)
			}
		}
	})
}

// TestBegunOrNot: what broke while a session began leaves no session, and its
// challenge is spent all the same.
func TestBegunOrNot(t *testing.T) {
	bubble(t, func(t *testing.T, l *lab) {
		l.door = account.NewDoor(l.server, laboratory, l.people, broken{l.store})
		s := l.sign(l.key, nil)
		if token, err := l.logIn(s); !errors.Is(err, io.ErrUnexpectedEOF) || token != "" {
			t.Errorf("token %q, %v", token, err)
		}
		if _, err := l.logIn(s); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("again: %v", err)
		}
	})
}

type broken struct{ account.Store }

func (broken) BeginSession(context.Context, [32]byte, account.Session) (account.Session, error) {
	return account.Session{}, io.ErrUnexpectedEOF
}

func TestFamily(t *testing.T) {
	for header, want := range map[string]string{
		"":                   "other",
		"ecluse/0.3 (linux)": "ecluse",
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                            "firefox",
		"Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36":               "chrome",
		"Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0": "edge",
		"Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15":                     "safari",
		"Jeanne Dupont": "other",
	} {
		if got := account.Family(header); got != want {
			t.Errorf("%q is %q, want %q", header, got, want)
		}
	}
}

// FuzzLogIn: nobody gets in with what a known key did not sign.
func FuzzLogIn(f *testing.F) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	key, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		f.Fatal(err)
	}
	print := evidence.FingerprintOf(key.PublicKey())
	server := ecluse.DigestOf([]byte("server"))
	door := account.NewDoor(server, laboratory, people{print: {Key: print, Side: ecluse.Controller, ID: "anne-martin"}}, memory{})
	signed, err := evidence.SignLogin(key, &evidence.Login{Server: server, Laboratory: laboratory, Key: print, Challenge: door.Challenge()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed.Body, signed.Signature)
	f.Add([]byte("ecluse login/v1\n"), []byte(nil))
	f.Fuzz(func(t *testing.T, body, signature []byte) {
		_, _, err := door.LogIn(t.Context(), evidence.Signed{Body: body, Signature: signature}, "")
		if err == nil && string(body) != string(signed.Body) {
			t.Error("let in")
		}
	})
}

// FuzzFind: no text but a token's one form is looked for.
func FuzzFind(f *testing.F) {
	ss := account.NewSessions(memory{})
	token, _, err := ss.Begin(f.Context(), account.Person{}, "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add(token[:len(token)-1] + "\n")
	f.Add(token + "\r\n")
	f.Add("ecluse_session_")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := ss.Find(t.Context(), text)
		if formed := len(text) == len(token) && strings.HasPrefix(text, "ecluse_session_") && !strings.ContainsAny(text, "\r\n="); err == nil && !formed {
			t.Errorf("%q is taken for a token", text)
		}
	})
}

// memory finds every token, and has nobody's.
type memory struct{ account.Store }

func (memory) BeginSession(_ context.Context, _ [32]byte, s account.Session) (account.Session, error) {
	return s, nil
}

func (memory) Session(context.Context, [32]byte) (account.Session, time.Time, error) {
	return account.Session{}, time.Time{}, nil
}
func (memory) LoginRefused(context.Context, account.Person) error { return nil }

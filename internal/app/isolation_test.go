package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/api"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/exchange"
	"ecluse/internal/wire"
)

// Two laboratories on one server, whose people and gates are each nobody at the other's.

// prober asks for anything, as somebody.
type prober struct {
	*http.Client
	url, token string
}

func (s *served) prober(t *testing.T, gate ssh.Signer) *prober {
	t.Helper()
	tr, err := wire.Transport(wire.Options{Pin: s.Pin, Gate: gate, HTTP1: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &prober{Client: &http.Client{Transport: tr, Timeout: 60 * time.Second}, url: s.URL}
}

// logIn gives the prober a session at a laboratory.
func (p *prober) logIn(t *testing.T, pin wire.Pin, lab string, key ssh.Signer) int {
	t.Helper()
	var c struct {
		Challenge string `json:"challenge"`
		Token     string `json:"token"`
	}
	_, _, body := p.ask(t, http.MethodPost, "/v1/labs/"+lab+"/challenges", nil)
	if err := json.Unmarshal(body, &c); err != nil {
		t.Fatal(err)
	}
	signed, err := evidence.SignLogin(key, &evidence.Login{Server: ecluse.Digest(pin), Laboratory: lab, Key: evidence.FingerprintOf(key.PublicKey()), Challenge: c.Challenge})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(signed)
	if err != nil {
		t.Fatal(err)
	}
	status, _, body := p.ask(t, http.MethodPost, "/v1/labs/"+lab+"/sessions", text)
	if status == http.StatusOK {
		if err := json.Unmarshal(body, &c); err != nil {
			t.Fatal(err)
		}
		p.token = c.Token
	}
	return status
}

// networks counts those that probers come from: strangers of one may ask so often only.
var networks atomic.Uint32

func (p *prober) ask(t *testing.T, method, path string, body []byte) (int, http.Header, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, p.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	n := networks.Add(1)
	r.Header.Set(fromNetwork, fmt.Sprintf("[2001:db8:%x:%x::1]:443", n>>16, n&0xffff))
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if p.token != "" {
		r.Header.Set("Authorization", "Bearer "+p.token)
	}
	res, err := p.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, text
}

// idsOfLab are ids of a laboratory that may appear nowhere else.
type idsOfLab struct {
	lab, migration, work, session, document, sha256, gate string
}

// fill puts ids into a route's path.
func (w idsOfLab) fill(path string) string {
	return strings.NewReplacer(
		"{lab}", w.lab, "{migration}", w.migration, "{work}", w.work, "{id}", w.session, "{digest}", w.document, "{sha256}", w.sha256, "{request}", w.document,
		"{kind}", "instruction", "{dataset}", "patient", "{sequence}", "0", "{version}", "0", "{return}", w.document, "{item}", "0",
	).Replace(path)
}

func (w idsOfLab) all() []string { return []string{w.migration, w.work, w.session, w.document, w.gate} }

// bodyOf is a body that a route takes, so that what is refused is who asks.
func bodyOf(r api.Route, w idsOfLab) []byte {
	if r.Method != http.MethodPost && r.Method != http.MethodPut {
		return nil
	}
	act := `{"body":"eA==","signature":"eA=="}`
	for end, text := range map[string]string{
		"/drafts": `{"migration":"` + w.migration + `","clauses":[{"verb":"suspend","kind":"migration","subject":"` + w.document + `"}]}`, "/acts": `{"act":` + act + `}`,
		"/inspections": `{"place":"source"}`, "/plans": `{"kind":"final"}`, "/passages": `{"kind":"final"}`, "/migrations": `{"instruction":"eA=="}`, "/sketches": `{"instruction":"eA=="}`,
		"/mappings": `{"mapping":"eA=="}`, "/events": `{"migration":"` + w.migration + `","type":"epoch"}`, "/progress": `{"stage":"x","rows":0,"bytes":0,"chunks":0}`, "/answer": `{}`,
	} {
		if strings.HasSuffix(r.Path, end) {
			return []byte(text)
		}
	}
	if strings.HasSuffix(r.Path, "/carried/out") {
		return []byte("{}")
	}
	if strings.HasSuffix(r.Path, "/chunks") || strings.HasSuffix(r.Path, "/{item}") || strings.HasSuffix(r.Path, "/rejects") {
		return []byte("x")
	}
	return []byte(act)
}

// two are two laboratories on one server, at the same stage, of different people.
type two struct {
	*served
	dirs  [2]*roomtest.Dir
	rooms [2]*app.Room
	words [2]idsOfLab
}

func labs(t *testing.T) *two {
	t.Helper()
	x := &two{}
	for i := range x.dirs {
		x.dirs[i] = roomtest.At(t, roomtest.Sealed, 3+i) // of other numbers: the templates of each have keys of their own
		x.rooms[i] = x.dirs[i].Open()
	}
	x.served = serveLabs(t, func(pin wire.Pin) []api.Lab {
		return []api.Lab{x.rooms[0].Lab("north", pin), x.rooms[1].Lab("south", pin)}
	})
	for i, lab := range []string{"north", "south"} {
		x.words[i] = idsOfLab{
			lab: lab, migration: string(roomtest.Migration), document: ecluse.DigestOf(x.dirs[i].Read("instruction.yaml")).String(),
			gate: string(x.rooms[i].Gate(exchange.SourcePlace)), session: "none", sha256: ecluse.DigestOf([]byte("x")).String(),
		}
		all := x.dirs[i].Query("room/lock/control.db", "SELECT id FROM work ORDER BY id LIMIT 1")
		if len(all) > 0 {
			x.words[i].work = all[0]
		}
	}
	return x
}

// nobodySays compares an answer with the one that whoever is nobody gets.
func nobodySays(t *testing.T, what string, status int, h http.Header, body, want []byte) {
	t.Helper()
	if status != http.StatusUnauthorized || !bytes.Equal(body, want) || h.Get("Www-Authenticate") != "Bearer" {
		t.Errorf("%s: %d %s", what, status, body)
	}
}

// TestLaboratoriesApart: whoever is somebody at one laboratory is nobody at another on
// the same server, on every route, with ids that exist there and with others: the same
// answer, to the byte.
func TestLaboratoriesApart(t *testing.T) {
	t.Parallel()
	x := labs(t)
	gateKey, err := ssh.ParsePrivateKey(x.dirs[0].Read("room", "source", "gate_key"))
	if err != nil {
		t.Fatal(err)
	}
	claire := x.prober(t, nil)
	if status := claire.logIn(t, x.Pin, "north", x.dirs[0].Key(roomtest.Claire)); status != http.StatusOK {
		t.Fatal(status)
	}
	source := x.prober(t, gateKey)
	_, _, want := x.prober(t, nil).ask(t, http.MethodGet, "/v1/labs/north/me", nil)

	there := x.words[1]
	elsewhere := idsOfLab{lab: "nowhere", migration: "no-such-thing", work: "none", session: "none", document: ecluse.DigestOf([]byte("none")).String(), sha256: there.sha256}
	tried := 0
	for _, r := range x.API.Routes {
		if r.Identity == "nobody" {
			continue // who asks makes no difference there
		}
		for who, p := range map[string]*prober{"a person": claire, "a gate": source} {
			for name, w := range map[string]idsOfLab{"ids that exist": there, "ids that do not": {
				lab: there.lab, migration: elsewhere.migration, work: elsewhere.work, session: elsewhere.session, document: elsewhere.document, sha256: elsewhere.sha256,
			}, "a laboratory that does not": elsewhere} {
				status, h, body := p.ask(t, r.Method, w.fill(r.Path), bodyOf(r, w))
				nobodySays(t, fmt.Sprintf("%s, %s, %s %s", who, name, r.Method, r.Path), status, h, body, want)
				tried++
			}
		}
	}
	t.Logf("%d requests", tried)
	if tried < 200 {
		t.Error("too few routes")
	}
	// A log-in there with a key of here.
	if status := x.prober(t, nil).logIn(t, x.Pin, "south", x.dirs[0].Key(roomtest.Claire)); status != http.StatusUnauthorized {
		t.Errorf("logged in at the other laboratory: %d", status)
	}
}

// TestLaboratoriesSilent: at one's own laboratory nothing names, counts or shows what is
// the other's: asking for its ids is asking for what does not exist.
func TestLaboratoriesSilent(t *testing.T) {
	t.Parallel()
	x := labs(t)
	gateKey, err := ssh.ParsePrivateKey(x.dirs[0].Read("room", "source", "gate_key"))
	if err != nil {
		t.Fatal(err)
	}
	claire, source := x.prober(t, nil), x.prober(t, gateKey)
	if status := claire.logIn(t, x.Pin, "north", x.dirs[0].Key(roomtest.Claire)); status != http.StatusOK {
		t.Fatal(status)
	}
	here, there := x.words[0], x.words[1]
	secret := slices.DeleteFunc(there.all(), func(s string) bool { return s == "" || s == here.migration || s == "none" })
	if len(secret) < 2 {
		t.Fatal("nothing to look for")
	}
	// Both laboratories' migrations have one name here, so that what is answered under it
	// is the asker's own; work and documents are told apart.
	foreign, made := here, here
	foreign.work, foreign.document = there.work, there.document
	made.work, made.document = strings.Repeat("a", len(there.work)), ecluse.DigestOf([]byte("none")).String()
	for _, r := range x.API.Routes {
		p := claire
		switch r.Identity {
		case "gate", "gate, retired too":
			p = source
		case "person":
		default:
			continue
		}
		if r.Method != http.MethodGet || strings.HasSuffix(r.Path, "/wait") || strings.HasSuffix(r.Path, "/gate/work") {
			continue
		}
		s1, _, b1 := p.ask(t, r.Method, foreign.fill(r.Path), nil)
		s2, _, b2 := p.ask(t, r.Method, made.fill(r.Path), nil)
		masked := func(b []byte, w idsOfLab) string {
			return strings.NewReplacer(w.work, "WORK", w.document, "DOCUMENT").Replace(string(b))
		}
		if strings.Contains(r.Path, "{work}") || strings.Contains(r.Path, "{digest}") || strings.Contains(r.Path, "{request}") {
			if s1 != s2 || masked(b1, foreign) != masked(b2, made) || len(b1) != len(b2) {
				t.Errorf("%s %s: what exists elsewhere answers %d %s\nwhat does not: %d %s", r.Method, r.Path, s1, b1, s2, b2)
			}
			continue
		}
		for _, w := range secret {
			if strings.Contains(string(b1), w) {
				t.Errorf("%s %s names the other laboratory's %s", r.Method, r.Path, w)
			}
		}
	}
}

// TestLaboratoriesOnePerson: somebody of both rosters is at each by a log-in of its own.
func TestLaboratoriesOnePerson(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 3)
	other := roomtest.At(t, roomtest.Sealed, 3) // of the same people
	x := serveLabs(t, func(pin wire.Pin) []api.Lab {
		return []api.Lab{d.Open().Lab("north", pin), other.Open().Lab("south", pin)}
	})
	north, south := x.prober(t, nil), x.prober(t, nil)
	for lab, p := range map[string]*prober{"north": north, "south": south} {
		if status := p.logIn(t, x.Pin, lab, d.Key(roomtest.Marc)); status != http.StatusOK {
			t.Fatalf("%s: %d", lab, status)
		}
	}
	for lab, p := range map[string]*prober{"north": north, "south": south} {
		for _, at := range []string{"north", "south"} {
			status, _, _ := p.ask(t, http.MethodGet, "/v1/labs/"+at+"/status", nil)
			if want := map[bool]int{true: http.StatusOK, false: http.StatusUnauthorized}[at == lab]; status != want {
				t.Errorf("a session of %s at %s: %d", lab, at, status)
			}
		}
	}
	// A log-in for one laboratory opens no other, with the challenge of either.
	var c struct {
		Challenge string `json:"challenge"`
	}
	_, _, body := north.ask(t, http.MethodPost, "/v1/labs/south/challenges", nil)
	if err := json.Unmarshal(body, &c); err != nil {
		t.Fatal(err)
	}
	key := d.Key(roomtest.Marc)
	signed, err := evidence.SignLogin(key, &evidence.Login{Server: ecluse.Digest(x.Pin), Laboratory: "north", Key: evidence.FingerprintOf(key.PublicKey()), Challenge: c.Challenge})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(signed)
	if err != nil {
		t.Fatal(err)
	}
	if status, _, _ := x.prober(t, nil).ask(t, http.MethodPost, "/v1/labs/south/sessions", text); status != http.StatusUnauthorized {
		t.Errorf("a log-in for the other laboratory: %d", status)
	}
}

// TestSessionOfAnOldRoster: a session is nobody's once the latest roster no longer has
// its key, whoever's it was and however fresh.
func TestSessionOfAnOldRoster(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 3)
	r := d.Open()
	x := serveLabs(t, func(pin wire.Pin) []api.Lab { return []api.Lab{r.Lab("room", pin)} })
	claire, helene := x.prober(t, nil), x.prober(t, nil)
	for who, p := range map[string]*prober{roomtest.Claire: claire, roomtest.Helene: helene} {
		if status := p.logIn(t, x.Pin, "room", d.Key(who)); status != http.StatusOK {
			t.Fatalf("%s: %d", who, status)
		}
	}
	me := func(p *prober) (int, []byte) {
		status, _, body := p.ask(t, http.MethodGet, "/v1/labs/room/me", nil)
		return status, body
	}
	if status, body := me(claire); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	line := func(k ssh.Signer) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.PublicKey()))) }
	old := string(d.Read("roster-controller.yaml"))
	next := strings.Replace(strings.Replace(old, "number: 1", "number: 2", 1), line(d.Key(roomtest.Claire)), line(stranger(t)), 1)
	if !strings.Contains(old, line(d.Key(roomtest.Claire))) {
		t.Fatalf("the roster has no key of claire's:\n%s", old)
	}
	if _, err := x.desk(t, d, "room", roomtest.Marc).AddRoster(t.Context(), "roster.yaml", []byte(next), d.Key("root-controller")); err != nil {
		t.Fatal(err)
	}
	_, nobody := me(x.prober(t, nil))
	if status, body := me(claire); status != http.StatusUnauthorized || !bytes.Equal(body, nobody) {
		t.Errorf("a session whose key is in no roster: %d %s", status, body)
	}
	if status := x.prober(t, nil).logIn(t, x.Pin, "room", d.Key(roomtest.Claire)); status != http.StatusUnauthorized {
		t.Errorf("logged in anew: %d", status)
	}
	if status, body := me(helene); status != http.StatusOK {
		t.Errorf("somebody who is in both rosters: %d %s", status, body)
	}
}

// TestLaboratoriesTiming: how long an answer takes does not tell what exists: medians
// within three times each other.
func TestLaboratoriesTiming(t *testing.T) {
	x := labs(t)
	gateKey, err := ssh.ParsePrivateKey(x.dirs[0].Read("room", "source", "gate_key"))
	if err != nil {
		t.Fatal(err)
	}
	claire, source := x.prober(t, nil), x.prober(t, gateKey)
	if status := claire.logIn(t, x.Pin, "north", x.dirs[0].Key(roomtest.Claire)); status != http.StatusOK {
		t.Fatal(status)
	}
	median := func(p *prober, path string) time.Duration {
		var all []time.Duration
		for range 101 {
			begun := time.Now()
			p.ask(t, http.MethodGet, path, nil)
			all = append(all, time.Since(begun))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	for name, c := range map[string]struct {
		p           *prober
		exists, not string
	}{
		"a laboratory, by a person":          {claire, "/v1/labs/south/me", "/v1/labs/nowhere/me"},
		"a laboratory, by a gate":            {source, "/v1/labs/south/gate/work", "/v1/labs/nowhere/gate/work"},
		"a migration elsewhere, by a person": {claire, "/v1/labs/south/migrations/quatre-vents-01/in-target", "/v1/labs/south/migrations/no-such-thing-1/in-target"},
		"a document elsewhere, by a person":  {claire, "/v1/labs/north/documents/" + x.words[1].document, "/v1/labs/north/documents/" + ecluse.DigestOf([]byte("none")).String()},
		"a migration elsewhere, by a gate":   {source, "/v1/labs/south/gate/migrations/quatre-vents-01/slots", "/v1/labs/south/gate/migrations/no-such-thing-1/slots"},
	} {
		a, b := median(c.p, c.exists), median(c.p, c.not)
		t.Logf("%s: %s where it exists, %s where not", name, a, b)
		if a > 3*b || b > 3*a {
			t.Errorf("%s: %s where it exists, %s where not", name, a, b)
		}
	}
}

package api_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/account"
	"ecluse/internal/api"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/exchange"
	"ecluse/internal/lock"
	"ecluse/internal/wire"
	"ecluse/internal/wire/wiretest"
)

func TestMain(m *testing.M) { os.Exit(roomtest.Run(m)) }

// server is a laboratory served over real TLS.
type server struct {
	testing.TB
	*api.Server
	dir *roomtest.Dir
	lab string
	pin wire.Pin
	url string
	log *logged
}

// logged is what a server tells of itself.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func open(t testing.TB, at roomtest.Stage) *server {
	t.Helper()
	return openLabs(t, at, "lab")[0]
}

// openLabs are laboratories of one server.
func openLabs(t testing.TB, at roomtest.Stage, names ...string) (labs []*server) {
	t.Helper()
	log := &logged{}
	for _, name := range names {
		labs = append(labs, &server{TB: t, dir: roomtest.At(t, at, 3), log: log, lab: name})
	}
	url, pin := wiretest.Serve(t, roomtest.Temp(t), func(pin wire.Pin) http.Handler {
		o := api.Options{Version: "test", Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))}
		for _, s := range labs {
			l, err := lock.Open(t.Context(), s.dir.Join("room", "lock"), "ecluse test")
			s.must(err)
			t.Cleanup(func() { l.Shut() })
			o.Labs = append(o.Labs, api.Lab{ID: s.lab, Lock: l, Door: account.NewDoor(ecluse.Digest(pin), s.lab, l, l.Sessions())})
		}
		h, err := api.New(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range labs {
			s.Server = h
		}
		return h
	})
	for _, s := range labs {
		s.url, s.pin = url, pin
	}
	return labs
}

func (s *server) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// client is somebody at the other end: a gate with its key, or whoever.
func (s *server) client(gate ssh.Signer) *http.Client {
	s.Helper()
	t, err := wire.Transport(wire.Options{Pin: s.pin, Gate: gate})
	s.must(err)
	t.MaxIdleConnsPerHost = 64
	s.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t, Timeout: 30 * time.Second}
}

func (s *server) gateKey(part string) ssh.Signer {
	s.Helper()
	k, err := ssh.ParsePrivateKey(s.dir.Read("room", part, "gate_key"))
	s.must(err)
	return k
}

// answered is what came back.
type answered struct {
	status int
	header http.Header
	body   []byte
}

func (s *server) ask(c *http.Client, method, path, token string, body []byte, header ...string) answered {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, s.url+path, bytes.NewReader(body))
	s.must(err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(r)
	s.must(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	s.must(err)
	return answered{res.StatusCode, res.Header, text}
}

// login begins a session and returns its token.
func (s *server) login(c *http.Client, who string) string {
	s.Helper()
	var ch struct{ Challenge string }
	a := s.ask(c, http.MethodPost, "/v1/labs/"+s.lab+"/challenges", "", nil)
	s.must(json.Unmarshal(a.body, &ch))
	key := s.dir.Key(who)
	signed, err := evidence.SignLogin(key, &evidence.Login{Server: ecluse.Digest(s.pin), Laboratory: s.lab, Key: evidence.FingerprintOf(key.PublicKey()), Challenge: ch.Challenge})
	s.must(err)
	text, err := json.Marshal(signed)
	s.must(err)
	a = s.ask(c, http.MethodPost, "/v1/labs/"+s.lab+"/sessions", "", text)
	if a.status != http.StatusOK {
		s.Fatalf("%s logs in: %d %s", who, a.status, a.body)
	}
	var begun struct{ Token string }
	s.must(json.Unmarshal(a.body, &begun))
	return begun.Token
}

// roster hands in another roster of the controller, as its root may.
func (s *server) roster(number string, changes ...string) {
	s.Helper()
	text := strings.NewReplacer(append(changes, "number: 1\n", "number: "+number+"\n")...).Replace(string(s.dir.Read("roster-controller.yaml")))
	signed, err := evidence.Sign(s.dir.Key("root-controller"), evidence.NamespaceRoster, []byte(text))
	s.must(err)
	body, err := json.Marshal(signed)
	s.must(err)
	if a := s.ask(s.client(nil), http.MethodPost, "/v1/labs/lab/rosters", "", body); a.status != http.StatusOK {
		s.Fatalf("roster %s: %d %s", number, a.status, a.body)
	}
}

// fill puts something into a route's path.
func fill(path string) string {
	return strings.NewReplacer(
		"{lab}", "lab", "{migration}", string(roomtest.Migration), "{kind}", "report", "{request}", ecluse.DigestOf(nil).String(),
		"{dataset}", "result", "{sequence}", "0", "{version}", "0", "{sha256}", ecluse.DigestOf(nil).String(), "{work}", "abc",
		"{digest}", ecluse.DigestOf(nil).String(), "{id}", "0123456789abcdef0123456789abcdef",
		"{return}", ecluse.DigestOf(nil).String(), "{item}", "0",
	).Replace(path)
}

// TestBeforeIdentity: what is answered to nobody is one closed list; everything else
// that nobody asks gets one answer, the same to the byte, whether it exists or not.
func TestBeforeIdentity(t *testing.T) {
	t.Parallel()
	s := open(t, roomtest.Sealed)
	var before []string
	for _, r := range s.Routes {
		if r.Identity == "nobody" {
			before = append(before, r.Method+" "+r.Path)
		}
	}
	want := []string{"GET /healthz", "GET /openapi.json", "POST /v1/labs/{lab}/challenges", "POST /v1/labs/{lab}/sessions", "POST /v1/labs/{lab}/rosters"}
	if !slices.Equal(before, want) {
		t.Fatalf("before identity: %v, want %v", before, want)
	}
	c := s.client(nil)
	var one *answered
	try := func(method, path, token string) {
		t.Helper()
		body := []byte(nil)
		if method == http.MethodPost || method == http.MethodPut {
			body = []byte("{}")
		}
		for {
			a := s.ask(c, method, path, token, body)
			if a.status == http.StatusTooManyRequests { // strangers may ask so often, and no more
				time.Sleep(300 * time.Millisecond)
				continue
			}
			if one == nil {
				one = &a
			}
			a.header.Del("X-Request-Id")
			a.header.Del("Date")
			if a.status != http.StatusUnauthorized || !bytes.Equal(a.body, one.body) || len(a.header) != len(one.header) {
				t.Errorf("%s %s: %d %v %s, want what all get: %s", method, path, a.status, a.header, a.body, one.body)
			}
			return
		}
	}
	one = nil
	first := s.ask(c, http.MethodGet, "/v1/labs/lab/me", "", nil)
	first.header.Del("X-Request-Id")
	first.header.Del("Date")
	one = &first
	for _, r := range s.Routes {
		if r.Identity == "nobody" {
			continue
		}
		try(r.Method, fill(r.Path), "")
	}
	for _, path := range []string{"/", "/v1", "/v1/labs", "/v1/labs/lab", "/v1/labs/other/me", "/docs", "/schemas/Case.json", "/.git/config", "/v1/labs/lab/migrations"} {
		try(http.MethodGet, path, "")
	}
	try(http.MethodGet, "/v1/labs/lab/me", strings.Repeat("a", 43))
	try(http.MethodGet, "/v1/labs/other/me", strings.Repeat("a", 43))
	// A stranger's key proves nothing either.
	c = s.client(s.dir.Key("root-controller"))
	try(http.MethodGet, "/v1/labs/lab/gate/work", "")

	// Challenges of a laboratory that is there and of one that is not look alike.
	challenge := func(path string) answered {
		for {
			if a := s.ask(c, http.MethodPost, path, "", nil); a.status != http.StatusTooManyRequests {
				return a
			}
			time.Sleep(300 * time.Millisecond)
		}
	}
	there, not := challenge("/v1/labs/lab/challenges"), challenge("/v1/labs/nowhere/challenges")
	if there.status != not.status || len(there.body) != len(not.body) {
		t.Errorf("a challenge there: %d, %d bytes; elsewhere: %d, %d bytes", there.status, len(there.body), not.status, len(not.body))
	}
}

// TestEveryRouteAsksForItsIdentity: a person is nobody on gates' routes, a gate is
// nobody on people's.
func TestEveryRouteAsksForItsIdentity(t *testing.T) {
	t.Parallel()
	s := open(t, roomtest.Sealed)
	plain, gate := s.client(nil), s.client(s.gateKey("source"))
	token := s.login(plain, roomtest.Claire)
	ask := func(by *http.Client, method, path, token string, body []byte) answered {
		a := s.ask(by, method, path, token, body)
		for ; a.status == http.StatusTooManyRequests; time.Sleep(100 * time.Millisecond) { // so often, and no more
			a = s.ask(by, method, path, token, body)
		}
		return a
	}
	for _, r := range s.Routes {
		path := fill(r.Path)
		var a answered
		switch r.Identity {
		case "person":
			a = ask(gate, r.Method, path, "", []byte("{}"))
		case "gate", "gate, retired too", "enrolling gate":
			a = ask(plain, r.Method, path, token, []byte("{}"))
		default:
			continue
		}
		if a.status != http.StatusUnauthorized {
			t.Errorf("%s %s, of a %s: %d %s", r.Method, r.Path, r.Identity, a.status, a.body)
		}
	}
	if a := ask(plain, http.MethodGet, "/v1/labs/lab/me", token, nil); a.status != http.StatusOK || !bytes.Contains(a.body, []byte("claire")) {
		t.Errorf("me: %d %s", a.status, a.body)
	}
	if a := ask(gate, http.MethodGet, "/v1/labs/lab/gate/migrations/"+string(roomtest.Migration)+"/slots", "", nil); a.status != http.StatusOK {
		t.Errorf("slots: %d %s", a.status, a.body)
	}
}

// TestWhoCarries: operators and signatories of both parties carry; whoever else reads all,
// and a gate by its own key, do not.
func TestWhoCarries(t *testing.T) {
	t.Parallel()
	s := open(t, roomtest.Sealed)
	plain, gate := s.client(nil), s.client(s.gateKey("source"))
	tokens := map[string]string{}
	for _, who := range []string{roomtest.Claire, roomtest.Helene, roomtest.Julie, roomtest.Marc} {
		tokens[who] = s.login(plain, who)
	}
	n := 0
	for _, r := range s.Routes {
		if !strings.HasPrefix(r.Path, "/v1/labs/{lab}/carried/") {
			continue
		}
		n++
		if a := s.ask(gate, r.Method, fill(r.Path), "", []byte("{}")); a.status != http.StatusUnauthorized {
			t.Errorf("%s %s, of a gate: %d %s", r.Method, r.Path, a.status, a.body)
		}
		for who, token := range tokens {
			a := s.ask(plain, r.Method, fill(r.Path), token, []byte(`{"body":"eA==","signature":"eA=="}`))
			barred := bytes.Contains(a.body, []byte("your roster makes you neither operator nor signatory"))
			if barred != (who == roomtest.Helene) || a.status < 400 {
				t.Errorf("%s %s, of %s: %d %s", r.Method, r.Path, who, a.status, a.body)
			}
		}
	}
	if n != 5 {
		t.Errorf("%d routes carry", n)
	}
}

// TestErrorsRepeatNothing: whatever is sent, an error says where and why, and not what.
func TestErrorsRepeatNothing(t *testing.T) {
	t.Parallel()
	s := open(t, roomtest.Sealed)
	plain, gate := s.client(nil), s.client(s.gateKey("source"))
	token := s.login(plain, roomtest.Claire)
	const canary = "DUPONT1840567"
	bodies := [][]byte{
		[]byte(`{"` + canary + `": 1}`), []byte(`"` + canary + `"`), []byte(canary), []byte(`{"kind":"` + canary + `"}`),
		[]byte(`{"place":"` + canary + `","instruction":"` + canary + `","migration":"` + canary + `","body":"` + canary + `"}`),
		[]byte(`{"stage":{"` + canary + `":2},"clauses":[{"verb":"` + canary + `","kind":"` + canary + `","subject":"` + canary + `"}]}`),
	}
	n := 0
	for _, r := range s.Routes {
		if r.Identity == "nobody" || r.Method == http.MethodGet || r.Method == http.MethodDelete {
			continue
		}
		if r.Path == "/v1/labs/{lab}/due" { // sends nothing
			continue
		}
		for _, b := range bodies {
			c, tok := plain, token
			if r.Identity != "person" {
				c, tok = gate, ""
			}
			a := s.ask(c, r.Method, fill(r.Path), tok, b, "Ecluse-Descriptor", canary)
			if bytes.Contains(a.body, []byte(canary)) {
				t.Errorf("%s %s of %s: it repeats what was sent: %s", r.Method, r.Path, b, a.body)
			}
			if a.status >= 400 {
				n++
				if got := a.header.Get("Content-Type"); got != "application/problem+json" {
					t.Errorf("%s %s: an error of type %s: %s", r.Method, r.Path, got, a.body)
				}
				var p struct{ Title, What string }
				if err := json.Unmarshal(a.body, &p); err != nil || p.Title == "" || p.What == "" {
					t.Errorf("%s %s: %s", r.Method, r.Path, a.body)
				}
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d were refused", n)
	}
}

// TestOpenAPI: the description is OpenAPI 3.1, has every route, and no request may
// bring what it does not name.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	s := open(t, roomtest.Made)
	a := s.ask(s.client(nil), http.MethodGet, "/openapi.json", "", nil)
	var doc struct {
		OpenAPI    string `json:"openapi"`
		Paths      map[string]map[string]json.RawMessage
		Components struct {
			Schemas map[string]struct {
				Type                 string
				AdditionalProperties json.RawMessage `json:"additionalProperties"`
				Properties           map[string]json.RawMessage
			}
		}
	}
	s.must(json.Unmarshal(a.body, &doc))
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("it is OpenAPI %s", doc.OpenAPI)
	}
	for _, r := range s.Routes {
		if doc.Paths[r.Path][strings.ToLower(r.Method)] == nil {
			t.Errorf("%s %s is not in it", r.Method, r.Path)
		}
	}
	for name, x := range doc.Components.Schemas {
		if x.Type == "object" && len(x.Properties) > 0 && string(x.AdditionalProperties) != "false" {
			t.Errorf("schema %s: additionalProperties %s", name, x.AdditionalProperties)
		}
	}
}

// TestSentTwice: a request whose answer was lost is sent again under its key, and is
// carried out once.
func TestSentTwice(t *testing.T) {
	t.Parallel()
	s := open(t, roomtest.Sealed)
	c := s.client(nil)
	token := s.login(c, roomtest.Claire)
	draft := []byte(`{"migration":"` + string(roomtest.Migration) + `","clauses":[{"verb":"suspend","kind":"migration","subject":"` + ecluse.DigestOf(nil).String() + `"}]}`)
	first := s.ask(c, http.MethodPost, "/v1/labs/lab/drafts", token, draft, "Idempotency-Key", "one")
	again := s.ask(c, http.MethodPost, "/v1/labs/lab/drafts", token, draft, "Idempotency-Key", "one")
	other := s.ask(c, http.MethodPost, "/v1/labs/lab/drafts", token, draft, "Idempotency-Key", "two")
	if first.status != http.StatusOK || !bytes.Equal(first.body, again.body) || again.header.Get("Idempotent-Replay") != "true" || other.header.Get("Idempotent-Replay") != "" {
		t.Errorf("%d %s, %d %s %v, %v", first.status, first.body, again.status, again.body, again.header, other.header)
	}
	marc := s.login(c, roomtest.Marc)
	if a := s.ask(c, http.MethodPost, "/v1/labs/lab/drafts", marc, draft, "Idempotency-Key", "one"); a.header.Get("Idempotent-Replay") != "" {
		t.Error("another person got the answer")
	}
	shorter := bytes.Replace(draft, []byte("suspend"), []byte("object"), 1)
	if a := s.ask(c, http.MethodPost, "/v1/labs/lab/drafts", token, shorter, "Idempotency-Key", "one"); a.header.Get("Idempotent-Replay") != "" {
		t.Error("another request got the answer")
	}

	// Whose session has ended gets no answer any more; nothing that strangers ask is kept.
	var l struct {
		Items []struct {
			ID   string
			Mine bool
		}
	}
	s.must(json.Unmarshal(s.ask(c, http.MethodGet, "/v1/labs/lab/sessions", token, nil).body, &l))
	for _, x := range l.Items {
		if x.Mine {
			s.ask(c, http.MethodDelete, "/v1/labs/lab/sessions/"+x.ID, token, nil)
		}
	}
	if a := s.ask(c, http.MethodPost, "/v1/labs/lab/drafts", token, draft, "Idempotency-Key", "one"); a.status != http.StatusUnauthorized {
		t.Errorf("a session that has ended: %d %s", a.status, a.body)
	}
	one := s.ask(c, http.MethodPost, "/v1/labs/lab/challenges", "", nil, "Idempotency-Key", "one")
	two := s.ask(c, http.MethodPost, "/v1/labs/lab/challenges", "", nil, "Idempotency-Key", "one")
	if one.status != http.StatusOK || bytes.Equal(one.body, two.body) {
		t.Errorf("a challenge is kept: %d %s, %s", one.status, one.body, two.body)
	}
}

// TestThousandASecond: a thousand requests of people who are logged in, and of a gate, each
// second, and not one fails: who they are, a paper from the disk, the journal's head.
func TestThousandASecond(t *testing.T) {
	s := open(t, roomtest.Sealed)
	c := s.client(nil)
	token := s.login(c, roomtest.Claire)
	const of = "/migrations/" + string(roomtest.Migration)
	for _, x := range []struct {
		what, path, token string
		by                *http.Client
	}{
		{"who somebody is", "/me", token, c},
		{"a paper", of + "/current/instruction", token, c},
		{"the journal's head", "/gate" + of + "/head?from=0", "", s.client(s.gateKey("target"))},
	} {
		best := 0.0
		for try := 0; try < 3 && best < 1000; try++ { // other tests work beside this one
			best = max(best, s.aSecond(x.by, x.path, x.token))
		}
		t.Logf("%s: %.0f requests a second", x.what, best)
		if best < 1000 {
			t.Errorf("%s: %.0f requests a second, want a thousand", x.what, best)
		}
	}
}

// aSecond asks for something for a second, from all sides, and returns how often that was
// answered.
func (s *server) aSecond(c *http.Client, path, token string) float64 {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Second)
	defer cancel()
	var done, failed atomic.Int64
	var wg sync.WaitGroup
	begun := time.Now()
	for range 16 {
		wg.Go(func() {
			for ctx.Err() == nil {
				r, err := http.NewRequestWithContext(s.Context(), http.MethodGet, s.url+"/v1/labs/lab"+path, nil)
				if err != nil {
					failed.Add(1)
					return
				}
				r.Header.Set("Authorization", "Bearer "+token)
				res, err := c.Do(r)
				if err != nil {
					failed.Add(1)
					continue
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode != http.StatusOK {
					failed.Add(1)
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if failed.Load() > 0 {
		s.Errorf("%d of %d failed", failed.Load(), done.Load())
	}
	return float64(done.Load()) / time.Since(begun).Seconds()
}

// TestSessions: one's own are listed and ended; a signatory's, those of the side.
func TestSessions(t *testing.T) {
	t.Parallel()
	s := open(t, roomtest.Sealed)
	c := s.client(nil)
	claire, marc := s.login(c, roomtest.Claire), s.login(c, roomtest.Marc)
	s.login(c, roomtest.Claire)
	count := func(token string) (n int, mine string) {
		t.Helper()
		var l struct {
			Items []struct {
				ID   string
				Mine bool
			}
		}
		a := s.ask(c, http.MethodGet, "/v1/labs/lab/sessions", token, nil)
		s.must(json.Unmarshal(a.body, &l))
		for _, x := range l.Items {
			if x.Mine {
				mine = x.ID
			}
		}
		return len(l.Items), mine
	}
	n, own := count(claire)
	if m, other := count(marc); n != 2 || m != 1 || own == "" || other == "" {
		t.Errorf("claire sees %d, marc %d", n, m)
	} else if a := s.ask(c, http.MethodDelete, "/v1/labs/lab/sessions/"+own, marc, nil); a.status != http.StatusForbidden {
		t.Errorf("the other side's session is ended: %d", a.status)
	}
	if a := s.ask(c, http.MethodDelete, "/v1/labs/lab/sessions/"+own, claire, nil); a.status >= 300 {
		t.Errorf("end: %d %s", a.status, a.body)
	}
	if a := s.ask(c, http.MethodGet, "/v1/labs/lab/me", claire, nil); a.status != http.StatusUnauthorized {
		t.Errorf("an ended session still opens: %d", a.status)
	}
}

// TestPages: a list comes in pages, by a cursor.
func TestPages(t *testing.T) {
	t.Parallel()
	s := open(t, roomtest.Made)
	c := s.client(nil)
	token := ""
	for range 5 {
		token = s.login(c, roomtest.Claire)
	}
	seen, after := map[string]bool{}, ""
	for n := 0; ; n++ {
		var l struct {
			Items []struct{ ID string }
			Next  string
		}
		a := s.ask(c, http.MethodGet, fmt.Sprintf("/v1/labs/lab/sessions?most=2&after=%s", after), token, nil)
		s.must(json.Unmarshal(a.body, &l))
		for _, x := range l.Items {
			seen[x.ID] = true
		}
		if after = l.Next; after == "" || n > 5 {
			break
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d of 5 sessions in pages", len(seen))
	}
}

// TestFailuresAreLogged: whoever is told that the server's log says why finds it there, by
// the request's id, without what was sent.
func TestFailuresAreLogged(t *testing.T) {
	t.Parallel()
	s := open(t, roomtest.Sealed)
	c := s.client(nil)
	token := s.login(c, roomtest.Claire)
	if a := s.ask(c, http.MethodGet, "/v1/labs/lab/documents/"+ecluse.DigestOf(nil).String(), token, nil); a.status != http.StatusNotFound || s.log.String() != "" {
		t.Errorf("what is not there: %d, logged %q", a.status, s.log)
	}
	s.must(os.RemoveAll(s.dir.Join("room", "lock", "documents")))
	const route = "GET /v1/labs/{lab}/migrations/{migration}/current/{kind}"
	a := s.ask(c, http.MethodGet, "/v1/labs/lab/migrations/"+string(roomtest.Migration)+"/current/instruction", token, nil)
	if a.status != http.StatusInternalServerError {
		t.Fatalf("a document that is lost: %d %s", a.status, a.body)
	}
	for _, want := range []string{"level=ERROR", "request=" + a.header.Get("X-Request-Id"), route, "kind=failed", "read document", "no such file"} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("logged %q, want %q", s.log, want)
		}
	}
	if strings.Contains(s.log.String(), s.dir.Join("room")) {
		t.Errorf("logged a path: %s", s.log)
	}
}

// TestLargeBodies: who neither operates nor signs has nothing compiled or checked, and a
// body of very many values is refused before it is decoded.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	s := open(t, roomtest.Sealed)
	c := s.client(nil)
	token := s.login(c, roomtest.Claire)
	many := []byte(`{"papers":[` + strings.Repeat(`{},`, 1_000_000) + `{}]}`)
	if a := s.ask(c, http.MethodPost, "/v1/labs/lab/acts", token, many); a.status != http.StatusBadRequest {
		s.Errorf("a body of a million values: %d %s", a.status, a.body)
	}
	long := []byte(`{"instruction":"` + strings.Repeat("QUFB", 2<<20) + `"}`)
	if a := s.ask(c, http.MethodPost, "/v1/labs/lab/sketches", token, long); a.status != http.StatusRequestEntityTooLarge || !bytes.Contains(a.body, []byte("longer than the 4 MiB")) {
		s.Errorf("a body of 8 MiB: %d %s", a.status, a.body)
	}
	// The longest return of a gate without a line is taken, and is no signed one.
	returned, err := json.Marshal(evidence.Signed{Body: bytes.Repeat([]byte{'a'}, exchange.MaxReturn), Signature: bytes.Repeat([]byte{'a'}, 2<<10)})
	s.must(err)
	if a := s.ask(c, http.MethodPost, "/v1/labs/lab/carried/in?later=true", s.login(c, roomtest.Marc), returned); a.status != http.StatusUnprocessableEntity || !bytes.Contains(a.body, []byte("signature")) {
		s.Errorf("a return of %d bytes: %d %.300s", len(returned), a.status, a.body)
	}
	for what, text := range map[string]string{"base64": `{"instruction":"` + strings.Repeat("QUFB", 1<<18) + `!"}`, "field": `{"instruction":"` + strings.Repeat("QUFB", 1<<18) + `","more":1}`} {
		if a := s.ask(c, http.MethodPost, "/v1/labs/lab/sketches", token, []byte(text)); a.status != http.StatusUnprocessableEntity && a.status != http.StatusBadRequest || bytes.Contains(a.body, []byte("QUFB")) {
			s.Errorf("a long body of a wrong %s: %d %.200s", what, a.status, a.body)
		}
	}
	s.roster("2", "roles: [signatory]", "roles: [security]")
	for _, path := range []string{"/sketches", "/migrations/" + string(roomtest.Migration) + "/mappings"} {
		if a := s.ask(c, http.MethodPost, "/v1/labs/lab"+path, token, []byte(`{"instruction":"","mapping":""}`)); a.status != http.StatusForbidden || !bytes.Contains(a.body, []byte("neither operator nor signatory")) {
			s.Errorf("%s of a security officer: %d %s", path, a.status, a.body)
		}
	}
}

// TestLargeBodiesTakeTurns: while somebody sends one large body there is no room for
// another of theirs, and there is for a small one, and for another person's.
func TestLargeBodiesTakeTurns(t *testing.T) {
	t.Parallel()
	s := open(t, roomtest.Sealed)
	c := s.client(nil)
	claire, marc := s.login(c, roomtest.Claire), s.login(c, roomtest.Marc)
	send := func(token string, size int64) (answer <-chan int, end func()) {
		body, more := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/labs/lab/acts", body)
		s.must(err)
		r.ContentLength = size
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		status := make(chan int, 1)
		go func() {
			res, err := c.Do(r)
			if err != nil {
				status <- 0
				return
			}
			res.Body.Close()
			status <- res.StatusCode
		}()
		_, err = more.Write([]byte("{")) // taken when the request is under way
		s.must(err)
		return status, func() { more.CloseWithError(io.ErrUnexpectedEOF) }
	}
	first, end := send(claire, 4<<20)
	other, endOther := send(marc, 1<<20)
	time.Sleep(200 * time.Millisecond)
	second, endSecond := send(claire, 1<<20)
	if a := s.ask(c, http.MethodGet, "/v1/labs/lab/me", claire, nil); a.status != http.StatusOK {
		t.Errorf("a small one meanwhile: %d", a.status)
	}
	select {
	case status := <-second:
		if status != http.StatusTooManyRequests {
			t.Errorf("a second large one: %d", status)
		}
	case status := <-other:
		t.Errorf("another person's: %d", status)
	case status := <-first:
		t.Errorf("the first: %d", status)
	case <-time.After(20 * time.Second):
		t.Error("a second large one is waited for")
	}
	end()
	endOther()
	endSecond()
}

// TestSlowBodies: a person and a gate of one laboratory that send large bodies drop by drop
// leave room to another laboratory's, and are cut.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	labs := openLabs(t, roomtest.Sealed, "lab", "other")
	one, other := labs[0], labs[1]
	c := one.client(nil)
	begun := time.Now()
	type cut struct {
		status int
		after  time.Duration
	}
	var slow []<-chan cut
	for _, x := range []struct {
		by          *http.Client
		path, token string
		size        int64
	}{
		{c, "/acts", one.login(c, roomtest.Claire), 4 << 20},
		{one.client(one.gateKey("source")), "/gate/migrations/" + string(roomtest.Migration) + "/papers/report", "", 1 << 20},
	} {
		body, more := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, one.url+"/v1/labs/lab"+x.path, body)
		one.must(err)
		r.ContentLength = x.size
		r.Header.Set("Authorization", "Bearer "+x.token)
		r.Header.Set("Content-Type", "application/json")
		done := make(chan cut, 1)
		slow = append(slow, done)
		go func() {
			res, err := x.by.Do(r)
			if err != nil {
				done <- cut{0, time.Since(begun)}
				return
			}
			res.Body.Close()
			done <- cut{res.StatusCode, time.Since(begun)}
		}()
		_, err = more.Write([]byte("{")) // taken when the request is under way
		one.must(err)
		go func() {
			for _, err := more.Write([]byte(" ")); err == nil; _, err = more.Write([]byte(" ")) {
				time.Sleep(100 * time.Millisecond)
			}
		}()
	}
	time.Sleep(200 * time.Millisecond)
	token := other.login(c, roomtest.Claire)
	if a := other.ask(c, http.MethodPost, "/v1/labs/other/acts", token, []byte(`{"x":"`+strings.Repeat("a", 1<<20-100)+`"}`)); a.status != http.StatusUnprocessableEntity {
		t.Errorf("another laboratory's body meanwhile: %d %s", a.status, a.body)
	}
	for _, done := range slow {
		select {
		case x := <-done:
			if x.status != http.StatusRequestTimeout && x.status != 0 {
				t.Errorf("a slow body: %d, after %s", x.status, x.after)
			}
		case <-time.After(25 * time.Second):
			t.Error("a slow body is not cut")
		}
	}
}

// TestStrangers: whoever guesses tokens, or makes keys, is told to wait before anything
// is looked up; who is known and comes from the same network is not.
func TestStrangers(t *testing.T) {
	t.Parallel()
	s := open(t, roomtest.Sealed)
	c, gate, made := s.client(nil), s.client(s.gateKey("source")), s.client(s.dir.Key("root-controller"))
	token := s.login(c, roomtest.Claire)
	ours := func() {
		t.Helper()
		if a := s.ask(c, http.MethodGet, "/v1/labs/lab/me", token, nil); a.status != http.StatusOK {
			t.Errorf("who is logged in: %d", a.status)
		}
		if a := s.ask(gate, http.MethodGet, "/v1/labs/lab/gate/probe?size=1", "", nil); a.status != http.StatusOK {
			t.Errorf("a gate: %d", a.status)
		}
	}
	ours()
	for name, ask := range map[string]func(i int) answered{
		"tokens": func(i int) answered {
			return s.ask(c, http.MethodGet, "/v1/labs/lab/me", fmt.Sprint("ecluse_session_", i), nil)
		},
		"a key": func(int) answered { return s.ask(made, http.MethodGet, "/v1/labs/lab/gate/work", "", nil) },
		"enrolments": func(int) answered {
			return s.ask(made, http.MethodPost, "/v1/labs/lab/enrolments", "", []byte("{}"))
		},
		"no laboratory": func(int) answered { return s.ask(made, http.MethodGet, "/v1/labs/other/gate/work", token, nil) },
	} {
		begun, refused := time.Now(), 0
		for i := range 300 {
			if ask(i).status == http.StatusTooManyRequests {
				refused++
			}
		}
		allowed := 60 + int(20*time.Since(begun).Seconds()) + 2
		if refused < 300-allowed {
			t.Errorf("%s: %d of 300 were told to wait, in %s", name, refused, time.Since(begun))
		}
		ours()
	}
}

// TestCut: a chunk beyond what plan and procedure let come in is not read: the connection
// is cut, whatever its gate goes on to send.
func TestCut(t *testing.T) {
	t.Parallel()
	s := open(t, roomtest.Sealed)
	key := s.gateKey("source")
	way, err := wire.Transport(wire.Options{Pin: s.pin, Gate: key, HTTP1: true}) // as gates do
	s.must(err)
	defer way.CloseIdleConnections()
	c := &http.Client{Transport: way, Timeout: 30 * time.Second}
	plan := s.dir.Read("room", "plans", string(roomtest.Migration)+"-readplan.json")
	signed, err := evidence.SignDescriptor(key, &evidence.Descriptor{
		Migration: roomtest.Migration, Plan: ecluse.DigestOf(plan), Epoch: 1, Slot: ecluse.Slot{Dataset: "result", Sequence: 7},
		Rows: 1, Size: 1 << 40, SHA256: ecluse.DigestOf(plan), Sum: ecluse.DigestOf(plan),
	})
	s.must(err)
	text, err := json.Marshal(signed)
	s.must(err)
	sent := &counted{}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.url+"/v1/labs/lab/gate/migrations/"+string(roomtest.Migration)+"/chunks", sent)
	s.must(err)
	r.ContentLength = 1 << 40
	r.Header.Set(api.DescriptorHeader, base64.StdEncoding.EncodeToString(text))
	res, err := c.Do(r)
	if n := sent.n.Load(); n > 8<<20 {
		t.Errorf("%d bytes were taken", n)
	}
	if err != nil { // cut before the answer was read, as it may be
		t.Log(err)
		return
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusForbidden || !res.Close {
		t.Errorf("%d, closed: %v", res.StatusCode, res.Close)
	}
}

// counted is an endless body.
type counted struct{ n atomic.Int64 }

func (c *counted) Read(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// TestRosterEndsSessions: a session ends with the roster that gave its key to its person:
// one that gives the key to another, or to nobody, makes nobody of it; the journal says so.
func TestRosterEndsSessions(t *testing.T) {
	t.Parallel()
	other := []string{"claire-aubry", "odile-petit", "claire.aubry", "odile.petit", "Claire Aubry", "Odile Petit", "10000000001", "10000000009"}
	ended := func(s *server) int {
		return len(s.dir.Query("room/lock/control.db", `SELECT idx FROM leaf WHERE CAST(text AS TEXT) LIKE '%"reason":"roster"%'`))
	}
	t.Run("taken in", func(t *testing.T) {
		t.Parallel()
		s := open(t, roomtest.Sealed)
		c := s.client(nil)
		claire, marc := s.login(c, roomtest.Claire), s.login(c, roomtest.Marc)
		s.roster("2")
		for _, token := range []string{claire, marc} {
			if a := s.ask(c, http.MethodGet, "/v1/labs/lab/me", token, nil); a.status != http.StatusOK {
				t.Fatalf("the same people in a new roster: %d", a.status)
			}
		}
		s.roster("3", other...)
		if n := ended(s); n != 1 {
			t.Errorf("%d sessions ended by the roster", n)
		}
		if a := s.ask(c, http.MethodGet, "/v1/labs/lab/me", claire, nil); a.status != http.StatusUnauthorized {
			t.Errorf("whose key is another's now: %d %s", a.status, a.body)
		}
		if a := s.ask(c, http.MethodGet, "/v1/labs/lab/me", marc, nil); a.status != http.StatusOK {
			t.Errorf("the other side: %d", a.status)
		}
		odile := s.login(c, roomtest.Claire) // with the key that was Claire's
		if a := s.ask(c, http.MethodGet, "/v1/labs/lab/me", odile, nil); !bytes.Contains(a.body, []byte("odile-petit")) {
			t.Errorf("who has the key now: %d %s", a.status, a.body)
		}
	})
	t.Run("found", func(t *testing.T) {
		t.Parallel()
		s := open(t, roomtest.Sealed)
		c := s.client(nil)
		claire := s.login(c, roomtest.Claire)
		// A roster was taken in and the program killed before the sessions' rows went.
		s.dir.Exec("room/lock/control.db", "UPDATE session SET person = 'somebody-before'")
		if a := s.ask(c, http.MethodGet, "/v1/labs/lab/me", claire, nil); a.status != http.StatusUnauthorized {
			t.Errorf("whose key is another's now: %d %s", a.status, a.body)
		}
		if n := ended(s); n != 1 {
			t.Errorf("%d sessions ended by the roster", n)
		}
	})
}

// TestUnknownLaboratory: whatever is sent to log in, or as a roster, a laboratory that
// there is not answers as one that there is: it looks at it all the same.
func TestUnknownLaboratory(t *testing.T) {
	t.Parallel()
	s := open(t, roomtest.Sealed)
	c := s.client(nil)
	stranger := s.dir.Key("root-controller") // signs rosters, and is nobody's who logs in
	login := func(lab, to string, by ssh.Signer) []byte {
		var ch struct{ Challenge string }
		s.must(json.Unmarshal(s.ask(c, http.MethodPost, "/v1/labs/"+lab+"/challenges", "", nil).body, &ch))
		signed, err := evidence.SignLogin(by, &evidence.Login{Server: ecluse.Digest(s.pin), Laboratory: to, Key: evidence.FingerprintOf(by.PublicKey()), Challenge: ch.Challenge})
		s.must(err)
		text, err := json.Marshal(signed)
		s.must(err)
		return text
	}
	garbage := func(string) []byte { return []byte(`{"body":"eA==","signature":"eA=="}`) }
	roster := func(string) []byte {
		text, err := json.Marshal(func() evidence.Signed {
			signed, err := evidence.Sign(s.dir.Key("root-processor"), evidence.NamespaceRoster, s.dir.Read("roster-controller.yaml"))
			s.must(err)
			return signed
		}())
		s.must(err)
		return text
	}
	for name, x := range map[string]struct {
		path string
		body func(lab string) []byte
	}{
		"a stranger's key":   {"/sessions", func(lab string) []byte { return login(lab, lab, stranger) }},
		"another laboratory": {"/sessions", func(lab string) []byte { return login(lab, "third", stranger) }},
		"no login":           {"/sessions", garbage},
		"no roster":          {"/rosters", garbage},
		"another's roster":   {"/rosters", roster},
	} {
		there := s.ask(c, http.MethodPost, "/v1/labs/lab"+x.path, "", x.body("lab"))
		not := s.ask(c, http.MethodPost, "/v1/labs/nowhere"+x.path, "", x.body("nowhere"))
		if there.status != not.status || !bytes.Equal(there.body, not.body) {
			t.Errorf("%s: there %d %s, elsewhere %d %s", name, there.status, there.body, not.status, not.body)
		}
	}
	// Who is known there, is not elsewhere.
	if a := s.ask(c, http.MethodPost, "/v1/labs/nowhere/sessions", "", login("nowhere", "nowhere", s.dir.Key(roomtest.Claire))); a.status != http.StatusUnauthorized {
		t.Errorf("a log-in to nowhere: %d %s", a.status, a.body)
	}
}

// TestStrangersBodies: whoever is nobody has a few of their bodies wait to come whole, not
// for long, and takes no room of those who are known.
func TestStrangersBodies(t *testing.T) {
	t.Parallel()
	s := open(t, roomtest.Sealed)
	c := s.client(nil)
	token := s.login(c, roomtest.Claire)
	const stalled = 40
	statuses := make(chan int, stalled)
	begun := time.Now()
	for range stalled {
		body, more := io.Pipe()
		t.Cleanup(func() { more.Close() })
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/labs/lab/rosters", body)
		s.must(err)
		r.ContentLength = -1
		r.Header.Set("Content-Type", "application/json")
		go func() {
			res, err := s.client(nil).Do(r)
			if err != nil {
				statuses <- 0
				return
			}
			res.Body.Close()
			statuses <- res.StatusCode
		}()
	}
	busy := 0
	for range stalled {
		if status := <-statuses; status == http.StatusTooManyRequests {
			busy++
		}
	}
	if took := time.Since(begun); busy < stalled/2 || took > time.Minute {
		s.Errorf("%d of %d strangers were turned away, after %s", busy, stalled, took)
	}
	if a := s.ask(c, http.MethodPost, "/v1/labs/lab/acts", token, []byte(`{"x":"`+strings.Repeat("a", 1<<20)+`"}`)); a.status == http.StatusTooManyRequests {
		s.Errorf("somebody who is known finds no room: %d %s", a.status, a.body)
	}
}

package client_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/client"
	"ecluse/internal/exchange"
	"ecluse/internal/hostiletest"
	"ecluse/internal/wire"
)

const m ecluse.MigrationID = "quatre-vents-01"

// behind is a gate's line to a server that answers everything alike.
func behind(t *testing.T, answer http.Handler) (*client.Gate, *hostiletest.Server, client.Options) {
	t.Helper()
	s := hostiletest.Start(t, t.TempDir(), func(wire.Pin) http.Handler { return answer })
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	o := client.Options{Options: wire.Options{Pin: s.Pin, Gate: signer}, Server: s.URL, Laboratory: "room", Retry: 3 * time.Second}
	g, err := client.NewGate(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Disconnect)
	return g, s, o
}

func says(t *testing.T, err error, kind ecluse.Kind, words string) {
	t.Helper()
	if ecluse.KindOf(err) != kind || err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("got %v (%s), want %s with %q", err, ecluse.KindOf(err), kind, words)
	}
}

// TestAnotherTLSKey: a server with another key than the pinned one is told nothing, not
// even what is asked.
func TestAnotherTLSKey(t *testing.T) {
	t.Parallel()
	_, other, _ := behind(t, hostiletest.Say(200, []byte(`{"items":[]}`)))
	_, s, o := behind(t, hostiletest.Say(200, []byte(`{"items":[]}`)))
	o.Server = other.URL // its own pin stays
	g, err := client.NewGate(o)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Disconnect()
	_, err = g.Slots(t.Context(), m)
	says(t, err, ecluse.Unverified, "it is not the server that was pinned")
	if n := other.Heard(http.MethodGet, hostiletest.About("")) + s.Heard(http.MethodGet, hostiletest.About("")); n > 0 {
		t.Errorf("%d requests were heard", n)
	}
}

// TestRedirect: nobody is followed, to no server, and it is not tried again.
func TestRedirect(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		g, s, _ := behind(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "https://127.0.0.1:1/", status)
		}))
		_, err := g.Slots(t.Context(), m)
		says(t, err, ecluse.Refused, "nobody is followed")
		if n := s.Heard(http.MethodGet, hostiletest.About("/slots")); n != 1 {
			t.Errorf("%d: asked %d times", status, n)
		}
	}
}

// TestEndlessAnswers: what a server sends without end is not held in memory.
func TestEndlessAnswers(t *testing.T) {
	const most = int64(1) << 30
	for name, begin := range map[string][2]string{
		"one string":   {`{"items":[{"Body":"`, "AAAA"},
		"white space":  {"", "    "},
		"one number":   {`{"items":[`, "1111"},
		"unknown name": {`{"x":"`, "AAAA"},
	} {
		g, s, _ := behind(t, hostiletest.Endless(nil, []byte(begin[0]), []byte(begin[1]), most))
		_, err := g.Slots(t.Context(), m)
		says(t, err, ecluse.Failed, "longer than any that a lock gives")
		if n := s.Heard(http.MethodGet, hostiletest.About("/slots")); n != 1 {
			t.Errorf("%s: asked %d times", name, n)
		}
		runtime.GC()
	}
}

// TestEndlessPages: a list whose every page names another one ends.
func TestEndlessPages(t *testing.T) {
	t.Parallel()
	pages := 0
	_, _, o := behind(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/challenges"):
			_, _ = rw.Write([]byte(`{"challenge":"` + strings.Repeat("ab", 56) + `"}`))
		case r.Method == http.MethodPost:
			_, _ = rw.Write([]byte(`{"token":"t","expires":"2099-01-01T00:00:00Z"}`))
		default:
			pages++
			_, _ = rw.Write([]byte(`{"items":[],"next":"` + strings.Repeat("x", pages%7+1) + `"}`))
		}
	}))
	key := o.Gate
	o.Gate = nil
	p, err := client.LogIn(t.Context(), o, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Sessions(t.Context())
	says(t, err, ecluse.Failed, "longer than any that a lock gives")
	if pages > 1001 {
		t.Errorf("%d pages", pages)
	}
}

// TestEndlessChunk: of a chunk no more is read than its descriptor says, and one byte,
// by which whoever opens it sees that there was more.
func TestEndlessChunk(t *testing.T) {
	t.Parallel()
	chunk := func(size string) (io.ReadCloser, error) {
		text, err := json.Marshal(evidence.Signed{Body: []byte(`{"size": ` + size + `}`)})
		if err != nil {
			t.Fatal(err)
		}
		header := http.Header{"Ecluse-Descriptor": {base64.StdEncoding.EncodeToString(text)}}
		g, _, _ := behind(t, hostiletest.Endless(header, nil, []byte("x"), 10<<30))
		_, body, err := g.Get(t.Context(), m, ecluse.Slot{Dataset: "patient"})
		return body, err
	}
	body, err := chunk("1000")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, body); n != 1001 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	body.Close()
	for _, size := range []string{"-1", "10737418240", `"a"`} {
		_, err := chunk(size)
		says(t, err, ecluse.Unverified, "no size that a chunk can have")
	}
}

// TestGarbage: what is no answer of a lock's is said to be none, in words that repeat
// nothing of it, and is not asked for again.
func TestGarbage(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no JSON":       "<html>DUPONT</html>",
		"another type":  `{"items": "DUPONT"}`,
		"deep":          strings.Repeat(`{"items":`, 200_000),
		"deep list":     `{"items":` + strings.Repeat("[", 200_000),
		"not UTF-8":     "\xff\xfe\x00",
		"a time of day": `{"items":[{"Body": 7}]}`,
	} {
		g, s, _ := behind(t, hostiletest.Say(200, []byte(text)))
		_, err := g.Slots(t.Context(), m)
		says(t, err, ecluse.Failed, "it is no answer of a lock's")
		if err != nil && strings.Contains(err.Error(), "DUPONT") {
			t.Errorf("%s: %v", name, err)
		}
		if n := s.Heard(http.MethodGet, hostiletest.About("/slots")); n != 1 {
			t.Errorf("%s: asked %d times", name, n)
		}
	}
}

// TestGarbageProblems: nor is a problem believed that is none.
func TestGarbageProblems(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "<html>", `{"kind":""}`, `[]`, strings.Repeat("[", 100_000)} {
		g, _, _ := behind(t, hostiletest.Say(http.StatusForbidden, []byte(text)))
		_, err := g.Slots(t.Context(), m)
		says(t, err, ecluse.Failed, "in no words of a lock")
	}
}

// TestScreen: a problem's words steer no screen.
func TestScreen(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(exchange.Problem{Kind: ecluse.Refused, What: "read\x1b[2J", Where: "a\rb", Why: "\u202eall is well", Next: "\u009b31m", Because: "\x07"})
	if err != nil {
		t.Fatal(err)
	}
	g, _, _ := behind(t, hostiletest.Say(http.StatusForbidden, text))
	_, err = g.Slots(t.Context(), m)
	says(t, err, ecluse.Refused, "all is well")
	var e *ecluse.Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	for _, s := range []string{e.Error(), e.Next} {
		if strings.ContainsAny(s, "\x1b\r\u202e\u009b\x07") {
			t.Errorf("%q", s)
		}
	}
}

// hanging is the patience of a gate that is to lose it soon. A machine that is busy with
// other tests may keep any answer back that long: who counts requests has more.
const hanging = 200 * time.Millisecond

// TestTurnedAway: who is told that there is no room, or that the line was too slow, asks
// again.
func TestTurnedAway(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(exchange.Problem{Kind: ecluse.Failed, What: "answer"})
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []int{http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		g, s, _ := behind(t, hostiletest.Say(200, []byte(`{"items":[]}`)))
		s.Lie(hostiletest.Lie{Path: hostiletest.About("/slots"), Instead: hostiletest.Say(status, text), Times: 1})
		if _, err := g.Slots(t.Context(), m); err != nil {
			t.Errorf("%d: %v", status, err)
		}
		if n := s.Heard(http.MethodGet, hostiletest.About("/slots")); n != 2 {
			t.Errorf("%d: asked %d times", status, n)
		}
	}
}

// TestHanging: an answer that does not come, or stands still in its middle, is given up
// and asked for again; the second time it may come.
func TestHanging(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string][]byte{"no answer": nil, "half an answer": []byte(`{"items":[`)} {
		_, s, o := behind(t, hostiletest.Say(200, []byte(`{"items":[]}`)))
		o.Patience = hanging
		g, err := client.NewGate(o)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Disconnect()
		s.Lie(hostiletest.Lie{Path: hostiletest.About("/slots"), Instead: hostiletest.Hang(begin), Times: 2})
		begun := time.Now()
		if _, err := g.Slots(t.Context(), m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := s.Heard(http.MethodGet, hostiletest.About("/slots")); n < 3 || time.Since(begun) > 20*time.Second {
			t.Errorf("%s: asked %d times in %s", name, n, time.Since(begun))
		}
		s.Lie(hostiletest.Lie{Path: hostiletest.About("/slots"), Instead: hostiletest.Hang(begin)})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		_, err = g.Slots(ctx, m)
		cancel()
		if kind := ecluse.KindOf(err); kind != ecluse.Failed {
			t.Errorf("%s: %v (%s)", name, err, kind)
		}
	}
	// A chunk's body too: whoever reads it is not left waiting.
	text, err := json.Marshal(evidence.Signed{Body: []byte(`{"size": 1000}`)})
	if err != nil {
		t.Fatal(err)
	}
	_, _, o := behind(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Ecluse-Descriptor", base64.StdEncoding.EncodeToString(text))
		hostiletest.Hang(bytes.Repeat([]byte("x"), 10)).ServeHTTP(rw, r)
	}))
	o.Patience = hanging
	g, err := client.NewGate(o)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Disconnect()
	_, body, err := g.Get(t.Context(), m, ecluse.Slot{Dataset: "patient"})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if n, err := io.Copy(io.Discard, body); n != 10 || err == nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

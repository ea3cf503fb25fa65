// Package hostiletest is a server built to lie: between an honest server and those who
// ask it stands a handler that changes what it answers, withholds it, answers
// by itself, or asks another server (one of earlier, one that forked). It serves
// real TLS under a real pin, to real clients.
package hostiletest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"sync"
	"testing"

	"ecluse/internal/wire"
	"ecluse/internal/wire/wiretest"
)

// Answer is what the honest server answered, to be changed.
type Answer struct {
	Request *http.Request
	Status  int
	Header  http.Header
	Body    []byte
}

// Lie is one thing that the server lies about. Of Change and Instead one is set.
type Lie struct {
	Method  string         // empty: any
	Path    *regexp.Regexp // of the requests it is about
	Change  func(*Answer)  // what was answered
	Instead http.Handler   // answers in its place; the honest server hears nothing
	Times   int            // how often; 0: always
}

// About is the lie about paths that end as a pattern says.
func About(pattern string) *regexp.Regexp { return regexp.MustCompile(pattern + "$") }

// JSON changes an answer's document. Members that T does not name are lost.
func JSON[T any](t testing.TB, change func(*T)) func(*Answer) {
	return func(a *Answer) {
		if a.Status >= http.StatusMultipleChoices || len(a.Body) == 0 {
			return
		}
		v := new(T)
		if err := json.Unmarshal(a.Body, v); err != nil {
			t.Errorf("the honest answer to %s: %v", a.Request.URL.Path, err)
			return
		}
		change(v)
		var err error
		if a.Body, err = json.Marshal(v); err != nil {
			t.Error(err)
		}
	}
}

// Items is a list as it travels.
type Items[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// Item is one thing that there may be none of.
type Item[T any] struct {
	Item *T `json:"item"`
}

// Server lies.
type Server struct {
	URL string
	Pin wire.Pin

	mu     sync.Mutex
	honest http.Handler
	lies   []*Lie
	heard  map[string]int
	told   int // how often it lied
}

// Start serves, until the test ends, what honest makes of the server's pin, under the
// identity of a folder.
func Start(t testing.TB, dir string, honest func(wire.Pin) http.Handler) *Server {
	t.Helper()
	s := &Server{heard: map[string]int{}}
	s.URL, s.Pin = wiretest.Serve(t, dir, func(pin wire.Pin) http.Handler {
		s.honest = honest(pin)
		return s
	})
	return s
}

// Lie makes the server tell these lies and no others; without any it is honest.
func (s *Server) Lie(lies ...Lie) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lies, s.told = nil, 0
	for _, l := range lies {
		s.lies = append(s.lies, &l)
	}
}

// Honest puts another handler behind the lies.
func (s *Server) Honest(h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.honest = h
}

// Told is how often it lied since Lie.
func (s *Server) Told() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told
}

// Heard is how many requests it got whose method and path match.
func (s *Server) Heard(method string, path *regexp.Regexp) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for what, times := range s.heard {
		if m, p, _ := cut(what); m == method && path.MatchString(p) {
			n += times
		}
	}
	return n
}

func cut(what string) (method, path string, ok bool) {
	for i := range what {
		if what[i] == ' ' {
			return what[:i], what[i+1:], true
		}
	}
	return what, "", false
}

// lie is the first that is about a request and not used up.
func (s *Server) lie(r *http.Request) *Lie {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard[r.Method+" "+r.URL.Path]++
	for i, l := range s.lies {
		if l.Method != "" && l.Method != r.Method || !l.Path.MatchString(r.URL.Path) {
			continue
		}
		s.told++
		if l.Times > 0 {
			if l.Times--; l.Times == 0 {
				s.lies = append(s.lies[:i:i], s.lies[i+1:]...)
			}
		}
		return l
	}
	return nil
}

// ServeHTTP answers, as honestly as it is told to.
func (s *Server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	l := s.lie(r)
	s.mu.Lock()
	honest := s.honest
	s.mu.Unlock()
	switch {
	case l == nil:
		honest.ServeHTTP(rw, r)
	case l.Instead != nil:
		l.Instead.ServeHTTP(rw, r)
	default:
		rec := httptest.NewRecorder()
		honest.ServeHTTP(rec, r)
		a := &Answer{r, rec.Code, rec.Header(), rec.Body.Bytes()}
		l.Change(a)
		write(rw, a)
	}
}

func write(rw http.ResponseWriter, a *Answer) {
	for k, v := range a.Header {
		rw.Header()[k] = v
	}
	rw.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	rw.WriteHeader(a.Status)
	_, _ = rw.Write(a.Body)
}

// Say answers always the same.
func Say(status int, body []byte) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(status)
		_, _ = rw.Write(body)
	})
}

// Endless answers with a beginning, then with the same again and again, until the
// client has enough or limit bytes were sent.
func Endless(header http.Header, begin, again []byte, limit int64) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		for k, v := range header {
			rw.Header()[k] = v
		}
		_, err := rw.Write(begin)
		block := bytes.Repeat(again, max(1, 64<<10/len(again)))
		for n := int64(0); err == nil && n < limit; n += int64(len(block)) {
			_, err = rw.Write(block)
		}
	})
}

// Hang answers nothing, or a beginning and nothing more, until the client goes.
func Hang(begin []byte) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if begin != nil {
			_, _ = rw.Write(begin)
			_ = http.NewResponseController(rw).Flush()
		}
		<-r.Context().Done()
	})
}

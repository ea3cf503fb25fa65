package api

import (
	"crypto/rand"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"ecluse/internal/wire"
)

// requestID is the header by which a client's words and the server's log find each other.
const requestID = "X-Request-Id"

// outer is around every request: an id for it, a line in the log, and one answer for
// what is not there.
func (s *server) outer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		id := strings.ToLower(rand.Text())
		begun := time.Now()
		rw.Header().Set(requestID, id)
		rw.Header().Set("X-Content-Type-Options", "nosniff")
		rw.Header().Set("Cache-Control", "no-store")
		_, pattern := s.mux.Handler(r)
		rec := &recorder{ResponseWriter: rw, status: http.StatusOK}
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler { //nolint:errorlint // a sentinel of net/http
					panic(p)
				}
				s.broke(id, pattern, p)
				if !rec.wrote {
					write(rec, problemOf(errPanicked))
				}
			}
			s.Log.Info("answered", "request", id, "route", pattern, "status", rec.status, "took", time.Since(begun).Round(time.Millisecond))
		}()
		if pattern == "" {
			if !s.limit.stranger(r.RemoteAddr) {
				busy(rec)
				return
			}
			nobody(rec)
			return
		}
		next.ServeHTTP(rec, r)
	})
}

type panicked struct{}

func (panicked) Error() string { return "the server failed" }

var errPanicked error = panicked{}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	wrote  bool
	keep   *answer // takes the body too; nil: nobody asks for it again
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.begin()
	r.ResponseWriter.WriteHeader(status)
}

// begin gives the answer a time of its own, whatever was waited for before.
func (r *recorder) begin() {
	if !r.wrote {
		_ = http.NewResponseController(r.ResponseWriter).SetWriteDeadline(time.Now().Add(answering))
	}
	r.wrote = true
}

func (r *recorder) Write(b []byte) (int, error) {
	r.begin()
	if r.keep != nil {
		r.keep.add(b)
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// limits bound how often one identity, and one network without any, may ask.
type limits struct {
	mu   sync.Mutex
	by   map[string]*rate.Limiter
	from map[netip.Prefix]*rate.Limiter
}

// How often, a second.
const (
	perIdentity = 4000
	perNetwork  = 20
	remembered  = 10_000
)

func newLimits() *limits {
	return &limits{by: map[string]*rate.Limiter{}, from: map[netip.Prefix]*rate.Limiter{}}
}

func (l *limits) identity(name string) bool { return allow(l, l.by, name, perIdentity) }

// stranger charges the network that somebody without an identity comes from.
func (l *limits) stranger(remote string) bool {
	return allow(l, l.from, wire.Network(remote), perNetwork)
}

func allow[K comparable](l *limits, of map[K]*rate.Limiter, name K, often int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(of) > remembered { // strangers must not grow it; who comes back begins anew
		clear(of)
	}
	x := of[name]
	if x == nil {
		x = rate.NewLimiter(rate.Limit(often), 3*often)
		of[name] = x
	}
	return x.Allow()
}

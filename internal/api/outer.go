package api

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// outer is around every request: an id for it, bounds before any identity, and the
// answer remembered under an idempotency key.
func (s *server) outer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		id := strings.ToLower(rand.Text())
		begun := time.Now()
		rw.Header().Set("X-Request-Id", id)
		rw.Header().Set("X-Content-Type-Options", "nosniff")
		rw.Header().Set("Cache-Control", "no-store")
		_, pattern := s.mux.Handler(r)
		rec := &recorder{ResponseWriter: rw, status: http.StatusOK}
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler { //nolint:errorlint // a sentinel of net/http
					panic(p)
				}
				s.Log.Error("a handler panicked", "request", id)
				if !rec.wrote {
					write(rec, problemOf(errPanicked))
				}
			}
			s.Log.Info("answered", "request", id, "route", pattern, "status", rec.status, "took", time.Since(begun).Round(time.Millisecond))
		}()
		if pattern == "" {
			if !s.limit.address(r.RemoteAddr) {
				busy(rec)
				return
			}
			nobody(rec)
			return
		}
		if key := r.Header.Get("Idempotency-Key"); key != "" && r.Method == http.MethodPost && r.ContentLength >= 0 && r.ContentLength <= small {
			s.again.serve(rec, r, key, next)
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
}

func (r *recorder) WriteHeader(status int) {
	r.status, r.wrote = status, true
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.wrote = true
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// limits bound how often one identity, and one address without any, may ask.
type limits struct {
	mu   sync.Mutex
	by   map[string]*rate.Limiter
	from map[string]*rate.Limiter
}

// How often, a second.
const (
	perIdentity = 4000
	perAddress  = 20
	remembered  = 10_000
)

func newLimits() *limits {
	return &limits{by: map[string]*rate.Limiter{}, from: map[string]*rate.Limiter{}}
}

func (l *limits) identity(name string) bool { return l.allow(l.by, name, perIdentity) }

func (l *limits) address(remote string) bool {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	return l.allow(l.from, host, perAddress)
}

func (l *limits) allow(of map[string]*rate.Limiter, name string, often int) bool {
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

// answers remembers what was answered under an idempotency key, so that a request
// whose answer was lost can be sent again.
type answers struct {
	mu  sync.Mutex
	all map[[32]byte]*answer
}

type answer struct {
	at     time.Time
	done   chan struct{}
	status int
	header http.Header
	body   []byte
}

// How long, and how many.
const (
	answerLife = 10 * time.Minute
	mostKept   = 2000
	longest    = 64 << 10 // of an answer that is kept
)

func newAnswers() *answers { return &answers{all: map[[32]byte]*answer{}} }

func (a *answers) serve(rw http.ResponseWriter, r *http.Request, key string, next http.Handler) {
	// Of whom: the token, or the TLS key, is part of the name.
	h := sha256.New()
	for _, part := range []string{r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), key} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	if r.TLS != nil {
		for _, c := range r.TLS.PeerCertificates {
			h.Write(c.RawSubjectPublicKeyInfo)
		}
	}
	name := [32]byte(h.Sum(nil))
	a.mu.Lock()
	for k, x := range a.all {
		if time.Since(x.at) > answerLife {
			delete(a.all, k)
		}
	}
	old := a.all[name]
	if old == nil && len(a.all) < mostKept {
		a.all[name] = &answer{at: time.Now(), done: make(chan struct{})}
	}
	own := a.all[name]
	a.mu.Unlock()
	if old != nil {
		select {
		case <-old.done:
		case <-r.Context().Done():
			return
		}
		if old.status != 0 {
			for k, v := range old.header {
				rw.Header()[k] = v
			}
			rw.WriteHeader(old.status)
			_, _ = rw.Write(old.body)
			return
		}
	}
	if own == nil || old != nil { // too many kept, or what was kept came to nothing
		next.ServeHTTP(rw, r)
		return
	}
	keep := &keeper{ResponseWriter: rw, status: http.StatusOK}
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if keep.status < http.StatusInternalServerError && keep.status != http.StatusUnauthorized && keep.body.Len() <= longest {
			own.status, own.body = keep.status, keep.body.Bytes()
			own.header = http.Header{"Content-Type": rw.Header()["Content-Type"], "Idempotent-Replay": {"true"}}
		} else {
			delete(a.all, name)
		}
		close(own.done)
	}()
	next.ServeHTTP(keep, r)
}

type keeper struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (k *keeper) WriteHeader(status int) {
	k.status = status
	k.ResponseWriter.WriteHeader(status)
}

func (k *keeper) Write(b []byte) (int, error) {
	if k.body.Len() <= longest {
		k.body.Write(b)
	}
	return k.ResponseWriter.Write(b)
}

func (k *keeper) Unwrap() http.ResponseWriter { return k.ResponseWriter }

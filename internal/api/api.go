// Package api is the lock over HTTPS: gates and people reach it, each by a key of
// their own, and nobody else does.
//
// route and stream are the only ways to register anything: both demand who may come
// (an identity) and what that identity may do (a decision), and both are asked before
// a byte of a body is read. What comes before any identity is one closed list
// (before), constant in size and content.
package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"ecluse"
	"ecluse/internal/account"
	"ecluse/internal/exchange"
	"ecluse/internal/lock"
	"ecluse/internal/wire"
)

// Lab is one laboratory on a server.
type Lab struct {
	ID   string
	Lock *lock.Lock
	Door *account.Door
}

// Options are what a server serves.
type Options struct {
	Labs    []Lab
	Version string
	Log     *slog.Logger // request ids, routes, statuses; nil: nowhere
}

// caller is who asks, and of which laboratory.
type caller struct {
	lab     *Lab
	gate    ecluse.Fingerprint // of a gate; its TLS key
	person  *lock.Person       // of somebody who is logged in
	session account.Session
	leaving bool                // a gate that was retired: only what exchange.Verb.Ends names
	path    func(string) string // values of the route's path
	request string              // the request's id
	whole   []byte              // a large body, until it is decoded
}

// identify finds out who asks. Its error is told to nobody: whoever has no identity
// gets the one answer that all such requests get.
type identify func(s *server, r *http.Request) (*caller, error)

// decide judges whether who asks may do what the route does.
type decide func(ctx context.Context, c *caller) error

// server is the handler being put together.
type server struct {
	Options
	labs   map[string]*Lab
	mux    *http.ServeMux
	huma   huma.API
	closed *account.Challenges // what unknown laboratories answer with
	limit  *limits
	again  *answers
	bodies *space // of those who are known
	others *space // of strangers
	routes []Route
	named  map[string]bool // fields that an error may name

	described []byte // openapi.json

	decoding sync.Mutex // one large body at a time

	mu    sync.Mutex
	known map[string]time.Time // keys and tokens, as hashes, that were good a while ago
}

// Route is something that is served, for tests that walk all of it.
type Route struct {
	Method, Path string
	Identity     string // nobody, root, enrolling gate, gate, "gate, retired too", person
}

// Server is the handler of a server.
type Server struct {
	http.Handler
	Routes []Route
}

// New makes the handler of a server.
func New(o Options) (*Server, error) {
	s := &server{
		Options: o, labs: map[string]*Lab{}, mux: http.NewServeMux(), limit: newLimits(), again: newAnswers(), bodies: newSpace(bodiesOfAll, bodiesOfLab, bodiesOfOne), others: newSpace(bodiesOfStrangers, bodiesOfStrangers, bodiesOfNetwork), known: map[string]time.Time{},
		closed: account.NewChallenges(),
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	for i := range o.Labs {
		s.labs[o.Labs[i].ID] = &o.Labs[i]
	}
	registry := huma.NewMapRegistry("#/components/schemas/", schemaName)
	s.huma = humago.New(s.mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI:    "3.1.0",
			Info:       &huma.Info{Title: "Écluse", Version: o.Version, Description: "The lock between two laboratories' databases. It holds ciphertext and papers, and no key that opens a chunk."},
			Components: &huma.Components{Schemas: registry},
		},
		Formats:                      map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{s.withoutValues},
	})
	s.before()
	s.gates()
	s.chambers()
	s.people()
	s.work()
	s.carried()
	s.named = s.names()
	var err error
	if s.described, err = s.describe(); err != nil {
		return nil, err
	}
	return &Server{Handler: s.outer(s.mux), Routes: slices.Clone(s.routes)}, nil
}

// schemaName names a type by its package too, but for those of the exchange: two
// packages may have a type of one name.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	if pkg := path.Base(t.PkgPath()); t.Name() != "" && t.PkgPath() != "" && pkg != "exchange" {
		return strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	return name
}

// operation makes a route's name and bounds.
func operation(method, path, id, summary string, most int64) huma.Operation {
	return huma.Operation{
		Method: method, Path: path, OperationID: id, Summary: summary, MaxBodyBytes: most, BodyReadTimeout: reading,
		Errors: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict, http.StatusUnprocessableEntity},
	}
}

// Bounds of what is sent in, in bytes, and of how long that may take.
const (
	small     = 64 << 10
	papers    = exchange.MaxBody // a mapping with its frozen tables, a catalogue, a plan; in base64
	reading   = 2 * time.Minute
	answering = 2 * time.Minute
)

// identities say who may come at all.
type who struct {
	name     string
	find     identify
	stranger bool // it is nobody that the laboratory knows
}

type callerKey struct{}

// route registers an operation in JSON.
func route[I, O any](s *server, op huma.Operation, w who, may decide, do func(context.Context, *caller, *I) (*O, error)) {
	s.add(op, w)
	if w.stranger {
		op.BodyReadTimeout = readingStrangers
	}
	op.Middlewares = huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		r, rw := humago.Unwrap(ctx)
		c, ok := s.admit(rw, r, w, may, ctx.Param)
		if !ok {
			return
		}
		do := func() { next(huma.WithValue(ctx, callerKey{}, c)) }
		if n := sizeOf(r, op.MaxBodyBytes); n > small {
			bodies, lab, of := s.bodies, "", c.name()
			if c.lab != nil {
				lab = c.lab.ID
			}
			if w.stranger {
				bodies, lab, of = s.others, "", wire.Network(r.RemoteAddr).String()
			}
			leave, ok := bodies.take(r.Context(), lab, of, n)
			if !ok {
				busy(rw)
				return
			}
			defer leave() // when the handler has returned, which holds what was decoded
			r.Body = &sparse{ReadCloser: r.Body}
			text, problem := whole(rw, r, op.MaxBodyBytes, op.BodyReadTimeout)
			if problem != nil {
				write(rw, problem)
				return
			}
			short, problem := outline(text)
			if problem != nil {
				write(rw, problem)
				return
			}
			c.whole, r.Body = text, io.NopCloser(bytes.NewReader(short))
		} else {
			r.Body = &sparse{ReadCloser: r.Body}
		}
		rec, recorded := rw.(*recorder)
		if !recorded || w.stranger || op.Method != http.MethodPost || r.Header.Get("Idempotency-Key") == "" || r.ContentLength < 0 || r.ContentLength > small {
			do()
			return
		}
		s.again.serve(rec, r, c.name(), do)
	}}
	huma.Register(s.huma, op, func(ctx context.Context, in *I) (*O, error) {
		c, _ := ctx.Value(callerKey{}).(*caller)
		var err error
		if c.whole != nil {
			s.decoding.Lock()
			err = fill(in, c.whole)
			c.whole = nil
			s.decoding.Unlock()
		}
		var out *O
		if err == nil {
			out, err = do(ctx, c, in)
		}
		if err != nil {
			return nil, s.failed(ctx, c.request, op.Method+" "+op.Path, err)
		}
		return out, nil
	})
}

// sizeOf is how long a request's body may become.
func sizeOf(r *http.Request, most int64) int64 {
	if r.ContentLength < 0 {
		return most
	}
	return min(r.ContentLength, most)
}

// stream registers an operation whose bodies are bytes.
func stream(s *server, op huma.Operation, w who, may decide, do func(http.ResponseWriter, *http.Request, *caller) error) {
	s.add(op, w)
	s.huma.OpenAPI().AddOperation(&op)
	s.mux.HandleFunc(op.Method+" "+op.Path, func(rw http.ResponseWriter, r *http.Request) {
		c, ok := s.admit(rw, r, w, may, r.PathValue)
		if !ok {
			return
		}
		if err := do(rw, r, c); err != nil {
			write(rw, s.failed(r.Context(), c.request, r.Pattern, err))
		}
	})
}

func (s *server) add(op huma.Operation, w who) {
	if op.Method == "" || op.Path == "" || w.find == nil {
		panic("api: a route without a name or an identity") // found by the first test that makes a server
	}
	s.routes = append(s.routes, Route{op.Method, op.Path, w.name})
}

// admit asks for an identity and a decision. It answers itself when there is none.
func (s *server) admit(rw http.ResponseWriter, r *http.Request, w who, may decide, path func(string) string) (*caller, bool) {
	_ = http.NewResponseController(rw).SetWriteDeadline(time.Now().Add(reading + patienceOfPeople + answering))
	c, err := w.find(s, r)
	if errors.Is(err, errTooOften) {
		busy(rw)
		return nil, false
	}
	if err != nil && ecluse.KindOf(err) == ecluse.Failed && !errors.Is(err, account.ErrNoSession) {
		_ = s.failed(r.Context(), rw.Header().Get(requestID), r.Pattern, err) // told of; the answer says no more than broken
		broken(rw)
		return nil, false
	}
	if err != nil || c == nil {
		nobody(rw)
		return nil, false
	}
	c.path, c.request = path, rw.Header().Get(requestID)
	if !s.limit.identity(c.name()) {
		busy(rw)
		return nil, false
	}
	if may == nil {
		return c, true
	}
	if err := may(r.Context(), c); err != nil {
		write(rw, s.failed(r.Context(), c.request, r.Pattern, err))
		return nil, false
	}
	return c, true
}

// name is what limits and remembered answers go by.
func (c *caller) name() string {
	lab := ""
	if c.lab != nil {
		lab = c.lab.ID
	}
	switch {
	case c.gate != "":
		return lab + " gate " + string(c.gate)
	case c.person != nil:
		return lab + " person " + string(c.session.Person.Key)
	}
	return lab
}

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
	"crypto/sha256"
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
		Options: o, labs: map[string]*Lab{}, mux: http.NewServeMux(), limit: newLimits(), again: newAnswers(), bodies: newSpace(bodiesOfAll, bodiesOfOne), others: newSpace(bodiesOfStrangers, bodiesOfNetwork), known: map[string]time.Time{},
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
	papers    = 4 << 20 // a mapping with its frozen tables, a catalogue, a plan; in base64
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
			bodies, of := s.bodies, c.name()
			if w.stranger {
				bodies, of = s.others, wire.Network(r.RemoteAddr).String()
			}
			leave, ok := bodies.take(r.Context(), of, n)
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
			c.whole, r.Body = text, io.NopCloser(bytes.NewReader(outline(text)))
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
			err = fill(in, c.whole)
			c.whole = nil
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

// Who may come.
var (
	gateOnly = who{name: "gate", find: (*server).knownGate}
	ending   = who{name: "gate, retired too", find: (*server).endingGate}
	enrols   = who{name: "enrolling gate", find: (*server).enrolling, stranger: true}
	people   = who{name: "person", find: (*server).personOf}
)

// laboratory finds the one that a request names. An unknown one is no identity.
func (s *server) laboratory(r *http.Request) *Lab { return s.labs[r.PathValue("lab")] }

// errTooOften is that of a network whose strangers ask too often.
var errTooOften = errors.New("strangers of this network ask too often")

// How long a gate stays known without the lock being asked again, and how long whoever
// proved to be somebody is not counted among the strangers of their network.
const (
	gateMemory = 2 * time.Second
	trust      = time.Hour
)

// charge counts whoever shows something that was not good a while ago among the
// strangers of their network, before anything is looked up for them.
func (s *server) charge(r *http.Request, shown ...string) error {
	s.mu.Lock()
	trusted := slices.ContainsFunc(shown, func(x string) bool { return time.Since(s.known[x]) < trust })
	s.mu.Unlock()
	if trusted || s.limit.stranger(r.RemoteAddr) {
		return nil
	}
	return errTooOften
}

// good notes that what somebody showed was good just now, or not any more.
func (s *server) good(shown string, good bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !good {
		delete(s.known, shown)
		return
	}
	if len(s.known) > remembered {
		clear(s.known)
	}
	s.known[shown] = time.Now()
}

// knownGate is a gate that is known, and not one that was retired.
func (s *server) knownGate(r *http.Request) (*caller, error) {
	c, err := s.endingGate(r)
	if c != nil && c.leaving {
		return nil, err
	}
	return c, err
}

// endingGate is a gate that is known, or that was retired and may have something to end.
func (s *server) endingGate(r *http.Request) (*caller, error) {
	g, proved := gateKey(r)
	c := &caller{lab: s.laboratory(r), gate: g}
	shown, leaving := "", ""
	if c.lab != nil && proved {
		shown = c.name()
		leaving = shown + " leaving"
	}
	s.mu.Lock()
	fresh := time.Since(s.known[shown]) < gateMemory
	s.mu.Unlock()
	if fresh {
		return c, nil
	}
	if err := s.charge(r, shown, leaving); err != nil {
		return nil, err
	}
	if shown == "" {
		if proved && len(s.Labs) > 0 { // as long as for a laboratory that there is
			_, _ = s.Labs[0].Lock.Standing(r.Context(), g)
		}
		return nil, nil
	}
	standing, err := c.lab.Lock.Standing(r.Context(), c.gate)
	if err != nil {
		return nil, err
	}
	s.good(shown, standing == lock.Known)
	s.good(leaving, standing == lock.Leaving)
	if standing == lock.Stranger {
		return nil, nil
	}
	c.leaving = standing == lock.Leaving
	return c, nil
}

// gateKey is the key that a gate proved to TLS.
func gateKey(r *http.Request) (ecluse.Fingerprint, bool) {
	if r.TLS == nil {
		return "", false
	}
	return wire.GateOf(r.TLS)
}

// enrolling is any gate that proved its key to TLS, which anybody can make, and names the
// key that signs the laboratory's journal: it was told it at its console. Whoever names
// another is told nothing, as whoever names a laboratory that there is not.
func (s *server) enrolling(r *http.Request) (*caller, error) {
	if !s.limit.stranger(r.RemoteAddr) {
		return nil, errTooOften
	}
	l := s.laboratory(r)
	g, ok := gateKey(r)
	if l == nil || !ok || r.URL.Query().Get("lock") != string(l.Lock.Key()) {
		return nil, nil
	}
	return &caller{lab: l, gate: g}, nil
}

// personOf is whoever a token stands for, while the latest roster has their key.
func (s *server) personOf(r *http.Request) (*caller, error) {
	l := s.laboratory(r)
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	shown := ""
	if l != nil && ok {
		hash := sha256.Sum256([]byte(token))
		shown = l.ID + " token " + string(hash[:])
	}
	if err := s.charge(r, shown); err != nil {
		return nil, err
	}
	if l == nil && ok && len(s.Labs) > 0 { // as long as for a laboratory that there is
		s.Labs[0].Door.Sessions().Pretend(r.Context())
	}
	if shown == "" {
		return nil, nil
	}
	c, err := s.holder(r.Context(), l, token)
	if err == nil || ecluse.KindOf(err) == ecluse.Refused { // else nobody could tell
		s.good(shown, c != nil)
	}
	return c, err
}

// holder is who a session is of, while the latest roster gives its key to them still. One
// that it gives to somebody else, or to nobody, is over.
func (s *server) holder(ctx context.Context, l *Lab, token string) (*caller, error) {
	session, err := l.Door.Sessions().Find(ctx, token)
	if err != nil {
		return nil, err
	}
	now, holds, err := l.Lock.Holder(ctx, session.Person.Key)
	if err != nil {
		return nil, err
	}
	if !holds || now != session.Person {
		err := l.Door.Sessions().Revoke(ctx, session.ID, account.Roster)
		if errors.Is(err, account.ErrNoSession) { // another request was first
			err = nil
		}
		return nil, err
	}
	p, err := l.Lock.As(ctx, session.Person.Key)
	if err != nil {
		return nil, err
	}
	return &caller{lab: l, person: p, session: session}, nil
}

// Decisions.

// ofMigration lets a gate come to migrations whose instruction names it.
func ofMigration(ctx context.Context, c *caller) error {
	m := ecluse.MigrationID(c.path("migration"))
	if err := c.lab.Lock.Has(ctx, m); err != nil {
		return err
	}
	return c.lab.Lock.Names(ctx, m, c.gate)
}

// says lets a gate hand in what it signed; one that was retired only what it ended.
func says(ctx context.Context, c *caller) error {
	if c.leaving && !exchange.Paper(c.path("kind")).Ends() {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "take a paper in", Why: "this gate was retired: it says what it undid and erased, and nothing else",
			Next: "let whoever retired it confirm it again", Article: "GDPR art. 29",
		}
	}
	return ofMigration(ctx, c)
}

// known lets whoever is somebody come: what they may do is the lock's procedure.
func known(context.Context, *caller) error { return nil }

// worker lets those come who make migrations go on: operators and signatories.
func worker(_ context.Context, c *caller) error {
	for _, r := range c.person.Roles() {
		if r == ecluse.Operator || r == ecluse.Signatory {
			return nil
		}
	}
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "ask a gate", Why: "your roster makes you neither operator nor signatory", Article: "GDPR art. 29",
		Next: "an operator or a signatory does it; you may read everything but records, suspend, object",
	}
}

// Package client is a lock elsewhere: it fills gate.Lock and desk.Lock over HTTPS. It
// believes the server's key (its pin) and nothing it says: what it brings is verified
// by whoever asked for it.
package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ecluse"
	"ecluse/internal/exchange"
	"ecluse/internal/wire"
)

// Options name a laboratory on a server, and the way there.
type Options struct {
	wire.Options        // pin, proxy; Gate is a gate's key, for a gate
	Server       string // https://host:port
	Laboratory   string
	Agent        string // what the program calls itself

	// Patience is how long an answer may stand still, before it begins or within its
	// body; two minutes when 0. A slow line is no silent one.
	Patience time.Duration
	// Retry is how long what a broken line kept from being answered is tried again: five
	// minutes by a gate, ten seconds by a person, when it says nothing.
	Retry time.Duration
}

// line is the connection to one laboratory.
type line struct {
	http  *http.Client
	base  string
	agent string
	token func(context.Context) (string, error) // of a person; nil for gates
	renew func()                                // forgets a token that no longer holds

	patience time.Duration // how long a request is tried again
	silence  time.Duration // how long an answer may stand still
}

// silence is Options.Patience, when it names none.
const silence = 2 * time.Minute

// A request that a broken line kept from being answered is sent again for a while. What
// is sent twice is once: reads change nothing, chunks and papers are known by their
// digests, and the rest carries an idempotency key.
const (
	ofPeople   = 10 * time.Second
	ofGates    = 5 * time.Minute // a server that restarts, a line that is cut, stop no passage
	firstPause = 200 * time.Millisecond
	longPause  = 5 * time.Second
)

func newLine(o Options) (*line, error) {
	u, err := url.Parse(o.Server)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: reaching, Where: o.Server, Why: "it is not https://HOST:PORT"}
	}
	t, err := wire.Transport(o.Options)
	if err != nil {
		return nil, err
	}
	if o.Patience == 0 {
		o.Patience = silence
	}
	t.MaxIdleConnsPerHost, t.ResponseHeaderTimeout = 16, o.Patience
	return &line{
		silence: o.Patience,
		http: &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error {
			return &ecluse.Error{Kind: ecluse.Refused, What: reaching, Why: "it redirects to elsewhere, and nobody is followed there", Next: "ask who runs the server; a lock never redirects"}
		}},
		patience: cmp.Or(o.Retry, ofPeople),
		base:     strings.TrimSuffix(u.String(), "/") + "/v1/labs/" + url.PathEscape(o.Laboratory), agent: o.Agent,
	}, nil
}

// close ends idle connections.
func (l *line) close() { l.http.CloseIdleConnections() }

// call sends a request in JSON and reads the answer into out, which may be nil.
func (l *line) call(ctx context.Context, method, path string, in, out any) error {
	var text []byte
	if in != nil {
		var err error
		if text, err = json.Marshal(in); err != nil {
			return err
		}
	}
	return l.sending(ctx, l.patience, method, path, in, out, text)
}

// once is call without a second try: for what is asked again by itself.
func (l *line) once(ctx context.Context, method, path string, in, out any) error {
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return l.sending(ctx, 0, method, path, in, out, text)
}

func (l *line) sending(ctx context.Context, patience time.Duration, method, path string, in, out any, text []byte) error {
	key := rand.Text()
	again := method == http.MethodGet || in != nil || method == http.MethodDelete
	if !again {
		patience = 0
	}
	return l.trying(ctx, patience, func() error {
		var body io.Reader
		if in != nil {
			body = bytes.NewReader(text)
		}
		return l.send(ctx, method, path, key, body, out)
	})
}

// send sends a request in JSON, once; its error still says whether another try may help.
func (l *line) send(ctx context.Context, method, path, key string, body io.Reader, out any) error {
	r, err := http.NewRequestWithContext(ctx, method, l.base+path, body)
	if err != nil {
		return err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPost && key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	res, err := l.do(ctx, r)
	if err != nil {
		return err
	}
	defer drain(res)
	return read(res.Body, out)
}

// maxProblem bounds what is read of a problem.
const maxProblem = 1 << 20

// do sends one request; an answer that is a problem becomes the error it was.
func (l *line) do(ctx context.Context, r *http.Request) (*http.Response, error) {
	r.Header.Set("User-Agent", l.agent)
	if l.token != nil {
		token, err := l.token(ctx)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	res, err := l.http.Do(r.WithContext(ctx)) //nolint:bodyclose // impatient closes it
	if err != nil {
		cancel(nil)
		return nil, broken(err)
	}
	res.Body = &impatient{ReadCloser: res.Body, patience: l.silence, cancel: cancel, ctx: ctx}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer drain(res)
	var p exchange.Problem
	text, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	if err != nil {
		return nil, broken(err)
	}
	if err := json.Unmarshal(text, &p); err != nil || p.Kind == "" {
		return nil, &ecluse.Error{Kind: ecluse.Failed, What: reaching, Why: fmt.Sprintf("it answered %s, in no words of a lock", res.Status), Next: "see that the address is a lock's, and what stands between: ecluse gate check"}
	}
	err = p.Err()
	if held := res.Header.Get(descriptorHeader); held != "" {
		return nil, errHeld{err, held}
	}
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		err = errUnknown{err}
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusRequestTimeout, res.StatusCode > http.StatusInternalServerError && p.Cause == "":
		err = again{err}
	}
	return nil, err
}

// errHeld is the answer to a chunk whose slot holds another.
type errHeld struct {
	error
	descriptor string // as the header has it
}

func (e errHeld) Unwrap() error { return e.error }

// errUnknown is the server's answer to whoever it does not know.
type errUnknown struct{ error }

func (e errUnknown) Unwrap() error { return e.error }

// again is an error after which the same request may succeed.
type again struct{ error }

func (e again) Unwrap() error { return e.error }

const reaching = "reach the server"

// broken puts an error of the line into words. A server that is not the pinned one is
// no broken line.
func broken(err error) error {
	var e *ecluse.Error
	if errors.As(err, &e) && (e.Kind == ecluse.Unverified || e.Kind == ecluse.Invalid || e.Kind == ecluse.Refused) {
		return e
	}
	if errors.Is(err, context.Canceled) {
		return &ecluse.Error{Kind: ecluse.Interrupted, What: reaching, Err: context.Canceled}
	}
	if e != nil && e.What == reaching { // it is in words already
		return again{e}
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // the rest is the address
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = fmt.Errorf("%s: %w", op.Op, op.Err) // without this side's port, another each time
	}
	return again{&ecluse.Error{
		Kind: ecluse.Failed, What: reaching, Err: err, Next: "see that it runs and that the network lets you through: ecluse gate check",
	}}
}

// trying does something until it is answered, for a while.
func (l *line) trying(ctx context.Context, patience time.Duration, do func() error) error {
	pause, until := firstPause, time.Now().Add(patience)
	for renewed := false; ; {
		err := do()
		var unknown errUnknown
		if errors.As(err, &unknown) && l.renew != nil && !renewed { // a session that ended: log in again, once
			l.renew()
			renewed = true
			continue
		}
		var may again
		if err == nil || !errors.As(err, &may) || time.Now().Add(pause).After(until) {
			return bare(err)
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return &ecluse.Error{Kind: ecluse.Interrupted, What: reaching, Err: context.Cause(ctx)}
		}
		pause = min(2*pause, longPause)
	}
}

// bare takes the marks of this package off an error.
func bare(err error) error {
	switch e := err.(type) { //nolint:errorlint // the outermost only
	case again:
		return e.error
	case errUnknown:
		return e.error
	case errHeld:
		return e.error
	}
	return err
}

func drain(res *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	_ = res.Body.Close()
}

// items is a list as it travels, item one thing that there may be none of.
type items[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

type item[T any] struct {
	Item *T `json:"item"`
}

// got asks for one thing.
func got[T any](ctx context.Context, l *line, path string) (*T, error) {
	v := new(T)
	if err := l.call(ctx, http.MethodGet, path, nil, v); err != nil {
		return nil, err
	}
	return v, nil
}

// listed asks for a list.
func listed[T any](ctx context.Context, l *line, path string) ([]T, error) {
	v, err := got[items[T]](ctx, l, path)
	if err != nil {
		return nil, err
	}
	return v.Items, nil
}

// perhaps asks for what there may be none of.
func perhaps[T any](ctx context.Context, l *line, path string) (*T, error) {
	v, err := got[item[T]](ctx, l, path)
	if err != nil {
		return nil, err
	}
	return v.Item, nil
}

// posted sends something and reads the answer.
func posted[T any](ctx context.Context, l *line, path string, in any) (*T, error) {
	v := new(T)
	if err := l.call(ctx, http.MethodPost, path, in, v); err != nil {
		return nil, err
	}
	return v, nil
}

func escape[T ~string](s T) string { return url.PathEscape(string(s)) }

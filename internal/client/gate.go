package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// Gate is the lock as a gate sees it: gate.Lock.
type Gate struct{ *line }

// NewGate opens the lock for a gate; Options.Gate is its key, by which the server knows
// it. HTTP/1.1 gives each chunk a connection of its own, so that a lost packet of one
// keeps no other waiting.
func NewGate(o Options) (*Gate, error) {
	if o.Gate == nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "reach the server", Why: "the gate's key is not named"}
	}
	o.HTTP1 = true // chunks have a connection each, and what breaks HTTP/2 on the way breaks no gate
	l, err := newLine(o)
	if err != nil {
		return nil, err
	}
	l.patience = cmp.Or(o.Retry, ofGates)
	return &Gate{l}, nil
}

// Disconnect ends idle connections.
func (g *Gate) Disconnect() { g.close() }

// Enrol hands in what a gate says of itself (gate/v1), signed by the key of
// Options.Gate, at a laboratory whose journal a key signs. With an empty paper it only
// sees that there is that laboratory.
func Enrol(ctx context.Context, o Options, lock ecluse.Fingerprint, signed evidence.Signed) error {
	g, err := NewGate(o)
	if err != nil {
		return err
	}
	g.patience = ofPeople // somebody stands at the console
	defer g.close()
	var q struct {
		Paper *evidence.Signed `json:"paper,omitempty"`
	}
	if signed.Body != nil {
		q.Paper = &signed
	}
	err = g.call(ctx, http.MethodPost, "/enrolments?lock="+url.QueryEscape(string(lock)), q, nil)
	if unknown := (errUnknown{}); errors.As(err, &unknown) {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "enrol the gate", Where: o.Laboratory, Why: "the server has no laboratory of that name whose journal is signed by " + string(lock),
			Next: "do not go on; compare the line with whoever sent it", Err: err,
		}
	}
	return err
}

func at(m ecluse.MigrationID, rest string) string { return "/gate/migrations/" + escape(m) + rest }

// Case returns what stands about a migration.
func (g *Gate) Case(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind) (*exchange.Case, error) {
	return got[exchange.Case](ctx, g.line, at(m, "/case?kind="+url.QueryEscape(string(kind))))
}

// Post hands in something this gate signed.
func (g *Gate) Post(ctx context.Context, m ecluse.MigrationID, kind exchange.Paper, s evidence.Signed) error {
	return g.call(ctx, http.MethodPost, at(m, "/papers/"+escape(kind)), s, nil)
}

// Posted returns what gates handed in of a kind.
func (g *Gate) Posted(ctx context.Context, m ecluse.MigrationID, kind exchange.Paper) ([]evidence.Signed, error) {
	return listed[evidence.Signed](ctx, g.line, at(m, "/papers/"+escape(kind)))
}

// Record tells the journal what the gate did.
func (g *Gate) Record(ctx context.Context, e exchange.Event) error {
	return g.call(ctx, http.MethodPost, at(e.Migration, "/events"), e, nil)
}

// Slots lists the descriptors of the chunks that are in.
func (g *Gate) Slots(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	return listed[evidence.Signed](ctx, g.line, at(m, "/slots"))
}

// descriptorHeader carries a chunk's signed descriptor beside its bytes.
const descriptorHeader = "Ecluse-Descriptor"

// maxChunk bounds a sealed chunk that is held to be sent again.
const maxChunk = 1 << 30

// Put sends a chunk. A line that breaks meanwhile is tried again: the chamber takes a
// chunk whole or not at all, and the same one twice is once.
func (g *Gate) Put(ctx context.Context, m ecluse.MigrationID, descriptor evidence.Signed, body io.Reader) (stored evidence.Signed, err error) {
	err = g.send(ctx, at(m, "/chunks"), descriptor, body, &stored)
	return stored, err
}

// PutReject stores rows put aside.
func (g *Gate) PutReject(ctx context.Context, m ecluse.MigrationID, descriptor evidence.Signed, body io.Reader) error {
	return g.send(ctx, at(m, "/rejects"), descriptor, body, nil)
}

func (g *Gate) send(ctx context.Context, path string, descriptor evidence.Signed, body io.Reader, out any) error {
	header, err := json.Marshal(descriptor)
	if err != nil {
		return err
	}
	var whole *bytes.Reader
	switch b := body.(type) {
	case *bytes.Reader:
		whole = b
	case interface{ Bytes() []byte }: // what gates send is in memory already
		whole = bytes.NewReader(b.Bytes())
	default:
		text, err := io.ReadAll(io.LimitReader(body, maxChunk))
		if err != nil {
			return err
		}
		whole = bytes.NewReader(text)
	}
	return g.trying(ctx, g.patience, func() error {
		if _, err := whole.Seek(0, io.SeekStart); err != nil {
			return err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPut, g.base+path, io.NopCloser(whole))
		if err != nil {
			return err
		}
		r.ContentLength = whole.Size()
		r.Header.Set("Content-Type", "application/octet-stream")
		r.Header.Set(descriptorHeader, base64.StdEncoding.EncodeToString(header))
		res, err := g.do(ctx, r)
		var held errHeld
		if errors.As(err, &held) && out != nil { // the slot holds another: which, is for the caller to see
			if text, decoded := base64.StdEncoding.DecodeString(held.descriptor); decoded == nil {
				_ = json.Unmarshal(text, out)
			}
		}
		if err != nil {
			return err
		}
		defer drain(res)
		return read(res.Body, out)
	})
}

// Get fetches a chunk.
func (g *Gate) Get(ctx context.Context, m ecluse.MigrationID, s ecluse.Slot) (descriptor evidence.Signed, body io.ReadCloser, err error) {
	path := at(m, "/chunks/"+escape(s.Dataset)+"/"+strconv.Itoa(s.Sequence)+"/"+strconv.Itoa(s.Version))
	res, err := g.fetch(ctx, path) //nolint:bodyclose // whole closes it
	if err != nil {
		return descriptor, nil, err
	}
	text, err := base64.StdEncoding.DecodeString(res.Header.Get(descriptorHeader))
	if err == nil {
		err = json.Unmarshal(text, &descriptor)
	}
	if err != nil {
		drain(res)
		return descriptor, nil, &ecluse.Error{Kind: ecluse.Unverified, What: "fetch a chunk", Where: s.String(), Why: "the server sent no descriptor with it"}
	}
	var said struct {
		Size int64 `json:"size"`
	}
	if err := json.Unmarshal(descriptor.Body, &said); err != nil || said.Size < 0 || said.Size > maxChunk {
		_ = res.Body.Close()
		return descriptor, nil, &ecluse.Error{Kind: ecluse.Unverified, What: "fetch a chunk", Where: s.String(), Why: "its descriptor names no size that a chunk can have"}
	}
	return descriptor, atMost(g.whole(ctx, path, res.Body), said.Size+1), nil // one more, for whoever opens it to see that it is longer
}

// GetReject fetches rows put aside.
func (g *Gate) GetReject(ctx context.Context, m ecluse.MigrationID, sha256 ecluse.Digest) (io.ReadCloser, error) {
	path := at(m, "/rejects/"+sha256.String())
	res, err := g.fetch(ctx, path) //nolint:bodyclose // whole closes it
	if err != nil {
		return nil, err
	}
	return atMost(g.whole(ctx, path, res.Body), maxChunk), nil
}

// fetch begins with a body.
func (g *Gate) fetch(ctx context.Context, path string) (res *http.Response, err error) {
	err = g.trying(ctx, g.patience, func() error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.base+path, nil)
		if err != nil {
			return err
		}
		res, err = g.do(ctx, r) //nolint:bodyclose // the caller closes it
		return err
	})
	return res, err
}

// body is what is fetched, through lines that break: it is asked for again, and what
// was read before is passed over. That it is the same is for whoever opens it to see.
type body struct {
	io.ReadCloser
	ctx  context.Context //nolint:containedctx // of the one call that it is the answer to
	gate *Gate
	path string
	read int64
	last time.Time // when it last came further
}

func (g *Gate) whole(ctx context.Context, path string, first io.ReadCloser) io.ReadCloser {
	return &body{ReadCloser: first, ctx: ctx, gate: g, path: path, last: time.Now()}
}

func (b *body) Read(p []byte) (int, error) {
	for {
		n, err := b.ReadCloser.Read(p)
		if n > 0 {
			b.read, b.last = b.read+int64(n), time.Now()
		}
		switch {
		case err == nil, errors.Is(err, io.EOF):
			return n, err
		case n > 0:
			return n, nil
		case b.ctx.Err() != nil, time.Since(b.last) > b.gate.patience:
			return 0, bare(broken(err))
		}
		if err := b.again(); err != nil {
			return 0, err
		}
	}
}

// again fetches it again, as far as it was read.
func (b *body) again() error {
	_ = b.Close()
	return b.gate.trying(b.ctx, b.gate.patience, func() error {
		res, err := b.gate.fetch(b.ctx, b.path)
		if err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, res.Body, b.read); err != nil {
			_ = res.Body.Close()
			return broken(err)
		}
		b.ReadCloser = res.Body
		return nil
	})
}

// Close stores the manifest.
func (g *Gate) Close(ctx context.Context, m ecluse.MigrationID, manifest evidence.Signed) error {
	return g.call(ctx, http.MethodPost, at(m, "/manifest"), manifest, nil)
}

// Manifest returns the manifest, or nil before there is one.
func (g *Gate) Manifest(ctx context.Context, m ecluse.MigrationID) (*evidence.Signed, error) {
	return perhaps[evidence.Signed](ctx, g.line, at(m, "/manifest"))
}

// Wait returns when more chunks than so many are in, or the manifest is closed, or
// after a while; of fewer than none, at any move.
func (g *Gate) Wait(ctx context.Context, m ecluse.MigrationID, beyond int) error {
	return g.call(ctx, http.MethodGet, at(m, "/wait?beyond="+strconv.Itoa(beyond)), nil, nil)
}

// Rejects lists the descriptors of what was put aside.
func (g *Gate) Rejects(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	return listed[evidence.Signed](ctx, g.line, at(m, "/rejects"))
}

// Ask posts the target gate's request for the release secret.
func (g *Gate) Ask(ctx context.Context, m ecluse.MigrationID, request evidence.Signed) error {
	return g.call(ctx, http.MethodPost, at(m, "/leases"), request, nil)
}

// Asked lists the requests not answered yet.
func (g *Gate) Asked(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	return listed[evidence.Signed](ctx, g.line, at(m, "/leases"))
}

// Lend posts the source gate's answer.
func (g *Gate) Lend(ctx context.Context, m ecluse.MigrationID, answer evidence.Signed) error {
	return g.call(ctx, http.MethodPost, at(m, "/loans"), answer, nil)
}

// Lent returns the answer to a request, or nil while there is none.
func (g *Gate) Lent(ctx context.Context, m ecluse.MigrationID, request ecluse.Digest) (*evidence.Signed, error) {
	return perhaps[evidence.Signed](ctx, g.line, at(m, "/loans/"+request.String()))
}

// Head returns the journal's head and the proof that it continues an earlier one.
func (g *Gate) Head(ctx context.Context, m ecluse.MigrationID, from int64) (evidence.Signed, [][32]byte, error) {
	v, err := got[struct {
		Head  evidence.Signed `json:"head"`
		Proof [][]byte        `json:"proof"`
	}](ctx, g.line, at(m, "/head?from="+strconv.FormatInt(from, 10)))
	if err != nil {
		return evidence.Signed{}, nil, err
	}
	proof := make([][32]byte, len(v.Proof))
	for i, p := range v.Proof {
		if copy(proof[i][:], p) != 32 || len(p) != 32 {
			return evidence.Signed{}, nil, &ecluse.Error{Kind: ecluse.Unverified, What: "watch the journal", Where: string(m), Why: "the server's proof is none"}
		}
	}
	return v.Head, proof, nil
}

// Cosign hands in the gate's own signature under a head.
func (g *Gate) Cosign(ctx context.Context, m ecluse.MigrationID, head evidence.Signed) error {
	return g.call(ctx, http.MethodPost, at(m, "/cosignatures"), head, nil)
}

// Cosigned returns the newest head that a gate signed.
func (g *Gate) Cosigned(ctx context.Context, m ecluse.MigrationID, gate ecluse.Fingerprint) (*evidence.Signed, error) {
	return perhaps[evidence.Signed](ctx, g.line, at(m, "/cosignatures?gate="+url.QueryEscape(string(gate))))
}

// Wanted lists what is asked of this gate.
func (g *Gate) Wanted(ctx context.Context, known []string) ([]exchange.Work, error) {
	var v items[exchange.Work]
	err := g.once(ctx, http.MethodGet, "/gate/work?known="+url.QueryEscape(strings.Join(known, ",")), nil, &v)
	return v.Items, err
}

// What a probe sends: little first, and more where that was quick.
const (
	probeFirst  = 64 << 10
	probeSecond = 1 << 20
	probeQuick  = 300 * time.Millisecond
)

// Probe measures the way to the lock, up and down.
func (g *Gate) Probe(ctx context.Context) (l exchange.Line, err error) {
	if l.Up, err = g.measure(ctx, http.MethodPut); err != nil {
		return l, err
	}
	l.Down, err = g.measure(ctx, http.MethodGet)
	return l, err
}

// measure is how many bytes a second go one way.
func (g *Gate) measure(ctx context.Context, method string) (rate float64, err error) {
	for _, size := range []int{probeFirst, probeSecond} {
		begun := time.Now()
		err := g.trying(ctx, g.patience, func() error {
			var body io.Reader
			if method == http.MethodPut {
				body = bytes.NewReader(make([]byte, size))
			}
			begun = time.Now()
			r, err := http.NewRequestWithContext(ctx, method, g.base+"/gate/probe?size="+strconv.Itoa(size), body)
			if err != nil {
				return err
			}
			res, err := g.do(ctx, r)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, probeSecond)); err != nil {
				return broken(err)
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
		took := time.Since(begun)
		rate = max(rate, float64(size)/took.Seconds())
		if took > probeQuick {
			break
		}
	}
	return rate, nil
}

// Tell says how far a piece of work has come.
func (g *Gate) Tell(ctx context.Context, work string, p exchange.Progress) error {
	return g.once(ctx, http.MethodPost, "/gate/work/"+escape(work)+"/progress", p, nil)
}

// Answer ends a piece of work.
func (g *Gate) Answer(ctx context.Context, work string, a exchange.Answer) error {
	return g.once(ctx, http.MethodPost, "/gate/work/"+escape(work)+"/answer", a, nil)
}

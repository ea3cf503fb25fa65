package api

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net/http"
	"sync"
	"time"
)

// answers remembers what was answered under an idempotency key, so that a request
// whose answer was lost can be sent again. It is asked after identity and decision:
// nobody fills it who is nobody, nobody gets what they may not have any more, and no
// session's token is ever in it. What must never be done twice does not rely on it
// (acts, rosters, chunks and papers are known by their digests): it ends with the
// process.
type answers struct {
	mu    sync.Mutex
	all   map[[32]byte]*answer
	order []*answer // the oldest first; those that came to nothing too
	bytes int       // of what is in order
}

type answer struct {
	name   [32]byte
	at     time.Time
	done   chan struct{}
	status int // 0: it came to nothing, and is done again
	kind   string
	body   bytes.Buffer
	size   int // what it counts for
}

// How long, and how much.
const (
	answerLife = 10 * time.Minute
	mostKept   = 2 << 20  // bytes, of all answers
	longest    = 64 << 10 // bytes of one that is kept
	ofAnswer   = 512      // bytes that one takes beside its body
)

func newAnswers() *answers { return &answers{all: map[[32]byte]*answer{}} }

// add takes a part of the body; of one that is too long, enough to see that it is.
func (x *answer) add(b []byte) { x.body.Write(b[:min(len(b), max(0, longest+1-x.body.Len()))]) }

// serve does what a request asks, or gives the answer that the same caller got to the
// same request under the same key.
func (a *answers) serve(rec *recorder, r *http.Request, caller string, do func()) {
	_ = http.NewResponseController(rec).SetReadDeadline(time.Now().Add(reading))
	body, err := io.ReadAll(http.MaxBytesReader(rec, r.Body, small))
	if err != nil {
		write(rec, unread())
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	x, first := a.find(nameOf(caller, r, body))
	if !first {
		select {
		case <-x.done:
		case <-r.Context().Done():
			return
		}
		if x.status == 0 {
			do()
			return
		}
		if x.kind != "" {
			rec.Header().Set("Content-Type", x.kind)
		}
		rec.Header().Set("Idempotent-Replay", "true")
		rec.WriteHeader(x.status)
		_, _ = rec.Write(x.body.Bytes())
		return
	}
	rec.keep = x
	ended := false
	defer func() { a.end(x, rec, ended) }()
	do()
	ended = true // it did not panic
}

// nameOf is what makes two requests one.
func nameOf(caller string, r *http.Request, body []byte) [32]byte {
	h := sha256.New()
	of := sha256.Sum256(body)
	for _, part := range []string{caller, r.Method, r.URL.RequestURI(), r.Header.Get("Idempotency-Key"), string(of[:])} {
		h.Write([]byte(part))
		h.Write([]byte{0}) // none of those before the body's hash may hold one
	}
	return [32]byte(h.Sum(nil))
}

// find finds an answer, or makes room for one.
func (a *answers) find(name [32]byte) (x *answer, first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if x := a.all[name]; x != nil && time.Since(x.at) < answerLife {
		return x, false
	}
	x = &answer{name: name, at: time.Now(), done: make(chan struct{}), size: ofAnswer}
	a.all[name] = x
	a.order = append(a.order, x)
	a.bytes += x.size
	a.trim()
	return x, true
}

// end notes what was answered. What failed, or was asked too often, is done again.
func (a *answers) end(x *answer, rec *recorder, ended bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	rec.keep = nil
	if ended && rec.status < http.StatusInternalServerError && rec.status != http.StatusTooManyRequests && x.body.Len() <= longest {
		x.status, x.kind = rec.status, rec.Header().Get("Content-Type")
		x.body = *bytes.NewBuffer(bytes.Clone(x.body.Bytes())) // without the room that it grew into
		if a.all[x.name] == x {                                // else it was forgotten meanwhile, and nobody would subtract it
			x.size += x.body.Len()
			a.bytes += x.body.Len()
		}
	} else {
		x.body = bytes.Buffer{}
		a.drop(x)
	}
	close(x.done)
	a.trim()
}

// trim forgets the oldest until all have room; a.mu is held.
func (a *answers) trim() {
	for len(a.order) > 0 && (a.bytes > mostKept || time.Since(a.order[0].at) >= answerLife) {
		x := a.order[0]
		a.order[0] = nil
		a.order = a.order[1:]
		a.bytes -= x.size
		x.size = 0
		a.drop(x)
	}
}

func (a *answers) drop(x *answer) {
	if a.all[x.name] == x {
		delete(a.all, x.name)
	}
}

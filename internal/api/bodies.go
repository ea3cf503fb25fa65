package api

import (
	"context"
	"io"
	"sync"
	"time"
)

// What bodies under way may take, in bytes, of all callers and of one: they are held
// whole, and while one is decoded it is in memory nearly twice. Small ones do not count.
// A server with fifty migrations open stays below 96 MiB beside all of it.
const (
	bodiesOfAll = papers + 1<<20 // who sends the longest leaves some to others
	bodiesOfOne = papers
	bodiesWait  = 5 * time.Second // for those of others to end
	mostValues  = 10_000          // that a body may have: a byte of JSON can be a hundred in memory
)

// What bodies of strangers may take, in bytes, of all and of one network: they have a
// space of their own, and leave that of whoever is known alone, however many there are. A
// body of theirs has less time to come.
const (
	bodiesOfStrangers = 1 << 20
	bodiesOfNetwork   = 256 << 10
	readingStrangers  = 10 * time.Second
)

// space is what is left of memory for large bodies.
type space struct {
	most, mostOfOne int64

	mu    sync.Mutex
	all   int64
	of    map[string]int64
	freed chan struct{} // closed when something ends
}

func newSpace(most, mostOfOne int64) *space {
	return &space{most: most, mostOfOne: mostOfOne, of: map[string]int64{}, freed: make(chan struct{})}
}

// take waits for room for n bytes of a caller, a while; leave gives it back.
func (s *space) take(ctx context.Context, caller string, n int64) (leave func(), ok bool) {
	until := time.NewTimer(bodiesWait)
	defer until.Stop()
	for {
		s.mu.Lock()
		if s.all+n <= s.most && s.of[caller]+n <= s.mostOfOne {
			s.all += n
			s.of[caller] += n
			s.mu.Unlock()
			return sync.OnceFunc(func() { s.leave(caller, n) }), true
		}
		freed := s.freed
		s.mu.Unlock()
		select {
		case <-freed:
		case <-until.C:
			return nil, false
		case <-ctx.Done():
			return nil, false
		}
	}
}

func (s *space) leave(caller string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all -= n
	if s.of[caller] -= n; s.of[caller] == 0 {
		delete(s.of, caller)
	}
	close(s.freed)
	s.freed = make(chan struct{})
}

// sparse ends a body in JSON that has more values than any request needs: what is cut
// is no JSON any more, and refused as such.
type sparse struct {
	io.ReadCloser
	values          int
	inside, escaped bool // of a string
}

func (x *sparse) Read(b []byte) (int, error) {
	if x.values > mostValues {
		return 0, io.EOF
	}
	n, err := x.ReadCloser.Read(b)
	for i, c := range b[:n] {
		switch {
		case x.escaped:
			x.escaped = false
		case x.inside:
			x.inside = c != '"'
			x.escaped = c == '\\'
		case c == '"':
			x.inside = true
		case c == ',' || c == '[' || c == '{':
			if x.values++; x.values > mostValues {
				return i, io.EOF
			}
		}
	}
	return n, err
}

package api

import (
	"context"
	"io"
	"sync"
	"time"
)

// What bodies under way may take, in bytes, of all callers, of one laboratory's and of one:
// they are held whole, and one at a time is decoded, when it is in memory nearly twice. Small ones do
// not count. Whoever sends the longest leaves some to others of their laboratory, and all of
// a laboratory together leave as much to the others.
// A server with fifty migrations open stays below 96 MiB, and below 104 while all of it is taken.
const (
	bodiesOfAll = bodiesOfLab + 1<<20
	bodiesOfLab = papers + 1<<20
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

// A body that is held must come on, by so many bytes each while: a quarter of what a line
// of 1 Mbit/s brings, which may have a chunk to send beside it and stand still for seven
// of ten seconds. Whoever sends less keeps room from others, and is cut.
const (
	paceBytes = 320 << 10
	paceTime  = 10 * time.Second
)

// space is what is left of memory for large bodies.
type space struct {
	most, mostOfLab, mostOfOne int64

	mu    sync.Mutex
	all   int64
	lab   map[string]int64
	of    map[string]int64
	freed chan struct{} // closed when something ends
}

func newSpace(most, mostOfLab, mostOfOne int64) *space {
	return &space{most: most, mostOfLab: mostOfLab, mostOfOne: mostOfOne, lab: map[string]int64{}, of: map[string]int64{}, freed: make(chan struct{})}
}

// take waits for room for n bytes of a caller of a laboratory, a while; leave gives it
// back.
func (s *space) take(ctx context.Context, lab, caller string, n int64) (leave func(), ok bool) {
	until := time.NewTimer(bodiesWait)
	defer until.Stop()
	for {
		s.mu.Lock()
		if s.all+n <= s.most && s.lab[lab]+n <= s.mostOfLab && s.of[caller]+n <= s.mostOfOne {
			s.add(lab, caller, n)
			s.mu.Unlock()
			return sync.OnceFunc(func() { s.leave(lab, caller, n) }), true
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

// add counts bytes; s.mu is held.
func (s *space) add(lab, caller string, n int64) {
	s.all += n
	if s.lab[lab] += n; s.lab[lab] == 0 {
		delete(s.lab, lab)
	}
	if s.of[caller] += n; s.of[caller] == 0 {
		delete(s.of, caller)
	}
}

func (s *space) leave(lab, caller string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(lab, caller, -n)
	close(s.freed)
	s.freed = make(chan struct{})
}

// paced is a body that ends with os.ErrDeadlineExceeded when it does not come on, or is not
// there by a time.
type paced struct {
	io.Reader
	deadline func(time.Time) error // of what is read next
	whole    time.Time             // when all must be there
	next     time.Time             // when the next paceBytes must be
	came     int64                 // of those
}

func (p *paced) Read(b []byte) (int, error) {
	if now := time.Now(); p.next.IsZero() || p.came >= paceBytes {
		p.next, p.came = now.Add(paceTime), 0
		if p.whole.Before(p.next) {
			p.next = p.whole
		}
		if err := p.deadline(p.next); err != nil {
			return 0, err
		}
	}
	n, err := p.Reader.Read(b)
	p.came += int64(n)
	return n, err
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

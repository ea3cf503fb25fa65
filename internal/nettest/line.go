// Package nettest is the bad networks that Écluse is tested on: a slow line that
// loses segments, breaks and hangs (Relay), proxies that ask for a password
// (Proxy) or open TLS (Proxy with Inspect), clients that mean harm (Hostile), and
// a machine of its own from which one address can be reached (Namespace). All but
// the last need no rights. scan.go judges what TLS a listener offers.
package nettest

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Line is what a network does to bytes, the same both ways. The zero Line does
// nothing.
type Line struct {
	Rate  int64         // bits a second each way, shared by all connections; 0 is no limit
	Delay time.Duration // each way: half a round trip
	Loss  float64       // share of segments lost, each way; 0.01 is one in a hundred
	Seed  uint64        // of what is lost
}

// Rural is the line that the product has to work over: 20 Mbit/s, 60 ms for a
// round trip, one segment in a hundred lost.
func Rural() Line { return Line{Rate: 20_000_000, Delay: 30 * time.Millisecond, Loss: 0.01} }

const (
	segment = 1448     // bytes of data in an Ethernet frame of TCP with timestamps
	most    = 16 << 10 // bytes a relay reads at once
	queued  = 256      // reads on their way through a relay: at most 4 MiB of one stream
	grow    = 10       // segments a stream may send before anything is acknowledged (RFC 6928)
	tail    = 10       // one loss in so many waits for a timer, not for the next acknowledgement
	minRTO  = time.Second / 5
	backlog = time.Second / 20 // what a router keeps before a slow line
)

// wire is one direction of a line: a bucket that fills at its rate.
type wire struct {
	rate int64
	mu   sync.Mutex
	free time.Time // when all that was sent will have left
}

// send takes n bytes onto the wire and tells when the last of them has left.
func (w *wire) send(n int) time.Time {
	now := time.Now()
	if w.rate <= 0 {
		return now
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.free.Before(now) {
		w.free = now
	}
	w.free = w.free.Add(time.Duration(float64(n) * 8 / float64(w.rate) * float64(time.Second)))
	return w.free
}

// full tells how long to wait until the wire takes more.
func (w *wire) full() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return max(0, time.Until(w.free.Add(-backlog)))
}

// sender is TCP's sender as far as loss makes an application feel it: a window
// that doubles each round trip until something is lost, is then halved, and grows
// by a segment a round trip (Reno, RFC 5681). A line that loses nothing has no
// window.
type sender struct {
	line      Line
	rand      *rand.Rand
	window    float64
	slowStart bool
	halved    time.Time
	flight    int
	acks      []ack // in order
}

type ack struct {
	n  int
	at time.Time
}

func newSender(l Line, stream uint64) *sender {
	return &sender{line: l, rand: rand.New(rand.NewPCG(l.Seed, stream)), window: grow * segment, slowStart: true}
}

// room waits until at least one segment may be sent and tells how many bytes may.
func (s *sender) room(ctx context.Context) (int, error) {
	if s.line.Loss <= 0 {
		return most, nil
	}
	for {
		now := time.Now()
		for len(s.acks) > 0 && !s.acks[0].at.After(now) {
			n := s.acks[0].n
			s.acks = s.acks[1:]
			s.flight -= n
			if s.slowStart {
				s.window += float64(n)
			} else {
				s.window += segment * float64(n) / s.window
			}
		}
		if free := int(s.window) - s.flight; free >= segment || s.flight == 0 {
			return min(max(free, segment), most), nil
		}
		if err := sleep(ctx, time.Until(s.acks[0].at)); err != nil {
			return 0, err
		}
	}
}

// lost draws for n bytes how long what was lost of them keeps the stream waiting:
// a round trip each time until the receiver has it again, or, when nothing behind
// it tells of the hole, until a timer.
func (s *sender) lost(n int) time.Duration {
	var wait time.Duration
	rtt := 2 * s.line.Delay
	for range (n + segment - 1) / segment {
		if s.rand.Float64() >= s.line.Loss {
			continue
		}
		w := rtt
		if s.rand.IntN(tail) == 0 {
			w += minRTO
		}
		wait = max(wait, w)
		if now := time.Now(); now.Sub(s.halved) > rtt {
			s.window, s.slowStart, s.halved = max(s.window/2, 2*segment), false, now
		}
	}
	return wait
}

// sent notes n bytes whose acknowledgement will be here at at.
func (s *sender) sent(n int, at time.Time) {
	if s.line.Loss > 0 {
		s.flight += n
		s.acks = append(s.acks, ack{n, at})
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

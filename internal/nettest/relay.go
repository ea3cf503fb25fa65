package nettest

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Relay is a line of TCP in front of an address. Every connection to Addr is
// carried on to the target.
//
// What it does to bytes is a model, and it is of streams, not of packets. A lost
// segment holds its stream back for a round trip, one loss in ten for 200 ms more,
// and halves the window of that stream, so that on a line that loses one
// connection gets about what Reno gets (Mathis: segment/RTT × √(3/2p), 2.4 Mbit/s
// on Rural, however much the line could carry; 1.9 were measured here and 2.1 with
// the kernel's Reno in a Namespace), and several get several times that. BBR gets
// nearly the whole line in spite of losses. It does not show: a lost SYN or FIN,
// reordering, duplicates, a small MTU, the slow start of a line that loses nothing,
// how a connection that was accepted too early looks (the kernel accepts at once;
// the round trip is added before the first bytes), anything of UDP. Both ends have
// the loopback's buffers, so that some MiB that a program has written may not have
// arrived. In a Namespace all of this is the kernel's own, but reordering and
// duplicates.
type Relay struct {
	t      testing.TB
	target string
	line   Line
	listen listen
	addr   string
	ctx    context.Context // of all its connections
	cancel context.CancelFunc
	up     *wire
	down   *wire
	work   sync.WaitGroup
	keep   io.Closer // keeps the port while nothing listens

	mu       sync.Mutex
	listener net.Listener // nil while cut
	flow     chan struct{}
	links    map[*link]bool
	count    Count
	resetIn  int64 // bytes; below 0 when none was asked for
}

// Count is what a relay has carried.
type Count struct {
	Connections int   // that were accepted
	Open        int   // now
	Up, Down    int64 // bytes that were handed to the target, and to those who connected
}

type listen func(ctx context.Context, addr string) (net.Listener, error)

func here(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", addr)
}

// NewRelay relays from a port on loopback to target, until ctx or the test ends.
func NewRelay(ctx context.Context, t testing.TB, target string, line Line) *Relay {
	t.Helper()
	keep, addr, err := keepPort()
	if err != nil {
		t.Fatal(err)
	}
	return newRelay(ctx, t, here, keep, addr, target, line)
}

func newRelay(ctx context.Context, t testing.TB, on listen, keep io.Closer, addr, target string, line Line) *Relay {
	t.Helper()
	r := &Relay{
		t: t, target: target, line: line, listen: on, keep: keep,
		up: &wire{rate: line.Rate}, down: &wire{rate: line.Rate},
		flow: make(chan struct{}), links: map[*link]bool{}, resetIn: -1,
	}
	close(r.flow)
	r.ctx, r.cancel = context.WithCancel(ctx)
	l, err := on(r.ctx, addr)
	if err != nil {
		r.cancel()
		_ = keep.Close()
		t.Fatal(err)
	}
	r.addr, r.listener = l.Addr().String(), l
	r.work.Go(func() { r.accept(l) })
	r.work.Go(func() {
		<-r.ctx.Done()
		r.Cut()
		_ = keep.Close()
	})
	t.Cleanup(r.Close)
	return r
}

// Addr is where to connect to.
func (r *Relay) Addr() string { return r.addr }

// Count tells what was carried so far.
func (r *Relay) Count() Count {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count.Open = len(r.links)
	return r.count
}

// Close ends it and waits until nothing of it is left.
func (r *Relay) Close() {
	r.cancel()
	r.work.Wait()
}

// Cut breaks the line: when it returns every connection was reset, and new ones
// are refused until Heal.
func (r *Relay) Cut() {
	r.mu.Lock()
	if r.listener != nil {
		_ = r.listener.Close()
		r.listener = nil
	}
	gone := r.resetLocked()
	r.mu.Unlock()
	for _, g := range gone {
		<-g
	}
}

// Stall makes bytes stop while connections stay, as when a firewall forgets them
// or a machine is switched off: neither end is told anything, new connections are
// accepted and carry nothing. What was on its way arrives after Heal.
func (r *Relay) Stall() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.flow:
		r.flow = make(chan struct{})
	default:
	}
}

// ResetAfter resets all connections, once, when n more bytes were carried, both
// ways together. Those who connect afterwards are carried as before.
func (r *Relay) ResetAfter(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resetIn = n
}

// Heal ends what Cut, Stall and ResetAfter did.
func (r *Relay) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resetIn = -1
	select {
	case <-r.flow:
	default:
		close(r.flow)
	}
	if r.listener != nil || r.ctx.Err() != nil {
		return
	}
	l, err := r.listen(r.ctx, r.addr)
	if err != nil {
		r.t.Errorf("heal: %v", err)
		return
	}
	r.listener = l
	r.work.Go(func() { r.accept(l) })
}

// resetLocked resets all connections and gives what is closed when they are gone.
func (r *Relay) resetLocked() []<-chan struct{} {
	var gone []<-chan struct{}
	for l := range r.links {
		l.cancel()
		gone = append(gone, l.gone)
	}
	return gone
}

func (r *Relay) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		} else if err != nil {
			r.t.Errorf("relay: %v", err)
			return
		}
		ctx, cancel := context.WithCancel(r.ctx)
		k := &link{relay: r, cancel: cancel, gone: make(chan struct{})}
		r.mu.Lock()
		if r.listener != l { // cut while this one was accepted
			r.mu.Unlock()
			cancel()
			reset(c)
			return
		}
		r.links[k] = true
		r.count.Connections++
		stream := uint64(2 * r.count.Connections)
		r.mu.Unlock()
		r.work.Go(func() {
			defer close(k.gone)
			k.carry(ctx, c, stream)
			cancel()
			r.mu.Lock()
			delete(r.links, k)
			r.mu.Unlock()
		})
	}
}

// flowing waits while the relay is stalled.
func (r *Relay) flowing(ctx context.Context) error {
	for {
		r.mu.Lock()
		flow := r.flow
		r.mu.Unlock()
		select {
		case <-flow:
		case <-ctx.Done():
			return ctx.Err()
		}
		r.mu.Lock()
		same := flow == r.flow
		r.mu.Unlock()
		if same {
			return ctx.Err()
		}
	}
}

// take tells how many of n bytes may still be carried before a reset.
func (r *Relay) take(n int) (int, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.resetIn < 0 {
		return n, false
	}
	if int64(n) < r.resetIn {
		r.resetIn -= int64(n)
		return n, false
	}
	n = int(r.resetIn)
	r.resetIn = -1
	return n, true
}

func (r *Relay) carried(bytes *int64, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*bytes += int64(n)
}

// link is one connection through a relay.
type link struct {
	relay  *Relay
	cancel context.CancelFunc // resets it
	gone   chan struct{}
}

// carry carries near to the target and back until both ends have closed, or one
// of them, or ctx, resets.
func (k *link) carry(ctx context.Context, near net.Conn, stream uint64) {
	r := k.relay
	var d net.Dialer
	err := r.flowing(ctx)
	if err == nil {
		err = sleep(ctx, 2*r.line.Delay) // the handshake's round trip
	}
	if err != nil {
		reset(near)
		return
	}
	far, err := d.DialContext(ctx, "tcp", r.target)
	if err != nil {
		reset(near)
		return
	}
	var halves sync.WaitGroup
	k.half(ctx, &halves, near, far, r.up, &r.count.Up, newSender(r.line, stream))
	k.half(ctx, &halves, far, near, r.down, &r.count.Down, newSender(r.line, stream+1))
	over := make(chan struct{})
	go func() { halves.Wait(); close(over) }()
	select {
	case <-over:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		reset(near)
		reset(far)
	}
	_ = near.Close()
	_ = far.Close()
	<-over
}

// packet is bytes on their way, or the end of them.
type packet struct {
	data []byte
	due  time.Time
	end  error
}

// half carries what src sends to dst, in two goroutines.
func (k *link) half(ctx context.Context, halves *sync.WaitGroup, src, dst net.Conn, w *wire, bytes *int64, s *sender) {
	way := make(chan packet, queued)
	halves.Go(func() {
		defer close(way)
		var last time.Time
		for {
			room, err := s.room(ctx)
			if err != nil || sleep(ctx, w.full()) != nil {
				return
			}
			buf := make([]byte, room)
			n, err := src.Read(buf)
			due := w.send(n).Add(s.line.Delay + s.lost(n))
			if due.Before(last) { // in order: what follows a hole waits for it
				due = last
			}
			last = due
			s.sent(n, due.Add(s.line.Delay))
			select {
			case way <- packet{buf[:n], due, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	})
	halves.Go(func() {
		for p := range way {
			if sleep(ctx, time.Until(p.due)) != nil || k.relay.flowing(ctx) != nil {
				return
			}
			n, last := k.relay.take(len(p.data))
			n, err := dst.Write(p.data[:n])
			k.relay.carried(bytes, n)
			if last {
				k.relay.mu.Lock()
				k.relay.resetLocked()
				k.relay.mu.Unlock()
				return
			}
			if err == nil && p.end != nil {
				err = p.end
				if errors.Is(err, io.EOF) {
					err = closeWrite(dst)
				}
			}
			if err != nil {
				k.cancel()
				return
			}
		}
	})
}

// reset closes c so that its peer is told: RST, not FIN.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// closeWrite tells c's peer that nothing more comes.
func closeWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return c.Close()
}

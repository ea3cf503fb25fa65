package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"ecluse"
)

// Bounds of what connections may cost a server before anybody said who they are.
const (
	// MaxConnections at a time, in all and from one address: a hospital's proxy
	// brings all its people and gates from one.
	MaxConnections = 1024
	MaxPerAddress  = 256

	// firstWords is how long a handshake may take, and then the headers of a request.
	firstWords = 10 * time.Second
	// unused is how long a connection is kept on which nothing is asked: longer than
	// a gate waits for work.
	unused = 2 * time.Minute
	// stalled is how long a peer that HTTP/2 is spoken with may take nothing.
	stalled    = 30 * time.Second
	maxHeaders = 16 << 10
	maxFrames  = 64 // requests at a time on one connection

	// ending is how long requests under way have when a server stops, and given up
	// how long they then have to notice.
	ending  = 10 * time.Second
	givenUp = 5 * time.Second
)

// Serve answers with h what comes in at l, over TLS, until the context ends. Then it
// takes nothing more in, lets what is under way end, for ten seconds, and returns
// nil when no request runs any more. fault is told that a request broke the program,
// and nothing of the request.
//
// There is no deadline here on a request's body or its answer, which may be a chunk
// on a slow line: h sets its own.
func Serve(ctx context.Context, l net.Listener, id Identity, h http.Handler, fault func()) error {
	var running sync.WaitGroup
	base, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			running.Add(1)
			defer running.Done()
			defer func() {
				if p := recover(); p != nil {
					if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
						fault()
					}
					panic(http.ErrAbortHandler)
				}
			}()
			h.ServeHTTP(w, r)
		}),
		BaseContext:       func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: firstWords,
		IdleTimeout:       unused,
		MaxHeaderBytes:    maxHeaders,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxFrames, MaxReceiveBufferPerConnection: 1 << 20, MaxReceiveBufferPerStream: 256 << 10,
			SendPingTimeout: stalled, PingTimeout: stalled / 2, WriteByteTimeout: stalled,
		},
		// It names addresses, and what strangers sent.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	ended := make(chan error, 1)
	go func() {
		ended <- s.Serve(tls.NewListener(&bounded{Listener: l, from: map[netip.Prefix]int{}}, ServerConfig(id)))
	}()
	select {
	case err := <-ended:
		return &ecluse.Error{Kind: ecluse.Failed, What: "serve", Where: l.Addr().String(), Err: err}
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), ending)
	defer cancel()
	if s.Shutdown(end) != nil {
		giveUp()
		_ = s.Close() // what is left was given its time
	}
	return wait(&running, givenUp)
}

// wait waits until nothing runs, or for so long.
func wait(running *sync.WaitGroup, longest time.Duration) error {
	done := make(chan struct{})
	go func() {
		running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-time.After(longest):
		return &ecluse.Error{Kind: ecluse.Failed, What: "stop serving", Why: "a request did not end when its connection was gone"}
	}
}

// bounded takes no more connections than the bounds allow. One too many is closed at
// once: left waiting, strangers' connections would keep out who comes after them.
type bounded struct {
	net.Listener
	mu   sync.Mutex
	all  int
	from map[netip.Prefix]int
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if from, ok := b.enter(c.RemoteAddr().String()); ok {
			return &counted{Conn: c, leave: sync.OnceFunc(func() { b.leave(from) })}, nil
		}
		_ = c.Close()
	}
}

func (b *bounded) enter(remote string) (netip.Prefix, bool) {
	from := Network(remote)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all >= MaxConnections || b.from[from] >= MaxPerAddress {
		return from, false
	}
	b.all++
	b.from[from]++
	return from, true
}

func (b *bounded) leave(from netip.Prefix) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all--
	if b.from[from]--; b.from[from] == 0 {
		delete(b.from, from)
	}
}

// Network is what one household or site has of addresses: one of IPv4, a /64 of IPv6.
// remote is an address with its port; of another form, all are of one network.
func Network(remote string) netip.Prefix {
	p, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	bits := 64
	ip := p.Addr().Unmap().WithZone("")
	if ip.Is4() {
		bits = 32
	}
	from, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return from
}

type counted struct {
	net.Conn
	leave func()
}

func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

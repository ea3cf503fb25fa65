package nettest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Hostile is clients that mean harm to a listener. Each call blocks until the
// listener has closed every connection or ctx is over, and tells what was seen.
// What they send is bounded by ctx and by the sizes asked for, nothing else.
type Hostile struct {
	Addr  string
	TLS   *tls.Config   // nil: what is sent is sent in clear
	Every time.Duration // between the bytes of a slow client; 100 ms when 0
}

// End is how one connection ended.
type End struct {
	After    time.Duration // since it was made
	Closed   bool          // by the listener; false when it was still open when ctx ended
	Sent     int64         // bytes handed to the connection
	Received int64
	Reply    string // what was received, its first 512 bytes
	Err      error  // connecting or the handshake failed; nothing else is set
}

// Status is the HTTP status of the reply, 0 without one.
func (e End) Status() int {
	f := strings.Fields(e.Reply)
	if len(f) < 2 || !strings.HasPrefix(f[0], "HTTP/") {
		return 0
	}
	n, _ := strconv.Atoi(f[1]) // 0 when it is no number
	return n
}

// SlowLoris sends n requests whose headers never end, byte by byte.
func (h Hostile) SlowLoris(ctx context.Context, n int) []End {
	every := h.Every
	if every <= 0 {
		every = 100 * time.Millisecond
	}
	return h.each(ctx, n, func(ctx context.Context, _ int, c net.Conn) {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+h.Addr+"\r\nX-Slow: "); err != nil {
			return
		}
		for sleep(ctx, every) == nil {
			if _, err := io.WriteString(c, "a"); err != nil {
				return
			}
		}
	})
}

// HalfOpen sends the first half of n ClientHellos and falls silent.
func (h Hostile) HalfOpen(ctx context.Context, n int) []End {
	hello := clientHello(ctx)
	h.TLS = nil
	return h.each(ctx, n, func(_ context.Context, _ int, c net.Conn) { _, _ = c.Write(hello[:len(hello)/2]) })
}

// clientHello is what a TLS client says first.
func clientHello(ctx context.Context) []byte {
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { _ = tls.Client(near, &tls.Config{ServerName: "nettest.invalid"}).HandshakeContext(ctx) })
	b := make([]byte, most)
	n, _ := far.Read(b)
	cancel()
	_ = far.Close()
	_ = near.Close()
	done.Wait()
	return b[:max(n, 2)]
}

// Part is the part of a request that is too large.
type Part string

// The parts.
const (
	Target  Part = "target"  // the path
	Header  Part = "header"  // one field's value
	Headers Part = "headers" // the number of fields
	Body    Part = "body"    // as long as its Content-Length says
	Chunked Part = "chunked" // a body whose length is not told
)

// Oversized sends one request, POST to path, with a part of size bytes.
func (h Hostile) Oversized(ctx context.Context, path string, part Part, size int64) End {
	fill := func(c net.Conn, unit string) error {
		block := []byte(strings.Repeat(unit, max(1, most/len(unit))))
		for left := size; left > 0; {
			n, err := c.Write(block[:min(int64(len(block)), left)])
			if left -= int64(n); err != nil {
				return err
			}
		}
		return nil
	}
	return h.each(ctx, 1, func(_ context.Context, _ int, c net.Conn) {
		begin, unit, end := "POST "+path, "a", ""
		host := " HTTP/1.1\r\nHost: " + h.Addr + "\r\nConnection: close\r\n"
		switch part {
		case Target:
			begin, end = begin+"?", host+"Content-Length: 0\r\n\r\n"
		case Header:
			begin, end = begin+host+"Content-Length: 0\r\nX-Large: ", "\r\n\r\n"
		case Headers:
			begin, unit, end = begin+host+"Content-Length: 0\r\n", "X: y\r\n", "\r\n"
			size -= size % int64(len(unit)) // whole fields
		case Body:
			begin += host + "Content-Length: " + strconv.FormatInt(size, 10) + "\r\n\r\n"
		case Chunked:
			begin += host + "Transfer-Encoding: chunked\r\n\r\n" + strconv.FormatInt(size, 16) + "\r\n"
			end = "\r\n0\r\n\r\n"
		}
		if _, err := io.WriteString(c, begin); err != nil || fill(c, unit) != nil {
			return
		}
		_, _ = io.WriteString(c, end)
	})[0]
}

// Garbage sends size random bytes, the same for the same seed, over each of n
// connections; inside of TLS when h speaks it.
func (h Hostile) Garbage(ctx context.Context, n, size int, seed uint64) []End {
	return h.each(ctx, n, func(_ context.Context, i int, c net.Conn) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		_, _ = c.Write(b)
	})
}

// each makes n connections at once, has send use each, and reads what comes back.
func (h Hostile) each(ctx context.Context, n int, send func(ctx context.Context, i int, c net.Conn)) []End {
	ends := make([]End, n)
	var all sync.WaitGroup
	for i := range ends {
		all.Go(func() { ends[i] = h.one(ctx, func(ctx context.Context, c net.Conn) { send(ctx, i, c) }) })
	}
	all.Wait()
	return ends
}

func (h Hostile) one(ctx context.Context, send func(ctx context.Context, c net.Conn)) End {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", h.Addr)
	if err != nil {
		return End{Err: err}
	}
	defer c.Close()
	begin := time.Now()
	if h.TLS != nil {
		conf := h.TLS.Clone()
		if conf.ServerName == "" {
			conf.ServerName, _, _ = net.SplitHostPort(h.Addr) // empty fails in the handshake, which says so
		}
		s := tls.Client(c, conf)
		if err := s.HandshakeContext(ctx); err != nil {
			return End{Err: err}
		}
		c = s
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	sent := &counting{Conn: c}
	var sending sync.WaitGroup
	sending.Go(func() { send(ctx, sent) })
	var reply bytes.Buffer
	e := End{}
	b := make([]byte, 4096)
	for {
		n, err := c.Read(b)
		e.Received += int64(n)
		reply.Write(b[:min(n, 512-reply.Len())])
		if err != nil {
			var timeout net.Error
			e.Closed = !errors.As(err, &timeout) || !timeout.Timeout()
			break
		}
	}
	e.After, e.Reply = time.Since(begin), reply.String()
	cancel()
	sending.Wait()
	e.Sent = sent.n
	return e
}

// counting counts what is written; by one goroutine.
type counting struct {
	net.Conn
	n int64
}

func (c *counting) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.n += int64(n)
	return n, err
}

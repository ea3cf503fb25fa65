package nettest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"ecluse/internal/stocktest"
)

// echo answers every connection with what it is sent, until the test ends.
func echo(t *testing.T) string {
	t.Helper()
	l, err := here(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// say sends a word over c and waits, not forever, for it to come back.
func say(c net.Conn, word string) error {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, word); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, len(word)))
	return err
}

func between(t *testing.T, what string, d, low, high time.Duration) {
	t.Helper()
	if d < low || d > high {
		t.Errorf("%s took %v, want %v to %v", what, d, low, high)
	}
}

func TestRelay(t *testing.T) {
	r := NewRelay(t.Context(), t, echo(t), Line{})
	c := dial(t, r.Addr())
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() {
		_, _ = c.Write(sent)
		_ = c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes came back: %v", len(got), len(sent), err)
	}
	if n := r.Count(); n.Connections != 1 || n.Up != int64(len(sent)) || n.Down != n.Up {
		t.Errorf("count %+v", n)
	}
}

func TestRelayRate(t *testing.T) {
	t.Parallel()
	r := NewRelay(t.Context(), t, echo(t), Line{Rate: 20_000_000, Delay: 30 * time.Millisecond})
	c := dial(t, r.Addr())
	begin := time.Now()
	go func() {
		_, _ = c.Write(make([]byte, 2_000_000))
		_ = c.CloseWrite()
	}()
	if n, err := io.Copy(io.Discard, c); err != nil || n != 2_000_000 {
		t.Errorf("%d bytes: %v", n, err)
	}
	between(t, "2 MB at 20 Mbit/s", time.Since(begin), 700*time.Millisecond, 2500*time.Millisecond)
}

func TestRelayDelay(t *testing.T) {
	t.Parallel()
	r := NewRelay(t.Context(), t, echo(t), Line{Delay: 30 * time.Millisecond})
	c := dial(t, r.Addr())
	if err := say(c, "first"); err != nil { // with the handshake
		t.Fatal(err)
	}
	begin := time.Now()
	if err := say(c, "second"); err != nil {
		t.Fatal(err)
	}
	between(t, "a round trip", time.Since(begin), 60*time.Millisecond, time.Second)
}

// TestRelayLoss: what is lost holds the stream back and is not missing.
func TestRelayLoss(t *testing.T) {
	t.Parallel()
	const size = 300_000 // some 200 segments: 0.12 s at 20 Mbit/s
	r := NewRelay(t.Context(), t, echo(t), Line{Rate: 20_000_000, Delay: 10 * time.Millisecond, Loss: 0.05, Seed: 1})
	c := dial(t, r.Addr())
	begin := time.Now()
	go func() {
		_, _ = c.Write(make([]byte, size))
		_ = c.CloseWrite()
	}()
	if n, err := io.Copy(io.Discard, c); err != nil || n != size {
		t.Errorf("%d bytes: %v", n, err)
	}
	between(t, "300 kB with losses", time.Since(begin), 300*time.Millisecond, 10*time.Second)
}

func TestRelayCut(t *testing.T) {
	r := NewRelay(t.Context(), t, echo(t), Line{})
	c := dial(t, r.Addr())
	if err := say(c, "before"); err != nil {
		t.Fatal(err)
	}
	r.Cut()
	if err := say(c, "cut"); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("on a cut line: %v, want a reset", err)
	}
	if _, err := net.Dial("tcp", r.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting over a cut line: %v, want refused", err)
	}
	if n := r.Count(); n.Open != 0 || n.Connections != 1 {
		t.Errorf("count %+v", n)
	}
	r.Heal()
	if err := say(dial(t, r.Addr()), "healed"); err != nil {
		t.Errorf("after healing: %v", err)
	}
}

func TestRelayStall(t *testing.T) {
	r := NewRelay(t.Context(), t, echo(t), Line{})
	old := dial(t, r.Addr())
	if err := say(old, "before"); err != nil {
		t.Fatal(err)
	}
	r.Stall()
	young := dial(t, r.Addr())
	for _, c := range []net.Conn{old, young} {
		if _, err := io.WriteString(c, "waits"); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("on a stalled line: read %d, %v; want nothing at all", n, err)
		}
	}
	r.Heal()
	for _, c := range []net.Conn{old, young} {
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadFull(c, make([]byte, len("waits"))); err != nil {
			t.Errorf("after healing: %v", err)
		}
	}
	r.Stall()
	r.Cut() // a stalled line can still break
	if _, err := old.Read(make([]byte, 1)); err == nil {
		t.Error("a stalled line was cut and lives")
	}
}

func TestRelayResetAfter(t *testing.T) {
	r := NewRelay(t.Context(), t, echo(t), Line{})
	r.ResetAfter(100_000)
	c := dial(t, r.Addr())
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, 10_000_000))
		wrote <- err
	}()
	n, err := io.Copy(io.Discard, c)
	// The kernel tells of a reset once, to who asks first.
	if err := errors.Join(err, <-wrote); err == nil || n > 100_000 {
		t.Errorf("%d bytes came back, %v; want a reset", n, err)
	}
	if k := r.Count(); k.Up+k.Down != 100_000 {
		t.Errorf("%d bytes were carried, want 100000", k.Up+k.Down)
	}
	if err := say(dial(t, r.Addr()), "again"); err != nil {
		t.Errorf("the connection after it: %v", err)
	}
}

func TestRelayTargetRefuses(t *testing.T) {
	closed, addr, err := keepPort()
	if err != nil {
		t.Fatal(err)
	}
	defer closed.Close()
	if runtime.GOOS != "linux" {
		stocktest.Lacks(t, "Linux, where ports are kept")
	}
	r := NewRelay(t.Context(), t, addr, Line{})
	c, err := net.Dial("tcp", r.Addr())
	if err == nil {
		defer c.Close()
		err = say(c, "is anybody there")
	}
	if err == nil {
		t.Error("an answer from a target that refuses")
	}
}

// leakFree runs use and fails if it leaves goroutines behind.
func leakFree(t *testing.T, use func(ctx context.Context, t *testing.T)) {
	t.Helper()
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	t.Run("use", func(t *testing.T) { use(ctx, t) })
	cancel()
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func TestRelayLeaves(t *testing.T) {
	target := echo(t)
	leakFree(t, func(ctx context.Context, t *testing.T) {
		inner, cancel := context.WithCancel(ctx)
		r := NewRelay(inner, t, target, Line{Delay: time.Millisecond, Rate: 10_000_000})
		idle := dial(t, r.Addr())
		busy := dial(t, r.Addr())
		for _, c := range []net.Conn{idle, busy} {
			if err := say(c, "hello"); err != nil {
				t.Fatal(err)
			}
		}
		wrote := make(chan struct{})
		go func() {
			defer close(wrote)
			_, _ = busy.Write(make([]byte, 50_000_000)) // nobody reads the echo
		}()
		for r.Count().Up < 50_000 {
			time.Sleep(time.Millisecond)
		}
		cancel()
		<-wrote
		if _, err := io.ReadAll(idle); err == nil {
			t.Error("the context ended and a connection was closed politely")
		}
	})
}

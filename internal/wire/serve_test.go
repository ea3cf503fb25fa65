package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ecluse/internal/nettest"
)

// serving serves h until stop is called.
func serving(t *testing.T, h http.HandlerFunc, fault func()) (addr string, a *Authority, stop func() error) {
	t.Helper()
	a = authority(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, a, h, fault) }()
	t.Cleanup(cancel)
	return l.Addr().String(), a, func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(ending + givenUp + 5*time.Second):
			return errors.New("it did not stop")
		}
	}
}

func asker(t *testing.T, a *Authority) *http.Client {
	t.Helper()
	tr, err := Transport(Options{Pin: a.Pin()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second}
}

// TestServeEnds: a request under way when the server stops gets its answer, and
// nothing new is taken.
func TestServeEnds(t *testing.T) {
	began, finish := make(chan struct{}), make(chan struct{})
	addr, a, stop := serving(t, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-finish
		if r.Context().Err() != nil {
			return
		}
		_, _ = io.WriteString(w, "whole")
	}, nil)
	answer := make(chan string, 1)
	c := asker(t, a)
	go func() {
		r, err := c.Get("https://" + addr)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		answer <- string(b)
	}()
	<-began
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	deadline := time.Now().Add(5 * time.Second)
	for {
		late, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		_ = late.Close()
		if time.Now().After(deadline) {
			t.Fatal("it still takes connections")
		}
		time.Sleep(10 * time.Millisecond)
	}
	select {
	case err := <-stopped:
		t.Fatalf("it stopped in the middle of a request: %v", err)
	default:
	}
	close(finish)
	if got := <-answer; got != "whole" {
		t.Errorf("answered %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestServeGivesUp: a request that does not end is cut off after its time.
func TestServeGivesUp(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	t.Parallel()
	began := make(chan struct{})
	addr, a, stop := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
	}, nil)
	c := asker(t, a)
	go func() {
		if r, err := c.Get("https://" + addr); err == nil {
			r.Body.Close()
		}
	}()
	<-began
	begun := time.Now()
	if err := stop(); err != nil || time.Since(begun) < ending {
		t.Errorf("stopped after %v: %v", time.Since(begun), err)
	}
}

// TestServeFault: a request that breaks the program takes nobody else's with it.
func TestServeFault(t *testing.T) {
	var faults atomic.Int32
	addr, a, stop := serving(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			panic("Jeanne Dupont")
		}
	}, func() { faults.Add(1) })
	c := asker(t, a)
	if r, err := c.Get("https://" + addr + "/bad"); err == nil {
		r.Body.Close()
		t.Error("answered")
	}
	r, err := c.Get("https://" + addr + "/good")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if faults.Load() != 1 {
		t.Errorf("%d faults told", faults.Load())
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestServeHostile: clients that are slow, fall silent or talk nonsense are gone
// after their time, keep nobody out, and leave neither goroutines nor memory.
func TestServeHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	addr, a, stop := serving(t, func(http.ResponseWriter, *http.Request) {}, nil)
	c := asker(t, a)
	ask := func() {
		t.Helper()
		r, err := c.Get("https://" + addr)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
	}
	ask()
	c.CloseIdleConnections()
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	time.Sleep(100 * time.Millisecond)
	goroutines, memory := runtime.NumGoroutine(), heap()
	clear, inside := nettest.Hostile{Addr: addr}, nettest.Hostile{Addr: addr, TLS: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}}
	for name, attack := range map[string]func(context.Context) []nettest.End{
		"half open":      func(ctx context.Context) []nettest.End { return clear.HalfOpen(ctx, 100) },
		"garbage":        func(ctx context.Context) []nettest.End { return clear.Garbage(ctx, 100, 4096, 1) },
		"garbage in TLS": func(ctx context.Context) []nettest.End { return inside.Garbage(ctx, 50, 4096, 2) },
		"slow headers":   func(ctx context.Context) []nettest.End { return inside.SlowLoris(ctx, 100) },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), firstWords+10*time.Second)
		ends := make(chan []nettest.End, 1)
		go func() { ends <- attack(ctx) }()
		time.Sleep(200 * time.Millisecond)
		ask()
		for _, e := range <-ends {
			if e.Err == nil && !e.Closed {
				t.Errorf("%s: still open after %v", name, e.After)
				break
			}
		}
		cancel()
	}
	c.CloseIdleConnections()
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > goroutines+3 && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > goroutines+3 {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	if m := heap(); m > memory+2<<20 {
		t.Errorf("holds %d bytes, %d before", m, memory)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestServeOneTooMany: one address has so many connections and no more; one that
// ends makes room.
func TestServeOneTooMany(t *testing.T) {
	addr, _, stop := serving(t, func(http.ResponseWriter, *http.Request) {}, nil)
	shut := func(c net.Conn) bool {
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		var timeout net.Error
		return !errors.As(err, &timeout) || !timeout.Timeout()
	}
	var all []net.Conn
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
		return c
	}
	for range MaxPerAddress {
		dial()
	}
	if shut(all[MaxPerAddress-1]) {
		t.Error("the last that may come was shut out")
	}
	if !shut(dial()) {
		t.Error("one too many was let in")
	}
	_ = all[0].Close()
	time.Sleep(100 * time.Millisecond)
	if shut(dial()) {
		t.Error("no room after one had ended")
	}
	for _, c := range all {
		_ = c.Close()
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestNetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7:1": "192.0.2.7/32", "[::ffff:192.0.2.7]:1": "192.0.2.7/32", "[2001:db8::1]:1": "2001:db8::/64", "[fe80::1%25lo]:1": "fe80::/64",
	} {
		if got := Network(strings.ReplaceAll(addr, "%25", "%")).String(); got != want {
			t.Errorf("%s is of %s, want %s", addr, got, want)
		}
	}
}

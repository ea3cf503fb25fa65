package nettest

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// guarded is an HTTPS server that defends itself as far as net/http can.
func guarded(t *testing.T) Hostile {
	t.Helper()
	a := NewAuthority(t)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 1<<16))
		if err != nil {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		}
	}))
	cert, err := a.For("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS13}
	s.Config.ReadHeaderTimeout = 200 * time.Millisecond
	s.Config.MaxHeaderBytes = 8 << 10
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	return Hostile{Addr: s.Listener.Addr().String(), TLS: &tls.Config{RootCAs: a.Pool()}, Every: 10 * time.Millisecond}
}

func TestHostile(t *testing.T) {
	t.Parallel()
	h := guarded(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for name, ends := range map[string][]End{
		"slow":    h.SlowLoris(ctx, 3),
		"half":    h.HalfOpen(ctx, 3),
		"garbage": h.Garbage(ctx, 3, 1000, 1),
	} {
		if len(ends) != 3 {
			t.Errorf("%s: %d ends", name, len(ends))
		}
		for _, e := range ends {
			if e.Err != nil || !e.Closed || e.Sent == 0 {
				t.Errorf("%s: %+v, want a connection that the server closed", name, e)
			}
			if name != "garbage" && e.After < 100*time.Millisecond {
				t.Errorf("%s: closed after %v", name, e.After)
			}
		}
	}
	clear := h
	clear.TLS = nil
	for _, e := range clear.Garbage(ctx, 2, 1000, 1) {
		if e.Err != nil || !e.Closed {
			t.Errorf("garbage in clear: %+v", e)
		}
	}
}

func TestHostileOversized(t *testing.T) {
	t.Parallel()
	h := guarded(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, c := range []struct {
		part  Part
		small int64
		large int64
		want  int
	}{
		{Target, 100, 1 << 16, http.StatusRequestHeaderFieldsTooLarge},
		{Header, 100, 1 << 16, http.StatusRequestHeaderFieldsTooLarge},
		{Headers, 100, 1 << 16, http.StatusRequestHeaderFieldsTooLarge},
		{Body, 100, 1 << 17, http.StatusRequestEntityTooLarge},
		{Chunked, 100, 1 << 17, http.StatusRequestEntityTooLarge},
	} {
		if e := h.Oversized(ctx, "/", c.part, c.small); e.Status() != http.StatusOK {
			t.Errorf("%s of %d bytes: %+v, want 200", c.part, c.small, e)
		}
		// A server may reset before its answer is read; then there is none.
		if e := h.Oversized(ctx, "/", c.part, c.large); e.Err != nil || !e.Closed || e.Status() != c.want && e.Status() != 0 {
			t.Errorf("%s of %d bytes: %+v, want %d", c.part, c.large, e, c.want)
		}
	}
}

// TestHostileOpen: a server that closes nothing is told apart.
func TestHostileOpen(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for _, e := range (Hostile{Addr: echo(t), Every: 10 * time.Millisecond}).SlowLoris(ctx, 2) {
		if e.Err != nil || e.Closed || e.Received == 0 || e.Status() != 0 {
			t.Errorf("%+v, want a connection that stayed open", e)
		}
	}
	if e := (Hostile{Addr: "127.0.0.1:1"}).Garbage(ctx, 1, 1, 1)[0]; e.Err == nil {
		t.Errorf("%+v, want an error", e)
	}
}

package app_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse/internal/api"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/client"
	"ecluse/internal/gate/locktest"
	"ecluse/internal/wire"
)

// served is a server in this process over real TLS, of rooms as laboratories.
type served struct {
	URL string
	Pin wire.Pin
	API *api.Server
}

// serveLabs serves laboratories until the test ends.
func serveLabs(t *testing.T, labs func(pin wire.Pin) []api.Lab) *served {
	t.Helper()
	a, err := wire.OpenAuthority(roomtest.Temp(t), nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	s := &served{Pin: a.Pin()}
	if s.API, err = api.New(api.Options{Labs: labs(s.Pin), Version: "test"}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.URL = "https://" + l.Addr().String()
	h := &http.Server{Handler: s.API, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Serve(tls.NewListener(l, wire.ServerConfig(a)))
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = h.Shutdown(ctx)
		_ = h.Close()
		<-done
	})
	return s
}

// gate is the lock as a gate sees it through the server.
func (s *served) gate(t *testing.T, lab string, key ssh.Signer) *client.Gate {
	t.Helper()
	g, err := client.NewGate(client.Options{Options: wire.Options{Pin: s.Pin, Gate: key}, Server: s.URL, Laboratory: lab})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Disconnect)
	return g
}

// TestLockOverHTTPS holds the lock behind a server against what gates rely on: the
// same suite as the lock in this process.
func TestLockOverHTTPS(t *testing.T) {
	t.Parallel()
	locktest.Run(t, func(t *testing.T, at locktest.State) *locktest.Case {
		t.Helper()
		c, r := lockCase(t, at)
		s := serveLabs(t, func(pin wire.Pin) []api.Lab { return []api.Lab{r.Lab("room", pin)} })
		c.Lock, c.AtTarget = s.gate(t, "room", c.Source), s.gate(t, "room", c.Target)
		return c
	})
}

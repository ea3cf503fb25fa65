// Package wiretest serves tests over real TLS under a real pin.
package wiretest

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
	"time"

	"ecluse/internal/wire"
)

// Serve serves, until the test ends, what handler makes of the server's pin, under
// the identity of a folder. It returns where, and the pin.
func Serve(t testing.TB, dir string, handler func(wire.Pin) http.Handler) (url string, pin wire.Pin) {
	t.Helper()
	a, err := wire.OpenAuthority(dir, nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: handler(a.Pin()), ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Serve(tls.NewListener(l, wire.ServerConfig(a)))
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Second)
		defer cancel()
		_ = h.Shutdown(ctx)
		_ = h.Close()
		<-done
	})
	return "https://" + l.Addr().String(), a.Pin()
}

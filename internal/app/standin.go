package app

// A stand-in for server and gates as processes of their own: the same over TLS, in this
// process. To be removed when Start is there.

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"ecluse"
	"ecluse/internal/account"
	"ecluse/internal/api"
	"ecluse/internal/client"
	"ecluse/internal/config"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/wire"
)

type StartOptions struct {
	Program string
	Log     io.Writer
}
type Running struct {
	r    *Room
	h    *http.Server
	x    *config.Context
	stop func()
}
type Used struct {
	CPU     time.Duration
	PeakMiB float64
}

func Start(ctx context.Context, dir string, o StartOptions) (*Running, error) {
	r, err := Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	a, err := wire.OpenAuthority(filepath.Join(dir, "lock"), nil, time.Now)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	s, err := api.New(api.Options{Labs: []api.Lab{{ID: "room", Lock: r.lock, Door: account.NewDoor(ecluse.Digest(a.Pin()), "room", r.lock, r.lock.Sessions())}}, Version: "x"})
	if err != nil {
		return nil, err
	}
	h := &http.Server{Handler: s}
	go func() { _ = h.Serve(tls.NewListener(l, wire.ServerConfig(a))) }()
	x := &config.Context{Name: "room", Server: "https://" + l.Addr().String(), Laboratory: "room", Pin: ecluse.Digest(a.Pin()), Lock: r.lock.Key(),
		Roots: config.Roots{Controller: r.lock.Roots()[ecluse.Controller], Processor: r.lock.Roots()[ecluse.Processor]}}
	r.stop()
	r.wg.Wait()
	gctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	for _, at := range []exchange.Place{exchange.SourcePlace, exchange.TargetPlace} {
		g := r.gates[at]
		if g.lock, err = client.NewGate(client.Options{Options: wire.Options{Pin: a.Pin(), Gate: g.home.Signer()}, Server: x.Server, Laboratory: "room"}); err != nil {
			return nil, err
		}
		wg.Go(func() { _ = gate.Run(gctx, g.lock, g.work, nil) })
	}
	wg.Go(func() { _ = r.lock.Watch(gctx, func(exchange.DueView) {}) })
	return &Running{r, h, x, func() { cancel(); wg.Wait() }}, nil
}
func (r *Running) Context() *config.Context { return r.x }
func (r *Running) Close() error {
	r.stop()
	return errors.Join(r.h.Close(), r.r.Close())
}
func (r *Running) Usage() map[string]Used { return map[string]Used{"all": {0, 1}} }

package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"ecluse"
	"ecluse/internal/account"
	"ecluse/internal/api"
	"ecluse/internal/config"
	"ecluse/internal/durable"
	"ecluse/internal/exchange"
	"ecluse/internal/lock"
	"ecluse/internal/wire"
)

// ServeOptions are what a server serves, and where.
type ServeOptions struct {
	Labs   map[string]string // laboratories' lock folders, by their ids
	TLS    string            // folder of the server's own certificate authority
	Config config.Server
	Ready  func(Serving)            // told once, when connections are taken
	Due    func(string, DueOutcome) // told what a laboratory's deadlines did, when they did something
	Log    *slog.Logger             // ids and counts; nil: nowhere
}

// DueOutcome is what was done in a laboratory because it was due, and what failed.
type DueOutcome = exchange.DueView

// Serving is a server that takes connections.
type Serving struct {
	Addr string      `json:"addr"`
	URL  string      `json:"url"` // what people and gates reach it by
	Pin  wire.Pin    `json:"pin"`
	Labs []ServedLab `json:"laboratories"`
}

// ServedLab is a laboratory on a server, and what a device must know of it.
type ServedLab struct {
	ID    string             `json:"id"`
	Lock  ecluse.Fingerprint `json:"lock"`
	Roots config.Roots       `json:"roots"`
	Line  string             `json:"line,omitempty"` // for `ecluse context add` and `ecluse gate enrol`
}

// expiredEvery is how often sessions that have expired are taken away: they open
// nothing as it is.
const expiredEvery = 15 * time.Minute

// serving marks a lock's folder that a server has open.
const servingFile = "serving.lock"

// Serve serves laboratories until the context ends, each from its own folder and with
// its own deadlines: one that hangs keeps no other waiting. Requests under way when it
// ends have a few seconds to.
func Serve(ctx context.Context, o ServeOptions) (err error) {
	if err := o.Config.Check(); err != nil {
		return err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	id, err := identity(o.TLS, &o.Config, func(err error) { o.Log.Warn("certificate", "kind", string(ecluse.KindOf(err)), "why", err.Error()) })
	if err != nil {
		return err
	}
	labs, shut, err := openLabs(ctx, o.Labs, id.Pin())
	defer func() { err = errors.Join(err, shut()) }()
	if err != nil {
		return err
	}
	h, err := api.New(api.Options{Labs: labs, Version: Version(), Log: o.Log})
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Config.Listen)
	if err != nil {
		return &ecluse.Error{
			Kind: ecluse.Failed, What: "serve", Where: o.Config.Listen, Why: "nothing can listen there", Err: err,
			Next: "see what does already, or listen elsewhere: --listen ADDRESS:PORT",
		}
	}
	if o.Ready != nil {
		o.Ready(serving(l.Addr().String(), &o.Config, id, labs))
	}
	loops, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, lab := range labs {
		defer context.AfterFunc(ctx, lab.Lock.Rest)()
		running.Go(func() { o.watch(loops, lab) })
		running.Go(func() { o.expire(loops, lab) })
	}
	err = wire.Serve(ctx, l, id, h, func() { o.Log.Error("a request broke the program") })
	stop()
	running.Wait()
	return err
}

// watch does what is due in a laboratory.
func (o *ServeOptions) watch(ctx context.Context, lab api.Lab) {
	err := lab.Lock.Watch(ctx, func(v exchange.DueView) {
		for _, f := range v.Failed {
			o.Log.Warn("due", "laboratory", lab.ID, "item", string(f.What), "migration", string(f.Migration), "kind", string(f.Kind))
		}
		if o.Due != nil && len(v.Done)+len(v.Failed) > 0 {
			o.Due(lab.ID, v)
		}
	})
	if ctx.Err() == nil {
		o.Log.Error("deadlines are no longer watched", "laboratory", lab.ID, "kind", string(ecluse.KindOf(err)))
	}
}

// expire takes a laboratory's expired sessions away.
func (o *ServeOptions) expire(ctx context.Context, lab api.Lab) {
	t := time.NewTicker(expiredEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if _, err := lab.Door.Sessions().EndExpired(ctx); err != nil && ctx.Err() == nil {
			o.Log.Warn("sessions", "laboratory", lab.ID, "kind", string(ecluse.KindOf(err)))
		}
	}
}

// identity is what a server shows: the files of its settings, else its own authority,
// made when there is none.
func identity(dir string, c *config.Server, warn func(error)) (wire.Identity, error) {
	if c.Certificate != "" {
		return wire.OpenFile(c.Certificate, c.Key, time.Now, warn)
	}
	return wire.OpenAuthority(dir, c.Names(), time.Now)
}

// openLabs claims and opens laboratories; shut closes what was opened.
func openLabs(ctx context.Context, folders map[string]string, pin wire.Pin) (labs []api.Lab, shut func() error, err error) {
	var opened []func() error
	shut = func() error {
		var errs []error
		for _, f := range slices.Backward(opened) {
			errs = append(errs, f())
		}
		return errors.Join(errs...)
	}
	for _, id := range slices.Sorted(maps.Keys(folders)) {
		leave, err := claim(folders[id])
		if err != nil {
			return nil, shut, err
		}
		opened = append(opened, leave)
		l, err := lock.Open(ctx, folders[id], Tool())
		if err != nil {
			return nil, shut, fmt.Errorf("laboratory %s: %w", id, err)
		}
		opened = append(opened, l.Shut)
		labs = append(labs, api.Lab{ID: id, Lock: l, Door: account.NewDoor(ecluse.Digest(pin), id, l, l.Sessions())})
	}
	return labs, shut, nil
}

// claim makes a lock's folder this server's, until leave is called or the process
// ends.
func claim(dir string) (leave func() error, err error) {
	path := filepath.Join(dir, servingFile)
	f, err := claimFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "serve", Where: dir, Why: "there is no lock in this folder", Next: "ecluse lab add DIR NAME …", Err: err}
	}
	switch {
	case errors.Is(err, durable.ErrHeld):
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "serve", Where: dir, Why: "another server has this folder open",
			Next: "stop that one first; two would do what is due twice",
		}
	case err != nil:
		return nil, &ecluse.Error{Kind: ecluse.Failed, What: "serve", Where: dir, Why: "its folder cannot be claimed", Err: err}
	}
	return f.Close, nil
}

// claimFile holds a file, made when there is none, as long as this process has it open;
// durable.ErrHeld when another has.
func claimFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return durable.Claim(path)
}

// serving says what people and gates must know.
func serving(addr string, c *config.Server, id wire.Identity, labs []api.Lab) Serving {
	s := Serving{Addr: addr, URL: c.URL(addr), Pin: id.Pin(), Labs: []ServedLab{}}
	for _, l := range labs {
		s.Labs = append(s.Labs, served(l.ID, s.URL, s.Pin, l.Lock.Key(), l.Lock.Roots()))
	}
	return s
}

func served(id, url string, pin wire.Pin, key ecluse.Fingerprint, roots map[ecluse.Side]ecluse.Fingerprint) ServedLab {
	s := ServedLab{ID: id, Lock: key, Roots: config.Roots{Controller: roots[ecluse.Controller], Processor: roots[ecluse.Processor]}}
	x := config.Context{Server: url, Laboratory: id, Pin: ecluse.Digest(pin), Lock: key, Roots: s.Roots}
	s.Line = x.Line()
	return s
}

// Package app is the one place that names concrete parts: a lock, a gate beside its
// database, both in one room.
package app

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/config"
	"ecluse/internal/desk"
	"ecluse/internal/durable"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/lock"
	"ecluse/internal/sluice"
)

// folder of each part.
const (
	lockDir  = "lock"
	plansDir = "plans"
)

// Version is the program's, as it was built.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}

// Tool is what certificates say of the program.
func Tool() string { return "ecluse " + Version() }

// Made is a new room.
type Made struct {
	Dir        string             `json:"dir"`
	Lock       ecluse.Fingerprint `json:"lock"`
	SourceGate ecluse.Fingerprint `json:"source_gate"`
	TargetGate ecluse.Fingerprint `json:"target_gate"`
}

// Init makes a room: three folders that share no file. Both parties' roots are given
// here and nowhere else.
func Init(ctx context.Context, dir string, roots map[ecluse.Side]ecluse.Fingerprint) (*Made, error) {
	if entries, err := os.ReadDir(dir); len(entries) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "make lock folder", Where: dir, Why: "it is a file, or a folder that is not empty", Next: "name a new folder"}
	}
	made := &Made{Dir: dir}
	err := durable.Whole(dir, func(dir string) error { return made.fill(ctx, dir, roots) })
	var known *ecluse.Error
	if err != nil && !errors.As(err, &known) {
		err = &ecluse.Error{Kind: ecluse.Failed, What: "make lock folder", Where: dir, Err: err, Next: "nothing was left behind: name a folder on a disk with room, that you may write"}
	}
	return made, err
}

// fill makes the folders of a lock and two gates.
func (made *Made) fill(ctx context.Context, dir string, roots map[ecluse.Side]ecluse.Fingerprint) error {
	if err := durable.Mkdir(filepath.Join(dir, plansDir)); err != nil {
		return err
	}
	var err error
	if made.Lock, err = lock.Create(ctx, filepath.Join(dir, lockDir), roots, true); err != nil {
		return err
	}
	for _, g := range []struct {
		place exchange.Place
		into  *ecluse.Fingerprint
	}{{exchange.SourcePlace, &made.SourceGate}, {exchange.TargetPlace, &made.TargetGate}} {
		at := filepath.Join(dir, string(g.place))
		if err := durable.Mkdir(at); err != nil {
			return err
		}
		h, err := gate.CreateHome(at, "ecluse "+string(g.place)+" gate", roots, made.Lock, true)
		if err != nil {
			return err
		}
		if err := h.Stand(g.place); err != nil {
			return err
		}
		*g.into = h.Fingerprint()
		if err := lock.Admit(filepath.Join(dir, lockDir), g.place, h.Fingerprint()); err != nil {
			return err
		}
		if err := durable.CreateFile(filepath.Join(at, config.FileName+".example"), []byte(config.Example)); err != nil {
			return err
		}
	}
	return nil
}

// Room is a lock and both gates in one process, for tests: the same three parts that
// otherwise are three processes, without the network between them.
type Room struct {
	*desk.Desk
	dir    string
	lock   *lock.Lock
	gates  map[exchange.Place]*Beside
	stop   context.CancelFunc
	wg     sync.WaitGroup
	closed bool
}

// Open opens a room and sets its gates to work. Databases are connected to when they
// are needed.
func Open(ctx context.Context, dir string) (*Room, error) {
	l, err := lock.Open(ctx, filepath.Join(dir, lockDir), Tool())
	if err != nil {
		return nil, err
	}
	r := &Room{dir: dir, lock: l, gates: map[exchange.Place]*Beside{}}
	r.Desk = desk.New(r.visit, filepath.Join(dir, plansDir), l.TakeRoster)
	for _, at := range []exchange.Place{exchange.SourcePlace, exchange.TargetPlace} {
		h, err := gate.OpenHome(filepath.Join(dir, string(at)))
		if err != nil {
			return nil, errors.Join(err, l.Shut())
		}
		r.gates[at] = &Beside{dir: filepath.Join(dir, string(at)), place: at, home: h, lock: l.Seat(h.Fingerprint())}
	}
	r.start(ctx)
	return r, nil
}

// start sets the gates to work.
func (r *Room) start(ctx context.Context) {
	ctx, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	for _, g := range r.gates {
		r.wg.Go(func() { _ = gate.Run(ctx, g.lock, g.work, nil) })
		r.wg.Go(func() { gate.WatchKept(ctx, g.home, g.lock, func(gate.Doing) {}) })
	}
}

// Close stops the gates and disconnects from everything. Closed again it does nothing.
func (r *Room) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	r.stop()
	r.wg.Wait()
	var errs []error
	for _, g := range r.gates {
		errs = append(errs, g.Close())
	}
	return errors.Join(append(errs, r.lock.Shut())...)
}

// visit opens the lock as the person whose key it is.
func (r *Room) visit(ctx context.Context, key ssh.Signer) (desk.Lock, error) {
	if key == nil {
		return r.lock.Nobody(), nil
	}
	return r.lock.As(ctx, evidence.FingerprintOf(key.PublicKey()))
}

// Watch does what becomes due until the context ends.
func (r *Room) Watch(ctx context.Context, tell func(exchange.DueView)) error {
	return r.lock.Watch(ctx, tell)
}

// Gate is the fingerprint of the gate at a place: what an instruction must name.
func (r *Room) Gate(at exchange.Place) ecluse.Fingerprint { return r.gates[at].home.Fingerprint() }

// Beside is the gate at a place, for what is done at its own console.
func (r *Room) Beside(at exchange.Place) *Beside { return r.gates[at] }

// withoutDatabase are the verbs that a gate carries out from its folder alone: keys
// are destroyed even where no database is configured any more.
func withoutDatabase(v exchange.Verb) bool {
	switch v {
	case exchange.Erase, exchange.EraseKept, exchange.Search, exchange.Certify, exchange.SignBundle, exchange.Look:
		return true
	}
	return false
}

// work carries out what the lock asks, connecting to the database when needed.
func (b *Beside) work(ctx context.Context, w exchange.Work, watch sluice.Watch) (*exchange.Answer, error) {
	var do gate.Worker
	var err error
	if b.place == exchange.SourcePlace {
		var s *gate.Source
		if s, err = b.Source(); err == nil {
			do = s.Work
		}
	} else {
		var t *gate.Target
		if t, err = b.Target(); err == nil {
			do = t.Work
		}
	}
	if err != nil && withoutDatabase(w.Verb) {
		return b.home.Work(ctx, b.lock, w, b.place)
	}
	if err != nil {
		return nil, err
	}
	return do(ctx, w, watch)
}

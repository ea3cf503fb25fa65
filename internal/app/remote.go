package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/client"
	"ecluse/internal/config"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/wire"
)

// Device is a person's machine before one laboratory on a server.
type Device struct {
	Context *config.Context
	// Key logs in where an act does not say whose key signs it.
	Key func() (ssh.Signer, error)
	// Sessions is the folder where tokens are kept between commands; empty: none are.
	Sessions string

	mu     sync.Mutex
	people map[ecluse.Fingerprint]*client.Person
}

// Remote is a person's desk before a laboratory on a server. Plans are written to a
// folder of this machine.
func Remote(d *Device, plans string) *desk.Desk {
	visit := func(ctx context.Context, key ssh.Signer) (desk.Lock, error) { return d.visit(ctx, key) }
	return desk.New(visit, plans, func(ctx context.Context, signed evidence.Signed) (*exchange.RosterReceipt, error) {
		o, err := d.options()
		if err != nil {
			return nil, err
		}
		return client.TakeRoster(ctx, o, signed)
	}).Trust(map[ecluse.Side]ecluse.Fingerprint{ecluse.Controller: d.Context.Roots.Controller, ecluse.Processor: d.Context.Roots.Processor}, d.Context.Lock)
}

// visit logs in, once for each key.
func (d *Device) visit(ctx context.Context, key ssh.Signer) (*client.Person, error) {
	if key == nil {
		var err error
		if key, err = d.Key(); err != nil {
			return nil, err
		}
	}
	print := evidence.FingerprintOf(key.PublicKey())
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.people[print]; p != nil {
		return p, nil
	}
	o, err := d.options()
	if err != nil {
		return nil, err
	}
	var kept client.Sessions // nil: none are
	if d.Sessions != "" {
		kept = onDisk{d.Sessions, d.Context}
	}
	p, err := client.LogIn(ctx, o, key, kept)
	if err != nil {
		return nil, err
	}
	if d.people == nil {
		d.people = map[ecluse.Fingerprint]*client.Person{}
	}
	d.people[print] = p
	return p, nil
}

func (d *Device) options() (client.Options, error) {
	x := d.Context
	o := client.Options{Options: wire.Options{Pin: wire.Pin(x.Pin)}, Server: x.Server, Laboratory: x.Laboratory, Agent: "ecluse/" + Version()}
	proxy, err := x.ProxyURL()
	if err == nil && proxy != nil {
		o.Proxy = proxy.String()
	}
	return o, err
}

// List lists the sessions that whoever logs in may see.
func (d *Device) List(ctx context.Context) ([]exchange.SessionView, error) {
	p, err := d.visit(ctx, nil)
	if err != nil {
		return nil, err
	}
	return p.Sessions(ctx)
}

// End ends a session by its id.
func (d *Device) End(ctx context.Context, id string) error {
	p, err := d.visit(ctx, nil)
	if err != nil {
		return err
	}
	return p.EndSession(ctx, id)
}

// LogOut ends the session of the device's key, here and on the server; false: there
// was none. What is kept here goes even when the server cannot be told: its session
// then ends by itself.
func (d *Device) LogOut(ctx context.Context) (ended bool, err error) {
	key, err := d.Key()
	if err != nil {
		return false, err
	}
	print, kept := evidence.FingerprintOf(key.PublicKey()), onDisk{d.Sessions, d.Context}
	if kept.Read(print) == "" {
		return false, nil
	}
	p, err := d.visit(ctx, key)
	if err == nil {
		err = p.LogOut(ctx)
	}
	return true, errors.Join(err, kept.Remove(print))
}

// onDisk keeps tokens in the device's folder of sessions.
type onDisk struct {
	dir     string
	context *config.Context
}

// Read finds a token. One that cannot be read, or that others can, counts as none:
// whoever logs in again writes it anew.
func (s onDisk) Read(key ecluse.Fingerprint) string {
	found, err := config.ReadSession(s.dir, s.context, key, time.Now())
	if err != nil || found == nil {
		return ""
	}
	return found.Token
}

func (s onDisk) Write(key ecluse.Fingerprint, token string, expires time.Time) error {
	return config.WriteSession(s.dir, s.context, key, config.Session{Token: token, Expires: expires})
}

func (s onDisk) Remove(key ecluse.Fingerprint) error {
	return config.RemoveSession(s.dir, s.context, key)
}

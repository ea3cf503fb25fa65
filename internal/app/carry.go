package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/internal/carry"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
)

// Carry takes what a gate without a line needs out of the lock into a folder, or what
// such a gate said in it into the lock, as the person whose key it is.
type Carry struct {
	Device *Device
	Key    ssh.Signer
	Folder string
}

// Out carries out; an empty gate is the only one without a line.
func (c *Carry) Out(ctx context.Context, gate ecluse.Fingerprint) (*carry.Out, error) {
	p, err := c.Device.visit(ctx, c.Key)
	if err != nil {
		return nil, err
	}
	return carry.CarryOut(ctx, p, c.Device.Context.Lock, c.Folder, gate)
}

// In carries in, and tells how far it has come.
func (c *Carry) In(ctx context.Context, tell func(exchange.Taken)) (*exchange.CarriedIn, error) {
	p, err := c.Device.visit(ctx, c.Key)
	if err != nil {
		return nil, err
	}
	return carry.CarryIn(ctx, p, c.Device.Context.Lock, c.Folder, tell)
}

// CarriedOptions say how a gate without a line works.
type CarriedOptions struct {
	Folder string           // what was carried here
	Lost   bool             // what it answered before is lost: it is done again
	Tell   func(gate.Doing) // of what it does; may be nil
}

// Carried is what a gate without a line answered.
type Carried struct {
	Number int64           `json:"number"` // of the dispatch
	Items  int             `json:"items"`
	Failed []exchange.Verb `json:"failed"` // what was asked and did not succeed; the lock hears why
	Full   bool            `json:"full"`   // it holds as much as a lock takes in at a time: the rest follows after the next dispatch
}

// openCarried opens a gate's folder, which no other process may use meanwhile, with the
// lock as it was carried there.
func openCarried(dir, folder string, lost bool) (_ *Beside, _ *carry.Lock, err error) {
	h, at, _, err := gateAt(dir)
	if err != nil {
		return nil, nil, err
	}
	held, err := claimGate(dir)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			held.Close()
		}
	}()
	l, err := carry.Open(folder, h.Lock(), h.Fingerprint())
	if err != nil {
		return nil, nil, err
	}
	if err := h.TakeDispatch(l.Dispatch, lost); err != nil {
		return nil, nil, err
	}
	if err := l.GoOn(h.Said(l.Dispatch.Number)); err != nil {
		return nil, nil, err
	}
	return &Beside{dir: dir, place: at, home: h, lock: l, held: held}, l, nil
}

// RunCarried does what was carried to a gate, and signs what it says to it. Run again
// after any interruption it goes on.
func RunCarried(ctx context.Context, dir string, o CarriedOptions) (_ *Carried, err error) {
	b, l, err := openCarried(dir, o.Folder, o.Lost)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	l.Broken = stop // a gate on a line tries again until it is heard; a full disk stays full
	var mu sync.Mutex
	failed := []exchange.Verb{}
	_ = b.home.TellErased(ctx, l) // what is of no migration that was carried here is said with the one that is
	err = gate.RunOnce(ctx, l, b.work, func(x gate.Doing) {
		if x.Done && x.Err != nil && !errors.Is(x.Err, carry.ErrFull) {
			mu.Lock()
			failed = append(failed, x.Work.Verb)
			mu.Unlock()
		}
		if o.Tell != nil {
			o.Tell(x)
		}
	})
	full := errors.Is(err, carry.ErrFull)
	if err != nil && !full {
		return nil, err
	}
	v, err := b.answer(l)
	if err == nil {
		v.Failed, v.Full = failed, full
	}
	return v, err
}

// answer signs what the gate said.
func (b *Beside) answer(l *carry.Lock) (*Carried, error) {
	now, err := b.home.Latest()
	if err != nil {
		return nil, err
	}
	items := l.Items()
	if err := b.home.Returns(l.Dispatch.Number, items); err != nil {
		return nil, err
	}
	return &Carried{Number: l.Dispatch.Number, Items: items}, l.Seal(b.home.Sign, now)
}

// OpenGateWith opens a gate's folder for what is done at its own console: with a folder,
// on what was carried to it. What is noted then is signed when it is closed.
func OpenGateWith(dir, folder string) (*Beside, error) {
	if folder == "" {
		return OpenGate(dir)
	}
	b, l, err := openCarried(dir, folder, false)
	if err != nil {
		return nil, err
	}
	b.sealing = func() error {
		_, err := b.answer(l)
		return err
	}
	return b, nil
}

// paperLife is after how long a gate's paper that nobody confirmed is written anew: the
// lock forgets one after a day.
const paperLife = 24 * time.Hour

// carryPaper has a gate without a line say what it is, into a folder.
func carryPaper(h *gate.Home, says mandate.Gate, folder string) (*mandate.Gate, error) {
	says.Line = mandate.NoLine
	kept, _, err := h.Paper()
	if err != nil {
		return nil, err
	}
	g, signed, err := h.Describe(says, kept != nil && time.Since(kept.Made) > paperLife)
	if err != nil {
		return nil, err
	}
	return g, carry.WritePaper(folder, signed)
}

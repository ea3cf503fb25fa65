package cli

import (
	"context"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse/internal/desk"
)

// order is a signed act on the migration itself.
type order struct {
	which
	as
	Because string `required:"" help:"${because_flag}"`
}

func (x *order) run(ctx context.Context, c *call, do func(*desk.Desk, context.Context, desk.Order) (*desk.Signature, error)) error {
	key, err := x.signer(c)
	if err != nil {
		return err
	}
	return c.with(ctx, func(d *desk.Desk) error {
		v, err := do(d, ctx, desk.Order{Migration: x.Migration, Because: x.Because, Key: key})
		if err != nil {
			return err
		}
		c.ui.signature(v)
		return c.ui.object(v)
	})
}

type (
	objectCmd  struct{ order }
	suspendCmd struct{ order }
	resumeCmd  struct{ order }
	eraseCmd   struct {
		order
		EvenIfLoaded bool `help:"${even_if_loaded}" xor:"what"`
		Rejects      bool `help:"${erase_rejects}" xor:"what"`
	}
)

func (x *objectCmd) Run(ctx context.Context, c *call) error {
	return x.run(ctx, c, (*desk.Desk).Object)
}

func (x *suspendCmd) Run(ctx context.Context, c *call) error {
	return x.run(ctx, c, (*desk.Desk).Suspend)
}

func (x *resumeCmd) Run(ctx context.Context, c *call) error {
	return x.run(ctx, c, (*desk.Desk).Resume)
}

func (x *eraseCmd) Run(ctx context.Context, c *call) error {
	if x.Rejects {
		return x.run(ctx, c, (*desk.Desk).EraseRejects)
	}
	return x.run(ctx, c, func(r *desk.Desk, ctx context.Context, q desk.Order) (*desk.Signature, error) {
		q.EvenIfLoaded = x.EvenIfLoaded
		return r.Erase(ctx, q)
	})
}

type undoCmd struct {
	which
	as
	Because string `help:"${undo_because}"`
}

func (x *undoCmd) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(d *desk.Desk) error {
		ordered, err := d.UndoOrdered(ctx, x.Migration)
		if err != nil {
			return err
		}
		var key ssh.Signer
		if !ordered {
			if key, err = x.signer(c); err != nil {
				return err
			}
		}
		v, err := c.undo(ctx, d, desk.UndoRequest{Migration: x.Migration, Key: key, Because: x.Because})
		if err != nil {
			return err
		}
		return c.ui.object(v)
	})
}

// undo takes the passage in hand out, and tells what it came to.
func (c *call) undo(ctx context.Context, d *desk.Desk, q desk.UndoRequest) (*desk.UndoneView, error) {
	q.Watch, q.Away = c.ui.watch(nil), c.ui.away
	v, err := d.Undo(ctx, q)
	if err != nil {
		return nil, c.ui.leaving(ctx, err, "undo")
	}
	c.ui.undone(v)
	return v, nil
}

// goCmd says go: with what stays open, by whom and until when.
type goCmd struct {
	which
	as
	Open []string `help:"${go_open}" placeholder:"WHAT=OWNER,DAY" sep:"none"`
}

func (x *goCmd) Run(ctx context.Context, c *call) error {
	q := desk.GoRequest{Migration: x.Migration, Warn: func(until time.Time) { c.ui.acceptBy("", until) }}
	for _, s := range x.Open {
		p, err := desk.ParseOpenPoint(s)
		if err != nil {
			return err
		}
		q.Open = append(q.Open, p)
	}
	var err error
	if q.Key, err = x.signer(c); err != nil {
		return err
	}
	return c.with(ctx, func(d *desk.Desk) error {
		v, err := d.Go(ctx, q)
		if err != nil {
			return err
		}
		c.ui.signature(v)
		for _, p := range q.Open {
			c.ui.tell("  open: %s (%s, until %s)", "  reste ouvert : %s (%s, jusqu'au %s)", p.What, p.Owner, p.Due)
		}
		return c.ui.object(v)
	})
}

// noGoCmd says no-go and, if asked to, takes the passage out of the target.
type noGoCmd struct {
	order
	Undo bool `help:"${no_go_undo}"`
}

// noGoView is what --json prints.
type noGoView struct {
	*desk.Signature
	Undone *desk.UndoneView `json:"undone,omitempty"`
}

func (x *noGoCmd) Run(ctx context.Context, c *call) error {
	key, err := x.signer(c)
	if err != nil {
		return err
	}
	return c.with(ctx, func(d *desk.Desk) error {
		s, err := d.NoGo(ctx, desk.Order{Migration: x.Migration, Because: x.Because, Key: key})
		if err != nil {
			return err
		}
		c.ui.signature(s)
		v := noGoView{Signature: s}
		if x.Undo {
			// A second act: were it one, a no-go could not be said while nobody may undo.
			if v.Undone, err = c.undo(ctx, d, desk.UndoRequest{Migration: s.Migration, Because: x.Because, Key: key}); err != nil {
				return err
			}
		}
		return c.ui.object(v)
	})
}

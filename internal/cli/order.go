package cli

import (
	"context"

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
		EvenIfLoaded bool `help:"${even_if_loaded}"`
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
	return x.run(ctx, c, func(r *desk.Desk, ctx context.Context, q desk.Order) (*desk.Signature, error) {
		q.EvenIfLoaded = x.EvenIfLoaded
		return r.Erase(ctx, q)
	})
}

type undoCmd struct {
	which
	as
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
		v, err := d.Undo(ctx, desk.UndoRequest{Migration: x.Migration, Key: key, Watch: c.ui.watch(nil), Away: c.ui.away})
		if err != nil {
			return c.ui.leaving(ctx, err, "undo")
		}
		c.ui.tell("taken out: %s rows; the target's sums are those of before", "retiré : %s lignes ; les sommes de la cible sont celles d'avant", count(v.Rows))
		return c.ui.object(v)
	})
}

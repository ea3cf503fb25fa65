package cli

import (
	"context"
	"errors"
	"path/filepath"

	"ecluse/internal/app"
	"ecluse/internal/config"
)

type roomCmd struct {
	Dir string `arg:"" help:"${room_dir}"`
}

// roomView is what --json prints once the room runs.
type roomView struct {
	Dir    string `json:"dir"`
	Device string `json:"device"` // folder of its contexts: ECLUSE_CONFIG
	Line   string `json:"line"`   // for `ecluse context add`
	Server string `json:"server"`
}

// Run starts the three processes of a room and stays until it is ended.
func (x *roomCmd) Run(ctx context.Context, c *call) error {
	r, err := app.Start(ctx, x.Dir, app.StartOptions{Log: c.env.Stderr})
	if err != nil {
		return err
	}
	err = x.stay(ctx, c, r)
	return errors.Join(err, r.Close())
}

// stay lets the room's own device know of it, says how it is reached and waits.
func (x *roomCmd) stay(ctx context.Context, c *call, r *app.Running) error {
	device, err := filepath.Abs(filepath.Join(x.Dir, "device"))
	if err != nil {
		return err
	}
	at := *r.Context()
	err = config.ChangeContexts(device, func(all *config.Contexts) error {
		if old, err := all.Get(at.Name); err == nil {
			if old.Server == at.Server && old.Pin == at.Pin {
				return nil // with whatever people wrote beside it
			}
			at.Key = old.Key
			if err := all.Remove(at.Name); err != nil {
				return err
			}
		}
		return all.Add(at)
	})
	if err != nil {
		return err
	}
	c.ui.tell("Server and both gates run, each a process of its own, until Ctrl-C. Whoever works with them, in another terminal:",
		"Le serveur et les deux programmes tournent, chacun dans son processus, jusqu'à Ctrl-C. Qui travaille avec eux, dans un autre terminal :")
	c.ui.text("    export ECLUSE_CONFIG=" + device + "\n")
	c.ui.tell("or, on a device that knows other laboratories too:", "ou, sur un poste qui connaît aussi d'autres laboratoires :")
	c.ui.text("    ecluse context add room '" + at.Line() + "'\n")
	c.ui.objectLine(roomView{Dir: x.Dir, Device: device, Line: at.Line(), Server: at.Server})
	if err := r.Wait(ctx); ctx.Err() == nil {
		return err
	}
	return nil
}

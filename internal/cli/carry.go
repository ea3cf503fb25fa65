package cli

import (
	"context"
	"fmt"
	"strings"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/exchange"
)

// carryCmd is what is carried by hand between a lock and a gate without a line.
type carryCmd struct {
	Out carryOutCmd `cmd:"" help:"${carry_out}"`
	In  carryInCmd  `cmd:"" help:"${carry_in}"`
}

type carried struct {
	Folder string `arg:"" placeholder:"DIR" help:"${carry_folder}"`
	as
}

func (x carried) open(c *call) (*app.Carry, error) {
	d, err := c.device()
	if err != nil {
		return nil, err
	}
	key, err := x.signer(c)
	return &app.Carry{Device: d, Key: key, Folder: x.Folder}, err
}

type carryOutCmd struct {
	carried
	Gate ecluse.Fingerprint `help:"${carry_gate}" placeholder:"SHA256:…"`
}

func (x *carryOutCmd) Run(ctx context.Context, c *call) error {
	b, err := x.open(c)
	if err != nil {
		return err
	}
	v, err := b.Out(ctx, x.Gate)
	if err != nil {
		return err
	}
	if len(v.Work) == 0 {
		c.ui.tell("Dispatch %d: nothing is asked of the gate now.", "Envoi %d : rien n'est demandé au programme pour l'instant.", v.Number)
	} else {
		c.ui.tell("Dispatch %d: %s. Carry %s to the gate; there: ecluse gate carry GATE-DIR %[3]s",
			"Envoi %d : %s. Portez %s au programme ; là-bas : ecluse gate carry DOSSIER-DU-PROGRAMME %[3]s", v.Number, verbs(v.Work), x.Folder)
	}
	return c.ui.object(v)
}

func verbs(all []exchange.Verb) string {
	names := make([]string, len(all))
	for i, v := range all {
		names[i] = string(v)
	}
	return strings.Join(names, ", ")
}

type carryInCmd struct{ carried }

func (x *carryInCmd) Run(ctx context.Context, c *call) error {
	b, err := x.open(c)
	if err != nil {
		return err
	}
	v, err := b.In(ctx, c.ui.taken)
	c.ui.clear()
	if err != nil {
		return err
	}
	if v.Paper {
		c.ui.tell("What a gate says of itself came in: ecluse gates confirm", "Ce qu'un programme dit de lui-même est arrivé : ecluse gates confirm")
	}
	if v.Number > 0 {
		c.ui.tell("All that gate %s answered to dispatch %d came in (%d items); the folder is cleared of it.",
			"Tout ce que le programme %s a répondu à l'envoi %d est arrivé (%d éléments) ; le dossier en est vidé.", v.Gate, v.Number, v.Items)
	}
	return c.ui.object(v)
}

// taken shows how far a return was taken in, where a line can be rewritten.
func (u *ui) taken(t exchange.Taken) {
	if u.live {
		u.show(fmt.Sprintf("%s %s %d/%d", u.say("carried in", "pris"), bar(int64(t.Done), int64(t.Of), 24), t.Done, t.Of), false)
	}
}

type gateCarryCmd struct {
	inGate
	Folder string `arg:"" placeholder:"DIR" help:"${carry_folder}"`
	Lost   bool   `help:"${gate_lost}"`
}

func (x *gateCarryCmd) Run(ctx context.Context, c *call) error {
	d := &doings{ui: c.ui, watch: map[string]func(exchange.Progress){}}
	o := app.CarriedOptions{Folder: x.Folder, Lost: x.Lost}
	if !c.ui.json { // which is one object
		o.Tell = d.tell
	}
	v, err := app.RunCarried(ctx, x.Dir, o)
	if err != nil {
		return err
	}
	c.ui.clear()
	c.ui.tell("Dispatch %d is answered (%d items). Carry %s back; there: ecluse carry in %[3]s", "L'envoi %d a sa réponse (%d éléments). Rapportez %s ; là-bas : ecluse carry in %[3]s", v.Number, v.Items, x.Folder)
	return c.ui.object(v)
}

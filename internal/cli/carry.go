package cli

import (
	"context"
	"errors"
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
	return c.ui.carriedIn(v)
}

// carriedIn says what became of all that a gate answered, and fails if something of it was
// refused or could not be handed in.
func (u *ui) carriedIn(v *exchange.CarriedIn) error {
	for _, x := range v.Failed {
		u.tell("%s %s stays in the folder, it could not be handed in: %v", "%s %s reste dans le dossier, il n'a pas pu être remis : %v", u.paint(red, "!"), x.Folder, u.message(x.Why.Err()))
		u.next(x.Why)
	}
	if v.Number > 0 {
		u.carriedItems(v)
	}
	if err := u.object(v); err != nil {
		return err
	}
	if len(v.Refused) > 0 {
		return exit(ecluse.Refused.ExitCode())
	}
	if len(v.Failed) > 0 {
		return exit(v.Failed[0].Why.Kind.ExitCode())
	}
	return nil
}

// next says what to do about a problem.
func (u *ui) next(p *exchange.Problem) {
	var e *ecluse.Error
	if errors.As(p.Err(), &e) && e.Next != "" {
		u.tell("    %s", "    %s", u.sentence(e.Next))
	}
}

func (u *ui) carriedItems(v *exchange.CarriedIn) {
	for _, x := range v.Refused {
		u.tell("%s refused: item %d (%s) %s: %v", "%s refusé : élément %d (%s) %s : %v", u.paint(red, "!"), x.Item+1, x.Kind, x.Migration, u.message(x.Why.Err()))
		u.next(x.Why)
	}
	u.tell("Dispatch %d, answered by gate %s: %d taken in, %d there already, %d refused, %d wait for what was refused.",
		"Envoi %d, réponse du programme %s : %d pris, %d déjà là, %d refusés, %d attendent ce qui a été refusé.", v.Number, v.Gate, v.New, v.Before, len(v.Refused), v.Waiting)
	if v.Late > 0 {
		u.tell("%d came too late: what they answer was withdrawn meanwhile, or ended otherwise. Nothing comes of them; what is still wanted, ask anew: ecluse apply, or ecluse plan.",
			"%d arrivés trop tard : ce à quoi ils répondent a été retiré entre-temps, ou s'est terminé autrement. Il n'en vient rien ; ce qui est encore voulu, redemandez-le : ecluse apply, ou ecluse plan.", v.Late)
	}
	switch {
	case len(v.Refused) == 0:
		u.tell("The folder is cleared of it.", "Le dossier en est vidé.")
	case v.Again:
		u.tell("What was refused stays in the folder. Put right what it says, then `ecluse carry in` again, before the gate is asked for it anew (ecluse carry out); other migrations go on.",
			"Ce qui a été refusé reste dans le dossier. Corrigez ce qui est dit, puis de nouveau `ecluse carry in`, avant que cela soit redemandé au programme (ecluse carry out) ; les autres reprises continuent.")
	default:
		u.tell("What was refused is of a migration that is over: the folder is cleared of it.", "Ce qui a été refusé est d'une reprise terminée : le dossier en est vidé.")
	}
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
	if v.Full {
		c.ui.tell("It holds as much as the server takes at a time. When it came in, carry out anew and come back: the gate goes on where it was.",
			"Elle contient autant que le serveur prend en une fois. Quand elle est arrivée, refaites un envoi et revenez : le programme continue où il en était.")
	}
	return c.ui.object(v)
}

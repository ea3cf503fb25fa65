package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"ecluse"
	"ecluse/internal/config"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
)

// gatesCmd is what people say of gates, on devices of their own.
type gatesCmd struct {
	List    gatesListCmd    `cmd:"" default:"withargs" help:"${gates_list}"`
	Confirm gatesConfirmCmd `cmd:"" help:"${gates_confirm}"`
	Retire  gatesRetireCmd  `cmd:"" help:"${gates_retire}"`
}

type gatesListCmd struct{ as }

func (x *gatesListCmd) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(r *desk.Desk) error {
		all, err := r.Gates(ctx)
		if err != nil {
			return err
		}
		c.ui.gates(all)
		return c.ui.object(map[string]any{"gates": all})
	})
}

// gates shows what the lock says of gates: each is one line, what it said of itself
// another.
func (u *ui) gates(all []exchange.GateView) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, v := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.Place, v.Gate, u.gateStands(v), u.heardOf(v.Seen))
	}
	w.Flush()
	u.text(b.String())
	for _, v := range all {
		if v.System != "" {
			u.tell("  %.15s…  %s, %s", "  %.15s…  %s, %s", v.Gate, v.System, v.StandsAt)
		}
	}
	if len(all) == 0 {
		u.tell("No gate yet: ecluse gate enrol, where each database stands.", "Aucun programme encore : ecluse gate enrol, là où se trouve chaque base.")
	}
}

func (u *ui) gateStands(v exchange.GateView) string {
	switch {
	case v.Confirmed && v.NoLine:
		return u.say("confirmed, no line: ecluse carry", "confirmé, sans ligne : ecluse carry")
	case v.Confirmed:
		return u.say("confirmed", "confirmé")
	case v.Admitted:
		return u.say("admitted at the lock's console", "admis à la console de l'écluse")
	case v.Retired:
		return u.say("retired", "retiré")
	case v.Paper.IsZero():
		return u.say("named by an instruction, never enrolled", "nommé par une instruction, jamais enrôlé")
	}
	return u.say("waits: ecluse gates confirm", "en attente : ecluse gates confirm")
}

func (u *ui) heardOf(seen time.Time) string {
	if seen.IsZero() {
		return u.say("not heard of", "sans nouvelles")
	}
	return u.say("heard of %s", "vu le %s", seen.Local().Format("2006-01-02 15:04:05"))
}

// ofGate names a gate and who speaks of it.
type ofGate struct {
	Gate string `arg:"" optional:"" help:"${gates_gate}" placeholder:"GATE"`
	as
}

// meant hands on the gate meant, and what this device knows by itself: its context's.
func (x ofGate) meant(ctx context.Context, c *call, do func(*desk.Desk, desk.GateRequest) error) error {
	return c.with(ctx, func(r *desk.Desk) error {
		all, err := r.Gates(ctx)
		if err != nil {
			return err
		}
		known, err := c.currentContext()
		if err != nil {
			return err
		}
		q := desk.GateRequest{Roots: rootsOf(known), Lock: known.Lock}
		if q.Key, err = x.signer(c); err != nil {
			return err
		}
		if q.Gate, err = desk.FindGate(all, x.Gate); err != nil {
			return err
		}
		return do(r, q)
	})
}

func rootsOf(x *config.Context) map[ecluse.Side]ecluse.Fingerprint {
	return map[ecluse.Side]ecluse.Fingerprint{ecluse.Controller: x.Roots.Controller, ecluse.Processor: x.Roots.Processor}
}

type gatesConfirmCmd struct {
	ofGate
	Words string `help:"${gates_words}" placeholder:"\"WORD …\""`
}

func (x *gatesConfirmCmd) Run(ctx context.Context, c *call) error {
	return x.meant(ctx, c, func(r *desk.Desk, q desk.GateRequest) error {
		papers, err := r.Enrolled(ctx, q)
		if err != nil {
			return err
		}
		for _, p := range papers {
			if p.Gate.Gate == q.Gate {
				c.ui.gatePaper(p.Gate)
			}
		}
		if x.Words == "" {
			if x.Words, err = c.typed(c.ui.say("the eight words that the gate shows, as its own people read them to you:",
				"les huit mots qu'affiche le programme, tels que ceux qui l'ont devant eux vous les lisent :")); err != nil {
				return err
			}
		}
		v, err := r.ConfirmGate(ctx, q, x.Words)
		if err != nil {
			return err
		}
		c.ui.tell("Confirmed: gate %s may now work for this laboratory.", "Confirmé : le programme %s peut désormais travailler pour ce laboratoire.", q.Gate)
		return c.ui.object(v)
	})
}

// gatePaper shows what a gate says of itself, before it is confirmed.
func (u *ui) gatePaper(g *mandate.Gate) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(label, value string) { fmt.Fprintf(w, "  %s\t%s\n", label, printable(value)) }
	line(u.say("gate", "programme"), string(g.Gate))
	line(u.say("place", "côté"), string(g.Place))
	line(u.say("software", "logiciel"), g.System)
	line(u.say("stands at", "se trouve à"), g.StandsAt)
	line(u.say("machine administered by", "machine administrée par"), g.Machine.String())
	line(u.say("database administered by", "base administrée par"), g.Database.String())
	if g.Line == mandate.NoLine {
		line(u.say("line", "ligne"), u.say("none: what it says is carried by hand", "aucune : ce qu'il dit est porté à la main"))
	}
	line(u.say("made", "fait le"), g.Made.Format(time.RFC3339))
	w.Flush()
	u.text(b.String())
}

// terminal is what somebody can be asked on, if there is one.
func (c *call) terminal() (f *os.File, ok bool) {
	f, ok = c.env.Stdin.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// typed asks on the terminal for a line.
func (c *call) typed(question string) (string, error) {
	f, ok := c.terminal()
	if !ok {
		return "", &ecluse.Error{
			Kind: ecluse.WaitsForSign, What: c.ui.say("compare the gate's words", "comparer les mots du programme"),
			Why: c.ui.say("none are given, and there is no terminal to ask for them", "aucun n'est donné, et il n'y a pas de terminal pour les demander"), Next: "--words \"…\"",
		}
	}
	fmt.Fprintf(c.env.Stderr, "%s\n> ", question)
	line, err := bufio.NewReader(f).ReadString('\n')
	return line, err
}

// agreed asks on the terminal whether to go on. Where there is none nobody can be asked: a
// script was written by somebody who knew what it signs.
func (c *call) agreed(question string) error {
	f, ok := c.terminal()
	if !ok {
		return nil
	}
	fmt.Fprintf(c.env.Stderr, "%s\n> ", question)
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if agrees(line) {
		return nil
	}
	return &ecluse.Error{
		Kind: ecluse.WaitsForSign, What: c.ui.say("sign", "signer"), Why: c.ui.say("it was not confirmed: nothing was signed", "cela n'a pas été confirmé : rien n'a été signé"),
		Next: c.ui.say("run the same command again, and answer yes", "relancez la même commande, et répondez oui"),
	}
}

// agrees tells whether an answer is yes, in either language, in full.
func agrees(answer string) bool {
	return slices.Contains([]string{"yes", "oui"}, strings.ToLower(strings.TrimSpace(answer)))
}

type gatesRetireCmd struct{ ofGate }

func (x *gatesRetireCmd) Run(ctx context.Context, c *call) error {
	return x.meant(ctx, c, func(r *desk.Desk, q desk.GateRequest) error {
		v, err := r.RetireGate(ctx, q)
		if err != nil {
			return err
		}
		c.ui.tell("Retired: the server lets gate %s in to take out what it loaded, to erase and to certify it, and for nothing else.",
			"Retiré : le serveur n'admet plus le programme %s que pour retirer ce qu'il a chargé, effacer et l'attester.", q.Gate)
		return c.ui.object(v)
	})
}

package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"ecluse/internal/exchange"
)

type sessionCmd struct {
	List   sessionListCmd   `cmd:"" help:"${session_list}"`
	Revoke sessionRevokeCmd `cmd:"" help:"${session_revoke}"`
}

type sessionListCmd struct{ as }

func (x *sessionListCmd) Run(ctx context.Context, c *call) error {
	d, err := c.device()
	if err != nil {
		return err
	}
	all, err := d.List(ctx)
	if err != nil {
		return err
	}
	c.ui.sessions(all)
	return c.ui.object(map[string]any{"sessions": append([]exchange.SessionView{}, all...)})
}

// sessions shows who is logged in, one to a line; * marks the one that asks.
func (u *ui) sessions(all []exchange.SessionView) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, s := range all {
		mark := " "
		if s.Mine {
			mark = "*"
		}
		at := func(t time.Time) string { return t.Local().Format("2006-01-02 15:04") }
		fmt.Fprintf(w, "%s %s\t%s\t%s\t%s\t%s\n", mark, s.ID, s.Person, u.side(s.Side),
			u.say("since %s, last used %s, until %s", "depuis le %s, dernier emploi le %s, jusqu'au %s", at(s.Begun), at(s.Seen), at(s.Expires)), printable(s.Agent))
	}
	w.Flush()
	u.text(b.String())
}

type sessionRevokeCmd struct {
	ID string `arg:"" help:"${session_id}"`
	as
}

func (x *sessionRevokeCmd) Run(ctx context.Context, c *call) error {
	d, err := c.device()
	if err != nil {
		return err
	}
	if err := d.End(ctx, x.ID); err != nil {
		return err
	}
	c.ui.tell("Session %s is ended: its token opens nothing any more.", "La session %s est close : son jeton n'ouvre plus rien.", x.ID)
	return c.ui.object(map[string]string{"ended": x.ID})
}

type logoutCmd struct{ as }

func (x *logoutCmd) Run(ctx context.Context, c *call) error {
	d, err := c.device()
	if err != nil {
		return err
	}
	ended, err := d.LogOut(ctx)
	if err != nil {
		return err
	}
	if ended {
		c.ui.tell("Logged out of %s: the token is gone here, and opens nothing there.", "Déconnecté de %s : le jeton n'est plus ici, et n'ouvre plus rien là-bas.", d.Context.Name)
	} else {
		c.ui.tell("This key was not logged in to %s.", "Cette clé n'était pas connectée à %s.", d.Context.Name)
	}
	return c.ui.object(map[string]bool{"ended": ended})
}

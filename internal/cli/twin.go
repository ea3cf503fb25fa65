package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"ecluse"
	"ecluse/internal/desk"
)

type rehearseCmd struct {
	which
	Twin bool `required:"" help:"${rehearse_twin}"`
	as
}

// Run takes invented rows through the mapping. It is a flag, so that nobody rehearses
// with people's data without having said so: those go by plan and approval.
func (x *rehearseCmd) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(d *desk.Desk) error {
		v, err := d.Twin(ctx, x.Migration)
		if err != nil {
			return err
		}
		c.ui.twin(v)
		if err := c.ui.object(v); err != nil {
			return err
		}
		if !v.Passed {
			return exit(1)
		}
		return nil
	})
}

// twin shows what became of invented rows.
func (u *ui) twin(v *desk.TwinView) {
	var b strings.Builder
	fmt.Fprintln(&b, u.say("rows invented from the schema alone, none of anybody:", "lignes inventées d'après la seule structure, d'aucune personne :"))
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, d := range v.Datasets {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", d.Dataset, u.say("%s rows", "%s lignes", count(d.Rows)),
			u.say("%s mapped", "%s transcodées", count(d.Mapped)), u.say("%s put aside", "%s mises de côté", count(d.Aside)))
	}
	w.Flush()
	if len(v.Rejected) > 0 {
		fmt.Fprintln(&b, u.say("by reason:", "par motif :"))
		for _, g := range v.Rejected {
			fmt.Fprintf(w, "  %s\t%s\t%s\n", g.Dataset, count(g.Count), printable(g.By))
		}
		w.Flush()
	}
	for _, d := range unmapped(v) {
		fmt.Fprintln(&b, u.paint(yellow, u.say("! no invented row of %s came through: what the mapping does with one that does is not shown", "! aucune ligne inventée de %s n'est passée : ce que la table en ferait n'est pas montré", d)))
	}
	if v.Passed {
		fmt.Fprintln(&b, u.paint(green, u.say("= the mapping came to its end", "= la table de transcodage est allée à son terme")))
	} else {
		fmt.Fprintln(&b, u.paint(red, u.say("≠ the mapping stopped: %s", "≠ la table de transcodage s'est arrêtée : %s", printable(u.sentence(v.Why)))))
	}
	u.text(b.String())
}

// unmapped are the datasets of which nothing came through.
func unmapped(v *desk.TwinView) []ecluse.DatasetID {
	var all []ecluse.DatasetID
	for _, d := range v.Datasets {
		if d.Mapped == 0 {
			all = append(all, d.Dataset)
		}
	}
	return all
}

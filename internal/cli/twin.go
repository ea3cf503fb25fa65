package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

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
	fmt.Fprintln(&b, u.say("rows invented from the source's structure, with words of the mapping and of its tables of codes; none of the source:",
		"lignes inventées d'après la structure de la source, avec des mots de la table de transcodage et de ses tables de codes ; aucune de la source :"))
	if len(v.LookedUp) > 0 {
		fmt.Fprintln(&b, u.say("read of the target, for the codes that the mapping looks up there: %s", "lu dans la cible, pour les codes que la table de transcodage y cherche : %s", strings.Join(v.LookedUp, ", ")))
	}
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
	if v.Passed {
		fmt.Fprintln(&b, u.paint(green, u.say("= the mapping passed", "= la table de transcodage a passé l'épreuve")))
	} else {
		fmt.Fprintln(&b, u.paint(red, u.say("≠ the mapping did not pass: %s", "≠ la table de transcodage n'a pas passé l'épreuve : %s", printable(u.sentence(v.Why)))))
	}
	u.text(b.String())
}

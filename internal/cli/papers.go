package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
)

type initCmd struct {
	Dir        string             `arg:"" help:"${init_dir}"`
	Controller ecluse.Fingerprint `required:"" placeholder:"SHA256:…" help:"${root_controller}"`
	Processor  ecluse.Fingerprint `required:"" placeholder:"SHA256:…" help:"${root_processor}"`
}

func (x *initCmd) Run(ctx context.Context, c *call) error {
	made, err := app.Init(ctx, x.Dir, map[ecluse.Side]ecluse.Fingerprint{ecluse.Controller: x.Controller, ecluse.Processor: x.Processor})
	if err != nil {
		return err
	}
	c.ui.tell("Three folders in %s, which share no file:", "Trois dossiers dans %s, qui ne partagent aucun fichier :", x.Dir)
	c.ui.tell("  lock/    papers, journal, sealed chunks", "  lock/    documents, journal, paquets scellés")
	c.ui.tell("  source/  source gate %s", "  source/  programme côté ancien logiciel %s", made.SourceGate)
	c.ui.tell("  target/  target gate %s", "  target/  programme côté nouveau logiciel %s", made.TargetGate)
	c.ui.tell("Lock and gates stand on one machine, so both halves of the key do too: the evidence will say so.",
		"Dépôt et programmes sont sur une seule machine, donc les deux moitiés de la clé aussi : le dossier de preuve le dira.")
	c.ui.tell("Next: write the databases' settings in source/gate.yaml and target/gate.yaml.",
		"Ensuite : décrire les bases dans source/gate.yaml et target/gate.yaml.")
	return c.ui.object(made)
}

type keyCmd struct {
	New keyNewCmd `cmd:"" help:"${key_new}"`
}

type keyNewCmd struct {
	File       string `arg:"" help:"${key_file}"`
	Comment    string `help:"${key_comment}"`
	Passphrase bool   `help:"${key_passphrase}"`
}

func (x *keyNewCmd) Run(ctx context.Context, c *call) error {
	var pass []byte
	if x.Passphrase {
		var err error
		if pass, err = c.passphrase(x.File); err != nil {
			return err
		}
		defer clear(pass)
	}
	comment := x.Comment
	if comment == "" {
		comment = filepath.Base(x.File)
	}
	print, err := desk.NewKey(x.File, comment, pass)
	if err != nil {
		return err
	}
	c.ui.tell("%s", "%s", print)
	return c.ui.object(map[string]any{"file": x.File, "fingerprint": print})
}

type rosterCmd struct {
	Add rosterAddCmd `cmd:"" help:"${roster_add}"`
}

type rosterAddCmd struct {
	File string `arg:"" help:"${roster_file}"`
	as
}

func (x *rosterAddCmd) Run(ctx context.Context, c *call) error {
	text, err := readFile(x.File)
	if err != nil {
		return err
	}
	root, err := desk.Signer(x.As, c.passphrase) // never the key that the context names: that is a person's
	if err != nil {
		return err
	}
	return c.with(ctx, func(d *desk.Desk) error {
		v, err := d.AddRoster(ctx, x.File, text, root)
		if err != nil {
			return err
		}
		c.ui.tell("Roster %d of the %s: %d people, until %s.", "Liste nº %d (%s) : %d personnes, jusqu'au %s.",
			v.Number, c.ui.side(v.Side), v.People, v.Expires.Format("2006-01-02"))
		return c.ui.object(v)
	})
}

type contractCmd struct {
	Check contractCheckCmd `cmd:"" help:"${contract_check}"`
}

type contractCheckCmd struct {
	File string `arg:"" help:"${contract_file}"`
}

func (x *contractCheckCmd) Run(ctx context.Context, c *call) error {
	text, err := readFile(x.File)
	if err != nil {
		return err
	}
	v, err := desk.CheckContract(x.File, text)
	if err != nil {
		return err
	}
	c.ui.tell("%s: every mention of GDPR art. 28(3) is there. %s", "%s : toutes les mentions de l'art. 28(3) du RGPD y sont. %s", v.ID, v.Digest)
	return c.ui.object(v)
}

type inspectCmd struct {
	Place string `arg:"" enum:"source,target" help:"${inspect_place}"`
	as
}

func (x *inspectCmd) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(d *desk.Desk) error {
		v, err := d.Inspect(ctx, exchange.Place(x.Place))
		if err != nil {
			return err
		}
		var b strings.Builder
		for _, t := range v.Catalogue.Tables {
			rows := c.ui.say("rows not estimated", "lignes non estimées")
			if n, ok := v.Estimates[t.Name]; ok {
				rows = c.ui.say("about %s rows", "environ %s lignes", count(n))
			}
			fmt.Fprintf(&b, "%s  (%s, %s)\n", c.ui.paint(bold, t.Name.String()), c.ui.tableWord(t.Kind), rows)
			w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
			for _, col := range t.Columns {
				key := ""
				for i, k := range t.PrimaryKey {
					if k == col.Name {
						key = c.ui.say("key %d", "clé %d", i+1)
					}
				}
				fmt.Fprintf(w, "  %s\t%s\t%s\n", col.Name, col.Declared, key)
			}
			w.Flush()
		}
		c.ui.text(b.String())
		return c.ui.object(v)
	})
}

type instructionCmd struct {
	New   instructionNewCmd   `cmd:"" help:"${instruction_new}"`
	Check instructionCheckCmd `cmd:"" help:"${instruction_check}"`
}

type instructionNewCmd struct {
	ID string `arg:"" help:"${instruction_id}"`
	as
}

func (x *instructionNewCmd) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(d *desk.Desk) error {
		text, err := d.NewInstruction(ctx, ecluse.MigrationID(x.ID))
		if err != nil {
			return err
		}
		c.ui.text(text)
		return c.ui.object(map[string]string{"instruction": text})
	})
}

type instructionCheckCmd struct {
	File string `arg:"" help:"${instruction_file}"`
	as
}

func (x *instructionCheckCmd) Run(ctx context.Context, c *call) error {
	text, err := readFile(x.File)
	if err != nil {
		return err
	}
	return c.with(ctx, func(d *desk.Desk) error {
		v, err := d.CheckInstruction(ctx, x.File, text)
		if err != nil {
			return err
		}
		c.ui.verdicts(v)
		return c.ui.object(v)
	})
}

type mappingCmd struct {
	Check mappingCheckCmd `cmd:"" help:"${mapping_check}"`
}

type mappingCheckCmd struct {
	File string `arg:"" help:"${mapping_file}"`
	as
}

func (x *mappingCheckCmd) Run(ctx context.Context, c *call) error {
	text, err := readFile(x.File)
	if err != nil {
		return err
	}
	return c.with(ctx, func(d *desk.Desk) error {
		v, err := d.CheckMapping(ctx, x.File, text)
		if err != nil {
			return err
		}
		c.ui.shape(&v.Shape)
		c.ui.unused(v.Unused)
		return c.ui.object(v)
	})
}

type signCmd struct {
	File     string `arg:"" help:"${sign_file}"`
	WithPlan bool   `help:"${sign_with_plan}"`
	as
}

func (x *signCmd) Run(ctx context.Context, c *call) error {
	text, err := readFile(x.File)
	if err != nil {
		return err
	}
	key, err := x.signer(c)
	if err != nil {
		return err
	}
	return c.with(ctx, func(d *desk.Desk) error {
		v, err := d.Sign(ctx, desk.SignRequest{File: x.File, Text: text, WithPlan: x.WithPlan, Key: key})
		if err != nil {
			return err
		}
		c.ui.signature(v)
		return c.ui.object(v)
	})
}

type approveCmd struct {
	File string `arg:"" help:"${approve_file}"`
	Yes  bool   `help:"${approve_yes}"`
	as
}

func (x *approveCmd) Run(ctx context.Context, c *call) error {
	text, err := readFile(x.File)
	if err != nil {
		return err
	}
	key, err := x.signer(c)
	if err != nil {
		return err
	}
	return c.with(ctx, func(d *desk.Desk) error {
		v, err := d.ApproveShown(ctx, text, key, func(v desk.Difference) error {
			c.ui.since(v.Since)
			c.ui.readSince(v.ReadSince)
			if v.Load && v.Since == nil {
				c.ui.tell("no trial is shown, dry or in rehearsal: there is nothing to hold this plan against, so read all of it",
					"aucun essai n'est montré, ni à vide ni à blanc : il n'y a rien à quoi comparer ce plan, lisez-le en entier")
			}
			if x.Yes {
				return nil
			}
			return c.agreed(c.ui.say("approve this plan, %s? yes or no", "approuver ce plan, %s ? oui ou non", x.File))
		})
		if err != nil {
			return err
		}
		c.ui.signature(v)
		return c.ui.object(v)
	})
}

// signature tells what was signed, clause by clause.
func (u *ui) signature(v *desk.Signature) {
	u.tell("%s (%s, %s) signed:", "%s (%s, %s) a signé :", v.Person, u.side(v.Side), u.roleWord(v.Role))
	for _, clause := range v.Clauses {
		u.text("  " + clause + "\n")
	}
	if v.InUse {
		u.tell("  the laboratory works in the load since the go: it stays in the target, and the certificate says «in use, not accepted»",
			"  le laboratoire travaille dans le chargement depuis le feu vert : il reste dans la cible, et l'attestation dit « en service, sans recette »")
	}
	if k := v.Kept; k != nil && k.Erased.IsZero() {
		u.tell("  the laboratory's gate has not said yet that the rows are gone: it erases them when it hears of the order; ecluse status tells",
			"  le programme du laboratoire n'a pas encore dit que les lignes ont disparu : il les efface dès qu'il apprend l'ordre ; ecluse status le dira")
	} else {
		u.kept(k)
	}
	if v.Waits != "" {
		u.tell("  next: %s", "  ensuite : %s", v.Waits)
	}
}

func (u *ui) side(s ecluse.Side) string {
	if s == ecluse.Controller {
		return u.say("controller", "responsable de traitement")
	}
	return u.say("processor", "sous-traitant")
}

func readFile(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "read file", Where: name, Err: err}
	}
	return text, nil
}

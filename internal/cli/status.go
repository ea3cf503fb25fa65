package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"ecluse/internal/desk"
	"ecluse/internal/due"
	"ecluse/internal/exchange"
	"ecluse/internal/procedure"
)

type statusCmd struct {
	which
	as
}

func (u *ui) status(s exchange.Status) {
	u.text(u.lock(s.Place))
	u.tell("%s: %s", "%s : %s", u.paint(bold, string(s.Migration)), u.state(s.Place))
	u.tell("  sealed: %d chunks, %s", "  scellé : %d paquets, %s", s.Chunks, size(s.Bytes))
	if r := s.Readings; r != nil {
		u.tell("  source read %d times; it may be read again for what changes: %d times", "  source lue %d fois ; elle peut être relue pour ce qui change : %d fois", r.Closed, r.Left)
	}
	switch s.Place.Migration {
	case procedure.Erased, procedure.Closed:
		u.tell("  erased: keys destroyed, nothing left here that opens a chunk", "  effacé : clés détruites, plus rien ici qui ouvre un paquet")
		if s.Place.Passage == procedure.Left {
			u.tell("  %s the last passage was not taken out of the target: the certificate names it", "  %s le dernier passage n'a pas été retiré de la cible : l'attestation le nomme", u.paint(red, "!"))
		}
		u.kept(s.Kept)
	default:
		u.tell("  erased at the latest %s (in %s)", "  effacé au plus tard le %s (dans %s)", s.EraseBy.Local().Format("2006-01-02 15:04 MST"), u.days(time.Until(s.EraseBy)))
	}
	if s.Place.Passage == procedure.InUse {
		u.tell("  %s the laboratory works in the last passage, and nobody accepted it: it stayed in the target, and the certificate says so",
			"  %s le laboratoire travaille dans le dernier passage, resté sans recette : il est demeuré dans la cible, et l'attestation le dit", u.paint(red, "!"))
	}
	if !s.AcceptBy.IsZero() {
		u.acceptBy("  ", s.AcceptBy)
	}
	for _, d := range s.Near {
		u.near("  ", d)
	}
	if c := s.Changed; c != nil {
		u.tell("  %s the source changed since its plan was approved: columns that came %d, that went %d; nobody instructed them, and the plan stands",
			"  %s la source a changé depuis l'approbation de son plan : colonnes apparues %d, disparues %d ; personne ne les a instruites, et le plan tient", u.paint(yellow, "!"), c.Added, c.Gone)
	}
	if s.Damaged != nil {
		u.tell("  %[1]s papers of this migration are damaged: %[2]s\n    the others go on; bring what is missing in the lock's folder back from a copy",
			"  %[1]s des documents de cette reprise sont endommagés : %[2]s\n    les autres continuent ; remettez d'après une copie ce qui manque dans le dossier de l'écluse", u.paint(red, "!"), s.Damaged.Err())
	}
	for _, h := range s.Held {
		u.tell("  %s by %s (%s, %s) since %s: %s", "  %s par %s (%s, %s) depuis le %s : %s",
			u.holdWord(h.Verb), h.Person, u.side(h.Side), u.roleWord(h.Role), h.Since.Local().Format("2006-01-02 15:04 MST"), h.Because)
	}
	for _, w := range s.Carry {
		u.tell("  to be carried to the source gate since %s: %s", "  à porter au programme source depuis le %s : %s", w.Since.Local().Format("2006-01-02 15:04 MST"), w.Verb)
	}
	for _, n := range s.Next {
		by := make([]string, len(n.By))
		for i, a := range n.By {
			by[i] = u.actorWord(a)
		}
		t := n.Verb.Text()
		u.tell("  next: %s, by %s\n        %s", "  ensuite : %s, par %s\n        %s", u.say(t.EN, t.FR), strings.Join(by, u.say(" or ", " ou ")), n.Command)
	}
}

// kept tells of rows put aside that outlive the migration.
func (u *ui) kept(k *exchange.Kept) {
	switch {
	case k == nil:
	case !k.Erased.IsZero():
		u.tell("  rows put aside, kept until %s: erased by the laboratory's gate on %s", "  lignes mises de côté, conservées jusqu'au %s : effacées par le programme du laboratoire le %s",
			k.Until, k.Erased.Local().Format("2006-01-02 15:04 MST"))
	default:
		u.tell("  rows put aside are kept until %s at the laboratory's gate, which alone can open them: ecluse gate rejects",
			"  les lignes mises de côté sont conservées jusqu'au %s par le programme du laboratoire, seul à pouvoir les ouvrir : ecluse gate rejects", k.Until)
	}
}

// near warns of an end that comes near, in words: a colour alone says nothing on paper.
func (u *ui) near(indent string, d exchange.Deadline) {
	u.tell("%s%s %s", "%s%s %s", indent, u.paint(yellow, "!"), u.nearWord(d))
}

// acceptBy warns of what comes of a go that no acceptance follows.
func (u *ui) acceptBy(indent string, at time.Time) {
	u.tell("%[1]s%[2]s accept it, or have it undone, by %[3]s (in %[4]s)\n%[1]s  after that nobody can: keys and ciphertext are destroyed, the load stays, and the certificate says «in use, not accepted»",
		"%[1]s%[2]s à recetter, ou à faire annuler, avant le %[3]s (dans %[4]s)\n%[1]s  ensuite plus personne ne le peut : clés et chiffré sont détruits, le chargement reste, et l'attestation dit « en service, sans recette »",
		indent, u.paint(yellow, "!"), at.Local().Format("2006-01-02 15:04 MST"), u.days(time.Until(at)))
}

func (u *ui) nearWord(d exchange.Deadline) string {
	left := time.Until(d.At)
	what := u.dueWord(due.Kind(d.Of))
	if d.Of == string(due.RosterAge) {
		what = u.say("the %s's roster ends, and gates refuse it then", "la liste des personnes habilitées du %s expire, et les programmes la refusent alors", u.side(d.Side))
	}
	if left <= 0 {
		return u.say("%s: since %s", "%s : depuis le %s", what, d.At.Local().Format("2006-01-02 15:04 MST"))
	}
	return u.say("%s: in %s, on %s", "%s : dans %s, le %s", what, u.days(left), d.At.Local().Format("2006-01-02 15:04 MST"))
}

// strays warns of files that belong to no live migration.
func (u *ui) strays(s *exchange.Strays) {
	for _, f := range s.Chamber {
		u.tell("%s lock/chamber/%s: %s", "%s lock/chamber/%s : %s", u.paint(red, "!"), f.Path, u.sentence(f.Why))
	}
	for _, name := range s.Documents {
		u.tell("%s lock/documents/%s: no document is called so", "%s lock/documents/%s : aucun document ne s'appelle ainsi", u.paint(red, "!"), name)
	}
	if s.Quarantined > 0 {
		u.tell("%s %d files are in lock/chamber/quarantine: find out where they came from, then delete them",
			"%s %d fichiers sont dans lock/chamber/quarantine : trouvez d'où ils viennent, puis supprimez-les", u.paint(red, "!"), s.Quarantined)
	}
}

func (u *ui) days(d time.Duration) string {
	if d < 48*time.Hour {
		return d.Round(time.Minute).String()
	}
	return u.say("%d days", "%d jours", int(d.Hours()/24))
}

func (u *ui) state(p procedure.Place) string {
	s := u.stateWord(p.Migration)
	if p.Passage != procedure.None {
		s += fmt.Sprintf(", %s %s", u.kindWord(p.Kind), u.stateWord(p.Passage))
	}
	if p.Held() {
		s += u.say(" (held)", " (suspendue)")
	}
	return s
}

func (x *statusCmd) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(d *desk.Desk) error {
		all, err := d.Status(ctx, x.Migration)
		if err != nil {
			return err
		}
		for _, s := range all {
			c.ui.status(s)
		}
		if len(all) == 0 {
			c.ui.tell("No migration yet. Next: ecluse sign contract.yaml --as KEY, by both parties.",
				"Aucune reprise. Ensuite : ecluse sign contract.yaml --as CLÉ, par les deux parties.")
		}
		strays, err := d.Strays(ctx)
		if err != nil {
			return err
		}
		c.ui.strays(strays)
		return c.ui.object(map[string]any{"migrations": all, "strays": strays})
	})
}

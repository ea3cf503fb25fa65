package cli

import (
	"bytes"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"ecluse"
	"ecluse/internal/due"
	"ecluse/internal/procedure"
)

// Words of other packages in the language of the screen. What is signed stays in the
// language of the documents; what errors say is in package french.

func (u *ui) stateWord(s procedure.State) string {
	if !u.french {
		return string(s)
	}
	return or(map[procedure.State]string{
		procedure.None: "aucune", procedure.Born: "ouverte", procedure.Instructed: "instruite", procedure.ReadPlanned: "plan de lecture compilé",
		procedure.ByController: "plan de lecture approuvé par le responsable seul", procedure.ByProcessor: "plan de lecture approuvé par le sous-traitant seul",
		procedure.Approved: "plan de lecture approuvé", procedure.Reading: "lecture en cours", procedure.Sealed: "dépôt clos",
		procedure.Accepted: "recette prononcée", procedure.Erasing: "effacement en cours", procedure.Erased: "effacée", procedure.Closed: "close",
		procedure.LoadPlanned: "plan de chargement compilé", procedure.LoadApproved: "plan de chargement approuvé", procedure.Loading: "chargement en cours",
		procedure.Loaded: "chargé", procedure.Compared: "comparé", procedure.Live: "en service", procedure.Declined: "feu vert refusé", procedure.Undoing: "annulation en cours", procedure.Undone: "annulé",
		procedure.Left: "laissé dans la cible", procedure.InUse: "en service, sans recette",
	}[s], string(s))
}

func (u *ui) kindWord(k ecluse.PassageKind) string {
	if !u.french {
		return string(k)
	}
	return or(map[ecluse.PassageKind]string{ecluse.Dry: "essai à vide", ecluse.Rehearsal: "migration à blanc", ecluse.Final: "bascule"}[k], string(k))
}

func (u *ui) holdWord(v procedure.Verb) string {
	if v == procedure.Object {
		return u.say("objected to", "opposition formée")
	}
	return u.say("suspended", "suspendue")
}

func (u *ui) roleWord(r ecluse.Role) string {
	if !u.french {
		return string(r)
	}
	return or(map[ecluse.Role]string{
		ecluse.Signatory: "signataire", ecluse.Operator: "opérateur", ecluse.DPO: "délégué à la protection des données", ecluse.Security: "responsable de la sécurité",
	}[r], string(r))
}

func (u *ui) actorWord(a procedure.Actor) string {
	if side := a.Side(); side != "" {
		role := ecluse.Role(strings.TrimPrefix(string(a), string(side)+" "))
		return u.say("%[1]s %[2]s", "%[2]s (%[1]s)", u.side(side), u.roleWord(role))
	}
	switch a {
	case procedure.SourceGate:
		return u.say("source gate", "programme côté ancien logiciel")
	case procedure.TargetGate:
		return u.say("target gate", "programme côté nouveau logiciel")
	}
	return u.say("the lock", "l'écluse")
}

func (u *ui) dueWord(k due.Kind) string {
	switch k {
	case due.Erase:
		return u.say("erasure", "effacement")
	case due.WarnErase:
		return u.say("warning before erasure", "avertissement avant effacement")
	case due.ContractEnd:
		return u.say("end of the contract", "fin du contrat")
	case due.WarnContract:
		return u.say("warning before the contract's end", "avertissement avant la fin du contrat")
	case due.WarnRoster:
		return u.say("warning before a roster's end", "avertissement avant la fin d'une liste de personnes")
	case due.RosterAge:
		return u.say("a roster is too old", "une liste de personnes est trop ancienne")
	case due.ApprovalLapse:
		return u.say("lapse of an approval", "péremption d'une approbation")
	case due.RehearsalEnd:
		return u.say("undoing of the rehearsal", "annulation de la migration à blanc")
	case due.LeaseEnd:
		return u.say("end of a loan of the release secret", "fin d'un prêt du secret de libération")
	case due.Hunt:
		return u.say("search for files of no live migration", "recherche de fichiers sans reprise en cours")
	case due.Forget:
		return u.say("retention of the journal's bodies", "fin de conservation des corps du journal")
	}
	return string(k)
}

func (u *ui) tableWord(k ecluse.TableKind) string {
	if !u.french {
		return string(k)
	}
	return or(map[ecluse.TableKind]string{
		ecluse.View: "vue", ecluse.MaterializedView: "vue matérialisée", ecluse.Partitioned: "table partitionnée", ecluse.ForeignTable: "table étrangère",
	}[k], string(k))
}

func or(word, otherwise string) string {
	if word == "" {
		return otherwise
	}
	return word
}

// frame is what kong itself writes around help texts and says of a wrong command
// line, English then French. Longer texts stand before those they contain.
var frame = []string{
	`Run "ecluse --help" for more information.`, `« ecluse --help » en dit plus.`,
	`Run "ecluse <command> --help" for more information on a command.`, `« ecluse <commande> --help » en dit plus sur une commande.`,
	"Show context-sensitive help.", "Montrer l'aide.",
	"Usage: ", "Usage : ",
	"Arguments:", "Arguments :",
	"Commands:", "Commandes :",
	"Flags:", "Options :",
	"[flags]", "[options]",
	"<command>", "<commande>",
}

var complaints = []string{
	"missing flags: ", "il manque : ",
	"unknown flag ", "option inconnue : ",
	"unexpected argument ", "argument inattendu : ",
	"expected one of ", "attendu, l'une des commandes : ",
	" must be one of ", " doit être parmi ",
	" but got ", ", et non ",
	", did you mean one of ", " ; vouliez-vous dire ",
	", did you mean ", " ; vouliez-vous dire ",
	"expected ", "attendu : ",
}

// helpPrinter prints kong's help in the language of the screen.
func (u *ui) helpPrinter(o kong.HelpOptions, ctx *kong.Context) error {
	if !u.french {
		return kong.DefaultHelpPrinter(o, ctx)
	}
	var b bytes.Buffer
	out := ctx.Stdout
	ctx.Stdout = &b
	err := kong.DefaultHelpPrinter(o, ctx)
	ctx.Stdout = out
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, u.framed(b.String()))
	return err
}

// framed puts kong's own words into the language of the screen.
func (u *ui) framed(s string) string {
	if !u.french {
		return s
	}
	return strings.NewReplacer(frame...).Replace(s)
}

// complaint is what kong says of a wrong command line.
func (u *ui) complaint(err error) error {
	if !u.french {
		return err
	}
	return foreign(strings.NewReplacer(complaints...).Replace(err.Error()))
}

// foreign is an error's text in another language.
type foreign string

func (f foreign) Error() string { return string(f) }

package procedure

import (
	"fmt"
	"slices"
	"strings"

	"ecluse"
)

// Digest is the SHA-256 of Document: the version of the procedure that a plan
// names.
func Digest() ecluse.Digest { return ecluse.DigestOf(Document()) }

// Document prints the procedure, in English and in French. It is
// docs/reference/procedure.md, byte for byte.
func Document() []byte {
	var b strings.Builder
	b.WriteString("<!-- Generated from internal/procedure: make docs. Its SHA-256 is in every plan. -->\n\n")
	printIn(&b, english())
	b.WriteString("\n")
	printIn(&b, french())
	return []byte(b.String())
}

// language is what the page says beside the table's own words.
type language struct {
	pick                     func(Text) string
	title, intro, law, kept  string
	head                     [5]string // of a table of moves
	held                     string    // the note at the foot
	migration, passage, same string
	colon, unborn, span      string
	stateNames               map[State]string // nil: the program's own words
	actorNames               map[Actor]string
	kindNames                map[ecluse.PassageKind]string
}

func english() language {
	return language{
		pick:  func(t Text) string { return t.EN },
		title: "The procedure",
		intro: "Every migration follows these thirteen steps. The program obeys this table and no other: what it does not list is refused.",
		law:   "Law", kept: "Kept",
		head:      [5]string{"who", "does what", "when the migration is", "and its passage", "then"},
		held:      "\\* also while the migration is held.",
		migration: "migration", passage: "passage", same: "unchanged",
		colon: ": ", unborn: "not yet born", span: "from %s to %s",
	}
}

func french() language {
	return language{
		pick:  func(t Text) string { return t.FR },
		title: "La procédure",
		intro: "Toute reprise de données suit ces treize étapes. Le programme obéit à cette table et à aucune autre : ce qu'elle ne prévoit pas est refusé.",
		law:   "Droit", kept: "Conservé",
		head:      [5]string{"qui", "fait quoi", "quand la reprise est", "et son passage", "ensuite"},
		held:      "\\* également pendant une suspension.",
		migration: "reprise", passage: "passage", same: "inchangé",
		colon: " : ", unborn: "pas encore née", span: "de « %s » à « %s »",
		stateNames: map[State]string{
			None: "aucun", Born: "née", Instructed: "instruite", ReadPlanned: "lecture planifiée",
			ByController: "lecture approuvée par le responsable", ByProcessor: "lecture approuvée par le sous-traitant",
			Approved: "lecture approuvée", Reading: "en lecture", Sealed: "scellée", Accepted: "recette prononcée",
			Erasing: "en effacement", Erased: "effacée", Closed: "close", LoadPlanned: "chargement planifié",
			LoadApproved: "chargement approuvé", Loading: "en chargement", Loaded: "chargé", Compared: "comparé", Live: "en service", Declined: "feu vert refusé",
			Undoing: "en annulation", Undone: "annulé", Left: "laissé dans la cible", InUse: "en service, sans recette",
		},
		kindNames: map[ecluse.PassageKind]string{ecluse.Dry: "essai à vide", ecluse.Rehearsal: "migration à blanc", ecluse.Final: "bascule"},
		actorNames: map[Actor]string{
			SourceGate: "programme côté ancien logiciel", TargetGate: "programme côté nouveau logiciel", Lock: "le serveur (échéances)",
			Person(ecluse.Controller, ecluse.Signatory): "signataire du responsable", Person(ecluse.Processor, ecluse.Signatory): "signataire du sous-traitant",
			Person(ecluse.Controller, ecluse.Operator): "opérateur du responsable", Person(ecluse.Processor, ecluse.Operator): "opérateur du sous-traitant",
			Person(ecluse.Controller, ecluse.DPO): "DPO du responsable", Person(ecluse.Processor, ecluse.DPO): "DPO du sous-traitant",
			Person(ecluse.Controller, ecluse.Security): "RSSI du responsable", Person(ecluse.Processor, ecluse.Security): "RSSI du sous-traitant",
		},
	}
}

func printIn(b *strings.Builder, l language) {
	fmt.Fprintf(b, "# %s\n\n%s\n", l.title, l.intro)
	for _, s := range Steps() {
		fmt.Fprintf(b, "\n## %d. %s\n", s.Number, l.pick(s.Name))
		l.step(b, s)
	}
	a := Anytime()
	fmt.Fprintf(b, "\n## %s\n", l.pick(a.Name))
	l.step(b, a)
	fmt.Fprintf(b, "\n%s\n", l.held)
}

func (l language) step(b *strings.Builder, s Step) {
	fmt.Fprintf(b, "\n%s\n\n%s%s%s. %s%s%s.\n\n", l.pick(s.What), l.law, l.colon, l.pick(s.Law), l.kept, l.colon, l.pick(s.Evidence))
	fmt.Fprintf(b, "| %s |\n|---|---|---|---|---|\n", strings.Join(l.head[:], " | "))
	for _, m := range s.Moves {
		fmt.Fprintf(b, "| %s |\n", strings.Join([]string{
			names(m.By, l.actorNames), l.what(m), l.while(m.While), l.passages(m), l.then(m),
		}, " | "))
	}
}

func (l language) what(m Move) string {
	s := l.pick(m.Verb.Text())
	if m.Held {
		s += " \\*"
	}
	return s
}

// while names the states of a migration; four in a row or more by their ends.
func (l language) while(states []State) string {
	first := name(states[0], l.stateNames)
	if states[0] == None {
		first = l.unborn
	}
	switch last := states[len(states)-1]; {
	case len(states) == 1:
		return first
	case len(states) > 3 && slices.Equal(states, between(states[0], last)):
		return fmt.Sprintf(l.span, first, name(last, l.stateNames))
	}
	return names(states, l.stateNames)
}

func (l language) passages(m Move) string {
	s := names(m.Passage, l.stateNames)
	if m.Kinds != nil {
		s += " (" + names(m.Kinds, l.kindNames) + ")"
	}
	return s
}

func (l language) then(m Move) string {
	var to []string
	if m.To != "" {
		to = append(to, l.migration+l.colon+name(m.To, l.stateNames))
	}
	if m.PassageTo != "" {
		to = append(to, l.passage+l.colon+name(m.PassageTo, l.stateNames))
	}
	if len(to) == 0 {
		return l.same
	}
	return strings.Join(to, "; ")
}

// name is the word for something; its English word is what the program uses.
func name[T ~string](v T, in map[T]string) string {
	if n, ok := in[v]; ok {
		return n
	}
	return string(v)
}

func names[T ~string](vs []T, in map[T]string) string {
	s := make([]string, len(vs))
	for i, v := range vs {
		s[i] = name(v, in)
	}
	return strings.Join(s, ", ")
}

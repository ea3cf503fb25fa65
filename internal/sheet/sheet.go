// Package sheet is the cut-over sheet: what people at the laboratory have on paper in
// the night, with whom to ring. Names and telephone numbers come from a file of the
// person who prints it, and go to their printer and nowhere else.
package sheet

import (
	"fmt"
	"slices"
	"time"
	"unicode"

	"ecluse"
	"ecluse/internal/document"
)

// Format of the file that a person writes.
const Format = "sheet/v1"

// Input is sheet/v1: what no server knows, and must not.
type Input struct {
	Format string    `yaml:"ecluse" enum:"sheet/v1"`
	Begins time.Time `yaml:"begins"`         // when the night begins
	Opens  time.Time `yaml:"opens"`          // when the laboratory works again, in whichever software
	Read   string    `yaml:"read,omitempty"` // how long reading took in rehearsals: 1h30m
	Load   string    `yaml:"load,omitempty"` // the same of loading and comparing
	People []Person  `yaml:"people"`
	Steps  []Step    `yaml:"steps,omitempty"` // the laboratory's own
}

// Person is somebody to ring.
type Person struct {
	Name      string `yaml:"name"`
	Role      string `yaml:"role"`
	Telephone string `yaml:"telephone"`
}

// Step is something that the laboratory does, and when.
type Step struct {
	At   time.Time `yaml:"at"`
	What string    `yaml:"what"`
	Who  string    `yaml:"who"`
}

// Bounds of a sheet: more than that nobody reads at night.
const (
	maxLines = 200
	maxText  = 300 // bytes of one cell
	maxNight = 14 * 24 * time.Hour
)

// ParseInput reads a sheet's file. All that is wrong gives document.Problems.
func ParseInput(file string, text []byte) (*Input, error) {
	in := &Input{}
	if _, err := document.Decode(file, text, in); err != nil {
		return nil, err
	}
	var all document.Problems
	add := func(field, why string) { all = append(all, document.Problem{File: file, Field: field, Why: why}) }
	line := func(field, s string) {
		if s == "" || len(s) > maxText || !printable(s) {
			add(field, fmt.Sprintf("want one line of text, at most %d bytes", maxText))
		}
	}
	if in.Format != Format {
		add("ecluse", "want "+Format)
	}
	if night := in.Opens.Sub(in.Begins); night <= 0 || night > maxNight {
		add("opens", "want a time after begins, within two weeks of it")
	}
	for field, s := range map[string]string{"read": in.Read, "load": in.Load} {
		if d, err := time.ParseDuration(s); s != "" && (err != nil || d < 0 || d > maxNight) {
			add(field, "want hours and minutes such as 1h30m")
		}
	}
	if len(in.People) == 0 || len(in.People) > maxLines || len(in.Steps) > maxLines {
		add("people", fmt.Sprintf("want one person to ring at least, and at most %d people and as many steps", maxLines))
	}
	for i, p := range in.People {
		at := fmt.Sprintf("people[%d].", i)
		line(at+"name", p.Name)
		line(at+"role", p.Role)
		line(at+"telephone", p.Telephone)
	}
	for i, s := range in.Steps {
		at := fmt.Sprintf("steps[%d].", i)
		line(at+"what", s.What)
		line(at+"who", s.Who)
	}
	if len(all) > 0 {
		return nil, all
	}
	return in, nil
}

func printable(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// Facts are what the lock knows of the night.
type Facts struct {
	Migration ecluse.MigrationID
	From, To  string // the two systems
	Passage   string // in hand: "final-1"; empty: none yet
	State     string // in the reader's language
	Deputies  []string
	Window    string    // of the instruction; empty: none
	Closes    time.Time // when it ends in that night; zero: there is none
	Read      time.Duration
	Load      time.Duration // comparing included, as a passage of this migration took; zero: nothing is known
	AllRead   bool
	Ends      []End
	Made      time.Time
}

// End is a deadline.
type End struct {
	What string // in the reader's language
	At   time.Time
}

// undoOfLoad is how long undoing takes at most, of the load: what is measured, and held to.
const undoOfLoad = 1.5

// Say chooses between the two languages.
type Say func(en, fr string, args ...any) string

// LastNoGo is the last hour at which a no-go still leaves the time to take the passage
// out before the window ends or the laboratory works again; false while nobody knows how
// long loading takes.
func LastNoGo(in *Input, f *Facts) (at time.Time, undo time.Duration, known bool) {
	_, load := hours(in, f)
	if load == 0 {
		return time.Time{}, 0, false
	}
	end := in.Opens
	if !f.Closes.IsZero() && f.Closes.Before(end) && f.Closes.After(in.Begins) {
		end = f.Closes
	}
	undo = time.Duration(float64(load) * undoOfLoad)
	return end.Add(-undo), undo, true
}

// hours are what the passage is thought to take; what the laboratory measured itself goes
// before what the lock knows.
func hours(in *Input, f *Facts) (read, load time.Duration) {
	read, load = f.Read, f.Load
	if d, err := time.ParseDuration(in.Read); err == nil {
		read = d
	}
	if d, err := time.ParseDuration(in.Load); err == nil {
		load = d
	}
	return read, load
}

// TooLate tells when the report is there, and whether the last hour for no-go is over by
// then: what the report shows could not be undone any more before the laboratory opens.
func TooLate(in *Input, f *Facts) (report time.Time, late bool) {
	read, load := hours(in, f)
	report = in.Begins.Add(read + load)
	last, _, known := LastNoGo(in, f)
	return report, known && last.Before(report)
}

// Page is a sheet in the reader's language, before it is HTML or PDF.
type Page struct {
	Lang, Title, Note string
	Tables            []Table
}

// Table is a part of it; the first cell of a row names it.
type Table struct {
	Heading string
	Head    []string
	Rows    [][]string
	Note    string
}

// New composes the page.
func New(in *Input, f *Facts, lang string, say Say) *Page {
	when := func(t time.Time) string { return t.In(in.Begins.Location()).Format("2006-01-02 15:04") }
	p := &Page{
		Lang: lang, Title: say("Cut-over sheet: %s", "Feuille de bascule : %s", f.Migration),
		Note: say("From %s to %s. Printed on %s. Holds telephone numbers: keep it, then destroy it.", "De %s vers %s. Imprimée le %s. Contient des numéros de téléphone : à garder, puis à détruire.", f.From, f.To, when(f.Made)),
	}
	p.Tables = append(p.Tables, theNight(in, f, say, when), theSteps(in, f, say, when))
	people := Table{Heading: say("People", "Personnes"), Head: []string{say("Name", "Nom"), say("Role", "Rôle"), say("Telephone", "Téléphone")}}
	for _, x := range in.People {
		people.Rows = append(people.Rows, []string{x.Name, x.Role, x.Telephone})
	}
	ends := Table{Heading: say("Deadlines", "Échéances"), Head: []string{say("What ends", "Ce qui expire"), say("When", "Quand")}}
	for _, e := range f.Ends {
		ends.Rows = append(ends.Rows, []string{e.What, when(e.At)})
	}
	p.Tables = append(p.Tables, people, ends)
	return p
}

func theNight(in *Input, f *Facts, say Say, when func(time.Time) string) Table {
	read, load := hours(in, f)
	unknown := say("not known yet: rehearse, or write it in the file", "pas encore connu : répéter, ou l'écrire dans le fichier")
	about := func(d time.Duration) string {
		if d == 0 {
			return unknown
		}
		return say("about %d h %02d", "environ %d h %02d", int(d.Hours()), int(d.Minutes())%60)
	}
	readSays := about(read)
	if read == 0 && f.AllRead {
		readSays = say("done", "fait")
	}
	last, undo, known := LastNoGo(in, f)
	report, late := TooLate(in, f)
	lastSays := unknown
	switch {
	case known && last.Before(in.Begins):
		lastSays = say("WARNING: undoing takes longer than the night", "ATTENTION : l'annulation dure plus que la nuit")
	case late:
		lastSays = say("WARNING: %s, and the report is there at %s: no time to undo after it. Begin earlier, or load before and catch up",
			"ATTENTION : %s, et le rapport n'est là qu'à %s : plus le temps d'annuler ensuite. Commencer plus tôt, ou charger avant puis rattraper", when(last), when(report))
	case known:
		lastSays = when(last)
	}
	window := f.Window
	if window == "" {
		window = say("none", "aucune")
	}
	passage := f.Passage
	if passage == "" {
		passage = say("none yet", "aucun encore")
	}
	return Table{
		Heading: say("The night", "La nuit"), Head: []string{say("What", "Quoi"), say("When, how long", "Quand, combien de temps")},
		Rows: [][]string{
			{say("State", "État"), f.State},
			{say("Passage in hand", "Passage en cours"), passage},
			{say("Begins", "Début"), when(in.Begins)},
			{say("Laboratory works again", "Reprise du laboratoire"), when(in.Opens)},
			{say("Window of reading", "Plage de lecture"), window},
			{say("Reading", "Lecture"), readSays},
			{say("Loading and proof", "Chargement et preuve"), about(load)},
			{say("Undoing, at most", "Annulation, au plus"), about(undo)},
			{say("Last hour for no-go", "Dernière heure pour refuser le feu vert"), lastSays},
		},
		Note: say("Hours are guesses. Reading and loading overlap.", "Les durées sont des estimations. Lecture et chargement se recouvrent."),
	}
}

// theSteps are the laboratory's own and Écluse's, in the order of their hours.
func theSteps(in *Input, f *Facts, say Say, when func(time.Time) string) Table {
	steps := slices.Clone(in.Steps)
	deciders := say("a signatory of the laboratory", "un signataire du laboratoire")
	for _, d := range f.Deputies {
		deciders += say(" or %s", " ou %s", d)
	}
	steps = append(steps, Step{in.Begins, say("nobody enters results in the old software any more; ecluse apply", "plus aucune saisie dans l'ancien logiciel ; ecluse apply"), say("operator", "opérateur")})
	read, load := hours(in, f)
	if read+load > 0 {
		steps = append(steps, Step{in.Begins.Add(read + load), say("ecluse report; then ecluse go, or ecluse no-go --undo", "ecluse report ; puis ecluse go, ou ecluse no-go --undo"), deciders})
	}
	_, late := TooLate(in, f)
	if at, _, known := LastNoGo(in, f); known && !late {
		steps = append(steps, Step{at, say("last hour for no-go", "dernière heure pour refuser le feu vert"), deciders})
	}
	steps = append(steps, Step{in.Opens, say("the laboratory works again", "le laboratoire reprend"), say("everybody", "tous")})
	slices.SortStableFunc(steps, func(a, b Step) int { return a.At.Compare(b.At) })
	t := Table{Heading: say("Steps", "Étapes"), Head: []string{say("Hour", "Heure"), say("Step", "Étape"), say("Who", "Qui"), say("Done", "Fait")}}
	for _, s := range steps {
		t.Rows = append(t.Rows, []string{when(s.At), s.What, s.Who, "[ ]"})
	}
	return t
}

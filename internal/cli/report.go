package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/desk"
	"ecluse/internal/gate"
	"ecluse/internal/sluice/reconcile"
)

// report shows the comparison: what was read, what stands in the target, what
// was put aside and why.
func (u *ui) report(s *gate.LoadStatement) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s  %s\n", u.paint(bold, string(s.Migration)), s.Passage, s.At.Local().Format(time.DateTime))
	fmt.Fprintln(&b, u.say("%s rows read in %d chunks, %s loaded, %s put aside", "%s lignes lues en %d paquets, %s chargées, %s mises de côté",
		count(s.RowsRead), s.Chunks, count(s.RowsLoaded), count(s.RowsRejected)))
	if s.Reading > 0 {
		fmt.Fprintln(&b, u.say("of the source as of its reading %d, which brought in what had changed", "de la source telle qu'à sa lecture nº %d, qui a apporté ce qui avait changé", s.Reading+1))
	}
	if p := s.Compared; p != nil {
		u.renumbered(&b, "", p.Renumbered)
		u.reportTables(&b, p)
		u.reportTraced(&b, p)
		u.reportChecks(&b, p.Checks, s.Passage.Kind == ecluse.Dry)
		u.reportGroups(&b, u.say("put aside", "mises de côté"), p.Rejected)
		u.reportShapes(&b, toldShapes(p.Shapes))
		u.reportGroups(&b, u.say("replaced or missing", "remplacé ou manquant"), p.Reported)
	}
	u.text(b.String())
	u.unmapped(s)
	u.verdict(s)
}

// behind says what of the source may not be in a report yet.
func (u *ui) behind(v *desk.ReportView) {
	if v.Extract != nil && v.Extract.Reading > v.Reading {
		u.text(u.paint(yellow, u.say("! the source was read again since: what changed is not in this report yet; ecluse apply goes on with it",
			"! la source a été relue depuis : ce qui a changé n'est pas encore dans ce rapport ; ecluse apply continue")) + "\n")
	}
	if v.Left > 0 {
		u.tell("the source may be read again for what changes: %d times", "la source peut être relue pour ce qui change : %d fois", v.Left)
	}
}

// unmapped names what a passage did not try.
func (u *ui) unmapped(s *gate.LoadStatement) {
	for _, d := range s.Unmapped {
		u.text(u.paint(yellow, u.say("! no row of %s came to anything: this passage does not count as a trial of the mapping",
			"! aucune ligne de %s n'a abouti : ce passage ne compte pas comme essai de la table de transcodage", d)) + "\n")
	}
	for _, d := range s.Scant {
		u.text(u.paint(yellow, u.say("! more than half the rows of %s were put aside: this passage does not count as a trial of the mapping",
			"! plus de la moitié des lignes de %s ont été mises de côté : ce passage ne compte pas comme essai de la table de transcodage", d)) + "\n")
	}
}

func (u *ui) mark(equal bool) string {
	if equal {
		return u.paint(green, "=")
	}
	return u.paint(red, "≠")
}

func (u *ui) reportTables(b *strings.Builder, p *reconcile.Public) {
	if len(p.Tables) == 0 {
		return
	}
	fmt.Fprintln(b, u.say("the target, read back %s:", "la cible, relue le %s :", p.ReadBack.Local().Format("2006-01-02 15:04:05 MST")))
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "  \t%s\t%s\t%s\t%s\t\n", u.say("table", "table"), u.say("before", "avant"), u.say("loaded", "chargé"), u.say("after", "après"))
	for _, t := range p.Tables {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\t%s\n", u.mark(t.Equal), t.Table, count(t.Before), count(t.Loaded), count(t.After), u.outcomeWord(t.Verdict()))
	}
	w.Flush()
}

// outcomeWord is a table's verdict in the language of the screen.
func (u *ui) outcomeWord(v string) string {
	fr := map[string]string{"equal": "égal", "untouched": "intact", "extra": "en trop", "missing": "manquant", "altered": "altéré"}[v]
	return u.say(v, fr)
}

func (u *ui) reportChecks(b *strings.Builder, checks []reconcile.PublicCheck, dry bool) {
	for _, c := range checks {
		said := u.say("check %s: %d figures counted on both sides, %d differ", "contrôle %s : %d chiffres comptés des deux côtés, %d diffèrent", c.Name, c.Lines, c.Off)
		switch {
		case dry && c.Lines == 0:
			fmt.Fprintf(b, "  ? %s\n", u.say("check %s: nothing compared before rows are written; at the laboratory, ecluse gate report says why", "contrôle %s : rien de comparé tant que rien n'est écrit ; au laboratoire, ecluse gate report dit pourquoi", c.Name))
			continue
		case dry:
			said = u.say("check %s: %d figures, the source's and those of the rows as they would be written, %d differ", "contrôle %s : %d chiffres, de la source et des lignes telles qu'elles seraient écrites, %d diffèrent", c.Name, c.Lines, c.Off)
		}
		fmt.Fprintf(b, "  %s %s\n", u.mark(c.Off == 0 && c.Lines > 0), said)
	}
}

// tracedShown is how many of the traced rows a screen shows; --json has them all.
const tracedShown = 20

// reportTraced shows where tables differ, without any value.
func (u *ui) reportTraced(b *strings.Builder, p *reconcile.Public) {
	if p.Equal || len(p.Traced) == 0 {
		return
	}
	fmt.Fprintln(b, u.say("rows that differ (dataset, row of the dataset from 0, column of the table):",
		"lignes en écart (jeu de données, ligne du jeu à partir de 0, colonne de la table) :"))
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, d := range p.Traced[:min(len(p.Traced), tracedShown)] {
		fmt.Fprintf(w, "  %s\t%s\t%d\t%s\t%s\n", d.Table, u.dataset(d.Dataset), d.Ordinal, d.Column, u.outcomeWord(d.What))
	}
	w.Flush()
	if n := len(p.Traced) - tracedShown; n > 0 || !p.TracedWhole {
		fmt.Fprintf(b, "  %s\n", u.say("and others: --json lists %d", "et d'autres : --json en donne %d", len(p.Traced)))
	}
}

func (u *ui) reportGroups(b *strings.Builder, title string, groups []ecluse.MaskedGroup) {
	if len(groups) == 0 {
		return
	}
	fmt.Fprintln(b, u.say("%s:", "%s :", title))
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, g := range groups {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", g.Dataset, g.Count, g.By)
	}
	w.Flush()
	if slices.ContainsFunc(groups, func(g ecluse.MaskedGroup) bool { return g.Count == reconcile.MaskedBeside }) {
		fmt.Fprintln(b, u.say("  * kept back, small or not: beside the others and the total it would tell a count under ten",
			"  * non communiqué, petit ou non : avec les autres et le total, il révélerait un nombre inférieur à dix"))
	}
}

// disposed shows what the controller signed becomes of the rows put aside, or for how many
// reasons nobody has said so yet.
func (u *ui) disposed(v *desk.ReportView) {
	if v.Compared == nil || len(v.Compared.Rejected) == 0 || v.Passage.Kind != ecluse.Final {
		return
	}
	if len(v.Disposed) == 0 {
		u.tell("! what becomes of the rows put aside is still to be signed, of each dataset and reason above: with the acceptance, by --reject",
			"! le sort des lignes mises de côté reste à signer, pour chaque jeu de données et motif ci-dessus : avec la recette, par --reject")
		return
	}
	var b strings.Builder
	fmt.Fprintln(&b, u.say("what becomes of the rows put aside, as the controller signed it:", "le sort des lignes mises de côté, tel que le responsable de traitement l'a signé :"))
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, d := range v.Disposed {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", d.Dataset, printable(d.By), printable(d.Becomes))
	}
	w.Flush()
	u.text(b.String())
}

// shapeLine is the rows put aside for a reason whose column has a shape.
type shapeLine struct {
	reconcile.Shaped
	count string
}

func toldShapes(all []reconcile.PublicShaped) []shapeLine {
	out := make([]shapeLine, len(all))
	for i, x := range all {
		out[i] = shapeLine{reconcile.Shaped{Dataset: x.Dataset, By: x.By, Column: x.Column, Shape: x.Shape}, x.Count}
	}
	return out
}

func exactShapes(all []reconcile.Shaped) []shapeLine {
	out := make([]shapeLine, len(all))
	for i, x := range all {
		out[i] = shapeLine{x, count(x.Count)}
	}
	return out
}

// reportShapes shows what was put aside by reason, column and shape.
func (u *ui) reportShapes(b *strings.Builder, all []shapeLine) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(b, u.say("put aside, by what the column behind the reason looks like (A a letter, 9 a digit):",
		"mises de côté, selon l'aspect de la colonne en cause (A une lettre, 9 un chiffre) :"))
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for i, x := range all {
		if i == 0 || x.Dataset != all[i-1].Dataset || x.By != all[i-1].By || x.Column != all[i-1].Column {
			fmt.Fprintf(w, "  %s.%s\t\t%s\n", x.Dataset, printable(x.Column), printable(x.By))
		}
		fmt.Fprintf(w, "    %s\t%s\t\n", u.shapeText(x.Shape.String()), x.count)
	}
	w.Flush()
}

// shapeText is a shape between quotes, or the word for one that has no text.
func (u *ui) shapeText(s string) string {
	switch s {
	case reconcile.ShapeNull.String():
		return "null"
	case reconcile.ShapeEmpty.String():
		return u.say("empty", "vide")
	case reconcile.ShapeBytes.String():
		return u.say("bytes", "octets")
	case reconcile.ShapeBool.String():
		return u.say("boolean", "booléen")
	case reconcile.ShapeOther.String():
		return u.say("other shapes", "autres aspects")
	}
	return "«" + s + "»"
}

// exact shows what a report masks: counts under ten, and the keys of checks that
// differ, which can be patients'.
func (u *ui) exact(r *reconcile.Report) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(&b, u.say("exact figures, for the laboratory alone:", "chiffres exacts, pour le laboratoire seul :"))
	for _, g := range append(slices.Clone(r.Rejected), r.Reported...) {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", g.Dataset, count(g.Count), printable(g.By))
	}
	for _, c := range r.Checks {
		if c.Why != "" {
			fmt.Fprintf(w, "  ≠ %s\t%s\t\n", c.Name, printable(u.sentence(c.Why)))
		}
		for _, l := range c.Off {
			fmt.Fprintf(w, "  ≠ %s %s\t%s\t%s\n", c.Name, checkKey(l), u.say("source %s", "source : %s", figure(l.Source)), u.say("target %s", "cible : %s", figure(l.Target)))
		}
		if c.More > 0 {
			fmt.Fprintf(w, "  ≠ %s\t%s\t\n", c.Name, u.say("and %d others", "et %d autres", c.More))
		}
	}
	w.Flush()
	u.reportShapes(&b, exactShapes(r.Shapes))
	u.text(b.String())
}

// checkKey is a key as a check counted it: of a database, so between quotes.
func checkKey(l reconcile.CheckLine) string {
	switch {
	case l.Null:
		return "null"
	case l.Unknown:
		return "? " + strconv.Quote(l.Key)
	}
	return strconv.Quote(l.Key)
}

func figure(n *int64) string {
	if n == nil {
		return "—"
	}
	return count(*n)
}

// extract shows what the source gate found on its way: columns that nobody had
// instructed about, and what free text holds.
func (u *ui) extract(x *gate.ExtractStatement) {
	if x == nil {
		return
	}
	var b strings.Builder
	if len(x.Added) > 0 {
		fmt.Fprintln(&b, u.say("! columns that came into the source after its plan was approved, refused: %s", "! colonnes apparues dans la source après l'approbation du plan, refusées : %s", strings.Join(x.Added, ", ")))
	}
	if len(x.Gone) > 0 {
		fmt.Fprintln(&b, u.say("! columns that nobody instructed and that went from the source after its plan was approved: %s", "! colonnes que personne n'avait instruites, disparues de la source après l'approbation du plan : %s", strings.Join(x.Gone, ", ")))
	}
	if x.Pauses > 0 {
		fmt.Fprintln(&b, u.say("reading paused %d times, %s in all, while others were at work on the source", "lecture mise en pause %d fois, %s en tout, pendant que d'autres travaillaient sur la source", x.Pauses, time.Duration(x.PausedSeconds)*time.Second))
	}
	w := u.freeText(&b, len(x.FreeText))
	for _, f := range x.FreeText {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Dataset, f.Column, f.Values, f.NIR, f.Email, f.Phone, f.Health)
	}
	w.Flush()
	u.text(b.String())
}

// findings shows the exact counts of the same.
func (u *ui) findings(all gate.Findings) {
	var b strings.Builder
	w := u.freeText(&b, len(all))
	for _, d := range slices.Sorted(maps.Keys(all)) {
		for _, c := range slices.Sorted(maps.Keys(all[d])) {
			f := all[d][c]
			fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\n", d, c, count(f.Values), count(f.NIR), count(f.Email), count(f.Phone), count(f.Health))
		}
	}
	w.Flush()
	u.text(b.String())
}

// freeText begins a table of what free text holds; of no lines it has no title.
func (u *ui) freeText(b *strings.Builder, lines int) *tabwriter.Writer {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	if lines > 0 {
		fmt.Fprintln(b, u.say("free text, values that hold what looks like:", "texte libre, valeurs contenant ce qui ressemble à :"))
		fmt.Fprintf(w, "  \t\t%s\tNIR\t%s\t%s\t%s\n", u.say("in all", "en tout"), u.say("e-mail", "courriel"), u.say("telephone", "téléphone"), u.say("health", "santé"))
	}
	return w
}

// undone tells what an undoing came to.
func (u *ui) undone(v *desk.UndoneView) {
	s := v.Undo
	if s != nil && s.Never {
		u.tell("nothing to take out: passage %s never began at the target gate, and does not count", "rien à retirer : le passage %s n'a jamais commencé côté nouveau logiciel, et ne compte pas", v.Passage)
		return
	}
	if s == nil || s.Stay == "" && len(s.Missing) == 0 {
		if s == nil || !slices.ContainsFunc(s.Tables, func(t gate.UndoneTable) bool { return !t.Equal }) {
			u.tell("taken out: %s rows; the target's sums are those of before", "retiré : %s lignes ; les sommes de la cible sont celles d'avant", count(v.Rows))
			return
		}
		u.tell("taken out: %s rows", "retiré : %s lignes", count(v.Rows))
	} else {
		none := func(s string) string {
			if s == "" {
				return "0"
			}
			return s
		}
		u.tell("taken out: of %s rows all but those left because somebody changed them or refers to them since (%s) and those no longer there (%s)",
			"retiré : sur %s lignes, toutes sauf celles laissées parce que quelqu'un les a modifiées ou s'y réfère depuis (%s) et celles qui n'y sont plus (%s)",
			count(v.Rows), none(s.Stay), none(evidence.Told(s.Missing)))
		if s.Stay != "" {
			u.tell("  the laboratory's gate lists them: ecluse gate report DIR --as KEY", "  le programme côté laboratoire en donne la liste : ecluse gate report DOSSIER --as CLÉ")
		}
	}
	var b strings.Builder
	u.reportGroups(&b, u.say("left", "laissées"), u.whys(s.Left))
	u.reportGroups(&b, u.say("no longer there", "disparues"), s.Missing)
	for _, t := range s.Tables {
		if !t.Equal {
			fmt.Fprintf(&b, "  %s %s\n", u.mark(false), u.say("table %s does not stand as before", "la table %s n'est plus comme avant", t.Table))
		}
	}
	u.text(b.String())
}

// whyWord is why a row was left, in the language of the screen.
func (u *ui) whyWord(why string) string {
	switch why {
	case "changed":
		return u.say("changed", "modifiée")
	case "referred":
		return u.say("referred to", "référencée")
	}
	return why
}

// whys has the reasons of groups of rows left, "table: why", in words.
func (u *ui) whys(groups []ecluse.MaskedGroup) []ecluse.MaskedGroup {
	out := slices.Clone(groups)
	for i, g := range out {
		if at := strings.LastIndex(g.By, ": "); at >= 0 {
			out[i].By = g.By[:at+2] + u.whyWord(g.By[at+2:])
		}
	}
	return out
}

// leftRows lists the rows that undoings left, by their keys: for the laboratory alone.
func (u *ui) leftRows(all []gate.LeftRows) {
	for _, x := range all {
		var b strings.Builder
		if len(x.Stay) == 0 { // tables differ all the same
			fmt.Fprintf(&b, "%s:\n", u.say("after the undoing of %s", "après l'annulation de %s", x.Passage))
		} else {
			fmt.Fprintf(&b, "%s:\n", u.say("rows of %s that stay in the target, because somebody changed them or refers to them (table, why, key)",
				"lignes de %s restées dans la cible, parce que quelqu'un les a modifiées ou s'y réfère (table, motif, clé)", x.Passage))
		}
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, r := range x.Rows {
			var key []string
			for _, k := range r.Key {
				key = append(key, printable(k.Column)+"="+printable(k.Value))
			}
			fmt.Fprintf(w, "  %s\t%s\t%s\n", r.Table, u.whyWord(string(r.Why)), strings.Join(key, " "))
		}
		w.Flush()
		if more := x.More(); more > 0 {
			fmt.Fprintf(&b, "  %s\n", u.say("and %s more, which are not listed; in all:", "et %s autres, qui ne sont pas listées ; en tout :", count(more)))
			for _, g := range x.Stay {
				fmt.Fprintf(&b, "  %s\t%s\n", u.whys([]ecluse.MaskedGroup{{By: g.By}})[0].By, count(g.Count))
			}
		}
		for _, t := range x.Tables {
			if !t.Equal {
				fmt.Fprintf(&b, "  %s\n", u.say("table %s does not stand as before: %s rows then, %s now", "la table %s n'est plus comme avant : %s lignes alors, %s à présent", t.Table, count(t.Before), count(t.After)))
			}
		}
		u.text(b.String())
	}
}

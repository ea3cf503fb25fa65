package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"ecluse"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/reconcile"
)

// which names a migration; with one migration in the lock it may be left out.
type which struct {
	Migration ecluse.MigrationID `short:"m" help:"${migration_flag}" placeholder:"ID"`
}

type planCmd struct {
	which
	Passage     string `enum:"dry,rehearsal,final" default:"final" help:"${plan_passage}"`
	Instruction string `help:"${plan_instruction}" placeholder:"FILE"`
	as
}

func (x *planCmd) Run(ctx context.Context, c *call) error {
	q := desk.PlanRequest{Migration: x.Migration, Passage: ecluse.PassageKind(x.Passage), File: x.Instruction}
	if x.Instruction != "" {
		var err error
		if q.Instruction, err = readFile(x.Instruction); err != nil {
			return err
		}
		if q.Key, err = x.signer(c); err != nil {
			return err
		}
	}
	return c.with(ctx, func(d *desk.Desk) error {
		p, err := d.Plan(ctx, q)
		if err != nil {
			return err
		}
		switch {
		case p.ReadSince != nil:
			c.ui.readSince(p.ReadSince)
			c.ui.tell("all of it: %s", "en entier : %s", p.ReadFile)
		case p.Read != nil:
			c.ui.verdicts(p.Read)
			c.ui.statements(p)
		}
		if p.Load != nil {
			c.ui.into(p.Load)
			c.ui.shape(&p.Load.Shape)
			c.ui.since(p.Since)
			c.ui.unused(p.Unused)
		}
		c.ui.predicted(p)
		c.ui.tell("read plan  %s  %s", "plan de lecture     %s  %s", p.ReadPlan, p.ReadFile)
		if p.LoadFile != "" {
			c.ui.tell("load plan  %s  %s", "plan de chargement  %s  %s", p.LoadPlan, p.LoadFile)
		}
		return c.ui.object(p)
	})
}

// verdicts shows what happens to every column of the source.
func (u *ui) verdicts(p *mandate.ReadPlan) {
	var b strings.Builder
	sign := map[mandate.Verdict]string{
		mandate.Taken:             u.paint(green, "+ "+u.say("taken", "pris")),
		mandate.Filtered:          u.paint(blue, "? "+u.say("filters, never sent", "filtre, jamais envoyé")),
		mandate.RefusedColumn:     u.paint(dim, "- "+u.say("refused", "refusé")),
		mandate.RefusedCredential: u.paint(red, "! "+u.say("refused: credential", "refusé : identifiant ou mot de passe")),
	}
	for _, t := range p.Verdicts {
		taken := 0
		for _, col := range t.Columns {
			if col.Verdict == mandate.Taken || col.Verdict == mandate.Filtered {
				taken++
			}
		}
		if taken == 0 {
			fmt.Fprintf(&b, "%s  %s\n", u.paint(bold, t.Table.String()), u.say("- refused whole, %d columns", "- refusée entière, %d colonnes", len(t.Columns)))
			continue
		}
		fmt.Fprintf(&b, "%s\n", u.paint(bold, t.Table.String()))
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, col := range t.Columns {
			fmt.Fprintf(w, "  %s\t%s\t%s\n", col.Column, col.Class, sign[col.Verdict])
		}
		w.Flush()
	}
	if f := p.Frozen; f != nil {
		b.WriteString(u.say("The source is frozen by the word of %s from %s; it is not read before.\n",
			"La source est gelée sur la parole de %s à partir du %s ; elle n'est pas lue avant.\n", f.By, f.From.Format(time.RFC3339)))
	}
	if p.CatchUps > 0 {
		b.WriteString(u.say("After the first reading the source may be read again for what changed since: %d times.\n",
			"Après la première lecture, la source peut être relue pour ce qui a changé depuis : %d fois.\n", p.CatchUps))
	}
	if p.Untried != "" {
		b.WriteString(u.say("No dry run and no rehearsal comes before the final passage, on the controller's word: %s\n",
			"Ni essai à vide ni migration à blanc ne précède la bascule, sur la parole du responsable de traitement : %s\n", p.Untried))
	}
	u.envelope(&b, p)
	if p.Limits.Lease != "" {
		b.WriteString(u.say("Half of the key is lent for %s at a time, usually for 15m: for that long a suspension cannot call it back.\n",
			"La moitié de la clé est prêtée pour %s à chaque fois, d'ordinaire pour 15m : aussi longtemps, une suspension ne peut pas la reprendre.\n", p.Limits.Lease))
	}
	u.text(b.String())
}

// envelope shows when and how fast the source is read, and how many rows it may have.
func (u *ui) envelope(b *strings.Builder, p *mandate.ReadPlan) {
	l := &p.Limits
	if l.Window != "" {
		fmt.Fprintln(b, u.say("The source is read from %s only.", "La source n'est lue que de %s.", l.Window))
	}
	if l.QueriesPerSecond > 0 {
		fmt.Fprintln(b, u.say("It is sent %d queries a second at most.", "Elle reçoit au plus %d requêtes par seconde.", l.QueriesPerSecond))
	}
	if l.LoadPause > 0 {
		fmt.Fprintln(b, u.say("Reading pauses while at least %d sessions of others are at work on it.", "La lecture fait une pause tant qu'au moins %d sessions d'autres y travaillent.", l.LoadPause))
	}
	for _, d := range p.Datasets {
		if r := d.Rows; r != nil {
			fmt.Fprintln(b, u.say("%s: %s rows are expected; reading stops when it has over %s more, or fewer.", "%s : %s lignes sont attendues ; la lecture s'arrête s'il y en a plus de %s de plus, ou de moins.",
				d.Dataset, count(r.Expected), count(r.Tolerance)))
		}
	}
}

// statements shows the exact statements of a read plan, with estimates.
func (u *ui) statements(p *desk.Plans) {
	var b strings.Builder
	for _, d := range p.Read.Datasets {
		rows := ""
		if n, ok := p.Estimates[d.Dataset]; ok {
			rows = u.say("  (about %s rows before conditions)", "  (environ %s lignes avant conditions)", count(n))
		}
		fmt.Fprintf(&b, "%s%s\n  %s\n", u.paint(bold, string(d.Dataset)), rows, strings.ReplaceAll(d.Statement, "\n", "\n  "))
	}
	u.text(b.String())
}

// into says which system a load plan is for: a rehearsal's is not the one where people work.
func (u *ui) into(p *mandate.LoadPlan) {
	u.tell("%s into %s", "%s dans %s", u.kindWord(p.Passage), u.paint(bold, p.Target.System))
}

// since shows a load plan as the difference from the last one that was tried.
func (u *ui) since(s *desk.Since) {
	if s == nil {
		return
	}
	var b strings.Builder
	switch {
	case s.SameMapping && len(s.Changes) == 0:
		fmt.Fprintln(&b, u.say("the same mapping as %s:", "la même table de transcodage que %s :", u.passageWord(s.Passage)))
	case len(s.Changes) == 1 && s.Changes[0].What == mandate.ChangedText:
		fmt.Fprintln(&b, u.say("the mapping's text differs from that of %s and nothing below shows how: compare the two files", "le texte de la table de transcodage diffère de celui de %s et rien ci-dessous ne montre en quoi : comparez les deux fichiers", u.passageWord(s.Passage)))
	default:
		fmt.Fprintln(&b, u.say("%d changes since %s:", "%d changements depuis %s :", len(s.Changes), u.passageWord(s.Passage)))
	}
	u.changes(&b, s.Changes)
	fmt.Fprintln(&b, u.say("  it came to %s rows read, %s mapped, %s put aside%s", "  bilan de celui-ci : %s lignes lues, %s transcodées, %s mises de côté%s", count(s.RowsRead), count(s.RowsLoaded), count(s.RowsRejected), u.share(s.RowsRejected, s.RowsRead)))
	switch {
	case s.Passage.Kind == ecluse.Dry:
		fmt.Fprintln(&b, u.say("  it was dry: nothing was written or read back; %d checks were counted on the rows as they would be written, and %d differ",
			"  c'était un essai à vide : rien n'a été écrit ni relu ; %d contrôles comptés sur les lignes telles qu'elles seraient écrites, dont %d en écart", s.Checks, s.Differ))
	case s.Equal:
		fmt.Fprintln(&b, u.say("  read back and compared: equal", "  relu et comparé : égal"))
	default:
		fmt.Fprintln(&b, u.say("  read back and compared: different", "  relu et comparé : différent"))
	}
	u.hardlyTried(&b, s)
	for _, g := range s.Rejected {
		fmt.Fprintf(&b, "    %s  %s  %s\n", g.Dataset, g.Count, printable(g.By))
	}
	u.renumbered(&b, "  ", s.Renumbered)
	if s.Unnumbered {
		fmt.Fprintln(&b, u.say("  which rows get other numbers under this mapping, its first passage says", "  quelles lignes changent de numéro avec cette table de transcodage, son premier passage le dira"))
	}
	u.text(b.String())
}

// share is a part of a whole in parts of a hundred; nothing of nothing.
func (u *ui) share(part, whole int64) string {
	if part <= 0 || whole <= 0 {
		return ""
	}
	return u.say(" (%.1f %%)", " (%.1f %%)", 100*float64(part)/float64(whole))
}

// hardlyTried names what that passage did not try.
func (u *ui) hardlyTried(b *strings.Builder, s *desk.Since) {
	for _, d := range s.Unmapped {
		fmt.Fprintln(b, u.paint(yellow, u.say("  ! no row of %s came to anything", "  ! aucune ligne de %s n'a abouti", d)))
	}
	for _, d := range s.Scant {
		fmt.Fprintln(b, u.paint(yellow, u.say("  ! more than half the rows of %s were put aside", "  ! plus de la moitié des lignes de %s ont été mises de côté", d)))
	}
}

// readSince shows a read plan as the difference from the last one that both parties approved.
func (u *ui) readSince(s *desk.ReadSince) {
	if s == nil {
		return
	}
	var b strings.Builder
	fmt.Fprintln(&b, u.say("%d changes since the read plan that both parties approved, %s:", "%d changements depuis le plan de lecture que les deux parties ont approuvé, %s :", len(s.Changes), s.ReadPlan))
	u.changes(&b, s.Changes)
	u.text(b.String())
}

// changes lists what a plan says otherwise than one before it.
func (u *ui) changes(b *strings.Builder, all []mandate.Change) {
	for _, x := range all {
		fmt.Fprintf(b, "  %s  %s\n", u.paint(bold, printable(x.Where)), printable(u.sentence(x.What)))
		if x.Before != "" {
			fmt.Fprintf(b, "    %s\n", u.paint(red, "- "+printable(x.Before)))
		}
		if x.After != "" {
			fmt.Fprintf(b, "    %s\n", u.paint(green, "+ "+printable(x.After)))
		}
	}
}

// renumbered says whose rows got other numbers than in the pass before.
func (u *ui) renumbered(b *strings.Builder, indent string, r *ecluse.Renumbering) {
	if r != nil {
		defer func() {
			for i := range r.Also {
				u.renumbered(b, indent, &r.Also[i])
			}
		}()
	}
	switch {
	case r == nil:
		return
	case r.Lost:
		fmt.Fprintln(b, indent+u.paint(yellow, u.say("! what earlier passages numbered is lost at the target gate: whether rows are renumbered is not known",
			"! les numéros des passages précédents sont perdus côté nouveau logiciel : impossible de savoir si des lignes changent de numéro")))
		return
	case len(r.Tables) == 0:
		fmt.Fprintln(b, indent+u.say("the same numbers as in %s", "les mêmes numéros que dans %s", u.passageWord(r.Since)))
		return
	}
	same := ""
	if r.SameMapping {
		same = u.say(", under the same mapping", ", avec la même table de transcodage")
	}
	for _, t := range r.Tables {
		line := u.say("! renumbered since %s%s: %s.%s from chunk %s", "! numéros changés depuis %s%s : %s.%s à partir du paquet %s", u.passageWord(r.Since), same, t.Table, t.Column, u.chunk(t.From))
		if t.Base {
			line += u.say(" (the counter begins elsewhere)", " (le compteur part d'ailleurs)")
		}
		fmt.Fprintln(b, indent+u.paint(yellow, line))
	}
}

// passageWord names a passage.
func (u *ui) passageWord(p ecluse.Passage) string {
	return fmt.Sprintf("%s %d", u.kindWord(p.Kind), p.Number)
}

// shape shows what a mapping writes.
func (u *ui) shape(s *ecluse.Shape) {
	var b strings.Builder
	for _, d := range s.Datasets {
		for _, t := range d.Into {
			fmt.Fprintf(&b, "%s → %s\n", d.Dataset, u.paint(bold, t.Table.String()))
			w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
			for _, col := range t.Columns {
				fmt.Fprintf(w, "  %s\t%s\t= %s\n", col.Column, col.Type, ecluse.OneLine(col.From))
			}
			w.Flush()
		}
	}
	u.text(b.String())
}

// unused warns of columns that travel for nothing.
func (u *ui) unused(columns []string) {
	if len(columns) == 0 {
		return
	}
	u.text(u.paint(yellow, u.say("! instructed, and the mapping has no use for: %s", "! instruit, sans emploi dans la table de transcodage : %s", strings.Join(columns, ", "))) + "\n")
	u.tell("  what is not needed is not to be asked for (GDPR art. 5(1)(c)): take it out of the instruction", "  ce qui n'est pas nécessaire n'a pas à être demandé (RGPD art. 5(1)(c)) : retirez-le de l'instruction")
}

type applyCmd struct {
	which
	Plan      string        `arg:"" optional:"" placeholder:"FILE" help:"${apply_plan}"`
	DryRun    bool          `help:"${apply_dry}" xor:"kind"`
	Rehearsal bool          `help:"${apply_rehearsal}" xor:"kind"`
	CatchUp   bool          `help:"${apply_catch_up}" xor:"up"`
	EndUp     bool          `name:"end-catch-up" help:"${apply_end_catch_up}" xor:"up"`
	Until     time.Time     `placeholder:"2026-03-14T06:00:00Z" help:"${apply_until}"`
	Every     time.Duration `default:"1h" help:"${apply_every}"`
	as
}

func (x *applyCmd) Run(ctx context.Context, c *call) error {
	q := desk.ApplyRequest{Migration: x.Migration, Passage: ecluse.Final, CatchUp: x.CatchUp, GiveUp: x.EndUp}
	if !x.Until.IsZero() && !x.CatchUp {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "apply", Where: "--until", Why: "it goes with --catch-up"}
	}
	if x.Every < time.Minute {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "apply", Where: "--every", Why: "want a minute at least"}
	}
	switch {
	case x.DryRun:
		q.Passage = ecluse.Dry
	case x.Rehearsal:
		q.Passage = ecluse.Rehearsal
	}
	if x.Plan != "" {
		var err error
		if q.Plan, err = readFile(x.Plan); err != nil {
			return err
		}
	}
	return c.with(ctx, func(d *desk.Desk) error {
		q.Watch, q.Away = c.ui.watch(nil), c.ui.away
		return x.repeat(time.Now, func() error {
			v, err := d.Apply(ctx, q)
			if err != nil {
				return c.ui.leaving(ctx, err, "apply")
			}
			c.ui.applied(v)
			if !x.Until.IsZero() { // one a line: others may follow
				c.ui.objectLine(v)
				return nil
			}
			return c.ui.object(v)
		}, func(next time.Time) error {
			c.ui.tell("caught up; again at %s, until %s", "rattrapage fait ; le prochain à %s, jusqu'au %s",
				next.Local().Format("15:04:05"), x.Until.Local().Format("2006-01-02 15:04:05 MST"))
			if sleepUntil(ctx, next) != nil {
				return &ecluse.Error{
					Kind: ecluse.Interrupted, What: c.ui.say("repeat", "répéter"), Why: c.ui.say("it was stopped between two catch-ups; the last one stands", "arrêt entre deux rattrapages ; le dernier tient"),
					Next: c.ui.say("run the same command again: it catches up at once", "relancez la même commande : elle rattrape aussitôt"),
				}
			}
			return nil
		})
	})
}

// repeat does something once or, with --until, over and over until then.
func (x *applyCmd) repeat(now func() time.Time, once func() error, wait func(next time.Time) error) error {
	for {
		if err := once(); err != nil {
			return err
		}
		next, more := x.next(now())
		if !more {
			return nil
		}
		if err := wait(next); err != nil {
			return err
		}
	}
}

// next is when to catch up again: every so often, the last time at the end that was asked for.
func (x *applyCmd) next(now time.Time) (time.Time, bool) {
	if !now.Before(x.Until) {
		return time.Time{}, false
	}
	if next := now.Add(x.Every); next.Before(x.Until) {
		return next, true
	}
	return x.Until, true
}

// sleepUntil waits by the wall clock: a machine that sleeps meanwhile wakes late, not never.
func sleepUntil(ctx context.Context, at time.Time) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for time.Now().Before(at) {
		select {
		case <-t.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// away tells of a gate that is waited for.
func (u *ui) away(at exchange.Place, seen time.Time) {
	u.clear()
	gate := u.say("source gate", "programme côté ancien logiciel")
	if at == exchange.TargetPlace {
		gate = u.say("target gate", "programme côté nouveau logiciel")
	}
	last := u.say("not heard of since the server started", "sans nouvelles depuis le démarrage du serveur")
	if !seen.IsZero() {
		last = u.say("last heard of %s", "dernières nouvelles le %s", seen.Local().Format("2006-01-02 15:04:05 MST"))
	}
	fmt.Fprintf(u.err, "ecluse: %s\n", u.say("waiting for the %s, %s; it goes on by itself when the gate runs again: ecluse gate run DIR, where it stands",
		"en attente du %s, %s ; cela reprend de soi-même quand le programme tourne de nouveau : ecluse gate run DIR, là où il se trouve", gate, last))
}

// leaving says, when whoever watches goes away, that the gates do not.
func (u *ui) leaving(ctx context.Context, err error, verb string) error {
	if ctx.Err() == nil {
		return err
	}
	return &ecluse.Error{
		Kind: ecluse.Interrupted, What: u.say("stop watching", "cesser de suivre"), Why: u.say("the gates go on", "les programmes continuent"),
		Next: u.say("`ecluse %s` shows it again, `ecluse suspend` stops it", "`ecluse %s` le montre de nouveau, `ecluse suspend` l'arrête", verb),
	}
}

func (u *ui) applied(v *desk.Applied) {
	if v.GivenUp {
		u.tell("given up: nothing of the later reading is loaded, and the passage is as it was compared", "abandonnée : rien de la relecture n'est chargé, et le passage est tel qu'il a été comparé")
		return
	}
	if v.Read != nil {
		u.tell("read    %12s rows in %d chunks, %s sealed, epoch %d", "lu      %12s lignes en %d paquets, %s scellés, époque %d",
			count(v.RowsRead), v.Chunks, size(v.Bytes), v.Read.Epoch)
		for _, d := range slices.Sorted(maps.Keys(v.Read.Changed)) {
			u.tell("        %12s rows of %s stand in parts of it that changed since the reading before", "        %12s lignes de %s se trouvent dans des parties modifiées depuis la lecture précédente",
				count(v.Read.Changed[d]), d)
		}
		if v.Read.Reading > 0 && len(v.Read.Changed) == 0 {
			u.tell("        nothing changed since the reading before", "        rien n'a changé depuis la lecture précédente")
		}
		u.extract(v.Read)
	}
	if v.Load != nil {
		u.tell("loaded  %12s rows into %s; %s source rows put aside", "chargé  %12s lignes dans %s ; %s lignes source mises de côté", count(v.RowsLoaded), v.Load.System, count(v.RowsRejected))
		u.unmapped(v.Load)
		if v.Load.Compared != nil {
			var b strings.Builder
			u.renumbered(&b, "", v.Load.Compared.Renumbered)
			u.text(b.String())
		}
		u.verdict(v.Load)
		if v.Passage.Kind == ecluse.Rehearsal {
			u.tell("  a rehearsal is never accepted: ecluse undo --as KEY takes it out of %s, and before its deadline the lock does", "  une migration à blanc n'est jamais reçue : ecluse undo --as CLÉ la retire de %s, et à son échéance l'écluse le fait", v.Load.System)
		}
	}
}

func (u *ui) verdict(s *gate.LoadStatement) {
	switch p := s.Compared; {
	case p == nil:
	case s.Passage.Kind == ecluse.Dry:
		u.dryVerdict(p)
	case p.Equal:
		u.text(u.paint(green, u.say("= equal: nothing missing, nothing extra, nothing altered", "= égal : rien ne manque, rien en trop, rien d'altéré")) + "\n")
	default:
		u.text(u.paint(red, u.say("≠ different: see `ecluse report`", "≠ différent : voir `ecluse report`")) + "\n")
	}
}

// dryVerdict says what a dry run compared, and what it could not.
func (u *ui) dryVerdict(p *reconcile.Public) {
	compared, off := p.Tally()
	mark := u.mark(off == 0)
	if compared == 0 {
		mark = "?"
	}
	u.text(mark + " " + u.say("dry run: nothing was written, nothing read back; of %d checks %d were counted on the rows as they would be written, and %d differ",
		"essai à vide : rien n'a été écrit ni relu ; sur %d contrôles, %d comptés sur les lignes telles qu'elles seraient écrites, dont %d en écart", len(p.Checks), compared, off) + "\n")
}

type reportCmd struct {
	which
	Passage string `help:"${report_passage}" placeholder:"KIND-N"`
	as
}

func (x *reportCmd) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(d *desk.Desk) error {
		v, err := d.Report(ctx, x.Migration, x.Passage)
		if err != nil {
			return err
		}
		c.ui.report(v.LoadStatement)
		c.ui.disposed(v)
		c.ui.extract(v.Extract)
		c.ui.behind(v)
		return c.ui.object(v)
	})
}

type acceptCmd struct {
	which
	as
	Reject map[string]string `help:"${accept_reject}" placeholder:"REASON=DISPOSITION" mapsep:"none"`
	All    string            `help:"${accept_all}" placeholder:"DISPOSITION"`

	Reserve []string `help:"${accept_reserve}" placeholder:"DIFFERENCE=WHY=OWNER,DAY" sep:"none"`
}

func (x *acceptCmd) Run(ctx context.Context, c *call) error {
	q := desk.AcceptRequest{Migration: x.Migration, Dispositions: x.Reject, ForAll: x.All}
	for _, s := range x.Reserve {
		r, err := desk.ParseReservation(s)
		if err != nil {
			return err
		}
		q.Reservations = append(q.Reservations, r)
	}
	var err error
	if q.Key, err = x.signer(c); err != nil {
		return err
	}
	return c.with(ctx, func(d *desk.Desk) error {
		v, err := d.Accept(ctx, q)
		if err != nil {
			return err
		}
		c.ui.signature(v)
		if v.SaysGo {
			c.ui.tell("  nobody had said go: this acceptance is both", "  personne n'avait donné le feu vert : cette recette vaut les deux")
		}
		// Acceptance erases by itself; what keeps it from being done now is told,
		// and every command tries again.
		done, err := d.Due(ctx)
		if err != nil {
			return err
		}
		c.ui.due(*done)
		if v.Waits, err = d.Waits(ctx, v.Migration); err != nil {
			return err
		}
		if v.Waits != "" {
			c.ui.tell("  next: %s", "  ensuite : %s", v.Waits)
		}
		return c.ui.object(v)
	})
}

type dueCmd struct {
	Watch bool `help:"${due_watch}"`
	as
}

// duePause is how often --watch asks.
const duePause = 10 * time.Second

// The server does what is due by itself; to ask only makes it look now.
func (x *dueCmd) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(d *desk.Desk) error {
		v, err := d.Due(ctx)
		if err != nil {
			return err
		}
		c.ui.due(*v)
		if !x.Watch {
			if err := c.ui.object(v); err != nil {
				return err
			}
			return c.ui.failedOf(v)
		}
		c.ui.objectLine(v)
		for {
			select {
			case <-ctx.Done():
				return c.ui.failedOf(v)
			case <-time.After(duePause):
			}
			now, err := d.Due(ctx)
			switch {
			case ctx.Err() != nil:
				return c.ui.failedOf(v)
			case err != nil:
				return err
			}
			v = now
			if len(v.Done)+len(v.Failed) > 0 {
				c.ui.due(*v)
				c.ui.objectLine(v)
			}
		}
	})
}

func (u *ui) due(d exchange.DueView) {
	for _, it := range d.Done {
		u.tell("%s  done: %s %s", "%s  fait : %s %s", d.Now.Local().Format(time.DateTime), u.dueWord(it.What), it.Migration)
	}
	for _, it := range d.Failed {
		u.tell("%s  %s", "%s  %s", d.Now.Local().Format(time.DateTime), u.failedDue(it))
	}
	if !d.Next.IsZero() {
		u.tell("next due: %s", "prochaine échéance : %s", d.Next.Local().Format("2006-01-02 15:04 MST"))
	}
}

// failedOf ends a look at what was due otherwise than well when some of it failed: with
// the code of what is worst, which is not that it waits for somebody. Whoever runs it
// by the clock sees no more.
func (u *ui) failedOf(v *exchange.DueView) error {
	if len(v.Failed) == 0 {
		return nil
	}
	worst := v.Failed[0]
	for _, it := range v.Failed {
		if worst.Kind == ecluse.WaitsForSign {
			worst = it
		}
	}
	if u.json {
		return exit(worst.Kind.ExitCode()) // the object has all of it
	}
	return &ecluse.Error{
		Kind: cmp.Or(worst.Kind, ecluse.Failed), What: u.say("do what is due", "faire ce qui est échu"), Where: string(worst.Migration),
		Why:  u.say("%d failed: %s: %s", "%d en échec : %s : %s", len(v.Failed), u.dueWord(worst.What), u.sentence(worst.Why)),
		Next: u.say("it is tried again by itself; put right what it says, and `ecluse due` tries at once", "nouvel essai de lui-même ; corrigez ce qui est dit, et `ecluse due` essaie aussitôt"),
	}
}

// failedDue says what was due and could not be done.
func (u *ui) failedDue(it exchange.DueItem) string {
	return u.say("! due and failed, will be tried again: %s %s: %s", "! échu et manqué, sera retenté : %s %s : %s", u.dueWord(it.What), it.Migration, u.sentence(it.Why))
}

package cli

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/demo"
	"ecluse/internal/desk"
	"ecluse/internal/procedure"
)

type evidenceCmd struct {
	which
	Dir string `arg:"" help:"${evidence_dir}"`
	as
}

func (x *evidenceCmd) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(d *desk.Desk) error {
		v, err := d.Evidence(ctx, x.Migration, x.Dir)
		if err != nil {
			return err
		}
		c.ui.tell("%d files in %s, listed in SHA256SUMS and signed by both gates", "%d fichiers dans %s, énumérés dans SHA256SUMS et signés par les deux programmes", v.Files, v.Dir)
		c.ui.tell("check them anywhere:\n  %s\n  %s", "à vérifier où l'on veut :\n  %s\n  %s", v.Verify, v.VerifySh)
		return c.ui.object(v)
	})
}

type verifyCmd struct {
	Dir        string             `arg:"" help:"${verify_dir}"`
	Controller ecluse.Fingerprint `placeholder:"SHA256:…" help:"${root_controller}"`
	Processor  ecluse.Fingerprint `placeholder:"SHA256:…" help:"${root_processor}"`
	Receipts   string             `placeholder:"DIR" help:"${verify_receipts}"`
}

func (x *verifyCmd) Run(ctx context.Context, c *call) error {
	roots := map[ecluse.Side]ecluse.Fingerprint{}
	if x.Controller != "" {
		roots[ecluse.Controller] = x.Controller
	}
	if x.Processor != "" {
		roots[ecluse.Processor] = x.Processor
	}
	bundle := os.DirFS(x.Dir)
	report := evidence.Verify(bundle, roots)
	held, err := x.receipts(c, bundle)
	if err != nil {
		return err
	}
	v := verdictOf(report)
	if held != nil {
		hidden := report.CheckReceipts(bundle, held.all)
		v = verdictOf(report)
		v.Receipts = &receipts{Folder: held.folder, Checked: len(held.all), Others: held.others, Hidden: []hiddenAct{}}
		for _, k := range hidden {
			v.Receipts.Hidden = append(v.Receipts.Hidden, hiddenAct{k.Act, k.At, k.File})
		}
	}
	c.ui.text(c.ui.checked(report).Text())
	c.ui.receipts(v.Receipts)
	if err := c.ui.object(v); err != nil {
		return err
	}
	if !report.OK() {
		return exit(ecluse.Unverified.ExitCode())
	}
	return nil
}

// checked is a report in the language of the screen; its verdict has none.
func (u *ui) checked(r evidence.Report) evidence.Report {
	r.Warnings, r.Lines = slices.Clone(r.Warnings), slices.Clone(r.Lines)
	for i, w := range r.Warnings {
		r.Warnings[i] = u.sentence(w)
	}
	for i, l := range r.Lines {
		r.Lines[i].Check = u.sentence(l.Check) + u.say("", " ") // before the colon that Text writes
		r.Lines[i].Why = u.sentence(l.Why)
	}
	return r
}

// heldReceipts are receipts that evidence is held against.
type heldReceipts struct {
	folder string
	all    []evidence.Kept
	others int // of another lock's key: they are about another journal
}

// receipts reads those of the folder named or, when none is, those that this device
// keeps beside its plans for the migration and that the bundle's lock signed; nil:
// there are none. Neither needs a configuration, or a line.
func (x *verifyCmd) receipts(c *call, bundle fs.FS) (*heldReceipts, error) {
	tree, lock, err := evidence.Journal(bundle)
	m := ecluse.MigrationID(tree)
	known := err == nil && filepath.IsLocal(tree) && filepath.Base(tree) == tree // otherwise the verdict says what is wrong with the bundle
	if x.Receipts != "" {
		folder := x.Receipts
		if below := filepath.Join(folder, tree); known && isDir(below) { // that of all migrations was named
			folder = below
		}
		all, err := evidence.Receipts(os.DirFS(folder))
		if err == nil && len(all) == 0 {
			err = &ecluse.Error{
				Kind: ecluse.Invalid, What: "read receipts", Where: folder, Why: "there are none in that folder",
				Next: "name the folder where the receipts of the migration are: plans/receipts/MIGRATION on the device that handed its acts in",
			}
		}
		return &heldReceipts{folder: folder, all: all}, err
	}
	folder := desk.ReceiptsOf(c.plans, m)
	if !known || !isDir(folder) {
		return nil, nil
	}
	all, err := evidence.Receipts(os.DirFS(folder))
	if err != nil {
		return nil, err
	}
	held := &heldReceipts{folder: folder}
	for _, k := range all {
		if by, err := k.By(); err == nil && by != lock {
			held.others++
			continue
		}
		held.all = append(held.all, k)
	}
	if len(all) == 0 {
		return nil, nil
	}
	return held, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// receipts tells what came of holding evidence against receipts.
func (u *ui) receipts(r *receipts) {
	if r == nil {
		return
	}
	u.tell("receipts it was held against: %d, of %s", "récépissés auxquels il a été confronté : %d, de %s", r.Checked, r.Folder)
	if r.Others > 0 {
		u.tell("note  receipts there that another lock signed, and that it was not held against: %d; --receipts %s takes all of them",
			"note  récépissés signés par une autre écluse, non confrontés : %d ; --receipts %s les prend tous", r.Others, r.Folder)
	}
	for _, h := range r.Hidden {
		u.tell("hidden by the server: act %s, handed in by %s (%s)", "caché par le serveur : acte %s, remis au plus tard le %s (%s)", h.Act, h.By.UTC().Format(time.RFC3339), h.File)
	}
	if len(r.Hidden) > 0 {
		u.tell("keep evidence and receipts as they are, and call the laboratory's data-protection officer",
			"gardez preuve et récépissés tels quels, et appelez le délégué à la protection des données du laboratoire")
	}
}

// verdict is what --json prints of a verification.
type verdict struct {
	Verdict  string   `json:"verdict"` // the first line: OK, KO, KO not anchored
	Anchored bool     `json:"anchored"`
	Warnings []string `json:"warnings"`
	Checks   []check  `json:"checks"`

	Receipts *receipts `json:"receipts,omitempty"` // what it was held against; none: nothing
}

// receipts is what came of holding evidence against what the server gave for acts.
type receipts struct {
	Folder  string      `json:"folder"`
	Checked int         `json:"checked"`
	Others  int         `json:"others"` // of another lock's key, not checked
	Hidden  []hiddenAct `json:"hidden"`
}

// hiddenAct is an act that the server took in and that its journal does not have.
type hiddenAct struct {
	Act  ecluse.Digest `json:"act"`
	By   time.Time     `json:"by"` // it was in by then
	File string        `json:"file"`
}

type check struct {
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	Why   string `json:"why"` // what is wrong; of a good check, what was seen
}

func verdictOf(r evidence.Report) verdict {
	v := verdict{Verdict: r.Verdict(), Anchored: r.Anchored, Warnings: append([]string{}, r.Warnings...), Checks: []check{}}
	for _, l := range r.Lines {
		v.Checks = append(v.Checks, check(l))
	}
	return v
}

type versionCmd struct{}

func (x *versionCmd) Run(ctx context.Context, c *call) error {
	v := app.Version()
	goVersion := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		goVersion = info.GoVersion
	}
	c.ui.text(fmt.Sprintf("ecluse %s (%s), %s %s\n", v, goVersion, c.ui.say("procedure", "procédure"), procedure.Digest()))
	return c.ui.object(map[string]any{"version": v, "go": goVersion, "procedure": procedure.Digest()})
}

type demoCmd struct {
	Patients int    `default:"2000" help:"${demo_patients}"`
	Dir      string `help:"${demo_dir}" placeholder:"DIR"`
	Prepare  bool   `help:"${demo_prepare}"`
}

func (x *demoCmd) Run(ctx context.Context, c *call) error {
	if x.Prepare {
		return x.prepare(ctx, c)
	}
	v, err := demo.Run(ctx, demo.Request{
		Patients: x.Patients, Dir: x.Dir,
		Tell:  func(s demo.Scene) { c.ui.scene(s) },
		Watch: c.ui.watch(demo.Expected(x.Patients)),
	})
	if err != nil {
		return err
	}
	c.ui.outcome(v)
	if err := c.ui.object(v); err != nil {
		return err
	}
	if !v.OK() {
		return exit(ecluse.Unverified.ExitCode())
	}
	return nil
}

func (x *demoCmd) prepare(ctx context.Context, c *call) error {
	v, err := demo.Prepare(ctx, demo.Request{Patients: x.Patients, Dir: x.Dir})
	if err != nil {
		return err
	}
	c.ui.tell("%s holds both laboratories, everybody's keys, a lock and the papers, none of them signed.",
		"%s contient les deux laboratoires, les clés de chacun, un dépôt et les documents, aucun n'étant signé.", v.Dir)
	c.ui.tell("next: cd %[1]s && ecluse room room &\n      ecluse context add first 'LINE', the one that it prints\n      ecluse roster add roster-controller.yaml --as keys/root-controller",
		"ensuite : cd %[1]s && ecluse room room &\n          ecluse context add first 'LIGNE', celle qu'il affiche\n          ecluse roster add roster-controller.yaml --as keys/root-controller", v.Dir)
	return c.ui.object(v)
}

// scene tells one step of the demonstration.
func (u *ui) scene(s demo.Scene) {
	if u.json {
		return
	}
	u.clear()
	if s.Number > 0 {
		u.text("\n" + u.paint(bold, fmt.Sprintf("%2d. %s", s.Number, u.say(s.Title.EN, s.Title.FR))) + "\n")
		u.text(u.lock(s.Place))
	}
	for _, l := range s.Lines {
		u.text("    " + u.say(l.EN, l.FR) + "\n")
	}
}

// outcome is the last screen of the demonstration.
func (u *ui) outcome(v *demo.Outcome) {
	if u.json {
		return
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(en, fr, value string) { fmt.Fprintf(w, "    %s\t%s\n", u.say(en, fr), value) }
	row("rows read", "lignes lues", count(v.RowsRead))
	row("rows loaded", "lignes chargées", count(v.RowsLoaded))
	row("source rows put aside", "lignes source mises de côté", count(v.RowsRejected))
	row("columns refused", "colonnes refusées", u.say("%d, of which %d of log-ins and passwords", "%d, dont %d d'identifiants et mots de passe", v.ColumnsRefused, v.Credentials))
	row("comparison", "comparaison", map[bool]string{true: u.paint(green, u.say("= equal", "= égal")), false: u.paint(red, u.say("≠ different", "≠ différent"))}[v.Reconciled])
	erased := u.paint(red, u.say("no", "non"))
	switch {
	case v.Erased:
		erased = u.say("keys destroyed, ciphertext deleted, looked for: 0 files left", "clés détruites, chiffré supprimé, recherché : 0 fichier restant")
	case v.FilesLeft > 0:
		erased = u.paint(red, u.say("no: %d files of keys and ciphertext are left", "non : il reste %d fichiers de clés et de chiffré", v.FilesLeft))
	}
	row("erased", "effacé", erased)
	row("canaries outside the old database", "canaris hors de l'ancienne base", count(int64(v.CanariesFound)))
	proof := v.Verdict
	if proof == "" {
		proof = u.paint(red, u.say("none", "aucune"))
	}
	row("evidence", "preuve", proof)
	row("signatures asked of the controller", "signatures demandées au responsable", fmt.Sprint(v.ControllerSignatures))
	row("time", "durée", fmt.Sprintf("%.1f s, %s %s/s", v.Seconds, count(int64(float64(v.RowsRead)/max(v.PassageSeconds, 0.001))), u.say("rows", "lignes")))
	row("peak memory", "mémoire au plus haut", u.say("%.0f MiB, the largest of three processes", "%.0f MiB, le plus grand de trois processus", v.PeakRSSMiB))
	w.Flush()
	u.text("\n" + b.String())
	if !v.OK() {
		u.text("\n    " + u.paint(red, u.say("This went wrong: see the lines above. Everything is still in %s", "Cela s'est mal passé : voir les lignes ci-dessus. Tout est encore dans %s", v.Dir)) + "\n")
	}
	if v.Bundle == "" {
		return
	}
	u.tell("\n    Verify it yourself:\n    sh %[1]s/verify.sh %[1]s --controller %[2]s --processor %[3]s", "\n    Vérifiez vous-même :\n    sh %[1]s/verify.sh %[1]s --controller %[2]s --processor %[3]s",
		v.Bundle, v.Roots.Controller, v.Roots.Processor)
}

// lock draws the lock as it stands: which gate is open, what is in the chamber.
func (u *ui) lock(p procedure.Place) string {
	source, chamber, target := "┃", "      ", "┃"
	var note string
	switch p.Migration {
	case procedure.Reading:
		source, chamber, note = "┆", "≈ ≈   ", u.say("source gate open: sealed chunks come in", "porte amont ouverte : des paquets scellés entrent")
	case procedure.Sealed:
		chamber, note = "≈ ≈ ≈ ", u.say("both gates closed: the chamber is sealed", "portes fermées : le dépôt est scellé")
	case procedure.Accepted, procedure.Erasing:
		chamber, note = "≈ ≈ ≈ ", u.say("accepted: erasure comes by itself", "recette prononcée : l'effacement vient de lui-même")
	case procedure.Erased, procedure.Closed:
		chamber, note = "      ", u.say("empty: keys destroyed, nothing left", "vide : clés détruites, plus rien")
	default:
		note = u.say("both gates closed, nothing inside", "portes fermées, rien dedans")
	}
	switch p.Passage {
	case procedure.Loading:
		target, note = "┆", u.say("target gate open: opened, mapped, loaded", "porte aval ouverte : ouvert, transcodé, chargé")
	case procedure.Live:
		note = u.say("go was said: the laboratory works in the new software", "feu vert donné : le laboratoire travaille dans le nouveau logiciel")
	case procedure.InUse:
		note = u.say("in use, and not accepted: it stays in the target", "en service, sans recette : il reste dans la cible")
	case procedure.Declined:
		note = u.say("no-go was said: the passage waits to be undone", "feu vert refusé : le passage attend d'être annulé")
	case procedure.Loaded, procedure.Compared:
		note = u.say("loaded; the target is read back and compared", "chargé ; la cible est relue et comparée")
	}
	old, fresh := u.say("old lab", "ancien"), u.say("new lab", "nouveau")
	return fmt.Sprintf("    %-8s ~~~~%s %s %s~~~~ %-8s  %s\n", old, source, u.paint(blue, chamber), target, fresh, u.paint(dim, note))
}

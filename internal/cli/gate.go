package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/config"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/wire"
)

// gateCmd is what is done at a gate's own console.
type gateCmd struct {
	Enrol   gateEnrolCmd   `cmd:"" help:"${gate_enrol}"`
	Run     gateRunCmd     `cmd:"" help:"${gate_run}"`
	Carry   gateCarryCmd   `cmd:"" help:"${gate_carry}"`
	Check   gateCheckCmd   `cmd:"" help:"${gate_check}"`
	Config  gateConfigCmd  `cmd:"" help:"${gate_config}"`
	Hold    gateHoldCmd    `cmd:"" help:"${gate_hold}"`
	Rejects gateRejectsCmd `cmd:"" help:"${gate_rejects}"`
	Report  gateReportCmd  `cmd:"" help:"${gate_report}"`
	Grants  gateGrantsCmd  `cmd:"" help:"${grants}"`
}

// inGate names a gate's folder.
type inGate struct {
	Dir string `arg:"" help:"${gate_dir}"`
}

// carriedTo names what was carried to a gate without a line.
type carriedTo struct {
	Carried string `help:"${gate_carried}" placeholder:"DIR"`
}

// beside runs f beside the gate.
func (x inGate) beside(folder string, f func(*app.Beside) error) error {
	b, err := app.OpenGateWith(x.Dir, folder)
	if err != nil {
		return err
	}
	return errors.Join(f(b), b.Close())
}

type gateEnrolCmd struct {
	inGate
	Place      string             `arg:"" enum:"source,target" help:"${gate_place}"`
	Line       string             `arg:"" help:"${context_line}"`
	System     string             `required:"" help:"${gate_system}" placeholder:"NAME"`
	StandsAt   string             `required:"" help:"${gate_stands_at}" placeholder:"WHERE"`
	MachineBy  []ecluse.Side      `required:"" help:"${gate_machine}" placeholder:"PARTY,…"`
	DatabaseBy []ecluse.Side      `required:"" help:"${gate_database}" placeholder:"PARTY,…"`
	Controller ecluse.Fingerprint `placeholder:"SHA256:…" help:"${gate_root_controller}"`
	Processor  ecluse.Fingerprint `placeholder:"SHA256:…" help:"${gate_root_processor}"`
	Carried    string             `help:"${gate_enrol_carried}" placeholder:"DIR"`
}

func (x *gateEnrolCmd) Run(ctx context.Context, c *call) error {
	line, err := config.ParseLine(x.Line)
	if err != nil {
		return err
	}
	machine, err := parties("--machine-by", x.MachineBy)
	if err != nil {
		return err
	}
	database, err := parties("--database-by", x.DatabaseBy)
	if err != nil {
		return err
	}
	for _, r := range []struct {
		root *ecluse.Fingerprint
		ask  string
	}{
		{&x.Controller, c.ui.say("the fingerprint of the controller's root key, as the laboratory reads it to you:", "l'empreinte de la clé racine du responsable de traitement, telle que le laboratoire vous la lit :")},
		{&x.Processor, c.ui.say("the fingerprint of the processor's root key, as the processor reads it to you:", "l'empreinte de la clé racine du sous-traitant, telle qu'il vous la lit :")},
	} {
		if _, ok := c.terminal(); *r.root != "" || !ok {
			continue
		}
		typed, err := c.typed(r.ask)
		if err != nil {
			return err
		}
		*r.root = ecluse.Fingerprint(strings.TrimSpace(typed))
	}
	v, err := app.Enrol(ctx, app.EnrolRequest{
		Dir: x.Dir, Place: exchange.Place(x.Place), Line: line, Roots: config.Roots{Controller: x.Controller, Processor: x.Processor},
		System: x.System, StandsAt: x.StandsAt, Machine: machine, Database: database, Carried: x.Carried,
	})
	if err != nil {
		return err
	}
	c.ui.enrolled(v, x.Carried)
	return c.ui.object(v)
}

// parties puts parties into the order in which papers name them.
func parties(flag string, given []ecluse.Side) ([]ecluse.Side, error) {
	by := map[ecluse.Side]bool{}
	for _, s := range given {
		if s != ecluse.Controller && s != ecluse.Processor {
			return nil, &ecluse.Error{
				Kind: ecluse.Invalid, What: "enrol the gate", Where: flag, Why: "want controller, processor or controller,processor",
				Next: "name the party whose people administer it, never a person",
			}
		}
		by[s] = true
	}
	var all []ecluse.Side
	for _, s := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		if by[s] {
			all = append(all, s)
		}
	}
	return all, nil
}

// enrolled shows what a gate believes, to be compared, and its words.
func (u *ui) enrolled(v *app.Enrolled, carried string) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(label, value string) { fmt.Fprintf(w, "  %s\t%s\n", label, value) }
	line(u.say("this gate", "ce programme"), string(v.Gate))
	line(u.say("server", "serveur"), v.Server)
	line(u.say("its key", "sa clé"), v.Pin.String())
	line(u.say("laboratory", "laboratoire"), v.Laboratory)
	line(u.say("key of its journal", "clé de son journal"), string(v.Lock))
	line(u.say("root of the controller", "racine du responsable de traitement"), string(v.Roots.Controller))
	line(u.say("root of the processor", "racine du sous-traitant"), string(v.Roots.Processor))
	w.Flush()
	u.text(b.String())
	u.tell("Have both roots read out by telephone, each by its own party, on numbers you knew before: this gate believes them for good.",
		"Faites-vous lire les deux racines au téléphone, chacune par sa partie, à des numéros que vous connaissiez déjà : ce programme s'y fie définitivement.")
	english, french := v.English, v.French
	if u.french {
		english, french = french, english
	}
	u.text("\n    " + u.paint(bold, english) + "\n    " + french + "\n\n")
	if carried != "" {
		u.enrolledByHand(v, carried)
		return
	}
	u.tell("Read these eight words, in either language, by telephone to the controller's signatory, who runs: ecluse gates confirm\n"+
		"Meanwhile write the database's settings in %s/%s, then: ecluse gate check %[1]s; ecluse gate run %[1]s",
		"Lisez ces huit mots, dans l'une ou l'autre langue, au téléphone au signataire du responsable de traitement, qui lance : ecluse gates confirm\n"+
			"En attendant, écrivez les paramètres de la base dans %s/%s, puis : ecluse gate check %[1]s ; ecluse gate run %[1]s", v.Dir, config.FileName)
}

// enrolledByHand says how what a gate without a line says is carried.
func (u *ui) enrolledByHand(v *app.Enrolled, folder string) {
	u.tell("Carry %[2]s to where there is a line: ecluse carry in %[2]s. There the controller's signatory confirms by these eight words: ecluse gates confirm\n"+
		"Meanwhile write the database's settings in %[1]s/%[3]s. What is asked of this gate comes by: ecluse carry out %[2]s; it is done here by: ecluse gate carry %[1]s %[2]s",
		"Portez %[2]s là où il y a une ligne : ecluse carry in %[2]s. Le signataire du responsable y confirme par ces huit mots : ecluse gates confirm\n"+
			"En attendant, écrivez les paramètres de la base dans %[1]s/%[3]s. Ce qui est demandé à ce programme arrive par : ecluse carry out %[2]s ; il le fait ici par : ecluse gate carry %[1]s %[2]s",
		v.Dir, folder, config.FileName)
}

type gateRunCmd struct {
	inGate
	Once bool `help:"${gate_once}"`
}

func (x *gateRunCmd) Run(ctx context.Context, c *call) error {
	d := &doings{ui: c.ui, watch: map[string]func(exchange.Progress){}}
	if !x.Once {
		d.say("gate in %s: waiting for work; stop it with Ctrl-C or SIGTERM", "programme de %s : en attente de travail ; arrêt par Ctrl-C ou SIGTERM", x.Dir)
	}
	if err := app.RunGate(ctx, x.Dir, app.RunOptions{Once: x.Once, Tell: d.tell}); err != nil {
		return err
	}
	c.ui.clear()
	if x.Once && ctx.Err() == nil {
		d.say("nothing is asked of this gate any more", "plus rien n'est demandé à ce programme")
	}
	return nil
}

// doings tells what a gate does, on stderr for people and as lines of JSON.
type doings struct {
	ui    *ui
	mu    sync.Mutex
	watch map[string]func(exchange.Progress) // of work under way
}

// doingView is a line of --json.
type doingView struct {
	At        time.Time          `json:"at"`
	Work      string             `json:"work,omitempty"`
	Verb      exchange.Verb      `json:"verb,omitempty"`
	Migration ecluse.MigrationID `json:"migration,omitempty"`
	Passage   *ecluse.Passage    `json:"passage,omitempty"`
	Progress  *exchange.Progress `json:"progress,omitempty"`
	Done      bool               `json:"done,omitempty"`
	Error     string             `json:"error,omitempty"`
	Near      *exchange.Deadline `json:"near,omitempty"`
}

func (d *doings) say(en, fr string, args ...any) {
	if !d.ui.json {
		d.ui.clear()
		fmt.Fprintln(d.ui.err, d.ui.say(en, fr, args...))
	}
}

func (d *doings) tell(x gate.Doing) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ui.json {
		d.line(x)
		return
	}
	what := string(x.Work.Verb)
	if x.Work.Migration != "" {
		what += " " + string(x.Work.Migration)
	}
	if x.Work.Passage.Number > 0 {
		what += " " + x.Work.Passage.String()
	}
	switch {
	case x.Near != nil:
		d.say("! %s: %s", "! %s : %s", x.Work.Migration, d.ui.nearWord(*x.Near))
	case x.Work.ID == "" && x.Err != nil:
		d.say("no work from the server: %v; trying again", "pas de travail du serveur : %v ; nouvel essai", x.Err)
	case x.Work.ID == "":
		d.say("the server answers again", "le serveur répond de nouveau")
	case x.Progress != nil:
		if w := d.watch[x.Work.ID]; w != nil {
			w(*x.Progress)
		}
	case x.Done && x.Err != nil:
		delete(d.watch, x.Work.ID)
		d.say("%s: %v", "%s : %v", what, x.Err)
	case x.Done:
		delete(d.watch, x.Work.ID)
		d.say("%s: done", "%s : fait", what)
	default:
		d.watch[x.Work.ID] = d.ui.watch(nil)
		d.say("%s", "%s", what)
	}
}

// line is a doing as JSON; of progress the ends of stages alone, the lock has the rest.
func (d *doings) line(x gate.Doing) {
	if x.Progress != nil && !x.Progress.Done {
		return
	}
	v := doingView{
		At: time.Now().UTC().Truncate(time.Second), Work: x.Work.ID, Verb: x.Work.Verb, Migration: x.Work.Migration, Progress: x.Progress, Done: x.Done, Near: x.Near,
	}
	if x.Work.Passage.Number > 0 {
		v.Passage = &x.Work.Passage
	}
	if x.Err != nil {
		v.Error = x.Err.Error()
	}
	d.ui.objectLine(v)
}

type gateCheckCmd struct{ inGate }

func (x *gateCheckCmd) Run(ctx context.Context, c *call) error {
	all, err := app.CheckGate(ctx, x.Dir)
	if err != nil {
		return err
	}
	u := c.ui
	mark := map[wire.Level]string{
		wire.OK: u.paint(green, "ok  "), wire.Warn: u.paint(yellow, "warn"), wire.Stop: u.paint(red, "stop"),
	}
	parts := map[app.Part]string{
		app.PartFolder: u.say("folder", "dossier"), app.PartClock: u.say("clock", "horloge"), app.PartDatabase: u.say("database", "base"),
		app.PartNetwork: u.say("network", "réseau"), app.PartServer: u.say("server", "serveur"),
	}
	stops := false
	for _, f := range all {
		stops = stops || f.Level == wire.Stop
		u.tell("%s  %-9s %s", "%s  %-9s %s", mark[f.Level], parts[f.Part], u.sentence(u.say(f.Found.EN, f.Found.FR)))
		if f.Send != (wire.Text{}) {
			u.tell("      to send to whoever runs the network:\n      « %s »", "      à envoyer à qui tient le réseau :\n      « %s »", u.say(f.Send.EN, f.Send.FR))
		}
	}
	if err := u.object(map[string]any{"ok": !stops, "findings": all}); err != nil {
		return err
	}
	if stops {
		return exit(1)
	}
	return nil
}

type gateConfigCmd struct {
	Check gateConfigCheckCmd `cmd:"" help:"${gate_config_check}"`
}

type gateConfigCheckCmd struct{ inGate }

func (x *gateConfigCheckCmd) Run(_ context.Context, c *call) error {
	g, err := config.Load(x.Dir)
	if err != nil {
		return err
	}
	if g.Remote() {
		c.ui.tell("nothing is wrong in it: %s, asked for work by %s on %s", "rien à corriger : %s, au travail pour %s sur %s", g.Engine, g.Laboratory, g.Server)
	} else {
		c.ui.tell("nothing is wrong in it: %s, in one room with its lock", "rien à corriger : %s, dans la même pièce que son écluse", g.Engine)
	}
	view := map[string]any{"engine": g.Engine, "server": g.Server, "laboratory": g.Laboratory}
	if r := g.Rehearsal; r != nil {
		c.ui.tell("rehearsals go into %s: %s", "les migrations à blanc vont dans %s : %s", r.System, r.Engine)
		view["rehearsal"] = r.System
	}
	return c.ui.object(view)
}

type gateHoldCmd struct {
	inGate
	Because string `help:"${gate_because}" placeholder:"WHY" xor:"hold"`
	Release bool   `help:"${gate_release}" xor:"hold"`
}

func (x *gateHoldCmd) Run(_ context.Context, c *call) error {
	h, err := gate.OpenHome(x.Dir)
	if err != nil {
		return err
	}
	if x.Release {
		if err := h.Release(); err != nil {
			return err
		}
		c.ui.tell("The gate works again.", "Le programme travaille de nouveau.")
		return c.ui.object(map[string]any{"held": false})
	}
	if err := h.Hold(x.Because); err != nil {
		return err
	}
	c.ui.tell("The gate is held: it reads, loads, lends and compiles nothing, not even for an undoing; it still erases, and undoes what needs no loan. Again: ecluse gate hold %s --release",
		"Le programme est suspendu : il ne lit, ne charge, ne prête et ne compile rien, pas même pour une annulation ; il efface encore, et annule ce qui ne demande aucun prêt. Reprise : ecluse gate hold %s --release", x.Dir)
	return c.ui.object(map[string]any{"held": true, "because": strings.TrimSpace(x.Because)})
}

type gateReportCmd struct {
	inGate
	carriedTo
	which
	as
}

// Run shows the figures behind the report, to the laboratory alone.
func (x *gateReportCmd) Run(ctx context.Context, c *call) error {
	if err := c.ui.notIntoFile("show the exact figures"); err != nil {
		return err
	}
	key, err := x.signer(c)
	if err != nil {
		return err
	}
	return x.beside(x.Carried, func(b *app.Beside) error {
		v, err := b.ReportExact(ctx, x.Migration, key)
		if err != nil {
			return err
		}
		c.ui.personal()
		c.ui.report(v.LoadStatement)
		c.ui.extract(v.Extract)
		c.ui.exact(v.Exact)
		c.ui.findings(v.Findings)
		c.ui.leftRows(v.Left)
		return c.ui.object(v)
	})
}

type gateGrantsCmd struct {
	inGate
	Verb string `arg:"" enum:"inspect,read,load" help:"${grants_verb}"`
	User string `help:"${grants_user}"`
	Host string `help:"${grants_host}"`

	Rehearsal bool `help:"${grants_rehearsal}"`
	which
}

func (x *gateGrantsCmd) Run(ctx context.Context, c *call) error {
	return x.beside("", func(b *app.Beside) error {
		sql, err := b.Grants(ctx, app.GrantsRequest{Migration: x.Migration, Verb: x.Verb, User: x.User, Host: x.Host, Rehearsal: x.Rehearsal})
		if err != nil {
			return err
		}
		c.ui.text(sql)
		return c.ui.object(map[string]string{"sql": sql})
	})
}

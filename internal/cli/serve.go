package cli

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"ecluse"
	"ecluse/internal/app"
)

// gcPercent keeps a server small: what it holds is little, and most requests are
// garbage at once.
const gcPercent = 100

// memoryGoal is what a server lets its own heap and stacks grow to before it collects
// garbage more often: with fifty migrations open some 30 MiB of it are in use. The
// program itself and what SQLite holds are beside it; together they stay below 96 MiB.
const memoryGoal = 34 << 20

// serverAt are settings of a server's folder that the command line may replace.
type serverAt struct {
	Dir    string   `arg:"" help:"${server_dir}"`
	Public string   `help:"${server_public}" placeholder:"URL"`
	Host   []string `help:"${server_host}" placeholder:"NAME"`
}

func (x *serverAt) read() (*app.ServeOptions, error) {
	o, err := app.ServerFolder(x.Dir)
	if err != nil {
		return nil, err
	}
	if x.Public != "" {
		o.Config.Public = x.Public
	}
	o.Config.Hosts = append(x.Host, o.Config.Hosts...)
	return o, o.Config.Check()
}

type serveCmd struct {
	serverAt
	Listen  string `help:"${serve_listen}" placeholder:"ADDRESS:PORT"`
	Verbose bool   `help:"${serve_verbose}"`
}

func (x *serveCmd) Run(ctx context.Context, c *call) error {
	made, err := app.BeginServer(x.Dir, x.Public)
	if err != nil {
		return err
	}
	o, err := x.read()
	if err != nil {
		return err
	}
	if x.Listen != "" {
		o.Config.Listen = x.Listen
	}
	if made {
		c.ui.tell("Settings written: %s/server.yaml; its comments say what can be changed.", "Réglages écrits : %s/server.yaml ; ses commentaires disent ce qui peut être changé.", x.Dir)
	}
	o.Log = c.serverLog(x.Verbose)
	o.Ready = func(s app.Serving) {
		c.ui.tell("Serving at %s, until Ctrl-C; laboratories: %d.", "En service à %s, jusqu'à Ctrl-C ; laboratoires : %d.", s.Addr, len(s.Labs))
		c.ui.serving(&s)
		c.ui.objectLine(s)
	}
	if c.env.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if c.env.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryGoal)
	}
	if err := app.Serve(ctx, *o); err != nil {
		return err
	}
	c.ui.tell("Stopped; nothing is half done.", "Arrêté ; rien n'est fait à moitié.")
	return nil
}

// serverLog is where a server tells of what went wrong, and if asked of each request:
// ids and counts, on stderr.
func (c *call) serverLog(verbose bool) *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.LevelWarn}
	if verbose {
		o.Level = slog.LevelInfo
	}
	if c.ui.json {
		return slog.New(slog.NewJSONHandler(c.ui.err, o))
	}
	return slog.New(slog.NewTextHandler(c.ui.err, o))
}

// serving shows what must be given to people and gates.
func (u *ui) serving(s *app.Serving) {
	u.tell("Its key, for people and gates to compare: %s", "Sa clé, à comparer par les personnes et les programmes : %s", s.Pin)
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, l := range s.Labs {
		fmt.Fprintf(w, "  %s\t%s\n", l.ID, l.Line)
	}
	w.Flush()
	u.text(b.String())
	if len(s.Labs) == 0 {
		u.tell("No laboratory yet: ecluse lab add DIR NAME --controller SHA256:… --processor SHA256:…", "Pas encore de laboratoire : ecluse lab add DOSSIER NOM --controller SHA256:… --processor SHA256:…")
	}
}

type labCmd struct {
	Add  labAddCmd  `cmd:"" help:"${lab_add}"`
	List labListCmd `cmd:"" help:"${lab_list}"`
}

type labAddCmd struct {
	serverAt
	Name       string             `arg:"" help:"${lab_name}"`
	Controller ecluse.Fingerprint `required:"" placeholder:"SHA256:…" help:"${root_controller}"`
	Processor  ecluse.Fingerprint `required:"" placeholder:"SHA256:…" help:"${root_processor}"`
}

func (x *labAddCmd) Run(ctx context.Context, c *call) error {
	if _, err := app.BeginServer(x.Dir, x.Public); err != nil {
		return err
	}
	if _, err := x.read(); err != nil {
		return err
	}
	roots := map[ecluse.Side]ecluse.Fingerprint{ecluse.Controller: x.Controller, ecluse.Processor: x.Processor}
	if err := app.AddLab(ctx, x.Dir, x.Name, roots); err != nil {
		return err
	}
	o, err := x.read()
	if err != nil {
		return err
	}
	s, err := o.DescribeLabs(ctx)
	if err != nil {
		return err
	}
	for _, l := range s.Labs {
		if l.ID != x.Name {
			continue
		}
		c.ui.tell("Laboratory %s, on %s. Its people and gates need this line:", "Laboratoire %s, sur %s. À donner à ses personnes et à ses programmes :", l.ID, s.URL)
		c.ui.text(l.Line + "\n")
		c.ui.tell("A server that runs finds it when it is started again.", "Un serveur en marche le trouve quand il est redémarré.")
		return c.ui.object(l)
	}
	return nil
}

type labListCmd struct{ serverAt }

func (x *labListCmd) Run(ctx context.Context, c *call) error {
	o, err := x.read()
	if err != nil {
		return err
	}
	s, err := o.DescribeLabs(ctx)
	if err != nil {
		return err
	}
	c.ui.serving(s)
	return c.ui.object(s)
}

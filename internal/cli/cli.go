// Package cli is the command line: one file per group of commands, each command
// a thin call of package desk, over the laboratory that the context names. Results go to stdout (one JSON object with
// --json), progress and errors to stderr.
//
// Exit status: 0 done, 1 error, 2 plan differs, 3 refused by policy,
// 4 verification failed, 5 waits for a signature.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
	"golang.org/x/crypto/ssh"
	"golang.org/x/term"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/config"
	"ecluse/internal/desk"
)

// commands is the whole grammar. Help texts are looked up in help.go, by name,
// in the language of the screen.
type commands struct {
	JSON  bool   `name:"json" help:"${json_flag}"`
	Lang  string `help:"${lang_flag}" env:"ECLUSE_LANG" enum:",en,fr" default:""`
	In    string `name:"context" help:"${context_flag}" env:"ECLUSE_CONTEXT" placeholder:"NAME"`
	Plans string `help:"${plans_flag}" env:"ECLUSE_PLANS" default:"plans" placeholder:"DIR"`

	Init        initCmd        `cmd:"" help:"${init}"`
	Key         keyCmd         `cmd:"" help:"${key}"`
	Context     contextCmd     `cmd:"" help:"${context}"`
	Session     sessionCmd     `cmd:"" help:"${session}"`
	Logout      logoutCmd      `cmd:"" help:"${logout}"`
	Roster      rosterCmd      `cmd:"" help:"${roster}"`
	Contract    contractCmd    `cmd:"" help:"${contract}"`
	Inspect     inspectCmd     `cmd:"" help:"${inspect}"`
	Instruction instructionCmd `cmd:"" help:"${instruction}"`
	Mapping     mappingCmd     `cmd:"" help:"${mapping}"`
	Sign        signCmd        `cmd:"" help:"${sign}"`
	Plan        planCmd        `cmd:"" help:"${plan}"`
	Approve     approveCmd     `cmd:"" help:"${approve}"`
	Rehearse    rehearseCmd    `cmd:"" help:"${rehearse}"`
	Apply       applyCmd       `cmd:"" help:"${apply}"`
	Status      statusCmd      `cmd:"" help:"${status}"`
	Report      reportCmd      `cmd:"" help:"${report}"`
	Rejects     rejectsCmd     `cmd:"" help:"${rejects}"`
	Sheet       sheetCmd       `cmd:"" help:"${sheet}"`
	Go          goCmd          `cmd:"" help:"${go}"`
	NoGo        noGoCmd        `cmd:"" help:"${no_go}"`
	Accept      acceptCmd      `cmd:"" help:"${accept}"`
	Object      objectCmd      `cmd:"" help:"${object}"`
	Suspend     suspendCmd     `cmd:"" help:"${suspend}"`
	Resume      resumeCmd      `cmd:"" help:"${resume}"`
	Undo        undoCmd        `cmd:"" help:"${undo}"`
	Erase       eraseCmd       `cmd:"" help:"${erase}"`
	Due         dueCmd         `cmd:"" help:"${due}"`
	Gate        gateCmd        `cmd:"" help:"${gate}"`
	Gates       gatesCmd       `cmd:"" help:"${gates}"`
	Carry       carryCmd       `cmd:"" help:"${carry}"`
	Evidence    evidenceCmd    `cmd:"" help:"${evidence}"`
	Verify      verifyCmd      `cmd:"" help:"${verify}"`
	Demo        demoCmd        `cmd:"" help:"${demo}"`
	Serve       serveCmd       `cmd:"" help:"${serve}"`
	Room        roomCmd        `cmd:"" help:"${room}"`
	Lab         labCmd         `cmd:"" help:"${lab}"`
	Completion  completionCmd  `cmd:"" help:"${completion}"`
	Man         manCmd         `cmd:"" help:"${man}"`
	Version     versionCmd     `cmd:"" help:"${version}"`
}

// call is what every command gets.
type call struct {
	ui      *ui
	env     Env
	context string // the one named on the command line; empty for the current one
	plans   string // the folder that plans are written to
	key     string // what --as names; empty for the context's own

	opened map[string]ssh.Signer // keys, so that a passphrase is asked for once
}

// exit is an error that only carries an exit code: all has been said already.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Run parses the arguments, runs the command and returns the exit code.
func Run(ctx context.Context, env Env) int {
	lang, asJSON := peek(env)
	u := newUI(env, lang, asJSON)
	var c commands
	done := -1
	parser, err := u.grammar(&c,
		kong.Writers(env.Stdout, env.Stderr), kong.Exit(func(code int) { done = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}), kong.Help(u.helpPrinter),
	)
	if err != nil {
		return u.fail(err)
	}
	k, err := parser.Parse(env.Args)
	if done >= 0 { // --help
		return done
	}
	if err != nil {
		next := "ecluse --help"
		if own := (*ecluse.Error)(nil); errors.As(err, &own) && own.Next != "" { // of a flag's value
			next = own.Next
		}
		return u.fail(&ecluse.Error{Kind: ecluse.Invalid, What: u.say("read the command", "lire la commande"), Err: u.complaint(err), Next: next})
	}
	ctx, stop := underParent(ctx, env)
	defer stop()
	k.BindTo(ctx, (*context.Context)(nil))
	err = k.Run(&call{ui: u, env: env, context: c.In, plans: c.Plans, key: keyOf(k), opened: map[string]ssh.Signer{}})
	var code exit
	var known *ecluse.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case ctx.Err() != nil && !(errors.As(err, &known) && known.Kind == ecluse.Interrupted):
		return u.fail(&ecluse.Error{
			Kind: ecluse.Interrupted, What: u.say("stopped", "arrêté"), Err: err,
			Next: u.say("run the same command again: it goes on where it stopped", "relancez la même commande : elle reprend où elle s'est arrêtée"),
		})
	}
	return u.fail(err)
}

// grammar is the commands as kong sees them, in the language of the screen.
func (u *ui) grammar(c *commands, more ...kong.Option) (*kong.Kong, error) {
	return kong.New(c, append([]kong.Option{kong.Name("ecluse"), kong.Description(u.help("ecluse")), kong.PostBuild(u.helped)}, more...)...)
}

// underParent ends what runs when whoever started it does: its standard input ends with
// them (app.Start).
func underParent(ctx context.Context, env Env) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(ctx)
	if env.Getenv(app.ParentEnv) == "stdin" {
		go func() {
			_, _ = io.Copy(io.Discard, env.Stdin)
			stop()
		}()
	}
	return ctx, stop
}

// peek finds the flags that decide how even a wrong command line is answered.
func peek(env Env) (lang string, asJSON bool) {
	lang = env.Getenv("ECLUSE_LANG")
	for i, a := range env.Args {
		switch {
		case a == "--json":
			asJSON = true
		case a == "--lang" && i+1 < len(env.Args):
			lang = env.Args[i+1]
		case len(a) > 7 && a[:7] == "--lang=":
			lang = a[7:]
		}
	}
	return lang, asJSON
}

// keyOf is what --as names, of the commands that take it.
func keyOf(k *kong.Context) string {
	for _, f := range k.Flags() {
		if name, ok := k.FlagValue(f).(string); ok && f.Name == "as" {
			return name
		}
	}
	return ""
}

// device is this machine before the laboratory of the current context.
func (c *call) device() (*app.Device, error) {
	x, err := c.currentContext()
	if err != nil {
		return nil, err
	}
	sessions, err := config.SessionsFolder()
	if err != nil {
		return nil, err
	}
	return &app.Device{Context: x, Key: func() (ssh.Signer, error) { return c.signer(c.key) }, Sessions: sessions}, nil
}

// with runs f at the desk of whoever types: before the laboratory of the current
// context, logged in by the key that --as names or else the context.
func (c *call) with(ctx context.Context, f func(*desk.Desk) error) error {
	d, err := c.device()
	if err != nil {
		return err
	}
	return f(app.Remote(d, c.plans))
}

// signer opens the key of a name; without one, the key that the current context
// names.
func (c *call) signer(name string) (ssh.Signer, error) {
	if name == "" {
		x, err := c.currentContext()
		if err != nil {
			return nil, err
		}
		if name = x.Key; name == "" {
			return nil, &ecluse.Error{
				Kind: ecluse.WaitsForSign, What: c.ui.say("find your key", "trouver votre clé"),
				Why: c.ui.say("no key is named, and the context %s has none", "aucune clé n'est nommée, et le contexte %s n'en a pas", x.Name),
				Next: c.ui.say("add --as KEY: a key file, or the public key or fingerprint of a key in ssh-agent; or put it into ECLUSE_KEY",
					"ajoutez --as CLÉ : un fichier de clé, ou la clé publique ou l'empreinte d'une clé de ssh-agent ; ou mettez-la dans ECLUSE_KEY"),
			}
		}
	}
	if k := c.opened[name]; k != nil {
		return k, nil
	}
	k, err := desk.Signer(name, c.passphrase)
	if err == nil {
		c.opened[name] = k
	}
	return k, err
}

// as names the person at the keyboard: who logs in, and who signs.
type as struct {
	As string `help:"${as_flag}" placeholder:"KEY" env:"ECLUSE_KEY"`
}

func (a as) signer(c *call) (ssh.Signer, error) { return c.signer(a.As) }

// passphrase asks on the terminal, without echo.
func (c *call) passphrase(file string) ([]byte, error) {
	f, ok := c.env.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, &ecluse.Error{
			Kind: ecluse.WaitsForSign, What: "open key", Where: file, Why: "it has a passphrase and there is no terminal to ask for it",
			Next: "ssh-add " + file + " and sign with --as " + file + ".pub",
		}
	}
	fmt.Fprintf(c.env.Stderr, "%s ", c.ui.say("passphrase of %s:", "phrase de passe de %s :", file))
	defer fmt.Fprintln(c.env.Stderr)
	return term.ReadPassword(int(f.Fd()))
}

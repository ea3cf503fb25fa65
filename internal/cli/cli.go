// Package cli is the command line: one file per group of commands, each command
// a thin call of package app. Results go to stdout (one JSON object with
// --json), progress and errors to stderr.
//
// Exit status: 0 done, 1 error, 2 plan differs, 3 refused by policy,
// 4 verification failed, 5 waits for a signature.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/alecthomas/kong"
	"golang.org/x/crypto/ssh"
	"golang.org/x/term"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/desk"
)

// commands is the whole grammar. Help texts are looked up in help.go, by name,
// in the language of the screen.
type commands struct {
	Lock string `help:"${lock_flag}" default:"." env:"ECLUSE_LOCK" placeholder:"DIR"`
	JSON bool   `name:"json" help:"${json_flag}"`
	Lang string `help:"${lang_flag}" env:"ECLUSE_LANG" enum:",en,fr" default:""`
	In   string `name:"context" help:"${context_flag}" env:"ECLUSE_CONTEXT" placeholder:"NAME"`

	Init        initCmd        `cmd:"" help:"${init}"`
	Key         keyCmd         `cmd:"" help:"${key}"`
	Context     contextCmd     `cmd:"" help:"${context}"`
	Roster      rosterCmd      `cmd:"" help:"${roster}"`
	Contract    contractCmd    `cmd:"" help:"${contract}"`
	Inspect     inspectCmd     `cmd:"" help:"${inspect}"`
	Instruction instructionCmd `cmd:"" help:"${instruction}"`
	Mapping     mappingCmd     `cmd:"" help:"${mapping}"`
	Sign        signCmd        `cmd:"" help:"${sign}"`
	Plan        planCmd        `cmd:"" help:"${plan}"`
	Approve     approveCmd     `cmd:"" help:"${approve}"`
	Apply       applyCmd       `cmd:"" help:"${apply}"`
	Status      statusCmd      `cmd:"" help:"${status}"`
	Report      reportCmd      `cmd:"" help:"${report}"`
	Rejects     rejectsCmd     `cmd:"" help:"${rejects}"`
	Accept      acceptCmd      `cmd:"" help:"${accept}"`
	Object      objectCmd      `cmd:"" help:"${object}"`
	Suspend     suspendCmd     `cmd:"" help:"${suspend}"`
	Resume      resumeCmd      `cmd:"" help:"${resume}"`
	Undo        undoCmd        `cmd:"" help:"${undo}"`
	Erase       eraseCmd       `cmd:"" help:"${erase}"`
	Due         dueCmd         `cmd:"" help:"${due}"`
	Grants      grantsCmd      `cmd:"" help:"${grants}"`
	Evidence    evidenceCmd    `cmd:"" help:"${evidence}"`
	Verify      verifyCmd      `cmd:"" help:"${verify}"`
	Demo        demoCmd        `cmd:"" help:"${demo}"`
	Completion  completionCmd  `cmd:"" help:"${completion}"`
	Man         manCmd         `cmd:"" help:"${man}"`
	Version     versionCmd     `cmd:"" help:"${version}"`
}

// call is what every command gets.
type call struct {
	ui      *ui
	env     Env
	lock    string
	context string // the one named on the command line; empty for the current one
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
		return u.fail(&ecluse.Error{
			Kind: ecluse.Invalid, What: u.say("read the command", "lire la commande"), Err: u.complaint(err),
			Next: "ecluse --help",
		})
	}
	k.BindTo(ctx, (*context.Context)(nil))
	err = k.Run(&call{ui: u, env: env, lock: c.Lock, context: c.In})
	var code exit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case ctx.Err() != nil:
		return u.fail(&ecluse.Error{
			Kind: ecluse.Interrupted, What: u.say("stopped", "arrêté"), Err: err,
			Next: u.say("run the same command again: it goes on where it stopped", "relancez la même commande : elle reprend où elle s'est arrêtée"),
		})
	}
	return u.fail(err)
}

// grammar is the commands as kong sees them, in the language of the screen.
func (u *ui) grammar(c *commands, more ...kong.Option) (*kong.Kong, error) {
	return kong.New(c, append([]kong.Option{kong.Name("ecluse"), kong.Description(u.help("ecluse")), u.helpVars()}, more...)...)
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

// room opens the lock folder, after doing what is due in it. What is due and could
// not be done is told, and keeps nothing else from being done.
func (c *call) room(ctx context.Context) (*app.Room, error) {
	r, err := app.Open(ctx, c.lock)
	if err != nil {
		return nil, err
	}
	d, err := r.Due(ctx)
	if err != nil {
		r.Close()
		return nil, err
	}
	for _, f := range d.Failed {
		fmt.Fprintf(c.ui.err, "ecluse: %s\n", c.ui.failedDue(f))
	}
	return r, nil
}

// with runs f on the opened lock folder.
func (c *call) with(ctx context.Context, f func(*app.Room) error) error {
	r, err := c.room(ctx)
	if err != nil {
		return err
	}
	return errors.Join(f(r), r.Close())
}

// as names the person who signs.
type as struct {
	As string `help:"${as_flag}" placeholder:"KEY" env:"ECLUSE_KEY"`
}

func (a as) signer(c *call) (ssh.Signer, error) { return desk.Signer(a.As, c.passphrase) }

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

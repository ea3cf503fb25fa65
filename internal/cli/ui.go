package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"ecluse"
	"ecluse/internal/desk"
	"ecluse/internal/document"
	"ecluse/internal/exchange"
	"ecluse/internal/french"
	"ecluse/internal/sluice"
)

// ui is the edge between the program and whoever sits before it: two languages,
// colour that is never the only sign, JSON on demand, progress on stderr.
type ui struct {
	out, err io.Writer
	french   bool
	json     bool
	colour   bool // of out
	live     bool // err is a terminal: progress may rewrite its line
	width    int
	line     int // characters of the progress line that stands

	sentences func() *french.Catalogue // read when an error is first shown in French
}

// Env is what a process is given, so that tests can give something else.
type Env struct {
	Args   []string // without the program's name
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Getenv func(string) string
}

func newUI(e Env, lang string, asJSON bool) *ui {
	u := &ui{out: e.Stdout, err: e.Stderr, json: asJSON, width: 80, sentences: sync.OnceValue(french.New)}
	if lang == "" {
		for _, v := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
			if lang = e.Getenv(v); lang != "" {
				break
			}
		}
	}
	u.french = strings.HasPrefix(strings.ToLower(lang), "fr") && !asJSON // programs read one language
	u.colour = e.Getenv("NO_COLOR") == "" && isTerminal(e.Stdout)
	if f, ok := e.Stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		u.live = true
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 20 {
			u.width = w
		}
	}
	return u
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// say chooses the language, of errors among the arguments as well. Both texts take the
// same arguments in the same order, or use explicit indexes.
func (u *ui) say(en, fr string, args ...any) string {
	if u.french {
		en, args = fr, slices.Clone(args)
		for i, a := range args {
			if err, ok := a.(error); ok {
				args[i] = u.errorText(err)
			}
		}
	}
	if len(args) == 0 {
		return en
	}
	return fmt.Sprintf(en, args...)
}

// errorText is an error in the language of the screen.
func (u *ui) errorText(err error) string {
	if u.french {
		return u.sentences().Error(err)
	}
	return err.Error()
}

// sentence is what an error said, in the language of the screen.
func (u *ui) sentence(s string) string {
	if u.french {
		return u.sentences().Text(s)
	}
	return s
}

// tell prints a line for people; nothing under --json, where stdout is one object.
func (u *ui) tell(en, fr string, args ...any) {
	if !u.json {
		fmt.Fprintln(u.out, u.say(en, fr, args...))
	}
}

// text prints prepared text for people.
func (u *ui) text(s string) {
	if !u.json {
		fmt.Fprint(u.out, s)
	}
}

// object prints the command's result under --json: one object, then a newline.
func (u *ui) object(v any) error {
	if !u.json {
		return nil
	}
	e := json.NewEncoder(u.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// objectLine prints one of many results under --json: an object on one line.
func (u *ui) objectLine(v any) {
	if u.json {
		_ = json.NewEncoder(u.out).Encode(v) // an object of ours; a broken pipe is noticed at the end
	}
}

// Colours, each beside a word or sign that says the same.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "34"
)

func (u *ui) paint(colour, s string) string {
	if !u.colour {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// problem is an error as --json prints it.
type problem struct {
	Error   string      `json:"error"`
	Kind    ecluse.Kind `json:"kind"`
	What    string      `json:"what,omitempty"`
	Where   string      `json:"where,omitempty"`
	Why     string      `json:"why,omitempty"`
	Article string      `json:"article,omitempty"`
	Next    string      `json:"next,omitempty"`
	Exit    int         `json:"exit"`
}

// fail prints an error and returns the exit code.
func (u *ui) fail(err error) int {
	u.clear()
	kind := ecluse.KindOf(err)
	code := kind.ExitCode()
	var e *ecluse.Error
	p := problem{Error: err.Error(), Kind: kind, Exit: code}
	if errors.As(err, &e) {
		p.What, p.Where, p.Why, p.Article, p.Next = e.What, e.Where, e.Why, e.Article, e.Next
		for p.Next == "" && errors.As(e.Err, &e) {
			p.Next = e.Next
		}
	}
	if p.Next == "" {
		p.Next = u.advice(kind)
	}
	if u.json {
		_ = u.object(p) // stdout is gone: the exit code still says it
		return code
	}
	fmt.Fprintf(u.err, "ecluse: %s%s\n", u.label(kind), u.message(err))
	fmt.Fprintf(u.err, "  %s %s\n", u.say("next:", "ensuite :"), u.sentence(p.Next))
	return code
}

// advice is what to do about an error that does not say so itself.
func (u *ui) advice(k ecluse.Kind) string {
	switch k {
	case ecluse.Failed, ecluse.Interrupted:
		return u.say("put right what it says (room on the disk, rights, a connection) and run the same command again: nothing is half done",
			"corrigez ce qui est dit (place sur le disque, droits, connexion) et relancez la même commande : rien n'est fait à moitié")
	case ecluse.Unverified:
		return u.say("find out who changed it; nothing of it was let in", "cherchez qui l'a modifié ; rien n'en a été admis")
	case ecluse.Invalid:
		return u.say("correct it; ecluse COMMAND --help says what is wanted", "corrigez ; ecluse COMMANDE --help dit ce qui est attendu")
	}
	return u.say("ecluse status says what can be done now, and by whom", "ecluse status dit ce qui peut être fait, et par qui")
}

func (u *ui) label(k ecluse.Kind) string {
	switch k {
	case ecluse.Refused:
		return u.say("refused: ", "refusé : ")
	case ecluse.Unverified:
		return u.say("does not verify: ", "ne se vérifie pas : ")
	case ecluse.Differs:
		return u.say("differs: ", "diffère : ")
	case ecluse.WaitsForSign:
		return u.say("waits for a signature: ", "attend une signature : ")
	case ecluse.Interrupted:
		return u.say("interrupted: ", "interrompu : ")
	}
	return ""
}

// message is the error's text, a document's problems one to a line.
func (u *ui) message(err error) string {
	text := u.errorText(err)
	var ps document.Problems
	if errors.As(err, &ps) && len(ps) > 1 {
		return strings.ReplaceAll(text, "\n", "\n  ")
	}
	return text
}

// watch shows progress on stderr: a line rewritten on a terminal, and one line
// every ten seconds elsewhere. guess says how many rows a stage has when the
// passage itself cannot tell; it may be nil.
func (u *ui) watch(guess func(stage string) int64) desk.Watch {
	if u.json && !u.live {
		return nil
	}
	var begun, told time.Time
	stage := ""
	return func(p exchange.Progress) {
		if p.Stage != stage {
			stage, begun, told = p.Stage, time.Now(), time.Time{}
			u.clear()
		}
		every := 10 * time.Second
		if u.live {
			every = 100 * time.Millisecond
		}
		if !p.Done && time.Since(told) < every && !(told.IsZero() && u.live) {
			if told.IsZero() {
				told = time.Now()
			}
			return
		}
		told = time.Now()
		if p.Expected == 0 && guess != nil {
			p.Expected = guess(p.Stage)
		}
		u.show(u.progressLine(p, time.Since(begun)), p.Done)
	}
}

func (u *ui) progressLine(p exchange.Progress, took time.Duration) string {
	stage := map[sluice.Stage]string{
		sluice.StageRead:    u.say("reading", "lecture"),
		sluice.StageLoad:    u.say("loading", "chargement"),
		sluice.StageCompare: u.say("comparing", "comparaison"),
		sluice.StageTrace:   u.say("tracing", "recherche des écarts"),
		sluice.StageUndo:    u.say("undoing", "annulation"),
	}[sluice.Stage(p.Stage)]
	rate := float64(p.Rows) / max(took.Seconds(), 0.001)
	s := fmt.Sprintf("%-12s %-18s %12s %s  %9s/s", stage, u.dataset(p.Dataset), count(p.Rows), u.say("rows", "lignes"), count(int64(rate)))
	if p.Paused {
		return s + "  " + u.say("paused: others are at work on the source", "en pause : d'autres travaillent sur la source")
	}
	if left := p.Expected - p.Rows; left > 0 && rate > 0 && !p.Done {
		s += fmt.Sprintf("  %s %3d %%  %s", bar(p.Rows, p.Expected, 12), p.Rows*100/p.Expected,
			u.say("%s left", "reste %s", (time.Duration(float64(left)/rate)*time.Second).String()))
	}
	return s
}

func (u *ui) show(line string, done bool) {
	if !u.live {
		fmt.Fprintln(u.err, line)
		return
	}
	if r := []rune(line); len(r) >= u.width {
		line = string(r[:u.width-1])
	}
	u.clear()
	fmt.Fprint(u.err, line)
	u.line = len(line)
	if done {
		fmt.Fprintln(u.err)
		u.line = 0
	}
}

// clear takes the progress line away before something else is printed.
func (u *ui) clear() {
	if u.line > 0 {
		fmt.Fprint(u.err, "\r\x1b[K")
		u.line = 0
	}
}

func bar(n, of int64, width int) string {
	full := int(min(n, of) * int64(width) / max(of, 1))
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", width-full) + "]"
}

// count writes a number with thin groups: 12 345 678.
func count(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

// size writes bytes in powers of 1024.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

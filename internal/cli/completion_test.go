package cli

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"ecluse"
	"ecluse/internal/stocktest"
)

// Completions asked of every shell: a command line up to the cursor, and what is
// offered there. :file and :dir are the shell's own.
var completions = []struct{ line, want string }{
	{"ecluse st", "status"},
	{"ecluse key ", "new"},
	{"ecluse --plans x in", "init inspect instruction"},
	{"ecluse --json key n", "new"},
	{"ecluse nothing ", ""},
	{"ecluse status ", ""},
	{"ecluse status --l", "--lang"},
	{"ecluse plan --pa", "--passage"},
	{"ecluse plan --passage ", "dry final rehearsal"},
	{"ecluse plan --passage=", "dry final rehearsal"},
	{"ecluse plan --passage=d", "dry"},
	{"ecluse plan --json=", ""},
	{"ecluse plan -m ", ""},
	{"ecluse plan -m -a --i", "--instruction"},
	{"ecluse plan --instruction ", ":file"},
	{"ecluse plan --instruction=", ":file"},
	{"ecluse inspect s", "source"},
	{"ecluse inspect source ", ""},
	{"ecluse inspect -- s", "source"},
	{"ecluse inspect -- -", ""},
	{"ecluse approve ", ":file"},
	{"ecluse apply ", ":file"},
	{"ecluse key new ", ":file"},
	{"ecluse sign a --as ", ":file"},
	{"ecluse --plans ", ":dir"},
	{"ecluse evidence ", ":dir"},
	{"ecluse --lang ", "en fr"},
	{"ecluse init x --controller SHA256:abc --pr", "--processor"},
	{"ecluse init x --controller SHA256:a", ""},
	{"ecluse accept --reject a=b --al", "--all"},
	{"ecluse accept --reject=a=b --al", "--all"},
}

// The shells, each with a function that asks its script for one completion: the
// words come on the command line, the last being what is completed.
var harnesses = map[string]string{
	// COMP_WORDS is parted at = and : as readline does.
	"bash": `
compopt() { case $* in *default) echo :file ;; *dirnames) echo :dir ;; esac; }
ask() {
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
	_ecluse
	if [[ ${COMPREPLY[0]+x} ]]; then printf '%s\n' "${COMPREPLY[@]}"; fi
}
`,
	"zsh": `
compdef() { [[ "$*" == '_ecluse ecluse' ]] || echo compdef $*; }
_files() { if [[ "$*" == -/ ]]; then echo :dir; else echo :file; fi; }
_describe() { local w; for w in ${(P)4}; do w=${w%%:*}; [[ $w == "$PREFIX"* ]] && echo $w; done; }
compadd() { local w; for w in ${(P)2}; do [[ $w == "$PREFIX"* ]] && echo $w; done; }
compset() { PREFIX=${PREFIX#*=}; }
ask() { words=("$@") CURRENT=$# PREFIX=${@[-1]}; _ecluse; }
`,
	"fish": `
function ask
    complete -C (string join ' ' -- $argv) | string replace -r '\t.*' '' | string replace -r '^--[^=]+=' ''
end
`,
}

// TestCompletion asks the scripts in each shell, in a folder that holds one file and
// one folder. PowerShell is not in Debian: TestCompletionTable alone is held against
// its script.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for shell, harness := range harnesses {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			args := map[string][]string{"bash": {"--noprofile", "--norc"}, "zsh": {"-f"}, "fish": {"--no-config"}}[shell]
			program := stocktest.Tool(t, shell)
			home := t.TempDir()
			if err := os.Mkdir(filepath.Join(home, "room"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(home, "paper"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			var want []string
			source := harness + script(t, shell, "en")
			for _, c := range completions {
				words := strings.Split(c.line, " ")
				if shell == "bash" {
					words = regexp.MustCompile(`[=:]|[^=: ]+`).FindAllString(c.line, -1)
					if strings.HasSuffix(c.line, " ") {
						words = append(words, "")
					}
				}
				for i, w := range words {
					words[i] = quote(shell, w)
				}
				source += "echo '> " + c.line + "'; ask " + strings.Join(words, " ") + "\n"
				want = append(want, "> "+c.line)
				offered := strings.Fields(c.want)
				if shell == "fish" {
					offered = strings.Fields(strings.NewReplacer(":file", "paper room/", ":dir", "room/").Replace(c.want))
				}
				want = append(want, offered...)
			}
			cmd := exec.CommandContext(t.Context(), program, append(args, "-c", source)...)
			cmd.Dir = home
			cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}
			var errs bytes.Buffer
			cmd.Stderr = &errs
			out, err := cmd.Output()
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) { // the last line offers nothing
				t.Fatal(err)
			}
			if errs.Len() > 0 {
				t.Errorf("it complains:\n%.2000s", errs.String())
			}
			if got := sorted(string(out)); got != sorted(strings.Join(want, "\n")) {
				t.Errorf("got\n%s\nwant\n%s", got, sorted(strings.Join(want, "\n")))
			}
		})
	}
}

// sorted writes each question and its answers, sorted, on one line.
func sorted(s string) string {
	var out []string
	for block := range strings.SplitSeq("\n"+s, "\n> ") {
		question, answers, _ := strings.Cut(block, "\n")
		found := strings.Fields(answers)
		slices.Sort(found)
		out = append(out, question+" → "+strings.Join(found, " "))
	}
	return strings.Join(out[1:], "\n")
}

// script is what `ecluse completion` prints.
func script(t *testing.T, shell, lang string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := Run(t.Context(), Env{Args: []string{"completion", shell, "--lang", lang}, Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}); code != 0 {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	return out.String()
}

// TestCompletionTable: the scripts know every command and flag, with its help in
// the language asked for, and no word that a shell or the table would part.
func TestCompletionTable(t *testing.T) {
	for _, lang := range []string{"en", "fr"} {
		for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
			text := script(t, shell, lang)
			if strings.Contains(text, "@TABLE@") || !strings.Contains(text, "ecluse completion "+shell) {
				t.Errorf("%s: not filled in, or another shell's", shell)
			}
			err := kong.Visit(grammar(t, lang).Model, func(v kong.Visitable, next kong.Next) error {
				word, help := "", ""
				switch v := v.(type) {
				case *kong.Node:
					if v.Type == kong.CommandNode {
						word, help = v.Name+"|:command", v.Help
					}
				case *kong.Flag:
					word, help = "--"+v.Name+"|"+expects(v.Value), (&ui{french: lang == "fr"}).framed(v.Help)
				}
				if shell == "bash" {
					help = ""
				}
				if help = quote(shell, help); word != "" && !strings.Contains(text, "|"+word+"|"+help[1:len(help)-1]) {
					t.Errorf("%s, %s: no line of %s", shell, lang, word)
				}
				return next(nil)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for line := range strings.Lines(strings.TrimPrefix((&ui{french: lang == "fr"}).typed(grammar(t, lang).Model.Node, true), "\n")) {
			if !regexp.MustCompile(`^[a-z -]*\|(-?-?[\w-]+|\*)\|[\w:. -]*\|.`).MatchString(line) {
				t.Errorf("a shell would part %q", line)
			}
		}
	}
}

// TestFilesAreCompleted: what help calls a file or a folder is completed so.
func TestFilesAreCompleted(t *testing.T) {
	err := kong.Visit(grammar(t, "en").Model, func(v kong.Visitable, next kong.Next) error {
		var value *kong.Value
		switch v := v.(type) {
		case *kong.Flag:
			value = v.Value
		case *kong.Positional:
			value = v
		}
		if value == nil || value.Target.Kind() == 0 || expects(value) == "" {
			return next(nil)
		}
		switch got, help := expects(value), strings.ToLower(value.Help); {
		case strings.Contains(help, "folder") && got != ":dir", regexp.MustCompile(`\bfile\b`).MatchString(help) && got != ":file":
			t.Errorf("%s (%s) is completed as %q: its placeholder has to be FILE or DIR", value.Name, value.Help, got)
		}
		return next(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestExitsAreNamed: every exit code that an error can have is named in help and
// in the manual.
func TestExitsAreNamed(t *testing.T) {
	highest := 0
	for _, k := range ecluse.Kinds() {
		highest = max(highest, k.ExitCode())
	}
	if len(exits()) != highest+1 {
		t.Errorf("%d exit codes are named, the highest is %d", len(exits()), highest)
	}
}

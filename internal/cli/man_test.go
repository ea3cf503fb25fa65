package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"ecluse/internal/stocktest"
)

// TestManual: every command has a page in both languages, with its help, its
// flags and the exit codes; mandoc has nothing to say against any.
func TestManual(t *testing.T) {
	for _, lang := range []string{"en", "fr"} {
		u := &ui{french: lang == "fr"}
		pages, err := u.manual("v1", "2026-10-11")
		if err != nil {
			t.Fatal(err)
		}
		commands := 0
		err = kong.Visit(grammar(t, lang).Model.Node, func(v kong.Visitable, next kong.Next) error {
			n, ok := v.(*kong.Node)
			if !ok || len(n.Children) > 0 && n.Type == kong.CommandNode {
				return next(nil)
			}
			commands++
			page := pages[pageName(n)+".1"]
			for _, s := range []string{
				u.say("NAME", "NOM"), "SYNOPSIS", "DESCRIPTION", "OPTIONS", u.say("EXIT STATUS", "CODE DE RETOUR"), u.say("SEE ALSO", "VOIR AUSSI"),
			} {
				if _, body, ok := strings.Cut(page, "\n.SH "+s+"\n"); !ok || strings.HasPrefix(body, ".SH") || body == "" {
					t.Errorf("%s: %s has no %s", lang, n.FullPath(), s)
				}
			}
			for _, f := range n.Flags {
				if !strings.Contains(page, flagTerm(f.Value)) {
					t.Errorf("%s: %s does not name --%s", lang, n.FullPath(), f.Name)
				}
			}
			if filled := strings.Join(strings.Fields(page), " "); n.Type == kong.CommandNode && !strings.Contains(filled, strings.Join(strings.Fields(roff(n.Help)), " ")) {
				t.Errorf("%s: %s does not say what it does", lang, n.FullPath())
			}
			return next(nil)
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(pages) != commands || commands < 30 {
			t.Errorf("%s: %d pages of %d commands", lang, len(pages), commands)
		}
		lint(t, pages)
	}
}

func lint(t *testing.T, pages map[string]string) {
	t.Helper()
	mandoc := stocktest.Tool(t, "mandoc")
	dir := t.TempDir()
	args := []string{"-T", "lint", "-W", "style"}
	for name, text := range pages {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	if out, err := exec.CommandContext(t.Context(), mandoc, args...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("mandoc: %v\n%s", err, out)
	}
}

// TestRoff: no text of ours is taken for a command of roff.
func TestRoff(t *testing.T) {
	for text, want := range map[string]string{
		".so /etc/passwd":   `\&.so /etc/passwd`,
		"'x'":               `\&'x'`,
		`a\b`:               `a\eb`,
		"one.\n\ntwo":       "one.\n.PP\ntwo",
		"run `ecluse plan`": `run \fBecluse plan\fP`,
		"clé : « oui »":     `clé\~: «\~oui\~»`,
	} {
		if got := roff(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	m := &manual{ui: &ui{}}
	m.line("%s", roff(strings.Repeat("x", 79)+" .so y"))
	if got := m.b.String(); got != strings.Repeat("x", 79)+"\n\\&.so y\n" {
		t.Errorf("folded: %q", got)
	}
}

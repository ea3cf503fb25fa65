package cli

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// grammar is the command line as kong sees it, in one language.
func grammar(t *testing.T, lang string) *kong.Kong {
	t.Helper()
	u := newUI(Env{Getenv: func(string) string { return "" }}, lang, false)
	k, err := u.grammar(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestHelpInBothLanguages: every text that help prints exists in English and in
// French, none stands unused, and everything that can be typed has one.
func TestHelpInBothLanguages(t *testing.T) {
	used := map[string]bool{"ecluse": true}
	variable := regexp.MustCompile(`\$\{(\w+)\}`)
	var look func(reflect.Type)
	look = func(s reflect.Type) {
		for i := range s.NumField() {
			f := s.Field(i)
			tag := f.Tag.Get("help")
			for _, m := range variable.FindAllStringSubmatch(tag, -1) {
				used[m[1]] = true
			}
			if f.Type.Kind() == reflect.Struct {
				look(f.Type)
			}
		}
	}
	look(reflect.TypeFor[commands]())
	texts := helpTexts()
	for name, w := range texts {
		switch {
		case strings.TrimSpace(w.en) == "" || strings.TrimSpace(w.fr) == "":
			t.Errorf("%s has no text in one of the languages", name)
		case w.en == w.fr && !strings.ContainsAny(w.en, ".") || w.en == w.fr && len(w.en) > 20:
			t.Errorf("%s is the same in both: %q", name, w.en)
		case !used[name]:
			t.Errorf("nothing uses the text of %s", name)
		}
	}
	for name := range used {
		if _, ok := texts[name]; !ok {
			t.Errorf("there is no text of %s", name)
		}
	}
	for _, lang := range []string{"en", "fr"} {
		err := kong.Visit(grammar(t, lang).Model, func(n kong.Visitable, next kong.Next) error {
			help, what := "", ""
			switch n := n.(type) {
			case *kong.Node:
				help, what = n.Help, n.FullPath()
			case *kong.Flag:
				help, what = n.Help, n.Summary()
			case *kong.Positional:
				help, what = n.Help, n.Summary()
			}
			if help == "" && what != "" && what != "ecluse" {
				t.Errorf("%s: %s has no help", lang, what)
			}
			return next(nil)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestFrenchHelp: no word of kong's own stands in French help, whatever the
// command.
func TestFrenchHelp(t *testing.T) {
	english := regexp.MustCompile(`Usage:|Flags:|Arguments:|Commands:|Show context|for more information|<command>|\[flags\]`)
	n := 0
	err := kong.Visit(grammar(t, "fr").Model, func(v kong.Visitable, next kong.Next) error {
		if node, ok := v.(*kong.Node); ok {
			var out bytes.Buffer
			args := append(strings.Fields(node.FullPath())[1:], "--help", "--lang=fr")
			if code := Run(t.Context(), Env{Args: args, Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }}); code != 0 {
				t.Errorf("%v: exit %d\n%s", args, code, out.String())
			}
			if m := english.FindString(out.String()); m != "" || !strings.HasPrefix(out.String(), "Usage : ") {
				t.Errorf("%v: %q in\n%s", args, m, out.String())
			}
			n++
		}
		return next(nil)
	})
	if err != nil || n < 30 {
		t.Errorf("%d commands, %v", n, err)
	}
}

// TestScreensInBothLanguages: whoever calls say or tell gives a French text that
// takes the same arguments.
func TestScreensInBothLanguages(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	call := regexp.MustCompile(`\b(?:say|tell)\(\s*("(?:[^"\\]|\\.)*"),\s*("(?:[^"\\]|\\.)*")`)
	verb := regexp.MustCompile(`%[-+ #0]*(?:\[\d+\])?[\d*]*(?:\.\d+)?[a-zA-Z]`)
	plain := func(s string) string {
		return strings.Join(slices.Sorted(slices.Values(verb.FindAllString(regexp.MustCompile(`%%`).ReplaceAllString(s, ""), -1))), " ")
	}
	n := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil || strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, m := range call.FindAllStringSubmatch(string(text), -1) {
			n++
			if plain(m[1]) != plain(m[2]) {
				t.Errorf("%s: %s and %s take other arguments", f, m[1], m[2])
			}
			if m[2] == `""` {
				t.Errorf("%s: %s has no French", f, m[1])
			}
		}
	}
	if n < 80 {
		t.Errorf("found %d texts", n)
	}
}

// TestGeneratedCLI: docs/reference/cli.md is what the grammar and the lists of
// fields say.
func TestGeneratedCLI(t *testing.T) {
	got := reference(t)
	file := filepath.Join("..", "..", "docs", "reference", "cli.md")
	if os.Getenv("ECLUSE_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what the program says of itself; run: make docs", file)
	}
}

// lists names the command whose --json prints a list of fields.
var lists = map[string]string{
	"apply-dry": "apply", "apply-read": "apply", "plan-read": "plan", "sign-contract": "sign", "status-empty": "status", "demo-prepare": "demo", "status-held": "status", "carry-in-paper": "carry-in",
	"apply-renumbered": "apply", "report-renumbered": "report", "plan-renumbered": "plan", "approve-renumbered": "approve", "gate-report-renumbered": "gate-report",
}

func reference(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(`<!-- Generated from internal/cli: make docs. -->

# The command line

`)
	b.WriteString(helpTexts()["ecluse"].en + "\n\n")
	b.WriteString("Results go to stdout, progress and errors to stderr. With `--json` stdout is one JSON object: the result, or the error with its exit code; it is for programs, so its sentences are English whatever the language of the screen. " +
		"Its fields are listed with each command and are stable: one may come, none goes or changes its kind. `NAME` stands where keys are names of datasets or tables; " +
		"fields that a run has nothing to say in are left out. Before anything else every command that opens a lock folder does what is due.\n\n## Everywhere\n\n")
	k := grammar(t, "en")
	for _, f := range k.Model.Flags {
		if f.Name == "help" {
			continue
		}
		flagLine(&b, f)
	}
	fields := fieldLists(t)
	err := kong.Visit(k.Model, func(v kong.Visitable, next kong.Next) error {
		n, ok := v.(*kong.Node)
		if !ok || n.Type != kong.CommandNode || len(n.Children) > 0 {
			return next(nil)
		}
		name := strings.TrimPrefix(n.FullPath(), "ecluse ")
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", n.FullPath(), n.Help)
		for _, p := range n.Positional {
			fmt.Fprintf(&b, "- `%s`: %s\n", p.Summary(), p.Help)
		}
		for _, f := range n.Flags {
			flagLine(&b, f)
		}
		all := fields[strings.ReplaceAll(name, " ", "-")]
		if len(all) == 0 {
			t.Errorf("no list of fields of %q", name)
		}
		if len(all) > 0 {
			fmt.Fprintf(&b, "\n`--json`:\n\n```\n%s\n```\n", strings.Join(all, "\n"))
		}
		return next(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "\n## Errors\n\n`--json`:\n\n```\n%s\n```\n", strings.Join(fields["error"], "\n"))
	return b.String()
}

func flagLine(b *strings.Builder, f *kong.Flag) {
	short := ""
	if f.Short != 0 {
		short = "-" + string(f.Short) + ", "
	}
	env := ""
	if len(f.Envs) > 0 {
		env = " Default: `$" + f.Envs[0] + "`."
	} else if f.HasDefault && f.Default != "" {
		env = " Default: `" + f.Default + "`."
	}
	fmt.Fprintf(b, "- `%s%s`: %s%s\n", short, f.Summary(), f.Help, env)
}

// fieldLists merges the lists that scripts keep, by command.
func fieldLists(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "json", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(f), ".txt")
		if of, ok := lists[name]; ok {
			name = of
		}
		if found[name] == nil {
			found[name] = map[string]bool{}
		}
		for line := range strings.Lines(string(text)) {
			found[name][strings.TrimSuffix(line, "\n")] = true
		}
	}
	out := map[string][]string{}
	for name, set := range found {
		for f := range set {
			path, _, ok := strings.Cut(f, " ")
			// An empty list, or nothing, says less than what another run put there.
			if (!ok || strings.HasSuffix(f, " null")) && slices.ContainsFunc(slices.Collect(maps.Keys(set)), func(g string) bool {
				return strings.HasPrefix(g, strings.TrimSuffix(path, "[]")+"[") && g != f
			}) {
				continue
			}
			out[name] = append(out[name], f)
		}
		slices.Sort(out[name])
	}
	return out
}

// TestGrammarIsQuick: every command makes the grammar; putting the help texts in must not
// look at each text for each flag.
func TestGrammarIsQuick(t *testing.T) {
	if n := testing.AllocsPerRun(1, func() { grammar(t, "en") }); n > 40_000 {
		t.Errorf("%.0f allocations", n)
	}
}

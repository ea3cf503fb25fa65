package cli_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
)

// TestTutorial runs every command of docs/tutorial.md, as they stand there.
func TestTutorial(t *testing.T) {
	t.Parallel()
	out := runPage(t, "tutorial.md", 20)
	if n := len(regexp.MustCompile(`(?m)^OK$`).FindAllString(out, -1)); n != 2 {
		t.Errorf("evidence is OK %d times, want twice\n%s", n, out)
	}
}

// TestShellPage runs every command of docs/how-to/shell.md: what it installs is
// where it says.
func TestShellPage(t *testing.T) {
	t.Parallel()
	out := runPage(t, "how-to/shell.md", 4)
	for _, file := range []string{
		".local/share/bash-completion/completions/ecluse", ".zfunc/_ecluse", ".config/fish/completions/ecluse.fish",
		".local/share/man/man1/ecluse-plan.1", ".local/share/man/fr/man1/ecluse-plan.1",
	} {
		if !strings.Contains(out, "\n./"+file+"\n") {
			t.Errorf("%s was not installed:\n%s", file, out)
		}
	}
}

// TestServerPage runs every command of docs/how-to/server.md.
func TestServerPage(t *testing.T) {
	t.Parallel()
	out := runPage(t, "how-to/server.md", 4)
	for _, want := range []string{"megabus  ecluse://ecluse.example.org:8443/megabus?pin=", "Serving at 127.0.0.1:18443", "Stopped; nothing is half done."} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
}

// TestCarryPage runs every command of docs/how-to/carry.md: a migration whose source gate
// no line reaches, from its enrolment to its evidence.
func TestCarryPage(t *testing.T) {
	t.Parallel()
	out := runPage(t, "how-to/carry.md", 30)
	if n := len(regexp.MustCompile(`(?m)^OK$`).FindAllString(out, -1)); n != 2 {
		t.Errorf("evidence is OK %d times, want twice\n%s", n, out)
	}
	if want := "is lent for 24h at a time"; !strings.Contains(out, want) {
		t.Errorf("%q is missing:\n%s", want, out)
	}
	if n := len(regexp.MustCompile(`(?m)^Dispatch \d+: .*\blend\b`).FindAllString(out, -1)); n != 2 {
		t.Errorf("%d trips brought a loan, want one for the keys and one for the load\n%s", n, out)
	}
	if strings.Contains(out, "\n./site/disk/") {
		t.Errorf("something is left in the folder that was carried:\n%s", out)
	}
}

// TestNightPage runs every command of docs/how-to/night.md, where it says that they come in
// the tutorial: a night that ends in a no-go and is undone, another that ends in a go, and
// acceptance.
func TestNightPage(t *testing.T) {
	t.Parallel()
	tutorial, night := page(t, "tutorial.md"), page(t, "how-to/night.md")
	people, papers, ok1 := strings.Cut(tutorial, "## 3. ")
	papers, _, ok2 := strings.Cut(papers, "ecluse apply   ") // not the dry run, and no more
	instruction, then, ok3 := strings.Cut(night, "## Days before")
	if !ok1 || !ok2 || !ok3 {
		t.Fatal("the pages have other sections")
	}
	papers += "```\n" // of the block that was cut
	out := runScript(t, commands(people)+commands(instruction)+commands(papers)+commands(then)+`
ecluse due
ecluse evidence proof
roots="--controller $(ssh-keygen -lf keys/root-controller.pub | cut -d' ' -f2) --processor $(ssh-keygen -lf keys/root-processor.pub | cut -d' ' -f2)"
ecluse verify proof $roots
sh proof/verify.sh proof $roots
`, 25)
	for _, want := range []string{
		"last hour for no-go: 2026-11-29 04:00 +0100",
		"taken out: ",
		"  open: two analysers are connected by hand (marc-tissot, until 2026-12-31)",
		"\n./first/sheet.pdf\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	if n := len(regexp.MustCompile(`(?m)^OK$`).FindAllString(out, -1)); n != 2 {
		t.Errorf("evidence is OK %d times, want twice\n%s", n, out)
	}
	if !regexp.MustCompile(`go and no-go said by who may: (no-go by claire-aubry; go by helene-roche|go by helene-roche; no-go by claire-aubry)\n`).MatchString(out) { // in the acts' order
		t.Errorf("the evidence does not name who decided:\n%s", out)
	}
	// What is accepted with reservations differs, which nothing on the page makes it do.
	reserve := regexp.MustCompile(`--reserve '([^']*)'`).FindStringSubmatch(night)
	if reserve == nil {
		t.Fatal("the page reserves nothing")
	}
	if _, err := desk.ParseReservation(reserve[1]); err != nil {
		t.Error(err)
	}
}

// TestCatchUpPage runs every command of docs/how-to/catch-up.md, what it does to the old
// laboratory too: a passage is brought up to that, then somebody has tried the new
// software, and what was read is loaded anew.
func TestCatchUpPage(t *testing.T) {
	t.Parallel()
	tutorial, catchUp := page(t, "tutorial.md"), page(t, "how-to/catch-up.md")
	people, papers, ok1 := strings.Cut(tutorial, "## 3. ")
	papers, _, ok2 := strings.Cut(papers, "ecluse apply   ") // not the dry run, and no more
	instruction, then, ok3 := strings.Cut(catchUp, "## Days before")
	then, refused, ok4 := strings.Cut(then, "## A parallel run")
	if !ok1 || !ok2 || !ok3 || !ok4 {
		t.Fatal("the pages have other sections")
	}
	papers += "```\n" // of the block that was cut
	then = regexp.MustCompile("(?s)```sql\n(.*?)```").ReplaceAllString(then, "```sh\nsql old.db <<'END'\n${1}END\n```")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := runScript(t, "sql() { "+sqlProgram+"=1 '"+program+"' \"$@\"; }\n"+
		commands(people)+commands(instruction)+commands(papers)+commands(then)+`
sql old.db <<<"UPDATE PATIENT SET NOM = 'Durand-' || NOM WHERE NUMPAT % 97 = 4"
sql new.db <<<"UPDATE patient SET family_name = family_name || ' (essai)' WHERE id % 97 = 4"
! ecluse apply --catch-up
sql new.db <<<"UPDATE patient SET family_name = replace(family_name, ' (essai)', '') WHERE id % 97 = 4"
`+commands(refused)+`
ecluse status
ecluse evidence proof
roots="--controller $(ssh-keygen -lf keys/root-controller.pub | cut -d' ' -f2) --processor $(ssh-keygen -lf keys/root-processor.pub | cut -d' ' -f2)"
ecluse verify proof $roots
sh proof/verify.sh proof $roots
`, 25)
	for _, want := range []string{"rows of patient stand in parts of it that changed", "rows of result stand in parts of it that changed", "no longer as they were loaded"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	if n := len(regexp.MustCompile(`(?m)^OK$`).FindAllString(out, -1)); n != 2 {
		t.Errorf("evidence is OK %d times, want twice\n%s", n, out)
	}
}

// sqlProgram is what this program is told, to be the sql of a page: it runs the statements
// that it reads in the database that it is given.
const sqlProgram = "ECLUSE_TEST_SQL"

func asSQL() (code int, yes bool) {
	if os.Getenv(sqlProgram) == "" {
		return 0, false
	}
	db, err := sql.Open("sqlite", "file:"+os.Args[1]+"?_pragma=busy_timeout(10000)")
	if err == nil {
		var text []byte
		if text, err = io.ReadAll(os.Stdin); err == nil {
			_, err = db.ExecContext(context.Background(), string(text))
		}
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// commands are those of a page's sh blocks.
func commands(page string) (script string) {
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(page, -1) {
		script += block[1]
	}
	return script
}

// runPage runs the commands of a page of docs, at least so many of them ecluse's.
func runPage(t *testing.T, name string, least int) string {
	t.Helper()
	return runScript(t, commands(page(t, name)), least)
}

// runScript runs a page's commands in a folder that is also home; then it lists the files
// there.
func runScript(t *testing.T, script string, least int) string {
	t.Helper()
	if n := strings.Count(script, "ecluse "); n < least {
		t.Fatalf("the page has %d commands", n)
	}
	script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + script // no server outlives a page that fails
	dir := roomtest.Temp(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // so long only where all tests run at once
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script+"\ncd ~\nfind . -type f\n")
	cmd.Dir, cmd.WaitDelay = dir, 5*time.Second
	cmd.Env = append(os.Environ(), "HOME="+dir, "PATH="+filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"), "LANG=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

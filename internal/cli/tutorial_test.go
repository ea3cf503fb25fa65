package cli_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ecluse/internal/app/roomtest"
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

// runPage runs the commands of a page of docs, at least so many of them ecluse's,
// in a folder that is also home; then it lists the files there.
func runPage(t *testing.T, page string, least int) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	script := "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" // no server outlives a page that fails
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		script += block[1]
	}
	if n := strings.Count(script, "ecluse "); n < least {
		t.Fatalf("the page has %d commands", n)
	}
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

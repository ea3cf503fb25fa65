// Package stocktest finds the stock tools that tests hold us against. What cannot be
// held against one is never left out in silence: see Tool and Lacks.
package stocktest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Tool is where a stock tool is: on the path, or where scripts/stock puts what Debian
// has not. Without it the test is skipped; it fails where CI is set, for there
// scripts/stock has been run.
func Tool(t testing.TB, name string) string {
	t.Helper()
	return tool(t, name, os.Getenv("CI") != "")
}

func tool(t testing.TB, name string, must bool) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if path, err := exec.LookPath(filepath.Join(root(), ".cache", "bin", name)); err == nil {
		return path
	}
	if must {
		t.Fatalf("%s is not installed; run scripts/stock, or add it there", name)
	}
	Lacks(t, "%s (scripts/stock installs it)", name)
	return ""
}

// root is the folder of go.mod, above the package under test.
func root() string {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}

// notRun names a file to which Lacks adds: `make test` ends with what it holds.
const notRun = "ECLUSE_NOT_RUN"

// Share tells which of many like cases run where time is short: in CI one in so many, each
// day others, and all elsewhere. That not all do is named as what is lacking is.
func Share(t testing.TB, of int) func(n int) bool {
	t.Helper()
	if os.Getenv("CI") == "" {
		return func(int) bool { return true }
	}
	note(t, fmt.Sprintf("one case in %d, each day others: CI has a quarter of an hour", of))
	day := time.Now().YearDay()
	return func(n int) bool { return (n+day)%of == 0 }
}

// Lacks skips a test for what the machine has not and no package brings: a right, a
// device, another system's way. That is no failure, in CI neither.
func Lacks(t testing.TB, format string, args ...any) {
	t.Helper()
	why := "not run, for want of " + fmt.Sprintf(format, args...)
	note(t, why)
	t.Skip(why)
}

func note(t testing.TB, why string) {
	t.Helper()
	if name := os.Getenv(notRun); name != "" {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintf(f, "%s: %s\n", t.Name(), why)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

package ecluse_test

import (
	"os"
	"strings"
	"testing"
)

// TestTrust: every line of the tables in docs/explanation/trust.md names the tests that
// show it, and they exist.
func TestTrust(t *testing.T) {
	const file = "docs/explanation/trust.md"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| ") || strings.TrimSpace(cells[len(cells)-1]) == "test" {
			continue
		}
		n++
		// The same words as in a line of acceptance.md, which name tests at its end.
		for _, wrong := range acceptanceLine("| AC-1 | x |"+cells[len(cells)-1]+"|", 1) {
			t.Errorf("%s: %s: %s", file, strings.TrimSpace(cells[0]), wrong)
		}
	}
	if n < 25 {
		t.Errorf("%s has %d lines with tests", file, n)
	}
}

package ecluse_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAcceptance: docs/reference/acceptance.md has a line for each of the fifty,
// and every test it names exists.
func TestAcceptance(t *testing.T) {
	const file = "docs/reference/acceptance.md"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "| AC-") {
			continue
		}
		n++
		for _, wrong := range acceptanceLine(strings.TrimSpace(line), n) {
			t.Errorf("%s: AC-%d: %s", file, n, wrong)
		}
	}
	if n != 50 {
		t.Errorf("%s has %d lines, want 50", file, n)
	}
}

func TestAcceptanceCatches(t *testing.T) {
	good := "| AC-7 | It holds. | `evidence` TestVerifyAct; not yet: the rest |"
	if wrong := acceptanceLine(good, 7); wrong != nil {
		t.Error(wrong)
	}
	for name, line := range map[string]string{
		"a test that is not there":    "| AC-7 | It holds. | `evidence` TestNoSuchThing |",
		"a package that is not":       "| AC-7 | It holds. | `internal/nowhere` TestVerifyAct |",
		"nothing shown, nothing said": "| AC-7 | It holds. |  |",
		"another number":              "| AC-8 | It holds. | not yet |",
		"no statement":                "| AC-7 |  | not yet |",
	} {
		if acceptanceLine(line, 7) == nil {
			t.Errorf("%s: not seen", name)
		}
	}
}

var shownBy = regexp.MustCompile("^`([a-z0-9/]+|\\.)` ((?:Test|Fuzz)\\w+(?:, (?:Test|Fuzz)\\w+)*)$")

// acceptanceLine says what is wrong with line n of the table.
func acceptanceLine(line string, n int) (wrong []string) {
	cells := strings.Split(strings.Trim(line, "|"), "|")
	if len(cells) != 3 {
		return []string{"not three cells"}
	}
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	if cells[0] != fmt.Sprintf("AC-%d", n) {
		wrong = append(wrong, "stands in another's place")
	}
	if cells[1] == "" {
		wrong = append(wrong, "says nothing")
	}
	for part := range strings.SplitSeq(cells[2], ";") {
		part = strings.TrimSpace(part)
		if strings.HasPrefix(part, "not yet") {
			continue
		}
		m := shownBy.FindStringSubmatch(part)
		if m == nil {
			wrong = append(wrong, fmt.Sprintf("%q names no test and does not say «not yet»", part))
			continue
		}
		for test := range strings.SplitSeq(m[2], ", ") {
			if !testExists(m[1], test) {
				wrong = append(wrong, fmt.Sprintf("package %s has no %s", m[1], test))
			}
		}
	}
	return wrong
}

func testExists(pkg, test string) bool {
	files, _ := filepath.Glob(filepath.Join(filepath.FromSlash(pkg), "*_test.go"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil && strings.Contains(string(b), "\nfunc "+test+"(") {
			return true
		}
	}
	return false
}

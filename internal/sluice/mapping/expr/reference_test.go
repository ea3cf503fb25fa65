package expr

import (
	"os"
	"strings"
	"testing"
)

// TestReference: every function and option of the language is in the reference.
func TestReference(t *testing.T) {
	b, err := os.ReadFile("../../../../docs/reference/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	for _, o := range language().ordered {
		if !IsName(o.name) {
			continue // an operator
		}
		if !strings.Contains(page, "`"+o.name+"(") {
			t.Errorf("docs/reference/mapping.md does not have %s", o.name)
		}
	}
	for name := range language().options {
		if !strings.Contains(page, name) {
			t.Errorf("docs/reference/mapping.md does not have the option %s", name)
		}
	}
}

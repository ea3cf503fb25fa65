package ecluse_test

import (
	"testing"

	"ecluse"
)

// TestOneLine: blanks are folded where they say nothing, and nowhere else.
func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		" a\n\t+  b ":          "a + b",
		"x == 'a  b'\n? 1:2":   "x == 'a  b' ? 1:2",
		`x == "it's  "  + 'y'`: `x == "it's  " + 'y'`,
		`x == 'a\'  b'`:        `x == 'a\'  b'`,
		"'''a'  b'''":          "'''a'  b'''",
		"a // b  'c\n  + 'd '": "a // b  'c\n  + 'd '",
		"":                     "",
	} {
		if got := ecluse.OneLine(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

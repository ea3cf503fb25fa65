package cli

import "testing"

// TestAgrees: only a whole yes is one.
func TestAgrees(t *testing.T) {
	for answer, want := range map[string]bool{"yes\n": true, " Oui \r\n": true, "YES": true, "y\n": false, "no\n": false, "": false, "yes, but\n": false, "\n": false} {
		if agrees(answer) != want {
			t.Errorf("%q: %v", answer, !want)
		}
	}
}

package cli

import (
	"bytes"
	"strings"
	"testing"

	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/french"
)

// TestPredictedWithoutEnd: a window that is too short is told where the plan is made.
func TestPredictedWithoutEnd(t *testing.T) {
	t.Parallel()
	for window, want := range map[float64]bool{0: false, 300: true} {
		for inFrench, says := range map[bool]string{false: "would not come to its end", true: "n'aboutirait pas"} {
			var b bytes.Buffer
			(&ui{out: &b, french: inFrench, sentences: french.New}).predicted(&desk.Plans{Predicted: &exchange.Prediction{Rows: 1, Read: 900, Limit: exchange.ByDatabase, Window: window}})
			if strings.Contains(b.String(), says) != want {
				t.Errorf("a window of %v s: %s", window, b.String())
			}
		}
	}
}

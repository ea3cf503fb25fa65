package cli

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ecluse/internal/exchange"
	"ecluse/internal/sluice"
)

// TestProgressTellsTimeLeft: in both languages, from what the passage expects, else
// from a guess; nothing is said where nobody knows.
func TestProgressTellsTimeLeft(t *testing.T) {
	for name, c := range map[string]struct {
		french   bool
		expected int64
		guess    func(string) int64
		want     string
	}{
		"expected": {false, 400, nil, " 25 %  30s left"},
		"français": {true, 400, nil, " 25 %  reste 30s"},
		"guessed":  {false, 0, func(string) int64 { return 200 }, " 50 %  10s left"},
		"both":     {false, 400, func(string) int64 { return 200 }, " 25 %  30s left"},
		"unknown":  {false, 0, nil, ""},
		"too few":  {false, 50, nil, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			var b bytes.Buffer
			watch := (&ui{err: &b, french: c.french}).watch(c.guess)
			watch(exchange.Progress{Stage: string(sluice.StageLoad), Expected: c.expected})
			time.Sleep(10 * time.Second)
			watch(exchange.Progress{Stage: string(sluice.StageLoad), Rows: 100, Expected: c.expected})
			line := strings.TrimRight(b.String(), "\n")
			if c.want == "" && strings.Contains(line, "%") || !strings.HasSuffix(line, c.want) || !strings.Contains(line, " 100 ") {
				t.Errorf("%s: got %q, want …%q", name, line, c.want)
			}
		})
	}
}

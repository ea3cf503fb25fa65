package gate

import (
	"testing"
	"time"

	"ecluse"
)

// TestInHand: only a passage that is not over keeps a roster that lapses in an open window.
func TestInHand(t *testing.T) {
	at := func(h int) time.Time { return time.Date(2026, 11, 28, h, 0, 0, 0, time.UTC) }
	digest := ecluse.DigestOf([]byte("x"))
	for name, c := range map[string]struct {
		page Entry
		want time.Time
	}{
		"nothing began":        {Entry{}, time.Time{}},
		"reading":              {Entry{ReadBegun: at(1)}, at(1)},
		"loading":              {Entry{Passages: map[string]time.Time{"final-1": at(2)}}, at(2)},
		"taken out":            {Entry{Passages: map[string]time.Time{"final-1": at(2), "rehearsal-1": at(1)}, Undone: map[string]*Taken{"final-1": {}}}, at(1)},
		"a dry run that ended": {Entry{Passages: map[string]time.Time{"dry-1": at(3), "final-1": at(2)}, Dry: []string{"dry-1"}}, at(2)},
		"nothing else":         {Entry{Passages: map[string]time.Time{"dry-1": at(3)}, Dry: []string{"dry-1"}}, time.Time{}},
		"accepted":             {Entry{ReadBegun: at(1), Passages: map[string]time.Time{"final-1": at(2)}, Accepted: digest}, time.Time{}},
		"erased":               {Entry{ReadBegun: at(1), Erased: at(4)}, time.Time{}},
	} {
		if got := c.page.inHand(); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

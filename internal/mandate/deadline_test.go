package mandate_test

import (
	"slices"
	"testing"
	"time"

	"ecluse/internal/due"
	"ecluse/internal/mandate"
)

// TestNear: what is shown comes near when what is journalled says so.
func TestNear(t *testing.T) {
	if !slices.Equal(mandate.WarnBefore(), due.Warnings()) || mandate.RosterAge != due.RosterLife {
		t.Error("what is shown and what is journalled are not the same times")
	}
	end := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	d := mandate.Deadline{Of: mandate.OfErasure, At: end}
	for left, want := range map[time.Duration]time.Duration{
		8 * 24 * time.Hour: 0, 7 * 24 * time.Hour: 7 * 24 * time.Hour, 49 * time.Hour: 7 * 24 * time.Hour, 48 * time.Hour: 48 * time.Hour,
		5 * time.Hour: 48 * time.Hour, 4 * time.Hour: 4 * time.Hour, -time.Hour: 4 * time.Hour,
	} {
		within, near := d.Near(end.Add(-left))
		if within != want || near != (want > 0) {
			t.Errorf("%s before it: within %s, %v", left, within, near)
		}
	}
	if s := d.String(); s != "the deadline of erasure, 2026-11-30 12:00 UTC" {
		t.Error(s)
	}
}

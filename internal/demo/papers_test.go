package demo

import (
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
)

func TestPapersAreComplete(t *testing.T) {
	c, err := NewCast(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		text, err := c.Roster(side, now)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := evidence.ParseRoster("roster.yaml", text); err != nil {
			t.Error(err)
		}
	}
	text, err := c.Contract(now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mandate.ParseContract("contract.yaml", text); err != nil {
		t.Error(err)
	}
}

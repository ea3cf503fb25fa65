package cli

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/exchange"
)

// TestGateAwayIsTold: whoever waits for a gate that is away reads which one, since
// when, and what to do, in both languages.
func TestGateAwayIsTold(t *testing.T) {
	seen := time.Date(2026, 3, 4, 5, 6, 7, 0, time.Local)
	for _, c := range []struct {
		french bool
		at     exchange.Place
		seen   time.Time
		want   []string
	}{
		{false, exchange.SourcePlace, seen, []string{"waiting for the source gate, last heard of 2026-03-04 05:06:07", "ecluse gate run"}},
		{false, exchange.TargetPlace, time.Time{}, []string{"waiting for the target gate, not heard of since the server started"}},
		{true, exchange.SourcePlace, seen, []string{"en attente du programme côté ancien logiciel, dernières nouvelles le 2026-03-04 05:06:07", "ecluse gate run"}},
		{true, exchange.TargetPlace, time.Time{}, []string{"en attente du programme côté nouveau logiciel, sans nouvelles depuis"}},
	} {
		var out, errs bytes.Buffer
		(&ui{out: &out, err: &errs, french: c.french}).away(c.at, c.seen)
		for _, want := range c.want {
			if !strings.Contains(errs.String(), want) {
				t.Errorf("told %q, want %q", errs.String(), want)
			}
		}
		if out.Len() > 0 {
			t.Errorf("%q stands among the results", out.String())
		}
	}
}

// TestLeaving: who stops watching is told that the gates do not stop; another error
// stays what it is.
func TestLeaving(t *testing.T) {
	failed := errors.New("the target is full")
	u := &ui{}
	if err := u.leaving(t.Context(), failed, "apply"); !errors.Is(err, failed) {
		t.Errorf("became %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for french, want := range map[bool][2]string{
		false: {"the gates go on", "`ecluse undo` shows it again, `ecluse suspend` stops it"},
		true:  {"les programmes continuent", "`ecluse undo` le montre de nouveau, `ecluse suspend` l'arrête"},
	} {
		var e *ecluse.Error
		err := (&ui{french: french}).leaving(ctx, failed, "undo")
		if !errors.As(err, &e) || e.Kind != ecluse.Interrupted || e.Why != want[0] || e.Next != want[1] {
			t.Errorf("said %v", err)
		}
	}
}

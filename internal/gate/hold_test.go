package gate_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
)

// journal is a lock that only takes events in.
type journal struct {
	gate.Papers
	events []exchange.Event
}

func (j *journal) Record(_ context.Context, e exchange.Event) error {
	j.events = append(j.events, e)
	return nil
}

// TestHold: while the switch stands nothing is opened, what takes away goes on, and
// the journal knows once.
func TestHold(t *testing.T) {
	dir := newHome(t)
	h, j := open(t, dir), &journal{}
	do := func(v exchange.Verb) error {
		_, err := gate.UnlessHeld(h, t.Context(), j, exchange.Work{Verb: v, Migration: migration}, func(context.Context) (*exchange.Answer, error) { return &exchange.Answer{}, nil })
		return err
	}
	for _, because := range []string{"", "  ", "two\nlines", strings.Repeat("x", 201)} {
		if err := h.Hold(because); ecluse.KindOf(err) != ecluse.Invalid {
			t.Errorf("held because %q: %v", because, err)
		}
	}
	if err := do(exchange.Read); err != nil {
		t.Fatal(err)
	}
	if err := h.Hold("the network is being looked at"); err != nil {
		t.Fatal(err)
	}
	stopped := []exchange.Verb{
		exchange.Inspect, exchange.Sketch, exchange.MakeRecipient, exchange.CompileRead, exchange.CheckMapping, exchange.CompileLoad, exchange.Read, exchange.Load, exchange.Lend,
	}
	for _, v := range append(stopped, "of-a-later-program") {
		err := do(v)
		if !errors.Is(err, exchange.ErrHeld) || ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "the network is being looked at") {
			t.Errorf("%s while held: %v", v, err)
		}
		if p := exchange.ProblemOf(err); !errors.Is(p.Err(), exchange.ErrHeld) || !strings.Contains(p.Why, "looked at") {
			t.Errorf("%s: the lock does not hear why: %+v", v, p)
		}
	}
	for _, v := range []exchange.Verb{exchange.Undo, exchange.Keep, exchange.Erase, exchange.Search, exchange.Certify, exchange.Look, exchange.SignBundle} {
		if err := do(v); err != nil {
			t.Errorf("%s while held: %v", v, err)
		}
	}
	if len(j.events) != 1 || j.events[0].Type != "gate-held" || j.events[0].Migration != migration {
		t.Errorf("journalled: %+v", j.events)
	}
	if err := h.Hold("another reason"); err != nil {
		t.Fatal(err)
	}
	if err := h.Release(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(h.Release(), do(exchange.Read)); err != nil {
		t.Errorf("released: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, gate.HoldFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := do(exchange.Read); !errors.Is(err, exchange.ErrHeld) {
		t.Errorf("a damaged switch lets through: %v", err)
	}
}

// TestHoldStops: what is under way is given up, by the switch and not by a deadline.
func TestHoldStops(t *testing.T) {
	t.Parallel()
	h := open(t, newHome(t))
	_, err := gate.UnlessHeld(h, t.Context(), &journal{}, exchange.Work{Verb: exchange.Read, Migration: migration},
		func(ctx context.Context) (*exchange.Answer, error) {
			if err := h.Hold("now"); err != nil {
				return nil, err
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
	if !errors.Is(err, exchange.ErrHeld) {
		t.Errorf("given up: %v", err)
	}
}

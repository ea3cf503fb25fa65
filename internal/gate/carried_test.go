package gate_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
)

// TestTakeDispatch: a gate acts on what was carried to it unless it is old, something newer
// came before it, or what the gate answered last is not with the lock, or not all of it.
func TestTakeDispatch(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		name     string
		last     exchange.Came // as the ledger has it
		dispatch exchange.Dispatch
		lost     bool
		words    string // of what refuses it
		fresh    bool   // what was said before is forgotten
	}{
		{name: "the first", dispatch: exchange.Dispatch{Number: 1, Made: now}, fresh: true},
		{name: "the same again", last: exchange.Came{Number: 1, Items: 4}, dispatch: exchange.Dispatch{Number: 1, Made: now}},
		{name: "the same, lost", last: exchange.Came{Number: 1, Items: 4}, dispatch: exchange.Dispatch{Number: 1, Made: now}, lost: true, fresh: true},
		{name: "the next", last: exchange.Came{Number: 1, Items: 4}, dispatch: exchange.Dispatch{Number: 2, Made: now, Came: exchange.Came{Number: 1, Items: 4}}, fresh: true},
		{name: "the next but one", last: exchange.Came{Number: 1, Items: 4}, dispatch: exchange.Dispatch{Number: 3, Made: now, Came: exchange.Came{Number: 1, Items: 4}}, fresh: true},
		{name: "nothing was said", last: exchange.Came{Number: 1}, dispatch: exchange.Dispatch{Number: 2, Made: now}, fresh: true},
		{name: "not in", last: exchange.Came{Number: 1, Items: 4}, dispatch: exchange.Dispatch{Number: 2, Made: now}, words: "dispatch 1 has not reached the lock, or not all of it"},
		{
			name: "not all in", last: exchange.Came{Number: 1, Items: 4}, dispatch: exchange.Dispatch{Number: 2, Made: now, Came: exchange.Came{Number: 1, Items: 3}},
			words: "dispatch 1 has not reached the lock, or not all of it",
		},
		{name: "not in, and lost", last: exchange.Came{Number: 1, Items: 4}, dispatch: exchange.Dispatch{Number: 2, Made: now}, lost: true, fresh: true},
		{name: "older", last: exchange.Came{Number: 2}, dispatch: exchange.Dispatch{Number: 1, Made: now}, words: "dispatch 2 was here already"},
		{name: "older, and lost", last: exchange.Came{Number: 2}, dispatch: exchange.Dispatch{Number: 1, Made: now}, lost: true, words: "dispatch 2 was here already"},
		{name: "nearly three days", dispatch: exchange.Dispatch{Number: 1, Made: now.Add(time.Minute - exchange.DispatchLife)}, fresh: true},
		{name: "three days", dispatch: exchange.Dispatch{Number: 1, Made: now.Add(-time.Minute - exchange.DispatchLife)}, words: "it is 72 hours old"},
		{name: "three days, and lost", dispatch: exchange.Dispatch{Number: 1, Made: now.Add(-time.Hour - time.Minute - exchange.DispatchLife)}, lost: true, words: "it is 73 hours old"},
		{name: "to come", dispatch: exchange.Dispatch{Number: 1, Made: now.Add(time.Hour)}, words: "still to come"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := newHome(t)
			h := open(t, dir)
			if c.last.Number > 0 {
				if err := h.TakeDispatch(&exchange.Dispatch{Number: c.last.Number, Made: now}, false); err != nil {
					t.Fatal(err)
				}
				if err := h.Returns(c.last.Number, c.last.Items); err != nil {
					t.Fatal(err)
				}
			}
			before := filepath.Join(dir, "said-000001")
			if h.Said(1) != before {
				t.Fatal(h.Said(1))
			}
			if err := os.WriteFile(before, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := open(t, dir).TakeDispatch(&c.dispatch, c.lost)
			if c.words == "" && err != nil || c.words != "" && (ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(fmt.Sprint(err), c.words)) {
				t.Errorf("%v, want %q", err, c.words)
			}
			if _, err := os.Stat(before); (err != nil) != c.fresh {
				t.Errorf("what was said before is forgotten: %v, want %v", err != nil, c.fresh)
			}
		})
	}
}

// TestTakeDispatchClockBack: the age is by the latest time seen; a clock set back makes
// nothing young.
func TestTakeDispatchClockBack(t *testing.T) {
	t.Parallel()
	dir := newHome(t)
	made := time.Now()
	ledger := filepath.Join(dir, "ledger.json")
	text, err := os.ReadFile(ledger)
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), `"high_water": "`)
	stamp, _, _ := strings.Cut(after, `"`)
	seen := made.Add(exchange.DispatchLife + time.Hour).UTC().Format(time.RFC3339)
	if err := os.WriteFile(ledger, []byte(strings.Replace(string(text), stamp, seen, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := gate.OpenHome(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.TakeDispatch(&exchange.Dispatch{Number: 1, Made: made}, false); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(fmt.Sprint(err), "hours old") {
		t.Errorf("%v", err)
	}
}

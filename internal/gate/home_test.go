package gate_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
)

const (
	migration ecluse.MigrationID = "quatre-vents-01"

	rootA   = ecluse.Fingerprint("SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	rootB   = ecluse.Fingerprint("SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB")
	lockKey = ecluse.Fingerprint("SHA256:CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC")
)

// newHome makes a gate's folder.
func newHome(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if _, err := gate.CreateHome(dir, "gate", map[ecluse.Side]ecluse.Fingerprint{ecluse.Controller: rootA, ecluse.Processor: rootB}, lockKey, true); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t *testing.T, dir string) *gate.Home {
	t.Helper()
	h, err := gate.OpenHome(dir)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func entry(t *testing.T, h *gate.Home) gate.Entry {
	t.Helper()
	e, err := h.Entry(migration)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestTwoProcesses: what one process of a gate notes, another that was open
// before knows, and keeps when it notes something itself.
func TestTwoProcesses(t *testing.T) {
	dir := newHome(t)
	watching, working := open(t, dir), open(t, dir)
	if err := working.Note(migration, func(e *gate.Entry) error { e.Epoch = 3; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := working.SawRosters(map[ecluse.Side]int{ecluse.Controller: 2}); err != nil {
		t.Fatal(err)
	}
	if e := entry(t, watching); e.Epoch != 3 {
		t.Errorf("the other process knows epoch %d", e.Epoch)
	}
	if err := watching.Note(migration, func(e *gate.Entry) error { e.Head = []byte("head"); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := watching.SawRosters(map[ecluse.Side]int{ecluse.Processor: 5, ecluse.Controller: 1}); err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]*gate.Home{"watching": watching, "working": working, "opened after": open(t, dir)} {
		if e := entry(t, h); e.Epoch != 3 || string(e.Head) != "head" {
			t.Errorf("%s: epoch %d, head %q", name, e.Epoch, e.Head)
		}
		floor, err := h.RosterFloor()
		if err != nil || floor[ecluse.Controller] != 2 || floor[ecluse.Processor] != 5 {
			t.Errorf("%s: rosters %v, %v", name, floor, err)
		}
	}
}

// TestManyProcesses: no note of many that come at once is lost, whoever opens the
// folder meanwhile.
func TestManyProcesses(t *testing.T) {
	dir := newHome(t)
	const processes, notes = 8, 10
	var all sync.WaitGroup
	for range processes {
		all.Go(func() {
			for range notes {
				h, err := gate.OpenHome(dir)
				if err == nil {
					_, err = h.Now()
				}
				if err == nil {
					err = h.Note(migration, func(e *gate.Entry) error { e.Epoch++; return nil })
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if e := entry(t, open(t, dir)); e.Epoch != processes*notes {
		t.Errorf("%d notes are left of %d", e.Epoch, processes*notes)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".part-*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestNoteThatFails changes nothing.
func TestNoteThatFails(t *testing.T) {
	h := open(t, newHome(t))
	no := errors.New("no")
	if err := h.Note(migration, func(e *gate.Entry) error { e.Epoch = 9; return no }); !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
	if e := entry(t, h); e.Epoch != 0 {
		t.Errorf("epoch %d was noted", e.Epoch)
	}
}

// TestLedgerGone: a gate whose ledger goes while it runs stops.
func TestLedgerGone(t *testing.T) {
	dir := newHome(t)
	h := open(t, dir)
	if err := os.Remove(filepath.Join(dir, "ledger.json")); err != nil {
		t.Fatal(err)
	}
	err := h.Note(migration, func(*gate.Entry) error { return nil })
	if ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("noted without a ledger: %v", err)
	}
}

// TestClock: a clock found behind a time that any process of the gate has seen
// stops what reads and loads, and not what takes away.
func TestClock(t *testing.T) {
	dir := newHome(t)
	h := open(t, dir)
	if now, err := h.Now(); err != nil || time.Since(now).Abs() > time.Minute {
		t.Errorf("now is %s, %v", now, err)
	}
	seen := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	setHigh(t, dir, seen)
	if _, err := h.Now(); !errors.Is(err, exchange.ErrClockBack) || ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("got %v", err)
	}
	if at, err := h.Latest(); err != nil || !at.Equal(seen) {
		t.Errorf("the latest time is %s, %v, want %s", at, err, seen)
	}
	d, err := h.Erase(migration, ecluse.Digest{}, "source")
	if err != nil {
		t.Fatal(err)
	}
	if !d.At.Equal(seen) {
		t.Errorf("erased at %s, want the latest time seen, %s", d.At, seen)
	}
	// The ledger put back does not make this process forget.
	setHigh(t, dir, time.Now())
	if _, err := h.Now(); !errors.Is(err, exchange.ErrClockBack) {
		t.Errorf("got %v", err)
	}
}

// setHigh writes the latest time seen into a ledger.
func setHigh(t *testing.T, dir string, at time.Time) {
	t.Helper()
	path := filepath.Join(dir, "ledger.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), `"high_water": "`)
	_, after, ok2 := strings.Cut(rest, `"`)
	if !ok || !ok2 {
		t.Fatal("the ledger has no time")
	}
	if err := os.WriteFile(path, []byte(before+`"high_water": "`+at.UTC().Format(time.RFC3339)+`"`+after), 0o600); err != nil {
		t.Fatal(err)
	}
}

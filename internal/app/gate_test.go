package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/api"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/config"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/wire"
)

// enrolling is a laboratory on a server that knows no gate yet, and what a console is
// told of it.
func enrolling(t *testing.T) (*roomtest.Dir, *app.Room, *served, app.EnrolRequest) {
	t.Helper()
	d := roomtest.At(t, roomtest.Contracted, 3)
	var settings map[string]any
	if err := json.Unmarshal(d.Read("room", "lock", "lock.json"), &settings); err != nil {
		t.Fatal(err)
	}
	delete(settings, "gates")
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	d.Write(text, "room", "lock", "lock.json")
	r := d.Open()
	s := serveLabs(t, func(pin wire.Pin) []api.Lab { return []api.Lab{r.Lab("room", pin)} })
	roots := config.Roots{Controller: d.Roots()[ecluse.Controller], Processor: d.Roots()[ecluse.Processor]}
	return d, r, s, app.EnrolRequest{
		Dir: d.Join("megabus"), Place: exchange.SourcePlace,
		Line:   &config.Context{Server: s.URL, Laboratory: "room", Pin: ecluse.Digest(s.Pin), Lock: r.LockKey(), Roots: roots},
		Roots:  roots,
		System: "MEGABUS 5", StandsAt: "Laboratoire des Quatre-Vents, Saumur",
		Machine: []ecluse.Side{ecluse.Controller, ecluse.Processor}, Database: []ecluse.Side{ecluse.Controller},
	}
}

// database writes a gate's settings for a SQLite file, as its administrator would.
func database(t *testing.T, dir, file string) {
	t.Helper()
	path := filepath.Join(dir, config.FileName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "# The database.")
	if err := os.WriteFile(path, []byte(head+"engine: sqlite\ncatalogue: {file: "+file+"}\nrows: {file: "+file+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestGateFromEnrolmentToWork: a gate on a machine of its own is told whom to believe,
// shows words, is confirmed by them, and works.
func TestGateFromEnrolmentToWork(t *testing.T) {
	t.Parallel()
	d, r, _, q := enrolling(t)
	v, err := app.Enrol(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	again, err := app.Enrol(t.Context(), q)
	if err != nil || again.Paper != v.Paper || again.English != v.English || again.Gate != v.Gate {
		t.Fatalf("again: %+v, %v", again, err)
	}
	if got, err := r.Knows(t.Context(), v.Gate); err != nil || got {
		t.Error("a gate is known before the controller confirms it", err)
	}
	database(t, q.Dir, d.Join("ancilab.db"))

	// It waits for its confirmation, told once why.
	var mu sync.Mutex
	var told []gate.Doing
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- app.RunGate(ctx, q.Dir, app.RunOptions{Tell: func(x gate.Doing) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, x)
		}})
	}()
	waitFor(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(told) > 0 })
	if err := app.RunGate(ctx, q.Dir, app.RunOptions{}); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "another process runs it already") {
		t.Errorf("a second process runs the same gate: %v", err)
	}
	c := desk.GateRequest{Gate: v.Gate, Roots: d.Roots(), Lock: r.LockKey(), Key: d.Key(roomtest.Claire)}
	if _, err := r.ConfirmGate(t.Context(), c, v.French); err != nil {
		t.Fatal(err)
	}
	view, err := r.Inspect(t.Context(), exchange.SourcePlace)
	if err != nil {
		t.Fatal(err)
	}
	if view.Catalogue == nil {
		t.Error("the gate listed nothing")
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("stopped: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	failures := 0
	for _, x := range told {
		if x.Work.ID == "" && x.Err != nil {
			failures++
		}
	}
	if failures != 1 {
		t.Errorf("told %d times that the server does not let it in: %+v", failures, told)
	}
}

func waitFor(t *testing.T, what func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !what(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come about in 30 seconds")
		}
	}
}

// TestEnrolRefuses: what the console is told must agree, the first time and later.
func TestEnrolRefuses(t *testing.T) {
	t.Parallel()
	d, _, _, q := enrolling(t)
	other := ecluse.Fingerprint("SHA256:" + strings.Repeat("x", 43))
	refused := func(name string, kind ecluse.Kind, change func(*app.EnrolRequest, *config.Context)) {
		t.Helper()
		x, line := q, *q.Line
		x.Line = &line
		change(&x, &line)
		if _, err := app.Enrol(t.Context(), x); ecluse.KindOf(err) != kind {
			t.Errorf("%s: %v, want %s", name, err, kind)
		}
	}
	refused("root known otherwise", ecluse.Differs, func(x *app.EnrolRequest, _ *config.Context) { x.Roots.Controller = other })
	refused("a line of another laboratory's roots", ecluse.Refused, func(x *app.EnrolRequest, l *config.Context) {
		x.Dir, x.Roots.Controller, l.Roots.Controller = d.Join("other"), other, other
	})
	refused("a line with another journal's key", ecluse.Refused, func(x *app.EnrolRequest, l *config.Context) { x.Dir, l.Lock = d.Join("third"), other })
	refused("a server that is not the pinned one", ecluse.Unverified, func(x *app.EnrolRequest, l *config.Context) {
		x.Dir, l.Pin = d.Join("fourth"), ecluse.DigestOf([]byte("another"))
	})
	if _, err := app.Enrol(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	refused("other roots later", ecluse.Refused, func(x *app.EnrolRequest, l *config.Context) { x.Roots.Processor, l.Roots.Processor = other, other })
	refused("another place later", ecluse.Refused, func(x *app.EnrolRequest, _ *config.Context) { x.Place = exchange.TargetPlace })
	refused("another laboratory later", ecluse.Differs, func(_ *app.EnrolRequest, l *config.Context) { l.Laboratory = "elsewhere" })
	refused("a folder of something else", ecluse.Invalid, func(x *app.EnrolRequest, _ *config.Context) { x.Dir = d.Join("keys") })
	refused("a person's address", ecluse.Invalid, func(x *app.EnrolRequest, _ *config.Context) { x.StandsAt = "claire@quatre-vents.example" })
}

// TestEnrolNeedsBothRoots: whom a gate believes is said at its own console; a line, which
// comes from where the server is, is not enough.
func TestEnrolNeedsBothRoots(t *testing.T) {
	t.Parallel()
	_, _, _, q := enrolling(t)
	for _, roots := range []config.Roots{{}, {Controller: q.Roots.Controller}, {Processor: q.Roots.Processor}, {Controller: q.Roots.Processor, Processor: q.Roots.Controller}} {
		x := q
		x.Roots = roots
		if _, err := app.Enrol(t.Context(), x); err == nil {
			t.Errorf("enrolled with %+v", roots)
		}
		if _, err := os.Stat(q.Dir); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("made something: %v", err)
		}
	}
}

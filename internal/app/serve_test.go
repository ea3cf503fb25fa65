package app_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/client"
	"ecluse/internal/config"
	"ecluse/internal/gate"
	"ecluse/internal/wire"
)

func twoRoots() map[ecluse.Side]ecluse.Fingerprint {
	return map[ecluse.Side]ecluse.Fingerprint{
		ecluse.Controller: "SHA256:" + ecluse.Fingerprint(strings.Repeat("c", 43)), ecluse.Processor: "SHA256:" + ecluse.Fingerprint(strings.Repeat("p", 43)),
	}
}

// begun serves a folder until stop is called.
func begun(t *testing.T, dir string) (s app.Serving, stop func() error) {
	t.Helper()
	o, err := app.ServerFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	o.Config.Listen = "127.0.0.1:0"
	ready := make(chan app.Serving, 1)
	o.Ready = func(s app.Serving) { ready <- s }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.Serve(ctx, *o) }()
	stop = func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(30 * time.Second):
			return errors.New("it did not stop")
		}
	}
	select {
	case s = <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	return s, stop
}

// TestServeFolder: a server serves each laboratory of its folder under the key that
// its line names; a second server on a folder is refused, and the folder is free
// again once the first has stopped.
func TestServeFolder(t *testing.T) {
	dir := filepath.Join(roomtest.Temp(t), "server")
	if made, err := app.BeginServer(dir, ""); !made || err != nil {
		t.Fatal(made, err)
	}
	for _, id := range []string{"megabus", "quatre-vents"} {
		if err := app.AddLab(t.Context(), dir, id, twoRoots()); err != nil {
			t.Fatal(err)
		}
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	s, stop := begun(t, dir)
	if len(s.Labs) != 2 || s.Labs[0].Lock == s.Labs[1].Lock {
		t.Errorf("serves %+v", s.Labs)
	}
	for _, l := range s.Labs {
		x, err := config.ParseLine(l.Line)
		if err != nil {
			t.Fatal(err)
		}
		o := client.Options{Options: wire.Options{Pin: wire.Pin(x.Pin), Gate: key}, Server: x.Server, Laboratory: x.Laboratory}
		if err := client.Enrol(t.Context(), o, x.Lock, evidence.Signed{}); err != nil || l.Lock != x.Lock {
			t.Errorf("%s: its journal's key is %s, the line says %s: %v", l.ID, l.Lock, x.Lock, err)
		}
		// Whoever names another key is told nothing: not the right one, nor that there is
		// the laboratory.
		other := ecluse.Fingerprint("SHA256:" + strings.Repeat("x", 43))
		err = client.Enrol(t.Context(), o, other, evidence.Signed{})
		o.Laboratory = "nowhere"
		nowhere := client.Enrol(t.Context(), o, other, evidence.Signed{})
		if ecluse.KindOf(err) != ecluse.Refused || strings.Contains(fmt.Sprint(err), string(l.Lock)) || fmt.Sprint(err) != strings.Replace(fmt.Sprint(nowhere), "nowhere", x.Laboratory, 1) {
			t.Errorf("%s, by another key: %v; a laboratory that there is not: %v", l.ID, err, nowhere)
		}
	}
	o, err := app.ServerFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	o.Config.Listen = "127.0.0.1:0"
	err = app.Serve(t.Context(), *o)
	if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "another server has this folder open") {
		t.Errorf("a second server: %v", err)
	}
	if err := app.AddLab(t.Context(), dir, "trois-rivieres", twoRoots()); err != nil {
		t.Error(err)
	}
	d, err := o.DescribeLabs(t.Context())
	if err != nil || len(d.Labs) != 2 || d.Labs[0].Lock != s.Labs[0].Lock || d.Pin != s.Pin {
		t.Errorf("described while it runs as %+v, %v", d, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	again, stop := begun(t, dir)
	if len(again.Labs) != 3 || again.Pin != s.Pin {
		t.Errorf("after it started again: %d laboratories, pin %s", len(again.Labs), again.Pin)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestAddLabRefused: what cannot be a laboratory leaves nothing behind.
func TestAddLabRefused(t *testing.T) {
	dir := roomtest.Temp(t)
	roots := twoRoots()
	if err := app.AddLab(t.Context(), dir, "megabus", roots); err != nil {
		t.Fatal(err)
	}
	same := map[ecluse.Side]ecluse.Fingerprint{ecluse.Controller: roots[ecluse.Controller], ecluse.Processor: roots[ecluse.Controller]}
	for name, c := range map[string]struct {
		id    string
		roots map[ecluse.Side]ecluse.Fingerprint
		why   string
	}{
		"taken":          {"megabus", roots, "the name is taken"},
		"a path":         {"../outside", roots, "lower-case letters"},
		"capitals":       {"Megabus", roots, "lower-case letters"},
		"one root twice": {"vents", same, "root of both parties"},
	} {
		if err := app.AddLab(t.Context(), dir, c.id, c.roots); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want %q", name, err, c.why)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := app.AddLab(gone, dir, "cut", roots); err == nil {
		t.Error("made after it was stopped")
	}
	entries, err := os.ReadDir(filepath.Join(dir, "laboratories"))
	if err != nil || len(entries) != 1 {
		t.Errorf("left %v, %v", entries, err)
	}
	if err := app.AddLab(t.Context(), filepath.Join(dir, "laboratories", "megabus"), "inside", roots); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("inside of another: %v", err)
	}
}

// TestKeysOfOthers: a key that others on the machine may read opens no folder, and the
// error says what to do.
func TestKeysOfOthers(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("it keeps rights elsewhere")
	}
	d := roomtest.At(t, roomtest.Made, 3)
	for part, open := range map[string]func(dir string) error{
		"lock/lock_key": func(dir string) error {
			_, shut, err := app.OpenLab(t.Context(), dir, "room", wire.Pin{})
			if err == nil {
				err = shut()
			}
			return err
		},
		"source/gate_key": func(dir string) error {
			_, err := gate.OpenHome(dir)
			return err
		},
	} {
		path := d.Join("room", filepath.FromSlash(part))
		for mode, want := range map[os.FileMode]bool{0o644: false, 0o640: false, 0o600: true, 0o400: true} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			err := open(filepath.Dir(path))
			if (err == nil) != want || !want && (ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "others on this machine may read it")) {
				t.Errorf("%s of mode %o: %v", part, mode, err)
			}
		}
	}
}

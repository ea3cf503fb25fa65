package cli_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/demo"
)

// spoiled runs the demonstration while somebody lays a file beside it that holds
// what must not travel.
func spoiled(t *testing.T, args ...string) (ran, *roomtest.Dir) {
	t.Helper()
	d := &roomtest.Dir{TB: t, Path: roomtest.Temp(t)}
	old, err := demo.MakeOld(t.Context(), d.Join("old.db"), 1)
	if err != nil {
		t.Fatal(err)
	}
	laid := make(chan error, 1)
	go func() {
		for range 3000 { // the folder has to be empty when it begins
			if _, err := os.Stat(d.Join("demo", "keys")); !errors.Is(err, fs.ErrNotExist) {
				laid <- errors.Join(err, os.WriteFile(d.Join("demo", "letter.txt"), []byte("à "+old.Canary), 0o600))
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		laid <- errors.New("the demonstration never began")
	}()
	r := run(t, d, append([]string{"demo", "--patients", "20", "--dir", d.Join("demo")}, args...)...)
	if err := <-laid; err != nil {
		t.Fatal(err)
	}
	return r, d
}

// TestDemoFails: a demonstration that finds something wrong says what, and fails,
// for people and for programs.
func TestDemoFails(t *testing.T) {
	t.Parallel()
	r, d := spoiled(t)
	if r.code != ecluse.Unverified.ExitCode() {
		t.Errorf("exit %d, want %d\n%s", r.code, ecluse.Unverified.ExitCode(), r.err)
	}
	for _, want := range []string{"found in 1.", "canaries outside the old database   1\n", "This went wrong: see the lines above. Everything is still in " + d.Join("demo")} {
		if !strings.Contains(r.out, want) {
			t.Errorf("it does not say %q:\n%s", want, r.out)
		}
	}
	r, _ = spoiled(t, "--json")
	var v demo.Outcome
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		t.Fatal(err)
	}
	if r.code != ecluse.Unverified.ExitCode() || v.CanariesFound != 1 || !v.Erased {
		t.Errorf("--json: exit %d, %+v", r.code, v)
	}
}

// TestDemoShowsTheGates: the picture shows each gate open once, while the other
// is closed.
func TestDemoShowsTheGates(t *testing.T) {
	t.Parallel()
	d := &roomtest.Dir{TB: t, Path: roomtest.Temp(t)}
	out := ok(t, d, "demo", "--patients", "20", "--dir", filepath.Join(d.Path, "demo"))
	if n := strings.Count(out, "~~~~┆ ≈ ≈    ┃~~~~"); n != 1 {
		t.Errorf("the source gate is seen open %d times:\n%s", n, out)
	}
	if n := strings.Count(out, "~~~~┃ ≈ ≈ ≈  ┆~~~~"); n != 1 {
		t.Errorf("the target gate is seen open %d times:\n%s", n, out)
	}
	if n := strings.Count(out, "~~~~ new lab"); n != 13 {
		t.Errorf("%d pictures, want one for each step", n)
	}
}

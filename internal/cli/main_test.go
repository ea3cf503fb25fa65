package cli_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/config"
)

// binary is the program itself, as `make build` makes it: what these tests run
// and kill is no test binary.
var binary string

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

func runAll(m *testing.M) int {
	if code, yes := asProgram(); yes {
		return code
	}
	if code, yes := asSQL(); yes {
		return code
	}
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set { // these tests wait for processes, and for one another's answers, more than they reckon
		if err := flag.Set("test.parallel", strconv.Itoa(3*runtime.GOMAXPROCS(0))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	dir, err := os.MkdirTemp("", "ecluse-binary-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "ecluse")
	if out, err := exec.Command("go", "build", "-o", binary, "ecluse/cmd/ecluse").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return roomtest.Run(m)
}

// ran is a command that has ended.
type ran struct {
	out, err string
	code     int // -1: killed
	took     time.Duration
}

// at copies a room that stands at a stage, of so many patients, and starts its server
// and gates.
func at(t testing.TB, s roomtest.Stage, patients int) *roomtest.Dir {
	t.Helper()
	d := roomtest.At(t, s, patients)
	up(t, d)
	return d
}

// up starts a room's server and gates, until the test ends, and lets the room's device
// know of them. Who does not say who they are is Marc Tissot, the processor's operator.
func up(t testing.TB, d *roomtest.Dir) {
	t.Helper()
	r, err := start(t, d, binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
}

// start is up, with a program of the caller's choice, until the room is closed.
func start(t testing.TB, d *roomtest.Dir, program string) (*app.Running, error) {
	t.Helper()
	r, err := app.Start(context.WithoutCancel(t.Context()), d.Join("room"), app.StartOptions{Program: program})
	if err != nil {
		return nil, err
	}
	x := *r.Context()
	x.Name, x.Key = "room", d.Join("keys", roomtest.Marc)
	err = config.ChangeContexts(d.Join("device"), func(all *config.Contexts) error {
		if len(all.Names()) > 0 { // started again: on another port
			if err := all.Remove(x.Name); err != nil {
				return err
			}
		}
		return all.Add(x)
	})
	return r, err
}

// command is the program on a room's device, with an environment of its own.
func command(ctx context.Context, d *roomtest.Dir, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, binary, args...)
	c.Dir = d.Path
	c.Env = environment(d.Path, "ECLUSE_CONFIG="+d.Join("device"), "ECLUSE_PLANS="+d.Join("room", "plans"), "LANG=C")
	return c
}

// environment leaves a process nothing but what it is given: files it makes
// elsewhere are made in dir.
func environment(dir string, more ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}, more...)
}

// run runs the program to its end.
func run(t testing.TB, d *roomtest.Dir, args ...string) ran {
	t.Helper()
	return end(t, command(t.Context(), d, args...))
}

func end(t testing.TB, c *exec.Cmd) ran {
	t.Helper()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	begun := time.Now()
	err := c.Run()
	r := ran{out.String(), errs.String(), 0, time.Since(begun)}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		r.code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return r
}

// ok runs the program and wants it to succeed.
func ok(t testing.TB, d *roomtest.Dir, args ...string) string {
	t.Helper()
	r := run(t, d, args...)
	if r.code != 0 {
		t.Fatalf("ecluse %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r.out
}

// verified writes the evidence and verifies it with the program.
func verified(t testing.TB, d *roomtest.Dir) {
	t.Helper()
	ok(t, d, "evidence", d.Join("evidence"))
	roots := d.Roots()
	out := ok(t, d, "verify", d.Join("evidence"), "--controller", string(roots["controller"]), "--processor", string(roots["processor"]))
	if !strings.HasPrefix(out, "OK\n") {
		t.Errorf("the evidence does not verify:\n%s", out)
	}
}

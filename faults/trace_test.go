//go:build linux && amd64

package faults

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// traced runs a program under a tracer, as a person's command.
func traced(t *testing.T, s spec, control, file string, args ...string) (string, error) {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(control, "command.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), programEnv+"="+file, controlEnv+"="+control, "LANG=C")
	out, err := c.CombinedOutput()
	return string(out), err
}

// TestTracer: each write of a command is counted, and goes wrong as it is asked.
func TestTracer(t *testing.T) {
	control, dir := t.TempDir(), t.TempDir()
	keys := 0
	key := func() string { keys++; return filepath.Join(dir, "key"+strconv.Itoa(keys)) }
	if out, err := traced(t, spec{Below: dir, How: never}, control, program, "key", "new", key()); err != nil {
		t.Fatalf("counted: %v\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(control, "command.count"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 6 { // key and its public half: make, write, sync, rename each
		t.Fatalf("%d calls, %v", n, err)
	}
	t.Logf("%d calls", n)
	os.Remove(filepath.Join(control, "command.count"))
	for _, h := range []how{killBefore, killAfter, errorBefore, errorAfter, short} {
		for i := 1; i <= n; i++ {
			out, err := traced(t, spec{Below: dir, How: h, Nth: i, Errno: syscall.ENOSPC}, control, program, "key", "new", key())
			_, fired := os.Stat(filepath.Join(control, "command.fired"))
			if h != short && fired != nil {
				t.Errorf("%s, call %d of %d: it never came to it: %s", h, i, n, out)
			}
			switch {
			case h == killBefore || h == killAfter:
				if err == nil {
					t.Errorf("%s, call %d: it lived", h, i)
				}
			case err != nil && !strings.Contains(out, "no space left"):
				t.Errorf("%s, call %d: %v\n%s", h, i, err, out)
			}
			os.Remove(filepath.Join(control, "command.fired"))
			os.Remove(filepath.Join(control, "command.count"))
		}
	}
}

// TestTracedClock: a process whose clock is wrong believes it.
func TestTracedClock(t *testing.T) {
	control := t.TempDir()
	const wrong = 40 * 24 * 3600
	if err := os.WriteFile(filepath.Join(control, "command.shift"), []byte(strconv.Itoa(wrong)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := traced(t, spec{Below: control, How: never, Clocks: true}, control, "/bin/date", "+%s")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	says, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	if off := says - time.Now().Unix() - wrong; err != nil || off < -5 || off > 5 {
		t.Errorf("it says %s, wrong by %d s, %v", out, off, err)
	}
}

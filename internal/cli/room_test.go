//go:build unix

package cli_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
)

// TestRoom: `ecluse room` says how it is reached, works, and leaves no process behind,
// whether it is asked to end or killed.
func TestRoom(t *testing.T) {
	t.Parallel()
	for name, sig := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT, "SIGKILL": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := roomtest.At(t, roomtest.Ready, 3)
			c := command(t.Context(), d, "room", "room", "--json")
			var errs bytes.Buffer
			c.Stderr = &errs
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(out)
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("%v\n%s", err, errs.String())
			}
			if err := sameFields("room", line); err != nil {
				t.Error(err)
			}
			look := command(t.Context(), d, "status")
			look.Env = append(look.Env, "ECLUSE_CONFIG="+d.Join("room", "device"))
			look.Args = append(look.Args, "--as", d.Join("keys", roomtest.Marc))
			if v := end(t, look); v.code != 0 || !strings.Contains(v.out, string(roomtest.Migration)) {
				t.Errorf("status: exit %d\n%s%s", v.code, v.out, v.err)
			}
			parts := children(c.Process.Pid)
			if len(parts) != 3 {
				t.Errorf("a room is %d processes", len(parts))
			}
			if err := c.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, r)
			if err := c.Wait(); err != nil && sig != syscall.SIGKILL {
				t.Errorf("%v\n%s", err, errs.String())
			}
			for _, pid := range parts {
				for range 200 {
					if syscall.Kill(pid, 0) != nil {
						break
					}
					time.Sleep(50 * time.Millisecond)
				}
				if syscall.Kill(pid, 0) == nil && !zombie(pid) {
					t.Errorf("process %d is left", pid)
				}
			}
		})
	}
}

// children are the processes that a process has started.
func children(pid int) []int {
	out, _ := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	var all []int
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 2 && f[1] == strconv.Itoa(pid) {
			n, _ := strconv.Atoi(f[0])
			all = append(all, n)
		}
	}
	return all
}

// zombie: it has ended, and nobody asked how.
func zombie(pid int) bool {
	out, _ := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return strings.HasPrefix(string(out), "Z") || len(out) == 0
}

// TestGateOnce: `ecluse gate run --once` does what is asked, says so a line each, and ends.
func TestGateOnce(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 3)
	room, err := start(t, d, binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { room.Close() })
	if err := room.Kill(app.SourcePart); err != nil {
		t.Fatal(err)
	}
	apply := command(t.Context(), d, "apply")
	if err := apply.Start(); err != nil {
		t.Fatal(err)
	}
	all := map[string]any{} // one object with what any of the lines says
	for range 100 {
		for line := range strings.Lines(ok(t, d, "gate", "run", d.Join("room", "source"), "--once", "--json")) {
			if err := json.Unmarshal([]byte(line), &all); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
		}
		if all["done"] == true && apply.ProcessState == nil {
			if v := run(t, d, "status"); strings.Contains(v.out, "compared") {
				break
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := apply.Wait(); err != nil {
		t.Errorf("apply: %v", err)
	}
	if why, ok := all["error"]; ok { // a gate that was away may find that nobody waits any more
		t.Log(why)
		delete(all, "error")
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if err := sameFields("gate-run", string(text)); err != nil {
		t.Error(err)
	}
}

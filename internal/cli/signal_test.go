//go:build unix

package cli_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"ecluse/internal/app/roomtest"
)

// TestInterrupted: Ctrl-C ends whoever watches a passage at once, says that the gates
// go on, and they do; to apply again shows it.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	want := undisturbed(t, roomtest.Loaded)
	usual := usually(t, roomtest.Ready, "apply")
	for range 10 {
		d := at(t, roomtest.Ready, killPatients)
		c := command(t.Context(), d, "apply")
		var out, errs bytes.Buffer
		c.Stdout, c.Stderr = &out, &errs
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(usual / 3)
		if err := c.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if c.Wait() == nil {
			continue // it was over before
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("it took %s to stop", took)
		}
		if c.ProcessState.ExitCode() != 1 || !strings.Contains(errs.String(), "ecluse: interrupted: stop watching: the gates go on") || !strings.Contains(errs.String(), "next: `ecluse apply` shows it again, `ecluse suspend` stops it") {
			t.Errorf("exit %d\n%s", c.ProcessState.ExitCode(), errs.String())
		}
		for range 600 { // nobody asks
			if facts, _ := d.Facts(); facts == want {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if facts, _ := d.Facts(); facts != want {
			t.Error("the target holds other rows than an undisturbed passage puts there")
		}
		return
	}
	t.Error("it was always over before it was interrupted")
}

// TestDueFails: what was due and failed ends `ecluse due` otherwise than well, whoever
// reads it, until it is done.
func TestDueFails(t *testing.T) {
	t.Parallel()
	d := at(t, roomtest.Loaded, 3)
	d.Late()
	d.Exec("room/lock/control.db", fmt.Sprintf("UPDATE due SET at = %d WHERE kind = 'erase'", time.Now().Add(-time.Minute).UnixMilli()))
	if err := os.Rename(d.Join("novalab.db"), d.Join("away.db")); err != nil {
		t.Fatal(err)
	}
	r := run(t, d, "due")
	if r.code != 1 || !strings.Contains(r.err, "1 failed: erasure") || !strings.Contains(r.err, "\n  next: it is tried again by itself") || !strings.Contains(r.out, "due and failed") {
		t.Errorf("exit %d\n%s\n%s", r.code, r.out, r.err)
	}
	r = run(t, d, "due", "--json")
	var v struct {
		Failed []struct{ What, Why, Kind string }
	}
	if err := json.Unmarshal([]byte(r.out), &v); err != nil || r.code != 1 || len(v.Failed) != 1 || v.Failed[0].What != "erase" || v.Failed[0].Why == "" {
		t.Errorf("exit %d, %v: %s", r.code, err, r.out)
	}
	c := command(t.Context(), d, "due", "--watch", "--json")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil || c.ProcessState.ExitCode() != 1 {
		t.Errorf("whoever stays ends with %v while it fails", err)
	}
	if err := os.Rename(d.Join("away.db"), d.Join("novalab.db")); err != nil {
		t.Fatal(err)
	}
	ok(t, d, "due")
	verified(t, d)
}

// TestDueWatch: what was due is done when the first line comes, one object a line, and
// whoever stays ends with SIGTERM as with success.
func TestDueWatch(t *testing.T) {
	t.Parallel()
	d := at(t, roomtest.Sealed, 3)
	d.Late()
	d.Exec("room/lock/control.db", "UPDATE due SET at = 1 WHERE kind = 'erase'")
	c := command(t.Context(), d, "due", "--watch", "--json")
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	var v struct {
		Done   *[]any `json:"done"` // the server may have done it before it was asked
		Failed []any  `json:"failed"`
	}
	if err := json.Unmarshal([]byte(line), &v); err != nil || v.Done == nil || len(v.Failed) > 0 {
		t.Errorf("%v: %s", err, line)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("%v\n%s", err, errs.String())
	}
	verified(t, d)
}

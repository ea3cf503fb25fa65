package cli_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"ecluse/internal/app/roomtest"
	"ecluse/internal/cli"
	"ecluse/internal/stocktest"
)

// limited is set when this test binary runs as the program, with files that may
// not grow past a size: how a full disk looks to somebody who may not mount one.
const limited = "ECLUSE_TEST_FILE_SIZE"

// asProgram runs the command line in this process when it was started for that.
func asProgram() (code int, yes bool) {
	size, err := strconv.ParseUint(os.Getenv(limited), 10, 64)
	if err != nil {
		return 0, false
	}
	signal.Ignore(unix.SIGXFSZ) // a write fails instead
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: size}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99, true
	}
	return cli.Run(context.Background(), cli.Env{Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}), true
}

// TestFileLimit: files of server and gates that may not grow stop a passage, at
// whatever file comes first; with room it goes on and ends as if nothing had been.
func TestFileLimit(t *testing.T) {
	t.Parallel()
	want := fullFacts(t)
	var stopped atomic.Int32
	t.Cleanup(func() {
		if n := stopped.Load(); n < 4 {
			t.Errorf("%d limits stopped a passage", n)
		}
	})
	for _, size := range []int{0, 1 << 10, 4 << 10, 16 << 10, 40 << 10, 80 << 10, 120 << 10, 160 << 10, 200 << 10} {
		t.Run(fmt.Sprintf("%d bytes", size), func(t *testing.T) {
			t.Parallel()
			d := roomtest.At(t, roomtest.Ready, fullPatients)
			d.Write(fmt.Appendf(nil, "#!/bin/sh\n%s=%d exec '%s' \"$@\"\n", limited, size, os.Args[0]), "limited")
			if err := os.Chmod(d.Join("limited"), 0o700); err != nil {
				t.Fatal(err)
			}
			room, err := start(t, d, d.Join("limited"))
			if err != nil { // not even a server or a gate can begin
				stopped.Add(1)
				t.Log(err)
				up(t, d)
				goesOn(t, d, want)
				return
			}
			r := run(t, d, "apply")
			room.Close() // what could not be written may keep it from ending well
			up(t, d)
			if r.code == 0 {
				return
			}
			stopped.Add(1)
			t.Log(strings.SplitN(r.err, "\n", 2)[0])
			saysItAll(t, r)
			goesOn(t, d, want)
		})
	}
}

// TestFullDisk does the same on a real file system that is full. It takes the
// right to mount one; TestFileLimit is for everybody.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		stocktest.Lacks(t, "root, who mounts (TestFileLimit stands for it)")
	}
	trial := t.TempDir()
	if err := unix.Mount("tmpfs", trial, "tmpfs", 0, "size=64k"); err != nil {
		stocktest.Lacks(t, "the right to mount: %v (TestFileLimit stands for it)", err)
	}
	if err := unix.Unmount(trial, 0); err != nil {
		t.Fatal(err)
	}
	want := fullFacts(t)
	var stopped atomic.Int32
	t.Cleanup(func() {
		if n := stopped.Load(); n < 4 {
			t.Errorf("%d disks were full", n)
		}
	})
	for _, room := range []int{0, 8, 48, 96, 160, 224, 288} {
		t.Run(fmt.Sprintf("%d KiB left", room), func(t *testing.T) {
			t.Parallel()
			mount := filepath.Join(t.TempDir(), "disk")
			if err := os.Mkdir(mount, 0o700); err != nil {
				t.Fatal(err)
			}
			from := roomtest.At(t, roomtest.Ready, fullPatients)
			if err := unix.Mount("tmpfs", mount, "tmpfs", 0, "size=64m,mode=700"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Unmount(mount, unix.MNT_DETACH) })
			if out, err := exec.Command("cp", "-a", from.Path, mount).CombinedOutput(); err != nil {
				t.Fatalf("cp: %v\n%s", err, out)
			}
			d := &roomtest.Dir{TB: t, Path: filepath.Join(mount, filepath.Base(from.Path))}
			up(t, d)
			// What the databases need beside themselves is made before the disk is full:
			// a source that cannot be opened at all is another test.
			d.Query("ancilab.db", "SELECT 1")
			var st unix.Statfs_t
			if err := unix.Statfs(mount, &st); err != nil {
				t.Fatal(err)
			}
			used := (st.Blocks - st.Bfree) * uint64(st.Bsize)
			resize := func(size uint64) {
				if err := unix.Mount("tmpfs", mount, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", size)); err != nil {
					t.Fatal(err)
				}
			}
			resize(used + uint64(room)<<10)
			r := run(t, d, "apply")
			resize(64 << 20)
			if r.code == 0 {
				return
			}
			stopped.Add(1)
			t.Log(strings.SplitN(r.err, "\n", 2)[0])
			saysItAll(t, r)
			goesOn(t, d, want)
		})
	}
}

const fullPatients = 300

func fullFacts(t *testing.T) string {
	t.Helper()
	facts, _ := roomtest.At(t, roomtest.Loaded, fullPatients).Facts()
	return facts
}

// saysItAll: the exit code is that of something broken, and the error says what
// to do.
func saysItAll(t *testing.T, r ran) {
	t.Helper()
	if r.code != 1 || !strings.Contains(r.err, "\n  next: ") || !strings.HasPrefix(r.err, "ecluse: ") || strings.Contains(r.err, "goroutine ") {
		t.Errorf("exit %d\n%s", r.code, r.err)
	}
}

// goesOn runs the passage to its end with room enough, and checks the whole.
func goesOn(t *testing.T, d *roomtest.Dir, want string) {
	t.Helper()
	r := run(t, d, "apply")
	for tries := 0; r.code == 1 && tries < 3; tries++ { // what each gate was asked before there was room may fail yet, and is told
		r = run(t, d, "apply")
	}
	if r.code != 0 {
		t.Errorf("with room it does not go on: exit %d\n%s", r.code, r.err)
		return
	}
	if facts, _ := d.Facts(); facts != want {
		t.Error("with room it ends otherwise")
	}
	ok(t, d, "accept", "--all", "entered by hand", "--as", d.Join("keys", roomtest.Claire))
	verified(t, d)
}

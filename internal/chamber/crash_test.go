//go:build unix

package chamber

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/evidence"
)

// crash runs one call on the chamber in a process of its own, which kills itself
// the nth time it comes between two steps. It tells whether it came that far.
func (b *bench) crash(call string, n int) bool {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	cmd.Env = append(os.Environ(), "CHAMBER_CALL="+call, "CHAMBER_DIR="+b.dir, fmt.Sprintf("CHAMBER_STEP=%d", n))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		b.Fatalf("%v: %s", err, out)
	}
	return true
}

// TestCrashChild is that process; on its own it does nothing.
func TestCrashChild(t *testing.T) {
	call, dir := os.Getenv("CHAMBER_CALL"), os.Getenv("CHAMBER_DIR")
	if call == "" {
		return
	}
	var n, at int
	if _, err := fmt.Sscan(os.Getenv("CHAMBER_STEP"), &n); err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	c.step = func(string) {
		if at++; at == n {
			if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
				t.Error(err)
			}
			select {}
		}
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	terms := Terms{Migration: "megabus-2026-01", Plan: ecluse.DigestOf([]byte("plan")), Gate: ecluse.Fingerprint(read("gate"))}
	if call == "full" {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4096, Max: 4096}); err != nil {
			t.Fatal(err)
		}
		_, err = c.Put(t.Context(), terms, evidence.Signed{Body: read("descriptor"), Signature: read("signature")}, bytes.NewReader(read("body")))
		if !errors.Is(err, syscall.EFBIG) || ecluse.KindOf(err) != ecluse.Failed {
			t.Fatalf("a full disk: %v", err)
		}
		return
	}
	switch call {
	case "put":
		_, err = c.Put(t.Context(), terms, evidence.Signed{Body: read("descriptor"), Signature: read("signature")}, bytes.NewReader(read("body")))
	case "reject":
		err = c.PutReject(t.Context(), terms, evidence.Signed{Body: read("descriptor"), Signature: read("signature")}, bytes.NewReader(read("body")))
	case "erase":
		_, err = c.Erase(terms.Migration, time.Now())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// hand leaves for the child what it is to put.
func (b *bench) hand(s evidence.Signed, body []byte) {
	b.Helper()
	for name, v := range map[string][]byte{"gate": []byte(b.terms.Gate), "descriptor": s.Body, "signature": s.Signature, "body": body} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(b.dir), name), v, 0o600); err != nil {
			b.Fatal(err)
		}
	}
}

// A disk that has no room for the chunk says so, and nothing is left of it.
func TestFullDisk(t *testing.T) {
	b := setup(t)
	body := b.seal(strings.Repeat("rows", 4096))
	b.hand(b.describe(b.source, slot(0), body, nil), body)
	if b.crash("full", 0) || len(b.files()) > 0 {
		t.Errorf("%v", b.files())
	}
}

// Killed between any two steps of Put, the chamber holds the whole chunk or
// nothing, opens clean, and takes the chunk again.
func TestCrashPut(t *testing.T) {
	for n := 1; ; n++ {
		b := setup(t)
		body := b.seal("rows")
		signed := b.describe(b.source, slot(0), body, nil)
		b.hand(signed, body)
		killed := b.crash("put", n)
		b.open()
		list, err := b.c.List(b.terms.Migration)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{true: 2, false: 0}[len(list) == 1]; len(b.files()) != want {
			t.Fatalf("step %d: %d descriptors and the files %v", n, len(list), b.files())
		}
		stored, err := b.c.Put(t.Context(), b.terms, signed, bytes.NewReader(body))
		if err != nil || !bytes.Equal(stored.Body, signed.Body) {
			t.Fatalf("step %d: put again: %v", n, err)
		}
		_, r, err := b.c.Get(b.terms.Migration, slot(0))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || r.Close() != nil || !bytes.Equal(got, body) {
			t.Fatalf("step %d: not the body: %v", n, err)
		}
		if s := b.strays(); len(s) > 0 {
			t.Fatalf("step %d: %v", n, s)
		}
		if !killed {
			if n < 8 {
				t.Fatalf("only %d steps", n)
			}
			return
		}
	}
}

// Killed while it replaces rejects, the chamber holds the old ones, the new ones
// or none of that slot, never half.
func TestCrashPutReject(t *testing.T) {
	for n := 1; ; n++ {
		b := setup(t)
		old, body := b.seal("old"), b.seal("new")
		if err := b.c.PutReject(t.Context(), b.terms, b.describe(b.source, slot(0), old, nil), bytes.NewReader(old)); err != nil {
			t.Fatal(err)
		}
		signed := b.describe(b.source, slot(0), body, nil)
		b.hand(signed, body)
		killed := b.crash("reject", n)
		b.open()
		if s := b.strays(); len(s) > 0 {
			t.Fatalf("step %d: %v", n, s)
		}
		if err := b.c.PutReject(t.Context(), b.terms, signed, bytes.NewReader(body)); err != nil {
			t.Fatalf("step %d: put again: %v", n, err)
		}
		if len(b.files()) != 2 {
			t.Fatalf("step %d: %v", n, b.files())
		}
		if !killed {
			return
		}
	}
}

// Killed at any step of an erasure, the next one goes on, and its inventory is
// that of the beginning.
func TestCrashErase(t *testing.T) {
	for n := 1; ; n++ {
		b := setup(t)
		for i := range 3 {
			b.mustPut(slot(i), b.seal(fmt.Sprint(i)), nil)
		}
		b.hand(evidence.Signed{}, nil)
		killed := b.crash("erase", n)
		b.open()
		inv, err := b.c.Erase(b.terms.Migration, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if len(inv.Chunks) != 3 || len(inv.Probes) != 3 || inv.Erased.IsZero() || inv.Bytes == 0 {
			t.Fatalf("step %d: %+v", n, inv)
		}
		if remains, err := b.c.Remains(b.terms.Migration); len(remains) > 0 || err != nil {
			t.Fatalf("step %d: %v %v", n, remains, err)
		}
		if diff := cmp.Diff([]string{"erased/megabus-2026-01.json"}, b.files()); diff != "" {
			t.Fatalf("step %d: %s", n, diff)
		}
		if !killed {
			if n < 8 {
				t.Fatalf("only %d steps", n)
			}
			return
		}
	}
}

package carry

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ecluse/internal/exchange"
)

// TestDiskFull: where nothing can be written, nothing was said, and whoever runs the gate
// is told instead of trying for ever.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	l := b.open()
	var told error
	l.Broken = func(err error) { told = err }
	b.must(l.Record(t.Context(), event))
	l.kept = "/dev/full"
	err := l.Answer(t.Context(), "w1", exchange.Answer{})
	if err == nil || told == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%v; told %v", err, told)
	}
	if l.Items() != 1 || len(l.open()) != 2 {
		t.Errorf("%d items, %d open", l.Items(), len(l.open()))
	}
	l.kept = b.said
	b.must(l.Answer(t.Context(), "w1", exchange.Answer{}))
	if l := b.open(); l.Items() != 2 {
		t.Errorf("%d items", l.Items())
	}
	// A folder in which no chunk can be kept.
	told = nil
	chunks := filepath.Join(b.dir, "in-000001", "chunks")
	b.must(os.RemoveAll(chunks))
	b.must(os.WriteFile(chunks, nil, 0o600))
	if err := b.put(l, 0, "sealed"); err == nil || told == nil || l.Items() != 2 {
		t.Errorf("%v; told %v; %d items", err, told, l.Items())
	}
}

// TestShortWrite: a write that ends half way leaves no half line. It needs a process of its
// own, in which files end at two kilobytes.
func TestShortWrite(t *testing.T) {
	const child = "ECLUSE_SHORT_WRITE"
	if os.Getenv(child) == "" {
		t.Parallel()
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestShortWrite$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestShortWrite") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 2048, Max: 2048}
	path := filepath.Join(t.TempDir(), "said")
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	line := []byte(strings.Repeat("x", 1499) + "\n")
	if err := appendLine(path, line); err != nil {
		t.Fatal(err)
	}
	if err := appendLine(path, line); err == nil {
		t.Error("a line longer than there is room was written")
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != string(line) {
		t.Errorf("the file has %d bytes, want %d: %v", len(text), len(line), err)
	}
	if err := appendLine(path, []byte("y\n")); err != nil {
		t.Error(err)
	}
}

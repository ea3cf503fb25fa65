package evidence

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"ecluse"
	"ecluse/internal/stocktest"
)

// onDisk writes a bundle where a shell can read it.
func onDisk(t testing.TB, bundle fstest.MapFS) string {
	t.Helper()
	dir := t.TempDir()
	for name, f := range bundle {
		write(t, filepath.Join(dir, filepath.FromSlash(name)), f.Data)
	}
	return dir
}

// runScript runs verify.sh and returns what it printed. Its exit status must
// agree with its first line.
func runScript(t testing.TB, dir string, roots map[ecluse.Side]ecluse.Fingerprint) string {
	t.Helper()
	args := []string{"verify.sh", dir}
	for side, root := range roots {
		args = append(args, "--"+string(side), string(root))
	}
	cmd := exec.Command("sh", args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if ok := strings.HasPrefix(string(out), "OK\n"); ok != (err == nil) {
		t.Errorf("exit status %v after:\n%s", err, out)
	}
	return string(out)
}

func TestScriptOK(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	for _, trigger := range []Trigger{ByAcceptance, ByOrder, ByDeadline} {
		s := newStory(c)
		s.trigger = trigger
		out := runScript(t, onDisk(t, s.tell(t)), c.roots())
		if !strings.HasPrefix(out, "OK\nnote  "+OneRoomSentence+"\n") {
			t.Errorf("%s:\n%s", trigger, out)
		}
	}
	dir := onDisk(t, newStory(c).tell(t))
	if out := runScript(t, dir, nil); !strings.HasPrefix(out, VerdictNotAnchored+"\n") {
		t.Errorf("without roots:\n%s", out)
	}
	if out := runScript(t, dir, newCast(t).roots()); !strings.HasPrefix(out, "KO\n") {
		t.Errorf("with other roots:\n%s", out)
	}
	if out := runScript(t, t.TempDir(), c.roots()); !strings.HasPrefix(out, "KO\n") {
		t.Errorf("an empty folder:\n%s", out)
	}
}

// TestScriptFlips flips bytes spread over every file, and every byte that no
// sum protects.
func TestScriptFlips(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	bundle := newStory(c).tell(t)
	dir := onDisk(t, bundle)
	random := rand.New(rand.NewPCG(1, 2))
	runs, flips := stocktest.Share(t, 5), 0
	flip := func(name string, at int, bit byte) {
		if flips++; !runs(flips) {
			return
		}
		b := bytes.Clone(bundle[name].Data)
		b[at] ^= bit
		file := filepath.Join(dir, filepath.FromSlash(name))
		write(t, file, b)
		if out := runScript(t, dir, c.roots()); !strings.HasPrefix(out, "KO\n") {
			t.Errorf("%s, byte %d ^ %#x:\n%s", name, at, bit, out)
		}
		write(t, file, bundle[name].Data)
	}
	for name, f := range bundle {
		n := 1
		if strings.HasPrefix(name, FileSums+".") {
			n = len(f.Data) / 8
		}
		for i := range n {
			flip(name, (i*len(f.Data)+random.IntN(len(f.Data)))/n, []byte{0x01, 0x20, 0x80}[random.IntN(3)])
		}
		flip(name, len(f.Data)-1, 0x01)
	}
	if out := runScript(t, dir, c.roots()); !strings.HasPrefix(out, "OK\n") {
		t.Errorf("the bundle was not put back:\n%s", out)
	}
}

func TestScriptFiles(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	dir := onDisk(t, newStory(c).tell(t))
	extra := filepath.Join(dir, "documents", "patients.csv")
	write(t, extra, nil)
	if out := runScript(t, dir, c.roots()); !strings.HasPrefix(out, "KO\n") {
		t.Errorf("with a file more:\n%s", out)
	}
	if err := os.Remove(extra); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, FileReport)); err != nil {
		t.Fatal(err)
	}
	if out := runScript(t, dir, c.roots()); !strings.HasPrefix(out, "KO\n") {
		t.Errorf("with a file less:\n%s", out)
	}
}

// TestScriptForgeries runs the script on the cheats that the Go verifier refuses.
func TestScriptForgeries(t *testing.T) {
	t.Parallel()
	onlyGo := map[string]bool{
		"contract signed by one person for both": true, // told apart by employee number
		"read plan approved by one person":       true, // told apart by address
		"read plan with a field twice":           true,
		"roster that follows another":            true,
		"privileges of another plan":             true,
		"statement under another name":           true,
		"accepted with a reason too many":        true,
		"reading of more rows":                   true,
		"reading of another dataset":             true,
	}
	runs := stocktest.Share(t, 5)
	for n, f := range forgeries(t) {
		if onlyGo[f.name] || !runs(n) {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			c := newCast(t)
			s := newStory(c)
			f.cheat(s)
			out := runScript(t, onDisk(t, s.tell(t)), c.roots())
			if !strings.HasPrefix(out, "KO\n") {
				t.Errorf("accepted:\n%s", out)
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			t.Log(lines[len(lines)-1])
		})
	}
}

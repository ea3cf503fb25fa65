package stocktest

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// told is a test that keeps how it ended.
type told struct {
	testing.TB
	failed, skipped bool
}

func (*told) Name() string            { return "TestTold" }
func (t *told) Fatalf(string, ...any) { t.failed = true; runtime.Goexit() }
func (t *told) Skip(...any)           { t.skipped = true; runtime.Goexit() }
func (t *told) end(do func(t *told)) *told {
	done := make(chan struct{})
	go func() { defer close(done); do(t) }()
	<-done
	return t
}

// TestMissing: a tool that is not there fails where it was to be installed, and
// elsewhere is skipped and noted.
func TestMissing(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	t.Setenv(notRun, list)
	t.Setenv("CI", "true")
	if r := (&told{TB: t}).end(func(t *told) { Tool(t, "no-such-tool") }); !r.failed || r.skipped {
		t.Error("with CI set it does not fail")
	}
	t.Setenv("CI", "")
	if r := (&told{TB: t}).end(func(t *told) { Tool(t, "no-such-tool") }); r.failed || !r.skipped {
		t.Error("without CI it is not skipped")
	}
	text, err := os.ReadFile(list)
	if want := "TestTold: not run, for want of no-such-tool (scripts/stock installs it)\n"; err != nil || string(text) != want {
		t.Errorf("noted: %q, %v", text, err)
	}
}

// TestStock: every tool that a test asks for is one that scripts/stock brings.
func TestStock(t *testing.T) {
	script, err := os.ReadFile(filepath.Join(root(), "scripts", "stock"))
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	err = filepath.WalkDir(filepath.Join(root(), "internal"), func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || filepath.Base(filepath.Dir(path)) == "stocktest" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, call := range strings.Split(string(text), `stocktest.Tool(t, "`)[1:] {
			name, _, _ := strings.Cut(call, `"`)
			asked++
			if !strings.Contains(string(script), name+":") && !strings.Contains(string(script), "cmd/"+name+"@") {
				t.Errorf("%s asks for %s, which scripts/stock does not bring", path, name)
			}
		}
		return err
	})
	if err != nil || asked < 8 {
		t.Errorf("%d tools are asked for, %v", asked, err)
	}
}

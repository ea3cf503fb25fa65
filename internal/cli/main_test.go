package cli_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ecluse/internal/app/roomtest"
)

// binary is the program itself, as `make build` makes it: what these tests run
// and kill is no test binary.
var binary string

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

func runAll(m *testing.M) int {
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

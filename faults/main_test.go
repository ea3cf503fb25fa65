//go:build linux && amd64

package faults

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"ecluse/internal/app/roomtest"
)

// What the campaign is asked.
var (
	runs   = flag.Int("runs", 0, "how many faults; 0: none but those that try the campaign itself")
	pairs  = flag.Int("pairs", 0, "how many more on the real pair, MariaDB to PostgreSQL")
	seed   = flag.Uint64("seed", 1, "of all that is drawn")
	one    = flag.Int("one", -1, "this run alone")
	only   = flag.String("only", "", "faults with this in their name alone")
	scene  = flag.String("scenario", "", "scenarios, or stages of them, with this in their name alone: passage, catch-up, undo")
	within = flag.Duration("within", time.Hour, "no run begins later than this")
	page   = flag.String("page", "", "the page in which the table is written")
)

// program is the program, as `make build` makes it.
var program string

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

func runAll(m *testing.M) int {
	if os.Getenv(programEnv) != "" {
		return standIn()
	}
	flag.Parse()
	dir, err := os.MkdirTemp("", "ecluse-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "ecluse")
	if out, err := exec.Command("go", "build", "-o", program, "ecluse/cmd/ecluse").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return roomtest.Run(m)
}

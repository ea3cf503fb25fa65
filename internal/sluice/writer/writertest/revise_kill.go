package writertest

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ecluse/internal/sluice/reader/readertest"
	"ecluse/internal/sluice/writer"
)

// revisingVariable gives a child process the address of the database in which it
// revises again and again.
const revisingVariable = "ECLUSE_WRITERTEST_REVISING"

// readingOf is what reading n brings: half of the keys are those of the reading before,
// and every row says which reading it is of.
func readingOf(t testing.TB, p *place, n int) *writer.Chunk {
	t.Helper()
	values, events := numbers(n*childRows/2, childRows), make([][]any, childRows)
	for i := range values {
		values[i][2] = fmt.Sprintf("of reading %d", n)
		events[i] = []any{fmt.Sprintf("of reading %d", n), int64(i)}
	}
	return &writer.Chunk{Slot: slot(n), Reading: n, Rows: childRows, Tables: []writer.Rows{p.rows(t, keyed, values, nil), p.rows(t, keyless, events, nil)}}
}

// instead revises all of one reading into the next.
func instead(old, next *writer.Chunk) *writer.Revision {
	every := make([]int32, old.Rows)
	for i := range every {
		every[i] = int32(i)
	}
	return &writer.Revision{Gone: []writer.Part{{Slot: old.Slot, Rows: old.Rows, Sources: every, Tables: old.Tables}}, Come: []*writer.Chunk{next}}
}

// testReviseKill kills a process that revises again and again: one reading is in, and
// whole, with the markers that say so.
func testReviseKill(t *testing.T, h Harness) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for round := range 3 {
		p := newPlace(t, h, keyed, keyless)
		name, _, _ := strings.Cut(t.Name(), "/")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+name+"$", "-test.count=1")
		cmd.Env = append(os.Environ(), revisingVariable+"="+p.db.Address())
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := 0
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if !strings.HasPrefix(lines.Text(), "revised") {
				continue
			}
			if said++; said == 1+round {
				time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
		cancel()
		if said < 1+round {
			t.Fatalf("the child ended by itself after %d", said)
		}
		waitForLock(t, p.allow(t, keyed, keyless))
		m, err := p.open(t).Markers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n := len(m) - 1
		if n < said || n > said+1 {
			t.Errorf("reading %d is in, the child said %d", n, said)
		}
		for i := range m {
			gone := childRows
			if i == n {
				gone = 0
			}
			if len(m[i].Refused) != gone || m[i].Reading != i || m[i].Rows[p.db.Name(keyed.Name)] != int64(childRows-gone) {
				t.Errorf("marker %d of %d: reading %d, %d refused, %v rows", i, n, m[i].Reading, len(m[i].Refused), m[i].Rows)
			}
		}
		for _, table := range []readertest.Table{keyed, keyless} {
			got := p.content(t, table)
			if len(got) != childRows {
				t.Fatalf("%d rows of %s, want %d", len(got), table.Name, childRows)
			}
			for _, line := range got {
				if !strings.Contains(line, fmt.Sprintf("of reading %d", n)) {
					t.Fatalf("with reading %d stands %s", n, line)
				}
			}
		}
	}
}

// revisingChild is the process that testReviseKill kills.
func revisingChild(t *testing.T, h Harness, address string) {
	p := &place{Harness: h, db: h.Attach(t, address)}
	p.target = p.db.Target(t)
	s := p.allow(t, keyed, keyless).begin(t)
	old := readingOf(t, p, 0)
	load(t, s, old)
	for n := 1; ; n++ {
		next := readingOf(t, p, n)
		revise(t, s, instead(old, next))
		fmt.Println("revised", n)
		old = next
	}
}

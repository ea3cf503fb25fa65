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

	"ecluse/internal/sluice/writer"
)

// testCancel ends contexts in the middle of loads: a chunk is in with all its
// rows, or there is nothing of it.
func testCancel(t *testing.T, h Harness) {
	const rounds, rows = 30, 4000
	p := newPlace(t, h, keyed, keyless).allow(t, keyed, keyless)
	s := p.begin(t)
	first := loadOf(t, p, 0, rows)
	begun := time.Now()
	load(t, s, first)
	took := time.Since(begun)
	s.Close()
	in := 1
	for n := 1; n <= rounds; n++ {
		s := p.begin(t)
		chunk := loadOf(t, p, n, rows)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Int64N(int64(took))))
		_, err := s.Load(ctx, chunk, refuseNone(t))
		cancel()
		s.Close()
		if err == nil {
			in++
		}
		wantWhole(t, p, in, rows)
	}
	if in == rounds+1 {
		t.Error("no load was interrupted")
	}
	load(t, p.begin(t), loadOf(t, p, rounds+1, rows))
	wantWhole(t, p, in+1, rows)
}

// loadOf is chunk n of rows rows of keyed and as many of keyless.
func loadOf(t testing.TB, p *place, n, rows int) *writer.Chunk {
	t.Helper()
	events := make([][]any, rows)
	for i := range events {
		events[i] = []any{fmt.Sprintf("event %d", n), int64(i)}
	}
	return &writer.Chunk{Slot: slot(n), Rows: rows, Tables: []writer.Rows{p.rows(t, keyed, numbers(n*rows, rows), nil), p.rows(t, keyless, events, nil)}}
}

// wantWhole checks that chunks chunks are in, and all of each.
func wantWhole(t testing.TB, p *place, chunks, rows int) {
	t.Helper()
	markers, a, b := p.db.Markers(t), len(p.content(t, keyed)), len(p.content(t, keyless))
	if markers != chunks || a != chunks*rows || b != chunks*rows {
		t.Fatalf("%d markers, %d and %d rows: want %d chunks of %d", markers, a, b, chunks, rows)
	}
}

// childVariable gives a child process the address of the database to load into.
const childVariable = "ECLUSE_WRITERTEST_CHILD"

const childRows = 3000

// testKill kills a process that loads chunk after chunk. What Load said is in is
// in, the chunk under way is in whole or not at all, and the lock is free.
func testKill(t *testing.T, h Harness) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for round := range 4 {
		p := newPlace(t, h, keyed, keyless)
		name, _, _ := strings.Cut(t.Name(), "/")
		cmd := exec.Command(os.Args[0], "-test.run=^"+name+"$", "-test.count=1")
		cmd.Env = append(os.Environ(), childVariable+"="+p.db.Address())
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said, lines := 0, bufio.NewScanner(out)
		var transcript []string
		for lines.Scan() {
			transcript = append(transcript, lines.Text())
			if !strings.HasPrefix(lines.Text(), "loaded") {
				continue
			}
			if said++; said == 2+round {
				time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
		if said < 2+round {
			t.Fatalf("the child ended by itself:\n%s", strings.Join(transcript, "\n"))
		}
		markers := waitForLock(t, p.allow(t, keyed, keyless))
		if markers < said || markers > said+1 {
			t.Errorf("%d chunks are in, the child said %d", markers, said)
		}
		wantWhole(t, p, markers, childRows)
	}
}

// waitForLock opens a session, for which the engine may first have to notice
// that the process is dead, and counts the markers.
func waitForLock(t *testing.T, p *place) int {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		s, err := p.target.Open(t.Context(), p.permit)
		if err == nil {
			defer s.Close()
			return p.db.Markers(t)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the dead process's lock is not free: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// child is the process that testKill kills.
func child(t *testing.T, h Harness, address string) {
	p := &place{Harness: h, db: h.Attach(t, address)}
	p.target = p.db.Target(t)
	s := p.allow(t, keyed, keyless).begin(t)
	for n := 0; ; n++ {
		load(t, s, loadOf(t, p, n, childRows))
		fmt.Println("loaded", n)
	}
}

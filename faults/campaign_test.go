//go:build linux && amd64

package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ecluse/internal/app/roomtest"
)

// kind is one kind of fault.
type kind struct {
	name   string
	weight int
	stages []string // empty: any

	// before is done before anything is started; it may say where the room is to be.
	before func(r *room, d *draw)
	// strike lets it happen, at the moment it draws, and puts it right. It tells
	// whether it came to it before ctx ended.
	strike func(ctx context.Context, r *room, d *draw) bool
	disk   bool // the room has a disk of its own
}

// draw is what is drawn for a run.
type draw struct{ *rand.Rand }

func (d *draw) upTo(t time.Duration) time.Duration { return time.Duration(d.Int64N(int64(t) + 1)) }

// moment waits until a random one of a room's time.
func (d *draw) moment(ctx context.Context, r *room) bool {
	if !r.deadline.IsZero() { // about then
		return wait(ctx, time.Until(r.deadline)-500*time.Millisecond+d.upTo(2*time.Second))
	}
	return wait(ctx, d.upTo(r.stage.lasts*9/10))
}

// wait waits, and tells whether ctx went on.
func wait(ctx context.Context, t time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(t):
		return true
	}
}

// outcome is what came of the runs of a kind.
type outcome struct{ runs, late, through, stopped, wrong int }

// TestCampaign runs as many faults as it is asked.
func TestCampaign(t *testing.T) {
	if *runs == 0 {
		t.Skip("make faults")
	}
	all := slices.DeleteFunc(kinds(), func(k kind) bool { return !strings.Contains(k.name, *only) })
	drawn := all
	var mu sync.Mutex
	results := map[string]*outcome{}
	begun := time.Now()
	count := func(t *testing.T, k kind, late, stopped bool) {
		mu.Lock()
		defer mu.Unlock()
		o := results[k.name]
		if o == nil {
			o = &outcome{}
			results[k.name] = o
		}
		o.runs++
		switch {
		case t.Failed():
			o.wrong++
		case late:
			o.late++
		case stopped:
			o.stopped++
		default:
			o.through++
		}
	}
	if *pairs > 0 {
		t.Run("pair", func(t *testing.T) {
			w, kinds := newPair(t)
			for i := range *pairs {
				if *one >= 0 && i != *one {
					continue
				}
				d := &draw{rand.New(rand.NewPCG(*seed, uint64(i)))}
				k := kinds[i%len(kinds)]
				t.Run(fmt.Sprintf("%d %s", i, k.name), func(t *testing.T) { // one at a time: they have the servers in common
					late, stopped := w.run(t, k, d, i%10 == 0)
					if t.Failed() {
						t.Logf("again: make faults FAULTS='-seed %d -runs 1 -pairs %d -one %d'", *seed, *pairs, i)
					}
					count(t, k, late, stopped)
				})
			}
		})
		all = append(all, pairKinds(nil)...)
	}
	w := newWorld(t, 300)
	t.Run("runs", func(t *testing.T) {
		for i := range *runs {
			if *one >= 0 && i != *one {
				continue
			}
			d := &draw{rand.New(rand.NewPCG(*seed, uint64(i)))}
			k := pick(drawn, d)
			t.Run(fmt.Sprintf("%d %s", i, k.name), func(t *testing.T) {
				t.Parallel()
				if time.Since(begun) > *within {
					t.Fatalf("not run: %v are over; -within gives them longer", *within)
				}
				late, stopped := w.run(t, k, d, i%10 == 0)
				if t.Failed() {
					t.Logf("again: make faults FAULTS='-seed %d -runs %d -one %d -only %q'", *seed, *runs, i, *only)
				}
				count(t, k, late, stopped)
			})
		}
	})
	text := table(all, results, *seed, time.Since(begun))
	fmt.Print(text)
	if *page != "" {
		if err := write(*page, text); err != nil {
			t.Error(err)
		}
	}
}

// pick draws a kind.
func pick(all []kind, d *draw) kind {
	sum := 0
	for _, k := range all {
		sum += k.weight
	}
	n := d.IntN(sum)
	for _, k := range all {
		if n -= k.weight; n < 0 {
			return k
		}
	}
	return all[0]
}

// run is one fault. It tells whether it came too late to do anything, and whether it
// stopped anything.
func (w *world) run(t *testing.T, k kind, d *draw, stock bool) (late, stopped bool) {
	stages := k.stages
	if stages == nil {
		stages = []string{approved, approved, approved, approved, loaded, accepted}
	}
	s := w.stages[stages[d.IntN(len(stages))]]
	where := roomtest.Temp(t)
	if k.disk {
		where = filepath.Join(where, "disk")
		mount(t, where)
	}
	r := newRoom(t, w, s, where)
	if k.before != nil {
		k.before(r, d)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	if err := r.up(ctx); err != nil {
		r.stops("start: " + err.Error()) // a fault may come as early as this
	}
	strikes, over := context.WithCancel(ctx)
	healed := make(chan struct{})
	struck := false
	go func() {
		defer close(healed)
		struck = k.strike(strikes, r, d)
	}()
	err := r.goOn(ctx, 4*time.Minute, func() bool {
		select {
		case <-healed:
			return time.Now().After(r.deadline)
		default:
			return false
		}
	})
	over()
	<-healed
	t.Logf("from %s: struck %v; stopped by:\n%s", filepath.Base(s.path), struck, strings.Join(slices.Compact(r.errors), "\n"))
	r.down()
	if err != nil {
		t.Error(err)
	} else {
		r.holds(stock)
	}
	if t.Failed() {
		if text, err := os.ReadFile(r.Join("parts.log")); err == nil {
			t.Logf("what the parts said:\n%s", text[max(0, len(text)-6000):])
		}
	}
	return !struck, r.trouble() > 0
}

// table is what came of all, for a page.
func table(all []kind, results map[string]*outcome, seed uint64, took time.Duration) string {
	var b strings.Builder
	b.WriteString("| what went wrong | runs | went through | stopped, said why, went on | came too late | found wrong |\n|---|--:|--:|--:|--:|--:|\n")
	var sum outcome
	for _, k := range all {
		o := results[k.name]
		if o == nil {
			continue
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d |\n", k.name, o.runs, o.through, o.stopped, o.late, o.wrong)
		sum.runs, sum.through, sum.stopped, sum.late, sum.wrong = sum.runs+o.runs, sum.through+o.through, sum.stopped+o.stopped, sum.late+o.late, sum.wrong+o.wrong
	}
	fmt.Fprintf(&b, "| **all** | **%d** | **%d** | **%d** | **%d** | **%d** |\n\nSeed %d, %s.\n", sum.runs, sum.through, sum.stopped, sum.late, sum.wrong, seed, took.Round(time.Second))
	return b.String()
}

// write puts the table between the page's marks.
func write(page, table string) error {
	const begins, ends = "<!-- faults -->\n", "<!-- /faults -->\n"
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), begins)
	_, after, found := strings.Cut(rest, ends)
	if !ok || !found {
		return fmt.Errorf("%s has no marks", page)
	}
	return os.WriteFile(page, []byte(before+begins+table+ends+after), 0o644)
}

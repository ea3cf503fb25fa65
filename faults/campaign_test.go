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
	stages []string // of a passage; empty: any

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
	var at time.Duration
	switch {
	case !r.deadline.IsZero(): // about then
		at = time.Until(r.deadline) - 500*time.Millisecond + d.upTo(2*time.Second)
	case r.stage.whole():
		at = d.upTo(r.stage.lasts * 3 / 4) // it was measured beside others
	default: // and a little beyond
		at = d.upTo(r.stage.lasts * 5 / 4)
	}
	if !wait(ctx, at) {
		return false
	}
	r.strikes()
	return true
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
	if *runs == 0 && *pairs == 0 {
		t.Skip("make faults")
	}
	all := slices.DeleteFunc(kinds(), func(k kind) bool { return !strings.Contains(k.name, *only) })
	about := scenariosOf(*scene)
	if len(all) == 0 || len(about) == 0 {
		t.Fatal("no fault and no scenario has that in its name")
	}
	res := &results{kinds: map[string]*outcome{}, scenarios: map[string]*outcome{}}
	begun := time.Now()
	drawn := all
	if *pairs > 0 {
		t.Run("pair", func(t *testing.T) {
			w, kinds := newPair(t)
			for _, s := range about { // one at a time: they have the servers in common
				if s.name == catchUp {
					w.changes(t) // the source, for all that follow
				}
				for i := range *pairs {
					if k := kinds[i%len(kinds)]; scenarios()[i%len(scenarios())].name == s.name && (*one < 0 || i == *one) {
						t.Run(fmt.Sprintf("%d %s, %s", i, k.name, s.name), func(t *testing.T) {
							late, stopped := w.run(t, s, k, &draw{rand.New(rand.NewPCG(*seed, uint64(i)))}, i%10 == 0)
							if t.Failed() {
								t.Logf("again: make faults FAULTS='-seed %d -pairs %d -one %d'", *seed, *pairs, i)
							}
							res.count(t, k, s, late, stopped)
						})
					}
				}
			}
		})
		all = append(all, pairKinds(nil)...)
	}
	t.Run("runs", func(t *testing.T) {
		if *runs == 0 {
			t.Skip("none is asked for")
		}
		w := newWorld(t, 300)
		w.others(t, 300)
		w.measured(t)
		for i := range *runs {
			if *one >= 0 && i != *one {
				continue
			}
			d := &draw{rand.New(rand.NewPCG(*seed, uint64(i)))}
			k := drawn[pick(d, drawn, func(k kind) int { return k.weight })]
			s := about[pick(d, about, func(s scenario) int { return s.weight })]
			t.Run(fmt.Sprintf("%d %s, %s", i, k.name, s.name), func(t *testing.T) {
				t.Parallel()
				if time.Since(begun) > *within {
					t.Fatalf("not run: %v are over; -within gives them longer", *within)
				}
				late, stopped := w.run(t, s, k, d, i%10 == 0)
				if t.Failed() {
					t.Logf("again: make faults FAULTS='-seed %d -runs %d -one %d -only %q -scenario %q'", *seed, *runs, i, *only, *scene)
				}
				res.count(t, k, s, late, stopped)
			})
		}
	})
	text := res.table(all, *seed, time.Since(begun))
	fmt.Print(text)
	if *page != "" {
		if err := write(*page, text); err != nil {
			t.Error(err)
		}
	}
}

// results is what came of all runs, by what went wrong and by what was under way.
type results struct {
	mu               sync.Mutex
	kinds, scenarios map[string]*outcome
}

func (r *results) count(t *testing.T, k kind, s scenario, late, stopped bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, all := range map[string]map[string]*outcome{k.name: r.kinds, s.name: r.scenarios} {
		o := all[name]
		if o == nil {
			o = &outcome{}
			all[name] = o
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
}

// pick draws one of all by its weight.
func pick[T any](d *draw, all []T, weight func(T) int) int {
	sum := 0
	for _, x := range all {
		sum += weight(x)
	}
	n := d.IntN(sum)
	return slices.IndexFunc(all, func(x T) bool { n -= weight(x); return n < 0 })
}

// run is one fault. It tells whether it came too late to do anything, and whether it
// stopped anything.
func (w *world) run(t *testing.T, about scenario, k kind, d *draw, stock bool) (late, stopped bool) {
	stages := slices.DeleteFunc(slices.Clone(about.from), func(s string) bool { return w.stages[s] == nil })
	if about.name == passage && k.stages != nil {
		stages = k.stages
	}
	s := w.stages[stages[d.IntN(len(stages))]]
	where := roomtest.Temp(t)
	if k.disk {
		where = filepath.Join(where, "disk")
		mount(t, where)
	}
	r := newRoom(t, s, where)
	r.patience = d.upTo(s.lasts)
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
	t.Logf("from %s: struck %v, during %q; stopped by:\n%s", s.name, struck, r.struck, strings.Join(slices.Compact(r.errors), "\n"))
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
func (r *results) table(kinds []kind, seed uint64, took time.Duration) string {
	var b strings.Builder
	line := func(name string, o *outcome) {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d |\n", name, o.runs, o.through, o.stopped, o.late, o.wrong)
	}
	head := func(what string) {
		fmt.Fprintf(&b, "| %s | runs | went through | stopped, said why, went on | came too late | found wrong |\n|---|--:|--:|--:|--:|--:|\n", what)
	}
	head("what was under way")
	for _, s := range scenarios() {
		if o := r.scenarios[s.name]; o != nil {
			line(s.name, o)
		}
	}
	b.WriteString("\n")
	head("what went wrong")
	var sum outcome
	for _, k := range kinds {
		o := r.kinds[k.name]
		if o == nil {
			continue
		}
		line(k.name, o)
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

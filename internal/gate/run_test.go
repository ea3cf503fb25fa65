package gate

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ecluse"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice"
)

// board is a lock that asks what a test puts on it.
type board struct {
	mu      sync.Mutex
	wanted  []exchange.Work
	moved   chan struct{}
	asked   int                                           // calls of Wanted
	told    []exchange.Progress                           // in their order
	slow    time.Duration                                 // each Tell takes
	hear    func(a exchange.Answer, try int) error        // nil: all is heard
	tries   map[string]int                                // of answers, by work
	answers map[string]exchange.Answer                    // that were heard
	late    time.Duration                                 // what an Answer takes after it was heard
	refuse  func(known []string) ([]exchange.Work, error) // instead of Wanted; nil: Wanted as it is
}

func newBoard(works ...exchange.Work) *board {
	return &board{wanted: works, moved: make(chan struct{}), tries: map[string]int{}, answers: map[string]exchange.Answer{}}
}

func (b *board) Probe(context.Context) (exchange.Line, error) { return exchange.Line{Local: true}, nil }

func (b *board) put(works ...exchange.Work) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wanted = works
	close(b.moved)
	b.moved = make(chan struct{})
}

// tried is how often an answer to a work was given, heard which was, and questions
// how often the gate asked.
func (b *board) tried(id string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tries[id]
}

func (b *board) heard(id string) (exchange.Answer, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, ok := b.answers[id]
	return a, ok
}

func (b *board) questions() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

func (b *board) Wanted(ctx context.Context, known []string) ([]exchange.Work, error) {
	b.mu.Lock()
	b.asked++
	refuse := b.refuse
	b.mu.Unlock()
	if refuse != nil {
		return refuse(known)
	}
	until := time.NewTimer(25 * time.Second)
	defer until.Stop()
	for {
		b.mu.Lock()
		wanted, moved := slices.Clone(b.wanted), b.moved
		b.mu.Unlock()
		if len(wanted) != len(known) || slices.ContainsFunc(wanted, func(w exchange.Work) bool { return !slices.Contains(known, w.ID) }) {
			return wanted, nil
		}
		select {
		case <-moved:
		case <-until.C:
			return wanted, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (b *board) Tell(ctx context.Context, _ string, p exchange.Progress) error {
	if !sleep(ctx, b.slow) {
		return context.Cause(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = append(b.told, p)
	return nil
}

func (b *board) Answer(ctx context.Context, id string, a exchange.Answer) error {
	b.mu.Lock()
	b.tries[id]++
	try := b.tries[id]
	b.mu.Unlock()
	if b.hear != nil {
		if err := b.hear(a, try); err != nil {
			return err
		}
	}
	b.mu.Lock()
	b.answers[id] = a
	left := slices.DeleteFunc(slices.Clone(b.wanted), func(w exchange.Work) bool { return w.ID == id })
	b.mu.Unlock()
	b.put(left...)
	if !sleep(ctx, b.late) {
		return context.Cause(ctx)
	}
	return nil
}

// running runs a gate inside a bubble until the test's part is done.
func running(t *testing.T, b *board, do Worker, during func(seen func() []Doing)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b.moved = make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		var all []Doing
		ended := make(chan error, 1)
		go func() {
			ended <- Run(ctx, b, do, func(d Doing) {
				mu.Lock()
				defer mu.Unlock()
				all = append(all, d)
			})
		}()
		during(func() []Doing {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(all)
		})
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	})
}

var reading = exchange.Work{ID: "w1", Verb: exchange.Read}

func done(context.Context, exchange.Work, sluice.Watch) (*exchange.Answer, error) {
	return &exchange.Answer{Papers: map[string][]byte{"x": []byte("y")}}, nil
}

// TestAnswerIsRetried: a lock that cannot be reached is told again, later and later,
// and the work is done once.
func TestAnswerIsRetried(t *testing.T) {
	b := newBoard(reading)
	b.hear = func(_ exchange.Answer, try int) error {
		if try < 4 {
			return &ecluse.Error{Kind: ecluse.Failed, What: "send", Why: "the line is down"}
		}
		return nil
	}
	worked := 0
	running(t, b, func(ctx context.Context, w exchange.Work, watch sluice.Watch) (*exchange.Answer, error) {
		worked++
		return done(ctx, w, watch)
	}, func(seen func() []Doing) {
		seen()
		if b.tried("w1") != 1 {
			t.Errorf("%d tries at once", b.tried("w1"))
		}
		time.Sleep(firstPause + 2*firstPause + 4*firstPause)
		seen()
		if a, ok := b.heard("w1"); !ok || a.Problem != nil || worked != 1 {
			t.Errorf("heard %v after %d tries, worked %d times", ok, b.tried("w1"), worked)
		}
	})
}

// TestAnswerRefused: a lock that does not take an answer is told so in the work's
// stead, and the work is not done again at once.
func TestAnswerRefused(t *testing.T) {
	for name, all := range map[string]bool{"the answer alone": false, "all of them": true} {
		b := newBoard(reading)
		b.hear = func(a exchange.Answer, _ int) error {
			if a.Problem == nil || all {
				return &ecluse.Error{Kind: ecluse.Invalid, What: "take the answer", Why: "it is too long"}
			}
			return nil
		}
		worked := 0
		running(t, b, func(ctx context.Context, w exchange.Work, watch sluice.Watch) (*exchange.Answer, error) {
			worked++
			return done(ctx, w, watch)
		}, func(seen func() []Doing) {
			time.Sleep(longPause / 2)
			d := seen()
			if last := d[len(d)-1]; !last.Done || ecluse.KindOf(last.Err) != ecluse.Invalid {
				t.Errorf("%s: it says %+v", name, last)
			}
			if a, _ := b.heard("w1"); !all && (a.Problem == nil || a.Problem.Why != "it is too long") {
				t.Errorf("%s: the lock heard %+v", name, a)
			}
			if worked != 1 || b.questions() > 3 {
				t.Errorf("%s: worked %d times, asked %d times", name, worked, b.questions())
			}
		})
	}
}

// TestWithdrawn: work that is not asked for any more is cancelled and not answered;
// a worker that takes its time about it does not make the gate ask without end.
func TestWithdrawn(t *testing.T) {
	b := newBoard(reading)
	var why error
	running(t, b, func(ctx context.Context, _ exchange.Work, _ sluice.Watch) (*exchange.Answer, error) {
		<-ctx.Done()
		why = context.Cause(ctx)
		time.Sleep(time.Minute)
		return nil, why
	}, func(seen func() []Doing) {
		seen()
		b.put()
		seen()
		if !errors.Is(why, errWithdrawn) {
			t.Errorf("it was cancelled with %v", why)
		}
		time.Sleep(2 * time.Minute)
		d := seen()
		if last := d[len(d)-1]; !last.Done || !errors.Is(last.Err, errWithdrawn) || b.tried("w1") != 0 {
			t.Errorf("it ended as %+v, and answered", last)
		}
		if b.questions() > 10 {
			t.Errorf("it asked %d times in two minutes", b.questions())
		}
	})
}

// TestHeardAndOver: what was heard is no longer asked for before the gate knows that it
// was heard: the work has not failed.
func TestHeardAndOver(t *testing.T) {
	b := newBoard(reading)
	b.late = time.Second
	running(t, b, func(context.Context, exchange.Work, sluice.Watch) (*exchange.Answer, error) {
		return &exchange.Answer{}, nil
	}, func(seen func() []Doing) {
		seen()
		time.Sleep(time.Minute)
		d := seen()
		if last := d[len(d)-1]; !last.Done || last.Err != nil || b.tried("w1") != 1 {
			t.Errorf("it ended as %+v after %d answers", last, b.tried("w1"))
		}
	})
}

// TestLentAndOver: what was lent is no longer asked for before the gate knows that the
// loan is in: it has not failed either.
func TestLentAndOver(t *testing.T) {
	b := newBoard(exchange.Work{ID: "lend-1", Verb: exchange.Lend})
	running(t, b, func(ctx context.Context, _ exchange.Work, _ sluice.Watch) (*exchange.Answer, error) {
		b.put()
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}, func(seen func() []Doing) {
		d := seen()
		if last := d[len(d)-1]; !last.Done || last.Err != nil {
			t.Errorf("it ended as %+v", last)
		}
	})
}

// TestStopped: a gate that stops leaves its work asked for.
func TestStopped(t *testing.T) {
	b := newBoard(reading)
	running(t, b, func(ctx context.Context, _ exchange.Work, _ sluice.Watch) (*exchange.Answer, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}, func(seen func() []Doing) { seen() })
	if len(b.tries) != 0 {
		t.Errorf("it answered %v", b.tries)
	}
}

// TestLendIsNotBegunAtOnce: what is never lent (a late request) is asked for until it
// lapses, and is looked at now and then, not without end.
func TestLendIsNotBegunAtOnce(t *testing.T) {
	b := newBoard(exchange.Work{ID: "lend-1", Verb: exchange.Lend})
	worked := 0
	running(t, b, func(context.Context, exchange.Work, sluice.Watch) (*exchange.Answer, error) {
		worked++
		return &exchange.Answer{}, nil
	}, func(seen func() []Doing) {
		time.Sleep(mandate.UsualLease)
		seen()
	})
	if worked < 2 || b.questions() > int(mandate.UsualLease/lendPause) {
		t.Errorf("it looked %d times and asked %d times in %s", worked, b.questions(), mandate.UsualLease)
	}
	if len(b.tries) != 0 {
		t.Error("it answered what the loan answers")
	}
}

// TestProgressEnds: over a slow line the end of no stage is lost, the latest of each
// comes, in order, before the answer; and the work does not wait for the line.
func TestProgressEnds(t *testing.T) {
	b := newBoard(reading)
	b.slow = 100 * time.Millisecond
	stages := []sluice.Stage{"a", "b", "c", "d"}
	var took time.Duration
	before := 0
	b.hear = func(exchange.Answer, int) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		before = len(b.told)
		return nil
	}
	running(t, b, func(ctx context.Context, w exchange.Work, watch sluice.Watch) (*exchange.Answer, error) {
		begun := time.Now()
		for _, s := range stages {
			for n := range 1000 {
				watch(sluice.Progress{Stage: s, Rows: int64(n)})
			}
			watch(sluice.Progress{Stage: s, Rows: 1000, Done: true})
		}
		took = time.Since(begun)
		return done(ctx, w, watch)
	}, func(seen func() []Doing) {
		time.Sleep(time.Minute)
		seen()
	})
	if took > 0 {
		t.Errorf("the work waited for the line for %s", took)
	}
	var ends []string
	for _, p := range b.told {
		if p.Done {
			ends = append(ends, p.Stage)
		}
	}
	if !slices.Equal(ends, []string{"a", "b", "c", "d"}) {
		t.Errorf("ends told: %v, of %d", ends, len(b.told))
	}
	if before != len(b.told) {
		t.Errorf("%d of %d were told before the answer", before, len(b.told))
	}
	if len(b.told) > 20 {
		t.Errorf("%d were told", len(b.told))
	}
}

// TestAnotherLock: a gate that finds another lock than its own stops; one whose lock
// is away asks again, later and later.
func TestAnotherLock(t *testing.T) {
	b := newBoard()
	b.refuse = func([]string) ([]exchange.Work, error) {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "connect", Why: "another key"}
	}
	if err := Run(t.Context(), b, done, nil); ecluse.KindOf(err) != ecluse.Unverified || b.questions() != 1 {
		t.Errorf("%v after %d questions", err, b.questions())
	}
	b.refuse = func([]string) ([]exchange.Work, error) {
		return nil, &ecluse.Error{Kind: ecluse.Failed, What: "connect"}
	}
	b.asked = 0
	running(t, b, done, func(seen func() []Doing) {
		time.Sleep(10 * time.Minute)
		seen()
	})
	if b.questions() < 10 || b.questions() > 40 {
		t.Errorf("it asked %d times in ten minutes", b.questions())
	}
}

// TestStages: what a gate tells of is what locks remember.
func TestStages(t *testing.T) {
	stages := []sluice.Stage{sluice.StageRead, sluice.StageLoad, sluice.StageCompare, sluice.StageTrace, sluice.StageUndo}
	var words []string
	for _, s := range stages {
		words = append(words, ProgressOf(sluice.Progress{Stage: s}).Stage)
	}
	if !slices.Equal(words, exchange.Stages()) {
		t.Errorf("%v, and locks know %v", words, exchange.Stages())
	}
}

// TestHandsAreFew: however much a lock asks for at a time, a gate has a few things in hand,
// one look at the catalogue among them, and all of it is done in the end.
func TestHandsAreFew(t *testing.T) {
	var works []exchange.Work
	for i := range 100 {
		v := []exchange.Verb{exchange.Inspect, exchange.Read, exchange.Lend, exchange.CompileLoad}[i%4]
		works = append(works, exchange.Work{ID: strconv.Itoa(i), Verb: v})
	}
	b := newBoard(works...)
	var mu sync.Mutex
	now, most := map[kind]int{}, map[kind]int{}
	running(t, b, func(ctx context.Context, w exchange.Work, watch sluice.Watch) (*exchange.Answer, error) {
		k := kindOf(w.Verb)
		mu.Lock()
		now[k]++
		most[k] = max(most[k], now[k])
		mu.Unlock()
		sleep(ctx, time.Second)
		mu.Lock()
		now[k]--
		mu.Unlock()
		if w.Verb == exchange.Lend { // what is lent is answered by the loan
			_ = b.Answer(ctx, w.ID, exchange.Answer{})
		}
		return done(ctx, w, watch)
	}, func(seen func() []Doing) {
		time.Sleep(5 * time.Minute)
		seen()
		for _, w := range works {
			if _, ok := b.heard(w.ID); !ok {
				t.Errorf("%s %s was never done", w.Verb, w.ID)
			}
		}
		if asked := b.questions(); asked > 1000 {
			t.Errorf("it asked %d times", asked)
		}
	})
	if most[looking] != 1 || most[rest] != 8 || most[lending] > 8 {
		t.Errorf("in hand at a time: %v", most)
	}
}

// TestOnceEnds: run once, a gate gives up on a lock that is away, or that does not know it.
func TestOnceEnds(t *testing.T) {
	for _, kind := range []ecluse.Kind{ecluse.Failed, ecluse.Refused, ecluse.WaitsForSign} {
		synctest.Test(t, func(t *testing.T) {
			b := newBoard()
			b.moved = make(chan struct{})
			gone := &ecluse.Error{Kind: kind, What: "reach the server", Why: "it is away"}
			b.refuse = func([]string) ([]exchange.Work, error) { return nil, gone }
			begun := time.Now()
			if err := RunOnce(t.Context(), b, done, nil); !errors.Is(err, gone) {
				t.Errorf("%s: %v", kind, err)
			}
			if took := time.Since(begun); took < patience || took > patience+longPause {
				t.Errorf("%s: after %s", kind, took)
			}
		})
	}
}

// TestWithdrawnLetsGoFirst: an undoing that is asked for in place of a load begins when the
// load has let go of the database, and not before; another migration's, and a loan, at once.
func TestWithdrawnLetsGoFirst(t *testing.T) {
	load, undo := exchange.Work{ID: "w1", Verb: exchange.Load, Migration: "a"}, exchange.Work{ID: "w2", Verb: exchange.Undo, Migration: "a"}
	other, lend := exchange.Work{ID: "w3", Verb: exchange.Undo, Migration: "b"}, exchange.Work{ID: "w4", Verb: exchange.Lend, Migration: "a"}
	b := newBoard(load)
	var mu sync.Mutex
	var order []string
	note := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, s)
	}
	running(t, b, func(ctx context.Context, w exchange.Work, watch sluice.Watch) (*exchange.Answer, error) {
		note("begins " + w.ID)
		if w.ID == load.ID {
			<-ctx.Done()
			time.Sleep(time.Second) // a transaction is rolled back
			note("lets go")
		}
		return done(ctx, w, watch)
	}, func(seen func() []Doing) {
		seen()
		b.put(undo)
		seen()
		b.put(undo, other, lend)
		time.Sleep(5 * time.Second)
		seen()
		mu.Lock()
		defer mu.Unlock()
		at := func(s string) int { return slices.Index(order, s) }
		if at("begins w2") < at("lets go") || at("begins w3") < 0 || at("begins w3") > at("lets go") || at("begins w4") < 0 || at("begins w4") > at("lets go") {
			t.Errorf("it went %v", order)
		}
	})
}

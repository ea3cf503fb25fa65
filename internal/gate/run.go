package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"ecluse"
	"ecluse/internal/exchange"
	"ecluse/internal/sluice"
)

// Doing is what a gate does at the moment, for whoever stands beside it. Without work
// it is about the exchange with the lock: an error, once until it is another, and no
// error when the lock answers again.
type Doing struct {
	Work     exchange.Work
	Progress *exchange.Progress
	Done     bool
	Err      error // of a work that is done; of the exchange with the lock when there is no work

	Near *exchange.Deadline // no work: an end of the migration comes near
}

// Worker carries out one piece of work.
type Worker func(ctx context.Context, w exchange.Work, watch sluice.Watch) (*exchange.Answer, error)

// errWithdrawn ends work that the lock no longer asks for.
var errWithdrawn = errors.New("the lock no longer asks for it")

// How often a gate that cannot reach its lock tries again, and other times.
const (
	firstPause = 250 * time.Millisecond
	longPause  = 30 * time.Second
	lendPause  = time.Second
	tellTime   = 10 * time.Second // for what is display only
)

// desk is the work in hand.
type desk struct {
	works Works
	do    Worker
	tell  func(Doing)

	mu    sync.Mutex
	hand  map[string]*inHand
	later []exchange.Work // asked, and not begun: the hands are full
	wg    sync.WaitGroup
}

// most is how many pieces of work of a kind are in hand at a time, however many a lock
// asks for: what looks through a database's catalogue, loans, for which others wait, and
// the rest.
func (k kind) most() int {
	if k == looking {
		return 1
	}
	return 8
}

type kind int

const (
	rest kind = iota
	looking
	lending
)

func kindOf(v exchange.Verb) kind {
	switch v {
	case exchange.Inspect, exchange.Sketch, exchange.CompileRead, exchange.CheckMapping, exchange.CompileLoad, exchange.Twin:
		return looking
	case exchange.Lend:
		return lending
	}
	return rest
}

// inDatabase tells whether work is in the gate's database for as long as it lasts, and two
// of one migration cannot be: a load is still letting go of it when its undoing is asked for.
func inDatabase(v exchange.Verb) bool {
	return v == exchange.Read || v == exchange.Load || v == exchange.Undo
}

// inHand is a piece of work being carried out.
type inHand struct {
	work   exchange.Work
	kind   kind
	cancel context.CancelCauseFunc
	over   bool // the lock no longer asks for it
}

// Run carries out what the lock asks of a gate until ctx ends. The lock's asking
// gives no right: each piece is judged by signatures and the gate's own ledger. What
// is interrupted is asked for again and goes on where it was. tell, if not nil, is
// told what the gate does.
func Run(ctx context.Context, works Works, do Worker, tell func(Doing)) error {
	return run(ctx, works, do, tell, false)
}

// RunOnce is Run that ends when nothing is asked for any more: nothing is in hand, and
// the lock, which waits a while before it says so, asks for nothing. A lock that does not
// answer for as long as a gate has patience, or does not know the gate, ends it with that
// error.
func RunOnce(ctx context.Context, works Works, do Worker, tell func(Doing)) error {
	return run(ctx, works, do, tell, true)
}

func run(ctx context.Context, works Works, do Worker, tell func(Doing), once bool) error {
	if tell == nil {
		tell = func(Doing) {}
	}
	d := &desk{works: works, do: do, tell: tell, hand: map[string]*inHand{}}
	defer d.wg.Wait()
	pause, told := firstPause, ""
	heard := time.Now()
	for {
		known := d.known()
		wanted, err := works.Wanted(ctx, known)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			if told != err.Error() {
				told = err.Error()
				tell(Doing{Err: err})
			}
			if kind := ecluse.KindOf(err); kind == ecluse.Unverified || kind == ecluse.Invalid {
				return err // another lock than the one this gate was made for
			}
			if once && time.Since(heard) >= patience {
				return err
			}
			if !sleep(ctx, pause) {
				return context.Cause(ctx)
			}
			pause = min(2*pause, longPause)
			continue
		}
		heard = time.Now()
		if told != "" {
			told = ""
			tell(Doing{})
		}
		pause = firstPause
		if once && len(known) == 0 && len(wanted) == 0 {
			return nil
		}
		d.take(ctx, wanted)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// known is what is in hand or waits for a hand, and still asked for.
func (d *desk) known() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	ids := make([]string, 0, len(d.hand))
	for id, h := range d.hand {
		if !h.over {
			ids = append(ids, id)
		}
	}
	for _, w := range d.later {
		ids = append(ids, w.ID)
	}
	return ids
}

// take begins with what is new, as far as there are hands, and ends what was withdrawn.
func (d *desk) take(ctx context.Context, wanted []exchange.Work) {
	d.mu.Lock()
	defer d.mu.Unlock()
	asked := map[string]bool{}
	d.later = nil
	for _, w := range wanted {
		if !asked[w.ID] && d.hand[w.ID] == nil {
			d.later = append(d.later, w)
		}
		asked[w.ID] = true
	}
	for id, h := range d.hand {
		if !asked[id] {
			h.over = true
			h.cancel(errWithdrawn)
		}
	}
	d.begin(ctx)
}

// begin takes in hand what waits, in the order in which it was asked; the caller holds mu.
func (d *desk) begin(ctx context.Context) {
	busy := map[kind]int{}
	for _, h := range d.hand {
		busy[h.kind]++
	}
	d.later = slices.DeleteFunc(d.later, func(w exchange.Work) bool {
		k := kindOf(w.Verb)
		if busy[k] >= k.most() || d.ending(w) || ctx.Err() != nil {
			return false
		}
		busy[k]++
		wctx, cancel := context.WithCancelCause(ctx)
		d.hand[w.ID] = &inHand{work: w, kind: k, cancel: cancel}
		d.wg.Go(func() {
			defer cancel(nil)
			d.one(wctx, w)
			d.mu.Lock()
			defer d.mu.Unlock()
			delete(d.hand, w.ID)
			d.begin(ctx)
		})
		return true
	})
}

// ending tells whether work that was withdrawn has still to let go of the database before
// this one; the caller holds mu.
func (d *desk) ending(w exchange.Work) bool {
	for _, h := range d.hand {
		if h.over && h.work.Migration == w.Migration && inDatabase(h.work.Verb) && inDatabase(w.Verb) {
			return true
		}
	}
	return false
}

// one carries out a piece of work and says what came of it, until that is heard.
func (d *desk) one(ctx context.Context, w exchange.Work) {
	d.tell(Doing{Work: w})
	stop, watch := d.watch(ctx, w)
	a, err := d.do(ctx, w, watch)
	stop()
	if ctx.Err() != nil { // the gate stops: the work stays asked for
		cause := context.Cause(ctx)
		if w.Verb == exchange.Lend && errors.Is(cause, errWithdrawn) { // the loan was the answer
			cause = nil
		}
		d.tell(Doing{Work: w, Done: true, Err: cause})
		return
	}
	if err != nil {
		a = &exchange.Answer{Problem: exchange.ProblemOf(err)}
	}
	pause := lendPause
	if w.Verb != exchange.Lend || err != nil { // what is lent is answered by the loan
		unheard := d.answer(ctx, w, *a)
		if errors.Is(context.Cause(ctx), errWithdrawn) { // it was heard before the lock could say so
			unheard = nil
		}
		if unheard != nil && err == nil { // the lock does not take this answer: it is told why
			unheard = errors.Join(unheard, d.answer(ctx, w, exchange.Answer{Problem: exchange.ProblemOf(unheard)}))
		}
		if err = errors.Join(err, unheard); unheard != nil {
			pause = longPause
		}
	}
	d.tell(Doing{Work: w, Done: true, Err: err})
	if w.Verb == exchange.Lend || pause == longPause {
		sleep(ctx, pause) // it may be asked for still, and is not begun again at once
	}
}

// answer says what came of work until it is heard.
func (d *desk) answer(ctx context.Context, w exchange.Work, a exchange.Answer) error {
	pause := firstPause
	for {
		err := d.works.Answer(ctx, w.ID, a)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if kind := ecluse.KindOf(err); kind != ecluse.Failed && kind != ecluse.Interrupted {
			return err // it was heard, and refused
		}
		if !sleep(ctx, pause) {
			return err
		}
		pause = min(2*pause, longPause)
	}
}

// watch passes progress on: what ends a stage always, of the rest the latest only,
// so that a slow line slows no work.
func (d *desk) watch(ctx context.Context, w exchange.Work) (stop func(), watch sluice.Watch) {
	var mu sync.Mutex
	var waiting []exchange.Progress // the last of each stage not told yet
	more := make(chan struct{}, 1)
	over, done := make(chan struct{}), make(chan struct{})
	pass := func() {
		mu.Lock()
		all := waiting
		waiting = nil
		mu.Unlock()
		for _, p := range all {
			tctx, cancel := context.WithTimeout(ctx, tellTime)
			_ = d.works.Tell(tctx, w.ID, p) // display only
			cancel()
		}
	}
	go func() {
		defer close(done)
		for {
			select {
			case <-more:
				pass()
			case <-over:
				pass()
				return
			}
		}
	}()
	return func() { close(over); <-done }, func(p sluice.Progress) {
		x := ProgressOf(p)
		d.tell(Doing{Work: w, Progress: &x})
		mu.Lock()
		if n := len(waiting); n > 0 && waiting[n-1].Stage == x.Stage {
			waiting = waiting[:n-1]
		}
		waiting = append(waiting, x)
		mu.Unlock()
		select {
		case more <- struct{}{}:
		default:
		}
	}
}

// ProgressOf puts progress into the words that travel.
func ProgressOf(p sluice.Progress) exchange.Progress {
	return exchange.Progress{Stage: string(p.Stage), Dataset: p.Dataset, Rows: p.Rows, Expected: p.Expected, Bytes: p.Bytes, Chunks: p.Chunks, Paused: p.Paused, Done: p.Done}
}

// notMine refuses a verb of the other gate, or of a later program.
func notMine(w exchange.Work, gate string) error {
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "carry out " + string(w.Verb), Why: fmt.Sprintf("it is nothing that a %s gate does", gate),
		Next: "let server and gates be of one version",
	}
}

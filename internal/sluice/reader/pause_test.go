package reader_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ecluse/internal/sluice/reader"
)

// TestPause: a reading goes on beside fewer sessions than it was told, stands still while
// there are as many, and takes a turn once a minute where there always are.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		others, asked, paused := 0, 0, false
		p := reader.NewPause(2, func(context.Context) (int, error) { asked++; return others, nil }, func(on bool) { paused = on })
		wait := func(ctx context.Context) (time.Duration, error) {
			begun := time.Now()
			err := p.Wait(ctx)
			return time.Since(begun), err
		}
		for range 1000 { // a batch each
			if took, err := wait(t.Context()); took != 0 || err != nil {
				t.Fatalf("nobody is at work: %s, %v", took, err)
			}
			time.Sleep(time.Millisecond)
		}
		if asked != 50 || p.Times != 0 {
			t.Errorf("in a second the server is asked %d times, and %d times it paused", asked, p.Times)
		}
		others = 1
		time.Sleep(time.Second)
		if took, err := wait(t.Context()); took != 0 || err != nil {
			t.Errorf("fewer are at work than it pauses for: %s, %v", took, err)
		}

		others = 2
		time.Sleep(time.Second)
		time.AfterFunc(10*time.Second, func() { others = 1 })
		time.AfterFunc(10*time.Second+500*time.Millisecond, func() { others = 3 }) // rests, and goes on
		time.AfterFunc(11*time.Second, func() {
			if !paused {
				t.Error("nobody is told of the pause")
			}
			others = 0
		})
		if took, err := wait(t.Context()); took < 11950*time.Millisecond || took > 12050*time.Millisecond || err != nil {
			t.Errorf("at work for 11 s with a rest of half a second: it paused for %s, %v", took, err)
		}
		if p.Times != 1 || p.Took < 11950*time.Millisecond || paused {
			t.Errorf("it says %d pauses, %s, paused %t", p.Times, p.Took, paused)
		}

		others = 5 // for ever
		time.Sleep(time.Second)
		if took, err := wait(t.Context()); took != time.Minute || err != nil {
			t.Errorf("where there is no rest it paused for %s, %v", took, err)
		}
		begun := time.Now()
		for {
			if took, _ := wait(t.Context()); took > 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if turn := time.Since(begun) - time.Minute; turn < time.Second || turn > 1050*time.Millisecond {
			t.Errorf("its turn lasted %s", turn)
		}

		time.Sleep(2 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if took, err := wait(ctx); took != 5*time.Second || !errors.Is(err, context.DeadlineExceeded) || paused {
			t.Errorf("cancelled: %v after %s, paused %t", err, took, paused)
		}
		if err := reader.NewPause(0, nil, nil).Wait(t.Context()); err != nil {
			t.Errorf("without a limit: %v", err)
		}
		broken := errors.New("the server is gone")
		lost := reader.NewPause(1, func(context.Context) (int, error) { return 0, broken }, nil)
		if err := lost.Wait(t.Context()); !errors.Is(err, broken) {
			t.Errorf("a server that does not answer: %v", err)
		}
	})
}

// TestPauseOfThrottled: looks at who is at work and statements that read are of one budget,
// and the looks leave the reading the half of it.
func TestPauseOfThrottled(t *testing.T) {
	for _, statements := range []int{1, 3} { // that a look takes
		synctest.Test(t, func(t *testing.T) {
			const perSecond, seconds = 10, 30
			throttle := reader.NewThrottle(perSecond)
			looks, reads := 0, 0
			begun := time.Now()
			p := reader.NewPause(1, func(ctx context.Context) (int, error) {
				for range statements {
					if err := throttle.Wait(ctx); err != nil {
						return 0, err
					}
					looks++
				}
				if at := time.Since(begun) / time.Second; at == 10 || at == 20 { // now and then others are at work
					return 1, nil
				}
				return 0, nil
			}, func(bool) {})
			for time.Since(begun) < seconds*time.Second {
				if err := errors.Join(p.Wait(t.Context()), throttle.Wait(t.Context())); err != nil {
					t.Fatal(err)
				}
				reads++
				time.Sleep(time.Millisecond)
			}
			if all := looks + reads; all > perSecond*seconds+2 {
				t.Errorf("%d statements in %d s, of %d a second", all, seconds, perSecond)
			}
			if p.Times == 0 || reads < perSecond*seconds/3 {
				t.Errorf("%d looks left the reading %d statements", looks, reads)
			}
		})
	}
}

package cli

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestCatchUpRepeats: --until catches up at once, then every so often from the end of the
// time before, the last time when the hour has come; what fails ends it.
func TestCatchUpRepeats(t *testing.T) {
	t.Parallel()
	begun := time.Date(2026, 3, 13, 22, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return begun.Add(time.Duration(minutes) * time.Minute) }
	failed := errors.New("refused")
	for name, c := range map[string]struct {
		until time.Time
		fails int // which time; 0: none
		want  []int
	}{
		"once":                    {want: []int{0}},
		"the hour is past":        {until: at(-5), want: []int{0}},
		"shorter than a turn":     {until: at(10), want: []int{0, 10}},
		"the hour ends a turn":    {until: at(71), want: []int{0, 61, 71}}, // each takes a minute, and the next is an hour after its end
		"the hour ends a pause":   {until: at(130), want: []int{0, 61, 122, 130}},
		"the hour comes in one":   {until: at(1), want: []int{0}},
		"readings are all used":   {until: at(1000), fails: 3, want: []int{0, 61, 122}},
		"it fails the first time": {until: at(1000), fails: 1, want: []int{0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now, times := begun, []int(nil)
			x := &applyCmd{Until: c.until, Every: time.Hour}
			err := x.repeat(func() time.Time { return now }, func() error {
				times = append(times, int(now.Sub(begun)/time.Minute))
				now = now.Add(time.Minute)
				if len(times) == c.fails {
					return failed
				}
				return nil
			}, func(next time.Time) error {
				if next.Before(now) {
					t.Errorf("it waits for %s at %s", next, now)
				}
				now = next
				return nil
			})
			if (c.fails > 0) != errors.Is(err, failed) || c.fails == 0 && err != nil {
				t.Error(err)
			}
			if len(times) != len(c.want) {
				t.Fatalf("caught up at minutes %v, want %v", times, c.want)
			}
			for i := range times {
				if times[i] != c.want[i] {
					t.Errorf("caught up at minutes %v, want %v", times, c.want)
				}
			}
		})
	}
}

// TestSleepUntil: an hour that is past is not waited for, and whoever goes away is not kept.
func TestSleepUntil(t *testing.T) {
	t.Parallel()
	if err := sleepUntil(t.Context(), time.Now().Add(-time.Minute)); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sleepUntil(ctx, time.Now().Add(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

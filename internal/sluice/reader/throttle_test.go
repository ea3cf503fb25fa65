package reader_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ecluse/internal/sluice/reader"
)

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := func(th *reader.Throttle, statements int) time.Duration {
			begun := time.Now()
			for range statements {
				if err := th.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(begun)
		}
		if got := took(reader.NewThrottle(0), 1000); got != 0 {
			t.Errorf("without a limit it waits %s", got)
		}
		four := reader.NewThrottle(4)
		if got := took(four, 9); got != 2*time.Second {
			t.Errorf("9 statements at 4 a second took %s", got)
		}
		time.Sleep(time.Hour) // what was not used is not saved up
		if got := took(four, 9); got != 2*time.Second {
			t.Errorf("after a rest, 9 statements at 4 a second took %s", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		begun := time.Now()
		if err := four.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 50*time.Millisecond {
			t.Errorf("cancelled: %v after %s", err, time.Since(begun))
		}
	})
}

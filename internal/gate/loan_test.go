package gate

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
)

// unlent is a lock that has no answer of the source gate, and then another error.
type unlent struct {
	Lock
	wait error
}

func (unlent) Lent(context.Context, ecluse.MigrationID, ecluse.Digest) (*evidence.Signed, error) {
	return nil, nil
}
func (l unlent) Wait(context.Context, ecluse.MigrationID, int) error { return l.wait }

// TestAwaitLoan: a lock that can no longer be waited on ends the waiting with its own
// error, before the gate's patience does.
func TestAwaitLoan(t *testing.T) {
	t.Parallel()
	gone := errors.New("the server is gone")
	x := &Target{lock: unlent{wait: gone}, patience: time.Minute}
	if a, err := x.awaitLoan(t.Context(), "m", ecluse.Digest{}, lender{}); !errors.Is(err, gone) || a != nil {
		t.Errorf("%v, %v", a, err)
	}
	x = &Target{lock: unlent{}, patience: 10 * time.Millisecond}
	a, err := x.awaitLoan(t.Context(), "m", ecluse.Digest{}, lender{})
	var e *ecluse.Error
	if !errors.As(err, &e) || e.Kind != ecluse.Failed || a != nil || !strings.Contains(e.Next, "not held") || !strings.Contains(e.Next, "even to undo") || !strings.Contains(e.Next, "clocks") {
		t.Errorf("%v, %v", a, err)
	}
}

// silent is a lock on which nothing moves and nobody lends.
type silent struct{ Lock }

func (silent) Lent(context.Context, ecluse.MigrationID, ecluse.Digest) (*evidence.Signed, error) {
	return nil, nil
}

func (silent) Wait(ctx context.Context, _ ecluse.MigrationID, _ int) error {
	select {
	case <-time.After(200 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// TestLoanTime: a loan is waited for, and kept, as long as the instruction has it last, and
// no longer; where it says nothing, as long as is usual.
func TestLoanTime(t *testing.T) {
	t.Parallel()
	const patience = time.Minute
	for _, c := range []struct {
		lease       string
		waits, kept time.Duration
	}{
		{"", patience, 15 * time.Minute},
		{"15m", patience, 15 * time.Minute},
		{"24h", 24 * time.Hour, 24 * time.Hour},
		{"72h", 72 * time.Hour, 72 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			source := lender{lasts: mandate.Limits{Lease: c.lease}.LeaseTime()}
			x := &Target{lock: silent{}, patience: patience}
			begun := time.Now()
			if _, err := x.awaitLoan(t.Context(), "m", ecluse.Digest{}, source); ecluse.KindOf(err) != ecluse.Failed || time.Since(begun) != c.waits {
				t.Errorf("lease %q: waited %s, want %s: %v", c.lease, time.Since(begun), c.waits, err)
			}

			for name, until := range map[string]time.Duration{"by both clocks": source.lasts, "by this process's, when the lender's runs ahead": 1000 * time.Hour} {
				l := &lease{}
				l.put([]byte("half"), time.Now().Add(until), source.lasts)
				time.Sleep(c.kept)
				if l.take(time.Now(), source.lasts) == nil {
					t.Errorf("lease %q, %s: forgotten too early", c.lease, name)
				}
				time.Sleep(time.Second)
				if l.take(time.Now(), source.lasts) != nil || l.secret != nil {
					t.Errorf("lease %q, %s: kept too long", c.lease, name)
				}
			}
			if l := (&lease{}); source.lasts > mandate.UsualLease { // got under a draft that said more
				l.put([]byte("half"), time.Now().Add(source.lasts), source.lasts)
				time.Sleep(mandate.UsualLease + time.Second)
				if l.take(time.Now(), mandate.UsualLease) != nil {
					t.Errorf("lease %q: a signed instruction's quarter of an hour is over", c.lease)
				}
			}
			l := &lease{}
			l.put([]byte("half"), time.Now().Add(time.Minute), source.lasts) // lent for less
			if l.take(time.Now().Add(2*time.Minute), source.lasts) != nil {
				t.Errorf("lease %q: kept longer than it was lent", c.lease)
			}
		})
	}
}

package gate

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
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
	if !errors.As(err, &e) || e.Kind != ecluse.Failed || a != nil || !strings.Contains(e.Next, "not held") || !strings.Contains(e.Next, "even to undo") {
		t.Errorf("%v, %v", a, err)
	}
}

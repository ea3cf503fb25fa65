package reader

import (
	"context"
	"time"
)

// Throttle spaces the statements of a session, so that the laboratory keeps its
// database while it is read (limits.queries_per_second). It belongs to one
// goroutine, as a session does.
type Throttle struct {
	every time.Duration
	next  time.Time // when another statement may be sent
}

// NewThrottle lets so many statements a second be sent; 0 is any number.
func NewThrottle(perSecond int) *Throttle {
	if perSecond <= 0 {
		return &Throttle{}
	}
	return &Throttle{every: time.Second / time.Duration(perSecond)}
}

// Wait waits until the next statement may be sent. It gives the context's error
// when that ends first.
func (t *Throttle) Wait(ctx context.Context) error {
	if wait := time.Until(t.next); t.every > 0 && wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	t.next = time.Now().Add(t.every)
	return ctx.Err()
}

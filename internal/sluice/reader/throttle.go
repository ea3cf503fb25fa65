package reader

import (
	"context"
	"sync"
	"time"
)

// Throttle spaces the statements of a session, so that the laboratory keeps its
// database while it is read (limits.queries_per_second): those that read, and those that
// ask who is at work, which may be sent while another's rows are taken.
type Throttle struct {
	every time.Duration
	mu    sync.Mutex
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
	t.mu.Lock()
	now := time.Now()
	wait := t.next.Sub(now)
	t.next = now.Add(max(wait, 0) + t.every)
	t.mu.Unlock()
	if t.every > 0 && wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

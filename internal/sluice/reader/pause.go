package reader

import (
	"context"
	"time"
)

// How a Pause asks and waits.
const (
	// askEvery is how often the server is asked: a user's statement takes a millisecond,
	// and of many such most fall between two looks.
	askEvery = 20 * time.Millisecond
	quietFor = time.Second // how long nobody must be at work before the reading goes on
	// longestPause is how long a reading waits before it takes a second's turn all the
	// same: on a server that is never quiet it comes to its end, though slowly.
	longestPause = time.Minute
)

// Pause holds a reading back while others are at work on the source's server
// (limits.load_pause). It belongs to one goroutine.
type Pause struct {
	Times int           // how often it held the reading back
	Took  time.Duration // for how long in all

	sessions int // so many are others at work
	load     func(context.Context) (int, error)
	tell     func(paused bool)
	due      time.Time // when the server is asked again
}

// NewPause pauses while load, which counts the sessions of others that are at work,
// gives so many or more; 0 is never. tell hears when a pause begins and ends.
func NewPause(sessions int, load func(context.Context) (int, error), tell func(paused bool)) *Pause {
	return &Pause{sessions: sessions, load: load, tell: tell}
}

// Wait returns when the reading may go on. It gives the context's error when that ends
// first, or that of asking the server.
func (p *Pause) Wait(ctx context.Context) error {
	if p.sessions <= 0 || time.Now().Before(p.due) {
		return ctx.Err()
	}
	asked := time.Now()
	others, err := p.load(ctx)
	if err != nil {
		return err
	}
	if others < p.sessions {
		p.due = p.next(asked)
		return ctx.Err()
	}
	p.Times++
	begun := time.Now()
	p.tell(true)
	defer func() {
		p.Took += time.Since(begun)
		p.tell(false)
	}()
	return p.untilQuiet(ctx)
}

// next is when to ask again: after as long as asking took, or else the half of what
// limits.queries_per_second grants the reading would go into it.
func (p *Pause) next(asked time.Time) time.Time {
	now := time.Now()
	return now.Add(max(askEvery, now.Sub(asked)))
}

// untilQuiet waits until nobody was at work for a while: between two short statements a
// busy client rests too.
func (p *Pause) untilQuiet(ctx context.Context) error {
	busy, begun := time.Now(), time.Now()
	timer := time.NewTimer(askEvery)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if time.Since(begun) >= longestPause {
			p.due = time.Now().Add(quietFor)
			return nil
		}
		asked := time.Now()
		others, err := p.load(ctx)
		if err != nil {
			return err
		}
		if others >= p.sessions {
			busy = time.Now()
		} else if time.Since(busy) >= quietFor {
			p.due = p.next(asked)
			return nil
		}
		timer.Reset(askEvery)
	}
}

package desk

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ecluse/internal/exchange"
)

// looks is a lock that answers Look alone, with what it is given, a second apart.
type looks struct {
	Lock
	views []exchange.WorkView
}

func (l *looks) Look(context.Context, string, int64) (*exchange.WorkView, error) {
	time.Sleep(time.Second)
	v := l.views[0]
	if len(l.views) > 1 {
		l.views = l.views[1:]
	}
	return &v, nil
}

// TestFollowTellsOfAGateAway: a gate that is away is told once each time it goes
// away, and not while one that was just started connects.
func TestFollowTellsOfAGateAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := time.Now()
		here, away, done := exchange.WorkView{}, exchange.WorkView{Away: true, Seen: seen}, exchange.WorkView{Answer: &exchange.Answer{}}
		for name, c := range map[string]struct {
			views []exchange.WorkView
			want  int
		}{
			"it connects":         {[]exchange.WorkView{away, away, here, here, done}, 0},
			"away":                {[]exchange.WorkView{here, here, here, here, away, away, away, done}, 1},
			"away from the start": {[]exchange.WorkView{away, away, away, away, away, away, done}, 1},
			"twice":               {[]exchange.WorkView{here, here, here, away, away, here, away, done}, 2},
		} {
			told := 0
			tell := Away(func(at exchange.Place, when time.Time) {
				if told++; at != exchange.TargetPlace || !when.Equal(seen) {
					t.Errorf("%s: told of %s, %s", name, at, when)
				}
			})
			if _, err := follow(t.Context(), &looks{views: c.views}, "w", nil, tell.at(exchange.TargetPlace)); err != nil || told != c.want {
				t.Errorf("%s: told %d times, want %d, %v", name, told, c.want, err)
			}
			if _, err := follow(t.Context(), &looks{views: c.views}, "w", nil, Away(nil).at(exchange.TargetPlace)); errors.Is(err, exchange.ErrAway) != (c.want > 0) {
				t.Errorf("%s: nobody is told: %v", name, err)
			}
		}
	})
}

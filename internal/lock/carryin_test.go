package lock

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ecluse"
	"ecluse/evidence"
)

// TestReturnForgotten: a return of which nobody sends the rest is forgotten after a while,
// and kept while its chunks come.
func TestReturnForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &Lock{carrying: make(chan struct{}, 1)}
		r := &returned{digest: ecluse.DigestOf([]byte("r")), over: true}
		l.remember(r)
		for range 3 {
			time.Sleep(returnedLife - time.Second)
			if got, _, err := l.returning(t.Context(), r.digest, 0); err != nil || got != r {
				t.Fatalf("while chunks come: %v", err)
			}
		}
		time.Sleep(returnedLife + time.Second)
		synctest.Wait()
		if l.returned != nil {
			t.Error("it is kept for ever")
		}
		if _, _, err := l.returning(t.Context(), r.digest, 0); ecluse.KindOf(err) != ecluse.Interrupted {
			t.Errorf("%v", err)
		}
		other := &returned{digest: ecluse.DigestOf([]byte("other"))}
		l.remember(r)
		time.Sleep(returnedLife / 2)
		l.remember(other)
		time.Sleep(returnedLife/2 + time.Second)
		synctest.Wait()
		if l.returned != other {
			t.Error("the one before took it along")
		}
		time.Sleep(returnedLife)
	})
}

// TestReturnsInTurn: a return is not read before whoever carries it in has their turn: many
// at once take the memory of one.
func TestReturnsInTurn(t *testing.T) {
	t.Parallel()
	l := newLock(t)
	over, err := l.inTurn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	p := &Person{Lock: l}
	if _, err := p.CarryIn(ctx, evidence.Signed{Body: []byte("{}")}, false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it was read before its turn: %v", err)
	}
	over()
	if _, err := p.CarryIn(t.Context(), evidence.Signed{Body: []byte("{}")}, false); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("%v", err)
	}
}

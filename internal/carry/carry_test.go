package carry

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// TestForgotten: a new dispatch takes the one before away, and leaves the return of which a
// part may still be to come in.
func TestForgotten(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, name := range []string{"in-000001", "in-000002", "in-000003", "in-x", "notes"} {
		b.must(os.MkdirAll(filepath.Join(b.dir, name), 0o700))
	}
	d := b.dispatch()
	d.Number, d.Came = 3, exchange.Came{Number: 2, Items: 1}
	b.write(d, b.lock)
	entries, err := os.ReadDir(b.dir)
	b.must(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"in-000002", "in-000003", "in-x", "notes", "out-000003"}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
}

// liar is a server that says what it pleases of how far it took a return in.
type liar struct {
	Lines
	says []exchange.Taken
}

func (l *liar) CarryIn(context.Context, evidence.Signed, bool) (*exchange.Taken, error) {
	v := l.says[0]
	l.says = l.says[1:]
	return &v, nil
}

// TestServerLies: a person's device sends chunks that there are, and believes no number
// that cannot be.
func TestServerLies(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	l := b.open()
	b.must(l.Record(t.Context(), event))
	b.must(b.put(l, 0, "sealed"))
	b.must(l.Seal(func(namespace string, body []byte) (evidence.Signed, error) {
		return evidence.Sign(b.gate, namespace, body)
	}, time.Now()))
	lies := func(says exchange.Taken) {
		t.Helper()
		_, err := CarryIn(t.Context(), &liar{says: []exchange.Taken{says}}, print(b.lock), b.dir, func(exchange.Taken) {})
		b.refused(fmt.Sprint(says), err, ecluse.Unverified, "the server")
	}
	for _, says := range []exchange.Taken{{Done: 0, Of: 2}, {Done: -1, Of: 2}, {Done: 1, Of: 3}, {Done: 3, Of: 2}, {Done: 7, Of: 9}, {Done: 2, Of: 2, New: 3}, {Done: 2, Of: 2, New: -1}, {Done: 2, Of: 2, Late: 3}, {Done: 2, Of: 2, New: 1, Late: -1}, {Done: 2, Of: 2, Waiting: 3}} {
		lies(says)
	}
	why := exchange.ProblemOf(&ecluse.Error{Kind: ecluse.Refused, What: "carry in", Why: "no"})
	good := exchange.NotIn{Item: 1, Kind: exchange.ItemPut, Migration: migration, Why: why}
	for _, x := range []exchange.NotIn{
		{Item: 1, Kind: exchange.ItemPut, Migration: migration},
		{Item: -1, Kind: exchange.ItemPut, Migration: migration, Why: why},
		{Item: 2, Kind: exchange.ItemPut, Migration: migration, Why: why},
		{Item: 1 << 40, Kind: exchange.ItemPut, Migration: migration, Why: why},
		{Item: 0, Kind: exchange.ItemPut, Migration: migration, Why: why},
		{Item: 1, Kind: "\x1b[2J", Migration: migration, Why: why},
		{Item: 1, Kind: exchange.ItemPut, Migration: "\x1b[2J", Why: why},
		{Item: 1, Kind: exchange.ItemPut, Migration: "another", Why: why},
		{Item: 1, Kind: exchange.ItemPut, Why: why},
	} {
		lies(exchange.Taken{Done: 2, Of: 2, Refused: []exchange.NotIn{x}})
	}
	lies(exchange.Taken{Done: 2, Of: 2, Refused: []exchange.NotIn{good, good}})
	lies(exchange.Taken{Done: 1, Of: 2, Refused: []exchange.NotIn{good}}) // it was not gone through yet
	if v, err := CarryIn(t.Context(), &liar{says: []exchange.Taken{{Done: 2, Of: 2, Refused: []exchange.NotIn{good}, Again: true}}}, print(b.lock), b.dir, func(exchange.Taken) {}); err != nil || len(v.Refused) != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := latest(b.dir, print(b.lock)); err != nil {
		t.Errorf("the folder is not as it was: %v", err)
	}
	if _, err := CarryIn(t.Context(), &liar{says: []exchange.Taken{{Done: 2, Of: 2}}}, print(b.lock), b.dir, func(exchange.Taken) {}); err != nil {
		t.Error(err)
	}
}

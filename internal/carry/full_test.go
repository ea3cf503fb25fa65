package carry

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// TestFull: a gate says no more than a lock takes in at a time, also after a crash; then it
// can say nothing, which is told, and keeps no chunk that no return speaks of. What goes into
// no return is refused.
func TestFull(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	l := b.open()
	var told error
	l.Broken = func(err error) { told = err }
	long := func(n int) exchange.Answer {
		return exchange.Answer{Papers: map[string][]byte{"a": []byte(strings.Repeat("x", n/4*3))}}
	}
	b.refused("too long for any", l.Answer(t.Context(), "w1", long(maxSaid)), ecluse.Refused, "longer than the 4 MiB")
	if told != nil || l.Items() != 0 {
		t.Errorf("%d items; told %v", l.Items(), told)
	}
	empty, err := evidence.EncodeJSON(exchange.Item{Kind: exchange.ItemAnswer, Work: "w1", Answer: &exchange.Answer{Papers: map[string][]byte{"a": {}}}})
	b.must(err)
	b.must(l.Answer(t.Context(), "w1", long((maxSaid-len(empty))/4*4)))
	if maxSaid-l.size > 3 {
		t.Fatalf("there are %d bytes left", maxSaid-l.size)
	}
	for range 2 {
		told = nil
		err := b.put(l, 0, "sealed")
		b.refused("one more", err, ecluse.Interrupted, "as long as a lock takes")
		if !errors.Is(err, ErrFull) || !errors.Is(told, ErrFull) || l.Items() != 1 {
			t.Errorf("%d items; told %v", l.Items(), told)
		}
		if left, err := os.ReadDir(b.dir + "/in-000001/chunks"); err != nil || len(left) != 0 {
			t.Errorf("there lie %v, %v", left, err)
		}
		if err := l.Record(t.Context(), event); !errors.Is(err, ErrFull) {
			t.Errorf("%v", err)
		}
		l = b.open()
		l.Broken = func(err error) { told = err }
	}
	b.must(l.Seal(func(namespace string, body []byte) (evidence.Signed, error) {
		return evidence.Sign(b.gate, namespace, body)
	}, time.Now()))
	r, err := latest(b.dir, print(b.lock))
	b.must(err)
	text, err := json.Marshal(r.Signed)
	b.must(err)
	if len(text) > exchange.MaxBody || len(text) < exchange.MaxBody-10<<10 || len(r.Signed.Body) > exchange.MaxReturn {
		t.Errorf("it takes %d bytes to hand in, of %d", len(text), exchange.MaxBody)
	}
}

package lock_test

import (
	"testing"

	"ecluse"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/exchange"
	"ecluse/internal/lock"
)

// TestGatesTellOfTheirOwn: what is the lock's to journal no gate can write.
func TestGatesTellOfTheirOwn(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Sealed, 3)
	l, err := lock.Open(t.Context(), d.Join("room", "lock"), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Shut()
	for _, typ := range []string{"erased", "accepted", "certified", "refused", "nothing"} {
		if err := l.Record(t.Context(), exchange.Event{Migration: roomtest.Migration, Type: typ}); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("%s: %v", typ, err)
		}
	}
	if err := l.Record(t.Context(), exchange.Event{Migration: roomtest.Migration, Type: "rejects-shown"}); err != nil {
		t.Error(err)
	}
}

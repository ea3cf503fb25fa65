package lock_test

import (
	"testing"

	"ecluse"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/exchange"
	"ecluse/internal/lock"
	"ecluse/internal/mandate"
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

// TestGatesSpeakForThemselves: a gate tells of what happens where it stands, in its own
// name.
func TestGatesSpeakForThemselves(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Sealed, 3)
	l, err := lock.Open(t.Context(), d.Join("room", "lock"), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Shut()
	i, err := mandate.ParseInstruction("instruction", d.Read("instruction.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	record := func(by ecluse.Fingerprint, typ string) error {
		return l.Seat(by).Record(t.Context(), exchange.Event{Migration: roomtest.Migration, Type: typ, IDs: map[string]string{"gate": "SHA256:anothers"}})
	}
	for _, typ := range []string{"rejects-shown", "figures-shown", "epoch"} {
		if err := record(i.Target.Gate, typ); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("the target gate says %s: %v", typ, err)
		}
		if err := record("SHA256:stranger", typ); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("a stranger says %s: %v", typ, err)
		}
	}
	if err := record("SHA256:stranger", "gate-held"); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("a stranger is held: %v", err)
	}
	for _, by := range []ecluse.Fingerprint{i.Source.Gate, i.Target.Gate} {
		if err := record(by, "gate-held"); err != nil {
			t.Error(err)
		}
		leaf, err := lock.LastLeaf(t.Context(), l, roomtest.Migration)
		if err != nil || leaf.Type != "gate-held" || leaf.IDs["gate"] != string(by) {
			t.Errorf("journalled: %+v, %v", leaf, err)
		}
	}
}

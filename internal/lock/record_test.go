package lock_test

import (
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
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
	if err := l.Record(t.Context(), exchange.Event{Migration: roomtest.Migration, Type: "epoch"}); err != nil {
		t.Error(err)
	}
}

// TestConsole: that somebody looked at rows is journalled with who it was, by their own
// signature, and not otherwise.
func TestConsole(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Sealed, 3)
	l, err := lock.Open(t.Context(), d.Join("room", "lock"), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Shut()
	c, err := l.Case(t.Context(), roomtest.Migration, ecluse.Final)
	if err != nil {
		t.Fatal(err)
	}
	act := func(m ecluse.MigrationID, side ecluse.Side, who, key string) *evidence.Signed {
		t.Helper()
		for _, x := range c.Rosters {
			r, err := evidence.ParseRoster("roster", x.Body)
			if err != nil {
				t.Fatal(err)
			}
			p, ok := r.Person(who)
			if r.Side != side || !ok {
				continue
			}
			now := time.Now().UTC().Truncate(time.Second)
			s, err := evidence.SignAct(d.Key(key), &evidence.Act{
				Migration: m, Side: side, Person: who, Role: p.Roles[0], Roster: r.Digest(), RosterNumber: r.Number, NotBefore: now, NotAfter: now.Add(time.Minute),
				Nonce: evidence.NewNonce(), Clauses: []evidence.Clause{{Verb: evidence.VerbSign, Kind: evidence.KindShown, Subject: ecluse.DigestOf(nil)}},
			})
			if err != nil {
				t.Fatal(err)
			}
			return &s
		}
		t.Fatal("nobody of that name")
		return nil
	}
	for name, c := range map[string]*evidence.Signed{
		"nobody's":                    nil,
		"the processor's":             act(roomtest.Migration, ecluse.Processor, roomtest.Marc, roomtest.Marc),
		"another's key":               act(roomtest.Migration, ecluse.Controller, roomtest.Claire, roomtest.Marc),
		"another migration's":         act("another-01", ecluse.Controller, roomtest.Claire, roomtest.Claire),
		"no act, though signed bytes": {Body: []byte("x"), Signature: []byte("y")},
	} {
		for _, typ := range []string{"rejects-shown", "figures-shown", "reject-released"} {
			if err := l.Record(t.Context(), exchange.Event{Migration: roomtest.Migration, Type: typ, Act: c}); err == nil {
				t.Errorf("%s, with an act that is %s, is journalled", typ, name)
			}
		}
	}
	good := act(roomtest.Migration, ecluse.Controller, roomtest.Claire, roomtest.Claire)
	if err := l.Record(t.Context(), exchange.Event{Migration: roomtest.Migration, Type: "rejects-shown", Act: good}); err != nil {
		t.Fatal(err)
	}
	leaf, err := lock.LastLeaf(t.Context(), l, roomtest.Migration)
	if err != nil || leaf.Type != "rejects-shown" || leaf.IDs["act"] != good.Digest().String() {
		t.Errorf("journalled: %+v, %v", leaf, err)
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

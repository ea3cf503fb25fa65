package lock_test

import (
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

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
	act := func(m ecluse.MigrationID, side ecluse.Side, who, key string, change ...func(*evidence.Act)) *evidence.Signed {
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
			a := &evidence.Act{
				Migration: m, Side: side, Person: who, Role: p.Roles[0], Roster: r.Digest(), RosterNumber: r.Number, NotBefore: now, NotAfter: now.Add(time.Minute),
				Nonce: evidence.NewNonce(), Clauses: []evidence.Clause{{Verb: evidence.VerbSign, Kind: evidence.KindShown, Subject: ecluse.DigestOf(nil)}},
			}
			for _, f := range change {
				f(a)
			}
			s, err := evidence.SignAct(d.Key(key), a)
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
	kind := func(k string) func(*evidence.Act) { return func(a *evidence.Act) { a.Clauses[0].Kind = k } }
	verb := func(a *evidence.Act) { a.Clauses[0].Verb = evidence.VerbRefuse }
	more := func(a *evidence.Act) {
		a.Clauses = append(a.Clauses, evidence.Clause{Verb: evidence.VerbSign, Kind: evidence.KindReleased, Subject: ecluse.DigestOf([]byte("a row"))})
	}
	long := func(a *evidence.Act) { a.NotAfter = a.NotBefore.Add(mandate.ActAtConsole + time.Second) }
	for name, tc := range map[string]struct {
		typ    string
		change func(*evidence.Act)
	}{
		"rows looked at by an act on a released one": {"rejects-shown", kind(evidence.KindReleased)},
		"figures by an act on a released row":        {"figures-shown", kind(evidence.KindReleased)},
		"a row released by an act of looking":        {"reject-released", kind(evidence.KindShown)},
		"rows looked at by an act on the plan":       {"rejects-shown", kind(evidence.KindReadPlan)},
		"an act that refuses":                        {"rejects-shown", verb},
		"an act of two clauses":                      {"rejects-shown", more},
		"an act that holds for long":                 {"rejects-shown", long},
	} {
		a := act(roomtest.Migration, ecluse.Controller, roomtest.Claire, roomtest.Claire, tc.change)
		if err := l.Record(t.Context(), exchange.Event{Migration: roomtest.Migration, Type: tc.typ, Act: a}); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("%s: %v", name, err)
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
	// The same told again is said once; anything else of that act is not said at all.
	if err := l.Record(t.Context(), exchange.Event{Migration: roomtest.Migration, Type: "rejects-shown", Act: good}); err != nil {
		t.Error(err)
	}
	for name, e := range map[string]exchange.Event{
		"another passage's rows": {Type: "rejects-shown", IDs: map[string]string{"passage": "final-1"}},
		"other rows":             {Type: "rejects-shown", Numbers: map[string]int64{"rows": 7}},
		"figures":                {Type: "figures-shown"},
	} {
		e.Migration, e.Act = roomtest.Migration, good
		if err := l.Record(t.Context(), e); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("%s by an act used before: %v", name, err)
		}
	}
	if last, err := lock.LastLeaf(t.Context(), l, roomtest.Migration); err != nil || last.Index != leaf.Index {
		t.Errorf("journalled after all: %+v, %v", last, err)
	}
}

// TestReleasedPosted: a row released comes in as its shapes, once the journal says by
// which act, and not otherwise.
func TestReleasedPosted(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Sealed, 3)
	l, err := lock.Open(t.Context(), d.Join("room", "lock"), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Shut()
	gate, err := ssh.ParsePrivateKey(d.Read("room", "source", "gate_key"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Case(t.Context(), roomtest.Migration, ecluse.Final)
	if err != nil {
		t.Fatal(err)
	}
	var roster *evidence.Roster
	for _, x := range c.Rosters {
		r, err := evidence.ParseRoster("roster", x.Body)
		if err != nil {
			t.Fatal(err)
		}
		if r.Side == ecluse.Controller {
			roster = r
		}
	}
	who, _ := roster.Person(roomtest.Claire)
	released := func(shape string) (evidence.Signed, *evidence.Signed) {
		x := &evidence.Released{
			StatementHead: evidence.StatementHead{Format: evidence.ReleasedFormat, Migration: roomtest.Migration, Plan: ecluse.DigestOf(c.ReadPlan)},
			Passage:       ecluse.Passage{Kind: ecluse.Dry, Number: 1}, At: time.Now().UTC(),
			Row: evidence.MaskedRow{Dataset: "patient", Reason: "no sex", Cells: []evidence.MaskedCell{{Column: "SEXE", Shape: shape}}},
		}
		digest, err := x.Row.Digest()
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now().UTC().Truncate(time.Second)
		x.Act, err = evidence.SignAct(d.Key(roomtest.Claire), &evidence.Act{
			Migration: roomtest.Migration, Side: ecluse.Controller, Person: who.ID, Role: who.Roles[0], Roster: roster.Digest(), RosterNumber: roster.Number,
			NotBefore: now, NotAfter: now.Add(time.Minute), Nonce: evidence.NewNonce(), Clauses: []evidence.Clause{{Verb: evidence.VerbSign, Kind: evidence.KindReleased, Subject: digest}},
		})
		if err != nil {
			t.Fatal(err)
		}
		x.ActDigest = x.Act.Digest()
		s, err := evidence.SignStatement(gate, x)
		if err != nil {
			t.Fatal(err)
		}
		return s, &x.Act
	}
	tell := func(s evidence.Signed, act *evidence.Signed) {
		t.Helper()
		err := l.Record(t.Context(), exchange.Event{Migration: roomtest.Migration, Type: "reject-released", Act: act, IDs: map[string]string{"statement": s.Digest().String()}})
		if err != nil {
			t.Fatal(err)
		}
	}
	post := func(s evidence.Signed) error {
		return l.Post(t.Context(), roomtest.Migration, exchange.ReleasedRow, s)
	}
	s, act := released("A{5}")
	if err := post(s); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("before the journal knows of it: %v", err)
	}
	tell(s, act)
	if err := post(s); err != nil {
		t.Error(err)
	}
	for _, value := range []string{"Dupont", "+", "<9.99"} {
		s, act := released(value)
		tell(s, act)
		if err := post(s); ecluse.KindOf(err) != ecluse.Unverified {
			t.Errorf("a row with %q for a shape: %v", value, err)
		}
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

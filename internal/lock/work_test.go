package lock

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

const (
	gateA ecluse.Fingerprint = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	gateB ecluse.Fingerprint = "SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
)

// newLock is a lock with nothing in it.
func newLock(t *testing.T) *Lock {
	t.Helper()
	roots := map[ecluse.Side]ecluse.Fingerprint{}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := ssh.NewSignerFromSigner(private)
		if err != nil {
			t.Fatal(err)
		}
		roots[side] = evidence.FingerprintOf(signer.PublicKey())
	}
	dir := filepath.Join(t.TempDir(), "lock")
	if _, err := Create(t.Context(), dir, roots, false); err != nil {
		t.Fatal(err)
	}
	l, err := Open(t.Context(), dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Shut() })
	return l
}

// open lists what is asked of a gate.
func open(t *testing.T, l *Lock, gate ecluse.Fingerprint) []exchange.Work {
	t.Helper()
	all, err := l.wanted(t.Context(), gate)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

type answered struct {
	answer *exchange.Answer
	err    error
}

// asking asks beside, and waits until it is asked.
func asking(ctx context.Context, t *testing.T, l *Lock, gate ecluse.Fingerprint, w exchange.Work) (id string, _ <-chan answered) {
	t.Helper()
	got := make(chan answered, 1)
	go func() {
		a, err := l.ask(ctx, gate, w)
		got <- answered{a, err}
	}()
	wanted, err := l.Seat(gate).Wanted(t.Context(), nil)
	if err != nil || len(wanted) != 1 {
		t.Fatalf("wanted %v, %v", wanted, err)
	}
	return wanted[0].ID, got
}

var paper = exchange.Answer{Papers: map[string][]byte{"x": []byte("y")}}

// TestAsk: what is asked of a gate reaches that gate and no other, and its answer
// whoever asked; a problem comes as the error it was.
func TestAsk(t *testing.T) {
	t.Parallel()
	l := newLock(t)
	id, got := asking(t.Context(), t, l, gateA, exchange.Work{Verb: exchange.Inspect, Papers: map[string][]byte{"p": []byte("q")}})
	if other := open(t, l, gateB); len(other) != 0 {
		t.Errorf("asked of the other gate: %v", other)
	}
	if err := l.Seat(gateA).Answer(t.Context(), id, paper); err != nil {
		t.Fatal(err)
	}
	if a := <-got; a.err != nil || string(a.answer.Papers["x"]) != "y" {
		t.Errorf("%+v", a)
	}
	id, got = asking(t.Context(), t, l, gateA, exchange.Work{Verb: exchange.Inspect})
	problem := &ecluse.Error{Kind: ecluse.Refused, What: "inspect", Why: "its key was destroyed", Err: exchange.ErrErased}
	if err := l.Seat(gateA).Answer(t.Context(), id, exchange.Answer{Problem: exchange.ProblemOf(problem)}); err != nil {
		t.Fatal(err)
	}
	if a := <-got; ecluse.KindOf(a.err) != ecluse.Refused || !errors.Is(a.err, exchange.ErrErased) {
		t.Errorf("%+v", a)
	}
	if left := open(t, l, gateA); len(left) != 0 {
		t.Errorf("still asked: %v", left)
	}
}

// TestAskEnds: whoever asks waits no longer than their own context, and leaves
// nothing asked behind.
func TestAskEnds(t *testing.T) {
	t.Parallel()
	l := newLock(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	id, got := asking(ctx, t, l, gateA, exchange.Work{Verb: exchange.Inspect})
	gone := errors.New("they went away")
	cancel(gone)
	if a := <-got; !errors.Is(a.err, gone) {
		t.Errorf("%+v", a)
	}
	if left := open(t, l, gateA); len(left) != 0 {
		t.Errorf("still asked: %v", left)
	}
	if err := l.Seat(gateA).Answer(t.Context(), id, paper); err != nil { // it comes too late
		t.Errorf("a late answer: %v", err)
	}
	ctx, cancel = context.WithCancelCause(t.Context())
	cancel(gone)
	if _, err := l.ask(ctx, gateA, exchange.Work{Verb: exchange.Inspect}); err == nil {
		t.Error("asked by somebody who was gone")
	}
	if left := open(t, l, gateA); len(left) != 0 {
		t.Errorf("still asked: %v", left)
	}
}

// TestAskOfALockThatIsShut: a lock that was shut answers with an error, at once.
func TestAskOfALockThatIsShut(t *testing.T) {
	t.Parallel()
	l := newLock(t)
	_, got := asking(t.Context(), t, l, gateA, exchange.Work{Verb: exchange.Inspect})
	l.Shut()
	if a := <-got; a.err == nil {
		t.Errorf("%+v", a)
	}
	if _, err := l.Seat(gateA).Wanted(t.Context(), nil); err == nil {
		t.Error("it tells what is wanted")
	}
	if _, err := l.ask(t.Context(), gateA, exchange.Work{Verb: exchange.Inspect}); err == nil {
		t.Error("it asks")
	}
}

// TestAwayGate: a gate that was never heard of is waited for a little; one that is
// heard of while it works, as long as it works; one that fell silent, until it
// counts as away.
func TestAwayGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLock(t)
		begun := time.Now()
		_, err := l.ask(t.Context(), gateA, exchange.Work{Verb: exchange.Inspect})
		if took := time.Since(begun); !errors.Is(err, exchange.ErrAway) || took < patience || took > patience+2*time.Second {
			t.Errorf("never heard of: %v after %s", err, took)
		}
		var e *ecluse.Error
		if !errors.As(err, &e) || e.Why == "" || e.Next == "" {
			t.Errorf("it does not say why and what next: %v", err)
		}
		if left := open(t, l, gateA); len(left) != 0 {
			t.Errorf("still asked: %v", left)
		}

		id, got := asking(t.Context(), t, l, gateA, exchange.Work{Verb: exchange.Inspect})
		for range 20 { // it works for minutes, and asks for more meanwhile
			time.Sleep(askTime)
			l.see(gateA)
		}
		select {
		case a := <-got:
			t.Fatalf("it was given up while it works: %+v", a)
		default:
		}
		if v, err := l.Look(t.Context(), id, 0); err != nil || v.Away {
			t.Errorf("away while it works: %+v, %v", v, err)
		}
		begun = time.Now()
		a := <-got
		if took := time.Since(begun); !errors.Is(a.err, exchange.ErrAway) || took < away-askTime || took > away+2*time.Second {
			t.Errorf("fell silent: %+v after %s", a, took)
		}
		if v, err := l.Look(t.Context(), id, 0); err != nil || !v.Away {
			t.Errorf("not away once it fell silent: %+v, %v", v, err)
		}
		l.Shut()
	})
}

// TestWithdraw: what is withdrawn is asked no more, and whoever waits is told why.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	l := newLock(t)
	id, got := asking(t.Context(), t, l, gateA, exchange.Work{Verb: exchange.Load, Migration: "m-1"})
	if err := l.Withdraw(t.Context(), "m-1", exchange.Read, errors.New("x")); err != nil { // nothing of the kind
		t.Fatal(err)
	}
	if left := open(t, l, gateA); len(left) != 1 {
		t.Errorf("asked: %v", left)
	}
	if err := l.Withdraw(t.Context(), "m-1", exchange.Load, &ecluse.Error{Kind: ecluse.Interrupted, What: "load", Why: "it was suspended"}); err != nil {
		t.Fatal(err)
	}
	if a := <-got; ecluse.KindOf(a.err) != ecluse.Interrupted {
		t.Errorf("%+v", a)
	}
	if left, err := l.Seat(gateA).Wanted(t.Context(), []string{id}); err != nil || len(left) != 0 {
		t.Errorf("still wanted: %v, %v", left, err)
	}
}

// TestAnswerTwice: the first answer stands, and has its consequences once.
func TestAnswerTwice(t *testing.T) {
	t.Parallel()
	l := newLock(t)
	seat := l.Seat(gateA)
	const m ecluse.MigrationID = evidence.InstallationTree // a tree that is there
	size := func() int64 {
		n, err := l.store.Size(t.Context(), string(m))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := size()
	w := exchange.Work{Verb: exchange.Load, Migration: m, Passage: ecluse.Passage{Kind: ecluse.Final, Number: 1}}
	id, got := asking(t.Context(), t, l, gateA, w)
	broken := exchange.Answer{Problem: exchange.ProblemOf(&ecluse.Error{Kind: ecluse.Failed, What: "load", Why: "the disk is full"})}
	for range 2 {
		if err := seat.Answer(t.Context(), id, broken); err != nil {
			t.Fatal(err)
		}
	}
	if a := <-got; ecluse.KindOf(a.err) != ecluse.Failed {
		t.Errorf("%+v", a)
	}
	if err := seat.Answer(t.Context(), id, paper); err != nil {
		t.Fatal(err)
	}
	// Two at a time, as when a line broke while the first was being heard.
	w.ID = id
	if err := l.ended(t.Context(), w, &broken); !errors.Is(err, errAnswered) {
		t.Errorf("answered beside: %v", err)
	}
	if v, err := l.Look(t.Context(), id, 0); err != nil || v.Answer == nil || v.Answer.Problem == nil {
		t.Errorf("the first answer is gone: %+v, %v", v, err)
	}
	if n := size() - before; n != 1 {
		t.Errorf("%d entries in the journal", n)
	}
}

// TestAnotherGatesWork: a gate neither answers nor tells of another's work, nor of
// what was never asked.
func TestAnotherGatesWork(t *testing.T) {
	t.Parallel()
	l := newLock(t)
	id, got := asking(t.Context(), t, l, gateA, exchange.Work{Verb: exchange.Inspect})
	other := l.Seat(gateB)
	if err := other.Answer(t.Context(), id, paper); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("it answered: %v", err)
	}
	if err := other.Tell(t.Context(), id, exchange.Progress{Stage: "read"}); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("it told: %v", err)
	}
	if err := other.Answer(t.Context(), "never-asked", paper); err == nil {
		t.Error("it answered what was never asked")
	}
	if v, err := l.Look(t.Context(), id, 0); err != nil || v.Answer != nil || len(v.Progress) != 0 || v.Gate != gateA {
		t.Errorf("%+v, %v", v, err)
	}
	if err := l.Seat(gateA).Answer(t.Context(), id, paper); err != nil {
		t.Fatal(err)
	}
	<-got
}

// TestLook: each change raises the version; whoever has seen it waits for the next;
// the papers of work are the gate's to read.
func TestLook(t *testing.T) {
	t.Parallel()
	l := newLock(t)
	seat := l.Seat(gateA)
	id, got := asking(t.Context(), t, l, gateA, exchange.Work{Verb: exchange.Read, Migration: "m-1", Papers: map[string][]byte{"p": []byte("q")}})
	look := func(since int64) *exchange.WorkView {
		t.Helper()
		v, err := l.Look(t.Context(), id, since)
		if err != nil {
			t.Fatal(err)
		}
		if v.Work.Papers != nil || v.Work.ID != id {
			t.Errorf("it shows %+v", v.Work)
		}
		return v
	}
	begun := time.Now()
	if v := look(0); v.Version != 0 || v.Answer != nil || time.Since(begun) < time.Second {
		t.Errorf("nothing happened: %+v after %s", v, time.Since(begun))
	}
	for _, p := range []exchange.Progress{{Stage: "reading", Rows: 1}, {Stage: "reading", Rows: 2, Done: true}, {Stage: "tracing", Rows: 1}} {
		if err := seat.Tell(t.Context(), id, p); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []exchange.Progress{{Stage: "another"}, {}, {Stage: "reading", Dataset: ecluse.DatasetID(strings.Repeat("a", 1000))}} {
		if err := seat.Tell(t.Context(), id, p); ecluse.KindOf(err) != ecluse.Invalid {
			t.Errorf("what there is not is remembered: %v", err)
		}
	}
	v := look(0)
	if want := []exchange.Progress{{Stage: "reading", Rows: 2, Done: true}, {Stage: "tracing", Rows: 1}}; v.Version != 3 || !slices.Equal(v.Progress, want) {
		t.Errorf("%+v", v)
	}
	later := make(chan *exchange.WorkView, 1)
	go func() { later <- look(v.Version) }()
	if err := seat.Answer(t.Context(), id, exchange.Answer{Problem: exchange.ProblemOf(&ecluse.Error{Kind: ecluse.Interrupted, What: "read"})}); err != nil {
		t.Fatal(err)
	}
	if x := <-later; x.Version <= v.Version || x.Answer == nil || !slices.Equal(x.Progress, v.Progress) {
		t.Errorf("%+v", x)
	}
	<-got
	ctx, cancel := context.WithCancel(t.Context())
	id, got = asking(t.Context(), t, l, gateA, exchange.Work{Verb: exchange.Inspect})
	cancel()
	if _, err := l.Look(ctx, id, 0); err == nil {
		t.Error("it looked for somebody who was gone")
	}
	if _, err := l.Look(t.Context(), "never-asked", 0); err == nil {
		t.Error("it looked at what was never asked")
	}
	if err := seat.Answer(t.Context(), id, paper); err != nil {
		t.Fatal(err)
	}
	<-got
}

// TestWantedWaits: a gate that knows all that is asked of it waits for more, a
// while, and no longer than its own context.
func TestWantedWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLock(t)
		begun := time.Now()
		if w, err := l.Seat(gateA).Wanted(t.Context(), nil); err != nil || len(w) != 0 || time.Since(begun) != askTime {
			t.Errorf("%v, %v after %s", w, err, time.Since(begun))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Seat(gateA).Wanted(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		l.Shut()
	})
}

// TestWorkLeavesNoPapers: what came with work is dropped when it ends, answered or
// withdrawn: a mapping that is only checked is kept nowhere.
func TestWorkLeavesNoPapers(t *testing.T) {
	t.Parallel()
	l := newLock(t)
	for _, answer := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		id, got := asking(ctx, t, l, gateA, exchange.Work{
			Verb: exchange.CheckMapping, Migration: "m-1", Papers: map[string][]byte{exchange.PaperMapping: []byte("of the laboratory")}, Signed: []evidence.Signed{{Body: []byte("x")}},
		})
		if answer {
			if err := l.Seat(gateA).Answer(t.Context(), id, exchange.Answer{}); err != nil {
				t.Fatal(err)
			}
		} else {
			cancel()
		}
		<-got
		cancel()
		row, err := l.store.Work(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		var w exchange.Work
		if err := json.Unmarshal(row.Text, &w); err != nil || w.ID != id || w.Migration != "m-1" || w.Papers != nil || w.Signed != nil || row.Ended.IsZero() {
			t.Errorf("answered %v: %s, %v", answer, row.Text, err)
		}
	}
}

// TestQuestion: the same is asked once, and under other papers it is another.
func TestQuestion(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, papers := range [][]ecluse.Digest{nil, {{}, {}, {}}, {ecluse.DigestOf([]byte("mapping")), {}, {}}, {{}, {}, ecluse.DigestOf([]byte("mapping"))}} {
		for _, w := range []exchange.Work{{Verb: exchange.Look, Migration: "m-01"}, {Verb: exchange.Look, Migration: "m-02"}} {
			id, err := question(gateA, w, papers)
			if err != nil || seen[id] {
				t.Errorf("%v of %v: %s, %v", w, papers, id, err)
			}
			seen[id] = true
			w.ID = id
			if again, err := question(gateA, w, papers); err != nil || again != id {
				t.Errorf("again: %s, want %s, %v", again, id, err)
			}
		}
	}
}

// TestWithoutLine: what the last confirmed paper says, whenever its gate made it, and of a
// retired gate its last; a paper that nobody confirmed changes nothing.
func TestWithoutLine(t *testing.T) {
	t.Parallel()
	e := func(made int64, noLine, let, retired bool) enrolment {
		return enrolment{made: time.Unix(made, 0), let: let, GateView: exchange.GateView{Gate: gateA, NoLine: noLine, Confirmed: let && !retired, Retired: retired}}
	}
	const line, hand, let, gone = false, true, true, true
	for name, c := range map[string]struct {
		papers []enrolment
		want   bool
	}{
		"none":                           {nil, line},
		"not confirmed":                  {[]enrolment{e(1, hand, !let, !gone)}, line},
		"refused before it was":          {[]enrolment{e(1, hand, !let, gone)}, line},
		"confirmed":                      {[]enrolment{e(1, hand, let, !gone)}, hand},
		"it has a line since":            {[]enrolment{e(1, hand, let, !gone), e(2, line, let, !gone)}, line},
		"confirmed in another order":     {[]enrolment{e(2, line, let, !gone), e(1, hand, let, !gone)}, line},
		"a newer one that nobody let in": {[]enrolment{e(1, hand, let, !gone), e(2, line, !let, !gone)}, hand},
		"retired":                        {[]enrolment{e(1, hand, let, gone)}, hand},
		"a newer one is retired":         {[]enrolment{e(1, line, let, !gone), e(2, hand, let, gone)}, line},
		"both retired":                   {[]enrolment{e(1, line, let, gone), e(2, hand, let, gone)}, hand},
		"another gate's":                 {[]enrolment{{made: time.Unix(9, 0), let: true, GateView: exchange.GateView{Gate: gateB, NoLine: true, Confirmed: true}}}, line},
	} {
		if got := withoutLine(c.papers, gateA, false); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
		for _, v := range withGates(nil, c.papers) { // the list says the same as what decides
			if v.Gate == gateA && (v.Confirmed || c.want) && v.NoLine != c.want {
				t.Errorf("%s: it is shown as %v", name, v.NoLine)
			}
		}
	}
}

// TestRest: a gate that waits for work is answered when the server is to stop, and not
// after a minute.
func TestRest(t *testing.T) {
	t.Parallel()
	l := newLock(t)
	said := make(chan error, 1)
	go func() {
		wanted, err := (&Seat{Lock: l, gate: gateA}).Wanted(t.Context(), nil)
		if err == nil && len(wanted) > 0 {
			err = errors.New("work was asked of it")
		}
		said <- err
	}()
	select {
	case err := <-said:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	l.Rest()
	l.Rest()
	select {
	case err := <-said:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("it still waits")
	}
}

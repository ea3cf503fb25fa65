package due_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"pgregory.net/rapid"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/due"
	"ecluse/internal/journal"
	"ecluse/internal/procedure"
	"ecluse/internal/store/sqlite"
)

const id ecluse.MigrationID = "megabus-2026-01"

func newStore(t *testing.T) *sqlite.Store {
	t.Helper()
	key, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		t.Fatal(err)
	}
	root := evidence.FingerprintOf(key)
	s, err := sqlite.Create(t.Context(), t.TempDir(), map[ecluse.Side]ecluse.Fingerprint{ecluse.Controller: root, ecluse.Processor: root})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func open(t *testing.T, s *sqlite.Store, eraseBy time.Time) {
	t.Helper()
	err := s.Do(t.Context(), journal.Event{Tree: string(id), Type: journal.Born}, func(tx *sqlite.Tx) error {
		return tx.OpenMigration(t.Context(), id, ecluse.Digest{1}, eraseBy, procedure.Person(ecluse.Processor, ecluse.Operator))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func schedule(t *testing.T, s *sqlite.Store, items ...due.Item) {
	t.Helper()
	err := s.Do(t.Context(), journal.Event{Tree: string(id), Type: journal.DocumentStored}, func(tx *sqlite.Tx) error {
		return tx.Schedule(t.Context(), ecluse.Digest{}, items...)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// diary does nothing but remember what was asked, and when.
type diary struct {
	did []due.Item
	at  []time.Time
	do  func(due.Item) error
}

func (d *diary) actions() map[due.Kind]due.Action {
	all := map[due.Kind]due.Action{}
	for _, k := range due.Kinds() {
		all[k] = func(_ context.Context, it due.Item, now time.Time) error {
			d.did, d.at = append(d.did, it), append(d.at, now)
			if d.do != nil {
				return d.do(it)
			}
			return nil
		}
	}
	return all
}

func (d *diary) kinds() (kinds []due.Kind) {
	for _, it := range d.did {
		kinds = append(kinds, it.Kind)
	}
	return kinds
}

// TestDeadlineNeedsNobody: a migration's last 49 hours, in virtual time. Two
// warnings come before its deadline (the week's is past), and erasure at it, to the second.
func TestDeadlineNeedsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		eraseBy := time.Now().Add(49 * time.Hour)
		open(t, s, eraseBy)
		d := &diary{}
		r, err := due.New(s, d.actions())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Hour, errEnough)
		defer cancel()
		if err := r.Watch(ctx, func(rep due.Report, err error) {
			if err != nil || rep.Check() != nil {
				t.Errorf("%v, %v", err, rep.Check())
			}
		}); !errors.Is(err, errEnough) {
			t.Errorf("Watch ended with %v", err)
		}
		if diff := cmp.Diff([]due.Kind{due.WarnErase, due.Hunt, due.WarnErase, due.Erase}, d.kinds()); diff != "" {
			t.Fatal(diff)
		}
		for i, want := range []time.Time{eraseBy.Add(-48 * time.Hour), eraseBy.Add(due.HuntEvery - 49*time.Hour), eraseBy.Add(-4 * time.Hour), eraseBy} {
			if late := d.at[i].Sub(want); late < 0 || late > 2*time.Second {
				t.Errorf("%s was done %s after its time", d.did[i].Kind, late)
			}
		}
		s.Close()
	})
}

var errEnough = errors.New("enough")

// TestFailureKeepsNothing: what fails is tried at every beat, keeps nothing else
// from being done, and says so in the journal.
func TestFailureKeepsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		now := time.Now()
		schedule(
			t, s,
			due.Item{Kind: due.Erase, Migration: id, At: now.Add(time.Minute)},
			due.Item{Kind: due.RosterAge, Subject: "r", At: now.Add(time.Minute)},
		)
		tries := 0
		d := &diary{do: func(it due.Item) error {
			if it.Kind != due.Erase {
				return nil
			}
			if tries++; tries < 4 {
				return &ecluse.Error{Kind: ecluse.Failed, What: "undo passage", Why: "the target gate does not answer"}
			}
			return nil
		}}
		r, err := due.New(s, d.actions())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		failures := 0
		err = r.Watch(ctx, func(rep due.Report, err error) {
			if err != nil {
				t.Error(err)
			}
			failures += len(rep.Failed)
		})
		if !errors.Is(err, context.DeadlineExceeded) || failures != 3 || tries != 4 {
			t.Errorf("%v: %d failures, %d tries", err, failures, tries)
		}
		if got := slices.Index(d.kinds(), due.RosterAge); got < 0 || got > 1 {
			t.Errorf("the other item came at %d of %v", got, d.kinds())
		}
		if n := count(t, s, string(id), journal.Failed); n != 1 { // the same, within the hour
			t.Errorf("journalled %d failures", n)
		}
		if n := count(t, s, string(id), journal.Done); n != 1 {
			t.Errorf("journalled %d as done", n)
		}
		s.Close()
	})
}

// TestFailureSaidHourly: what fails at every beat is journalled once an hour, and at once
// when it fails in another way, or again after it succeeded.
func TestFailureSaidHourly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		defer s.Close()
		schedule(t, s, due.Item{Kind: due.Erase, Migration: id, At: time.Now().Add(time.Minute)})
		kind := ecluse.WaitsForSign
		d := &diary{do: func(due.Item) error {
			return &ecluse.Error{Kind: kind, What: "have a gate erase", Why: "it waits to be carried"}
		}}
		r, err := due.New(s, d.actions())
		if err != nil {
			t.Fatal(err)
		}
		watch := func(within time.Duration) int {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			if err := r.Watch(ctx, func(due.Report, error) {}); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			return count(t, s, string(id), journal.Failed)
		}
		if n := watch(90 * time.Minute); n != 2 {
			t.Errorf("journalled %d times in an hour and a half", n)
		}
		kind = ecluse.Failed
		if n := watch(5 * time.Minute); n != 3 {
			t.Errorf("journalled %d times when it failed in another way", n)
		}
		if n := watch(24 * time.Hour); n < 26 || n > 27 {
			t.Errorf("journalled %d times in a day more", n)
		}
	})
}

func count(t *testing.T, s *sqlite.Store, tree string, typ journal.Type) (n int) {
	t.Helper()
	size, err := s.Size(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	leaves, err := s.Leaves(t.Context(), tree, 0, size)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leaves {
		if strings.Contains(string(l), `"type":"`+string(typ)+`"`) {
			n++
		}
	}
	return n
}

// TestRunDoesWhatFollows: what an action schedules for now is done in the same
// run; what it schedules again for itself is not done twice.
func TestRunDoesWhatFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		now := time.Now()
		schedule(t, s, due.Item{Kind: due.ContractEnd, Subject: "c", At: now})
		d := &diary{}
		d.do = func(it due.Item) error {
			if it.Kind == due.ContractEnd {
				schedule(t, s, due.Item{Kind: due.Erase, Migration: id, At: now})
			}
			return nil
		}
		r, err := due.New(s, d.actions())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			rep, err := r.Run(t.Context())
			if err != nil || len(rep.Failed) > 0 {
				t.Fatal(rep, err)
			}
		}
		if diff := cmp.Diff([]due.Kind{due.ContractEnd, due.Erase}, d.kinds()); diff != "" {
			t.Error(diff)
		}
		s.Close()
	})
}

// TestOneRunAtATime: what several ask for at once is done once.
func TestOneRunAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		open(t, s, time.Now().Add(time.Hour))
		d := &diary{do: func(due.Item) error { time.Sleep(time.Second); return nil }}
		r, err := due.New(s, d.actions())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if _, err := r.Run(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := len(slices.DeleteFunc(d.kinds(), func(k due.Kind) bool { return k != due.Erase })); n != 1 {
			t.Errorf("it was erased %d times", n)
		}
	})
}

// TestCrashBetweenDeedAndRecord: the deed is done again, once.
func TestCrashBetweenDeedAndRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		schedule(t, s, due.Item{Kind: due.Erase, Migration: id, At: time.Now()})
		ctx, cancel := context.WithCancel(t.Context())
		d := &diary{do: func(due.Item) error { cancel(); return nil }} // the power goes as soon as it is done
		r, err := due.New(s, d.actions())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := r.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if len(d.did) != 2 {
			t.Errorf("done %d times", len(d.did))
		}
		if n := count(t, s, string(id), journal.Done); n != 1 {
			t.Errorf("journalled %d times", n)
		}
		s.Close()
	})
}

func TestEveryKindHasAnAction(t *testing.T) {
	actions := (&diary{}).actions()
	delete(actions, due.Forget)
	if _, err := due.New(nil, actions); err == nil {
		t.Error("a runner without an action for a kind")
	}
}

// TestClock: whatever the machine's clock does, time never goes back; while
// nobody touches it, it is the machine's.
func TestClock(t *testing.T) {
	start := time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		c := due.Clock{High: start}
		machine, really := start, start // really: what a true clock would show
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) [2]int {
			return [2]int{rapid.IntRange(0, 3600).Draw(t, "pass"), rapid.IntRange(-100000, 0).Draw(t, "set back")}
		}), 1, 20).Draw(t, "steps")
		touched := false
		lost := time.Duration(0) // time nobody saw pass before a set-back, or slack
		for _, s := range steps {
			pass, setBack := time.Duration(s[0])*time.Second, time.Duration(s[1])*time.Second
			really = really.Add(pass)
			machine = machine.Add(pass).Add(setBack)
			touched = touched || setBack != 0
			if setBack != 0 {
				lost += pass
			}
			was := c
			if !machine.Before(was.High) {
				lost += min(was.Behind, pass) // set right, or only not looked at for longer: nobody can tell
			}
			c, _ = c.Look(machine)
			if c.High.Before(was.High) {
				t.Fatalf("went from %v to %v", was.High, c.High)
			}
			if !touched && !c.High.Equal(machine) {
				t.Fatalf("shows %v at %v", c.High, machine)
			}
			if slow := really.Sub(c.High); slow > lost+due.Slack*time.Duration(len(steps)) {
				t.Fatalf("a deadline would come %v late, %v were unseen", slow, lost)
			}
			if c.High.After(really) {
				t.Fatalf("shows %v before it is", c.High)
			}
		}
	})
}

func TestClockSetRight(t *testing.T) {
	start := time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)
	c := due.Clock{High: start}
	c, back := c.Look(start.Add(-24 * time.Hour))
	if back != 24*time.Hour || !c.High.Equal(start) || c.Behind != 24*time.Hour {
		t.Errorf("set back: %v, %+v", back, c)
	}
	c, back = c.Look(start.Add(-23 * time.Hour))
	if back != 0 || !c.High.Equal(start.Add(time.Hour)) {
		t.Errorf("an hour later: %v, %+v", back, c)
	}
	c, back = c.Look(start.Add(2 * time.Hour))
	if want := (due.Clock{High: start.Add(2 * time.Hour)}); back != 0 || c != want {
		t.Errorf("set right: %v, %+v", back, c)
	}
}

func TestItems(t *testing.T) {
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	soon := now.Add(3 * 24 * time.Hour)
	got := due.ForMigration(id, now, soon)
	want := []due.Item{
		{Kind: due.Erase, Migration: id, At: soon},
		{Kind: due.WarnErase, Migration: id, Subject: "2", At: soon.Add(-48 * time.Hour)},
		{Kind: due.WarnErase, Migration: id, Subject: "3", At: soon.Add(-4 * time.Hour)},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	names := map[due.Item]bool{}
	d := ecluse.DigestOf([]byte("x"))
	all := slices.Concat(
		due.ForMigration(id, now, now.Add(60*24*time.Hour)), due.ForContract(d, now, now.Add(60*24*time.Hour)),
		due.ForRoster(&evidence.Roster{Issued: now, Expires: now.Add(60 * 24 * time.Hour)}, now), []due.Item{due.ForApproval(id, d, now), due.ForLease(id, d, now)},
	)
	for _, it := range all {
		it.At = time.Time{}
		if names[it] {
			t.Errorf("two items are named %+v", it)
		}
		names[it] = true
	}
	if len(all) != 14 {
		t.Errorf("%d items", len(all))
	}
}

// TestAhead: a warning says how long before its deadline it comes, and nothing else does.
func TestAhead(t *testing.T) {
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	d := ecluse.DigestOf([]byte("x"))
	expires := now.Add(20 * 24 * time.Hour) // sooner than its age
	for _, items := range [][]due.Item{due.ForMigration(id, now, expires), due.ForContract(d, now, expires), due.ForRoster(&evidence.Roster{Issued: now, Expires: expires}, now)} {
		if len(items) != 1+len(due.Warnings()) || due.Ahead(items[0]) != 0 {
			t.Fatalf("%+v", items)
		}
		for i, it := range items[1:] {
			if want := due.Warnings()[i]; due.Ahead(it) != want || !it.At.Equal(expires.Add(-want)) {
				t.Errorf("%+v comes %s before", it, due.Ahead(it))
			}
		}
	}
	for _, subject := range []string{"", "0", "9", "x", d.String()} {
		if due.Ahead(due.Item{Kind: due.WarnErase, Subject: subject}) != 0 {
			t.Errorf("%q is a warning", subject)
		}
	}
}

// TestNear: an end comes near when a warning of it is due.
func TestNear(t *testing.T) {
	end := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for left, want := range map[time.Duration]time.Duration{
		8 * 24 * time.Hour: 0, 7 * 24 * time.Hour: 7 * 24 * time.Hour, 49 * time.Hour: 7 * 24 * time.Hour, 48 * time.Hour: 48 * time.Hour,
		5 * time.Hour: 48 * time.Hour, 4 * time.Hour: 4 * time.Hour, -time.Hour: 4 * time.Hour,
	} {
		within, near := due.Near(end, end.Add(-left))
		if within != want || near != (want > 0) {
			t.Errorf("%s before it: within %s, %v", left, within, near)
		}
	}
}

// TestReplace: only the deadline of erasure is guarded.
func TestReplace(t *testing.T) {
	at := time.Now()
	for _, k := range due.Kinds() {
		later := due.Replace(due.Item{Kind: k, At: at}, due.Item{Kind: k, At: at.Add(time.Hour)}, ecluse.Digest{})
		if (later != nil) != (k == due.Erase) {
			t.Errorf("%s later without an act: %v", k, later)
		}
		if err := due.Replace(due.Item{Kind: k, At: at}, due.Item{Kind: k, At: at.Add(-time.Hour)}, ecluse.Digest{}); err != nil {
			t.Errorf("%s earlier: %v", k, err)
		}
		if err := due.Replace(due.Item{Kind: k, At: at}, due.Item{Kind: k, At: at.Add(time.Hour)}, ecluse.Digest{1}); err != nil {
			t.Errorf("%s later with an act: %v", k, err)
		}
	}
}

// TestQuiet: watching while nothing is due journals nothing.
func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		before, err := s.Size(t.Context(), evidence.InstallationTree)
		if err != nil {
			t.Fatal(err)
		}
		r, err := due.New(s, (&diary{}).actions())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Hour)
		defer cancel()
		_ = r.Watch(ctx, func(_ due.Report, err error) {
			if err != nil {
				t.Error(err)
			}
		})
		if after, err := s.Size(t.Context(), evidence.InstallationTree); err != nil || after != before {
			t.Errorf("a quiet time wrote %d entries, %v", after-before, err)
		}
		s.Close()
	})
}

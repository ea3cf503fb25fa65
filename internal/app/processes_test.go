package app_test

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
)

// TestTwoProcesses: a gate's folder is open in another process (`ecluse gate check`,
// `ecluse rejects`) while its loop works. What either notes the other does not lose,
// and neither takes the ledger for an old copy.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 3)
	r := d.Open()
	beside := map[string]*gate.Home{}
	for _, part := range []string{"source", "target"} {
		h, err := gate.OpenHome(d.Join("room", part))
		if err != nil {
			t.Fatal(err)
		}
		beside[part] = h
	}
	apply(t, r, ecluse.Final)
	noted := func(when string) {
		t.Helper()
		for part, h := range beside {
			if err := h.Watch(t.Context(), r.Lock(), roomtest.Migration); err != nil {
				t.Errorf("%s: the %s gate: %v", when, part, err)
			}
		}
		for part, want := range map[string][]string{"source": {`"epoch": 1`, `"head"`}, "target": {`"final-1"`, `"head"`}} {
			ledger := string(d.Read("room", part, "ledger.json"))
			for _, w := range want {
				if !strings.Contains(ledger, w) {
					t.Errorf("%s: the %s gate's ledger has lost %s", when, part, w)
				}
			}
		}
	}
	noted("after it applied")
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	noted("after it undid")
	if _, err := r.Erase(t.Context(), desk.Order{Because: "it is not needed any more", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	d.Verify(r)
}

// TestWatchedTogether: any number of processes look at one journal that grows
// meanwhile, and none takes it for a rewritten one.
func TestWatchedTogether(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 3)
	var all sync.WaitGroup
	for range 4 {
		l, shut, err := app.OpenLock(t.Context(), d.Join("room", "lock"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { shut() })
		all.Go(func() {
			for range 5 {
				err := l.Record(t.Context(), exchange.Event{Migration: roomtest.Migration, Type: "epoch", Numbers: map[string]int64{"epoch": 1}})
				for _, part := range []string{"source", "target"} {
					var h *gate.Home
					if err == nil {
						h, err = gate.OpenHome(d.Join("room", part))
					}
					if err == nil {
						err = h.Watch(t.Context(), l, roomtest.Migration)
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// rewritten is a lock whose journal is another than gates have seen.
type rewritten struct {
	gate.Lock
	head func(from int64) (evidence.Signed, [][32]byte, error)
}

func (l *rewritten) Head(_ context.Context, _ ecluse.MigrationID, from int64) (evidence.Signed, [][32]byte, error) {
	return l.head(from)
}

// TestRewrittenJournal: a gate that is shown another journal than it saw, even one
// the lock signed, reads and loads nothing.
func TestRewrittenJournal(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 3)
	r := d.Open()
	if err := r.BeginReading(t.Context(), roomtest.Migration); err != nil {
		t.Fatal(err)
	}
	if _, err := r.BeginLoading(t.Context(), roomtest.Migration, ecluse.Final); err != nil {
		t.Fatal(err)
	}
	lock := &rewritten{Lock: r.Lock()}
	source, target := gates(t, d, lock)
	for _, h := range []*gate.Home{source.Home(), target.Home()} {
		if err := h.Watch(t.Context(), r.Lock(), roomtest.Migration); err != nil {
			t.Fatal(err)
		}
	}
	key, err := ssh.ParsePrivateKey(d.Read("room", "lock", "lock_key"))
	if err != nil {
		t.Fatal(err)
	}
	last, _, err := r.Lock().Head(t.Context(), roomtest.Migration, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := evidence.ParseHead(last.Body)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(by ssh.Signer, more int64, tree string) func(int64) (evidence.Signed, [][32]byte, error) {
		h := &evidence.Head{Tree: tree, Size: seen.Size + more, At: time.Now().UTC().Truncate(time.Second)}
		rand.Read(h.Root[:])
		return func(int64) (evidence.Signed, [][32]byte, error) {
			s, err := evidence.SignHead(by, h)
			return s, make([][32]byte, 3), err
		}
	}
	for name, head := range map[string]func(int64) (evidence.Signed, [][32]byte, error){
		"forked":                  sign(key, 0, string(roomtest.Migration)),
		"forked and grown":        sign(key, 2, string(roomtest.Migration)),
		"cut":                     sign(key, -1, string(roomtest.Migration)),
		"another migration's":     sign(key, 2, "another-migration"),
		"signed by somebody else": sign(d.Key(roomtest.Marc), 2, string(roomtest.Migration)),
	} {
		lock.head = head
		_, err := source.Read(t.Context(), roomtest.Migration, 0, nil)
		if ecluse.KindOf(err) != ecluse.Unverified {
			t.Errorf("%s: the source gate: %v", name, err)
		}
		_, err = target.Load(t.Context(), roomtest.Migration, ecluse.Passage{Kind: ecluse.Final, Number: 1}, 0, nil)
		if ecluse.KindOf(err) != ecluse.Unverified {
			t.Errorf("%s: the target gate: %v", name, err)
		}
	}
	if slots, err := r.Lock().Slots(t.Context(), roomtest.Migration); err != nil || len(slots) > 0 {
		t.Errorf("%d chunks were sealed, %v", len(slots), err)
	}
	if facts, _ := d.Facts(); facts != emptyFacts(t) {
		t.Error("rows were loaded")
	}
	lock.head = func(from int64) (evidence.Signed, [][32]byte, error) {
		return r.Lock().Head(t.Context(), roomtest.Migration, from)
	}
	if _, err := source.Read(t.Context(), roomtest.Migration, 0, nil); err != nil {
		t.Errorf("the journal as it is: %v", err)
	}
}

// TestOldControlDatabase: a lock's folder put back from an older copy is a journal
// rewritten.
func TestOldControlDatabase(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Sealed, 3)
	d.Write(roomtest.At(t, roomtest.Ready, 3).Read("room", "lock", "control.db"), "room", "lock", "control.db")
	r := d.Open()
	_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
	wantError(t, err, ecluse.Unverified)
	if err == nil || !strings.Contains(err.Error(), "rewritten") {
		t.Error(err)
	}
	if facts, _ := d.Facts(); facts != emptyFacts(t) {
		t.Error("rows were loaded")
	}
}

package erasure_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/chamber"
	"ecluse/internal/erasure"
)

const migration = ecluse.MigrationID("megabus-2026-01")

// world is a chamber with two chunks and two gates with keys. Every call of an
// erasure passes by tell, which can fail.
type world struct {
	*testing.T
	dir    string
	signer ssh.Signer
	c      *chamber.Chamber
	keys   map[evidence.Gate][]string // file names below dir
	gone   map[evidence.Gate][]evidence.DestroyedKey
	calls  []string
	failAt int // 0: never
	bodies [][]byte
	clock  time.Time
	stuck  error // what undoing fails with
	hangs  bool  // or it never comes back
}

var errCut = errors.New("cut short")

func (w *world) tell(call string) error {
	w.calls = append(w.calls, call)
	if len(w.calls) == w.failAt {
		return errCut
	}
	return nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, dir: t.TempDir(), gone: map[evidence.Gate][]evidence.DestroyedKey{}, clock: time.Date(2026, 12, 31, 18, 0, 0, 5, time.UTC)}
	if w.signer, err = ssh.NewSignerFromSigner(key); err != nil {
		t.Fatal(err)
	}
	w.keys = map[evidence.Gate][]string{evidence.SourceGate: {"source-release", "source-k"}, evidence.TargetGate: {"target-secret", "target-identity"}}
	for _, names := range w.keys {
		for _, n := range names {
			w.write(filepath.Join("gates", n), []byte("a key"))
		}
	}
	if w.c, err = chamber.Open(filepath.Join(w.dir, "chamber")); err != nil {
		t.Fatal(err)
	}
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		w.put(i, id.Recipient())
	}
	return w
}

func (w *world) write(name string, b []byte) {
	w.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		w.Fatal(err)
	}
}

func (w *world) put(sequence int, to age.Recipient) {
	w.Helper()
	var out bytes.Buffer
	a, err := age.Encrypt(&out, to)
	if err != nil {
		w.Fatal(err)
	}
	if _, err := a.Write([]byte(strings.Repeat("rows ", 5000))); err != nil {
		w.Fatal(err)
	}
	if err := a.Close(); err != nil {
		w.Fatal(err)
	}
	d := &evidence.Descriptor{
		Migration: migration, Plan: ecluse.DigestOf([]byte("plan")), Epoch: 1, Slot: ecluse.Slot{Dataset: "result", Sequence: sequence}, Rows: 10,
		Size: int64(out.Len()), SHA256: ecluse.DigestOf(out.Bytes()), Sum: ecluse.DigestOf(nil),
	}
	s, err := evidence.SignDescriptor(w.signer, d)
	if err != nil {
		w.Fatal(err)
	}
	w.bodies = append(w.bodies, bytes.Clone(out.Bytes()))
	terms := chamber.Terms{Migration: migration, Plan: d.Plan, Gate: evidence.FingerprintOf(w.signer.PublicKey())}
	if _, err := w.c.Put(w.Context(), terms, s, &out); err != nil {
		w.Fatal(err)
	}
}

// holder is a gate's keys as files.
type holder struct {
	w    *world
	gate evidence.Gate
}

func (h holder) Destroy(context.Context, ecluse.MigrationID) ([]evidence.DestroyedKey, error) {
	if err := h.w.tell("destroy " + string(h.gate)); err != nil {
		return nil, err
	}
	if h.w.gone[h.gate] == nil {
		for _, n := range h.w.keys[h.gate] {
			if err := os.Remove(filepath.Join(h.w.dir, "gates", n)); err != nil {
				return nil, err
			}
			h.w.gone[h.gate] = append(h.w.gone[h.gate], evidence.DestroyedKey{Name: n, Algorithm: "AES-256-GCM", Destroyed: h.w.clock})
		}
	}
	return slices.Clone(h.w.gone[h.gate]), nil
}

func (h holder) Left(context.Context, ecluse.MigrationID) ([]string, error) {
	var left []string
	for _, n := range h.w.keys[h.gate] {
		if _, err := os.Stat(filepath.Join(h.w.dir, "gates", n)); err == nil {
			left = append(left, n)
		}
	}
	return left, h.w.tell("look at " + string(h.gate))
}

// shelf is the chamber.
type shelf struct{ w *world }

func (s shelf) Remove(_ context.Context, m ecluse.MigrationID, now time.Time) (*erasure.Removed, error) {
	if err := s.w.tell("remove"); err != nil {
		return nil, err
	}
	inv, err := s.w.c.Erase(m, now)
	if err != nil {
		return nil, err
	}
	return &erasure.Removed{Objects: inv.Erasures(), Probes: inv.Probes}, nil
}

func (s shelf) Left(_ context.Context, m ecluse.MigrationID) ([]string, error) {
	if err := s.w.tell("look at chamber"); err != nil {
		return nil, err
	}
	return s.w.c.Remains(m)
}

func (w *world) Undo(ctx context.Context, _ ecluse.MigrationID) error {
	if err := w.tell("undo"); err != nil {
		return err
	}
	if w.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return w.stuck
}

func (w *world) Leave(_ context.Context, _ ecluse.MigrationID, why ecluse.Kind) ([]evidence.LeftPassage, error) {
	return []evidence.LeftPassage{{Passage: ecluse.Passage{Kind: ecluse.Final, Number: 1}, Why: why}}, w.tell("leave")
}

func (w *world) Note(_ context.Context, _ ecluse.MigrationID, n erasure.Note) error {
	return w.tell("note " + string(n.Step))
}

func (w *world) now(context.Context) (time.Time, error) {
	w.clock = w.clock.Add(time.Second)
	return w.clock, nil
}

func (w *world) erasure() erasure.Erasure {
	digest := ecluse.DigestOf([]byte("x"))
	return erasure.Erasure{
		Ground: evidence.Certificate{
			Migration: migration, Plan: digest, Contract: digest, Instruction: digest, Manifest: digest, Binary: digest,
			Trigger: evidence.ByDeadline, Outcome: evidence.NotLoaded, SourceAdmin: ecluse.Controller, TargetAdmin: ecluse.Controller,
			Backups: evidence.Backups{SourceGate: evidence.NoBackup, Lock: "2027-01-31", TargetGate: evidence.NoBackup}, Tool: "ecluse test", OneRoom: true,
		},
		Deadline: w.clock,
		Loads:    w, Source: holder{w, evidence.SourceGate}, Target: holder{w, evidence.TargetGate}, Chamber: shelf{w}, Journal: w, Now: w.now,
		Places: []erasure.Place{
			{ErasedPlace: evidence.ErasedPlace{Place: "lock folder", Held: "sealed chunks", Backups: "nightly, the last expires 2027-01-31"}, Search: in([]string{filepath.Join(w.dir, "chamber"), filepath.Join(w.dir, "tmp")}...)},
			{ErasedPlace: evidence.ErasedPlace{Place: "backups of the host", Held: "copies of sealed chunks", Backups: "as above"}, Why: "they are in another building"},
		},
	}
}

func TestRun(t *testing.T) {
	w := newWorld(t)
	c, err := erasure.Run(t.Context(), w.erasure())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"undo", "note undone", "destroy source", "note key destroyed", "destroy target", "note key destroyed",
		"remove", "note ciphertext removed", "look at source", "look at target", "look at chamber", "note looked for",
	}
	if diff := cmp.Diff(want, w.calls); diff != "" {
		t.Error(diff)
	}
	if _, err := evidence.SignCertificate(w.signer, c); err != nil {
		t.Errorf("it is no certificate: %v", err)
	}
	if len(c.Keys) != 4 || c.Keys[0].Holder != evidence.SourceGate || c.Keys[3].Holder != evidence.TargetGate || len(c.Objects) != 2 || len(c.Places) != 2 {
		t.Errorf("%+v", c)
	}
	for i, o := range c.Objects {
		if o.SHA256 != ecluse.DigestOf(w.bodies[i]) || o.Size != int64(len(w.bodies[i])) || o.Rows != 10 {
			t.Errorf("%+v is not what was stored", o)
		}
	}
	if len(c.Looked) != 4 || !strings.HasPrefix(c.Looked[3].What, "2 pieces of the ciphertext in lock folder (") {
		t.Errorf("%+v", c.Looked)
	}
	if !slices.Contains(c.Limits, "backups of the host: not searched, they are in another building") {
		t.Errorf("%v", c.Limits)
	}
}

// Cut short at any call, it ends the same when it is called again.
func TestRunResumes(t *testing.T) {
	for n := 1; ; n++ {
		w := newWorld(t)
		w.failAt = n
		_, err := erasure.Run(t.Context(), w.erasure())
		if n > 12 {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		if !errors.Is(err, errCut) {
			t.Fatalf("call %d: %v", n, err)
		}
		w.failAt = 0
		w.c, err = chamber.Open(filepath.Join(w.dir, "chamber"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := erasure.Run(t.Context(), w.erasure())
		if err != nil {
			t.Fatalf("after call %d: %v", n, err)
		}
		if _, err := evidence.SignCertificate(w.signer, c); err != nil || len(c.Keys) != 4 || len(c.Objects) != 2 {
			t.Fatalf("after call %d: %v %+v", n, err, c)
		}
	}
}

// When a gate cannot be reached the rest is destroyed all the same, and nobody is
// told that it is over.
func TestRunWithoutAGate(t *testing.T) {
	w := newWorld(t)
	e := w.erasure()
	away := errors.New("no route to host")
	e.Target = unreachable{away}
	if _, err := erasure.Run(t.Context(), e); !errors.Is(err, away) {
		t.Fatal(err)
	}
	if left, err := (holder{w, evidence.SourceGate}).Left(t.Context(), migration); len(left) > 0 || err != nil {
		t.Errorf("the source gate still holds %v", left)
	}
	if left, err := w.c.Remains(migration); len(left) > 0 || err != nil {
		t.Errorf("the chamber still holds %v", left)
	}
}

// The chamber waits for a source gate that is still to fetch rows put aside, though not
// beyond the deadline; the other half of the key goes at once.
func TestRunWaitsForRows(t *testing.T) {
	for _, x := range []struct {
		of   time.Duration // the deadline, from now
		left bool
	}{{time.Hour, true}, {0, false}} {
		w := newWorld(t)
		e := w.erasure()
		away := errors.New("no route to host")
		e.Source, e.Fetch = unreachable{away}, w.clock.Add(x.of)
		if _, err := erasure.Run(t.Context(), e); !errors.Is(err, away) {
			t.Fatal(err)
		}
		if left, err := (holder{w, evidence.TargetGate}).Left(t.Context(), migration); len(left) > 0 || err != nil {
			t.Errorf("the target gate still holds %v", left)
		}
		if left, err := w.c.Remains(migration); len(left) > 0 != x.left || err != nil {
			t.Errorf("%s before the deadline the chamber holds %v, %v", x.of, left, err)
		}
		e.Source = holder{w, evidence.SourceGate}
		if _, err := erasure.Run(t.Context(), e); err != nil {
			t.Error(err)
		}
	}
}

type unreachable struct{ err error }

func (u unreachable) Destroy(context.Context, ecluse.MigrationID) ([]evidence.DestroyedKey, error) {
	return nil, u.err
}

func (u unreachable) Left(context.Context, ecluse.MigrationID) ([]string, error) { return nil, u.err }

// A load that cannot be undone keeps its keys: without them it never could be.
func TestUndoComesFirst(t *testing.T) {
	w := newWorld(t)
	w.failAt = 1
	if _, err := erasure.Run(t.Context(), w.erasure()); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	if left, err := (holder{w, evidence.TargetGate}).Left(t.Context(), migration); len(left) != 2 || err != nil {
		t.Errorf("keys were destroyed before the load was undone: %v", left)
	}
}

// A load that cannot be undone keeps its keys for a time, or until the
// controller does not want to wait: then they go, and the certificate says so.
func TestGrace(t *testing.T) {
	for _, c := range []struct {
		name  string
		since time.Duration // the deadline
		even  bool
		hangs bool
		gives bool
	}{
		{name: "within it", since: erasure.Grace - time.Hour},
		{name: "after it", since: erasure.Grace, gives: true},
		{name: "ordered", even: true, gives: true},
		{name: "it hangs, after", since: erasure.Grace + time.Hour, hangs: true, gives: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.erasure()
				w.stuck, w.hangs = &ecluse.Error{Kind: ecluse.Unverified, What: "undo"}, c.hangs
				e.Deadline, e.EvenIfLoaded = w.clock.Add(-c.since), c.even
				cert, err := erasure.Run(t.Context(), e)
				left, lookErr := holder{w, evidence.TargetGate}.Left(t.Context(), migration)
				if lookErr != nil {
					t.Fatal(lookErr)
				}
				if w.calls[0] != "undo" {
					t.Errorf("undoing was not tried first: %v", w.calls)
				}
				if !c.gives {
					var said *ecluse.Error
					if !errors.As(err, &said) || !strings.Contains(said.Next, "--even-if-loaded") || len(left) != 2 {
						t.Errorf("%v; %d keys left", err, len(left))
					}
					return
				}
				why := ecluse.Unverified
				if c.hangs {
					why = ecluse.Failed
				}
				want := []evidence.LeftPassage{{Passage: ecluse.Passage{Kind: ecluse.Final, Number: 1}, Why: why}}
				if err != nil || len(left) != 0 || cert.Outcome != evidence.NotUndone || !slices.Equal(cert.Left, want) {
					t.Fatalf("%v; %d keys left; %+v", err, len(left), cert)
				}
				if _, err := evidence.SignCertificate(w.signer, cert); err != nil {
					t.Errorf("it is no certificate: %v", err)
				}
				if slices.Contains(w.calls, "note undone") {
					t.Error("the journal was told that the load is undone")
				}
			})
		})
	}
}

// An interruption gives nothing up.
func TestInterruptedUndoLeavesNothing(t *testing.T) {
	w := newWorld(t)
	e := w.erasure()
	e.Deadline, w.hangs = w.clock.Add(-2*erasure.Grace), true
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := erasure.Run(ctx, e); err == nil || slices.Contains(w.calls, "leave") {
		t.Errorf("%v, %v", err, w.calls)
	}
}

// There is no certificate while anything is found.
func TestFoundAfterwards(t *testing.T) {
	for name, leave := range map[string]func(*world){
		"a copy of a chunk":       func(w *world) { w.write("tmp/copy.bin", w.bodies[0]) },
		"a chunk inside a backup": func(w *world) { w.write("tmp/a/b.tar", append(make([]byte, 300<<10), w.bodies[1]...)) },
		"a key": func(w *world) {
			w.gone[evidence.TargetGate] = []evidence.DestroyedKey{{Name: "k", Algorithm: "a", Destroyed: w.clock}}
		},
	} {
		w := newWorld(t)
		leave(w)
		c, err := erasure.Run(t.Context(), w.erasure())
		if ecluse.KindOf(err) != ecluse.Unverified || c != nil {
			t.Errorf("%s: %v", name, err)
		}
		if slices.Contains(w.calls, "note looked for") {
			t.Errorf("%s: the journal was told that nothing was found", name)
		}
	}
}

func TestSearch(t *testing.T) {
	dir := t.TempDir()
	probe := make([]byte, chamber.ProbeSize)
	if _, err := rand.Read(probe); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 1, 1000, 256<<10 - 1, 256 << 10, 256<<10 + 16, 256<<10 + 31, 256<<10 + 32, 512<<10 + 5, 700 << 10} {
		b := make([]byte, 800<<10)
		copy(b[at:], probe)
		name := fmt.Sprintf("f%d", at)
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := erasure.Search(t.Context(), []string{dir}, [][]byte{make([]byte, 0), {7, 7, 7}, probe})
		if err != nil || len(s.Found) != 1 || s.Found[0] != name {
			t.Errorf("at %d: %v %v", at, s.Found, err)
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "near"), append(probe[:31:31], probe[31]^1), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := erasure.Search(t.Context(), []string{dir, filepath.Join(dir, "nowhere")}, [][]byte{probe})
	if err != nil || len(s.Found) != 0 || s.Files != 1 || s.Bytes != 32 {
		t.Errorf("%+v %v", s, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errCut)
	if _, err := erasure.Search(ctx, []string{dir}, nil); !errors.Is(err, errCut) {
		t.Errorf("stopped: %v", err)
	}
}

func BenchmarkSearch(b *testing.B) {
	dir := b.TempDir()
	noise := make([]byte, 32<<20)
	if _, err := rand.Read(noise); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "noise"), noise, 0o600); err != nil {
		b.Fatal(err)
	}
	var probes [][]byte
	for range 64 {
		p := make([]byte, 32)
		if _, err := rand.Read(p); err != nil {
			b.Fatal(err)
		}
		probes = append(probes, p)
	}
	b.SetBytes(int64(len(noise)))
	for b.Loop() {
		if s, err := erasure.Search(b.Context(), []string{dir}, probes); err != nil || len(s.Found) > 0 {
			b.Fatal(s.Found, err)
		}
	}
}

// in searches folders, as a lock does its own.
func in(dirs ...string) func(context.Context, [][]byte) (erasure.Searched, error) {
	return func(ctx context.Context, probes [][]byte) (erasure.Searched, error) {
		return erasure.Search(ctx, dirs, probes)
	}
}

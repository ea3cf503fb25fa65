package app_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/config"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
)

// watcher lists the files of one folder that anybody opens, makes, renames or
// removes: inotify, which needs no rights and misses nothing.
type watcher struct {
	testing.TB
	fd    int
	root  string
	paths map[int32]string
}

func watch(t testing.TB, root string) *watcher {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	w := &watcher{t, fd, root, map[int32]string{}}
	w.add(root)
	return w
}

// add watches a folder and those below it.
func (w *watcher) add(dir string) {
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		wd, err := unix.InotifyAddWatch(w.fd, path, unix.IN_OPEN|unix.IN_CREATE|unix.IN_DELETE|unix.IN_MOVED_FROM|unix.IN_MOVED_TO|unix.IN_MODIFY)
		w.paths[int32(wd)] = path
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
}

// seen returns what happened since the last call, by path below the folder.
func (w *watcher) seen() []string {
	w.Helper()
	found := map[string]bool{}
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(w.fd, buf)
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			w.Fatal(err)
		}
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			wd, mask, size := int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint32(b[12:])
			name := string(bytes.TrimRight(b[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+size], "\x00"))
			b = b[unix.SizeofInotifyEvent+size:]
			if mask&unix.IN_Q_OVERFLOW != 0 {
				w.Fatal("more events than the kernel keeps")
			}
			path := filepath.Join(w.paths[wd], name)
			found[strings.TrimPrefix(path, w.root)] = true
			if mask&unix.IN_ISDIR != 0 && mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0 {
				w.add(path)
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// none fails when anything was seen.
func (w *watcher) none(who string) {
	w.Helper()
	if s := w.seen(); len(s) > 0 {
		w.Errorf("%s touched the %s folder: %v", who, filepath.Base(w.root), s)
	}
}

// some fails when nothing was seen: a watcher that sees nothing proves nothing.
func (w *watcher) some(who string) {
	w.Helper()
	if len(w.seen()) == 0 {
		w.Errorf("%s was not seen in its own folder %s", who, filepath.Base(w.root))
	}
}

// fenced is a lock whose folder nobody may touch outside of its methods.
type fenced struct {
	gate.Lock
	watch *watcher

	mu     sync.Mutex
	inside int
	asked  func() // answers a request for the release secret, as soon as it is asked
}

func (f *fenced) enter() func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inside++; f.inside == 1 {
		f.watch.none("a gate, past the lock's own methods,")
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.inside--; f.inside == 0 {
			f.watch.seen()
		}
	}
}

func (f *fenced) Case(ctx context.Context, m ecluse.MigrationID, k ecluse.PassageKind) (*exchange.Case, error) {
	defer f.enter()()
	return f.Lock.Case(ctx, m, k)
}

func (f *fenced) Post(ctx context.Context, m ecluse.MigrationID, k exchange.Paper, s evidence.Signed) error {
	defer f.enter()()
	return f.Lock.Post(ctx, m, k, s)
}

func (f *fenced) Record(ctx context.Context, e exchange.Event) error {
	defer f.enter()()
	return f.Lock.Record(ctx, e)
}

func (f *fenced) Slots(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	defer f.enter()()
	return f.Lock.Slots(ctx, m)
}

func (f *fenced) Put(ctx context.Context, m ecluse.MigrationID, d evidence.Signed, b io.Reader) (evidence.Signed, error) {
	defer f.enter()()
	return f.Lock.Put(ctx, m, d, b)
}

func (f *fenced) Get(ctx context.Context, m ecluse.MigrationID, s ecluse.Slot) (evidence.Signed, io.ReadCloser, error) {
	defer f.enter()()
	return f.Lock.Get(ctx, m, s)
}

func (f *fenced) Close(ctx context.Context, m ecluse.MigrationID, s evidence.Signed) error {
	defer f.enter()()
	return f.Lock.Close(ctx, m, s)
}

func (f *fenced) Manifest(ctx context.Context, m ecluse.MigrationID) (*evidence.Signed, error) {
	defer f.enter()()
	return f.Lock.Manifest(ctx, m)
}

func (f *fenced) PutReject(ctx context.Context, m ecluse.MigrationID, d evidence.Signed, b io.Reader) error {
	defer f.enter()()
	return f.Lock.PutReject(ctx, m, d, b)
}

func (f *fenced) Rejects(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	defer f.enter()()
	return f.Lock.Rejects(ctx, m)
}

func (f *fenced) GetReject(ctx context.Context, m ecluse.MigrationID, d ecluse.Digest) (io.ReadCloser, error) {
	defer f.enter()()
	return f.Lock.GetReject(ctx, m, d)
}

func (f *fenced) Ask(ctx context.Context, m ecluse.MigrationID, s evidence.Signed) error {
	err := func() error { defer f.enter()(); return f.Lock.Ask(ctx, m, s) }()
	if err == nil && f.asked != nil {
		f.asked()
	}
	return err
}

func (f *fenced) Asked(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	defer f.enter()()
	return f.Lock.Asked(ctx, m)
}

func (f *fenced) Lend(ctx context.Context, m ecluse.MigrationID, s evidence.Signed) error {
	defer f.enter()()
	return f.Lock.Lend(ctx, m, s)
}

func (f *fenced) Lent(ctx context.Context, m ecluse.MigrationID, d ecluse.Digest) (*evidence.Signed, error) {
	defer f.enter()()
	return f.Lock.Lent(ctx, m, d)
}

func (f *fenced) Head(ctx context.Context, m ecluse.MigrationID, from int64) (evidence.Signed, [][32]byte, error) {
	defer f.enter()()
	return f.Lock.Head(ctx, m, from)
}

func (f *fenced) Cosign(ctx context.Context, m ecluse.MigrationID, s evidence.Signed) error {
	defer f.enter()()
	return f.Lock.Cosign(ctx, m, s)
}

func (f *fenced) Cosigned(ctx context.Context, m ecluse.MigrationID, g ecluse.Fingerprint) (*evidence.Signed, error) {
	defer f.enter()()
	return f.Lock.Cosigned(ctx, m, g)
}

// three is a room taken apart: its folders lie in three places, as they will on
// three machines.
type three struct {
	testing.TB
	lock, source, target *watcher
	dir                  *roomtest.Dir
}

func takeApart(t testing.TB, s roomtest.Stage) *three {
	t.Helper()
	d := roomtest.At(t, s, 40)
	x := &three{TB: t, dir: d}
	for name, into := range map[string]**watcher{"lock": &x.lock, "source": &x.source, "target": &x.target} {
		to := filepath.Join(filepath.Dir(d.Path), "machine-of-the-"+name, name)
		if err := os.Mkdir(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(d.Join("room", name), to); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, d.Join("room", name)); err != nil {
			t.Fatal(err)
		}
		if name != "lock" {
			db := map[string]string{"source": "ancilab.db", "target": "novalab.db"}[name]
			text := "ecluse: gate/v1\nengine: sqlite\ncatalogue: {file: " + d.Join(db) + "}\nrows: {file: " + d.Join(db) + "}\n"
			if err := os.WriteFile(filepath.Join(to, config.FileName), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		*into = watch(t, to)
	}
	return x
}

// hide takes a folder away altogether.
func hide(t testing.TB, dir string) {
	t.Helper()
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
}

func bringBack(t testing.TB, dir string) {
	t.Helper()
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
}

// TestEachPartOpensItsOwnFolder runs a passage with the three parts in three
// places: the source gate while the target's folder does not exist, the target
// gate while the source's does not, the lock while neither does; and the gates
// touch the lock's folder through its own methods only.
func TestEachPartOpensItsOwnFolder(t *testing.T) {
	ctx := t.Context()
	x := takeApart(t, roomtest.Ready)
	room := x.dir.Open()
	if err := room.BeginReading(ctx, roomtest.Migration); err != nil {
		t.Fatal(err)
	}
	if err := room.Close(); err != nil {
		t.Fatal(err)
	}
	lock, closeLock, err := app.OpenLock(ctx, x.lock.root)
	if err != nil {
		t.Fatal(err)
	}
	f := &fenced{Lock: lock, watch: x.lock}
	for _, w := range []*watcher{x.lock, x.source, x.target} {
		w.seen()
	}

	// The source gate reads while there is no target.
	hide(t, x.target.root)
	source, err := app.Source(x.source.root, f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Read(ctx, roomtest.Migration, 0, nil); err != nil {
		t.Fatalf("the source gate alone: %v", err)
	}
	x.source.some("the source gate")
	x.lock.none("the source gate, when it was over,")
	bringBack(t, x.target.root)

	// The target gate borrows the other half of the key once: what was lent to make
	// the recipient loads nothing. From that answer on it works while there is no source.
	room = x.dir.Open()
	passage, err := room.BeginLoading(ctx, roomtest.Migration, ecluse.Final)
	if err != nil {
		t.Fatal(err)
	}
	if err := room.Close(); err != nil {
		t.Fatal(err)
	}
	target, err := app.Target(x.target.root, f)
	if err != nil {
		t.Fatal(err)
	}
	i, err := mandate.ParseInstruction("instruction.yaml", x.dir.Read("instruction.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []*watcher{x.lock, x.source, x.target} {
		w.seen()
	}
	loans := 0
	f.asked = func() {
		x.source.none("the target gate, before it borrowed,")
		if loans++; loans > 1 {
			return // there is no source to answer: the load fails
		}
		if err := source.Lend(ctx, i); err != nil {
			t.Errorf("lend: %v", err)
		}
		if err := source.Close(); err != nil {
			t.Error(err)
		}
		x.source.some("the source gate")
		hide(t, x.source.root)
	}
	done, err := target.Load(ctx, roomtest.Migration, passage, 0, nil)
	if err != nil {
		t.Fatalf("the target gate alone: %v", err)
	}
	if !done.Statement.Compared.Equal || done.Statement.RowsLoaded == 0 {
		t.Errorf("loaded %d rows, equal %v", done.Statement.RowsLoaded, done.Statement.Compared.Equal)
	}
	if loans != 1 {
		t.Errorf("a load asked for %d loans, want one", loans)
	}
	x.target.some("the target gate")
	x.lock.none("the target gate, when it was over,")
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
	hide(t, x.target.root)

	// The lock answers while there is neither.
	x.lock.seen()
	everyAnswer(t, lock)
	x.lock.some("the lock")
	if err := closeLock(); err != nil {
		t.Fatal(err)
	}
}

// everyAnswer asks the lock everything that gates ask it.
func everyAnswer(t *testing.T, l gate.Lock) {
	t.Helper()
	ctx, m := t.Context(), roomtest.Migration
	c, err := l.Case(ctx, m, ecluse.Final)
	if err != nil || len(c.Acts) == 0 || c.LoadPlan == nil {
		t.Fatalf("case: %v", err)
	}
	slots, err := l.Slots(ctx, m)
	if err != nil || len(slots) == 0 {
		t.Fatalf("slots: %v", err)
	}
	for _, s := range slots {
		var d evidence.Descriptor
		if err := evidence.DecodeJSON(s.Body, &d); err != nil {
			t.Fatal(err)
		}
		_, body, err := l.Get(ctx, m, d.Slot)
		if err != nil {
			t.Fatal(err)
		}
		if err := body.Close(); err != nil {
			t.Fatal(err)
		}
	}
	head, _, err := l.Head(ctx, m, 0)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := l.Manifest(ctx, m)
	if err != nil || manifest == nil {
		t.Fatalf("manifest: %v", err)
	}
	_, err = l.Asked(ctx, m)
	for what, err := range map[string]error{
		"asked":  err,
		"post":   l.Post(ctx, m, exchange.RecipientPaper, c.Recipients[0]),
		"record": l.Record(ctx, exchange.Event{Migration: m, Type: "epoch"}),
		"wait":   l.Wait(ctx, m, -1),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := l.Lent(ctx, m, head.Digest()); err != nil {
		t.Errorf("lent: %v", err)
	}
	key, err := manifest.Verify(evidence.NamespaceManifest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Cosigned(ctx, m, evidence.FingerprintOf(key)); err != nil {
		t.Errorf("cosigned: %v", err)
	}
}

package writertest

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// Run runs the whole suite.
func Run(t *testing.T, h Harness) {
	if address := os.Getenv(childVariable); address != "" {
		child(t, h, address)
		return
	}
	if address := os.Getenv(revisingVariable); address != "" {
		revisingChild(t, h, address)
		return
	}
	if address := os.Getenv(unloadingVariable); address != "" {
		unloadingChild(t, h, address)
		return
	}
	for _, c := range []struct {
		name string
		test func(*testing.T, Harness)
	}{
		{"ZeroPermit", testZeroPermit},
		{"Begin", testBegin},
		{"Kinds", testKinds},
		{"ExactlyOnce", testExactlyOnce},
		{"OutsidePlan", testOutsidePlan},
		{"Refused", testRefused},
		{"RefusedInMany", testRefusedInMany},
		{"BeforeCommit", testBeforeCommit},
		{"ForeignKeys", testForeignKeys},
		{"Orphans", testOrphans},
		{"Unload", testUnload},
		{"UnloadWithoutKey", testUnloadWithoutKey},
		{"UnloadRefused", testUnloadRefused},
		{"Leave", testLeave},
		{"LeaveKinds", testLeaveKinds},
		{"LeaveReferred", testLeaveReferred},
		{"LeaveCascades", testLeaveCascades},
		{"LeaveByKey", testLeaveByKey},
		{"LeaveMany", testLeaveMany},
		{"LeaveHook", testLeaveHook},
		{"LeaveKill", testLeaveKill},
		{"TakeLeft", testTakeLeft},
		{"Revise", testRevise},
		{"ReviseAltered", testReviseAltered},
		{"ReviseReferred", testReviseReferred},
		{"ReviseActions", testReviseActions},
		{"ReviseRefused", testReviseRefused},
		{"ReviseAgain", testReviseAgain},
		{"ReviseWrong", testReviseWrong},
		{"ReviseKinds", testReviseKinds},
		{"ReviseMany", testReviseMany},
		{"ReviseKill", testReviseKill},
		{"ReviseRandom", testReviseRandom},
		{"Snapshot", testSnapshot},
		{"Checks", testChecks},
		{"Rows", testRows},
		{"Sequences", testSequences},
		{"Missing", testMissing},
		{"End", testEnd},
		{"LockedOut", testLockedOut},
		{"Cancel", testCancel},
		{"Kill", testKill},
		{"Random", testRandom},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, h) })
	}
}

// nothing is a passage's sums of before for tests that do not look at them.
func nothing(context.Context, reader.Scanner) ([]byte, error) { return []byte(`{"sums":[]}`), nil }

// refuseNone fails the test when a load puts rows aside.
func refuseNone(t testing.TB) func(context.Context, []writer.Refusal) error {
	return func(_ context.Context, refused []writer.Refusal) error {
		t.Helper()
		if len(refused) > 0 {
			t.Errorf("rows are refused: %v", refused)
		}
		return nil
	}
}

// load loads a chunk of which nothing is refused.
func load(t testing.TB, s writer.Session, c *writer.Chunk) writer.Loaded {
	t.Helper()
	l, err := s.Load(t.Context(), c, refuseNone(t))
	if err != nil {
		t.Fatalf("load chunk %s: %v", c.Slot, err)
	}
	if len(l.Refused) > 0 {
		t.Fatalf("load chunk %s: refused %v", c.Slot, l.Refused)
	}
	return l
}

// collector lets see look at batches that may come from several goroutines.
func collector(see func(*record.Batch)) func(*record.Batch) error {
	var mu sync.Mutex
	return func(b *record.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		see(b)
		return nil
	}
}

// wantKind checks that err is an error of a kind.
func wantKind(t testing.TB, err error, k ecluse.Kind, what string) {
	t.Helper()
	if err == nil || ecluse.KindOf(err) != k {
		t.Errorf("%s gave %v, want an error of kind %s", what, err, k)
	}
}

func wantContent(t testing.TB, what string, got, want []string) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func testZeroPermit(t *testing.T, h Harness) {
	p := newPlace(t, h, keyed)
	_, err := p.target.Open(t.Context(), mandate.LoadPermit{})
	wantKind(t, err, ecluse.Refused, "a zero permit")
}

func testBegin(t *testing.T, h Harness) {
	p := newPlace(t, h, keyed)
	p.db.Insert(t, keyed, numbers(1, 3))
	before, err := p.target.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.allow(t, keyed)
	s := p.open(t)
	stop := errors.New("no sums today")
	if _, _, err := s.Begin(t.Context(), func(context.Context, reader.Scanner) ([]byte, error) { return nil, stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the caller's own error", err)
	}
	sums := func(ctx context.Context, sc reader.Scanner) ([]byte, error) {
		rows := 0
		err := sc.Scan(ctx, p.db.Name(keyed.Name), []string{"id", "note"}, collector(func(b *record.Batch) { rows += b.Rows() }))
		if rows != 3 {
			t.Errorf("before the first row %d rows are there, want 3", rows)
		}
		return []byte(`{"rows":3}`), err
	}
	for i, want := range []bool{true, false} {
		recorded, begun, err := s.Begin(t.Context(), sums)
		if err != nil || begun != want || string(recorded) != `{"rows":3}` {
			t.Errorf("call %d: %q, begun %t, %v", i, recorded, begun, err)
		}
	}
	s.Close()
	recorded, begun, err := p.open(t).Begin(t.Context(), nothing)
	if err != nil || begun || string(recorded) != `{"rows":3}` {
		t.Errorf("in another session: %q, begun %t, %v", recorded, begun, err)
	}
	after, err := p.target.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the catalogue shows what Écluse made for itself:\n%s", diff)
	}
}

func testEnd(t *testing.T, h Harness) {
	p := newPlace(t, h, keyed).allow(t, keyed)
	s := p.begin(t)
	load(t, s, &writer.Chunk{Slot: slot(0), Rows: 2, Tables: []writer.Rows{p.rows(t, keyed, numbers(1, 2), nil)}})
	for range 2 {
		if err := s.End(t.Context(), "accepted"); err != nil {
			t.Fatal(err)
		}
	}
	if n := p.db.Markers(t); n != 0 {
		t.Errorf("%d markers are left", n)
	}
	m, err := s.Markers(t.Context())
	if err != nil || len(m) != 0 {
		t.Errorf("%d markers, %v", len(m), err)
	}
	_, _, err = s.Begin(t.Context(), nothing)
	wantKind(t, err, ecluse.Refused, "beginning a passage that is over")
	_, err = s.Load(t.Context(), &writer.Chunk{Slot: slot(1), Rows: 1, Tables: []writer.Rows{p.rows(t, keyed, numbers(9, 1), nil)}}, refuseNone(t))
	if err == nil {
		t.Error("a chunk was loaded into a passage that is over")
	}
	wantContent(t, "rows", p.content(t, keyed), texts(t, keyed, numbers(1, 2)))
}

func testLockedOut(t *testing.T, h Harness) {
	p := newPlace(t, h, keyed).allow(t, keyed)
	s := p.begin(t)
	other := p.db.Target(t)
	defer other.Close()
	_, err := other.Open(t.Context(), p.permit)
	wantKind(t, err, ecluse.Refused, "a second writer")
	load(t, s, &writer.Chunk{Slot: slot(0), Rows: 1, Tables: []writer.Rows{p.rows(t, keyed, numbers(1, 1), nil)}})
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	second, err := other.Open(t.Context(), p.permit)
	if err != nil {
		t.Fatalf("after the first writer is gone: %v", err)
	}
	second.Close()
}

func testMissing(t *testing.T, h Harness) {
	p := newPlace(t, h, keyed, keyless).allow(t, keyed, keyless)
	s := p.open(t)
	missing, err := s.Missing(t.Context())
	if err != nil || len(missing) != 0 {
		t.Errorf("missing %q, %v; want nothing", missing, err)
	}
	p.db.Revoke(t, keyless.Name)
	missing, err = s.Missing(t.Context())
	if err != nil || len(missing) == 0 {
		t.Errorf("missing %q, %v; want what table %s needs", missing, err, keyless.Name)
	}
}

package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/demo"
	"ecluse/internal/desk"
	"ecluse/internal/erasure"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/sluice/reconcile"
)

// patients of these rooms: enough for rows that are put aside.
const patients = 200

// sealedFacts are the facts of the target before anything is loaded.
func sealedFacts(t *testing.T) string {
	t.Helper()
	facts, _ := roomtest.At(t, roomtest.Sealed, patients).Facts()
	return facts
}

// TestRejectsOfARolledBackChunk: rows put aside for a chunk that is rolled back
// are put aside again when it loads, and the evidence of both speaks of those
// that stayed.
func TestRejectsOfARolledBackChunk(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, patients)
	r := d.Open()
	plan := d.Read("room", "plans", string(roomtest.Migration)+"-readplan.json")
	if _, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, Plan: plan}); err != nil {
		t.Fatal(err)
	}
	passage, err := r.BeginLoading(t.Context(), roomtest.Migration, ecluse.Final)
	if err != nil {
		t.Fatal(err)
	}
	stop := &failingLock{Lock: r.Lock()}
	source, target := gates(t, d, stop)
	if _, err := target.Load(t.Context(), roomtest.Migration, passage, 0, nil); !errors.Is(err, errStopped) || !stop.failed {
		t.Fatalf("want the load stopped after rejects were stored, got %v", err)
	}
	for _, c := range []interface{ Close() error }{source, target, r} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r = d.Open()
	v := apply(t, r, ecluse.Final)
	if v.RowsRejected == 0 || !v.Reconciled {
		t.Errorf("%d rows put aside, equal %v", v.RowsRejected, v.Reconciled)
	}
	if got, _ := d.Facts(); got != loadedFacts(t, patients) {
		t.Error("the target holds other rows than an undisturbed load")
	}
	if _, err := r.Accept(t.Context(), desk.AcceptRequest{ForAll: "entered by hand", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	runDue(t, r)
	d.Verify(r)
}

// TestUndo takes an unaccepted load out: by a signed act, back to the sums of
// before, said under the target gate's signature; then the migration can be
// erased, and its evidence verifies.
func TestUndo(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Loaded, patients)
	r := d.Open()
	_, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Helene)})
	wantError(t, err, ecluse.Refused)
	if place(t, r).Passage != procedure.Compared {
		t.Error("an order of somebody who may not give it was followed")
	}
	_, loaded := d.Facts()
	v, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Marc)})
	if err != nil {
		t.Fatal(err)
	}
	facts, left := d.Facts()
	if facts != sealedFacts(t) || v.Rows != int64(loaded-left) || v.Undo.Chunks == 0 {
		t.Errorf("took out %d rows of %d in %d chunks", v.Rows, loaded-left, v.Undo.Chunks)
	}
	for _, table := range v.Undo.Tables {
		if !table.Equal {
			t.Errorf("%s does not stand as before", table.Table)
		}
	}
	if p := place(t, r); p.Passage != procedure.Undone {
		t.Errorf("the passage is %s", p.Passage)
	}
	if left := d.Query("novalab.db", "SELECT outcome FROM ecluse_tombstone"); !slices.Equal(left, []string{"undone"}) {
		t.Errorf("the target remembers %v", left)
	}
	_, err = r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Marc)})
	wantError(t, err, ecluse.Refused)
	_, err = r.Accept(t.Context(), desk.AcceptRequest{ForAll: "x", Key: d.Key(roomtest.Claire)})
	wantError(t, err, ecluse.Refused)
	if _, err := r.Erase(t.Context(), desk.Order{Key: d.Key(roomtest.Claire), Because: "the load was refused"}); err != nil {
		t.Fatal(err)
	}
	d.Verify(r)
}

// TestEvidenceOfACorrectedMapping: a load is undone, a corrected mapping signed,
// and the migration erased before it came into use. The evidence holds the mapping
// that was loaded with, and no report as one that was accepted.
func TestEvidenceOfACorrectedMapping(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Loaded, 40)
	r := d.Open()
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	loaded := d.Read("mapping.yaml")
	corrected := append(slices.Clone(loaded), []byte("# corrected\n")...)
	d.Write(corrected, "corrected.yaml")
	if _, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join("corrected.yaml"), Text: corrected, Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Erase(t.Context(), desk.Order{Key: d.Key(roomtest.Claire), Because: "stopped"}); err != nil {
		t.Fatal(err)
	}
	d.Verify(r)
	if out := script(t, d, d.Join("evidence")); !strings.HasPrefix(out, "OK\n") {
		t.Errorf("verify.sh:\n%s", out)
	}
	if !slices.Equal(d.Read("evidence", evidence.FileMapping), loaded) {
		t.Error("mapping.yaml is not the one it was loaded with")
	}
	if !slices.Equal(d.Read("evidence", filepath.FromSlash(evidence.DocumentFile(ecluse.DigestOf(corrected)))), corrected) {
		t.Error("the corrected mapping is not in the folder")
	}
	if _, err := os.Stat(d.Join("evidence", evidence.FileReport)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a report stands as the one accepted: %v", err)
	}
	statements, err := filepath.Glob(d.Join("evidence", "statements", "target-*.json"))
	if err != nil || len(statements) != 3 {
		t.Errorf("want what the mapping made of invented rows, the report and what was undone, got %d statements: %v", len(statements), err)
	}
}

// TestUndoBeforeAnythingWasLoaded: a passage that the lock began and that never
// came to the target gate can be undone, and nothing waits for what was never
// read.
func TestUndoBeforeAnythingWasLoaded(t *testing.T) {
	t.Parallel()
	for _, stage := range []roomtest.Stage{roomtest.Ready, roomtest.Sealed} {
		d := roomtest.At(t, stage, patients)
		r := d.Open()
		if stage == roomtest.Ready {
			if err := r.BeginReading(t.Context(), roomtest.Migration); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.BeginLoading(t.Context(), roomtest.Migration, ecluse.Final); err != nil {
			t.Fatal(err)
		}
		v, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)})
		if err != nil || v.Rows != 0 {
			t.Fatalf("undo: %v, %+v", err, v)
		}
		if _, err := r.Erase(t.Context(), desk.Order{Key: d.Key(roomtest.Helene), Because: "stopped"}); err != nil {
			t.Fatal(err)
		}
		d.Verify(r)
	}
}

// TestUndoGoesOnAfterItsEnd: the target gate had done all, and the lock was not
// told.
func TestUndoGoesOnAfterItsEnd(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Loaded, patients)
	r := d.Open()
	order(t, r, d)
	source, target := gates(t, d, r.Lock())
	passage := ecluse.Passage{Kind: ecluse.Final, Number: 1}
	first, err := target.Undo(t.Context(), roomtest.Migration, passage, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := target.Undo(t.Context(), roomtest.Migration, passage, nil)
	if err != nil || again.Rows != first.Rows || again.Chunks != first.Chunks || !again.At.Equal(first.At) {
		t.Errorf("said again: %+v, %v; first %+v", again, err, first)
	}
	if err := errors.Join(source.Close(), target.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	r = d.Open()
	v, err := r.Undo(t.Context(), desk.UndoRequest{})
	if err != nil || v.Rows != first.Rows {
		t.Fatalf("%+v, %v", v, err)
	}
	if facts, _ := d.Facts(); facts != sealedFacts(t) {
		t.Error("the target does not stand as before")
	}
	_, err = target.Load(t.Context(), roomtest.Migration, passage, 0, nil)
	if err == nil {
		t.Error("a passage that was undone loads again")
	}
}

// TestUndoOfADryRun ends a dry run that was interrupted.
func TestUndoOfADryRun(t *testing.T) {
	t.Parallel()
	d := roomtest.Trying(t, roomtest.Approved, patients)
	r := d.Open()
	planDry(t, d, r)
	if err := r.BeginReading(t.Context(), roomtest.Migration); err != nil {
		t.Fatal(err)
	}
	if _, err := r.BeginLoading(t.Context(), roomtest.Migration, ecluse.Dry); err != nil {
		t.Fatal(err)
	}
	v, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Marc)})
	if err != nil || v.Passage.Kind != ecluse.Dry || v.Undo != nil {
		t.Fatalf("%+v, %v", v, err)
	}
	planDry(t, d, r)
	if v := apply(t, r, ecluse.Dry); v.Passage.Number != 2 {
		t.Errorf("the next dry run is %s", v.Passage)
	}
}

// planDry plans a dry run and has it approved.
func planDry(t *testing.T, d *roomtest.Dir, r *app.Room) {
	t.Helper()
	p, err := r.Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Dry})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(p.LoadFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Approve(t.Context(), text, d.Key(roomtest.Marc)); err != nil {
		t.Fatal(err)
	}
}

// TestDryRuns: the instruction grants two. They write nothing, and a third is
// refused.
func TestDryRuns(t *testing.T) {
	t.Parallel()
	d := roomtest.Trying(t, roomtest.Approved, patients)
	before, _ := d.Facts()
	r := d.Open()
	for n := range 2 {
		planDry(t, d, r)
		v := apply(t, r, ecluse.Dry)
		if v.Passage.Number != n+1 || v.RowsLoaded == 0 || v.RowsRejected == 0 || (n == 0) != (v.Read != nil) {
			t.Errorf("%+v", v)
		}
		compared := v.Load.Compared
		for _, x := range compared.Checks {
			if x.Lines == 0 || x.Off > 0 {
				t.Errorf("of the rows mapped: %+v", x)
			}
		}
		for _, x := range compared.Datasets {
			if !x.Equal {
				t.Errorf("opened: %+v", x)
			}
		}
		if len(compared.Checks) == 0 || len(compared.Datasets) == 0 || len(compared.Tables) > 0 || compared.Equal {
			t.Errorf("a dry run compares figures, and reads nothing back: %+v", compared)
		}
	}
	if after, _ := d.Facts(); after != before {
		t.Error("a dry run wrote into the target")
	}
	planDry(t, d, r)
	_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Dry})
	wantError(t, err, ecluse.Refused)
	if err == nil || !strings.Contains(err.Error(), "grants 2") {
		t.Error(err)
	}
	if p := place(t, r); p.Passage != procedure.LoadApproved {
		t.Errorf("after a refusal the passage is %s", p.Passage)
	}
}

// TestDryRunFindsWhatIsLost: a mapping that leaves rows out without a word makes other
// figures than the source's, and is not tried by a run that found so.
func TestDryRunFindsWhatIsLost(t *testing.T) {
	t.Parallel()
	d := roomtest.Trying(t, roomtest.Sealed, patients)
	r := d.Open()
	text := bytes.Replace(d.Read("mapping.yaml"), []byte("    - into: observation\n"), []byte("    - into: observation\n      skip: CODE == 'NA'\n"), 1)
	d.Write(text, "mapping.yaml")
	if _, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join("mapping.yaml"), Text: text, Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	planDry(t, d, r)
	v := apply(t, r, ecluse.Dry)
	off := map[string]int{}
	for _, x := range v.Load.Compared.Checks {
		off[x.Name] = x.Off
	}
	if off["results_per_code"] != 1 || off["patients"] != 0 {
		t.Errorf("differing: %v", off)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	if _, err := r.BeginLoading(t.Context(), roomtest.Migration, ecluse.Final); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "neither dry nor in rehearsal") {
		t.Errorf("after a dry run that found a difference: %v", err)
	}
}

// TestErasureAtTheDeadline erases from every stage when the deadline comes,
// undoing what was loaded and not accepted, with nobody's help.
func TestErasureAtTheDeadline(t *testing.T) {
	t.Parallel()
	empty := sealedFacts(t)
	for _, stage := range []roomtest.Stage{roomtest.Planned, roomtest.Approved, roomtest.Ready, roomtest.Sealed, roomtest.Loaded} {
		t.Run(fmt.Sprint(stage), func(t *testing.T) {
			t.Parallel()
			d := roomtest.At(t, stage, patients)
			isDue(d, "erase")
			r := d.Open()
			runDue(t, r)
			if p := place(t, r); p.Migration != procedure.Erased {
				t.Fatalf("the migration is %s", p.Migration)
			}
			if facts, _ := d.Facts(); facts != empty {
				t.Error("rows of an unaccepted load are still in the target")
			}
			nothingLeft(t, d)
			d.Verify(r)
		})
	}
}

// nothingLeft looks where keys and ciphertext stood.
func nothingLeft(t *testing.T, d *roomtest.Dir) {
	t.Helper()
	for _, dir := range []string{d.Join("room", "source", "migrations"), d.Join("room", "target", "migrations"), d.Join("room", "lock", "chamber", "live")} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			t.Errorf("%s is still in %s", e.Name(), dir)
		}
	}
}

// TestErasureOnOrder: the controller's signatory or data-protection officer
// orders it, and nobody else.
func TestErasureOnOrder(t *testing.T) {
	t.Parallel()
	for who, may := range map[string]bool{roomtest.Claire: true, roomtest.Helene: true, roomtest.Marc: false, roomtest.Julie: false} {
		d := roomtest.At(t, roomtest.Sealed, 40)
		r := d.Open()
		_, err := r.Erase(t.Context(), desk.Order{Because: "the laboratory changed its mind", Key: d.Key(who)})
		if !may {
			wantError(t, err, ecluse.Refused)
			if p := place(t, r); p.Migration != procedure.Sealed {
				t.Errorf("%s: the migration is %s", who, p.Migration)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		nothingLeft(t, d)
		d.Verify(r)
	}
}

// TestErasureThatCannotUndo: while the target cannot be reached an unaccepted
// load keeps its keys for a time, the order stands, and the error says so; when
// the target comes back it goes on by itself.
func TestErasureThatCannotUndo(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Loaded, 40)
	away := d.Join("elsewhere.db")
	if err := os.Rename(d.Join("novalab.db"), away); err != nil {
		t.Fatal(err)
	}
	r := d.Open()
	_, err := r.Erase(t.Context(), desk.Order{Because: "stopped", Key: d.Key(roomtest.Claire)})
	if err == nil || !strings.Contains(err.Error(), "the order stands") {
		t.Fatalf("want to be told, got %v", err)
	}
	if _, err := os.Stat(d.Join("room", "target", "migrations", string(roomtest.Migration), "identity.wrapped")); err != nil {
		t.Errorf("the keys went before the load: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(away, d.Join("novalab.db")); err != nil {
		t.Fatal(err)
	}
	r = d.Open()
	runDue(t, r)
	nothingLeft(t, d)
	d.Verify(r)
}

// TestErasureOfWhatATriggerKeeps: rows that a trigger altered, and does not let go, keep
// nothing from being erased: they stay, and the certificate says so.
func TestErasureOfWhatATriggerKeeps(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Sealed, 40)
	d.Exec("novalab.db", "CREATE TRIGGER alter_them AFTER INSERT ON patient WHEN new.id % 7 = 3 BEGIN UPDATE patient SET family_name = 'changed' WHERE id = new.id; END",
		"CREATE TRIGGER keep BEFORE DELETE ON patient WHEN old.family_name = 'changed' BEGIN SELECT raise(IGNORE); END")
	r := d.Open()
	if apply(t, r, ecluse.Final).Reconciled {
		t.Fatal("rows altered on their way in were found equal")
	}
	if _, err := r.Erase(t.Context(), desk.Order{Because: "stopped", Key: d.Key(roomtest.Helene)}); err != nil {
		t.Fatal(err)
	}
	if p := place(t, r); p.Migration != procedure.Erased || p.Passage != procedure.Undone {
		t.Fatalf("%+v", p)
	}
	nothingLeft(t, d)
	d.Verify(r)
	if out := script(t, d, d.Join("evidence")); !strings.HasPrefix(out, "OK\n") || !strings.Contains(out, "that stay there: <10\n") {
		t.Errorf("verify.sh:\n%s", out)
	}
}

// TestErasureDespiteTheTarget: a target that is down keeps nothing from being erased for
// longer than erasure.Grace, or than a signatory of the controller wants. Undoing is tried
// first, and the evidence names what stays.
func TestErasureDespiteTheTarget(t *testing.T) {
	t.Parallel()
	for name, ordered := range map[string]bool{"ordered": true, "in time": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := roomtest.At(t, roomtest.Loaded, 40)
			if err := os.Rename(d.Join("novalab.db"), d.Join("elsewhere.db")); err != nil {
				t.Fatal(err)
			}
			r := d.Open()
			keys := d.Join("room", "target", "migrations", string(roomtest.Migration), "identity.wrapped")
			if _, err := r.Erase(t.Context(), desk.Order{Because: "stopped", Key: d.Key(roomtest.Helene)}); err == nil {
				t.Fatal("erased though nothing was undone")
			}
			if _, err := r.Erase(t.Context(), desk.Order{Because: "now", EvenIfLoaded: true, Key: d.Key(roomtest.Helene)}); ecluse.KindOf(err) != ecluse.Refused {
				t.Errorf("by the data-protection officer: %v", err)
			}
			if _, err := os.Stat(keys); err != nil {
				t.Fatalf("the keys went before the load: %v", err)
			}
			if ordered {
				if _, err := r.Erase(t.Context(), desk.Order{Because: "now", EvenIfLoaded: true, Key: d.Key(roomtest.Claire)}); err != nil {
					t.Fatal(err)
				}
			} else {
				at := func(since time.Duration) {
					d.Late()
					d.Exec("room/lock/control.db", fmt.Sprintf("UPDATE due SET at = %d WHERE kind = 'erase' AND done = 0", time.Now().Add(-since).UnixMilli()))
				}
				at(erasure.Grace - time.Hour)
				if v, err := r.Due(t.Context()); err != nil || len(v.Failed) != 1 {
					t.Fatalf("%+v, %v", v, err)
				}
				at(erasure.Grace)
				runDue(t, r)
			}
			if p := place(t, r); p.Migration != procedure.Erased || p.Passage != procedure.Left {
				t.Fatalf("%+v", p)
			}
			nothingLeft(t, d)
			d.Verify(r)
			const sentence = "erased; passage final-1 was not taken out of the target (failed)"
			if out := script(t, d, d.Join("evidence")); !strings.HasPrefix(out, "OK\n") || !strings.Contains(out, "\nnote  "+sentence+"\n") {
				t.Errorf("verify.sh:\n%s", out)
			}
			if text := evidence.Verify(os.DirFS(d.Join("evidence")), d.Roots()).Text(); !strings.Contains(text, "\nnote  "+sentence+"\n") {
				t.Errorf("%s", text)
			}
		})
	}
}

// TestContractEndOfTwoMigrations: one whose erasure is overdue and stuck keeps no
// other from being erased when their contract ends.
func TestContractEndOfTwoMigrations(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Loaded, 40)
	r := d.Open()
	text, err := demo.Instruction(ecluse.DigestOf(d.Read("contract.yaml")), r.Gate(exchange.SourcePlace), r.Gate(exchange.TargetPlace), 40, time.Now().AddDate(0, 0, 20))
	if err != nil {
		t.Fatal(err)
	}
	const second = ecluse.MigrationID("quatre-vents-02") // after the one that is stuck
	text = bytes.Replace(text, []byte(roomtest.Migration), []byte(second), 1)
	if _, err := r.Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final, Instruction: text, File: "second.yaml", Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(d.Join("novalab.db"), d.Join("elsewhere.db")); err != nil {
		t.Fatal(err)
	}
	since := time.Now().Add(-time.Hour).UnixMilli()
	d.Late()
	d.Exec("room/lock/control.db",
		fmt.Sprintf("UPDATE due SET at = %d WHERE kind = 'erase' AND migration = '%s'", since, roomtest.Migration),
		fmt.Sprintf("UPDATE due SET at = %d WHERE kind = 'contract-end'", since+1))
	v, err := r.Due(t.Context())
	if err != nil || len(v.Failed) != 1 || v.Failed[0].Migration != roomtest.Migration {
		t.Errorf("want the stuck one to fail alone: %+v, %v", v, err)
	}
	for id, want := range map[ecluse.MigrationID]procedure.State{roomtest.Migration: procedure.Erasing, second: procedure.Erased} {
		all, err := r.Status(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if got := all[0].Place.Migration; got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
}

// TestLateOrder: an order does not put off what is already overdue.
func TestLateOrder(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Loaded, 40)
	if err := os.Rename(d.Join("novalab.db"), d.Join("elsewhere.db")); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-erasure.Grace + 2*time.Second).UnixMilli()
	d.Late()
	d.Exec("room/lock/control.db", fmt.Sprintf("UPDATE due SET at = %d WHERE kind = 'erase' AND done = 0", past), fmt.Sprintf("UPDATE migration SET erase_by = %d", past))
	r := d.Open()
	_, _ = r.Erase(t.Context(), desk.Order{Because: "stopped", Key: d.Key(roomtest.Claire)}) // within the time or after it
	time.Sleep(2 * time.Second)
	runDue(t, r)
	if p := place(t, r); p.Passage != procedure.Left {
		t.Errorf("the order put it off: %+v", p)
	}
}

// TestAcceptance: what is accepted stays, the target keeps one line of it, and
// keys and ciphertext go.
func TestAcceptance(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Accepted, patients)
	r := d.Open()
	runDue(t, r)
	nothingLeft(t, d)
	if facts, _ := d.Facts(); facts != loadedFacts(t, patients) {
		t.Error("accepted rows are gone")
	}
	for query, want := range map[string]string{
		"SELECT count(*) FROM ecluse_marker": "0", "SELECT count(*) FROM ecluse_passage": "0", "SELECT outcome FROM ecluse_tombstone": "accepted",
	} {
		if got := d.Query("novalab.db", query); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
	_, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)})
	wantError(t, err, ecluse.Refused)
}

// TestAcceptanceOfAnAcceptedLoadWithoutItsTarget: keys are destroyed though the
// target cannot be told.
func TestAcceptanceWithoutItsTarget(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Accepted, patients)
	if err := os.Rename(d.Join("novalab.db"), d.Join("elsewhere.db")); err != nil {
		t.Fatal(err)
	}
	r := d.Open()
	runDue(t, r)
	nothingLeft(t, d)
	d.Verify(r)
}

// TestAcceptanceRefused: by whom it may not, without a word for every reason of
// rejects, with a word for none, or while the comparison found a difference.
func TestAcceptanceRefused(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Loaded, patients)
	r := d.Open()
	report, err := r.Report(t.Context(), roomtest.Migration, "")
	if err != nil {
		t.Fatal(err)
	}
	first := string(report.Compared.Rejected[0].Dataset) + ": " + report.Compared.Rejected[0].By
	for name, q := range map[string]desk.AcceptRequest{
		"no disposition":                 {Key: d.Key(roomtest.Claire)},
		"a disposition of blanks":        {Key: d.Key(roomtest.Claire), ForAll: "  "},
		"a disposition of another cause": {Key: d.Key(roomtest.Claire), ForAll: "by hand", Dispositions: map[string]string{"no such reason": "x"}},
		"a disposition of two lines":     {Key: d.Key(roomtest.Claire), ForAll: "by\nhand"},
		"of one dataset alone":           {Key: d.Key(roomtest.Claire), Dispositions: map[string]string{first: "by hand"}},
		"the processor's signatory":      {Key: d.Key(roomtest.Julie), ForAll: "by hand"},
		"the processor's operator":       {Key: d.Key(roomtest.Marc), ForAll: "by hand"},
		"the data-protection officer":    {Key: d.Key(roomtest.Helene), ForAll: "by hand"},
		"somebody unknown":               {Key: d.Key("root-controller"), ForAll: "by hand"},
	} {
		_, err := r.Accept(t.Context(), q)
		if k := ecluse.KindOf(err); k != ecluse.Refused && k != ecluse.Invalid || err == nil {
			t.Errorf("%s: %v", name, err)
		}
		if p := place(t, r); p.Migration != procedure.Sealed {
			t.Fatalf("%s: the migration is %s", name, p.Migration)
		}
	}
	// Of one dataset alone, and of all others.
	q := desk.AcceptRequest{Key: d.Key(roomtest.Claire), Dispositions: map[string]string{first: "corrected in the source, and read again"}, ForAll: "by hand"}
	if _, err := r.Accept(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	if report, err = r.Report(t.Context(), roomtest.Migration, ""); err != nil {
		t.Fatal(err)
	}
	for n, x := range report.Disposed {
		if want := map[bool]string{true: "corrected in the source, and read again", false: "by hand"}[n == 0]; x.Becomes != want {
			t.Errorf("%s, %s: %q, want %q", x.Dataset, x.By, x.Becomes, want)
		}
	}
}

// TestAcceptanceIsExplained: the act itself is refused, whatever program made it,
// while something is unexplained.
func TestAcceptanceIsExplained(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Loaded, patients)
	r := d.Open()
	s, err := r.Report(t.Context(), roomtest.Migration, "")
	if err != nil || len(s.Compared.Rejected) < 2 {
		t.Fatalf("%v, %+v", err, s)
	}
	report, err := evidence.EncodeJSON(s.LoadStatement)
	if err != nil {
		t.Fatal(err)
	}
	accept := func(report ecluse.Digest, edit func(*evidence.Dispositions)) error {
		clauses, documents := []evidence.Clause{{Verb: evidence.VerbAccept, Kind: evidence.KindReport, Subject: report}}, map[string][]byte{}
		if edit != nil {
			said := &evidence.Dispositions{Format: evidence.DispositionsFormat, Migration: roomtest.Migration, Report: report}
			for _, x := range s.Compared.Rejected {
				said.Rows = append(said.Rows, evidence.Disposition{Dataset: x.Dataset, By: x.By, Becomes: "by hand"})
			}
			edit(said)
			text, err := evidence.EncodeJSON(said)
			if err != nil {
				t.Fatal(err)
			}
			clauses = append(clauses, evidence.Clause{Verb: evidence.VerbAccept, Kind: evidence.KindDispositions, Subject: ecluse.DigestOf(text)})
			documents[evidence.KindDispositions] = text
		}
		return r.HandIn(t.Context(), roomtest.Migration, d.Key(roomtest.Claire), clauses, documents)
	}
	own := ecluse.DigestOf(report)
	for name, err := range map[string]error{
		"no dispositions":        accept(own, nil),
		"one left out":           accept(own, func(x *evidence.Dispositions) { x.Rows = x.Rows[1:] }),
		"one of another dataset": accept(own, func(x *evidence.Dispositions) { x.Rows[0].Dataset = "another" }),
		"one left blank":         accept(own, func(x *evidence.Dispositions) { x.Rows[0].Becomes = " " }),
		"another report":         accept(ecluse.DigestOf(nil), func(*evidence.Dispositions) {}),
		"of another":             accept(own, func(x *evidence.Dispositions) { x.Report[0] ^= 1 }),
	} {
		if ecluse.KindOf(err) != ecluse.Refused || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if p := place(t, r); p.Passage != procedure.Compared {
		t.Fatalf("%+v", p)
	}
	if len(s.Disposed) != 0 {
		t.Errorf("nobody accepted, and it is said what becomes of rows: %+v", s.Disposed)
	}
	if err := accept(own, func(*evidence.Dispositions) {}); err != nil {
		t.Fatal(err)
	}
	runDue(t, r)
	d.Verify(r)
	s, err = r.Report(t.Context(), roomtest.Migration, "")
	if err != nil || len(s.Disposed) != len(s.Compared.Rejected) || s.Disposed[0].Becomes != "by hand" {
		t.Errorf("%v, %+v", err, s)
	}
}

// TestDifference: a target that alters what is written shows it, traced to its
// table; it cannot be accepted, and is undone.
func TestDifference(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Sealed, patients)
	d.Exec("novalab.db", `CREATE TRIGGER tamper AFTER INSERT ON patient WHEN new.id % 7 = 3 BEGIN
		UPDATE patient SET family_name = family_name || 'X' WHERE id = new.id; END`)
	r := d.Open()
	v := apply(t, r, ecluse.Final)
	if v.Reconciled {
		t.Fatal("rows altered on their way in were found equal")
	}
	for _, table := range v.Load.Compared.Tables {
		if want := map[bool]string{true: "altered", false: "equal"}[table.Table.Name == "patient"]; table.Verdict() != want {
			t.Errorf("%s is said to be %s, want %s", table.Table, table.Verdict(), want)
		}
	}
	wantTraced(t, d, v.Load.Compared)
	_, err := r.Accept(t.Context(), desk.AcceptRequest{ForAll: "by hand", Key: d.Key(roomtest.Claire)})
	wantError(t, err, ecluse.Refused)
	err = r.HandIn(t.Context(), roomtest.Migration, d.Key(roomtest.Claire), []evidence.Clause{{Verb: evidence.VerbAccept, Kind: evidence.KindReport, Subject: v.Report}}, nil)
	wantError(t, err, ecluse.Refused)
	if p := place(t, r); p.Passage != procedure.Compared {
		t.Fatalf("accepted in spite of differences: %+v", p)
	}
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	if facts, _ := d.Facts(); facts != sealedFacts(t) {
		t.Error("the target does not stand as before")
	}
	d.Exec("novalab.db", "DROP TRIGGER tamper")
}

// wantTraced: the rows that the trigger altered, and no others, are named by their
// place in the dataset and their column.
func wantTraced(t *testing.T, d *roomtest.Dir, p *reconcile.Public) {
	t.Helper()
	altered := len(d.Query("novalab.db", "SELECT id FROM patient WHERE id % 7 = 3"))
	if len(p.Traced) != altered || !p.TracedWhole || altered == 0 {
		t.Errorf("%d rows are traced of %d altered ones, whole: %v", len(p.Traced), altered, p.TracedWhole)
	}
	for _, x := range p.Traced {
		if x.Table.Name != "patient" || x.Dataset != "patient" || x.Column != "family_name" || x.What != "altered" {
			t.Errorf("traced %+v", x)
		}
	}
}

// TestHeld: a suspension or an objection holds reading and loading, at the lock
// and at a gate whose lock hides it; papers, undoing and erasure go on; only the
// side that held lifts it.
func TestHeld(t *testing.T) {
	t.Parallel()
	for who, hold := range map[string]func(*app.Room, desk.Order) (*desk.Signature, error){
		roomtest.Claire: func(r *app.Room, o desk.Order) (*desk.Signature, error) { return r.Suspend(t.Context(), o) },
		roomtest.Helene: func(r *app.Room, o desk.Order) (*desk.Signature, error) { return r.Object(t.Context(), o) },
		roomtest.Julie:  func(r *app.Room, o desk.Order) (*desk.Signature, error) { return r.Object(t.Context(), o) },
	} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			d := roomtest.At(t, roomtest.Ready, 40)
			r := d.Open()
			own, other := roomtest.Claire, roomtest.Julie
			if who == roomtest.Julie {
				own, other = other, own
			}
			if _, err := hold(r, desk.Order{Because: "a question is open", Key: d.Key(who)}); err != nil {
				t.Fatal(err)
			}
			_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
			wantError(t, err, ecluse.Refused)

			// The gates see the act, whatever the lock says.
			d.Exec("room/lock/control.db", "UPDATE migration SET suspended = 0, objected = 0")
			_, err = r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
			wantError(t, err, ecluse.Refused)
			d.Exec("room/lock/control.db", "UPDATE migration SET objected = "+map[bool]string{true: "1", false: "2"}[own == roomtest.Claire])

			_, err = r.Resume(t.Context(), desk.Order{Because: "settled", Key: d.Key(other)})
			wantError(t, err, ecluse.Refused)
			if _, err := r.Resume(t.Context(), desk.Order{Because: "settled", Key: d.Key(own)}); err != nil {
				t.Fatal(err)
			}
			if v := apply(t, r, ecluse.Final); !v.Reconciled {
				t.Error("not equal after it went on")
			}
			if _, err := hold(r, desk.Order{Because: "another question", Key: d.Key(who)}); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Accept(t.Context(), desk.AcceptRequest{ForAll: "x", Key: d.Key(roomtest.Claire)}); ecluse.KindOf(err) != ecluse.Refused {
				t.Errorf("accepted while held: %v", err)
			}
			isDue(d, "erase")
			runDue(t, r)
			nothingLeft(t, d)
			d.Verify(r)
		})
	}
}

// TestHeldWhileLoading: the lock gives no chunk out for a load that is held.
func TestHeldWhileLoading(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Sealed, 40)
	r := d.Open()
	passage, err := r.BeginLoading(t.Context(), roomtest.Migration, ecluse.Final)
	if err != nil {
		t.Fatal(err)
	}
	_, target := gates(t, d, r.Lock())
	if _, err := r.Suspend(t.Context(), desk.Order{Because: "a question", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	_, _, err = r.Lock().Get(t.Context(), roomtest.Migration, ecluse.Slot{Dataset: "patient"})
	wantError(t, err, ecluse.Refused)
	if _, err := target.Load(t.Context(), roomtest.Migration, passage, 0, nil); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("loaded while held: %v", err)
	}
	if v, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Marc)}); err != nil || v.Rows != 0 {
		t.Errorf("undoing is held too: %v", err)
	}
}

// TestApprovalLapses: a passage that does not begin within 72 hours needs a new
// approval.
func TestApprovalLapses(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 40)
	told := func() (exchange.Status, *desk.Night) {
		r := d.Open()
		defer r.Close()
		s, err := r.Status(t.Context(), roomtest.Migration)
		if err != nil {
			t.Fatal(err)
		}
		n, err := r.Night(t.Context(), roomtest.Migration)
		if err != nil {
			t.Fatal(err)
		}
		return s[0], n
	}
	lapse := func(x mandate.Deadline) bool { return x.Of == mandate.OfApproval }
	s, n := told()
	if left := time.Until(s.Lapses); left < 70*time.Hour || left > 72*time.Hour || len(s.Near) > 0 || !slices.ContainsFunc(n.Ends, lapse) {
		t.Errorf("it lapses %s; near are %+v; the sheet has %+v", s.Lapses, s.Near, n.Ends)
	}
	d.Exec("room/lock/control.db", fmt.Sprintf("UPDATE due SET at = %d WHERE kind = 'approval-lapse' AND done = 0", time.Now().Add(47*time.Hour).UnixMilli()))
	if s, _ = told(); len(s.Near) != 1 || s.Near[0].Of != string(mandate.OfApproval) || s.Near[0].Within != 48 {
		t.Errorf("two days before: %+v", s.Near)
	}
	isDue(d, "approval-lapse")
	r := d.Open()
	runDue(t, r)
	if p := place(t, r); p.Migration != procedure.ReadPlanned || p.Passage != procedure.LoadPlanned {
		t.Errorf("the migration is %s, its passage %s", p.Migration, p.Passage)
	}
	_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
	wantError(t, err, ecluse.WaitsForSign)
}

// unposted is a lock that loses its first report: all is loaded then, and nothing
// of it is said.
type unposted struct {
	gate.Lock
	failed bool
}

func (l *unposted) Post(ctx context.Context, m ecluse.MigrationID, kind exchange.Paper, s evidence.Signed) error {
	if kind == exchange.LoadReport && !l.failed {
		l.failed = true
		return errStopped
	}
	return l.Lock.Post(ctx, m, kind, s)
}

// TestNotes: what became of a chunk is durable before the chunk commits, so that
// whoever goes on says the same as an undisturbed load; where the notes were lost
// the figures still agree, and only the database's reasons are unknown.
func TestNotes(t *testing.T) {
	t.Parallel()
	const refuse = `CREATE TRIGGER refuse BEFORE INSERT ON observation WHEN new.id % 50 = 7 BEGIN SELECT raise(ABORT, 'no'); END`
	undisturbed := roomtest.At(t, roomtest.Sealed, patients)
	undisturbed.Exec("novalab.db", refuse)
	want := apply(t, undisturbed.Open(), ecluse.Final)
	if !want.Reconciled || !slices.ContainsFunc(want.Load.Compared.Rejected, func(g ecluse.MaskedGroup) bool { return strings.Contains(g.By, "1811") }) {
		t.Fatalf("equal %v, %+v", want.Reconciled, want.Load.Compared.Rejected)
	}

	for name, disturb := range map[string]func(t *testing.T, notes string){
		"there": func(*testing.T, string) {},
		"lost": func(t *testing.T, notes string) {
			if err := os.RemoveAll(notes); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := roomtest.At(t, roomtest.Sealed, patients)
			d.Exec("novalab.db", refuse)
			r := d.Open()
			passage, err := r.BeginLoading(t.Context(), roomtest.Migration, ecluse.Final)
			if err != nil {
				t.Fatal(err)
			}
			_, target := gates(t, d, &unposted{Lock: r.Lock()})
			if _, err := target.Load(t.Context(), roomtest.Migration, passage, 0, nil); !errors.Is(err, errStopped) {
				t.Fatalf("want the load stopped before its report, got %v", err)
			}
			disturb(t, d.Join("room", "target", "migrations", string(roomtest.Migration), "notes-"+passage.String()))
			got := apply(t, r, ecluse.Final)
			if got.RowsLoaded != want.RowsLoaded || got.RowsRejected != want.RowsRejected || !got.Reconciled {
				t.Errorf("equal %v, %d rows loaded and %d put aside, want %d and %d", got.Reconciled, got.RowsLoaded, got.RowsRejected, want.RowsLoaded, want.RowsRejected)
			}
			if diff := cmp.Diff(want.Load.Compared.Rejected, got.Load.Compared.Rejected); (diff == "") != (name == "there") {
				t.Error(diff)
			}
			if diff := cmp.Diff(want.Load.Compared.Shapes, got.Load.Compared.Shapes, cmp.Comparer(func(a, b reconcile.Shape) bool { return a == b })); diff != "" && name == "there" {
				t.Error(diff)
			}
		})
	}
}

// TestNoteThatCannotBeWritten: then the chunk is not committed.
func TestNoteThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Sealed, 40)
	notes := d.Join("room", "target", "migrations", string(roomtest.Migration), "notes-final-1")
	if err := os.MkdirAll(filepath.Join(notes, "patient-000000.0", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := d.Open()
	_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
	wantError(t, err, ecluse.Failed)
	if n := d.Query("novalab.db", "SELECT id FROM patient"); len(n) != 0 {
		t.Errorf("%d patients are in, and nothing notes it", len(n))
	}
	if err := os.RemoveAll(notes); err != nil {
		t.Fatal(err)
	}
	if v := apply(t, r, ecluse.Final); !v.Reconciled {
		t.Error("not equal after that")
	}
}

// upToResults is a lock whose line breaks before the first chunk of results.
type upToResults struct{ gate.Lock }

func (l *upToResults) Put(ctx context.Context, m ecluse.MigrationID, d evidence.Signed, b io.Reader) (evidence.Signed, error) {
	if strings.Contains(string(d.Body), `"dataset":"result"`) {
		return evidence.Signed{}, errStopped
	}
	return l.Lock.Put(ctx, m, d, b)
}

// loadedToResults interrupts reading before the first chunk of results, while loading follows
// it, and closes the room.
func loadedToResults(t *testing.T, d *roomtest.Dir, r *app.Room) {
	t.Helper()
	if err := r.BeginReading(t.Context(), roomtest.Migration); err != nil {
		t.Fatal(err)
	}
	s, target := gates(t, d, &upToResults{r.Lock()})
	if _, err := s.Read(t.Context(), roomtest.Migration, 0, nil); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	p, err := r.BeginLoading(t.Context(), roomtest.Migration, ecluse.Final)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	_, err = target.Load(ctx, roomtest.Migration, p, 0, nil)
	cancel()
	if err == nil || len(d.Query("novalab.db", "SELECT id FROM patient")) == 0 {
		t.Fatalf("want patients loaded and results waited for, got %v", err)
	}
	for _, c := range []interface{ Close() error }{s, target, r} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSourceChangedBetweenEpochs: reading is interrupted while loading follows it;
// the laboratory goes on working, and the next epoch finds loaded chunks changed: rows
// changed, came and went. They are replaced in the target, what came of it all is what
// a load of the source as it is now comes to, and it is taken out again whole.
func TestSourceChangedBetweenEpochs(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 40)
	r := d.Open()
	loadedToResults(t, d, r)
	meanwhile := []string{
		"UPDATE PATIENT SET PRENOM = 'Corrigée' WHERE NUMPAT = (SELECT min(NUMPAT) FROM PATIENT WHERE DERNVIS >= 20150101)",
		"INSERT INTO PATIENT (NUMPAT, NOM, PRENOM, SEXE, DATNAIS, DERNVIS) VALUES (900001, 'ZQX-NEUF', 'Ada', 'F', '03/02/1970', 20200101)",
		"INSERT INTO DEMANDE (NUMDEM, NUMPAT, CODPRESC, SAISIE, PRELEVE) SELECT 900001, 900001, CODPRESC, SAISIE, PRELEVE FROM DEMANDE WHERE SAISIE BETWEEN 20150101 AND 20201031 AND CODPRESC IS NOT NULL LIMIT 1",
		"INSERT INTO RESULTAT (NUMRES, NUMDEM, CODE, VALEUR, UNITE, VALIDE) SELECT 900001, 900001, CODE, VALEUR, UNITE, VALIDE FROM RESULTAT LIMIT 1",
		"DELETE FROM RESULTAT WHERE NUMDEM = (SELECT min(NUMDEM) FROM DEMANDE WHERE SAISIE BETWEEN 20150101 AND 20201031)",
		"DELETE FROM DEMANDE WHERE NUMDEM = (SELECT min(NUMDEM) FROM DEMANDE WHERE SAISIE BETWEEN 20150101 AND 20201031)",
	}
	oracle := roomtest.At(t, roomtest.Ready, 40)
	d.Exec("ancilab.db", meanwhile...)
	oracle.Exec("ancilab.db", meanwhile...)

	r = d.Open()
	v := apply(t, r, ecluse.Final)
	o := oracle.Open()
	once := apply(t, o, ecluse.Final)
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if !v.Reconciled || v.RowsLoaded != once.RowsLoaded || v.RowsRejected != once.RowsRejected {
		t.Errorf("%+v, and loaded at once %+v", v.Load, once.Load)
	}
	if diff := cmp.Diff(once.Load.Compared.Rejected, v.Load.Compared.Rejected); diff != "" {
		t.Errorf("put aside (-at once +replaced):\n%s", diff)
	}
	got, _ := d.Facts()
	if want, _ := oracle.Facts(); got != want {
		t.Error("the target has other facts than after a load at once")
	}
	u, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Marc)})
	if err != nil || u.Rows == 0 {
		t.Fatalf("%+v, %v", u, err)
	}
	if facts, _ := d.Facts(); facts != sealedFacts(t) {
		t.Error("the target does not stand as before")
	}
	if _, err := r.Erase(t.Context(), desk.Order{Key: d.Key(roomtest.Claire), Because: "the laboratory was at work"}); err != nil {
		t.Fatal(err)
	}
	d.Verify(r)
}

// TestLookUpsChangedBetweenEpochs: what changed between the epochs is, among others, a dataset
// that rows are looked up in and that is loaded nowhere. The load is refused, and not said to
// be equal; it is taken out whole. Where it stayed as it was, the load goes on.
func TestLookUpsChangedBetweenEpochs(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string][]string{
		"alone": {"UPDATE PRESCRIPTEUR SET NOM = 'ZQX-AUTRE'"},
		"gone":  {"DELETE FROM PRESCRIPTEUR WHERE CODE <> (SELECT min(CODE) FROM PRESCRIPTEUR)"}, // undoing makes the rows that were loaded
		"not":   {"UPDATE PATIENT SET PRENOM = 'Corrigée' WHERE NUMPAT = (SELECT min(NUMPAT) FROM PATIENT WHERE DERNVIS >= 20150101)"},
		"beside loaded rows": {
			"UPDATE PRESCRIPTEUR SET NOM = 'ZQX-AUTRE'",
			"UPDATE PATIENT SET PRENOM = 'Corrigée' WHERE NUMPAT = (SELECT min(NUMPAT) FROM PATIENT WHERE DERNVIS >= 20150101)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := roomtest.At(t, roomtest.Ready, 40)
			r := d.Open()
			remapTo(t, d, r, strings.Replace(lookingUp(d), `miss: "null", report: no prescriber`, "miss: reject", 1))
			empty, _ := d.Facts()
			loadedToResults(t, d, r)
			d.Exec("ancilab.db", meanwhile...)
			r = d.Open()
			defer r.Close()
			if name == "not" {
				if v := apply(t, r, ecluse.Final); !v.Reconciled {
					t.Errorf("%+v", v.Load)
				}
				return
			}
			for range 2 { // and again
				v, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
				if ecluse.KindOf(err) != ecluse.Differs || !strings.Contains(err.Error(), "prescriber") {
					t.Fatalf("want the load refused, got %+v, %v", v, err)
				}
			}
			if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Marc)}); err != nil {
				t.Fatal(err)
			}
			if now, _ := d.Facts(); now != empty {
				t.Error("the target does not stand as before")
			}
		})
	}
}

// TestPutAsideBetweenEpochs: of a chunk that is replaced, rows were put aside. They are
// counted and shown as they are now, once.
func TestPutAsideBetweenEpochs(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 40)
	d.Exec("ancilab.db", "UPDATE PATIENT SET DATNAIS = 'pas une date' WHERE NUMPAT = (SELECT max(NUMPAT) FROM PATIENT WHERE DERNVIS >= 20150101)")
	r := d.Open()
	loadedToResults(t, d, r)
	d.Exec("ancilab.db", "UPDATE PATIENT SET PRENOM = 'Autre' WHERE DATNAIS = 'pas une date'")
	r = d.Open()
	defer r.Close()
	v := apply(t, r, ecluse.Final)
	var shown []string
	rows := int64(0)
	_, err := r.Beside(exchange.SourcePlace).Rejects(t.Context(), app.RejectsRequest{Key: d.Key(roomtest.Claire)}, func(x *gate.Rejected) error {
		rows++
		for _, c := range x.Cells {
			if x.Dataset == "patient" && c.Column == "PRENOM" {
				shown = append(shown, c.Text)
			}
		}
		return nil
	})
	if err != nil || rows != v.RowsRejected || !slices.Equal(shown, []string{"Autre"}) {
		t.Errorf("%d rows put aside, %d shown, of patients %q, %v", v.RowsRejected, rows, shown, err)
	}
}

// stalled is a lock that holds back the first chunk of results, and tells that it is asked
// for it.
type stalled struct {
	gate.Lock
	once  *sync.Once
	asked chan struct{}
}

func (l stalled) Get(ctx context.Context, m ecluse.MigrationID, s ecluse.Slot) (evidence.Signed, io.ReadCloser, error) {
	var err error
	if s.Dataset == "result" {
		l.once.Do(func() {
			close(l.asked)
			<-ctx.Done()
			err = context.Cause(ctx)
		})
	}
	if err != nil {
		return evidence.Signed{}, nil, err
	}
	return l.Lock.Get(ctx, m, s)
}

// TestUndoStopsLoading: a passage is ordered undone while it is loaded. The load stops, its
// rows go, and whoever waits for it hears why; another passage is loaded then.
func TestUndoStopsLoading(t *testing.T) {
	t.Parallel()
	d := roomtest.Twice(t, roomtest.Sealed, patients)
	empty, _ := d.Facts()
	r := d.Open()
	asked, once := make(chan struct{}), &sync.Once{}
	stop := r.Elsewhere(t.Context(), func(at exchange.Place, _ ssh.Signer) gate.Lock {
		return stalled{r.Seat(at), once, asked}
	})
	defer stop()
	ended := make(chan error, 1)
	go func() {
		_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
		ended <- err
	}()
	select {
	case <-asked:
	case <-time.After(time.Minute):
		t.Fatal("no chunk is asked for")
	}
	u, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)})
	if err != nil {
		t.Fatal(err)
	}
	if now, _ := d.Facts(); now != empty {
		t.Errorf("undone, the target does not stand as before: %+v", u.Undo)
	}
	if err := <-ended; ecluse.KindOf(err) != ecluse.Interrupted || !strings.Contains(err.Error(), "the passage is undone") {
		t.Errorf("whoever loaded it hears %v", err)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	if v := apply(t, r, ecluse.Final); !v.Reconciled || v.Passage.Number != 2 {
		t.Errorf("%+v", v)
	}
}

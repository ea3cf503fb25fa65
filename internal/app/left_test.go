package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/sluice/reconcile"
)

// TestUndoLeavesWhatPeopleChanged: people worked in the new software since the load.
// What they changed, and what they refer to, is left and listed for the laboratory
// alone; all else goes, in spite of two interruptions; the evidence says so, and the
// next load puts aside what it meets.
func TestUndoLeavesWhatPeopleChanged(t *testing.T) {
	t.Parallel()
	d := roomtest.Twice(t, roomtest.Loaded, patients)
	ids := func(query string) []string { return d.Query("novalab.db", query) }
	changed := ids("SELECT min(id) FROM patient")[0]
	referred := ids("SELECT max(id) FROM patient")[0]
	d.Exec(
		"novalab.db",
		"UPDATE patient SET family_name = 'ZQX-EDITED' WHERE id = "+changed,
		"INSERT INTO request VALUES (900001, 'N1', "+referred+", NULL, NULL)",
		"DELETE FROM observation WHERE id IN (SELECT max(id) FROM observation)",
		"UPDATE observation SET value = value || '!' WHERE id IN (SELECT id FROM observation ORDER BY id LIMIT 12)",
	)
	edited := ids("SELECT id FROM observation WHERE value LIKE '%!' ORDER BY id")
	requests := ids("SELECT DISTINCT request_id FROM observation WHERE value LIKE '%!' ORDER BY 1")
	theirs := ids("SELECT DISTINCT patient_id FROM request WHERE id IN (" + strings.Join(requests, ",") + ") ORDER BY 1")

	r := d.Open()
	order(t, r, d)
	passage := ecluse.Passage{Kind: ecluse.Final, Number: 1}
	source, target := gates(t, d, &withoutPatients{r.Lock()})
	_, err := target.Undo(t.Context(), roomtest.Migration, passage, nil)
	if !errors.Is(err, errStopped) || len(ids("SELECT id FROM observation")) != len(edited) || len(ids("SELECT id FROM patient")) < patients/2 {
		t.Fatalf("want the undoing stopped half-way, got %v", err)
	}
	if err := errors.Join(source.Close(), target.Close()); err != nil {
		t.Fatal(err)
	}
	source, target = gates(t, d, &failingLock{Lock: r.Lock()})
	if _, err := target.Undo(t.Context(), roomtest.Migration, passage, nil); !errors.Is(err, errStopped) {
		t.Fatalf("want the undoing stopped once the list is sealed, got %v", err)
	}
	if err := errors.Join(source.Close(), target.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}

	r = d.Open()
	v, err := r.Undo(t.Context(), desk.UndoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if place(t, r).Passage != procedure.Undone {
		t.Errorf("the passage is %s", place(t, r).Passage)
	}
	groups := map[string]string{}
	for _, g := range v.Undo.Left {
		groups[g.By] = g.Count
	}
	if groups["observation: changed"] != "12" || groups["patient: changed"] != "<10" || !strings.HasPrefix(v.Undo.Stay, "1") || !strings.Contains(v.Undo.Stay, "<10") {
		t.Errorf("%v stay in all, by %v", v.Undo.Stay, groups)
	}
	if diff := cmp.Diff([]ecluse.MaskedGroup{{Dataset: "result", By: "observation", Count: "<10"}}, v.Undo.Missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	stay := func() {
		t.Helper()
		people := append(slices.Clone(theirs), changed, referred)
		slices.Sort(people)
		for query, want := range map[string][]string{
			"SELECT '' || id FROM patient ORDER BY '' || id":        slices.Compact(people),
			"SELECT '' || id FROM request ORDER BY id":              append(slices.Clone(requests), "900001"),
			"SELECT '' || id FROM observation ORDER BY id":          edited,
			"SELECT family_name FROM patient WHERE id = " + changed: {"ZQX-EDITED"},
		} {
			if diff := cmp.Diff(want, ids(query)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", query, diff)
			}
		}
	}
	stay()

	// The laboratory has the list, each row once; nobody else has a key of it.
	x, err := r.Beside(exchange.SourcePlace).ReportExact(t.Context(), "", d.Key(roomtest.Claire))
	if err != nil || len(x.Left) != 1 || x.Left[0].Passage != passage {
		t.Fatalf("%+v, %v", x, err)
	}
	listed := map[string]string{}
	for _, row := range x.Left[0].Rows {
		key := row.Table.Name + " " + row.Key[0].Value
		if listed[key] != "" {
			t.Errorf("%s is listed twice", key)
		}
		listed[key] = string(row.Why)
	}
	want := map[string]string{"patient " + referred: "referred"}
	for _, id := range edited {
		want["observation "+id] = "changed"
	}
	for _, id := range requests {
		want["request "+id] = "referred"
	}
	for _, id := range theirs {
		want["patient "+id] = "referred"
	}
	want["patient "+changed] = "changed"
	for _, id := range ids("SELECT id FROM prescriber") {
		want["prescriber "+id] = "referred"
	}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	if s := fmt.Sprintf("%v %+v", x.Left, x.Left[0].Rows); strings.Contains(s, referred) {
		t.Errorf("rows left print themselves: %s", s)
	}
	for _, table := range x.Left[0].Tables { // what is masked there follows from no other figure that is told
		if n := int64(len(ids("SELECT 1 FROM " + table.Table.Name))); table.Before != 0 || table.After != n || table.Equal != (n == 0) {
			t.Errorf("of %s the laboratory is told %+v, and %d rows stand there", table.Table, table, n)
		}
	}
	public, err := json.Marshal(v)
	if err != nil || strings.Contains(string(public), `"after"`) {
		t.Errorf("the processor is told how many rows there are: %s, %v", public, err)
	}
	if strings.Contains(string(public), `"key"`) {
		t.Errorf("the processor is told keys: %s, %v", public, err)
	}

	// The next passage meets them.
	p, err := r.Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(p.LoadFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Approve(t.Context(), text, d.Key(roomtest.Claire)); err != nil {
		t.Fatal(err)
	}
	if again := apply(t, r, ecluse.Final); again.Passage.Number != 2 {
		t.Errorf("loaded as %s", again.Passage)
	}
	s, err := r.Report(t.Context(), roomtest.Migration, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range s.Compared.Tables {
		if !table.Equal {
			t.Errorf("%s does not stand as it was loaded", table.Table)
		}
	}
	if !slices.ContainsFunc(s.Compared.Rejected, func(g ecluse.MaskedGroup) bool {
		return g.Dataset == "result" && g.Count == reconcile.MaskedBeside && // twelve: kept back beside the smaller ones
			strings.Contains(g.By, "observation: primary key observation.id")
	}) {
		t.Errorf("put aside: %+v", s.Compared.Rejected)
	}
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	stay()

	if _, err := r.Erase(t.Context(), desk.Order{Because: "nobody goes on", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	d.Verify(r)
	out := script(t, d, d.Join("evidence"))
	const says = "passage final-1 was taken out of the target, but for rows that people changed or refer to since, and that stay there: "
	if !strings.HasPrefix(out, "OK\n") || !strings.Contains(out, says+v.Undo.Stay) {
		t.Errorf("verify.sh:\n%s", out)
	}
	if report := evidence.Verify(os.DirFS(d.Join("evidence")), d.Roots()); !strings.Contains(report.Text(), says+v.Undo.Stay) {
		t.Errorf("verify:\n%s", report.Text())
	}
	for _, at := range []string{"evidence", "room"} {
		if found := mention(t, d.Join(at), "ZQX-EDITED"); len(found) > 0 {
			t.Errorf("what people wrote is in %v", found)
		}
	}
}

// TestUndoOfAPassageWithADifference: that a trigger altered rows of one table takes nothing
// from what people wrote in another, nor does a row of theirs stop the undoing. Once the
// laboratory works in it, nothing that was altered goes, whoever altered it.
func TestUndoOfAPassageWithADifference(t *testing.T) {
	t.Parallel()
	for name, live := range map[string]bool{"before go": false, "after go": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := roomtest.At(t, roomtest.Sealed, 40)
			ids := func(query string) []string { return d.Query("novalab.db", query) }
			d.Exec("novalab.db", "CREATE TRIGGER alter_them AFTER INSERT ON patient WHEN new.id % 7 = 3 BEGIN UPDATE patient SET family_name = 'ALTERED' WHERE id = new.id; END")
			r := d.Open()
			if apply(t, r, ecluse.Final).Reconciled {
				t.Fatal("rows altered on their way in were found equal")
			}
			if live {
				if _, err := r.Go(t.Context(), desk.GoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
					t.Fatal(err)
				}
			}
			altered := ids("SELECT '' || id FROM patient WHERE family_name = 'ALTERED' ORDER BY id")
			referred := ids("SELECT max(id) FROM patient WHERE family_name <> 'ALTERED'")[0]
			d.Exec(
				"novalab.db", "INSERT INTO request VALUES (900001, 'N1', "+referred+", NULL, NULL)",
				"UPDATE observation SET value = value || '!' WHERE id IN (SELECT min(id) FROM observation)",
				"UPDATE patient SET family_name = 'THEIRS' WHERE id = "+altered[0],
			)
			edited := ids("SELECT id FROM observation WHERE value LIKE '%!'")
			if _, err := r.Undo(t.Context(), desk.UndoRequest{Because: "results are printed twice", Key: d.Key(roomtest.Claire)}); err != nil {
				t.Fatal(err)
			}
			if p := place(t, r); p.Passage != procedure.Undone {
				t.Errorf("it stands at %+v", p)
			}
			if got := ids("SELECT id FROM observation"); !slices.Equal(got, edited) {
				t.Errorf("results %v stay, want %v", got, edited)
			}
			if got := ids("SELECT id FROM request WHERE id = 900001"); len(got) != 1 {
				t.Error("a request of theirs is gone")
			}
			want := []string{referred}
			if live {
				want = append(want, altered...)
			}
			for _, id := range want {
				if len(ids("SELECT id FROM patient WHERE id = "+id)) != 1 {
					t.Errorf("patient %s is gone", id)
				}
			}
			if left := ids("SELECT id FROM patient WHERE family_name IN ('ALTERED', 'THEIRS')"); !live && len(left) > 0 {
				t.Errorf("patients %v stay", left)
			}
			x, err := r.Beside(exchange.SourcePlace).ReportExact(t.Context(), "", d.Key(roomtest.Claire))
			if err != nil || len(x.Left) != 1 {
				t.Fatalf("%+v, %v", x, err)
			}
			listed := map[string]bool{}
			for _, row := range x.Left[0].Rows {
				listed[row.Table.Name+" "+row.Key[0].Value] = true
			}
			if n := len(ids("SELECT id FROM patient")); !listed["observation "+edited[0]] || !listed["patient "+referred] || live && !listed["patient "+altered[0]] {
				t.Errorf("%d patients stay; listed are %v", n, listed)
			}
		})
	}
}

// TestRoomForRowsLeft: a chamber that is full has room for the list of what an undoing leaves,
// or the undoing would not come to its end.
func TestRoomForRowsLeft(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Loaded, 3)
	r := d.Open()
	order(t, r, d)
	c, err := r.Lock().Case(t.Context(), roomtest.Migration, ecluse.Final)
	if err != nil {
		t.Fatal(err)
	}
	i, err := mandate.ParseInstruction("instruction", c.Instruction)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(d.Read("room", "target", "gate_key"))
	if err != nil {
		t.Fatal(err)
	}
	for more, full := range map[int64]bool{1 << 20: false, 1 << 30: true} {
		s, err := evidence.SignDescriptor(key, &evidence.Descriptor{
			Migration: roomtest.Migration, Plan: ecluse.DigestOf(c.LoadPlan), Epoch: 1, Slot: ecluse.Slot{Dataset: "ecluse.left.final-1"},
			Last: true, Size: 2*int64(i.Limits.Bytes) + more, SHA256: ecluse.DigestOf(nil), Sum: ecluse.DigestOf(nil),
		})
		if err != nil {
			t.Fatal(err)
		}
		err = r.Lock().PutReject(t.Context(), roomtest.Migration, s, strings.NewReader("not all of it"))
		if err == nil || strings.Contains(err.Error(), "would hold more") != full {
			t.Errorf("with %d bytes more than all it may hold: %v", more, err)
		}
	}
}

// TestErasureLeavesWhatPeopleChanged: what people changed does not keep the keys from
// being destroyed, and the certificate says that it stays.
func TestErasureLeavesWhatPeopleChanged(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Loaded, 40)
	d.Exec("novalab.db", "UPDATE patient SET family_name = 'ZQX-EDITED' WHERE id = (SELECT max(id) FROM patient)")
	r := d.Open()
	if _, err := r.Erase(t.Context(), desk.Order{Because: "stopped", Key: d.Key(roomtest.Claire)}); err != nil {
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
	if left := d.Query("novalab.db", "SELECT family_name FROM patient"); !slices.Equal(left, []string{"ZQX-EDITED"}) {
		t.Errorf("%q are left", left)
	}
}

// withoutPatients is a lock whose line breaks when the patients' chunks are asked for.
type withoutPatients struct{ gate.Lock }

func (l *withoutPatients) Get(ctx context.Context, m ecluse.MigrationID, s ecluse.Slot) (evidence.Signed, io.ReadCloser, error) {
	if s.Dataset == "patient" {
		return evidence.Signed{}, nil, errStopped
	}
	return l.Lock.Get(ctx, m, s)
}

// order orders the passage that was compared undone, and nobody carries it out yet.
func order(t *testing.T, r *app.Room, d *roomtest.Dir) {
	t.Helper()
	s, err := r.Report(t.Context(), roomtest.Migration, "")
	if err != nil {
		t.Fatal(err)
	}
	report, err := evidence.EncodeJSON(s.LoadStatement)
	if err != nil {
		t.Fatal(err)
	}
	clauses := []evidence.Clause{{Verb: evidence.VerbRefuse, Kind: evidence.KindReport, Subject: ecluse.DigestOf(report)}}
	if err := r.HandIn(t.Context(), roomtest.Migration, d.Key(roomtest.Marc), clauses, nil); err != nil {
		t.Fatal(err)
	}
}

// mention finds the files below a folder that have a word in them.
func mention(t *testing.T, dir, word string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(word)) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

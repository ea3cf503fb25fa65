package app_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
)

// planFor plans a passage and has it approved.
func planFor(t *testing.T, d *roomtest.Dir, r *app.Room, kind ecluse.PassageKind, by string) *desk.Plans {
	t.Helper()
	p, err := r.Plan(t.Context(), desk.PlanRequest{Passage: kind})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(p.LoadFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Approve(t.Context(), text, d.Key(by)); err != nil {
		t.Fatal(err)
	}
	return p
}

func testRows(d *roomtest.Dir) string {
	return strings.Join(d.Query(roomtest.TestBase, "SELECT count(*) FROM patient"), "")
}

// TestRehearsal: a rehearsal goes into the test base that the instruction and the gate's
// own settings name, is compared there, is never accepted, and is undone before anything
// else is planned; the target that people work in stays as it was, and the evidence has
// the gate's word that the test base stands as before.
func TestRehearsal(t *testing.T) {
	t.Parallel()
	d := roomtest.Trying(t, roomtest.Sealed, patients)
	r := d.Open()
	before, _ := d.Facts()
	p, err := r.Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Rehearsal})
	if err != nil {
		t.Fatal(err)
	}
	if p.Load.Target.System != roomtest.PreProduction || p.Load.Passage != ecluse.Rehearsal {
		t.Errorf("planned into %s", p.Load.Target.System)
	}
	planFor(t, d, r, ecluse.Rehearsal, roomtest.Marc)
	v := apply(t, r, ecluse.Rehearsal)
	if !v.Reconciled || v.RowsLoaded == 0 || v.Load.System != roomtest.PreProduction || v.Passage.String() != "rehearsal-1" {
		t.Errorf("%+v", v.Load)
	}
	if after, _ := d.Facts(); after != before {
		t.Error("a rehearsal wrote where people work")
	}
	if testRows(d) == "0" {
		t.Error("nothing was loaded into the test base")
	}
	_, err = r.Accept(t.Context(), desk.AcceptRequest{ForAll: "entered by hand", Key: d.Key(roomtest.Claire)})
	wantError(t, err, ecluse.Refused)
	for _, kind := range []ecluse.PassageKind{ecluse.Dry, ecluse.Final} {
		if _, err := r.Plan(t.Context(), desk.PlanRequest{Passage: kind}); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("a %s passage is planned over a rehearsal: %v", kind, err)
		}
	}
	u, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Marc)})
	if err != nil {
		t.Fatal(err)
	}
	if u.Undo.System != roomtest.PreProduction || u.Rows != v.RowsLoaded || testRows(d) != "0" {
		t.Errorf("took %d of %d rows out of %s", u.Rows, v.RowsLoaded, u.Undo.System)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	if v := apply(t, r, ecluse.Final); !v.Reconciled || v.Load.System == roomtest.PreProduction {
		t.Errorf("%+v", v.Load)
	}
	if _, err := r.Accept(t.Context(), desk.AcceptRequest{ForAll: "entered by hand", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	runDue(t, r)
	d.Verify(r)
	if out := script(t, d, d.Join("evidence")); !strings.HasPrefix(out, "OK\n") {
		t.Errorf("verify.sh:\n%s", out)
	}

	statements, err := filepath.Glob(d.Join("evidence", "statements", "target-*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range statements {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(`{"ecluse":"`+gate.UndoFormat)) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	if out := script(t, d, d.Join("evidence")); strings.HasPrefix(out, "OK\n") {
		t.Error("evidence without the word that the rehearsal is out passes")
	}
}

// TestOnlyNamedTestBases (AC-15): there is no test base but the one that the controller
// names in the instruction and that the target gate's own settings have under that name.
func TestOnlyNamedTestBases(t *testing.T) {
	t.Parallel()
	d := roomtest.Trying(t, roomtest.Sealed, patients)
	settings := d.Read("room", "target", "gate.yaml")
	for name, edit := range map[string][2]string{
		"no test base":           {"rehearsal: {", "# {"},
		"one under another name": {roomtest.PreProduction, "FORMATION"},
	} {
		d.Write(bytes.Replace(settings, []byte(edit[0]), []byte(edit[1]), 1), "room", "target", "gate.yaml")
		_, err := d.Open().Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Rehearsal})
		if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "test base") {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.Write(bytes.Replace(settings, []byte("../../"+roomtest.TestBase), []byte("../../novalab.db"), 2), "room", "target", "gate.yaml")
	_, err := d.Open().Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Rehearsal})
	if ecluse.KindOf(err) != ecluse.Invalid || !strings.Contains(err.Error(), "the gate's own database") {
		t.Errorf("the database where people work as a test base: %v", err)
	}
	if err := os.Symlink("novalab.db", d.Join("other.db")); err != nil {
		t.Fatal(err)
	}
	d.Write(bytes.Replace(settings, []byte("../../"+roomtest.TestBase), []byte("../../other.db"), 2), "room", "target", "gate.yaml")
	_, err = d.Open().Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Rehearsal})
	if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "under another name") {
		t.Errorf("the database where people work, by a link: %v", err)
	}

	d.Write(settings, "room", "target", "gate.yaml")
	r := d.Open()
	planFor(t, d, r, ecluse.Rehearsal, roomtest.Marc)
	d.Write(bytes.Replace(settings, []byte(roomtest.PreProduction), []byte("FORMATION"), 1), "room", "target", "gate.yaml")
	_, err = d.Open().Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Rehearsal})
	wantError(t, err, ecluse.Refused)
	if testRows(d) != "0" {
		t.Error("it was loaded all the same")
	}
}

// TestRehearsalEnds: nobody undoes it, and the lock has it undone when its days are over,
// counted from when it began and never past the erasure.
func TestRehearsalEnds(t *testing.T) {
	t.Parallel()
	d := roomtest.Trying(t, roomtest.Sealed, patients)
	r := d.Open()
	planFor(t, d, r, ecluse.Rehearsal, roomtest.Marc)
	begun := time.Now()
	apply(t, r, ecluse.Rehearsal)
	at := d.Query("room/lock/control.db", "SELECT (at - "+strconv.FormatInt(begun.UnixMilli(), 10)+") / 3600000 FROM due WHERE kind = 'rehearsal-end' AND subject = 'rehearsal-1'")
	if len(at) != 1 || at[0] != "168" && at[0] != "167" && at[0] != "169" {
		t.Errorf("it ends after %v hours, want seven days", at)
	}
	// A corrected mapping that is signed meanwhile keeps nothing in the test base.
	corrected := append(d.Read("mapping.yaml"), "# corrected\n"...)
	d.Write(corrected, "mapping.yaml")
	if _, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join("mapping.yaml"), Text: corrected, Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	isDue(d, "rehearsal-end")
	runDue(t, r)
	if p := place(t, r); p.Passage != procedure.Undone || testRows(d) != "0" {
		t.Errorf("it stands at %+v with %s patients", p, testRows(d))
	}
	said, err := r.Lock().Posted(t.Context(), roomtest.Migration, exchange.UndoReport)
	if err != nil || len(said) != 1 {
		t.Fatalf("%d statements, %v", len(said), err)
	}
	var u gate.UndoStatement
	if err := evidence.ParseStatement(said[0], r.Gate(exchange.TargetPlace), gate.UndoFormat, &u); err != nil || u.System != roomtest.PreProduction {
		t.Errorf("%+v: %v", u, err)
	}
}

// TestCorrections: three mistakes of the mapping are corrected one by one over the same
// sealed chunks. Each plan is shown as the difference from the one tried before, nothing
// is read twice, and what is loaded in the end is what the right mapping loads.
func TestCorrections(t *testing.T) {
	t.Parallel()
	d := roomtest.Trying(t, roomtest.Sealed, patients)
	r := d.Open()
	chunks := strings.Join(chamberFiles(t, d), "\n")
	right := string(d.Read("mapping.yaml"))
	mistakes := [][3]string{
		{"parse_date(DATNAIS, 'DD/MM/YYYY')", "parse_date(DATNAIS, 'MM/DD/YYYY')", "column birth_date"},
		{"given_name: PRENOM", "given_name: NOM", "column given_name"},
		{"'pending' : 'final'", "'final' : 'pending'", "column status"},
	}
	with := func(n int) []byte {
		text := right
		for _, m := range mistakes[:n] {
			if !strings.Contains(text, m[0]) {
				t.Fatalf("the mapping has no %s", m[0])
			}
			text = strings.Replace(text, m[0], m[1], 1)
		}
		return []byte(text)
	}
	sign := func(text []byte) {
		t.Helper()
		d.Write(text, "mapping.yaml")
		if _, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join("mapping.yaml"), Text: text, Key: d.Key(roomtest.Marc)}); err != nil {
			t.Fatal(err)
		}
	}
	var rejected []int64
	for n, kind := range []ecluse.PassageKind{ecluse.Dry, ecluse.Dry, ecluse.Rehearsal, ecluse.Rehearsal} {
		sign(with(3 - n))
		p := planFor(t, d, r, kind, roomtest.Marc)
		switch {
		case n == 0 && p.Since != nil:
			t.Errorf("the first plan is shown as the difference from %s", p.Since.Passage)
		case n > 0 && (p.Since == nil || p.Since.SameMapping || p.Since.RowsRejected != rejected[n-1]):
			t.Errorf("correction %d: %+v", n, p.Since)
		case n > 0:
			for _, c := range p.Since.Changes { // of the column, and of what is read for it
				if c.What != mistakes[3-n][2] && c.What != "reads" || c.Before == "" || c.After == "" {
					t.Errorf("correction %d is shown as %+v", n, c)
				}
			}
			if !slices.ContainsFunc(p.Since.Changes, func(c mandate.Change) bool { return c.What == mistakes[3-n][2] }) {
				t.Errorf("correction %d is not shown: %+v", n, p.Since.Changes)
			}
		}
		v := apply(t, r, kind)
		if v.Read != nil {
			t.Errorf("%s read the source again", v.Passage)
		}
		rejected = append(rejected, v.RowsRejected)
		if kind == ecluse.Rehearsal {
			if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Marc)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if rejected[2] <= rejected[3] {
		t.Errorf("put aside, mistake by mistake: %v", rejected)
	}
	p := planFor(t, d, r, ecluse.Final, roomtest.Claire)
	if p.Since == nil || !p.Since.SameMapping || len(p.Since.Changes) != 0 || p.Since.Passage.String() != "rehearsal-2" {
		t.Errorf("the final plan against what was rehearsed: %+v", p.Since)
	}
	if v := apply(t, r, ecluse.Final); !v.Reconciled || v.RowsRejected != rejected[3] {
		t.Errorf("%+v", v.Load)
	}
	if got, _ := d.Facts(); got != loadedFacts(t, patients) {
		t.Error("the target holds other rows than the right mapping loads")
	}
	if strings.Join(chamberFiles(t, d), "\n") != chunks {
		t.Error("the sealed chunks are not the same")
	}
}

// chamberFiles are the sealed chunks, by name, size and time.
func chamberFiles(t *testing.T, d *roomtest.Dir) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(d.Join("room", "lock", "chamber"), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.Contains(path, "reject") {
			return err
		}
		at, err := e.Info()
		if err == nil {
			all = append(all, path+" "+strconv.FormatInt(at.Size(), 10)+" "+at.ModTime().String())
		}
		return err
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("%d files in the chamber, %v", len(all), err)
	}
	return all
}

// TestReportOfTheLast: after a rehearsal that was undone and a dry run, report and rejects
// are the dry run's, and those of the rehearsal are shown when asked for.
func TestReportOfTheLast(t *testing.T) {
	t.Parallel()
	d := roomtest.Trying(t, roomtest.Approved, patients)
	r := d.Open()
	planFor(t, d, r, ecluse.Rehearsal, roomtest.Marc)
	apply(t, r, ecluse.Rehearsal)
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	planDry(t, d, r)
	apply(t, r, ecluse.Dry)
	for asked, want := range map[string]string{"": "dry-1", "dry-1": "dry-1", "rehearsal-1": "rehearsal-1"} {
		report, err := r.Report(t.Context(), roomtest.Migration, asked)
		if err != nil || report.Passage.String() != want || (report.Extract != nil) != (want == "dry-1") {
			t.Errorf("report of %q: %+v, %v", asked, report, err)
		}
		rejects, err := r.Rejects(t.Context(), roomtest.Migration, asked)
		if err != nil || rejects.Passage.String() != want {
			t.Errorf("rejects of %q: %+v, %v", asked, rejects, err)
		}
	}
	_, err := r.Report(t.Context(), roomtest.Migration, "final-1")
	wantError(t, err, ecluse.Invalid)
	if e := (*ecluse.Error)(nil); !errors.As(err, &e) || e.Next != "there are reports of rehearsal-1, dry-1" {
		t.Errorf("%+v", e)
	}
}

// TestRehearsalInAnotherBase: where gate.yaml names another base under the same system when
// a rehearsal is undone, real patients would stay in the one it was loaded into, and nobody
// would know. The gate knows its base again; nothing is signed before it sees it.
func TestRehearsalInAnotherBase(t *testing.T) {
	t.Parallel()
	d := roomtest.Trying(t, roomtest.Sealed, 40)
	empty := d.Read(roomtest.TestBase)
	r := d.Open()
	planFor(t, d, r, ecluse.Rehearsal, roomtest.Marc)
	apply(t, r, ecluse.Rehearsal)
	loaded := testRows(d)
	r.Close()
	d.Write(empty, "elsewhere.db")
	settings := d.Read("room", "target", "gate.yaml")
	d.Write(bytes.ReplaceAll(settings, []byte("../../"+roomtest.TestBase), []byte("../../elsewhere.db")), "room", "target", "gate.yaml")
	r = d.Open()
	_, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Marc)})
	wantError(t, err, ecluse.Refused)
	if !strings.Contains(err.Error(), "another one") || testRows(d) != loaded || place(t, r).Passage != procedure.Undoing {
		t.Fatalf("%v; %s rows; %+v", err, testRows(d), place(t, r))
	}
	if all, err := r.Lock().Posted(t.Context(), roomtest.Migration, exchange.UndoReport); err != nil || len(all) > 0 {
		t.Errorf("%d statements of an undoing, %v", len(all), err)
	}
	r.Close()
	d.Write(settings, "room", "target", "gate.yaml")
	r = d.Open()
	defer r.Close()
	u, err := r.Undo(t.Context(), desk.UndoRequest{})
	if err != nil || u.Undo.Chunks == 0 || testRows(d) != "0" {
		t.Errorf("%+v, %v; %s rows", u, err, testRows(d))
	}
}

// TestUndoInAnotherBase: a load goes on in the database that it began in, and is taken out
// of that one and no other.
func TestUndoInAnotherBase(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 40)
	empty := d.Read("novalab.db")
	r := d.Open()
	apply(t, r, ecluse.Final)
	r.Close()
	full := d.Read("novalab.db")
	d.Write(empty, "novalab.db")
	r = d.Open()
	_, target := gates(t, d, r.Lock())
	_, err := target.Load(t.Context(), roomtest.Migration, ecluse.Passage{Kind: ecluse.Final, Number: 1}, 0, nil)
	wantError(t, err, ecluse.Refused)
	if target.Close(); len(d.Query("novalab.db", "SELECT 1 FROM patient LIMIT 1")) > 0 {
		t.Error("a load goes on in a database that it did not begin in")
	}
	_, err = r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)})
	wantError(t, err, ecluse.Refused)
	r.Close()
	d.Write(full, "novalab.db")
	r = d.Open()
	defer r.Close()
	if u, err := r.Undo(t.Context(), desk.UndoRequest{}); err != nil || u.Undo.Chunks == 0 {
		t.Errorf("%+v, %v", u, err)
	}
}

// TestBaseWithAnotherMark: a base in which a passage of the same name began, but not by this
// gate's ledger, such as a copy of another night's, is another one: nothing is loaded into it
// and nothing is taken out.
func TestBaseWithAnotherMark(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Loaded, 3)
	ledger := string(d.Read("room", "target", "ledger.json"))
	marked := regexp.MustCompile(`"final-1": "([A-Z2-7]{20,})"`)
	found := marked.FindAllStringSubmatch(ledger, -1)
	if len(found) != 1 {
		t.Fatalf("%d marks in the ledger", len(found))
	}
	d.Write([]byte(strings.Replace(ledger, found[0][1], strings.Repeat("A", len(found[0][1])), 1)), "room", "target", "ledger.json")
	before, _ := d.Facts()
	r := d.Open()
	defer r.Close()
	source, target := gates(t, d, r.Lock())
	_, err := target.Load(t.Context(), roomtest.Migration, ecluse.Passage{Kind: ecluse.Final, Number: 1}, 0, nil)
	wantError(t, err, ecluse.Refused)
	if err == nil || !strings.Contains(err.Error(), "another one") {
		t.Errorf("loaded into another base: %v", err)
	}
	if err := errors.Join(source.Close(), target.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)}); err == nil || !strings.Contains(err.Error(), "another one") {
		t.Errorf("taken out of another base: %v", err)
	}
	if now, _ := d.Facts(); now != before {
		t.Error("the target changed")
	}
}

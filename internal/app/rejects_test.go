package app_test

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/sluice/reconcile"
)

// leftOut are the instructed rows of the old laboratory that are not in the new
// one, each as its columns' values, with the query that lists what did arrive.
var leftOut = map[ecluse.DatasetID]struct{ table, where, key, arrived string }{
	"prescriber": {"PRESCRIPTEUR", "1", "CAST(substr(CODE, 2) AS INTEGER)", "SELECT id FROM prescriber WHERE name <> 'déjà là'"},
	"patient":    {"PATIENT", "DERNVIS >= 20150101", "NUMPAT", "SELECT id FROM patient"},
	"request":    {"DEMANDE", instructed, "NUMDEM", "SELECT id FROM request"},
	"result":     {"RESULTAT", "NUMDEM IN (SELECT NUMDEM FROM DEMANDE WHERE " + instructed + ")", "NUMRES", "SELECT id FROM observation"},
}

const instructed = "SAISIE >= 20150101 AND SAISIE < 20201101 AND NUMPAT IN (SELECT NUMPAT FROM PATIENT WHERE DERNVIS >= 20150101)"

// TestRejects: the laboratory sees exactly the rows that the mapping and the
// target refused, with the values that stand in the old database, and nothing
// that is written holds one of them.
func TestRejects(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, patients)
	c := d.Plant()
	d.Exec("novalab.db", `INSERT INTO prescriber (id, code, name) VALUES (3, 'P003', 'déjà là')`) // and so the target refuses rows too
	r := d.Open()
	v := apply(t, r, ecluse.Final)

	got := map[ecluse.DatasetID][]string{}
	reasons := map[string]int64{}
	columns := map[ecluse.DatasetID][]string{}
	last := map[ecluse.DatasetID]int64{}
	seen, err := r.Beside(exchange.SourcePlace).Rejects(t.Context(), app.RejectsRequest{Key: d.Key(roomtest.Claire)}, func(x *gate.Rejected) error {
		var names, values []string
		for _, cell := range x.Cells {
			names = append(names, cell.Column)
			value := "‹" + cell.Text + "›"
			if cell.Null {
				value = "null"
			}
			values = append(values, value)
		}
		columns[x.Dataset] = names
		got[x.Dataset] = append(got[x.Dataset], strings.Join(values, "|"))
		reasons[fmt.Sprintf("%s %s", x.Dataset, x.Reason)]++
		if at, ok := last[x.Dataset]; ok && x.Ordinal <= at {
			t.Errorf("row %d of %s comes after row %d", x.Ordinal, x.Dataset, at)
		}
		last[x.Dataset] = x.Ordinal

		encoded, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{fmt.Sprintf("%v %+v %s", x, *x, x.Cells), string(encoded), slog.AnyValue(x).Resolve().String()} {
			if strings.Contains(s, c.Moved) {
				t.Errorf("a row prints what it holds")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen.Rows == 0 || seen.Rows != v.RowsRejected || seen.Reported == nil || *seen.Reported != seen.Rows || seen.Passage != v.Passage {
		t.Errorf("%d rows of %s shown, %d put aside", seen.Rows, seen.Passage, v.RowsRejected)
	}
	for _, g := range v.Load.Compared.Rejected {
		n := reasons[fmt.Sprintf("%s %s", g.Dataset, g.By)]
		if n == 0 || (g.Count != "<10" || n >= 10) && g.Count != reconcile.MaskedBeside && g.Count != fmt.Sprint(n) {
			t.Errorf("%s, %s: %d rows shown, the report says %s", g.Dataset, g.By, n, g.Count)
		}
		delete(reasons, fmt.Sprintf("%s %s", g.Dataset, g.By))
	}
	if len(reasons) > 0 {
		t.Errorf("reasons that the report does not know: %v", reasons)
	}
	moved := false
	for set, x := range leftOut {
		if len(got[set]) == 0 {
			t.Errorf("no row of %s", set)
			continue
		}
		var texts []string
		for _, name := range columns[set] {
			texts = append(texts, "ifnull('‹' || "+name+" || '›', 'null')")
		}
		arrived := strings.Join(d.Query("novalab.db", x.arrived), ",")
		want := d.Query("ancilab.db", "SELECT "+strings.Join(texts, " || '|' || ")+" FROM "+x.table+" WHERE "+x.where+" AND ("+x.key+") NOT IN ("+arrived+")")
		slices.Sort(want)
		slices.Sort(got[set])
		if !slices.Equal(want, got[set]) {
			t.Errorf("%s: %d rows shown, %d left out of the new database, and they differ", set, len(got[set]), len(want))
		}
		for _, row := range got[set] {
			moved = moved || strings.Contains(row, c.Moved)
			if strings.Contains(row, c.Refused) {
				t.Errorf("%s: a column that is not instructed was shown", set)
			}
		}
	}
	if !moved {
		t.Error("no canary was shown: this test looks for nothing")
	}
	if leaks := d.Leaks(c); len(leaks) > 0 {
		t.Errorf("found in %v", leaks)
	}
	leaves := d.Query("room/lock/control.db", "SELECT text FROM leaf WHERE tree = '"+string(roomtest.Migration)+"' ORDER BY idx DESC LIMIT 1")
	who := d.Query("room/lock/control.db", "SELECT count(*) FROM body JOIN leaf USING (tree, idx) WHERE CAST(leaf.text AS TEXT) LIKE '%rejects-shown%' AND CAST(body.text AS TEXT) LIKE '%"+roomtest.Claire+"%'")
	if !slices.Equal(who, []string{"1"}) {
		t.Errorf("the journal does not say who looked: %v", who)
	}
	for _, want := range []string{`"rejects-shown"`, `"act":"sha256:`, fmt.Sprintf(`"rows":%d`, seen.Rows), `"passage":"final-1"`} {
		if !strings.Contains(leaves[0], want) {
			t.Errorf("the journal does not say that somebody looked: no %s in %s", want, leaves[0])
		}
	}
	sameShapes(t, d, r, v.Load.Compared.Shapes)
	if _, err := r.Beside(exchange.SourcePlace).Rejects(t.Context(), app.RejectsRequest{Passage: "final-2", Key: d.Key(roomtest.Claire)}, nil); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("a passage that never began: %v", err)
	}
}

// sameShapes: the laboratory's counts by column and shape are those of the rows that
// were put aside, and others are told none that fewer than ten rows have.
func sameShapes(t *testing.T, d *roomtest.Dir, r *app.Room, told []reconcile.PublicShaped) {
	t.Helper()
	type at struct {
		set        ecluse.DatasetID
		by, column string
		shape      reconcile.Shape
	}
	rows := map[at]int64{}
	_, err := r.Beside(exchange.SourcePlace).Rejects(t.Context(), app.RejectsRequest{Key: d.Key(roomtest.Claire)}, func(x *gate.Rejected) error {
		for _, c := range x.Cells {
			shape := reconcile.ShapeOf(c.Text)
			if c.Null {
				shape = reconcile.ShapeNull
			}
			rows[at{x.Dataset, x.Reason, c.Column, shape}]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	x, err := r.Beside(exchange.SourcePlace).ReportExact(t.Context(), "", d.Key(roomtest.Claire))
	if err != nil {
		t.Fatal(err)
	}
	rare := 0
	sums := map[[3]string]int64{}
	for _, s := range x.Exact.Shapes {
		if n := rows[at{s.Dataset, s.By, s.Column, s.Shape}]; n != s.Count || n == 0 {
			t.Errorf("%s, %s, %s %s: %d, and %d rows lie there", s.Dataset, s.By, s.Column, s.Shape, s.Count, n)
		}
		if s.Count < 10 {
			rare++
		}
		sums[[3]string{string(s.Dataset), s.By, s.Column}] += s.Count
	}
	if rare == 0 || len(told) == 0 {
		t.Errorf("%d rare shapes of %d, %d told: this test looks at nothing", rare, len(x.Exact.Shapes), len(told))
	}
	for _, s := range told {
		if s.Shape == reconcile.ShapeOther {
			continue
		}
		if n := rows[at{s.Dataset, s.By, s.Column, s.Shape}]; n < 10 || s.Count != fmt.Sprint(n) {
			t.Errorf("%s, %s, %s: a shape of %d rows is told", s.Dataset, s.By, s.Column, n)
		}
	}
	for _, g := range x.Exact.Rejected { // each reason of a column has all its rows
		for of, n := range sums {
			if of[0] == string(g.Dataset) && of[1] == g.By && n != g.Count {
				t.Errorf("%v: %d rows by shape, %d put aside", of, n, g.Count)
			}
		}
	}
}

// TestRejectsOfEachPassage: a dry run's rows and a load's are shown apart.
func TestRejectsOfEachPassage(t *testing.T) {
	t.Parallel()
	d := roomtest.Trying(t, roomtest.Approved, patients)
	r := d.Open()
	_, err := r.Beside(exchange.SourcePlace).Rejects(t.Context(), app.RejectsRequest{Key: d.Key(roomtest.Claire)}, nil)
	wantError(t, err, ecluse.Invalid)
	planDry(t, d, r)
	apply(t, r, ecluse.Dry)
	count := func(passage string) int64 {
		t.Helper()
		v, err := r.Beside(exchange.SourcePlace).Rejects(t.Context(), app.RejectsRequest{Passage: passage, Key: d.Key(roomtest.Claire)}, func(*gate.Rejected) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		return v.Rows
	}
	dry := count("")
	if dry == 0 || count("dry-1") != dry {
		t.Errorf("%d rows of the dry run", dry)
	}
}

// TestRejectsRelease: a person of the controller's lets others see one row, masked; what
// they see holds nothing of it, is signed by the gate, and carries who did it.
func TestRejectsRelease(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, patients)
	c := d.Plant()
	r := d.Open()
	apply(t, r, ecluse.Final)
	gateSide := r.Beside(exchange.SourcePlace)
	var row *gate.Rejected
	_, err := gateSide.Rejects(t.Context(), app.RejectsRequest{Key: d.Key(roomtest.Claire)}, func(x *gate.Rejected) error {
		for _, cell := range x.Cells {
			if strings.Contains(cell.Text, c.Moved) {
				row = x
			}
		}
		return nil
	})
	if err != nil || row == nil {
		t.Fatalf("no row with a canary: %v", err)
	}

	// Whoever is not of the controller's people, or holds no key, sees and releases nothing.
	nothing := func(*gate.Rejected) error {
		t.Error("a row was shown")
		return nil
	}
	for name, key := range map[string]ssh.Signer{"the processor's": d.Key(roomtest.Marc), "nobody's": nobody(t), "none": nil} {
		_, err := gateSide.Rejects(t.Context(), app.RejectsRequest{Key: key}, nothing)
		want := ecluse.Refused
		if key == nil {
			want = ecluse.WaitsForSign
		}
		if ecluse.KindOf(err) != want {
			t.Errorf("with a key that is %s: %v", name, err)
		}
		if _, err := gateSide.Release(t.Context(), app.RejectsRequest{Key: key}, row.Dataset, row.Ordinal); ecluse.KindOf(err) != want {
			t.Errorf("released with a key that is %s: %v", name, err)
		}
		if _, err := gateSide.ReportExact(t.Context(), "", key); ecluse.KindOf(err) != want {
			t.Errorf("exact figures with a key that is %s: %v", name, err)
		}
	}
	if _, err := gateSide.Release(t.Context(), app.RejectsRequest{Key: d.Key(roomtest.Claire)}, row.Dataset, 1<<40); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("a row that was not put aside: %v", err)
	}
	if v, err := r.Rejects(t.Context(), "", ""); err != nil || len(v.Released) != 0 || len(v.Shapes) == 0 {
		t.Fatalf("%+v, %v: nothing was released yet", v, err)
	}

	released, err := gateSide.Release(t.Context(), app.RejectsRequest{Key: d.Key(roomtest.Claire)}, row.Dataset, row.Ordinal)
	if err != nil {
		t.Fatal(err)
	}
	v, err := r.Rejects(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Released) != 1 || v.Released[0].By != roomtest.Claire || v.Released[0].Act != released.ActDigest {
		t.Fatalf("others see %+v", v.Released)
	}
	// Of the columns the one behind the reason, and no other.
	if cells := v.Released[0].Row.Cells; len(cells) != 1 || len(row.Cells) < 2 || !slices.ContainsFunc(row.Cells, func(c gate.Cell) bool {
		want := reconcile.ShapeOf(c.Text)
		if c.Null {
			want = reconcile.ShapeNull
		}
		return c.Column == cells[0].Column && want.String() == cells[0].Shape
	}) || !slices.ContainsFunc(v.Shapes, func(s reconcile.PublicShaped) bool {
		return s.By == row.Reason && s.Column == cells[0].Column
	}) {
		t.Errorf("of a row of %d columns, put aside for %q, others see %+v", len(row.Cells), row.Reason, v.Released[0].Row)
	}
	leaves := strings.Join(d.Query("room/lock/control.db", "SELECT text FROM leaf WHERE tree = '"+string(roomtest.Migration)+"'"), "\n")
	if !strings.Contains(leaves, `"reject-released"`) || !strings.Contains(leaves, released.ActDigest.String()) {
		t.Error("the journal does not say that it was released, and by which act")
	}
	if leaks := d.Leaks(c); len(leaks) > 0 {
		t.Errorf("found in %v", leaks)
	}

	// It is evidence; a statement whose act is of another row is not.
	if _, err := r.Erase(t.Context(), desk.Order{Because: "released", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	d.Verify(r)
	found, _ := filepath.Glob(d.Join("evidence", "statements", "source-*.json"))
	if !slices.ContainsFunc(found, func(f string) bool {
		text, err := os.ReadFile(f)
		return err == nil && strings.HasPrefix(string(text), `{"ecluse":"released/v1"`)
	}) {
		t.Error("the evidence does not have the released row")
	}
}

func nobody(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestRejectsErased: after erasure there is nothing to show, and it says so.
func TestRejectsErased(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Erased, 40)
	_, err := d.Open().Beside(exchange.SourcePlace).Rejects(t.Context(), app.RejectsRequest{Key: d.Key(roomtest.Claire)}, func(*gate.Rejected) error {
		t.Error("a row was shown")
		return nil
	})
	wantError(t, err, ecluse.Refused)
	if err == nil || !strings.Contains(err.Error(), "erased on") {
		t.Errorf("it does not say when: %v", err)
	}
}

// TestRejectsBad: what was put aside is believed only as the target gate signed it.
func TestRejectsBad(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Loaded, patients)
	r := d.Open()
	objects, err := filepath.Glob(d.Join("room", "lock", "chamber", "live", string(roomtest.Migration), "rejects", "objects", "*.age"))
	if err != nil || len(objects) == 0 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	for _, path := range objects {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		body[len(body)/2] ^= 1
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err = r.Beside(exchange.SourcePlace).Rejects(t.Context(), app.RejectsRequest{Key: d.Key(roomtest.Claire)}, func(*gate.Rejected) error {
		t.Error("a row of a damaged chunk was shown")
		return nil
	})
	wantError(t, err, ecluse.Unverified)
}

// TestExactFigures: the laboratory sees small counts and which keys of a check
// differ, with both figures; the processor's report has neither.
func TestExactFigures(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, patients)
	c := roomtest.Canaries{Refused: "REFUSE-JAMAISPLANTE", Moved: "CLE-QWXZKJVYPLMN"} // a key of the target's that no table of codes knows
	d.Exec("novalab.db",                                                              // rows that stood there before, which checks count too
		`INSERT INTO test (code, label) VALUES ('`+c.Moved+`', 'déjà là')`,
		`INSERT INTO prescriber (id, code, name) VALUES (900001, 'LA', 'déjà là')`,
		`INSERT INTO patient (id, family_name, birth_date) VALUES (900001, 'déjà là', '1970-01-01')`,
		`INSERT INTO request (id, accession, patient_id, prescriber_id) VALUES (900001, 'LA', 900001, 900001)`,
		`INSERT INTO observation (id, request_id, test_code, status) VALUES (900001, 900001, '2345-7', 'final')`,
		`INSERT INTO observation (id, request_id, test_code, status) VALUES (900002, 900001, '`+c.Moved+`', 'final')`)
	r := d.Open()
	v := apply(t, r, ecluse.Final)
	if v.Reconciled {
		t.Fatal("the checks count rows that were not loaded, and are equal")
	}
	x, err := r.Beside(exchange.SourcePlace).ReportExact(t.Context(), "", d.Key(roomtest.Claire))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{}
	_, err = r.Beside(exchange.SourcePlace).Rejects(t.Context(), app.RejectsRequest{Key: d.Key(roomtest.Claire)}, func(row *gate.Rejected) error {
		counts[fmt.Sprintf("%s %s", row.Dataset, row.Reason)]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	small := 0
	for i, g := range x.Exact.Rejected {
		if n := counts[fmt.Sprintf("%s %s", g.Dataset, g.By)]; n != g.Count {
			t.Errorf("%s, %s: %d, and %d rows lie there", g.Dataset, g.By, g.Count, n)
		}
		if told := v.Load.Compared.Rejected[i].Count; told == "<10" || told == reconcile.MaskedBeside {
			small++
		}
	}
	if small == 0 || len(x.Exact.Rejected) != len(counts) {
		t.Errorf("%d reasons, %d of them masked, of %d", len(x.Exact.Rejected), small, len(counts))
	}
	for _, check := range x.Exact.Checks {
		want := "GLY"
		if check.Name != "results_per_code" {
			want = ""
		}
		lines := check.Off
		if want != "" && len(lines) > 0 {
			if l := lines[0]; l.Key != c.Moved || !l.Unknown || l.Source != nil || *l.Target != 1 {
				t.Errorf("%s: the code that the source does not know is not there", check.Name)
			}
			lines = lines[1:]
		}
		if len(lines) != 1 {
			t.Errorf("%s: %d lines differ", check.Name, len(check.Off))
			continue
		}
		l := lines[0]
		if l.Source == nil || l.Target == nil || *l.Target != *l.Source+1 || l.Key != want {
			t.Errorf("%s: source and target of key %q", check.Name, l.Key)
		}
	}
	if text := fmt.Sprintf("%v %+v", gate.Exact{Figures: x.Exact}, &gate.Exact{Figures: x.Exact}); strings.Contains(text, c.Moved) {
		t.Errorf("exact figures print themselves: %s", text)
	}
	public, err := json.Marshal(v)
	if err != nil || strings.Contains(string(public), c.Moved) {
		t.Errorf("the processor is told a key: %v", err)
	}
	if leaks := d.Leaks(c); len(leaks) > 0 {
		t.Errorf("found in %v", leaks)
	}

	// What was sealed is erased, listed and verified like all else.
	if _, err := r.Erase(t.Context(), desk.Order{Because: "looked at", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	d.Verify(r)
	if _, err := os.Stat(d.Join("evidence", "rejects", "ecluse.exact.final-1", "000000.0.json")); err != nil {
		t.Errorf("the evidence does not list the exact figures: %v", err)
	}
	_, err = r.Beside(exchange.SourcePlace).ReportExact(t.Context(), "", d.Key(roomtest.Claire))
	wantError(t, err, ecluse.Refused)
}

package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/gate"
	"ecluse/internal/procedure"
	"ecluse/internal/sluice/reconcile"
)

// changes is what happens in the old laboratory after it was read: patients, requests and
// results come, change and go, and rows stand elsewhere than before.
func changes() []string {
	return []string{
		"INSERT INTO PATIENT (NUMPAT, NOM, PRENOM, SEXE, DATNAIS, DERNVIS) VALUES (900001, 'ZQX-NEUF', 'Ada', 'F', '03/02/1970', 20200101)",
		"INSERT INTO DEMANDE (NUMDEM, NUMPAT, CODPRESC, SAISIE, PRELEVE) SELECT 900001, 900001, CODPRESC, SAISIE, PRELEVE FROM DEMANDE WHERE SAISIE BETWEEN 20150101 AND 20201031 AND CODPRESC IS NOT NULL LIMIT 1",
		"INSERT INTO RESULTAT (NUMRES, NUMDEM, CODE, VALEUR, UNITE, VALIDE) SELECT 900001, 900001, CODE, VALEUR, UNITE, VALIDE FROM RESULTAT LIMIT 1",
		"UPDATE PATIENT SET NOM = 'ZQX-' || NOM WHERE NUMPAT % 97 = 3",
		"UPDATE RESULTAT SET VALEUR = '7,77' WHERE NUMRES % 211 = 5 AND VALEUR LIKE '%,%'",
		"UPDATE RESULTAT SET CODE = 'INCONNU' WHERE NUMRES % 503 = 7",
		"DELETE FROM RESULTAT WHERE NUMRES % 307 = 11",
		"DELETE FROM RESULTAT WHERE NUMDEM IN (SELECT NUMDEM FROM DEMANDE WHERE NUMDEM % 101 = 9)",
		"DELETE FROM DEMANDE WHERE NUMDEM % 101 = 9",
		"UPDATE PATIENT SET NUMPAT = NUMPAT + 500000 WHERE NUMPAT % 89 = 1",
		"UPDATE DEMANDE SET NUMPAT = NUMPAT + 500000 WHERE NUMPAT % 89 = 1",
		"VACUUM",
	}
}

func caughtUp(t *testing.T, d *roomtest.Dir) *desk.Applied {
	t.Helper()
	r := d.Open()
	defer r.Close()
	v, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestCatchUp: what was loaded and brought up to the changes is what would have been loaded
// after them; only what changed is sealed, and it is proven, accepted and evident.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	d, oracle := roomtest.CatchingUp(t, roomtest.Loaded, patients, 2), roomtest.CatchingUp(t, roomtest.Ready, patients, 2)
	d.Exec("ancilab.db", changes()...)
	oracle.Exec("ancilab.db", changes()...)

	v := caughtUp(t, d)
	if !v.Reconciled || v.Read == nil || v.Read.Reading != 1 || len(v.Read.Changed) != 3 || v.Load.Reading != 1 {
		t.Fatalf("%+v %+v %+v", v, v.Read, v.Load)
	}
	r := oracle.Open()
	once := apply(t, r, ecluse.Final)
	r.Close()
	if diff := cmp.Diff(once.Load.Compared.Rejected, v.Load.Compared.Rejected); diff != "" {
		t.Errorf("put aside (-after the changes +caught up):\n%s", diff)
	}
	again := func(g ecluse.MaskedGroup) bool { return strings.Contains(g.By, "not offered again") }
	if !slices.ContainsFunc(v.Load.Compared.Reported, again) {
		t.Error("rows that the target had refused are not offered again, and the report does not say so")
	}
	reported := slices.DeleteFunc(slices.Clone(v.Load.Compared.Reported), again)
	if diff := cmp.Diff(once.Load.Compared.Reported, reported, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("reported (-after the changes +caught up):\n%s", diff)
	}
	if diff := cmp.Diff(once.Load.Compared.Shapes, v.Load.Compared.Shapes, cmpopts.EquateComparable(reconcile.Shape{})); diff != "" {
		t.Errorf("shapes of what was put aside (-after the changes +caught up):\n%s", diff)
	}
	got, rows := d.Facts()
	want, wantRows := oracle.Facts()
	if got != want {
		t.Errorf("%d rows and other facts than the %d of a load after the changes", rows, wantRows)
	}

	// Nothing changed: nothing is sealed, and the passage stands as it was.
	v = caughtUp(t, d)
	if again, _ := d.Facts(); !v.Reconciled || len(v.Read.Changed) > 0 || again != got {
		t.Errorf("a catch-up without changes: %+v", v.Read)
	}
	r = d.Open()
	if _, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true}); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("a third catch-up where two are granted: %v", err)
	}
	if _, err := r.Accept(t.Context(), desk.AcceptRequest{ForAll: "entered by hand", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	if due, err := r.Due(t.Context()); err != nil || len(due.Failed) > 0 {
		t.Fatalf("%+v, %v", due, err)
	}
	if place(t, r).Migration != procedure.Erased {
		t.Errorf("the migration is %s", place(t, r).Migration)
	}
	d.Verify(r)
	r.Close()
}

// TestCatchUpIsRefusedOverEdits: what people changed in the new software is not overwritten.
// Nothing is changed then; the passage is undone and loaded again as the source is now,
// without a row being read once more.
func TestCatchUpIsRefusedOverEdits(t *testing.T) {
	t.Parallel()
	d, oracle := roomtest.CatchingUp(t, roomtest.Loaded, patients, 1), roomtest.CatchingUp(t, roomtest.Ready, patients, 1)
	d.Exec("ancilab.db", changes()...)
	oracle.Exec("ancilab.db", changes()...)
	edit := "family_name = family_name || ' ' WHERE id IN (SELECT id FROM patient WHERE id % 97 = 3 ORDER BY id LIMIT 1)"
	d.Exec("novalab.db", "UPDATE patient SET "+edit)
	before, _ := d.Facts()

	r := d.Open()
	_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true})
	if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "patient") {
		t.Fatalf("want the catch-up refused, got %v", err)
	}
	if after, _ := d.Facts(); after != before {
		t.Error("a catch-up that was refused changed the target")
	}
	d.Exec("novalab.db", "UPDATE patient SET family_name = rtrim(family_name) WHERE id % 97 = 3")
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	p, err := r.Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Approve(t.Context(), d.Read("room", "plans", filepath.Base(p.LoadFile)), d.Key(roomtest.Claire)); err != nil {
		t.Fatal(err)
	}
	v, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
	if err != nil {
		t.Fatal(err)
	}
	if !v.Reconciled || v.Read != nil || v.Load.Reading != 1 || len(v.Load.Unmapped) > 0 {
		t.Errorf("%+v %+v", v.Read, v.Load)
	}
	r.Close()
	oracleLoaded(t, oracle)
	got, _ := d.Facts()
	if want, _ := oracle.Facts(); got != want {
		t.Error("the load of what both readings sealed is not that of one reading after the changes")
	}
}

func oracleLoaded(t *testing.T, oracle *roomtest.Dir) {
	t.Helper()
	r := oracle.Open()
	defer r.Close()
	if _, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final}); err != nil {
		t.Fatal(err)
	}
}

// TestCatchUpWithCounters: where the mapping numbers rows, what did not change keeps its
// number, what came gets the next, and the passage is undone to what stood before, all of
// it across interruptions at every step.
func TestCatchUpWithCounters(t *testing.T) {
	t.Parallel()
	d := roomtest.CatchingUp(t, roomtest.Sealed, patients, 2)
	empty, _ := d.Facts()
	r := d.Open()
	text := strings.Replace(string(d.Read("mapping.yaml")), "id: NUMRES", "id: counter", 1)
	d.Write([]byte(text), "mapping.yaml")
	if _, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join("mapping.yaml"), Text: []byte(text), Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	apply(t, r, ecluse.Final)
	const numbered = "SELECT request_id || ' ' || test_code || ' ' || coalesce(value, '-') || ' ' || coalesce(validated_at, '-'), id FROM observation ORDER BY id"
	before := d.Query("novalab.db", strings.Replace(numbered, ", id FROM", " || ' ' || id FROM", 1))
	d.Exec("ancilab.db", changes()...)

	// Read, and the target gate stopped when what changed is in and its report is not; then
	// what it noted is lost.
	passage, err := r.BeginCatchUp(t.Context(), roomtest.Migration, ecluse.Final)
	if err != nil {
		t.Fatal(err)
	}
	source, target := gates(t, d, mute{r.Lock()})
	if _, err := source.Read(t.Context(), roomtest.Migration, 1, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := target.Load(t.Context(), roomtest.Migration, passage, 1, nil); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	if err := errors.Join(source.Close(), target.Close()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(d.Join("room", "target", "migrations", string(roomtest.Migration), "notes-final-1")); err != nil {
		t.Fatal(err)
	}
	v, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
	if err != nil {
		t.Fatal(err)
	}
	if !v.Reconciled || v.Load.Reading != 1 {
		t.Errorf("%+v", v.Load)
	}
	after := map[string]bool{}
	kept := 0
	for _, row := range d.Query("novalab.db", strings.Replace(numbered, ", id FROM", " || ' ' || id FROM", 1)) {
		after[row] = true
	}
	for _, row := range before {
		if after[row] {
			kept++
		}
	}
	if kept < len(before)*95/100 || kept == len(before) {
		t.Errorf("%d of %d rows kept their numbers", kept, len(before))
	}
	order(t, r, d)
	source, target = gates(t, d, &patientsOnce{Lock: r.Lock()})
	if _, err := target.Undo(t.Context(), roomtest.Migration, passage, nil); !errors.Is(err, errStopped) {
		t.Fatalf("want the undoing stopped half-way, got %v", err)
	}
	if err := errors.Join(source.Close(), target.Close()); err != nil {
		t.Fatal(err)
	}
	if left := d.Query("novalab.db", "SELECT (SELECT count(*) FROM observation) || ' ' || (SELECT count(*) > 0 FROM patient)"); left[0] != "0 1" {
		t.Errorf("half undone, the target has %v", left)
	}
	u, err := r.Undo(t.Context(), desk.UndoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if now, _ := d.Facts(); now != empty {
		t.Errorf("undone, the target does not stand as before: %+v", u.Undo)
	}
	r.Close()
}

// TestCatchUpNumbersFromWhereItBegan: a catch-up that is compared with a passage before it
// says from which chunk rows that came have other numbers, and not that all have.
func TestCatchUpNumbersFromWhereItBegan(t *testing.T) {
	t.Parallel()
	d := roomtest.CatchingUp(t, roomtest.Sealed, patients, 1)
	r := d.Open()
	defer r.Close()
	text := strings.Replace(string(d.Read("mapping.yaml")), "id: NUMRES", "id: counter", 1)
	d.Write([]byte(text), "mapping.yaml")
	if _, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join("mapping.yaml"), Text: []byte(text), Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	apply(t, r, ecluse.Final)
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	if n := apply(t, r, ecluse.Final).Load.Compared.Renumbered; n == nil || len(n.Tables) > 0 {
		t.Fatalf("loaded again: %+v", n)
	}
	d.Exec("ancilab.db", changes()[:3]...)
	v, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true})
	if err != nil {
		t.Fatal(err)
	}
	n := v.Load.Compared.Renumbered
	if n == nil || len(n.Tables) != 1 || n.Tables[0].Base || n.Tables[0].From.Dataset != ecluse.DatasetID("result").Changed(1) {
		t.Errorf("caught up: %+v", n)
	}
}

// patientsOnce gives the patients' chunk once, to see what changed in it, and no more.
type patientsOnce struct {
	gate.Lock
	given bool
}

func (l *patientsOnce) Get(ctx context.Context, m ecluse.MigrationID, s ecluse.Slot) (evidence.Signed, io.ReadCloser, error) {
	if s.Dataset == "patient" {
		if l.given {
			return evidence.Signed{}, nil, errStopped
		}
		l.given = true
	}
	return l.Lock.Get(ctx, m, s)
}

// TestCatchUpOfTableThatRefersToItself: rows that came with a later reading refer to older
// ones and older ones to them. The passage is undone all the same, and nothing of it stays.
func TestCatchUpOfTableThatRefersToItself(t *testing.T) {
	t.Parallel()
	d := roomtest.CatchingUp(t, roomtest.Sealed, patients, 1)
	d.Exec("novalab.db", "ALTER TABLE patient ADD COLUMN kin INTEGER REFERENCES patient (id)")
	empty, _ := d.Facts()
	const known = "SELECT NUMPAT || '' FROM PATIENT WHERE DERNVIS >= 20150101 AND DATNAIS GLOB '[0-3][0-9]/[01][0-9]/[12][0-9][0-9][0-9]' AND "
	changes, stays := d.Query("ancilab.db", known+"NUMPAT % 97 = 3 LIMIT 1")[0], d.Query("ancilab.db", known+"NUMPAT % 97 = 5 LIMIT 1")[0]
	r := d.Open()
	defer r.Close()
	text := strings.Replace(string(d.Read("mapping.yaml")), "        id: NUMPAT\n", "        id: NUMPAT\n        kin: \"NUMPAT == "+changes+" ? "+stays+" : "+changes+"\"\n", 1)
	d.Write([]byte(text), "mapping.yaml")
	if _, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join("mapping.yaml"), Text: []byte(text), Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	apply(t, r, ecluse.Final)
	d.Exec("ancilab.db", "UPDATE PATIENT SET NOM = 'ZQX-' || NOM WHERE NUMPAT % 97 = 3")
	v, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true})
	if err != nil {
		t.Fatal(err)
	}
	if !v.Reconciled || len(v.Read.Changed) != 1 {
		t.Errorf("%+v", v.Read)
	}
	if n := d.Query("novalab.db", "SELECT count(*) || '' FROM patient WHERE family_name LIKE 'ZQX-%' AND kin IN ("+changes+", "+stays+")"); n[0] == "0" {
		t.Error("nothing that changed refers to anything")
	}
	u, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)})
	if err != nil {
		t.Fatal(err)
	}
	if now, _ := d.Facts(); now != empty || len(u.Undo.Left) > 0 {
		t.Errorf("undone, the target does not stand as before: %+v", u.Undo)
	}
}

// TestCatchUpAgainAndAgain: after each of several readings of a source that changes at
// random, the target is what one load of the source as it is then makes; and so is a second
// passage, which loads what all readings sealed.
func TestCatchUpAgainAndAgain(t *testing.T) {
	t.Parallel()
	const times = 3
	d := roomtest.CatchingUp(t, roomtest.Loaded, patients, times)
	random := rand.New(rand.NewPCG(28, 11))
	for n := range times {
		var change []string
		for range 12 {
			mod, is := 3+random.IntN(200), random.IntN(3)
			at := fmt.Sprintf("%% %d = %d", mod, random.IntN(mod))
			change = append(change, []string{
				"UPDATE RESULTAT SET VALEUR = '" + fmt.Sprint(random.IntN(90)) + ",5' WHERE VALEUR LIKE '%,%' AND NUMRES " + at,
				"DELETE FROM RESULTAT WHERE NUMRES " + at,
				fmt.Sprintf("INSERT OR IGNORE INTO RESULTAT SELECT NUMRES + %d, NUMDEM, CODE, VALEUR, UNITE, DRAPEAU, VALIDE, BIOLOGISTE, COMMENTAIRE FROM RESULTAT WHERE NUMRES ", 1+random.IntN(9)) + at,
			}[is], "UPDATE PATIENT SET NOM = NOM || 'X' WHERE NUMPAT "+at,
				// What was so becomes so again: a row of an older chunk that is new in a later one.
				"UPDATE PATIENT SET PRENOM = CASE WHEN PRENOM = 'Ada' THEN 'Zoé' ELSE 'Ada' END WHERE NUMPAT % 11 = 4")
		}
		d.Exec("ancilab.db", change...)
		v := caughtUp(t, d)
		if !v.Reconciled || v.Load.Reading != n+1 {
			t.Fatalf("reading %d: %+v", n+1, v.Load.Compared)
		}
		laboratory := d.Open() // sees as many rows put aside as the report counts, which it demands
		if rows, err := shown(t, d, laboratory); err != nil || int64(len(rows)) != v.RowsRejected || len(rows) == 0 {
			t.Errorf("after reading %d %d rows put aside are shown, and the report counts %d: %v", n+1, len(rows), v.RowsRejected, err)
		}
		if err := laboratory.Close(); err != nil {
			t.Fatal(err)
		}
		oracle := roomtest.CatchingUp(t, roomtest.Ready, patients, times)
		if err := errors.Join(os.Remove(oracle.Join("ancilab.db")), os.CopyFS(oracle.Path, only{os.DirFS(d.Path), "ancilab.db"})); err != nil {
			t.Fatal(err)
		}
		oracleLoaded(t, oracle)
		want, _ := oracle.Facts()
		if got, _ := d.Facts(); got != want {
			t.Fatalf("after reading %d the target is not what a load now would make", n+1)
		}
		if n < times-1 {
			continue
		}
		r := d.Open()
		if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
			t.Fatal(err)
		}
		planFor(t, d, r, ecluse.Final, roomtest.Claire)
		apply(t, r, ecluse.Final)
		r.Close()
		if got, _ := d.Facts(); got != want {
			t.Error("a second passage is not what a load now would make")
		}
	}
}

// only is one file of a folder.
type only struct {
	fs.FS
	name string
}

func (o only) ReadDir(string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(o.FS, ".")
	return slices.DeleteFunc(all, func(e fs.DirEntry) bool { return e.Name() != o.name }), err
}

// TestCatchUpAfterOneThatWasRefused: what a reading found cannot come in, for rows that stay
// refer to one that goes and does not come again. Once the source is right, another reading
// brings both in at once.
func TestCatchUpAfterOneThatWasRefused(t *testing.T) {
	t.Parallel()
	d, oracle := roomtest.CatchingUp(t, roomtest.Loaded, patients, 2), roomtest.CatchingUp(t, roomtest.Ready, patients, 2)
	one := d.Query("novalab.db", "SELECT patient_id || '' FROM request WHERE patient_id % 89 <> 1 AND patient_id % 97 <> 3 AND id % 101 <> 9 LIMIT 1")[0]
	was := d.Query("ancilab.db", "SELECT DATNAIS FROM PATIENT WHERE NUMPAT = "+one)[0]
	d.Exec("ancilab.db", append(changes(), "UPDATE PATIENT SET DATNAIS = 'nonsense' WHERE NUMPAT = "+one)...)
	before, _ := d.Facts()
	r := d.Open()
	defer r.Close()
	up := desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true}
	if _, err := r.Apply(t.Context(), up); ecluse.KindOf(err) != ecluse.Refused {
		t.Fatalf("want the catch-up refused, got %v", err)
	}
	if now, _ := d.Facts(); now != before {
		t.Error("what was refused changed the target")
	}
	d.Exec("ancilab.db", "UPDATE PATIENT SET DATNAIS = '"+was+"' WHERE NUMPAT = "+one, "UPDATE RESULTAT SET VALEUR = '8,25' WHERE NUMRES % 57 = 2 AND VALEUR LIKE '%,%'")
	v, err := r.Apply(t.Context(), up)
	if err != nil || !v.Reconciled || v.Load.Reading != 2 {
		t.Fatalf("%+v, %v", v, err)
	}
	oracle.Exec("ancilab.db", append(changes(), "UPDATE RESULTAT SET VALEUR = '8,25' WHERE NUMRES % 57 = 2 AND VALEUR LIKE '%,%'")...)
	oracleLoaded(t, oracle)
	got, _ := d.Facts()
	if want, _ := oracle.Facts(); got != want {
		t.Error("two readings at once are not what a load now would make")
	}
}

// TestCatchUpGivenUp: a later reading that the source gate cannot end is given up with the
// passage; what was read before stands, and is loaded again.
func TestCatchUpGivenUp(t *testing.T) {
	t.Parallel()
	d := roomtest.CatchingUp(t, roomtest.Loaded, patients, 1)
	before, _ := d.Facts()
	r := d.Open()
	defer r.Close()
	d.Exec("ancilab.db", "UPDATE PATIENT SET NOM = 'ZQX-' || NOM", "ALTER TABLE RESULTAT RENAME COLUMN VALEUR TO VALEURS")
	if _, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true}); err == nil || place(t, r).Migration != procedure.Reading {
		t.Fatalf("want a reading that does not come to its end, got %v at %v", err, place(t, r))
	}
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	if p := place(t, r); p.Migration != procedure.Sealed {
		t.Fatalf("it is %s", p.Migration)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	apply(t, r, ecluse.Final)
	if now, _ := d.Facts(); now != before {
		t.Error("what was read before is not loaded again as it was")
	}
}

// TestCatchUpOfLookUps: codes that other rows are looked up in changed, and nothing else. The
// passage is not said to be caught up.
func TestCatchUpOfLookUps(t *testing.T) {
	t.Parallel()
	d := roomtest.CatchingUp(t, roomtest.Sealed, patients, 1)
	r := d.Open()
	defer r.Close()
	text := strings.Replace(string(d.Read("mapping.yaml")), "from:\n", "hold: {prescriber: {key: [CODE], rows: 10000}}\nfrom:\n", 1)
	cut := func(from, to, instead string) {
		i := strings.Index(text, from)
		j := i + strings.Index(text[i:], to)
		text = text[:i] + instead + text[j:]
	}
	cut("  prescriber:\n    - into", "  patient:\n", "") // looked up, and loaded nowhere
	cut("        prescriber_id:", "        collected_at:", "")
	cut("        collected_at:", "  result:\n", "        collected_at: {value: \"prescriber[CODPRESC].NOM\", miss: \"null\", report: no prescriber}\n")
	d.Write([]byte(text), "mapping.yaml")
	if _, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join("mapping.yaml"), Text: []byte(text), Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	apply(t, r, ecluse.Final)
	d.Exec("ancilab.db", "UPDATE PRESCRIPTEUR SET NOM = NOM || ' X' WHERE CODE IN (SELECT CODE FROM PRESCRIPTEUR LIMIT 1)")
	_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true})
	if ecluse.KindOf(err) != ecluse.Differs || !strings.Contains(err.Error(), "prescriber") {
		t.Errorf("want the catch-up refused, got %v", err)
	}
}

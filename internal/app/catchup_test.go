package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
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
		"UPDATE PATIENT SET DATNAIS = '03/02/1970' WHERE NUMPAT IN (SELECT p.NUMPAT FROM PATIENT p JOIN DEMANDE d USING (NUMPAT) WHERE DATNAIS LIKE '31/02/%' AND SAISIE BETWEEN 20150101 AND 20201031 LIMIT 2)",
		"DELETE FROM RESULTAT WHERE NUMRES % 307 = 11",
		"DELETE FROM RESULTAT WHERE NUMDEM IN (SELECT NUMDEM FROM DEMANDE WHERE NUMDEM % 101 = 9)",
		"DELETE FROM DEMANDE WHERE NUMDEM % 101 = 9",
		"UPDATE PATIENT SET NUMPAT = NUMPAT + 500000 WHERE NUMPAT % 89 = 1",
		"UPDATE DEMANDE SET NUMPAT = NUMPAT + 500000 WHERE NUMPAT % 89 = 1",
		"VACUUM",
	}
}

// caughtUp catches up.
func caughtUp(t *testing.T, d *roomtest.Dir) *desk.Applied {
	t.Helper()
	r := d.Open()
	defer r.Close()
	return catchUp(t, r)
}

func catchUp(t *testing.T, r *app.Room) *desk.Applied {
	t.Helper()
	v, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// remap has a mapping signed with something else in it, and the final plan made of it approved.
func remap(t *testing.T, d *roomtest.Dir, r *app.Room, old, instead string) {
	t.Helper()
	text := string(d.Read("mapping.yaml"))
	if !strings.Contains(text, old) {
		t.Fatalf("the mapping has no %q", old)
	}
	remapTo(t, d, r, strings.Replace(text, old, instead, 1))
}

func remapTo(t *testing.T, d *roomtest.Dir, r *app.Room, text string) {
	t.Helper()
	d.Write([]byte(text), "mapping.yaml")
	if _, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join("mapping.yaml"), Text: []byte(text), Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
}

// undone takes the passage out.
func undone(t *testing.T, d *roomtest.Dir, r *app.Room) *gate.UndoStatement {
	t.Helper()
	u, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)})
	if err != nil {
		t.Fatal(err)
	}
	return u.Undo
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
	if diff := cmp.Diff(once.Load.Compared.Reported, v.Load.Compared.Reported, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("reported (-after the changes +caught up):\n%s", diff)
	}
	if diff := cmp.Diff(once.Load.Compared.Shapes, v.Load.Compared.Shapes, cmpopts.EquateComparable(reconcile.Shape{})); diff != "" {
		t.Errorf("shapes of what was put aside (-after the changes +caught up):\n%s", diff)
	}
	if n := d.Query("novalab.db", "SELECT count(*) || '' FROM request JOIN patient ON patient.id = patient_id WHERE birth_date = '1970-02-03' AND family_name NOT LIKE 'ZQX-%'"); n[0] == "0" {
		t.Error("no request came in that the target had refused for want of its patient")
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
	undone(t, d, r)
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
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

// TestCatchUpGoesOnWithTheLast: what the target gate refused is gone on with by the same
// command, when no later reading is left to follow it.
func TestCatchUpGoesOnWithTheLast(t *testing.T) {
	t.Parallel()
	d := roomtest.CatchingUp(t, roomtest.Loaded, patients, 1)
	d.Exec("ancilab.db", changes()...)
	d.Exec("novalab.db", "UPDATE patient SET family_name = family_name || ' ' WHERE id % 97 = 3")
	r := d.Open()
	defer r.Close()
	for range 2 {
		_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true})
		if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "patient") {
			t.Fatalf("want the rows that people changed named, got %v", err)
		}
	}
	d.Exec("novalab.db", "UPDATE patient SET family_name = rtrim(family_name) WHERE id % 97 = 3")
	if v := catchUp(t, r); !v.Reconciled || v.Load.Reading != 1 {
		t.Errorf("%+v", v.Load)
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
	remap(t, d, r, "id: NUMRES", "id: counter")
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
	source, target = gates(t, d, &givenSo{Lock: r.Lock(), dataset: "patient", often: 1})
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
	remap(t, d, r, "id: NUMRES", "id: counter")
	apply(t, r, ecluse.Final)
	undone(t, d, r)
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	if n := apply(t, r, ecluse.Final).Load.Compared.Renumbered; n == nil || len(n.Tables) > 0 {
		t.Fatalf("loaded again: %+v", n)
	}
	d.Exec("ancilab.db", changes()[:3]...)
	v := catchUp(t, r)
	n := v.Load.Compared.Renumbered
	if n == nil || len(n.Tables) != 1 || n.Tables[0].Base || n.Tables[0].From.Dataset != ecluse.DatasetID("result").Changed(1) {
		t.Errorf("caught up: %+v", n)
	}
}

// givenSo gives a dataset's chunk so often, and no more.
type givenSo struct {
	gate.Lock
	dataset ecluse.DatasetID
	often   int
}

func (l *givenSo) Get(ctx context.Context, m ecluse.MigrationID, s ecluse.Slot) (evidence.Signed, io.ReadCloser, error) {
	if s.Dataset == l.dataset {
		if l.often--; l.often < 0 {
			return evidence.Signed{}, nil, errStopped
		}
	}
	return l.Lock.Get(ctx, m, s)
}

// TestCatchUpOfTableThatRefersToItself: rows that came with a later reading refer to older
// ones and older ones to them. The passage is undone all the same, across interruptions, and
// nothing of it stays.
func TestCatchUpOfTableThatRefersToItself(t *testing.T) {
	t.Parallel()
	d := roomtest.CatchingUp(t, roomtest.Sealed, patients, 1)
	d.Exec("novalab.db", "ALTER TABLE patient ADD COLUMN kin INTEGER REFERENCES patient (id)")
	empty, _ := d.Facts()
	const known = "SELECT NUMPAT || '' FROM PATIENT WHERE DERNVIS >= 20150101 AND DATNAIS GLOB '[0-3][0-9]/[01][0-9]/[12][0-9][0-9][0-9]' AND "
	changes, stays := d.Query("ancilab.db", known+"NUMPAT % 97 = 3 LIMIT 1")[0], d.Query("ancilab.db", known+"NUMPAT % 97 = 5 LIMIT 1")[0]
	r := d.Open()
	defer r.Close()
	remap(t, d, r, "        id: NUMPAT\n", "        id: NUMPAT\n        kin: \"NUMPAT == "+changes+" ? "+stays+" : "+changes+"\"\n")
	apply(t, r, ecluse.Final)
	d.Exec("ancilab.db", "UPDATE PATIENT SET NOM = 'ZQX-' || NOM WHERE NUMPAT % 97 = 3")
	v := catchUp(t, r)
	if !v.Reconciled || len(v.Read.Changed) != 1 {
		t.Errorf("%+v", v.Read)
	}
	if n := d.Query("novalab.db", "SELECT count(*) || '' FROM patient WHERE family_name LIKE 'ZQX-%' AND kin IN ("+changes+", "+stays+")"); n[0] == "0" {
		t.Error("nothing that changed refers to anything")
	}
	passage := ecluse.Passage{Kind: ecluse.Final, Number: 1}
	order(t, r, d)
	// Killed when what came later is out but for rows that older ones refer to; then when all
	// is out but for these.
	for _, stop := range []*givenSo{{dataset: "patient", often: 1}, {dataset: ecluse.DatasetID("patient").Changed(1), often: 2}} {
		stop.Lock = r.Lock()
		source, target := gates(t, d, stop)
		if _, err := target.Undo(t.Context(), roomtest.Migration, passage, nil); !errors.Is(err, errStopped) {
			t.Fatalf("want the undoing stopped half-way, got %v", err)
		}
		if err := errors.Join(source.Close(), target.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if left := d.Query("novalab.db", "SELECT (SELECT count(*) FROM patient) || ' ' || (SELECT count(*) FROM ecluse_marker)"); left[0] != "2 0" {
		t.Errorf("patients and markers of chunks are left: %v, want the two patients alone that others had referred to", left)
	}
	u, err := r.Undo(t.Context(), desk.UndoRequest{})
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
		if n == times-1 { // whose requests the target refused three times
			change = append(change, "UPDATE PATIENT SET DATNAIS = '03/02/1970' WHERE DATNAIS LIKE '31/02/%'")
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
		undone(t, d, r)
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
	undone(t, d, r)
	if p := place(t, r); p.Migration != procedure.Sealed {
		t.Fatalf("it is %s", p.Migration)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	apply(t, r, ecluse.Final)
	if now, _ := d.Facts(); now != before {
		t.Error("what was read before is not loaded again as it was")
	}
}

// TestCatchUpKeepsRejects: what is kept beyond the acceptance is what stands aside after the
// last reading: not what the source no longer has, nor what came in since, and what later
// readings put aside.
func TestCatchUpKeepsRejects(t *testing.T) {
	t.Parallel()
	d := roomtest.CatchingUpKeeping(t, roomtest.Loaded, patients, 1)
	r := d.Open()
	defer r.Close()
	first, err := shown(t, d, r)
	if err != nil || len(first) == 0 {
		t.Fatalf("%d rows, %v", len(first), err)
	}
	d.Exec("ancilab.db", changes()...)
	if v := catchUp(t, r); !v.Reconciled {
		t.Fatalf("%+v", v)
	}
	before, err := shown(t, d, r)
	if err != nil {
		t.Fatal(err)
	}
	said, err := r.Beside(exchange.SourcePlace).Rejects(t.Context(), app.RejectsRequest{Key: d.Key(roomtest.Claire)}, func(*gate.Rejected) error { return nil })
	if err != nil || said.Reported == nil || *said.Reported != said.Rows || said.Rows != int64(len(before)) {
		t.Errorf("%+v, %v: want as many rows as the report counts", said, err)
	}
	later := func(row string) bool { return strings.HasPrefix(row, "ecluse.changed.1.") }
	gone := func(row string) bool { return !slices.Contains(before, row) }
	if !slices.ContainsFunc(before, later) || !slices.ContainsFunc(first, gone) {
		t.Errorf("of %d rows put aside at first and %d now none came later, or none is gone", len(first), len(before))
	}
	if _, err := r.Accept(t.Context(), desk.AcceptRequest{ForAll: "entered by hand", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	runDue(t, r)
	if p := place(t, r); p.Migration != procedure.Erased {
		t.Fatalf("it is %s", p.Migration)
	}
	after, err := shown(t, d, r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("kept beyond the acceptance (-before +after):\n%s", diff)
	}
	bothVerify(t, d, r)
}

// TestLiveIsNotLoaded: into what the laboratory works in since a go, and what it accepted, the
// target gate loads nothing, whatever the lock asks.
func TestLiveIsNotLoaded(t *testing.T) {
	t.Parallel()
	d := roomtest.CatchingUp(t, roomtest.Loaded, patients, 1)
	r := d.Open()
	defer r.Close()
	passage := ecluse.Passage{Kind: ecluse.Final, Number: 1}
	refused := func(words string) {
		t.Helper()
		before, _ := d.Facts()
		source, target := gates(t, d, r.Lock())
		_, err := target.Load(t.Context(), roomtest.Migration, passage, 0, nil)
		if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), words) {
			t.Errorf("want it refused because %s, got %v", words, err)
		}
		if err := errors.Join(source.Close(), target.Close()); err != nil {
			t.Fatal(err)
		}
		if now, _ := d.Facts(); now != before {
			t.Error("the target changed")
		}
	}
	if _, err := r.Go(t.Context(), desk.GoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	refused("the laboratory works in it since the controller said go")
	if _, err := r.Accept(t.Context(), desk.AcceptRequest{ForAll: "entered by hand", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	refused("the controller has accepted the load")
}

// TestCatchUpOfDistinctValues: a new distinct value gets the next ordinal, whatever its place
// among the others; those that are loaded keep theirs, and what was looked up in them stays.
func TestCatchUpOfDistinctValues(t *testing.T) {
	t.Parallel()
	d := roomtest.CatchingUpDistinct(t, roomtest.Loaded, patients, 3)
	const named = "SELECT request.id || ' ' || prescriber.id || ' ' || code FROM request JOIN prescriber ON prescriber.id = prescriber_id ORDER BY request.id"
	before := d.Query("novalab.db", named)
	last := len(d.Query("novalab.db", "SELECT id FROM prescriber"))
	one := "(SELECT CODPRESC FROM DEMANDE WHERE SAISIE BETWEEN 20150101 AND 20201031 ORDER BY 1 LIMIT 1)"
	for n, change := range [][]string{
		{"UPDATE DEMANDE SET CODPRESC = 'P0000' WHERE NUMDEM % 41 = 2", "UPDATE RESULTAT SET VALEUR = '7,77' WHERE NUMRES % 211 = 5 AND VALEUR LIKE '%,%'"},
		{"UPDATE DEMANDE SET CODPRESC = 'A' || CODPRESC WHERE NUMDEM % 43 = 2"},
		{"UPDATE DEMANDE SET CODPRESC = 'Z' WHERE CODPRESC = " + one}, // and one is gone
	} {
		d.Exec("ancilab.db", change...)
		if v := caughtUp(t, d); !v.Reconciled || v.Load.Reading != n+1 {
			t.Fatalf("reading %d: %+v", n+1, v.Load)
		}
	}
	after := d.Query("novalab.db", named)
	known, wrong := map[string]bool{}, d.Query("novalab.db", "SELECT code FROM prescriber WHERE id > 1000 + "+fmt.Sprint(last)+" AND code NOT LIKE 'A%' AND code NOT IN ('P0000', 'Z')")
	for _, row := range before {
		known[row] = true
	}
	kept := 0
	for _, row := range after {
		if known[row] {
			kept++
		}
	}
	if kept < len(before)*3/4 || len(after) != len(before) || len(wrong) > 0 {
		t.Errorf("%d of %d requests kept their prescribers' numbers, and %v got new ones", kept, len(before), wrong)
	}
	in := d.Query("ancilab.db", "SELECT NUMDEM || ' ' || CODPRESC FROM DEMANDE ORDER BY NUMDEM")
	for _, row := range after {
		f := strings.Fields(row)
		if !slices.Contains(in, f[0]+" "+f[2]) {
			t.Errorf("request %s has another prescriber than in the source", f[0])
		}
	}
	r := d.Open()
	defer r.Close()
	if u := undone(t, d, r); len(u.Left) > 0 {
		t.Fatalf("%+v", u)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	if v := apply(t, r, ecluse.Final); !v.Reconciled {
		t.Errorf("%+v", v.Load)
	}
	if diff := cmp.Diff(after, d.Query("novalab.db", named)); diff != "" {
		t.Errorf("loaded anew (-caught up +loaded):\n%s", diff)
	}
}

// lookingUp is the mapping with prescribers looked up, and loaded nowhere.
func lookingUp(d *roomtest.Dir) string {
	text := strings.Replace(string(d.Read("mapping.yaml")), "from:\n", "hold: {prescriber: {key: [CODE], rows: 10000}}\nfrom:\n", 1)
	cut := func(from, to, instead string) {
		i := strings.Index(text, from)
		j := i + strings.Index(text[i:], to)
		text = text[:i] + instead + text[j:]
	}
	cut("  prescriber:\n    - into", "  patient:\n", "")
	cut("        prescriber_id:", "        collected_at:", "")
	cut("        collected_at:", "  result:\n", "        collected_at: {value: \"prescriber[CODPRESC].NOM\", miss: \"null\", report: no prescriber}\n")
	return text
}

// TestCatchUpOfLookUps: codes that other rows are looked up in changed, and nothing else. The
// passage is not said to be caught up.
func TestCatchUpOfLookUps(t *testing.T) {
	t.Parallel()
	d := roomtest.CatchingUp(t, roomtest.Sealed, patients, 1)
	r := d.Open()
	defer r.Close()
	remapTo(t, d, r, lookingUp(d))
	apply(t, r, ecluse.Final)
	d.Exec("ancilab.db", "UPDATE PRESCRIPTEUR SET NOM = NOM || ' X' WHERE CODE IN (SELECT CODE FROM PRESCRIPTEUR LIMIT 1)")
	_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true})
	if ecluse.KindOf(err) != ecluse.Differs || !strings.Contains(err.Error(), "prescriber") {
		t.Errorf("want the catch-up refused, got %v", err)
	}
}

// open is a lock to which a reading's end never comes.
type open struct{ gate.Lock }

func (open) Close(context.Context, ecluse.MigrationID, evidence.Signed) error { return errStopped }

// TestCatchUpGivenUpAtItsEnd: a later reading is given up when all but its end came to the
// chamber, the figures that it counted in the source among that. What is loaded then is held
// against the figures of the reading that it is of, and the source can be read again.
func TestCatchUpGivenUpAtItsEnd(t *testing.T) {
	t.Parallel()
	d, oracle := roomtest.CatchingUp(t, roomtest.Loaded, patients, 1), roomtest.CatchingUp(t, roomtest.Ready, patients, 1)
	before, _ := d.Facts()
	r := d.Open()
	defer r.Close()
	codes := d.Query("ancilab.db", "SELECT NUMRES || '' FROM RESULTAT WHERE CODE <> 'INCONNU' AND NUMRES % 503 = 7 LIMIT 1")
	d.Exec("ancilab.db", "UPDATE PATIENT SET NOM = 'ZQX-' || NOM WHERE NUMPAT % 97 = 3", "DELETE FROM RESULTAT WHERE NUMRES IN (SELECT NUMRES FROM RESULTAT ORDER BY NUMRES DESC LIMIT 50)", "UPDATE RESULTAT SET CODE = 'INCONNU' WHERE NUMRES = "+codes[0])
	if _, err := r.BeginCatchUp(t.Context(), roomtest.Migration, ecluse.Final); err != nil {
		t.Fatal(err)
	}
	source, target := gates(t, d, open{r.Lock()})
	if _, err := source.Read(t.Context(), roomtest.Migration, 1, nil); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	if err := errors.Join(source.Close(), target.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	if v := apply(t, r, ecluse.Final); !v.Reconciled || v.Load.Reading != 0 {
		t.Errorf("%+v", v.Load.Compared)
	}
	if now, _ := d.Facts(); now != before {
		t.Error("what was read before is not loaded again as it was")
	}
	// Patients are as they were, and what was sealed of them the first time is in no manifest.
	d.Exec("ancilab.db", "UPDATE PATIENT SET NOM = substr(NOM, 5) WHERE NUMPAT % 97 = 3")
	if err := errors.Join(os.Remove(oracle.Join("ancilab.db")), os.CopyFS(oracle.Path, only{os.DirFS(d.Path), "ancilab.db"})); err != nil {
		t.Fatal(err)
	}
	v, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true})
	if err != nil || !v.Reconciled || v.Load.Reading != 1 {
		t.Fatalf("%+v, %v", v, err)
	}
	oracleLoaded(t, oracle)
	got, _ := d.Facts()
	if want, _ := oracle.Facts(); got != want {
		t.Error("caught up with, the target is not what a load now would make")
	}
}

// TestCatchUpClosedAndGivenUp: a later reading came to the chamber whole, and the lock ended
// before it noted that. Its passage is undone then, and what is loaded next is as of that
// reading: the chamber takes nothing back. The reading after it is the next.
func TestCatchUpClosedAndGivenUp(t *testing.T) {
	t.Parallel()
	d, oracle := roomtest.CatchingUp(t, roomtest.Loaded, patients, 2), roomtest.CatchingUp(t, roomtest.Ready, patients, 2)
	r := d.Open()
	defer r.Close()
	d.Exec("ancilab.db", changes()...)
	if _, err := r.BeginCatchUp(t.Context(), roomtest.Migration, ecluse.Final); err != nil {
		t.Fatal(err)
	}
	source, target := gates(t, d, dying{r.Lock(), d, "manifest.1"})
	if _, err := source.Read(t.Context(), roomtest.Migration, 1, nil); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	if err := errors.Join(source.Close(), target.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	v, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
	if err != nil || !v.Reconciled || v.Load.Reading != 1 {
		t.Fatalf("%+v, %v", v, err)
	}
	d.Exec("ancilab.db", later()...)
	if v := catchUp(t, r); !v.Reconciled || v.Load.Reading != 2 {
		t.Errorf("%+v", v)
	}
	oracle.Exec("ancilab.db", append(changes(), later()...)...)
	oracleLoaded(t, oracle)
	got, _ := d.Facts()
	if want, _ := oracle.Facts(); got != want {
		t.Error("caught up with, the target is not what a load now would make")
	}
	if _, err := r.Accept(t.Context(), desk.AcceptRequest{ForAll: "entered by hand", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	if due, err := r.Due(t.Context()); err != nil || len(due.Failed) > 0 {
		t.Fatalf("%+v, %v", due, err)
	}
	d.Verify(r)
}

// TestCatchUpClosedTooLate: the end of a reading that was given up meanwhile does not come in.
func TestCatchUpClosedTooLate(t *testing.T) {
	t.Parallel()
	d := roomtest.CatchingUp(t, roomtest.Loaded, patients, 1)
	before, _ := d.Facts()
	r := d.Open()
	defer r.Close()
	d.Exec("ancilab.db", changes()...)
	if _, err := r.BeginCatchUp(t.Context(), roomtest.Migration, ecluse.Final); err != nil {
		t.Fatal(err)
	}
	late := &late{Lock: r.Lock()}
	source, target := gates(t, d, late)
	if _, err := source.Read(t.Context(), roomtest.Migration, 1, nil); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	if err := errors.Join(source.Close(), target.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	if err := r.Lock().Close(t.Context(), roomtest.Migration, late.manifest); err == nil {
		t.Error("a reading that was given up is closed")
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	if v := apply(t, r, ecluse.Final); !v.Reconciled || v.Load.Reading != 0 {
		t.Errorf("%+v", v.Load)
	}
	if now, _ := d.Facts(); now != before {
		t.Error("what was read before is not loaded again as it was")
	}
}

// late is a lock to which a reading's end comes later.
type late struct {
	gate.Lock
	manifest evidence.Signed
}

func (l *late) Close(_ context.Context, _ ecluse.MigrationID, manifest evidence.Signed) error {
	l.manifest = manifest
	return errStopped
}

// TestCatchUpEnded: a later reading that the source cannot end is given up, and the passage
// is as it was compared: it can be said go of, and be caught up once more. What had been
// sealed by then is loaded neither now nor later.
func TestCatchUpEnded(t *testing.T) {
	t.Parallel()
	d, oracle := roomtest.CatchingUp(t, roomtest.Loaded, patients, 1), roomtest.CatchingUp(t, roomtest.Ready, patients, 1)
	before, _ := d.Facts()
	r := d.Open()
	defer r.Close()
	const secret = "UPDATE RESULTAT SET VALEUR = '$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW' WHERE NUMRES = (SELECT max(r.NUMRES) FROM RESULTAT r JOIN DEMANDE d ON d.NUMDEM = r.NUMDEM WHERE d.SAISIE >= 20150101 AND d.SAISIE < 20201101)"
	d.Exec("ancilab.db", "CREATE TABLE KEPT AS SELECT NUMPAT, NOM FROM PATIENT", "CREATE TABLE KEPTR AS SELECT NUMRES, VALEUR FROM RESULTAT", "UPDATE PATIENT SET NOM = 'ZQX-' || NOM", secret)
	_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true})
	if !strings.Contains(nextOf(err), "ecluse apply --end-catch-up") || place(t, r).Migration != procedure.Reading {
		t.Fatalf("want a reading that does not come to its end, and how it is given up, got %v at %v", err, place(t, r))
	}
	v, err := r.Status(t.Context(), roomtest.Migration)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(fmt.Sprintf("%+v", v), "ecluse apply --end-catch-up") {
		t.Error("the status does not say how the reading is given up")
	}
	giveUp := desk.ApplyRequest{Passage: ecluse.Final, GiveUp: true}
	if v, err := r.Apply(t.Context(), giveUp); err != nil || !v.GivenUp {
		t.Fatalf("%+v, %v", v, err)
	}
	if p := place(t, r); p.Migration != procedure.Sealed || p.Passage != procedure.Compared {
		t.Fatalf("it is %+v", p)
	}
	if now, _ := d.Facts(); now != before {
		t.Error("the target is not as it was")
	}
	if _, err := r.Apply(t.Context(), giveUp); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("given up twice: %v", err)
	}

	// What was sealed of patients by then is no change any more.
	d.Exec("ancilab.db", "UPDATE PATIENT SET NOM = (SELECT k.NOM FROM KEPT k WHERE k.NUMPAT = PATIENT.NUMPAT)", "UPDATE RESULTAT SET VALEUR = (SELECT k.VALEUR FROM KEPTR k WHERE k.NUMRES = RESULTAT.NUMRES)")
	changed := "UPDATE RESULTAT SET VALEUR = '7,77' WHERE NUMRES % 211 = 5 AND VALEUR LIKE '%,%'"
	d.Exec("ancilab.db", changed)
	oracle.Exec("ancilab.db", changed)
	up, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true})
	if err != nil || !up.Reconciled || len(up.Read.Changed) != 1 {
		t.Fatalf("%+v, %v", up, err)
	}
	o := oracle.Open()
	apply(t, o, ecluse.Final)
	o.Close()
	got, _ := d.Facts()
	if want, _ := oracle.Facts(); got != want {
		t.Error("other facts than those of a load after the changes")
	}
	accepted(t, d, r)
}

// TestCatchUpEndedInTheNight: after a later reading was given up the controller says go and
// accepts the report of the reading before, and the evidence holds.
func TestCatchUpEndedInTheNight(t *testing.T) {
	t.Parallel()
	d := roomtest.CatchingUp(t, roomtest.Loaded, patients, 1)
	r := d.Open()
	defer r.Close()
	d.Exec("ancilab.db", "UPDATE PATIENT SET NOM = 'ZQX-' || NOM", "ALTER TABLE RESULTAT RENAME COLUMN VALEUR TO VALEURS")
	if _, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true}); !strings.Contains(nextOf(err), "--end-catch-up") {
		t.Fatalf("want a reading that does not come to its end, got %v", err)
	}
	if _, err := r.Go(t.Context(), desk.GoRequest{Key: d.Key(roomtest.Claire)}); err == nil {
		t.Error("go of a passage whose reading is open")
	}
	if _, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, GiveUp: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Go(t.Context(), desk.GoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	accepted(t, d, r)
}

func nextOf(err error) string {
	var e *ecluse.Error
	if errors.As(err, &e) {
		return e.Next
	}
	return ""
}

package mysql

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/mandate/mandatetest"
	engine "ecluse/internal/sluice/engine/mysql"
	"ecluse/internal/sluice/record"
)

const bothPatients = "datasets:\n  patient: {from: {db}.patient, key: [id], columns: {id: technical, name: identity}}\n" +
	"  result: {from: {db}.result, key: [id], columns: {id: technical, patient_id: technical}, within: {patient: [patient_id]}}\n"

func TestSnapshotIsOneMoment(t *testing.T) {
	l := newLab(t, patients)
	s := l.open(t, bothPatients)
	l.db.Run(t, "DELETE FROM patient WHERE id = 1; INSERT INTO result VALUES (20, 3, 1, NULL)")
	wantRows(t, allRows(t, s, "patient"), "-7|NULL", "1|Léa", "3|Zoé")
	wantRows(t, allRows(t, s, "result"), "10|1", "11|3", "13|-7", "14|1")
}

func TestSnapshotNeedsRowVersions(t *testing.T) {
	for _, engineName := range []string{"MyISAM", "Aria", "MEMORY"} {
		l := newLab(t, patients+"ALTER TABLE result ENGINE = "+engineName)
		l.world.Consistency = "locked"
		p := l.permit(t, bothPatients).Plan()
		p.Consistency = "snapshot" // a compiler that let it through
		_, err := l.source(t).open(t.Context(), p)
		wantError(t, err, ecluse.Refused, l.db.Database+".result", strings.ToLower(engineName), "locked")
	}
	l := newLab(t, patients+"CREATE VIEW seen AS SELECT id, name FROM patient; ALTER TABLE result ENGINE = MyISAM")
	p := l.permit(t, "datasets:\n  seen: {from: {db}.seen, columns: {id: technical, name: identity}}")
	_, err := l.source(t).Open(t.Context(), p)
	wantError(t, err, ecluse.Refused, "it is a view")
	l.world.Consistency = "locked"
	wantRows(t, allRows(t, l.open(t, "datasets:\n  seen: {from: {db}.seen, columns: {id: technical, name: identity}}"), "seen"), "-7|NULL", "1|Léa", "3|Zoé")
}

// Through definer's views, for a table with row versions and one without.
func TestLockedKeepsWritersOut(t *testing.T) {
	l := newLab(t, patients+"ALTER TABLE result ENGINE = MyISAM")
	l.world.Consistency = "locked"
	s := l.open(t, bothPatients)
	l.db.Run(t, "SET lock_wait_timeout = 1")
	for _, write := range []string{"INSERT INTO patient VALUES (50, '', '', NULL, 0, '')", "INSERT INTO result VALUES (50, 1, 1, '')", "DELETE FROM result", "UPDATE patient SET name = ''"} {
		if _, err := l.db.Exec(write); err == nil || !strings.Contains(err.Error(), "1205") {
			t.Errorf("%s while locked: %v", write, err)
		}
	}
	wantRows(t, allRows(t, s, "patient"), "-7|NULL", "1|Léa", "3|Zoé")
	wantRows(t, allRows(t, s, "result"), "10|1", "11|3", "13|-7", "14|1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	l.db.Run(t, "SET lock_wait_timeout = 20; DELETE FROM result")
}

func TestLockedTellsWhichRightIsMissing(t *testing.T) {
	l := newLab(t, patients)
	l.world.Consistency = "locked"
	p := l.permit(t, bothPatients)
	view, _ := ecluse.ParseTableName(p.Plan().Datasets[0].View)
	l.db.Run(t, "REVOKE LOCK TABLES ON `"+strings.ReplaceAll(view.Schema, "_", `\_`)+"`.* FROM "+l.account.String())
	_, err := l.source(t).Open(t.Context(), p)
	wantError(t, err, ecluse.Failed, "begin an epoch", "lacks a right", "error 1044 (42000)")
}

func TestRereadSeesWhatChanged(t *testing.T) {
	l := newLab(t, patients+"ALTER TABLE result ENGINE = MyISAM")
	l.world.Consistency = "reread"
	s := l.open(t, bothPatients)
	wantRows(t, allRows(t, s, "result"), "10|1", "11|3", "13|-7", "14|1")
	l.db.Run(t, "UPDATE result SET patient_id = 1 WHERE id = 12")
	wantRows(t, allRows(t, s, "result"), "10|1", "11|3", "12|1", "13|-7", "14|1")
}

// Between two chunks no statement keeps a table from its writers, however it has
// to be ordered.
func TestRereadLetsOthersWrite(t *testing.T) {
	l := newLab(t, `CREATE TABLE n (k int PRIMARY KEY, v varchar(60)) ENGINE=MyISAM; INSERT INTO n SELECT seq, REPEAT('x', 50) FROM seq_1_to_270000;
		CREATE TABLE w (k varchar(60) COLLATE utf8mb4_nopad_bin PRIMARY KEY) ENGINE=MyISAM; INSERT INTO w SELECT CONCAT(seq, REPEAT('x', 50)) FROM seq_1_to_270000;
		CREATE TABLE b (k int PRIMARY KEY, v longtext) ENGINE=MyISAM; INSERT INTO b SELECT seq, REPEAT('x', 1000000) FROM seq_1_to_50;
		SET lock_wait_timeout = 1`)
	l.world.Consistency = "reread"
	s := l.open(t, "datasets:\n  n: {from: {db}.n, key: [k], columns: {k: technical, v: technical}}\n  w: {from: {db}.w, key: [k], columns: {k: technical}}\n"+
		"  b: {from: {db}.b, key: [k], columns: {k: technical, v: technical}}")
	for _, d := range []ecluse.DatasetID{"n", "w", "b"} {
		c, err := readChunk(t.Context(), s, d, nil, nil)
		if err != nil || c.last {
			t.Fatalf("%s: %v, last %v", d, err, c.last)
		}
		if _, err := l.db.Exec("UPDATE " + string(d) + " SET k = k WHERE k = '1'"); err != nil {
			t.Errorf("%s keeps writers out: %v", d, err)
		}
	}
}

func TestLostConnection(t *testing.T) {
	l := newLab(t, strings.Replace(few(spread), "_2;", "_40;", 1))
	s := l.open(t, spreadBody).(*session)
	id, err := s.conn.One(t.Context(), "SELECT CONNECTION_ID()")
	if err != nil {
		t.Fatal(err)
	}
	batches := 0 // 4 MB each, of 32: more than can be under way already
	_, _, err = s.ReadChunk(t.Context(), "blobs", nil, nil, func(*record.Batch) error {
		if batches++; batches == 2 {
			l.db.Run(t, "KILL "+id)
		}
		return nil
	})
	wantError(t, err, ecluse.Failed, "read dataset blobs", "next run takes a new epoch")
	for range 2 {
		_, again := readChunk(t.Context(), s, "days", nil, nil)
		wantError(t, again, ecluse.Failed)
		_, again = s.Check(t.Context(), "all")
		wantError(t, again, ecluse.Failed)
	}
}

func TestCancelled(t *testing.T) {
	l := newLab(t, spread)
	s := l.open(t, spreadBody)
	ctx, cancel := context.WithCancel(t.Context())
	_, _, err := s.ReadChunk(ctx, "signed", nil, nil, func(*record.Batch) error { cancel(); return nil })
	wantError(t, err, ecluse.Interrupted, "cancelled")
	_, err = readChunk(t.Context(), s, "days", nil, nil)
	wantError(t, err, ecluse.Interrupted)

	// A call's own context ends with the call; the statement does not.
	s = l.open(t, spreadBody)
	ctx, cancel = context.WithCancel(t.Context())
	first, err := readChunk(ctx, s, "texts", nil, nil)
	cancel()
	if err != nil || first.last {
		t.Fatalf("%v, last %v", err, first.last)
	}
	if rest, err := readChunk(t.Context(), s, "texts", first.end, nil); err != nil || !rest.last {
		t.Errorf("after the first call's context ended: %v", err)
	}

	// While the server sorts, or waits, too.
	l.world.Consistency = "locked"
	p := l.permit(t, spreadBody)
	l.db.Run(t, "LOCK TABLES signed WRITE")
	ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = l.source(t).Open(ctx, p)
	wantError(t, err, ecluse.Interrupted)
	l.db.Run(t, "UNLOCK TABLES")
}

func TestChangedUnderneath(t *testing.T) {
	l := newLab(t, patients)
	p := l.permit(t, bothPatients)
	s := l.openWith(t, p)
	l.db.Run(t, "ALTER TABLE result ADD COLUMN more int, ALGORITHM = COPY")
	_, err := readChunk(t.Context(), s, "result", nil, nil)
	wantError(t, err, ecluse.Failed, "structure was changed", "1412")
	if len(allRows(t, s, "patient")) != 3 { // the session itself lives
		t.Error("patients are gone")
	}
	if err := s.Close(); err != nil { // it kept the table as it was
		t.Fatal(err)
	}
	l.db.Run(t, "ALTER TABLE patient DROP COLUMN name")
	_, err = readChunk(t.Context(), l.openWith(t, p), "patient", nil, nil)
	wantError(t, err, ecluse.Failed, "granted view does not work", "1356")
}

// A view left from an earlier version of the instruction is not read for the new.
func TestOldGrantsAreNotEnough(t *testing.T) {
	l := newLab(t, patients)
	body := "datasets:\n  patient: {from: '{db}.patient', key: [id], columns: {id: technical}, where: [{column: id, from: \"%d\"}]}"
	l.permit(t, fmt.Sprintf(body, 0))
	catalogue, err := l.source(t).Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.world = mandatetest.New(t)
	narrower := l.world.ReadPermit(t, catalogue, engine.Dialect{}, strings.ReplaceAll(fmt.Sprintf(body, 2), "{db}", l.db.Database))
	_, err = readChunk(t.Context(), l.openWith(t, narrower), "patient", nil, nil)
	wantError(t, err, ecluse.Failed, "lacks a right", "ecluse gate grants")
}

func TestNoServerAndNoEntry(t *testing.T) {
	l := newLab(t, patients)
	p := l.permit(t, onePatient)
	good := l.config.Read
	l.config.Read.Password = "wrong-sesame"
	_, err := l.source(t).Open(t.Context(), p)
	wantError(t, err, ecluse.Failed, "does not accept this account", "1045")
	if text := fmt.Sprintf("%v %+v %#v", err, l.config, l.config); strings.Contains(text, "sesame") {
		t.Errorf("a password is shown: %s", text)
	}
	l.config.Read = good
	l.config.Read.Address = "127.0.0.1:1"
	_, err = l.source(t).Open(t.Context(), p)
	wantError(t, err, ecluse.Failed, "nothing answers")
	l.config.Schemas = []string{"no_such_database"}
	_, err = l.source(t).Catalogue(t.Context())
	wantError(t, err, ecluse.Invalid, "no_such_database", "sees no table")
	if _, err := New(Config{Catalogue: engine.Config{}}); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("a source without a database: %v", err)
	}
}

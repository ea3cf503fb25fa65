package demo

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
)

func fingerprint(t *testing.T, path string) string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	h := sha256.New()
	for _, table := range []string{"PATIENT", "PRESCRIPTEUR", "ANALYSE", "DEMANDE", "RESULTAT", "COMPTE"} {
		rows, err := db.Query("SELECT * FROM " + table + " ORDER BY 1")
		if err != nil {
			t.Fatal(err)
		}
		cols, _ := rows.Columns()
		for rows.Next() {
			v := make([]any, len(cols))
			for i := range v {
				v[i] = new(sql.NullString)
			}
			if err := rows.Scan(v...); err != nil {
				t.Fatal(err)
			}
			for _, x := range v {
				fmt.Fprintf(h, "%v|", *x.(*sql.NullString))
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		rows.Close()
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func TestOldLaboratoryIsDeterministic(t *testing.T) {
	dir := t.TempDir()
	var prints []string
	for _, name := range []string{"a.db", "b.db"} {
		made, err := MakeOld(t.Context(), filepath.Join(dir, name), 300)
		if err != nil {
			t.Fatal(err)
		}
		if made.Patients != 300 || made.Results != 300*resultsPerPatient || made.Damaged == 0 {
			t.Errorf("made %+v", made)
		}
		prints = append(prints, fingerprint(t, filepath.Join(dir, name)))
	}
	if prints[0] != prints[1] {
		t.Error("two makings of the same laboratory differ")
	}
}

func TestNIRsLookRightAndBelongToNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	if _, err := MakeOld(t.Context(), path, 200); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT NIR FROM PATIENT")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		n, err1 := strconv.ParseInt(s[:13], 10, 64)
		key, err2 := strconv.ParseInt(s[13:], 10, 64)
		if err1 != nil || err2 != nil || len(s) != 15 || key != 97-n%97 || s[10:13] != "000" {
			t.Errorf("a NIR of %d characters has no right key or could be somebody's", len(s))
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestNewLaboratoryHasItsCatalogue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n.db")
	if err := MakeNew(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRow("SELECT count(*) FROM test").Scan(&n); err != nil || n != len(analyses) {
		t.Errorf("%d tests, %v; want %d", n, err, len(analyses))
	}
}

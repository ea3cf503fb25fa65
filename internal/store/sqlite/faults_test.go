package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/due"
	"ecluse/internal/journal"
	"ecluse/internal/procedure"
	"ecluse/internal/store/sqlite"
)

const id ecluse.MigrationID = "megabus-2026-01"

// raw reaches around the store, as an attacker or a broken disk would.
func raw(t *testing.T, dir, statement string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "control.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement, args...); err != nil {
		t.Fatal(err)
	}
}

// rawRow reads a value in the same way.
func rawRow(t *testing.T, dir, query string) (value int64) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "control.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(query).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestNeverByAccident(t *testing.T) {
	dir := t.TempDir()
	if _, err := sqlite.Open(t.Context(), dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened nothing: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("opening left %v", left)
	}
	open(t, dir, true).Close()
	if _, err := sqlite.Create(t.Context(), dir, roots()); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("made a second one: %v", err)
	}
	raw(t, dir, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
	if _, err := sqlite.Open(t.Context(), dir); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("opened what a newer program made: %v", err)
	}
}

// TestClockSetBack: the machine's clock is an hour behind what was seen. Time
// goes on from there, and the journal says so once.
func TestClockSetBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, true)
	defer s.Close()
	future := time.Now().Add(time.Hour)
	raw(t, dir, `UPDATE clock SET high = ?`, future.UnixMilli())
	for range 2 {
		now, behind, err := s.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if now.UnixMilli() < future.UnixMilli() || now.After(future.Add(time.Minute)) || behind < 59*time.Minute || behind > time.Hour {
			t.Errorf("now %v, behind %v; the clock had shown %v", now, behind, future)
		}
		rep := due.Report{Now: now, Behind: behind}
		if err := rep.Check(); !errors.Is(err, due.ErrClockBack) {
			t.Errorf("work may begin: %v", err)
		}
	}
	item := due.Item{Kind: due.Erase, Migration: id, At: future}
	err := s.Do(t.Context(), journal.Event{Tree: string(id), Type: journal.Born}, func(tx *sqlite.Tx) error {
		return tx.Schedule(t.Context(), ecluse.Digest{}, item)
	})
	if err != nil {
		t.Fatal(err)
	}
	now, _, err := s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if left, err := s.Due(t.Context(), now); err != nil || len(left) != 1 {
		t.Errorf("the deadline moved with the clock: %v, %v", left, err)
	}
	n := 0
	size, _ := s.Size(t.Context(), evidence.InstallationTree)
	leaves, _ := s.Leaves(t.Context(), evidence.InstallationTree, 0, size)
	for _, l := range leaves {
		if bytes.Contains(l, []byte(`"clock-back"`)) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("journalled %d times", n)
	}
}

func TestDocumentChangedOnDisk(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, true)
	defer s.Close()
	var d ecluse.Digest
	err := s.Do(t.Context(), journal.Event{Tree: "installation", Type: journal.ContractSigned}, func(tx *sqlite.Tx) (err error) {
		d, err = tx.AddDocument(t.Context(), "contract", "", []byte("contract"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "documents", d.Hex())
	for name, body := range map[string]string{"a changed byte": "contracT", "a missing end": "contr"} {
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Document(t.Context(), d); ecluse.KindOf(err) != ecluse.Unverified {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "documents", "left-by-somebody"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Orphans(t.Context()); err != nil || len(got) != 1 || got[0] != "left-by-somebody" {
		t.Errorf("orphans %v, %v", got, err)
	}
}

// TestForgottenIsGone looks for a forgotten name in every byte of the folder.
func TestForgottenIsGone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, true)
	const name = "zoe-unforgettable"
	err := s.Do(t.Context(), journal.Event{Tree: string(id), Type: journal.ActRecorded, Body: journal.Act{Side: ecluse.Controller, Person: name}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	found := func() []string { return where(t, dir, []byte(name)) }
	if len(found()) == 0 {
		t.Fatal("the test cannot see the name even before it is forgotten")
	}
	if n, err := s.Forget(t.Context(), time.Now().Add(time.Hour)); n != 1 || err != nil {
		t.Fatalf("forgot %d, %v", n, err)
	}
	if where := found(); len(where) != 0 {
		t.Errorf("still in %v", where)
	}
	s.Close()
	if where := found(); len(where) != 0 {
		t.Errorf("after closing, still in %v", where)
	}
}

// where lists the files of a folder that hold some bytes.
func where(t *testing.T, dir string, what []byte) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, what) {
			files = append(files, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestTamperedJournal changes one stored byte at a time; Check sees each.
func TestTamperedJournal(t *testing.T) {
	for name, statement := range map[string]string{
		"a leaf":           `UPDATE leaf SET text = CAST(replace(CAST(text AS TEXT), '"rows":3', '"rows":4') AS BLOB) WHERE idx = 3`,
		"a leaf cut":       `DELETE FROM leaf WHERE idx = 9`,
		"two leaves":       `UPDATE leaf SET text = (SELECT text FROM leaf WHERE idx = 4) WHERE idx = 5`,
		"a hash":           `UPDATE hash SET hash = zeroblob(32) WHERE idx = 7`,
		"a body":           `UPDATE body SET text = CAST(replace(CAST(text AS TEXT), 'anne', 'paul') AS BLOB)`,
		"a salt":           `UPDATE body SET salt = zeroblob(32)`,
		"a head":           `UPDATE head SET text = CAST(replace(CAST(text AS TEXT), 'size 10', 'size 11') AS BLOB)`,
		"leaves forgotten": `DELETE FROM leaf WHERE idx = 2`,
	} {
		dir := t.TempDir()
		s := open(t, dir, true)
		for i := range 10 {
			e := journal.Event{Tree: string(id), Type: journal.ChunkStored, Numbers: map[string]int64{"rows": int64(i)}}
			if i == 6 {
				e = journal.Event{Tree: string(id), Type: journal.ActRecorded, Body: journal.Act{Person: "anne"}}
			}
			if err := s.Do(t.Context(), e, nil); err != nil {
				t.Fatal(err)
			}
		}
		log := journal.New(s, newKey(t))
		if _, err := log.Head(t.Context(), string(id)); err != nil {
			t.Fatal(err)
		}
		if err := log.Check(t.Context(), string(id)); err != nil {
			t.Fatal(err)
		}
		raw(t, dir, statement)
		if err := log.Check(t.Context(), string(id)); err == nil {
			t.Errorf("%s was changed and Check saw nothing", name)
		}
		s.Close()
	}
}

const crashDir = "ECLUSE_TEST_CRASH_DIR"

// TestKill kills a process that writes, at random moments, and opens what it
// left: every document has its row, its file and its entry, and the tree holds.
func TestKill(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		writeUntilKilled(t, dir)
	}
	dir := t.TempDir()
	open(t, dir, true).Close()
	for range 8 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), crashDir+"="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(60+rand.IntN(120)) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()

		s := open(t, dir, false)
		docs, err := s.Documents(t.Context(), id, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			if _, err := s.Document(t.Context(), d.Digest); err != nil {
				t.Error(err)
			}
		}
		if size, err := s.Size(t.Context(), string(id)); err != nil || size != int64(len(docs)) {
			t.Errorf("%d documents and %d entries, %v", len(docs), size, err)
		}
		if err := journal.New(s, newKey(t)).Check(t.Context(), string(id)); err != nil {
			t.Error(err)
		}
		orphans, err := s.Orphans(t.Context())
		if err != nil || len(orphans) > 8 {
			t.Errorf("%d orphans, %v", len(orphans), err)
		}
		s.Close()
	}
	s := open(t, dir, false)
	defer s.Close()
	if n, _ := s.Size(t.Context(), string(id)); n == 0 {
		t.Error("nothing was ever written: the test proves nothing")
	} else {
		t.Logf("%d entries survived 8 kills", n)
	}
}

func writeUntilKilled(t *testing.T, dir string) {
	s := open(t, dir, false)
	for {
		err := s.Do(t.Context(), journal.Event{Tree: string(id), Type: journal.DocumentStored}, func(tx *sqlite.Tx) error {
			_, err := tx.AddDocument(t.Context(), "mapping", id, fmt.Append(nil, rand.Uint64()))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestErrorsHoldNoValues(t *testing.T) {
	s := open(t, t.TempDir(), true)
	defer s.Close()
	err := s.Do(t.Context(), journal.Event{Tree: string(id), Type: journal.DocumentStored, IDs: map[string]string{"kind": "DUPONT Jeanne"}}, nil)
	if err == nil || strings.Contains(err.Error(), "DUPONT") {
		t.Errorf("the error repeats the value: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Do(ctx, journal.Event{Tree: string(id), Type: journal.Born}, nil); ecluse.KindOf(err) != ecluse.Interrupted {
		t.Errorf("cancelled: %v", err)
	}
	err = s.Do(t.Context(), journal.Event{Tree: string(id), Type: journal.Born}, func(tx *sqlite.Tx) error {
		_, err := tx.Move(t.Context(), "nobody", procedure.Accept)
		return err
	})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unknown migration: %v", err)
	}
}

// BenchmarkDo is one event with its document, durable.
func BenchmarkDo(b *testing.B) {
	dir := b.TempDir()
	s, err := sqlite.Create(b.Context(), dir, roots())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for i := 0; b.Loop(); i++ {
		e := journal.Event{Tree: string(id), Type: journal.ChunkStored, Numbers: map[string]int64{"rows": int64(i)}}
		if err := s.Do(b.Context(), e, nil); err != nil {
			b.Fatal(err)
		}
	}
}

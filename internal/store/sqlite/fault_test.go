package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/journal"
	"ecluse/internal/store/sqlite"
)

// says wants an error that says what, where, why and what to do, and not SQLite's own
// words for it.
func says(t *testing.T, name string, err error, why string) {
	t.Helper()
	var e *ecluse.Error
	if !errors.As(err, &e) || e.Kind != ecluse.Failed || e.What == "" || e.Where == "" || e.Next == "" || !strings.Contains(e.Why, why) {
		t.Errorf("%s: want %q, got %#v", name, why, err)
		return
	}
	for _, own := range []string{"SQL logic", "database or disk", "readonly database", "database is locked", "malformed", "not a database", "(13)"} {
		if strings.Contains(err.Error(), own) {
			t.Errorf("%s: SQLite's own words reach people: %v", name, err)
		}
	}
}

// fill writes until that fails.
func fill(s *sqlite.Store) (err error) {
	for n := 0; err == nil && n < 4000; n++ {
		err = s.Do(context.Background(), journal.Event{Tree: evidence.InstallationTree, Type: journal.Warned, IDs: map[string]string{"kind": strings.Repeat("x", 60)}}, func(tx *sqlite.Tx) error {
			_, err := tx.AddDocument(context.Background(), "instruction", "", []byte(strings.Repeat("x", n)))
			return err
		})
	}
	return err
}

// TestFaults: what keeps SQLite from working is said in words that help.
func TestFaults(t *testing.T) {
	t.Parallel()
	made := func(t *testing.T) (*sqlite.Store, string) {
		t.Helper()
		dir := t.TempDir()
		s, err := sqlite.Create(t.Context(), dir, roots())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s, dir
	}
	t.Run("full", func(t *testing.T) {
		t.Parallel()
		s, _ := made(t)
		sqlite.Pragma(t, s, "max_page_count = 1") // no more than it has
		says(t, "full", fill(s), "its disk is full")
	})
	t.Run("read-only", func(t *testing.T) {
		t.Parallel()
		s, _ := made(t)
		sqlite.Pragma(t, s, "query_only = 1")
		says(t, "read-only", fill(s), "may not be written")
	})
	t.Run("locked", func(t *testing.T) {
		t.Parallel()
		s, dir := made(t)
		sqlite.Pragma(t, s, "busy_timeout = 20")
		other, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "control.db")+"?_txlock=immediate")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		tx, err := other.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback() //nolint:errcheck // it wrote nothing
		says(t, "locked", fill(s), "another process")
	})
	t.Run("no database", func(t *testing.T) {
		t.Parallel()
		s, dir := made(t)
		s.Close()
		for _, side := range []string{"-wal", "-shm"} {
			os.Remove(filepath.Join(dir, "control.db"+side))
		}
		if err := os.WriteFile(filepath.Join(dir, "control.db"), []byte(strings.Repeat("damaged ", 4096)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := sqlite.Open(t.Context(), dir)
		says(t, "no database", err, "it is damaged")
	})
	t.Run("damaged", func(t *testing.T) {
		t.Parallel()
		s, dir := made(t)
		s.Close()
		path := filepath.Join(dir, "control.db")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := 4096; i < len(text); i++ { // all but the first page
			text[i] = 0x5a
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		opened, err := sqlite.Open(t.Context(), dir)
		if err == nil {
			defer opened.Close()
			err = fill(opened)
		}
		says(t, "damaged", err, "it is damaged")
	})
	t.Run("unreadable", func(t *testing.T) {
		t.Parallel()
		s, dir := made(t)
		s.Close()
		path := filepath.Join(dir, "control.db")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := sqlite.Open(t.Context(), dir)
		says(t, "a folder in its place", err, "cannot be opened")
	})
}

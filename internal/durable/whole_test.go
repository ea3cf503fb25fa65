package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestWhole: a folder is there with all that was put into it, or not at all, and
// nothing stays beside it.
func TestWhole(t *testing.T) {
	above := filepath.Join(t.TempDir(), "a", "b")
	dir := filepath.Join(above, "room")
	fill := func(part string) error {
		if _, err := os.Lstat(dir); err == nil && part != dir {
			if entries, _ := os.ReadDir(dir); len(entries) > 0 {
				t.Error("the folder fills under its own name")
			}
		}
		return CreateFile(filepath.Join(part, "key"), []byte("x"))
	}
	beside := func() []string {
		entries, err := os.ReadDir(above)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}

	broken := errors.New("no room")
	err := Whole(dir, func(part string) error { return errors.Join(fill(part), broken) })
	if !errors.Is(err, broken) {
		t.Errorf("failed filling: %v", err)
	}
	if names := beside(); len(names) != 0 {
		t.Errorf("it left %v behind", names)
	}

	if err := os.Mkdir(dir, 0o700); err != nil { // empty, it is replaced
		t.Fatal(err)
	}
	if err := Whole(dir+string(filepath.Separator), fill); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "key")); err != nil || string(text) != "x" {
		t.Errorf("it holds %q, %v", text, err)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}

	// A folder that holds something stays as it was.
	err = Whole(dir, func(part string) error { return CreateFile(filepath.Join(part, "other"), nil) })
	if err == nil {
		t.Error("it replaced a folder that holds something")
	}
	if _, err := os.Lstat(filepath.Join(dir, "other")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it put something into it: %v", err)
	}
	if names := beside(); len(names) != 1 {
		t.Errorf("it left %v", names)
	}
}

package sqlite_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"ecluse/internal/store/sqlite"
)

// TestFullDisk fills a file system of its own: whichever file comes first, database or
// document, what is said is the same. TestFaults is for whoever may not mount one.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("not root: TestFaults stands for it")
		return
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m,mode=700"); err != nil {
		t.Log("no file system can be mounted: TestFaults stands for it")
		return
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s, err := sqlite.Create(t.Context(), dir, roots())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	says(t, "a full disk", fill(s), "its disk is full")
}

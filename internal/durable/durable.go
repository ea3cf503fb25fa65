// Package durable writes files that survive a power cut: after WriteFile returns,
// the name holds the whole new content; whenever it is cut short, the name holds
// the whole old content or the whole new one.
//
// The sequence is the one of "All File Systems Are Not Created Equal" (Pillai et
// al., OSDI 2014): write a temporary file in the same folder, sync it, rename it
// over the name, sync the folder.
//
// BUG: on Windows the folder cannot be synced; the rename itself is what NTFS
// journals.
package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// temporary marks files that a crash may leave behind; Sweep removes them.
const temporary = ".part-"

// WriteFile replaces the file at path by data, with mode 0600.
func WriteFile(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := createHeld(dir, holdIfPossible)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", filepath.Base(path), err)
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = Release(f); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	if err = f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return SyncDir(dir)
}

// holdIfPossible lets a file be written where files cannot be held: no sweep can
// hold it there either, and so none takes it.
func holdIfPossible(f *os.File) error {
	if err := hold(f); !errors.Is(err, ErrNoLocks) {
		return err
	}
	return nil
}

// ErrOthers is of a file with a secret that others on this machine may read.
var ErrOthers = errors.New("others on this machine may read it")

// ReadPrivate reads a file that holds a secret; ErrOthers when its mode keeps it from
// nobody. Windows keeps rights elsewhere.
func ReadPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, ErrOthers
	}
	return io.ReadAll(f)
}

// CreateFile is WriteFile for a name that must not exist yet.
func CreateFile(path string, data []byte) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fs.ErrExist
		}
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return WriteFile(path, data)
}

// Remove unlinks a file for good; a file that is not there is no error.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// Mkdir makes a folder only its owner can enter, and the folders above it.
func Mkdir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a folder durable.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Sweep removes what crashed writes left in a folder, and nothing that a process
// is writing.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), temporary) {
			if err := SweepFile(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// SweepFile removes a file that no process is writing. One that cannot be held
// stays: it is another's, or it is gone.
func SweepFile(path string) error {
	f, err := Claim(path)
	if err != nil {
		return nil //nolint:nilerr // not ours to remove
	}
	defer f.Close()
	if err := Release(f); err != nil {
		return err
	}
	return Remove(path)
}

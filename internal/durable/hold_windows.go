package durable

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// hold does nothing here: an open file cannot be renamed or removed on Windows.
func hold(*os.File) error { return nil }

// claim leaves young files alone: a file is closed before it is renamed, and
// nothing holds it in between.
func claim(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if time.Since(info.ModTime()) < time.Minute {
		return ErrHeld
	}
	return nil
}

// wait holds a file as soon as nobody else does.
func wait(f *os.File) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, &windows.Overlapped{})
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrNoLocks, err)
	}
	return nil
}

// Release closes the file, so that it can be renamed or removed.
func Release(f *os.File) error { return f.Close() }

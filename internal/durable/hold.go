package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrHeld is the cause when a file is another's to write.
var ErrHeld = errors.New("it is being written")

// ErrNoLocks is the cause when files cannot be held at all.
var ErrNoLocks = errors.New("this file system has no locks")

// CreateTemp makes a temporary file in a folder that no sweep takes until it is
// closed. It is held before its first byte is written.
func CreateTemp(dir string) (*os.File, error) { return createHeld(dir, hold) }

// createHeld makes a file and holds it. One that a sweep came upon in between is
// made again.
func createHeld(dir string, hold func(*os.File) error) (*os.File, error) {
	for {
		f, err := os.CreateTemp(dir, temporary+"*")
		if err != nil {
			return nil, err
		}
		err = hold(f)
		if err == nil && there(f) {
			return f, nil
		}
		gone := errors.Join(f.Close(), remove(f.Name()))
		if err != nil && !errors.Is(err, ErrHeld) {
			return nil, fmt.Errorf("hold a file in %s: %w", filepath.Base(dir), err)
		}
		if gone != nil {
			return nil, gone
		}
	}
}

// there tells whether a file still has its name.
func there(f *os.File) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(mine, named)
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Claim opens a file that no process is writing, and holds it; ErrHeld when one
// is.
func Claim(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := claim(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Lock waits until the file at path, made when absent, is held by nobody else,
// in this process or another, and holds it until unlock is called. What it
// guards are other files: it is never replaced or removed itself.
func Lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := wait(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

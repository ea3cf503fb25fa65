package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Whole makes a folder with all that fill puts into it, or none: it is filled
// under another name beside. An empty folder of that name is replaced.
func Whole(dir string, fill func(dir string) error) (err error) {
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	part, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".part-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(part))
		}
	}()
	if err := fill(part); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(part, dir); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(dir))
}

package config

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"

	"ecluse"
)

// Rights that others on this machine must not have.
const (
	othersWrite fs.FileMode = 0o022
	othersAny   fs.FileMode = 0o077
)

// maxOwn bounds a person's own files; the largest real ones are a few kilobytes.
const maxOwn = 1 << 20

// readOwn reads a file in which others have none of the forbidden rights.
func readOwn(what, path string, forbidden fs.FileMode) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: path, Why: "the file cannot be read", Err: cause(err)}
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Failed, What: what, Where: path, Err: cause(err)}
	}
	if err := own(what, path, st, forbidden); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxOwn+1))
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: path, Why: "the file cannot be read", Err: cause(err)}
	}
	if len(text) > maxOwn {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: path, Why: "it is larger than 1 MiB", Next: "it is another file: name the right one"}
	}
	return text, nil
}

// own refuses a file or folder in which others have a forbidden right. Windows
// keeps rights elsewhere, and a user's folders private by default.
func own(what, path string, st fs.FileInfo, forbidden fs.FileMode) error {
	if runtime.GOOS == "windows" || st.Mode().Perm()&forbidden == 0 {
		return nil
	}
	e := &ecluse.Error{Kind: ecluse.Refused, What: what, Where: path, Article: "GDPR art. 32"}
	if forbidden == othersWrite {
		e.Why, e.Next = "others on this machine may change it", "chmod go-w "+path
	} else {
		e.Why, e.Next = "others on this machine may read it", "chmod 600 "+path
	}
	return e
}

// ownFolder is own for a folder: whoever may write there may put another file in
// the place of one. A folder that is not there yet is nobody's.
func ownFolder(what, dir string) error {
	st, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return &ecluse.Error{Kind: ecluse.Failed, What: what, Where: dir, Err: cause(err)}
	}
	return own(what, dir, st, othersWrite)
}

// cause is an error without the path, which stands beside it already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

package erasure

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Searched is what a search went through.
type Searched struct {
	Files  int
	Bytes  int64
	Found  []string // files that hold a probe, below the folder they were found in
	Unread int      // files and folders that could not be read
}

// Search looks in every regular file below the folders for the probes, pieces of
// ciphertext of at least two bytes. A file that vanishes meanwhile is no error;
// links are not followed. Nothing in except, files and folders directly in one of the
// dirs, is gone through: to whoever chooses the probes the answer would tell, a byte at
// a time, what is in it.
func Search(ctx context.Context, dirs []string, probes [][]byte, except ...string) (Searched, error) {
	var s Searched
	f := newFinder(probes)
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				s.Unread++
				return nil //nolint:nilerr // counted, and told in the certificate
			case filepath.Dir(path) == filepath.Clean(dir) && slices.Contains(except, e.Name()):
				if e.IsDir() {
					return fs.SkipDir
				}
				return nil
			case !e.Type().IsRegular():
				return nil
			}
			hit, n, err := f.file(path)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				s.Unread++
			}
			s.Files++
			s.Bytes += n
			if hit {
				rel, err := filepath.Rel(dir, path)
				if err != nil {
					return err
				}
				s.Found = append(s.Found, filepath.ToSlash(rel))
			}
			return nil
		})
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// finder finds any of the probes in a stream. A table by their first two bytes
// passes over almost everything.
type finder struct {
	by      map[uint16][][]byte
	begins  [1 << 16]bool
	longest int
	buf     []byte
}

const windowSize = 256 << 10

func newFinder(probes [][]byte) *finder {
	f := &finder{by: map[uint16][][]byte{}}
	for _, p := range probes {
		if len(p) < 2 {
			continue
		}
		k := binary.LittleEndian.Uint16(p)
		f.begins[k] = true
		f.by[k] = append(f.by[k], p)
		f.longest = max(f.longest, len(p))
	}
	f.buf = make([]byte, windowSize+f.longest)
	return f
}

// file tells whether a file holds a probe, and how much of it was read.
func (f *finder) file(path string) (hit bool, size int64, err error) {
	r, err := os.Open(path)
	if err != nil {
		return false, 0, err
	}
	defer r.Close()
	kept := 0 // bytes of the window before, in which a probe may begin
	for {
		n, err := io.ReadFull(r, f.buf[kept:])
		size += int64(n)
		window := f.buf[:kept+n]
		if f.in(window) {
			return true, size, nil
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return false, size, nil
		case err != nil:
			return false, size, err
		}
		kept = copy(f.buf, window[len(window)-f.longest:])
	}
}

func (f *finder) in(window []byte) bool {
	for i := 0; i+1 < len(window); i++ {
		k := binary.LittleEndian.Uint16(window[i:])
		if !f.begins[k] {
			continue
		}
		for _, p := range f.by[k] {
			if bytes.HasPrefix(window[i:], p) {
				return true
			}
		}
	}
	return false
}

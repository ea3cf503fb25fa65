package app

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"ecluse/internal/chamber"
)

// copies searches every file of the room for pieces of the ciphertext, and
// counts the files that hold one. The inventory itself, which lists the pieces
// until nobody looks any more, writes them in base64.
func (r *Room) copies(inv *chamber.Inventory) (int64, error) {
	if len(inv.Probes) == 0 {
		return 0, nil
	}
	found := int64(0)
	err := filepath.WalkDir(r.dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !e.Type().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		hit, err := holds(path, inv.Probes)
		if hit {
			found++
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return found, err
}

// holds tells whether a file holds one of some pieces; it is read in blocks that
// overlap by a piece.
func holds(path string, pieces [][]byte) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	const block = 1 << 20
	buf := make([]byte, 0, block+chamber.ProbeSize)
	for {
		n, err := f.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		for _, p := range pieces {
			if bytes.Contains(buf, p) {
				return true, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if keep := min(len(buf), chamber.ProbeSize-1); keep < len(buf) {
			copy(buf, buf[len(buf)-keep:])
			buf = buf[:keep]
		}
	}
}

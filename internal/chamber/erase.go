package chamber

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
)

// Inventory is what an erasure took, or is taking, out of the chamber. It is
// written before the first file goes, so that a crash loses nothing of it, and
// stays: where there is one, nothing of that migration is ever stored again.
type Inventory struct {
	Migration ecluse.MigrationID `json:"migration"`
	Begun     time.Time          `json:"begun"`
	Erased    time.Time          `json:"erased,omitzero"` // when the last file was gone
	Chunks    []Object           `json:"chunks"`          // by dataset, sequence and version
	Rejects   []Object           `json:"rejects"`
	Bytes     int64              `json:"bytes"`
	// Probes are pieces of the ciphertext, to look for copies with. Forget drops them.
	Probes [][]byte `json:"probes,omitempty"`
}

// Object is one sealed object, as its descriptor said.
type Object struct {
	Slot   ecluse.Slot   `json:"slot"`
	SHA256 ecluse.Digest `json:"sha256"`
	Size   int64         `json:"size"`
	Rows   int64         `json:"rows"`
}

// ProbeSize is the bytes of one probe: by chance they stand nowhere else.
const ProbeSize = 32

// maxProbes bounds how many objects are probed, spread evenly.
const maxProbes = 64

func (c *Chamber) inventoryFile(m ecluse.MigrationID) string {
	return filepath.Join(c.dir, "erased", string(m)+".json")
}

func (c *Chamber) isErased(m ecluse.MigrationID) bool {
	_, err := os.Lstat(c.inventoryFile(m))
	return !errors.Is(err, fs.ErrNotExist)
}

// Inventory returns the inventory of a migration's erasure; nil when it was never
// begun.
func (c *Chamber) Inventory(m ecluse.MigrationID) (*Inventory, error) {
	const what = "read the inventory of an erasure"
	if err := checkID(what, m); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(c.inventoryFile(m))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, failed(what, err)
	}
	inv := &Inventory{}
	if err := json.Unmarshal(b, inv); err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: what, Where: string(m), Err: err}
	}
	return inv, nil
}

// Erase removes everything of a migration from the chamber, and says what it was.
// It may be called again at any time, after a crash or after the end: it goes on
// where it was, and gives the same inventory.
func (c *Chamber) Erase(m ecluse.MigrationID, now time.Time) (*Inventory, error) {
	const what = "erase from the chamber"
	c.mu.Lock()
	defer c.mu.Unlock()
	inv, err := c.Inventory(m)
	if err != nil {
		return nil, err
	}
	if inv == nil {
		if inv, err = c.takeInventory(m, now); err != nil {
			return nil, failed(what, err)
		}
		if err := c.saveInventory(inv); err != nil {
			return nil, failed(what, err)
		}
		c.at("inventory written")
	}
	// Again after the end too: another process may have been receiving.
	if err := c.unlink(m); err != nil {
		return nil, failed(what, err)
	}
	c.at("unlinked")
	if !inv.Erased.IsZero() {
		return inv, nil
	}
	inv.Erased = now.UTC().Truncate(time.Second)
	return inv, failed(what, c.saveInventory(inv))
}

func (c *Chamber) saveInventory(inv *Inventory) error {
	text, err := json.MarshalIndent(inv, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(c.inventoryFile(inv.Migration), append(text, '\n'))
}

func (c *Chamber) takeInventory(m ecluse.MigrationID, now time.Time) (*Inventory, error) {
	inv := &Inventory{Migration: m, Begun: now.UTC().Truncate(time.Second), Chunks: []Object{}, Rejects: []Object{}}
	var paths []string
	for _, part := range []struct {
		a    area
		into *[]Object
	}{{c.chunks(m), &inv.Chunks}, {c.rejects(m), &inv.Rejects}} {
		all, err := c.list(part.a)
		if err != nil {
			return nil, err
		}
		for _, e := range all {
			*part.into = append(*part.into, Object{e.d.Slot, e.d.SHA256, e.d.Size, e.d.Rows})
			inv.Bytes += e.d.Size
			paths = append(paths, part.a.object(e.d))
		}
	}
	for i := range min(maxProbes, len(paths)) {
		p, err := probe(paths[i*len(paths)/min(maxProbes, len(paths))])
		if err != nil {
			return nil, err
		}
		if p != nil {
			inv.Probes = append(inv.Probes, p)
		}
	}
	return inv, nil
}

// probe takes bytes from the middle of an object; none of one that is already gone
// or too small.
func probe(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < 2*ProbeSize {
		return nil, err
	}
	p := make([]byte, ProbeSize)
	_, err = f.ReadAt(p, info.Size()-ProbeSize-info.Size()/4) // past the header, which is one for no other file either
	return p, err
}

// unlink removes the migration's folder, file by file, and makes that durable.
func (c *Chamber) unlink(m ecluse.MigrationID) error {
	dir := c.live(m)
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case e.IsDir():
			dirs = append(dirs, path)
			return nil
		}
		defer c.at("file removed")
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := durable.Remove(dirs[i]); err != nil {
			return err
		}
	}
	return nil
}

// Remains lists the files of a migration that are still in the chamber, by their
// path in it; none after an erasure.
func (c *Chamber) Remains(m ecluse.MigrationID) ([]string, error) {
	const what = "look for remains in the chamber"
	if err := checkID(what, m); err != nil {
		return nil, err
	}
	remains := []string{}
	err := filepath.WalkDir(c.live(m), func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && e.IsDir() {
			return nil
		}
		remains = append(remains, c.relative(path))
		return err
	})
	return remains, failed(what, err)
}

// Forget drops the probes of a finished erasure, when nobody will look any more.
func (c *Chamber) Forget(m ecluse.MigrationID) error {
	inv, err := c.Inventory(m)
	if err != nil || inv == nil || inv.Probes == nil {
		return err
	}
	if inv.Erased.IsZero() {
		return &ecluse.Error{Kind: ecluse.Refused, What: "forget the probes of an erasure", Where: string(m), Why: "it is not finished"}
	}
	inv.Probes = nil
	return failed("forget the probes of an erasure", c.saveInventory(inv))
}

// Erasures turns an inventory's chunks into the certificate's objects.
func (inv *Inventory) Erasures() []evidence.ErasedObject {
	out := make([]evidence.ErasedObject, len(inv.Chunks))
	for i, o := range inv.Chunks {
		out[i] = evidence.ErasedObject{Slot: o.Slot, SHA256: o.SHA256, Size: o.Size, Rows: o.Rows, Erased: inv.Erased}
	}
	return out
}

// Package chamber is where sealed chunks wait between the two gates: a folder of
// ciphertext. What it takes must be signed by the gate the migration names and
// sealed to one hybrid post-quantum age recipient; it has no way to store
// anything else, and no key that opens what it stores.
//
// # On disk
//
//	live/MIGRATION/chunks/objects/SHA256.age          a chunk's ciphertext
//	live/MIGRATION/chunks/slots/DATASET/000012.0      its signed descriptor
//	live/MIGRATION/rejects/objects/SHA256.age         rows put aside, for the source gate
//	live/MIGRATION/rejects/slots/PLAN-1/DATASET/…     their descriptors, per load plan and run
//	live/MIGRATION/manifest, manifest.1 …             the signed manifests that close the readings
//	erased/MIGRATION.json                             what an erasure took away
//
// A descriptor is its JSON body followed by the armoured signature. Its coming
// into being is the commit: the object it names is whole and on disk before. So a
// crash at any moment leaves the chunk or nothing; what it leaves beside (a
// temporary file, an object that no descriptor names) Open removes, unless
// another process is writing it at that very time.
//
// Trust: whoever can write in the folder can delete and delay, and can put nothing
// in that a gate would take, since gates check the signatures again.
package chamber

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
)

// Terms are what a migration allows into the chamber.
type Terms struct {
	Migration ecluse.MigrationID
	Plan      ecluse.Digest      // chunks: the read plan; rejects: the load plan
	Gate      ecluse.Fingerprint // that must have signed: chunks the source's, rejects the target's
	Rows      int64              // ceiling of instructed rows, 0: none
	Bytes     int64              // ceiling of ciphertext, 0: none
}

// Usage is what is in the chamber of a migration.
type Usage struct {
	Chunks  int   `json:"chunks"`
	Rows    int64 `json:"rows"`  // of instructed datasets, the latest version of each chunk
	Bytes   int64 `json:"bytes"` // of ciphertext, rejects included
	Rejects int   `json:"rejects"`
}

// Chamber is a folder of sealed chunks. It may be used by several goroutines, and
// the folder by several processes.
type Chamber struct {
	dir string
	mu  sync.Mutex // one commit at a time
	// known are descriptors read before: their files never change.
	known map[string]entry
	// step, in tests, is called between the steps of what must survive a crash.
	step func(name string)
}

// entry is a stored descriptor.
type entry struct {
	signed evidence.Signed
	d      *evidence.Descriptor
}

// Open opens a chamber's folder, makes it when it is not there, and removes what
// crashes left in it. A folder that others than its owner can enter is refused.
func Open(dir string) (*Chamber, error) {
	c := &Chamber{dir: dir, known: map[string]entry{}}
	for _, d := range []string{dir, filepath.Join(dir, "live"), filepath.Join(dir, "erased")} {
		if err := durable.Mkdir(d); err != nil {
			return nil, failed("open the chamber", err)
		}
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, failed("open the chamber", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "open the chamber", Where: dir, Why: fmt.Sprintf("others can enter the folder (mode %o)", info.Mode().Perm()),
			Next: "chmod 700 " + dir,
		}
	}
	return c, c.sweep()
}

// area is where one kind of object of a migration lies.
type area struct{ dir string }

func (c *Chamber) live(m ecluse.MigrationID) string { return filepath.Join(c.dir, "live", string(m)) }

func (c *Chamber) chunks(m ecluse.MigrationID) area { return area{filepath.Join(c.live(m), "chunks")} }

func (c *Chamber) rejects(m ecluse.MigrationID) area {
	return area{filepath.Join(c.live(m), "rejects")}
}

func (a area) objects() string { return filepath.Join(a.dir, "objects") }
func (a area) slots() string   { return filepath.Join(a.dir, "slots") }

func (a area) object(d *evidence.Descriptor) string {
	return filepath.Join(a.objects(), d.SHA256.Hex()+".age")
}

// mkdir makes a folder of the chamber, and each one above it, durable.
func (c *Chamber) mkdir(dir string) error {
	if _, err := os.Stat(dir); err == nil || dir == c.dir {
		return err
	}
	if err := c.mkdir(filepath.Dir(dir)); err != nil {
		return err
	}
	return durable.Mkdir(dir)
}

// checkID keeps migration ids from naming a path.
func checkID(what string, m ecluse.MigrationID) error {
	if !m.Valid() {
		return &ecluse.Error{Kind: ecluse.Invalid, What: what, Why: fmt.Sprintf("%q is not a migration's id", m)}
	}
	return nil
}

// failed is an error of the file system. Paths are the program's own: they name
// migrations, datasets and digests.
func failed(what string, err error) error {
	var e *ecluse.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	next := ""
	if errors.Is(err, fs.ErrPermission) {
		next = "the chamber's folder must belong to the user that runs ecluse"
	}
	return &ecluse.Error{Kind: ecluse.Failed, What: what, Err: err, Next: next}
}

func (c *Chamber) at(name string) {
	if c.step != nil {
		c.step(name)
	}
}

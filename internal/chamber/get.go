package chamber

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/evidence"
)

const (
	manifestFile = "manifest"
	temporary    = ".part-"
)

// slotName is the file of a slot's descriptor.
func slotName(dir string, s ecluse.Slot) string {
	return filepath.Join(dir, string(s.Dataset), fmt.Sprintf("%06d.%d", s.Sequence, s.Version))
}

// Get returns a chunk's stored descriptor and body. ecluse.Failed with fs.ErrNotExist
// when the slot is empty.
func (c *Chamber) Get(m ecluse.MigrationID, s ecluse.Slot) (evidence.Signed, io.ReadCloser, error) {
	what := "fetch chunk " + s.String()
	if err := checkID(what, m); err != nil {
		return evidence.Signed{}, nil, err
	}
	a := c.chunks(m)
	c.mu.Lock()
	e, err := c.read(slotName(a.slots(), s))
	c.mu.Unlock()
	if err != nil {
		return evidence.Signed{}, nil, failed(what, err)
	}
	f, err := os.Open(a.object(e.d))
	if err != nil {
		return evidence.Signed{}, nil, failed(what, err)
	}
	return e.signed, f, nil
}

// List returns the descriptors of every chunk of a migration, superseded versions
// too, by dataset, sequence and version.
func (c *Chamber) List(m ecluse.MigrationID) ([]evidence.Signed, error) {
	return c.signed("list chunks", m, c.chunks(m))
}

// Rejects returns the descriptors of the rows put aside, by run, dataset, sequence
// and version.
func (c *Chamber) Rejects(m ecluse.MigrationID) ([]evidence.Signed, error) {
	return c.signed("list rejects", m, c.rejects(m))
}

func (c *Chamber) signed(what string, m ecluse.MigrationID, a area) ([]evidence.Signed, error) {
	if err := checkID(what, m); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	all, err := c.list(a)
	if err != nil {
		return nil, failed(what, err)
	}
	out := make([]evidence.Signed, len(all))
	for i, e := range all {
		out[i] = e.signed
	}
	return out, nil
}

// GetReject returns the body of rows put aside, by the digest of their ciphertext.
func (c *Chamber) GetReject(m ecluse.MigrationID, sha256 ecluse.Digest) (io.ReadCloser, error) {
	what := "fetch rejects"
	if err := checkID(what, m); err != nil {
		return nil, err
	}
	f, err := os.Open(c.rejects(m).object(&evidence.Descriptor{SHA256: sha256}))
	if err != nil {
		return nil, failed(what, err)
	}
	return f, nil
}

// Manifest returns the manifest that closed the latest reading, or nil before there is one.
func (c *Chamber) Manifest(m ecluse.MigrationID) (*evidence.Signed, error) {
	if err := checkID("read the manifest", m); err != nil {
		return nil, err
	}
	s, err := c.manifest(m)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return s, failed("read the manifest", err)
}

func (c *Chamber) manifest(m ecluse.MigrationID) (*evidence.Signed, error) {
	reading, err := c.closed(m)
	if err == nil && reading < 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	return c.manifestOf(m, reading)
}

func (c *Chamber) manifestOf(m ecluse.MigrationID, reading int) (*evidence.Signed, error) {
	b, err := os.ReadFile(filepath.Join(c.live(m), manifestName(reading)))
	if err != nil {
		return nil, err
	}
	s, err := split(b)
	return &s, err
}

// closed is the latest reading that a manifest closed; −1: none yet.
func (c *Chamber) closed(m ecluse.MigrationID) (int, error) {
	for reading := 0; ; reading++ {
		_, err := os.Lstat(filepath.Join(c.live(m), manifestName(reading)))
		if errors.Is(err, fs.ErrNotExist) {
			return reading - 1, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// manifestName is the file of a reading's manifest.
func manifestName(reading int) string {
	if reading == 0 {
		return manifestFile
	}
	return manifestFile + "." + strconv.Itoa(reading)
}

// Usage counts what is in the chamber of a migration.
func (c *Chamber) Usage(m ecluse.MigrationID) (Usage, error) {
	const what = "measure the chamber"
	if err := checkID(what, m); err != nil {
		return Usage{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	u, err := c.usage(m)
	return u, failed(what, err)
}

// usage counts; c.mu is held.
func (c *Chamber) usage(m ecluse.MigrationID) (Usage, error) {
	chunks, err := c.list(c.chunks(m))
	if err != nil {
		return Usage{}, err
	}
	rejects, err := c.list(c.rejects(m))
	if err != nil {
		return Usage{}, err
	}
	return usage(chunks, rejects), nil
}

func usage(chunks, rejects []entry) Usage {
	u := Usage{Chunks: len(chunks), Rejects: len(rejects)}
	latest := map[ecluse.Slot]*evidence.Descriptor{} // by slot without its version
	for _, e := range chunks {
		u.Bytes += e.d.Size
		place := ecluse.Slot{Dataset: e.d.Slot.Dataset, Sequence: e.d.Slot.Sequence}
		if old := latest[place]; old == nil || old.Slot.Version < e.d.Slot.Version {
			latest[place] = e.d
		}
	}
	rows := map[int]int64{} // by reading: each may take what the instruction allows
	for place, d := range latest {
		of, reading := place.Dataset.Of()
		if !strings.HasPrefix(string(place.Dataset), "ecluse.") || reading > 0 && place.Dataset == of.Changed(reading) {
			rows[reading] += d.Rows
		}
	}
	for _, n := range rows {
		u.Rows = max(u.Rows, n)
	}
	for _, e := range rejects {
		u.Bytes += e.d.Size
	}
	return u
}

// list reads every descriptor of an area; c.mu is held.
func (c *Chamber) list(a area) ([]entry, error) {
	var all []entry
	err := filepath.WalkDir(a.slots(), func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case e.IsDir() || strings.HasPrefix(e.Name(), temporary):
			return nil
		}
		stored, err := c.read(path)
		if errors.Is(err, fs.ErrNotExist) { // erased while we look
			return nil
		}
		if err == nil {
			all = append(all, stored)
		}
		return err
	})
	slices.SortStableFunc(all, func(x, y entry) int {
		a, b := x.d, y.d
		return cmp.Or(
			bytes.Compare(a.Plan[:], b.Plan[:]), cmp.Compare(a.Slot.Dataset, b.Slot.Dataset),
			cmp.Compare(a.Slot.Sequence, b.Slot.Sequence), cmp.Compare(a.Slot.Version, b.Slot.Version), cmp.Compare(a.Epoch, b.Epoch),
		)
	})
	return all, err
}

// read reads a descriptor's file; c.mu is held. Its signature was checked when it
// came, and is checked again by whoever fetches it.
func (c *Chamber) read(name string) (entry, error) {
	if e, ok := c.known[name]; ok {
		if _, err := os.Lstat(name); err != nil {
			delete(c.known, name)
			return entry{}, err
		}
		return e, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return entry{}, err
	}
	e := entry{d: &evidence.Descriptor{}}
	if e.signed, err = split(b); err != nil {
		return entry{}, err
	}
	if err := evidence.DecodeJSON(e.signed.Body, e.d); err != nil {
		return entry{}, err
	}
	c.known[name] = e
	return e, nil
}

// split takes a body and the armoured signature after it apart.
func split(b []byte) (evidence.Signed, error) {
	at := bytes.LastIndex(b, []byte("-----BEGIN SSH SIGNATURE-----"))
	if at < 0 {
		return evidence.Signed{}, &ecluse.Error{Kind: ecluse.Unverified, What: "read from the chamber", Why: "a descriptor or manifest is damaged"}
	}
	return evidence.Signed{Body: b[:at:at], Signature: b[at:]}, nil
}

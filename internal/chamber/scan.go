package chamber

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"ecluse"
	"ecluse/internal/durable"
)

// Stray is a file of the chamber's folder that should not be there, or one that
// should and is not.
type Stray struct {
	Path string `json:"path"` // in the chamber's folder
	Size int64  `json:"size"`
	Why  string `json:"why"`
	Own  bool   `json:"own,omitempty"` // a live migration's own, damaged or left by a crash: told, never moved
}

// InQuarantine is why a file is listed that was moved there before.
const InQuarantine = "it is in quarantine"

var (
	objectPath    = regexp.MustCompile(`^(chunks|rejects)/objects/[0-9a-f]{64}\.age$`)
	manifestPath  = regexp.MustCompile(`^manifest(\.[1-9]\d*)?$`)
	slotPath      = regexp.MustCompile(`^(chunks/slots|rejects/slots/[0-9a-f]{16}-\d+)/[A-Za-z0-9_][A-Za-z0-9_.-]*/\d{6,}\.\d+$`)
	inventoryPath = regexp.MustCompile(`^erased/[a-z0-9-]+\.json$`)
)

// Scan goes through the whole folder and lists what belongs to no live migration,
// what crashes left, what nobody knows, and objects that a descriptor names and
// that are gone or have another size.
func (c *Chamber) Scan(live func(ecluse.MigrationID) bool) ([]Stray, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var strays []Stray
	names := map[ecluse.MigrationID]map[string]bool{}
	err := c.walk(func(path, rel string, size int64) error {
		why, err := c.judge(path, rel, live, names)
		if why != "" {
			strays = append(strays, Stray{Path: rel, Size: size, Why: why, Own: c.own(rel, live)})
		}
		return err
	})
	return strays, failed("scan the chamber", err)
}

// own tells whether a file is where and what a live migration's files are.
func (c *Chamber) own(rel string, live func(ecluse.MigrationID) bool) bool {
	rest, in := strings.CutPrefix(rel, "live/")
	m, inside, _ := strings.Cut(rest, "/")
	return in && live(ecluse.MigrationID(m)) && !c.isErased(ecluse.MigrationID(m)) &&
		(objectPath.MatchString(inside) || slotPath.MatchString(inside) || strings.HasPrefix(filepath.Base(rel), temporary))
}

// walk calls f for every file, with its path and its path in the chamber.
func (c *Chamber) walk(f func(path, rel string, size int64) error) error {
	return filepath.WalkDir(c.dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && e.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return f(path, c.relative(path), info.Size())
	})
}

func (c *Chamber) relative(path string) string {
	rel, err := filepath.Rel(c.dir, path)
	if err != nil {
		rel = filepath.Base(path)
	}
	return filepath.ToSlash(rel)
}

// judge says why a file should not be where it is; nothing when it may.
func (c *Chamber) judge(path, rel string, live func(ecluse.MigrationID) bool, seen map[ecluse.MigrationID]map[string]bool) (string, error) {
	m, inside, ok := strings.Cut(strings.TrimPrefix(rel, "live/"), "/")
	id := ecluse.MigrationID(m)
	switch {
	case strings.HasPrefix(rel, "quarantine/"):
		return InQuarantine, nil
	case strings.HasPrefix(filepath.Base(path), temporary):
		return unlessHeld(path, "a crash left it")
	case inventoryPath.MatchString(rel):
		return "", nil
	case !strings.HasPrefix(rel, "live/") || !ok || !id.Valid():
		return "nothing of the chamber's is called so", nil
	case c.isErased(id):
		return "its migration is erased", nil
	case !live(id):
		return "it belongs to no live migration", nil
	case manifestPath.MatchString(inside):
		return "", nil
	case objectPath.MatchString(inside):
		if c.named(id, filepath.Base(path), seen) {
			return "", nil
		}
		return unlessHeld(path, "no descriptor names it")
	case !slotPath.MatchString(inside):
		return "nothing of the chamber's is called so", nil
	}
	e, err := c.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "it is no descriptor", nil //nolint:nilerr // that is what is told
	}
	a := c.chunks(id)
	if strings.HasPrefix(inside, "rejects/") {
		a = c.rejects(id)
	}
	info, err := os.Stat(a.object(e.d))
	if err != nil || info.Size() != e.d.Size {
		return "the object it names is not there, or has another size", nil //nolint:nilerr // that is what is told
	}
	return "", nil
}

// named tells whether a descriptor of a migration names an object. When one of them
// cannot be read, any object may be its own: Scan shows that one first. seen keeps
// the names of each migration; c.mu is held.
func (c *Chamber) named(m ecluse.MigrationID, object string, seen map[ecluse.MigrationID]map[string]bool) bool {
	names, ok := seen[m]
	if !ok {
		names = map[string]bool{}
		for _, a := range []area{c.chunks(m), c.rejects(m)} {
			all, err := c.list(a)
			if err != nil {
				names = nil
				break
			}
			for _, e := range all {
				names[filepath.Base(a.object(e.d))] = true
			}
		}
		seen[m] = names
	}
	return names == nil || names[object]
}

// unlessHeld gives the reason unless some process is writing the file.
func unlessHeld(path, why string) (string, error) {
	f, err := durable.Claim(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, durable.ErrHeld):
		return "", nil
	case err != nil:
		return why, nil // a stray we may not open is one
	}
	return why, f.Close()
}

// sweep removes what crashes left: temporary files, and objects without a
// descriptor. A file that a process is writing is held by it, until its descriptor
// is in place; so what can be held is looked at once more before it goes.
func (c *Chamber) sweep() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := map[ecluse.MigrationID]map[string]bool{}
	return failed("sweep the chamber", c.walk(func(path, rel string, _ int64) error {
		m, inside, _ := strings.Cut(strings.TrimPrefix(rel, "live/"), "/")
		id := ecluse.MigrationID(m)
		object := objectPath.MatchString(inside) && id.Valid()
		switch {
		case !object && !strings.HasPrefix(filepath.Base(path), temporary):
			return nil
		case object && c.named(id, filepath.Base(path), seen):
			return nil
		}
		f, err := durable.Claim(path)
		if err != nil {
			return nil //nolint:nilerr // gone, or not ours to remove: Scan tells
		}
		defer f.Close()
		if object && c.named(id, filepath.Base(path), map[ecluse.MigrationID]map[string]bool{}) {
			return nil
		}
		if err := durable.Release(f); err != nil {
			return err
		}
		return durable.Remove(path)
	}))
}

// Quarantine moves a stray out of where anything could serve it from; a person
// decides what becomes of it.
func (c *Chamber) Quarantine(s Stray) error {
	const what = "quarantine a file of the chamber"
	if !filepath.IsLocal(s.Path) || strings.HasPrefix(s.Path, "quarantine/") {
		return &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: s.Path, Why: "it is not a file of the chamber"}
	}
	dir := filepath.Join(c.dir, "quarantine")
	if err := durable.Mkdir(dir); err != nil {
		return failed(what, err)
	}
	from := filepath.Join(c.dir, filepath.FromSlash(s.Path))
	mark := sha256.Sum256([]byte(s.Path)) // two strays may have one name
	to := filepath.Join(dir, hex.EncodeToString(mark[:4])+"-"+filepath.Base(from))
	if err := os.Rename(from, to); err != nil {
		return failed(what, err)
	}
	return failed(what, errors.Join(durable.SyncDir(dir), durable.SyncDir(filepath.Dir(from))))
}

package gate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/seal"
)

// bookmarks keeps where each chunk ends, sealed under K: a key's value can be a
// patient's number.
type bookmarks struct {
	dir string
	key *seal.Key
}

func (h *Home) bookmarks(m ecluse.MigrationID, k *seal.Key) (*bookmarks, error) {
	dir, err := h.folder(m)
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "bookmarks")
	return &bookmarks{dir: dir, key: k}, durable.Mkdir(dir)
}

func (b *bookmarks) path(d ecluse.DatasetID, sequence int) string {
	return filepath.Join(b.dir, fmt.Sprintf("%s-%06d", d, sequence))
}

func (b *bookmarks) Bookmark(d ecluse.DatasetID, sequence int) (reader.Cursor, error) {
	sealed, err := os.ReadFile(b.path(d, sequence))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, pathless(err)
	}
	return b.key.OpenCursor(d, sequence, sealed)
}

func (b *bookmarks) SetBookmark(d ecluse.DatasetID, sequence int, end reader.Cursor) error {
	sealed, err := b.key.SealCursor(d, sequence, end)
	if err != nil {
		return err
	}
	return keepFile(b.path(d, sequence), "bookmarks", sealed)
}

// readings keeps what each reading of the source came to: the sums of its buckets, sealed
// under K, and the manifest that closed it, as this gate signed it.
type readings struct{ dir string }

func (h *Home) readings(m ecluse.MigrationID) (*readings, error) {
	dir, err := h.folder(m)
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "readings")
	return &readings{dir}, durable.Mkdir(dir)
}

func (r *readings) path(reading int, d ecluse.DatasetID) string {
	return filepath.Join(r.dir, fmt.Sprintf("%06d-%s", reading, d))
}

func (r *readings) Sums(reading int, d ecluse.DatasetID) ([]byte, error) {
	sums, err := os.ReadFile(r.path(reading, d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return sums, pathless(err)
}

func (r *readings) SetSums(reading int, d ecluse.DatasetID, sums []byte) error {
	return keepFile(r.path(reading, d), "readings", sums)
}

// keepFile keeps a file of the gate's own folder; whoever waits for the reading is told when its
// disk does not take it.
func keepFile(path, where string, text []byte) error {
	if err := durable.WriteFile(path, text); err != nil {
		return &ecluse.Error{Kind: ecluse.Failed, What: "write the gate's folder", Where: where, Err: pathless(err), Next: "make room, or give the user that runs ecluse the right to write the gate's folder; then run the same command again"}
	}
	return nil
}

// manifestOf is the name under which a reading's manifest is kept; no dataset of an
// instruction begins so.
const manifestOf ecluse.DatasetID = "ecluse.manifest"

func (r *readings) setManifest(reading int, s evidence.Signed) error {
	text, err := evidence.EncodeJSON(s)
	if err != nil {
		return err
	}
	return keepFile(r.path(reading, manifestOf), "readings", text)
}

// digest is that of the manifest that closed a reading.
func (r *readings) digest(reading int) (ecluse.Digest, error) {
	text, err := os.ReadFile(r.path(reading, manifestOf))
	if err != nil {
		return ecluse.Digest{}, pathless(err)
	}
	var s evidence.Signed
	if err := evidence.DecodeJSON(text, &s); err != nil {
		return ecluse.Digest{}, err
	}
	return s.Digest(), nil
}

// manifest reads the one that closed a reading, and checks that this gate signed it.
func (r *readings) manifest(reading int, gate ecluse.Fingerprint) (*evidence.Manifest, error) {
	bad := func(why string, err error) error {
		return &ecluse.Error{
			Kind: ecluse.Unverified, What: "read the source again", Where: filepath.Base(r.path(reading, manifestOf)), Why: why, Err: err,
			Next: "undo the passage, erase the migration, and read anew under a new instruction",
		}
	}
	text, err := os.ReadFile(r.path(reading, manifestOf))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, bad("the manifest of the reading before is not in this gate's folder", nil)
	}
	if err != nil {
		return nil, pathless(err)
	}
	var s evidence.Signed
	if err := evidence.DecodeJSON(text, &s); err != nil {
		return nil, bad("what this gate kept of the reading before is damaged", nil)
	}
	m, err := evidence.ParseManifest(s, gate)
	if err != nil {
		return nil, bad("what this gate kept of the reading before is damaged", err)
	}
	if m.Reading != reading {
		return nil, bad("what this gate kept of the reading before is of another one", nil)
	}
	return m, nil
}

// forget removes what nobody asks for any more: what is before a reading.
func (r *readings) forget(reading int) error {
	files, err := os.ReadDir(r.dir)
	if err != nil {
		return pathless(err)
	}
	for _, f := range files {
		number, _, ok := strings.Cut(f.Name(), "-")
		if n, err := strconv.Atoi(number); ok && err == nil && n < reading {
			if err := durable.Remove(filepath.Join(r.dir, f.Name())); err != nil {
				return pathless(err)
			}
		}
	}
	return nil
}

// notes keeps what became of each chunk, at the target gate, as sluice.Load
// sealed it.
type notes struct{ dir string }

func (h *Home) notes(m ecluse.MigrationID, p ecluse.Passage) (*notes, error) {
	return h.notesIn(m, "notes-"+p.String())
}

// stays keeps what stays of each chunk that is taken out, as sluice.Undo sealed it.
func (h *Home) stays(m ecluse.MigrationID, p ecluse.Passage) (*notes, error) {
	return h.notesIn(m, "stays-"+p.String())
}

func (h *Home) notesIn(m ecluse.MigrationID, name string) (*notes, error) {
	dir, err := h.folder(m)
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, name)
	return &notes{dir}, durable.Mkdir(dir)
}

// Slots lists the chunks that there is a note of, in order.
func (n *notes) Slots() ([]ecluse.Slot, error) {
	files, err := os.ReadDir(n.dir)
	if err != nil {
		return nil, pathless(err)
	}
	var all []ecluse.Slot
	for _, f := range files {
		if slot, ok := slotOf(f.Name()); ok && n.path(slot) == filepath.Join(n.dir, f.Name()) {
			all = append(all, slot)
		}
	}
	return all, nil
}

// slotOf reads a note's file name; half of one, which a crash left, is none.
func slotOf(name string) (s ecluse.Slot, ok bool) {
	dash := strings.LastIndexByte(name, '-')
	if dash < 1 {
		return s, false
	}
	sequence, version, _ := strings.Cut(name[dash+1:], ".")
	var err1, err2 error
	s.Dataset = ecluse.DatasetID(name[:dash])
	s.Sequence, err1 = strconv.Atoi(sequence)
	s.Version, err2 = strconv.Atoi(version)
	return s, err1 == nil && err2 == nil
}

func (n *notes) path(at ecluse.Slot) string {
	return filepath.Join(n.dir, fmt.Sprintf("%s-%06d.%d", at.Dataset, at.Sequence, at.Version))
}

func (n *notes) Note(at ecluse.Slot) ([]byte, error) {
	text, err := os.ReadFile(n.path(at))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, pathless(err)
}

func (n *notes) SetNote(at ecluse.Slot, note []byte) error {
	return durable.WriteFile(n.path(at), note)
}

// numbers keeps which rows the migration's passes numbered, at the target gate, as
// sluice.Load sealed it: it outlives the passages, and goes with the key.
type numbers struct{ path string }

func (h *Home) numbers(m ecluse.MigrationID) (*numbers, error) {
	dir, err := h.folder(m)
	return &numbers{filepath.Join(dir, "numbers")}, err
}

func (n *numbers) Numbers() ([]byte, error) {
	text, err := os.ReadFile(n.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, pathless(err)
}

func (n *numbers) SetNumbers(text []byte) error { return durable.WriteFile(n.path, text) }

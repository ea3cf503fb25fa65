// Package carry is the folder in which a source gate that no line reaches and its lock
// hear of each other: on a disk, over SFTP or a share. It holds what the lock said and
// what the gate answered, each signed as a whole, and sealed chunks: whoever carries it
// can lose or delay them, and neither read nor change anything.
//
//	out-000001/dispatch.json, .sig    what the lock said, which signed it
//	out-000001/rejects/…              rows put aside, sealed to the gate, by digest
//	in-000001/chunks/…                sealed chunks, by digest
//	in-000001/return.json, .sig       what the gate said, which it signed
//
// The two texts are written last: a dispatch or a return that is there is whole. Before
// it is signed, what the gate says stands in the gate's own folder, a line each: after a
// crash it goes on with that.
package carry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
	"ecluse/internal/exchange"
)

// Names in a folder.
const (
	dispatchFile = "dispatch.json"
	returnFile   = "return.json"
	chunksDir    = "chunks"
	rejectsDir   = "rejects"
	paperFile    = "enrolment.json"
	sig          = ".sig"
)

// maxText bounds what is read whole.
const maxText = 256 << 20

func outOf(number int64) string { return fmt.Sprintf("out-%06d", number) }

func inOf(number int64) string { return fmt.Sprintf("in-%06d", number) }

var numbered = regexp.MustCompile(`^(out|in)-([0-9]{6,18})$`)

// disk is the folder that is carried. Whoever carried it may have put links into it, to
// files of whoever opens it: no path in it leads out, and only files and folders that lie in
// it are taken for such.
type disk struct{ *os.Root }

func openDisk(dir string) (disk, error) {
	root, err := os.OpenRoot(dir)
	return disk{root}, err
}

// numbers lists the numbers of the folders that begin so.
func (d disk) numbers(begins string) ([]int64, error) {
	entries, err := fs.ReadDir(d.FS(), ".")
	if err != nil {
		return nil, err
	}
	var all []int64
	for _, e := range entries {
		m := numbered.FindStringSubmatch(e.Name())
		if m == nil || m[1] != begins || !e.IsDir() {
			continue
		}
		if n, err := strconv.ParseInt(m[2], 10, 64); err == nil {
			all = append(all, n)
		}
	}
	return all, nil
}

// has tells whether there is anything of a name.
func (d disk) has(name string) bool {
	_, err := d.Lstat(name)
	return err == nil
}

// open opens a file that lies in the folder itself: no link, and nothing that never ends.
func (d disk) open(name string) (*os.File, fs.FileInfo, error) {
	for at := path.Dir(name); at != "."; at = path.Dir(at) {
		if err := d.lies(at, fs.FileMode.IsDir); err != nil {
			return nil, nil, err
		}
	}
	if err := d.lies(name, fs.FileMode.IsRegular); err != nil {
		return nil, nil, err
	}
	f, err := d.Open(name)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errLink
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

var errLink = errors.New("it is a link, or another thing that is never carried")

// lies refuses a name that is not of what it has to be.
func (d disk) lies(name string, is func(fs.FileMode) bool) error {
	info, err := d.Lstat(name)
	if err == nil && !is(info.Mode()) {
		err = &fs.PathError{Op: "open", Path: name, Err: errLink}
	}
	return err
}

// mkdir makes a folder, and the one above it.
func (d disk) mkdir(name string) error {
	if above := path.Dir(name); above != "." {
		if err := d.mkdir(above); err != nil {
			return err
		}
	}
	if err := d.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := d.lies(name, fs.FileMode.IsDir); err != nil {
		return err
	}
	return d.sync(path.Dir(name))
}

// sync makes the names in a folder durable.
func (d disk) sync(name string) error { return durable.SyncDir(filepath.Join(d.Name(), name)) }

// unfinished ends the names of files that are being written.
const unfinished = ".part"

// write is durable.WriteFile in the folder, and nowhere else.
func (d disk) write(name string, text []byte) (err error) {
	part := name + unfinished
	if err := d.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := d.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.Rename(part, name)
	}
	if err != nil {
		return errors.Join(err, d.remove(part))
	}
	return d.sync(path.Dir(name))
}

// remove unlinks a file for good; a file that is not there is no error.
func (d disk) remove(name string) error {
	if err := d.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return d.sync(path.Dir(name))
}

// sweep removes what writes that a crash cut short left in a folder; nobody else writes there.
func (d disk) sweep(name string) error {
	entries, err := fs.ReadDir(d.FS(), name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), unfinished) {
			if err := d.remove(path.Join(name, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// readSigned reads a text and the signature beside it.
func (d disk) readSigned(name string) (s evidence.Signed, err error) {
	if s.Body, err = d.readText(name); err == nil {
		s.Signature, err = d.readText(name + sig)
	}
	return s, err
}

func (d disk) readText(name string) ([]byte, error) {
	f, _, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readText(f)
}

func readText(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxText+1))
	if err == nil && len(text) > maxText {
		err = errors.New("it is longer than anything that is carried")
	}
	return text, err
}

// writeSigned writes a text and the signature beside it: the text last, and never beside
// another's signature.
func (d disk) writeSigned(name string, s evidence.Signed) error {
	err := d.remove(name)
	if err == nil {
		err = d.write(name+sig, s.Signature)
	}
	if err == nil {
		err = d.write(name, s.Body)
	}
	return err
}

// WriteDispatch puts what a lock said into the folder, and the rows put aside that it
// speaks of. It takes away earlier dispatches, and returns before the last that came in.
func WriteDispatch(ctx context.Context, dir string, s evidence.Signed, d *exchange.Dispatch, reject func(context.Context, ecluse.MigrationID, ecluse.Digest) (io.ReadCloser, error)) error {
	const what = "carry out"
	if err := durable.Mkdir(dir); err != nil {
		return broken(what, dir, err)
	}
	at, err := openDisk(dir)
	if err != nil {
		return broken(what, dir, err)
	}
	defer at.Close()
	// The text is the last that is written: a dispatch that is there is whole, on a share
	// that renames no folders at once, too.
	out := outOf(d.Number)
	if err := at.mkdir(out); err != nil {
		return broken(what, dir, err)
	}
	for _, c := range d.Cases {
		for _, r := range c.Rejects {
			x, err := descriptor(r)
			if err != nil {
				return err
			}
			body, err := reject(ctx, c.Migration, x.SHA256)
			if err != nil {
				return err
			}
			err = at.keep(path.Join(out, rejectsDir), x, body)
			if err = errors.Join(err, body.Close()); err != nil {
				return broken(what, dir, err)
			}
		}
	}
	if err := at.writeSigned(path.Join(out, dispatchFile), s); err != nil {
		return broken(what, dir, err)
	}
	// Of the return that came in last, a part may still be to come.
	return at.forget(d.Number, d.Came.Number-1)
}

// forget takes away dispatches before the last, and returns that came in.
func (d disk) forget(last, came int64) error {
	for begins, upTo := range map[string]int64{"out": last - 1, "in": came} {
		all, err := d.numbers(begins)
		if err != nil {
			return broken("clear the folder", d.Name(), err)
		}
		for _, n := range all {
			if n > upTo {
				continue
			}
			at := outOf(n)
			if begins == "in" {
				at = inOf(n)
			}
			if err := d.RemoveAll(at); err != nil {
				return broken("clear the folder", d.Name(), err)
			}
		}
	}
	return nil
}

// keep writes sealed bytes under their digest, when they are what their descriptor says.
func (d disk) keep(dir string, x *evidence.Descriptor, body io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(body, x.Size+1))
	if err != nil {
		return err
	}
	if int64(len(text)) != x.Size || sha256.Sum256(text) != x.SHA256 {
		return &ecluse.Error{Kind: ecluse.Unverified, What: "carry " + x.Slot.String(), Why: "it is not what its descriptor says"}
	}
	if err := d.mkdir(dir); err != nil {
		return err
	}
	return d.write(path.Join(dir, x.SHA256.Hex()), text)
}

// Returned is a return that lies in a folder.
type Returned struct {
	dir    string // the folder that is carried
	Signed evidence.Signed
	*exchange.Return
}

// ReadReturn finds the latest return in a folder, for a lock.
func ReadReturn(dir string, lock ecluse.Fingerprint) (*Returned, error) {
	const what = "carry in"
	at, err := openDisk(dir)
	if err != nil {
		return nil, broken(what, dir, err)
	}
	defer at.Close()
	all, err := at.numbers("in")
	if err != nil {
		return nil, broken(what, dir, err)
	}
	r := &Returned{dir: dir}
	found := int64(0)
	for _, n := range all {
		if at.has(path.Join(inOf(n), returnFile)) {
			found = max(found, n)
		}
	}
	if found == 0 {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: what, Where: dir, Why: "no gate has answered in this folder", Err: fs.ErrNotExist,
			Next: "carry it to the gate, and run there: ecluse gate carry GATE-DIR FOLDER",
		}
	}
	if r.Signed, err = at.readSigned(path.Join(inOf(found), returnFile)); err != nil {
		return nil, broken(what, dir, err)
	}
	if r.Return, err = exchange.ParseReturn(r.Signed, lock); err != nil {
		return nil, err
	}
	if r.Number != found {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: what, Where: inOf(found), Why: "the return in it has another number", Next: "carry the folder anew, as the gate left it"}
	}
	return r, nil
}

// Chunk opens the chunk that an item puts. No byte leaves this machine of a file that is not
// what its gate signed: whoever carried the folder may have put another there.
func (r *Returned) Chunk(item int) (*os.File, error) {
	if r.Items[item].Kind != exchange.ItemPut {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "carry in", Why: "the server wants a chunk where there is none", Next: "ask who runs it; the folder is as it was"}
	}
	d, err := evidence.ParseDescriptor(*r.Items[item].Signed, r.Gate)
	if err != nil {
		return nil, err
	}
	at, err := openDisk(r.dir)
	if err != nil {
		return nil, broken("carry in", r.dir, err)
	}
	defer at.Close()
	f, info, err := at.open(path.Join(inOf(r.Number), chunksDir, d.SHA256.Hex()))
	if err != nil {
		return nil, &ecluse.Error{
			Kind: ecluse.Failed, What: "carry in", Where: d.Slot.String(), Why: "the chunk is not in the folder: it was not carried whole", Err: pathless(err),
			Next: "copy the folder anew from the gate's side",
		}
	}
	sum := sha256.New()
	if info.Size() == d.Size {
		if _, err = io.Copy(sum, f); err == nil {
			_, err = f.Seek(0, io.SeekStart)
		}
	}
	if err != nil {
		return nil, errors.Join(broken("carry in", r.dir, err), f.Close())
	}
	if info.Size() != d.Size || !bytes.Equal(sum.Sum(nil), d.SHA256[:]) {
		return nil, errors.Join(&ecluse.Error{
			Kind: ecluse.Unverified, What: "carry in", Where: d.Slot.String(), Why: "what lies in the folder is not the chunk that the gate sealed: nothing of it was sent",
			Next: "copy the folder anew from the gate's side",
		}, f.Close())
	}
	return f, nil
}

// Clear takes away all that lies there, once it came in: ciphertext that nobody needs
// any more is what is forgotten on a disk.
func (r *Returned) Clear() error {
	at, err := openDisk(r.dir)
	if err != nil {
		return broken("clear the folder", r.dir, err)
	}
	defer at.Close()
	return at.forget(r.Number+1, r.Number)
}

// WritePaper puts a gate's own paper into the folder, and ReadPaper finds it.
func WritePaper(dir string, s evidence.Signed) error {
	err := durable.Mkdir(dir)
	if err == nil {
		err = inDisk(dir, func(at disk) error { return at.writeSigned(paperFile, s) })
	}
	return broken("enrol the gate", dir, err)
}

// ReadPaper finds what a gate said of itself in a folder; nil when there is none. It is
// signed: nothing else leaves this machine in its name.
func ReadPaper(dir string) (s *evidence.Signed, err error) {
	err = inDisk(dir, func(at disk) error {
		x, err := at.readSigned(paperFile)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			_, err = x.Verify(evidence.NamespaceGate)
		}
		s = &x
		return err
	})
	return s, broken("carry in", dir, err)
}

// ClearPaper takes it away, once it came in.
func ClearPaper(dir string) error {
	return broken("clear the folder", dir, inDisk(dir, func(at disk) error { return errors.Join(at.remove(paperFile), at.remove(paperFile+sig)) }))
}

func inDisk(dir string, do func(disk) error) error {
	at, err := openDisk(dir)
	if err != nil {
		return err
	}
	defer at.Close()
	return do(at)
}

// pathless leaves the path out of an error, which names the place otherwise.
func pathless(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// broken gives an error of a folder its words.
func broken(what, dir string, err error) error {
	var known *ecluse.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return &ecluse.Error{Kind: ecluse.Failed, What: what, Where: dir, Err: pathless(err), Next: "see that the folder is there, that its disk has room and that you may write it; then run the same command again"}
}

// descriptor reads a descriptor, whichever gate signed it: for whoever takes it in, that
// is to be checked.
func descriptor(s evidence.Signed) (*evidence.Descriptor, error) {
	key, err := s.Verify(evidence.NamespaceChunk)
	if err != nil {
		return nil, err
	}
	return evidence.ParseDescriptor(s, evidence.FingerprintOf(key))
}

package carry

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
)

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

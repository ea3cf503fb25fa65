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
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

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

func outOf(dir string, number int64) string {
	return filepath.Join(dir, fmt.Sprintf("out-%06d", number))
}

func inOf(dir string, number int64) string { return filepath.Join(dir, fmt.Sprintf("in-%06d", number)) }

var numbered = regexp.MustCompile(`^(out|in)-([0-9]{6,18})$`)

// numbers lists the numbers of the folders that begin so.
func numbers(dir, begins string) ([]int64, error) {
	entries, err := os.ReadDir(dir)
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

// readSigned reads a text and the signature beside it.
func readSigned(path string) (s evidence.Signed, err error) {
	if s.Body, err = readText(path); err == nil {
		s.Signature, err = readText(path + sig)
	}
	return s, err
}

func readText(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err == nil && len(text) > maxText {
		err = errors.New("it is longer than anything that is carried")
	}
	return text, err
}

// WriteDispatch puts what a lock said into the folder, and the rows put aside that it
// speaks of. It takes away earlier dispatches, and returns before the last that came in.
func WriteDispatch(ctx context.Context, dir string, s evidence.Signed, d *exchange.Dispatch, reject func(context.Context, ecluse.MigrationID, ecluse.Digest) (io.ReadCloser, error)) error {
	const what = "carry out"
	if err := durable.Mkdir(dir); err != nil {
		return broken(what, dir, err)
	}
	// The text is the last that is written: a dispatch that is there is whole, on a share
	// that renames no folders at once, too.
	out := outOf(dir, d.Number)
	if err := durable.Mkdir(out); err != nil {
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
			err = keep(filepath.Join(out, rejectsDir), x, body)
			if err = errors.Join(err, body.Close()); err != nil {
				return broken(what, dir, err)
			}
		}
	}
	err := durable.WriteFile(filepath.Join(out, dispatchFile+sig), s.Signature)
	if err == nil {
		err = durable.WriteFile(filepath.Join(out, dispatchFile), s.Body)
	}
	if err != nil {
		return broken(what, dir, err)
	}
	// Of the return that came in last, a part may still be to come.
	return forget(dir, d.Number, d.Came.Number-1)
}

// forget takes away dispatches before the last, and returns that came in.
func forget(dir string, last, came int64) error {
	for begins, upTo := range map[string]int64{"out": last - 1, "in": came} {
		all, err := numbers(dir, begins)
		if err != nil {
			return broken("clear the folder", dir, err)
		}
		for _, n := range all {
			if n > upTo {
				continue
			}
			at := outOf(dir, n)
			if begins == "in" {
				at = inOf(dir, n)
			}
			if err := os.RemoveAll(at); err != nil {
				return broken("clear the folder", dir, err)
			}
		}
	}
	return nil
}

// keep writes sealed bytes under their digest, when they are what their descriptor says.
func keep(dir string, d *evidence.Descriptor, body io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(body, d.Size+1))
	if err != nil {
		return err
	}
	if int64(len(text)) != d.Size || sha256.Sum256(text) != d.SHA256 {
		return &ecluse.Error{Kind: ecluse.Unverified, What: "carry " + d.Slot.String(), Why: "it is not what its descriptor says"}
	}
	if err := durable.Mkdir(dir); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, d.SHA256.Hex()), text)
}

// Returned is a return that lies in a folder.
type Returned struct {
	dir    string
	Signed evidence.Signed
	*exchange.Return
}

// ReadReturn finds the latest return in a folder, for a lock.
func ReadReturn(dir string, lock ecluse.Fingerprint) (*Returned, error) {
	const what = "carry in"
	all, err := numbers(dir, "in")
	if err != nil {
		return nil, broken(what, dir, err)
	}
	r := &Returned{}
	found := int64(0)
	for _, n := range all {
		if _, err := os.Stat(filepath.Join(inOf(dir, n), returnFile)); err == nil && n > found {
			found, r.dir = n, inOf(dir, n)
		}
	}
	if found == 0 {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: what, Where: dir, Why: "no gate has answered in this folder", Err: fs.ErrNotExist,
			Next: "carry it to the gate, and run there: ecluse gate carry GATE-DIR FOLDER",
		}
	}
	if r.Signed, err = readSigned(filepath.Join(r.dir, returnFile)); err != nil {
		return nil, broken(what, dir, err)
	}
	if r.Return, err = exchange.ParseReturn(r.Signed, lock); err != nil {
		return nil, err
	}
	if r.Number != found {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: what, Where: filepath.Base(r.dir), Why: "the return in it has another number", Next: "carry the folder anew, as the gate left it"}
	}
	return r, nil
}

// Chunk opens the chunk that an item puts. Whoever takes it in checks what it is.
func (r *Returned) Chunk(item int) (*os.File, error) {
	if r.Items[item].Kind != exchange.ItemPut {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "carry in", Why: "the server wants a chunk where there is none", Next: "ask who runs it; the folder is as it was"}
	}
	d, err := descriptor(*r.Items[item].Signed)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(r.dir, chunksDir, d.SHA256.Hex()))
	if err != nil {
		return nil, &ecluse.Error{
			Kind: ecluse.Failed, What: "carry in", Where: d.Slot.String(), Why: "the chunk is not in the folder: it was not carried whole", Err: err,
			Next: "copy the folder anew from the gate's side",
		}
	}
	return f, nil
}

// Clear takes away all that lies there, once it came in: ciphertext that nobody needs
// any more is what is forgotten on a disk.
func (r *Returned) Clear() error {
	dir := filepath.Dir(r.dir)
	return forget(dir, r.Number+1, r.Number)
}

// WritePaper puts a gate's own paper into the folder, and ReadPaper finds it.
func WritePaper(dir string, s evidence.Signed) error {
	err := durable.Mkdir(dir)
	if err == nil {
		err = durable.WriteFile(filepath.Join(dir, paperFile+sig), s.Signature)
	}
	if err == nil {
		err = durable.WriteFile(filepath.Join(dir, paperFile), s.Body)
	}
	return broken("enrol the gate", dir, err)
}

// ReadPaper finds what a gate said of itself in a folder; nil when there is none.
func ReadPaper(dir string) (*evidence.Signed, error) {
	s, err := readSigned(filepath.Join(dir, paperFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return &s, broken("carry in", dir, err)
}

// ClearPaper takes it away, once it came in.
func ClearPaper(dir string) error {
	return broken("clear the folder", dir, errors.Join(durable.Remove(filepath.Join(dir, paperFile)), durable.Remove(filepath.Join(dir, paperFile+sig))))
}

// broken gives an error of a folder its words.
func broken(what, dir string, err error) error {
	var known *ecluse.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return &ecluse.Error{Kind: ecluse.Failed, What: what, Where: dir, Err: err, Next: "see that the folder is there, that its disk has room and that you may write it; then run the same command again"}
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

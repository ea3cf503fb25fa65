package carry

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// Returned is a return that lies in a folder.
type Returned struct {
	dir    string // the folder that is carried
	Signed evidence.Signed
	*exchange.Return
}

// Unread is a return that lies in a folder and cannot be read.
type Unread struct {
	Number int64
	Err    error
}

// hides tells whether it may be a later one than a number, of the same gate.
func (u Unread) hides(number int64) bool {
	return u.Number > number && !errors.Is(u.Err, exchange.ErrOtherLock)
}

// ReadReturns finds the returns in a folder, for a lock, the latest last: of the others
// something may be left that was refused before. One that cannot be read keeps no other from
// coming in.
func ReadReturns(dir string, lock ecluse.Fingerprint) (list []*Returned, unread []Unread, _ error) {
	const what = "carry in"
	at, err := openDisk(dir)
	if err != nil {
		return nil, nil, broken(what, dir, err)
	}
	defer at.Close()
	all, err := at.numbers("in")
	if err != nil {
		return nil, nil, broken(what, dir, err)
	}
	slices.Sort(all)
	all = slices.DeleteFunc(all, func(n int64) bool { return !at.has(path.Join(inOf(n), returnFile)) })
	if len(all) == 0 {
		return nil, nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: what, Where: dir, Why: "no gate has answered in this folder", Err: fs.ErrNotExist,
			Next: "carry it to the gate, and run there: ecluse gate carry GATE-DIR FOLDER",
		}
	}
	for _, n := range all {
		r := &Returned{dir: dir}
		if r.Signed, err = at.readSigned(path.Join(inOf(n), returnFile)); err == nil {
			r.Return, err = exchange.ParseReturn(r.Signed, lock)
		}
		if err == nil && r.Number != n {
			err = &ecluse.Error{Kind: ecluse.Unverified, What: what, Where: inOf(n), Why: "the return in it has another number", Next: "carry the folder anew, as the gate left it"}
		}
		if err != nil {
			unread = append(unread, Unread{Number: n, Err: broken(what, path.Join(dir, inOf(n)), err)})
			continue
		}
		list = append(list, r)
	}
	return list, unread, nil
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

// Clear takes away all of its gate that lies there, once it came in, but returns of which
// something is left: ciphertext that nobody needs any more is what is forgotten on a disk.
func (r *Returned) Clear(left []int64) error {
	at, err := openDisk(r.dir)
	if err != nil {
		return broken("clear the folder", r.dir, err)
	}
	defer at.Close()
	return at.forget(r.Gate, r.Number+1, r.Number, left)
}

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
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"

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
	if at.another(path.Join(out, dispatchFile), d.Gate) || at.another(path.Join(inOf(d.Number), returnFile), d.Gate) {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: what, Where: dir, Why: fmt.Sprintf("dispatch %d to another gate, or its answer, lies there", d.Number),
			Next: "carry out into another folder: each gate has its own numbers",
		}
	}
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
	return at.forget(d.Gate, d.Number, d.Came.Number-1, d.Left)
}

// forget takes away dispatches to a gate before the last, and its returns that came in, but
// those of which something is left. What is another gate's stays.
func (d disk) forget(gate ecluse.Fingerprint, last, came int64, left []int64) error {
	for begins, upTo := range map[string]int64{"out": last - 1, "in": came} {
		all, err := d.numbers(begins)
		if err != nil {
			return broken("clear the folder", d.Name(), err)
		}
		for _, n := range all {
			at, text := outOf(n), dispatchFile
			if begins == "in" {
				at, text = inOf(n), returnFile
			}
			if n > upTo || begins == "in" && slices.Contains(left, n) || d.another(path.Join(at, text), gate) {
				continue
			}
			if err := d.RemoveAll(at); err != nil {
				return broken("clear the folder", d.Name(), err)
			}
		}
	}
	return nil
}

// another tells whether a text says of itself that it is to or from another gate. It is not
// believed for anything but to leave it where it is.
func (d disk) another(name string, gate ecluse.Fingerprint) bool {
	var of struct {
		Gate ecluse.Fingerprint `json:"gate"`
	}
	text, err := d.readText(name)
	return err == nil && json.Unmarshal(text, &of) == nil && of.Gate != "" && of.Gate != gate
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

// descriptor reads a descriptor, whichever gate signed it: for whoever takes it in, that
// is to be checked.
func descriptor(s evidence.Signed) (*evidence.Descriptor, error) {
	key, err := s.Verify(evidence.NamespaceChunk)
	if err != nil {
		return nil, err
	}
	return evidence.ParseDescriptor(s, evidence.FingerprintOf(key))
}

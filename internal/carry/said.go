package carry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
	"ecluse/internal/exchange"
)

// GoOn reads what the gate said to this dispatch before, and keeps there what it says. The
// file is in the gate's own folder: to one that is carried, whoever carries it could add
// what the gate would then sign. A line that a crash cut short was never said.
func (l *Lock) GoOn(said string) error {
	const what = "read what the gate said"
	l.kept = said
	text, err := readFile(said)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return broken(what, filepath.Base(said), err)
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	if whole < len(text) {
		if err := os.Truncate(said, int64(whole)); err != nil {
			return broken(what, filepath.Base(said), err)
		}
	}
	l.size = whole
	if l.items, err = parseItems(text[:whole]); err != nil {
		return &ecluse.Error{
			Kind: ecluse.Unverified, What: what, Where: filepath.Base(said), Why: "it is damaged", Err: err,
			Next: "where there is a line: ecluse carry out FOLDER; then here, with --lost: what was said is done again",
		}
	}
	return l.whole()
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readText(f)
}

// parseItems reads what a gate said, a line each.
func parseItems(text []byte) ([]exchange.Item, error) {
	var all []exchange.Item
	for line := range bytes.Lines(text) {
		var it exchange.Item
		if err := evidence.DecodeJSON(line, &it); err != nil {
			return nil, err
		}
		if err := it.Check(); err != nil {
			return nil, err
		}
		all = append(all, it)
	}
	return all, nil
}

// whole refuses a folder that lacks chunks that the gate sealed: it is a copy of before, or
// was not carried whole, and what is signed over it could never come in.
func (l *Lock) whole() error {
	at, err := openDisk(l.dir)
	if err != nil {
		return broken("go on in the folder", l.dir, err)
	}
	defer at.Close()
	for _, it := range l.items {
		if it.Kind != exchange.ItemPut {
			continue
		}
		d, err := evidence.ParseDescriptor(*it.Signed, l.gate)
		if err != nil {
			return err
		}
		if info, err := at.Lstat(path.Join(l.chunks(), d.SHA256.Hex())); err != nil || !info.Mode().IsRegular() || info.Size() != d.Size {
			return &ecluse.Error{
				Kind: ecluse.Refused, What: "go on in the folder", Where: d.Slot.String(), Why: "a chunk that this gate sealed is not in it: it is a copy of before, or was not carried whole",
				Next: "carry the folder here in which this gate answered; if it is lost: ecluse carry out FOLDER, anew, and then here, with --lost",
			}
		}
	}
	return nil
}

// say keeps something that the gate says; the caller holds mu.
func (l *Lock) say(it exchange.Item) error {
	text, err := evidence.EncodeJSON(it)
	if err != nil {
		return err
	}
	if err := l.fits(text); err != nil {
		return err
	}
	if err := appendLine(l.kept, text); err != nil {
		return l.fail(broken("answer the lock", filepath.Base(l.kept), err))
	}
	l.items, l.size = append(l.items, it), l.size+len(text)
	close(l.moved)
	l.moved = make(chan struct{})
	return nil
}

// ErrFull is the error of a gate that has said as much as a lock takes in at a time. What it
// has to do more, it does when that came in and the lock asks again.
var ErrFull = errors.New("nothing more goes into it")

// maxSaid is how long what a return holds may be, beside its own head.
const maxSaid = exchange.MaxReturn - 1<<10

// fits refuses what goes into no return, or no more into this one; the caller holds mu.
func (l *Lock) fits(item []byte) error {
	const what = "answer the lock"
	switch {
	case len(item) > maxSaid: // the lock hears why instead
		return &ecluse.Error{
			Kind: ecluse.Refused, What: what, Why: fmt.Sprintf("it is longer than the %d MiB that a lock takes at a time, papers in base64", exchange.MaxBody>>20),
			Next: "split what it is about: an instruction of fewer datasets",
		}
	case l.size+len(item) > maxSaid:
		return l.fail(&ecluse.Error{
			Kind: ecluse.Interrupted, What: what, Why: "this return is as long as a lock takes at a time", Err: ErrFull,
			Next: "carry it in (ecluse carry in FOLDER), carry out anew and run the same command again: it goes on where it was",
		})
	}
	return nil
}

// appendLine adds a whole line to a file, or nothing.
func appendLine(path string, line []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	before, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		if _, err = f.Write(line); err == nil {
			err = f.Sync()
		}
		if err != nil { // half a line must not stand before the next
			err = errors.Join(err, f.Truncate(before))
		}
	}
	err = errors.Join(err, f.Close())
	if err == nil && before == 0 { // its name, too
		err = durable.SyncDir(filepath.Dir(path))
	}
	return err
}

// fail tells that the gate can say nothing more.
func (l *Lock) fail(err error) error {
	if l.Broken != nil {
		l.Broken(err)
	}
	return err
}

// Items is how many things the gate said.
func (l *Lock) Items() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.items)
}

// Seal signs all that the gate said, for the lock.
func (l *Lock) Seal(sign func(namespace string, body []byte) (evidence.Signed, error), now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, err := evidence.EncodeJSON(&exchange.Return{
		Format: exchange.ReturnFormat, Lock: l.Dispatch.Lock, Gate: l.gate, Number: l.Dispatch.Number, Made: now.UTC().Truncate(time.Second),
		Items: append([]exchange.Item{}, l.items...),
	})
	if err != nil {
		return err
	}
	s, err := sign(evidence.NamespaceCarried, text)
	if err != nil {
		return err
	}
	err = inDisk(l.dir, func(at disk) error { return at.writeSigned(path.Join(inOf(l.Dispatch.Number), returnFile), s) })
	return broken("sign what is carried in", l.dir, err)
}

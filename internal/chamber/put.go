package chamber

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
)

// Put stores a chunk. The descriptor must be signed by the terms' gate, for their
// migration and plan, be in order (a sequence after the one before it, a version
// after the one before it, before the manifest) and within the ceilings; the body
// must be the sealed bytes it describes. A slot is written once: for a slot that is
// taken Put returns what is stored, without an error when it is the same descriptor
// and as ecluse.Refused when it is another; body is not read then.
func (c *Chamber) Put(ctx context.Context, t Terms, descriptor evidence.Signed, body io.Reader) (evidence.Signed, error) {
	const what = "store chunk"
	d, err := c.accept(what, t, descriptor)
	if err != nil {
		return evidence.Signed{}, err
	}
	a := c.chunks(t.Migration)
	name := slotName(a.slots(), d.Slot)
	c.mu.Lock()
	stored, err := c.admit(t, a, name, d)
	c.mu.Unlock()
	if err != nil || stored != nil {
		return answer(stored, descriptor, err)
	}
	f, err := c.receive(ctx, a, d, body)
	if err != nil {
		return evidence.Signed{}, within(what, d.Slot, err)
	}
	defer f.Close()

	c.mu.Lock()
	defer c.mu.Unlock()
	// All of it again: while the body came, others did, or an erasure.
	if stored, err := c.admit(t, a, name, d); err != nil || stored != nil {
		return answer(stored, descriptor, errors.Join(err, c.giveUp(t, f)))
	}
	if err := c.commit(a, f, name, d, descriptor); err != nil {
		return evidence.Signed{}, within(what, d.Slot, err)
	}
	now, err := c.read(name)
	if err != nil {
		return evidence.Signed{}, within(what, d.Slot, err)
	}
	if now.d.SHA256 != d.SHA256 { // another process was first
		err = durable.Remove(a.object(d))
	}
	return answer(&now, descriptor, err)
}

// giveUp removes what was received; of a migration that is erased meanwhile the folder
// too, which receiving made again.
func (c *Chamber) giveUp(t Terms, f *os.File) error {
	if c.isErased(t.Migration) {
		return c.unlink(t.Migration)
	}
	return durable.Remove(f.Name())
}

// answer is Put's for a slot that is taken.
func answer(stored *entry, descriptor evidence.Signed, err error) (evidence.Signed, error) {
	switch {
	case err != nil:
		return evidence.Signed{}, err
	case !bytes.Equal(stored.signed.Body, descriptor.Body):
		return stored.signed, &ecluse.Error{
			Kind: ecluse.Refused, What: "store chunk " + stored.d.Slot.String(), Why: "the slot holds another chunk, and is written once",
			Next: "a chunk that is read again with another content takes the next version",
		}
	}
	return stored.signed, nil
}

// accept checks who signed what for which migration.
func (c *Chamber) accept(what string, t Terms, s evidence.Signed) (*evidence.Descriptor, error) {
	if err := checkID(what, t.Migration); err != nil {
		return nil, err
	}
	d, err := evidence.ParseDescriptor(s, t.Gate)
	if err != nil {
		return nil, err
	}
	refuse := func(why string) error {
		return &ecluse.Error{Kind: ecluse.Refused, What: what + " " + d.Slot.String(), Why: why}
	}
	switch {
	case d.Migration != t.Migration:
		return nil, refuse("it belongs to migration " + string(d.Migration))
	case d.Plan != t.Plan:
		return nil, refuse("it was made under another plan than the approved one")
	}
	return d, c.standing(what+" "+d.Slot.String(), t.Migration)
}

// standing refuses whatever is of a migration that is erased.
func (c *Chamber) standing(what string, m ecluse.MigrationID) error {
	if !c.isErased(m) {
		return nil
	}
	return &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "the migration is being erased, or was"}
}

// admit checks order and ceilings, and that nothing is being erased; it returns what is
// stored when the slot is taken. c.mu is held.
func (c *Chamber) admit(t Terms, a area, name string, d *evidence.Descriptor) (*entry, error) {
	if err := c.standing("store chunk "+d.Slot.String(), t.Migration); err != nil {
		return nil, err
	}
	stored, err := c.read(name)
	if err == nil {
		return &stored, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, failed("store chunk "+d.Slot.String(), err)
	}
	all, err := c.list(a)
	if err != nil {
		return nil, err
	}
	if err := inOrder(all, d); err != nil {
		return nil, err
	}
	closed, err := c.closed(t.Migration)
	if err != nil {
		return nil, failed("store chunk "+d.Slot.String(), err)
	}
	// A later reading adds its own datasets, and counts the cross-checks anew.
	_, reading := d.Slot.Dataset.Of()
	if reading != closed+1 && !(closed >= 0 && d.Slot.Dataset == ecluse.ChecksDataset) {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "store chunk " + d.Slot.String(), Why: "the manifest of its reading is closed, or that of the reading before is not"}
	}
	u := usage(append(all, entry{d: d}), nil)
	over := func(n, limit int64, unit string) error {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "store chunk " + d.Slot.String(), Article: "GDPR art. 29",
			Why: fmt.Sprintf("the migration would hold %d %s, and its instruction allows %d", n, unit, limit),
		}
	}
	switch {
	case t.Rows > 0 && u.Rows > t.Rows:
		return nil, over(u.Rows, t.Rows, "rows")
	case t.Bytes > 0 && u.Bytes > t.Bytes:
		return nil, over(u.Bytes, t.Bytes, "bytes")
	}
	return nil, nil
}

// inOrder refuses a chunk whose predecessor, by sequence or version, is not there,
// or says that the dataset ends with it.
func inOrder(all []entry, d *evidence.Descriptor) error {
	var before, older *evidence.Descriptor
	for _, e := range all {
		switch s := e.d.Slot; {
		case s.Dataset != d.Slot.Dataset:
		case s.Sequence == d.Slot.Sequence-1 && (before == nil || before.Slot.Version < s.Version):
			before = e.d
		case s.Sequence == d.Slot.Sequence && s.Version == d.Slot.Version-1:
			older = e.d
		}
	}
	var why string
	switch {
	case d.Slot.Sequence > 0 && before == nil:
		why = "the chunk before it is not there"
	case d.Slot.Version > 0 && older == nil:
		why = "the version before it is not there"
	case d.Slot.Sequence > 0 && d.Slot.Version == 0 && before.Last:
		why = "the dataset has already ended"
	default:
		return nil
	}
	return &ecluse.Error{Kind: ecluse.Refused, What: "store chunk " + d.Slot.String(), Why: why, Next: "chunks of a dataset are stored in their order"}
}

// receive writes the body to a temporary file while it measures it, and makes it
// durable. The file it returns is held and must be closed after the commit.
func (c *Chamber) receive(ctx context.Context, a area, d *evidence.Descriptor, body io.Reader) (f *os.File, err error) {
	in := bufio.NewReaderSize(body, 64<<10)
	if err := checkSealed(in); err != nil {
		return nil, err
	}
	if err := c.mkdir(a.objects()); err != nil {
		return nil, err
	}
	if f, err = durable.CreateTemp(a.objects()); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
			err = errors.Join(err, durable.Remove(f.Name()))
		}
	}()
	c.at("created")
	digest := sha256.New()
	// One byte more than there should be, to see that there is none.
	n, err := io.Copy(io.MultiWriter(f, digest), io.LimitReader(while(ctx, in), d.Size+1))
	switch {
	case err != nil:
		return f, err
	case n != d.Size:
		return f, &ecluse.Error{Kind: ecluse.Unverified, What: "measure", Why: fmt.Sprintf("it does not have the %d bytes its descriptor says", d.Size)}
	case ecluse.Digest(digest.Sum(nil)) != d.SHA256:
		return f, &ecluse.Error{Kind: ecluse.Unverified, What: "measure", Why: "its SHA-256 is not the one its descriptor says"}
	}
	c.at("written")
	err = f.Sync()
	c.at("synced")
	return f, err
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// while reads r as long as ctx lives.
func while(ctx context.Context, r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return r.Read(p)
	})
}

// commit names the object, then links the descriptor into its place. Of two
// processes the first link stands.
func (c *Chamber) commit(a area, f *os.File, name string, d *evidence.Descriptor, s evidence.Signed) error {
	if err := errors.Join(durable.Release(f), os.Rename(f.Name(), a.object(d))); err != nil {
		return errors.Join(err, durable.Remove(f.Name()))
	}
	c.at("object named")
	if err := durable.SyncDir(a.objects()); err != nil {
		return err
	}
	c.at("object durable")
	if err := c.mkdir(filepath.Dir(name)); err != nil {
		return err
	}
	if err := c.link(name, s); err != nil {
		return err
	}
	c.at("descriptor durable")
	return nil
}

// link writes a new small file whose name comes into being last, or leaves the one
// that has that name.
func (c *Chamber) link(name string, s evidence.Signed) (err error) {
	f, err := durable.CreateTemp(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		err = errors.Join(err, durable.Remove(f.Name()))
	}()
	if _, err := f.Write(append(bytes.Clone(s.Body), s.Signature...)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	c.at("descriptor written")
	if err := durable.Release(f); err != nil {
		return err
	}
	if err := os.Link(f.Name(), name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	c.at("descriptor linked")
	return nil
}

// PutReject stores rows put aside, sealed to the source gate, under the signature
// of the terms' gate, the target's. Put again for the same run and slot (a chunk
// that was rolled back and loads again) it replaces what was there.
func (c *Chamber) PutReject(ctx context.Context, t Terms, descriptor evidence.Signed, body io.Reader) error {
	const what = "store rejects of chunk"
	d, err := c.accept(what, t, descriptor)
	if err != nil {
		return err
	}
	a := c.rejects(t.Migration)
	name := slotName(filepath.Join(a.slots(), fmt.Sprintf("%s-%d", d.Plan.Hex()[:16], d.Epoch)), d.Slot)
	c.mu.Lock()
	err = c.admitReject(what, t, name, d)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	f, err := c.receive(ctx, a, d, body)
	if err != nil {
		return within(what, d.Slot, err)
	}
	defer f.Close()

	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.admitReject(what, t, name, d); err != nil {
		return errors.Join(err, c.giveUp(t, f))
	}
	old, err := c.read(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return within(what, d.Slot, err)
	}
	if err == nil && old.d.SHA256 != d.SHA256 {
		delete(c.known, name)
		if err := durable.Remove(name); err != nil {
			return within(what, d.Slot, err)
		}
		c.at("old descriptor removed")
		if err := durable.Remove(a.object(old.d)); err != nil {
			return within(what, d.Slot, err)
		}
	}
	return within(what, d.Slot, c.commit(a, f, name, d, descriptor))
}

// admitReject checks the ceiling, without what it would replace, and that nothing is being
// erased; c.mu is held.
func (c *Chamber) admitReject(what string, t Terms, name string, d *evidence.Descriptor) error {
	what += " " + d.Slot.String()
	if err := c.standing(what, t.Migration); err != nil {
		return err
	}
	u, err := c.usage(t.Migration)
	if err != nil {
		return failed(what, err)
	}
	if old, err := c.read(name); err == nil {
		u.Bytes -= old.d.Size
	}
	if t.Bytes > 0 && u.Bytes+d.Size > t.Bytes {
		return &ecluse.Error{Kind: ecluse.Refused, What: what, Article: "GDPR art. 29", Why: fmt.Sprintf("the migration would hold more than the %d bytes it may", t.Bytes)}
	}
	return nil
}

// PutManifest stores the closing manifest, signed by the terms' gate, which must
// describe what is in the chamber. It is written once: the same datasets again are
// no error, others are ecluse.Refused.
func (c *Chamber) PutManifest(_ context.Context, t Terms, s evidence.Signed) error {
	const what = "close the manifest"
	if err := checkID(what, t.Migration); err != nil {
		return err
	}
	m, err := evidence.ParseManifest(s, t.Gate)
	if err != nil {
		return err
	}
	refuse := func(why string) error { return &ecluse.Error{Kind: ecluse.Refused, What: what, Why: why} }
	switch {
	case m.Migration != t.Migration || m.Plan != t.Plan:
		return refuse("it belongs to another migration or plan")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.standing(what, t.Migration); err != nil {
		return err
	}
	all, err := c.list(c.chunks(t.Migration))
	if err != nil {
		return err
	}
	var descriptors []*evidence.Descriptor
	for _, e := range all {
		descriptors = append(descriptors, e.d)
	}
	if err := m.Covers(descriptors); err != nil {
		return err
	}
	if err := c.mkdir(c.live(t.Migration)); err != nil {
		return failed(what, err)
	}
	closed, err := c.closed(t.Migration)
	if err != nil {
		return failed(what, err)
	}
	switch {
	case m.Reading > closed+1 || m.Reading < closed:
		return refuse(fmt.Sprintf("it closes reading %d, and %d are closed", m.Reading+1, closed+1))
	case m.Reading == closed+1 && closed >= 0:
		last, err := c.manifestOf(t.Migration, closed)
		if err != nil {
			return failed(what, err)
		}
		before, err := evidence.ParseManifest(*last, t.Gate)
		if err != nil {
			return err
		}
		if err := m.Continues(before); err != nil {
			return err
		}
	}
	if err := c.link(filepath.Join(c.live(t.Migration), manifestName(m.Reading)), s); err != nil {
		return failed(what, err)
	}
	stored, err := c.manifestOf(t.Migration, m.Reading)
	if err != nil {
		return failed(what, err)
	}
	old, err := evidence.ParseManifest(*stored, t.Gate)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(old.Datasets, m.Datasets) {
		return refuse("it is closed with other chunks")
	}
	return nil
}

// within says which chunk an error is about.
func within(what string, s ecluse.Slot, err error) error {
	if err == nil {
		return nil
	}
	kind := ecluse.Failed
	switch {
	case errors.Is(err, errNotSealed):
		kind = ecluse.Refused
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		kind = ecluse.Interrupted
	}
	var e *ecluse.Error
	if errors.As(err, &e) {
		kind = e.Kind
	}
	next := ""
	if errors.Is(err, durable.ErrNoLocks) {
		next = "put the lock's folder on a disk of this machine"
	}
	return &ecluse.Error{Kind: kind, What: what + " " + s.String(), Err: err, Next: next}
}

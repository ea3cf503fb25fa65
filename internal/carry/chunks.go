package carry

import (
	"bytes"
	"context"
	"io"
	"path"
	"slices"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// Slots lists the descriptors of the chunks that are in, and of those to be carried in.
func (l *Lock) Slots(_ context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	c, err := l.of(m)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Clone(c.Slots)
	for _, it := range l.said(m, exchange.ItemPut) {
		all = append(all, *it.Signed)
	}
	return all, nil
}

// Put keeps a chunk to be carried in. A slot is written once.
func (l *Lock) Put(ctx context.Context, m ecluse.MigrationID, signed evidence.Signed, body io.Reader) (evidence.Signed, error) {
	d, err := evidence.ParseDescriptor(signed, l.gate)
	if err != nil {
		return evidence.Signed{}, err
	}
	there, err := l.taken(ctx, m)
	if err != nil {
		return evidence.Signed{}, err
	}
	l.mu.Lock()
	before := there[d.Slot]
	l.mu.Unlock()
	switch {
	case before == nil:
	case bytes.Equal(before, signed.Body):
		return signed, nil
	default:
		return evidence.Signed{}, &ecluse.Error{Kind: ecluse.Refused, What: "store chunk " + d.Slot.String(), Why: "the slot holds another chunk, and is written once", Next: "a chunk that is read again with another content takes the next version"}
	}
	it := exchange.Item{Kind: exchange.ItemPut, Migration: m, Signed: &signed}
	text, err := evidence.EncodeJSON(it)
	if err != nil {
		return evidence.Signed{}, err
	}
	l.mu.Lock()
	err = l.fits(text) // before a chunk lies there that no return speaks of
	l.mu.Unlock()
	if err != nil {
		return evidence.Signed{}, err
	}
	if err := inDisk(l.dir, func(at disk) error { return at.keep(l.chunks(), d, body) }); err != nil {
		return evidence.Signed{}, l.fail(broken("store chunk "+d.Slot.String(), l.dir, err))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.say(it); err != nil {
		return evidence.Signed{}, err
	}
	there[d.Slot] = signed.Body
	return signed, nil
}

// taken are the slots that hold a chunk, or will once it is carried in; held by mu.
func (l *Lock) taken(ctx context.Context, m ecluse.MigrationID) (map[ecluse.Slot][]byte, error) {
	l.mu.Lock()
	there := l.slots[m]
	l.mu.Unlock()
	if there != nil {
		return there, nil
	}
	all, err := l.Slots(ctx, m)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.slots[m] != nil { // another was first
		return l.slots[m], nil
	}
	there = map[ecluse.Slot][]byte{}
	for _, s := range all {
		d, err := descriptor(s)
		if err != nil {
			return nil, err
		}
		there[d.Slot] = s.Body
	}
	l.slots[m] = there
	return there, nil
}

// Get fetches nothing: the gate that seals chunks opens none.
func (l *Lock) Get(context.Context, ecluse.MigrationID, ecluse.Slot) (evidence.Signed, io.ReadCloser, error) {
	return evidence.Signed{}, nil, needsLine("fetch a chunk")
}

// Close keeps the closing manifest to be carried in; the same twice is once.
func (l *Lock) Close(_ context.Context, m ecluse.MigrationID, manifest evidence.Signed) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, it := range l.said(m, exchange.ItemClose) {
		if bytes.Equal(it.Signed.Body, manifest.Body) {
			return nil
		}
	}
	return l.say(exchange.Item{Kind: exchange.ItemClose, Migration: m, Signed: &manifest})
}

// Manifest returns the closing manifest, or nil before there is one.
func (l *Lock) Manifest(_ context.Context, m ecluse.MigrationID) (*evidence.Signed, error) {
	c, err := l.of(m)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if closed := l.said(m, exchange.ItemClose); len(closed) > 0 {
		return closed[0].Signed, nil
	}
	return c.Manifest, nil
}

// Wait waits for nothing: nothing more comes before the next dispatch.
func (l *Lock) Wait(context.Context, ecluse.MigrationID, int) error {
	return needsLine("wait for what comes")
}

// PutReject is nothing that a source gate does.
func (l *Lock) PutReject(context.Context, ecluse.MigrationID, evidence.Signed, io.Reader) error {
	return needsLine("store rows put aside")
}

// Rejects lists the descriptors of what was put aside.
func (l *Lock) Rejects(_ context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	c, err := l.of(m)
	if err != nil {
		return nil, err
	}
	return c.Rejects, nil
}

// GetReject opens rows put aside, which were carried out with the dispatch.
func (l *Lock) GetReject(_ context.Context, _ ecluse.MigrationID, sha256 ecluse.Digest) (io.ReadCloser, error) {
	at, err := openDisk(l.dir)
	if err != nil {
		return nil, broken("open rows put aside", l.dir, err)
	}
	defer at.Close()
	f, _, err := at.open(path.Join(outOf(l.Dispatch.Number), rejectsDir, sha256.Hex()))
	if err != nil {
		return nil, broken("open rows put aside", l.dir, err)
	}
	return f, nil
}

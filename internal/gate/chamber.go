package gate

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"sync"

	"ecluse"
	"ecluse/evidence"
)

// outlet is the lock's chamber as sluice.Extract wants it.
type outlet struct {
	lock      Chambers
	migration ecluse.MigrationID
	gate      ecluse.Fingerprint // this one, which signs
}

func (o *outlet) Slots(ctx context.Context) ([]evidence.Signed, error) {
	return o.lock.Slots(ctx, o.migration)
}

func (o *outlet) Put(ctx context.Context, d evidence.Signed, body io.Reader) (evidence.Signed, error) {
	return o.lock.Put(ctx, o.migration, d, body)
}

// Close looks first whether the lock has what it said that it stored: once the manifest
// is closed no chunk can be sent again.
func (o *outlet) Close(ctx context.Context, manifest evidence.Signed) error {
	m, err := evidence.ParseManifest(manifest, o.gate)
	if err != nil {
		return err
	}
	there, err := o.lock.Slots(ctx, o.migration)
	if err != nil {
		return err
	}
	all := make([]*evidence.Descriptor, 0, len(there))
	for _, s := range there {
		d, err := evidence.ParseDescriptor(s, o.gate)
		if err != nil {
			return err
		}
		all = append(all, d)
	}
	if err := m.Covers(all); err != nil {
		return &ecluse.Error{
			Kind: ecluse.Unverified, What: "close the manifest", Where: string(o.migration), Why: "the lock has not what it said that it stored", Err: err,
			Next: "run the same command again: what is missing is sealed and sent again; if it is lost again, ask who runs the lock",
		}
	}
	return o.lock.Close(ctx, o.migration, manifest)
}

// inlet is the lock's chamber as sluice.Load wants it: chunk after chunk, waiting
// for what is still being read.
type inlet struct {
	lock      Chambers
	migration ecluse.MigrationID
	source    ecluse.Fingerprint // gate that must have signed
	plan      ecluse.Digest
	reading   int // of the source, that is waited for

	looking  sync.Mutex                             // one looks at a time
	verified map[ecluse.Digest]*evidence.Descriptor // by body and signature: each is verified once

	mu       sync.Mutex                                        // what was seen: one goroutine opens chunks, another opens one again
	known    map[ecluse.DatasetID]map[int]*evidence.Descriptor // latest version of each
	versions map[ecluse.Slot]*evidence.Descriptor              // every version
	manifest *evidence.Manifest
}

// parse verifies a descriptor, or remembers that it did.
func (i *inlet) parse(s evidence.Signed) (*evidence.Descriptor, error) {
	h := sha256.New()
	h.Write(s.Body)
	h.Write([]byte{0})
	h.Write(s.Signature)
	name := ecluse.Digest(h.Sum(nil))
	if d := i.verified[name]; d != nil {
		return d, nil
	}
	d, err := evidence.ParseDescriptor(s, i.source)
	if err != nil {
		return nil, err
	}
	if i.verified == nil {
		i.verified = map[ecluse.Digest]*evidence.Descriptor{}
	}
	i.verified[name] = d
	return d, nil
}

// refresh looks at what is in. A descriptor that the source gate did not sign,
// or of another plan or migration, stops everything.
func (i *inlet) refresh(ctx context.Context) error {
	i.looking.Lock()
	defer i.looking.Unlock()
	signed, err := i.lock.Manifest(ctx, i.migration)
	if err != nil {
		return err
	}
	there, err := i.lock.Slots(ctx, i.migration)
	if err != nil {
		return err
	}
	known := map[ecluse.DatasetID]map[int]*evidence.Descriptor{}
	versions := map[ecluse.Slot]*evidence.Descriptor{}
	var all []*evidence.Descriptor
	for n, s := range there {
		d, err := i.parse(s)
		if err != nil {
			return &ecluse.Error{Kind: ecluse.KindOf(err), What: "open the chamber", Where: fmt.Sprintf("descriptor %d of %d", n+1, len(there)), Err: err}
		}
		if d.Migration != i.migration || d.Plan != i.plan {
			return &ecluse.Error{Kind: ecluse.Unverified, What: "open the chamber", Where: "chunk " + d.Slot.String(), Why: "it belongs to another migration or read plan"}
		}
		if versions[d.Slot] != nil {
			return &ecluse.Error{Kind: ecluse.Unverified, What: "open the chamber", Where: "chunk " + d.Slot.String(), Why: "it is there twice: it was put in another's place again"}
		}
		versions[d.Slot] = d
		all = append(all, d)
		of := known[d.Slot.Dataset]
		if of == nil {
			of = map[int]*evidence.Descriptor{}
			known[d.Slot.Dataset] = of
		}
		if old := of[d.Slot.Sequence]; old == nil || old.Slot.Version < d.Slot.Version {
			of[d.Slot.Sequence] = d
		}
	}
	var m *evidence.Manifest
	if signed != nil {
		if m, err = evidence.ParseManifest(*signed, i.source); err != nil {
			return &ecluse.Error{Kind: ecluse.KindOf(err), What: "open the chamber", Where: "manifest", Err: err}
		}
		if m.Migration != i.migration || m.Plan != i.plan {
			return &ecluse.Error{Kind: ecluse.Unverified, What: "open the chamber", Where: "manifest", Why: "it belongs to another migration or read plan"}
		}
		if err := m.Covers(all); err != nil {
			return err
		}
		if m.Reading >= i.reading { // what a reading sealed that was given up is none of it
			known = namedBy(m, versions)
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.known, i.versions, i.manifest = known, versions, m
	return nil
}

// namedBy are the chunks that a manifest names.
func namedBy(m *evidence.Manifest, versions map[ecluse.Slot]*evidence.Descriptor) map[ecluse.DatasetID]map[int]*evidence.Descriptor {
	known := map[ecluse.DatasetID]map[int]*evidence.Descriptor{}
	for _, d := range m.Datasets {
		known[d.Dataset] = map[int]*evidence.Descriptor{}
		for _, c := range d.Chunks {
			known[d.Dataset][c.Slot.Sequence] = versions[c.Slot]
		}
	}
	return known
}

// closed is the manifest of the reading that is waited for; nil before it is closed.
func (i *inlet) closed() *evidence.Manifest {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.manifest == nil || i.manifest.Reading < i.reading {
		return nil
	}
	return i.manifest
}

// sealed is how many rows each chunk that is in has.
func (i *inlet) sealed() map[ecluse.Slot]int64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	rows := map[ecluse.Slot]int64{}
	for _, chunks := range i.known {
		for _, d := range chunks {
			rows[d.Slot] = d.Rows
		}
	}
	return rows
}

// Next waits for a chunk and fetches it.
func (i *inlet) Next(ctx context.Context, dataset ecluse.DatasetID, sequence int) (*evidence.Descriptor, io.ReadCloser, error) {
	for {
		i.mu.Lock()
		d, whole := i.known[dataset][sequence], i.manifest != nil && i.manifest.Reading >= i.reading
		i.mu.Unlock()
		if d != nil {
			return i.get(ctx, d)
		}
		if whole {
			return nil, nil, &ecluse.Error{
				Kind: ecluse.Unverified, What: "open the chamber", Where: (ecluse.Slot{Dataset: dataset, Sequence: sequence}).String(),
				Why: "the manifest is closed and the chunk is not there",
			}
		}
		if err := i.wait(ctx); err != nil {
			return nil, nil, err
		}
	}
}

// Version fetches the version of a chunk that was loaded, whatever came later.
func (i *inlet) Version(ctx context.Context, s ecluse.Slot) (*evidence.Descriptor, io.ReadCloser, error) {
	i.mu.Lock()
	d := i.versions[s]
	i.mu.Unlock()
	if d == nil {
		return nil, nil, &ecluse.Error{Kind: ecluse.Unverified, What: "open the chamber", Where: "chunk " + s.String(), Why: "it was loaded, and it is not there any more"}
	}
	return i.get(ctx, d)
}

func (i *inlet) get(ctx context.Context, d *evidence.Descriptor) (*evidence.Descriptor, io.ReadCloser, error) {
	signed, body, err := i.lock.Get(ctx, i.migration, d.Slot)
	if err != nil {
		return nil, nil, err
	}
	if got, err := evidence.ParseDescriptor(signed, i.source); err != nil || *got != *d {
		body.Close()
		return nil, nil, &ecluse.Error{Kind: ecluse.Unverified, What: "open the chamber", Where: "chunk " + d.Slot.String(), Why: "another chunk came than was listed", Err: err}
	}
	return d, body, nil
}

func (i *inlet) wait(ctx context.Context) error {
	i.mu.Lock()
	there := len(i.versions)
	i.mu.Unlock()
	if err := i.lock.Wait(ctx, i.migration, there); err != nil {
		return err
	}
	return i.refresh(ctx)
}

// Complete waits for the closing manifest.
func (i *inlet) Complete(ctx context.Context) (*evidence.Manifest, error) {
	for {
		if m := i.closed(); m != nil {
			return m, nil
		}
		if err := i.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// PutAside hands rejected rows to the chamber, for the source gate.
func (i *inlet) PutAside(ctx context.Context, descriptor evidence.Signed, body io.Reader) error {
	return i.lock.PutReject(ctx, i.migration, descriptor, body)
}

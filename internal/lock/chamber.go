package lock

import (
	"context"
	"io"
	"maps"
	"slices"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/chamber"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/store/sqlite"
)

// The chamber's side of gate.Lock.

// Slots lists the descriptors of the chunks that are in.
func (l *Lock) Slots(_ context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	return l.chamber.List(m)
}

// Get fetches a chunk, unless the load it is for is held; what is undone goes on.
func (l *Lock) Get(ctx context.Context, m ecluse.MigrationID, s ecluse.Slot) (evidence.Signed, io.ReadCloser, error) {
	mig, err := l.store.Migration(ctx, m)
	if err != nil {
		return evidence.Signed{}, nil, err
	}
	if mig.Place.Passage == procedure.Loading {
		if _, err := procedure.Next(mig.Place, procedure.BeginLoading, procedure.TargetGate); err != nil {
			return evidence.Signed{}, nil, err
		}
	}
	return l.chamber.Get(m, s)
}

// Manifest returns the closing manifest; nil while reading goes on.
func (l *Lock) Manifest(_ context.Context, m ecluse.MigrationID) (*evidence.Signed, error) {
	return l.chamber.Manifest(m)
}

// terms are what the approved read plan allows into the chamber.
func (l *Lock) terms(ctx context.Context, m ecluse.MigrationID) (chamber.Terms, error) {
	plan, err := l.store.Current(ctx, m, evidence.KindReadPlan)
	if err != nil {
		return chamber.Terms{}, err
	}
	if plan.IsZero() {
		return chamber.Terms{}, &ecluse.Error{Kind: ecluse.Refused, What: "open the chamber", Where: string(m), Why: "there is no read plan"}
	}
	l.mu.Lock()
	known, ok := l.allowed[m]
	l.mu.Unlock()
	if ok && known.Plan == plan {
		return known, nil
	}
	text, err := l.store.Document(ctx, plan)
	if err != nil {
		return chamber.Terms{}, err
	}
	p, err := mandate.ParseReadPlan(text)
	if err != nil {
		return chamber.Terms{}, err
	}
	t := chamber.Terms{Migration: m, Plan: plan, Gate: p.Source.Gate, Rows: p.Limits.Rows, Bytes: p.Limits.Bytes}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.allowed) > mostRead {
		clear(l.allowed)
	}
	l.allowed[m] = t
	return t, nil
}

// Put stores a chunk, when the procedure lets one come in now.
func (l *Lock) Put(ctx context.Context, m ecluse.MigrationID, descriptor evidence.Signed, body io.Reader) (evidence.Signed, error) {
	t, err := l.terms(ctx, m)
	if err != nil {
		return evidence.Signed{}, err
	}
	d, err := evidence.ParseDescriptor(descriptor, t.Gate)
	if err != nil {
		return evidence.Signed{}, err
	}
	mig, err := l.store.Migration(ctx, m)
	if err != nil {
		return evidence.Signed{}, err
	}
	if _, err := procedure.Next(mig.Place, procedure.StoreChunk, procedure.SourceGate); err != nil {
		return evidence.Signed{}, err
	}
	stored, err := l.chamber.Put(ctx, t, descriptor, body)
	if err != nil {
		return stored, err
	}
	defer l.tell()
	return stored, l.journalChunk(ctx, m, descriptor.Digest(), d, func(tx *sqlite.Tx) error {
		_, err := tx.Move(ctx, m, procedure.StoreChunk, procedure.SourceGate)
		return err
	})
}

// journalChunk journals that a chunk is in, once: a crash between the chamber and
// the journal is made good when the chunk is put again, or listed for evidence.
func (l *Lock) journalChunk(ctx context.Context, m ecluse.MigrationID, digest ecluse.Digest, d *evidence.Descriptor, also func(*sqlite.Tx) error) error {
	known, err := l.journalled(ctx, m)
	if err != nil || known[digest.String()] {
		return err
	}
	if err := l.store.Do(ctx, chunkEvent(m, digest, d), also); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.chunks[m] != nil {
		l.chunks[m][digest.String()] = true
	}
	return nil
}

func chunkEvent(m ecluse.MigrationID, digest ecluse.Digest, d *evidence.Descriptor) journal.Event {
	return journal.Event{
		Tree: string(m), Type: journal.ChunkStored,
		IDs:     map[string]string{"descriptor": digest.String(), "slot": d.Slot.String()},
		Numbers: map[string]int64{"rows": d.Rows, "bytes": d.Size, "epoch": int64(d.Epoch)},
	}
}

// journalled tells which descriptors the journal knows. The journal is read once;
// the answer is the caller's own.
func (l *Lock) journalled(ctx context.Context, m ecluse.MigrationID) (map[string]bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.chunks[m]; known != nil {
		return maps.Clone(known), nil
	}
	size, err := l.store.Size(ctx, string(m))
	if err != nil {
		return nil, err
	}
	_, leaves, err := l.log.Leaves(ctx, string(m), 0, size)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, leaf := range leaves {
		if leaf.Type == evidence.LeafChunk {
			known[leaf.IDs["descriptor"]] = true
		}
	}
	l.chunks[m] = known
	return maps.Clone(known), nil
}

// Close stores the manifest: everything that was to be read is in. Closed again with the
// same manifest it is once, and what a crash kept from being noted is.
func (l *Lock) Close(ctx context.Context, m ecluse.MigrationID, manifest evidence.Signed) error {
	t, err := l.terms(ctx, m)
	if err != nil {
		return err
	}
	if err := l.repair(ctx, m, t.Gate); err != nil {
		return err
	}
	l.closing.Lock()
	defer l.closing.Unlock()
	if err := l.mayClose(ctx, m, t.Gate, manifest); err != nil {
		return err
	}
	if err := l.chamber.PutManifest(ctx, t, manifest); err != nil {
		return err
	}
	stored, err := l.chamber.Manifest(m) // of the same chunks, if of another epoch
	if err != nil {
		return err
	}
	if noted, err := l.notedClosed(ctx, m, stored.Digest()); err != nil || noted {
		return err
	}
	defer l.tell()
	return l.store.Do(ctx, closedEvent(m, stored.Digest()), func(tx *sqlite.Tx) error {
		_, err := tx.Move(ctx, m, procedure.FinishReading, procedure.SourceGate)
		return err
	})
}

func closedEvent(m ecluse.MigrationID, manifest ecluse.Digest) journal.Event {
	return journal.Event{Tree: string(m), Type: journal.ManifestClosed, IDs: map[string]string{"manifest": manifest.String()}}
}

// mayClose refuses the manifest of a reading that was given up before the chamber has it.
func (l *Lock) mayClose(ctx context.Context, m ecluse.MigrationID, gate ecluse.Fingerprint, manifest evidence.Signed) error {
	closes, err := evidence.ParseManifest(manifest, gate)
	if err != nil {
		return err
	}
	stored, err := l.chamber.Manifest(m)
	if err != nil {
		return err
	}
	if stored != nil {
		last, err := evidence.ParseManifest(*stored, gate)
		if err != nil {
			return err
		}
		if last.Reading >= closes.Reading { // the same again, which the chamber compares
			return nil
		}
	}
	mig, err := l.store.Migration(ctx, m)
	if err != nil {
		return err
	}
	_, err = procedure.Next(mig.Place, procedure.FinishReading, procedure.SourceGate)
	return err
}

// unnoted is the entry for a later reading whose manifest came to the chamber just before a
// crash; nil when there is none.
func (l *Lock) unnoted(ctx context.Context, m ecluse.MigrationID, i *mandate.Instruction) (*journal.Event, error) {
	signed, err := l.chamber.Manifest(m)
	if err != nil || signed == nil {
		return nil, err
	}
	if noted, err := l.notedClosed(ctx, m, signed.Digest()); err != nil || noted {
		return nil, err
	}
	if err := l.repair(ctx, m, i.Source.Gate); err != nil {
		return nil, err
	}
	e := closedEvent(m, signed.Digest())
	return &e, nil
}

// notedClosed tells whether the journal knows that a manifest closed its reading.
func (l *Lock) notedClosed(ctx context.Context, m ecluse.MigrationID, manifest ecluse.Digest) (bool, error) {
	all, err := l.store.LeavesOf(ctx, string(m), string(journal.ManifestClosed))
	return slices.ContainsFunc(all, func(x *evidence.Leaf) bool { return x.IDs["manifest"] == manifest.String() }), err
}

// repair journals chunks that came in just before a crash.
func (l *Lock) repair(ctx context.Context, m ecluse.MigrationID, source ecluse.Fingerprint) error {
	all, err := l.chamber.List(m)
	if err != nil {
		return err
	}
	for _, s := range all {
		d, err := evidence.ParseDescriptor(s, source)
		if err != nil {
			return err
		}
		if err := l.journalChunk(ctx, m, s.Digest(), d, nil); err != nil {
			return err
		}
	}
	return nil
}

// PutReject stores rows put aside, sealed to the source gate. They are journalled
// when their passage ends (rejectEvents): a chunk that is rolled back and loads
// again puts others in their place, and the journal speaks of those that stay.
func (l *Lock) PutReject(ctx context.Context, m ecluse.MigrationID, descriptor evidence.Signed, body io.Reader) error {
	i, err := l.instruction(ctx, m)
	if err != nil {
		return err
	}
	d, err := evidence.ParseDescriptor(descriptor, i.Target.Gate)
	if err != nil {
		return err
	}
	plan, err := l.loadPlanOf(ctx, m, d.Plan)
	if err != nil {
		return err
	}
	mig, err := l.store.Migration(ctx, m)
	if err != nil {
		return err
	}
	more := int64(0)
	switch mig.Place.Passage {
	case procedure.Loading:
		if _, err := procedure.Next(mig.Place, procedure.BeginLoading, procedure.TargetGate); err != nil {
			return err
		}
	case procedure.Undoing: // of the rows that it leaves, the list: it ends whatever else is kept
		more = int64(d.Epoch) * exchange.MaxLeft
	default:
		return &ecluse.Error{Kind: ecluse.Refused, What: "store rejects", Where: string(m), Why: "no passage is loading or being undone", Next: seeStatus, Article: "GDPR art. 29"}
	}
	t := chamber.Terms{Migration: m, Plan: plan, Gate: i.Target.Gate, Bytes: 2*int64(i.Limits.Bytes) + more}
	return l.chamber.PutReject(ctx, t, descriptor, body)
}

// Rejects lists the descriptors of what was put aside.
func (l *Lock) Rejects(_ context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	return l.chamber.Rejects(m)
}

// GetReject fetches what was put aside: the source gate opens it.
func (l *Lock) GetReject(_ context.Context, m ecluse.MigrationID, sha256 ecluse.Digest) (io.ReadCloser, error) {
	return l.chamber.GetReject(m, sha256)
}

// rejectEvents are the journal's entries about rows put aside that it does not
// have yet.
func (l *Lock) rejectEvents(ctx context.Context, m ecluse.MigrationID, target ecluse.Fingerprint) ([]journal.Event, error) {
	all, err := l.chamber.Rejects(m)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	known, err := l.journalled(ctx, m)
	if err != nil {
		return nil, err
	}
	var events []journal.Event
	for _, s := range all {
		if known[s.Digest().String()] {
			continue
		}
		d, err := evidence.ParseDescriptor(s, target)
		if err != nil {
			return nil, err
		}
		events = append(events, chunkEvent(m, s.Digest(), d))
	}
	return events, nil
}

// forgetJournalled makes the next look at the journal read it again.
func (l *Lock) forgetJournalled(m ecluse.MigrationID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.chunks, m)
}

// loadPlanOf checks that a digest is a load plan's of this migration.
func (l *Lock) loadPlanOf(ctx context.Context, m ecluse.MigrationID, d ecluse.Digest) (ecluse.Digest, error) {
	all, err := l.store.Documents(ctx, m, evidence.KindLoadPlan)
	if err != nil {
		return d, err
	}
	for _, x := range all {
		if x.Digest == d {
			return d, nil
		}
	}
	return d, &ecluse.Error{Kind: ecluse.Refused, What: "store rejects", Where: d.String(), Why: "it is no load plan of this migration"}
}

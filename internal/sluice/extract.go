package sluice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/screen"
	"ecluse/internal/sluice/seal"
)

// Outlet is where sealed chunks go: the chamber, as the source gate sees it.
type Outlet interface {
	// Slots lists the signed descriptors of every chunk that is in.
	Slots(ctx context.Context) ([]evidence.Signed, error)
	// Put hands over a chunk. A slot is written once: for a slot that is taken
	// the stored descriptor comes back and body is not kept.
	Put(ctx context.Context, descriptor evidence.Signed, body io.Reader) (stored evidence.Signed, err error)
	// Close hands over the closing manifest: every dataset is complete.
	Close(ctx context.Context, manifest evidence.Signed) error
}

// Bookmarks keeps where chunks end, at the source gate, sealed: a key value can
// be a patient's.
type Bookmarks interface {
	Bookmark(s ecluse.DatasetID, sequence int) (reader.Cursor, error) // nil when there is none
	SetBookmark(s ecluse.DatasetID, sequence int, end reader.Cursor) error
}

// Extraction is all that Extract needs.
type Extraction struct {
	Permit    mandate.ReadPermit
	Open      func(context.Context) (reader.Session, error)
	Epoch     int                // of this run, from 1; never used before
	Reading   int                // 0: the first; a later one seals what changed since the one before
	Closed    *evidence.Manifest // of the reading before; nil: of the first there is none
	Buckets   Buckets            // what each reading's buckets came to; needed if the plan grants later readings
	Key       *seal.Key
	Recipient age.Recipient
	Gate      ecluse.Fingerprint // the source gate's own key, which signed what is stored
	Signer    ssh.Signer         // the same key
	Outlet    Outlet
	Bookmarks Bookmarks
	// Before and After are told what the account can read, before the first row
	// and after the last.
	Before, After func(context.Context, *reader.Privileges) error
	// WindowClosed is told that the window closed before the source was read once, and says how
	// often it has by now; nil: nobody counts.
	WindowClosed func() (int, error)
	// Done is told what came of it when all is sealed and before the manifest is
	// closed: a closed manifest has the gate's statement beside it.
	Done  func(context.Context, *Extracted) error
	Watch Watch
}

// Extracted is what came of it. What it counts of free text is exact: it is for the
// controller's side.
type Extracted struct {
	Epoch    int                                             `json:"epoch"`
	Rows     map[ecluse.DatasetID]int64                      `json:"rows"`
	Chunks   int                                             `json:"chunks"`
	Bytes    int64                                           `json:"bytes"`             // of ciphertext, this run
	Resealed int                                             `json:"resealed"`          // chunks found changed by a later epoch
	Kept     int                                             `json:"kept"`              // chunks of earlier epochs found equal
	Pauses   int                                             `json:"pauses"`            // while others were at work on the source's server (limits.load_pause), this run
	Paused   time.Duration                                   `json:"paused"`            // for how long in all
	Changed  map[ecluse.DatasetID]int64                      `json:"changed,omitempty"` // of a later reading: rows sealed again, of each dataset in which something changed
	FreeText map[ecluse.DatasetID]map[string]screen.Findings `json:"-"`
	Manifest evidence.Signed                                 `json:"-"`
}

// Extract reads what the permit allows, chunk by chunk, seals each for the target
// alone and hands it to the chamber (steps 7 and 8 of the procedure). It may be
// run again after any interruption: in a new epoch it re-reads what was sent,
// compares keyed sums and seals only what is missing or has changed, so that at
// its end the chamber holds one epoch's view of the source.
func Extract(ctx context.Context, x Extraction) (*Extracted, error) {
	plan := x.Permit.Plan()
	if plan == nil {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "extract", Why: "there is no permit to read", Article: "GDPR art. 29"}
	}
	ctx, cancel := context.WithDeadlineCause(ctx, x.Permit.NotAfter(),
		&ecluse.Error{Kind: ecluse.Refused, What: "extract", Why: "the permit to read has ended", Next: "ask for a new approval of the read plan"})
	defer cancel()

	session, err := x.Open(ctx)
	if err != nil {
		return nil, causeOf(ctx, err)
	}
	defer session.Close()

	may, err := session.Privileges(ctx)
	if err != nil {
		return nil, causeOf(ctx, err)
	}
	if err := x.Before(ctx, may); err != nil {
		return nil, err
	}
	if err := withinPlan(plan, may); err != nil {
		return nil, err
	}

	e, err := newExtractor(ctx, x, plan)
	if err != nil {
		return nil, err
	}
	e.pause = reader.NewPause(plan.Limits.LoadPause, session.Load, e.meter.pause)
	g, gctx := errgroup.WithContext(ctx)
	sealed := make(chan *chunk, 1) // one chunk is stored while the next is read
	var paused error               // the window's end, too many rows: what was read whole is still stored
	g.Go(func() error {
		defer close(sealed)
		wctx, cancel := untilClosed(gctx, x.Permit)
		defer cancel()
		err := e.read(wctx, session, sealed)
		switch {
		case err == nil || gctx.Err() != nil:
		case wctx.Err() != nil:
			paused, err = context.Cause(wctx), nil
		case e.beyond:
			paused, err = err, nil
		}
		return err
	})
	g.Go(func() error {
		for c := range sealed {
			if err := e.store(gctx, c); err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return nil, causeOf(ctx, err)
	}
	if paused != nil {
		return nil, x.pausedBy(paused)
	}
	if may, err = session.Privileges(ctx); err != nil {
		return nil, causeOf(ctx, err)
	}
	if err := x.After(ctx, may); err != nil {
		return nil, err
	}
	// What was granted meanwhile was not used, and nobody can tell: the reading is
	// not complete until the account is again what the plan says.
	if err := withinPlan(plan, may); err != nil {
		return nil, err
	}
	return e.close(ctx)
}

// untilClosed ends with the window that the permit was made in. A chunk that is
// being read then is given up.
func untilClosed(ctx context.Context, p mandate.ReadPermit) (context.Context, context.CancelFunc) {
	if p.Closes().IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadlineCause(ctx, p.Closes(), &closedError{p.Plan().Limits.Window})
}

// closedError is that a window closed.
type closedError struct{ window string }

func (e *closedError) Error() string { return "the window " + e.window + " has closed" }

// pausedBy is what a person is told of a reading that stopped at a chunk's end. An epoch
// sees the source from its first row to its last: the next window reads all of it again,
// and only seals and sends no more what is as it was. It is no place to promise an end.
func (x *Extraction) pausedBy(why error) error {
	var closed *closedError
	if !errors.As(why, &closed) {
		return why
	}
	times := 1
	if x.WindowClosed != nil {
		var err error
		if times, err = x.WindowClosed(); err != nil {
			return err
		}
	}
	e := &ecluse.Error{
		Kind: ecluse.Interrupted, What: "extract", Why: closed.Error(),
		Next: "run the same command as soon as the next window opens: it reads from the first row again, sends only what is not there yet, and nothing has to be signed again",
	}
	if times > 1 {
		e.Why = fmt.Sprintf("the window %s has closed for the %d. time before the source was read once", closed.window, times)
		e.Next = "each window reads from the first row: a source that one window is too short for is never read whole. Run it once more from the window's first minute; or have an instruction signed with a longer window, more queries a second or fewer rows, which is another migration"
	}
	return e
}

// causeOf prefers the reason a context ended for over the error that ending
// provoked in a driver.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// extractor is one run of Extract.
type extractor struct {
	Extraction
	plan   *mandate.ReadPlan
	stored map[ecluse.Slot]*evidence.Descriptor
	latest map[place]int // highest version of each stored chunk
	out    Extracted
	rows   int64 // read in this pass, against the plan's limit
	bytes  int64 // stored in all, against the plan's limit
	meter  meter
	pool   seal.Pool
	pause  *reader.Pause
	beyond bool // a dataset has other rows than the plan tolerates
}

type place struct {
	dataset  ecluse.DatasetID
	sequence int
}

// chunk is a sealed chunk on its way to the chamber.
type chunk struct {
	descriptor evidence.Descriptor
	body       bytes.Buffer
	end        reader.Cursor
}

func newExtractor(ctx context.Context, x Extraction, plan *mandate.ReadPlan) (*extractor, error) {
	e := &extractor{
		Extraction: x, plan: plan,
		stored: map[ecluse.Slot]*evidence.Descriptor{}, latest: map[place]int{},
		out:   Extracted{Epoch: x.Epoch, Rows: map[ecluse.DatasetID]int64{}, FreeText: map[ecluse.DatasetID]map[string]screen.Findings{}},
		meter: meter{watch: x.Watch, stage: StageRead},
	}
	there, err := x.Outlet.Slots(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range there {
		d, err := evidence.ParseDescriptor(s, x.Gate)
		if err != nil {
			return nil, err
		}
		if d.Plan != x.Permit.Digest() || d.Migration != plan.Migration {
			return nil, &ecluse.Error{
				Kind: ecluse.Differs, What: "extract", Where: "chunk " + d.Slot.String(),
				Why: "it was sealed under another read plan", Next: "erase that passage before reading under a new plan",
			}
		}
		e.stored[d.Slot] = d
		at := place{d.Slot.Dataset, d.Slot.Sequence}
		if v, ok := e.latest[at]; !ok || d.Slot.Version > v {
			e.latest[at] = d.Slot.Version
		}
		e.bytes += d.Size
	}
	return e, nil
}

// read seals the key, the checks and every dataset, in that order.
func (e *extractor) read(ctx context.Context, session reader.Session, sealed chan<- *chunk) error {
	if e.Reading > 0 {
		return e.catchUp(ctx, session, sealed)
	}
	if err := e.sealKey(ctx, sealed); err != nil {
		return err
	}
	for i := range e.plan.Datasets {
		if err := e.dataset(ctx, session, &e.plan.Datasets[i], sealed); err != nil {
			return err
		}
	}
	if err := e.checks(ctx, session, sealed); err != nil {
		return err
	}
	if e.plan.Consistency == "reread" {
		return e.reread(ctx, session, sealed)
	}
	return nil
}

// sealKey sends K as slot 0 of the migration, once.
func (e *extractor) sealKey(ctx context.Context, sealed chan<- *chunk) error {
	slot := ecluse.Slot{Dataset: ecluse.KeyDataset}
	if _, ok := e.stored[slot]; ok {
		return nil
	}
	c := &chunk{}
	made, err := seal.SealKey(&c.body, e.header(slot), e.Recipient, e.Key)
	if err != nil {
		return err
	}
	c.descriptor = e.descriptor(slot, made, true)
	d := c.descriptor
	e.stored[slot], e.latest[place{slot.Dataset, slot.Sequence}] = &d, slot.Version // the manifest names it
	return send(ctx, sealed, c)
}

// dataset reads one dataset to its end.
func (e *extractor) dataset(ctx context.Context, session reader.Session, d *mandate.ReadDataset, sealed chan<- *chunk) error {
	e.meter.at(d.Dataset)
	look := screen.New(d)
	schema := SchemaOf(d)
	tally, err := e.tally(d)
	if err != nil {
		return err
	}
	var after reader.Cursor
	e.out.Rows[d.Dataset] = 0
	for sequence := 0; ; sequence++ {
		until, err := e.Bookmarks.Bookmark(d.Dataset, sequence)
		if err != nil {
			return err
		}
		end, last, err := e.chunk(ctx, place{d.Dataset, sequence}, schema, sealed,
			func(emit func(*record.Batch) error) (reader.Cursor, bool, error) {
				if err := e.pause.Wait(ctx); err != nil {
					return nil, false, err
				}
				rows := e.out.Rows[d.Dataset]
				end, last, err := session.ReadChunk(ctx, d.Dataset, after, until, func(b *record.Batch) error {
					if err := e.count(b); err != nil {
						return err
					}
					if err := look.Look(b); err != nil {
						return err
					}
					if err := tally.add(b); err != nil {
						return err
					}
					rows += int64(b.Rows())
					if err := e.between(ctx); err != nil {
						return err
					}
					return emit(b)
				})
				if err == nil {
					err = tolerated(d, rows, last)
					e.beyond = err != nil
				}
				return end, last, err
			})
		if err != nil {
			return err
		}
		if last {
			break
		}
		after = end
	}
	if found := look.FreeText(); len(found) > 0 {
		e.out.FreeText[d.Dataset] = found
	}
	return tally.keep()
}

// tolerated refuses, at a chunk's end, a dataset with more rows than the plan lets it have,
// or that ends with fewer. The chunk by which that shows is not sealed.
func tolerated(d *mandate.ReadDataset, rows int64, last bool) error {
	r := d.Rows
	if r == nil || rows <= r.Most() && (!last || rows >= r.Least()) {
		return nil
	}
	e := &ecluse.Error{
		Kind: ecluse.Refused, What: "extract", Where: "dataset " + string(d.Dataset), Article: "GDPR art. 29",
		Why:  fmt.Sprintf("it has more than %d rows: %d were expected, and at most %d more", r.Most(), r.Expected, r.Tolerance),
		Next: "find out why: when the source is as it was expected, the reading goes on under the same signatures; else erase this migration and have one instructed and approved that expects these rows",
	}
	if rows < r.Least() {
		e.Why = fmt.Sprintf("it has %d rows: %d were expected, and at most %d fewer", rows, r.Expected, r.Tolerance)
	}
	return e
}

// between pauses between two batches of a chunk, where rows that are not taken hold up
// nobody: a table without row versions is locked to its writers until its statement has
// given its last row.
func (e *extractor) between(ctx context.Context) error {
	if e.plan.Consistency == mandate.Reread {
		return nil
	}
	return e.pause.Wait(ctx)
}

// rereads is how often a source without snapshots is read again before the
// changes are taken for a laboratory at work rather than a late one.
const rereads = 5

// reread reads everything again until a whole pass finds nothing changed, for
// sources that have neither snapshots nor locks.
func (e *extractor) reread(ctx context.Context, session reader.Session, sealed chan<- *chunk) error {
	for range rereads {
		before := e.out.Resealed
		e.rows = 0
		for i := range e.plan.Datasets {
			if err := e.dataset(ctx, session, &e.plan.Datasets[i], sealed); err != nil {
				return err
			}
		}
		if err := e.checks(ctx, session, sealed); err != nil {
			return err
		}
		if e.out.Resealed == before {
			return nil
		}
	}
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "extract", Why: fmt.Sprintf("the source changed during each of %d readings", rereads+1),
		Next: "read while nobody works (limits.window), or instruct locked or frozen consistency",
	}
}

// chunk seals what produce emits under a new version of a place, unless the
// stored version has the same keyed sum: then that one stays.
func (e *extractor) chunk(ctx context.Context, at place, schema *record.Schema, sealed chan<- *chunk,
	produce func(emit func(*record.Batch) error) (reader.Cursor, bool, error),
) (reader.Cursor, bool, error) {
	version, exists := e.latest[at]
	slot := ecluse.Slot{Dataset: at.dataset, Sequence: at.sequence, Version: version}
	if exists {
		slot.Version++
	}
	c := &chunk{}
	w := e.pool.NewWriter(&c.body, e.header(slot), e.Recipient, e.Key, schema)
	var rows int64
	end, last, err := produce(func(b *record.Batch) error {
		rows += int64(b.Rows())
		return w.Write(b)
	})
	if err != nil {
		return nil, false, err
	}
	made, err := w.Close(rows, last)
	if err != nil {
		return nil, false, err
	}
	e.out.Rows[at.dataset] += rows
	e.meter.chunk()
	if exists {
		old := e.stored[ecluse.Slot{Dataset: at.dataset, Sequence: at.sequence, Version: version}]
		if old.Sum == made.Sum && old.Rows == rows && old.Last == last {
			e.out.Kept++
			return end, last, nil
		}
		e.out.Resealed++
	}
	d := e.descriptor(slot, made, last) // apart from c: what is kept must not keep the chunk's body
	c.descriptor, c.end = d, end
	e.stored[slot], e.latest[at] = &d, slot.Version
	return end, last, send(ctx, sealed, c)
}

// count holds the rows read against the instruction's limit.
func (e *extractor) count(b *record.Batch) error {
	e.rows += int64(b.Rows())
	if limit := e.plan.Limits.Rows; limit > 0 && e.rows > limit {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "extract", Why: fmt.Sprintf("the source gave more than the %d rows the instruction allows", limit),
			Article: "GDPR art. 29", Next: "the controller signs an instruction with another limit, or narrows the conditions",
		}
	}
	e.meter.add(int64(b.Rows()), int64(b.Size()))
	return nil
}

// store keeps the chunk's end, then hands the chunk over. A crash between the two
// leaves a bookmark without a chunk, which the next run fills.
func (e *extractor) store(ctx context.Context, c *chunk) error {
	slot := c.descriptor.Slot
	if e.bytes += c.descriptor.Size; e.plan.Limits.Bytes > 0 && e.bytes > e.plan.Limits.Bytes {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "store chunk " + slot.String(), Article: "GDPR art. 29",
			Why: fmt.Sprintf("the migration would hold more than the %d bytes the instruction allows", e.plan.Limits.Bytes),
		}
	}
	if c.end != nil {
		if err := e.Bookmarks.SetBookmark(slot.Dataset, slot.Sequence, c.end); err != nil {
			return err
		}
	}
	signed, err := evidence.SignDescriptor(e.Signer, &c.descriptor)
	if err != nil {
		return err
	}
	got, err := e.Outlet.Put(ctx, signed, &c.body)
	if err != nil {
		return err
	}
	if !bytes.Equal(got.Body, signed.Body) {
		return &ecluse.Error{
			Kind: ecluse.Unverified, What: "store chunk " + slot.String(), Why: "the chamber already holds another chunk in that slot",
			Next: "compare the journal heads of gate and lock: one of them went back in time",
		}
	}
	e.out.Chunks++
	e.out.Bytes += c.descriptor.Size
	return nil
}

// close signs the manifest of the latest version of every chunk.
func (e *extractor) close(ctx context.Context) (*Extracted, error) {
	m := evidence.Manifest{Migration: e.plan.Migration, Plan: e.Permit.Digest(), Epochs: e.Epoch, Reading: e.Reading}
	for _, id := range e.complete() {
		md := evidence.ManifestDataset{Dataset: id}
		for sequence := 0; ; sequence++ {
			version, ok := e.latest[place{id, sequence}]
			if !ok {
				break
			}
			d := e.stored[ecluse.Slot{Dataset: id, Sequence: sequence, Version: version}]
			md.Chunks = append(md.Chunks, evidence.ManifestChunk{Slot: d.Slot, SHA256: d.SHA256, Rows: d.Rows})
			md.Rows += d.Rows
			if d.Last {
				break
			}
		}
		m.Datasets = append(m.Datasets, md)
	}
	if e.Closed != nil {
		if err := m.Continues(e.Closed); err != nil {
			return nil, err
		}
		for _, d := range m.Datasets {
			e.out.Rows[d.Dataset] = d.Rows
		}
	}
	var err error
	if e.out.Manifest, err = evidence.SignManifest(e.Signer, &m); err != nil {
		return nil, err
	}
	e.out.Pauses, e.out.Paused = e.pause.Times, e.pause.Took
	if e.Done != nil {
		if err := e.Done(ctx, &e.out); err != nil {
			return nil, err
		}
	}
	if err := e.Outlet.Close(ctx, e.out.Manifest); err != nil {
		return nil, err
	}
	e.meter.done()
	return &e.out, nil
}

// complete lists the datasets that are complete, in the manifest's order.
func (e *extractor) complete() []ecluse.DatasetID {
	if e.Closed == nil {
		all := []ecluse.DatasetID{ecluse.KeyDataset}
		for _, d := range e.plan.Datasets {
			all = append(all, d.Dataset)
		}
		if len(e.plan.Checks) > 0 {
			all = append(all, ecluse.ChecksDataset)
		}
		return all
	}
	var all []ecluse.DatasetID
	for _, d := range e.Closed.Datasets {
		all = append(all, d.Dataset)
	}
	for _, d := range e.plan.Datasets {
		if _, changed := e.out.Changed[d.Dataset]; changed {
			all = append(all, d.Dataset.Buckets(e.Reading), d.Dataset.Changed(e.Reading))
		}
	}
	return all
}

func (e *extractor) header(s ecluse.Slot) seal.Header {
	return seal.Header{Migration: e.plan.Migration, Plan: e.Permit.Digest(), Epoch: e.Epoch, Slot: s}
}

func (e *extractor) descriptor(s ecluse.Slot, made seal.Sealed, last bool) evidence.Descriptor {
	return evidence.Descriptor{
		Migration: e.plan.Migration, Plan: e.Permit.Digest(), Epoch: e.Epoch, Slot: s,
		Rows: made.Rows, Last: last, Size: made.Size, SHA256: made.SHA256, Sum: made.Sum,
	}
}

func send(ctx context.Context, to chan<- *chunk, c *chunk) error {
	select {
	case to <- c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// SchemaOf is the shape of a dataset's batches.
func SchemaOf(d *mandate.ReadDataset) *record.Schema {
	s := &record.Schema{}
	for _, c := range d.Columns {
		s.Fields = append(s.Fields, record.Field{Name: c.Name, Type: c.Type})
	}
	return s
}

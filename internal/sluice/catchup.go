package sluice

import (
	"context"
	"errors"
	"fmt"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/bucket"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/screen"
	"ecluse/internal/sluice/seal"
)

// Buckets keeps, at the source gate, the sums of the buckets of each dataset at each
// reading, as Extract sealed them. They say nothing of a value to whoever has not K.
type Buckets interface {
	Sums(reading int, d ecluse.DatasetID) ([]byte, error) // nil when there are none
	SetSums(reading int, d ecluse.DatasetID, sums []byte) error
}

// useBuckets is the use of K's sub-keys for a dataset's buckets: their rows' digests, and
// what their sums are sealed under.
const useBuckets = "buckets"

// placesOf takes a distinct value for the same whatever its ordinal, which is its place among
// the others: a new one would make all behind it others.
func placesOf(key *seal.Key, d *mandate.ReadDataset) *bucket.Places {
	s := SchemaOf(d)
	if d.Distinct {
		s.Fields = s.Fields[:distinctOrdinal]
	}
	return bucket.NewPlaces(d.Dataset, s, d.Key, key.Sub(useBuckets, string(d.Dataset)))
}

// distinctOrdinal is the place of the ordinal in a distinct dataset, behind its one column.
const distinctOrdinal = 1

// sealedBefore counts the rows of a dataset that earlier readings sealed: no ordinal of a
// distinct value is higher.
func (e *extractor) sealedBefore(id ecluse.DatasetID) (rows int64) {
	for _, d := range e.Closed.Datasets {
		if of, _ := d.Dataset.Of(); of == id && !isBuckets(d.Dataset) {
			rows += d.Rows
		}
	}
	return rows
}

// tally adds up a dataset's buckets while it is read; nil: nobody will ask.
type tally struct {
	extractor *extractor
	dataset   ecluse.DatasetID
	places    *bucket.Places
	sums      *bucket.Sums
}

// tally begins one, unless the source is never read again.
func (e *extractor) tally(d *mandate.ReadDataset) (*tally, error) {
	if e.plan.CatchUps == 0 {
		return nil, nil
	}
	places := placesOf(e.Key, d)
	return &tally{e, d.Dataset, places, places.NewSums()}, nil
}

func (t *tally) add(b *record.Batch) error {
	if t == nil {
		return nil
	}
	return t.places.Each(b, func(_ int, r bucket.Row) { t.sums.Add(r) })
}

// keep keeps the sums of a dataset that was read whole. An epoch that comes after, or
// again, keeps others in their place, until the manifest is closed.
func (t *tally) keep() error {
	if t == nil {
		return nil
	}
	e := t.extractor
	sealed, err := seal.Wrap(e.Key.Sub(useBuckets, string(t.dataset)), sumsLabel(e.Reading, t.dataset), t.sums.Bytes())
	if err != nil {
		return err
	}
	return e.Buckets.SetSums(e.Reading, t.dataset, sealed)
}

func sumsLabel(reading int, d ecluse.DatasetID) string { return fmt.Sprintf("%d %s", reading, d) }

// before opens the sums of the reading before.
func (e *extractor) before(d ecluse.DatasetID) (*bucket.Sums, error) {
	sealed, err := e.Buckets.Sums(e.Reading-1, d)
	if err != nil {
		return nil, err
	}
	if sealed == nil {
		return nil, &ecluse.Error{
			Kind: ecluse.Unverified, What: "catch up", Where: string(d), Why: "what the reading before came to is not in this gate's folder",
			Next: "undo the passage, erase the migration, and read anew under a new instruction",
		}
	}
	text, err := seal.Unwrap(e.Key.Sub(useBuckets, string(d)), sumsLabel(e.Reading-1, d), sealed)
	if err != nil {
		return nil, err
	}
	return bucket.ParseSums(text)
}

// catchUp reads every dataset again and seals, of those in which something changed since
// the reading before, the rows of the buckets that differ.
func (e *extractor) catchUp(ctx context.Context, session reader.Session, sealed chan<- *chunk) error {
	e.out.Changed, e.rows = map[ecluse.DatasetID]int64{}, 0
	for i := range e.plan.Datasets {
		if err := e.again(ctx, session, &e.plan.Datasets[i], sealed); err != nil {
			return err
		}
	}
	return e.checks(ctx, session, sealed)
}

// again is one dataset of it: read once for its sums and, where they differ, once more for
// the rows. Both are of one epoch, which stands still (no other consistency goes with
// catching up): rows that are not those which were summed are no laboratory at work.
func (e *extractor) again(ctx context.Context, session reader.Session, d *mandate.ReadDataset, sealed chan<- *chunk) error {
	e.meter.at(d.Dataset)
	before, err := e.before(d.Dataset)
	if err != nil {
		return err
	}
	t, err := e.tally(d)
	if err != nil {
		return err
	}
	// Of all datasets together it reads no more than the first reading may.
	counted := func(b *record.Batch) error { return errors.Join(e.count(b), t.add(b)) }
	if err := e.whole(ctx, session, d, counted); err != nil {
		return err
	}
	set := bucket.Differ(before, t.sums)
	if set.Len() == 0 {
		return t.keep()
	}
	if set.Rows > mostChanged {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "catch up", Where: string(d.Dataset),
			Why:  fmt.Sprintf("%d rows stand in buckets in which something changed, and at most %d are taken: so much is read anew", set.Rows, mostChanged),
			Next: "ecluse undo, ecluse erase, and a new migration; or ask what rewrote the table",
		}
	}
	same, err := e.changed(ctx, session, d, t, set, sealed)
	if err != nil {
		return err
	}
	if !same {
		return &ecluse.Error{
			Kind: ecluse.Failed, What: "catch up", Where: string(d.Dataset), Why: "the source gave other rows the second time, inside one snapshot or under one lock",
			Next: "run the same command again; if it happens again, ask who runs the database whether it keeps what its tables promise",
		}
	}
	return t.keep()
}

// mostChanged is how many rows of a dataset a catch-up seals at the most: the target gate
// holds a digest of each in memory while it looks for them in the older chunks.
const mostChanged = 1 << 20

// whole reads a dataset from its first row to its last.
func (e *extractor) whole(ctx context.Context, session reader.Session, d *mandate.ReadDataset, each func(*record.Batch) error) error {
	var after reader.Cursor
	rows := int64(0)
	for last := false; !last; {
		if err := e.pause.Wait(ctx); err != nil {
			return err
		}
		var err error
		after, last, err = session.ReadChunk(ctx, d.Dataset, after, nil, func(b *record.Batch) error {
			rows += int64(b.Rows())
			if err := e.between(ctx); err != nil {
				return err
			}
			return each(b)
		})
		if err == nil {
			err = tolerated(d, rows, last)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// some reads rows of a dataset, those of a set among them: by the ranges of their key where
// the source can, or else all.
func (e *extractor) some(ctx context.Context, session reader.Session, d *mandate.ReadDataset, set *bucket.Set, each func(*record.Batch) error) error {
	if r, ok := session.(reader.RangeReader); ok && d.KeyUnique && placesOf(e.Key, d).Numbered() {
		if err := e.pause.Wait(ctx); err != nil {
			return err
		}
		done, err := r.ReadRanges(ctx, d.Dataset, set.Ranges(), func(b *record.Batch) error {
			if err := e.between(ctx); err != nil {
				return err
			}
			return each(b)
		})
		if err != nil || done {
			return err
		}
	}
	return e.whole(ctx, session, d, each)
}

// changed seals the rows of some buckets, then the list of these. It tells whether they are
// the rows that were summed before. Distinct values get ordinals above all given before;
// those that are not new keep the old ones, for the target gate takes them for the same.
func (e *extractor) changed(ctx context.Context, session reader.Session, d *mandate.ReadDataset, was *tally, set *bucket.Set, sealed chan<- *chunk) (bool, error) {
	p := &packer{e: e, dataset: d.Dataset.Changed(e.Reading), schema: SchemaOf(d), sealed: sealed}
	look, sums := screen.New(d), was.sums.Like()
	some, ordinal := record.NewBatch(p.schema, reader.BatchRows), int64(0)
	if d.Distinct {
		ordinal = e.sealedBefore(d.Dataset)
	}
	err := e.some(ctx, session, d, set, func(b *record.Batch) error {
		some.Reset()
		err := was.places.In(set, b, func(i int, r bucket.Row) {
			sums.Add(r)
			for c, column := range some.Columns {
				if d.Distinct && c == distinctOrdinal {
					ordinal++
					column.AppendInt(ordinal)
					continue
				}
				column.AppendFrom(b.Columns[c], i)
			}
		})
		if err != nil || some.Rows() == 0 {
			return err
		}
		if err := look.Look(some); err != nil {
			return err
		}
		return p.add(ctx, some)
	})
	if err != nil || !was.sums.Same(sums, set) {
		return false, err
	}
	if err := p.end(ctx); err != nil {
		return false, err
	}
	if found := look.FreeText(); len(found) > 0 {
		e.out.FreeText[d.Dataset] = found
	}
	e.out.Changed[d.Dataset] = p.all
	_, _, err = e.chunk(ctx, place{d.Dataset.Buckets(e.Reading), 0}, bucket.SetSchema(), sealed,
		func(emit func(*record.Batch) error) (reader.Cursor, bool, error) {
			return nil, true, set.Emit(reader.BatchRows, emit)
		})
	return true, err
}

// Sizes of a chunk of changed rows: it is gathered in memory before it is sealed.
const (
	changedRows  = 4 * reader.BatchRows
	changedBytes = 8 << 20
)

// packer makes chunks of rows that come few at a time. A chunk is sealed when it is known
// whether another comes after it.
type packer struct {
	e        *extractor
	dataset  ecluse.DatasetID
	schema   *record.Schema
	sealed   chan<- *chunk
	batches  []*record.Batch // of the chunk in the making
	rows     int
	bytes    int
	sequence int
	all      int64
}

// add copies the rows of a batch, of at most reader.BatchRows.
func (p *packer) add(ctx context.Context, b *record.Batch) error {
	if p.rows > 0 && (p.rows+b.Rows() > changedRows || p.bytes+b.Size() > changedBytes) {
		if err := p.seal(ctx, false); err != nil {
			return err
		}
	}
	n := len(p.batches)
	if n == 0 || p.batches[n-1].Rows()+b.Rows() > reader.BatchRows {
		p.batches = append(p.batches, record.NewBatch(p.schema, b.Rows()))
		n++
	}
	for i, column := range p.batches[n-1].Columns {
		column.AppendRange(b.Columns[i], 0, b.Rows())
	}
	p.rows, p.bytes = p.rows+b.Rows(), p.bytes+b.Size()
	return nil
}

func (p *packer) end(ctx context.Context) error { return p.seal(ctx, true) }

func (p *packer) seal(ctx context.Context, last bool) error {
	_, _, err := p.e.chunk(ctx, place{p.dataset, p.sequence}, p.schema, p.sealed,
		func(emit func(*record.Batch) error) (reader.Cursor, bool, error) {
			for _, b := range p.batches {
				if err := emit(b); err != nil {
					return nil, false, err
				}
			}
			return nil, last, nil
		})
	p.all += int64(p.rows)
	p.sequence++
	p.batches, p.rows, p.bytes = nil, 0, 0
	return err
}

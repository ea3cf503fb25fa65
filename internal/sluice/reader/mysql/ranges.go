package mysql

import (
	"context"
	"errors"
	"io"

	"ecluse"
	engine "ecluse/internal/sluice/engine/mysql"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

var _ reader.RangeReader = (*session)(nil)

// rangesAtATime is how many ranges a statement asks for: the server looks each up in the
// key's index.
const rangesAtATime = 500

// ReadRanges implements reader.RangeReader.
func (s *session) ReadRanges(ctx context.Context, dataset ecluse.DatasetID, ranges []reader.Range, emit func(*record.Batch) error) (bool, error) {
	what := "read dataset " + string(dataset)
	r, ok := s.readings[dataset]
	switch {
	case !ok:
		return false, &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "the plan has no such dataset", Article: "GDPR art. 29"}
	case s.over != nil:
		return false, s.over
	case !r.Ranges():
		return false, nil
	}
	release := context.AfterFunc(ctx, s.kill)
	defer release()
	err := s.abandon(ctx)
	f := &filler{reading: r, batch: s.batchOf(r), emit: emit}
	for ; err == nil && len(ranges) > 0; ranges = ranges[min(rangesAtATime, len(ranges)):] {
		var some []engine.Range
		for _, x := range ranges[:min(rangesAtATime, len(ranges))] {
			some = append(some, engine.Range{From: x.From, To: x.To})
		}
		err = s.inRanges(ctx, r, some, f)
	}
	if err == nil {
		err = f.flush()
	}
	return true, s.failed(ctx, what, err)
}

// inRanges reads the rows of one statement. One that ends early is read to its end: it has
// few rows.
func (s *session) inRanges(ctx context.Context, r *engine.Reading, ranges []engine.Range, f *filler) error {
	if err := s.throttle.Wait(ctx); err != nil {
		return err
	}
	rows, err := s.conn.Query(s.alive, r.Statement(engine.Span{In: ranges}))
	if err != nil {
		return err
	}
	var ordinal int64
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			if err := rows.Close(); err != nil {
				return err
			}
			return s.warnings(ctx)
		}
		if err == nil {
			ordinal++
			err = f.add(row, ordinal)
		}
		if err == nil && f.size == 0 { // a batch has just gone out
			err = ctx.Err()
		}
		if err != nil {
			return errors.Join(err, rows.Close())
		}
	}
}

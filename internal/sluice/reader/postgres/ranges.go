package postgres

import (
	"context"

	"ecluse"
	engine "ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

var _ reader.RangeReader = (*Session)(nil)

// rangesAtATime is how many ranges a statement asks for: the server looks each up in the
// key's index.
const rangesAtATime = 500

// ReadRanges reads rows by their key's ranges.
func (s *Session) ReadRanges(ctx context.Context, id ecluse.DatasetID, ranges []reader.Range, emit func(*record.Batch) error) (bool, error) {
	fail := func(err error) (bool, error) { return true, engine.Wrap(ctx, "read dataset "+string(id), "", err) }
	d, err := s.prepare(ctx, id)
	if err != nil {
		return fail(err)
	}
	if len(d.Dataset.Key) != 1 || d.Dataset.Distinct {
		return false, nil
	}
	for ; len(ranges) > 0; ranges = ranges[min(rangesAtATime, len(ranges)):] {
		var from, to []int64
		for _, r := range ranges[:min(rangesAtATime, len(ranges))] {
			from, to = append(from, r.From), append(to, r.To)
		}
		c := &chunk{session: s, dataset: d, statement: d.InRanges(from, to)}
		emitted, err := c.run(ctx, emit)
		switch {
		case ctx.Err() != nil:
			return fail(ctx.Err())
		case emitted != nil:
			return true, emitted
		case err != nil:
			return fail(err)
		}
	}
	return true, nil
}

// one reads the rows of one statement.
func (c *chunk) one(ctx context.Context) error {
	if err := c.session.throttle.Wait(ctx); err != nil {
		return err
	}
	if _, err := c.session.conn.CopyOut(ctx, c.statement, c); err != nil {
		return err
	}
	if !c.stopped {
		if err := c.decoder.Again(); err != nil {
			return err
		}
	}
	return c.finish()
}

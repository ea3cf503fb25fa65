package mysql

import (
	"context"
	"errors"
	"io"
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/mysql"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

// session is one epoch on one connection. It serves one goroutine.
type session struct {
	config   engine.Config
	conn     *engine.Conn
	beside   *engine.Conn // that asks who is at work; nil until somebody wants to know
	plan     *mandate.ReadPlan
	throttle *reader.Throttle
	readings map[ecluse.DatasetID]*engine.Reading
	counts   map[string]*engine.Counting

	stream *stream         // the statement that the last chunk ended in, or nil
	alive  context.Context //nolint:containedctx // of open statements, which outlive the calls that begin them
	kill   context.CancelFunc
	batch  *record.Batch // reused by one dataset after the other
	over   error         // why the connection is of no use any more
}

var _ reader.Session = (*session)(nil)

// ReadChunk implements reader.Session. The statement that a chunk ends in stays
// open, so that the next chunk goes on with it: what has to be sorted is sorted
// once. (Not where others write meanwhile: see begin.)
func (s *session) ReadChunk(ctx context.Context, dataset ecluse.DatasetID, after, until reader.Cursor,
	emit func(*record.Batch) error,
) (end reader.Cursor, last bool, err error) {
	what := "read dataset " + string(dataset)
	r, ok := s.readings[dataset]
	if !ok {
		return nil, false, &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "the plan has no such dataset", Article: "GDPR art. 29"}
	}
	if s.over != nil {
		return nil, false, s.over
	}
	release := context.AfterFunc(ctx, s.kill)
	defer release()
	end, last, err = s.chunk(ctx, r, after, until, emit)
	return end, last, s.failed(ctx, what, err)
}

func (s *session) chunk(ctx context.Context, r *engine.Reading, after, until reader.Cursor,
	emit func(*record.Batch) error,
) (reader.Cursor, bool, error) {
	start, stop, err := between(r, after, until)
	if err != nil {
		return nil, false, err
	}
	st, err := s.streamAt(ctx, r, after, start)
	if err != nil {
		return nil, false, err
	}
	st.at = nil // nowhere, until this chunk has ended well
	f := &filler{reading: r, batch: s.batchOf(r), emit: emit}
	for {
		more, err := s.peek(ctx, st)
		if err != nil {
			return nil, false, err
		}
		if !more || stop != nil && r.Beyond(&st.next, stop) || stop == nil && f.full() {
			if err := f.flush(); err != nil {
				return nil, false, err
			}
			switch {
			case more && stop != nil: // the row it names may be gone
				st.at = until
			case after != nil || st.pos.Ordinal > 0:
				st.at = r.Encode(&st.pos)
			}
			if s.plan.Consistency == mandate.Reread {
				return st.at, !more, s.abandon(ctx)
			}
			return st.at, !more, nil
		}
		if err := f.add(st.row, st.next.Ordinal); err != nil {
			return nil, false, err
		}
		st.take()
		if f.size == 0 && ctx.Err() != nil { // a batch has just gone out
			return nil, false, ctx.Err()
		}
	}
}

// between reads the two cursors of a chunk; nil stays nil.
func between(r *engine.Reading, after, until reader.Cursor) (start, stop *engine.Position, err error) {
	if after != nil {
		if start, err = r.Decode(after); err != nil {
			return nil, nil, err
		}
	}
	if until != nil {
		if stop, err = r.Decode(until); err != nil {
			return nil, nil, err
		}
	}
	if start != nil && stop != nil && r.Beyond(start, stop) {
		return nil, nil, &ecluse.Error{Kind: ecluse.Invalid, What: "read dataset " + string(r.Dataset.Dataset), Why: "the chunk ends before it begins"}
	}
	return start, stop, nil
}

func (s *session) batchOf(r *engine.Reading) *record.Batch {
	if s.batch == nil || s.batch.Schema != r.Schema {
		s.batch = record.NewBatch(r.Schema, reader.BatchRows)
	}
	s.batch.Reset()
	return s.batch
}

// filler fills batches and hands them on.
type filler struct {
	reading *engine.Reading
	batch   *record.Batch
	emit    func(*record.Batch) error
	size    int // bytes in the batch
	rows    int // in the chunk
	bytes   int // in the chunk
}

func (f *filler) full() bool { return f.rows >= reader.ChunkRows || f.bytes >= reader.ChunkBytes }

func (f *filler) add(row engine.Row, ordinal int64) error {
	size, err := f.reading.Append(f.batch, row, ordinal)
	if err != nil {
		return err
	}
	f.rows, f.bytes, f.size = f.rows+1, f.bytes+size, f.size+size
	if f.batch.Rows() >= reader.BatchRows || f.size >= reader.BatchBytes {
		return f.flush()
	}
	return nil
}

func (f *filler) flush() error {
	if f.batch.Rows() == 0 {
		return nil
	}
	err := f.emit(f.batch)
	f.batch.Reset()
	f.size = 0
	if err != nil {
		return &emitError{err}
	}
	return nil
}

// emitError is the caller's own error on its way back.
type emitError struct{ err error }

func (e *emitError) Error() string { return e.err.Error() }

// Check implements reader.Session.
func (s *session) Check(ctx context.Context, name string) (*record.Batch, error) {
	what := "count check " + name
	k, ok := s.counts[name]
	if !ok {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "the plan has no such check", Article: "GDPR art. 29"}
	}
	if s.over != nil {
		return nil, s.over
	}
	b := record.NewBatch(engine.CheckSchema(), 1)
	err := s.abandon(ctx)
	if err == nil {
		err = s.count(ctx, k, b)
	}
	if err != nil {
		return nil, s.failed(ctx, what, err)
	}
	return b, nil
}

func (s *session) count(ctx context.Context, k *engine.Counting, b *record.Batch) error {
	if err := s.throttle.Wait(ctx); err != nil {
		return err
	}
	rows, err := s.conn.Query(ctx, k.Statement)
	if err != nil {
		return err
	}
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			if err := rows.Close(); err != nil {
				return err
			}
			return s.warnings(ctx)
		}
		if err == nil {
			err = k.Append(b, row)
		}
		if err != nil {
			_ = rows.Close()
			return err
		}
	}
}

// warnings fails when the last statement ended with one: a value that was cut,
// or became NULL, on its way is a value lost.
func (s *session) warnings(ctx context.Context) error {
	if err := s.throttle.Wait(ctx); err != nil {
		return err
	}
	var codes []string
	err := s.conn.Each(ctx, "SHOW WARNINGS", func(row []string) error {
		if row[0] != "Note" {
			codes = append(codes, row[1])
		}
		return nil
	})
	if err != nil || len(codes) == 0 {
		return err
	}
	return &ecluse.Error{
		Kind: ecluse.Failed, What: "read the source", Why: "the server warns that it changed values on their way: warning " + strings.Join(codes, ", "),
		Next: "look the number up in the server's manual; 1301 asks for a larger max_allowed_packet",
	}
}

// failed wraps an error and remembers whether the connection died of it.
func (s *session) failed(ctx context.Context, what string, err error) error {
	var theirs *emitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &theirs):
		return theirs.err
	}
	wrapped := engine.Wrap(ctx, what, s.config.String(), err)
	if ctx.Err() != nil || engine.Lost(err) {
		s.over = wrapped
	}
	return wrapped
}

// Load implements reader.Session, on a connection of its own: the epoch's may be in the
// middle of an answer. What it asks is paced with what is read.
func (s *session) Load(ctx context.Context) (int, error) {
	if s.beside == nil {
		conn, err := engine.Connect(ctx, s.config)
		if err != nil {
			return 0, err
		}
		s.beside = conn
	}
	return engine.OthersAtWork(ctx, s.beside, s.throttle.Wait)
}

// Close implements reader.Session.
func (s *session) Close() error {
	defer s.kill()
	if s.beside != nil {
		_ = s.beside.Close()
	}
	s.stream = nil
	if s.over == nil {
		s.over = &ecluse.Error{Kind: ecluse.Failed, What: "read the source", Why: "its session is closed"}
	}
	return s.conn.Close()
}

package mysql

import (
	"bytes"
	"context"
	"errors"
	"io"

	"ecluse"
	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/mysql"
	"ecluse/internal/sluice/reader"
)

// stream is a statement under way and the place it has come to.
type stream struct {
	reading *engine.Reading
	rows    *engine.Rows
	at      reader.Cursor   // where the last chunk ended; nil within one
	pos     engine.Position // after the last row taken
	row     engine.Row      // the row after it, if one was looked for
	next    engine.Position // after that row
	limit   int64           // rows the statement asks for; 0: all
	seen    int64           // rows it has given
	ended   bool            // there are no more rows
}

// streamAt goes on with the open statement when it stands at the cursor, else
// begins one. start is the cursor's position, nil at the dataset's start.
func (s *session) streamAt(ctx context.Context, r *engine.Reading, after reader.Cursor, start *engine.Position) (*stream, error) {
	if st := s.stream; st != nil && st.reading == r && st.at != nil && bytes.Equal(st.at, after) {
		st.restart()
		return st, nil
	}
	if err := s.abandon(ctx); err != nil {
		return nil, err
	}
	st := &stream{reading: r}
	if start != nil {
		st.pos = *start
	}
	return st, s.begin(ctx, st, start != nil)
}

// restart counts rows from the chunk's start again, for errors to name them by;
// where the count is the place itself it goes on.
func (st *stream) restart() {
	if st.reading.Keyed() {
		st.pos.Ordinal = 0
		if st.row != nil {
			st.next.Ordinal = 1
		}
	}
}

// begin runs the stream's statement from where it stands. A source that is read
// while others write is asked for a chunk at a time: a table without row versions
// is locked to its writers until a statement has given its last row. So is one that
// may send so many statements a second only: a statement for everything would be one.
func (s *session) begin(ctx context.Context, st *stream, resumed bool) error {
	if err := s.throttle.Wait(ctx); err != nil {
		return err
	}
	span := engine.Span{}
	if resumed {
		span.After = &st.pos
	}
	if s.plan.Consistency == mandate.Reread || s.plan.Limits.QueriesPerSecond > 0 && st.reading.Seeks() {
		span.Limit = reader.ChunkRows + 1
	}
	rows, err := s.conn.Query(s.alive, st.reading.Statement(span))
	if err != nil {
		return err
	}
	st.rows, st.limit, st.seen = rows, span.Limit, 0
	s.stream = st
	return nil
}

// peek looks for the next row.
func (s *session) peek(ctx context.Context, st *stream) (bool, error) {
	for st.row == nil && !st.ended {
		row, err := st.rows.Next()
		if err == nil {
			st.seen++
			if err := st.reading.Advance(&st.pos, &st.next, row); err != nil {
				return false, err
			}
			if !st.reading.Ascends(&st.pos, &st.next) {
				return false, disorder(st.reading)
			}
			st.row = row
			break
		}
		if !errors.Is(err, io.EOF) {
			return false, err
		}
		if err := s.finish(ctx, st); err != nil {
			return false, err
		}
	}
	return st.row != nil, nil
}

// finish ends a statement that has given all its rows; where it was asked for so
// many only, the next one goes on.
func (s *session) finish(ctx context.Context, st *stream) error {
	if err := st.rows.Close(); err != nil {
		return err
	}
	if err := s.warnings(ctx); err != nil {
		return err
	}
	if st.limit == 0 || st.seen < st.limit {
		st.ended = true
		return nil
	}
	return s.begin(ctx, st, true)
}

func (st *stream) take() {
	st.pos, st.next = st.next, st.pos
	st.row = nil
}

func disorder(r *engine.Reading) error {
	return &ecluse.Error{
		Kind: ecluse.Failed, What: "read dataset " + string(r.Dataset.Dataset), Where: r.Dataset.From.String(),
		Why:  "its rows do not come in the order of their key, each once",
		Next: "check the table's index (CHECK TABLE … EXTENDED); values longer than 4096 bytes cannot be a key or distinct",
	}
}

// abandon ends the open statement early and keeps the session. Reading it to its
// end could take hours.
func (s *session) abandon(ctx context.Context) error {
	st := s.stream
	if st == nil {
		return nil
	}
	s.stream = nil
	if st.ended {
		return nil
	}
	if st.limit > 0 && st.seen == st.limit {
		return st.rows.Close()
	}
	interrupted := s.conn.Interrupt(ctx) == nil // else the rest is read
	if err := st.rows.Close(); err != nil && !engine.WasInterrupted(err) {
		return err
	}
	if !interrupted {
		return nil
	}
	// The statement may have ended by itself first: then this one is interrupted.
	if err := s.conn.Exec(ctx, "DO 0"); err != nil && !engine.WasInterrupted(err) {
		return err
	}
	return nil
}

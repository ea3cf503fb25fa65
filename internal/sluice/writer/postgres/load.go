package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"ecluse"
	engine "ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/writer"
)

// Load writes a chunk and its marker in one transaction.
func (s *session) Load(ctx context.Context, chunk *writer.Chunk, beforeCommit func(ctx context.Context, refused []writer.Refusal) error) (writer.Loaded, error) {
	what := "load chunk " + chunk.Slot.String()
	l, err := s.loading(what, chunk)
	if err != nil {
		return writer.Loaded{}, err
	}
	var out writer.Loaded
	err = s.transaction(ctx, what, readWrite, func() error {
		m, already, err := s.mark(ctx, what, chunk)
		if out = (writer.Loaded{Marker: m, Already: already}); err != nil || already {
			return err
		}
		if err := l.write(ctx); err != nil {
			return err
		}
		out.Refused = l.refusals()
		if beforeCommit != nil {
			if err := beforeCommit(ctx, out.Refused); err != nil {
				return callers(err)
			}
		}
		if len(out.Refused) == 0 {
			return nil
		}
		in := chunk.Marker(out.Refused)
		out.Marker.Refused, out.Marker.Rows = in.Refused, in.Rows
		return s.correct(ctx, &out.Marker)
	})
	if err != nil {
		return writer.Loaded{}, err
	}
	return out, nil
}

// mark inserts the marker before any row: its primary key decides that the slot
// is written once, whatever this program believes. It says what will be true when
// the database refuses nothing.
func (s *session) mark(ctx context.Context, what string, chunk *writer.Chunk) (m writer.Marker, already bool, err error) {
	m = chunk.Marker(nil)
	texts, err := marshal(m.Counters, m.Refused, m.Rows)
	if err != nil {
		return m, false, err
	}
	args := append(append(append(s.id(), slotArgs(m.Slot)...), texts...), s.digest.String(), strconv.Itoa(m.Reading))
	inserted := false
	err = s.conn.Each(ctx, `INSERT INTO `+markers+` (migration, passage, dataset, sequence, version, position, reading, counters, refused, rows)
		SELECT p.migration, p.passage, $3, $4::int, $5::int, (SELECT coalesce(max(m.position) + 1, 0) FROM `+markers+` AS m WHERE m.migration = $1 AND m.passage = $2), $10::int, $6, $7, $8
		FROM `+passages+` AS p WHERE p.migration = $1 AND p.passage = $2 AND p.ended IS NULL AND p.plan = $9
		ON CONFLICT DO NOTHING
		RETURNING position, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`, func(v []string) (err error) {
		inserted = true
		if m.Position, err = strconv.Atoi(v[0]); err != nil {
			return err
		}
		m.At, err = time.Parse(time.RFC3339Nano, v[1])
		return err
	}, args...)
	if err != nil || inserted {
		return m, false, err
	}
	stored, err := s.stored(ctx, m.Slot)
	if err != nil {
		return m, false, err
	}
	if stored != nil {
		return *stored, true, nil
	}
	if _, _, err := s.recorded(ctx, what); err != nil {
		return m, false, err
	}
	return m, false, &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "the passage has not begun in this target"}
}

func marshal(parts ...any) ([]string, error) {
	texts := make([]string, len(parts))
	for i, part := range parts {
		b, err := json.Marshal(part)
		if err != nil {
			return nil, err
		}
		texts[i] = string(b)
	}
	return texts, nil
}

// correct writes into the marker what the database refused.
func (s *session) correct(ctx context.Context, m *writer.Marker) error {
	texts, err := marshal(m.Refused, m.Rows)
	if err != nil {
		return err
	}
	args := append(append(s.id(), slotArgs(m.Slot)...), texts...)
	return s.conn.Each(ctx, "UPDATE "+markers+" SET refused = $6, rows = $7 WHERE "+ours+bySlot, nil, args...)
}

// loading is one chunk on its way in, or out.
type loading struct {
	session *session
	chunk   *writer.Chunk
	tables  []*table
	refused map[int32]string // source rows that are not written, and why
	healing map[int32]bool   // those refused by a foreign key, whose other row may come later
}

// loading checks a chunk against the plan.
func (s *session) loading(what string, chunk *writer.Chunk) (*loading, error) {
	l := &loading{session: s, chunk: chunk, refused: map[int32]string{}, healing: map[int32]bool{}}
	for i := range chunk.Tables {
		t, err := s.table(&chunk.Tables[i], chunk.Rows)
		if err != nil {
			return nil, &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: chunk.Tables[i].Table.String(), Err: err}
		}
		l.tables = append(l.tables, t)
	}
	return l, nil
}

// write writes the chunk's rows. Deferrable constraints hold when a part of the
// chunk is whole, so that what breaks one is known to be in that part.
func (l *loading) write(ctx context.Context) error {
	for _, t := range l.tables {
		for _, u := range t.copier.Unfit(t.rows.Batch) {
			l.refused[t.rows.Source[u.Row]] = reasonOf(t.rows.Table, u.Column, u.State)
		}
	}
	if _, err := l.session.conn.Exec(ctx, "SET CONSTRAINTS ALL DEFERRED"); err != nil {
		return err
	}
	if err := l.attempt(ctx, 0, int32(l.chunk.Rows)); err != nil {
		return err
	}
	return l.heal(ctx)
}

// attempt writes the source rows from lo up to hi. Where the database refuses one
// it writes what comes before that row, then the row by itself, then what comes
// after; where it does not say which one, either half by itself.
func (l *loading) attempt(ctx context.Context, lo, hi int32) error {
	for lo < hi {
		bad, err := l.try(ctx, lo, hi)
		if err != nil || bad == nil {
			return err
		}
		if hi-lo == 1 {
			l.refuse(lo, bad)
			return nil
		}
		at := bad.source
		if at < lo || at >= hi {
			at = lo + (hi-lo)/2
			if err := l.attempt(ctx, lo, at); err != nil {
				return err
			}
			lo = at
			continue
		}
		if err := l.attempt(ctx, lo, at); err != nil {
			return err
		}
		if err := l.attempt(ctx, at, at+1); err != nil {
			return err
		}
		lo = at + 1
	}
	return nil
}

// refusal is what the database said of a part of a chunk.
type refusal struct {
	source int32 // the row to blame; −1 when it does not say
	state  string
	reason string
}

const foreignKey = "23503"

func (l *loading) refuse(row int32, bad *refusal) {
	l.refused[row] = bad.reason
	l.healing[row] = bad.state == foreignKey
}

// heal tries again the rows that missed a row which came after them in the chunk,
// until none more gets in.
func (l *loading) heal(ctx context.Context) error {
	for {
		before := len(l.refused)
		rows := make([]int32, 0, len(l.healing))
		for row, may := range l.healing {
			if may {
				rows = append(rows, row)
			}
		}
		slices.Sort(rows)
		for _, row := range rows {
			reason := l.refused[row]
			delete(l.refused, row)
			bad, err := l.try(ctx, row, row+1)
			if err != nil {
				return err
			}
			if l.healing[row] = bad != nil; bad != nil {
				l.refused[row] = reason
			}
		}
		if len(rows) == 0 || len(l.refused) == before {
			return nil
		}
	}
}

// try writes the source rows from lo up to hi, all or none.
func (l *loading) try(ctx context.Context, lo, hi int32) (*refusal, error) {
	conn := l.session.conn
	if _, err := conn.Exec(ctx, "SAVEPOINT part"); err != nil {
		return nil, err
	}
	var err error
	var at *table
	for _, t := range l.tables {
		if err = t.copy(ctx, conn, lo, hi, l.refused); err != nil {
			at = t
			break
		}
	}
	if err == nil {
		_, err = conn.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; RELEASE part")
	}
	if err == nil {
		return nil, nil
	}
	refused := engine.Server(err)
	if refused == nil || !refused.Row() {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "ROLLBACK TO part; RELEASE part"); err != nil {
		return nil, err
	}
	bad := &refusal{source: -1, state: refused.State}
	if at != nil {
		line, column := refused.Copied(at.copier.Columns())
		bad.source = at.sourceOf(line, lo, hi, l.refused)
		if refused.Table.Name == "" {
			refused.Table = at.rows.Table
		}
		if refused.Column == "" && refused.Table == at.rows.Table && refused.Constraint == "" {
			refused.Column = column
		}
	}
	bad.reason = refused.Error()
	return bad, nil
}

func reasonOf(t ecluse.TableName, column, state string) string {
	return (&engine.ServerError{State: state, Table: t, Column: column}).Error()
}

// refusals are what the database refused, in the order of the source rows.
func (l *loading) refusals() []writer.Refusal {
	out := make([]writer.Refusal, 0, len(l.refused))
	for row, reason := range l.refused {
		out = append(out, writer.Refusal{Row: row, Reason: reason})
	}
	slices.SortFunc(out, func(a, b writer.Refusal) int { return int(a.Row - b.Row) })
	return out
}

// withheld is a table that took fewer rows than it was given, without a word.
func withheld(t ecluse.TableName, given, took int64) error {
	return &ecluse.Error{
		Kind: ecluse.Failed, What: "load", Where: t.String(), Why: fmt.Sprintf("the table took %d rows of %d: a trigger keeps the others out", took, given),
		Next: "ask the new software's makers what that trigger is for; switch it off for the load, or map those rows otherwise",
	}
}

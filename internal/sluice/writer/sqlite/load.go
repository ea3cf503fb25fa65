package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"time"

	"ecluse"
	engine "ecluse/internal/sluice/engine/sqlite"
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
	err = s.transaction(ctx, what, func() error {
		stored, err := s.stored(ctx, chunk.Slot)
		if err != nil {
			return err
		}
		if stored != nil {
			out = writer.Loaded{Marker: *stored, Already: true}
			return nil
		}
		if out.Marker, err = s.mark(ctx, what, chunk); err != nil {
			return err
		}
		if err := l.write(ctx); err != nil {
			return err
		}
		out.Refused = l.refusals()
		if beforeCommit != nil {
			if err := beforeCommit(ctx, out.Refused); err != nil {
				return err
			}
		}
		in := chunk.Marker(out.Refused)
		out.Marker.Counters, out.Marker.Refused, out.Marker.Rows = in.Counters, in.Refused, in.Rows
		return s.complete(ctx, &out.Marker)
	})
	if err != nil {
		return writer.Loaded{}, err
	}
	return out, nil
}

// stored is the marker of a slot that is in, else nil.
func (s *session) stored(ctx context.Context, slot ecluse.Slot) (*writer.Marker, error) {
	m, err := s.markers(ctx, "AND dataset = ? AND sequence = ? AND version = ?", string(slot.Dataset), int64(slot.Sequence), int64(slot.Version))
	if err != nil || len(m) == 0 {
		return nil, err
	}
	return &m[0], nil
}

// mark inserts the marker before any row: its primary key decides that the slot
// is written once, whatever this program believes.
func (s *session) mark(ctx context.Context, what string, chunk *writer.Chunk) (writer.Marker, error) {
	slot := chunk.Slot
	m := writer.Marker{Slot: slot, Reading: chunk.Reading, At: time.Now().UTC()}
	_, there, err := s.recorded(ctx, what)
	if err != nil {
		return m, err
	}
	if !there {
		return m, &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "the passage has not begun in this target"}
	}
	position, err := s.conn.One(ctx, "SELECT coalesce(max(position) + 1, 0) FROM ecluse_marker WHERE migration = ? AND passage = ?", string(s.plan.Migration), s.passage)
	if err != nil {
		return m, err
	}
	n, _ := position.(int64)
	m.Position = int(n)
	_, err = s.conn.Exec(ctx, "INSERT OR ABORT INTO ecluse_marker (migration, passage, "+markerColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, '{}', '[]', '{}', ?)",
		string(s.plan.Migration), s.passage, string(slot.Dataset), int64(slot.Sequence), int64(slot.Version), n, int64(m.Reading), m.At.Format(time.RFC3339Nano))
	return m, err
}

// complete writes what the marker says of its chunk.
func (s *session) complete(ctx context.Context, m *writer.Marker) error {
	texts := make([]string, 3)
	for i, part := range []any{m.Counters, m.Refused, m.Rows} {
		b, err := json.Marshal(part)
		if err != nil {
			return err
		}
		texts[i] = string(b)
	}
	_, err := s.conn.Exec(ctx, "UPDATE ecluse_marker SET counters = ?, refused = ?, rows = ? WHERE migration = ? AND passage = ? AND dataset = ? AND sequence = ? AND version = ?",
		texts[0], texts[1], texts[2], string(s.plan.Migration), s.passage, string(m.Slot.Dataset), int64(m.Slot.Sequence), int64(m.Slot.Version))
	return err
}

// loading is one call of Load.
type loading struct {
	session *session
	chunk   *writer.Chunk
	tables  []*table
	unfit   map[int32]string // source rows that cannot be written, whatever else is
	refused map[int32]string // those and what the database refused
	revises bool             // rows that stay may refer to what went before it
}

// loading checks a chunk against the plan.
func (s *session) loading(what string, chunk *writer.Chunk) (*loading, error) {
	l := &loading{session: s, chunk: chunk, unfit: map[int32]string{}}
	for i := range chunk.Tables {
		t, err := s.table(&chunk.Tables[i], chunk.Rows)
		if err != nil {
			return nil, &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: chunk.Tables[i].Table.String(), Err: err}
		}
		l.tables = append(l.tables, t)
	}
	return l, nil
}

// write writes the chunk's rows. Foreign keys hold at its end: a row nothing
// answers to is found, put aside with all its source row made, and the chunk is
// written again without it, until all hold.
func (l *loading) write(ctx context.Context) error {
	c := l.session.conn
	if _, err := c.Exec(ctx, "PRAGMA defer_foreign_keys=ON"); err != nil {
		return err
	}
	for _, t := range l.tables {
		t.findUnfit(l.unfit)
	}
	for {
		l.refused = make(map[int32]string, len(l.unfit))
		for row, reason := range l.unfit {
			l.refused[row] = reason
		}
		if _, err := c.Exec(ctx, "SAVEPOINT chunk"); err != nil {
			return err
		}
		if err := l.attempt(ctx, 0, int32(l.chunk.Rows)); err != nil {
			return err
		}
		open, err := c.Unresolved()
		if err != nil {
			return err
		}
		if !open {
			_, err := c.Exec(ctx, "RELEASE chunk")
			return err
		}
		found, err := l.findOrphans(ctx)
		if err != nil {
			return err
		}
		switch {
		case found:
		case l.revises:
			return writer.RefuseReferred(nil)
		default:
			return &ecluse.Error{
				Kind: ecluse.Failed, What: "load chunk " + l.chunk.Slot.String(),
				Why: "foreign keys are left without an answer by rows that are not the chunk's, such as a trigger's",
			}
		}
		if _, err := c.Exec(ctx, "ROLLBACK TO chunk; RELEASE chunk"); err != nil {
			return err
		}
	}
}

// attempt writes the source rows from lo up to hi. When the database refuses one
// of their rows it writes either half for itself, down to the source row to blame.
func (l *loading) attempt(ctx context.Context, lo, hi int32) error {
	c := l.session.conn
	if _, err := c.Exec(ctx, "SAVEPOINT part"); err != nil {
		return err
	}
	reason := ""
	for _, t := range l.tables {
		var err error
		if reason, err = t.insert(ctx, lo, hi, l.refused); err != nil {
			return err
		}
		if reason != "" {
			break
		}
	}
	if reason == "" {
		_, err := c.Exec(ctx, "RELEASE part")
		return err
	}
	if _, err := c.Exec(ctx, "ROLLBACK TO part; RELEASE part"); err != nil {
		return err
	}
	if hi-lo <= 1 {
		l.refused[lo] = reason
		return nil
	}
	mid := lo + (hi-lo)/2
	if err := l.attempt(ctx, lo, mid); err != nil {
		return err
	}
	return l.attempt(ctx, mid, hi)
}

// findOrphans adds to unfit the source rows of which a row refers to what is not
// there now that the whole chunk is.
func (l *loading) findOrphans(ctx context.Context) (found bool, err error) {
	for _, t := range l.tables {
		for i := range t.catalogue.ForeignKeys {
			fk := &t.catalogue.ForeignKeys[i]
			rows, err := t.orphans(ctx, l.session.conn, fk, l.refused)
			if err != nil {
				return false, err
			}
			for _, row := range rows {
				found = true
				l.unfit[row] = fmt.Sprintf("%s: foreign key %s (%d)", t.rows.Table, fk.Name, engine.ForeignKeyCode)
			}
		}
	}
	return found, nil
}

// refusals are what the database refused, in the order of the source rows.
func (l *loading) refusals() []writer.Refusal {
	out := make([]writer.Refusal, 0, len(l.refused))
	for row, reason := range l.refused {
		out = append(out, writer.Refusal{Row: row, Reason: reason})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Row < out[j].Row })
	return out
}

package sqlite

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"ecluse"
	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/writer"
)

// schema is Écluse's own tables. Nothing in them is a value of a record.
const schema = `
CREATE TABLE IF NOT EXISTS ecluse_passage (
	migration TEXT NOT NULL, passage TEXT NOT NULL, plan TEXT NOT NULL, before BLOB NOT NULL, at TEXT NOT NULL,
	PRIMARY KEY (migration, passage)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ecluse_marker (
	migration TEXT NOT NULL, passage TEXT NOT NULL, dataset TEXT NOT NULL, sequence INTEGER NOT NULL, version INTEGER NOT NULL,
	position INTEGER NOT NULL, reading INTEGER NOT NULL, counters TEXT NOT NULL, refused TEXT NOT NULL, rows TEXT NOT NULL, at TEXT NOT NULL,
	PRIMARY KEY (migration, passage, dataset, sequence, version),
	UNIQUE (migration, passage, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ecluse_tombstone (
	migration TEXT NOT NULL, passage TEXT NOT NULL, plan TEXT NOT NULL, outcome TEXT NOT NULL, chunks INTEGER NOT NULL, at TEXT NOT NULL,
	PRIMARY KEY (migration, passage)
) STRICT, WITHOUT ROWID;`

// session is one connection that writes one passage, for one goroutine at a time.
type session struct {
	conn    *engine.Conn
	lock    *engine.Conn
	plan    *mandate.LoadPlan
	digest  ecluse.Digest
	passage string
	cat     *ecluse.Catalogue
	cascade []string                // tables whose rows take or change rows of others when they go
	inserts map[string]*engine.Stmt // by their text
}

// prepare makes Écluse's tables and looks at the target's.
func (s *session) prepare(ctx context.Context) error {
	const what = "open target"
	err := s.transaction(ctx, what, func() error {
		_, err := s.conn.Exec(ctx, schema)
		return err
	})
	if err != nil {
		return err
	}
	if s.cat, err = engine.Catalogue(ctx, s.conn); err != nil {
		return err
	}
	if s.cascade, err = engine.Cascading(ctx, s.conn); err != nil {
		return err
	}
	for _, t := range s.plan.Tables {
		here, ok := s.cat.Table(t.Table)
		if ok && len(t.Key) == 0 && here.Storage != engine.StorageRowid {
			return &ecluse.Error{
				Kind: ecluse.Refused, What: what, Where: t.Table.String(),
				Why:  "its rows could not be taken out again: they have no rowid and the plan does not write their whole key",
				Next: "let the mapping write the primary key",
			}
		}
	}
	return nil
}

// Close frees the target's lock and disconnects; an open transaction goes.
func (s *session) Close() error {
	for _, st := range s.inserts {
		st.Close()
	}
	return errors.Join(s.conn.Close(), s.lock.Close())
}

// transaction runs f in a transaction that no other writes beside. What f did is
// kept whole or not at all; a cancelled context keeps nothing.
func (s *session) transaction(ctx context.Context, what string, f func() error) error {
	end := context.WithoutCancel(ctx)
	_, err := s.conn.Exec(ctx, "BEGIN IMMEDIATE")
	if err == nil {
		err = f()
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		_, err = s.conn.Exec(end, "COMMIT") // once asked for, its outcome is waited for
	}
	if err == nil {
		return nil
	}
	// After BEGIN too: the driver answers with the context's error although the
	// transaction began, when the context ends between. An error of ROLLBACK's own
	// says that SQLite rolled back already.
	_, _ = s.conn.Exec(end, "ROLLBACK")
	return engine.Strip(what, s.conn.Path(), err)
}

// Missing lists what the plan needs and the target does not have. A file that
// cannot be written was refused by Open.
func (s *session) Missing(ctx context.Context) ([]string, error) {
	cat, err := engine.Catalogue(ctx, s.conn)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, t := range s.plan.Tables {
		here, ok := cat.Table(t.Table)
		if !ok || here.Kind != ecluse.BaseTable {
			missing = append(missing, "table "+t.Table.String())
			continue
		}
		for _, c := range t.Columns {
			if col, ok := here.Column(c.Name); !ok || col.Generated {
				missing = append(missing, "column "+t.Table.String()+"."+c.Name)
			}
		}
	}
	for _, q := range s.plan.Shape.Sequences {
		if !slices.ContainsFunc(cat.Sequences, func(h ecluse.Sequence) bool { return h.Name == q.Sequence }) {
			missing = append(missing, "sequence "+q.Sequence.String())
		}
	}
	return missing, nil
}

// Begin records the passage with the sums taken before its first row.
func (s *session) Begin(ctx context.Context, before func(context.Context, reader.Scanner) ([]byte, error)) (recorded []byte, begun bool, err error) {
	what := "begin passage " + s.passage
	err = s.transaction(ctx, what, func() error {
		var there bool
		if recorded, there, err = s.recorded(ctx, what); err != nil || there {
			return err
		}
		over, err := s.conn.One(ctx, "SELECT outcome FROM ecluse_tombstone WHERE migration = ? AND passage = ?", string(s.plan.Migration), s.passage)
		if err != nil {
			return err
		}
		if over != nil {
			return &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "it is over in this target", Next: "begin another passage"}
		}
		sc, err := newScanner(ctx, s.conn)
		if err != nil {
			return err
		}
		if recorded, err = before(ctx, sc); err != nil {
			return err
		}
		begun = true
		_, err = s.conn.Exec(ctx, "INSERT INTO ecluse_passage (migration, passage, plan, before, at) VALUES (?, ?, ?, ?, ?)",
			string(s.plan.Migration), s.passage, s.digest.String(), append([]byte{}, recorded...), now())
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return recorded, begun, nil
}

// recorded reads what Begin recorded of this passage.
func (s *session) recorded(ctx context.Context, what string) (before []byte, there bool, err error) {
	var plan string
	err = s.conn.Each(ctx, func(v []driver.Value) error {
		plan, there = v[0].(string)
		before, _ = v[1].([]byte)
		return nil
	}, "SELECT plan, before FROM ecluse_passage WHERE migration = ? AND passage = ?", string(s.plan.Migration), s.passage)
	if err == nil && there && plan != s.digest.String() {
		err = &ecluse.Error{Kind: ecluse.Differs, What: what, Why: "it was begun under another load plan, " + plan, Next: "undo it, or go on with the plan it was begun with"}
	}
	return before, there, err
}

const markerColumns = "dataset, sequence, version, position, reading, counters, refused, rows, at"

// Markers lists the chunks that are in.
func (s *session) Markers(ctx context.Context) ([]writer.Marker, error) {
	return s.markers(ctx, "ORDER BY position")
}

func (s *session) markers(ctx context.Context, rest string, args ...driver.Value) ([]writer.Marker, error) {
	var out []writer.Marker
	err := s.conn.Each(ctx, func(v []driver.Value) error {
		m, err := markerOf(v)
		out = append(out, m)
		return err
	}, "SELECT "+markerColumns+" FROM ecluse_marker WHERE migration = ? AND passage = ? "+rest,
		append([]driver.Value{string(s.plan.Migration), s.passage}, args...)...)
	if err != nil {
		return nil, engine.Strip("read markers", "", err)
	}
	return out, nil
}

func markerOf(v []driver.Value) (writer.Marker, error) {
	text := func(i int) string { s, _ := v[i].(string); return s }
	number := func(i int) int { n, _ := v[i].(int64); return int(n) }
	m := writer.Marker{Slot: ecluse.Slot{Dataset: ecluse.DatasetID(text(0)), Sequence: number(1), Version: number(2)}, Position: number(3), Reading: number(4)}
	var err error
	for i, part := range []any{&m.Counters, &m.Refused, &m.Rows} {
		err = errors.Join(err, json.Unmarshal([]byte(text(5+i)), part))
	}
	m.At, _ = time.Parse(time.RFC3339Nano, text(8))
	if err != nil {
		return m, &ecluse.Error{Kind: ecluse.Failed, What: "read marker", Where: m.Slot.String(), Err: err}
	}
	return m, nil
}

// MoveSequences sets AUTOINCREMENT counters, which SQLite keeps in a table.
func (s *session) MoveSequences(ctx context.Context, seqs []ecluse.ShapeSequence) error {
	const what = "move sequences"
	return s.transaction(ctx, what, func() error {
		for _, q := range seqs {
			if !slices.ContainsFunc(s.cat.Sequences, func(h ecluse.Sequence) bool { return h.Name == q.Sequence }) {
				return &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: q.Sequence.String(), Why: "the target has no such sequence"}
			}
			name := q.Sequence.Name
			if _, err := s.conn.Exec(ctx, "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)", name); err != nil {
				return err
			}
			if _, err := s.conn.Exec(ctx, "UPDATE sqlite_sequence SET seq = max(seq, coalesce((SELECT max("+engine.Quote(q.Column)+") FROM "+engine.QuoteTable(q.Table)+"), 0)) WHERE name = ?1", name); err != nil {
				return err
			}
		}
		return nil
	})
}

// End replaces passage and markers by one tombstone. Ending twice with the same
// outcome changes nothing.
func (s *session) End(ctx context.Context, outcome string) error {
	what := "end passage " + s.passage
	return s.transaction(ctx, what, func() error {
		id := []driver.Value{string(s.plan.Migration), s.passage}
		_, there, err := s.recorded(ctx, what)
		if err != nil {
			return err
		}
		if !there {
			over, err := s.conn.One(ctx, "SELECT outcome FROM ecluse_tombstone WHERE migration = ? AND passage = ?", id...)
			if err != nil || over == outcome {
				return err
			}
			return &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "it was never begun here, or ended otherwise"}
		}
		for _, sql := range []string{
			`INSERT INTO ecluse_tombstone (migration, passage, plan, outcome, chunks, at)
				SELECT p.migration, p.passage, p.plan, ?3, (SELECT count(*) FROM ecluse_marker AS m WHERE m.migration = p.migration AND m.passage = p.passage), ?4
				FROM ecluse_passage AS p WHERE p.migration = ?1 AND p.passage = ?2`,
			"DELETE FROM ecluse_marker WHERE migration = ?1 AND passage = ?2",
			"DELETE FROM ecluse_passage WHERE migration = ?1 AND passage = ?2",
		} {
			if _, err := s.conn.Exec(ctx, sql, append(id, outcome, now())...); err != nil {
				return err
			}
		}
		return nil
	})
}

func now() string { return time.Now().UTC().Format(time.RFC3339Nano) }

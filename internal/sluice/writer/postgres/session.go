package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"ecluse"
	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/writer"
)

// session is one connection that writes one passage, for one goroutine at a time.
type session struct {
	conn    *engine.Conn
	plan    *mandate.LoadPlan
	digest  ecluse.Digest
	passage string
}

// Tables of Écluse's own.
const (
	passages = engine.Markers + ".passage"
	markers  = engine.Markers + ".marker"
)

// id is the passage in Écluse's tables.
func (s *session) id(more ...string) []string {
	return append([]string{string(s.plan.Migration), s.passage}, more...)
}

// ours is the condition that finds it.
const ours = "migration = $1 AND passage = $2"

// prepare takes the lock and makes Écluse's tables where they are not there yet.
func (s *session) prepare(ctx context.Context) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	there, err := s.conn.One(ctx, "SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = '"+engine.Markers+"' AND c.relname IN ('passage', 'marker')")
	if err != nil || there == "2" {
		return err
	}
	_, err = s.conn.Exec(ctx, "BEGIN; "+engine.MarkerTables+"COMMIT")
	if refused := engine.Server(err); refused != nil && refused.State == noRight {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: opening, Where: "schema " + engine.Markers, Why: "it is not there, and the account may not make it",
			Next: "have the database's administrator run what `ecluse gate grants DIR load` prints",
		}
	}
	return err
}

// noRight is the SQLSTATE insufficient_privilege.
const noRight = "42501"

// Close frees the migration's lock and disconnects; an open transaction goes.
func (s *session) Close() error { return s.conn.Close() }

// transaction runs f in a transaction. What f did is kept whole or not at all.
func (s *session) transaction(ctx context.Context, what, begin string, f func() error) error {
	_, err := s.conn.Exec(ctx, begin)
	if err == nil {
		err = f()
	}
	if err == nil {
		// Once asked for, its outcome is waited for: an error here would leave in
		// doubt what the caller can know.
		_, err = s.conn.Exec(context.WithoutCancel(ctx), "COMMIT")
	}
	if err == nil {
		return nil
	}
	// A lost connection is rolled back by the server.
	_, _ = s.conn.Exec(context.WithoutCancel(ctx), "ROLLBACK")
	var own *callersError
	if errors.As(err, &own) {
		return own.err
	}
	return engine.Wrap(ctx, what, "", err)
}

// readWrite begins a transaction whatever the account's default.
const readWrite = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"

// callersError is an error of a function that the caller gave: it goes back as it
// is.
type callersError struct{ err error }

func (e *callersError) Error() string { return e.err.Error() }

func callers(err error) error {
	if err == nil {
		return nil
	}
	return &callersError{err}
}

// beforeConns is how many connections the sums of before are taken on.
const beforeConns = 2

// Begin records the passage with the sums taken before its first row.
func (s *session) Begin(ctx context.Context, before func(context.Context, reader.Scanner) ([]byte, error)) (recorded []byte, begun bool, err error) {
	what := "begin passage " + s.passage
	err = s.transaction(ctx, what, "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE", func() error {
		var there bool
		if recorded, there, err = s.recorded(ctx, what); err != nil || there {
			return err
		}
		scanner, err := engine.ShareSnapshot(ctx, s.conn, beforeConns)
		if err != nil {
			return err
		}
		defer scanner.Close()
		if recorded, err = before(ctx, scanner); err != nil {
			return callers(err)
		}
		begun = true
		return s.conn.Each(ctx, "INSERT INTO "+passages+" (migration, passage, plan, before) VALUES ($1, $2, $3, $4)", nil,
			s.id(s.digest.String(), string(recorded))...)
	})
	if err != nil {
		return nil, false, err
	}
	return recorded, begun, nil
}

// recorded reads what Begin recorded of this passage, and refuses one that is
// over.
func (s *session) recorded(ctx context.Context, what string) (before []byte, there bool, err error) {
	plan, ended := "", ""
	err = s.conn.Each(ctx, "SELECT plan, before, ended FROM "+passages+" WHERE "+ours, func(v []string) error {
		plan, before, ended, there = v[0], []byte(v[1]), v[2], true
		return nil
	}, s.id()...)
	switch {
	case err != nil || !there:
	case ended != "":
		err = &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "it is over in this target", Next: "begin another passage"}
	case plan != s.digest.String():
		err = &ecluse.Error{Kind: ecluse.Differs, What: what, Why: "it was begun under another load plan, " + plan, Next: "undo it, or go on with the plan it was begun with"}
	}
	return before, there, err
}

// markerColumns are those of writer.Marker.
const markerColumns = `dataset, sequence, version, position, reading, counters, refused, rows, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`

// Markers lists the chunks that are in.
func (s *session) Markers(ctx context.Context) ([]writer.Marker, error) {
	out, err := s.markers(ctx, "")
	return out, engine.Wrap(ctx, "read markers", "", err)
}

func (s *session) markers(ctx context.Context, and string, args ...string) ([]writer.Marker, error) {
	var out []writer.Marker
	err := s.conn.Each(ctx, "SELECT "+markerColumns+" FROM "+markers+" WHERE "+ours+and+" ORDER BY position", func(v []string) error {
		m, err := markerOf(v)
		out = append(out, m)
		return err
	}, s.id(args...)...)
	return out, err
}

// bySlot finds one marker.
const bySlot = " AND dataset = $3 AND sequence = $4 AND version = $5"

func slotArgs(slot ecluse.Slot) []string {
	return []string{string(slot.Dataset), strconv.Itoa(slot.Sequence), strconv.Itoa(slot.Version)}
}

// stored is the marker of a slot that is in, else nil.
func (s *session) stored(ctx context.Context, slot ecluse.Slot) (*writer.Marker, error) {
	m, err := s.markers(ctx, bySlot, slotArgs(slot)...)
	if err != nil || len(m) == 0 {
		return nil, err
	}
	return &m[0], nil
}

func markerOf(v []string) (writer.Marker, error) {
	m := writer.Marker{Slot: ecluse.Slot{Dataset: ecluse.DatasetID(v[0])}}
	var err error
	for i, n := range []*int{&m.Slot.Sequence, &m.Slot.Version, &m.Position, &m.Reading} {
		var one error
		*n, one = strconv.Atoi(v[1+i])
		err = errors.Join(err, one)
	}
	for i, part := range []any{&m.Counters, &m.Refused, &m.Rows} {
		err = errors.Join(err, json.Unmarshal([]byte(v[5+i]), part))
	}
	at, one := time.Parse(time.RFC3339Nano, v[8])
	m.At = at
	if err = errors.Join(err, one); err != nil {
		return m, &ecluse.Error{Kind: ecluse.Failed, What: "read marker", Where: m.Slot.String(), Why: "it is damaged", Err: err}
	}
	return m, nil
}

// End replaces the passage's markers by one tombstone. Ending twice with the same
// outcome changes nothing.
func (s *session) End(ctx context.Context, outcome string) error {
	what := "end passage " + s.passage
	return s.transaction(ctx, what, readWrite, func() error {
		ended := ""
		err := s.conn.Each(ctx, "SELECT outcome FROM "+passages+" WHERE "+ours+" FOR UPDATE", func(v []string) error { ended = v[0]; return nil }, s.id()...)
		if err != nil || ended == outcome {
			return err
		}
		if ended != "" {
			return &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "it ended otherwise: " + ended}
		}
		err = s.conn.Each(ctx, "DELETE FROM "+markers+" WHERE "+ours, nil, s.id()...)
		if err != nil {
			return err
		}
		n, err := s.conn.One(ctx, "UPDATE "+passages+" SET ended = now(), outcome = $3, before = NULL WHERE "+ours+" RETURNING 1", s.id(outcome)...)
		if err == nil && n == "" {
			err = &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "it was never begun here"}
		}
		return err
	})
}

// Package postgres writes into a new laboratory's PostgreSQL database. A chunk is
// one transaction over all its tables, through COPY; its marker lies in the same
// database, in a schema of Écluse's own. Snapshots for reading back are exported
// to as many connections as asked for.
package postgres

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"ecluse"
	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// Target is a new PostgreSQL database.
type Target struct {
	config engine.Config
}

var _ writer.Target = (*Target)(nil)

// New names a target. It connects to nothing yet.
func New(c engine.Config) *Target { return &Target{c} }

// Catalogue reads structure, Écluse's own schema left out.
func (t *Target) Catalogue(ctx context.Context) (*ecluse.Catalogue, error) {
	conn, err := engine.Connect(ctx, t.config)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return engine.Catalogue(ctx, conn)
}

// Rows reads a small table whole, in the order of its primary key's bytes. More
// than limit rows are refused.
func (t *Target) Rows(ctx context.Context, table ecluse.TableName, columns []string, limit int) (*record.Batch, error) {
	s, err := engine.OpenSnapshot(ctx, t.config, 1)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Rows(ctx, table, columns, limit)
}

// Snapshot opens a read-back on conns connections.
func (t *Target) Snapshot(ctx context.Context, conns int) (reader.Scanner, error) {
	s, err := engine.OpenSnapshot(ctx, t.config, conns)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Same takes an advisory lock here and tries it there: such a lock is one database's. A
// copy of a whole server, which has its identifiers too, is another database.
func (t *Target) Same(ctx context.Context, other writer.Target) (bool, error) {
	o, ok := other.(*Target)
	if !ok {
		return false, nil
	}
	const comparing = "compare two databases"
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	key := int64(binary.BigEndian.Uint64(random[:]))
	here, err := engine.Connect(ctx, t.config)
	if err != nil {
		return false, err
	}
	defer here.Close()
	// In a transaction: a pooler between them keeps it on one connection.
	if _, err := here.Exec(ctx, fmt.Sprintf("BEGIN; SELECT pg_advisory_xact_lock(%d)", key)); err != nil {
		return false, engine.Wrap(ctx, comparing, t.config.String(), err)
	}
	there, err := engine.Connect(ctx, o.config)
	if err != nil {
		return false, err
	}
	defer there.Close()
	got, err := there.One(ctx, fmt.Sprintf("SELECT pg_try_advisory_xact_lock(%d)", key))
	if err != nil {
		return false, engine.Wrap(ctx, comparing, o.config.String(), err)
	}
	return got != "t", nil
}

// Close has nothing to close: sessions and snapshots have their own connections.
func (t *Target) Close() error { return nil }

// Open prepares a passage and takes the migration's lock, which ends with the
// session's connection.
func (t *Target) Open(ctx context.Context, p mandate.LoadPermit) (writer.Session, error) {
	plan := p.Plan()
	switch {
	case plan == nil:
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: opening, Why: "there is no permit to load", Article: "GDPR art. 29"}
	case plan.Target.Engine != ecluse.PostgreSQL:
		return nil, &ecluse.Error{Kind: ecluse.Differs, What: opening, Why: "the plan was compiled for " + string(plan.Target.Engine)}
	}
	conn, err := engine.Connect(ctx, t.config)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, plan: plan, digest: p.Digest(), passage: p.Passage().String()}
	if err := s.prepare(ctx); err != nil {
		_ = conn.Close()
		return nil, engine.Wrap(ctx, opening, t.config.String(), err)
	}
	return s, nil
}

const opening = "open target"

// A server notices that a connection is gone a little after its client does.
const (
	lockPatience = 5 * time.Second
	lockAgain    = 50 * time.Millisecond
)

// lock takes the one right to write passages of the migration.
func (s *session) lock(ctx context.Context) error {
	digest := ecluse.DigestOf([]byte("ecluse " + string(s.plan.Migration)))
	try := fmt.Sprintf("SELECT pg_try_advisory_lock(%d)", int64(binary.BigEndian.Uint64(digest[:8])))
	for deadline := time.Now().Add(lockPatience); ; {
		got, err := s.conn.One(ctx, try)
		switch {
		case err != nil:
			return err
		case got == "t":
			return nil
		case time.Now().After(deadline):
			return &ecluse.Error{
				Kind: ecluse.Refused, What: opening, Where: s.conn.Config().String(), Why: "another session writes this migration into it",
				Next: "wait for it to end, or end the process that holds it",
			}
		}
		select {
		case <-time.After(lockAgain):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

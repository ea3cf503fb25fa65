// Package sqlite reads an old laboratory's SQLite file. The file is opened
// read-only and never taken for immutable; one read transaction is one epoch, so
// that all chunks and checks of an epoch see the file at one instant. In
// rollback-journal mode the laboratory's software cannot commit meanwhile; in WAL
// mode it can.
package sqlite

import (
	"context"
	"slices"
	"time"

	"ecluse"
	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

// Source is a SQLite file. SQLite has no accounts: whoever can open the file can
// read all of it, which Privileges says.
type Source struct {
	path string
}

var _ reader.Source = (*Source)(nil)

// New is the source at path. Nothing is opened yet.
func New(path string) *Source { return &Source{path: path} }

// Catalogue reads names, types and keys.
func (s *Source) Catalogue(ctx context.Context) (*ecluse.Catalogue, error) {
	c, err := engine.Open(ctx, s.path, engine.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return engine.Catalogue(ctx, c)
}

// Estimates are what ANALYZE left in the file.
func (s *Source) Estimates(ctx context.Context) (map[ecluse.TableName]int64, error) {
	c, err := engine.Open(ctx, s.path, engine.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return engine.Estimates(ctx, c)
}

// Close has nothing to close: every session has its own connection.
func (s *Source) Close() error { return nil }

// Open begins an epoch: a read transaction that lasts until the session closes.
func (s *Source) Open(ctx context.Context, p mandate.ReadPermit) (reader.Session, error) {
	plan := p.Plan()
	if plan == nil {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "open source", Why: "there is no permit to read", Article: "GDPR art. 29"}
	}
	if plan.Source.Engine != ecluse.SQLite {
		return nil, &ecluse.Error{Kind: ecluse.Differs, What: "open source", Why: "the plan was compiled for " + string(plan.Source.Engine)}
	}
	c, err := engine.Open(ctx, s.path, engine.ReadOnly)
	if err != nil {
		return nil, err
	}
	session := &session{conn: c, plan: plan, throttle: reader.NewThrottle(plan.Limits.QueriesPerSecond), batches: map[ecluse.DatasetID]*record.Batch{}}
	// The snapshot begins with the first read, not with BEGIN.
	if _, err = c.Exec(ctx, "BEGIN"); err == nil {
		session.begun = time.Now().UTC()
		_, err = c.One(ctx, "SELECT count(*) FROM sqlite_schema")
	}
	if err != nil {
		c.Close()
		return nil, engine.Strip("begin epoch", s.path, err)
	}
	return session, nil
}

// session is one read transaction, for one goroutine at a time.
type session struct {
	conn     *engine.Conn
	plan     *mandate.ReadPlan
	throttle *reader.Throttle
	begun    time.Time
	batches  map[ecluse.DatasetID]*record.Batch // used again chunk after chunk
}

// Privileges says that everything is readable, and that nothing can be written
// through this connection.
func (s *session) Privileges(ctx context.Context) (*reader.Privileges, error) {
	c, err := engine.Catalogue(ctx, s.conn)
	if err != nil {
		return nil, err
	}
	p := &reader.Privileges{
		Account: "none (SQLite has no accounts; the file was opened read-only)", At: s.begun, Epoch: s.plan.Consistency,
		Readable: make(map[ecluse.TableName][]string, len(c.Tables)), Whole: true,
	}
	for _, t := range c.Tables {
		names := make([]string, len(t.Columns))
		for i := range t.Columns {
			names[i] = t.Columns[i].Name
		}
		slices.Sort(names)
		p.Readable[t.Name] = names
	}
	return p, nil
}

// Check counts one of the plan's checks inside the epoch.
func (s *session) Check(ctx context.Context, name string) (*record.Batch, error) {
	for i := range s.plan.Checks {
		if s.plan.Checks[i].Name != name {
			continue
		}
		f, err := engine.SourceFigures(s.plan, &s.plan.Checks[i])
		if err != nil {
			return nil, err
		}
		if err := s.throttle.Wait(ctx); err != nil {
			return nil, engine.Strip("count check "+name, "", err)
		}
		return f.Run(ctx, s.conn, "count check "+name)
	}
	return nil, &ecluse.Error{Kind: ecluse.Refused, What: "count check " + name, Why: "the plan has no such check", Article: "GDPR art. 29"}
}

// Load refuses: a file has no server to ask. No plan for SQLite asks for it.
func (s *session) Load(context.Context) (int, error) {
	return 0, &ecluse.Error{Kind: ecluse.Refused, What: "ask who is at work", Why: "a file has no server"}
}

// Close ends the transaction and disconnects.
func (s *session) Close() error { return s.conn.Close() }

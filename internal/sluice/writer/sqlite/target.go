// Package sqlite writes into a new laboratory's SQLite file. A chunk is one
// transaction, durable before Load returns; its marker lies in the same file
// (tables ecluse_passage, ecluse_marker, ecluse_tombstone). The file's journal
// mode is left as it is: in rollback-journal mode a snapshot being read keeps a
// chunk from being committed.
package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// Target is a SQLite file.
type Target struct {
	path string
}

var _ writer.Target = (*Target)(nil)

// New is the target at path. Nothing is opened yet.
func New(path string) *Target { return &Target{path: path} }

// Same tells whether both paths lead to one file, through links of whatever kind.
func (t *Target) Same(_ context.Context, other writer.Target) (bool, error) {
	o, ok := other.(*Target)
	if !ok {
		return false, nil
	}
	var files [2]os.FileInfo
	for i, path := range []string{t.path, o.path} {
		var err error
		if files[i], err = os.Stat(path); err != nil {
			return false, &ecluse.Error{Kind: ecluse.Failed, What: "compare two databases", Where: path, Err: err, Next: "see that the file is there and can be read"}
		}
	}
	return os.SameFile(files[0], files[1]), nil
}

// Catalogue reads structure, Écluse's own tables left out.
func (t *Target) Catalogue(ctx context.Context) (*ecluse.Catalogue, error) {
	c, err := engine.Open(ctx, t.path, engine.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return engine.Catalogue(ctx, c)
}

// Rows reads a small table whole, in the order of its primary key, or of the
// columns when it has none. More than limit rows are refused.
func (t *Target) Rows(ctx context.Context, table ecluse.TableName, columns []string, limit int) (*record.Batch, error) {
	c, err := engine.Open(ctx, t.path, engine.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	cat, err := engine.Catalogue(ctx, c)
	if err != nil {
		return nil, err
	}
	what := "read table " + table.String()
	r, err := readingOf(cat, what, table, columns)
	if err != nil {
		return nil, err
	}
	by := r.table.PrimaryKey
	if len(by) == 0 {
		by = columns
	}
	order := make([]string, len(by))
	for i, k := range by {
		order[i] = "t." + engine.Quote(k) + " COLLATE BINARY"
	}
	b := record.NewBatch(r.schema, 0)
	err = c.Each(ctx, func(v []driver.Value) error {
		if b.Rows() == limit {
			return &ecluse.Error{Kind: ecluse.Refused, What: what, Why: fmt.Sprintf("it has more than %d rows", limit), Next: "look codes up in a smaller table, or raise the mapping's ceiling"}
		}
		return r.decode(b, v, int64(b.Rows())+1)
	}, r.sql+" ORDER BY "+strings.Join(order, ", "))
	if err != nil {
		return nil, engine.Strip(what, "", err)
	}
	return b, nil
}

// Snapshot opens a read transaction for reading back. SQLite reads on one
// connection, whatever conns is.
func (t *Target) Snapshot(ctx context.Context, _ int) (reader.Scanner, error) {
	c, err := engine.Open(ctx, t.path, engine.ReadOnly)
	if err != nil {
		return nil, err
	}
	if _, err = c.Exec(ctx, "BEGIN"); err != nil {
		c.Close()
		return nil, engine.Strip("open snapshot", t.path, err)
	}
	s, err := newScanner(ctx, c)
	if err != nil {
		c.Close()
		return nil, err
	}
	s.owned = true
	return s, nil
}

// Close has nothing to close: sessions and snapshots have their own connections.
func (t *Target) Close() error { return nil }

// Open prepares a passage and holds the target's lock until the session closes or
// its process ends.
func (t *Target) Open(ctx context.Context, p mandate.LoadPermit) (writer.Session, error) {
	const what = "open target"
	plan := p.Plan()
	if plan == nil {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "there is no permit to load", Article: "GDPR art. 29"}
	}
	if plan.Target.Engine != ecluse.SQLite {
		return nil, &ecluse.Error{Kind: ecluse.Differs, What: what, Why: "the plan was compiled for " + string(plan.Target.Engine)}
	}
	lock, err := t.lock(ctx)
	if err != nil {
		return nil, err
	}
	c, err := engine.Open(ctx, t.path, engine.ReadWrite)
	if err != nil {
		lock.Close()
		return nil, err
	}
	s := &session{conn: c, lock: lock, plan: plan, digest: p.Digest(), passage: p.Passage().String(), inserts: map[string]*engine.Stmt{}}
	if err := s.prepare(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// lock takes the one right to write passages into the file: a transaction that
// stays open in an empty database of its own beside it, so that the system frees
// it when the process dies, and the laboratory's software is not kept out.
func (t *Target) lock(ctx context.Context) (*engine.Conn, error) {
	const what = "lock target"
	path := t.path + "-ecluse-lock"
	// A file that exists is not opened here: closing it would free, on POSIX, a
	// lock that another session of this very process holds on it.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	switch {
	case err == nil:
		f.Close()
	case !errors.Is(err, fs.ErrExist):
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: what, Where: path, Err: err, Next: "give the account the right to write the file's folder"}
	}
	c, err := engine.Open(ctx, path, engine.ReadWrite)
	if err != nil {
		return nil, err
	}
	if _, err = c.Exec(ctx, "PRAGMA busy_timeout=0; BEGIN IMMEDIATE"); err == nil {
		return c, nil
	}
	c.Close()
	if engine.IsBusy(err) {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: what, Where: t.path, Why: "another session writes into it",
			Next: "wait for it to end, or end the process that holds it",
		}
	}
	return nil, engine.Strip(what, path, err)
}

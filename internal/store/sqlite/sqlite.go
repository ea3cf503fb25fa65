// Package sqlite keeps the control database in one SQLite file, control.db, and
// the documents it speaks of in a folder beside it, each under its SHA-256.
//
// Do is the only way to change anything: a change and its journal entry are one
// transaction. (Heads, cosignatures, the clock and when a session was last used
// are not changes of anything the journal could speak of.) A write has returned
// when it is on the disk: WAL, synchronous=FULL. A file of documents is durable
// before the row that names it; a crash between the two leaves a file that no row
// names, which Orphans finds.
//
// Several processes may have the same folder open. Within one, Do must not be
// called from inside Do: it would wait for itself.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/due"
	"ecluse/internal/durable"
	"ecluse/internal/journal"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	fileName   = "control.db"
	docsFolder = "documents"
)

// Store is an open control database.
type Store struct {
	reads
	write, read *sql.DB
}

// Tx is a transaction of Do. It reads what it has written.
type Tx struct {
	reads
	now    time.Time
	behind time.Duration
	also   []journal.Event
}

// reads is what Store and Tx have in common.
type reads struct {
	q    querier
	docs string
}

type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Create makes a new control database in a folder, with its first event. It
// refuses a folder that has one.
func Create(ctx context.Context, dir string, roots map[ecluse.Side]ecluse.Fingerprint) (*Store, error) {
	path := filepath.Join(dir, fileName)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "make control database", Where: dir, Why: "there is one already", Err: err}
	}
	if err := durable.Mkdir(filepath.Join(dir, docsFolder)); err != nil {
		return nil, failed("make control database", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, failed("make control database", err)
	}
	if err := f.Close(); err != nil {
		return nil, failed("make control database", err)
	}
	s, err := open(ctx, dir)
	if err != nil {
		return nil, err
	}
	err = s.Do(ctx, journal.Event{
		Tree: evidence.InstallationTree, Type: journal.Created,
		IDs: map[string]string{"controller": string(roots[ecluse.Controller]), "processor": string(roots[ecluse.Processor])},
	}, func(tx *Tx) error {
		return tx.Schedule(ctx, ecluse.Digest{}, due.Item{Kind: due.Forget, At: tx.now.Add(due.BodyLife)}, due.Item{Kind: due.Hunt, At: tx.now.Add(due.HuntEvery)})
	})
	if err == nil {
		err = durable.SyncDir(dir)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Open opens the control database of a folder, never making one by accident.
func Open(ctx context.Context, dir string) (*Store, error) {
	if _, err := os.Stat(filepath.Join(dir, fileName)); err != nil {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: "open control database", Where: dir, Why: "there is none in this folder",
			Next: "name the folder of a lock, or make one with `ecluse init`", Err: err,
		}
	}
	if err := durable.Sweep(filepath.Join(dir, docsFolder)); err != nil {
		return nil, failed("open control database", err)
	}
	return open(ctx, dir)
}

// unusedReading is how long a connection is kept that nothing is read through: a gate
// that waits for work looks twice a minute.
const unusedReading = 10 * time.Second

func open(ctx context.Context, dir string) (_ *Store, err error) {
	s := &Store{}
	defer func() {
		if err != nil {
			err = errors.Join(failed("open control database", err), s.Close())
		}
	}()
	if s.write, err = sql.Open("sqlite", dsn(dir, "_txlock=immediate")); err != nil {
		return nil, err
	}
	s.write.SetMaxOpenConns(1) // SQLite has one writer; waiting here is fair and cheap
	if s.read, err = sql.Open("sqlite", dsn(dir, "_pragma=query_only(1)")); err != nil {
		return nil, err
	}
	s.read.SetMaxOpenConns(4)
	s.read.SetMaxIdleConns(1)                // one costs some 400 KiB, its statements with it
	s.read.SetConnMaxIdleTime(unusedReading) // s.write stays: the last connection to leave takes the WAL away
	s.reads = reads{q: &statements{DB: s.read}, docs: filepath.Join(dir, docsFolder)}
	return s, s.migrate(ctx)
}

func dsn(dir, more string) string {
	// busy_timeout first: setting the journal mode may have to wait too.
	// cache_size: a server has many laboratories open, each in up to five
	// connections; the system's cache has the pages too. In pages; SQLite takes no
	// fewer.
	// secure_delete: what retention takes is overwritten, not just unlinked.
	return "file:" + (&url.URL{Path: filepath.ToSlash(filepath.Join(dir, fileName))}).EscapedPath() +
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=secure_delete(1)&_pragma=cache_size(10)&" + more
}

// migrate brings the schema to this program's version, and refuses one that a
// newer program made.
func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.write, files)
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > want {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "open control database",
			Why:  fmt.Sprintf("it has version %d, this program knows %d", have, want),
			Next: "use the program that made it, or a newer one",
		}
	}
	if have < want {
		_, err = p.Up(ctx)
	}
	return failed("open control database", err)
}

// Close closes the database.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.read, s.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// Do makes a change and journals it, both or neither. The event is read after
// fn has returned, so fn may fill its maps with what it has found. A nil fn only
// journals.
func (s *Store) Do(ctx context.Context, e journal.Event, fn func(*Tx) error) error {
	return s.do(ctx, func(tx *Tx) error {
		if fn != nil {
			if err := fn(tx); err != nil {
				return err
			}
		}
		for _, e := range append([]journal.Event{e}, tx.also...) {
			if _, err := journal.Append(ctx, trees{tx.reads}, e, tx.now); err != nil {
				return err
			}
		}
		return nil
	})
}

// Note makes changes that have no entry of their own, together: what is asked of gates and
// answered, how far what is carried has come. What comes of them is journalled, by Do.
func (s *Store) Note(ctx context.Context, fn func(*Tx) error) error { return s.do(ctx, fn) }

// do is a transaction with the clock looked at.
func (s *Store) do(ctx context.Context, fn func(*Tx) error) (err error) {
	t, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return failed("begin transaction", err)
	}
	defer func() {
		if rollback := t.Rollback(); err == nil && !errors.Is(rollback, sql.ErrTxDone) {
			err = failed("take back a transaction", rollback)
		}
	}()
	tx := &Tx{reads: reads{q: t, docs: s.docs}}
	if err = tx.look(ctx); err != nil {
		return err
	}
	if err = fn(tx); err != nil {
		return err
	}
	if err = t.Commit(); err != nil {
		return failed("commit", err)
	}
	return nil
}

// Also journals another event in the same transaction, after Do's own: what
// happens to a migration may be the installation's business too.
func (tx *Tx) Also(e journal.Event) { tx.also = append(tx.also, e) }

// Now is the transaction's time, never before a time already seen.
func (tx *Tx) Now() time.Time { return tx.now }

// clock reads the high-water clock as it was left, and shows it the machine's
// time.
func (r reads) clock(ctx context.Context) (was, is due.Clock, back time.Duration, err error) {
	var high, behind int64
	if err := r.q.QueryRowContext(ctx, `SELECT high, behind FROM clock`).Scan(&high, &behind); err != nil {
		return was, is, 0, failed("read the clock", err)
	}
	was = due.Clock{High: instant(high), Behind: time.Duration(behind) * time.Millisecond}
	is, back = was.Look(time.Now())
	is.High = is.High.Truncate(time.Millisecond)
	return was, is, back, nil
}

// look sets the transaction's time and keeps it; a clock found set back is
// journalled.
func (tx *Tx) look(ctx context.Context) error {
	was, is, back, err := tx.clock(ctx)
	if err != nil {
		return err
	}
	tx.now, tx.behind = is.High, is.Behind
	if is != was {
		_, err := tx.q.ExecContext(ctx, `UPDATE clock SET high = ?, behind = ?`, millis(is.High), is.Behind.Milliseconds())
		if err != nil {
			return failed("keep the clock", err)
		}
	}
	if back == 0 {
		return nil
	}
	e := journal.Event{Tree: evidence.InstallationTree, Type: journal.ClockBack, Numbers: map[string]int64{"seconds": int64(back.Seconds())}}
	_, err = journal.Append(ctx, trees{tx.reads}, e, tx.now)
	return err
}

// Now is the time, never before a time already seen, and how far the machine's
// clock stands behind it since it was set back. It is kept to the second.
func (s *Store) Now(ctx context.Context) (now time.Time, behind time.Duration, err error) {
	return s.nowTo(ctx, time.Second)
}

// nowTo is Now, kept only when it has gone on by within, or was set back.
func (s *Store) nowTo(ctx context.Context, within time.Duration) (now time.Time, behind time.Duration, err error) {
	was, is, back, err := s.clock(ctx)
	if err != nil {
		return now, 0, err
	}
	if back == 0 && is.High.Sub(was.High) < within {
		return is.High, is.Behind, nil
	}
	err = s.do(ctx, func(tx *Tx) error {
		now, behind = tx.now, tx.behind
		return nil
	})
	return now, behind, err
}

// missing is the error for a row that is not there.
func missing(what, name string) error {
	return &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: name, Why: "there is none", Err: fs.ErrNotExist}
}

// millis and instant are how times are kept; the zero time is 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// query reads rows of one kind.
func query[T any](ctx context.Context, q querier, scan func(*sql.Rows) (T, error), text string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, failed("read control database", err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, failed("read control database", err)
		}
		all = append(all, one)
	}
	return all, failed("read control database", rows.Err())
}

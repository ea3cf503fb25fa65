package sqlite

import (
	"context"
	"database/sql"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/due"
	"ecluse/internal/store"
)

// AskLease keeps the target gate's request for the release secret, and schedules
// its end. Posting the same request twice is once.
func (tx *Tx) AskLease(ctx context.Context, m ecluse.MigrationID, request evidence.Signed, until time.Time) error {
	_, err := tx.q.ExecContext(
		ctx, `INSERT INTO lease (request, migration, request_text, request_signature, asked, until) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		request.Digest().String(), string(m), request.Body, request.Signature, millis(tx.now), millis(until),
	)
	if err != nil {
		return failed("ask for a lease", err)
	}
	return tx.Schedule(ctx, ecluse.Digest{}, due.ForLease(m, request.Digest(), until))
}

// LendLease keeps the source gate's sealed answer until the lease ends.
func (tx *Tx) LendLease(ctx context.Context, m ecluse.MigrationID, request ecluse.Digest, answer evidence.Signed) error {
	all, err := tx.Leases(ctx, m)
	if err != nil {
		return err
	}
	for _, l := range all {
		if l.Request.Digest() != request {
			continue
		}
		if !l.Ended.IsZero() || !l.Until.After(tx.now) {
			return &ecluse.Error{Kind: ecluse.Refused, What: "lend the release secret", Where: string(m), Why: "the request has ended"}
		}
		_, err := tx.q.ExecContext(
			ctx, `UPDATE lease SET answer_text = ?, answer_signature = ? WHERE request = ? AND answer_text IS NULL`,
			answer.Body, answer.Signature, request.String(),
		)
		return failed("lend the release secret", err)
	}
	return missing("find the request for a lease", request.String())
}

// EndLease forgets the answer to a request.
func (tx *Tx) EndLease(ctx context.Context, request ecluse.Digest) error {
	_, err := tx.q.ExecContext(
		ctx, `UPDATE lease SET ended = ?, answer_text = NULL, answer_signature = NULL WHERE request = ? AND ended = 0`,
		millis(tx.now), request.String(),
	)
	return failed("end lease", err)
}

// Leases lists the requests of a migration and what was answered, the oldest
// first.
func (r reads) Leases(ctx context.Context, m ecluse.MigrationID) ([]store.Lease, error) {
	return query(ctx, r.q, func(rows *sql.Rows) (l store.Lease, err error) {
		var asked, until, ended int64
		err = rows.Scan(&l.Migration, &l.Request.Body, &l.Request.Signature, &l.Answer.Body, &l.Answer.Signature, &asked, &until, &ended)
		l.Asked, l.Until, l.Ended = instant(asked), instant(until), instant(ended)
		return l, err
	}, `SELECT migration, request_text, request_signature, answer_text, answer_signature, asked, until, ended
	      FROM lease WHERE migration = ? ORDER BY asked, request`, string(m))
}

// OpenLeases lists the requests, of all migrations, that nobody has answered.
func (r reads) OpenLeases(ctx context.Context) ([]store.Lease, error) {
	return query(ctx, r.q, func(rows *sql.Rows) (l store.Lease, err error) {
		var asked, until int64
		err = rows.Scan(&l.Migration, &l.Request.Body, &l.Request.Signature, &asked, &until)
		l.Asked, l.Until = instant(asked), instant(until)
		return l, err
	}, `SELECT migration, request_text, request_signature, asked, until FROM lease WHERE ended = 0 AND answer_text IS NULL ORDER BY asked, request`)
}

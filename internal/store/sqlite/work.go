package sqlite

import (
	"context"
	"database/sql"
	"time"

	"ecluse"
	"ecluse/internal/store"
)

// AskWork keeps what is asked of a gate, in the transaction of what made it
// necessary. What two ask at once under one id is asked once.
func (tx *Tx) AskWork(ctx context.Context, w store.Work) error {
	_, err := tx.q.ExecContext(
		ctx, `INSERT INTO work (id, gate, migration, verb, text, asked) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		w.ID, string(w.Gate), string(w.Migration), w.Verb, w.Text, millis(tx.now),
	)
	return failed("ask a gate", err)
}

// AskWork keeps what is asked of a gate and changes nothing else.
func (s *Store) AskWork(ctx context.Context, w store.Work) error {
	return s.do(ctx, func(tx *Tx) error { return tx.AskWork(ctx, w) })
}

// EndWork keeps a gate's answer, or withdraws what was asked (nil), and drops the papers
// that came with it: nobody reads them any more. It tells whether it was open.
func (tx *Tx) EndWork(ctx context.Context, id string, answer []byte) (bool, error) {
	r, err := tx.q.ExecContext(ctx, `UPDATE work SET ended = ?, answer = ?,
	     text = CAST(json_remove(CAST(text AS TEXT), '$.papers', '$.signed') AS BLOB) WHERE id = ? AND ended = 0`, millis(tx.now), answer, id)
	if err != nil {
		return false, failed("end a gate's work", err)
	}
	n, err := r.RowsAffected()
	return n > 0, failed("end a gate's work", err)
}

// EndWork keeps a gate's answer and changes nothing else.
func (s *Store) EndWork(ctx context.Context, id string, answer []byte) (open bool, err error) {
	err = s.do(ctx, func(tx *Tx) error {
		open, err = tx.EndWork(ctx, id, answer)
		return err
	})
	return open, err
}

// TakeWork forgets something asked that was answered, in the transaction of what comes of
// it. It tells whether it was there: of two who take an answer, one does.
func (tx *Tx) TakeWork(ctx context.Context, id string) (bool, error) {
	r, err := tx.q.ExecContext(ctx, `DELETE FROM work WHERE id = ? AND ended > 0`, id)
	if err != nil {
		return false, failed("forget a gate's answer", err)
	}
	n, err := r.RowsAffected()
	return n > 0, failed("forget a gate's answer", err)
}

// ForgetWork removes what ended before a time: answers are for whoever asked.
func (s *Store) ForgetWork(ctx context.Context, before time.Time) error {
	return s.do(ctx, func(tx *Tx) error {
		_, err := tx.q.ExecContext(ctx, `DELETE FROM work WHERE ended > 0 AND ended < ?`, millis(before))
		return failed("forget gates' answers", err)
	})
}

const workColumns = `SELECT id, gate, migration, verb, text, asked, ended, answer FROM work `

func scanWork(rows *sql.Rows) (w store.Work, err error) {
	var asked, ended int64
	err = rows.Scan(&w.ID, &w.Gate, &w.Migration, &w.Verb, &w.Text, &asked, &ended, &w.Answer)
	w.Asked, w.Ended = instant(asked), instant(ended)
	return w, err
}

// OpenWork lists what is asked of a gate and not answered, the oldest first. An
// empty gate is every gate.
func (r reads) OpenWork(ctx context.Context, gate ecluse.Fingerprint) ([]store.Work, error) {
	return query(ctx, r.q, scanWork, workColumns+`WHERE ended = 0 AND (gate = ?1 OR ?1 = '') ORDER BY asked, id`, string(gate))
}

// WorkOf lists what was asked about a migration, the oldest first.
func (r reads) WorkOf(ctx context.Context, m ecluse.MigrationID) ([]store.Work, error) {
	return query(ctx, r.q, scanWork, workColumns+`WHERE migration = ? ORDER BY asked, id`, string(m))
}

// Work finds something asked by its id.
func (r reads) Work(ctx context.Context, id string) (*store.Work, error) {
	all, err := query(ctx, r.q, scanWork, workColumns+`WHERE id = ?`, id)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, missing("find a gate's work", id)
	}
	return &all[0], nil
}

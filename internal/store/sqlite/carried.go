package sqlite

import (
	"context"
	"database/sql"

	"ecluse"
	"ecluse/internal/store"
)

// Carried is how far carrying to a gate and back has come; zero before it began.
func (r reads) Carried(ctx context.Context, gate ecluse.Fingerprint) (store.Carried, error) {
	all, err := query(ctx, r.q, func(rows *sql.Rows) (c store.Carried, err error) {
		return c, rows.Scan(&c.Number, &c.Came, &c.Items, &c.Digest)
	}, `SELECT number, came, items, digest FROM carried WHERE gate = ?`, string(gate))
	if err != nil || len(all) == 0 {
		return store.Carried{}, err
	}
	return all[0], nil
}

// SetCarried keeps how far it has come.
func (tx *Tx) SetCarried(ctx context.Context, gate ecluse.Fingerprint, c store.Carried) error {
	_, err := tx.q.ExecContext(
		ctx, `INSERT INTO carried VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET number = ?2, came = ?3, items = ?4, digest = ?5`,
		string(gate), c.Number, c.Came, c.Items, append([]byte{}, c.Digest...),
	)
	return failed("note what was carried", err)
}

// SetCarried keeps how far it has come and changes nothing else.
func (s *Store) SetCarried(ctx context.Context, gate ecluse.Fingerprint, c store.Carried) error {
	return s.do(ctx, func(tx *Tx) error { return tx.SetCarried(ctx, gate, c) })
}

// TakeWork forgets something asked that was answered: whoever asked has its answer.
func (s *Store) TakeWork(ctx context.Context, id string) error {
	return s.do(ctx, func(tx *Tx) error {
		_, err := tx.q.ExecContext(ctx, `DELETE FROM work WHERE id = ? AND ended > 0`, id)
		return failed("forget a gate's answer", err)
	})
}

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

// CarriedOut keeps the number of the last dispatch, and nothing of what came in.
func (tx *Tx) CarriedOut(ctx context.Context, gate ecluse.Fingerprint, number int64) error {
	_, err := tx.q.ExecContext(
		ctx, `INSERT INTO carried (gate, number) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET number = ?2`,
		string(gate), number,
	)
	return failed("note what was carried", err)
}

// CarriedIn keeps how far what came in was taken, and no number of a dispatch.
func (tx *Tx) CarriedIn(ctx context.Context, gate ecluse.Fingerprint, c store.Carried) error {
	_, err := tx.q.ExecContext(
		ctx, `UPDATE carried SET came = ?2, items = ?3, digest = ?4 WHERE gate = ?1`,
		string(gate), c.Came, c.Items, append([]byte{}, c.Digest...),
	)
	return failed("note what was carried", err)
}

// CarriedIn keeps how far what came in was taken and changes nothing else.
func (s *Store) CarriedIn(ctx context.Context, gate ecluse.Fingerprint, c store.Carried) error {
	return s.do(ctx, func(tx *Tx) error { return tx.CarriedIn(ctx, gate, c) })
}

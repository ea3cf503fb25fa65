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

// CarriedLeft lists what came in of a gate and could not be taken in yet, in its order.
func (r reads) CarriedLeft(ctx context.Context, gate ecluse.Fingerprint) ([]store.CarriedLeft, error) {
	return query(ctx, r.q, func(rows *sql.Rows) (c store.CarriedLeft, err error) {
		return c, rows.Scan(&c.Number, &c.Item, &c.Migration, &c.Digest, &c.Anew)
	}, `SELECT number, item, migration, digest, anew FROM carried_left WHERE gate = ? ORDER BY number, item`, string(gate))
}

// LeaveCarried notes that an item of a return could not be taken in yet.
func (tx *Tx) LeaveCarried(ctx context.Context, gate ecluse.Fingerprint, c store.CarriedLeft) error {
	_, err := tx.q.ExecContext(
		ctx, `INSERT INTO carried_left (gate, number, item, migration, digest) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		string(gate), c.Number, c.Item, string(c.Migration), c.Digest,
	)
	return failed("note what was carried", err)
}

// TakeCarried notes that such an item needs no taking in any more.
func (tx *Tx) TakeCarried(ctx context.Context, gate ecluse.Fingerprint, number int64, item int) error {
	_, err := tx.q.ExecContext(ctx, `DELETE FROM carried_left WHERE gate = ? AND number = ? AND item = ?`, string(gate), number, item)
	return failed("note what was carried", err)
}

// AskCarriedAnew gives up what is left of a migration: the gate is asked for it anew.
func (tx *Tx) AskCarriedAnew(ctx context.Context, gate ecluse.Fingerprint, m ecluse.MigrationID) error {
	_, err := tx.q.ExecContext(ctx, `UPDATE carried_left SET anew = 1 WHERE gate = ? AND migration = ?`, string(gate), string(m))
	return failed("note what was carried", err)
}

// ForgetCarried forgets what was given up of returns before one.
func (tx *Tx) ForgetCarried(ctx context.Context, gate ecluse.Fingerprint, before int64) error {
	_, err := tx.q.ExecContext(ctx, `DELETE FROM carried_left WHERE gate = ? AND number < ? AND anew = 1`, string(gate), before)
	return failed("note what was carried", err)
}

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
	"ecluse/internal/store"
)

// AddDocument keeps exact bytes under their digest. The same bytes may be added
// again, for another migration or as another kind.
func (tx *Tx) AddDocument(ctx context.Context, kind string, m ecluse.MigrationID, body []byte) (ecluse.Digest, error) {
	d := ecluse.DigestOf(body)
	path := filepath.Join(tx.docs, d.Hex())
	if held, err := os.ReadFile(path); err != nil || ecluse.DigestOf(held) != d {
		if err := durable.WriteFile(path, body); err != nil {
			return d, failed("keep document", err)
		}
	}
	_, err := tx.q.ExecContext(
		ctx, `INSERT INTO document VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		d.String(), string(m), kind, len(body), millis(tx.now),
	)
	return d, failed("keep document", err)
}

// AddSigned keeps a document with a signature under it, after checking that the
// signature holds. Whose key it is, is for the caller to judge.
func (tx *Tx) AddSigned(ctx context.Context, kind string, m ecluse.MigrationID, namespace string, s evidence.Signed) (ecluse.Digest, error) {
	key, err := s.Verify(namespace)
	if err != nil {
		return ecluse.Digest{}, err
	}
	d, err := tx.AddDocument(ctx, kind, m, s.Body)
	if err != nil {
		return d, err
	}
	_, err = tx.q.ExecContext(
		ctx, `INSERT INTO signature VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		d.String(), namespace, string(evidence.FingerprintOf(key)), s.Signature,
	)
	return d, failed("keep signature", err)
}

// DropDocument drops a document's signatures and, once the transaction stands, its bytes
// (RemoveDropped). That it was there is kept: its row, of size 0.
func (tx *Tx) DropDocument(ctx context.Context, d ecluse.Digest) error {
	for _, q := range []string{`DELETE FROM signature WHERE digest = ?`, `UPDATE document SET size = 0 WHERE digest = ?`} {
		if _, err := tx.q.ExecContext(ctx, q, d.String()); err != nil {
			return failed("drop document", err)
		}
	}
	return nil
}

// RemoveDropped removes the bytes of documents that were dropped.
func (s *Store) RemoveDropped(ctx context.Context) error {
	all, err := query(ctx, s.q, func(rows *sql.Rows) (d string, err error) {
		return d, rows.Scan(&d)
	}, `SELECT digest FROM document GROUP BY digest HAVING max(size) = 0`)
	if err != nil {
		return err
	}
	for _, x := range all {
		d, err := ecluse.ParseDigest(x)
		if err != nil {
			return err
		}
		path := filepath.Join(s.docs, d.Hex())
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := durable.Remove(path); err != nil {
			return failed("drop document", err)
		}
	}
	return nil
}

// Document returns the bytes of a document, after checking them.
func (r reads) Document(ctx context.Context, d ecluse.Digest) ([]byte, error) {
	var known bool
	err := r.q.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM document WHERE digest = ? AND size > 0)`, d.String()).Scan(&known)
	if err != nil {
		return nil, failed("read document", err)
	}
	if !known {
		return nil, missing("read document", d.String())
	}
	body, err := os.ReadFile(filepath.Join(r.docs, d.Hex()))
	if err != nil {
		return nil, failed("read document", err)
	}
	if ecluse.DigestOf(body) != d {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "read document", Where: d.String(), Why: "its bytes have changed on the disk"}
	}
	return body, nil
}

// Documents lists the documents of a migration, or of the installation, the
// oldest first; an empty kind is every kind.
func (r reads) Documents(ctx context.Context, m ecluse.MigrationID, kind string) ([]store.Document, error) {
	return query(ctx, r.q, func(rows *sql.Rows) (d store.Document, err error) {
		var digest string
		var added int64
		if err := rows.Scan(&digest, &d.Migration, &d.Kind, &d.Size, &added); err != nil {
			return d, err
		}
		d.Added = instant(added)
		d.Digest, err = ecluse.ParseDigest(digest)
		return d, err
	}, `SELECT digest, migration, kind, size, added FROM document
	     WHERE migration = ? AND (? = '' OR kind = ?) ORDER BY added, kind, digest`, string(m), kind, kind)
}

// Signed returns a document with each signature kept under it in a namespace,
// in the order of the signers' fingerprints.
func (r reads) Signed(ctx context.Context, d ecluse.Digest, namespace string) ([]evidence.Signed, error) {
	body, err := r.Document(ctx, d)
	if err != nil {
		return nil, err
	}
	return query(ctx, r.q, func(rows *sql.Rows) (evidence.Signed, error) {
		s := evidence.Signed{Body: body}
		return s, rows.Scan(&s.Signature)
	}, `SELECT armour FROM signature WHERE digest = ? AND namespace = ? ORDER BY signer`, d.String(), namespace)
}

// AddRoster takes a party's roster, whose document must be kept; a number that
// is not higher than the last one's is refused.
func (tx *Tx) AddRoster(ctx context.Context, r store.Roster) error {
	last, err := tx.Rosters(ctx, r.Side)
	if err != nil {
		return err
	}
	if n := len(last); n > 0 && last[n-1].Number >= r.Number {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "accept roster", Where: string(r.Side),
			Why: fmt.Sprintf("its number is %d, and number %d is known", r.Number, last[n-1].Number),
		}
	}
	_, err = tx.q.ExecContext(ctx, `INSERT INTO roster VALUES (?, ?, ?, ?)`, string(r.Side), r.Number, r.Digest.String(), millis(r.Issued))
	return failed("accept roster", err)
}

// Rosters lists a side's rosters, the newest last.
func (r reads) Rosters(ctx context.Context, side ecluse.Side) ([]store.Roster, error) {
	return query(ctx, r.q, func(rows *sql.Rows) (x store.Roster, err error) {
		var digest string
		var issued int64
		if err := rows.Scan(&x.Side, &x.Number, &digest, &issued); err != nil {
			return x, err
		}
		x.Issued = instant(issued)
		x.Digest, err = ecluse.ParseDigest(digest)
		return x, err
	}, `SELECT side, number, digest, issued FROM roster WHERE side = ? ORDER BY number`, string(side))
}

// Orphans lists the files of the documents folder that no row names: what a
// crash left, or what somebody put there.
func (r reads) Orphans(ctx context.Context) ([]string, error) {
	known, err := query(ctx, r.q, func(rows *sql.Rows) (d string, err error) {
		return d, rows.Scan(&d)
	}, `SELECT DISTINCT digest FROM document`)
	if err != nil {
		return nil, err
	}
	names := make(map[string]bool, len(known))
	for _, k := range known {
		d, err := ecluse.ParseDigest(k)
		if err != nil {
			return nil, err
		}
		names[d.Hex()] = true
	}
	entries, err := os.ReadDir(r.docs)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, failed("list documents", err)
	}
	var orphans []string
	for _, e := range entries {
		if !names[e.Name()] {
			orphans = append(orphans, e.Name())
		}
	}
	return orphans, nil
}

package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/journal"
)

// trees is the journal within a transaction: nobody but Do can make one.
type trees struct{ reads }

// Size is the number of leaves of a tree.
func (r reads) Size(ctx context.Context, tree string) (n int64, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT coalesce(max(idx) + 1, 0) FROM leaf WHERE tree = ?`, tree).Scan(&n)
	return n, failed("read journal", err)
}

// Hashes returns stored hashes of a tree.
func (r reads) Hashes(ctx context.Context, tree string, indexes []int64) ([]tlog.Hash, error) {
	list, err := json.Marshal(indexes)
	if err != nil {
		return nil, err
	}
	out := make([]tlog.Hash, len(indexes))
	_, err = query(ctx, r.q, func(rows *sql.Rows) (int, error) {
		var at int
		var hash []byte
		if err := rows.Scan(&at, &hash); err != nil {
			return 0, err
		}
		if copy(out[at][:], hash) != len(out[at]) {
			return 0, fmt.Errorf("tree %s: hash %d is missing", tree, indexes[at])
		}
		return at, nil
	}, `SELECT key, hash FROM json_each(?) LEFT JOIN hash ON tree = ? AND idx = value`, string(list), tree)
	return out, err
}

// Grow adds an entry to its tree.
func (t trees) Grow(ctx context.Context, e journal.Entry) error {
	if _, err := t.q.ExecContext(ctx, `INSERT INTO leaf VALUES (?, ?, ?, ?)`, e.Tree, e.Index, millis(e.At), e.Leaf); err != nil {
		return failed("write journal", err)
	}
	for i, h := range e.Hashes {
		if _, err := t.q.ExecContext(ctx, `INSERT INTO hash VALUES (?, ?, ?)`, e.Tree, e.First+int64(i), h[:]); err != nil {
			return failed("write journal", err)
		}
	}
	if e.Body == nil {
		return nil
	}
	_, err := t.q.ExecContext(ctx, `INSERT INTO body VALUES (?, ?, ?, ?, ?)`, e.Tree, e.Index, millis(e.At), e.Salt, e.Body)
	return failed("write journal", err)
}

// Leaves returns leaves from index from up to, not including, to.
func (r reads) Leaves(ctx context.Context, tree string, from, to int64) ([][]byte, error) {
	return query(ctx, r.q, func(rows *sql.Rows) (leaf []byte, err error) {
		return leaf, rows.Scan(&leaf)
	}, `SELECT text FROM leaf WHERE tree = ? AND idx >= ? AND idx < ? ORDER BY idx`, tree, from, to)
}

// LeafOfAct finds the first leaf of a tree that names an act, by its digest; nil: none does.
func (r reads) LeafOfAct(ctx context.Context, tree, act string) (*evidence.Leaf, error) {
	var text []byte
	err := r.q.QueryRowContext(ctx, `SELECT text FROM leaf WHERE tree = ? AND instr(text, ?) ORDER BY idx LIMIT 1`, tree, []byte(`"act":"`+act+`"`)).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, failed("read journal", err)
	}
	return evidence.ParseLeaf(text)
}

// LeavesOf are the leaves of one type of a tree, in their order.
func (r reads) LeavesOf(ctx context.Context, tree, typ string) ([]*evidence.Leaf, error) {
	return query(ctx, r.q, func(rows *sql.Rows) (*evidence.Leaf, error) {
		var text []byte
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		return evidence.ParseLeaf(text)
	}, `SELECT text FROM leaf WHERE tree = ? AND instr(text, ?) ORDER BY idx`, tree, []byte(`"type":"`+typ+`"`))
}

// Body returns a leaf's salt and body.
func (r reads) Body(ctx context.Context, tree string, index int64) (salt, body []byte, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT salt, text FROM body WHERE tree = ? AND idx = ?`, tree, index).Scan(&salt, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil, &ecluse.Error{Kind: ecluse.Refused, What: "read journal", Where: fmt.Sprintf("%s, leaf %d", tree, index), Err: journal.ErrForgotten}
	}
	return salt, body, failed("read journal", err)
}

// LastHead returns the newest head of a tree and its cosignatures.
func (r reads) LastHead(ctx context.Context, tree string) (head evidence.Signed, cosigned []evidence.Signed, err error) {
	var size int64
	err = r.q.QueryRowContext(ctx, `SELECT size, text, signature FROM head WHERE tree = ? ORDER BY size DESC LIMIT 1`, tree).
		Scan(&size, &head.Body, &head.Signature)
	if errors.Is(err, sql.ErrNoRows) {
		return evidence.Signed{}, nil, nil
	}
	if err != nil {
		return evidence.Signed{}, nil, failed("read head", err)
	}
	cosigned, err = query(ctx, r.q, func(rows *sql.Rows) (evidence.Signed, error) {
		s := evidence.Signed{Body: head.Body}
		return s, rows.Scan(&s.Signature)
	}, `SELECT signature FROM cosignature WHERE tree = ? AND size = ? ORDER BY gate`, tree, size)
	return head, cosigned, err
}

// HeadOf returns the head of a tree at a size; a zero Signed when none is kept.
func (r reads) HeadOf(ctx context.Context, tree string, size int64) (s evidence.Signed, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT text, signature FROM head WHERE tree = ? AND size = ?`, tree, size).Scan(&s.Body, &s.Signature)
	if errors.Is(err, sql.ErrNoRows) {
		return evidence.Signed{}, nil
	}
	return s, failed("read head", err)
}

// Cosigned returns the newest head of a tree that a gate signed, with its
// signature; a zero Signed when there is none.
func (r reads) Cosigned(ctx context.Context, tree string, gate ecluse.Fingerprint) (s evidence.Signed, err error) {
	err = r.q.QueryRowContext(ctx, `SELECT text, cosignature.signature FROM cosignature JOIN head USING (tree, size)
	     WHERE tree = ? AND gate = ? ORDER BY size DESC LIMIT 1`, tree, string(gate)).Scan(&s.Body, &s.Signature)
	if errors.Is(err, sql.ErrNoRows) {
		return s, nil
	}
	return s, failed("read head", err)
}

// KeepHead keeps a head the lock signed. Of two made at once for one size the
// first stays.
func (s *Store) KeepHead(ctx context.Context, h *evidence.Head, signed evidence.Signed) error {
	_, err := s.write.ExecContext(ctx, `INSERT INTO head VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, h.Tree, h.Size, signed.Body, signed.Signature)
	return failed("keep head", err)
}

// KeepCosignature keeps a gate's signature under a head.
func (s *Store) KeepCosignature(ctx context.Context, h *evidence.Head, gate ecluse.Fingerprint, signature []byte) error {
	_, err := s.write.ExecContext(ctx, `INSERT INTO cosignature VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, h.Tree, h.Size, string(gate), signature)
	return failed("keep cosignature", err)
}

// Forget removes the salts and bodies of leaves older than a time, out of the
// file too, and journals how many. The trees stay whole.
func (s *Store) Forget(ctx context.Context, before time.Time) (int64, error) {
	e := journal.Event{Tree: evidence.InstallationTree, Type: journal.BodiesForgotten, Numbers: map[string]int64{}}
	err := s.Do(ctx, e, func(tx *Tx) error {
		r, err := tx.q.ExecContext(ctx, `DELETE FROM body WHERE at < ?`, millis(before))
		if err != nil {
			return failed("forget bodies", err)
		}
		n, err := r.RowsAffected()
		e.Numbers["bodies"] = n
		return err
	})
	if err != nil {
		return 0, err
	}
	// The log of writes still holds the pages as they were.
	_, err = s.write.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	return e.Numbers["bodies"], failed("forget bodies", err)
}

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/due"
	"ecluse/internal/procedure"
	"ecluse/internal/store"
)

// OpenMigration gives birth to a migration, with its deadline: there is no
// migration without one. by is who opens it.
func (tx *Tx) OpenMigration(ctx context.Context, id ecluse.MigrationID, contract ecluse.Digest, eraseBy time.Time, by ...procedure.Actor) error {
	what := "open migration"
	if !eraseBy.After(tx.now) {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: what, Where: string(id), Why: "its deadline of erasure has passed, or it has none",
			Next: "set erase_by in the instruction", Article: "GDPR art. 28(3)(g)",
		}
	}
	p, err := procedure.Next(procedure.Start(), procedure.OpenMigration, by...)
	if err != nil {
		return err
	}
	_, err = tx.q.ExecContext(
		ctx, `INSERT INTO migration (id, contract, state, passage, kind, born, erase_by) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		string(id), contract.String(), string(p.Migration), string(p.Passage), string(p.Kind), millis(tx.now), millis(eraseBy),
	)
	if err != nil {
		return failed(what, err)
	}
	return tx.Schedule(ctx, ecluse.Digest{}, due.ForMigration(id, tx.now, eraseBy)...)
}

const migrationColumns = `id, contract, state, passage, kind, suspended, objected, born, erase_by, ended`

func scanMigration(rows *sql.Rows) (m store.Migration, err error) {
	var contract string
	var suspended, objected, born, eraseBy, ended int64
	err = rows.Scan(&m.ID, &contract, &m.Place.Migration, &m.Place.Passage, &m.Place.Kind, &suspended, &objected, &born, &eraseBy, &ended)
	if err != nil {
		return m, err
	}
	m.Place.Suspended, m.Place.Objected = sides(suspended), sides(objected)
	m.Born, m.EraseBy, m.Ended = instant(born), instant(eraseBy), instant(ended)
	m.Contract, err = ecluse.ParseDigest(contract)
	return m, err
}

func sides(n int64) procedure.Sides {
	return procedure.Sides{Controller: n&1 != 0, Processor: n&2 != 0}
}

func number(s procedure.Sides) (n int64) {
	if s.Controller {
		n = 1
	}
	if s.Processor {
		n |= 2
	}
	return n
}

// Migration returns one migration; fs.ErrNotExist in the chain when unknown.
func (r reads) Migration(ctx context.Context, id ecluse.MigrationID) (*store.Migration, error) {
	all, err := query(ctx, r.q, scanMigration, `SELECT `+migrationColumns+` FROM migration WHERE id = ?`, string(id))
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, missing("find migration", string(id))
	}
	return &all[0], nil
}

// Migrations lists every migration, the oldest first.
func (r reads) Migrations(ctx context.Context) ([]store.Migration, error) {
	return query(ctx, r.q, scanMigration, `SELECT `+migrationColumns+` FROM migration ORDER BY born, id`)
}

// Move makes a move of the procedure, or refuses it (procedure.Next).
func (tx *Tx) Move(ctx context.Context, id ecluse.MigrationID, v procedure.Verb, by ...procedure.Actor) (procedure.Place, error) {
	return tx.move(ctx, id, "", v, by)
}

// PlanLoad is Move for procedure.PlanLoad: it takes a kind of passage in hand.
func (tx *Tx) PlanLoad(ctx context.Context, id ecluse.MigrationID, kind ecluse.PassageKind, by ...procedure.Actor) (procedure.Place, error) {
	return tx.move(ctx, id, kind, procedure.PlanLoad, by)
}

func (tx *Tx) move(ctx context.Context, id ecluse.MigrationID, kind ecluse.PassageKind, v procedure.Verb, by []procedure.Actor) (procedure.Place, error) {
	m, err := tx.Migration(ctx, id)
	if err != nil {
		return procedure.Place{}, err
	}
	from := m.Place
	if kind != "" {
		from.Kind = kind
	}
	p, err := procedure.Next(from, v, by...)
	if err != nil {
		return m.Place, err
	}
	ended := int64(0)
	if p.Migration == procedure.Closed {
		ended = millis(tx.now)
	}
	_, err = tx.q.ExecContext(
		ctx, `UPDATE migration SET state = ?, passage = ?, kind = ?, suspended = ?, objected = ?, ended = ? WHERE id = ?`,
		string(p.Migration), string(p.Passage), string(p.Kind), number(p.Suspended), number(p.Objected), ended, string(id),
	)
	return p, failed("move migration", err)
}

// SetDeadline moves a migration's deadline of erasure: earlier freely, later
// only with the digest of the act that signs it.
func (tx *Tx) SetDeadline(ctx context.Context, id ecluse.MigrationID, eraseBy time.Time, act ecluse.Digest) error {
	if _, err := tx.q.ExecContext(ctx, `UPDATE migration SET erase_by = ? WHERE id = ?`, millis(eraseBy), string(id)); err != nil {
		return failed("move deadline", err)
	}
	if _, err := tx.q.ExecContext(ctx, `DELETE FROM due WHERE kind = ? AND migration = ?`, string(due.WarnErase), string(id)); err != nil {
		return failed("move deadline", err)
	}
	return tx.Schedule(ctx, act, due.ForMigration(id, tx.now, eraseBy)...)
}

// SetCurrent puts a document of a kind in force for a migration; the zero digest
// takes it out of force.
func (tx *Tx) SetCurrent(ctx context.Context, id ecluse.MigrationID, kind string, d ecluse.Digest) error {
	if d.IsZero() {
		_, err := tx.q.ExecContext(ctx, `DELETE FROM current WHERE migration = ? AND kind = ?`, string(id), kind)
		return failed("put document out of force", err)
	}
	_, err := tx.q.ExecContext(
		ctx, `INSERT INTO current VALUES (?, ?, ?) ON CONFLICT (migration, kind) DO UPDATE SET digest = excluded.digest`,
		string(id), kind, d.String(),
	)
	return failed("put document in force", err)
}

// Current is the document of a kind in force for a migration, zero for none.
func (r reads) Current(ctx context.Context, id ecluse.MigrationID, kind string) (ecluse.Digest, error) {
	var text string
	err := r.q.QueryRowContext(ctx, `SELECT digest FROM current WHERE migration = ? AND kind = ?`, string(id), kind).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return ecluse.Digest{}, nil
	}
	if err != nil {
		return ecluse.Digest{}, failed("find document in force", err)
	}
	return ecluse.ParseDigest(text)
}

// AddAct records a signed act, already verified against the rosters. The same
// act twice is refused: an act is handed in once.
func (tx *Tx) AddAct(ctx context.Context, s evidence.Signed, a *evidence.Act) (ecluse.Digest, error) {
	d, err := tx.AddSigned(ctx, "act", a.Migration, evidence.NamespaceAct, s)
	if err != nil {
		return d, err
	}
	var known bool
	if err := tx.q.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM act WHERE digest = ?)`, d.String()).Scan(&known); err != nil {
		return d, failed("record act", err)
	}
	if known {
		return d, &ecluse.Error{Kind: ecluse.Refused, What: "record act", Where: d.String(), Why: "it was handed in before", Next: "sign a new one"}
	}
	_, err = tx.q.ExecContext(
		ctx, `INSERT INTO act VALUES (?, ?, ?, ?, ?, ?)`,
		d.String(), string(a.Migration), string(a.Side), a.Person, string(a.Role), millis(tx.now),
	)
	if err != nil {
		return d, failed("record act", err)
	}
	for i, c := range a.Clauses {
		_, err := tx.q.ExecContext(ctx, `INSERT INTO clause VALUES (?, ?, ?, ?, ?)`, d.String(), i, string(c.Verb), c.Kind, c.Subject.String())
		if err != nil {
			return d, failed("record act", err)
		}
	}
	return d, nil
}

// Acts lists the acts recorded for a migration, or for the installation, in the
// order they came.
func (r reads) Acts(ctx context.Context, id ecluse.MigrationID) ([]store.Act, error) {
	return r.acts(ctx, `migration = ?`, string(id))
}

// Act finds a recorded act by its digest; fs.ErrNotExist in the chain when there is
// none.
func (r reads) Act(ctx context.Context, d ecluse.Digest) (*store.Act, error) {
	all, err := r.acts(ctx, `digest = ?`, d.String())
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, missing("find act", d.String())
	}
	return &all[0], nil
}

func (r reads) acts(ctx context.Context, where, of string) ([]store.Act, error) {
	var acts []store.Act
	_, err := query(ctx, r.q, func(rows *sql.Rows) (struct{}, error) {
		var a store.Act
		var c evidence.Clause
		var digest, subject string
		var recorded int64
		err := rows.Scan(&digest, &a.Migration, &a.Side, &a.Person, &a.Role, &recorded, &c.Verb, &c.Kind, &subject)
		if err != nil {
			return struct{}{}, err
		}
		if a.Digest, err = ecluse.ParseDigest(digest); err != nil {
			return struct{}{}, err
		}
		if c.Subject, err = ecluse.ParseDigest(subject); err != nil {
			return struct{}{}, err
		}
		a.Recorded = instant(recorded)
		if n := len(acts); n == 0 || acts[n-1].Digest != a.Digest {
			acts = append(acts, a)
		}
		last := &acts[len(acts)-1]
		last.Clauses = append(last.Clauses, c)
		return struct{}{}, nil
	}, `SELECT digest, migration, side, person, role, recorded, verb, kind, subject FROM act JOIN clause ON act = digest
	     WHERE `+where+` ORDER BY recorded, digest, number`, of)
	return acts, err
}

// BeginPassage numbers a run of a load plan and begins it, within the budget
// that the instruction grants its kind; runs that were withdrawn keep their numbers
// and count no more. A run of that plan which has not ended goes on under its number.
func (tx *Tx) BeginPassage(ctx context.Context, id ecluse.MigrationID, kind ecluse.PassageKind, plan ecluse.Digest, budget int) (ecluse.Passage, error) {
	all, err := tx.Passages(ctx, id)
	if err != nil {
		return ecluse.Passage{}, err
	}
	p, withdrawn := ecluse.Passage{Kind: kind, Number: 1}, 0
	for _, x := range all {
		if x.Kind != kind {
			continue
		}
		if x.Ended.IsZero() && x.LoadPlan == plan {
			return x.Passage, nil
		}
		p.Number = x.Number + 1
		if x.State == procedure.Withdrawn {
			withdrawn++
		}
	}
	if p.Number-withdrawn > budget {
		return ecluse.Passage{}, &ecluse.Error{
			Kind: ecluse.Refused, What: "begin passage", Where: p.String(),
			Why:  fmt.Sprintf("the instruction grants %d of kind %s", budget, kind),
			Next: "once reading has begun no instruction grants more: ecluse erase, then a new migration under one that does", Article: "GDPR art. 29",
		}
	}
	_, err = tx.q.ExecContext(
		ctx, `INSERT INTO passage (migration, kind, number, load_plan, state, begun) VALUES (?, ?, ?, ?, ?, ?)`,
		string(id), string(kind), p.Number, plan.String(), string(procedure.Loading), millis(tx.now),
	)
	return p, failed("begin passage", err)
}

// SetPassage notes where a run stands; ended closes it for good.
func (tx *Tx) SetPassage(ctx context.Context, id ecluse.MigrationID, p ecluse.Passage, state procedure.State, ended bool) error {
	end := int64(0)
	if ended {
		end = millis(tx.now)
	}
	r, err := tx.q.ExecContext(
		ctx, `UPDATE passage SET state = ?, ended = ? WHERE migration = ? AND kind = ? AND number = ? AND ended = 0`,
		string(state), end, string(id), string(p.Kind), p.Number,
	)
	if err != nil {
		return failed("note passage", err)
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return errors.Join(missing("note passage", string(id)+" "+p.String()), err)
	}
	return nil
}

// Passages lists the runs of a migration in the order they began.
func (r reads) Passages(ctx context.Context, id ecluse.MigrationID) ([]store.Passage, error) {
	return query(ctx, r.q, func(rows *sql.Rows) (p store.Passage, err error) {
		var plan string
		var begun, ended int64
		if err := rows.Scan(&p.Migration, &p.Kind, &p.Number, &plan, &p.State, &begun, &ended); err != nil {
			return p, err
		}
		p.Begun, p.Ended = instant(begun), instant(ended)
		p.LoadPlan, err = ecluse.ParseDigest(plan)
		return p, err
	}, `SELECT migration, kind, number, load_plan, state, begun, ended FROM passage WHERE migration = ? ORDER BY begun, kind, number`, string(id))
}

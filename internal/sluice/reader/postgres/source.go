// Package postgres reads old laboratories' PostgreSQL databases: one read-only
// snapshot an epoch, through granted views, by ranges of blocks where the storage
// has them.
package postgres

import (
	"context"
	"fmt"
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/reader"
)

// Source is an old PostgreSQL database, with its two accounts.
type Source struct {
	catalogue engine.Config
	rows      engine.Config
}

var _ reader.Source = (*Source)(nil)

// New names a source. It connects to nothing yet.
func New(catalogue, rows engine.Config) *Source { return &Source{catalogue, rows} }

// Catalogue inspects through the catalogue account.
func (s *Source) Catalogue(ctx context.Context) (*ecluse.Catalogue, error) {
	conn, err := engine.Connect(ctx, s.catalogue)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return engine.Catalogue(ctx, conn)
}

// Estimates guesses rows per table from what the server last counted.
func (s *Source) Estimates(ctx context.Context) (map[ecluse.TableName]int64, error) {
	conn, err := engine.Connect(ctx, s.catalogue)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return engine.Estimates(ctx, conn)
}

// Close has nothing to close: connections belong to sessions.
func (s *Source) Close() error { return nil }

// Open takes a snapshot through the read account.
func (s *Source) Open(ctx context.Context, p mandate.ReadPermit) (reader.Session, error) {
	plan := p.Plan()
	if plan == nil {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "open the source", Why: "there is no permit to read", Article: "GDPR art. 29"}
	}
	return open(ctx, s.rows, plan)
}

func open(ctx context.Context, c engine.Config, plan *mandate.ReadPlan) (*Session, error) {
	out := &Session{plan: plan, config: c, throttle: reader.NewThrottle(plan.Limits.QueriesPerSecond), datasets: map[ecluse.DatasetID]*dataset{}}
	for i := range plan.Datasets {
		r, err := engine.NewReading(plan, &plan.Datasets[i])
		if err != nil {
			return nil, err
		}
		out.datasets[plan.Datasets[i].Dataset] = &dataset{Reading: r}
	}
	conn, err := engine.Connect(ctx, c)
	if err != nil {
		return nil, err
	}
	out.conn = conn
	if err := out.begin(ctx); err != nil {
		_ = conn.Close()
		return nil, engine.Wrap(ctx, "open the source", c.String(), err)
	}
	return out, nil
}

// begin takes the snapshot. Tables are held first, where the account's rights
// allow it: one that somebody restructures after the snapshot would look empty.
func (s *Session) begin(ctx context.Context) error {
	var held []string
	for i := range s.plan.Datasets {
		d := &s.plan.Datasets[i]
		r := s.datasets[d.Dataset]
		if d.View != "" {
			if err := s.checkView(ctx, d, r.Relation); err != nil {
				return err
			}
		}
		whole, err := s.conn.One(ctx, "SELECT has_table_privilege($1, 'SELECT')", engine.Name(r.Relation))
		if err != nil {
			return err
		}
		if whole == "t" {
			held = append(held, engine.Name(r.Relation))
		}
	}
	if _, err := s.conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		return err
	}
	if len(held) > 0 {
		if _, err := s.conn.Exec(ctx, "LOCK TABLE "+strings.Join(held, ", ")+" IN ACCESS SHARE MODE"); err != nil {
			return err
		}
	}
	_, err := s.conn.One(ctx, "SELECT 1") // the first query takes the snapshot
	return err
}

// checkView refuses a view that is not the one the plan needs: one made for an
// earlier plan would let other rows through.
func (s *Session) checkView(ctx context.Context, d *mandate.ReadDataset, v ecluse.TableName) error {
	want, err := engine.ViewMark(s.plan, d)
	if err != nil {
		return err
	}
	got, err := s.conn.One(ctx, `SELECT coalesce(obj_description(c.oid, 'pg_class'), '-') FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'v'`, v.Schema, v.Name)
	switch {
	case err != nil:
		return err
	case got == want:
		return nil
	}
	why := "it was made for another plan"
	if got == "" {
		why = "it is not there"
	}
	return &ecluse.Error{
		Kind: ecluse.Differs, What: "open the source", Where: fmt.Sprintf("view %s of dataset %s", v, d.Dataset), Why: why,
		Next: "run what `ecluse gate grants DIR read` prints for this plan",
	}
}

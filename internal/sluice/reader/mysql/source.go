// Package mysql reads MariaDB and MySQL databases: the old laboratory's side.
//
// An epoch is one connection, and lives as long as it does: its snapshot, or its
// locks, or somebody's word that nobody writes. A dataset with a unique key is
// read in the key's order and can be taken up anywhere; one without is sorted by
// everything that travels of it, and its rows are counted: rows that are equal in
// all of that cannot be told apart, so that their order does not matter.
package mysql

import (
	"context"
	"slices"
	"time"

	"ecluse"
	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/mysql"
	"ecluse/internal/sluice/reader"
)

// Config says where a source is and which of its databases are inspected.
type Config struct {
	Catalogue engine.Config // sees every name and no value
	Read      engine.Config // reads what the plan says
	Schemas   []string      // databases; empty: the one that Catalogue connects to
}

// Source is a reader.Source. It holds no connection between calls.
type Source struct {
	config Config
}

var _ reader.Source = (*Source)(nil)

// New makes a source; nothing is connected yet.
func New(c Config) (*Source, error) {
	if len(c.Schemas) == 0 && c.Catalogue.Database != "" {
		c.Schemas = []string{c.Catalogue.Database}
	}
	if len(c.Schemas) == 0 {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: "open the source", Where: c.Catalogue.String(), Why: "it says no database to inspect",
			Next: "name the laboratory's database in gate.yaml",
		}
	}
	return &Source{config: c}, nil
}

// Catalogue implements reader.Source.
func (s *Source) Catalogue(ctx context.Context) (*ecluse.Catalogue, error) {
	c, err := engine.Connect(ctx, s.config.Catalogue)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return engine.Catalogue(ctx, c, s.config.Schemas)
}

// Estimates implements reader.Source.
func (s *Source) Estimates(ctx context.Context) (map[ecluse.TableName]int64, error) {
	c, err := engine.Connect(ctx, s.config.Catalogue)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return engine.Estimates(ctx, c, s.config.Schemas)
}

// Open implements reader.Source.
func (s *Source) Open(ctx context.Context, p mandate.ReadPermit) (reader.Session, error) {
	refuse := func(why string) error {
		return &ecluse.Error{Kind: ecluse.Refused, What: "open the source", Where: s.config.Read.String(), Why: why, Article: "GDPR art. 29"}
	}
	switch {
	case p.Plan() == nil:
		return nil, refuse("there is no permit to read")
	case !time.Now().Before(p.NotAfter()):
		return nil, refuse("the permit to read has ended")
	}
	return s.open(ctx, p.Plan())
}

// Close implements reader.Source.
func (s *Source) Close() error { return nil }

func (s *Source) open(ctx context.Context, p *mandate.ReadPlan) (*session, error) {
	if p.Source.Engine != ecluse.MySQL {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "open the source", Where: s.config.Read.String(), Why: "the plan is for " + string(p.Source.Engine)}
	}
	out := &session{
		config: s.config.Read, plan: p, throttle: reader.NewThrottle(p.Limits.QueriesPerSecond),
		readings: map[ecluse.DatasetID]*engine.Reading{}, counts: map[string]*engine.Counting{},
	}
	var refs []engine.Ref
	add := func(more []engine.Ref) {
		for _, r := range more {
			if !slices.Contains(refs, r) {
				refs = append(refs, r)
			}
		}
	}
	for i := range p.Datasets {
		d := &p.Datasets[i]
		if err := engine.CheckStorage(p.Consistency, d.From, d.Storage); err != nil {
			return nil, err
		}
		r, err := engine.NewReading(p, d)
		if err != nil {
			return nil, err
		}
		out.readings[d.Dataset] = r
		add(r.Refs)
	}
	for i := range p.Checks {
		k, err := engine.NewCounting(p, &p.Checks[i])
		if err != nil {
			return nil, err
		}
		out.counts[p.Checks[i].Name] = k
		add(k.Refs)
	}
	var err error
	if out.conn, err = engine.Connect(ctx, s.config.Read); err != nil {
		return nil, err
	}
	if err := engine.Begin(ctx, out.conn, p.Consistency, refs); err != nil {
		_ = out.conn.Close()
		return nil, err
	}
	out.alive, out.kill = context.WithCancel(context.WithoutCancel(ctx))
	return out, nil
}

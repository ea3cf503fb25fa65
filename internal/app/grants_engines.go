package app

import (
	"context"

	"ecluse"
	"ecluse/internal/config"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/engine/mysql"
	"ecluse/internal/sluice/engine/postgres"
)

// grants writes the statements of one engine and verb.
func (b *Beside) grants(ctx context.Context, q GrantsRequest, c config.Database) (string, error) {
	switch q.Verb {
	case "inspect":
		switch c.Engine {
		case ecluse.PostgreSQL:
			return postgres.InspectGrants(q.User), nil
		case ecluse.MySQL:
			return mysql.InspectGrants(mysql.Account{User: q.User, Host: q.Host}, []string{c.Catalogue.Database}), nil
		}
	case "read":
		m, papers, err := b.caseOf(ctx, q.Migration, ecluse.Final)
		if err != nil {
			return "", err
		}
		if papers.ReadPlan == nil {
			return "", &ecluse.Error{Kind: ecluse.WaitsForSign, What: "write grants", Where: string(m), Why: "no plan is compiled yet", Next: "ecluse plan -m " + string(m)}
		}
		p, err := mandate.ParseReadPlan(papers.ReadPlan)
		if err != nil {
			return "", err
		}
		switch c.Engine {
		case ecluse.PostgreSQL:
			return postgres.ReadGrants(p, q.User)
		case ecluse.MySQL:
			return mysql.ReadGrants(p, mysql.Account{User: q.User, Host: q.Host})
		}
	case "load":
		kind := ecluse.Final
		if q.Rehearsal {
			kind = ecluse.Rehearsal
		}
		p, err := b.loadPlan(ctx, q.Migration, kind)
		if err != nil {
			return "", err
		}
		if c.Engine == ecluse.PostgreSQL {
			return postgres.LoadGrants(p, q.User)
		}
	}
	return "", unknownEngine(c.Engine, "granted "+q.Verb+" rights on")
}

// loadPlan is the plan of a kind of passage or, before one is compiled, what it would be:
// a passage needs the rights that it is granted by it.
func (b *Beside) loadPlan(ctx context.Context, id ecluse.MigrationID, kind ecluse.PassageKind) (*mandate.LoadPlan, error) {
	_, c, err := b.caseOf(ctx, id, kind)
	if err != nil {
		return nil, err
	}
	if c.LoadPlan != nil {
		return mandate.ParseLoadPlan(c.LoadPlan)
	}
	t, err := b.Target()
	if err != nil {
		return nil, err
	}
	return t.Draft(ctx, c, kind)
}

// caseOf fetches the papers of a kind of passage.
func (b *Beside) caseOf(ctx context.Context, id ecluse.MigrationID, kind ecluse.PassageKind) (ecluse.MigrationID, *exchange.Case, error) {
	m, err := b.migration(id)
	if err != nil {
		return "", nil, err
	}
	c, err := b.lock.Case(ctx, m, kind)
	return m, c, err
}

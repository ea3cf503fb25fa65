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
		plan, err := b.planInForce(ctx, q.Migration, ecluse.Final, func(c *exchange.Case) []byte { return c.ReadPlan })
		if err != nil {
			return "", err
		}
		p, err := mandate.ParseReadPlan(plan)
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
		plan, err := b.planInForce(ctx, q.Migration, kind, func(c *exchange.Case) []byte { return c.LoadPlan })
		if err != nil {
			return "", err
		}
		p, err := mandate.ParseLoadPlan(plan)
		if err != nil {
			return "", err
		}
		if c.Engine == ecluse.PostgreSQL {
			return postgres.LoadGrants(p, q.User)
		}
	}
	return "", unknownEngine(c.Engine, "granted "+q.Verb+" rights on")
}

// planInForce reads a plan that is compiled.
func (b *Beside) planInForce(ctx context.Context, id ecluse.MigrationID, kind ecluse.PassageKind, of func(*exchange.Case) []byte) ([]byte, error) {
	m, err := b.migration(id)
	if err != nil {
		return nil, err
	}
	c, err := b.lock.Case(ctx, m, kind)
	if err != nil {
		return nil, err
	}
	text := of(c)
	if text == nil {
		return nil, &ecluse.Error{Kind: ecluse.WaitsForSign, What: "write grants", Where: string(m), Why: "no plan is compiled yet", Next: "ecluse plan -m " + string(m) + " --passage " + string(kind)}
	}
	return text, nil
}

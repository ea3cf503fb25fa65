package app

import (
	"context"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/config"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/engine/mysql"
	"ecluse/internal/sluice/engine/postgres"
)

// grants writes the statements of one engine and verb.
func (r *Room) grants(ctx context.Context, q GrantsRequest, c *config.Gate) (string, error) {
	switch q.Verb {
	case "inspect":
		switch c.Engine {
		case ecluse.PostgreSQL:
			return postgres.InspectGrants(q.User), nil
		case ecluse.MySQL:
			return mysql.InspectGrants(mysql.Account{User: q.User, Host: q.Host}, []string{c.Catalogue.Database}), nil
		}
	case "read":
		plan, err := r.planInForce(ctx, q.Migration, evidence.KindReadPlan)
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
		plan, err := r.planInForce(ctx, q.Migration, kindLoadPlan(ecluse.Final))
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
	return "", unknownEngine(c, "granted "+q.Verb+" rights on")
}

// planInForce reads a plan that is compiled.
func (r *Room) planInForce(ctx context.Context, id ecluse.MigrationID, kind string) ([]byte, error) {
	m, err := r.migration(ctx, id)
	if err != nil {
		return nil, err
	}
	text, err := r.lock.current(ctx, m, kind)
	if err == nil && text == nil {
		return nil, &ecluse.Error{Kind: ecluse.WaitsForSign, What: "write grants", Where: string(m), Why: "no " + kind + " is compiled yet", Next: "ecluse plan -m " + string(m)}
	}
	return text, err
}

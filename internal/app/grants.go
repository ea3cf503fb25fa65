package app

import (
	"context"
	"path/filepath"

	"ecluse"
	"ecluse/internal/config"
)

// GrantsRequest asks for the SQL of a narrow account.
type GrantsRequest struct {
	Migration ecluse.MigrationID
	Verb      string // inspect, read or load
	Place     Place  // of inspect
	User      string // empty: the one that gate.yaml names
}

// Grants writes the SQL that makes a narrow account, for the database's
// administrator to read and run.
func (r *Room) Grants(ctx context.Context, q GrantsRequest) (string, error) {
	place := map[string]Place{"read": SourcePlace, "load": TargetPlace}[q.Verb]
	if place == "" {
		place = q.Place
	}
	folder := sourceDir
	if place == TargetPlace {
		folder = targetDir
	}
	c, err := config.Load(filepath.Join(r.dir, folder))
	if err != nil {
		return "", err
	}
	if q.User == "" { // the account that gate.yaml names
		q.User = c.Rows.User
		if q.Verb == "inspect" {
			q.User = c.Catalogue.User
		}
	}
	if c.Engine == ecluse.SQLite {
		return "", &ecluse.Error{
			Kind: ecluse.Refused, What: "write grants", Why: "SQLite has no accounts: whoever opens the file reads and writes all of it",
			Next: "say so in the instruction: accounts.source: {may_also_read: all, because: …}",
		}
	}
	return r.grants(ctx, q, c)
}

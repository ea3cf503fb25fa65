package app

import (
	"context"
	"fmt"

	"ecluse"
	"ecluse/internal/config"
	"ecluse/internal/mandate"
	sqliteengine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/reader"
	sqlitereader "ecluse/internal/sluice/reader/sqlite"
	"ecluse/internal/sluice/writer"
	sqlitewriter "ecluse/internal/sluice/writer/sqlite"
)

// openSource connects to an old laboratory's database: this list and the next
// are the engines compiled in.
func openSource(_ context.Context, c *config.Gate) (reader.Source, mandate.Dialect, error) {
	switch c.Engine {
	case ecluse.SQLite:
		return sqlitereader.New(c.Rows.File), sqliteengine.Dialect{}, nil
	}
	return nil, nil, unknownEngine(c, "read from")
}

// openTarget connects to a new laboratory's database.
func openTarget(_ context.Context, c *config.Gate) (writer.Target, mandate.Dialect, error) {
	switch c.Engine {
	case ecluse.SQLite:
		return sqlitewriter.New(c.Rows.File), sqliteengine.Dialect{}, nil
	}
	return nil, nil, unknownEngine(c, "written to")
}

func unknownEngine(c *config.Gate, what string) error {
	return &ecluse.Error{
		Kind: ecluse.Invalid, What: "connect to the database", Where: config.FileName + ": engine",
		Why: fmt.Sprintf("%s cannot be %s", c.Engine, what), Next: "read: sqlite, postgresql, mysql; write: sqlite, postgresql",
	}
}

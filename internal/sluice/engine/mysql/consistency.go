package mysql

import (
	"context"
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
)

// snapshots tells the storage engines in which one moment can be read for as long
// as it takes. MyISAM, Aria, MEMORY, CSV and ARCHIVE read what is there now.
func snapshots(storage string) bool {
	return strings.EqualFold(storage, "innodb") || strings.EqualFold(storage, "rocksdb")
}

// Begin begins an epoch on c. Every table is one of refs.
func Begin(ctx context.Context, c *Conn, consistency string, refs []Ref) error {
	var statements []string
	switch consistency {
	case mandate.Snapshot:
		statements = []string{"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"}
	case mandate.Locked:
		locks := make([]string, len(refs))
		for i, r := range refs {
			locks[i] = tableName(r.Table) + " AS " + r.Alias + " READ"
		}
		statements = []string{"LOCK TABLES " + strings.Join(locks, ", ")}
	case mandate.Frozen, mandate.Reread:
	default:
		return &ecluse.Error{Kind: ecluse.Invalid, What: "begin an epoch", Why: "consistency " + consistency + " is not one of snapshot, locked, frozen and reread"}
	}
	for _, s := range statements {
		if err := c.Exec(ctx, s); err != nil {
			return Wrap(ctx, "begin an epoch", consistency, err)
		}
	}
	return nil
}

// CheckStorage refuses a snapshot of a table that has none.
func CheckStorage(consistency string, table ecluse.TableName, storage string) error {
	if consistency != mandate.Snapshot || snapshots(storage) {
		return nil
	}
	why := "it is stored as " + storage + ", which has no snapshots"
	if storage == "" {
		why = "it is a view, and not every table that may lie beneath has snapshots"
	}
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "begin an epoch", Where: table.String(), Why: why,
		Next: "instruct consistency locked (nobody writes meanwhile), frozen or reread",
	}
}

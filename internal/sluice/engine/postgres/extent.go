package postgres

import (
	"context"
	"strconv"

	"ecluse"
)

// Extent is where the rows of a table lie.
type Extent struct {
	Blocks    uint32 // of the longest of its partitions and heirs: places before it hold every row
	Parts     int    // partitions and heirs that hold its rows
	OutOfLine bool   // values lie outside the blocks: what a block holds says nothing of its bytes
}

const extentQuery = relations + `
SELECT coalesce(max(pg_relation_size(c.oid)), 0) / current_setting('block_size')::int,
	coalesce(bool_or(pg_relation_size(nullif(c.reltoastrelid, 0)) > 0), false), count(*)
FROM relation AS r JOIN family AS f ON f.root = r.oid JOIN pg_class AS c ON c.oid = f.member AND c.relkind IN ('r', 'm')`

// ExtentOf asks how far a table reaches, for whoever may see its name.
func ExtentOf(ctx context.Context, conn *Conn, table ecluse.TableName) (Extent, error) {
	var e Extent
	err := conn.Each(ctx, extentQuery, func(v []string) error {
		blocks, err := strconv.ParseUint(v[0], 10, 32)
		if err != nil {
			return err
		}
		e.Blocks, e.OutOfLine = uint32(blocks), v[1] == "t"
		e.Parts, err = strconv.Atoi(v[2])
		return err
	}, table.Schema, table.Name)
	return e, Wrap(ctx, "measure", table.String(), err)
}

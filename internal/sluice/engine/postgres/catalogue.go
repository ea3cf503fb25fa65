package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"ecluse"
)

// Markers is the schema that holds Écluse's own tables in a target.
const Markers = "ecluse"

// relations is every table and view that is somebody's, with its partitions and
// heirs; $1 and $2 name one, or are empty. What Écluse made is left out: it would
// change the plan that it was made for.
const relations = `
WITH RECURSIVE relation AS (
	SELECT c.oid, n.nspname, c.relname, c.relkind
	FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
		AND n.nspname NOT IN ('pg_catalog', 'information_schema', '` + Markers + `') AND n.nspname !~ '^(pg_toast|pg_temp_|` + viewPrefix + `)'
		AND ($1 = '' AND $2 = '' OR n.nspname = $1 AND c.relname = $2)
), family(root, member) AS (
	SELECT oid, oid FROM relation WHERE relkind IN ('r', 'p', 'm', 'f')
	UNION
	SELECT f.root, i.inhrelid FROM family AS f JOIN pg_inherits AS i ON i.inhparent = f.member
), stored AS (
	SELECT f.root, bool_and(c.relkind IN ('r', 'm') AND a.amname = '` + heap + `') AS heap
	FROM family AS f JOIN pg_class AS c ON c.oid = f.member LEFT JOIN pg_am AS a ON a.oid = c.relam
	WHERE c.relkind <> 'p'
	GROUP BY f.root
)`

const tablesQuery = relations + `
SELECT r.oid, r.nspname, r.relname, r.relkind, CASE
	WHEN r.relkind IN ('v', 'f') THEN ''
	WHEN coalesce(s.heap, true) THEN '` + heap + `'
	WHEN r.relkind = 'p' THEN ''
	ELSE coalesce((SELECT a.amname FROM pg_am AS a JOIN pg_class AS c ON c.relam = a.oid WHERE c.oid = r.oid AND a.amname <> '` + heap + `'), '') END
FROM relation AS r LEFT JOIN stored AS s ON s.root = r.oid`

const columnsQuery = relations + `
SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), format_type(b.type, b.mod),
	NOT a.attnotnull AND NOT t.typnotnull, (a.atthasdef OR t.typdefault IS NOT NULL) AND a.attgenerated = '', a.attgenerated <> '', a.attidentity,
	(SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum AS e WHERE e.enumtypid = b.type)
FROM relation AS r JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
	JOIN pg_type AS t ON t.oid = a.atttypid
	CROSS JOIN LATERAL (
		WITH RECURSIVE base(type, mod) AS (
			SELECT a.atttypid, a.atttypmod
			UNION ALL
			SELECT d.typbasetype, d.typtypmod FROM base JOIN pg_type AS d ON d.oid = base.type WHERE d.typtype = 'd'
		)
		SELECT base.type, base.mod FROM base JOIN pg_type AS x ON x.oid = base.type WHERE x.typtype <> 'd'
	) AS b
ORDER BY a.attrelid, a.attnum`

const keysQuery = relations + `
SELECT i.indrelid, i.indisprimary, json_agg(a.attname ORDER BY k.place)
FROM relation AS r JOIN pg_index AS i ON i.indrelid = r.oid
	CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
	JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum = k.attnum
WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND k.place <= i.indnkeyatts
GROUP BY i.indexrelid, i.indrelid, i.indisprimary
HAVING bool_and(a.attnotnull)`

const foreignKeysQuery = relations + `
SELECT f.conrelid, f.conname, n.nspname, c.relname, f.condeferrable,
	(SELECT json_agg(a.attname ORDER BY k.place) FROM unnest(f.conkey) WITH ORDINALITY AS k(attnum, place) JOIN pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = k.attnum),
	(SELECT json_agg(a.attname ORDER BY k.place) FROM unnest(f.confkey) WITH ORDINALITY AS k(attnum, place) JOIN pg_attribute AS a ON a.attrelid = f.confrelid AND a.attnum = k.attnum)
FROM relation AS r JOIN pg_constraint AS f ON f.conrelid = r.oid AND f.contype = 'f' AND f.conparentid = 0
	JOIN pg_class AS c ON c.oid = f.confrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace`

const triggersQuery = relations + `
SELECT t.tgrelid, t.tgname FROM relation AS r JOIN pg_trigger AS t ON t.tgrelid = r.oid
WHERE NOT t.tgisinternal AND t.tgtype & 4 <> 0 AND t.tgenabled <> 'D'`

const sequencesQuery = `
SELECT n.nspname, c.relname, s.seqincrement
FROM pg_sequence AS s JOIN pg_class AS c ON c.oid = s.seqrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname <> '` + Markers + `' AND n.nspname !~ '^pg_temp_'`

// catalogueReader gathers tables by their identifiers.
type catalogueReader struct {
	conn *Conn
	only ecluse.TableName
	byID map[string]*ecluse.Table
}

// Catalogue reads the structure of the whole database, on a connection outside
// any transaction. It needs no right but to connect: names, types and keys are
// everybody's to see in PostgreSQL.
func Catalogue(ctx context.Context, conn *Conn) (*ecluse.Catalogue, error) {
	out := &ecluse.Catalogue{Engine: ecluse.PostgreSQL}
	r := &catalogueReader{conn: conn, byID: map[string]*ecluse.Table{}}
	_, err := conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	if err == nil {
		err = r.read(ctx)
	}
	if err == nil {
		err = conn.Each(ctx, sequencesQuery, func(v []string) error {
			increment, err := strconv.ParseInt(v[2], 10, 64)
			out.Sequences = append(out.Sequences, ecluse.Sequence{Name: ecluse.TableName{Schema: v[0], Name: v[1]}, Increment: increment})
			return err
		})
	}
	if err == nil {
		_, err = conn.Exec(ctx, "COMMIT")
	}
	if err != nil {
		return nil, Wrap(ctx, "inspect the catalogue", conn.config.String(), err)
	}
	for _, t := range r.byID {
		out.Tables = append(out.Tables, *t)
	}
	slices.SortFunc(out.Tables, func(a, b ecluse.Table) int { return byName(a.Name, b.Name) })
	slices.SortFunc(out.Sequences, func(a, b ecluse.Sequence) int { return byName(a.Name, b.Name) })
	return out, nil
}

// describeTable reads the structure of one table.
func describeTable(ctx context.Context, conn *Conn, n ecluse.TableName) (*ecluse.Table, error) {
	r := &catalogueReader{conn: conn, only: n, byID: map[string]*ecluse.Table{}}
	if err := r.read(ctx); err != nil {
		return nil, Wrap(ctx, "inspect a table", n.String(), err)
	}
	for _, t := range r.byID {
		return t, nil
	}
	return nil, &ecluse.Error{Kind: ecluse.Differs, What: "inspect a table", Where: n.String(), Why: "it is not there", Next: "compile the plan again: the structure changed"}
}

func byName(a, b ecluse.TableName) int {
	return cmp.Or(cmp.Compare(a.Schema, b.Schema), cmp.Compare(a.Name, b.Name))
}

func (r *catalogueReader) read(ctx context.Context) error {
	for _, q := range []struct {
		query string
		take  func([]string) error
	}{
		{tablesQuery, r.table},
		{columnsQuery, r.column},
		{keysQuery, r.key},
		{foreignKeysQuery, r.foreignKey},
		{triggersQuery, r.trigger},
	} {
		if err := r.conn.Each(ctx, q.query, q.take, r.only.Schema, r.only.Name); err != nil {
			return err
		}
	}
	for _, t := range r.byID {
		slices.SortFunc(t.Unique, slices.Compare)
		slices.SortFunc(t.ForeignKeys, func(a, b ecluse.ForeignKey) int { return cmp.Compare(a.Name, b.Name) })
		slices.Sort(t.Triggers)
	}
	return nil
}

func (r *catalogueReader) table(v []string) error {
	kind := map[string]ecluse.TableKind{
		"r": ecluse.BaseTable, "p": ecluse.Partitioned, "v": ecluse.View, "m": ecluse.MaterializedView, "f": ecluse.ForeignTable,
	}[v[3]]
	r.byID[v[0]] = &ecluse.Table{Name: ecluse.TableName{Schema: v[1], Name: v[2]}, Kind: kind, Storage: v[4]}
	return nil
}

func (r *catalogueReader) column(v []string) error {
	t := r.byID[v[0]]
	if t == nil {
		return nil // made since the query before
	}
	c := ecluse.Column{
		Name: v[1], Declared: v[2], Nullable: v[4] == "t", HasDefault: v[5] == "t", Generated: v[6] == "t",
		Identity: map[string]string{"a": "always", "d": "by default"}[v[7]],
	}
	describe(&c, v[3])
	if v[8] != "" {
		if err := json.Unmarshal([]byte(v[8]), &c.Labels); err != nil {
			return err
		}
	}
	t.Columns = append(t.Columns, c)
	return nil
}

func (r *catalogueReader) key(v []string) error {
	t := r.byID[v[0]]
	if t == nil {
		return nil
	}
	var columns []string
	if err := json.Unmarshal([]byte(v[2]), &columns); err != nil {
		return err
	}
	if v[1] == "t" {
		t.PrimaryKey = columns
	} else {
		t.Unique = append(t.Unique, columns)
	}
	return nil
}

func (r *catalogueReader) foreignKey(v []string) error {
	t := r.byID[v[0]]
	if t == nil {
		return nil
	}
	k := ecluse.ForeignKey{Name: v[1], References: ecluse.TableName{Schema: v[2], Name: v[3]}, Deferrable: v[4] == "t"}
	if err := json.Unmarshal([]byte(v[5]), &k.Columns); err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(v[6]), &k.RefColumns); err != nil {
		return err
	}
	t.ForeignKeys = append(t.ForeignKeys, k)
	return nil
}

func (r *catalogueReader) trigger(v []string) error {
	if t := r.byID[v[0]]; t != nil {
		t.Triggers = append(t.Triggers, v[1])
	}
	return nil
}

// Estimates guesses the rows of tables from what the server last counted.
func Estimates(ctx context.Context, conn *Conn) (map[ecluse.TableName]int64, error) {
	guess := map[ecluse.TableName]int64{}
	err := conn.Each(ctx, relations+`
SELECT r.nspname, r.relname, sum(greatest(c.reltuples, 0))::bigint
FROM relation AS r JOIN family AS f ON f.root = r.oid JOIN pg_class AS c ON c.oid = f.member AND c.relkind IN ('r', 'm', 'f')
GROUP BY r.oid, r.nspname, r.relname
HAVING bool_or(c.reltuples > 0)`, func(v []string) error {
		n, err := strconv.ParseInt(v[2], 10, 64)
		guess[ecluse.TableName{Schema: v[0], Name: v[1]}] = n
		return err
	}, "", "")
	return guess, Wrap(ctx, "estimate", conn.config.String(), err)
}

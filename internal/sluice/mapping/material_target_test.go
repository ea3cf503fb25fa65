package mapping

import (
	"context"
	"math/big"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"ecluse"
)

// catalogue reads what a mapping is checked against: tables, columns, keys and
// sequences of one schema.
func catalogue(t *testing.T, conn *pgx.Conn) *ecluse.Catalogue {
	t.Helper()
	c := &ecluse.Catalogue{Engine: ecluse.PostgreSQL}
	index := map[string]int{}
	each(t, conn, `select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text, a.atthasdef::text
		from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
		where n.nspname = 'clinlims' and c.relkind = 'r' order by c.relname collate "C", a.attnum`, func(r []string) {
		i, ok := index[r[0]]
		if !ok {
			i = len(c.Tables)
			index[r[0]] = i
			c.Tables = append(c.Tables, ecluse.Table{Name: ecluse.TableName{Schema: "clinlims", Name: r[0]}, Kind: ecluse.BaseTable})
		}
		col := ecluse.Column{Name: r[1], Declared: r[2], Nullable: r[3] != "true", HasDefault: r[4] == "true", FracDigits: 6}
		describe(&col)
		c.Tables[i].Columns = append(c.Tables[i].Columns, col)
	})
	each(t, conn, `select c.relname, k.contype::text, k.conname, coalesce(f.relname, ''),
		(select string_agg(attname, ',' order by o) from unnest(k.conkey) with ordinality u(n, o) join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.n)
		from pg_constraint k join pg_class c on c.oid = k.conrelid left join pg_class f on f.oid = k.confrelid
		where c.relnamespace = 'clinlims'::regnamespace and k.contype in ('p', 'f') order by k.conname`, func(r []string) {
		tab := &c.Tables[index[r[0]]]
		columns := regexp.MustCompile(",").Split(r[4], -1)
		if r[1] == "p" {
			tab.PrimaryKey = columns
			return
		}
		tab.ForeignKeys = append(tab.ForeignKeys, ecluse.ForeignKey{Name: r[2], Columns: columns, References: ecluse.TableName{Schema: "clinlims", Name: r[3]}})
	})
	each(t, conn, `select relname from pg_class where relnamespace = 'clinlims'::regnamespace and relkind = 'S' order by 1`, func(r []string) {
		c.Sequences = append(c.Sequences, ecluse.Sequence{Name: ecluse.TableName{Schema: "clinlims", Name: r[0]}, Increment: 1})
	})
	return c
}

func each(t *testing.T, conn *pgx.Conn, q string, f func([]string)) {
	t.Helper()
	rows, err := conn.Query(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		out := make([]string, len(rows.FieldDescriptions()))
		into := make([]any, len(out))
		for i := range out {
			into[i] = &out[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		f(out)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

var declaredSize = regexp.MustCompile(`^([a-z ]+)(?:\((\d+)(?:,(\d+))?\))?(.*)$`)

func describe(c *ecluse.Column) {
	m := declaredSize.FindStringSubmatch(c.Declared)
	size, _ := strconv.Atoi(m[2])
	scale, _ := strconv.Atoi(m[3])
	switch m[1] + m[4] {
	case "numeric":
		c.Type = ecluse.Type{Kind: ecluse.Number}
		if size > 0 {
			c.Type = ecluse.Type{Kind: ecluse.Decimal, Precision: size, Scale: scale}
		}
	case "integer", "bigint", "smallint":
		c.Type = ecluse.Type{Kind: ecluse.Int}
	case "boolean":
		c.Type = ecluse.Type{Kind: ecluse.Bool}
	case "double precision":
		c.Type = ecluse.Type{Kind: ecluse.Float, Precision: 53}
	case "bytea":
		c.Type = ecluse.Type{Kind: ecluse.Bytes}
	case "timestamp without time zone":
		c.Type = ecluse.Type{Kind: ecluse.Timestamp}
	case "timestamp with time zone":
		c.Type = ecluse.Type{Kind: ecluse.Instant}
	default:
		c.Type, c.MaxLength = ecluse.Type{Kind: ecluse.Text}, size
	}
}

// copyIn writes rows with pgx's own COPY.
func copyIn(ctx context.Context, t *testing.T, conn *pgx.Conn, rows Rows) {
	t.Helper()
	var columns []string
	for _, f := range rows.Batch.Schema.Fields {
		columns = append(columns, f.Name)
	}
	i := -1
	n, err := conn.CopyFrom(ctx, pgx.Identifier{rows.Table.Schema, rows.Table.Name}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		if i++; i == rows.Batch.Rows() {
			return nil, nil
		}
		out := make([]any, len(columns))
		for j, c := range rows.Batch.Columns {
			if c.Null(i) {
				continue
			}
			switch c.Type().Kind {
			case ecluse.Decimal:
				out[j] = pgtype.Numeric{Int: big.NewInt(c.Int(i)), Exp: -int32(c.Type().Scale), Valid: true}
			case ecluse.Int:
				out[j] = c.Int(i)
			case ecluse.Bool:
				out[j] = c.Int(i) != 0
			case ecluse.Float:
				out[j] = c.Float(i)
			case ecluse.Timestamp, ecluse.Instant:
				out[j] = time.UnixMicro(c.Int(i)).UTC()
			default:
				out[j] = string(c.Bytes(i))
			}
		}
		return out, nil
	}))
	if err != nil {
		t.Fatalf("copy into %s: %v", rows.Table, err)
	}
	if n != int64(rows.Batch.Rows()) || len(rows.Source) != rows.Batch.Rows() {
		t.Errorf("%s: %d rows copied of %d, %d sources", rows.Table, n, rows.Batch.Rows(), len(rows.Source))
	}
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"ecluse"
	engine "ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/writer"
)

// Revise takes rows of loaded chunks out and brings new chunks in.
func (s *session) Revise(ctx context.Context, r *writer.Revision, beforeCommit func(ctx context.Context, out *writer.Revised) error) (*writer.Revised, error) {
	const what = writer.Revising
	x, err := r.Exchange()
	if err != nil {
		return nil, err
	}
	gone, err := s.loading(what, x.Gone)
	if err != nil {
		return nil, err
	}
	come, err := s.loading(what, x.Come)
	if err != nil {
		return nil, err
	}
	var out *writer.Revised
	err = s.transaction(ctx, what, readWrite, func() error {
		out, err = x.Begin(func(slot ecluse.Slot) (*writer.Marker, error) { return s.stored(ctx, slot) })
		if err != nil || out.Already {
			return err
		}
		for _, c := range r.Come {
			m, _, err := s.mark(ctx, what, c)
			if err != nil {
				return err
			}
			out.Markers = append(out.Markers, m)
		}
		refused, err := s.exchange(ctx, gone, come)
		if err != nil {
			return err
		}
		x.Took(out, refused)
		if beforeCommit != nil {
			if err := beforeCommit(ctx, out); err != nil {
				return callers(err)
			}
		}
		for i := range out.Markers {
			if err := s.correct(ctx, &out.Markers[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// exchange is rows on their way out and others on their way in.
//
// PostgreSQL looks at most foreign keys when a statement ends: one statement takes all
// out and brings all in, lest rows that stay be in the way, which refer to a row whose
// key comes again. (The account may not change rows, with UPDATE, and need not.) Which
// of the rows that come are to be put aside must then be found within that statement,
// by a function that lives as long as the transaction: it is come's attempt and heal,
// in PL/pgSQL.
type exchange struct {
	*session
	gone, come *loading
	going      []*going // the tables of gone with rows
	sizes      []int64  // how many
	staged     *loading // come's rows in temporary tables
}

// exchange takes out and brings in, and tells what the database refuses.
func (s *session) exchange(ctx context.Context, gone, come *loading) ([]writer.Refusal, error) {
	x := &exchange{session: s, gone: gone, come: come}
	if err := x.name(ctx); err != nil {
		return nil, err
	}
	for i, g := range x.going {
		if err := x.standing(ctx, g, x.sizes[i]); err != nil {
			return nil, err
		}
	}
	if err := x.stage(ctx); err != nil {
		return nil, err
	}
	if _, err := s.conn.Exec(ctx, "SAVEPOINT exchange; SET CONSTRAINTS ALL DEFERRED"); err != nil {
		return nil, err
	}
	var along *alongError
	switch err := x.take(ctx, "pg_temp."+comeFunction); {
	case err == nil:
		refused, err := x.refusals(ctx)
		return refused, errors.Join(err, x.forget(ctx))
	case !errors.As(err, &along):
		return nil, err
	}
	// A foreign key that takes referring rows along, or never waits, does so with those
	// that came in the same statement, too: those that go may go by themselves.
	if _, err := s.conn.Exec(ctx, "ROLLBACK TO exchange"); err != nil {
		return nil, err
	}
	if err := x.take(ctx, ""); errors.As(err, &along) {
		return nil, along.err
	} else if err != nil {
		return nil, err
	}
	if err := come.write(ctx); err != nil {
		return nil, err
	}
	return come.refusals(), x.forget(ctx)
}

// name puts what is to go into temporary tables.
func (x *exchange) name(ctx context.Context) error {
	for place, t := range x.gone.tables {
		if len(t.rows.Source) == 0 {
			continue
		}
		g := &going{table: t, place: place, names: fmt.Sprintf("ecluse_gone_%d", place)}
		if g.by, g.keyed = t.key(); !g.keyed {
			g.by = t.columns
		}
		if err := x.session.name(ctx, g, true); err != nil {
			return err
		}
		x.going, x.sizes = append(x.going, g), append(x.sizes, int64(len(t.rows.Source)))
	}
	return nil
}

// standing refuses rows that are not there as they were loaded. Of a table without a
// key it is known when they go.
func (x *exchange) standing(ctx context.Context, g *going, rows int64) error {
	if !g.keyed {
		return nil
	}
	n, err := x.count(ctx, "SELECT count(*) FROM pg_temp."+g.names+" AS g JOIN "+engine.Name(g.rows.Table)+" AS t ON "+g.byKey()+" AND "+g.same())
	if err == nil && n != rows {
		err = writer.RefuseAltered(g.rows.Table, rows-n)
	}
	return err
}

func (x *exchange) count(ctx context.Context, query string) (int64, error) {
	n, err := x.conn.One(ctx, query)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(n, 10, 64)
}

// stage puts what comes into temporary tables of the target's types; what does not fit
// these is put aside.
func (x *exchange) stage(ctx context.Context) error {
	x.staged = &loading{session: x.session, chunk: x.come.chunk, refused: map[int32]string{}, healing: map[int32]bool{}}
	for i, t := range x.come.tables {
		copier, rows, err := x.aside(ctx, staged(i), t, t.columns, func(row int) int64 { return int64(t.rows.Source[row]) })
		if err != nil {
			return err
		}
		into := *t
		into.rows = &writer.Rows{Table: t.rows.Table, Batch: rows, Source: t.rows.Source}
		into.copier = copier
		x.staged.tables = append(x.staged.tables, &into)
	}
	if err := x.staged.write(ctx); err != nil {
		return err
	}
	var b strings.Builder
	for i := range x.staged.tables {
		fmt.Fprintf(&b, "CREATE INDEX ON pg_temp.%[1]s (%[2]s); ANALYZE pg_temp.%[1]s (%[2]s); ", staged(i), ordinal)
	}
	b.WriteString(`CREATE TEMP TABLE ecluse_took (place int, rows bigint) ON COMMIT DROP; `)
	b.WriteString(`CREATE TEMP TABLE ecluse_refused (source bigint PRIMARY KEY, why text[]) ON COMMIT DROP; `)
	for _, f := range x.functions() {
		b.WriteString("CREATE FUNCTION pg_temp." + f[0] + " LANGUAGE plpgsql AS " + engine.Literal(f[1]) + "; ")
	}
	_, err := x.conn.Exec(ctx, b.String())
	if refused := engine.Server(err); refused != nil && refused.State == noRight {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: writer.Revising, Where: "language plpgsql", Why: "the account may not use it",
			Next: "have the database's administrator run: GRANT USAGE ON LANGUAGE plpgsql TO " + engine.Name(ecluse.TableName{Name: x.conn.Config().User}),
		}
	}
	return err
}

// staged is the temporary table of a place among the tables that come.
func staged(place int) string { return fmt.Sprintf("ecluse_come_%d", place) }

// forget drops the functions. Tables go when the transaction ends.
func (x *exchange) forget(ctx context.Context) error {
	_, err := x.conn.Exec(ctx, "DROP FUNCTION pg_temp.ecluse_try, pg_temp.ecluse_part, pg_temp."+comeFunction)
	return err
}

// comeFunction brings the staged rows in.
const comeFunction = "ecluse_come"

// functions are those that bring in what is staged, as attempt and heal do: the whole,
// either half where the database refuses some, down to the source rows to blame; then,
// again, those that missed a row which came after them. Parameters have no names, which
// could be columns'.
func (x *exchange) functions() [][2]string {
	var write strings.Builder
	for i, t := range x.come.tables {
		fmt.Fprintf(&write, `at := %d;
		INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM pg_temp.%s AS c WHERE c.%[6]s >= $1 AND c.%[6]s < $2 ORDER BY c.%[6]s;
		GET DIAGNOSTICS took = ROW_COUNT;
		IF took > 0 THEN INSERT INTO pg_temp.ecluse_took VALUES (at, took); END IF;
		`, i, engine.Name(t.rows.Table), strings.Join(bare(t.columns), ", "), strings.Join(quoted("c", t.columns), ", "), staged(i), ordinal)
	}
	const changed = "SELECT coalesce(sum(n_tup_del + n_tup_upd), 0) FROM pg_stat_xact_user_tables"
	return [][2]string{
		{"ecluse_try(bigint, bigint) RETURNS text[]", `DECLARE
	at int; took bigint; state text; schema_of text; table_of text; column_of text; constraint_of text;
BEGIN
	BEGIN
		` + write.String() + `SET CONSTRAINTS ALL IMMEDIATE;
		SET CONSTRAINTS ALL DEFERRED;
		RETURN NULL;
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, schema_of = SCHEMA_NAME, table_of = TABLE_NAME, column_of = COLUMN_NAME, constraint_of = CONSTRAINT_NAME;
		IF left(state, 2) NOT IN ('` + strings.Join(engine.RowClasses(), "', '") + `') THEN
			RAISE;
		END IF;
	END;
	RETURN ARRAY[state, schema_of, table_of, column_of, constraint_of, at::text];
END`},
		{"ecluse_part(bigint, bigint) RETURNS void", `DECLARE
	why text[] := pg_temp.ecluse_try($1, $2); middle bigint := $1 + ($2 - $1) / 2;
BEGIN
	IF why IS NULL THEN
		RETURN;
	ELSIF $2 - $1 = 1 THEN
		INSERT INTO pg_temp.ecluse_refused VALUES ($1, why);
	ELSE
		PERFORM pg_temp.ecluse_part($1, middle);
		PERFORM pg_temp.ecluse_part(middle, $2);
	END IF;
END`},
		{comeFunction + "(bigint) RETURNS bigint", `DECLARE
	before bigint; back boolean := true; more boolean := true; one bigint;
BEGIN
	before := (` + changed + `);
	PERFORM pg_temp.ecluse_part(0, ` + strconv.Itoa(x.come.chunk.Rows) + `);
	WHILE more LOOP
		more := false;
		FOR one IN SELECT r.source FROM pg_temp.ecluse_refused AS r WHERE r.why[1] = '` + foreignKey + `' ORDER BY CASE WHEN back THEN -r.source ELSE r.source END LOOP
			IF pg_temp.ecluse_try(one, one + 1) IS NULL THEN
				DELETE FROM pg_temp.ecluse_refused AS r WHERE r.source = one;
				more := true;
			END IF;
		END LOOP;
		back := NOT back;
	END LOOP;
	RETURN (` + changed + `) - before;
END`},
	}
}

// take takes out all that goes and, in the same statement, calls for what comes, if
// anything is to be called: a function of how many went, which makes those go first. It
// counts what it changed itself. An alongError may come of what came in the same
// statement.
func (x *exchange) take(ctx context.Context, calls string) error {
	var with, counts []string
	for i, g := range x.going {
		u := &unloading{session: x.session, what: writer.Revising, leave: true}
		with = append(with, fmt.Sprintf("d%d AS (%s RETURNING 1)", i, u.deletion(part{g, ""})))
		counts = append(counts, fmt.Sprintf("(SELECT count(*) FROM d%d)", i))
	}
	sql := ""
	if len(with) > 0 {
		sql = "WITH " + strings.Join(with, ",\n") + "\n"
	}
	if calls == "" {
		calls = "0"
	} else {
		calls += "(" + strings.Join(append([]string{"0"}, counts...), " + ") + ")"
	}
	before, err := x.changed(ctx)
	if err != nil {
		return err
	}
	var went []int64
	err = x.conn.Each(ctx, sql+"SELECT "+strings.Join(append(counts, calls), ", "), func(v []string) error {
		for _, s := range v {
			n, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				return err
			}
			went = append(went, n)
		}
		return nil
	})
	if err == nil {
		_, err = x.conn.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
	}
	switch refused := engine.Server(err); {
	case err == nil:
	case refused == nil || !refused.Row():
		return err
	case refused.State == foreignKey || refused.State == restricted:
		return &alongError{writer.RefuseReferred(refused)}
	default:
		return writer.RefuseKept(refused.Table, refused)
	}
	along := -before
	for i, n := range went {
		along -= n
		if i == len(x.going) || n == x.sizes[i] {
			continue
		}
		if g := x.going[i]; !g.keyed {
			return writer.RefuseAltered(g.rows.Table, x.sizes[i]-n)
		} else if err := x.standing(ctx, g, x.sizes[i]-n); err != nil {
			return err // between the two somebody worked
		}
		return writer.RefuseKept(x.going[i].rows.Table, nil)
	}
	after, err := x.changed(ctx)
	if along += after; err != nil || along == 0 || len(x.going) == 0 {
		return err
	}
	return &alongError{writer.RefuseAlong(x.going[0].rows.Table, along)}
}

// refusals are what did not fit and what the function put aside, in order.
func (x *exchange) refusals(ctx context.Context) ([]writer.Refusal, error) {
	err := x.conn.Each(ctx, "SELECT source, why[1], why[2], why[3], why[4], why[5], why[6] FROM pg_temp.ecluse_refused", func(v []string) error {
		row, err := strconv.Atoi(v[0])
		if err != nil {
			return err
		}
		why := &engine.ServerError{State: v[1], Table: ecluse.TableName{Schema: v[2], Name: v[3]}, Column: v[4], Constraint: v[5]}
		if at, err := strconv.Atoi(v[6]); why.Table.Name == "" && err == nil {
			why.Table = x.come.tables[at].rows.Table
		}
		x.staged.refused[int32(row)] = why.Error()
		return nil
	})
	if err != nil {
		return nil, err
	}
	took := make([]int64, len(x.come.tables))
	err = x.conn.Each(ctx, "SELECT place, sum(rows) FROM pg_temp.ecluse_took GROUP BY 1", func(v []string) error {
		place, err := strconv.Atoi(v[0])
		if err != nil {
			return err
		}
		took[place], err = strconv.ParseInt(v[1], 10, 64)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, t := range x.staged.tables {
		given := int64(0)
		for _, source := range t.rows.Source {
			if _, refused := x.staged.refused[source]; !refused {
				given++
			}
		}
		if given != took[i] {
			return nil, withheld(t.rows.Table, given, took[i])
		}
	}
	return x.staged.refusals(), nil
}

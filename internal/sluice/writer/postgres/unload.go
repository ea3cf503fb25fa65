package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// Unload takes a chunk out again, the last table first.
func (s *session) Unload(ctx context.Context, chunk *writer.Chunk, how writer.Unloading) (*writer.Unloaded, error) {
	what := "unload chunk " + chunk.Slot.String()
	l, err := s.loading(what, chunk)
	if err != nil {
		return nil, err
	}
	u := &unloading{session: s, what: what, leave: how.Leave, byKey: how.ByKey}
	var out *writer.Unloaded
	err = s.transaction(ctx, what, readWrite, func() error {
		m, err := s.stored(ctx, chunk.Slot)
		switch {
		case err != nil:
			return err
		case m == nil:
			return &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "it is not in this target"}
		}
		if err := l.without(what, m.Refused); err != nil {
			return err
		}
		if out, err = u.run(ctx, l); err != nil {
			return err
		}
		if how.BeforeCommit != nil {
			if err := how.BeforeCommit(ctx, out); err != nil {
				return callers(err)
			}
		}
		return s.conn.Each(ctx, "DELETE FROM "+markers+" WHERE "+ours+bySlot, nil, s.id(slotArgs(chunk.Slot)...)...)
	})
	if refused := engine.Server(err); refused != nil && (refused.State == foreignKey || refused.State == restricted) {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: what, Why: "rows that did not come with it refer to its rows", Err: refused,
			Next: "take those out first; chunks are unloaded in the reverse of their order",
		}
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// TakeLeft tries rows once more that Unload left.
func (s *session) TakeLeft(ctx context.Context, left []writer.Rows, how writer.Unloading) (*writer.Unloaded, error) {
	const what = "take out rows that were left"
	l, err := s.loading(what, writer.LeftOf(left))
	if err != nil {
		return nil, err
	}
	var out *writer.Unloaded
	err = s.transaction(ctx, what, readWrite, func() error {
		switch _, there, err := s.recorded(ctx, what); {
		case err != nil:
			return err
		case !there:
			return &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "the passage has not begun in this target"}
		}
		u := &unloading{session: s, what: what, leave: true, byKey: how.ByKey}
		if out, err = u.run(ctx, l); err != nil || how.BeforeCommit == nil {
			return err
		}
		return callers(how.BeforeCommit(ctx, out))
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// restricted is what ON DELETE RESTRICT answers from PostgreSQL 18 on.
const restricted = "23001"

// without refuses a chunk that holds rows of source rows that never came in: by
// their key, rows of others would go.
func (l *loading) without(what string, refused []int32) error {
	for _, t := range l.tables {
		for _, row := range refused {
			if from, to := t.span(row, row+1); from < to {
				return &ecluse.Error{
					Kind: ecluse.Invalid, What: what, Where: fmt.Sprintf("%s, source row %d", t.rows.Table, row),
					Why: "that source row was refused when the chunk was loaded",
				}
			}
		}
	}
	return nil
}

// unloading is one chunk on its way out.
type unloading struct {
	session *session
	what    string
	leave   bool
	byKey   []ecluse.TableName
	tables  []*going // the last first
	seen    int64    // rows that the transaction changed so far
}

// going is the rows of one table that are to go.
type going struct {
	*table
	place   int                  // of the table in the chunk
	names   string               // the temporary table that names the rows
	by      []mandate.LoadColumn // by which they are found: the key, or all
	keyed   bool
	changed bool // rows that were changed go, too
	indexed bool // by the key, every partition
	deleted int64
	stays   map[int]bool // rows that the database does not let go
}

// ordinal is the column of the temporary tables that has a row's place.
const ordinal = `"ecluse row"`

func (u *unloading) run(ctx context.Context, l *loading) (_ *writer.Unloaded, err error) {
	for place, t := range l.tables {
		if len(t.rows.Source) == 0 {
			continue
		}
		g := &going{table: t, place: place, names: fmt.Sprintf("ecluse_gone_%d", place), changed: !u.leave || slices.Contains(u.byKey, t.rows.Table), stays: map[int]bool{}}
		if g.by, g.keyed = t.key(); !g.keyed {
			g.by = t.columns
		} else if g.indexed, err = u.session.indexed(ctx, t.rows.Table); err != nil {
			return nil, err
		}
		if err := u.session.name(ctx, g, u.leave); err != nil {
			return nil, err
		}
		u.tables = append(u.tables, g)
	}
	slices.Reverse(u.tables) // the last table goes first
	if _, err := u.session.conn.Exec(ctx, "SET CONSTRAINTS ALL DEFERRED"); err != nil {
		return nil, err
	}
	if !u.leave {
		if err := u.takeAll(ctx); err != nil {
			return nil, err
		}
	} else if err := u.takeWhatGoes(ctx); err != nil {
		return nil, err
	}
	return u.outcome(ctx)
}

// takeAll takes every row out, or fails.
func (u *unloading) takeAll(ctx context.Context) error {
	before, err := u.session.changed(ctx)
	if err != nil {
		return err
	}
	for _, g := range u.tables {
		if g.deleted, err = u.session.conn.Exec(ctx, g.planned()+u.deletion(part{g, ""})); err != nil {
			return err
		}
		after, err := u.session.changed(ctx)
		if err == nil {
			err = u.along(g, after-before-g.deleted)
		}
		if err != nil {
			return err
		}
		before = after
	}
	_, err = u.session.conn.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE")
	return err
}

// takeWhatGoes tries all at once, for that is what is ordinary. If the database
// does not let all of it go, each table is halved down to the rows that stay,
// those written last first.
func (u *unloading) takeWhatGoes(ctx context.Context) error {
	if len(u.tables) == 0 {
		return nil
	}
	var all []part
	for _, g := range u.tables {
		all = append(all, part{g, ""})
	}
	var err error
	if u.seen, err = u.session.changed(ctx); err != nil {
		return err
	}
	went, err := u.try(ctx, all...)
	if err != nil || went {
		return err
	}
	for _, g := range u.tables {
		find := "CREATE INDEX ON pg_temp." + g.names + " (" + ordinal + "); ANALYZE pg_temp." + g.names + " (" + ordinal + ")"
		if _, err := u.session.conn.Exec(ctx, find); err != nil {
			return err
		}
		if err := u.halve(ctx, g, 0, len(g.rows.Source)); err != nil {
			return err
		}
	}
	return u.again(ctx)
}

func (u *unloading) halve(ctx context.Context, g *going, lo, hi int) error {
	went, err := u.try(ctx, part{g, fmt.Sprintf(" AND g.%s >= %d AND g.%s < %d", ordinal, lo, ordinal, hi)})
	if err != nil || went {
		return err
	}
	if hi-lo == 1 {
		g.stays[lo] = true
		return nil
	}
	mid := lo + (hi-lo)/2
	if err := u.halve(ctx, g, mid, hi); err != nil {
		return err
	}
	return u.halve(ctx, g, lo, mid)
}

// again tries the rows that stay once more, until none more goes: one that
// referred to them may have gone after they were tried. What one source row made
// is tried together first, for it may refer to each other.
func (u *unloading) again(ctx context.Context) error {
	for {
		bySource := map[int32][]staying{}
		for _, g := range u.tables {
			for row := range g.stays {
				source := g.rows.Source[row]
				bySource[source] = append(bySource[source], staying{g, row})
			}
		}
		var progress bool
		for _, source := range slices.Backward(slices.Sorted(maps.Keys(bySource))) {
			went, err := u.oneByOne(ctx, bySource[source])
			if err != nil {
				return err
			}
			progress = progress || went
		}
		if !progress {
			return nil
		}
	}
}

// staying is a row that was not let go.
type staying struct {
	g   *going
	row int
}

// oneByOne tries rows together, then each; it tells whether any went.
func (u *unloading) oneByOne(ctx context.Context, rows []staying) (any bool, err error) {
	var parts []part
	for _, x := range rows {
		parts = append(parts, part{x.g, fmt.Sprintf(" AND g.%s = %d", ordinal, x.row)})
	}
	went, err := u.try(ctx, parts...)
	if err != nil {
		return false, err
	}
	if went {
		for _, x := range rows {
			delete(x.g.stays, x.row)
		}
		return true, nil
	}
	if len(rows) == 1 {
		return false, nil
	}
	for i, x := range rows {
		if went, err = u.try(ctx, parts[i]); err != nil {
			return any, err
		}
		if went {
			any = true
			delete(x.g.stays, x.row)
		}
	}
	return any, nil
}

// part is some of the rows of a table: those of which a condition holds.
type part struct {
	g   *going
	and string
}

// try takes parts out, all or none: none when the database refuses one of their
// rows, or when rows of others would go or change along with them.
func (u *unloading) try(ctx context.Context, parts ...part) (went bool, err error) {
	conn := u.session.conn
	deleted := make([]int64, len(parts))
	own := int64(0)
	first := "SAVEPOINT part; "
	for i, p := range parts {
		if deleted[i], err = conn.Exec(ctx, first+p.g.planned()+u.deletion(p)); err != nil {
			break
		}
		own += deleted[i]
		first = ""
	}
	if err == nil {
		_, err = conn.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
	}
	if err == nil { // deferred triggers ran only now
		before := u.seen
		if u.seen, err = u.session.changed(ctx); err != nil {
			return false, err
		}
		err = u.along(parts[0].g, u.seen-before-own)
	}
	if err == nil {
		for i, p := range parts {
			p.g.deleted += deleted[i]
		}
		_, err = conn.Exec(ctx, "RELEASE part")
		return err == nil, err
	}
	var e *alongError
	if refused := engine.Server(err); !errors.As(err, &e) && (refused == nil || !refused.Row()) {
		return false, err
	}
	if _, err := conn.Exec(ctx, "ROLLBACK TO part; RELEASE part"); err != nil {
		return false, err
	}
	u.seen, err = u.session.changed(ctx) // what was rolled back counts, too
	return false, err
}

// along refuses that rows of others would be deleted or changed along with a
// table's, by their foreign keys or triggers: those could not be brought back.
func (u *unloading) along(g *going, rows int64) error {
	if rows == 0 {
		return nil
	}
	return &alongError{&ecluse.Error{
		Kind: ecluse.Refused, What: u.what, Where: g.rows.Table.String(),
		Why: fmt.Sprintf("%d rows that did not come with it would be deleted or changed along with it", rows),
	}}
}

// alongError is rows of others that would go or change.
type alongError struct{ err error }

func (e *alongError) Error() string { return e.err.Error() }
func (e *alongError) Unwrap() error { return e.err }

// name puts the rows' columns into a temporary table whose types are the target's:
// those they are found by or, to see what was changed, all.
func (s *session) name(ctx context.Context, g *going, leave bool) error {
	columns, number := g.by, (func(int) int64)(nil)
	if leave {
		columns, number = g.columns, func(i int) int64 { return int64(i) }
	}
	copier, b, err := s.aside(ctx, g.names, g.table, columns, number)
	if err != nil {
		return err
	}
	if _, err := s.conn.CopyIn(ctx, copier.Statement(), copier.Rows(b, 0, len(g.rows.Source), nil)); err != nil {
		return err
	}
	if g.keyed {
		return nil // how many there are the planner sees, and the target's key is unique
	}
	_, err = s.conn.Exec(ctx, "ANALYZE pg_temp."+g.names+" ("+strings.Join(bare(g.by), ", ")+")")
	return err
}

// aside makes a temporary table with columns of a table, of the target's own types,
// and the number of each row, if they are numbered; it returns what copies into it,
// and the rows.
func (s *session) aside(ctx context.Context, name string, t *table, columns []mandate.LoadColumn, number func(row int) int64) (*engine.Copier, *record.Batch, error) {
	creation := "CREATE TEMP TABLE " + name + " ON COMMIT DROP AS SELECT " + strings.Join(quoted("t", columns), ", ")
	b := &record.Batch{Schema: &record.Schema{}}
	for _, c := range columns {
		b.Schema.Fields = append(b.Schema.Fields, record.Field{Name: c.Name, Type: c.Type})
		b.Columns = append(b.Columns, t.rows.Batch.Column(c.Name))
	}
	if number != nil {
		creation += ", 0::bigint AS " + ordinal
		numbers := record.NewColumn(ecluse.Type{Kind: ecluse.Int}, len(t.rows.Source))
		for i := range t.rows.Source {
			numbers.AppendInt(number(i))
		}
		columns = append(slices.Clone(columns), mandate.LoadColumn{Name: strings.Trim(ordinal, `"`), Type: numbers.Type(), Declared: "bigint"})
		b.Schema.Fields = append(b.Schema.Fields, record.Field{Name: strings.Trim(ordinal, `"`), Type: numbers.Type()})
		b.Columns = append(b.Columns, numbers)
	}
	if _, err := s.conn.Exec(ctx, creation+" FROM "+engine.Name(t.rows.Table)+" AS t WITH NO DATA"); err != nil {
		return nil, nil, err
	}
	return engine.NewCopier(ecluse.TableName{Schema: "pg_temp", Name: name}, columns), b, nil
}

// changed counts the rows that this transaction deleted or changed, of whatever
// table, by whatever foreign key or trigger.
func (s *session) changed(ctx context.Context) (int64, error) {
	n, err := s.conn.One(ctx, "SELECT coalesce(sum(n_tup_del + n_tup_upd), 0) FROM pg_stat_xact_user_tables")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(n, 10, 64)
}

// indexed tells whether a table has its primary key now, and every partition of it:
// tables that inherit have their own or none.
func (s *session) indexed(ctx context.Context, table ecluse.TableName) (bool, error) {
	v, err := s.conn.One(ctx, `SELECT (relkind = 'p' OR NOT relhassubclass) AND EXISTS (SELECT FROM pg_index WHERE indrelid = pg_class.oid AND indisprimary AND indisvalid)
FROM pg_class WHERE oid = '`+strings.ReplaceAll(engine.Name(table), "'", "''")+`'::regclass`)
	return v == "t", err
}

func (u *unloading) deletion(p part) string {
	if !p.g.keyed {
		return p.g.deleteOneForOne(p.and)
	}
	and := p.and
	if !p.g.changed {
		and = " AND " + p.g.same() + and
	}
	return "DELETE FROM " + engine.Name(p.g.rows.Table) + " AS t USING pg_temp." + p.g.names + " AS g WHERE " + p.g.byKey() + and
}

// planned goes before the deletion of a chunk. What the planner knows of a table just
// loaded is its size: by that, it would read all of it for each chunk rather than look up
// the chunk's rows by their key, unless it is told not to.
func (g *going) planned() string {
	joins := "on"
	if g.indexed {
		joins = "off"
	}
	return "SET LOCAL enable_hashjoin = " + joins + "; SET LOCAL enable_mergejoin = " + joins + "; "
}

func (g *going) byKey() string {
	same := make([]string, len(g.by))
	for i, c := range quoted("t", g.by) {
		same[i] = c + " = " + quoted("g", g.by)[i]
	}
	return strings.Join(same, " AND ")
}

// same tells that a row is as it was loaded: the target's own types made both.
// Texts are compared by their bytes, for a collation takes different ones for
// equal; what has no equality of its own, or one that is not known here, by its
// image.
func (g *going) same() string {
	var all []string
	var images []mandate.LoadColumn
	for i, c := range g.columns {
		t, loaded := quoted("t", g.columns[i:i+1])[0], quoted("g", g.columns[i:i+1])[0]
		declared, _, _ := strings.Cut(c.Declared, "(")
		switch {
		case c.Type.Kind != ecluse.Text, declared == "uuid":
			all = append(all, t+" IS NOT DISTINCT FROM "+loaded)
		case slices.Contains([]string{"text", "character varying", "character"}, declared):
			const bytes = ` COLLATE pg_catalog."C"`
			all = append(all, t+bytes+" IS NOT DISTINCT FROM "+loaded+bytes)
		default:
			images = append(images, c)
		}
	}
	if len(images) > 0 {
		row := func(alias string) string { return "ROW(" + strings.Join(quoted(alias, images), ", ") + ")::record" }
		all = append(all, row("t")+" OPERATOR(pg_catalog.*=) "+row("g"))
	}
	return "(" + strings.Join(all, " AND ") + ")"
}

// deleteOneForOne deletes, for each row named, one row equal in all written
// columns, the latest first. Rows are compared by their whole text, which tells
// NULL from an empty text and knows no collation.
func (g *going) deleteOneForOne(and string) string {
	row := func(alias string) string { return "ROW(" + strings.Join(quoted(alias, g.columns), ", ") + ")::text" }
	return `WITH gone AS (SELECT ` + row("g") + ` AS row, count(*) AS n FROM pg_temp.` + g.names + ` AS g WHERE true` + and + ` GROUP BY 1),
	found AS (
		SELECT t.tableoid AS part, t.ctid AS place, gone.n, row_number() OVER (PARTITION BY gone.row ORDER BY t.tableoid DESC, t.ctid DESC) AS i
		FROM ` + engine.Name(g.rows.Table) + ` AS t JOIN gone ON gone.row = ` + row("t") + `
	)
DELETE FROM ` + engine.Name(g.rows.Table) + ` AS t USING found WHERE found.i <= found.n AND t.tableoid = found.part AND t.ctid = found.place`
}

// outcome says what went and what stays.
func (u *unloading) outcome(ctx context.Context) (*writer.Unloaded, error) {
	out := &writer.Unloaded{Deleted: map[ecluse.TableName]int64{}, Missing: map[ecluse.TableName]int64{}}
	for _, g := range slices.Backward(u.tables) {
		left, err := u.left(ctx, g)
		if err != nil {
			return nil, err
		}
		out.Deleted[g.rows.Table] += g.deleted
		if missing := int64(len(g.rows.Source)) - g.deleted - int64(len(left)); missing > 0 {
			out.Missing[g.rows.Table] += missing
		}
		out.Left = append(out.Left, left...)
	}
	return out, nil
}

// left finds the rows of a table that are still there, in order.
func (u *unloading) left(ctx context.Context, g *going) ([]writer.Left, error) {
	var out []writer.Left
	add := func(row int, why writer.Why) {
		out = append(out, writer.Left{Table: g.place, Row: row, Source: g.rows.Source[row], Why: why})
	}
	switch {
	case !u.leave || g.deleted == int64(len(g.rows.Source)):
	case !g.keyed:
		for _, row := range slices.Sorted(maps.Keys(g.stays)) {
			add(row, writer.Referred)
		}
	default:
		query := "SELECT g." + ordinal + ", " + g.same() + " FROM pg_temp." + g.names + " AS g JOIN " + engine.Name(g.rows.Table) + " AS t ON " + g.byKey() + " ORDER BY 1"
		err := u.session.conn.Each(ctx, query, func(v []string) error {
			row, err := strconv.Atoi(v[0])
			if err != nil {
				return err
			}
			why := writer.Changed
			if g.changed || v[1] == "t" {
				why = writer.Referred
			}
			add(row, why)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

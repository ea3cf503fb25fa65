package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"ecluse"
	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/writer"
)

// Unload takes a chunk out again, the last table's last row first.
func (s *session) Unload(ctx context.Context, chunk *writer.Chunk, how writer.Unloading) (*writer.Unloaded, error) {
	what := "unload chunk " + chunk.Slot.String()
	l, err := s.loading(what, chunk)
	if err != nil {
		return nil, err
	}
	u := l.unloading(what, how.Leave, how.ByKey...)
	var out *writer.Unloaded
	err = s.transaction(ctx, what, func() error {
		m, err := s.stored(ctx, chunk.Slot)
		if err != nil {
			return err
		}
		if m == nil {
			return &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "it is not in this target"}
		}
		if err := l.without(what, m.Refused); err != nil {
			return err
		}
		if err := u.run(ctx); err != nil {
			return err
		}
		out = u.outcome()
		if how.BeforeCommit != nil {
			if err := how.BeforeCommit(ctx, out); err != nil {
				return err
			}
		}
		_, err = s.conn.Exec(ctx, "DELETE FROM ecluse_marker WHERE migration = ? AND passage = ? AND dataset = ? AND sequence = ? AND version = ?",
			string(s.plan.Migration), s.passage, string(chunk.Slot.Dataset), int64(chunk.Slot.Sequence), int64(chunk.Slot.Version))
		return err
	})
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
	u := l.unloading(what, true, how.ByKey...)
	var out *writer.Unloaded
	err = s.transaction(ctx, what, func() error {
		switch _, there, err := s.recorded(ctx, what); {
		case err != nil:
			return err
		case !there:
			return &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "the passage has not begun in this target"}
		}
		if err := u.run(ctx); err != nil {
			return err
		}
		if out = u.outcome(); how.BeforeCommit == nil {
			return nil
		}
		return how.BeforeCommit(ctx, out)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// unloading is the chunk on its way out; of some tables rows go by their keys though
// they were changed.
func (l *loading) unloading(what string, leave bool, byKey ...ecluse.TableName) *unloading {
	u := &unloading{session: l.session, what: what, leave: leave}
	for place, t := range l.tables {
		if len(t.rows.Source) > 0 {
			u.tables = append(u.tables, &going{table: t, place: place, changed: !leave || slices.Contains(byKey, t.rows.Table), left: map[int]writer.Why{}})
		}
	}
	slices.Reverse(u.tables)
	return u
}

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
	tables  []*going // the last first
}

// going is the rows of one table that are to go.
type going struct {
	*table
	place   int  // of the table in the chunk
	changed bool // rows that were changed go, too
	deleted int64
	left    map[int]writer.Why
	find    finder
}

func (u *unloading) run(ctx context.Context) error {
	c := u.session.conn
	if _, err := c.Exec(ctx, "PRAGMA defer_foreign_keys=ON"); err != nil {
		return err
	}
	for _, g := range u.tables {
		var err error
		if g.find, err = g.finder(ctx, u.leave, g.changed); err != nil {
			return err
		}
		defer g.find.close()
	}
	if _, err := c.Exec(ctx, "SAVEPOINT chunk"); err != nil {
		return err
	}
	refused, err := u.all(ctx)
	if err != nil {
		return err
	}
	if refused == nil {
		_, err := c.Exec(ctx, "RELEASE chunk")
		return err
	}
	if !u.leave {
		return refused
	}
	// What is ordinary was tried first; now each row for itself.
	if _, err := c.Exec(ctx, "ROLLBACK TO chunk; RELEASE chunk"); err != nil {
		return err
	}
	for _, g := range u.tables {
		g.deleted, g.left = 0, map[int]writer.Why{}
	}
	for _, g := range u.tables {
		for i := len(g.rows.Source) - 1; i >= 0; i-- {
			if i%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if _, err := u.try(ctx, staying{g, i}); err != nil {
				return err
			}
		}
	}
	return u.again(ctx)
}

// all takes every row out that nobody changed. refused is why the database does
// not let all of them go.
func (u *unloading) all(ctx context.Context) (refused, err error) {
	for _, g := range u.tables {
		if refused, err := u.take(ctx, g); refused != nil || err != nil {
			return refused, err
		}
	}
	open, err := u.session.conn.Unresolved()
	if open {
		refused = u.referred()
	}
	return refused, err
}

func (u *unloading) referred() error {
	return &ecluse.Error{
		Kind: ecluse.Refused, What: u.what, Why: "rows that did not come with it refer to its rows",
		Next: "take those out first; chunks are unloaded in the reverse of their order",
	}
}

// take takes a table's rows out, the last first. What goes or changes along with
// them by the foreign keys of others is refused: it could not be brought back.
func (u *unloading) take(ctx context.Context, g *going) (refused, err error) {
	before, err := u.session.changes(ctx)
	if err != nil {
		return nil, err
	}
	for i := len(g.rows.Source) - 1; i >= 0; i-- {
		n, why, err := g.find.delete(ctx, i)
		if err != nil {
			if _, ok := engine.Constraint(g.rows.Table, err); ok && u.leave {
				return u.referred(), nil
			}
			return nil, err
		}
		g.deleted += n
		if why != "" {
			g.left[i] = why
		}
	}
	return u.along(ctx, g, before, g.deleted)
}

// along refuses that more rows went or changed since than those deleted.
func (u *unloading) along(ctx context.Context, g *going, before, deleted int64) (refused, err error) {
	if !slices.Contains(u.session.cascade, g.rows.Table.Name) {
		return nil, nil
	}
	after, err := u.session.changes(ctx)
	if n := after - before - deleted; err == nil && n != 0 {
		refused = &ecluse.Error{
			Kind: ecluse.Refused, What: u.what, Where: g.rows.Table.String(),
			Why: fmt.Sprintf("%d rows that did not come with it would be deleted or changed along with it", n),
		}
	}
	return refused, err
}

// changes counts the rows that this connection inserted, deleted or changed, by
// itself or by foreign keys and triggers.
func (s *session) changes(ctx context.Context) (int64, error) {
	v, err := s.conn.One(ctx, "SELECT total_changes()")
	n, _ := v.(int64)
	return n, err
}

// staying is a row that is tried for itself, or with others.
type staying struct {
	g   *going
	row int
}

// try takes rows out, all or none: none when the database refuses one, or when
// rows of others would go or change along with them. Those are then left.
func (u *unloading) try(ctx context.Context, some ...staying) (went bool, err error) {
	c := u.session.conn
	if _, err := c.Exec(ctx, "SAVEPOINT part"); err != nil {
		return false, err
	}
	refused := false
	found := make([]int64, len(some))
	whys := make([]writer.Why, len(some))
	for i, x := range some {
		before, err := u.session.changes(ctx)
		if err != nil {
			return false, err
		}
		found[i], whys[i], err = x.g.find.delete(ctx, x.row)
		if err != nil {
			if _, ok := engine.Constraint(x.g.rows.Table, err); !ok {
				return false, err
			}
			refused = true
			break
		}
		along, err := u.along(ctx, x.g, before, found[i])
		if err != nil {
			return false, err
		}
		if along != nil {
			refused = true
			break
		}
	}
	if !refused {
		if refused, err = c.Unresolved(); err != nil {
			return false, err
		}
	}
	if refused {
		for _, x := range some {
			x.g.left[x.row] = writer.Referred
		}
		_, err := c.Exec(ctx, "ROLLBACK TO part; RELEASE part")
		return false, err
	}
	for i, x := range some {
		x.g.deleted += found[i]
		delete(x.g.left, x.row)
		if whys[i] != "" {
			x.g.left[x.row] = whys[i]
		}
	}
	_, err = c.Exec(ctx, "RELEASE part")
	return true, err
}

// again tries the rows that are referred to once more, until none more goes: one
// that referred to them may have gone after they were tried. What one source row
// made is tried together first, for it may refer to each other.
func (u *unloading) again(ctx context.Context) error {
	for progress := true; progress; {
		progress = false
		bySource := map[int32][]staying{}
		for _, g := range u.tables {
			for _, row := range slices.Backward(slices.Sorted(maps.Keys(g.left))) {
				if g.left[row] == writer.Referred {
					bySource[g.rows.Source[row]] = append(bySource[g.rows.Source[row]], staying{g, row})
				}
			}
		}
		for _, source := range slices.Backward(slices.Sorted(maps.Keys(bySource))) {
			some := bySource[source]
			went, err := u.try(ctx, some...)
			for i := 0; err == nil && !went && len(some) > 1 && i < len(some); i++ {
				var one bool
				one, err = u.try(ctx, some[i])
				progress = progress || one
			}
			if err != nil {
				return err
			}
			progress = progress || went
		}
	}
	return nil
}

// outcome says what went and what stays.
func (u *unloading) outcome() *writer.Unloaded {
	out := &writer.Unloaded{Deleted: map[ecluse.TableName]int64{}, Missing: map[ecluse.TableName]int64{}}
	for _, g := range slices.Backward(u.tables) {
		out.Deleted[g.rows.Table] += g.deleted
		if missing := int64(len(g.rows.Source)-len(g.left)) - g.deleted; missing > 0 {
			out.Missing[g.rows.Table] += missing
		}
		for _, row := range slices.Sorted(maps.Keys(g.left)) {
			out.Left = append(out.Left, writer.Left{Table: g.place, Row: row, Source: g.rows.Source[row], Why: g.left[row]})
		}
	}
	return out
}

// finder finds a chunk's rows in the target and deletes them.
type finder interface {
	// delete deletes row i of the chunk's rows, if it is there. It says why it is
	// left, when somebody changed it.
	delete(ctx context.Context, i int) (deleted int64, why writer.Why, err error)
	close()
}

// finder finds the table's rows: by their key or, where they have none, by all
// their columns.
func (t *table) finder(ctx context.Context, leave, changed bool) (finder, error) {
	if t.key == nil {
		return t.oneForOne(ctx)
	}
	return t.byKey(ctx, leave, changed)
}

// byKey finds rows by their key.
type byKey struct {
	*table
	deletion *engine.Stmt
	look     string // what tells whether a row is there, and as it was loaded; empty: that does not matter
	all      []int  // the columns of the deletion, the key's first
	values   []driver.Value
}

func (t *table) byKey(ctx context.Context, leave, changed bool) (finder, error) {
	b := &byKey{table: t, all: slices.Clone(t.key)}
	of := "main." + engine.QuoteTable(ecluse.TableName{Name: t.rows.Table.Name})
	var key []string
	for n, at := range t.key {
		key = append(key, fmt.Sprintf("%s = ?%d", engine.Quote(t.columns[at]), n+1))
	}
	where := " WHERE " + strings.Join(key, " AND ")
	deletion := "DELETE FROM " + of + where
	switch {
	case leave && changed:
		b.look = "SELECT 1 FROM " + of + where
	case leave:
		var same []string
		for at, name := range t.columns {
			b.all = append(b.all, at)
			// To the byte, whatever the column's collation; its affinity changes the
			// value as it did when it was written.
			same = append(same, fmt.Sprintf("%s IS ?%d COLLATE BINARY", engine.Quote(name), len(b.all)))
		}
		deletion += " AND " + strings.Join(same, " AND ")
		b.look = "SELECT " + strings.Join(same, " AND ") + " FROM " + of + where
	}
	b.values = make([]driver.Value, len(b.all))
	var err error
	b.deletion, err = t.session.conn.Prepare(ctx, deletion)
	return b, err
}

func (b *byKey) delete(ctx context.Context, i int) (int64, writer.Why, error) {
	for n, at := range b.all {
		b.values[n] = value(b.rows.Batch.Columns[at], i, b.fits[at].affinity)
	}
	n, err := b.deletion.Exec(ctx, b.values)
	if err != nil || n > 0 || b.look == "" {
		return n, "", err
	}
	switch same, err := b.session.conn.One(ctx, b.look, b.values...); {
	case same == nil || err != nil:
		return 0, "", err
	case same == int64(0):
		return 0, writer.Changed, nil
	}
	return 0, writer.Referred, nil // a trigger keeps it
}

func (b *byKey) close() { b.deletion.Close() }

// oneForOne finds, for each written row, one row equal in all written columns, the
// latest first.
type oneForOne struct {
	*table
	deletion *engine.Stmt
	ids      map[int]int64 // the target's row for each that was found
}

func (t *table) oneForOne(ctx context.Context) (finder, error) {
	o := &oneForOne{table: t}
	var err error
	if o.ids, err = t.find(ctx); err != nil {
		return nil, err
	}
	o.deletion, err = t.session.conn.Prepare(ctx, "DELETE FROM main."+engine.QuoteTable(t.rows.Table)+" WHERE "+engine.RowidName(t.catalogue)+" = ?")
	return o, err
}

func (o *oneForOne) delete(ctx context.Context, i int) (int64, writer.Why, error) {
	id, ok := o.ids[i]
	if !ok {
		return 0, "", nil
	}
	n, err := o.deletion.Exec(ctx, []driver.Value{id})
	if err == nil && n == 0 {
		return 0, writer.Referred, nil // a trigger keeps it
	}
	return n, "", err
}

func (o *oneForOne) close() { o.deletion.Close() }

// find gathers the chunk's rows in a temporary table (in memory) whose columns
// change values as the target's do, and reads the target backwards until all are
// found.
func (t *table) find(ctx context.Context) (map[int]int64, error) {
	c := t.session.conn
	names := make([]string, len(t.columns))
	same := make([]string, len(t.columns))
	for i, n := range t.columns {
		names[i] = engine.Quote(n)
		same[i] = "u." + names[i] + " IS t." + names[i] + " COLLATE BINARY"
	}
	columns := strings.Join(names, ", ")
	exec := func(sql string) error { _, err := c.Exec(ctx, sql); return err }
	if err := exec("CREATE TEMP TABLE ecluse_gone AS SELECT " + columns + " FROM main." + engine.QuoteTable(t.rows.Table) + " WHERE 0"); err != nil {
		return nil, err
	}
	gone := &table{session: t.session, rows: &writer.Rows{Table: ecluse.TableName{Schema: "temp", Name: "ecluse_gone"}, Batch: t.rows.Batch, Source: t.rows.Source}, columns: t.columns, fits: t.fits}
	if _, err := gone.insert(ctx, 0, math.MaxInt32, nil); err != nil { // it has no constraint to refuse for
		return nil, err
	}
	place := engine.RowidName(t.catalogue) // neither has another column of that name
	err := exec("CREATE TEMP TABLE ecluse_goes AS SELECT " + columns + ", count(*) AS \"ecluse count\", group_concat(" + place + ") AS \"ecluse places\" FROM temp.ecluse_gone GROUP BY " + columns + "; " +
		"CREATE INDEX temp.ecluse_goes_by ON ecluse_goes (" + columns + ")")
	if err != nil {
		return nil, err
	}
	found, err := t.pairs(ctx, "SELECT t."+place+", u."+place+", u.\"ecluse count\" FROM main."+engine.QuoteTable(t.rows.Table)+
		" AS t NOT INDEXED CROSS JOIN temp.ecluse_goes AS u ON "+strings.Join(same, " AND ")+" ORDER BY t."+place+" DESC")
	if err != nil {
		return nil, err
	}
	ids := map[int]int64{}
	err = c.Each(ctx, func(v []driver.Value) error {
		group, _ := v[0].(int64)
		places, _ := v[1].(string)
		for place := range strings.SplitSeq(places, ",") {
			if len(found[group]) == 0 {
				break
			}
			n, err := strconv.Atoi(place)
			if err != nil {
				return err
			}
			ids[n-1], found[group] = found[group][0], found[group][1:]
		}
		return nil
	}, "SELECT "+place+", \"ecluse places\" FROM temp.ecluse_goes")
	if err != nil {
		return nil, err
	}
	return ids, exec("DROP TABLE temp.ecluse_goes; DROP TABLE temp.ecluse_gone")
}

// pairs reads pairs of a row of the target and a row of the gathered ones, with
// how many of those there are, until each has been found as often.
func (t *table) pairs(ctx context.Context, sql string) (map[int64][]int64, error) {
	rows, err := t.session.conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[int64][]int64{}
	for n := 0; n < len(t.rows.Source); {
		if n%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		ok, err := rows.Next()
		if !ok {
			return found, err
		}
		id, _ := rows.Values[0].(int64)
		group, _ := rows.Values[1].(int64)
		if most, _ := rows.Values[2].(int64); int64(len(found[group])) < most {
			found[group] = append(found[group], id)
			n++
		}
	}
	return found, nil
}

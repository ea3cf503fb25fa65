package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
)

// heap is the storage whose rows have a place that a range of blocks finds.
const heap = "heap"

// TID is a place in a table: a block, and a line in it.
type TID struct {
	Block uint32
	Line  uint16
}

func (t TID) String() string { return fmt.Sprintf("'(%d,%d)'::tid", t.Block, t.Line) }

// Reading is how one dataset of a plan is read.
type Reading struct {
	Dataset  *mandate.ReadDataset
	Relation ecluse.TableName // the granted view, or the table itself
	Fields   []Field

	items []string
	from  string
	where []string
	order []string // of rows that are counted
}

// NewReading composes how dataset d of plan p is read. Through a granted view the
// conditions stand inside the view.
func NewReading(p *mandate.ReadPlan, d *mandate.ReadDataset) (*Reading, error) {
	r := &Reading{Dataset: d, Relation: d.From}
	var err error
	if d.View != "" {
		if r.Relation, err = ecluse.ParseTableName(d.View); err != nil {
			return nil, wrong(d, "its view has no name", err)
		}
	} else if r.where, err = conditions(p, d, "t", 0); err != nil {
		return nil, err
	}
	r.from = Name(r.Relation) + " AS t"
	if d.Distinct {
		return r, r.distinct()
	}
	for i := range d.Columns {
		r.Fields = append(r.Fields, fieldOf(&d.Columns[i]))
		r.items = append(r.items, item("t", &d.Columns[i]))
	}
	if d.KeyUnique {
		for _, k := range d.Key {
			r.order = append(r.order, "t."+name(k))
		}
		return r, nil
	}
	// Rows that are equal in all that travels of them are interchangeable: any
	// order of the others is the same order every time.
	for _, c := range d.Columns {
		r.order = append(r.order, textBytes("t."+name(c.Name)))
	}
	return r, nil
}

func wrong(d *mandate.ReadDataset, why string, err error) error {
	return &ecluse.Error{Kind: ecluse.Invalid, What: "compose the statement of dataset " + string(d.Dataset), Why: why, Err: err}
}

func fieldOf(c *mandate.ReadColumn) Field {
	w, _ := readAs(c.Type, c.Declared)
	return Field{Name: c.Name, Type: c.Type, wire: w}
}

// item is how a column is asked for.
func item(alias string, c *mandate.ReadColumn) string {
	quoted := alias + "." + name(c.Name)
	if _, cast := readAs(c.Type, c.Declared); cast {
		return quoted + "::text AS " + name(c.Name)
	}
	return quoted
}

// textBytes is a column as a text compared by its bytes.
func textBytes(quoted string) string { return quoted + `::text COLLATE "C"` }

// distinct counts the values of one column in the order of their bytes.
func (r *Reading) distinct() error {
	d := r.Dataset
	if err := checkDistinct(d); err != nil {
		return err
	}
	c := &d.Columns[0]
	r.Fields = []Field{{c.Name, c.Type, wireText}, {d.Columns[1].Name, d.Columns[1].Type, wireInt8}}
	if d.View == "" {
		r.from = "(" + distinctValues(d, r.from, r.where) + ") AS t"
		r.where = nil
	}
	quoted := "t." + name(c.Name) + ` COLLATE "C"`
	r.items = []string{quoted + " AS " + name(c.Name), "row_number() OVER (ORDER BY " + quoted + ") AS " + name(d.Columns[1].Name)}
	r.order = []string{quoted}
	return nil
}

func checkDistinct(d *mandate.ReadDataset) error {
	if len(d.Columns) != 2 || d.Columns[0].Type.Kind != ecluse.Text || d.Columns[1].Type.Kind != ecluse.Int {
		return wrong(d, "a distinct dataset has one column of text and its ordinal", nil)
	}
	return nil
}

func distinctValues(d *mandate.ReadDataset, from string, where []string) string {
	c := name(d.Columns[0].Name)
	where = append(where[:len(where):len(where)], "t."+c+" IS NOT NULL")
	return "SELECT DISTINCT " + textBytes("t."+c) + " AS " + c + " FROM " + from + clause(where)
}

// Blocks tells a dataset read by ranges of blocks from one whose rows are put in
// order and counted.
func (r *Reading) Blocks() bool { return r.Dataset.Storage == heap && !r.Dataset.Distinct }

// Statement reads the whole dataset.
func (r *Reading) Statement() string { return r.copyOut(r.where, "") }

// Range reads the rows from one place to before another, in the order of their
// places. Servers before version 14 cannot scan a range of places: they are given
// every place in it.
func (r *Reading) Range(from, to TID, e Extent, version int) string {
	where := append(r.where[:len(r.where):len(r.where)], "t.ctid >= "+from.String(), "t.ctid < "+to.String())
	if version < tidRanges {
		where = append(where, fmt.Sprintf(`t.ctid = ANY (ARRAY(SELECT format('(%%s,%%s)', b, l)::tid FROM generate_series(%d::bigint, %d::bigint) AS b, generate_series(1, %d) AS l))`,
			from.Block, to.Block, maxLines))
	}
	if e.Parts > 1 || len(r.Dataset.Where)+len(r.Dataset.Within) > 0 {
		return r.copyOut(where, " ORDER BY t.ctid, t.tableoid") // partitions, indexes and joins have other orders
	}
	return r.copyOut(where, "") // as a scan of the range finds them
}

// maxLines is how many rows a block of 8 KiB can hold (MaxHeapTuplesPerPage).
const maxLines = 291

// Counted reads n rows after the first `after`, in the dataset's order.
func (r *Reading) Counted(after, n int64) string {
	return r.copyOut(r.where, " ORDER BY "+strings.Join(r.order, ", ")+" OFFSET "+strconv.FormatInt(after, 10)+" LIMIT "+strconv.FormatInt(n, 10))
}

// InRanges reads the rows whose key, one whole number, is in one of some ranges.
func (r *Reading) InRanges(from, to []int64) string {
	key := "t." + name(r.Dataset.Key[0])
	any := make([]string, len(from))
	for i := range from {
		any[i] = fmt.Sprintf("%s BETWEEN '%d'::bigint AND '%d'::bigint", key, from[i], to[i])
	}
	return r.copyOut(append(r.where[:len(r.where):len(r.where)], "("+strings.Join(any, " OR ")+")"), "")
}

// Count is how many rows the dataset has.
func (r *Reading) Count(ctx context.Context, conn *Conn) (int64, error) {
	one, err := conn.One(ctx, "SELECT count(*) FROM "+r.from+clause(r.where))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(one, 10, 64)
}

// Outgrows finds the row, of those from one place to before another, with which
// their values become more than so many bytes, roughly: what lies out of line is
// weighed without being fetched.
func (r *Reading) Outgrows(ctx context.Context, conn *Conn, from, to TID, bytes int64) (TID, bool, error) {
	var weights []string
	for i, f := range r.Fields {
		c := "t." + name(f.Name)
		switch {
		case r.items[i] != c:
			weights = append(weights, "coalesce(pg_column_size("+c+"), 0)")
		case f.wire == wireText || f.wire == wirePadded || f.wire == wireBytes:
			weights = append(weights, "coalesce(octet_length("+c+"), 0)")
		}
	}
	if len(weights) == 0 {
		return TID{}, false, nil
	}
	where := append(r.where[:len(r.where):len(r.where)], "t.ctid >= "+from.String(), "t.ctid < "+to.String())
	query := fmt.Sprintf(`SELECT ctid FROM (
	SELECT t.ctid, sum(%s) OVER (ORDER BY t.ctid ROWS UNBOUNDED PRECEDING) AS weight FROM %s%s
) AS t WHERE weight > %d ORDER BY ctid LIMIT 1`, strings.Join(weights, " + "), r.from, clause(where), bytes)
	one, err := conn.One(ctx, query)
	if err != nil || one == "" {
		return TID{}, false, err
	}
	var t TID
	if _, err := fmt.Sscanf(one, "(%d,%d)", &t.Block, &t.Line); err != nil {
		return TID{}, false, err
	}
	return t, true, nil
}

func (r *Reading) copyOut(where []string, tail string) string {
	return copyOut("SELECT " + strings.Join(r.items, ", ") + " FROM " + r.from + clause(where) + tail)
}

func copyOut(query string) string { return "COPY (" + query + ") TO STDOUT (FORMAT binary)" }

func clause(where []string) string {
	if len(where) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(where, " AND ")
}

// view is the query of a dataset's granted view: the instructed columns of the
// rows that its conditions leave, and where these rows lie.
func view(p *mandate.ReadPlan, d *mandate.ReadDataset) (string, error) {
	where, err := conditions(p, d, "t", 0)
	if err != nil {
		return "", err
	}
	from := Name(d.From) + " AS t"
	if d.Distinct {
		return distinctValues(d, from, where), checkDistinct(d)
	}
	var columns []string
	if d.Storage == heap {
		columns = []string{"t.tableoid", "t.ctid"}
	}
	for _, c := range d.Columns {
		columns = append(columns, "t."+name(c.Name))
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + from + clause(where), nil
}

// conditions of a dataset on the rows of alias, those of the datasets it lies
// within included.
func conditions(p *mandate.ReadPlan, d *mandate.ReadDataset, alias string, depth int) ([]string, error) {
	var all []string
	for i := range d.Where {
		c, err := condition(alias, &d.Where[i])
		if err != nil {
			return nil, wrong(d, "where "+d.Where[i].Column, err)
		}
		all = append(all, c...)
	}
	for i := range d.Within {
		c, err := within(p, d, &d.Within[i], alias, depth)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// condition is one condition of a plan. Texts are compared by their bytes.
func condition(alias string, c *mandate.ReadCondition) ([]string, error) {
	quoted := alias + "." + name(c.Column)
	left, typ, err := compared(quoted, c.Type)
	if err != nil {
		return nil, err
	}
	var all []string
	value := func(s string) string {
		if strings.ContainsRune(s, 0) {
			err = fmt.Errorf("a value with a NUL")
		}
		return literal(s) + "::" + typ
	}
	if c.NotNull {
		all = append(all, quoted+" IS NOT NULL")
	}
	if c.From != "" {
		all = append(all, left+" >= "+value(c.From))
	}
	if c.Before != "" {
		all = append(all, left+" < "+value(c.Before))
	}
	if len(c.In) > 0 {
		list := make([]string, len(c.In))
		for i, s := range c.In {
			list[i] = value(s)
		}
		all = append(all, left+" IN ("+strings.Join(list, ", ")+")")
	}
	return all, err
}

// compared is a column as it is compared, and the type of what it is compared with.
func compared(quoted string, t ecluse.Type) (left, typ string, err error) {
	switch t.Kind {
	case ecluse.Bool:
		return quoted, "boolean", nil
	case ecluse.Int:
		return quoted, "bigint", nil
	case ecluse.Decimal, ecluse.Number:
		return quoted, "numeric", nil
	case ecluse.Float:
		return quoted, "double precision", nil
	case ecluse.Text:
		return textBytes(quoted), "text", nil
	case ecluse.Date:
		return quoted, "date", nil
	case ecluse.Time:
		return quoted, "time", nil
	case ecluse.Timestamp:
		return quoted, "timestamp", nil
	case ecluse.Instant:
		return quoted, "timestamptz", nil
	}
	return "", "", fmt.Errorf("values of %s are not compared", t)
}

// within is "the row's columns are the key of a row that the other dataset takes".
func within(p *mandate.ReadPlan, d *mandate.ReadDataset, w *mandate.ReadWithin, alias string, depth int) (string, error) {
	other, ok := p.Dataset(w.Dataset)
	switch {
	case !ok:
		return "", wrong(d, "the plan has no dataset "+string(w.Dataset), nil)
	case depth > len(p.Datasets):
		return "", wrong(d, "the datasets lie within each other in a circle", nil)
	case len(w.Columns) == 0 || len(w.Columns) != len(other.Key):
		return "", wrong(d, "its columns are not as many as the key of "+string(w.Dataset), nil)
	}
	inner := alias + strconv.Itoa(depth+1)
	both := make([]string, len(w.Columns))
	for i, c := range w.Columns {
		both[i] = inner + "." + name(other.Key[i]) + " = " + alias + "." + name(c)
	}
	more, err := conditions(p, other, inner, depth+1)
	if err != nil {
		return "", err
	}
	return "EXISTS (SELECT FROM " + Name(other.From) + " AS " + inner + clause(append(both, more...)) + ")", nil
}

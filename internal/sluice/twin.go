package sluice

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/mapping"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/twin"
)

// Twin is all that a passage of invented rows needs: no source, no chunk, no key, and of
// the target its structure and, where the mapping looks codes up in tables of it, their rows.
type Twin struct {
	Program  *mapping.Program
	ReadPlan *mandate.ReadPlan // what would travel: its columns, types and keys
	Target   *ecluse.Catalogue
	Held     map[string]*record.Batch // rows of the target that codes are looked up in, by the mapping's name of the table
	Words    []string                 // that the mapping and its tables of codes name
	Codes    map[string][]string      // of them, those of each table of codes, by its name in the mapping
	Seed     [32]byte
	Rows     int // of each dataset
}

// TwinDataset is what became of a dataset's invented rows.
type TwinDataset struct {
	Dataset ecluse.DatasetID `json:"dataset"`
	Rows    int64            `json:"rows"`
	Mapped  int64            `json:"mapped"` // rows of the target's tables that were made and that the target would take
	Aside   int64            `json:"aside"`  // source rows that the mapping put aside
}

// TwinGroup counts rows that were put aside, that would stop the passage, or that the
// target would not take.
type TwinGroup struct {
	Dataset ecluse.DatasetID `json:"dataset"`
	By      string           `json:"by"`
	Count   int64            `json:"count"`
}

// Twinned is what a passage of invented rows came to.
type Twinned struct {
	Datasets []TwinDataset `json:"datasets"`
	Rejected []TwinGroup   `json:"rejected,omitempty"` // sorted by dataset, then reason
	Fault    string        `json:"-"`                  // what of it is the mapping's own fault; empty: nothing
}

// mostRefused is how many hundredths of the rows that a dataset makes for a table may be
// refused for one thing that the target declares (a NOT NULL, a primary key) before that
// is the mapping's fault. An invented cell is null once in twelve, a code is unknown to its
// table about as often as not, and a value that nobody declared unique comes again: none
// of that keeps nine rows in ten out of a column, and a rule that leaves the column empty
// keeps out all. Lengths and lists of labels are not held to it: where the source declares
// none, most invented text is too long for a column of one letter that real codes fit.
const mostRefused = 90

// twinBatch is how many invented rows are mapped at a time.
const twinBatch = 500

// RunTwin takes invented rows through a mapping and holds what comes out against what the
// target declares. Nothing is read or written. An error is the mapping's, but for one of kind
// Failed or Interrupted: no row that it could meet may keep it from its end.
func RunTwin(ctx context.Context, t Twin) (*Twinned, error) {
	g := twin.New(t.Seed, slices.Concat(t.Words, t.labels()), t.Rows)
	run := mapping.NewRun(t.Program)
	shape := t.Program.Shape()
	for _, h := range shape.Held {
		columns, err := t.columns(h.Dataset, h.Key)
		if err != nil {
			return nil, err
		}
		b := record.NewBatch(twin.Schema(columns), t.Rows)
		g.Fill(string(h.Dataset), columns, min(t.Rows, h.Rows), b)
		if err := run.Hold(h.Dataset, b); err != nil {
			return nil, err
		}
		if err := run.Held(h.Dataset); err != nil {
			return nil, err
		}
	}
	for _, x := range shape.Targets {
		if err := run.HoldTarget(x.Name, t.Held[x.Name]); err != nil {
			return nil, err
		}
	}
	o := &twinRun{Twin: t, counts: map[[2]string]int64{}, declared: map[refusal]int64{}, through: map[refusal]int64{}, keys: map[ecluse.TableName]map[string]bool{}, counters: map[string]int64{}}
	for _, c := range t.Program.Counters() {
		if c.Above {
			o.counters[c.Name] = 0
		}
	}
	for _, id := range shape.Order {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if err := o.dataset(g, run, id); err != nil {
			return nil, err
		}
	}
	for k, n := range o.counts {
		o.out.Rejected = append(o.out.Rejected, TwinGroup{ecluse.DatasetID(k[0]), k[1], n})
	}
	slices.SortFunc(o.out.Rejected, func(a, b TwinGroup) int {
		return cmp.Or(strings.Compare(string(a.Dataset), string(b.Dataset)), strings.Compare(a.By, b.By))
	})
	o.out.Fault = o.fault(&shape)
	return &o.out, nil
}

// fault says what the mapping is to blame for; empty: nothing. Rows that it puts aside, or
// stops the passage at, are its own answer to values that it does not take, and those are
// invented: that says nothing against it while others get by. A dataset of which nothing
// gets by does, and so does a column that next to no row is taken in.
func (o *twinRun) fault(shape *ecluse.Shape) string {
	for _, d := range shape.Datasets {
		n := slices.IndexFunc(o.out.Datasets, func(x TwinDataset) bool { return x.Dataset == d.Dataset })
		if n < 0 || len(d.Into) == 0 || o.out.Datasets[n].Rows == 0 {
			continue
		}
		if o.out.Datasets[n].Mapped == 0 {
			why := ""
			if most := o.most(d.Dataset); most != "" {
				why = "; most often: " + most
			}
			return fmt.Sprintf("no invented row of %s came through%s", d.Dataset, why)
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(o.declared), func(a, b refusal) int {
		return cmp.Or(strings.Compare(string(a.dataset), string(b.dataset)), strings.Compare(a.what, b.what))
	}) {
		refused := o.declared[k]
		if all := refused + o.through[refusal{k.dataset, k.table, ""}]; refused*100 > all*mostRefused {
			return fmt.Sprintf("of %d invented rows of %s that came so far, %d are refused: %s", all, k.dataset, refused, k.what)
		}
	}
	return ""
}

// most is the reason that most rows of a dataset came to nothing for.
func (o *twinRun) most(d ecluse.DatasetID) (by string) {
	n := int64(0)
	for _, g := range o.out.Rejected {
		if g.Dataset == d && g.Count > n {
			n, by = g.Count, g.By
		}
	}
	return by
}

// labels are those that the target's columns are lists of, said often enough that they
// are met among many other words.
func (t *Twin) labels() []string {
	var all []string
	for _, x := range t.Target.Tables {
		for _, c := range x.Columns {
			all = append(all, c.Labels...)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return slices.Repeat(all, 1+len(t.Words)/4/len(all))
}

// rulesOf are the texts of a dataset's rules, each with all that it is made from.
func rulesOf(shape *ecluse.Shape, id ecluse.DatasetID) []string {
	var all []string
	for _, d := range shape.Datasets {
		if d.Dataset != id {
			continue
		}
		all = append(all, d.Skip)
		for _, t := range d.Into {
			all = append(append(all, t.Each, t.Skip), t.Let...)
			for _, r := range t.Rejects {
				all = append(all, r.When)
			}
			for _, c := range t.Columns {
				all = append(all, c.From)
			}
		}
	}
	return all
}

// wordsFor are the words that the rules which name a column write, or look up: what a
// mapping expects there.
func (t *Twin) wordsFor(rules []string, column string) []string {
	var words []string
	for _, rule := range rules {
		quoted := map[bool][]string{} // every second part stands between quotes
		for i, part := range strings.Split(rule, "'") {
			quoted[i%2 == 1] = append(quoted[i%2 == 1], part)
		}
		names := strings.FieldsFunc(strings.Join(quoted[false], " "), func(r rune) bool {
			return r != '_' && r != '$' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
		})
		if !slices.Contains(names, column) {
			continue
		}
		words = append(words, quoted[true]...)
		for _, n := range names {
			words = append(words, t.Codes[n]...)
		}
	}
	return twin.Words(words)
}

// columns are a dataset's as they are invented: its key, and the keys of others that it
// refers to.
func (t *Twin) columns(id ecluse.DatasetID, unique []string) ([]twin.Column, error) {
	d, ok := t.ReadPlan.Dataset(id)
	if !ok {
		return nil, ecluse.Errorf(ecluse.Differs, "invent rows of "+string(id), "the read plan has no such dataset")
	}
	shape := t.Program.Shape()
	rules := rulesOf(&shape, id)
	var all []twin.Column
	for i, c := range d.Columns {
		x := twin.Column{Name: c.Name, Type: c.Type, Class: c.Class, MaxLength: declaredLength(c.Declared), Words: t.wordsFor(rules, c.Name)}
		x.Key = d.Distinct || slices.Contains(unique, c.Name) || d.KeyUnique && slices.Contains(d.Key, c.Name)
		if x.Key {
			x.KeyName = string(id) + "." + c.Name
		}
		for _, w := range d.Within {
			n := slices.Index(w.Columns, c.Name)
			if to, ok := t.ReadPlan.Dataset(w.Dataset); ok && n >= 0 && n < len(to.Key) {
				x.RefersTo = string(w.Dataset) + "." + to.Key[n]
			}
		}
		if d.Distinct && i == 0 {
			x.KeyName = string(id) + ".value"
		}
		all = append(all, x)
	}
	return all, nil
}

// declaredLength reads n of "character varying(n)"; 0 where there is none, or two numbers.
func declaredLength(declared string) int {
	_, rest, ok := strings.Cut(declared, "(")
	digits, _, closed := strings.Cut(rest, ")")
	n, err := strconv.Atoi(strings.TrimSpace(digits))
	if !ok || !closed || err != nil || n < 0 {
		return 0
	}
	return n
}

// refusal is one thing that the target declares and that rows were refused for: rows of the
// source or, where a table is named, those made for it.
type refusal struct {
	dataset ecluse.DatasetID
	table   ecluse.TableName
	what    string
}

// twinRun is one run of RunTwin.
type twinRun struct {
	Twin
	out      Twinned
	counts   map[[2]string]int64
	declared map[refusal]int64                    // of them, those for which the mapping has to answer
	through  map[refusal]int64                    // rows that came through, for no reason: of the source, and by table
	keys     map[ecluse.TableName]map[string]bool // primary keys written
	counters map[string]int64
}

func (o *twinRun) count(d ecluse.DatasetID, by string, n int64) {
	o.counts[[2]string{string(d), by}] += n
}

func (o *twinRun) dataset(g *twin.Generator, run *mapping.Run, id ecluse.DatasetID) error {
	columns, err := o.columns(id, nil)
	if err != nil {
		return err
	}
	all := record.NewBatch(twin.Schema(columns), o.Rows)
	g.Fill(string(id), columns, o.Rows, all)
	d := TwinDataset{Dataset: id}
	for from := 0; from < all.Rows(); from += twinBatch {
		to := min(from+twinBatch, all.Rows())
		b := record.NewBatch(all.Schema, to-from)
		for i, c := range all.Columns {
			b.Columns[i].AppendRange(c, from, to)
		}
		if err := run.Begin(id, o.counters); err != nil {
			return err
		}
		if err := run.Apply(b); err != nil {
			return err
		}
		out, err := run.Output()
		if err != nil && (out == nil || len(out.Blocked) == 0) {
			return err
		}
		o.counters = out.Counters
		d.Rows += int64(out.Rows)
		d.Aside += int64(len(out.Rejected))
		for _, r := range out.Rejected {
			o.count(id, r.Reason, 1)
			if strings.HasSuffix(r.Reason, mapping.OnNull) {
				o.declared[refusal{id, ecluse.TableName{}, r.Reason}]++
			}
		}
		stops := map[int32]bool{} // nothing of these rows comes through
		for _, r := range out.Blocked {
			o.count(id, "stops the passage: "+r.Reason, 1)
			stops[r.Row] = true
		}
		through := map[int32]bool{}
		for _, t := range out.Tables {
			d.Mapped += o.taken(id, &t, stops, through)
		}
		o.through[refusal{dataset: id}] += int64(len(through))
	}
	o.out.Datasets = append(o.out.Datasets, d)
	return nil
}

// taken counts the rows that the target would take, by what it declares of each column:
// no null, a length, a list of labels, and a primary key that is there once. Rows of the
// source that stop the passage make none; those that something is made of are noted.
func (o *twinRun) taken(id ecluse.DatasetID, rows *mapping.Rows, stops, through map[int32]bool) (n int64) {
	table, ok := o.Target.Table(rows.Table)
	if !ok {
		return 0
	}
	seen := o.keys[rows.Table]
	if seen == nil {
		seen = map[string]bool{}
		o.keys[rows.Table] = seen
	}
	var key []*record.Column
	for _, k := range table.PrimaryKey {
		if c := rows.Batch.Column(k); c != nil {
			key = append(key, c)
		}
	}
	for i := range rows.Batch.Rows() {
		if stops[rows.Source[i]] {
			continue
		}
		why := ""
		for f, field := range rows.Batch.Schema.Fields {
			if c, ok := table.Column(field.Name); ok && why == "" {
				why = against(c, rows.Batch.Columns[f], i)
			}
		}
		if why == "" && len(key) == len(table.PrimaryKey) && len(key) > 0 {
			var k []byte
			for _, c := range key {
				k = fmt.Appendf(k, "%q,", record.AppendPlain(nil, c, i))
			}
			if seen[string(k)] {
				why = "its primary key is there twice"
				o.declared[refusal{id, rows.Table, rows.Table.String() + ": " + why}]++
			}
			seen[string(k)] = true
		}
		if why != "" {
			o.count(id, "the target would not take it: "+rows.Table.String()+": "+why, 1)
			continue
		}
		n++
		through[rows.Source[i]] = true
	}
	o.through[refusal{dataset: id, table: rows.Table}] += n
	return n
}

// against says what a target's column has against a value; never the value.
func against(c *ecluse.Column, values *record.Column, i int) string {
	switch {
	case values.Null(i):
		if !c.Nullable {
			return c.Name + " is NOT NULL"
		}
	case values.Type().Kind == ecluse.Text && c.MaxLength > 0:
		text := values.Bytes(i)
		if c.Padded {
			text = []byte(strings.TrimRight(string(text), " "))
		}
		if utf8.RuneCount(text) > c.MaxLength {
			return fmt.Sprintf("%s holds %d characters", c.Name, c.MaxLength)
		}
	case values.Type().Kind == ecluse.Text && len(c.Labels) > 0:
		if !slices.Contains(c.Labels, string(values.Bytes(i))) {
			return c.Name + " has no such label"
		}
	}
	return ""
}

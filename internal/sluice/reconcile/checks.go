package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"time"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// Figures are the lines of one check: what it counted, by key. Under the key None
// stands the figure of a check that groups by nothing, or the rows whose key is
// null.
type Figures map[Key]*Figure

// Key is what a check groups by. It can be a patient's number.
type Key struct {
	Text    string
	Null    bool
	Unknown bool // a code of the target's that the table of codes does not have
}

// Figure is one line of a check. What the check does not ask for is absent.
type Figure struct {
	Count       *int64
	Sum         *Amount
	First, Last *string

	// Of a source's figure whose first or last row was put aside: which row is
	// the first now is not known, only that none comes before.
	OpenFirst, OpenLast bool
}

// Add adds a figure to those of its key.
func (f Figures) Add(k Key, o *Figure) {
	if old := f[k]; old != nil {
		o = old.merge(o)
	}
	f[k] = o
}

// PutAside takes the figures of rows put aside off those of all rows.
func (f Figures) PutAside(aside Figures) {
	for k, o := range aside {
		s := f[k]
		if s == nil {
			s = &Figure{}
		}
		left := s.merge(&Figure{Count: negative(o.Count), Sum: o.Sum.negative()})
		left.OpenFirst = o.First != nil && (s.First == nil || compareTexts(*o.First, *s.First) <= 0)
		left.OpenLast = o.Last != nil && (s.Last == nil || compareTexts(*o.Last, *s.Last) >= 0)
		f[k] = left
	}
}

func negative(n *int64) *int64 {
	if n == nil {
		return nil
	}
	m := -*n
	return &m
}

func (a *Amount) negative() *Amount {
	if a == nil || a.Exact == nil {
		return a
	}
	return &Amount{Exact: new(big.Rat).Neg(a.Exact)}
}

// Amount is an exact sum, or one of those that sums of PostgreSQL's numeric can be
// beside: "NaN", "Infinity", "-Infinity".
type Amount struct {
	Exact   *big.Rat
	Special string
}

// SplitChecks takes the batch of dataset ecluse.checks apart: the fields of
// reader.Session.Check after a field named check.
func SplitChecks(b *record.Batch, into map[string]Figures) error {
	names := b.Column("check")
	if names == nil {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "read the source's checks", Why: "the column check is missing"}
	}
	return figures(b, func(i int) Figures {
		name := string(names.Bytes(i))
		if into[name] == nil {
			into[name] = Figures{}
		}
		return into[name]
	}, Key.same)
}

func (k Key) same() (Key, error) { return k, nil }

// figures adds each row of b to the Figures that of gives, under the key that
// translate makes of its own. Several rows of one key are added up.
func figures(b *record.Batch, of func(row int) Figures, translate func(Key) (Key, error)) error {
	bad := func(i int, column, why string) error {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "read figures", Where: fmt.Sprintf("line %d: %s", i+1, column), Why: why}
	}
	columns := map[string]*record.Column{}
	for _, f := range []record.Field{
		{Name: "key", Type: ecluse.Type{Kind: ecluse.Text}},
		{Name: "count", Type: ecluse.Type{Kind: ecluse.Int}},
		{Name: "sum", Type: ecluse.Type{Kind: ecluse.Number}},
		{Name: "first", Type: ecluse.Type{Kind: ecluse.Text}},
		{Name: "last", Type: ecluse.Type{Kind: ecluse.Text}},
	} {
		c := b.Column(f.Name)
		if c == nil || c.Type() != f.Type {
			return bad(0, f.Name, "there is no such column of type "+f.Type.String())
		}
		columns[f.Name] = c
	}
	for i := range b.Rows() {
		key, err := translate(Key{Text: string(columns["key"].Bytes(i)), Null: columns["key"].Null(i)})
		if err != nil {
			return bad(i, "key", err.Error())
		}
		f := &Figure{First: textAt(columns["first"], i), Last: textAt(columns["last"], i)}
		if c := columns["count"]; !c.Null(i) {
			n := c.Int(i)
			f.Count = &n
		}
		if c := columns["sum"]; !c.Null(i) {
			if f.Sum = amount(c.Bytes(i)); f.Sum == nil {
				return bad(i, "sum", "it is no number")
			}
		}
		of(i).Add(key, f)
	}
	return nil
}

func textAt(c *record.Column, i int) *string {
	if c.Null(i) {
		return nil
	}
	s := string(c.Bytes(i))
	return &s
}

func amount(text []byte) *Amount {
	switch s := string(text); s {
	case "NaN", "Infinity", "-Infinity":
		return &Amount{Special: s}
	}
	if r := rational(text); r != nil {
		return &Amount{Exact: r}
	}
	return nil
}

func (a *Amount) add(o *Amount) *Amount {
	switch {
	case a.Special == "" && o.Special == "":
		return &Amount{Exact: new(big.Rat).Add(a.Exact, o.Exact)}
	case a.Special == "" || a.Special == o.Special:
		return &Amount{Special: o.Special}
	case o.Special == "":
		return a
	}
	return &Amount{Special: "NaN"}
}

func (a *Amount) equal(o *Amount) bool {
	if a == nil || o == nil {
		return a == o
	}
	return a.Special == o.Special && (a.Special != "" || a.Exact.Cmp(o.Exact) == 0)
}

// rational reads an exact number; nil for what is none.
func rational(text []byte) *big.Rat {
	if n, ok := parseNumber(text); !ok || n.exponent > 1<<12 || n.exponent < -1<<12 {
		return nil
	}
	r, ok := new(big.Rat).SetString(string(text))
	if !ok {
		return nil
	}
	return r
}

// merge adds two figures of one key: counts and sums are added, the first is the
// earlier, the last the later.
func (f *Figure) merge(o *Figure) *Figure {
	m := &Figure{Count: f.Count, Sum: f.Sum, First: f.First, Last: f.Last}
	if o.Count != nil {
		n := *o.Count
		if m.Count != nil {
			n += *m.Count
		}
		m.Count = &n
	}
	switch {
	case m.Sum == nil:
		m.Sum = o.Sum
	case o.Sum != nil:
		m.Sum = m.Sum.add(o.Sum)
	}
	if o.First != nil && (m.First == nil || compareTexts(*o.First, *m.First) < 0) {
		m.First = o.First
	}
	if o.Last != nil && (m.Last == nil || compareTexts(*o.Last, *m.Last) > 0) {
		m.Last = o.Last
	}
	return m
}

// compareTexts compares two values as their databases wrote them: as exact
// numbers if both are, as times if both are (a date is its midnight, a time
// without zone is UTC), else as bytes.
func compareTexts(a, b string) int {
	if x, y := rational([]byte(a)), rational([]byte(b)); x != nil && y != nil {
		return x.Cmp(y)
	}
	if x, ok := parseTime(a); ok {
		if y, ok := parseTime(b); ok {
			return x.Compare(y)
		}
	}
	return cmp.Compare(a, b)
}

func parseTime(s string) (time.Time, bool) {
	for _, layout := range []string{
		"2006-01-02", "2006-01-02 15:04:05", "2006-01-02 15:04:05Z07", "2006-01-02 15:04:05Z07:00",
		"2006-01-02T15:04:05", "2006-01-02T15:04:05Z07:00",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// equal compares a figure of the source with the target's of the same key.
func (f *Figure) equal(o *Figure) bool {
	count := f.Count == nil && o.Count == nil || f.Count != nil && o.Count != nil && *f.Count == *o.Count
	text := func(a, b *string) bool {
		return a == nil && b == nil || a != nil && b != nil && compareTexts(*a, *b) == 0
	}
	first, last := text(f.First, o.First), text(f.Last, o.Last)
	if f.OpenFirst {
		first = o.First == nil || f.First != nil && compareTexts(*f.First, *o.First) <= 0
	}
	if f.OpenLast {
		last = o.Last == nil || f.Last != nil && compareTexts(*f.Last, *o.Last) >= 0
	}
	return count && f.Sum.equal(o.Sum) && first && last
}

// CheckResult is the outcome of one check.
type CheckResult struct {
	Name  string      `json:"name"`
	Lines int         `json:"lines"`          // figures compared: keys of either side
	Off   []CheckLine `json:"off,omitempty"`  // those that differ, by key, at most MaxOff
	More  int         `json:"more,omitempty"` // how many others differ
	Why   string      `json:"why,omitempty"`  // why it could not be compared
}

// CheckLine is a figure that differs. Of figures other than counts it says that
// they differ, not what they are.
type CheckLine struct {
	Key     string `json:"key"` // as the source writes it
	Null    bool   `json:"null,omitempty"`
	Unknown bool   `json:"unknown,omitempty"` // as the target writes it: no code of the source
	Source  *int64 `json:"source"`            // its count; null when the key, or the count, is not there
	Target  *int64 `json:"target"`
}

// MaxOff bounds the lines that a report lists of one check.
const MaxOff = 1000

// Equal tells whether every figure is the same on both sides.
func (c *CheckResult) Equal() bool { return c.Why == "" && len(c.Off) == 0 }

// CompareCheck compares the figures that the source counted with those of the
// target, in the batch of reader.Scanner.Check. The target's keys are turned back
// into the source's: check.Minus is taken off, or codes, the frozen table that
// check.Codes names, from target to source, says which they were.
func CompareCheck(check ecluse.ShapeCheck, codes map[string]string, source Figures, target *record.Batch) CheckResult {
	return compareCheck(check, codes, source, target, nil)
}

// compareCheck also counts made, figures by the target's keys of rows that are not in it.
func compareCheck(check ecluse.ShapeCheck, codes map[string]string, source Figures, target *record.Batch, made Figures) CheckResult {
	r := CheckResult{Name: check.Name}
	counted := Figures{}
	translate := func(k Key) (Key, error) { return translateKey(check, codes, k) }
	err := figures(target, func(int) Figures { return counted }, translate)
	for k, f := range made {
		if err != nil {
			break
		}
		if k, err = translate(k); err == nil {
			counted.Add(k, f)
		}
	}
	if err != nil {
		r.Why = err.Error()
		return r
	}
	keys := slices.Collect(maps.Keys(source))
	for k := range counted {
		if _, ok := source[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Text, b.Text), compareBool(a.Null, b.Null), compareBool(a.Unknown, b.Unknown))
	})
	for _, k := range keys {
		s, t := source[k], counted[k]
		r.Lines++
		switch {
		case s != nil && t != nil && s.equal(t):
		case len(r.Off) == MaxOff:
			r.More++
		default:
			r.Off = append(r.Off, line(k, s, t))
		}
	}
	return r
}

func line(k Key, source, target *Figure) CheckLine {
	l := CheckLine{Key: k.Text, Null: k.Null, Unknown: k.Unknown}
	if source != nil {
		l.Source = source.Count
	}
	if target != nil {
		l.Target = target.Count
	}
	return l
}

// translateKey turns a key of the target into the source's. A key that the table
// of codes does not have stays, marked, and shows as a difference.
func translateKey(check ecluse.ShapeCheck, codes map[string]string, k Key) (Key, error) {
	switch {
	case k.Null:
	case check.Codes != "":
		code, ok := codes[k.Text]
		if !ok {
			return Key{Text: k.Text, Unknown: true}, nil
		}
		k.Text = code
	case check.Minus != 0:
		n, err := strconv.ParseInt(k.Text, 10, 64)
		if err != nil {
			return k, fmt.Errorf("%d cannot be taken off a key that is no whole number", check.Minus)
		}
		k.Text = strconv.FormatInt(n-check.Minus, 10)
	}
	return k, nil
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

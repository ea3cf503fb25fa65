package mapping

import (
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"ecluse"
	"ecluse/internal/document"
	"ecluse/internal/sluice/mapping/expr"
)

// Format is the first line of a mapping.
const Format = "mapping/v1"

// Document is mapping/v1 as a person writes it. docs/reference/mapping.md
// describes every key.
type Document struct {
	Format      string                    `yaml:"ecluse"`
	ID          string                    `yaml:"id"`
	Instruction ecluse.Digest             `yaml:"instruction" law:"GDPR art. 29"`
	Tables      document.Map[FrozenTable] `yaml:"tables,omitempty"`
	Hold        document.Map[HeldDataset] `yaml:"hold,omitempty"`
	Targets     document.Map[TargetTable] `yaml:"targets,omitempty"`
	From        document.Map[[]Into]      `yaml:"from"`
	Sequences   document.Map[string]      `yaml:"sequences,omitempty"`
	Checks      document.Map[CheckFigure] `yaml:"checks,omitempty"`

	digest ecluse.Digest
	lines  *document.Lines
}

// Digest identifies the document by its exact bytes.
func (d *Document) Digest() ecluse.Digest { return d.digest }

// FrozenTable is a CSV file of codes, signed with the mapping by its SHA-256.
type FrozenTable struct {
	File      string            `yaml:"file"`
	SHA256    fileDigest        `yaml:"sha256"`
	Key       []string          `yaml:"key"`
	Delimiter string            `yaml:"delimiter,omitempty"` // one character; a comma when absent
	Types     map[string]string `yaml:"types,omitempty"`     // column: text, int or decimal, where the cells alone would say otherwise
}

// HeldDataset is a small dataset of the instruction, kept whole in memory.
type HeldDataset struct {
	Key  []string `yaml:"key"`
	Rows int      `yaml:"rows"` // ceiling: beyond it the passage stops
}

// TargetTable is a table of the target that codes are looked up in.
type TargetTable struct {
	Table   ecluse.TableName `yaml:"table"`
	Key     []string         `yaml:"key"`
	Columns []string         `yaml:"columns"`
	Rows    int              `yaml:"rows"`
}

// Into is the rows of one target table made from the rows of a dataset.
type Into struct {
	Into    ecluse.TableName     `yaml:"into"`
	Each    document.Map[string] `yaml:"each,omitempty"`
	Let     document.Map[string] `yaml:"let,omitempty"`
	Skip    string               `yaml:"skip,omitempty"`
	Reject  rejects              `yaml:"reject,omitempty"`
	Columns document.Map[Column] `yaml:"columns"`
}

// Reject puts the whole source row aside, with all its target rows.
type Reject struct {
	When   string `yaml:"when"`
	Reason string `yaml:"reason"`
}

// rejects is one Reject or a list of them.
type rejects []Reject

// DecodeNode reads either form.
func (r *rejects) DecodeNode(n *document.Node, decode func(*document.Node, any)) error {
	if document.IsList(n) {
		list := []Reject(nil)
		decode(n, &list)
		*r = list
		return nil
	}
	var one Reject
	decode(n, &one)
	*r = rejects{one}
	return nil
}

// Miss says what happens when an expression has no result: a code that is not in
// its table, a text that is not a date. A null that was null before is none.
type Miss string

// The outcomes of a miss.
const (
	MissNull   Miss = "null"   // null is written
	MissKeep   Miss = "keep"   // the one value the expression was made from is written
	MissValue  Miss = "value"  // Default is written
	MissReject Miss = "reject" // the source row is put aside
	MissBlock  Miss = "block"  // the passage stops
)

// Column is how one target column is made.
type Column struct {
	Value   string
	Miss    Miss
	Default string
	Report  string // name under which misses are counted
	From    *int64 // first number of a counter; absent: above the highest in the target
	RowOf   *ecluse.TableName
}

type columnForm struct {
	Value   word              `yaml:"value,omitempty"`
	Miss    word              `yaml:"miss,omitempty"`
	Default string            `yaml:"default,omitempty"`
	Report  string            `yaml:"report,omitempty"`
	From    *int64            `yaml:"from,omitempty"`
	RowOf   *ecluse.TableName `yaml:"row_of,omitempty"`
}

// word is a single value in which null is a word like others.
type word string

// DecodeNode takes the text as written.
func (w *word) DecodeNode(n *document.Node, _ func(*document.Node, any)) error {
	if !document.IsScalar(n) {
		return fmt.Errorf("want a single value")
	}
	*w = word(n.Value)
	return nil
}

// counterWord is the expression of a column numbered by a counter.
const counterWord = "counter"

// DecodeNode reads "expr" or {value: expr, miss: …}.
func (c *Column) DecodeNode(n *document.Node, decode func(*document.Node, any)) error {
	if document.IsScalar(n) {
		c.Value = n.Value
		if strings.TrimSpace(c.Value) == "" {
			return fmt.Errorf("empty expression: write null to write null")
		}
		return nil
	}
	var f columnForm
	decode(n, &f)
	*c = Column{Value: string(f.Value), Miss: Miss(f.Miss), Default: f.Default, Report: f.Report, From: f.From, RowOf: f.RowOf}
	return c.wellFormed()
}

func (c *Column) wellFormed() error {
	switch c.Miss {
	case "", MissNull, MissKeep, MissValue, MissReject, MissBlock:
	default:
		return fmt.Errorf("miss: want null, keep, value, reject or block")
	}
	counter := c.Value == counterWord
	switch {
	case c.RowOf != nil && (c.Value != "" || c.Miss != "" || c.Default != "" || c.Report != "" || c.From != nil):
		return fmt.Errorf("row_of stands alone")
	case c.RowOf == nil && c.Value == "":
		return fmt.Errorf("value: missing")
	case c.From != nil && (!counter || *c.From < 1):
		return fmt.Errorf("from: only a counter has a first number, of 1 or more")
	case counter && (c.Miss != "" || c.Default != "" || c.Report != ""):
		return fmt.Errorf("a counter always has a number")
	case (c.Miss == MissValue) != (c.Default != ""):
		return fmt.Errorf("miss: value and default: go together")
	case c.Report != "" && c.Miss == "":
		return fmt.Errorf("report: say what happens: miss: null, keep, value, reject or block")
	}
	return nil
}

// String is the column's rule in one line, for plans.
func (c *Column) String() string {
	var b strings.Builder
	if c.RowOf != nil {
		return "row of " + c.RowOf.String()
	}
	b.WriteString(ecluse.OneLine(c.Value))
	if c.From != nil {
		b.WriteString(" from " + strconv.FormatInt(*c.From, 10))
	}
	if c.Miss != "" {
		b.WriteString("; miss: " + string(c.Miss))
	}
	if c.Default != "" {
		b.WriteString(" " + c.Default)
	}
	if c.Report != "" {
		b.WriteString("; report: " + c.Report)
	}
	return b.String()
}

// CheckFigure is the target's half of a cross-check of the instruction.
type CheckFigure struct {
	Table ecluse.TableName `yaml:"table"`
	Count bool             `yaml:"count,omitempty"`
	Sum   string           `yaml:"sum,omitempty"`
	First string           `yaml:"first,omitempty"`
	Last  string           `yaml:"last,omitempty"`
	By    string           `yaml:"by,omitempty"`
	Minus int64            `yaml:"minus,omitempty"`
	Codes string           `yaml:"codes,omitempty"`
	Where []CheckWhere     `yaml:"where,omitempty"`
}

// CheckWhere is one condition of a CheckFigure.
type CheckWhere struct {
	Column string `yaml:"column"`
	Equals string `yaml:"equals,omitempty"`
	Null   *bool  `yaml:"null,omitempty"`
	From   *int64 `yaml:"from,omitempty"`
	Before *int64 `yaml:"before,omitempty"`
}

// fileDigest is a SHA-256 as sha256sum prints it, or with the prefix "sha256:".
type fileDigest struct{ ecluse.Digest }

// UnmarshalText reads either form.
func (d *fileDigest) UnmarshalText(b []byte) error {
	s := string(b)
	if !strings.HasPrefix(s, "sha256:") {
		s = "sha256:" + s
	}
	v, err := ecluse.ParseDigest(s)
	d.Digest = v
	return err
}

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,62}[a-z0-9]$`)

// Parse reads a mapping. It knows neither instruction nor target: Check does.
// The error is document.Problems.
func Parse(file string, b []byte) (*Document, error) {
	d := &Document{digest: ecluse.DigestOf(b)}
	lines, err := document.Decode(file, b, d)
	if err != nil {
		return nil, err
	}
	d.lines = lines
	p := problems{lines: lines}
	if d.Format != Format {
		p.add("ecluse", "want "+Format)
	}
	if !idPattern.MatchString(d.ID) {
		p.add("id", "want 3 to 64 lower-case letters, digits and hyphens")
	}
	if !utf8.Valid(b) {
		p.add("", "not UTF-8")
	}
	d.parseTables(&p)
	for dataset, list := range d.From.All() {
		if len(*list) == 0 {
			p.add("from."+dataset, "no target table")
		}
		for i := range *list {
			d.parseInto(&p, fmt.Sprintf("from.%s[%d]", dataset, i), &(*list)[i])
		}
	}
	return d, p.err()
}

func (d *Document) parseTables(p *problems) {
	names := map[string]bool{}
	table := func(field, name string, key []string, rows int) {
		if !expr.IsName(name) {
			p.add(field, "a table is looked up by its name: letters, digits and underscores")
		}
		if names[name] {
			p.add(field, "two tables of one name")
		}
		names[name] = true
		if len(key) == 0 {
			p.add(field+".key", "a look-up needs a key")
		}
		for i := range key {
			for j := range i {
				if key[i] == key[j] {
					p.add(field+".key", "column given twice")
				}
			}
		}
		if rows <= 0 || rows > maxHeldRows {
			p.add(field+".rows", fmt.Sprintf("want a ceiling from 1 to %d", maxHeldRows))
		}
	}
	for name, t := range d.Tables.All() {
		table("tables."+name, name, t.Key, 1)
		if t.Delimiter != "" && (utf8.RuneCountInString(t.Delimiter) != 1 || strings.ContainsAny(t.Delimiter, "\"\r\n\uFFFD")) {
			p.add("tables."+name+".delimiter", "want one character")
		}
		for column, typ := range t.Types {
			if typ != "text" && typ != "int" && typ != "decimal" {
				p.add("tables."+name+".types", fmt.Sprintf("%s: want text, int or decimal", column))
			}
		}
	}
	for name, h := range d.Hold.All() {
		table("hold."+name, name, h.Key, h.Rows)
	}
	for name, t := range d.Targets.All() {
		table("targets."+name, name, t.Key, t.Rows)
	}
}

func (d *Document) parseInto(p *problems, field string, in *Into) {
	if in.Columns.Len() == 0 {
		p.add(field+".columns", "no column")
	}
	vars := 0
	for name, v := range in.Each.All() {
		if name == "position" {
			if !expr.IsName(*v) {
				p.add(field+".each.position", "want a name")
			}
			continue
		}
		vars++
		if !expr.IsName(name) {
			p.add(field+".each."+name, "want a name")
		}
	}
	if in.Each.Len() > 0 && vars != 1 {
		p.add(field+".each", "want one name for the pieces, and position")
	}
	for name := range in.Let.All() {
		if !expr.IsName(name) {
			p.add(field+".let."+name, "want a name")
		}
	}
}

// problems gathers what is wrong.
type problems struct {
	lines *document.Lines
	list  document.Problems
}

func (p *problems) add(field, why string) {
	p.list = append(p.list, p.lines.Problem(field, why, ""))
}

func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	sort.SliceStable(p.list, func(i, j int) bool { return p.list[i].Line < p.list[j].Line })
	return p.list
}

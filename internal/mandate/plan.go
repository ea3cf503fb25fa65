package mandate

import (
	"slices"
	"time"

	"ecluse"
)

// ReadPlan is readplan/v1: what leaves. It is compiled, never written by hand;
// equal inputs give equal bytes (Bytes), and a gate compiles it again.
type ReadPlan struct {
	Format      string             `json:"ecluse"` // "readplan/v1"
	Migration   ecluse.MigrationID `json:"migration"`
	Contract    ecluse.Digest      `json:"contract"`
	Instruction ecluse.Digest      `json:"instruction"`
	Procedure   ecluse.Digest      `json:"procedure"` // of docs/reference/procedure.md as the program prints it
	Source      PlanPlace          `json:"source"`
	Target      PlanPlace          `json:"target"`
	Recipient   ecluse.Digest      `json:"recipient"`   // of the signed recipient/v1 that chunks are sealed to
	Rejects     ecluse.Digest      `json:"rejects"`     // of the source gate's recipient/v1 that rejects are sealed to
	Consistency string             `json:"consistency"` // snapshot, locked, frozen, reread
	Frozen      *PlanFreeze        `json:"frozen,omitempty"`
	Datasets    []ReadDataset      `json:"datasets"` // in the instruction's order
	Verdicts    []TableVerdict     `json:"verdicts"` // every table and column of the source, sorted by table
	Checks      []ReadCheck        `json:"checks,omitempty"`
	MayAlsoRead []string           `json:"may_also_read,omitempty"` // "table.column" or "all", from the instruction
	Because     string             `json:"because,omitempty"`
	Limits      PlanLimits         `json:"limits"`
	EraseBy     time.Time          `json:"erase_by"`
	CatchUps    int                `json:"catch_ups,omitempty"` // how often the source may be read again for what changed, from the instruction
	Untried     string             `json:"untried,omitempty"`   // why the final passage comes without a dry run or rehearsal, from the instruction
}

// PlanPlace is one end of the migration.
type PlanPlace struct {
	Gate   ecluse.Fingerprint `json:"gate"`
	System string             `json:"system"`
	Engine ecluse.Engine      `json:"engine,omitempty"`
}

// PlanFreeze is whose word it is that nobody writes in the source, and from when:
// it is not read before.
type PlanFreeze struct {
	By   string    `json:"by"`
	From time.Time `json:"from"`
}

// PlanLimits bound what may leave; beyond them the passage stops.
type PlanLimits struct {
	Rows             int64  `json:"rows"`
	Bytes            int64  `json:"bytes"` // of ciphertext
	Window           string `json:"window,omitempty"`
	QueriesPerSecond int    `json:"queries_per_second,omitempty"`
	LoadPause        int    `json:"load_pause,omitempty"` // sessions of others at work, beside which the reading pauses; 0: never
	Lease            string `json:"lease,omitempty"`      // how long a half of the key is lent at a time; empty: UsualLease
}

// LeaseTime is how long a half of the key is lent at a time.
func (l PlanLimits) LeaseTime() time.Duration { return leaseTime(l.Lease) }

// ReadDataset is one dataset of the instruction, resolved against the catalogue.
type ReadDataset struct {
	Dataset   ecluse.DatasetID `json:"dataset"`
	From      ecluse.TableName `json:"from"`
	Storage   string           `json:"storage,omitempty"` // of From, as the catalogue says
	View      string           `json:"view,omitempty"`    // name of the granted view; empty: the table itself
	Distinct  bool             `json:"distinct,omitempty"`
	Key       []string         `json:"key,omitempty"`
	KeyUnique bool             `json:"key_unique,omitempty"` // Key is the primary key or a NOT NULL unique key
	Columns   []ReadColumn     `json:"columns"`              // what travels, in the instruction's order; for a distinct dataset the one column, then "ordinal" (int, from 1)
	Where     []ReadCondition  `json:"where,omitempty"`
	Within    []ReadWithin     `json:"within,omitempty"`
	Rows      *RowTolerance    `json:"rows,omitempty"` // beyond it the reading stops
	Statement string           `json:"statement"`      // for people to read; a gate executes only what it composes itself
}

// ReadColumn is one column that travels.
type ReadColumn struct {
	Name     string       `json:"name"`
	Class    ecluse.Class `json:"class"`
	Type     ecluse.Type  `json:"type"`              // how it travels
	AsText   bool         `json:"as_text,omitempty"` // the instruction asks for the database's exact text
	Declared string       `json:"declared"`
	Because  string       `json:"because,omitempty"` // reason given for a document or free-text column
}

// ReadCondition filters rows by one column, which need not travel. All
// conditions of a dataset hold together. From and Before are dates, times or
// numbers by the column's type, in one form: 2006-01-02, 15:04:05,
// 2006-01-02T15:04:05 (Timestamp), 2006-01-02T15:04:05Z (Instant), each with up
// to 6 digits of a second, or a plain decimal number; a Text column has neither.
// In compares exactly, by bytes for text; its values have the same forms, or are
// true and false.
type ReadCondition struct {
	Column  string      `json:"column"`
	Type    ecluse.Type `json:"type"`
	From    string      `json:"from,omitempty"`   // ≥
	Before  string      `json:"before,omitempty"` // <
	In      []string    `json:"in,omitempty"`     // one of
	NotNull bool        `json:"not_null,omitempty"`
}

// ReadWithin keeps only rows whose columns refer to a row that another dataset
// takes (so its conditions apply, transitively).
type ReadWithin struct {
	Dataset ecluse.DatasetID `json:"dataset"`
	Columns []string         `json:"columns"` // of this dataset's table, in the order of that dataset's key
}

// TableVerdict says for every column of a table what happens to it.
type TableVerdict struct {
	Table   ecluse.TableName `json:"table"`
	Kind    ecluse.TableKind `json:"kind"`
	Columns []ColumnVerdict  `json:"columns"`
}

// Verdict on a column.
type Verdict string

// The verdicts. Filtered: compared by a condition or a within, never sent.
const (
	Taken             Verdict = "taken"
	Filtered          Verdict = "filters"
	RefusedColumn     Verdict = "refused"
	RefusedCredential Verdict = "credential"
)

// ColumnVerdict is the verdict on one column.
type ColumnVerdict struct {
	Column   string             `json:"column"`
	Verdict  Verdict            `json:"verdict"`
	Class    ecluse.Class       `json:"class,omitempty"`
	Datasets []ecluse.DatasetID `json:"datasets,omitempty"`
}

// ReadCheck is the source's half of a cross-check, counted inside the epoch.
type ReadCheck struct {
	Name      string           `json:"name"`
	Dataset   ecluse.DatasetID `json:"dataset"`
	Count     bool             `json:"count,omitempty"`
	Sum       string           `json:"sum,omitempty"`   // an exact instructed column
	First     string           `json:"first,omitempty"` // smallest value of an instructed date, time or number
	Last      string           `json:"last,omitempty"`
	By        string           `json:"by,omitempty"` // one line per value of this instructed column
	Statement string           `json:"statement"`
}

// LoadPlan is loadplan/v1: how it enters.
type LoadPlan struct {
	Format      string             `json:"ecluse"` // "loadplan/v1"
	Migration   ecluse.MigrationID `json:"migration"`
	Instruction ecluse.Digest      `json:"instruction"`
	ReadPlan    ecluse.Digest      `json:"read_plan"`
	Procedure   ecluse.Digest      `json:"procedure"`
	Passage     ecluse.PassageKind `json:"passage"`
	Target      PlanPlace          `json:"target"`
	Shape       ecluse.Shape       `json:"shape"`
	Tables      []LoadTable        `json:"tables"` // every table written, in the order of first writing
	Held        []LoadHeld         `json:"held,omitempty"`
	EraseBy     time.Time          `json:"erase_by"`
}

// LoadTable is one table of the target that the plan writes.
type LoadTable struct {
	Table     ecluse.TableName `json:"table"`
	Key       []string         `json:"key,omitempty"` // primary key, when every column of it is written
	Columns   []LoadColumn     `json:"columns"`       // the union of what the datasets write, in the table's order
	Statement string           `json:"statement"`
}

// LoadColumn is one written column of the target.
type LoadColumn struct {
	Name     string      `json:"name"`
	Type     ecluse.Type `json:"type"`
	Declared string      `json:"declared"`
}

// LoadHeld is a table of the target that the mapping looks codes up in, frozen by
// the hash of its rows.
type LoadHeld struct {
	Table   ecluse.TableName `json:"table"`
	Columns []string         `json:"columns"`
	Rows    int              `json:"rows"`
	Digest  ecluse.Digest    `json:"sha256"`
}

// Columns identifies what the plan's datasets are made of, whatever plan it stands in and
// however many rows they may have.
func (p *ReadPlan) Columns() ecluse.Digest {
	of := slices.Clone(p.Datasets)
	for i := range of {
		of[i].Rows = nil
	}
	return ecluse.DigestOf(encodePlan(of))
}

// Dataset finds a dataset by name.
func (p *ReadPlan) Dataset(id ecluse.DatasetID) (*ReadDataset, bool) {
	for i := range p.Datasets {
		if p.Datasets[i].Dataset == id {
			return &p.Datasets[i], true
		}
	}
	return nil, false
}

// Column finds a column that travels.
func (d *ReadDataset) Column(name string) (*ReadColumn, bool) {
	for i := range d.Columns {
		if d.Columns[i].Name == name {
			return &d.Columns[i], true
		}
	}
	return nil, false
}

// ViewNamer is what a Dialect has too when its engine reads through granted
// views: the name of a dataset's view as TableName.String writes it, empty when
// the table itself is read. It is asked before any statement.
type ViewNamer interface {
	ViewName(p *ReadPlan, d *ReadDataset) string
}

// Dialect is what compiling needs to know of an engine: package mandate knows no
// SQL. Each engine package fills it. Statements are complete and exact.
type Dialect interface {
	Engine() ecluse.Engine
	// Consistencies are the ways a reader of the engine can see one state of a
	// source: some of Snapshot, Locked, Frozen, Reread.
	Consistencies() []string
	// TellsLoad tells whether a reader of the engine can count who else is at work on
	// its server.
	TellsLoad() bool
	// ReadStatement is the statement that reads a whole dataset of plan p.
	ReadStatement(p *ReadPlan, d *ReadDataset) (string, error)
	// CheckStatement is the statement of a source check.
	CheckStatement(p *ReadPlan, c *ReadCheck) (string, error)
	// WriteStatement is the statement that writes rows of a table.
	WriteStatement(t *LoadTable) (string, error)
	// TextType tells whether a column can be read as its exact text, and whether
	// it must be (kinds of value with no type of their own in flight).
	TextType(c *ecluse.Column) (can, must bool)
}

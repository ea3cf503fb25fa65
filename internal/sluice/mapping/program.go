// Package mapping turns rows of instructed datasets into rows of the target's
// tables. A mapping is a pure function of a chunk, of frozen tables and of the
// counters' start: it reads no clock, no file and no database.
//
// Parse reads the document that a person wrote; Check compares it with the
// instruction's datasets and the target's structure and compiles it; a Run
// applies it, chunk after chunk. One source row makes all its target rows or is
// put aside whole, with a reason that holds no value. What an expression can be
// is in package expr; docs/reference/mapping.md is the reference.
package mapping

import (
	"slices"
	"strings"

	"ecluse"
	"ecluse/internal/sluice/mapping/expr"
	"ecluse/internal/sluice/record"
)

// Program is a checked mapping, compiled. It does not change: any number of runs
// may share it.
type Program struct {
	shape    ecluse.Shape
	tables   []*lookup // by slot; frozen ones are full
	datasets map[ecluse.DatasetID]*dataset
	counters []Counter
	unused   []string
	codes    map[string]map[string]string // of checks, by frozen table
}

// Counter numbers a column of the target. Its name is the column's,
// "clinlims.result.id"; its value, between chunks, the last number given.
type Counter struct {
	Name   string
	Table  ecluse.TableName
	Column string
	From   int64 // first number, where the mapping says so
	Above  bool  // else: it begins above the highest number in the target
	high   int64
}

// Shape is what the program reads and writes.
func (p *Program) Shape() ecluse.Shape { return p.shape }

// Counters lists the counters in the order of their names.
func (p *Program) Counters() []Counter { return p.counters }

// Counts tells whether counters number rows that are made of a dataset.
func (p *Program) Counts(d ecluse.DatasetID) bool {
	set := p.datasets[d]
	return set != nil && slices.ContainsFunc(set.entries, func(e *entry) bool {
		return slices.ContainsFunc(e.sinks, func(s *sink) bool { return s.counter >= 0 })
	})
}

// LooksUp tells whether rules of a dataset look rows up in a held one.
func (p *Program) LooksUp(d, held ecluse.DatasetID) bool {
	set := p.datasets[d]
	return set != nil && slices.Contains(set.lookups, string(held))
}

// Unused lists the instructed columns, "dataset.column", that no rule of the
// mapping uses: they need not have been asked for (GDPR art. 5(1)(c)).
func (p *Program) Unused() []string { return p.unused }

// Codes is the frozen table, by its name in the mapping, that a check turns the
// target's codes back into the source's with: as the file writes them.
func (p *Program) Codes(table string) map[string]string { return p.codes[table] }

// Behind lists the source columns whose values put a row aside for a reason: those
// that the rule's expression is made from, in the dataset's order. Of a reason that
// the target gave ("lims.patient.sex: …") it is what the written column is made from;
// one that names no column has none.
func (p *Program) Behind(d ecluse.DatasetID, reason string) []string {
	set := p.datasets[d]
	if set == nil {
		return nil
	}
	if names, ok := set.behind[reason]; ok {
		return names
	}
	written, _, _ := strings.Cut(reason, ": ")
	return set.behind[written]
}

// dataset is the compiled rules of one dataset.
type dataset struct {
	id      ecluse.DatasetID
	schema  *record.Schema
	code    *expr.Code
	entries []*entry
	reasons []string
	lookups []string            // tables that its rules look rows up in
	behind  map[string][]string // by reason, and by written column ("lims.patient.sex"): source columns
}

// entry is one target table of a dataset.
type entry struct {
	table   ecluse.TableName
	schema  *record.Schema
	domain  int
	skip    int // register; −1: nothing is skipped
	rejects []condition
	sinks   []*sink
}

// condition is a register that, where true, puts the source row aside.
type condition struct{ reg, reason int }

// sink is one written column.
type sink struct {
	kind    ecluse.DataKind
	fit     fit
	raw     int // source column copied as it is; −1
	reg     int
	alt     int // register of what stands in for a miss; −1
	miss    Miss
	report  string // misses are counted under it
	counted bool   // also those that put their row aside: the mapping names them
	counter int    // among the program's; −1
	rowOf   int    // entry whose counter's number it repeats; −1

	onMiss, onMisfit, onNull int // reasons
}

// lookup is a table that expressions look rows up in, and where its rows come from.
type lookup struct {
	*expr.Table
	from   origin
	closed bool // all rows are in
}

// origin is where a look-up table's rows come from.
type origin string

const (
	frozenTable origin = "frozen table"
	heldDataset origin = "held dataset"
	targetTable origin = "target table"
)

// maxHeldRows bounds what is kept in memory for look-ups.
const maxHeldRows = 1_000_000

package reconcile

import (
	"slices"
	"strconv"
	"time"

	"ecluse"
)

// Report is the outcome of a reconciliation. It holds no record's value; what is
// counted by a value (a code, a reason) is exact here, so a Report is kept sealed
// or on the controller's side. Public is what others see.
type Report struct {
	ReadBack time.Time       `json:"read_back"` // the snapshot's, by the target's clock: proof for that instant
	Datasets []DatasetResult `json:"datasets"`  // first equality
	Tables   []TableResult   `json:"tables"`    // second
	Checks   []CheckResult   `json:"checks"`    // third
	Rejected []Grouped       `json:"rejected,omitempty"`
	Reported []Grouped       `json:"reported,omitempty"`
	Shapes   []Shaped        `json:"shapes,omitempty"` // of what was put aside, as Shapes.List lists it

	Traced      []Difference `json:"traced,omitempty"`       // rows behind tables that are not equal
	TracedWhole bool         `json:"traced_whole,omitempty"` // there are no others of what was loaded

	Renumbered *ecluse.Renumbering `json:"renumbered,omitempty"` // nil: no counter, or the first pass
}

// DatasetResult says that what was opened is what the source gate signed. Opening
// a chunk checks its keyed sum (package seal); here all chunks are counted.
type DatasetResult struct {
	Dataset ecluse.DatasetID `json:"dataset"`
	Chunks  int              `json:"chunks"` // in the manifest
	Rows    int64            `json:"rows"`   // in the manifest
	Opened  DatasetCount     `json:"opened"`
	Equal   bool             `json:"equal"`
}

// DatasetCount is chunks and their rows.
type DatasetCount struct {
	Chunks int   `json:"chunks"`
	Rows   int64 `json:"rows"`
}

// CompareDataset compares a dataset of the manifest with what was opened of it.
func CompareDataset(dataset ecluse.DatasetID, signed, opened DatasetCount) DatasetResult {
	return DatasetResult{Dataset: dataset, Chunks: signed.Chunks, Rows: signed.Rows, Opened: opened, Equal: signed == opened}
}

// TableResult compares a table of the target: after − before = as loaded. Equal
// says that every loaded row stands there as it was loaded, that the rows which
// stood there before are untouched, and that there is no other row.
type TableResult struct {
	Table  ecluse.TableName `json:"table"`
	Before int64            `json:"before"` // rows
	Loaded int64            `json:"loaded"`
	After  int64            `json:"after"`
	Equal  bool             `json:"equal"`
}

// Excess is how many rows more than before and loaded there are, or fewer.
func (t TableResult) Excess() int64 { return t.After - t.Before - t.Loaded }

// Verdict is a word for the outcome: equal, untouched (nothing was loaded and
// nothing changed), extra, missing, or altered (as many rows, but other ones).
func (t TableResult) Verdict() string {
	switch x := t.Excess(); {
	case t.Equal && t.Loaded == 0:
		return "untouched"
	case t.Equal:
		return "equal"
	case x > 0:
		return "extra"
	case x < 0:
		return "missing"
	}
	return "altered"
}

// Compare compares every table that any of the three knows. With empty sums as
// loaded it tells whether an undone passage left the target as it was.
func Compare(before, loaded, after Sums) []TableResult {
	all := Sums{}
	for _, s := range []Sums{before, loaded, after} {
		for t := range s {
			all[t] = Sum{}
		}
	}
	results := make([]TableResult, 0, len(all))
	for _, t := range all.Tables() {
		b, l, a := before.Of(t), loaded.Of(t), after.Of(t)
		results = append(results, TableResult{
			Table: t, Before: b.Count, Loaded: l.Count, After: a.Count, Equal: a.Sub(b) == l,
		})
	}
	return results
}

// Grouped counts rows by a reason, a code, a shape: never by a value of free text.
type Grouped struct {
	Dataset ecluse.DatasetID `json:"dataset"`
	By      string           `json:"by"`
	Count   int64            `json:"count"`
}

// Equal tells whether all three equalities hold. A report that compares nothing
// proves nothing.
func (r *Report) Equal() bool {
	for _, d := range r.Datasets {
		if !d.Equal {
			return false
		}
	}
	for _, t := range r.Tables {
		if !t.Equal {
			return false
		}
	}
	for _, c := range r.Checks {
		if !c.Equal() {
			return false
		}
	}
	return len(r.Datasets) > 0 && len(r.Tables) > 0
}

// Stood are the tables of which the second equality holds: each loaded row stood there as
// it was loaded, and what differs later, somebody changed.
func (r *Report) Stood() []ecluse.TableName {
	var all []ecluse.TableName
	for _, t := range r.Tables {
		if t.Equal {
			all = append(all, t.Table)
		}
	}
	return all
}

// maskBelow is how many there must be to be counted before others.
const maskBelow = 10

// Mask hides a small count grouped by a value from those who may not know whom it
// counts: 1 to 9 show as "<10".
func Mask(n int64) string {
	if n > 0 && n < maskBelow {
		return "<10"
	}
	return strconv.FormatInt(n, 10)
}

// Public is a Report as the processor, the server's pages and the journal may have
// it: totals exact, small groups masked, no key that figures are grouped by.
type Public struct {
	ReadBack time.Time            `json:"read_back"`
	Equal    bool                 `json:"equal"`
	Datasets []DatasetResult      `json:"datasets"`
	Tables   []TableResult        `json:"tables"`
	Checks   []PublicCheck        `json:"checks"`
	Rejected []ecluse.MaskedGroup `json:"rejected,omitempty"`
	Reported []ecluse.MaskedGroup `json:"reported,omitempty"`
	Shapes   []PublicShaped       `json:"shapes,omitempty"` // of what was put aside, rare ones folded together

	Traced      []Difference `json:"traced,omitempty"` // ordinals and columns, no value
	TracedWhole bool         `json:"traced_whole,omitempty"`

	Renumbered *ecluse.Renumbering `json:"renumbered,omitempty"` // as exact as it is: it counts nobody
}

// PublicCheck is the outcome of a check.
type PublicCheck struct {
	Name  string `json:"name"`
	Lines int    `json:"lines"`  // figures compared
	Off   int    `json:"differ"` // of them, those that differ
}

// Tally counts the checks that were compared, and those of them that differ.
func (p *Public) Tally() (compared, off int) {
	for _, c := range p.Checks {
		if c.Lines > 0 {
			compared++
		}
		if c.Off > 0 {
			off++
		}
	}
	return compared, off
}

// Public makes the public form.
func (r *Report) Public() *Public {
	// A dataset's rows put aside are counted in all. What was reported of them counts the
	// same rows once more.
	inDataset := func(g Grouped) string { return string(g.Dataset) }
	kept := keptBackOf(r.Rejected, inDataset)
	p := &Public{
		ReadBack: r.ReadBack, Equal: r.Equal(), Datasets: r.Datasets, Tables: r.Tables,
		Checks: make([]PublicCheck, len(r.Checks)), Rejected: maskGroups(r.Rejected, inDataset, kept), Reported: maskGroups(r.Reported, inDataset, kept),
		Traced: r.Traced, TracedWhole: r.TracedWhole, Renumbered: r.Renumbered,
	}
	p.Shapes = foldKept(foldShapes(r.Shapes), p.Rejected)
	for i, c := range r.Checks {
		p.Checks[i] = PublicCheck{Name: c.Name, Lines: c.Lines, Off: len(c.Off) + c.More}
	}
	return p
}

// MaskGroups masks the counts of groups that no total stands beside.
func MaskGroups(groups []Grouped) []ecluse.MaskedGroup {
	return maskGroups(groups, func(Grouped) string { return "" }, nil)
}

// MaskedBeside is a count that is kept back, small or not: a total stands beside it.
const MaskedBeside = "*"

// maskGroups masks small counts, and those that are kept back of their total: of says which
// one counts a group. What is small does not follow from a total and the rest: where it would,
// the smallest others are kept back with it, and nobody sees which of them is small.
func maskGroups(groups []Grouped, of func(Grouped) string, kept map[string]map[int64]bool) []ecluse.MaskedGroup {
	var out []ecluse.MaskedGroup
	for _, g := range groups {
		count := Mask(g.Count)
		if kept[of(g)][g.Count] {
			count = MaskedBeside
		}
		out = append(out, ecluse.MaskedGroup{Dataset: g.Dataset, By: g.By, Count: count})
	}
	return out
}

// keptBackOf is which counts of each total are kept back.
func keptBackOf(groups []Grouped, of func(Grouped) string) map[string]map[int64]bool {
	counts, kept := map[string][]int64{}, map[string]map[int64]bool{}
	for _, g := range groups {
		if g.Count > 0 {
			counts[of(g)] = append(counts[of(g)], g.Count)
		}
	}
	for total, all := range counts {
		kept[total] = map[int64]bool{}
		for most := keptBack(all); len(all) > 0; all = all[1:] {
			if all[0] <= most {
				kept[total][all[0]] = true
			}
		}
	}
	return kept
}

// keptBack is up to which count those of one total are kept back; 0: small ones are masked,
// and that is enough. Where two counts that are not told differ, they could be the other
// way round, and none follows from what is told. Equal counts are kept back together, or
// which of them is told would tell them apart.
func keptBack(counts []int64) (most int64) {
	counts = slices.Sorted(slices.Values(counts))
	small, kept, sum := int64(0), int64(0), int64(0) // groups under ten, others kept back, the rows of both
	for _, n := range counts {
		switch {
		case n < maskBelow:
			small++
		case n == most:
			kept++
		case small == 0, kept == 0 && counts[0] != counts[small-1] && sum >= maskBelow, kept > 0 && sum-kept*maskBelow >= small*(maskBelow-1):
			return most
		default:
			most, kept = n, kept+1
		}
		sum += n
	}
	return most
}

// foldKept folds the shapes of reasons whose counts are kept back: they would tell them.
func foldKept(shapes []PublicShaped, groups []ecluse.MaskedGroup) []PublicShaped {
	type reason struct {
		dataset ecluse.DatasetID
		by      string
	}
	back := map[reason]bool{}
	for _, g := range groups {
		back[reason{g.Dataset, g.By}] = g.Count == MaskedBeside
	}
	var out []PublicShaped
	for _, s := range shapes {
		if back[reason{s.Dataset, s.By}] {
			s.Shape, s.Count = ShapeOther, MaskedBeside
			if n := len(out); n > 0 && out[n-1] == s {
				continue
			}
		}
		out = append(out, s)
	}
	return out
}

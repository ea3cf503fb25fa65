package evidence

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"ecluse"
)

// DispositionsFormat is the format of Dispositions.
const DispositionsFormat = "dispositions/v2"

// dispositionsV1 said the same of a reason whatever the dataset. Nobody signs it any
// more (Explained); what was accepted with it still verifies, if each is one line, of which
// nothing else bounded the length.
const (
	dispositionsV1 = "dispositions/v1"
	maxLineV1      = 4096
)

// Dispositions is dispositions/v2: what the controller says becomes of rows that
// were put aside, by dataset and reason.
type Dispositions struct {
	Format    string             `json:"ecluse"`
	Migration ecluse.MigrationID `json:"migration"`
	Report    ecluse.Digest      `json:"report"`
	Rows      []Disposition      `json:"rows,omitempty"`
	Reasons   map[string]string  `json:"reasons,omitempty"` // of dispositionsV1, and only there
}

// Disposition is what becomes of the rows of a dataset that were put aside for a reason.
type Disposition struct {
	Dataset ecluse.DatasetID `json:"dataset"`
	By      string           `json:"by"`
	Becomes string           `json:"becomes"` // one line, without personal data: corrected in the source, entered by hand, left out
}

// Of is what becomes of the rows of a dataset that were put aside for a reason; empty
// where nothing was said.
func (d *Dispositions) Of(dataset ecluse.DatasetID, by string) string {
	for _, x := range d.Rows {
		if x.Dataset == dataset && x.By == by {
			return x.Becomes
		}
	}
	return d.Reasons[by]
}

// explain holds dispositions to the reasons of a report: something is said of each, once,
// and nothing of any other.
func (d *Dispositions) explain(put []reason) error {
	if (d.Format == dispositionsV1) != (len(d.Rows) == 0) || (d.Format == DispositionsFormat) != (len(d.Reasons) == 0) {
		return unexplained("the dispositions are of no format that is known")
	}
	said := map[Disposition]bool{}
	for _, x := range d.Rows {
		if why := OneLine(x.Becomes, maxLine); why != "" {
			return unexplained("what becomes of the rows of " + string(x.Dataset) + " put aside for " + quote(x.By) + ": " + why)
		}
		x.Becomes = ""
		if said[x] {
			return unexplained("the dispositions speak twice of the rows of " + string(x.Dataset) + " put aside for " + quote(x.By))
		}
		said[x] = true
	}
	open := map[string]bool{}
	for _, by := range slices.Sorted(maps.Keys(d.Reasons)) {
		if why := OneLine(d.Reasons[by], maxLineV1); why != "" {
			return unexplained("what becomes of the rows put aside for " + quote(by) + ": " + why)
		}
		open[by] = true
	}
	for _, x := range put {
		if strings.TrimSpace(d.Of(x.Dataset, x.By)) == "" {
			return unexplained("rows of " + string(x.Dataset) + " were put aside, and nobody said what becomes of those put aside for " + quote(x.By))
		}
		delete(said, Disposition{Dataset: x.Dataset, By: x.By})
		delete(open, x.By)
	}
	for x := range said {
		open[x.By] = true
	}
	for _, by := range slices.Sorted(maps.Keys(open)) {
		return unexplained("the dispositions speak of " + quote(by) + ", for which no row was put aside")
	}
	return nil
}

// ReservationsFormat is the format of Reservations.
const ReservationsFormat = "reservations/v1"

// Reservations is reservations/v1: the differences that the report found and that
// the controller accepts all the same, each explained and followed up by somebody.
type Reservations struct {
	Format      string             `json:"ecluse"`
	Migration   ecluse.MigrationID `json:"migration"`
	Report      ecluse.Digest      `json:"report"`
	Differences []Reservation      `json:"differences"`
}

// Reservation is one explained difference.
type Reservation struct {
	Difference
	Why   string `json:"why"`   // one line, without personal data
	Owner string `json:"owner"` // who follows it up: a person's id in a roster
	Until string `json:"until"` // YYYY-MM-DD
}

// Difference names what a report found unequal.
type Difference struct {
	Of   string `json:"of"` // table or check
	Name string `json:"name"`
}

// String is how a difference is named on a command line.
func (d Difference) String() string { return d.Of + " " + d.Name }

// Check tells what is wrong with a reservation before it is signed.
func (r Reservation) Check() error {
	const what = "check reservation"
	if r.Of != ofTable && r.Of != ofCheck {
		return invalid(what, "%q is neither a table nor a check", r.Difference)
	}
	if why := OneLine(r.Why, maxLine); why != "" {
		return invalid(what, "%s: why: %s", r.Difference, why)
	}
	if !ValidPerson(r.Owner) {
		return invalid(what, "%s: %q is not a person's id", r.Difference, r.Owner)
	}
	if !isDay(r.Until) {
		return invalid(what, "%s: %q is not a day such as 2026-12-31", r.Difference, r.Until)
	}
	return nil
}

// What a difference is of.
const (
	ofTable = "table"
	ofCheck = "check"
)

// compared is what an acceptance needs of report/v1.
type compared struct {
	Compared struct {
		Equal    bool             `json:"equal"`
		Datasets []datasetVerdict `json:"datasets,omitempty"`
		Tables   []tableVerdict   `json:"tables,omitempty"`
		Checks   []checkVerdict   `json:"checks,omitempty"`
		Rejected []reason         `json:"rejected,omitempty"`
	} `json:"compared"`
}

type datasetVerdict struct {
	Dataset ecluse.DatasetID `json:"dataset"`
	Equal   bool             `json:"equal"`
}

type tableVerdict struct {
	Table  string `json:"table"`
	Before int64  `json:"before"`
	Loaded int64  `json:"loaded"`
	After  int64  `json:"after"`
	Equal  bool   `json:"equal"`
}

type checkVerdict struct {
	Name  string `json:"name"`
	Lines int    `json:"lines"`
	Off   int    `json:"differ"`
}

// differences lists what a report found unequal. whole: nothing else is; a dataset of
// which not all was opened is no difference that could be explained.
func (c *compared) differences() (found []Difference, whole bool) {
	whole = true
	for _, d := range c.Compared.Datasets {
		whole = whole && d.Equal
	}
	for _, t := range c.Compared.Tables {
		if !t.Equal {
			found = append(found, Difference{ofTable, t.Table})
		}
	}
	for _, k := range c.Compared.Checks {
		if k.Off > 0 || k.Lines == 0 {
			found = append(found, Difference{ofCheck, k.Name})
		}
	}
	return found, whole && len(found) > 0
}

// Differences lists what a report found unequal and an acceptance may be made with
// reservations of; an error when it is not such a report.
func Differences(report []byte) ([]Difference, error) {
	const what = "accept report"
	head, err := peekStatement(report)
	if err != nil {
		return nil, err
	}
	var r compared
	if err := json.Unmarshal(report, &r); err != nil {
		return nil, because(ecluse.Invalid, what, err)
	}
	if head.Format != ReportFormat {
		return nil, invalid(what, "it is a %s", head.Format)
	}
	if r.Compared.Equal {
		return nil, nil
	}
	found, whole := r.differences()
	if !whole {
		return nil, unexplained("its comparison found differences that no reservation explains")
	}
	return found, nil
}

// reason is why rows of a dataset were put aside, and a count that may be masked.
type reason struct {
	Dataset ecluse.DatasetID `json:"dataset"`
	By      string           `json:"by"`
	Count   string           `json:"count"`
}

func unexplained(why string) error {
	return &ecluse.Error{Kind: ecluse.Refused, What: "accept report", Why: why, Article: "GDPR art. 5(1)(d)", Next: "ecluse report shows it; ecluse undo takes the passage out"}
}

// Explained refuses an acceptance that leaves something unexplained: of a report
// whose comparison found a difference that the reservations do not explain, or in
// which rows were put aside for a reason that the dispositions say nothing of.
// Either is nil when none are accepted with the report. It is for acts that are signed now:
// the format that dispositions had before is none of theirs.
func Explained(report, dispositions, reservations []byte) error {
	var d struct {
		Format string `json:"ecluse"`
	}
	if dispositions != nil && (json.Unmarshal(dispositions, &d) != nil || d.Format != DispositionsFormat) {
		return unexplained("the dispositions are no " + DispositionsFormat)
	}
	return explained(report, dispositions, reservations)
}

// explained is Explained of what was accepted at any time.
func explained(report, dispositions, reservations []byte) error {
	const what = "accept report"
	head, err := peekStatement(report)
	if err != nil {
		return err
	}
	if err := reserved(report, head, reservations); err != nil {
		return err
	}
	var r compared
	if err := json.Unmarshal(report, &r); err != nil {
		return because(ecluse.Invalid, what, err)
	}
	if dispositions == nil {
		if len(r.Compared.Rejected) > 0 {
			x := r.Compared.Rejected[0]
			return unexplained("rows of " + string(x.Dataset) + " were put aside, and nobody said what becomes of those put aside for " + quote(x.By))
		}
		return nil
	}
	d := Dispositions{}
	if err := DecodeJSON(dispositions, &d); err != nil {
		return err
	}
	if d.Migration != head.Migration || d.Report != ecluse.DigestOf(report) {
		return unexplained("the dispositions are of another report")
	}
	return d.explain(r.Compared.Rejected)
}

// reserved holds reservations to the differences of a report: each explained once, and
// nothing else.
func reserved(report []byte, head StatementHead, reservations []byte) error {
	found, err := Differences(report)
	if err != nil {
		return err
	}
	var r Reservations
	if reservations != nil {
		if err := DecodeJSON(reservations, &r); err != nil {
			return err
		}
		if r.Format != ReservationsFormat || r.Migration != head.Migration || r.Report != ecluse.DigestOf(report) || len(r.Differences) == 0 {
			return unexplained("the reservations are of another report, or explain nothing")
		}
	}
	for _, x := range r.Differences {
		if err := x.Check(); err != nil {
			return err
		}
		i := slices.Index(found, x.Difference)
		if i < 0 {
			return unexplained("the reservations speak of " + quote(x.Difference.String()) + ", of which no difference is left to explain")
		}
		found = slices.Delete(found, i, i+1)
	}
	if len(found) > 0 {
		return unexplained("its comparison found differences, and nobody explained " + quote(found[0].String()))
	}
	return nil
}

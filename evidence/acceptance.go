package evidence

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"ecluse"
)

// DispositionsFormat is the format of Dispositions.
const DispositionsFormat = "dispositions/v1"

// Dispositions is dispositions/v1: what the controller says becomes of rows that
// were put aside, by reason.
type Dispositions struct {
	Format    string             `json:"ecluse"`
	Migration ecluse.MigrationID `json:"migration"`
	Report    ecluse.Digest      `json:"report"`
	Reasons   map[string]string  `json:"reasons"`
}

// compared is what an acceptance needs of report/v1.
type compared struct {
	Compared struct {
		Equal    bool     `json:"equal"`
		Rejected []reason `json:"rejected,omitempty"`
	} `json:"compared"`
}

// reason is why rows of a dataset were put aside, and a count that may be masked.
type reason struct {
	Dataset ecluse.DatasetID `json:"dataset"`
	By      string           `json:"by"`
	Count   string           `json:"count"`
}

// Explained refuses an acceptance that leaves something unexplained: of a report
// whose comparison found a difference, or in which rows were put aside for a
// reason that the dispositions say nothing of. Dispositions are nil when none are
// accepted with the report.
func Explained(report, dispositions []byte) error {
	const what = "accept report"
	refused := func(why string) error {
		return &ecluse.Error{Kind: ecluse.Refused, What: what, Why: why, Article: "GDPR art. 5(1)(d)", Next: "ecluse report shows it; ecluse undo takes the passage out"}
	}
	head, err := peekStatement(report)
	if err != nil {
		return err
	}
	var r compared
	if err := json.Unmarshal(report, &r); err != nil {
		return because(ecluse.Invalid, what, err)
	}
	switch {
	case head.Format != ReportFormat:
		return invalid(what, "it is a %s", head.Format)
	case !r.Compared.Equal:
		return refused("its comparison found differences")
	}
	d := Dispositions{}
	if dispositions != nil {
		if err := DecodeJSON(dispositions, &d); err != nil {
			return err
		}
		if d.Format != DispositionsFormat || d.Migration != head.Migration || d.Report != ecluse.DigestOf(report) {
			return refused("the dispositions are of another report")
		}
	}
	open := maps.Clone(d.Reasons)
	for _, x := range r.Compared.Rejected {
		if strings.TrimSpace(d.Reasons[x.By]) == "" {
			return refused("rows of " + string(x.Dataset) + " were put aside, and nobody said what becomes of those put aside for " + quote(x.By))
		}
		delete(open, x.By)
	}
	for _, by := range slices.Sorted(maps.Keys(open)) {
		return refused("the dispositions speak of " + quote(by) + ", for which no row was put aside")
	}
	return nil
}

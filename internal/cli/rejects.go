package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/desk"
	"ecluse/internal/gate"
)

// rejectsCmd shows what others than the laboratory may know of rows put aside.
type rejectsCmd struct {
	which
	Passage string `help:"${report_passage}" placeholder:"KIND-N"`
	as
}

func (x *rejectsCmd) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(d *desk.Desk) error {
		v, err := d.Rejects(ctx, x.Migration, x.Passage)
		if err != nil {
			return err
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%s %s\n", c.ui.paint(bold, string(v.Migration)), v.Passage)
		c.ui.reportGroups(&b, c.ui.say("put aside", "mises de côté"), v.Rejected)
		c.ui.reportShapes(&b, toldShapes(v.Shapes))
		if len(v.Rejected) == 0 {
			fmt.Fprintln(&b, c.ui.say("nothing was put aside", "rien n'a été mis de côté"))
		}
		c.ui.text(b.String())
		for i := range v.Released {
			c.ui.tell("released, masked, by %s on %s (%s)", "communiquée, masquée, par %s le %s (%s)",
				v.Released[i].By, v.Released[i].At.Local().Format(time.DateTime), v.Released[i].Passage)
			c.ui.maskedRow(&v.Released[i].Row)
		}
		return c.ui.object(v)
	})
}

// dataset names rows of a dataset: where a later reading of the source sealed them, which.
func (u *ui) dataset(d ecluse.DatasetID) string {
	of, reading := d.Of()
	if reading == 0 {
		return string(of)
	}
	return u.say("%s (reading %d)", "%s (lecture nº %d)", of, reading+1)
}

// chunk names a chunk of a dataset, alike.
func (u *ui) chunk(s ecluse.Slot) string {
	of, reading := s.Dataset.Of()
	name := fmt.Sprintf("%s/%06d", of, s.Sequence)
	if reading == 0 {
		return name
	}
	return u.say("%s (reading %d)", "%s (lecture nº %d)", name, reading+1)
}

// maskedRow shows a row as its shapes.
func (u *ui) maskedRow(row *evidence.MaskedRow) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", u.say("%s, row %d: %s", "%s, ligne %d : %s", u.paint(bold, u.dataset(row.Dataset)), row.Ordinal, printable(row.Reason)))
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, c := range row.Cells {
		fmt.Fprintf(w, "  %s\t%s\n", printable(c.Column), u.shapeText(c.Shape))
	}
	w.Flush()
	u.text(b.String())
}

// What follows prints patients' data: to the screen of the laboratory's own
// machine and nowhere else.

// rejectedRows is what --json prints.
type rejectedRows struct {
	Migration ecluse.MigrationID `json:"migration"`
	Passage   ecluse.Passage     `json:"passage"`
	Rows      []rejectedRow      `json:"rows"`
	Reported  *int64             `json:"reported,omitempty"`
	Kept      string             `json:"kept,omitempty"`
}

type rejectedRow struct {
	Dataset ecluse.DatasetID `json:"dataset"`
	Reading int              `json:"reading,omitempty"` // of the source that sealed it; absent: the first
	Ordinal int64            `json:"ordinal"`
	Reason  string           `json:"reason"`
	Values  []rejectedValue  `json:"values"`
}

type rejectedValue struct {
	Column string  `json:"column"`
	Value  *string `json:"value"` // null is null
}

// notIntoFile refuses to print patients' data into a file: Écluse writes none in
// clear.
func (u *ui) notIntoFile(what string) error {
	if onDisk(u.out) {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: what, Why: "the output goes to a file, and these are patients' data", Article: "GDPR art. 5(1)(f)",
			Next: "run it on the laboratory's machine without redirecting: on a terminal, or into a pager",
		}
	}
	return nil
}

// personal warns of patients' data.
func (u *ui) personal() {
	fmt.Fprintf(u.err, "ecluse: %s\n", u.say(
		"what follows are patients' data, shown on the laboratory's machine only: copy, save and send nothing of it; the journal notes that somebody looked",
		"ce qui suit sont des données de patients, montrées sur la seule machine du laboratoire : n'en copiez, gardez ni envoyez rien ; le journal note que quelqu'un a regardé"))
}

// onDisk tells whether a stream ends in a file.
func onDisk(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err != nil || info.Mode().IsRegular()
}

// rejected shows one row. Texts stand between quotes, so that no value can move
// the cursor of a terminal or look like another line.
func (u *ui) rejected(row *gate.Rejected) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", u.say("%s, row %d: %s", "%s, ligne %d : %s", u.paint(bold, u.dataset(row.Dataset)), row.Ordinal, printable(row.Reason)))
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, c := range row.Cells {
		value := strconv.Quote(c.Text)
		if c.Null {
			value = "null"
		}
		fmt.Fprintf(w, "  %s\t%s\n", printable(c.Column), value)
	}
	w.Flush()
	_, err := io.WriteString(u.out, b.String())
	return err
}

// printable is a name or reason as it is, or quoted when it holds what a terminal
// would obey.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

func plainRow(row *gate.Rejected) rejectedRow {
	out := rejectedRow{Ordinal: row.Ordinal, Reason: row.Reason, Values: []rejectedValue{}}
	out.Dataset, out.Reading = row.Dataset.Of()
	for _, c := range row.Cells {
		v := rejectedValue{Column: c.Column}
		if !c.Null {
			v.Value = &c.Text
		}
		out.Values = append(out.Values, v)
	}
	return out
}

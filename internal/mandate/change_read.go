package mandate

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ecluse"
	"ecluse/evidence"
)

// CompareReads lists what a read plan says otherwise than one before it. Nothing is listed
// only where they are the same to the byte.
func CompareReads(before, after *ReadPlan) []Change {
	return compareSayings(readSayings(before), readSayings(after))
}

// readSayings is a read plan as lines, as sayings is of a load plan.
func readSayings(p *ReadPlan) []Change {
	all := &lines{}
	const plan = "plan"
	all.say(plan, "contract", p.Contract.String())
	all.say(plan, "instruction", p.Instruction.String())
	all.say(plan, "procedure", p.Procedure.String())
	all.say(plan, "source", placeText(p.Source))
	all.say(plan, "target", placeText(p.Target))
	all.say(plan, toTarget, p.Recipient.String())
	all.say(plan, toSource, p.Rejects.String())
	all.say(plan, "consistency", p.Consistency)
	if p.Frozen != nil {
		all.say(plan, "frozen", p.Frozen.From.UTC().Format(time.RFC3339Nano)+", "+strconv.Quote(p.Frozen.By))
	}
	all.say(plan, "the account may also read", names(p.MayAlsoRead))
	all.say(plan, "the account may, because", p.Because)
	l := &p.Limits
	all.say(plan, "rows at most", number(l.Rows))
	all.say(plan, "bytes at most", number(l.Bytes))
	all.say(plan, "window", l.Window)
	all.say(plan, "queries a second at most", number(int64(l.QueriesPerSecond)))
	all.say(plan, "sessions of others beside which it pauses", number(int64(l.LoadPause)))
	all.say(plan, "half of the key is lent for", l.Lease)
	all.say(plan, "to be erased by", p.EraseBy.UTC().Format(time.RFC3339Nano))
	all.say(plan, "times it may be read again", number(int64(p.CatchUps)))
	all.say(plan, "untried, because", p.Untried)
	var datasets []string
	for i := range p.Datasets {
		all.dataset(&p.Datasets[i])
		datasets = append(datasets, string(p.Datasets[i].Dataset))
	}
	all.say(plan, inOrder+"datasets", names(datasets))
	var checks []string
	for _, c := range p.Checks {
		at := "check " + c.Name
		checks = append(checks, c.Name)
		all.say(at, "figures", readCheckText(&c))
		all.say(at, statement, c.Statement)
	}
	all.say(plan, inOrder+"checks", names(checks))
	var tables []string
	for _, t := range p.Verdicts {
		at := "table " + t.Table.String()
		tables = append(tables, t.Table.String())
		all.say(at, "kind", string(t.Kind))
		var columns []string
		for _, c := range t.Columns {
			columns = append(columns, c.Column)
			all.say(at, "verdict on "+c.Column, verdictText(&c))
		}
		all.say(at, inOrder+"columns", names(columns))
	}
	all.say(plan, inOrder+"tables", names(tables))
	return *all
}

// lines collects what a plan says.
type lines []Change

func (l *lines) say(where, what, text string) {
	if text != "" {
		*l = append(*l, Change{Where: where, What: what, After: text})
	}
}

func (l *lines) dataset(d *ReadDataset) {
	at := string(d.Dataset)
	l.say(at, "from", d.From.String())
	l.say(at, "stored as", d.Storage)
	l.say(at, view, d.View)
	l.say(at, "distinct values", yes(d.Distinct))
	l.say(at, "key", names(d.Key))
	l.say(at, "the key is unique", yes(d.KeyUnique))
	var columns []string
	for _, c := range d.Columns {
		text := fmt.Sprintf("%s, %s, %s", c.Class, c.Type, name(c.Declared))
		if c.AsText {
			text += ", as text"
		}
		if c.Because != "" {
			text += ", because " + strconv.Quote(c.Because)
		}
		l.say(at, "column "+c.Name, text)
		columns = append(columns, c.Name)
	}
	l.say(at, inOrder+"columns", names(columns))
	for i, w := range d.Where {
		l.say(at, fmt.Sprintf("condition %d", i+1), conditionText(&w))
	}
	for _, w := range d.Within {
		l.say(at, "within "+string(w.Dataset), names(w.Columns))
	}
	var within []string
	for _, w := range d.Within {
		within = append(within, string(w.Dataset))
	}
	l.say(at, inOrder+"within", names(within))
	if r := d.Rows; r != nil {
		l.say(at, "rows expected", fmt.Sprintf("%d, at most %d more or fewer", r.Expected, r.Tolerance))
	}
	l.say(at, statement, d.Statement)
}

// yes is said of what is so, and nothing of what is not.
func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

// number is a limit; 0 is none.
func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func placeText(p PlanPlace) string {
	return fmt.Sprintf("%s, gate %s, %s", name(p.System), p.Gate, p.Engine)
}

func conditionText(w *ReadCondition) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)", name(w.Column), w.Type)
	if w.From != "" {
		fmt.Fprintf(&b, ", from %q", w.From)
	}
	if w.Before != "" {
		fmt.Fprintf(&b, ", before %q", w.Before)
	}
	if len(w.In) > 0 {
		fmt.Fprintf(&b, ", in %q", w.In)
	}
	if w.NotNull {
		b.WriteString(", not null")
	}
	return b.String()
}

func readCheckText(c *ReadCheck) string {
	var b strings.Builder
	b.WriteString(string(c.Dataset))
	for _, f := range [][2]string{{"sum", c.Sum}, {"first", c.First}, {"last", c.Last}, {"by", c.By}} {
		if f[1] != "" {
			fmt.Fprintf(&b, ", %s %s", f[0], name(f[1]))
		}
	}
	if c.Count {
		b.WriteString(", count")
	}
	return b.String()
}

func verdictText(c *ColumnVerdict) string {
	text := string(c.Verdict)
	if c.Class != "" {
		text += ", " + string(c.Class)
	}
	if len(c.Datasets) > 0 {
		text += ": " + names(c.Datasets)
	}
	return text
}

// LastReadApproved finds the read plan of a migration that both parties approved last, by
// acts that verify under rosters of these roots. It is zero when there is none, and when
// plan itself has been approved: then nothing about it is new.
func LastReadApproved(roots map[ecluse.Side]ecluse.Fingerprint, m ecluse.MigrationID, rosters, acts []evidence.Signed, plan ecluse.Digest) (ecluse.Digest, error) {
	var last ecluse.Digest
	approvals := slices.DeleteFunc(slices.Clone(acts), func(s evidence.Signed) bool {
		a, err := evidence.ParseAct(s.Body)
		return err == nil && (a.Migration != m || !slices.ContainsFunc(a.Clauses, approvesRead))
	})
	if len(approvals) == 0 {
		return last, nil
	}
	d := newDocket(Trust{Roots: roots})
	if err := errors.Join(d.chain(rosters), d.verifyActs(approvals)); err != nil {
		return last, err
	}
	by := map[ecluse.Digest]map[ecluse.Side]bool{}
	for _, a := range d.acts {
		signs := a.Side == ecluse.Controller && a.Role == ecluse.Signatory || a.Side == ecluse.Processor && a.Role == ecluse.Operator
		for _, c := range a.Clauses {
			if !signs || !approvesRead(c) {
				continue
			}
			if by[c.Subject] == nil {
				by[c.Subject] = map[ecluse.Side]bool{}
			}
			if by[c.Subject][a.Side] = true; len(by[c.Subject]) == 2 {
				last = c.Subject
			}
		}
	}
	if len(by[plan]) == 2 {
		return ecluse.Digest{}, nil
	}
	return last, nil
}

func approvesRead(c evidence.Clause) bool {
	return c.Verb == evidence.VerbApprove && c.Kind == evidence.KindReadPlan
}

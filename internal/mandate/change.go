package mandate

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"ecluse"
)

// Change is one thing in which a load plan differs from another. Before is empty of
// what is new, After of what is gone.
type Change struct {
	Where  string `json:"where"` // a dataset, "dataset → table", or the plan
	What   string `json:"what"`  // "column code", "skip", "reject unknown code", "frozen table codes" …
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// ChangedText is what alone is listed when two mappings differ in nothing that a plan says:
// in a comment, say.
const ChangedText = "mapping"

// CompareLoads lists what a load plan says otherwise than one before it: everything but the
// kind of passage and the system it goes into, for a final plan is held against the
// rehearsal before it. Nothing is listed only where the mappings are the same to the byte.
func CompareLoads(before, after *LoadPlan) []Change {
	all := compareSayings(sayings(before), sayings(after))
	if len(all) == 0 && before.Shape.Mapping != after.Shape.Mapping {
		return []Change{{Where: "plan", What: ChangedText, Before: before.Shape.Mapping.String(), After: after.Shape.Mapping.String()}}
	}
	return all
}

// compareSayings holds two plans' lines against each other.
func compareSayings(before, after []Change) []Change {
	type entry struct{ before, after string }
	said := map[[2]string]*entry{}
	var order [][2]string
	read := func(sayings []Change, into func(*entry) *string) {
		for _, f := range sayings {
			k := [2]string{f.Where, f.What}
			if said[k] == nil {
				said[k] = &entry{}
				order = append(order, k)
			}
			if text := into(said[k]); *text == "" {
				*text = f.After
			} else { // said twice
				*text += "; " + f.After
			}
		}
	}
	read(before, func(e *entry) *string { return &e.before })
	read(after, func(e *entry) *string { return &e.after })
	var all []Change
	for _, k := range order {
		if e := said[k]; e.before != e.after {
			all = append(all, Change{Where: k[0], What: k[1], Before: e.before, After: e.after})
		}
	}
	listed := slices.Clone(all)
	all = slices.DeleteFunc(all, func(c Change) bool { return implied(c, listed) })
	slices.SortStableFunc(all, func(a, b Change) int { return cmp.Compare(a.Where, b.Where) })
	return all
}

// What is said of order, and of the statement, only where nothing else tells it.
const (
	inOrder   = "order of "
	statement = "statement"
	view      = "view"
	toTarget  = "recipient of the chunks"
	toSource  = "recipient of what is put aside"
)

// implied tells whether other changes say already what one does: a list whose members came
// or went, the statement of a table whose columns did.
func implied(c Change, all []Change) bool {
	switch {
	case strings.HasPrefix(c.What, inOrder):
		before, after := strings.Split(c.Before, ", "), strings.Split(c.After, ", ")
		slices.Sort(before)
		slices.Sort(after)
		return !slices.Equal(before, after)
	case c.What == statement, c.What == view:
		return slices.ContainsFunc(all, func(x Change) bool { return x.Where == c.Where && x.What != statement && x.What != view })
	case c.What == toTarget, c.What == toSource: // made anew for each instruction
		return slices.ContainsFunc(all, func(x Change) bool { return x.Where == c.Where && x.What == "instruction" })
	}
	return false
}

// sayings is a load plan as lines, each of which can be compared by itself; what it says
// stands in After.
func sayings(p *LoadPlan) []Change {
	var all []Change
	say := func(where, what, text string) {
		if text != "" {
			all = append(all, Change{Where: where, What: what, After: text})
		}
	}
	plan := "plan"
	s := &p.Shape
	say(plan, "instruction", p.Instruction.String())
	say(plan, "read plan", p.ReadPlan.String())
	say(plan, "procedure", p.Procedure.String())
	say(plan, "to be erased by", p.EraseBy.UTC().Format(time.RFC3339Nano))
	say(plan, "order", names(s.Order))
	for _, f := range s.Frozen {
		say(plan, "frozen table "+f.Name, fmt.Sprintf("%s, key %s, %s", name(f.File), names(f.Key), f.Digest))
	}
	for _, h := range s.Held {
		say(plan, "held dataset "+string(h.Dataset), fmt.Sprintf("%s, at most %d rows", names(h.Key), h.Rows))
	}
	for _, t := range s.Targets {
		say(plan, "look-up "+t.Name, fmt.Sprintf("%s: %s, key %s, at most %d rows", t.Table, names(t.Columns), names(t.Key), t.Rows))
	}
	for _, h := range p.Held {
		say(plan, "look-up table "+h.Table.String(), fmt.Sprintf("%s: %d rows, %s", names(h.Columns), h.Rows, h.Digest))
	}
	for _, q := range s.Sequences {
		say(plan, "sequence "+q.Sequence.String(), q.Table.String()+"."+name(q.Column))
	}
	for _, c := range s.Checks {
		say(plan, "check "+c.Name, checkText(&c))
	}
	for _, d := range s.Datasets {
		sayDataset(&d, say)
	}
	var tables []string
	for _, t := range p.Tables {
		at := "→ " + t.Table.String()
		tables = append(tables, t.Table.String())
		say(at, "key", names(t.Key))
		var columns []string
		for _, c := range t.Columns {
			say(at, "written column "+c.Name, c.Type.String()+", "+c.Declared)
			columns = append(columns, c.Name)
		}
		say(at, inOrder+"columns", names(columns))
		say(at, statement, t.Statement)
	}
	say(plan, inOrder+"tables", names(tables))
	return all
}

func sayDataset(d *ecluse.ShapeDataset, say func(where, what, text string)) {
	at := string(d.Dataset)
	say(at, "reads", names(d.Reads))
	say(at, "skip", d.Skip)
	for _, r := range d.Rejects {
		say(at, "reject "+r, r)
	}
	say(at, inOrder+"rejects", names(d.Rejects))
	times := map[ecluse.TableName]int{}
	var tables []string
	for _, t := range d.Into {
		into := at + " → " + t.Table.String()
		tables = append(tables, t.Table.String())
		if times[t.Table]++; times[t.Table] > 1 {
			into += fmt.Sprintf(" (%d)", times[t.Table])
		}
		say(into, "each", t.Each)
		var lets []string
		for _, l := range t.Let {
			of, value, _ := strings.Cut(l, " = ")
			say(into, "let "+of, value)
			lets = append(lets, of)
		}
		say(into, inOrder+"lets", names(lets))
		say(into, "skip", t.Skip)
		var reasons []string
		for _, r := range t.Rejects {
			say(into, "put aside, "+r.Reason, "when "+r.When)
			reasons = append(reasons, r.Reason)
		}
		say(into, inOrder+"reasons", names(reasons))
		say(into, "counter", t.Counter)
		if t.KeyWrite {
			say(into, "primary key", "written")
		}
		var columns []string
		for _, c := range t.Columns {
			say(into, "column "+c.Column, ecluse.OneLine(c.From)+" ("+c.Type.String()+")")
			columns = append(columns, c.Column)
		}
		say(into, inOrder+"columns", names(columns))
	}
	say(at, inOrder+"tables", names(tables))
}

// name is a name as it stands, in quotes where it could be read as more than one.
func name(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool {
		return r != '_' && r != '-' && r != '.' && r != ' ' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		return strconv.Quote(s)
	}
	return s
}

func names[S ~string](all []S) string {
	quoted := make([]string, len(all))
	for i, s := range all {
		quoted[i] = name(string(s))
	}
	return strings.Join(quoted, ", ")
}

func checkText(c *ecluse.ShapeCheck) string {
	var b strings.Builder
	b.WriteString(c.Table.String())
	for _, f := range [][2]string{{"sum", c.Sum}, {"first", c.First}, {"last", c.Last}, {"by", c.By}, {"codes", c.Codes}} {
		if f[1] != "" {
			fmt.Fprintf(&b, ", %s %s", f[0], name(f[1]))
		}
	}
	if c.Count {
		b.WriteString(", count")
	}
	if c.Minus != 0 {
		fmt.Fprintf(&b, ", minus %d", c.Minus)
	}
	for _, w := range c.Where {
		fmt.Fprintf(&b, ", where %s", name(w.Column))
		if w.Equals != "" {
			fmt.Fprintf(&b, " = %q", w.Equals)
		}
		if w.Null != nil {
			fmt.Fprintf(&b, " null %v", *w.Null)
		}
		if w.From != nil {
			fmt.Fprintf(&b, " from %d", *w.From)
		}
		if w.Before != nil {
			fmt.Fprintf(&b, " before %d", *w.Before)
		}
	}
	return b.String()
}

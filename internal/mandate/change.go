package mandate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

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

// CompareLoads lists what a load plan says otherwise than one before it: columns and
// the rules that make them, rows left out or put aside, codes, checks, sequences and
// order. The kind of passage and the system it goes into are not compared: a final plan
// is held against the rehearsal before it.
func CompareLoads(before, after *LoadPlan) []Change {
	type entry struct{ before, after string }
	said := map[[2]string]*entry{}
	var order [][2]string
	read := func(p *LoadPlan, into func(*entry) *string) {
		for _, f := range sayings(p) {
			k := [2]string{f.Where, f.What}
			if said[k] == nil {
				said[k] = &entry{}
				order = append(order, k)
			}
			*into(said[k]) = f.After
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
	slices.SortStableFunc(all, func(a, b Change) int { return cmp.Compare(a.Where, b.Where) })
	return all
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
	names := make([]string, len(s.Order))
	for i, d := range s.Order {
		names[i] = string(d)
	}
	say(plan, "order", strings.Join(names, ", "))
	for _, f := range s.Frozen {
		say(plan, "frozen table "+f.Name, f.Digest.String())
	}
	for _, h := range s.Held {
		say(plan, "held dataset "+string(h.Dataset), fmt.Sprintf("%s, at most %d rows", strings.Join(h.Key, ", "), h.Rows))
	}
	for _, h := range p.Held {
		say(plan, "look-up table "+h.Table.String(), fmt.Sprintf("%s: %d rows, %s", strings.Join(h.Columns, ", "), h.Rows, h.Digest))
	}
	for _, q := range s.Sequences {
		say(plan, "sequence "+q.Sequence.String(), q.Table.String()+"."+q.Column)
	}
	for _, c := range s.Checks {
		say(plan, "check "+c.Name, checkText(&c))
	}
	for _, d := range s.Datasets {
		at := string(d.Dataset)
		say(at, "skip", d.Skip)
		for _, r := range d.Rejects {
			say(at, "reject "+r, r)
		}
		times := map[ecluse.TableName]int{}
		for _, t := range d.Into {
			into := at + " → " + t.Table.String()
			if times[t.Table]++; times[t.Table] > 1 {
				into += fmt.Sprintf(" (%d)", times[t.Table])
			}
			say(into, "each", t.Each)
			say(into, "let", strings.Join(t.Let, "; "))
			say(into, "skip", t.Skip)
			say(into, "counter", t.Counter)
			for _, c := range t.Columns {
				say(into, "column "+c.Column, strings.Join(strings.Fields(c.From), " ")+" ("+c.Type.String()+")")
			}
		}
	}
	return all
}

func checkText(c *ecluse.ShapeCheck) string {
	var b strings.Builder
	b.WriteString(c.Table.String())
	for _, f := range [][2]string{{"sum", c.Sum}, {"first", c.First}, {"last", c.Last}, {"by", c.By}, {"codes", c.Codes}} {
		if f[1] != "" {
			fmt.Fprintf(&b, ", %s %s", f[0], f[1])
		}
	}
	if c.Count {
		b.WriteString(", count")
	}
	if c.Minus != 0 {
		fmt.Fprintf(&b, ", minus %d", c.Minus)
	}
	for _, w := range c.Where {
		fmt.Fprintf(&b, ", where %s", w.Column)
		if w.Equals != "" {
			fmt.Fprintf(&b, " = %s", w.Equals)
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

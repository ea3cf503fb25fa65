package mandate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"

	"ecluse"
)

// Elsewhere is what changed in a source since its read plan was approved, outside what
// is instructed: columns ("table.column") that came, and columns that went. They are
// refused either way, and to be reported.
type Elsewhere struct {
	Added []string
	Gone  []string
}

// Equivalent tells whether a plan compiled again is the one that was approved. Columns
// that nobody instructed, and which are therefore refused, may come, go and stand in
// another order: they are listed, and change nothing. Anything else gives ecluse.Differs
// and names what changed.
func Equivalent(approved, recompiled *ReadPlan) (Elsewhere, error) {
	if err := sameBytes("readplan", instructedOnly(approved).Bytes(), instructedOnly(recompiled).Bytes()); err != nil {
		return Elsewhere{}, err
	}
	return Elsewhere{Added: refusedOnlyBy(recompiled, approved), Gone: refusedOnlyBy(approved, recompiled)}, nil
}

// instructedOnly is a plan without what it refuses, in no order of the source's.
func instructedOnly(p *ReadPlan) *ReadPlan {
	of := *p
	of.Verdicts = nil
	for _, t := range p.Verdicts {
		t.Columns = slices.DeleteFunc(slices.Clone(t.Columns), refused)
		slices.SortFunc(t.Columns, func(a, b ColumnVerdict) int { return strings.Compare(a.Column, b.Column) })
		if len(t.Columns) > 0 {
			of.Verdicts = append(of.Verdicts, t)
		}
	}
	return &of
}

// refusedOnlyBy lists the columns that one plan refuses and another does not know.
func refusedOnlyBy(p, other *ReadPlan) []string {
	var all []string
	for _, t := range p.Verdicts {
		known, _ := verdictOn(other, t.Table)
		for _, c := range t.Columns {
			if refused(c) && !hasColumn(known, c.Column) {
				all = append(all, columnName(t.Table, c.Column))
			}
		}
	}
	return all
}

func refused(c ColumnVerdict) bool {
	return c.Verdict == RefusedColumn || c.Verdict == RefusedCredential
}

func verdictOn(p *ReadPlan, t ecluse.TableName) (TableVerdict, bool) {
	i := slices.IndexFunc(p.Verdicts, func(v TableVerdict) bool { return v.Table == t })
	if i < 0 {
		return TableVerdict{}, false
	}
	return p.Verdicts[i], true
}

func hasColumn(v TableVerdict, column string) bool {
	return slices.ContainsFunc(v.Columns, func(c ColumnVerdict) bool { return c.Column == column })
}

// sameBytes compares two plans and names the first things that differ.
func sameBytes(what string, approved, compiled []byte) error {
	if bytes.Equal(approved, compiled) {
		return nil
	}
	a, errA := decodeAny(approved)
	b, errB := decodeAny(compiled)
	why := "the bytes differ"
	if errA == nil && errB == nil {
		if d := differences(nil, "", a, b); len(d) > 0 {
			const shown = 5
			if more := len(d) - shown; more > 0 {
				d = append(d[:shown], fmt.Sprintf("and %d more", more))
			}
			why = strings.Join(d, "; ")
		}
	}
	return &ecluse.Error{
		Kind: ecluse.Differs, What: "compile " + what + " again", Why: why,
		Next: "the plan has to be compiled and approved again, or the change taken back",
	}
}

func decodeAny(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// differences walks two decoded plans side by side. Values of plans are names,
// types, digests and what the instruction says: none is a record's.
func differences(out []string, at string, a, b any) []string {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			break
		}
		for _, k := range unionKeys(x, y) {
			out = differences(out, strings.TrimPrefix(at+"."+k, "."), x[k], y[k])
		}
		return out
	case []any:
		y, ok := b.([]any)
		if !ok {
			break
		}
		return differentLists(out, at, x, y)
	}
	if a == b {
		return out
	}
	return append(out, fmt.Sprintf("%s was %s and is %s", at, shown(a), shown(b)))
}

// differentLists compares lists item by item, found by name.
func differentLists(out []string, at string, a, b []any) []string {
	theirs := itemNames(b)
	other := map[string]any{}
	for i, name := range theirs {
		other[name] = b[i]
	}
	mine := itemNames(a)
	for i, name := range mine {
		if y, ok := other[name]; ok {
			out = differences(out, at+"["+name+"]", a[i], y)
		} else {
			out = append(out, at+" has no "+name+" any more")
		}
	}
	for _, name := range theirs {
		if !slices.Contains(mine, name) {
			out = append(out, at+" has a new "+name)
		}
	}
	if len(out) == 0 && !slices.Equal(mine, theirs) {
		out = append(out, at+" is in another order")
	}
	return out
}

// itemNames names the items of a list: by name, else by place; a name that comes
// again is numbered.
func itemNames(list []any) []string {
	names := make([]string, len(list))
	times := map[string]int{}
	for i, v := range list {
		name := itemName(v, i)
		times[name]++
		if n := times[name]; n > 1 {
			name = fmt.Sprintf("%s #%d", name, n)
		}
		names[i] = name
	}
	return names
}

func itemName(v any, i int) string {
	switch x := v.(type) {
	case map[string]any:
		for _, k := range []string{"name", "dataset", "table", "column"} {
			if s, ok := x[k].(string); ok {
				return s
			}
		}
	case string:
		return x
	}
	return fmt.Sprint(i)
}

func unionKeys(a, b map[string]any) []string {
	var keys []string
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	return keys
}

func shown(v any) string {
	switch x := v.(type) {
	case nil:
		return "absent"
	case string:
		return fmt.Sprintf("%q", x)
	case map[string]any, []any:
		return "another structure"
	}
	return fmt.Sprint(v)
}

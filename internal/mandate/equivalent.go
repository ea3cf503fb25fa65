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

// Equivalent tells whether a plan compiled again is the one that was approved.
// Columns and tables that the source has since, which nobody instructed and
// which are therefore refused, are listed in added and change nothing; anything
// else gives ecluse.Differs and names what changed.
func Equivalent(approved, recompiled *ReadPlan) (added []string, err error) {
	trimmed := *recompiled
	trimmed.Verdicts = nil
	for _, t := range recompiled.Verdicts {
		known, ok := verdictOn(approved, t.Table)
		kept := t
		kept.Columns = make([]ColumnVerdict, 0, len(t.Columns))
		for _, c := range t.Columns {
			if refused(c) && (!ok || !hasColumn(known, c.Column)) {
				added = append(added, columnName(t.Table, c.Column))
				continue
			}
			kept.Columns = append(kept.Columns, c)
		}
		if ok || len(kept.Columns) > 0 {
			trimmed.Verdicts = append(trimmed.Verdicts, kept)
		}
	}
	if err := sameBytes("readplan", approved.Bytes(), trimmed.Bytes()); err != nil {
		return nil, err
	}
	return added, nil
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
	var a, b any
	why := "the bytes differ"
	if json.Unmarshal(approved, &a) == nil && json.Unmarshal(compiled, &b) == nil {
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

// differentLists compares lists item by item; items that have a name are found
// by it.
func differentLists(out []string, at string, a, b []any) []string {
	other := map[string]any{}
	for i, y := range b {
		other[itemName(y, i)] = y
	}
	for i, x := range a {
		name := itemName(x, i)
		y, ok := other[name]
		delete(other, name)
		if !ok {
			out = append(out, at+" has no "+name+" any more")
			continue
		}
		out = differences(out, at+"["+name+"]", x, y)
	}
	for i, y := range b {
		if name := itemName(y, i); other[name] != nil {
			out = append(out, at+" has a new "+name)
		}
	}
	if len(out) == 0 {
		for i := range a {
			if itemName(a[i], i) != itemName(b[i], i) {
				return append(out, at+" is in another order")
			}
		}
	}
	return out
}

func itemName(v any, i int) string {
	if m, ok := v.(map[string]any); ok {
		for _, k := range []string{"dataset", "table", "name", "column"} {
			if s, ok := m[k].(string); ok {
				return s
			}
		}
	}
	if s, ok := v.(string); ok {
		return s
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

package mandate

import (
	"slices"
	"strings"

	"ecluse"
)

// verdicts says for every column of every table of the source what happens to
// it. A column whose name is a credential's says so even when nobody asked.
func (k *readCompiler) verdicts() error {
	tables := slices.Clone(k.in.Source.Tables)
	slices.SortFunc(tables, func(a, b ecluse.Table) int {
		switch {
		case a.Name.Less(b.Name):
			return -1
		case b.Name.Less(a.Name):
			return 1
		}
		return 0
	})
	for _, t := range tables {
		v := TableVerdict{Table: t.Name, Kind: t.Kind, Columns: make([]ColumnVerdict, 0, len(t.Columns))}
		for _, c := range t.Columns {
			cv, err := k.verdict(t.Name, c.Name)
			if err != nil {
				return err
			}
			v.Columns = append(v.Columns, cv)
		}
		k.plan.Verdicts = append(k.plan.Verdicts, v)
	}
	return nil
}

func (k *readCompiler) verdict(table ecluse.TableName, column string) (ColumnVerdict, error) {
	v := ColumnVerdict{Column: column, Verdict: RefusedColumn}
	if LooksLikeCredential(column) {
		v.Verdict = RefusedCredential
	}
	for n := range k.plan.Datasets {
		d := &k.plan.Datasets[n]
		if d.From != table {
			continue
		}
		if c, ok := d.Column(column); ok && !(d.Distinct && column == ordinalColumn) {
			if v.Class != "" && v.Class != c.Class {
				return v, &ecluse.Error{
					Kind: ecluse.Invalid, What: "compile read plan", Where: columnName(table, column),
					Why: "datasets give it two classes, " + string(v.Class) + " and " + string(c.Class), Next: "give it one in the instruction",
				}
			}
			v.Verdict, v.Class = Taken, c.Class
			v.Datasets = append(v.Datasets, d.Dataset)
		} else if d.filters(column) {
			if v.Verdict != Taken {
				v.Verdict = Filtered
			}
			v.Datasets = append(v.Datasets, d.Dataset)
		}
	}
	return v, nil
}

// filters tells whether rows of the dataset are chosen by the column.
func (d *ReadDataset) filters(column string) bool {
	return slices.ContainsFunc(d.Where, func(c ReadCondition) bool { return c.Column == column }) ||
		slices.ContainsFunc(d.Within, func(w ReadWithin) bool { return slices.Contains(w.Columns, column) })
}

func tableNames(c *ecluse.Catalogue) []string {
	names := make([]string, len(c.Tables))
	for i, t := range c.Tables {
		names[i] = t.Name.String()
	}
	return names
}

func columnNames(t *ecluse.Table) []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// near suggests a name that differs by case, sign or schema only.
func near(name string, known []string) string {
	plain := func(s string) string { return strings.Join(words(s), "") }
	for _, k := range known {
		if plain(k) == plain(name) || plain(k[strings.LastIndexByte(k, '.')+1:]) == plain(name) {
			return ": did you mean " + k + "?"
		}
	}
	return ""
}
